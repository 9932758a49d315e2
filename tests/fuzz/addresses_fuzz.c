/* Address fields: each address that is found is one by itself, too. */
#include "fuzz.h"
#include "mail/addresses.h"
#include "mail/path.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct addresses a;
	struct path p;

	addresses_init(&a);
	int r = addresses_parse(&a, span_make(data, size));
	assert(r <= 0 && a.n <= ADDRESSES_MAX);
	for (size_t i = 0; i < a.n; i++) {
		struct span one = addresses_get(&a, i);
		assert(fuzz_within(one, buf_span(&a.text)));
		assert(mailbox_parse(one, true, false, &p) == 0);
	}
	addresses_done(&a);
	return 0;
}
