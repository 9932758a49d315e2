/* Addresses and networks: text to value and back, families, membership. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "net/address.h"
#include <arpa/inet.h>
#include <netinet/in.h>

static void address_parse__forms(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		uint16_t default_port;
		const char *want; /* NULL: -EINVAL */
	} rows[] = {
		{"127.0.0.1:25", 0, "127.0.0.1:25"},
		{"127.0.0.1", 25, "127.0.0.1:25"},
		{"127.0.0.1", 0, NULL},
		{"127.0.0.1:0", 25, "127.0.0.1:0"},
		{"[::1]:25", 0, "[::1]:25"},
		{"[::]:587", 0, "[::]:587"},
		{"[::1]", 2525, "[::1]:2525"},
		{"::1", 2525, "[::1]:2525"},
		{"2001:DB8::0001", 25, "[2001:db8::1]:25"},
		{"::ffff:192.0.2.1", 25, "192.0.2.1:25"},
		{"[::ffff:c000:0201]:26", 0, "192.0.2.1:26"},
		{"unix:/run/x.sock", 0, "local"},
		{"unix:", 0, NULL},
		{"", 25, NULL},
		{":25", 25, NULL},
		{"127.0.0.1:", 25, NULL},
		{"127.0.0.1:65536", 25, NULL},
		{"127.0.0.1:2 5", 25, NULL},
		{"127.0.0.1:-1", 25, NULL},
		{"127.1", 25, NULL},
		{"256.0.0.1", 25, NULL},
		{"localhost:25", 25, NULL},
		{"[::1]:", 25, NULL},
		{"[::1]x25", 25, NULL},
		{"[::1", 25, NULL},
		{"[]:25", 25, NULL},
		{"[127.0.0.1]:25", 25, NULL},
		{"::1::", 25, NULL},
		{"fe80::1%lo", 25, NULL},
		{"1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb:cccc:dddd", 25, NULL},
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct address a = {0};
		int r = address_parse(span_str(rows[i].text), rows[i].default_port, &a);
		struct buf b = BUF_INIT(200);
		if (r == 0)
			address_format(&a, &b);
		buf_char(&b, 0);
		if (r != (rows[i].want ? 0 : -EINVAL) ||
			(rows[i].want && strcmp(b.ptr, rows[i].want) != 0))
			fail_msg("\"%s\": want %s got %d %s", rows[i].text,
				rows[i].want ? rows[i].want : "-EINVAL", r, b.ptr);
		buf_done(&b);
	}
	struct address a;
	assert_int_equal(address_parse(span_make("127.0.0.1\0", 10), 25, &a), -EINVAL);
}

static void address_parse__unix_path_bound(void **state)
{
	(void)state;
	char text[5 + 108 + 1] = "unix:";
	memset(text + 5, 'p', 108);
	struct address a;
	assert_int_equal(address_parse(span_make(text, 5 + 108), 0, &a), -EINVAL);
	assert_int_equal(address_parse(span_make(text, 5 + 107), 0, &a), 0);
	assert_true(address_is_unix(&a));
	assert_int_equal(address_port(&a), 0);
}

static struct address parsed(const char *text)
{
	struct address a = {0};
	assert_int_equal(address_parse(span_str(text), 1, &a), 0);
	return a;
}

static void address_from_sockaddr__unmaps(void **state)
{
	(void)state;
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(99)};
	assert_int_equal(inet_pton(AF_INET6, "::ffff:10.1.2.3", &in6.sin6_addr), 1);
	struct address a, b = parsed("10.1.2.3");
	assert_int_equal(address_from_sockaddr((void *)&in6, sizeof in6, &a), 0);
	assert_int_equal(a.ss.ss_family, AF_INET);
	assert_int_equal(address_port(&a), 99);
	assert_true(address_equal_host(&a, &b));
	assert_int_equal(address_from_sockaddr((void *)&in6, 8, &a), -EINVAL);
	/* One that was not made by us is still taken for what it is. */
	a = (struct address){.len = sizeof in6};
	memcpy(&a.ss, &in6, sizeof in6);
	assert_true(address_equal_host(&a, &b));
	struct network n;
	assert_int_equal(network_parse(SPAN_LIT("10.0.0.0/8"), &n), 0);
	assert_true(network_contains(&n, &a));
}

