/* RFC 4616 2 and 4, and the mechanisms' names. */
#include "../base/test.h"
#include "sasl/mechanism.h"
#include "sasl/plain.h"

#include <stdio.h>

static void plain_parse__messages(void **state)
{
	static const struct {
		struct span message;
		int want;
		struct span authzid, authcid, password;
	} rows[] = {
		{SPAN_LIT("\0tim\0tanstaaftanstaaf"), 0, {"", 0}, {"tim", 3},
			{"tanstaaftanstaaf", 16}},
		{SPAN_LIT("Ursel\0Kurt\0xipj3plmq"), 0, {"Ursel", 5}, {"Kurt", 4},
			{"xipj3plmq", 9}},
		{SPAN_LIT("\0tim\0"), -EBADMSG, {0}, {0}, {0}},
		{SPAN_LIT("\0\0secret"), -EBADMSG, {0}, {0}, {0}},
		{SPAN_LIT("\0tim"), -EBADMSG, {0}, {0}, {0}},
		{SPAN_LIT("tim"), -EBADMSG, {0}, {0}, {0}},
		{SPAN_LIT(""), -EBADMSG, {0}, {0}, {0}},
		{SPAN_LIT("\0tim\0sec\0ret"), -EBADMSG, {0}, {0}, {0}},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct plain p;
		char row[32];
		(void)snprintf(row, sizeof(row), "row %zu", i);
		want_int(row, rows[i].want, plain_parse(rows[i].message, &p));
		if (rows[i].want < 0)
			continue;
		want_span(row, rows[i].authzid, p.authzid);
		want_span(row, rows[i].authcid, p.authcid);
		want_span(row, rows[i].password, p.password);
	}
}

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
		cmocka_unit_test(plain_parse__messages),
		cmocka_unit_test(mechanism__names),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
