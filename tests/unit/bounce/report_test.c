/* Reports: structure, and what others' octets must not be able to do to it. */
#include "bounce/report.h"
#include "bounce/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define WALL (UINT64_C(1795317403) * 1000000)

static const struct report_rcpt bob = {
	.address = {"bob@example.net", 15},
	.code = 550,
	.enhanced = {"5.1.1", 5},
	.text = {"5.1.1 No such user here", 23},
	.remote = {"192.0.2.1:25 mx.example.net", 27},
	.remote_said = true,
};
static const char original[] = "From: alice@example.org\r\nSubject: hi\r\n"
			       "Message-ID: <1@example.org>\r\n\r\nbody\r\n";

static struct report report_of(const struct report_rcpt *p, uint32_t n, struct span about)
{
	return (struct report){
		.message = 12345,
		.event = 2,
		.hostname = SPAN_LIT("mx.example.org"),
		.to = SPAN_LIT("alice@example.org"),
		.now_wall_usec = WALL + 60 * USEC_PER_SEC,
		.arrival_wall_usec = WALL,
		.expires_wall_usec = WALL + 86400 * USEC_PER_SEC,
		.original = about,
		.rcpts = p,
		.n_rcpts = n,
	};
}

static struct span write_report(const struct report *r, struct buf *b)
{
	*b = BUF_INIT(REPORT_OCTETS_MAX);
	report_write(r, b);
	assert_int_equal(b->error, 0);
	return buf_span(b);
}

static size_t count(struct span in, const char *needle)
{
	size_t n = 0, len = strlen(needle);

	for (const char *p = in.ptr; (p = memmem(p, in.len - (size_t)(p - in.ptr), needle, len));
		p += len)
		n++;
	return n;
}

static void check_has(struct span in, const char *want)
{
	if (count(in, want) == 0)
		fail_msg("want \"%s\" in:\n%.*s", want, SPAN_FMT(in));
}

static void check_lines(struct span in)
{
	size_t column = 0;

	for (size_t i = 0; i < in.len; i++) {
		unsigned char c = (unsigned char)in.ptr[i];
		if (c == '\n') {
			assert_true(i > 0 && in.ptr[i - 1] == '\r');
			column = 0;
			continue;
		}
		assert_true(c < 0x80 && c != 0);
		if (c == '\r')
			assert_true(i + 1 < in.len && in.ptr[i + 1] == '\n');
		assert_true(++column <= 999);
	}
	assert_int_equal(column, 0);
}

static void report_write__failure(void **state)
{
	(void)state;
	static const char *const wants[] = {
		"From: Mail Delivery System <MAILER-DAEMON@mx.example.org>\r\n",
		"\r\nTo: <alice@example.org>\r\n",
		"\r\nAuto-Submitted: auto-replied\r\n",
		"\r\nMIME-Version: 1.0\r\n",
		"\r\nMessage-ID: <C1S.2.report@mx.example.org>\r\n",
		"\r\nIn-Reply-To: <1@example.org>\r\n",
		"Content-Type: multipart/report; report-type=delivery-status;\r\n",
		"\r\nContent-Type: message/delivery-status\r\n",
		"\r\nReporting-MTA: dns; mx.example.org\r\nArrival-Date: ",
		"\r\n\r\nFinal-Recipient: rfc822; bob@example.net\r\nAction: failed\r\nStatus: "
		"5.1.1\r\nRemote-MTA: dns; mx.example.net\r\nDiagnostic-Code: smtp; 550 5.1.1 No "
		"such user here\r\n",
		"\r\nContent-Type: text/rfc822-headers\r\n\r\nFrom: alice@example.org\r\n",
	};
	struct report r = report_of(&bob, 1, SPAN_LIT(original));
	struct buf b;
	struct span s = write_report(&r, &b);

	for (size_t i = 0; i < ARRAY_LEN(wants); i++)
		check_has(s, wants[i]);
	assert_int_equal(count(s, "Original-Recipient"), 0);
	assert_int_equal(count(s, "body\r\n"), 0);
	assert_int_equal(count(s, "--=_report-"), 4);
	check_lines(s);
	buf_done(&b);
}

static void report_write__delay_and_own_finding(void **state)
{
	(void)state;
	struct report_rcpt p = {
		.action = REPORT_DELAYED,
		.address = SPAN_LIT("list@example.net"),
		.original = SPAN_LIT("alias@example.org"),
		.enhanced = SPAN_LIT("not one"),
		.text = SPAN_LIT("no answer"),
		.remote = SPAN_LIT("192.0.2.1:25"),
	};
	struct report r = report_of(&p, 1, SPAN_LIT(original));
	struct buf b;

	r.delay = true;
	struct span s = write_report(&r, &b);
	check_has(s, "\r\nAction: delayed\r\nStatus: 4.0.0\r\nWill-Retry-Until: ");
	check_has(s, "\r\nOriginal-Recipient: rfc822; alias@example.org\r\n");
	check_has(s, "Subject: Delayed mail");
	assert_int_equal(count(s, "Remote-MTA"), 0);
	assert_int_equal(count(s, "Diagnostic-Code"), 0);
	check_lines(s);
	buf_done(&b);
}

