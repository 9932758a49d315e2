/* Parameter values: what is decoded can be encoded and read again as the same; an ORCPT never holds
 * a control octet. */
#include "fuzz.h"
#include "mail/xtext.h"

static void check_xtext(struct span in)
{
	struct buf text = BUF_INIT(FUZZ_BUF), wire = BUF_INIT(FUZZ_BUF), again = BUF_INIT(FUZZ_BUF);

	if (xtext_decode(in, &text) == 0) {
		xtext_encode(buf_span(&text), &wire);
		assert(text_is_printable(buf_span(&wire)));
		assert(xtext_decode(buf_span(&wire), &again) == 0);
		assert(span_equal(buf_span(&text), buf_span(&again)));
	}
	buf_done(&text);
	buf_done(&wire);
	buf_done(&again);
}

static void check_utf8(struct span in, bool utf8)
{
	struct buf text = BUF_INIT(FUZZ_BUF), wire = BUF_INIT(FUZZ_BUF), again = BUF_INIT(FUZZ_BUF);

	if (utf8_address_decode(in, utf8, &text) == 0) {
		utf8_address_encode(buf_span(&text), &wire);
		assert(text_is_printable(buf_span(&wire)));
		assert(utf8_address_decode(buf_span(&wire), false, &again) == 0);
		assert(span_equal(buf_span(&text), buf_span(&again)));
	}
	buf_done(&text);
	buf_done(&wire);
	buf_done(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span in = span_make(data, size);
	uint8_t mode = fuzz_mode(&in);
	struct buf text = BUF_INIT(FUZZ_BUF);

	check_xtext(in);
	check_utf8(in, mode & 1);
	if (orcpt_decode(in, mode & 1, &text) == 0)
		for (size_t i = 0; i < text.len; i++)
			assert((uint8_t)text.ptr[i] >= 32 && text.ptr[i] != 127);
	buf_done(&text);
	return 0;
}
