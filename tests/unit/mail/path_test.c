/* src/mail/path.c and domain.c: RFC 5321 4.1.2 by tables. */
#include "mail/path.h"
#include "check.h"

static const char local64[] = "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz0123456789ab";
#define LABEL63 "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz0123456789a"

static void path_parse__table(void **state)
{
	static const struct {
		const char *in;
		enum path_use use;
		bool utf8;
		int want;
		const char *local, *domain, *rest;
		enum domain_kind kind;
	} table[] = {
		{"<>", PATH_REVERSE, false, 0, "", "", "", DOMAIN_NONE},
		{"<> SIZE=1", PATH_REVERSE, false, 0, "", "", " SIZE=1", DOMAIN_NONE},
		{"<>", PATH_FORWARD, false, -EINVAL, "", "", "", DOMAIN_NONE},
		{"<a@b.example>", PATH_REVERSE, false, 0, "a", "b.example", "", DOMAIN_NAME},
		{"<a@b>x", PATH_FORWARD, false, 0, "a", "b", "x", DOMAIN_NAME},
		{"<postmaster>", PATH_FORWARD, false, 0, "postmaster", "", "", DOMAIN_NONE},
		{"<PostMaster> X", PATH_FORWARD, false, 0, "PostMaster", "", " X", DOMAIN_NONE},
		{"<postmaster>", PATH_REVERSE, false, -EINVAL, "", "", "", DOMAIN_NONE},
		{"<postmaster@b>", PATH_FORWARD, false, 0, "postmaster", "b", "", DOMAIN_NAME},
		{"<user>", PATH_FORWARD, false, -EINVAL, "", "", "", DOMAIN_NONE},
		{"<@x:a@b>", PATH_FORWARD, false, 0, "a", "b", "", DOMAIN_NAME},
		{"<@x,@y.example:a@b>", PATH_REVERSE, false, 0, "a", "b", "", DOMAIN_NAME},
		{"<@x,y:a@b>", PATH_REVERSE, false, -EINVAL, "", "", "", DOMAIN_NONE},
		{"<@x a@b>", PATH_REVERSE, false, -EINVAL, "", "", "", DOMAIN_NONE},
		{"<@x:>", PATH_REVERSE, false, -EINVAL, "", "", "", DOMAIN_NONE},
		{"<@x:postmaster>", PATH_FORWARD, false, -EINVAL, "", "", "", DOMAIN_NONE},
		{"<\"a b>@\\\"\"@b>", PATH_FORWARD, false, 0, "\"a b>@\\\"\"", "b", "",
			DOMAIN_NAME},
		{"<\"\"@b>", PATH_FORWARD, false, 0, "\"\"", "b", "", DOMAIN_NAME},
		{"<\"a@b>", PATH_FORWARD, false, -EINVAL, "", "", "", DOMAIN_NONE},
		{"<\"a\\\"@b>", PATH_FORWARD, false, -EINVAL, "", "", "", DOMAIN_NONE},
		{"<\"a\"b@c>", PATH_FORWARD, false, -EINVAL, "", "", "", DOMAIN_NONE},
		{"<a@[192.0.2.1]>", PATH_FORWARD, false, 0, "a", "[192.0.2.1]", "",
			DOMAIN_LITERAL_V4},
		{"<a@[IPv6:2001:db8::1]>", PATH_FORWARD, false, 0, "a", "[IPv6:2001:db8::1]", "",
			DOMAIN_LITERAL_V6},
		{"<a@[x-tag:any!thing]>", PATH_FORWARD, false, -EINVAL, "", "", "", DOMAIN_NONE},
		{"<a@[192.0.2.1>", PATH_FORWARD, false, -EINVAL, "", "", "", DOMAIN_NONE},
		{"a@b", PATH_FORWARD, false, -EINVAL, "", "", "", DOMAIN_NONE},
		{"<a@b", PATH_FORWARD, false, -EINVAL, "", "", "", DOMAIN_NONE},
		{"<a@b >", PATH_FORWARD, false, -EINVAL, "", "", "", DOMAIN_NONE},
		{"< a@b>", PATH_FORWARD, false, -EINVAL, "", "", "", DOMAIN_NONE},
		{"<a@b.>", PATH_FORWARD, false, -EINVAL, "", "", "", DOMAIN_NONE},
		{"<a@b..c>", PATH_FORWARD, false, -EINVAL, "", "", "", DOMAIN_NONE},
		{"<a@-b>", PATH_FORWARD, false, -EINVAL, "", "", "", DOMAIN_NONE},
		{"<a@b-.c>", PATH_FORWARD, false, -EINVAL, "", "", "", DOMAIN_NONE},
		{"<a@b_c>", PATH_FORWARD, false, -EINVAL, "", "", "", DOMAIN_NONE},
		{"<.a@b>", PATH_FORWARD, false, -EINVAL, "", "", "", DOMAIN_NONE},
		{"<a.@b>", PATH_FORWARD, false, -EINVAL, "", "", "", DOMAIN_NONE},
		{"<a..b@c>", PATH_FORWARD, false, -EINVAL, "", "", "", DOMAIN_NONE},
		{"<a@b@c>", PATH_FORWARD, false, -EINVAL, "", "", "", DOMAIN_NONE},
		{"<a@>", PATH_FORWARD, false, -EINVAL, "", "", "", DOMAIN_NONE},
		{"<@b>", PATH_FORWARD, false, -EINVAL, "", "", "", DOMAIN_NONE},
		{"<", PATH_REVERSE, false, -EINVAL, "", "", "", DOMAIN_NONE},
		{"", PATH_REVERSE, false, -EINVAL, "", "", "", DOMAIN_NONE},
		{"<\xC3\xA4@b>", PATH_FORWARD, false, -EINVAL, "", "", "", DOMAIN_NONE},
		{"<\xC3\xA4@b\xC3\xBC"
		 "cher.example>",
			PATH_FORWARD, true, 0, "\xC3\xA4",
			"b\xC3\xBC"
			"cher.example",
			"", DOMAIN_NAME},
		{"<\"\xC3\xA4 \"@b>", PATH_FORWARD, true, 0, "\"\xC3\xA4 \"", "b", "", DOMAIN_NAME},
		{"<\"\\\xC3\xA4\"@b>", PATH_FORWARD, true, -EINVAL, "", "", "", DOMAIN_NONE},
		{"<\xC3@b>", PATH_FORWARD, true, -EINVAL, "", "", "", DOMAIN_NONE},
		{"<\xC0\x80@b>", PATH_FORWARD, true, -EINVAL, "", "", "", DOMAIN_NONE},
		{"<\xED\xA0\x80@b>", PATH_FORWARD, true, -EINVAL, "", "", "", DOMAIN_NONE},
		{"<\xF4\x90\x80\x80@b>", PATH_FORWARD, true, -EINVAL, "", "", "", DOMAIN_NONE},
		{"<\xF0\x9F\x93\xAB@b>", PATH_FORWARD, true, 0, "\xF0\x9F\x93\xAB", "b", "",
			DOMAIN_NAME},
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct path p;
		struct span rest;
		int r = path_parse(span_str(table[i].in), table[i].use, table[i].utf8, &p, &rest);
		check_number(table[i].in, "result", r, table[i].want);
		if (r < 0)
			continue;
		check_text(table[i].in, p.local, table[i].local);
		check_text(table[i].in, p.domain, table[i].domain);
		check_text(table[i].in, rest, table[i].rest);
		check_number(table[i].in, "kind", p.domain_kind, table[i].kind);
		check_number(table[i].in, "is_null", p.is_null, p.text.len == 0);
		size_t parts = p.local.len + p.domain.len + (p.domain.len > 0);
		check_number(table[i].in, "text", (long long)p.text.len, (long long)parts);
	}
}

