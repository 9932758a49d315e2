/* Twin of src/directory: the role with its process faked, asked over channels as receivers and the
 * dispatcher ask. */
#include "directory/directory.h"
#include "base/log.h"
#include "ipc/lookup.h"
#include "net/channel.h"
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#define FDS_MAX 8u

/* ---- the process ---- */

/* The fakes stay reachable to the end, as a role's state does: it ends with its process. */
struct role_process {
	void *state;
	struct config *config;
	const char *names[FDS_MAX];
	int fds[FDS_MAX];
	unsigned finished;
};
static struct role_process processes[16];
static unsigned n_processes;

void role_set_state(struct role_process *p, void *state)
{
	p->state = state;
}

void *role_state(const struct role_process *p)
{
	return p->state;
}

const struct config *role_config(const struct role_process *p)
{
	return p->config;
}

int role_fd(const struct role_process *p, const char *name)
{
	for (size_t i = 0; i < FDS_MAX; i++)
		if (p->names[i] && strcmp(p->names[i], name) == 0)
			return p->fds[i];
	return -1;
}

int role_send_supervisor(struct role_process *p, uint16_t type, struct span payload)
{
	(void)p;
	(void)type;
	(void)payload;
	return 0;
}

void role_finished(struct role_process *p)
{
	p->finished++;
}

static void set_fd(struct role_process *p, const char *name, int fd)
{
	size_t i = 0;

	while (p->names[i] && strcmp(p->names[i], name) != 0)
		i++;
	if (p->names[i])
		fd_close(p->fds[i]);
	p->names[i] = name;
	p->fds[i] = fd;
}

