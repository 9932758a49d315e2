/* The pure parts of the way out: which TLS, which host first, which reply is about our address,
 * which mechanism, which TLSA record, what a credentials file says. */
#include "support.h"

#include "deliver/auth.h"
#include "deliver/candidate.h"
#include "deliver/hosts.h"
#include "deliver/refusal.h"

#define AUTO   .level = TLS_LEVEL_AUTO
#define BY_MX  .by_mx = true
#define SECURE .by_mx = true, .mx_secure = true

static const struct policy_case {
	const char *name;
	struct tls_question q;
	enum tls_want want;
	const char *by; /* NULL: skipped */
	bool forever, requiretls, test_names;
} policies[] = {
	{.name = "auto: nothing known", {AUTO, BY_MX}, TLS_WANT_MAY, "auto"},
	{.name = "auto: smtps", {AUTO, .implicit = true}, TLS_WANT_PKIX, "auto"},
	{.name = "auto: smtps on loopback",
		{AUTO, .implicit = true, .loopback = true},
		TLS_WANT_ENCRYPT,
		"auto"},
	{.name = "auto: a password", {AUTO, .credentials = true}, TLS_WANT_PKIX, "auto"},
	{.name = "none", {.level = TLS_LEVEL_NONE, .dane = DANE_USABLE}, TLS_WANT_CLEAR, "route"},
	{.name = "none over smtps",
		{.level = TLS_LEVEL_NONE, .implicit = true},
		TLS_WANT_ENCRYPT,
		"route"},
	{.name = "may is exact",
		{.level = TLS_LEVEL_MAY, .sts = STS_ENFORCED},
		TLS_WANT_MAY,
		"route"},
	{.name = "encrypt is exact",
		{.level = TLS_LEVEL_ENCRYPT, .sts = STS_MISMATCH},
		TLS_WANT_ENCRYPT,
		"route"},
	{.name = "verify", {.level = TLS_LEVEL_VERIFY}, TLS_WANT_PKIX, "route"},
	{.name = "verify by DANE",
		{.level = TLS_LEVEL_VERIFY, .dane = DANE_USABLE},
		TLS_WANT_DANE,
		"dane"},
	{.name = "verify, unusable TLSA",
		{.level = TLS_LEVEL_VERIFY, .dane = DANE_UNUSABLE},
		TLS_WANT_PKIX,
		"route"},
	{.name = "verify, bogus TLSA", {.level = TLS_LEVEL_VERIFY, .dane = DANE_FAILED}, 0, NULL},
	{.name = "dane", {.level = TLS_LEVEL_DANE, .dane = DANE_USABLE}, TLS_WANT_DANE, "dane"},
	{.name = "dane without records", {.level = TLS_LEVEL_DANE}, 0, NULL},
	{.name = "dane, unusable", {.level = TLS_LEVEL_DANE, .dane = DANE_UNUSABLE}, 0, NULL},
	{.name = "auto: TLSA", {AUTO, SECURE, .dane = DANE_USABLE}, TLS_WANT_DANE, "dane"},
	{.name = "auto: TLSA, insecure MX",
		{AUTO, BY_MX, .dane = DANE_USABLE},
		TLS_WANT_DANE,
		"dane"},
	{.name = "auto: unusable TLSA",
		{AUTO, SECURE, .dane = DANE_UNUSABLE},
		TLS_WANT_ENCRYPT,
		"dane"},
	{.name = "auto: bogus TLSA", {AUTO, SECURE, .dane = DANE_FAILED}, 0, NULL},
	{.name = "auto: bogus TLSA, STS fine",
		{AUTO, BY_MX, .dane = DANE_FAILED, .sts = STS_ENFORCED},
		0,
		NULL},
	{.name = "auto: DANE before STS",
		{AUTO, SECURE, .dane = DANE_USABLE, .sts = STS_MISMATCH},
		TLS_WANT_DANE,
		"dane"},
	{.name = "auto: TLSA of a host that the policy does not know, insecure MX",
		{AUTO, BY_MX, .dane = DANE_USABLE, .sts = STS_MISMATCH},
		0,
		NULL},
	{.name = "auto: STS", {AUTO, BY_MX, .sts = STS_ENFORCED}, TLS_WANT_PKIX, "sts"},
	{.name = "auto: STS, other host", {AUTO, BY_MX, .sts = STS_MISMATCH}, 0, NULL},
	{.name = "auto: STS testing",
		{AUTO, BY_MX, .sts = STS_TESTING},
		TLS_WANT_MAY,
		"sts",
		.test_names = true},
	{.name = "auto: unusable TLSA, STS",
		{AUTO, BY_MX, .dane = DANE_UNUSABLE, .sts = STS_ENFORCED},
		TLS_WANT_PKIX,
		"sts"},
	{.name = "TLS-Required: No",
		{AUTO, SECURE, .optional = true, .dane = DANE_FAILED, .sts = STS_MISMATCH},
		TLS_WANT_MAY,
		"tls-required: no"},
	{.name = "TLS-Required: No, the operator's word counts",
		{.level = TLS_LEVEL_ENCRYPT, .optional = true},
		TLS_WANT_ENCRYPT,
		"route"},
	{.name = "TLS-Required: No beside REQUIRETLS is ignored",
		{AUTO, SECURE, .optional = true, .requiretls = true},
		TLS_WANT_PKIX,
		"requiretls",
		.requiretls = true},
	{.name = "REQUIRETLS, unproved MX",
		{AUTO, BY_MX, .requiretls = true},
		0,
		NULL,
		.forever = true},
	{.name = "REQUIRETLS, STS",
		{AUTO, BY_MX, .requiretls = true, .sts = STS_ENFORCED},
		TLS_WANT_PKIX,
		"sts",
		.requiretls = true},
	{.name = "REQUIRETLS, DANE",
		{AUTO, SECURE, .requiretls = true, .dane = DANE_USABLE},
		TLS_WANT_DANE,
		"dane",
		.requiretls = true},
	{.name = "REQUIRETLS, smart host",
		{AUTO, .requiretls = true},
		TLS_WANT_PKIX,
		"requiretls",
		.requiretls = true},
	{.name = "REQUIRETLS raises a route",
		{.level = TLS_LEVEL_MAY, .requiretls = true},
		TLS_WANT_PKIX,
		"requiretls",
		.requiretls = true},
	{.name = "REQUIRETLS, none",
		{.level = TLS_LEVEL_NONE, .requiretls = true},
		0,
		NULL,
		.forever = true},
};

