/* Streams: lines, oversize, pipelining, deadlines, ends, files, over unix pairs and TCP. */
#include "harness.h"
#include "net/stream.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <linux/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define MSEC USEC_PER_MSEC

/* ours is the stream's; theirs a plain blocking socket, driven by the test. */
struct ends {
	struct stream *s;
	int theirs;
};

static struct ends ends_unix(void)
{
	int fds[2];
	assert_int_equal(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
	struct ends e = {.theirs = fds[1]};
	assert_int_equal(stream_new(fds[0], &e.s), 0);
	return e;
}

static struct ends ends_tcp(void)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof in;
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(listener >= 0);
	assert_int_equal(bind(listener, (void *)&in, sizeof in), 0);
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(getsockname(listener, (void *)&in, &len), 0);
	struct ends e = {.theirs = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
	assert_int_equal(connect(e.theirs, (void *)&in, sizeof in), 0);
	int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	assert_true(fd >= 0);
	close(listener);
	assert_int_equal(stream_new(fd, &e.s), 0);
	return e;
}

static struct ends (*const kinds[])(void) = {ends_unix, ends_tcp};

static void ends_close(struct ends *e)
{
	stream_freep(&e->s);
	e->theirs = fd_close(e->theirs);
}

static int take_fd(int *fd)
{
	int taken = *fd;
	*fd = -1;
	return taken;
}

static void say(int fd, struct span s)
{
	assert_int_equal(write(fd, s.ptr, s.len), s.len);
}

/* Every test body runs in a fiber, once on each kind of socket. */
static void (*body)(struct ends *e);

static void body_run(void *arg)
{
	body(arg);
}

static void on_each_kind(void (*fn)(struct ends *))
{
	body = fn;
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		struct ends e = kinds[i]();
		spawn(body_run, &e);
		run_to_end();
		ends_close(&e);
	}
}

static void want_line(struct ends *e, size_t max, int want, const char *text, bool want_crlf)
{
	struct span line = SPAN_LIT("?");
	bool crlf = false;
	int r = stream_read_line(e->s, max, &line, &crlf);
	if (r != want || (r == 0 && (!span_equal(line, span_str(text)) || crlf != want_crlf)))
		fail_msg("want %d \"%s\" %d got %d \"%.*s\" %d", want, text, want_crlf, r,
			SPAN_FMT(line), crlf);
}

static void lines_body(struct ends *e)
{
	say(e->theirs, SPAN_LIT("EHLO a\r\nbare\n\r\n\na\rb\r\r\nNUL\0s\r\nhal"));
	want_line(e, 100, 0, "EHLO a", true);
	want_line(e, 100, 0, "bare", false);
	want_line(e, 100, 0, "", true);
	want_line(e, 100, 0, "", false);
	want_line(e, 100, 0, "a\rb\r", true);
	struct span line;
	assert_int_equal(stream_read_line(e->s, 100, &line, NULL), 0);
	assert_int_equal(line.len, 5);
	say(e->theirs, SPAN_LIT("f\r"));
	stream_set_timeout(e->s, 5 * MSEC, 5 * MSEC);
	want_line(e, 100, -ETIMEDOUT, "", false);
	say(e->theirs, SPAN_LIT("\n"));
	want_line(e, 100, 0, "half", true);
	assert_int_equal(stream_octets_in(e->s), 8 + 5 + 2 + 1 + 6 + 7 + 3 + 2 + 1);
	stream_set_timeout(e->s, USEC_PER_SEC, USEC_PER_SEC);
	say(e->theirs, SPAN_LIT("lost"));
	e->theirs = fd_close(e->theirs);
	want_line(e, 100, -ECONNRESET, "", false);
	want_line(e, 100, -ECONNRESET, "", false);
}

static void stream_read_line__ends_and_halves(void **state)
{
	(void)state;
	on_each_kind(lines_body);
}

static void data_and_end_body(struct ends *e)
{
	say(e->theirs, SPAN_LIT("QUIT\r\n"));
	e->theirs = fd_close(e->theirs);
	assert_int_equal(fiber_sleep(2 * MSEC), 0);
	want_line(e, 10, 0, "QUIT", true);
	want_line(e, 10, -ECONNRESET, "", false);
}

static void stream_read_line__data_and_end_in_one_edge(void **state)
{
	(void)state;
	on_each_kind(data_and_end_body);
}

