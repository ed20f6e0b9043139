/* Fixed-width integers in byte strings, big and little endian. */
#ifndef BASE_ENDIAN_H
#define BASE_ENDIAN_H

#include <endian.h>
#include <stdint.h>
#include <string.h>

#define BASE_ENDIAN_PAIR(bits, order)                                \
    static inline void put_##order##bits(void *to, uint##bits##_t v) \
    {                                                                \
        v = hto##order##bits(v);                                     \
        memcpy(to, &v, sizeof v);                                    \
    }                                                                \
    static inline uint##bits##_t get_##order##bits(const void *from) \
    {                                                                \
        uint##bits##_t v;                                            \
        memcpy(&v, from, sizeof v);                                  \
        return order##bits##toh(v);                                  \
    }

BASE_ENDIAN_PAIR(16, be)
BASE_ENDIAN_PAIR(32, be)
BASE_ENDIAN_PAIR(64, be)
BASE_ENDIAN_PAIR(16, le)
BASE_ENDIAN_PAIR(32, le)
BASE_ENDIAN_PAIR(64, le)

#endif