static void tls_decide__table(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(policies); i++) {
		const struct policy_case *c = &policies[i];
		struct tls_answer a = tls_decide(&c->q);
		bool good = c->by ? !a.skip && a.want == c->want && strcmp(a.by, c->by) == 0
				  : a.skip != NULL;
		if (!good || a.skip_forever != c->forever || a.requiretls != c->requiretls ||
			a.test_names != c->test_names)
			fail_msg("%s: want %s by %s, got %s by %s, skip %s, forever %d, "
				 "requiretls %d",
				c->name, tls_want_name(c->want), c->by ? c->by : "(skip)",
				tls_want_name(a.want), a.by, a.skip ? a.skip : "no", a.skip_forever,
				a.requiretls);
	}
}

static uint64_t lots(void *arg)
{
	uint64_t *n = arg;
	return (*n)--;
}

static void hosts_order__preference_then_lot(void **state)
{
	struct job_host set[] = {{SPAN_LIT("c"), 20}, {SPAN_LIT("a"), 10}, {SPAN_LIT("b"), 10},
		{SPAN_LIT("d"), 65535}};
	struct job j = {.hosts = set, .n_hosts = ARRAY_LEN(set)};
	struct span got[HOSTS_MAX];
	uint64_t falling = 100;
	(void)state;

	assert_int_equal(hosts_order(&j, lots, &falling, got), 4);
	const char *want = "bacd"; /* b has the lower lot */
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(got[i].ptr[0], want[i]);
}