static void oversize_body(struct ends *e)
{
	static const struct {
		size_t len, max;
		int want;
	} rows[] = {
		{10, 10, 0},
		{11, 10, -EMSGSIZE},
		{12, 10, -EMSGSIZE},
		{9000, 10, -EMSGSIZE},
		{9000, 9000, 0},
		{9001, 9000, -EMSGSIZE},
		{150000, 512, -EMSGSIZE},
		{150000, 150000, 0},
		{0, 0, 0},
		{1, 0, -EMSGSIZE},
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char *text = malloc(rows[i].len + 10);
		assert_non_null(text);
		memset(text, 'x', rows[i].len);
		memcpy(text + rows[i].len, "\r\nnext\r\n", 8);
		struct span rest = span_make(text, rows[i].len + 8);
		struct span line = SPAN_NULL;
		int r = 0;
		/* Fed through the socket's buffer by timeouts of the reader. */
		stream_set_timeout(e->s, 2 * MSEC, USEC_PER_SEC);
		do {
			ssize_t n = send(e->theirs, rest.ptr, rest.len, MSG_DONTWAIT);
			rest = span_from(rest, n > 0 ? (size_t)n : 0);
			r = stream_read_line(e->s, rows[i].max, &line, NULL);
		} while (r == -ETIMEDOUT);
		if (r != rows[i].want || (r == 0 && line.len != rows[i].len))
			fail_msg("len %zu max %zu: want %d got %d (%zu)", rows[i].len, rows[i].max,
				rows[i].want, r, line.len);
		if (rest.len > 0)
			say(e->theirs, rest);
		stream_set_timeout(e->s, USEC_PER_SEC, USEC_PER_SEC);
		want_line(e, 10, 0, "next", true);
		free(text);
	}
}

static void stream_read_line__oversize_is_consumed(void **state)
{
	(void)state;
	on_each_kind(oversize_body);
}

/* What the peer has received by now, without waiting. */
static size_t heard(struct ends *e, char *ptr, size_t len)
{
	ssize_t n = recv(e->theirs, ptr, len, MSG_DONTWAIT);
	return n > 0 ? (size_t)n : 0;
}

static void pipelining_body(struct ends *e)
{
	char got[64] = {0};
	say(e->theirs, SPAN_LIT("A\r\nB\r\nC\r\n"));
	want_line(e, 10, 0, "A", true);
	assert_int_equal(stream_write(e->s, SPAN_LIT("1\r\n")), 0);
	want_line(e, 10, 0, "B", true);
	assert_int_equal(stream_printf(e->s, "%u %s\r\n", 2u, "two"), 0);
	want_line(e, 10, 0, "C", true);
	assert_int_equal(stream_write(e->s, SPAN_LIT("3\r\n")), 0);
	assert_int_equal(heard(e, got, sizeof got), 0);
	stream_set_timeout(e->s, MSEC, MSEC);
	want_line(e, 10, -ETIMEDOUT, "", false);
	assert_int_equal(heard(e, got, sizeof got), 13);
	assert_string_equal(got, "1\r\n2 two\r\n3\r\n");
	assert_int_equal(stream_octets_out(e->s), 13);
}

static void stream_flush__when_input_is_drained(void **state)
{
	(void)state;
	on_each_kind(pipelining_body);
}

static void deadlines_body(struct ends *e)
{
	stream_set_timeout(e->s, 10 * USEC_PER_SEC, USEC_PER_SEC);
	stream_set_read_deadline(e->s, loop_now_usec() + 4 * MSEC);
	want_line(e, 10, -ETIMEDOUT, "", false);
	stream_set_read_deadline(e->s, USEC_INFINITY);
	stream_set_timeout(e->s, 3 * MSEC, USEC_PER_SEC);
	want_line(e, 10, -ETIMEDOUT, "", false);
	say(e->theirs, SPAN_LIT("still\r\n"));
	want_line(e, 10, 0, "still", true);
	assert_int_equal(stream_write(e->s, SPAN_LIT("421\r\n")), 0);
	assert_int_equal(stream_flush(e->s), 0);
}

static void stream_set_read_deadline__bounds_waits(void **state)
{
	(void)state;
	on_each_kind(deadlines_body);
}

