/* src/accept/proxy.c: HAProxy's document, by tables. */
#include "accept/proxy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define SIG "\r\n\r\n\0\r\nQUIT\n"

struct proxy_row {
	const char *name;
	struct span in;
	const char *source, *destination; /* NULL: refused; "": the connection's own */
};
static const struct proxy_row rows[] = {
	{"v1", SPAN_LIT("PROXY TCP4 192.0.2.1 198.51.100.2 4711 25\r\n"), "192.0.2.1:4711",
		"198.51.100.2:25"},
	{"v1 v6", SPAN_LIT("PROXY TCP6 2001:db8::1 2001:db8::2 1 65535\r\n"), "[2001:db8::1]:1",
		"[2001:db8::2]:65535"},
	{"v1 mapped", SPAN_LIT("PROXY TCP6 ::ffff:192.0.2.1 2001:db8::2 1 2\r\n"), "192.0.2.1:1",
		"[2001:db8::2]:2"},
	{"v1 unknown", SPAN_LIT("PROXY UNKNOWN\r\n"), "", ""},
	{"v1 unknown with more", SPAN_LIT("PROXY UNKNOWN ffff:f...f:ffff what ever\r\n"), "", ""},
	{"v1 family", SPAN_LIT("PROXY UDP4 192.0.2.1 192.0.2.2 1 2\r\n"), NULL, NULL},
	{"v1 name", SPAN_LIT("PROXY TCP4 host.example 192.0.2.2 1 2\r\n"), NULL, NULL},
	{"v1 family and address differ", SPAN_LIT("PROXY TCP4 ::1 ::1 1 2\r\n"), NULL, NULL},
	{"v1 port", SPAN_LIT("PROXY TCP4 192.0.2.1 192.0.2.2 1 65536\r\n"), NULL, NULL},
	{"v1 leading zero", SPAN_LIT("PROXY TCP4 192.0.2.1 192.0.2.2 01 2\r\n"), NULL, NULL},
	{"v1 two spaces", SPAN_LIT("PROXY TCP4  192.0.2.1 192.0.2.2 1 2\r\n"), NULL, NULL},
	{"v1 more words", SPAN_LIT("PROXY TCP4 192.0.2.1 192.0.2.2 1 2 3\r\n"), NULL, NULL},
	{"v1 fewer words", SPAN_LIT("PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n"), NULL, NULL},
	{"v1 NUL", SPAN_LIT("PROXY TCP4 192.0.2.1\0 192.0.2.2 1 2\r\n"), NULL, NULL},
	{"EHLO", SPAN_LIT("EHLO client.example\r\n"), NULL, NULL},
	{"v2", SPAN_LIT(SIG "\x21\x11\0\x0c\xc0\0\2\1\xc6\x33\x64\2\x12\x67\0\x19"),
		"192.0.2.1:4711", "198.51.100.2:25"},
	{"v2 with a TLV",
		SPAN_LIT(SIG "\x21\x11\0\x10\xc0\0\2\1\xc6\x33\x64\2\x12\x67\0\x19\x04\0\1x"),
		"192.0.2.1:4711", "198.51.100.2:25"},
	{"v2 v6",
		SPAN_LIT(SIG "\x21\x21\0\x24"
			     "\x20\1\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1"
			     "\x20\1\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\2\0\1\0\2"),
		"[2001:db8::1]:1", "[2001:db8::2]:2"},
	{"v2 local", SPAN_LIT(SIG "\x20\0\0\0"), "", ""},
	{"v2 local with addresses",
		SPAN_LIT(SIG "\x20\x11\0\x0c\xc0\0\2\1\xc6\x33\x64\2\x12\x67\0\x19"), "", ""},
	{"v2 unspec", SPAN_LIT(SIG "\x21\0\0\0"), "", ""},
	{"v2 unix", SPAN_LIT(SIG "\x21\x31\0\1x"), "", ""},
	{"v2 too short for its family", SPAN_LIT(SIG "\x21\x11\0\4\xc0\0\2\1"), NULL, NULL},
	{"v2 version", SPAN_LIT(SIG "\x31\x11\0\0"), NULL, NULL},
	{"v2 command", SPAN_LIT(SIG "\x22\x11\0\0"), NULL, NULL},
	{"v2 length", SPAN_LIT(SIG "\x21\x11\xff\xff"), NULL, NULL},
};

static void check_address(const char *name, const struct address *a, const char *want)
{
	struct buf text = BUF_INIT(256);

	address_format(a, &text);
	if (!span_equal(buf_span(&text), span_str(want)))
		fail_msg("%s: want %s, got %.*s", name, want, SPAN_FMT(buf_span(&text)));
	buf_done(&text);
}

static void proxy_parse__table(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct proxy_header h;
		int r = proxy_parse(rows[i].in, &h);
		if (r != (rows[i].source ? 0 : -EINVAL))
			fail_msg("%s: got %d", rows[i].name, r);
		if (!rows[i].source)
			continue;
		assert_int_equal(h.keep, rows[i].source[0] == '\0');
		if (!h.keep) {
			check_address(rows[i].name, &h.source, rows[i].source);
			check_address(rows[i].name, &h.destination, rows[i].destination);
		}
	}
}

/* Fed as it asks to be, a sound header ends at its last octet, whatever follows. */
static void proxy_need__never_beyond(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		size_t have = 0, need = 1;
		int r = 0;
		while (rows[i].source && r == 0 && need > 0) {
			r = proxy_need(span_head(rows[i].in, have), &need);
			have += need;
			assert_true(have <= rows[i].in.len);
		}
		if (rows[i].source && (r < 0 || have != rows[i].in.len))
			fail_msg("%s: want %zu octets, got %zu, %d", rows[i].name, rows[i].in.len,
				have, r);
	}
}

static void proxy_need__long_line(void **state)
{
	char line[200] = "PROXY UNKNOWN ";
	size_t need;
	(void)state;

	memset(line + 14, 'x', sizeof(line) - 14);
	assert_int_equal(proxy_need(span_make(line, 106), &need), 0);
	assert_int_equal(need, 1);
	assert_int_equal(proxy_need(span_make(line, 107), &need), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(proxy_parse__table),
		cmocka_unit_test(proxy_need__never_beyond),
		cmocka_unit_test(proxy_need__long_line),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
