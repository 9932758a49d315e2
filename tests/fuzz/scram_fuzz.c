/* What SASL clients send. Of SCRAM: octets 0 and 1 choose hash and bindings, a NUL separates first
 * and final. Nothing but the right proof is accepted, and nobody knows the password here. */
#include "fuzz.h"
#include "sasl/cram_md5.h"
#include "sasl/plain.h"
#include "sasl/scram.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct scram_binding binding = {{"exporter", 8}, {"end-point", 9}};
	static const struct scram_keys keys = {.iterations = 4096, .salt_len = 16};
	struct span in = span_make(data, size);
	unsigned mode = fuzz_mode(&in);
	struct plain plain;
	struct cram_response cram;
	struct scram s;

	if (plain_parse(in, &plain) == 0)
		assert(fuzz_within(plain.authcid, in) && fuzz_within(plain.password, in));
	if (cram_parse(in, &cram) == 0) {
		assert(cram.name.len > 0 && fuzz_within(cram.name, in));
		assert(!cram_matches(SPAN_LIT("nobody's"), SPAN_LIT("<1@x>"), cram.digest));
	}
	struct span first = span_head(in, span_index(in, '\0'));
	struct span final = span_from(in, first.len + 1);
	struct buf out = BUF_INIT(FUZZ_BUF);
	scram_init(&s, mode & 1 ? SCRAM_SHA_256 : SCRAM_SHA_1, mode & 2, mode & 4);
	if (scram_first(&s, first, &binding) == 0) {
		assert(s.name.len > 0 && s.name.len <= SASL_NAME_MAX);
		if (scram_challenge(&s, mode & 8 ? &keys : NULL, SPAN_LIT("0123456789abcdef"),
			    SPAN_LIT("nonce"), &out) == 0) {
			buf_reset(&out);
			assert(scram_final(&s, final, &out) < 0 && out.len == 0);
		}
	}
	scram_done(&s);
	buf_done(&out);
	return 0;
}
