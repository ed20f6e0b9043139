#include "histogram.h"

#include <inttypes.h>

void histogram_init(struct histogram *h, uint64_t start_ns,
                    uint32_t bucket_count)
{
    h->start_ns = start_ns;
    h->bucket_count = bucket_count;
    for (uint32_t i = 0; i <= HISTOGRAM_BUCKETS_MAX; i++) {
        atomic_init(&h->buckets[i], 0);
    }
    atomic_init(&h->sum_ns, 0);
}

void histogram_observe(struct histogram *h, uint64_t ns)
{
    uint32_t i = 0;
    while (i < h->bucket_count && ns > h->start_ns << i) {
        i++;
    }
    atomic_fetch_add_explicit(&h->buckets[i], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&h->sum_ns, ns, memory_order_relaxed);
}

void histogram_print_series(struct histogram *h, const char *name,
                            const char *labels, struct buf *out)
{
    const char *comma = labels[0] ? "," : "";
    uint64_t total = 0;
    for (uint32_t i = 0; i < h->bucket_count; i++) {
        total += atomic_load_explicit(&h->buckets[i], memory_order_relaxed);
        buf_printf(out, "%s_bucket{%s%sle=\"%.10g\"} %" PRIu64 "\n", name,
                   labels, comma, (double)(h->start_ns << i) / 1e9, total);
    }
    total += atomic_load_explicit(&h->buckets[h->bucket_count],
                                  memory_order_relaxed);
    buf_printf(out, "%s_bucket{%s%sle=\"+Inf\"} %" PRIu64 "\n", name, labels,
               comma, total);
    uint64_t sum = atomic_load_explicit(&h->sum_ns, memory_order_relaxed);
    const char *open = labels[0] ? "{" : "", *close = labels[0] ? "}" : "";
    buf_printf(out, "%s_sum%s%s%s %.9g\n", name, open, labels, close,
               (double)sum / 1e9);
    buf_printf(out, "%s_count%s%s%s %" PRIu64 "\n", name, open, labels, close,
               total);
}

void histogram_print(struct histogram *h, const char *name, const char *help,
                     struct buf *out)
{
    buf_printf(out, "# HELP %s %s\n# TYPE %s histogram\n", name, help, name);
    histogram_print_series(h, name, "", out);
}
