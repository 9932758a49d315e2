/* The other processes as the tests need them: they answer at once, or not at all when told so. */
#include "harness.h"
#include "base/clock.h"
#include "fiber/offload.h"
#include "ipc/frames.h"
#include "ipc/spool_frames.h"
#include "spool/message.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define CLIENT_WAIT (10 * USEC_PER_SEC)

static void segment_name(uint64_t sequence, char name[static 32])
{
	(void)snprintf(name, 32, "%08llu", (unsigned long long)sequence);
}

static int give_segment(struct harness *h)
{
	struct segment_head head = {.sequence = h->next_segment++,
		.slot = 1,
		.size = h->segment_size,
		.created_wall_usec = clock_wall_usec()};
	struct segment_give give = {
		.sequence = head.sequence, .size = head.size, .slot = head.slot};
	struct buf octets = BUF_INIT(4096), payload = BUF_INIT(256);
	char name[32];

	random_octets(head.generation.octets, sizeof(head.generation.octets));
	memcpy(give.generation, head.generation.octets, sizeof(give.generation));
	segment_head_encode(&head, &octets);
	segment_name(head.sequence, name);
	int fd = openat(h->folder, name, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)head.size), 0);
	assert_int_equal(pwrite(fd, octets.ptr, octets.len, 0), (ssize_t)octets.len);
	close(fd);
	fd = openat(h->folder, h->broken ? h->broken : name, O_WRONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	h->broken = NULL;
	segment_give_encode(&give, &payload);
	int r = channel_send(h->dispatcher, FRAME_SEGMENT_GIVE, buf_span(&payload), &fd, 1);
	close(fd);
	buf_done(&octets);
	buf_done(&payload);
	return r;
}

static int on_ended(struct harness *h, struct frame *f)
{
	struct wire w = wire_reader(f->payload);

	assert_true(h->n_ends < ENDS_MAX);
	struct ended_segment *e = &h->ends[h->n_ends++];
	e->sequence = wire_get_u64(&w);
	e->sealed = f->type == FRAME_SEGMENT_SEALED;
	if (e->sealed)
		(void)wire_get_u64(&w);
	else
		e->error = wire_get_u32(&w);
	assert_int_equal(w.error, 0);
	assert_int_equal(w.rest.len, 0);
	return 0;
}

static int dispatcher_frame(void *arg, struct frame *f)
{
	struct harness *h = arg;
	struct wire w = wire_reader(f->payload);

	switch (f->type) {
	case FRAME_SEGMENT_WANT:
		h->wants++;
		return h->give ? give_segment(h) : 0;
	case FRAME_COMMITTED:
		while (h->n_notices < NOTICES_MAX &&
			commit_notice_next(&w, &h->notices[h->n_notices]))
			h->n_notices++;
		assert_int_equal(w.error, 0);
		return 0;
	case FRAME_SEGMENT_SEALED:
	case FRAME_SEGMENT_RETIRED:
		return on_ended(h, f);
	default:
		fail_msg("unexpected frame %u", f->type);
	}
	return -EPROTO;
}

static int directory_frame(void *arg, struct frame *f)
{
	struct harness *h = arg;
	struct lookup l;

	assert_int_equal(f->type, FRAME_LOOKUP);
	assert_int_equal(lookup_decode(f->payload, &l), 0);
	h->questions++;
	if (!h->answer)
		return 0;
	struct lookup_answer a = {.token = l.token, .status = LOOKUP_UNKNOWN_USER};
	if (span_starts_nocase(l.address, SPAN_LIT("alice@")))
		a.status = LOOKUP_OK;
	else if (span_starts_nocase(l.address, SPAN_LIT("broken@")))
		a.status = LOOKUP_TEMPORARY;
	else if (span_starts_nocase(l.address, SPAN_LIT("loop@")))
		a.status = LOOKUP_LOOP;
	struct buf b = BUF_INIT(256);
	lookup_answer_encode(&a, &b);
	int r = channel_send(h->directory, FRAME_LOOKUP_ANSWER, buf_span(&b), NULL, 0);
	buf_done(&b);
	return r;
}

