/* A progress bar on standard error:
 * 1 / 60 [->______] 1.67% 2 p/s */
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "bar.h"
#include "cli.h"

enum { WIDTH_PIPED = 100, BAR_LEAST = 3 };

static size_t terminal_width(void)
{
    struct winsize size;
    return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col
               ? size.ws_col
               : WIDTH_PIPED;
}

void cli_bar_text(struct buf *out, uint64_t done, uint64_t total,
                  double seconds, size_t width)
{
    struct buf before = BUF_INIT(256), after = BUF_INIT(256);
    double part = total ? (double)done / (double)total : 1;
    buf_printf(&before, "%llu / %llu [", (unsigned long long)done,
               (unsigned long long)total);
    buf_printf(&after, "] %.2f%% ", part * 100);
    if (done == 0 || seconds <= 0) {
        buf_append_str(&after, "? p/s");
    } else {
        buf_printf(&after, "%.0f p/s", (double)done / seconds);
    }
    size_t text = before.size + after.size;
    size_t bar = width > text + BAR_LEAST ? width - text : BAR_LEAST;
    size_t full = (size_t)(part * (double)bar);
    if ((double)full < part * (double)bar) {
        full++;
    }
    buf_append_slice(out, buf_slice(&before));
    for (size_t i = 0; i < bar; i++) {
        bool head = i + 1 == full && full < bar;
        buf_append_byte(out, i >= full ? '_' : head ? '>' : '-');
    }
    buf_append_slice(out, buf_slice(&after));
    buf_release(&before);
    buf_release(&after);
}

void cli_bar_draw(uint64_t done, uint64_t total, double seconds)
{
    struct buf out = BUF_INIT(8192);
    bool is_terminal = isatty(STDERR_FILENO);
    if (is_terminal) {
        buf_append_byte(&out, '\r');
    }
    cli_bar_text(&out, done, total, seconds,
                 is_terminal ? terminal_width() : WIDTH_PIPED);
    fwrite(out.data, 1, out.size, stderr);
    buf_release(&out);
}
