/* Twin of src/ipc/resolve.c and resolve_client.c: names and records as strangers may write them;
 * a scripted resolver that answers, dies and stays silent. */
#include "ipc/frames.h"
#include "ipc/resolve_client.h"
#include "net/channel.h"
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <cmocka.h>

static void name__text_to_wire(void **state)
{
	static const char l63[] = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
	static const struct {
		const char *name;
		int want;
		const char *wire;
		size_t len;
	} rows[] = {
		{"", 0, "\0", 1},
		{".", 0, "\0", 1},
		{"a.bc", 0, "\1a\2bc\0", 6},
		{"a.bc.", 0, "\1a\2bc\0", 6},
		{"_25._tcp.x", 0, "\3_25\4_tcp\1x\0", 12},
		{"a..b", -EINVAL, NULL, 0},
		{".a", -EINVAL, NULL, 0},
		{"a..", -EINVAL, NULL, 0},
		{"a b", -EINVAL, NULL, 0},
		{"a\\b", -EINVAL, NULL, 0},
		{"\303\244.example", -EINVAL, NULL, 0},
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct buf b = BUF_INIT(1024);
		int r = resolve_name_to_wire(span_str(rows[i].name), &b);
		if (r != rows[i].want ||
			(r == 0 && !span_equal(buf_span(&b), span_make(rows[i].wire, rows[i].len))))
			fail_msg("'%s': want %d, got %d and %zu octets", rows[i].name, rows[i].want,
				r, b.len);
		buf_done(&b);
	}
	struct buf name = BUF_INIT(1024), b = BUF_INIT(1024);
	buf_printf(&name, "%s.%s.%s.%s", l63, l63, l63, l63 + 2);
	assert_int_equal(resolve_name_to_wire(buf_span(&name), &b), 0);
	assert_int_equal(b.len, 255);
	buf_char(&name, 'a');
	assert_int_equal(resolve_name_to_wire(buf_span(&name), &b), -EINVAL);
	buf_reset(&name);
	buf_printf(&name, "%sa.example", l63);
	assert_int_equal(resolve_name_to_wire(buf_span(&name), &b), -EINVAL);
	buf_done(&name);
	buf_done(&b);
}

static void name__wire_to_text(void **state)
{
	static const struct {
		const char *wire;
		size_t len;
		int want;
		const char *text;
	} rows[] = {
		{"\0", 1, 0, ""},
		{"\1A\2bC\0", 6, 0, "a.bc"},
		{"", 0, -EBADMSG, NULL},
		{"\1a", 2, -EBADMSG, NULL},
		{"\5a\0", 3, -EBADMSG, NULL},
		{"\1a\0x", 4, -EBADMSG, NULL},
		{"\300\0", 2, -EBADMSG, NULL},
		{"\3a.b\0", 5, -EBADMSG, NULL},
		{"\3a\0b\0", 5, -EBADMSG, NULL},
		{"\2a\n\0", 4, -EBADMSG, NULL},
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct buf b = BUF_INIT(1024);
		int r = resolve_name_from_wire(span_make(rows[i].wire, rows[i].len), &b);
		if (r != rows[i].want ||
			(r == 0 && !span_equal(buf_span(&b), span_str(rows[i].text))))
			fail_msg("row %zu: want %d '%s', got %d '%.*s'", i, rows[i].want,
				rows[i].text ? rows[i].text : "", r, SPAN_FMT(buf_span(&b)));
		buf_done(&b);
	}
}

