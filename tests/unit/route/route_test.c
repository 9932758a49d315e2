/* Twin of src/route: tables first, one loop after. */
#include "route/route.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <fcntl.h>
#include <unistd.h>
#include <sys/stat.h>
#include <cmocka.h>

static const char users_text[] =
	"# people\nada:$y$hash:scram\nBob:\r\n\n  carol : \nfull+tag:x\nada:again";
static const char aliases_text[] =
	"# lists\n"
	"all: ada, bob,\n"
	"  carol@far.example\n"
	"chain1: chain2\nchain2: chain3\nchain3: ada\n"
	"loop1: loop2\nloop2: loop1\n"
	"self: self, bob\n"
	"bob: bob, backup@far.example\n"
	"\"odd, name\": ada\n"
	"gone: nobody\n"
	"dup: ada, ADA, ada+x, ada@one.example\n"
	"evil: |/bin/sh\nevil2: /etc/passwd\nevil3: :include:/etc/passwd\n"
	"case: Bob@far.example, bob@FAR.example\n";

struct world {
	struct config *config;
	struct route_tables tables[8];
	struct route route;
	struct buf notes;
	char path[64];
};

static int set_up(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	struct buf errors = BUF_INIT(65536);
	static const char text[] =
		"hostname = \"mx.one.example\"\ndata = \"/tmp/x\"\n"
		"listener \"mx\" { address = {\"127.0.0.1:2525\"} }\n"
		"relay { from = {\"127.0.0.0/8\"} via = \"smtp://127.0.0.1:2626\" }\n"
		"route \"partner.example\" { via = \"lmtp:unix:/run/lmtp\" }\n"
		"route \".sub.example\" { via = \"discard:\" }\n"
		"route \"from:news.example\" { via = \"smtp://127.0.0.1:2727\" }\n"
		"route \"from:boss@news.example\" { via = \"smtp://127.0.0.1:2828\" }\n"
		"route \"deep.sub.example\" { via = \"hold\" }\n"
		"domain \"one.example\" { users = \"file:/tmp/u\" aliases = \"file:/tmp/a\" "
		"deliver = "
		"\"maildir:/m/{domain}/{local}\" }\n"
		"domain \"any.example\" { users = \"any\" deliver = "
		"\"maildir:/m/{domain}/{local}\" }\n"
		"domain \"catch.example\" { users = \"file:/tmp/u\" catch_all = "
		"\"ada@one.example\" deliver = "
		"\"maildir:/m/{domain}/{local}\" }\n";

	assert_non_null(w);
	(void)snprintf(w->path, sizeof(w->path), "/tmp/postrider-route-XXXXXX");
	int fd = mkstemp(w->path);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, sizeof(text) - 1), sizeof(text) - 1);
	(void)close(fd);
	if (config_load(w->path, &w->config, &errors) < 0)
		fail_msg("%.*s", (int)errors.len, errors.ptr);
	w->notes = BUF_INIT(65536);
	for (size_t i = 0; i < w->config->n_domains; i++) {
		if (w->config->domains[i].users == USERS_FILE)
			assert_int_equal(users_file_parse(SPAN_LIT(users_text), "u",
						 &w->tables[i].users, &w->notes),
				0);
		if (w->config->domains[i].aliases_path)
			assert_int_equal(aliases_parse(SPAN_LIT(aliases_text), "a",
						 &w->tables[i].aliases, &w->notes),
				0);
	}
	w->route = (struct route){w->config, w->tables, NULL};
	buf_done(&errors);
	*state = w;
	return 0;
}

static int tear_down(void **state)
{
	struct world *w = *state;

	for (size_t i = 0; i < w->config->n_domains; i++) {
		users_file_free(w->tables[i].users);
		aliases_free(w->tables[i].aliases);
	}
	config_free(w->config);
	buf_done(&w->notes);
	(void)unlink(w->path);
	free(w);
	return 0;
}