static void full_body(struct ends *e)
{
	static char piece[30000];
	memset(piece, 'p', sizeof piece);
	stream_set_timeout(e->s, 5 * MSEC, 5 * MSEC);
	int r = 0;
	unsigned n = 0;
	while (r == 0 && n++ < 10000)
		r = stream_write(e->s, span_make(piece, sizeof piece));
	assert_int_equal(r, -ETIMEDOUT);
	assert_int_equal(stream_write(e->s, SPAN_LIT("x")), -ETIMEDOUT);
	assert_int_equal(stream_flush(e->s), -ETIMEDOUT);
}

static void stream_write__peer_does_not_read(void **state)
{
	(void)state;
	on_each_kind(full_body);
}

static void gone_body(struct ends *e)
{
	e->theirs = fd_close(e->theirs);
	int r = 0;
	for (unsigned i = 0; r == 0 && i < 10; i++) {
		assert_int_equal(stream_write(e->s, SPAN_LIT("250 ok\r\n")), 0);
		r = stream_flush(e->s);
		assert_int_equal(fiber_sleep(MSEC), 0);
	}
	assert_true(r == -EPIPE || r == -ECONNRESET);
}

static void stream_flush__peer_is_gone(void **state)
{
	(void)state;
	on_each_kind(gone_body);
}

static uint32_t segments_in(int fd)
{
	struct tcp_info info = {0};
	socklen_t len = sizeof info;
	assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len), 0);
	return info.tcpi_segs_in;
}

static void want_end(struct ends *e, const char *text)
{
	char got[64];
	ssize_t n = recv(e->theirs, got, sizeof got, MSG_WAITALL);
	if (n != (ssize_t)strlen(text) || memcmp(got, text, (size_t)n) != 0)
		fail_msg("want %s got %zd octets: %.*s", text, n, n > 0 ? (int)n : 0, got);
}

static void finish_body(struct ends *e)
{
	assert_int_equal(stream_write(e->s, SPAN_LIT("221 bye\r\n")), 0);
	assert_int_equal(stream_finish(e->s), 0);
	stream_freep(&e->s);
	want_end(e, "221 bye\r\n");
}

static void stream_finish__reaches_the_peer(void **state)
{
	(void)state;
	on_each_kind(finish_body);
}

static void stream_finish__leaves_with_the_end(void **state)
{
	uint32_t segments = 0;
	(void)state;
	/* The kernel does not wait for ever: a machine that stops us between may need two. */
	for (unsigned i = 0; i < 20 && segments != 1; i++) {
		struct ends e = ends_tcp();
		uint32_t before = segments_in(e.theirs);
		body = finish_body;
		spawn(body_run, &e);
		run_to_end();
		segments = segments_in(e.theirs) - before;
		ends_close(&e);
	}
	assert_int_equal(segments, 1);
}

/* Closing then resets the connection; what was said must be out before. */
static void finish_unread_body(struct ends *e)
{
	say(e->theirs, SPAN_LIT("QUIT\r\nand what nobody reads"));
	finish_body(e);
}

static void stream_finish__peer_sent_more(void **state)
{
	(void)state;
	on_each_kind(finish_unread_body);
}

/* Ended streams leave their buffers to the next: not what is in them. */
static void reused_body(struct ends *e)
{
	say(e->theirs, SPAN_LIT("one\r\nnever read"));
	want_line(e, 100, 0, "one", true);
	assert_int_equal(stream_write(e->s, SPAN_LIT("never sent")), 0);
	stream_freep(&e->s);
	fd_close(take_fd(&e->theirs));
	*e = ends_tcp();
	assert_int_equal(stream_buffered(e->s).len, 0);
	assert_int_equal(stream_octets_in(e->s), 0);
	say(e->theirs, SPAN_LIT("two\r\n"));
	want_line(e, 100, 0, "two", true);
	finish_body(e);
}

static void stream_new__with_what_another_left(void **state)
{
	(void)state;
	on_each_kind(reused_body);
}

