/* The end of data: decoder and encoder against the slow reference, in slices of any size; what was
 * decoded encodes to something that ends exactly at its own end. */
#include "fuzz.h"
#include "mail/dot.h"
#include "../unit/mail/dot_reference.h"

static void check_encode(struct span in, size_t step)
{
	struct buf proper = BUF_INIT(FUZZ_BUF), want = BUF_INIT(FUZZ_BUF), got = BUF_INIT(FUZZ_BUF);
	struct buf back = BUF_INIT(FUZZ_BUF);
	struct dot_encoder e;
	struct dot_decoder d;
	bool end;

	reference_proper(in, &proper);
	reference_encode(buf_span(&proper), &want);
	dot_encoder_init(&e);
	for (size_t at = 0; at < in.len; at += step) {
		struct span slice = span_head(span_from(in, at), step);
		size_t before = got.len;
		struct dot_encoder passed = e;
		bool as_is = dot_encode_as_is(&passed, slice);
		dot_encode(&e, slice, &got);
		assert(!as_is || span_equal(span_from(buf_span(&got), before), slice));
		assert(!as_is || passed.state == e.state);
	}
	dot_encode_end(&e, &got);
	assert(got.error == 0 && span_equal(buf_span(&got), buf_span(&want)));
	dot_decoder_init(&d, false);
	size_t used = dot_decode(&d, buf_span(&got), &back, &end);
	assert(end && used == got.len && !d.bare_newline);
	assert(span_equal(buf_span(&back), buf_span(&proper)));
	buf_done(&proper);
	buf_done(&want);
	buf_done(&got);
	buf_done(&back);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span in = span_make(data, size);
	uint8_t mode = fuzz_mode(&in);
	bool lenient = mode & 1, end = false;
	size_t step = 1 + (mode >> 1), used = 0;
	struct buf got = BUF_INIT(FUZZ_BUF), want = BUF_INIT(FUZZ_BUF);
	struct dot_decoder d;

	if (in.len == 0)
		return 0;
	dot_decoder_init(&d, lenient);
	while (used < in.len && !end)
		used += dot_decode(&d, span_head(span_from(in, used), step), &got, &end);
	size_t want_used = reference_end(in);
	assert(end == (want_used <= in.len) && used == MIN(want_used, in.len));
	reference_decode(in, lenient, &want);
	assert(got.error == 0 && span_equal(buf_span(&got), buf_span(&want)));
	assert(!end || d.bare_newline == !reference_is_proper(span_head(in, used)));
	check_encode(buf_span(&got), step);
	check_encode(in, step);
	buf_done(&got);
	buf_done(&want);
	return 0;
}