static void set_table(struct role_process *p, const char *name, const char *text)
{
	int fd = memfd_create(name, MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	set_fd(p, name, fd);
}

/* Opens, and cannot be read. */
static void break_table(struct role_process *p, const char *name)
{
	int fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	assert_true(fd >= 0);
	set_fd(p, name, fd);
}

static struct config *load(const char *more)
{
	char path[] = "/tmp/postrider-directory-XXXXXX";
	struct buf errors = BUF_INIT(65536), text = BUF_INIT(65536);
	struct config *c = NULL;
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	buf_printf(&text,
		"hostname = \"mx.one.example\"\ndata = \"/tmp/x\"\n"
		"listener \"mx\" { address = {\"127.0.0.1:2525\"} }\n"
		"relay { from = {\"127.0.0.0/8\"} via = \"smtp://127.0.0.1:2626\" }\n"
		"domain \"any.example\" { users = \"any\" deliver = \"maildir:/m/{local}\" }\n"
		"domain \"one.example\" { users = \"file:/t/u\" aliases = \"file:/t/a\" "
		"deliver = \"maildir:/m/{domain}/{local}\" }\n%s\n",
		more);
	assert_int_equal(write(fd, text.ptr, text.len), text.len);
	fd_close(fd);
	if (config_load(path, &c, &errors) < 0)
		fail_msg("config: %.*s", SPAN_FMT(buf_span(&errors)));
	(void)unlink(path);
	buf_done(&errors);
	buf_done(&text);
	return c;
}

static struct role_process *process_new(void)
{
	assert_true(n_processes < ARRAY_LEN(processes));
	struct role_process *p = &processes[n_processes++];

	p->config = load("");
	set_table(p, "users:1", "ada:\nbob:\n");
	set_table(p, "aliases:1", "all: ada, bob, carol@far.example\nloop: loop2\nloop2: loop\n");
	return p;
}

static struct role_process *process_started(void)
{
	struct role_process *p = process_new();

	assert_int_equal(directory_role.start(p), 0);
	return p;
}

/* ---- one who asks ---- */

struct asker {
	struct channel *channel;
	struct buf heard; /* "lookup 1 0", "expand 2 0 ada@one.example=deliver": one a line */
	unsigned closed;
};

static const char *kind_name(enum hop_kind k)
{
	static const char *const names[] = {"deliver", "hold", "fail", "temporary"};
	return names[k];
}

static int on_frame(void *arg, struct frame *f)
{
	struct asker *a = arg;
	struct lookup_answer lookup;
	struct expand_answer expand;

	if (f->type == FRAME_AUTH_OFFER)
		return 0;
	if (f->type == FRAME_LOOKUP_ANSWER) {
		assert_int_equal(lookup_answer_decode(f->payload, &lookup), 0);
		buf_printf(&a->heard, "lookup %ju %d\n", (uintmax_t)lookup.token, lookup.status);
		return 0;
	}
	assert_true(f->type == FRAME_EXPAND_ANSWER || f->type == FRAME_ROUTE_ANSWER);
	struct arena *arena = arena_new(1 << 20);
	assert_int_equal(expand_answer_decode(f->payload, arena, &expand), 0);
	buf_printf(&a->heard, "%s %ju %d", f->type == FRAME_EXPAND_ANSWER ? "expand" : "route",
		(uintmax_t)expand.token, expand.status);
	for (uint32_t i = 0; i < expand.n_children; i++)
		buf_printf(&a->heard, " %.*s=%s", SPAN_FMT(expand.children[i].address),
			kind_name(expand.children[i].hop.kind));
	buf_str(&a->heard, "\n");
	arena_free(arena);
	return 0;
}

static void on_close(void *arg, int error)
{
	struct asker *a = arg;

	(void)error;
	a->closed++;
}

static void asker_open(struct asker *a, struct role_process *p, enum role as)
{
	static const struct channel_ops ops = {.on_frame = on_frame, .on_close = on_close};
	int pair[2];

	*a = (struct asker){.heard = BUF_INIT(1 << 20)};
	assert_int_equal(
		socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(channel_new(pair[0], &ops, a, &a->channel), 0);
	directory_role.peer(p, as, 0, pair[1]);
}

static SUSPENDS void asker_close(struct asker *a)
{
	channel_free(TAKE(a->channel));
	buf_done(&a->heard);
	/* The role's end sees it, too. */
	(void)fiber_sleep(5 * USEC_PER_MSEC);
}

static void tell(struct asker *a, uint16_t type, struct span payload)
{
	assert_int_equal(channel_send(a->channel, type, payload, NULL, 0), 0);
}

static void ask_lookup(struct asker *a, uint64_t token, const char *address)
{
	struct buf b = BUF_INIT(4096);

	lookup_encode(&(struct lookup){token, span_str(address)}, &b);
	tell(a, FRAME_LOOKUP, buf_span(&b));
	buf_done(&b);
}

static void ask_expand(struct asker *a, uint16_t type, uint64_t token, const char *address)
{
	struct buf b = BUF_INIT(4096);
	struct expand_ask ask = {.token = token, .address = span_str(address), .relay = true};

	expand_ask_encode(&ask, &b);
	tell(a, type, buf_span(&b));
	buf_done(&b);
}

static SUSPENDS void expect(struct asker *a, const char *want)
{
	for (int i = 0; i < 400 && a->heard.len < strlen(want); i++)
		(void)fiber_sleep(5 * USEC_PER_MSEC);
	if (!span_equal(buf_span(&a->heard), span_str(want)))
		fail_msg("want \"%s\", got \"%.*s\"", want, SPAN_FMT(buf_span(&a->heard)));
	buf_reset(&a->heard);
}

static SUSPENDS void expect_closed(struct asker *a, const char *row)
{
	for (int i = 0; i < 400 && !a->closed; i++)
		(void)fiber_sleep(5 * USEC_PER_MSEC);
	if (a->closed != 1 || a->heard.len)
		fail_msg("%s: want it closed without an answer, got %u, \"%.*s\"", row, a->closed,
			SPAN_FMT(buf_span(&a->heard)));
}

/* ---- the tests, each on a fiber ---- */

static SUSPENDS void answers(void)
{
	struct role_process *p = process_started();
	struct asker receiver, dispatcher;

	asker_open(&receiver, p, ROLE_RECEIVER);
	asker_open(&dispatcher, p, ROLE_DISPATCHER);
	ask_lookup(&receiver, 1, "ada@one.example");
	ask_lookup(&receiver, 2, "ADA+tag@one.example");
	ask_lookup(&receiver, 3, "nobody@one.example");
	ask_lookup(&receiver, 4, "all@one.example");
	ask_lookup(&receiver, 5, "whoever@any.example");
	ask_lookup(&receiver, UINT64_MAX, "who@far.example");
	ask_expand(&dispatcher, FRAME_EXPAND, 7, "all@one.example");
	ask_expand(&dispatcher, FRAME_ROUTE, 8, "ada@one.example");
	expect(&receiver, "lookup 1 0\nlookup 2 0\nlookup 3 1\nlookup 4 0\nlookup 5 0\n"
			  "lookup 18446744073709551615 2\n");
	expect(&dispatcher, "expand 7 0 ada@one.example=deliver bob@one.example=deliver "
			    "carol@far.example=deliver\nroute 8 0 ada@one.example=deliver\n");
	ask_expand(&dispatcher, FRAME_EXPAND, 9, "loop@one.example");
	ask_expand(&dispatcher, FRAME_ROUTE, 10, "gone@one.example");
	ask_expand(&dispatcher, FRAME_ROUTE, 11, "who@far.example");
	expect(&dispatcher, "expand 9 4\nroute 10 0 gone@one.example=fail\n"
			    "route 11 0 who@far.example=deliver\n");
	asker_close(&receiver);
	asker_close(&dispatcher);
}

/* A question that comes before the tables do: nothing permanent is said. */
static SUSPENDS void before_start(void)
{
	struct role_process *p = process_new();
	struct asker a;

	asker_open(&a, p, ROLE_DISPATCHER);
	ask_lookup(&a, 1, "nobody@one.example");
	ask_expand(&a, FRAME_EXPAND, 2, "nobody@one.example");
	ask_expand(&a, FRAME_ROUTE, 3, "nobody@one.example");
	expect(&a, "lookup 1 3\nexpand 2 3\nroute 3 0 nobody@one.example=temporary\n");
	assert_int_equal(directory_role.start(p), 0);
	ask_lookup(&a, 4, "nobody@one.example");
	expect(&a, "lookup 4 1\n");
	directory_role.drain(p, 0);
	assert_int_equal(p->finished, 1);
	asker_close(&a);
}

static SUSPENDS void malformed(void)
{
	static const struct {
		const char *name;
		uint16_t type;
		struct span payload;
	} rows[] = {
		{"empty lookup", FRAME_LOOKUP, SPAN_LIT("")},
		{"lookup without an address", FRAME_LOOKUP, SPAN_LIT("12345678")},
		{"an address longer than the frame", FRAME_LOOKUP,
			SPAN_LIT("12345678\xff\xff\xff\xff"
				 "ada@one.example")},
		{"empty expand", FRAME_EXPAND, SPAN_LIT("")},
		{"expand cut in the reverse-path", FRAME_EXPAND,
			SPAN_LIT("12345678\0\0\0\0\x20\0\0\0")},
		{"route without its end", FRAME_ROUTE, SPAN_LIT("12345678\0\0\0\0\0\0\0\0\1")},
		{"a list that EXPN may not tell", FRAME_EXPAND,
			SPAN_LIT("12345678\x0f\0\0\0"
				 "all@one.example\0\0\0\0\0\0\0\0\0")},
		{"a route, which no receiver asks for", FRAME_ROUTE,
			SPAN_LIT("12345678\x0f\0\0\0"
				 "all@one.example\0\0\0\0\0\0\0\0\0")},
		{"an answer", FRAME_LOOKUP_ANSWER, SPAN_LIT("12345678\0")},
		{"another room's frame", FRAME_COMMITTED, SPAN_LIT("12345678")},
		{"no frame of ours", 999, SPAN_LIT("")},
	};
	struct role_process *p = process_started();
	struct asker good;

	asker_open(&good, p, ROLE_DISPATCHER);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct asker bad;
		asker_open(&bad, p, ROLE_RECEIVER);
		tell(&bad, rows[i].type, rows[i].payload);
		/* Behind it nothing is answered. */
		ask_lookup(&bad, 1, "ada@one.example");
		expect_closed(&bad, rows[i].name);
		asker_close(&bad);
		ask_lookup(&good, i, "ada@one.example");
		char want[32];
		(void)snprintf(want, sizeof(want), "lookup %zu 0\n", i);
		expect(&good, want);
	}
	asker_close(&good);
}

static bool heard(const struct asker *a, const char *what)
{
	return a->heard.len && memmem(a->heard.ptr, a->heard.len, what, strlen(what));
}

/* Octets that are an address to nobody are an answer, not a broken frame. */
static SUSPENDS void odd_addresses(void)
{
	static const char *const rows[] = {"", "@", "ada@", "@one.example", "\"@one.example",
		"ada@one.example\r\n", "<ada@one.example>", "\xff\xfe@one.example"};
	struct role_process *p = process_started();
	struct asker a;

	asker_open(&a, p, ROLE_DISPATCHER);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		ask_lookup(&a, 1, rows[i]);
		ask_expand(&a, FRAME_EXPAND, 1, rows[i]);
		ask_expand(&a, FRAME_ROUTE, 1, rows[i]);
		/* Answers come in the order of the questions. */
		for (int j = 0; j < 400 && !a.closed && !heard(&a, "route 1"); j++)
			(void)fiber_sleep(USEC_PER_MSEC);
		if (!heard(&a, "route 1") || heard(&a, "lookup 1 0"))
			fail_msg("%s: got \"%.*s\"", rows[i], SPAN_FMT(buf_span(&a.heard)));
		buf_reset(&a.heard);
	}
	asker_close(&a);
}

