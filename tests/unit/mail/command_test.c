/* src/mail/command.c: RFC 5321 4.1.1 by tables. */
#include "mail/command.h"
#include "check.h"

static void command_parse__table(void **state)
{
	static const struct {
		const char *line;
		bool utf8;
		enum verb verb;
		unsigned code;
		const char *enhanced;
		const char *argument;
		size_t n_params;
	} table[] = {
		{"EHLO mx.example", false, VERB_EHLO, 250, "2.0.0", "mx.example", 0},
		{"ehlo mx.example", false, VERB_EHLO, 250, "2.0.0", "mx.example", 0},
		{"EHLO", false, VERB_EHLO, 501, "5.5.4", "", 0},
		{"EHLO a b", false, VERB_EHLO, 501, "5.5.4", "a b", 0},
		{"HELO my_host.", false, VERB_HELO, 250, "2.0.0", "my_host.", 0},
		{"LHLO [IPv6:::1]", false, VERB_LHLO, 250, "2.0.0", "[IPv6:::1]", 0},
		{"MAIL FROM:<>", false, VERB_MAIL, 250, "2.0.0", "FROM:<>", 0},
		{"mail from:<a@b>", false, VERB_MAIL, 250, "2.0.0", "from:<a@b>", 0},
		{"MAIL FROM: <a@b>", false, VERB_MAIL, 250, "2.0.0", "FROM: <a@b>", 0},
		{"MAIL FROM:<a@b> \t", false, VERB_MAIL, 250, "2.0.0", "FROM:<a@b>", 0},
		{"MAIL FROM:<a@b> SIZE=1", false, VERB_MAIL, 250, "2.0.0", "FROM:<a@b> SIZE=1", 1},
		{"MAIL FROM:<a@b>  SIZE=1  BODY=8BITMIME SMTPUTF8", false, VERB_MAIL, 250, "2.0.0",
			"FROM:<a@b>  SIZE=1  BODY=8BITMIME SMTPUTF8", 3},
		{"MAIL FROM:<a@b> AUTH=<>", false, VERB_MAIL, 250, "2.0.0", "FROM:<a@b> AUTH=<>",
			1},
		{"MAIL FROM:<a@b> X-1", false, VERB_MAIL, 250, "2.0.0", "FROM:<a@b> X-1", 1},
		{"MAIL FROM:<a@b>SIZE=1", false, VERB_MAIL, 501, "5.5.4", "FROM:<a@b>SIZE=1", 0},
		{"MAIL FROM:<a@b> SIZE=", false, VERB_MAIL, 501, "5.5.4", "FROM:<a@b> SIZE=", 0},
		{"MAIL FROM:<a@b> =1", false, VERB_MAIL, 501, "5.5.4", "FROM:<a@b> =1", 0},
		{"MAIL FROM:<a@b> S_E=1", false, VERB_MAIL, 501, "5.5.4", "FROM:<a@b> S_E=1", 0},
		{"MAIL FROM:<a@b> -S=1", false, VERB_MAIL, 501, "5.5.4", "FROM:<a@b> -S=1", 0},
		{"MAIL FROM:<a@b> A=b=c", false, VERB_MAIL, 501, "5.5.4", "FROM:<a@b> A=b=c", 0},
		{"MAIL FROM:<a@b> SIZE=1 size=2", false, VERB_MAIL, 501, "5.5.4",
			"FROM:<a@b> SIZE=1 size=2", 1},
		{"MAIL FROM:a@b", false, VERB_MAIL, 501, "5.1.7", "FROM:a@b", 0},
		{"MAIL FROM:<a@b", false, VERB_MAIL, 501, "5.1.7", "FROM:<a@b", 0},
		{"MAIL FROM:", false, VERB_MAIL, 501, "5.1.7", "FROM:", 0},
		{"MAIL FROM :<a@b>", false, VERB_MAIL, 501, "5.5.4", "FROM :<a@b>", 0},
		{"MAIL", false, VERB_MAIL, 501, "5.5.4", "", 0},
		{"MAIL TO:<a@b>", false, VERB_MAIL, 501, "5.5.4", "TO:<a@b>", 0},
		{"MAIL FROM:<a b@c>", false, VERB_MAIL, 501, "5.1.7", "FROM:<a b@c>", 0},
		{"MAIL FROM:<\"a\tb\"@c>", false, VERB_MAIL, 501, "5.1.7", "FROM:<\"a\tb\"@c>", 0},
		{"MAIL FROM:<\xC3\xA4@b>", false, VERB_MAIL, 501, "5.5.4", "FROM:<\xC3\xA4@b>", 0},
		{"MAIL FROM:<\xC3\xA4@b> SMTPUTF8", true, VERB_MAIL, 250, "2.0.0",
			"FROM:<\xC3\xA4@b> SMTPUTF8", 1},
		{"MAIL FROM:<\xC3@b>", true, VERB_MAIL, 501, "5.1.7", "FROM:<\xC3@b>", 0},
		{"RCPT TO:<a@b>", false, VERB_RCPT, 250, "2.0.0", "TO:<a@b>", 0},
		{"RCPT TO:\t<a@b> NOTIFY=NEVER", false, VERB_RCPT, 250, "2.0.0",
			"TO:\t<a@b> NOTIFY=NEVER", 1},
		{"RCPT TO:<postmaster>", false, VERB_RCPT, 250, "2.0.0", "TO:<postmaster>", 0},
		{"RCPT TO:<>", false, VERB_RCPT, 501, "5.1.3", "TO:<>", 0},
		{"RCPT TO:a@b", false, VERB_RCPT, 501, "5.1.3", "TO:a@b", 0},
		{"RCPT FROM:<a@b>", false, VERB_RCPT, 501, "5.5.4", "FROM:<a@b>", 0},
		{"DATA", false, VERB_DATA, 250, "2.0.0", "", 0},
		{"DATA  ", false, VERB_DATA, 250, "2.0.0", "", 0},
		{"DATA x", false, VERB_DATA, 501, "5.5.4", "x", 0},
		{"RSET", false, VERB_RSET, 250, "2.0.0", "", 0},
		{"RSET x", false, VERB_RSET, 501, "5.5.4", "x", 0},
		{"QUIT", false, VERB_QUIT, 250, "2.0.0", "", 0},
		{"QUIT now", false, VERB_QUIT, 501, "5.5.4", "now", 0},
		{"STARTTLS x", false, VERB_STARTTLS, 501, "5.5.4", "x", 0},
		{"NOOP", false, VERB_NOOP, 250, "2.0.0", "", 0},
		{"NOOP any thing", false, VERB_NOOP, 250, "2.0.0", "any thing", 0},
		{"NOOP HTTP/1.1", false, VERB_NOOP, 250, "2.0.0", "HTTP/1.1", 0},
		{"HELP MAIL", false, VERB_HELP, 250, "2.0.0", "MAIL", 0},
		{"VRFY", false, VERB_VRFY, 501, "5.5.4", "", 0},
		{"VRFY someone", false, VERB_VRFY, 250, "2.0.0", "someone", 0},
		{"EXPN", false, VERB_EXPN, 501, "5.5.4", "", 0},
		{"EXPN list", false, VERB_EXPN, 250, "2.0.0", "list", 0},
		{"AUTH", false, VERB_AUTH, 501, "5.5.4", "", 0},
		{"AUTH PLAIN AGEAYg==", false, VERB_AUTH, 250, "2.0.0", "PLAIN AGEAYg==", 0},
		{"BDAT 10", false, VERB_BDAT, 250, "2.0.0", "10", 1},
		{"BDAT 10 LAST", false, VERB_BDAT, 250, "2.0.0", "10 LAST", 2},
		{"BDAT 10 LAST x", false, VERB_BDAT, 250, "2.0.0", "10 LAST x", 2},
		{"BDAT", false, VERB_BDAT, 501, "5.5.4", "", 0},
		{"", false, VERB_UNKNOWN, 500, "5.5.2", "", 0},
		{" QUIT", false, VERB_UNKNOWN, 500, "5.5.2", "QUIT", 0},
		{"MAILFROM:<a@b>", false, VERB_UNKNOWN, 500, "5.5.2", "", 0},
		{"WIZ", false, VERB_UNKNOWN, 500, "5.5.2", "", 0},
		{"unknown", false, VERB_UNKNOWN, 500, "5.5.2", "", 0},
		{"http", false, VERB_UNKNOWN, 500, "5.5.2", "", 0},
		{"\xC3\xA4 x", true, VERB_UNKNOWN, 500, "5.5.2", "x", 0},
		{"NOOP \x01", false, VERB_NOOP, 500, "5.5.2", "\x01", 0},
		{"NOOP a\rb", false, VERB_NOOP, 500, "5.5.2", "a\rb", 0},
		{"NOOP \x7F", false, VERB_NOOP, 500, "5.5.2", "\x7F", 0},
		{"NOOP \xFF", false, VERB_NOOP, 501, "5.5.4", "\xFF", 0},
		{"GET / HTTP/1.1", false, VERB_HTTP, 554, "5.5.1", "/ HTTP/1.1", 0},
		{"get /", false, VERB_HTTP, 554, "5.5.1", "/", 0},
		{"POST /x HTTP/1.0", false, VERB_HTTP, 554, "5.5.1", "/x HTTP/1.0", 0},
		{"CONNECT mx:25 HTTP/1.1", false, VERB_HTTP, 554, "5.5.1", "mx:25 HTTP/1.1", 0},
		{"PROPFIND / HTTP/1.1", false, VERB_HTTP, 554, "5.5.1", "/ HTTP/1.1", 0},
		{"PRI * HTTP/2.0", false, VERB_HTTP, 554, "5.5.1", "* HTTP/2.0", 0},
		{"Host: mx", false, VERB_UNKNOWN, 500, "5.5.2", "mx", 0},
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct command c;
		struct verdict v = command_parse(span_str(table[i].line), table[i].utf8, &c);
		check_number(table[i].line, "code", v.code, table[i].code);
		check_text(table[i].line, span_str(v.enhanced), table[i].enhanced);
		check_number(table[i].line, "verb", c.verb, table[i].verb);
		check_text(table[i].line, c.argument, table[i].argument);
		check_number(table[i].line, "params", (long long)c.n_params,
			(long long)table[i].n_params);
	}
}

