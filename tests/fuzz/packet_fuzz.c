/* DNS answers: any octets are read within bounds; what is called OK has records, and names of MX
 * and CNAME records are whole. The first octet chooses the type. */
#include "fuzz.h"
#include "resolver/packet.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint16_t types[] = {
		RESOLVE_A, RESOLVE_CNAME, RESOLVE_MX, RESOLVE_TXT, RESOLVE_AAAA, RESOLVE_TLSA};
	struct arena *a = arena_new(4u << 20);
	struct resolve_answer answer;

	if (size == 0 || !a) {
		arena_free(a);
		return 0;
	}
	uint16_t type = types[data[0] % ARRAY_LEN(types)];
	int r = packet_read(span_make(data + 1, size - 1), SPAN_LIT("a.x"), type, a, &answer);
	assert(r == 0 || r == -EBADMSG);
	if (r == 0) {
		assert((answer.status == RESOLVE_OK) == (answer.n_rdata > 0));
		assert(answer.n_rdata <= RESOLVE_RECORDS_MAX);
	}
	for (uint32_t i = 0; r == 0 && i < answer.n_rdata; i++) {
		struct resolve_mx mx;
		struct resolve_tlsa tlsa;
		struct span text;
		if (type == RESOLVE_MX)
			(void)!resolve_mx(answer.rdata[i], a, &mx);
		else if (type == RESOLVE_CNAME)
			(void)!resolve_host(answer.rdata[i], a, &text);
		else if (type == RESOLVE_TXT)
			(void)!resolve_txt(answer.rdata[i], a, &text);
		else if (type == RESOLVE_TLSA)
			(void)!resolve_tlsa(answer.rdata[i], &tlsa);
	}
	arena_free(a);
	return 0;
}