static void route_lookup__every_kind(void **state)
{
	struct world *w = *state;
	static const struct {
		const char *address;
		enum lookup_status want;
	} rows[] = {
		{"ada@one.example", LOOKUP_OK},
		{"ADA@ONE.example", LOOKUP_OK},
		{"bob@one.example", LOOKUP_OK},
		{"carol@one.example", LOOKUP_OK},
		{"ada+tag@one.example", LOOKUP_OK},
		{"all@one.example", LOOKUP_OK},
		{"all+tag@one.example", LOOKUP_OK},
		{"\"odd, name\"@one.example", LOOKUP_OK},
		{"\"ada\"@one.example", LOOKUP_OK},
		{"nobody@one.example", LOOKUP_UNKNOWN_USER},
		{"evil@one.example", LOOKUP_UNKNOWN_USER},
		{"evil2@one.example", LOOKUP_UNKNOWN_USER},
		{"+tag@one.example", LOOKUP_UNKNOWN_USER},
		{"postmaster@one.example", LOOKUP_OK},
		{"Postmaster", LOOKUP_OK},
		{"whoever@any.example", LOOKUP_OK},
		{"nobody@catch.example", LOOKUP_OK},
		{"x@far.example", LOOKUP_NOT_LOCAL},
		{"x@[192.0.2.1]", LOOKUP_NOT_LOCAL},
		{"not an address", LOOKUP_UNKNOWN_USER},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		enum lookup_status got = route_lookup(&w->route, span_str(rows[i].address));
		if (got != rows[i].want)
			fail_msg("%s: want %d, got %d", rows[i].address, rows[i].want, got);
	}
}

static void route_lookup__unreadable_table_is_temporary(void **state)
{
	struct world *w = *state;
	struct route_tables tables[8] = {0};
	struct route r = {w->config, tables, NULL};

	for (size_t i = 0; i < 8; i++)
		tables[i].unreadable = true;
	assert_int_equal(route_lookup(&r, SPAN_LIT("ada@one.example")), LOOKUP_TEMPORARY);
	struct arena *a = arena_new(1 << 20);
	struct expand_ask ask = {.address = SPAN_LIT("ada@one.example")};
	struct hop hop;
	assert_int_equal(route_next_hop(&r, &ask, a, &hop), 0);
	assert_int_equal(hop.kind, HOP_TEMPORARY);
	arena_free(a);
}

static void route_expand__every_kind(void **state)
{
	struct world *w = *state;
	static const struct {
		const char *address;
		enum lookup_status status;
		const char *want; /* addresses joined by " " */
	} rows[] = {
		{"ada@one.example", LOOKUP_OK, "ada@one.example"},
		{"ada+tag@one.example", LOOKUP_OK, "ada@one.example"},
		{"full+tag@one.example", LOOKUP_OK, "full+tag@one.example"},
		{"x+y@any.example", LOOKUP_OK, "x@any.example"},
		{"all@one.example", LOOKUP_OK,
			"ada@one.example bob@one.example carol@far.example backup@far.example"},
		{"chain1@one.example", LOOKUP_OK, "ada@one.example"},
		{"loop1@one.example", LOOKUP_LOOP, ""},
		{"self@one.example", LOOKUP_OK, "bob@one.example backup@far.example"},
		{"bob@one.example", LOOKUP_OK, "bob@one.example backup@far.example"},
		{"case@one.example", LOOKUP_OK, "Bob@far.example bob@far.example"},
		{"dup@one.example", LOOKUP_OK, "ada@one.example"},
		{"nobody@catch.example", LOOKUP_OK, "ada@one.example"},
		{"x@far.example", LOOKUP_OK, "x@far.example"},
		{"broken address", LOOKUP_UNKNOWN_USER, ""},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct arena *a = arena_new(1 << 20);
		struct expand_ask ask = {.token = 7, .address = span_str(rows[i].address)};
		struct expand_answer got;
		struct buf b = BUF_INIT(65536);
		assert_int_equal(route_expand(&w->route, &ask, a, &got), 0);
		for (uint32_t j = 0; j < got.n_children; j++) {
			if (j)
				buf_char(&b, ' ');
			buf_put(&b, got.children[j].address);
		}
		if (got.status != rows[i].status ||
			!span_equal(buf_span(&b), span_str(rows[i].want)))
			fail_msg("%s: want %d '%s', got %d '%.*s'", rows[i].address, rows[i].status,
				rows[i].want, got.status, (int)b.len, b.ptr);
		buf_done(&b);
		arena_free(a);
	}
}