static void hosts_order__bounded(void **state)
{
	static struct job_host set[1000];
	struct job j = {.hosts = set, .n_hosts = 1000};
	struct span got[HOSTS_MAX];
	(void)state;
	for (uint32_t i = 0; i < 1000; i++)
		set[i] = (struct job_host){SPAN_LIT("x"), (uint16_t)(i == 999 ? 0 : 1)};
	set[999].name = SPAN_LIT("first");
	assert_int_equal(hosts_order(&j, hosts_random, NULL, got), HOSTS_MAX);
	assert_true(span_equal(got[0], SPAN_LIT("first")));
	struct job single = {.host = SPAN_LIT("relay")};
	assert_int_equal(hosts_order(&single, hosts_random, NULL, got), 1);
}

static void refusal_is_of_address__table(void **state)
{
	static const struct {
		uint16_t code;
		const char *enhanced, *text;
		bool want;
	} table[] = {
		{550, "5.7.25", "5.7.25 no PTR", true},
		{550, "5.7.1", "5.7.1 Service unavailable; Client host [192.0.2.7] blocked using x",
			true},
		{554, "5.4.1", "554 Your access from 192.0.2.7 has been rejected", true},
		{550, "5.7.1", "[2001:db8::1] does not meet IPv6 sending guidelines regarding PTR",
			true},
		{421, "4.7.0", "4.7.0 [192.0.2.7 15] Our system has detected an unusual rate",
			true},
		{550, "5.1.1", "5.1.1 no such user", false},
		{550, "5.7.1", "5.7.1 message content rejected", false},
		{250, "2.0.0", "192.0.2.7", false},
		{452, "4.2.2", "4.2.2 192.0.2.7 over quota", false},
	};
	struct address local;
	(void)state;
	assert_int_equal(address_parse(SPAN_LIT("192.0.2.7"), 25, &local), 0);
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		bool got = refusal_is_of_address(table[i].code, span_str(table[i].enhanced),
			span_str(table[i].text), &local);
		if (got != table[i].want)
			fail_msg("%s: want %d, got %d", table[i].text, table[i].want, got);
	}
}

static void auth_choose__strongest(void **state)
{
	enum { CLEAR, TLS, SHOWN, SHOWN_ONLY };
	static const struct auth_means means[] = {
		[CLEAR] = {.password = true},
		[TLS] = {.tls = true, .password = true},
		[SHOWN] = {.tls = true, .certificate = true, .password = true},
		[SHOWN_ONLY] = {.tls = true, .certificate = true},
	};
	static const struct {
		const char *words;
		size_t means;
		const char *want;
	} table[] = {
		{"PLAIN LOGIN", TLS, "PLAIN"},
		{"LOGIN", CLEAR, "LOGIN"},
		{"plain SCRAM-SHA-1 XOAUTH2", CLEAR, "SCRAM-SHA-1"},
		{"SCRAM-SHA-256 SCRAM-SHA-256-PLUS PLAIN", TLS, "SCRAM-SHA-256-PLUS"},
		{"SCRAM-SHA-256 SCRAM-SHA-256-PLUS PLAIN", CLEAR, "SCRAM-SHA-256"},
		{"SCRAM-SHA-256 SCRAM-SHA-1-PLUS", TLS, "SCRAM-SHA-1-PLUS"},
		{"SCRAM-SHA-1-PLUS", CLEAR, "none"},
		{"CRAM-MD5 LOGIN", TLS, "LOGIN"},
		{"CRAM-MD5", TLS, "CRAM-MD5"},
		{"PLAIN EXTERNAL SCRAM-SHA-256-PLUS", SHOWN, "EXTERNAL"},
		{"PLAIN EXTERNAL", TLS, "PLAIN"},
		{"EXTERNAL", CLEAR, "none"},
		{"PLAIN SCRAM-SHA-256", SHOWN_ONLY, "none"},
		{"GSSAPI NTLM", TLS, "none"},
		{"", TLS, "none"},
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		const char *got = auth_mechanism_name(auth_choose(
			auth_mechanisms(span_str(table[i].words)), means[table[i].means]));
		if (strcmp(got, table[i].want) != 0)
			fail_msg("%s: want %s, got %s", table[i].words, table[i].want, got);
	}
}