static void path_parse__nul_is_an_octet_like_others(void **state)
{
	struct path p;
	struct span rest;
	(void)state;
	assert_int_equal(path_parse(SPAN_LIT("<a\0b@c>"), PATH_FORWARD, true, &p, &rest), -EINVAL);
	assert_int_equal(
		path_parse(SPAN_LIT("<\"\0\"@c>"), PATH_FORWARD, true, &p, &rest), -EINVAL);
	assert_int_equal(path_parse(SPAN_LIT("<a@c\0>"), PATH_FORWARD, true, &p, &rest), -EINVAL);
	assert_int_equal(path_parse(SPAN_NULL, PATH_FORWARD, true, &p, &rest), -EINVAL);
}

static int parse_built(const char *local, const char *label, size_t labels, const char *end)
{
	struct buf b = BUF_INIT(4096);
	struct path p;
	buf_printf(&b, "%s@", local);
	for (size_t i = 0; i < labels; i++)
		buf_printf(&b, "%s.", label);
	buf_str(&b, end);
	assert_int_equal(b.error, 0);
	int r = mailbox_parse(buf_span(&b), false, false, &p);
	buf_done(&b);
	return r;
}

static void mailbox_parse__lengths(void **state)
{
	char local65[66];
	(void)state;
	memcpy(local65, local64, 64);
	memcpy(local65 + 64, "x", 2);
	assert_int_equal(strlen(local64), 64);
	assert_int_equal(parse_built(local64, "b", 1, "c"), 0);
	assert_int_equal(parse_built(local65, "b", 1, "c"), -ERANGE);
	assert_int_equal(parse_built("a", LABEL63, 1, "c"), 0);
	assert_int_equal(parse_built("a", LABEL63 "x", 1, "c"), -EINVAL);
	/* "a@" + 3 * 64 + 60 = 254, and one more */
	assert_int_equal(parse_built("a", LABEL63, 3,
				 "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz01234567"),
		0);
	assert_int_equal(parse_built("a", LABEL63, 3,
				 "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz012345678"),
		-ERANGE);
	assert_int_equal(parse_built("a", LABEL63, 4, "c"), -ERANGE);
}

