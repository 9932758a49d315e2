/* The log sink: both formats, hostile values, and readers that do not read. */
#include "test.h"
#include "base/buf.h"
#include "base/log.h"
#include "base/stats.h"

#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define READ_MAX (1 << 20)

/* All that can be read now without waiting. */
static void read_all(int fd, struct buf *b)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	while (poll(&p, 1, 0) == 1 && (p.revents & POLLIN)) {
		char *to = buf_reserve(b, 4096);
		assert_non_null(to);
		ssize_t n = read(fd, to, 4096);
		if (n <= 0)
			break;
		b->len += (size_t)n;
	}
}

/* A memory file as the sink, so that a test reads what went out from its start. */
static int file_sink(enum log_format format, enum log_level level)
{
	int fd = memfd_create("log", MFD_CLOEXEC);

	assert_true(fd >= 0);
	log_init(fd, format, level, "receiver", 1);
	return fd;
}

static void file_text(int fd, struct buf *b)
{
	log_flush();
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	read_all(fd, b);
}

static void readable__one_line_an_event(void **state)
{
	(void)state;
	CLEANUP(buf_done) struct buf b = BUF_INIT(READ_MAX);
	CLEANUP(fd_closep) int fd = file_sink(LOG_READABLE, LOG_LEVEL_INFO);
	struct log_line *l = log_begin(LOG_LEVEL_INFO, "accepted");
	log_id(l, "id", 0x5555);
	log_str(l, "from", "<a@b>");
	log_str(l, "absent", NULL);
	log_u64(l, "size", UINT64_MAX);
	log_msec(l, "delay", 1234567);
	log_span(l, "helo", SPAN_LIT("a b\n\xff"));
	log_errno(l, -ENOSPC);
	log_end(l);
	log_text(LOG_LEVEL_ERROR, "disk-error", "segment %d", 3);
	file_text(fd, &b);

	struct span all = buf_span(&b);
	/* 2026-11-22T03:26:43.123Z */
	assert_true(all.len > 24 && all.ptr[4] == '-' && all.ptr[10] == 'T' && all.ptr[19] == '.' &&
		    all.ptr[23] == 'Z');
	size_t first = span_index(all, '\n');
	want_span("first",
		SPAN_LIT(" receiver[1]: accepted id=NAN from=<a@b> size=18446744073709551615 "
			 "delay=1.234 helo=\"a b\\n\\xff\" error=\"No space left on device\""),
		span_from(span_head(all, first), 24));
	want_span("second", SPAN_LIT(" receiver[1]: disk-error level=error text=\"segment 3\"\n"),
		span_from(all, first + 1 + 24));
}

static void log_begin__below_the_level(void **state)
{
	(void)state;
	CLEANUP(buf_done) struct buf b = BUF_INIT(READ_MAX);
	CLEANUP(fd_closep) int fd = file_sink(LOG_READABLE, LOG_LEVEL_WARN);
	struct log_line *l = log_begin(LOG_LEVEL_INFO, "quiet");
	assert_null(l);
	log_span(l, "a", SPAN_LIT("b"));
	log_str(l, "a", "b");
	log_u64(l, "a", 1);
	log_id(l, "a", 1);
	log_msec(l, "a", 1);
	log_errno(l, -EIO);
	log_errno(l, -99999);
	log_end(l);
	log_text(LOG_LEVEL_DEBUG, "quiet", "%s", "x");
	file_text(fd, &b);
	want_u64("nothing", 0, b.len);
	want_int("level", LOG_LEVEL_WARN, (int)log_get_level());
}

static void json__valid_whatever_comes(void **state)
{
	(void)state;
	CLEANUP(buf_done) struct buf b = BUF_INIT(READ_MAX);
	CLEANUP(fd_closep) int fd = file_sink(LOG_JSON, LOG_LEVEL_DEBUG);
	static char octets[5000];
	for (size_t i = 0; i < sizeof(octets); i++)
		octets[i] = (char)(i * 31 + i / 256);
	/* From one short value to far more than a line holds. */
	for (size_t fields = 0; fields < 40; fields++) {
		struct log_line *l = log_begin(LOG_LEVEL_DEBUG, "odd");
		log_u64(l, "fields", fields);
		for (size_t i = 0; i < fields; i++) {
			char key[16];
			snprintf(key, sizeof(key), "f%zu", i);
			log_span(l, key, span_make(octets + i, fields * fields * 3));
			log_u64(l, key + 1, i);
			log_msec(l, "m", i);
		}
		log_end(l);
	}
	log_text(LOG_LEVEL_INFO, "long", "%.*s", 4000, octets + 1);
	file_text(fd, &b);
	struct span rest = buf_span(&b);
	size_t lines = 0;
	for (; rest.len; lines++) {
		size_t len = span_index(rest, '\n');
		assert_true(len < rest.len && len < PIPE_BUF);
		json_error_t error;
		json_t *j = json_loadb(rest.ptr, len, JSON_ALLOW_NUL, &error);
		if (!j)
			fail_msg("%s: %.*s", error.text, SPAN_FMT(span_head(rest, len)));
		assert_string_equal(json_string_value(json_object_get(j, "role")), "receiver");
		want_u64("index", 1, (uint64_t)json_integer_value(json_object_get(j, "index")));
		if (lines == 39)
			assert_true(json_is_true(json_object_get(j, "truncated")));
		if (lines == 1)
			assert_null(json_object_get(j, "truncated"));
		json_decref(j);
		rest = span_from(rest, len + 1);
	}
	want_u64("lines", 41, lines);
}

static void log_many(size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct log_line *l = log_begin(LOG_LEVEL_INFO, "many");
		log_u64(l, "n", i);
		log_str(l, "text", "0123456789012345678901234567890123456789012345678901234567");
		log_end(l);
	}
}