static void records__as_they_should_be_and_not(void **state)
{
	struct arena *a = arena_new(65536);
	struct resolve_mx mx;
	struct resolve_tlsa tlsa;
	struct span text;
	struct address address;
	struct buf b = BUF_INIT(100);

	(void)state;
	assert_int_equal(resolve_mx(span_make("\1\2\1M\1x\0", 7), a, &mx), 0);
	assert_int_equal(mx.preference, 258);
	assert_true(span_equal(mx.host, SPAN_LIT("m.x")));
	assert_int_equal(resolve_mx(span_make("\0\0\0", 3), a, &mx), 0);
	assert_int_equal(mx.host.len, 0); /* RFC 7505 */
	assert_int_equal(resolve_mx(span_make("\0\0", 2), a, &mx), -EBADMSG);
	assert_int_equal(resolve_txt(span_make("\2ab\0\1c", 6), a, &text), 0);
	assert_true(span_equal(text, SPAN_LIT("abc")));
	assert_int_equal(resolve_txt(span_make("\3ab", 3), a, &text), -EBADMSG);
	assert_int_equal(resolve_tlsa(span_make("\3\1\1xy", 5), &tlsa), 0);
	assert_true(tlsa.usage == 3 && tlsa.selector == 1 && tlsa.matching == 1);
	assert_int_equal(tlsa.data.len, 2);
	assert_int_equal(resolve_tlsa(span_make("\3\1", 2), &tlsa), -EBADMSG);
	assert_int_equal(resolve_address(span_make("\177\0\0\1", 4), 25, &address), 0);
	address_format(&address, &b);
	assert_true(span_equal(buf_span(&b), SPAN_LIT("127.0.0.1:25")));
	assert_int_equal(resolve_address(span_make("\177\0\0\1\1", 5), 25, &address), -EBADMSG);
	buf_done(&b);
	arena_free(a);
}

static void answer__round_trip_and_truncations(void **state)
{
	struct span rdata[] = {SPAN_LIT("abcd"), SPAN_LIT("efgh")};
	struct resolve_answer a = {.token = 7,
		.status = RESOLVE_OK,
		.secure = true,
		.ttl = 300,
		.canonical = SPAN_LIT("x.example"),
		.rdata = rdata,
		.n_rdata = 2};
	struct resolve_answer back, copy;
	struct buf b = BUF_INIT(4096);
	struct arena *arena = arena_new(65536);

	(void)state;
	resolve_answer_encode(&a, &b);
	for (size_t n = 0; n < b.len; n++) {
		char *cut = malloc(n ? n : 1);
		memcpy(cut, b.ptr, n);
		int r = resolve_answer_decode(span_make(cut, n), arena, &back);
		if (r != -EBADMSG)
			fail_msg("cut at %zu of %zu: want %d, got %d", n, b.len, -EBADMSG, r);
		free(cut);
	}
	assert_int_equal(resolve_answer_decode(buf_span(&b), arena, &back), 0);
	assert_int_equal(resolve_answer_copy(&back, arena, &copy), 0);
	buf_done(&b);
	assert_true(copy.secure && copy.ttl == 300 && copy.n_rdata == 2 && copy.token == 7);
	assert_true(span_equal(copy.canonical, SPAN_LIT("x.example")));
	assert_true(span_equal(copy.rdata[1], SPAN_LIT("efgh")));
	arena_free(arena);
}

/* ---- the client ---- */

struct scene {
	struct resolve_client *client;
	struct channel *resolver; /* the other end */
	unsigned asked;
	bool silent;
	int results[4];
	enum resolve_status statuses[4];
	unsigned ended;
};

static int resolver_frame(void *arg, struct frame *f)
{
	struct scene *s = arg;
	struct resolve_ask q;
	struct span rdata[] = {SPAN_LIT("\177\0\0\1")};

	assert_int_equal(f->type, FRAME_RESOLVE);
	assert_int_equal(resolve_ask_decode(f->payload, &q), 0);
	assert_true(span_equal(q.name, SPAN_LIT("mx.example")));
	s->asked++;
	if (s->silent)
		return 0;
	struct resolve_answer a = {
		.token = q.token, .status = RESOLVE_OK, .rdata = rdata, .n_rdata = 1};
	struct buf b = BUF_INIT(4096);
	resolve_answer_encode(&a, &b);
	assert_int_equal(channel_send(s->resolver, FRAME_RESOLVE_ANSWER, buf_span(&b), NULL, 0), 0);
	buf_done(&b);
	return 0;
}

static void resolver_close(void *arg, int error)
{
	(void)arg;
	(void)error;
}

static const struct channel_ops resolver_ops = {resolver_frame, resolver_close, NULL};

