/* RFC 4616 2 and 4. */
#include "../base/test.h"
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plain_parse__messages),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