static void route_next_hop__every_kind(void **state)
{
	struct world *w = *state;
	static const struct {
		const char *address, *via;
		enum hop_kind kind;
		enum job_via how;
		const char *site;
	} rows[] = {
		{"ada@one.example", "", HOP_DELIVER, JOB_MAILDIR, "maildir:/m/one.example/{local}"},
		{"gone@one.example", "", HOP_FAIL, 0, NULL},
		{"x@far.example", "", HOP_DELIVER, JOB_SMTP, "smtp://127.0.0.1:2626"},
		{"x@partner.example", "", HOP_DELIVER, JOB_LMTP, "lmtp:unix:/run/lmtp"},
		{"x@PARTNER.example", "", HOP_DELIVER, JOB_LMTP, "lmtp:unix:/run/lmtp"},
		{"x@a.sub.example", "", HOP_DELIVER, JOB_DISCARD, "discard:"},
		{"x@deep.sub.example", "", HOP_HOLD, 0, NULL},
		{"x@deep.sub.example", "smtp://127.0.0.1:9", HOP_DELIVER, JOB_SMTP,
			"smtp://127.0.0.1:9"},
		{"x@far.example", "nonsense", HOP_HOLD, 0, NULL},
		{"x@FAR.example", "mx", HOP_MX, 0, "mx:far.example"},
		{"x@\xc3\xa4.example", "mx", HOP_MX, 0, "mx:xn--4ca.example"},
		{"x@[192.0.2.1]", "mx", HOP_DELIVER, JOB_SMTP, "smtp://192.0.2.1:25"},
		{"x@[IPv6:2001:db8::1]", "mx", HOP_DELIVER, JOB_SMTP, "smtp://2001:db8::1:25"},
		{"ada@one.example", "maildir:/q/{domain}/{local}", HOP_DELIVER, JOB_MAILDIR,
			"maildir:/q/one.example/{local}"},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct arena *a = arena_new(1 << 20);
		struct expand_ask ask = {
			.address = span_str(rows[i].address), .via = span_str(rows[i].via)};
		struct hop hop = {0};
		assert_int_equal(route_next_hop(&w->route, &ask, a, &hop), 0);
		bool site = !rows[i].site || span_equal(hop.site, span_str(rows[i].site));
		if (hop.kind != rows[i].kind ||
			(hop.kind == HOP_DELIVER && hop.via != rows[i].how) || !site)
			fail_msg("%s: want %d by %d, got %d by %d at %.*s", rows[i].address,
				rows[i].kind, rows[i].how, hop.kind, hop.via, (int)hop.site.len,
				hop.site.ptr);
		arena_free(a);
	}
}

static void route_next_hop__by_sender(void **state)
{
	struct world *w = *state;
	static const struct {
		const char *sender, *address, *site;
	} rows[] = {
		{"x@news.example", "y@far.example", "smtp://127.0.0.1:2727"},
		{"X@NEWS.example", "y@far.example", "smtp://127.0.0.1:2727"},
		{"Boss@news.example", "y@far.example", "smtp://127.0.0.1:2828"},
		{"x@other.example", "y@far.example", "smtp://127.0.0.1:2626"},
		{"x@sub.news.example", "y@far.example", "smtp://127.0.0.1:2626"},
		{"", "y@far.example", "smtp://127.0.0.1:2626"},
		{"boss@news.example", "y@a.sub.example", "discard:"},
		{"boss@news.example", "ada@one.example", "maildir:/m/one.example/{local}"},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct arena *a = arena_new(1 << 20);
		struct expand_ask ask = {.address = span_str(rows[i].address),
			.reverse_path = span_str(rows[i].sender)};
		struct hop hop = {0};
		assert_int_equal(route_next_hop(&w->route, &ask, a, &hop), 0);
		if (!span_equal(hop.site, span_str(rows[i].site)))
			fail_msg("from %s to %s: want %s, got %.*s", rows[i].sender,
				rows[i].address, rows[i].site, SPAN_FMT(hop.site));
		arena_free(a);
	}
}

