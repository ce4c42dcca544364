#ifndef WORDS_H
#define WORDS_H
#include <stdio.h>

/* Words and lines of a stream. */
struct counts { unsigned long words, lines; };

struct counts count(FILE *in);
#endif