static void mailbox_parse__bare(void **state)
{
	static const struct {
		const char *in;
		bool allow_local;
		int want;
	} table[] = {
		{"a@b", false, 0},
		{"a", false, -EINVAL},
		{"a", true, 0},
		{"a@b", true, 0},
		{"\"a b\"", true, 0},
		{"a b", true, -EINVAL},
		{"", true, -EINVAL},
		{"a@b ", false, -EINVAL},
		{"<a@b>", false, -EINVAL},
		{"a@b>", true, -EINVAL},
		{"a@b,c@d", false, -EINVAL},
		{"a@", true, -EINVAL},
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct path p;
		int r = mailbox_parse(span_str(table[i].in), false, table[i].allow_local, &p);
		check_number(table[i].in, "result", r, table[i].want);
		if (r >= 0)
			check_text(table[i].in, p.text, table[i].in);
	}
}

static void domain_parse__table(void **state)
{
	static const struct {
		const char *in;
		int want;
		enum domain_kind kind;
	} table[] = {
		{"localhost", 0, DOMAIN_NAME},
		{"a.b.c", 0, DOMAIN_NAME},
		{"1.2.3.4", 0, DOMAIN_NAME},
		{"xn--bcher-kva.example", 0, DOMAIN_NAME},
		{"a b", -EINVAL, 0},
		{"", -EINVAL, 0},
		{"[0.0.0.0]", 0, DOMAIN_LITERAL_V4},
		{"[001.2.3.255]", 0, DOMAIN_LITERAL_V4},
		{"[1.2.3.256]", -EINVAL, 0},
		{"[1.2.3]", -EINVAL, 0},
		{"[1.2.3.4.5]", -EINVAL, 0},
		{"[1.2.3.4.]", -EINVAL, 0},
		{"[1..3.4]", -EINVAL, 0},
		{"[]", -EINVAL, 0},
		{"[", -EINVAL, 0},
		{"[1.2.3.4]x", -EINVAL, 0},
		{"[ipv6:::]", 0, DOMAIN_LITERAL_V6},
		{"[IPv6:1:2:3:4:5:6:7:8]", 0, DOMAIN_LITERAL_V6},
		{"[IPv6:1:2:3:4:5:6:7]", -EINVAL, 0},
		{"[IPv6:1:2:3:4:5:6:7:8:9]", -EINVAL, 0},
		{"[IPv6:1:2:3:4:5:6::]", 0, DOMAIN_LITERAL_V6},
		{"[IPv6:1:2:3:4:5:6:7::]", -EINVAL, 0},
		{"[IPv6:::3:4:5:6:7:8]", 0, DOMAIN_LITERAL_V6},
		{"[IPv6:1::2::3]", -EINVAL, 0},
		{"[IPv6::1]", -EINVAL, 0},
		{"[IPv6:1:]", -EINVAL, 0},
		{"[IPv6:]", -EINVAL, 0},
		{"[IPv6:12345::]", -EINVAL, 0},
		{"[IPv6:g::]", -EINVAL, 0},
		{"[IPv6::::]", -EINVAL, 0},
		{"[IPv6:::ffff:1.2.3.4]", 0, DOMAIN_LITERAL_V6},
		{"[IPv6:1.2.3.4]", -EINVAL, 0},
		{"[IPv6:::1.2.3.4:1]", -EINVAL, 0},
		{"[IPv6:1:2:3:4:5:6:1.2.3.4]", 0, DOMAIN_LITERAL_V6},
		{"[IPv6:::1.2.3]", -EINVAL, 0},
		{"[tag:x]", -EINVAL, 0},
		{"[1:2:3:4:5:6:7:8]", -EINVAL, 0},
		{"[tag:]", -EINVAL, 0},
		{"[:x]", -EINVAL, 0},
		{"[t-:x]", -EINVAL, 0},
		{"[t:a b]", -EINVAL, 0},
		{"[t:a\\b]", -EINVAL, 0},
		{"[t:a[b]", -EINVAL, 0},
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		enum domain_kind kind = DOMAIN_NONE;
		int r = domain_parse(span_str(table[i].in), false, &kind);
		check_number(table[i].in, "result", r, table[i].want);
		if (r >= 0)
			check_number(table[i].in, "kind", kind, table[i].kind);
	}
}

