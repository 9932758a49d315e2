/* The trace field, RFC 5321 4.4. */
#include "session/received.h"
#include "base/ident.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define WHEN UINT64_C(1795317603000000) /* Sun, 22 Nov 2026 03:20:03 +0000 */

static void received_format__forms(void **state)
{
	const struct {
		const char *name, *helo, *client, *protocol, *recipient, *client_name, *want;
	} rows[] = {
		{"ESMTP, one recipient", "client.example", "192.0.2.7", "ESMTP", "a@b.example",
			NULL,
			"Received: from client.example ([192.0.2.7])\r\n"
			"\tby mx.example.org with ESMTP id 10\r\n"
			"\tfor <a@b.example>;\r\n"
			"\tSun, 22 Nov 2026 03:20:03 +0000\r\n"},
		{"SMTP, several recipients", "client.example", "192.0.2.7", "SMTP", NULL, NULL,
			"Received: from client.example ([192.0.2.7])\r\n"
			"\tby mx.example.org with SMTP id 10;\r\n"
			"\tSun, 22 Nov 2026 03:20:03 +0000\r\n"},
		{"IPv6", "[IPv6:2001:db8::1]", "2001:db8::1", "ESMTP", NULL, NULL,
			"Received: from [IPv6:2001:db8::1] ([IPv6:2001:db8::1])\r\n"
			"\tby mx.example.org with ESMTP id 10;\r\n"
			"\tSun, 22 Nov 2026 03:20:03 +0000\r\n"},
		{.name = "a proxy knows the name",
			.helo = "client.example",
			.client = "192.0.2.7",
			.client_name = "mail.client.example",
			.protocol = "ESMTP",
			.want = "Received: from client.example (mail.client.example "
				"[192.0.2.7])\r\n"
				"\tby mx.example.org with ESMTP id 10;\r\n"
				"\tSun, 22 Nov 2026 03:20:03 +0000\r\n"},
		{"local", "localhost", "", "ESMTP", NULL, NULL,
			"Received: by mx.example.org (Postrider, from uid 1000) with ESMTP id "
			"10;\r\n"
			"\tSun, 22 Nov 2026 03:20:03 +0000\r\n"},
	};
	(void)state;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct buf out = BUF_INIT(4096);
		received_format(
			&(struct received){
				.helo = span_str(rows[i].helo),
				.client = span_str(rows[i].client),
				.name = span_str(rows[i].client_name),
				.uid = 1000,
				.hostname = SPAN_LIT("mx.example.org"),
				.protocol = span_str(rows[i].protocol),
				.id = 32,
				.only_recipient = span_str(rows[i].recipient),
				.wall_usec = WHEN,
			},
			&out);
		assert_int_equal(out.error, 0);
		if (!span_equal(buf_span(&out), span_str(rows[i].want)))
			fail_msg("%s: want\n%s\ngot\n%.*s", rows[i].name, rows[i].want,
				SPAN_FMT(buf_span(&out)));
		buf_done(&out);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(received_format__forms)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
