/* Targets and names as operators write them. */
#include "fixture.h"
#include "config/check.h"
#include "config/name.h"
#include <stdio.h>

static void target_parse__spellings(void **state)
{
	static const struct {
		const char *text;
		enum target_kind kind; /* TARGET_NONE: refused */
		const char *host;
		uint16_t port;
		const char *path;
	} table[] = {
		{"smtp://127.0.0.1:2626", TARGET_SMTP, "127.0.0.1", 2626, NULL},
		{"smtp:127.0.0.1:2626", TARGET_SMTP, "127.0.0.1", 2626, NULL},
		{"smtp://mx.example.org", TARGET_SMTP, "mx.example.org", 25, NULL},
		{"SMTP://mx.example.org/", TARGET_SMTP, "mx.example.org", 25, NULL},
		{"smtp://[::1]:2626", TARGET_SMTP, "::1", 2626, NULL},
		{"smtp://[::1]", TARGET_SMTP, "::1", 25, NULL},
		{"smtps://h", TARGET_SMTPS, "h", 465, NULL},
		{"lmtp://h", TARGET_LMTP, "h", 24, NULL},
		{"lmtp:h:2424", TARGET_LMTP, "h", 2424, NULL},
		{"lmtp:unix:/run/lmtp", TARGET_LMTP, NULL, 0, "/run/lmtp"},
		{"maildir:/m/{domain}/{local}", TARGET_MAILDIR, NULL, 0, "/m/{domain}/{local}"},
		{"maildir:/m", TARGET_MAILDIR, NULL, 0, "/m"},
		{"maildir:{data}/m/{local}", TARGET_MAILDIR, NULL, 0, "{data}/m/{local}"},
		{"pipe:/bin/cat -u", TARGET_PIPE, NULL, 0, "/bin/cat -u"},
		{"mx", TARGET_MX, NULL, 0, NULL},
		{"mx:", TARGET_MX, NULL, 0, NULL},
		{"discard:", TARGET_DISCARD, NULL, 0, NULL},
		{"discard", TARGET_DISCARD, NULL, 0, NULL},
		{"hold", TARGET_HOLD, NULL, 0, NULL},
		{"", TARGET_NONE, NULL, 0, NULL},
		{"smtp", TARGET_NONE, NULL, 0, NULL},
		{"smtp:", TARGET_NONE, NULL, 0, NULL},
		{"smtp://", TARGET_NONE, NULL, 0, NULL},
		{"smtp://:25", TARGET_NONE, NULL, 0, NULL},
		{"smtp://h:", TARGET_NONE, NULL, 0, NULL},
		{"smtp://h:0", TARGET_NONE, NULL, 0, NULL},
		{"smtp://h:65536", TARGET_NONE, NULL, 0, NULL},
		{"smtp://h:x", TARGET_NONE, NULL, 0, NULL},
		{"smtp://::1:25", TARGET_NONE, NULL, 0, NULL},
		{"smtp://[h]:25", TARGET_NONE, NULL, 0, NULL},
		{"smtp://[::1", TARGET_NONE, NULL, 0, NULL},
		{"smtp://[::1]25", TARGET_NONE, NULL, 0, NULL},
		{"smtp://a b", TARGET_NONE, NULL, 0, NULL},
		{"lmtp:unix:", TARGET_NONE, NULL, 0, NULL},
		{"maildir:", TARGET_NONE, NULL, 0, NULL},
		{"maildir:/m/{user}", TARGET_NONE, NULL, 0, NULL},
		{"maildir:/m/{local", TARGET_NONE, NULL, 0, NULL},
		{"maildir:/m/local}", TARGET_NONE, NULL, 0, NULL},
		{"maildir:/m/}{", TARGET_NONE, NULL, 0, NULL},
		{"pipe:", TARGET_NONE, NULL, 0, NULL},
		{"mx:x", TARGET_NONE, NULL, 0, NULL},
		{"hold:x", TARGET_NONE, NULL, 0, NULL},
		{"http://x", TARGET_NONE, NULL, 0, NULL},
	};
	(void)state;

	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct target t = {.kind = TARGET_NONE};
		const char *why = "";
		int r = target_parse(table[i].text, &t, &why);
		if (table[i].kind == TARGET_NONE ? r != -EINVAL || !why
						 : r != 0 || t.kind != table[i].kind)
			fail_msg("'%s': want kind %d, got %d, %d (%s)", table[i].text,
				(int)table[i].kind, r, (int)t.kind, why ? why : "");
		if (r < 0)
			continue;
		if ((t.host ? 1 : 0) != (table[i].host ? 1 : 0) ||
			(t.host && strcmp(t.host, table[i].host) != 0) || t.port != table[i].port)
			fail_msg("'%s': want %s %u, got %s %u", table[i].text,
				table[i].host ? table[i].host : "none", table[i].port,
				t.host ? t.host : "none", t.port);
		if ((t.path ? 1 : 0) != (table[i].path ? 1 : 0) ||
			(t.path && strcmp(t.path, table[i].path) != 0))
			fail_msg("'%s': want path %s, got %s", table[i].text,
				table[i].path ? table[i].path : "none", t.path ? t.path : "none");
		assert_string_equal(t.text, table[i].text);
		target_done(&t);
	}
}

static void config_maildir_prefix__templates(void **state)
{
	static const struct {
		const char *text, *prefix;
	} table[] = {
		{"maildir:/var/mail/{domain}/{local}", "/var/mail"},
		{"maildir:/var/mail/x-{local}", "/var/mail"},
		{"maildir:/var/mail//{local}/y", "/var/mail"},
		{"maildir:/{local}", "/"},
		{"maildir:/srv/one", "/srv/one"},
		{"discard:", ""},
		{"lmtp:unix:/run/x", ""},
	};
	(void)state;

	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct target t;
		const char *why;
		struct buf out = BUF_INIT(4096);
		assert_int_equal(target_parse(table[i].text, &t, &why), 0);
		config_maildir_prefix(&t, &out);
		if (!span_equal(buf_span(&out), span_str(table[i].prefix)))
			fail_msg("'%s': want '%s', got '%.*s'", table[i].text, table[i].prefix,
				SPAN_FMT(out));
		buf_done(&out);
		target_done(&t);
	}
}

static void name_problem__names(void **state)
{
	static const char *const good[] = {"a", "localhost", "mx.example.org", "1and1.example",
		"xn--mller-kva.example", "a_b.c"};
	static const char *const bad[] = {"", ".", "a.", ".a", "a..b", "-a.b", "a-.b", "a b", "a/b",
		"127.0.0.1", "::1", "m\xc3\xbcller.example",
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.b"};
	(void)state;

	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		if (name_problem(span_str(good[i])))
			fail_msg("'%s': want good, got '%s'", good[i],
				name_problem(span_str(good[i])));
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		if (!name_problem(span_str(bad[i])))
			fail_msg("'%s': want a problem", bad[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(target_parse__spellings),
		cmocka_unit_test(config_maildir_prefix__templates),
		cmocka_unit_test(name_problem__names),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
