/* Twin of mail/mechanism.c: each name once, found in any case. */
#include "../base/test.h"
#include "mail/mechanism.h"

static void mechanism__names(void **state)
{
	unsigned seen = 0;

	(void)state;
	for (size_t i = 0; i < MECH_COUNT; i++) {
		enum mechanism m;
		const char *name = mechanism_name(mechanisms_preferred[i]);
		want_int(name, 0, mechanism_find(span_str(name), &m));
		want_int(name, (int)mechanisms_preferred[i], (int)m);
		seen |= MECH_BIT(m);
	}
	want_u64("each once", MECH_ALL, seen);
	enum mechanism m;
	want_int("case", 0, mechanism_find(SPAN_LIT("scram-sha-256-plus"), &m));
	want_int("unknown", -ENOENT, mechanism_find(SPAN_LIT("SCRAM-SHA-25"), &m));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mechanism__names),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
