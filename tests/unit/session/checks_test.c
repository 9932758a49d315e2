/* The checks, each by a table. */
#include "checks/content.h"
#include "checks/rate.h"
#include "checks/relay.h"
#include "checks/size.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static void expect(const char *what, struct verdict got, uint16_t code, const char *enhanced)
{
	if (got.code != code || strcmp(got.enhanced, enhanced) != 0)
		fail_msg("%s: want %u %s, got %u %s", what, code, enhanced, got.code, got.enhanced);
}

static void check_relay__client_and_route(void **state)
{
	static char smtp[] = "smtp://127.0.0.1:2626", star[] = "*", sub[] = ".example.org",
		    exact[] = "partner.example";
	struct config_route routes_some[] = {{.domain = exact}, {.domain = sub}};
	struct config_route routes_all[] = {{.domain = star}};
	static struct config none, via, some, all; /* too much for one stack frame */
	(void)state;

	via.relay.via = (struct target){.kind = TARGET_SMTP, .text = smtp};
	some.routes = routes_some;
	some.n_routes = ARRAY_LEN(routes_some);
	all.routes = routes_all;
	all.n_routes = ARRAY_LEN(routes_all);
	const struct {
		const char *name;
		const struct config *config;
		bool trusted;
		const char *domain;
		uint16_t code;
		bool submitter;
	} rows[] = {
		{"stranger, via", &via, false, "far.example", 550, false},
		{"stranger, routed", &all, false, "far.example", 550, false},
		{"trusted, via", &via, true, "far.example", 250, false},
		{"trusted, no via", &none, true, "far.example", 550, false},
		{"trusted, exact route", &some, true, "partner.example", 250, false},
		{"trusted, route in another case", &some, true, "PARTNER.example", 250, false},
		{"trusted, not below an exact route", &some, true, "a.partner.example", 550, false},
		{"trusted, subdomain route", &some, true, "a.b.example.org", 250, false},
		{"trusted, subdomain route is not its parent", &some, true, "example.org", 550,
			false},
		{"trusted, no suffix match in a label", &some, true, "badexample.org", 550, false},
		{"trusted, star", &all, true, "x", 250, false},
		{"logged in, no via: by MX", &none, false, "far.example", 250, true},
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct verdict v = check_relay(&(struct relay_ask){.config = rows[i].config,
			.trusted = rows[i].trusted,
			.submitter = rows[i].submitter,
			.domain = span_str(rows[i].domain)});
		expect(rows[i].name, v, rows[i].code, rows[i].code == 250 ? "2.1.5" : "5.7.1");
	}
}

static void networks_contain__families(void **state)
{
	struct network n[2];
	struct address a;
	(void)state;

	assert_int_equal(network_parse(SPAN_LIT("10.1.0.0/16"), &n[0]), 0);
	assert_int_equal(network_parse(SPAN_LIT("2001:db8::/32"), &n[1]), 0);
	const struct {
		const char *address;
		bool want;
	} rows[] = {{"10.1.2.3", true}, {"10.2.0.1", false}, {"2001:db8::1", true},
		{"2001:db9::1", false}, {"::ffff:10.1.2.3", true}};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		assert_int_equal(address_parse(span_str(rows[i].address), 25, &a), 0);
		if (networks_contain(n, 2, &a) != rows[i].want)
			fail_msg("%s: want %d", rows[i].address, rows[i].want);
	}
	assert_false(networks_contain(NULL, 0, &a));
}

static void check_size__limit(void **state)
{
	(void)state;
	expect("under", check_size(99, 100), 250, "2.1.0");
	expect("at", check_size(100, 100), 250, "2.1.0");
	expect("over", check_size(101, 100), 552, "5.3.4");
	expect("no limit", check_size(UINT64_MAX, 0), 250, "2.1.0");
}

static void check_rate__average(void **state)
{
	const struct {
		const char *name;
		uint64_t octets, elapsed, floor;
		uint16_t code;
	} rows[] = {
		{"nothing yet", 0, 0, 64, 250},
		{"silent in the grace", 0, RATE_GRACE_USEC, 64, 250},
		{"silent behind the grace", 0, RATE_GRACE_USEC + 2 * USEC_PER_SEC, 64, 421},
		{"at the floor", 640, RATE_GRACE_USEC + 10 * USEC_PER_SEC, 64, 250},
		{"under the floor", 575, RATE_GRACE_USEC + 10 * USEC_PER_SEC, 64, 421},
		{"off", 0, RATE_GRACE_USEC * 100, 0, 250},
		{"huge", UINT64_MAX, UINT64_MAX, UINT64_MAX, 421},
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		expect(rows[i].name, check_rate(rows[i].octets, rows[i].elapsed, rows[i].floor),
			rows[i].code, rows[i].code == 250 ? "2.0.0" : "4.4.2");
}

static void check_content__newlines_and_hops(void **state)
{
	(void)state;
	expect("clean", check_content(&(struct content_ask){.hops = 50, .received = 50}), 250,
		"2.6.0");
	expect("loop", check_content(&(struct content_ask){.hops = 50, .received = 51}), 554,
		"5.4.6");
	expect("no rule", check_content(&(struct content_ask){.received = 9999}), 250, "2.6.0");
	expect("bare", check_content(&(struct content_ask){.bare_newline = true}), 554, "5.6.0");
	expect("bare, tolerated",
		check_content(&(struct content_ask){.bare_newline = true, .tolerate_bare = true}),
		250, "2.6.0");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(check_relay__client_and_route),
		cmocka_unit_test(networks_contain__families),
		cmocka_unit_test(check_size__limit),
		cmocka_unit_test(check_rate__average),
		cmocka_unit_test(check_content__newlines_and_hops),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
