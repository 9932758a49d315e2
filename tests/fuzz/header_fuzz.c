/* Headers: fields tile the header, and the scanner that sees slices counts as the cursor does. */
#include "fuzz.h"
#include "mail/header.h"

static bool is_ours(struct span name)
{
	return span_equal_nocase(name, SPAN_LIT("Received"));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span in = span_make(data, size);
	size_t step = 1u + fuzz_mode(&in), at = 0;
	struct header_cursor c = header_cursor(in);
	struct header_scanner s = {0};
	struct header_field f;
	unsigned received = 0;

	if (in.len == 0)
		return 0;
	while (header_next(&c, &f)) {
		assert(f.whole.ptr == in.ptr + at && f.whole.len > 0);
		assert(f.name.ptr == f.whole.ptr && fuzz_within(f.body, f.whole));
		assert(f.body.ptr + f.body.len == f.whole.ptr + f.whole.len);
		at += f.whole.len;
		received += is_ours(f.name);
		struct buf out = BUF_INIT(FUZZ_BUF);
		bool found = header_find(f.whole, f.name, &out);
		assert(found && out.error == 0 && out.len <= f.body.len);
		assert(span_index(buf_span(&out), '\n') == out.len);
		buf_done(&out);
	}
	assert(c.rest.ptr == in.ptr + at && c.rest.len == in.len - at);
	for (size_t k = 0; k < in.len; k += step)
		header_scan(&s, span_head(span_from(in, k), step));
	assert(s.received == received && received == header_count(in, SPAN_LIT("received")));
	assert(s.delivered_to == header_count(in, SPAN_LIT("Delivered-To")));
	assert(s.octets >= at && s.octets <= in.len && (!s.ended || at < in.len));
	return 0;
}