/* Fills a sink that nobody reads, then reads: every line is whole, and lines seen plus the count
 * of the report are all there were. */
static void check_stalled_reader(int write_fd, int read_fd)
{
	const size_t total = 10000;
	CLEANUP(buf_done) struct buf b = BUF_INIT(8 * READ_MAX);
	uint64_t dropped = stats_self->log_dropped_total;

	log_init(write_fd, LOG_READABLE, LOG_LEVEL_INFO, "test", -1);
	log_many(total);
	log_flush(); /* must not hang */
	dropped = stats_self->log_dropped_total - dropped;
	assert_true(dropped > 0);
	for (int i = 0; i < 400; i++) {
		read_all(read_fd, &b);
		log_flush();
	}
	read_all(read_fd, &b);

	uint64_t seen = 0, reported = 0;
	for (struct span rest = buf_span(&b); rest.len;) {
		size_t len = span_index(rest, '\n');
		assert_true(len < rest.len);
		struct span text = span_from(span_head(rest, len), 24);
		struct span many = SPAN_LIT(" test: many n=");
		struct span report = SPAN_LIT(" test: log-dropped level=warn count=");
		if (span_starts_nocase(text, many)) {
			seen++;
		} else {
			uint64_t n = 0;
			assert_true(span_starts_nocase(text, report));
			assert_int_equal(span_to_u64(span_from(text, report.len), total, &n), 0);
			reported += n;
		}
		rest = span_from(rest, len + 1);
	}
	want_u64("reported", dropped, reported);
	want_u64("seen and reported", total, seen + reported);
}

static void log_flush__pipe_that_nobody_reads(void **state)
{
	int p[2];
	(void)state;
	assert_int_equal(pipe2(p, O_CLOEXEC), 0);
	check_stalled_reader(p[1], p[0]);
	want_int("the shared description stays blocking", 0, fcntl(p[1], F_GETFL) & O_NONBLOCK);
	close(p[0]);
	close(p[1]);
}

static void log_flush__socket_that_nobody_reads(void **state)
{
	int p[2];
	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, p), 0);
	check_stalled_reader(p[1], p[0]);
	close(p[0]);
	close(p[1]);
}

/* As where rights or confinement forbid a description of our own: no descriptor is left. */
static void log_init_without_reopening(int fd)
{
	struct rlimit old, none;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	none = (struct rlimit){.rlim_cur = 0, .rlim_max = old.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	log_init(fd, LOG_READABLE, LOG_LEVEL_INFO, "test", -1);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
}

/* Each write of the sink is one read here: no batch may end inside a line. */
static void check_batches(int read_fd)
{
	size_t writes = 0;
	struct pollfd in = {.fd = read_fd, .events = POLLIN};

	log_many(100);
	log_flush();
	for (; poll(&in, 1, 0) == 1; writes++) {
		static char packet[2 * PIPE_BUF];
		ssize_t n = read(read_fd, packet, sizeof(packet));
		assert_true(n > 0 && n <= PIPE_BUF && packet[n - 1] == '\n');
	}
	assert_true(writes >= 2 && writes < 10);
}

static void log_flush__batches_of_whole_lines(void **state)
{
	int p[2];
	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, p), 0);
	log_init(p[1], LOG_READABLE, LOG_LEVEL_INFO, "test", -1);
	check_batches(p[0]);
	close(p[0]);
	close(p[1]);

	/* A pipe in packet mode (O_DIRECT), a property of the shared description. */
	assert_int_equal(pipe2(p, O_CLOEXEC | O_DIRECT), 0);
	log_init_without_reopening(p[1]);
	check_batches(p[0]);
	close(p[0]);
	close(p[1]);
}

static void log_flush__pipe_that_can_not_be_reopened(void **state)
{
	int p[2];
	(void)state;
	assert_int_equal(pipe2(p, O_CLOEXEC), 0);
	log_init_without_reopening(p[1]);
	/* More than the pipe holds: must not hang. */
	log_many(3000);
	log_flush();
	CLEANUP(buf_done) struct buf b = BUF_INIT(READ_MAX);
	for (int i = 0; i < 100; i++) {
		read_all(p[0], &b);
		log_flush();
	}
	assert_true(b.len > 128 * 1024 && b.ptr[b.len - 1] == '\n');
	close(p[0]);
	close(p[1]);
}

static void log_flush__keeps_errno_and_survives_a_bad_descriptor(void **state)
{
	(void)state;
	CLEANUP(buf_done) struct buf b = BUF_INIT(READ_MAX);
	log_init(-1, LOG_READABLE, LOG_LEVEL_INFO, "test", -1);
	log_text(LOG_LEVEL_INFO, "kept", "%d", 1);
	errno = ENOENT;
	log_flush();
	want_int("errno", ENOENT, errno);
	/* What could not go out waits for a sink that works. */
	CLEANUP(fd_closep) int fd = file_sink(LOG_READABLE, LOG_LEVEL_INFO);
	file_text(fd, &b);
	want_span("kept", SPAN_LIT(" test: kept text=1\n"), span_from(buf_span(&b), 24));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(readable__one_line_an_event),
		cmocka_unit_test(log_begin__below_the_level),
		cmocka_unit_test(json__valid_whatever_comes),
		cmocka_unit_test(log_flush__pipe_that_nobody_reads),
		cmocka_unit_test(log_flush__socket_that_nobody_reads),
		cmocka_unit_test(log_flush__batches_of_whole_lines),
		cmocka_unit_test(log_flush__pipe_that_can_not_be_reopened),
		cmocka_unit_test(log_flush__keeps_errno_and_survives_a_bad_descriptor),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