static void peek_body(struct ends *e)
{
	struct span o;
	assert_int_equal(stream_buffered(e->s).len, 0);
	assert_int_equal(stream_fill_now(e->s), -EAGAIN);
	say(e->theirs, SPAN_LIT("abcdef"));
	assert_int_equal(fiber_sleep(MSEC), 0);
	assert_int_equal(stream_fill_now(e->s), 0);
	assert_int_equal(stream_buffered(e->s).len, 6);
	assert_int_equal(stream_peek(e->s, &o), 0);
	assert_true(span_equal(o, SPAN_LIT("abcdef")));
	stream_consume(e->s, 2);
	assert_int_equal(stream_peek(e->s, &o), 0);
	assert_true(span_equal(o, SPAN_LIT("cdef")));
	stream_consume(e->s, 4);
	stream_set_timeout(e->s, MSEC, MSEC);
	assert_int_equal(stream_peek(e->s, &o), -ETIMEDOUT);
	shutdown(e->theirs, SHUT_WR);
	assert_int_equal(fiber_sleep(MSEC), 0);
	assert_int_equal(stream_fill_now(e->s), -ECONNRESET);
	assert_int_equal(stream_peek(e->s, &o), -ECONNRESET);
	assert_int_equal(stream_write(e->s, SPAN_LIT("bye\r\n")), 0);
	assert_int_equal(stream_flush(e->s), 0); /* half closed: our direction works */
}

static void stream_peek__and_fill_now(void **state)
{
	(void)state;
	on_each_kind(peek_body);
}

static void cancelled_body(struct ends *e)
{
	struct span line;
	fiber_cancel(fiber_self());
	assert_int_equal(stream_read_line(e->s, 10, &line, NULL), -ECANCELED);
}

static void stream_read_line__cancelled(void **state)
{
	(void)state;
	on_each_kind(cancelled_body);
}

/* ---- bulk and files: the peer is a second stream in a second fiber ---- */

struct bulk {
	struct ends e;
	uint64_t small, large, len; /* octets of a write, and of all */
	uint64_t got;
	uint64_t turns;
	int result;
};

static unsigned char octet_at(uint64_t i)
{
	return (unsigned char)(i * 31 + i / 256);
}

static void bulk_read(void *arg)
{
	struct bulk *b = arg;
	struct stream *s = NULL;
	assert_int_equal(stream_new(take_fd(&b->e.theirs), &s), 0);
	struct span o;
	while (stream_peek(s, &o) == 0) {
		for (size_t i = 0; i < o.len; i++)
			if ((unsigned char)o.ptr[i] != octet_at(b->got + i))
				fail_msg("octet %zu differs", (size_t)b->got + i);
		b->got += o.len;
		stream_consume(s, o.len);
	}
	stream_free(s);
}

/* Many times `small` octets, which wait in the buffer, and a large piece behind them. */
static void bulk_send(void *arg)
{
	struct bulk *b = arg;
	char *octets = malloc(b->len);
	assert_non_null(octets);
	for (uint64_t i = 0; i < b->len; i++)
		octets[i] = (char)octet_at(i);
	for (uint64_t at = 0; at < b->len && b->result == 0;) {
		uint64_t n = MIN(at % (b->small + b->large) ? b->large : b->small, b->len - at);
		b->result = stream_write(b->e.s, span_make(octets + at, n));
		at += n;
	}
	if (b->result == 0)
		b->result = stream_flush(b->e.s);
	free(octets);
	stream_freep(&b->e.s);
}

static void stream_write__large_behind_small(void **state)
{
	(void)state;
	static const uint64_t sizes[][2] = {
		{1, 65536}, {13, 65537}, {13, 262144}, {65536, 65537}, {100, 3000000}};
	for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
		for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
			struct bulk b = {.e = kinds[k](),
				.small = sizes[i][0],
				.large = sizes[i][1],
				.len = 2999999};
			spawn(bulk_send, &b);
			spawn(bulk_read, &b);
			run_to_end();
			if (b.result != 0 || b.got != b.len)
				fail_msg("row %zu: got %d, %zu octets", i, b.result, (size_t)b.got);
		}
	}
}

static void bulk_write(void *arg)
{
	struct bulk *b = arg;
	char piece[1000];
	for (uint64_t at = 0; at < b->len; at += sizeof piece) {
		for (size_t i = 0; i < sizeof piece; i++)
			piece[i] = (char)octet_at(at + i);
		assert_int_equal(stream_write(b->e.s, span_make(piece, sizeof piece)), 0);
	}
	assert_int_equal(stream_flush(b->e.s), 0);
	assert_int_equal(stream_octets_out(b->e.s), b->len);
	stream_freep(&b->e.s);
}

static void stream_write__bulk(void **state)
{
	(void)state;
	for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
		struct bulk b = {.e = kinds[k](), .len = 5000000};
		spawn(bulk_write, &b);
		spawn(bulk_read, &b);
		run_to_end();
		assert_int_equal(b.got, b.len);
	}
}