static void command_parse__params(void **state)
{
	struct command c;
	struct span line = SPAN_LIT("MAIL FROM:<\"a>b\"@c> SIZE=20 smtputf8 BODY=8BITMIME");
	(void)state;
	assert_int_equal(command_parse(line, false, &c).code, 250);
	check_text("local", c.path.local, "\"a>b\"");
	assert_int_equal(c.n_params, 3);
	check_text("keyword", c.params[0].keyword, "SIZE");
	check_text("value", c.params[0].value, "20");
	check_text("keyword", c.params[1].keyword, "smtputf8");
	assert_null(c.params[1].value.ptr);
	check_text("value", c.params[2].value, "8BITMIME");
	check_text("word", c.word, "MAIL");
}

static void command_parse__too_many_params(void **state)
{
	struct buf line = BUF_INIT(4096);
	struct command c;
	(void)state;
	buf_str(&line, "RCPT TO:<a@b>");
	for (unsigned i = 0; i < COMMAND_PARAMS_MAX; i++)
		buf_printf(&line, " P%u=%u", i, i);
	assert_int_equal(command_parse(buf_span(&line), false, &c).code, 250);
	assert_int_equal(c.n_params, COMMAND_PARAMS_MAX);
	buf_str(&line, " ONE-MORE");
	assert_int_equal(command_parse(buf_span(&line), false, &c).code, 501);
	buf_done(&line);
}

