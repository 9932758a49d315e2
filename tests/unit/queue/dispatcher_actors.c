/* The cast of dispatcher_test.c: receivers, directory, deliverer, mailbox, control. Actors answer
 * as simply as their protocol allows; what a test wants to do itself (an outcome that comes late, a
 * death) it switches off first. */
#include "dispatcher_world.h"

#include "base/clock.h"
#include "ipc/lookup.h"
#include "ipc/spool_frames.h"
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

void world_send(struct channel *c, uint16_t type, struct buf *b, int fd)
{
	assert_int_equal(b->error, 0);
	assert_int_equal(channel_send(c, type, buf_span(b), &fd, fd >= 0), 0);
	buf_done(b);
}

void world_send_u64(struct channel *c, uint16_t type, uint64_t v)
{
	struct buf b = BUF_INIT(64);

	wire_put_u64(&b, v);
	world_send(c, type, &b, -1);
}

/* ---- receivers ---- */

static void need_segment(void *arg)
{
	struct actor *a = arg;
	struct buf b = BUF_INIT(8);

	if (a->channel)
		world_send(a->channel, FRAME_SEGMENT_WANT, &b, -1);
}

static void sealed(void *arg, uint64_t sequence, uint64_t end)
{
	struct actor *a = arg;
	struct buf b = BUF_INIT(64);

	wire_put_u64(&b, sequence);
	wire_put_u64(&b, end);
	if (a->channel)
		world_send(a->channel, FRAME_SEGMENT_SEALED, &b, -1);
	else
		buf_done(&b);
}

static void retired(void *arg, uint64_t sequence, int error)
{
	(void)arg;
	fail_msg("segment %llu: %d", (unsigned long long)sequence, error);
}

static const struct writer_ops writer_ops = {
	.need_segment = need_segment,
	.sealed = sealed,
	.retired = retired,
};

static int receiver_frame(struct actor *a, struct frame *f)
{
	struct segment_give g;
	struct disk_file *file;

	if (f->type == FRAME_ACCEPTING) {
		struct wire w = wire_reader(f->payload);
		a->accepting = wire_get_u8(&w) != 0;
		return 0;
	}
	assert_int_equal(f->type, FRAME_SEGMENT_GIVE);
	assert_int_equal(segment_give_decode(f->payload, &g), 0);
	assert_int_equal(f->n_fds, 1);
	assert_int_equal(fcntl(f->fds[0], F_GETFL) & O_ACCMODE, O_WRONLY);
	assert_int_equal(a->seam->ops->adopt(a->seam->disk, f->fds[0], &file), 0);
	f->fds[0] = -1;
	struct segment_head h = {.sequence = g.sequence, .slot = g.slot, .size = g.size};
	memcpy(h.generation.octets, g.generation, sizeof(g.generation));
	assert_int_equal(g.slot, a->index + 1);
	a->given++;
	writer_give_segment(a->writer, file, &h);
	return 0;
}

struct mail_ticket {
	struct writer_ticket t;
	struct actor *a;
	struct record_ref ref;
	uint64_t id;
	bool notify, done;
};

static void mail_done(struct writer_ticket *t, int result)
{
	struct mail_ticket *m = CONTAINER_OF(t, struct mail_ticket, t);
	struct commit_notice n = {m->id, m->ref.segment, m->ref.offset, m->ref.length};
	struct buf b = BUF_INIT(256);

	assert_int_equal(result, 0);
	m->done = true;
	if (!m->notify || !m->a->channel)
		return;
	commit_notice_encode(&n, &b);
	world_send(m->a->channel, FRAME_COMMITTED, &b, -1);
}

static void mail_begin(struct world *w, unsigned receiver, const char *from, const char *to,
	struct span text, struct mail_ticket *t)
{
	struct actor *a = &w->receivers[receiver];
	struct message_rcpt rcpts[32];
	struct message m = {.arrival_wall_usec = clock_wall_usec(),
		.reverse_path = span_str(from),
		.rcpts = rcpts,
		.relay = 1};
	struct draft *d;