static void connect_resolver(struct scene *s)
{
	int fds[2];

	channel_free(TAKE(s->resolver));
	assert_int_equal(
		socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
	assert_int_equal(channel_new(fds[1], &resolver_ops, s, &s->resolver), 0);
	assert_int_equal(resolve_client_attach(s->client, fds[0]), 0);
}

static void asker(void *arg)
{
	struct scene *s = arg;
	struct arena *a = arena_new(65536);
	struct resolve_answer answer = {.status = RESOLVE_BAD_NAME};

	int r = resolve(s->client, SPAN_LIT("mx.example"), RESOLVE_A, a, &answer);
	s->results[s->ended] = r;
	s->statuses[s->ended++] = answer.status;
	arena_free(a);
}

static void scene_start(struct scene *s)
{
	*s = (struct scene){0};
	assert_int_equal(loop_init(), 0);
	assert_int_equal(resolve_client_new(&s->client), 0);
}

static void scene_end(struct scene *s)
{
	channel_free(s->resolver);
	resolve_client_free(s->client);
	loop_done();
}

static void run_answered(void *arg)
{
	struct scene *s = arg;

	connect_resolver(s);
	asker(s);
	loop_stop();
}

static void client__is_answered(void **state)
{
	struct scene s;

	(void)state;
	scene_start(&s);
	assert_int_equal(fiber_spawn(run_answered, &s, NULL), 0);
	assert_int_equal(loop_run(), 0);
	assert_int_equal(s.results[0], 0);
	assert_int_equal(s.statuses[0], RESOLVE_OK);
	scene_end(&s);
}

/* The first resolver dies with the question, the second answers it. */
static void run_restarted(void *arg)
{
	struct scene *s = arg;

	assert_int_equal(fiber_spawn(asker, s, NULL), 0);
	(void)fiber_sleep(1000); /* asked while there is none */
	s->silent = true;
	connect_resolver(s);
	while (s->asked == 0)
		(void)fiber_sleep(1000);
	s->silent = false;
	connect_resolver(s);
	while (s->ended == 0)
		(void)fiber_sleep(1000);
	loop_stop();
}

static void client__asks_a_restarted_resolver_again(void **state)
{
	struct scene s;

	(void)state;
	scene_start(&s);
	assert_int_equal(fiber_spawn(run_restarted, &s, NULL), 0);
	assert_int_equal(loop_run(), 0);
	assert_int_equal(s.asked, 2);
	assert_int_equal(s.results[0], 0);
	assert_int_equal(s.statuses[0], RESOLVE_OK);
	scene_end(&s);
}

/* A name that kills resolvers kills two, no more. */
static void run_killer(void *arg)
{
	struct scene *s = arg;

	s->silent = true;
	assert_int_equal(fiber_spawn(asker, s, NULL), 0);
	for (unsigned i = 1; i <= 2; i++) {
		connect_resolver(s);
		while (s->asked < i)
			(void)fiber_sleep(1000);
	}
	connect_resolver(s);
	while (s->ended == 0)
		(void)fiber_sleep(1000);
	loop_stop();
}

static void client__gives_up_a_question_that_kills(void **state)
{
	struct scene s;

	(void)state;
	scene_start(&s);
	assert_int_equal(fiber_spawn(run_killer, &s, NULL), 0);
	assert_int_equal(loop_run(), 0);
	assert_int_equal(s.asked, 2);
	assert_int_equal(s.results[0], 0);
	assert_int_equal(s.statuses[0], RESOLVE_UNAVAILABLE);
	scene_end(&s);
}

static void run_silent(void *arg)
{
	struct scene *s = arg;
	struct fiber *f;

	resolve_client_set_wait(s->client, 20 * USEC_PER_MSEC);
	asker(s);
	resolve_client_set_wait(s->client, 20 * USEC_PER_SEC);
	assert_int_equal(fiber_spawn(asker, s, &f), 0);
	(void)fiber_sleep(1000);
	fiber_cancel(f);
	while (s->ended < 2)
		(void)fiber_sleep(1000);
	loop_stop();
}

static void client__times_out_and_is_cancelled(void **state)
{
	struct scene s;

	(void)state;
	scene_start(&s);
	assert_int_equal(fiber_spawn(run_silent, &s, NULL), 0);
	assert_int_equal(loop_run(), 0);
	assert_int_equal(s.results[0], 0);
	assert_int_equal(s.statuses[0], RESOLVE_TIMEOUT);
	assert_int_equal(s.results[1], -ECANCELED);
	scene_end(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(name__text_to_wire),
		cmocka_unit_test(name__wire_to_text),
		cmocka_unit_test(records__as_they_should_be_and_not),
		cmocka_unit_test(answer__round_trip_and_truncations),
		cmocka_unit_test(client__is_answered),
		cmocka_unit_test(client__asks_a_restarted_resolver_again),
		cmocka_unit_test(client__gives_up_a_question_that_kills),
		cmocka_unit_test(client__times_out_and_is_cancelled),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
