/* The messages of a SCRAM server, first and final, separated by a NUL. No final that it does not
 * know the password for is taken, and nobody knows it here. */
#include "deliver/scram_client.h"
#include "fuzz.h"

#define ROUNDS_WORTH_IT 100u /* more only cost time */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span in = span_make(data, size);
	unsigned mode = fuzz_mode(&in);
	struct scram_client_ask ask = {
		.sha256 = mode & 1,
		.plus = mode & 2,
		.user = "user",
		.password = "pencil",
		.binding = mode & 6 ? "tls-exporter" : NULL,
		.binding_data = SPAN_LIT("octets"),
		.nonce = SPAN_LIT("abc"),
	};
	struct span first = span_head(in, span_index(in, '\0'));
	struct span final = span_from(in, MIN(first.len + 1, in.len));
	struct buf out = BUF_INIT(FUZZ_BUF);
	struct scram_client *s;
	if (scram_client_rounds(first) > ROUNDS_WORTH_IT || scram_client_new(&ask, &s) < 0)
		return 0;
	int r = scram_client_step(s, SPAN_NULL, &out);
	assert(r == 1);
	buf_reset(&out);
	if (scram_client_step(s, first, &out) == 1) {
		assert(out.len > 0);
		r = scram_client_step(s, final, &out);
		assert(r < 0);
	}
	scram_client_free(s);
	buf_done(&out);
	return 0;
}
