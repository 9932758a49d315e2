/* MTA-STS: any TXT record and any policy file is taken whole or refused; what is taken is within
 * its bounds. */
#include "deliver/sts_policy.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span input = span_make(data, size), id;
	struct arena *a = arena_new(1 << 20);
	struct sts_policy p;
	const char *why;

	if (!a)
		return 0;
	if (sts_txt_parse(input, &id) >= 0)
		assert(id.len > 0 && id.len <= STS_ID_MAX);
	if (sts_policy_parse(input, a, &p, &why) >= 0) {
		assert(!why && p.n_mx <= STS_MX_MAX && p.max_age <= STS_MAX_AGE_MAX);
		assert(p.mode == STS_MODE_NONE || p.n_mx > 0);
		for (unsigned i = 0; i < p.n_mx; i++) {
			assert(p.mx[i].len > 0);
			/* A pattern without a wildcard is its own match. */
			assert(p.mx[i].ptr[0] == '*' || sts_policy_matches(&p, p.mx[i]));
		}
		(void)sts_policy_matches(&p, SPAN_LIT("mail.example.com"));
	}
	arena_free(a);
	return 0;
}