static void dane_is_usable__table(void **state)
{
	static const struct {
		struct resolve_tlsa t;
		bool want;
	} table[] = {
		{{3, 1, 1, {"01234567890123456789012345678901", 32}}, true},
		{{2, 0, 1, {"01234567890123456789012345678901", 32}}, true},
		{{3, 1, 1, {"short", 5}}, false},
		{{3, 1, 2, {"01234567890123456789012345678901", 32}}, false},
		{{0, 1, 1, {"01234567890123456789012345678901", 32}}, false},
		{{1, 0, 1, {"01234567890123456789012345678901", 32}}, false},
		{{4, 0, 1, {"01234567890123456789012345678901", 32}}, false},
		{{3, 2, 1, {"01234567890123456789012345678901", 32}}, false},
		{{3, 1, 3, {"01234567890123456789012345678901", 32}}, false},
		{{3, 0, 0, {"no certificate", 14}}, false},
		{{3, 1, 0, {"", 0}}, false},
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++)
		if (dane_is_usable(&table[i].t) != table[i].want)
			fail_msg("row %zu: want %d", i, table[i].want);
}

static void ways_add_credentials__table(void **state)
{
	static const struct {
		const char *text, *user, *password; /* NULL: refused */
	} table[] = {
		{"ann:secret\n", "ann", "secret"},
		{"# a comment\n\nann@example.org:se:cr et\r\nbob:other\n", "ann@example.org",
			"se:cr et"},
		{"ann:secret", "ann", "secret"},
		{"", NULL, NULL},
		{"ann\n", NULL, NULL},
		{":secret\n", NULL, NULL},
		{"ann:\n", NULL, NULL},
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct ways *w;
		struct way way;
		struct arena *a = arena_new(1 << 16);
		struct job job = {.route = SPAN_LIT("relay")};
		assert_non_null(a);
		assert_int_equal(ways_new(NULL, &w), 0);
		int r = ways_add_credentials(w, "relay", span_str(table[i].text));
		assert_int_equal(r, table[i].user ? 0 : -EBADMSG);
		assert_int_equal(way_find(w, NULL, &job, 0, a, &way), 0);
		assert_true(way.wants_auth); /* a broken file never means "without" */
		if (table[i].user) {
			assert_string_equal(way.user, table[i].user);
			assert_string_equal(way.password, table[i].password);
		} else {
			assert_null(way.password);
		}
		way_done(&way);
		ways_free(w);
		arena_free(a);
	}
}

static void addresses_interleave__both_families(void **state)
{
	struct address v6[3], v4[2];
	struct addresses got = {0};
	(void)state;
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(
			address_parse(SPAN_LIT("[2001:db8::1]"), (uint16_t)(60 + i), &v6[i]), 0);
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(
			address_parse(SPAN_LIT("192.0.2.1"), (uint16_t)(40 + i), &v4[i]), 0);
	addresses_interleave(v6, 3, v4, 2, &got);
	static const uint16_t want[] = {60, 40, 61, 41, 62};
	assert_int_equal(got.n, 5);
	assert_false(got.loopback);
	for (unsigned i = 0; i < 5; i++)
		assert_int_equal(address_port(&got.list[i]), want[i]);
	addresses_remove(&got, 0);
	assert_int_equal(address_port(&got.list[0]), 40);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tls_decide__table),
		cmocka_unit_test(hosts_order__preference_then_lot),
		cmocka_unit_test(hosts_order__bounded),
		cmocka_unit_test(refusal_is_of_address__table),
		cmocka_unit_test(auth_choose__strongest),
		cmocka_unit_test(dane_is_usable__table),
		cmocka_unit_test(ways_add_credentials__table),
		cmocka_unit_test(addresses_interleave__both_families),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
