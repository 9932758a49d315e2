/* Twin of src/cli/compose.c. */
#include "cli/compose.h"
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static void address_list__takes_mailboxes_apart(void **state)
{
	(void)state;
	static const struct {
		const char *in, *want; /* want: joined by "|" */
	} rows[] = {
		{"a@b", "a@b"},
		{" a@b , c@d\r\n ,e@f", "a@b|c@d|e@f"},
		{"Ada Lovelace <ada@x.example>", "ada@x.example"},
		{"\"Lovelace, Ada\" <ada@x.example>, bob", "ada@x.example|bob"},
		{"(a comment (nested), with a comma) c@d", "c@d"},
		{"group: a@b, C <c@d>;", "a@b|c@d"},
		{"empty group:;", ""},
		{"<@relay:u@d>", "u@d"},
		{"\"quoted local\"@x.example", "\"quoted local\"@x.example"},
		{"", ""},
		{",,a@b,,", "a@b"},
		{"\"unterminated <x@y>", "\"unterminated <x@y>"},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct buf b = BUF_INIT(4096), got = BUF_INIT(4096);
		address_list(span_str(rows[i].in), &b);
		for (size_t at = 0; at < b.len; at += strlen(b.ptr + at) + 1)
			buf_printf(&got, "%s%s", at ? "|" : "", b.ptr + at);
		if (!span_equal(buf_span(&got), span_str(rows[i].want)))
			fail_msg("%s: want %s, got %.*s", rows[i].in, rows[i].want, (int)got.len,
				got.ptr);
		buf_done(&b);
		buf_done(&got);
	}
}

static void compose__completes_and_keeps(void **state)
{
	(void)state;
	const struct compose_options plain = {.sender = SPAN_LIT("me@h"),
		.hostname = SPAN_LIT("h"),
		.wall_usec = UINT64_C(1700000000000000),
		.unique = 7};
	struct compose_options t = plain;
	t.from_header = true;
	static const struct {
		const char *in;
		bool t;
		const char *has[4], *lacks;
	} rows[] = {
		{"Subject: x\n\nhello\n", false,
			{"Subject: x\r\n", "From: <me@h>\r\n", "\r\n\r\nhello\r\n",
				"Message-ID: <"},
			"\n\n"},
		{"From me@h Thu Jan  1\nSubject: x\n\ny", false,
			{"Subject: x\r\n", "\r\n\r\ny\r\n"}, "From me@h"},
		{"From: a@b\nDate: d\nMessage-ID: m\n\n", false, {"From: a@b\r\n"}, "me@h"},
		{"just text\nmore\n", false, {"\r\n\r\njust text\r\nmore\r\n"}, "Subject"},
		{"To: a@b\nBcc: secret@c\nSubject: s\n\nx", true, {"To: a@b\r\n", "Subject: s\r\n"},
			"secret"},
		{"A: 1\r\n\r\n.\r\nbare\rcr\n", false, {"\r\n\r\n.\r\nbare\r\ncr\r\n"}, "bare\rcr"},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct compose c;
		assert_int_equal(compose(span_str(rows[i].in), rows[i].t ? &t : &plain, &c), 0);
		for (size_t j = 0; j < ARRAY_LEN(rows[i].has) && rows[i].has[j]; j++)
			if (!memmem(c.message.ptr, c.message.len, rows[i].has[j],
				    strlen(rows[i].has[j])))
				fail_msg("row %zu: want %s in %.*s", i, rows[i].has[j],
					(int)c.message.len, c.message.ptr);
		if (memmem(c.message.ptr, c.message.len, rows[i].lacks, strlen(rows[i].lacks)))
			fail_msg("row %zu: want no %s in %.*s", i, rows[i].lacks,
				(int)c.message.len, c.message.ptr);
		if (rows[i].t) {
			assert_int_equal(c.recipients.len, sizeof("a@b") + sizeof("secret@c"));
			assert_string_equal(c.recipients.ptr + 4, "secret@c");
		}
		compose_done(&c);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(address_list__takes_mailboxes_apart),
		cmocka_unit_test(compose__completes_and_keeps),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