	for (struct span rest = span_str(to); rest.len > 0;) {
		size_t n = span_index(rest, ' ');
		rcpts[m.n_rcpts++] = (struct message_rcpt){.address = span_head(rest, n)};
		rest = span_from(rest, n + 1);
	}
	t->t.done = mail_done;
	t->a = a;
	WAIT_FOR(writer_can_append(a->writer, 65536));
	assert_int_equal(draft_new(a->writer, &d), 0);
	t->id = draft_id(d);
	do {
		size_t n = MIN(text.len, (size_t)SPOOL_CHUNK);
		WAIT_FOR(writer_can_append(a->writer, n + 65536));
		assert_int_equal(draft_append(d, span_head(text, n)), 0);
		text = span_from(text, n);
	} while (text.len > 0);
	assert_int_equal(draft_commit(d, &m, &t->t, &t->ref), 0);
	draft_free(d);
}

uint64_t world_mail(struct world *w, unsigned receiver, const char *from, const char *to,
	struct span text, bool notify)
{
	struct mail_ticket t = {.notify = notify};

	mail_begin(w, receiver, from, to, text, &t);
	WAIT_FOR(t.done);
	return t.id;
}

void world_mail_many(
	struct world *w, unsigned n, const char *from, const char *to, struct span text)
{
	struct mail_ticket *t = calloc(n, sizeof(*t));

	assert_non_null(t);
	for (unsigned i = 0; i < n; i++) {
		t[i].notify = true;
		mail_begin(w, i % RECEIVERS, from, to, text, &t[i]);
		if (i % 100 == 99)
			(void)fiber_sleep(USEC_PER_MSEC);
	}
	for (unsigned i = 0; i < n; i++)
		WAIT_FOR(t[i].done);
	free(t);
}

/* ---- the directory: by domain ---- */

static bool ends(struct span s, const char *with)
{
	size_t n = strlen(with);

	return s.len >= n && memcmp(s.ptr + s.len - n, with, n) == 0;
}

static struct hop hop_for(struct span address)
{
	struct hop h = {.kind = HOP_DELIVER,
		.via = JOB_SMTP,
		.host = SPAN_LIT("127.0.0.1"),
		.port = 13025,
		.site = SPAN_LIT("far")};

	if (ends(address, "@box.test"))
		h = (struct hop){.kind = HOP_DELIVER,
			.via = JOB_MAILDIR,
			.path = SPAN_LIT("/box/{local}"),
			.site = SPAN_LIT("local")};
	else if (ends(address, "@no.test"))
		h = (struct hop){.kind = HOP_FAIL,
			.enhanced = SPAN_LIT("5.1.2"),
			.text = SPAN_LIT("no such domain")};
	return h;
}

static int directory_frame(struct actor *a, struct frame *f)
{
	struct expand_ask ask;
	struct buf b = BUF_INIT(65536);

	assert_int_equal(expand_ask_decode(f->payload, &ask), 0);
	struct expand_child child = {ask.address, hop_for(ask.address)};
	struct expand_answer answer = {
		.token = ask.token, .status = LOOKUP_OK, .children = &child, .n_children = 1};
	expand_answer_encode(&answer, &b);
	world_send(a->channel, f->type == FRAME_EXPAND ? FRAME_EXPAND_ANSWER : FRAME_ROUTE_ANSWER,
		&b, -1);
	return 0;
}

/* ---- deliverers ---- */

static struct actor *deliverer_of(struct world *w, const struct seen_job *j)
{
	return j->by == ROLE_MAILBOX ? &w->mailbox : &w->deliverer;
}

void job_dot(struct world *w, const struct seen_job *j)
{
	world_send_u64(deliverer_of(w, j)->channel, FRAME_JOB_DOT, j->job);
}

void job_answer(struct world *w, struct seen_job *j, enum habit habit)
{
	static const struct outcome_rcpt answers[] = {
		[HABIT_DELIVER] = {.result = OUTCOME_DELIVERED,
			.code = 250,
			.enhanced = {"2.0.0", 5},
			.text = {"Ok", 2}},
		[HABIT_REFUSE] = {.result = OUTCOME_FAILED,
			.code = 550,
			.enhanced = {"5.1.1", 5},
			.text = {"No such user", 12}},
		[HABIT_DEFER] = {.result = OUTCOME_DEFERRED,
			.code = 451,
			.enhanced = {"4.7.1", 5},
			.text = {"Later", 5}},
	};
	struct outcome_rcpt rcpts[32];
	struct outcome o = {.job = j->job,
		.message = j->message,
		.remote = SPAN_LIT("127.0.0.1:13025 mx.far.test"),
		.connect_usec = 1000,
		.transfer_usec = 2000,
		.rcpts = rcpts,
		.n_rcpts = j->n_rcpts};
	struct buf b = BUF_INIT(65536);

	for (uint32_t i = 0; i < j->n_rcpts; i++) {
		rcpts[i] = answers[habit];
		rcpts[i].index = j->index + i; /* tests ask for neighbours only */
	}
	outcome_encode(&o, &b);
	j->answered = true;
	world_send(deliverer_of(w, j)->channel, FRAME_OUTCOME, &b, -1);
}