static void command_parse__path_too_long(void **state)
{
	struct buf line = BUF_INIT(4096);
	struct command c;
	(void)state;
	buf_str(&line, "RCPT TO:<");
	for (unsigned i = 0; i < 65; i++)
		buf_char(&line, 'a');
	buf_str(&line, "@b>");
	struct verdict v = command_parse(buf_span(&line), false, &c);
	assert_int_equal(v.code, 501);
	assert_string_equal(v.enhanced, "5.1.3");
	assert_string_equal(v.text, "Path too long");
	buf_done(&line);
}

static void command_parse__nul(void **state)
{
	struct command c;
	(void)state;
	assert_int_equal(command_parse(SPAN_LIT("NOOP \0"), true, &c).code, 500);
	assert_int_equal(command_parse(SPAN_LIT("\0QUIT"), true, &c).code, 500);
	assert_int_equal(command_parse(SPAN_LIT("QUIT\0"), true, &c).code, 500);
}

static void ehlo_argument_ok__table(void **state)
{
	static const struct {
		const char *in;
		bool want;
	} table[] = {
		{"a", true},
		{"a.b.example", true},
		{"a_b.example", true},
		{"-a", true},
		{"a.b.", true},
		{"1.2.3.4", true},
		{"[1.2.3.4]", true},
		{"[IPv6:::1]", true},
		{"[::1]", false},
		{"[1.2.3]", false},
		{"", false},
		{".", false},
		{".a", false},
		{"a..b", false},
		{"a b", false},
		{"::1", false},
		{"a(b", false},
		{"<a>", false},
		{"\xC3\xA4", false},
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++)
		check_number(
			table[i].in, "ok", ehlo_argument_ok(span_str(table[i].in)), table[i].want);
}

static void verb_name__round_trip(void **state)
{
	(void)state;
	for (int v = VERB_UNKNOWN + 1; v < VERB_HTTP; v++) {
		struct command c;
		(void)command_parse(span_str(verb_name((enum verb)v)), false, &c);
		check_number(verb_name((enum verb)v), "verb", c.verb, v);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(command_parse__table),
		cmocka_unit_test(command_parse__params),
		cmocka_unit_test(command_parse__too_many_params),
		cmocka_unit_test(command_parse__path_too_long),
		cmocka_unit_test(command_parse__nul),
		cmocka_unit_test(ehlo_argument_ok__table),
		cmocka_unit_test(verb_name__round_trip),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
