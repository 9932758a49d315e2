/* TLSRPT records (RFC 8460 3): any TXT record is taken whole or refused; each URI that is taken is
 * taken again alone, and holds nothing that could leave its line or its host. */
#include "fuzz.h"
#include "tlsrpt/record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span input = span_make(data, size);
	struct tlsrpt_record r;

	if (tlsrpt_record_choose(&input, 1, &r) < 0)
		return 0;
	assert(r.n <= TLSRPT_URIS_MAX);
	for (unsigned i = 0; i < r.n; i++) {
		struct tlsrpt_uri again;
		struct span s = r.uris[i].text;
		assert(s.len > 0 && s.len <= TLSRPT_URI_MAX && s.ptr >= input.ptr &&
			s.ptr + s.len <= input.ptr + input.len);
		assert(tlsrpt_uri_parse(s, &again) == 0 && again.mail == r.uris[i].mail);
		for (size_t j = 0; j < s.len; j++)
			assert(s.ptr[j] > ' ' && s.ptr[j] <= '~' && s.ptr[j] != ',' &&
				s.ptr[j] != ';');
		assert(again.mail || (again.port > 0 && again.host.len > 0));
	}
	return 0;
}
