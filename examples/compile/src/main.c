#include "version.h"
#include "words.h"
#include <string.h>

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "--version") == 0) {
        puts("words " VERSION);
        return 0;
    }
    struct counts n = count(stdin);
    printf("%lu words, %lu lines\n", n.words, n.lines);
    return 0;
}
