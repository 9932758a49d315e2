/* Domains: what comes out is a domain in ASCII and lower case, and stays what it is. */
#include "fuzz.h"
#include "mail/idna.h"
#include "mail/path.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span in = span_make(data, size);
	struct buf ascii = BUF_INIT(FUZZ_BUF), again = BUF_INIT(FUZZ_BUF);
	enum domain_kind kind;

	if (domain_parse(in, true, &kind) == 0 && kind == DOMAIN_NAME &&
		idna_to_ascii(in, &ascii) == 0) {
		assert(text_is_ascii(buf_span(&ascii)));
		assert(domain_parse(buf_span(&ascii), false, &kind) == 0);
		assert(idna_to_ascii(buf_span(&ascii), &again) == 0);
		assert(span_equal(buf_span(&ascii), buf_span(&again)));
	}
	buf_done(&ascii);
	buf_done(&again);
	return 0;
}
