/* CRC32C (Castagnoli), hardware where the CPU has it (SSE4.2), table elsewhere.
 * Start with crc 0; crc32c(crc32c(0, a), b) == crc32c(0, ab). */
#pragma once
#include "base/base.h"
uint32_t crc32c(uint32_t crc, const void *ptr, size_t len);
/* The same without the CPU's instruction. */
uint32_t crc32c_portable(uint32_t crc, const void *ptr, size_t len);
