/* What the tables of this room's tests share: comparisons that print want and got. */
#pragma once
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include "base/buf.h"

static inline void check_octets(const char *label, struct span got, struct span want)
{
	struct buf g = BUF_INIT(1 << 20), w = BUF_INIT(1 << 20);

	if (span_equal(got, want))
		return;
	buf_escaped(&g, got, 4096);
	buf_escaped(&w, want, 4096);
	fail_msg("%s: want \"%.*s\", got \"%.*s\"", label, SPAN_FMT(buf_span(&w)),
		SPAN_FMT(buf_span(&g)));
}
static inline void check_text(const char *label, struct span got, const char *want)
{
	check_octets(label, got, span_str(want));
}
static inline void check_number(const char *label, const char *what, long long got, long long want)
{
	if (got != want)
		fail_msg("%s: %s: want %lld, got %lld", label, what, want, got);
}
