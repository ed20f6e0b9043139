/* Tables in box characters: the heading centred, cells to the right. */
#include <stdlib.h>

#include "base/mem.h"
#include "cli.h"

/* Code points, near enough to columns for what tables hold. */
static size_t width_of(const char *text)
{
    size_t n = 0;
    for (; *text; text++) {
        n += ((unsigned char)*text & 0xc0) != 0x80;
    }
    return n;
}

static void repeat(struct buf *out, const char *text, size_t count)
{
    while (count-- > 0) {
        buf_append_str(out, text);
    }
}

static void rule(struct buf *out, const size_t *widths, size_t columns,
                 const char *left, const char *middle, const char *right)
{
    buf_append_str(out, left);
    for (size_t i = 0; i < columns; i++) {
        repeat(out, "─", widths[i] + 2);
        buf_append_str(out, i + 1 < columns ? middle : right);
    }
    buf_append_byte(out, '\n');
}

static void row(struct buf *out, const size_t *widths, size_t columns,
                const char *const *cells, bool centred)
{
    for (size_t i = 0; i < columns; i++) {
        size_t rest = widths[i] - width_of(cells[i]);
        size_t left = centred ? rest / 2 : rest;
        buf_append_str(out, "│ ");
        repeat(out, " ", left);
        buf_append_str(out, cells[i]);
        repeat(out, " ", rest - left + 1);
    }
    buf_append_str(out, "│\n");
}

void cli_table(struct buf *out, const char *const *cells, size_t columns,
               size_t rows)
{
    size_t *widths = mem_zalloc(columns * sizeof *widths);
    for (size_t i = 0; i < columns * rows; i++) {
        size_t width = width_of(cells[i]);
        if (width > widths[i % columns]) {
            widths[i % columns] = width;
        }
    }
    rule(out, widths, columns, "┌", "┬", "┐");
    row(out, widths, columns, cells, true);
    rule(out, widths, columns, "├", "┼", "┤");
    for (size_t i = 1; i < rows; i++) {
        row(out, widths, columns, cells + i * columns, false);
    }
    rule(out, widths, columns, "└", "┴", "┘");
    free(widths);
}
