#include "words.h"
#include <ctype.h>

struct counts count(FILE *in)
{
    struct counts n = {0, 0};
    int c, in_word = 0;
    while ((c = getc(in)) != EOF) {
        if (c == '\n')
            n.lines++;
        if (isspace(c))
            in_word = 0;
        else if (!in_word) {
            in_word = 1;
            n.words++;
        }
    }
    return n;
}