/* A reply that tries to write fields, parts and terminal controls of its own. */
/* RFC 3461 6.3, RFC 3464 2.2.1, 2.3.1: what the sender gave comes back. */
static void report_write__success(void **state)
{
	(void)state;
	static const char *const wants[] = {
		"\r\nSubject: Delivery report\r\n",
		"\r\n\r\nOriginal-Envelope-Id: QQ314159\r\nReporting-MTA: dns; mx.example.org\r\n",
		"\r\nOriginal-Recipient: rfc822; Bob+x@example.net\r\nFinal-Recipient: rfc822; "
		"bob@example.net\r\nAction: delivered\r\nStatus: 2.1.5\r\n",
		"\r\nFinal-Recipient: rfc822; carol@example.net\r\nAction: relayed\r\nStatus: "
		"2.0.0\r\n",
		"\r\nFinal-Recipient: rfc822; list@example.net\r\nAction: expanded\r\nStatus: "
		"2.0.0\r\n",
	};
	const struct report_rcpt p[] = {
		{.action = REPORT_DELIVERED,
			.address = SPAN_LIT("bob@example.net"),
			.orcpt = SPAN_LIT("rfc822;Bob+x@example.net"),
			.enhanced = SPAN_LIT("2.1.5")},
		{.action = REPORT_RELAYED, .address = SPAN_LIT("carol@example.net")},
		{.action = REPORT_EXPANDED, .address = SPAN_LIT("list@example.net")},
	};
	struct report r = report_of(p, ARRAY_LEN(p), SPAN_LIT(original));
	r.success = true;
	r.envid = SPAN_LIT("QQ314159");
	struct buf b;
	struct span s = write_report(&r, &b);

	for (size_t i = 0; i < ARRAY_LEN(wants); i++)
		check_has(s, wants[i]);
	assert_int_equal(count(s, "forward this report"), 0);
	assert_int_equal(count(s, "Will-Retry-Until"), 0);
	check_lines(s);
	buf_done(&b);
}

/* RFC 3461 4.3: RET=FULL. */
static void report_write__returns_the_whole_message(void **state)
{
	(void)state;
	static const struct {
		const char *original, *type, *encoding;
		bool utf8_message, body;
	} cases[] = {
		{"Subject: hi\r\n\r\nbody\r\n", "message/rfc822", NULL, false, true},
		{"Subject: hi\r\n\r\nb\303\266dy\r\n", "message/rfc822", "8bit", false, true},
		{"Subject: hi\r\n\r\nbody\n", "text/rfc822-headers", NULL, false, false},
		{"Subject: h\303\266\r\n\r\nbody\r\n", "message/global-headers", "quoted-printable",
			true, false},
		{"Subject: h\303\266\r\n\r\nbody\r\n", "message/rfc822", "8bit", false, true},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct report r = report_of(&bob, 1, span_str(cases[i].original));
		struct buf b, want = BUF_INIT(256);
		r.original_is_whole = true;
		r.original_utf8 = cases[i].utf8_message;
		buf_printf(&want, "\r\nContent-Type: %s\r\n", cases[i].type);
		if (cases[i].encoding)
			buf_printf(&want, "Content-Transfer-Encoding: %s\r\n", cases[i].encoding);
		buf_append(&want, "\r\n", 3);
		struct span s = write_report(&r, &b);
		check_has(s, want.ptr);
		assert_int_equal(count(s, cases[i].original), cases[i].body);
		buf_done(&want);
		buf_done(&b);
	}
}

/* RFC 6533: addresses in UTF-8, as 7 bit (3) and, to a sender whose own is, as they are (4). */
static void report_write__utf8(void **state)
{
	(void)state;
	const struct report_rcpt p = {.address = SPAN_LIT("j\303\266rg@example.net"),
		.orcpt = SPAN_LIT("utf-8;j\303\266rg+x@example.net"),
		.enhanced = SPAN_LIT("5.1.1")};
	struct report r = report_of(&p, 1, SPAN_LIT("Subject: h\303\266\r\n\r\nbody\r\n"));
	struct buf b;

	r.original_utf8 = true;
	struct span s = write_report(&r, &b);
	check_has(s, "\r\nOriginal-Recipient: utf-8; j\\x{F6}rg\\x{2B}x@example.net\r\n");
	check_has(s, "\r\nFinal-Recipient: utf-8; j\\x{F6}rg@example.net\r\n");
	check_has(s, "\r\nContent-Type: message/delivery-status\r\n");
	check_lines(s);
	buf_done(&b);

	r.utf8 = true;
	r.to = SPAN_LIT("\303\244da@example.org");
	r.original_is_whole = true;
	s = write_report(&r, &b);
	check_has(s, "\r\nTo: <\303\244da@example.org>\r\n");
	check_has(s, "\r\nFinal-Recipient: utf-8; j\303\266rg@example.net\r\n");
	check_has(s, "\r\nContent-Type: message/global-delivery-status\r\n");
	check_has(s, "\r\nContent-Type: message/global\r\nContent-Transfer-Encoding: 8bit\r\n");
	buf_done(&b);
}