static int segment_fd(const struct actor *a, uint64_t sequence)
{
	for (unsigned i = 0; i < a->n_segments; i++)
		if (a->segments[i].sequence == sequence)
			return a->segments[i].fd;
	fail_msg("segment %llu was not handed over", (unsigned long long)sequence);
	return -1;
}

static void read_ranges(struct actor *a, const struct job *job, struct seen_job *j)
{
	size_t size = 0;

	for (uint32_t i = 0; i < job->n_ranges; i++)
		size += job->ranges[i].length;
	j->octets = calloc(1, size + 1);
	assert_non_null(j->octets);
	for (uint32_t i = 0; i < job->n_ranges; i++) {
		const struct job_range *r = &job->ranges[i];
		assert_int_equal(pread(segment_fd(a, r->segment), j->octets + j->len, r->length,
					 (off_t)r->offset),
			r->length);
		j->len += r->length;
	}
}

static void copy(char *to, size_t size, struct span s)
{
	assert_true(s.len < size);
	memcpy(to, s.ptr, s.len);
	to[s.len] = 0;
}

static void on_job(struct actor *a, struct span payload)
{
	struct arena *arena = arena_new(16u << 20);
	struct world *w = a->w;
	struct job job;

	assert_int_equal(job_decode(payload, arena, &job), 0);
	assert_true(w->n_jobs < JOBS_SEEN && job.n_rcpts > 0);
	struct seen_job *j = &w->jobs[w->n_jobs++];
	*j = (struct seen_job){.job = job.job,
		.message = job.message,
		.by = a->role,
		.suspect = job.suspect,
		.attempt = job.attempt,
		.n_rcpts = job.n_rcpts,
		.index = job.rcpts[0].index};
	copy(j->rcpt, sizeof(j->rcpt), job.rcpts[0].address);
	copy(j->from, sizeof(j->from), job.reverse_path);
	read_ranges(a, &job, j);
	arena_free(arena);
	if (a->habit != HABIT_KEEP)
		job_answer(w, j, a->habit);
}

static void on_open(struct actor *a, struct frame *f, uint64_t sequence)
{
	assert_int_equal(f->n_fds, 1);
	assert_int_equal(fcntl(f->fds[0], F_GETFL) & O_ACCMODE, O_RDONLY);
	assert_true(a->n_segments < ARRAY_LEN(a->segments));
	a->segments[a->n_segments].sequence = sequence;
	a->segments[a->n_segments++].fd = f->fds[0];
	f->fds[0] = -1;
}

static void on_ask(struct actor *a)
{
	struct world *w = a->w;
	struct buf b = BUF_INIT(65536);

	a->asked = true;
	for (unsigned i = 0; i < w->n_jobs; i++) {
		struct seen_job *j = &w->jobs[i];
		if (j->by == a->role && j->answered && !j->kept)
			job_answer(w, j, HABIT_DELIVER);
	}
	for (unsigned i = 0; i < w->n_jobs; i++)
		if (w->jobs[i].by == a->role && !w->jobs[i].answered)
			wire_put_u64(&b, w->jobs[i].job);
	world_send(a->channel, FRAME_INFLIGHT, &b, -1);
}

static int deliverer_frame(struct actor *a, struct frame *f)
{
	struct wire w = wire_reader(f->payload);

	if (f->type == FRAME_JOB) {
		on_job(a, f->payload);
		return 0;
	}
	if (f->type == FRAME_INFLIGHT_ASK) {
		on_ask(a);
		return 0;
	}
	uint64_t v = wire_get_u64(&w);
	assert_int_equal(w.error, 0);
	if (f->type == FRAME_SEGMENT_OPEN)
		on_open(a, f, v);
	for (unsigned i = 0; f->type == FRAME_OUTCOME_KEPT && i < a->w->n_jobs; i++)
		if (a->w->jobs[i].job == v && a->w->jobs[i].by == a->role)
			a->w->jobs[i].kept = true;
	return 0;
}

