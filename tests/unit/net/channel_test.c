/* Channels: frames of every size, fds that go with them, bounds, hostile peers, ends. */
#include "harness.h"
#include "net/channel.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define MSEC USEC_PER_MSEC

/* One end and what came to it. */
struct side {
	struct channel *c;
	unsigned frames, closes, drains;
	size_t octets;
	uint16_t last_type;
	unsigned last_n_fds, fds_wrong;
	int close_error;
	bool free_on_frame, free_on_close, exit_on_close, pattern;
	int frame_result;
	unsigned exit_after;
};

static ino_t inode(int fd)
{
	struct stat st;
	assert_int_equal(fstat(fd, &st), 0);
	return st.st_ino;
}

static int side_on_frame(void *arg, struct frame *f)
{
	struct side *s = arg;
	s->frames++;
	s->octets += f->payload.len;
	s->last_type = f->type;
	s->last_n_fds = f->n_fds;
	for (size_t i = 0; s->pattern && i < f->payload.len; i++)
		if (f->payload.ptr[i] != (char)(f->type + i))
			fail_msg("frame type %u octet %zu differs", f->type, i);
	/* Each fd's inode is told in the payload. */
	for (unsigned i = 0; !s->pattern && i < f->n_fds; i++) {
		ino_t want = 0;
		if (f->payload.len >= (i + 1) * sizeof want)
			memcpy(&want, f->payload.ptr + i * sizeof want, sizeof want);
		if (inode(f->fds[i]) != want)
			s->fds_wrong++;
	}
	if (s->exit_after && s->frames >= s->exit_after)
		loop_exit();
	if (s->free_on_frame)
		channel_freep(&s->c);
	return s->frame_result;
}

static void side_on_close(void *arg, int error)
{
	struct side *s = arg;
	s->closes++;
	s->close_error = error;
	assert_false(channel_is_open(s->c));
	assert_int_equal(channel_send(s->c, 1, SPAN_NULL, NULL, 0), -EPIPE);
	if (s->free_on_close)
		channel_freep(&s->c);
	if (s->exit_on_close)
		loop_exit();
}

static void side_on_drained(void *arg)
{
	struct side *s = arg;
	s->drains++;
}

static const struct channel_ops ops = {side_on_frame, side_on_close, side_on_drained};