static void address_equal_host__pairs(void **state)
{
	(void)state;
	static const struct {
		const char *a, *b;
		bool want;
	} rows[] = {
		{"1.2.3.4:5", "1.2.3.4:6", true},
		{"1.2.3.4:5", "1.2.3.5:5", false},
		{"::1", "[0:0::1]:9", true},
		{"::1", "0.0.0.1", false},
		{"unix:/a", "unix:/a", true},
		{"unix:/a", "unix:/b", false},
		{"unix:/a", "1.2.3.4", false},
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct address a = parsed(rows[i].a), b = parsed(rows[i].b);
		if (address_equal_host(&a, &b) != rows[i].want)
			fail_msg("%s %s: want %d", rows[i].a, rows[i].b, rows[i].want);
	}
	struct address none = {0}, some = parsed("0.0.0.0");
	assert_false(address_equal_host(&none, &none));
	assert_false(address_equal_host(&none, &some));
}

static void network_contains__table(void **state)
{
	(void)state;
	static const struct {
		const char *network, *address;
		int want; /* -1: the network does not parse */
	} rows[] = {
		{"10.0.0.0/8", "10.255.255.255", 1},
		{"10.0.0.0/8", "11.0.0.0", 0},
		{"10.1.2.3/8", "10.9.9.9", 1},
		{"192.0.2.1", "192.0.2.1", 1},
		{"192.0.2.1", "192.0.2.2", 0},
		{"192.0.2.0/23", "192.0.3.255", 1},
		{"192.0.2.0/23", "192.0.4.0", 0},
		{"0.0.0.0/0", "255.1.1.1", 1},
		{"0.0.0.0/0", "::1", 0},
		{"::/0", "2001:db8::1", 1},
		{"::/0", "1.2.3.4", 0},
		{"2001:db8::/32", "2001:db8:ffff::1", 1},
		{"2001:db8::/32", "2001:db9::1", 0},
		{"2001:db8::/33", "2001:db8:8000::1", 0},
		{"[2001:db8::]/32", "2001:db8::1", 1},
		{"::1", "::1", 1},
		{"::1/128", "::2", 0},
		{"::ffff:10.0.0.0/104", "10.3.3.3", 1},
		{"::ffff:10.0.0.1", "10.0.0.1", 1},
		{"10.0.0.0/8", "unix:/x", 0},
		{"10.0.0.0/33", "10.0.0.1", -1},
		{"::/129", "::1", -1},
		{"10.0.0.0/", "10.0.0.1", -1},
		{"10.0.0.0/8/8", "10.0.0.1", -1},
		{"10.0.0.0:25/8", "10.0.0.1", -1},
		{"[10.0.0.0]/8", "10.0.0.1", -1},
		{"", "10.0.0.1", -1},
		{"/8", "10.0.0.1", -1},
		{"10", "10.0.0.1", -1},
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct network n;
		struct address a = parsed(rows[i].address);
		int r = network_parse(span_str(rows[i].network), &n);
		int got = r == -EINVAL ? -1 : network_contains(&n, &a);
		if (got != rows[i].want)
			fail_msg("%s %s: want %d got %d", rows[i].network, rows[i].address,
				rows[i].want, got);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(address_parse__forms),
		cmocka_unit_test(address_parse__unix_path_bound),
		cmocka_unit_test(address_from_sockaddr__unmaps),
		cmocka_unit_test(address_equal_host__pairs),
		cmocka_unit_test(network_contains__table),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