static void tables__problems_name_file_and_line(void **state)
{
	struct world *w = *state;
	static const char *const want[] = {"u:7:", "a:14:", "a:15:", "a:16:"};

	for (size_t i = 0; i < ARRAY_LEN(want); i++)
		if (!memmem(w->notes.ptr, w->notes.len, want[i], strlen(want[i])))
			fail_msg("want %s in %.*s", want[i], (int)w->notes.len, w->notes.ptr);
}

static void tables__bad_lines_leave_names_in_doubt(void **state)
{
	struct world *w = *state;
	struct route_tables tables[8] = {0};
	struct route r = {w->config, tables, NULL};
	struct buf errors = BUF_INIT(4096);

	for (size_t i = 0; i < w->config->n_domains; i++)
		assert_int_equal(users_file_parse(SPAN_LIT("ada:\nbad name:\n"), "u",
					 &tables[i].users, &errors),
			0);
	assert_false(users_file_complete(tables[0].users));
	assert_non_null(memmem(errors.ptr, errors.len, "u:2:", 4));
	assert_int_equal(route_lookup(&r, SPAN_LIT("ada@one.example")), LOOKUP_OK);
	assert_int_equal(route_lookup(&r, SPAN_LIT("other@one.example")), LOOKUP_TEMPORARY);
	assert_int_equal(route_lookup(&r, SPAN_LIT("other@catch.example")), LOOKUP_TEMPORARY);
	for (size_t i = 0; i < w->config->n_domains; i++)
		users_file_free(tables[i].users);
	struct aliases *a;
	assert_int_equal(aliases_parse(SPAN_LIT("nocolon\n"), "a", &a, &errors), 0);
	assert_false(aliases_complete(a));
	aliases_free(a);
	assert_int_equal(aliases_parse(SPAN_LIT("\xef\xbb\xbf"
						"x: |cmd, \\ada\n"),
				 "a", &a, &errors),
		0);
	assert_true(aliases_complete(a));
	const struct alias *x = aliases_find(a, SPAN_LIT("x"));
	assert_non_null(x);
	assert_int_equal(x->n_targets, 1);
	assert_true(span_equal(x->targets[0], SPAN_LIT("ada")));
	aliases_free(a);
	buf_done(&errors);
}

static void route_expand__unreadable_table_waits(void **state)
{
	struct world *w = *state;
	struct route_tables tables[8] = {0};
	struct route r = {w->config, tables, NULL};
	struct arena *a = arena_new(1 << 20);
	struct expand_ask ask = {.address = SPAN_LIT("x@catch.example")};
	struct expand_answer got;

	for (size_t i = 0; i < 8; i++)
		tables[i].unreadable = true;
	assert_int_equal(route_expand(&r, &ask, a, &got), 0);
	assert_int_equal(got.status, LOOKUP_TEMPORARY);
	assert_int_equal(got.n_children, 0);
	assert_int_equal(route_lookup(&r, ask.address), LOOKUP_TEMPORARY);
	arena_free(a);
}

static struct config *config_of(const char *path, struct span text)
{
	struct buf errors = BUF_INIT(65536);
	struct config *c = NULL;
	int fd = open(path, O_WRONLY | O_TRUNC);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text.ptr, text.len), text.len);
	(void)close(fd);
	if (config_load(path, &c, &errors) < 0)
		fail_msg("%.*s", (int)errors.len, errors.ptr);
	buf_done(&errors);
	return c;
}

