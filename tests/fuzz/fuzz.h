/* What the fuzz targets share. Each target is one function, run by libFuzzer (meson option `fuzz`,
 * clang) or over its committed corpus by replay.c (every build). */
#pragma once
#include "base/buf.h"

#define FUZZ_INPUT_MAX 65536u
#define FUZZ_BUF       (16u * FUZZ_INPUT_MAX)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The first octet of the input chooses the mode; the rest is the input. */
static inline uint8_t fuzz_mode(struct span *in)
{
	if (in->len == 0)
		return 0;
	uint8_t mode = (uint8_t)in->ptr[0];
	*in = span_from(*in, 1);
	return mode;
}
static inline bool fuzz_within(struct span part, struct span whole)
{
	return part.ptr >= whole.ptr && part.len <= whole.len &&
	       (size_t)(part.ptr - whole.ptr) <= whole.len - part.len;
}
