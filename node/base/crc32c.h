/*
 * CRC-32C (Castagnoli), as iSCSI, etcd's WAL and etcd's HashKV use it.
 * crc32c(0, ...) starts; feeding the result back in goes on.
 */
#ifndef BASE_CRC32C_H
#define BASE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

uint32_t crc32c(uint32_t crc, const void *data, size_t size);

#endif
