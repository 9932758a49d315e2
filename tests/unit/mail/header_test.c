/* src/mail/header.c: RFC 5322 2.2 by tables; the cursor and the scanner must agree. */
#include "mail/header.h"
#include "check.h"

static void header_next__table(void **state)
{
	static const struct {
		const char *in;
		size_t fields;
		const char *last_name, *last_body, *rest;
	} table[] = {
		{"", 0, "", "", ""},
		{"\r\nbody", 0, "", "", "\r\nbody"},
		{"A: b\r\n\r\nbody", 1, "A", " b\r\n", "\r\nbody"},
		{"A: b\n\nbody", 1, "A", " b\n", "\nbody"},
		{"A: b\r\nC:d\r\n", 2, "C", "d\r\n", ""},
		{"A: b\r\n\tc\r\n  d\r\nE:\r\n", 2, "E", "\r\n", ""},
		{"A: b\r\n\tc\r\n  d\r\n\r\n", 1, "A", " b\r\n\tc\r\n  d\r\n", "\r\n"},
		{"A: b\r\n \r\nC: d\r\n", 2, "C", " d\r\n", ""},
		{"A : b\r\n", 1, "A", " b\r\n", ""},
		{"A: trunc", 1, "A", " trunc", ""},
		{"A:", 1, "A", "", ""},
		{"A", 0, "", "", "A"},
		{"A: b\r\nno field\r\nC: d\r\n", 1, "A", " b\r\n", "no field\r\nC: d\r\n"},
		{" A: b\r\n", 0, "", "", " A: b\r\n"},
		{": b\r\n", 0, "", "", ": b\r\n"},
		{"From a@b Thu\r\nA: b\r\n", 0, "", "", "From a@b Thu\r\nA: b\r\n"},
		{"A: b\rC: d\r\n", 1, "A", " b\rC: d\r\n", ""},
		{"\xC3\xA4: b\r\n", 0, "", "", "\xC3\xA4: b\r\n"},
		{"A:b:c\r\n", 1, "A", "b:c\r\n", ""},
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct header_cursor c = header_cursor(span_str(table[i].in));
		struct header_field f = {0};
		size_t fields = 0;
		while (header_next(&c, &f))
			fields++;
		check_number(table[i].in, "fields", (long long)fields, (long long)table[i].fields);
		check_text(table[i].in, c.rest, table[i].rest);
		if (fields > 0) {
			check_text(table[i].in, f.name, table[i].last_name);
			check_text(table[i].in, f.body, table[i].last_body);
		}
	}
}

static void header_find__table(void **state)
{
	static const struct {
		const char *in, *name, *want;
	} table[] = {
		{"Subject: x\r\n", "subject", "x"},
		{"Subject:  a\r\n\tb  c\r\n d \r\nX: y\r\n", "Subject", "a\tb  c d"},
		{"Subject: a\n b\n\n", "Subject", "a b"},
		{"Subject:\r\n a\r\n", "Subject", "a"},
		{"Subject:\r\n", "Subject", ""},
		{"A: 1\r\nA: 2\r\n", "a", "1"},
		{"A: 1\r\n\r\nB: 2\r\n", "B", NULL},
		{"AB: 1\r\n", "A", NULL},
		{"", "A", NULL},
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct buf out = BUF_INIT(256);
		bool found = header_find(span_str(table[i].in), span_str(table[i].name), &out);
		check_number(table[i].in, "found", found, table[i].want != NULL);
		if (found)
			check_text(table[i].in, buf_span(&out), table[i].want);
		buf_done(&out);
	}
}

static void header_scan__agrees_with_count(void **state)
{
	static const struct {
		const char *in;
		unsigned received, delivered_to, octets;
	} table[] = {
		{"", 0, 0, 0},
		{"Received: a\r\nReceived: b\r\n\tc\r\nreceived:d\r\n\r\nReceived: x\r\n", 3, 0,
			44},
		{"Delivered-To: a\r\nDELIVERED-TO : b\r\nReceived : c\r\n\r\n", 1, 2, 51},
		{"Receivedx: a\r\nReceive: b\r\nX-Received: c\r\nDelivered: x\r\n\r\n", 0, 0, 57},
		{"Delivered-to", 0, 0, 12},
		{"Received", 0, 0, 8},
		{"Received:", 1, 0, 9},
		{"Received: a\n\nReceived: b\n", 1, 0, 13},
		{"A: b\r\n Received: c\r\n\r\n", 0, 0, 22},
		{"Rece ived: c\r\nReceived: d\r\n", 0, 0, 6},
		{" Received: c\r\nReceived: d\r\n", 0, 0, 1},
		{"\r\nReceived: c\r\n", 0, 0, 2},
		{"no field\r\nReceived: c\r\n", 0, 0, 4},
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct span in = span_str(table[i].in);
		check_number(table[i].in, "count", header_count(in, SPAN_LIT("Received")),
			table[i].received);
		check_number(table[i].in, "count", header_count(in, SPAN_LIT("Delivered-To")),
			table[i].delivered_to);
		for (size_t step = 1; step < 40; step++) {
			struct header_scanner s = {0};
			for (size_t at = 0; at < in.len; at += step)
				header_scan(&s, span_head(span_from(in, at), step));
			check_number(table[i].in, "received", s.received, table[i].received);
			check_number(
				table[i].in, "delivered-to", s.delivered_to, table[i].delivered_to);
			check_number(table[i].in, "octets", s.octets, table[i].octets);
		}
	}
}

static void header_scan__tls_required(void **state)
{
	static const struct {
		const char *in;
		bool optional;
	} rows[] = {
		{"TLS-Required: No\r\n\r\n", true},
		{"A: b\r\ntls-required:no\r\nC: d\r\n\r\n", true},
		{"TLS-Required:\r\n No \r\n\r\n", true},
		{"TLS-Required: No", true},
		{"TLS-Required : NO\r\n", true},
		{"TLS-Required: Yes\r\n\r\n", false},
		{"TLS-Required: N o\r\n\r\n", false},
		{"TLS-Required: N\r\n o\r\n\r\n", false},
		{"TLS-Required: No way\r\n\r\n", false},
		{"TLS-Required: No\r\n way\r\n\r\n", false},
		{"TLS-Required: Nope\r\n\r\n", false},
		{"TLS-Required:\r\n\r\nNo", false},
		{"TLS-Required:\r\nNo: x\r\n\r\n", false},
		{"TLS-Requiredx: No\r\n\r\n", false},
		{"A: b\r\n\r\nTLS-Required: No\r\n", false},
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct span in = span_str(rows[i].in);
		for (size_t step = 1; step <= in.len; step++) {
			struct header_scanner s = {0};
			for (size_t at = 0; at < in.len; at += step)
				header_scan(&s, span_head(span_from(in, at), step));
			check_number(
				rows[i].in, "optional", header_tls_optional(&s), rows[i].optional);
		}
	}
}

static void header_scan__nothing_behind_the_end(void **state)
{
	struct header_scanner s = {0};
	(void)state;
	header_scan(&s, SPAN_LIT("A: b\r\n\r"));
	assert_false(s.ended);
	header_scan(&s, SPAN_LIT("\nReceived: a\r\n"));
	assert_true(s.ended);
	header_scan(&s, SPAN_LIT("Received: a\r\n"));
	assert_int_equal(s.received, 0);
	assert_int_equal(s.octets, 8);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(header_next__table),
		cmocka_unit_test(header_find__table),
		cmocka_unit_test(header_scan__agrees_with_count),
		cmocka_unit_test(header_scan__tls_required),
		cmocka_unit_test(header_scan__nothing_behind_the_end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
