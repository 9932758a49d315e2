/* Chunks: the same octets give the same result wherever they are cut; a text message without bare
 * line ends passes unchanged, a binary one always; a lenient one leaves with CRLF only. */
#include "fuzz.h"
#include "mail/chunk.h"

static struct chunk_decoder decode(struct span in, uint8_t mode, size_t step, struct buf *out)
{
	struct chunk_decoder d;

	chunk_decoder_init(&d, mode & 1, mode & 2);
	while (in.len > 0) {
		chunk_decode(&d, span_head(in, step), out);
		in = span_from(in, step);
	}
	chunk_decode_end(&d);
	return d;
}

/* As RFC 5321 2.3.8 says it, octet by octet. */
static bool is_bare(struct span in)
{
	for (size_t i = 0; i < in.len; i++) {
		if (in.ptr[i] == '\r' && (i + 1 == in.len || in.ptr[i + 1] != '\n'))
			return true;
		if (in.ptr[i] == '\n' && (i == 0 || in.ptr[i - 1] != '\r'))
			return true;
	}
	return false;
}

static bool has_bare_lf(struct span in)
{
	for (size_t i = 0; i < in.len; i++)
		if (in.ptr[i] == '\n' && (i == 0 || in.ptr[i - 1] != '\r'))
			return true;
	return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span in = span_make(data, size);
	uint8_t mode = fuzz_mode(&in);
	struct buf whole = BUF_INIT(FUZZ_BUF), parts = BUF_INIT(FUZZ_BUF);

	struct chunk_decoder a = decode(in, mode, in.len ? in.len : 1, &whole);
	struct chunk_decoder b = decode(in, mode, 1 + (mode >> 4), &parts);
	assert(whole.error == 0 && parts.error == 0);
	assert(span_equal(buf_span(&whole), buf_span(&parts)));
	assert(a.bare_newline == b.bare_newline && a.longest_line == b.longest_line);
	assert(a.has_8bit == b.has_8bit);
	assert(a.bare_newline == (!(mode & 2) && is_bare(in)));
	if ((mode & 2) || !(mode & 1) || !a.bare_newline)
		assert(span_equal(buf_span(&whole), in));
	else
		assert(!has_bare_lf(buf_span(&whole)));
	buf_done(&whole);
	buf_done(&parts);
	return 0;
}