static void peer_closed(void *arg, int error)
{
	(void)arg;
	(void)error;
}

static const struct channel_ops dispatcher_ops = {dispatcher_frame, peer_closed, NULL};
static const struct channel_ops directory_ops = {directory_frame, peer_closed, NULL};

static int pair(struct harness *h, const struct channel_ops *ops, struct channel **ret_channel)
{
	int fds[2];

	assert_int_equal(
		socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
	assert_int_equal(channel_new(fds[0], ops, h, ret_channel), 0);
	return fds[1];
}

void harness_dispatcher_gone(struct harness *h)
{
	channel_free(TAKE(h->dispatcher));
}

void harness_dispatcher(struct harness *h)
{
	harness_dispatcher_gone(h);
	assert_int_equal(
		intake_attach(h->server.intake, pair(h, &dispatcher_ops, &h->dispatcher)), 0);
}

void harness_directory_gone(struct harness *h)
{
	channel_free(TAKE(h->directory));
}

void harness_directory(struct harness *h)
{
	harness_directory_gone(h);
	assert_int_equal(
		lookup_client_attach(h->server.directory, pair(h, &directory_ops, &h->directory)),
		0);
}

/* ---- the client ---- */

struct client harness_connect(struct harness *h, bool local)
{
	struct session_origin origin = {.listener = SPAN_LIT("mx"), .local = local, .uid = 1000};
	struct client c = {0};
	int fds[2];

	if (!local)
		assert_int_equal(address_parse(SPAN_LIT("192.0.2.7"), 4711, &origin.client), 0);
	assert_int_equal(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
	assert_int_equal(session_start(&h->server, fds[0], &origin), 0);
	assert_int_equal(stream_new(fds[1], &c.io), 0);
	stream_set_timeout(c.io, CLIENT_WAIT, CLIENT_WAIT);
	return c;
}

void client_close(struct client *c)
{
	stream_free(TAKE(c->io));
}

void client_send(struct client *c, const char *octets)
{
	int r = stream_write(c->io, span_str(octets));
	if (r == 0)
		r = stream_flush(c->io);
	if (r < 0)
		fail_msg("cannot send %s: %d", octets, r);
}

void client_send_many(struct client *c, const char *line, unsigned times)
{
	for (unsigned i = 0; i < times; i++)
		assert_int_equal(stream_write(c->io, span_str(line)), 0);
	assert_int_equal(stream_flush(c->io), 0);
}

void client_expect(struct client *c, const char *start)
{
	struct span line;

	do {
		int r = stream_read_line(c->io, 4096, &line, NULL);
		if (r < 0)
			fail_msg("want %s, got %s", start, strerror(-r));
	} while (line.len > 3 && line.ptr[3] == '-');
	if (!span_starts_nocase(line, span_str(start)))
		fail_msg("want %s, got %.*s", start, SPAN_FMT(line));
}

void client_command(struct client *c, const char *line, const char *start)
{
	client_send(c, line);
	client_send(c, "\r\n");
	client_expect(c, start);
}

void client_expect_end(struct client *c)
{
	struct span line;
	int r = stream_read_line(c->io, 4096, &line, NULL);

	if (r != -ECONNRESET)
		fail_msg("want the end, got %d", r);
}

void client_to_data(struct client *c)
{
	client_expect(c, "220 ");
	client_command(c, "EHLO client.example.net", "250 ");
	client_command(c, "MAIL FROM:<a@example.net>", "250 2.1.0 ");
	client_command(c, "RCPT TO:<alice@example.org>", "250 2.1.5 ");
	client_command(c, "DATA", "354 ");
}

/* ---- what was spooled ---- */

void harness_read(struct harness *h, const struct commit_notice *n, struct buf *out)
{
	struct arena *arena = arena_new(1u << 20);
	struct buf payload = BUF_INIT(1u << 20);
	struct message m;
	struct piece *pieces = NULL;
	uint32_t n_pieces = 0;
	char name[32];

	segment_name(n->segment, name);
	int fd = openat(h->folder, name, O_RDONLY | O_CLOEXEC);
	void *room = buf_reserve(&payload, n->length);
	assert_non_null(room);
	assert_int_equal(
		pread(fd, room, n->length, (off_t)(n->offset + RECORD_HEADER)), (ssize_t)n->length);
	payload.len = n->length;
	close(fd);
	struct record_ref ref = {n->segment, n->offset, n->length};
	assert_int_equal(message_decode(n->id, buf_span(&payload), arena, &m), 0);
	assert_int_equal(
		message_ranges(&m, buf_span(&payload), &ref, arena, &pieces, &n_pieces), 0);
	for (uint32_t i = 0; i < n_pieces; i++) {
		segment_name(pieces[i].segment, name);
		fd = openat(h->folder, name, O_RDONLY | O_CLOEXEC);
		room = buf_reserve(out, pieces[i].length);
		assert_non_null(room);
		assert_int_equal(pread(fd, room, pieces[i].length, (off_t)pieces[i].offset),
			(ssize_t)pieces[i].length);
		out->len += pieces[i].length;
		close(fd);
	}
	assert_int_equal(out->len, m.size);
	buf_done(&payload);
	arena_free(arena);
}

/* ---- the frame around a test ---- */

static void harness_config(struct harness *h)
{
	static char hostname[] = "mx.example.org", domain[] = "example.org",
		    data[] = "/nonexistent";
	h->domain = (struct config_domain){
		.name = domain, .users = USERS_ANY, .deliver = {.kind = TARGET_DISCARD}};
	h->config = (struct config){.hostname = hostname, .data = data};
	h->config.domains = &h->domain;
	h->config.n_domains = 1;
	h->config.limits.message_size = 50u << 20;
	h->config.limits.recipients = 1000;
	h->config.limits.errors = 20;
	h->config.limits.hops = 50;
	h->config.limits.command_timeout = h->config.limits.data_timeout = 60 * USEC_PER_SEC;
}

static void run_body(void *arg)
{
	struct harness *h = arg;

	h->body(h);
	h->finished = true;
	server_cancel(&h->server);
	for (unsigned i = 0; i < 500 && h->server.n_sessions > 0; i++)
		assert_int_equal(fiber_sleep(10 * USEC_PER_MSEC), 0);
	assert_int_equal(h->server.n_sessions, 0);
	harness_dispatcher_gone(h);
	harness_directory_gone(h);
	assert_int_equal(fiber_sleep(20 * USEC_PER_MSEC), 0);
	server_done(&h->server);
	loop_stop();
}

static void remove_folder(const char *path, struct harness *h)
{
	char name[32];

	for (uint64_t i = 1; i < h->next_segment; i++) {
		segment_name(i, name);
		(void)unlinkat(h->folder, name, 0);
	}
	close(h->folder);
	(void)rmdir(path);
}

void harness_run(void (*body)(struct harness *h))
{
	static struct harness h; /* more than a frame should be */
	memset(&h, 0, sizeof(h));
	h.give = h.answer = true;
	h.next_segment = 1;
	h.segment_size = 1u << 20;
	char path[] = "/tmp/postrider-session-XXXXXX";

	assert_non_null(mkdtemp(path));
	h.folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	h.body = body;
	harness_config(&h);
	assert_int_equal(loop_init(), 0);
	assert_int_equal(offload_init(2), 0);
	assert_int_equal(seam_posix_new(-1, &h.seam), 0);
	assert_int_equal(server_init(&h.server, h.seam, 1, &h.config), 0);
	harness_dispatcher(&h);
	harness_directory(&h);
	assert_int_equal(fiber_spawn(run_body, &h, NULL), 0);
	assert_int_equal(loop_run(), 0);
	assert_true(h.finished);
	seam_posix_free(h.seam);
	offload_done();
	loop_done();
	remove_folder(path, &h);
}