static SUSPENDS void reload(void)
{
	struct role_process *p = process_started();
	struct asker a;

	asker_open(&a, p, ROLE_DISPATCHER);
	/* A slip of the pen in a file that was right: what stood there before stays in force. */
	set_table(p, "users:1", "bob:\neve:\nbad name:\n");
	directory_role.reload(p, p->config);
	ask_lookup(&a, 1, "ada@one.example");
	ask_lookup(&a, 2, "eve@one.example");
	expect(&a, "lookup 1 0\nlookup 2 1\n");

	/* A table's file was replaced: the configuration stays. */
	set_table(p, "users:1", "bob:\neve:\n");
	directory_role.reload(p, p->config);
	ask_lookup(&a, 1, "ada@one.example");
	ask_lookup(&a, 2, "eve@one.example");
	expect(&a, "lookup 1 1\nlookup 2 0\n");

	/* Not readable: what was read last stays in force; the other table is read anew. */
	break_table(p, "users:1");
	set_table(p, "aliases:1", "some: eve\n");
	directory_role.reload(p, p->config);
	ask_lookup(&a, 3, "eve@one.example");
	ask_lookup(&a, 4, "nobody@one.example");
	ask_lookup(&a, 5, "some@one.example");
	ask_lookup(&a, 6, "all@one.example");
	expect(&a, "lookup 3 0\nlookup 4 1\nlookup 5 0\nlookup 6 1\n");

	/* A new configuration; its new domain's table was never read: temporary. The domains'
	 * order, and so the tables' names, are others: the kept table is found by the domain. */
	struct config *old = p->config;
	p->config = load("domain \"aaa.example\" { users = \"file:/t/c\" deliver = \"discard:\" }");
	assert_int_equal(p->config->n_domains, 3);
	break_table(p, "users:0");
	break_table(p, "users:2");
	set_table(p, "aliases:2", "some: eve\n");
	directory_role.reload(p, old);
	config_free(old);
	ask_lookup(&a, 7, "eve@one.example");
	ask_lookup(&a, 8, "nobody@one.example");
	ask_lookup(&a, 9, "ada@aaa.example");
	ask_expand(&a, FRAME_ROUTE, 10, "ada@aaa.example");
	expect(&a, "lookup 7 0\nlookup 8 1\nlookup 9 3\nroute 10 0 ada@aaa.example=temporary\n");

	/* Mended. */
	set_table(p, "users:0", "ada:\n");
	set_table(p, "users:2", "");
	directory_role.reload(p, p->config);
	ask_lookup(&a, 11, "ada@aaa.example");
	ask_lookup(&a, 12, "eve@one.example");
	expect(&a, "lookup 11 0\nlookup 12 1\n");
	asker_close(&a);
}