/* One fiber reads and echoes what it read; another writes on the same stream's peer. */
static void echo(void *arg)
{
	struct ends *e = arg;
	struct span line;
	int r;
	while ((r = stream_read_line(e->s, 100, &line, NULL)) == 0)
		assert_int_equal(stream_printf(e->s, "%.*s\r\n", SPAN_FMT(line)), 0);
	assert_int_equal(r, -ECONNRESET);
}

static void ask(void *arg)
{
	struct ends *e = arg;
	struct stream *s = NULL;
	assert_int_equal(stream_new(take_fd(&e->theirs), &s), 0);
	for (unsigned i = 0; i < 300; i++) {
		assert_int_equal(stream_printf(s, "line %u\r\nagain %u\r\n", i, i), 0);
		for (unsigned k = 0; k < 2; k++) {
			struct span line;
			char want[32];
			int n = snprintf(want, sizeof want, k ? "again %u" : "line %u", i);
			assert_int_equal(stream_read_line(s, 100, &line, NULL), 0);
			assert_true(span_equal(line, span_make(want, (size_t)n)));
		}
	}
	stream_free(s);
}

static void stream__two_fibers_converse(void **state)
{
	(void)state;
	for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
		struct ends e = kinds[k]();
		spawn(echo, &e);
		spawn(ask, &e);
		run_to_end();
		ends_close(&e);
	}
}

/* On one stream a fiber writes while another reads: the reader must not flush in between. */
static void read_until_end(void *arg)
{
	struct bulk *b = arg;
	struct span line;
	int r;
	while ((r = stream_read_line(b->e.s, 10, &line, NULL)) == 0)
		b->turns++;
	assert_int_equal(r, -ECONNRESET);
}

static void write_only(void *arg)
{
	struct bulk *b = arg;
	static char piece[40000];
	for (uint64_t at = 0; at < b->len; at += sizeof piece) {
		assert_int_equal(stream_write(b->e.s, span_make(piece, sizeof piece)), 0);
		if (at % 3 == 0) /* the reader finds something to flush */
			assert_int_equal(fiber_sleep(100), 0);
	}
	assert_int_equal(stream_flush(b->e.s), 0);
}

static void swallow_and_talk(void *arg)
{
	struct bulk *b = arg;
	struct stream *s = NULL;
	assert_int_equal(stream_new(take_fd(&b->e.theirs), &s), 0);
	while (b->got < b->len) {
		struct span o;
		assert_int_equal(stream_peek(s, &o), 0);
		b->got += o.len;
		stream_consume(s, o.len);
		assert_int_equal(stream_write(s, SPAN_LIT("x\r\n")), 0);
		assert_int_equal(stream_flush(s), 0);
		b->result++;
	}
	stream_free(s);
}

static void stream__one_reads_while_one_writes(void **state)
{
	(void)state;
	for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
		struct bulk b = {.e = kinds[k](), .len = 4000000};
		spawn(read_until_end, &b);
		spawn(write_only, &b);
		spawn(swallow_and_talk, &b);
		run_to_end();
		assert_int_equal(b.got, b.len);
		assert_int_equal(b.turns, b.result);
		ends_close(&b.e);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LOOP_TEST(stream_read_line__ends_and_halves),
		LOOP_TEST(stream_read_line__data_and_end_in_one_edge),
		LOOP_TEST(stream_read_line__oversize_is_consumed),
		LOOP_TEST(stream_read_line__cancelled),
		LOOP_TEST(stream_flush__when_input_is_drained),
		LOOP_TEST(stream_flush__peer_is_gone),
		LOOP_TEST(stream_new__with_what_another_left),
		LOOP_TEST(stream_finish__reaches_the_peer),
		LOOP_TEST(stream_finish__leaves_with_the_end),
		LOOP_TEST(stream_finish__peer_sent_more),
		LOOP_TEST(stream_set_read_deadline__bounds_waits),
		LOOP_TEST(stream_write__peer_does_not_read),
		LOOP_TEST(stream_write__bulk),
		LOOP_TEST(stream_peek__and_fill_now),
		LOOP_TEST(stream_write__large_behind_small),
		LOOP_TEST(stream__two_fibers_converse),
		LOOP_TEST(stream__one_reads_while_one_writes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