unsigned jobs_of(const struct world *w, uint64_t message)
{
	unsigned n = 0;

	for (unsigned i = 0; i < w->n_jobs; i++)
		n += w->jobs[i].message == message;
	return n;
}

struct seen_job *job_to(struct world *w, const char *rcpt, unsigned nth)
{
	for (unsigned i = 0; i < w->n_jobs; i++)
		if (strcmp(w->jobs[i].rcpt, rcpt) == 0 && nth-- == 0)
			return &w->jobs[i];
	return NULL;
}

/* ---- control ---- */

static int control_frame(struct actor *a, struct frame *f)
{
	struct arena *arena = arena_new(16u << 20);
	struct queue_row row;
	struct admin_end end;

	if (f->type == FRAME_ADMIN_ROW) {
		assert_int_equal(queue_row_decode(f->payload, arena, &row), 0);
		assert_int_equal(row.token, 77);
		a->w->rows++;
		a->w->last_id = row.id;
		copy(a->w->states, sizeof(a->w->states),
			row.n_rcpts ? row.rcpts[0].state : SPAN_LIT(""));
	} else {
		assert_int_equal(f->type, FRAME_ADMIN_END);
		assert_int_equal(admin_end_decode(f->payload, &end), 0);
		assert_int_equal(end.error, 0);
		a->w->ends++;
		a->w->count = end.count;
	}
	arena_free(arena);
	return 0;
}

void world_admin(struct world *w, enum admin_verb verb, uint64_t id)
{
	struct admin_request r = {
		.token = 77, .verb = verb, .all = id == 0, .ids = &id, .n_ids = id != 0};
	struct buf b = BUF_INIT(65536);

	w->rows = w->ends = 0;
	admin_request_encode(&r, &b);
	world_send(w->control.channel, FRAME_ADMIN, &b, -1);
	WAIT_FOR(w->ends == 1);
}

/* ---- actors ---- */

static int actor_frame(void *arg, struct frame *f)
{
	struct actor *a = arg;

	switch (a->role) {
	case ROLE_RECEIVER:
		return receiver_frame(a, f);
	case ROLE_DIRECTORY:
		return directory_frame(a, f);
	case ROLE_CONTROL:
		return control_frame(a, f);
	default:
		return deliverer_frame(a, f);
	}
}

static void actor_closed(void *arg, int error)
{
	struct actor *a = arg;

	(void)error;
	channel_free(TAKE(a->channel));
}

static void forget_segments(struct actor *a)
{
	while (a->n_segments > 0)
		fd_close(a->segments[--a->n_segments].fd);
}

void actor_attach(struct actor *a)
{
	static const struct channel_ops ops = {.on_frame = actor_frame, .on_close = actor_closed};
	struct buf b = BUF_INIT(64);
	int pair[2];

	a->alive = true;
	channel_free(TAKE(a->channel));
	forget_segments(a);
	assert_int_equal(
		socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
	assert_int_equal(channel_new(pair[0], &ops, a, &a->channel), 0);
	wire_put_u8(&b, (uint8_t)a->role);
	wire_put_u16(&b, (uint16_t)a->index);
	world_send(a->w->supervisor, FRAME_PEER, &b, pair[1]);
	fd_close(pair[1]);
	a->asked = false;
	if (a->role != ROLE_RECEIVER)
		return;
	writer_free(TAKE(a->writer));
	if (!a->seam)
		assert_int_equal(seam_posix_new(-1, &a->seam), 0);
	a->accepting = true;
	assert_int_equal(
		writer_new(a->seam, (uint16_t)(a->index + 1), &writer_ops, a, &a->writer), 0);
}

void actor_live(struct actor *a)
{
	actor_attach(a);
}

void actor_die(struct actor *a)
{
	a->alive = false;
	channel_free(TAKE(a->channel));
	forget_segments(a);
	/* What it had in hand is gone with it. */
	for (unsigned i = 0; i < a->w->n_jobs; i++)
		if (a->w->jobs[i].by == a->role)
			a->w->jobs[i].answered = a->w->jobs[i].kept = true;
	if (a->role == ROLE_RECEIVER)
		writer_free(TAKE(a->writer));
}