static void (*const cases[])(void) = {answers, before_start, malformed, odd_addresses, reload};

static void run_case(void *arg)
{
	cases[*(const size_t *)arg]();
	loop_stop();
}

static void run(size_t i)
{
	signal(SIGPIPE, SIG_IGN);
	assert_int_equal(loop_init(), 0);
	assert_int_equal(fiber_spawn(run_case, &i, NULL), 0);
	assert_int_equal(loop_run(), 0);
	loop_done();
}

static void directory_role__answers(void **state)
{
	(void)state;
	run(0);
}
static void directory_role__before_start(void **state)
{
	(void)state;
	run(1);
}
static void directory_role__malformed_frames_close_the_channel(void **state)
{
	(void)state;
	run(2);
}
static void directory_role__odd_addresses_are_answered(void **state)
{
	(void)state;
	run(3);
}
static void directory_role__reload_keeps_what_it_cannot_read(void **state)
{
	(void)state;
	run(4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(directory_role__answers),
		cmocka_unit_test(directory_role__before_start),
		cmocka_unit_test(directory_role__malformed_frames_close_the_channel),
		cmocka_unit_test(directory_role__odd_addresses_are_answered),
		cmocka_unit_test(directory_role__reload_keeps_what_it_cannot_read),
	};
	/* Broken tables are logged: not into the report. */
	int fd = memfd_create("log", MFD_CLOEXEC);

	log_init(fd, LOG_READABLE, LOG_LEVEL_INFO, "directory", 0);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
