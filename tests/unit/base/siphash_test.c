/* The reference vectors of SipHash-2-4: key 00..0f, input 00, 00 01, ... (the paper's appendix A
 * is the row of 15 octets). */
#include "test.h"
#include "base/siphash.h"

static void siphash__reference_vectors(void **state)
{
	static const struct {
		const char *row;
		size_t len;
		uint64_t want;
	} rows[] = {
		{"empty", 0, UINT64_C(0x726fdb47dd0e0e31)},
		{"1 octet", 1, UINT64_C(0x74f839c593dc67fd)},
		{"2 octets", 2, UINT64_C(0x0d6c8009d9a94f5a)},
		{"8 octets", 8, UINT64_C(0x93f5f5799a932462)},
		{"15 octets, the paper's", 15, UINT64_C(0xa129ca6149be45e5)},
	};
	const struct siphash_key key = {UINT64_C(0x0706050403020100), UINT64_C(0x0f0e0d0c0b0a0908)};
	char input[16];
	(void)state;
	for (size_t i = 0; i < sizeof(input); i++)
		input[i] = (char)i;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		want_u64(rows[i].row, rows[i].want, siphash(key, span_make(input, rows[i].len)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(siphash__reference_vectors),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
