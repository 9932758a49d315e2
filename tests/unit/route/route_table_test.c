/* Route tables: what a line may be, and which one counts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "route/route_table.h"

static const char table[] = "# partners\n"
			    "partner.example\n"
			    "  Big.Example\tsmtp://big.example:2525  \n"
			    ".big.example  smtp://sub.example\n"
			    ".deep.big.example lmtp:unix:/run/x\r\n"
			    "ann@partner.example smtps://ann.example\n"
			    "from:news@example.org smtp://bulk.example\n"
			    "from:example.org smtp://own.example\n"
			    "\n"
			    "* mx\n";

static const struct {
	const char *address, *sender, *want; /* target as written, "-" the block's, "" none */
	bool exact;
} finds[] = {
	{"u@partner.example", "", "-", true},
	{"U@PARTNER.example", "", "-", true},
	{"Ann@partner.example", "", "smtps://ann.example", true},
	{"u@big.example", "", "smtp://big.example:2525", true},
	{"u@a.big.example", "", "smtp://sub.example", false},
	{"u@a.deep.big.example", "", "lmtp:unix:/run/x", false},
	{"u@deep.big.example", "", "smtp://sub.example", false},
	{"u@xbig.example", "", "mx", false},
	{"u@else.example", "News@example.org", "smtp://bulk.example", false},
	{"u@else.example", "x@EXAMPLE.org", "smtp://own.example", false},
	{"u@big.example", "news@example.org", "smtp://big.example:2525", true},
	{"u@else.example", "", "mx", false},
};

static struct route_table *parse(const char *text, bool complete, struct buf *errors)
{
	struct route_table *t = NULL;
	assert_int_equal(route_table_parse(span_str(text), "FILE", &t, errors), 0);
	buf_char(errors, '\0');
	if (route_table_complete(t) != complete)
		fail_msg("%s: complete %d, want %d: %s", text, !complete, complete, errors->ptr);
	return t;
}

static struct span domain_of(const char *address)
{
	return span_str(strchr(address, '@') + 1);
}

static void route_table_find__the_most_telling(void **state)
{
	struct buf errors = BUF_INIT(4096);
	struct route_table *t = parse(table, true, &errors);
	(void)state;
	assert_int_equal(route_table_count(t), 8);
	for (size_t i = 0; i < sizeof(finds) / sizeof(*finds); i++) {
		struct route_found f = route_table_find(t, span_str(finds[i].address),
			domain_of(finds[i].address), span_str(finds[i].sender));
		const char *got = !f.weight ? "" : !f.via ? "-" : f.via->text;
		if (strcmp(got, finds[i].want) != 0 || f.exact != finds[i].exact)
			fail_msg("%s from %s: got '%s' %d, want '%s' %d", finds[i].address,
				finds[i].sender, got, f.exact, finds[i].want, finds[i].exact);
	}
	route_table_free(t);
	buf_done(&errors);
}

static void route_table_find__nothing(void **state)
{
	struct buf errors = BUF_INIT(4096);
	struct route_table *t = parse("# only this\n", true, &errors);
	(void)state;
	assert_int_equal(
		route_table_find(t, SPAN_LIT("a@b"), SPAN_LIT("b"), SPAN_LIT("c@d")).weight, 0);
	route_table_free(t);
	buf_done(&errors);
}

static const struct {
	const char *text, *want; /* begin of what is said */
} slips[] = {
	{"good.example\nbad_domain!\n", "FILE:2: 'bad_domain!' "},
	{"@b.example\n", "FILE:1: '@b.example' has no local part"},
	{"from:\n", "FILE:1: 'from:' "},
	{"a.example smtp:/x\n", "FILE:1: 'smtp:/x' "},
	{"a.example maildir:/var/mail\n", "FILE:1: 'maildir:/var/mail' must stand in the"},
	{"a.example pipe:/bin/x\n", "FILE:1: 'pipe:/bin/x' must stand in the"},
	{"a.example mx\n\nA.example\n", "FILE:3: 'A.example' stands here twice"},
};

static void route_table_parse__slips(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(slips) / sizeof(*slips); i++) {
		struct buf errors = BUF_INIT(4096);
		struct route_table *t = parse(slips[i].text, false, &errors);
		if (strncmp(errors.ptr, slips[i].want, strlen(slips[i].want)) != 0)
			fail_msg("%s: got '%s', want '%s'", slips[i].text, errors.ptr,
				slips[i].want);
		route_table_free(t);
		buf_done(&errors);
	}
}

static void route_weight__order(void **state)
{
	(void)state;
	for (enum route_name kind = ROUTE_ANY; kind < ROUTE_ADDRESS; kind++)
		assert_true(route_weight(kind, 260) < route_weight(kind + 1, 1));
	assert_true(route_weight(ROUTE_PARENT, 9) > route_weight(ROUTE_PARENT, 8));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(route_table_find__the_most_telling),
		cmocka_unit_test(route_table_find__nothing),
		cmocka_unit_test(route_table_parse__slips),
		cmocka_unit_test(route_weight__order),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
