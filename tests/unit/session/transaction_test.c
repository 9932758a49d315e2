/* What MAIL and RCPT gather. */
#include "session/transaction.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

static struct path forward(const char *text)
{
	struct path p;
	struct span rest;

	assert_int_equal(path_parse(span_str(text), PATH_FORWARD, false, &p, &rest), 0);
	return p;
}

static void begin(struct transaction *t)
{
	struct path p;
	struct span rest;

	assert_int_equal(path_parse(SPAN_LIT("<>"), PATH_REVERSE, false, &p, &rest), 0);
	assert_int_equal(transaction_begin(t, &p, 7), 0);
}

static void transaction_add__many(void **state)
{
	struct transaction t = {0};
	char text[64];
	(void)state;

	transaction_init(&t, 1000);
	begin(&t);
	for (unsigned i = 0; i < 1000; i++) {
		(void)snprintf(text, sizeof(text), "<User%u@Example.ORG>", i);
		struct path p = forward(text);
		struct span canonical;
		assert_int_equal(transaction_canonical(&t, &p, SPAN_NULL, &canonical), 0);
		assert_non_null(canonical.ptr);
		assert_false(transaction_has(&t, canonical));
		assert_int_equal(transaction_add(&t, canonical, p.text), 0);
		assert_true(transaction_has(&t, canonical));
	}
	assert_int_equal(t.n_rcpts, 1000);
	assert_true(span_equal(t.rcpts[999].address, SPAN_LIT("User999@example.org")));
	assert_true(span_equal(t.rcpts[999].original, SPAN_LIT("User999@Example.ORG")));
	transaction_done(&t);
}

static void transaction_add__original_only_when_it_differs(void **state)
{
	struct transaction t = {0};
	(void)state;

	transaction_init(&t, 10);
	begin(&t);
	struct path p = forward("<a@b.example>");
	struct span c;
	assert_int_equal(transaction_canonical(&t, &p, SPAN_NULL, &c), 0);
	assert_int_equal(transaction_add(&t, c, p.text), 0);
	assert_null(t.rcpts[0].original.ptr);
	transaction_done(&t);
}

static void transaction_canonical__substitute_domain(void **state)
{
	struct transaction t = {0};
	const struct {
		const char *in, *want;
	} rows[] = {
		{"<postmaster>", "postmaster@home.example"},
		{"<Postmaster>", "Postmaster@home.example"},
		{"<joe@[127.0.0.1]>", "joe@home.example"},
	};
	(void)state;

	transaction_init(&t, 10);
	begin(&t);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct path p = forward(rows[i].in);
		struct span c;
		assert_int_equal(transaction_canonical(&t, &p, SPAN_LIT("home.example"), &c), 0);
		if (!span_equal(c, span_str(rows[i].want)))
			fail_msg("%s: want %s, got %.*s", rows[i].in, rows[i].want, SPAN_FMT(c));
	}
	transaction_done(&t);
}

static void transaction_reset__forgets(void **state)
{
	struct transaction t = {0};
	(void)state;

	transaction_init(&t, 10);
	transaction_reset(&t); /* before any MAIL */
	begin(&t);
	struct path p = forward("<a@b.example>");
	struct span c;
	assert_int_equal(transaction_canonical(&t, &p, SPAN_NULL, &c), 0);
	assert_int_equal(transaction_add(&t, c, p.text), 0);
	t.relayed = true;
	t.declared_size = 5;
	transaction_reset(&t);
	assert_false(t.open);
	assert_false(t.relayed);
	assert_int_equal(t.n_rcpts, 0);
	assert_int_equal(t.declared_size, 0);
	assert_int_equal(t.max_rcpts, 10);
	transaction_done(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(transaction_add__many),
		cmocka_unit_test(transaction_add__original_only_when_it_differs),
		cmocka_unit_test(transaction_canonical__substitute_domain),
		cmocka_unit_test(transaction_reset__forgets),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