static void pair(int fds[static 2])
{
	assert_int_equal(
		socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
}

static void sides(struct side *a, struct side *b)
{
	int fds[2];
	pair(fds);
	assert_int_equal(channel_new(fds[0], &ops, a, &a->c), 0);
	assert_int_equal(channel_new(fds[1], &ops, b, &b->c), 0);
}

static void on_late(struct loop_timer *t)
{
	(void)t;
	loop_exit();
}

/* Runs until somebody calls loop_exit, at most usec. */
static void run_for(uint64_t usec)
{
	struct loop_timer t = {.fn = on_late};
	assert_int_equal(loop_timer_set(&t, clock_monotonic_usec() + usec), 0);
	assert_int_equal(loop_run(), 0);
	loop_timer_cancel(&t);
}

static unsigned open_fds(void)
{
	unsigned n = 0;
	for (int fd = 0; fd < 1024; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static void send_pattern(struct channel *c, uint16_t type, size_t len)
{
	char *text = malloc(len + 1);
	assert_non_null(text);
	for (size_t i = 0; i < len; i++)
		text[i] = (char)(type + i);
	assert_int_equal(channel_send(c, type, span_make(text, len), NULL, 0), 0);
	free(text);
}

static void channel_send__frames_of_all_sizes(void **state)
{
	(void)state;
	static const size_t sizes[] = {
		0, 1, 100, 65527, 65528, 65529, 7, 200000, 0, 131072, CHANNEL_FRAME_MAX, 3};
	struct side a = {0}, b = {.pattern = true, .exit_after = ARRAY_LEN(sizes)};
	sides(&a, &b);
	size_t total = 0;
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		send_pattern(a.c, (uint16_t)(i + 1), sizes[i]);
		total += sizes[i];
	}
	run_for(5 * USEC_PER_SEC);
	assert_int_equal(b.frames, ARRAY_LEN(sizes));
	assert_int_equal(b.octets, total);
	assert_int_equal(channel_backlog(a.c), 0);
	char *big = calloc(1, CHANNEL_FRAME_MAX + 1);
	assert_int_equal(
		channel_send(a.c, 1, span_make(big, CHANNEL_FRAME_MAX + 1), NULL, 0), -EMSGSIZE);
	free(big);
	channel_free(a.c);
	channel_free(b.c);
}

static void channel_send__gathers_a_turn_in_one_packet(void **state)
{
	(void)state;
	int fds[2];
	pair(fds);
	struct side a = {0};
	assert_int_equal(channel_new(fds[0], &ops, &a, &a.c), 0);
	for (unsigned i = 0; i < 100; i++)
		assert_int_equal(channel_send(a.c, 9, SPAN_LIT("x"), NULL, 0), 0);
	char packet[2000];
	assert_int_equal(recv(fds[1], packet, sizeof packet, 0), -1);
	run_for(MSEC);
	assert_int_equal(recv(fds[1], packet, sizeof packet, 0), 900);
	assert_int_equal(recv(fds[1], packet, sizeof packet, 0), -1);
	assert_int_equal(channel_send(a.c, 9, SPAN_LIT("now"), NULL, 0), 0);
	channel_flush(a.c);
	assert_int_equal(recv(fds[1], packet, sizeof packet, 0), 11);
	channel_free(a.c);
	close(fds[1]);
}

static void channel_send__fds_go_with_straddling_frames(void **state)
{
	(void)state;
	enum { FILES = 8, FRAMES = 60 };
	unsigned before = open_fds();
	int files[FILES];
	char *payload = calloc(1, 70000);
	assert_non_null(payload);
	for (unsigned i = 0; i < FILES; i++) {
		char name[] = "/tmp/channel_test_XXXXXX";
		files[i] = mkstemp(name);
		assert_true(files[i] >= 0);
		unlink(name);
		ino_t ino = inode(files[i]);
		memcpy(payload + i * sizeof ino, &ino, sizeof ino);
	}
	struct side a = {0}, b = {.exit_after = FRAMES};
	sides(&a, &b);
	for (unsigned i = 0; i < FRAMES; i++) {
		/* Small ones need packets cut by fds, large ones straddle packets. */
		size_t len = i % 20 == 19 ? 70000 : i % 7 == 0 ? 40000 : 64;
		unsigned n_fds = i % 3 == 0 ? FILES : i % 9;
		n_fds = n_fds > FILES ? FILES : n_fds;
		assert_int_equal(
			channel_send(a.c, (uint16_t)i, span_make(payload, len), files, n_fds), 0);
	}
	run_for(5 * USEC_PER_SEC);
	assert_int_equal(b.frames, FRAMES);
	assert_int_equal(b.fds_wrong, 0);
	assert_int_equal(b.closes, 0);
	for (unsigned i = 0; i < FILES; i++)
		close(files[i]);
	channel_free(a.c);
	channel_free(b.c);
	free(payload);
	assert_int_equal(open_fds(), before);
}

static void channel_send__fds_only_frames_are_cut_at_64(void **state)
{
	(void)state;
	unsigned before = open_fds();
	int zero[CHANNEL_FDS_MAX] = {0};
	ino_t inodes[CHANNEL_FDS_MAX];
	for (unsigned i = 0; i < CHANNEL_FDS_MAX; i++)
		inodes[i] = inode(0);
	struct side a = {0}, b = {.exit_after = 30};
	sides(&a, &b);
	for (unsigned i = 0; i < 30; i++)
		assert_int_equal(channel_send(a.c, 1, span_make(inodes, sizeof inodes), zero,
					 i == 0 ? 3 : 7),
			0);
	run_for(5 * USEC_PER_SEC);
	assert_int_equal(b.frames, 30);
	assert_int_equal(b.fds_wrong, 0);
	channel_free(a.c);
	channel_free(b.c);
	assert_int_equal(open_fds(), before);
}

static void channel_send__backlog_is_bounded_and_drains(void **state)
{
	(void)state;
	struct side a = {0}, b = {0};
	sides(&a, &b);
	channel_set_backlog_max(a.c, 100000);
	static char octets[10000];
	int r = 0;
	unsigned sent = 0;
	while (r == 0 && sent < 100) {
		r = channel_send(a.c, 1, span_make(octets, sizeof octets), NULL, 0);
		sent += r == 0;
	}
	assert_int_equal(r, -ENOBUFS);
	assert_true(channel_backlog(a.c) <= 100000);
	assert_int_equal(sent, 9);
	b.exit_after = sent;
	run_for(5 * USEC_PER_SEC);
	assert_int_equal(b.frames, sent);
	run_for(MSEC);
	assert_int_equal(a.drains, 1);
	channel_free(a.c);
	channel_free(b.c);
}

static void channel__peer_does_not_read_then_does(void **state)
{
	(void)state;
	int fds[2];
	pair(fds);
	struct side a = {0}, b = {.pattern = true, .exit_after = 40};
	assert_int_equal(channel_new(fds[0], &ops, &a, &a.c), 0);
	for (unsigned i = 0; i < 40; i++)
		send_pattern(a.c, 5, 50000);
	run_for(2 * MSEC);
	assert_true(channel_backlog(a.c) > 0);
	assert_int_equal(channel_new(fds[1], &ops, &b, &b.c), 0);
	run_for(5 * USEC_PER_SEC);
	assert_int_equal(b.frames, 40);
	assert_int_equal(channel_backlog(a.c), 0);
	channel_free(a.c);
	channel_free(b.c);
}

static void channel__peer_ends_after_its_frames(void **state)
{
	(void)state;
	struct side a = {0}, b = {.exit_on_close = true, .free_on_close = true};
	sides(&a, &b);
	for (unsigned i = 0; i < 200; i++) {
		assert_int_equal(channel_send(a.c, 1, SPAN_LIT("last words"), NULL, 0), 0);
		channel_flush(a.c);
	}
	/* The other end finds out by sending, and must still read what came before. */
	assert_int_equal(channel_send(b.c, 1, SPAN_LIT("into the void"), NULL, 0), 0);
	channel_freep(&a.c);
	channel_flush(b.c);
	assert_int_equal(b.closes, 0);
	run_for(5 * USEC_PER_SEC);
	assert_int_equal(b.frames, 200);
	assert_int_equal(b.closes, 1);
	assert_null(b.c);
}

static void channel_free__inside_on_frame(void **state)
{
	(void)state;
	struct side a = {.exit_on_close = true}, b = {.free_on_frame = true};
	sides(&a, &b);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(channel_send(a.c, 1, SPAN_LIT("x"), (int[]){0}, 1), 0);
	run_for(5 * USEC_PER_SEC);
	assert_int_equal(b.frames, 1);
	assert_int_equal(b.closes, 0);
	assert_int_equal(a.closes, 1);
	channel_free(a.c);
}

static void channel__on_frame_refuses(void **state)
{
	(void)state;
	struct side a = {0}, b = {.frame_result = -EBADMSG, .exit_on_close = true};
	sides(&a, &b);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(channel_send(a.c, 1, SPAN_LIT("x"), NULL, 0), 0);
	run_for(5 * USEC_PER_SEC);
	assert_int_equal(b.frames, 1);
	assert_int_equal(b.closes, 1);
	assert_int_equal(b.close_error, -EBADMSG);
	channel_free(a.c);
	channel_free(b.c);
}

static void raw_send(int fd, const void *ptr, size_t len, unsigned n_fds)
{
	union {
		struct cmsghdr align;
		char octets[CMSG_SPACE(100 * sizeof(int))];
	} control = {0};
	struct iovec iov = {(void *)(uintptr_t)ptr, len};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	if (n_fds) {
		int zero[100] = {0};
		msg.msg_control = control.octets;
		msg.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
		struct cmsghdr *h = CMSG_FIRSTHDR(&msg);
		h->cmsg_level = SOL_SOCKET;
		h->cmsg_type = SCM_RIGHTS;
		h->cmsg_len = CMSG_LEN(n_fds * sizeof(int));
		memcpy(CMSG_DATA(h), zero, n_fds * sizeof(int));
	}
	assert_int_equal(sendmsg(fd, &msg, 0), len);
}

static void channel__hostile_packets_close(void **state)
{
	(void)state;
	static char large[CHANNEL_PACKET_MAX + 1];
	static const struct {
		const char *what;
		const char *octets;
		size_t len;
		unsigned n_fds, times;
		int want;
		unsigned want_frames;
	} rows[] = {
		{"frame too large", "\1\0\100\0\1\0\0\0", 8, 0, 1, -EPROTO, 0},
		{"length of all ones", "\377\377\377\377\1\0\0\0", 8, 0, 1, -EPROTO, 0},
		{"too many fds claimed", "\0\0\0\0\1\0\11\0", 8, 9, 1, -EPROTO, 0},
		{"fds claimed, none sent", "\0\0\0\0\1\0\1\0", 8, 0, 1, -EPROTO, 0},
		{"fds never claimed", "\0\0\0\0\1\0\0\0", 8, 60, 2, -EPROTO, 2},
		{"fds beyond a packet's", "\0\0\0\0\1\0\0\0", 8, 80, 1, -EPROTO, 0},
		{"packet too large", large, sizeof large, 0, 1, -EPROTO, 0},
		{"half a frame, then the end", "\5\0\0\0\1\0\0\0ab", 10, 0, 1, -EPROTO, 0},
		{"half a header, then the end", "\5\0", 2, 0, 1, -EPROTO, 0},
		{"good, then the end", "\2\0\0\0\1\0\0\0ab", 10, 0, 1, 0, 1},
		{"empty packet", "", 0, 0, 1, 0, 0},
	};
	unsigned before = open_fds();
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		int fds[2];
		pair(fds);
		struct side b = {.exit_on_close = true};
		assert_int_equal(channel_new(fds[0], &ops, &b, &b.c), 0);
		for (unsigned k = 0; k < rows[i].times; k++)
			raw_send(fds[1], rows[i].octets, rows[i].len, rows[i].n_fds);
		close(fds[1]);
		run_for(5 * USEC_PER_SEC);
		if (b.closes != 1 || b.close_error != rows[i].want ||
			b.frames != rows[i].want_frames)
			fail_msg("%s: want %d, %u frames; got %d, %u frames", rows[i].what,
				rows[i].want, rows[i].want_frames, b.close_error, b.frames);
		channel_free(b.c);
	}
	assert_int_equal(open_fds(), before);
}

static void channel__frame_in_single_octets(void **state)
{
	(void)state;
	int fds[2];
	pair(fds);
	struct side b = {.exit_after = 3};
	assert_int_equal(channel_new(fds[0], &ops, &b, &b.c), 0);
	static const char frame[] = "\0\0\0\0\1\2\1\0";
	for (unsigned k = 0; k < 3; k++)
		for (unsigned i = 0; i < 8; i++) {
			raw_send(fds[1], frame + i, 1, i == 0);
			run_for(100);
		}
	run_for(MSEC);
	assert_int_equal(b.frames, 3);
	assert_int_equal(b.last_type, 0x201);
	assert_int_equal(b.last_n_fds, 1);
	channel_free(b.c);
	close(fds[1]);
}

/* A flood of packets on one channel leaves others their turn. */
static void flood_fiber(void *arg)
{
	struct side *s = arg;
	assert_int_equal(fiber_yield(), 0);
	assert_in_range(s[1].frames, 1, 200);
}

static void channel__flood_yields_to_others(void **state)
{
	(void)state;
	struct side s[2] = {{0}, {.exit_after = 250}};
	sides(&s[0], &s[1]);
	unsigned sent = 0;
	for (unsigned i = 0; i < 250; i++) {
		assert_int_equal(channel_send(s[0].c, 1, SPAN_LIT("x"), NULL, 0), 0);
		channel_flush(s[0].c);
		sent++;
	}
	spawn(flood_fiber, s);
	run_for(5 * USEC_PER_SEC);
	assert_int_equal(s[1].frames, sent);
	channel_free(s[0].c);
	channel_free(s[1].c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LOOP_TEST(channel_send__frames_of_all_sizes),
		LOOP_TEST(channel_send__gathers_a_turn_in_one_packet),
		LOOP_TEST(channel_send__fds_go_with_straddling_frames),
		LOOP_TEST(channel_send__fds_only_frames_are_cut_at_64),
		LOOP_TEST(channel_send__backlog_is_bounded_and_drains),
		LOOP_TEST(channel__peer_does_not_read_then_does),
		LOOP_TEST(channel__peer_ends_after_its_frames),
		LOOP_TEST(channel_free__inside_on_frame),
		LOOP_TEST(channel__on_frame_refuses),
		LOOP_TEST(channel__hostile_packets_close),
		LOOP_TEST(channel__frame_in_single_octets),
		LOOP_TEST(channel__flood_yields_to_others),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
