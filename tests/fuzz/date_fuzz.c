/* Dates: what parses is written in a form that parses to the same second. */
#include "fuzz.h"
#include "mail/date.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint64_t usec, again;

	if (size == 0 || date_parse(span_make(data, size), &usec) < 0)
		return 0;
	struct buf out = BUF_INIT(256);
	date_format(usec, &out);
	assert(out.error == 0);
	int r = date_parse(buf_span(&out), &again);
	/* A zone behind the last second of 9999 makes a year of five digits, which RFC 5322 has,
	 * but which is refused as input. */
	assert((r == 0 && again == usec) ||
		out.len > sizeof("Sun, 22 Nov 2026 03:26:43 +0000") - 1);
	buf_done(&out);
	return 0;
}
