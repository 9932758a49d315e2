/* Addresses as names in the mail store. */
#include "support.h"

#include "deliver/maildir_name.h"

static void maildir_encode__table(void **state)
{
	(void)state;
	static const struct {
		struct span in;
		const char *want;
	} table[] = {
		{SPAN_LIT("bob"), "bob"},
		{SPAN_LIT(""), ""},
		{SPAN_LIT("."), "%2E"},
		{SPAN_LIT(".."), "%2E."},
		{SPAN_LIT(".hidden"), "%2Ehidden"},
		{SPAN_LIT("a.b."), "a.b."},
		{SPAN_LIT("../../etc/passwd"), "%2E.%2F..%2Fetc%2Fpasswd"},
		{SPAN_LIT("a/b"), "a%2Fb"},
		{SPAN_LIT("a%2Fb"), "a%252Fb"},
		{SPAN_LIT("a\0b"), "a%00b"},
		{SPAN_LIT("a\r\nb\x7f"), "a%0D%0Ab%7F"},
		{SPAN_LIT("b\xc3\xb6"), "b\xc3\xb6"},
		{SPAN_LIT("with space"), "with space"},
		{SPAN_LIT("{domain}"), "{domain}"},
	};
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct buf b = BUF_INIT(1024);
		maildir_encode(table[i].in, &b);
		buf_char(&b, '\0');
		assert_string_equal(b.ptr, table[i].want);
		buf_done(&b);
	}
}

static void maildir_expand__table(void **state)
{
	(void)state;
	char l255[256], l256[257];
	memset(l255, 'l', 255);
	memset(l256, 'l', 256);
	l255[255] = l256[256] = '\0';
	const struct {
		const char *template, *local, *domain, *want;
		int error;
	} table[] = {
		{"/var/mail/{domain}/{local}", "bob", "b.org", "var/mail/b.org/bob", 0},
		{"/var//mail/./{local}/", "bob", "", "var/mail/bob", 0},
		{"/m/{domain}-{local}/Maildir", "bob", "b.org", "m/b.org-bob/Maildir", 0},
		{"/m/{local}", "..", "b.org", "m/%2E.", 0},
		{"/m/{local}", "{domain}", "b.org", "m/{domain}", 0},
		{"/m/{local}", "", "b.org", NULL, -ENOENT},
		{"/m/{domain}/{local}", "bob", "", NULL, -ENOENT},
		{"/m/{user}", "bob", "b.org", NULL, -EINVAL},
		{"/m/{local", "bob", "b.org", NULL, -EINVAL},
		{"/m/{local}", l256, "b.org", NULL, -ENAMETOOLONG},
		{"/{local}", l255, "b.org", l255, 0},
		{"/m/x{local}", l255, "b.org", NULL, -ENAMETOOLONG},
		{"/shared", "bob", "b.org", "shared", 0},
	};
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct buf b = BUF_INIT(MAILDIR_FOLDER_MAX);
		int r = maildir_expand(span_str(table[i].template), span_str(table[i].local),
			span_str(table[i].domain), &b);
		if (r != table[i].error)
			print_error("%s %s: want %d, got %d\n", table[i].template, table[i].local,
				table[i].error, r);
		assert_int_equal(r, table[i].error);
		buf_char(&b, '\0');
		if (r == 0)
			assert_string_equal(b.ptr, table[i].want);
		buf_done(&b);
	}
}

static void maildir_below__table(void **state)
{
	(void)state;
	static const struct {
		const char *folder, *prefix, *want; /* NULL: not below */
	} table[] = {
		{"var/mail/b.org/bob", "/var/mail", "b.org/bob"},
		{"var/mail/b.org/bob", "/var/mail/", "b.org/bob"},
		{"var/mail/b.org/bob", "/var/./mail//b.org", "bob"},
		{"var/mail/b.org", "/var/mail/b.org", ""},
		{"var/mail", "/var/mail/b.org", NULL},
		{"var/mailbox/bob", "/var/mail", NULL},
		{"var/mail/b.org.evil/bob", "/var/mail/b.org", NULL},
		{"var/mail/../etc", "/var/mail", NULL},
		{"srv/../mail/bob", "/srv/../mail", "bob"},
		{"anything", "/", "anything"},
	};
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct span rest = SPAN_LIT("unset");
		bool below =
			maildir_below(span_str(table[i].folder), span_str(table[i].prefix), &rest);
		if (below != (table[i].want != NULL))
			print_error(
				"%s under %s: got %d\n", table[i].folder, table[i].prefix, below);
		assert_int_equal(below, table[i].want != NULL);
		if (below)
			assert_true(span_equal(rest, span_str(table[i].want)));
	}
}

static void maildir_stem__is_of_the_message(void **state)
{
	(void)state;
	struct job j = {.message = 0x1234, .arrival_wall_usec = UINT64_C(1763781000000042)};
	struct buf b = BUF_INIT(256);
	maildir_stem(&j, 3, &b);
	maildir_hostname(SPAN_LIT("a/b:c\n.org"), &b);
	buf_char(&b, '\0');
	assert_string_equal(b.ptr, "1763781000.M42V4HMR3.a\\057b\\072c.org");
	buf_done(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(maildir_encode__table),
		cmocka_unit_test(maildir_expand__table),
		cmocka_unit_test(maildir_below__table),
		cmocka_unit_test(maildir_stem__is_of_the_message),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