static void expect_many(const struct config *c, unsigned many)
{
	struct route r = {.config = c};
	struct arena *a = arena_new(1 << 20);

	for (unsigned i = 0; i <= many; i++) {
		char address[64], want[64];
		struct hop hop;
		(void)snprintf(address, sizeof(address), "x@D%u.Many.example", i);
		(void)snprintf(want, sizeof(want), "smtp://127.0.0.1:%u", i < many ? 1000 + i : 2);
		struct expand_ask ask = {.address = span_str(address)};
		assert_int_equal(route_next_hop(&r, &ask, a, &hop), 0);
		if (!span_equal(hop.site, span_str(want)))
			fail_msg("%s: want %s, got %.*s", address, want, SPAN_FMT(hop.site));
		arena_reset(a);
	}
	assert_ptr_equal(config_route(c, SPAN_LIT("*")), &c->routes[0]);
	assert_ptr_equal(config_route(c, SPAN_LIT(".MANY.example")), &c->routes[1]);
	assert_null(config_route(c, SPAN_LIT("many.example")));
	arena_free(a);
}

/* Titles in no order, among others that are no whole domains; as read, and as a role gets them. */
static void route_next_hop__of_many_routes(void **state)
{
	struct world *w = *state;
	struct buf text = BUF_INIT(1 << 20), dump = BUF_INIT(1 << 20);
	enum { MANY = 1000, STEP = 377 };

	buf_str(&text, "hostname = \"mx.one.example\"\ndata = \"/tmp/x\"\n"
		       "listener \"mx\" { address = {\"127.0.0.1:2525\"} }\n"
		       "relay { from = {\"127.0.0.0/8\"} }\n"
		       "route \"*\" { via = \"smtp://127.0.0.1:1\" }\n"
		       "route \".many.example\" { via = \"smtp://127.0.0.1:2\" }\n");
	for (unsigned i = 0; i < MANY; i++)
		buf_printf(&text, "route \"d%u.many.example\" { via = \"smtp://127.0.0.1:%u\" }\n",
			i * STEP % MANY, 1000 + i * STEP % MANY);
	struct config *c = config_of(w->path, buf_span(&text)), *of_role = NULL;
	config_dump(c, &dump);
	assert_int_equal(config_parse_dump(buf_span(&dump), &of_role), 0);
	expect_many(c, MANY);
	expect_many(of_role, MANY);
	config_free(c);
	config_free(of_role);
	buf_done(&text);
	buf_done(&dump);
}

static void expect_file(const char *path, const char *want, mode_t mode)
{
	char got[512] = "";
	struct stat st;
	FILE *f = fopen(path, "re");

	assert_non_null(f);
	assert_int_equal(fstat(fileno(f), &st), 0);
	got[fread(got, 1, sizeof(got) - 1, f)] = '\0';
	(void)fclose(f);
	assert_string_equal(got, want);
	assert_int_equal(st.st_mode & 0777, mode);
}

/* What stands behind bob's name. */
static void assert_bob(const char *path, const char *want)
{
	struct buf text = BUF_INIT(1 << 20), errors = BUF_INIT(4096);
	struct users_file *u = NULL;
	struct span rest = SPAN_NULL;
	int fd = open(path, O_RDONLY);

	assert_int_equal(buf_read_fd(&text, fd), 0);
	close(fd);
	assert_int_equal(users_file_parse(buf_span(&text), path, &u, &errors), 0);
	assert_true(users_file_hash(u, SPAN_LIT("bob"), &rest));
	if (!span_equal(span_str(want), rest))
		fail_msg("want %s, got %.*s", want, SPAN_FMT(rest));
	users_file_free(u);
	buf_done(&text);
	buf_done(&errors);
}