static void report_write__hostile_reply(void **state)
{
	(void)state;
	static const char evil[] =
		"no\r\nFinal-Recipient: rfc822; x@y\r\n\r\n--=_report-C1S-0--\r\n"
		"\x1b[2J \xc3\xa4\\";
	struct report_rcpt p = bob;
	p.text = SPAN_LIT(evil);
	p.remote = SPAN_LIT("[2001:db8::1]:25");
	struct report r = report_of(&p, 1, SPAN_LIT(original));
	struct buf b;
	struct span s = write_report(&r, &b);

	assert_int_equal(count(s, "\r\nFinal-Recipient"), 1);
	check_has(s, "\\x1B[2J");
	check_has(s, "\\xC3\\xA4\\x5C");
	check_has(s, "Remote-MTA: dns; [2001:db8::1]\r\n");
	/* The boundary that the reply guessed is not the one that is used. */
	check_has(s, "boundary=\"=_report-C1S-1\"");
	check_lines(s);
	buf_done(&b);
}

static void report_write__odd_headers(void **state)
{
	(void)state;
	struct buf big = BUF_INIT(1 << 20), b;
	for (unsigned i = 0; i < 3000; i++)
		buf_printf(&big, "X-Field-%u: some text of this field\r\n", i);
	struct buf line = BUF_INIT(1 << 20);
	buf_str(&line, "Subject: ");
	for (unsigned i = 0; i < 3000; i++)
		buf_char(&line, 'x');
	buf_str(&line, "\r\n\r\n");
	const struct {
		struct span header;
		const char *want;
	} rows[] = {
		{SPAN_NULL, "text/rfc822-headers\r\n\r\n\r\n--"},
		{SPAN_LIT("no header at all"), "text/rfc822-headers\r\n\r\n\r\n--"},
		{SPAN_LIT("Subject: \xe4\nA: b =\r\n\r\n"),
			"quoted-printable\r\n\r\nSubject: =E4\r\nA: b =3D\r\n\r\n--"},
		{buf_span(&big), "X-Field-100: some"},
		{buf_span(&line), "xxx=\r\nxxx"},
		{SPAN_LIT("Message-ID: <a b@c>\r\n\r\n"), "Message-ID: <a b@c>\r\n"},
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct report r = report_of(&bob, 1, rows[i].header);
		struct span s = write_report(&r, &b);
		check_has(s, rows[i].want);
		check_lines(s);
		if (i == 3)
			assert_true(s.len < REPORT_HEADER_MAX + 4096);
		if (i == 5)
			assert_int_equal(count(s, "In-Reply-To"), 0);
		buf_done(&b);
	}
	buf_done(&big);
	buf_done(&line);
}

static void report_write__many_recipients(void **state)
{
	(void)state;
	static struct report_rcpt p[REPORT_NAMED_MAX + 50];
	for (size_t i = 0; i < ARRAY_LEN(p); i++)
		p[i] = bob;
	struct report r = report_of(p, ARRAY_LEN(p), SPAN_LIT(original));
	struct buf b;
	struct span s = write_report(&r, &b);

	assert_int_equal(count(s, "\r\nFinal-Recipient"), ARRAY_LEN(p));
	assert_int_equal(count(s, "  <bob@example.net>"), REPORT_NAMED_MAX);
	check_has(s, "and 50 more");
	buf_done(&b);
}

static void text_field__folds(void **state)
{
	(void)state;
	static const struct {
		const char *value, *want;
	} rows[] = {
		{"", "N: \r\n"},
		{"a b", "N: a b\r\n"},
		{"1234567890123456789012345678901234567890 123456789012345678901234567890 12345678",
			"N: 1234567890123456789012345678901234567890 "
			"123456789012345678901234567890\r\n 12345678\r\n"},
	};
	struct buf b = BUF_INIT(1 << 16);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		buf_reset(&b);
		text_field(&b, "N", span_str(rows[i].value));
		if (!span_equal(buf_span(&b), span_str(rows[i].want)))
			fail_msg("want \"%s\", got \"%.*s\"", rows[i].want, SPAN_FMT(buf_span(&b)));
	}
	struct buf word = BUF_INIT(1 << 16);
	for (unsigned i = 0; i < 5000; i++)
		buf_char(&word, 'w');
	buf_reset(&b);
	text_field(&b, "N", buf_span(&word));
	check_lines(buf_span(&b));
	buf_done(&word);
	buf_done(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(report_write__failure),
		cmocka_unit_test(report_write__delay_and_own_finding),
		cmocka_unit_test(report_write__hostile_reply),
		cmocka_unit_test(report_write__success),
		cmocka_unit_test(report_write__returns_the_whole_message),
		cmocka_unit_test(report_write__utf8),
		cmocka_unit_test(report_write__odd_headers),
		cmocka_unit_test(report_write__many_recipients),
		cmocka_unit_test(text_field__folds),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
