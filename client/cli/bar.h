#ifndef CLIENT_CLI_BAR_H
#define CLIENT_CLI_BAR_H

#include "base/buf.h"

void cli_bar_text(struct buf *out, uint64_t done, uint64_t total,
                  double seconds, size_t width);
void cli_bar_draw(uint64_t done, uint64_t total, double seconds);

#endif