static void users_file_edit__keeps_the_rest(void **state)
{
	(void)state;
	char folder[] = "/tmp/postrider-users-XXXXXX", path[128];

	assert_non_null(mkdtemp(folder));
	(void)snprintf(path, sizeof(path), "%s/users", folder);
	assert_int_equal(users_file_edit(path, USERS_REMOVE, SPAN_LIT("ada"), SPAN_NULL), -ENOENT);
	assert_int_equal(users_file_edit(path, USERS_ADD, SPAN_LIT("ada"), SPAN_LIT("h1")), 0);
	expect_file(path, "ada:h1\n", 0600);
	assert_int_equal(chmod(path, 0640), 0);
	FILE *f = fopen(path, "ae");
	assert_non_null(f);
	(void)fputs("# a comment\nbob:", f);
	(void)fclose(f);
	assert_int_equal(users_file_edit(path, USERS_ADD, SPAN_LIT("ADA"), SPAN_LIT("x")), -EEXIST);
	assert_int_equal(users_file_edit(path, USERS_CHANGE, SPAN_LIT("Bob"), SPAN_LIT("h2")), 0);
	expect_file(path, "ada:h1\n# a comment\nbob:h2\n", 0640);
	assert_int_equal(
		users_file_edit(path, USERS_CHANGE, SPAN_LIT("bob"), SPAN_LIT("x\nroot:y")),
		-EINVAL);
	char link[160];
	(void)snprintf(link, sizeof(link), "%s.link", path);
	assert_int_equal(symlink(path, link), 0);
	/* Fields only while the hash is that one. */
	assert_int_equal(
		users_file_edit(path, USERS_ADD_FIELDS, SPAN_LIT("bob"), SPAN_LIT("h1:{X}1")),
		-ENOENT);
	assert_int_equal(
		users_file_edit(path, USERS_ADD_FIELDS, SPAN_LIT("nobody"), SPAN_LIT("h2:{X}1")),
		-ENOENT);
	assert_int_equal(
		users_file_edit(path, USERS_ADD_FIELDS, SPAN_LIT("BOB"), SPAN_LIT("h2:{X}1:{Y}2")),
		0);
	assert_bob(path, "h2:{X}1:{Y}2");
	assert_int_equal(users_file_edit(path, USERS_CHANGE, SPAN_LIT("bob"), SPAN_LIT("h2")), 0);
	assert_int_equal(users_file_edit(link, USERS_REMOVE, SPAN_LIT("ada"), SPAN_NULL), 0);
	struct stat st;
	assert_int_equal(lstat(link, &st), 0);
	assert_true(S_ISLNK(st.st_mode));
	assert_int_equal(unlink(link), 0);
	expect_file(path, "# a comment\nbob:h2\n", 0640);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(folder), 0);
}

static void users_file__a_hundred_thousand(void **state)
{
	(void)state;
	struct buf b = BUF_INIT(USERS_FILE_MAX), errors = BUF_INIT(4096);
	struct users_file *u;

	for (unsigned i = 0; i < 100000; i++)
		buf_printf(&b, "user%u:\n", i);
	assert_int_equal(users_file_parse(buf_span(&b), "u", &u, &errors), 0);
	assert_int_equal(users_file_count(u), 100000);
	assert_true(users_file_has(u, SPAN_LIT("USER99999")));
	assert_false(users_file_has(u, SPAN_LIT("user100000")));
	assert_int_equal(errors.len, 0);
	users_file_free(u);
	buf_done(&b);
	buf_done(&errors);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(route_lookup__every_kind, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			route_lookup__unreadable_table_is_temporary, set_up, tear_down),
		cmocka_unit_test_setup_teardown(route_expand__every_kind, set_up, tear_down),
		cmocka_unit_test_setup_teardown(route_next_hop__every_kind, set_up, tear_down),
		cmocka_unit_test_setup_teardown(route_next_hop__by_sender, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			tables__problems_name_file_and_line, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			tables__bad_lines_leave_names_in_doubt, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			route_expand__unreadable_table_waits, set_up, tear_down),
		cmocka_unit_test_setup_teardown(route_next_hop__of_many_routes, set_up, tear_down),
		cmocka_unit_test(users_file_edit__keeps_the_rest),
		cmocka_unit_test(users_file__a_hundred_thousand),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