static void path_canonical__table(void **state)
{
	static const struct {
		const char *in, *want;
	} table[] = {
		{"<>", ""},
		{"<Ab.C@Example.ORG>", "Ab.C@example.org"},
		{"<\"ab\"@B>", "ab@b"},
		{"<\"a\\b\"@c>", "ab@c"},
		{"<\"a b\"@c>", "\"a b\"@c"},
		{"<\"a..b\"@c>", "\"a..b\"@c"},
		{"<\"\"@c>", "\"\"@c"},
		{"<\"a\\\"\\\\\"@c>", "\"a\\\"\\\\\"@c"},
		{"<a@[IPv6:ABCD::1]>", "a@[ipv6:abcd::1]"},
		{"<\".a\"@c>", "\".a\"@c"},
		{"<\"a.b\"@c>", "a.b@c"},
		{"<@r:A@B>", "A@b"},
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct buf out = BUF_INIT(1024);
		struct path p;
		struct span rest;
		assert_int_equal(
			path_parse(span_str(table[i].in), PATH_REVERSE, false, &p, &rest), 0);
		path_canonical(&p, &out);
		check_text(table[i].in, buf_span(&out), table[i].want);
		buf_done(&out);
	}
	struct buf out = BUF_INIT(1024);
	struct path p;
	struct span rest;
	assert_int_equal(path_parse(SPAN_LIT("<PostMaster>"), PATH_FORWARD, false, &p, &rest), 0);
	path_canonical(&p, &out);
	check_text("postmaster", buf_span(&out), "PostMaster");
	buf_done(&out);
}

static void local_part__meaning_and_back(void **state)
{
	static const struct {
		const char *local, *meaning, *quoted;
		bool lower;
	} table[] = {
		{"a.B", "a.b", "a.b", true},
		{"a.B", "a.B", "a.B", false},
		{"\"a B\"", "a b", "\"a b\"", true},
		{"\"a\\\\\"", "a\\", "\"a\\\\\"", false},
		{"\"\\\"\"", "\"", "\"\\\"\"", false},
		{"\"\"", "", "\"\"", false},
		{"\"a@b\"", "a@b", "\"a@b\"", false},
		{"\xC3\x84", "\xC3\x84", "\xC3\x84", true},
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct buf meaning = BUF_INIT(256), quoted = BUF_INIT(256);
		local_part_unquoted(span_str(table[i].local), table[i].lower, &meaning);
		check_text(table[i].local, buf_span(&meaning), table[i].meaning);
		local_part_quoted(buf_span(&meaning), &quoted);
		check_text(table[i].local, buf_span(&quoted), table[i].quoted);
		buf_done(&meaning);
		buf_done(&quoted);
	}
}

static void local_part_quoted__no_line_end_gets_out(void **state)
{
	struct buf out = BUF_INIT(64);
	(void)state;
	local_part_quoted(SPAN_LIT("a\r\nRCPT\0"), &out);
	check_text("control octets", buf_span(&out), "\"a??RCPT?\"");
	buf_done(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(path_parse__table),
		cmocka_unit_test(path_parse__nul_is_an_octet_like_others),
		cmocka_unit_test(mailbox_parse__lengths),
		cmocka_unit_test(mailbox_parse__bare),
		cmocka_unit_test(domain_parse__table),
		cmocka_unit_test(path_canonical__table),
		cmocka_unit_test(local_part__meaning_and_back),
		cmocka_unit_test(local_part_quoted__no_line_end_gets_out),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
