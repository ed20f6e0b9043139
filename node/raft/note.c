/* Sentences for the log; the core itself writes none. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "internal.h"

void raft_note(struct raft *r, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (r->note_count == RAFT_NOTES_MAX) {
        free(raft_take_note(r)); /* nobody takes them: the oldest goes */
    }
    uint32_t at = (r->note_head + r->note_count) % RAFT_NOTES_MAX;
    r->notes[at] = mem_strdup(text);
    r->note_count++;
}

char *raft_take_note(struct raft *r)
{
    if (r->note_count == 0) {
        return NULL;
    }
    char *text = r->notes[r->note_head];
    r->note_head = (r->note_head + 1) % RAFT_NOTES_MAX;
    r->note_count--;
    return text;
}
