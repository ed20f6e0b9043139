#include "bug.h"

#include <stddef.h>
#include <string.h>

#ifdef COFRE_BUGS
enum bug bug_is;

#define BUG_NAME(name) #name,
static const char *const names[] = {"NONE", BUG_LIST(BUG_NAME) NULL};
#undef BUG_NAME
#else
static const char *const names[] = {"NONE", NULL};
#endif

const char *bug_name(int number)
{
    return names[number];
}

bool bug_set(const char *name)
{
    for (int i = 1; names[i]; i++) {
        if (strcmp(names[i], name) == 0) {
#ifdef COFRE_BUGS
            bug_is = (enum bug)i;
#endif
            return true;
        }
    }
    return false;
}
