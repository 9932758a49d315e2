/* What cmocka.h needs before it, and checks that print want and got with the table's row. */
#pragma once
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <inttypes.h>
#include "base/span.h"

static inline void want_span(const char *row, struct span want, struct span got)
{
	if (!span_equal(want, got))
		fail_msg("%s: want \"%.*s\" (%zu), got \"%.*s\" (%zu)", row, (int)want.len,
			want.ptr ? want.ptr : "", want.len, (int)got.len, got.ptr ? got.ptr : "",
			got.len);
}

static inline void want_u64(const char *row, uint64_t want, uint64_t got)
{
	if (want != got)
		fail_msg("%s: want %" PRIu64 ", got %" PRIu64, row, want, got);
}

static inline void want_int(const char *row, int want, int got)
{
	if (want != got)
		fail_msg("%s: want %d, got %d", row, want, got);
}
