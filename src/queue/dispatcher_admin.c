/* The operator's requests, from the control process. Lists go out in slices, a few rows a turn and
 * only as fast as control takes them, so that a million messages stop nobody. Commands run in
 * slices, too, in the turn, before the ledger is written: their answer leaves after what they
 * changed is in the page cache. Before the queue has started, requests wait. */
#include "queue/dispatcher_internal.h"
#include "queue/dispatcher_trace.h"

#include "ipc/admin.h"
#include <stdlib.h>

#define REQUEST_OCTETS_MAX (64u << 20)
#define BUSY_USEC	   (10 * USEC_PER_MSEC)

struct request {
	struct list node;
	struct peer *peer;
	struct arena *arena;
	struct admin_request r;
	uint64_t cursor, rows;
	int error;
};

static void request_free(struct dispatcher *d, struct request *q)
{
	list_remove(&q->node);
	d->n_requests--;
	arena_free(q->arena);
	free(q);
}

static void answer_end(struct peer *p, uint64_t token, int error, const char *text, uint64_t count)
{
	struct admin_end e = {
		.token = token,
		.error = (uint32_t)error,
		.text = span_str(text),
		.count = count,
	};
	struct buf b = BUF_INIT(4096);

	admin_end_encode(&e, &b);
	/* Control that cannot take an end frame has lost its channel: it says so to its clients. */
	if (b.error || channel_send(p->channel, FRAME_ADMIN_END, buf_span(&b), NULL, 0) < 0)
		channel_flush(p->channel);
	buf_done(&b);
}

static bool is_queue_verb(enum admin_verb v)
{
	return v >= ADMIN_QUEUE_LIST && v <= ADMIN_QUEUE_DROP;
}

int control_frame(struct peer *p, struct frame *f)
{
	struct dispatcher *d = p->d;
	struct wire w = wire_reader(f->payload);

	if (f->type != FRAME_ADMIN)
		return -EPROTO;
	if (d->n_requests >= REQUESTS_MAX) {
		answer_end(p, wire_get_u64(&w), EAGAIN, "too many requests at once", 0);
		return 0;
	}
	struct request *q = calloc(1, sizeof(*q));
	if (!q || !(q->arena = arena_new(REQUEST_OCTETS_MAX))) {
		free(q);
		return -ENOMEM;
	}
	struct span copy = arena_span(q->arena, f->payload);
	int r = copy.ptr ? admin_request_decode(copy, q->arena, &q->r) : -ENOMEM;
	bool about_trace = r == 0 && (q->r.verb == ADMIN_TRACE || q->r.verb == ADMIN_CANCEL);
	if (r == 0 && !is_queue_verb(q->r.verb) && !about_trace)
		r = -EPROTO;
	q->peer = p;
	d->n_requests++;
	list_init(&q->node);
	if (about_trace) {
		if (q->r.verb == ADMIN_TRACE)
			trace_begin(p, &q->r);
		else
			trace_cancel(p, q->r.token);
		request_free(d, q);
		return 0;
	}
	if (r < 0) {
		answer_end(p, wire_get_u64(&w), -r, "the request cannot be read", 0);
		request_free(d, q);
		return 0;
	}
	list_push_back(&d->requests, &q->node);
	loop_defer(&d->turn);
	return 0;
}

void control_gone(struct peer *p)
{
	traces_gone(p);
	list_foreach_safe (n, tmp, &p->d->requests) {
		struct request *q = CONTAINER_OF(n, struct request, node);
		if (q->peer == p)
			request_free(p->d, q);
	}
}

/* ---- answering ---- */

static void add_sessions(struct request *q, struct queue_row *row)
{
	struct transcript_shown shown[QUEUE_ROW_SESSIONS];
	unsigned n = transcripts_find(&q->peer->d->transcripts, row->id, shown, QUEUE_ROW_SESSIONS);

	row->sessions = n ? arena_alloc(q->arena, n * sizeof(*row->sessions)) : NULL;
	for (unsigned i = 0; row->sessions && i < n; i++)
		row->sessions[row->n_sessions++] = (struct queue_row_session){
			.wall_usec = shown[i].wall_usec, .text = shown[i].text};
}

static void send_row(void *arg, const struct queue_row *row)
{
	struct request *q = arg;
	struct queue_row copy = *row;
	struct buf b = BUF_INIT(CHANNEL_FRAME_MAX);

	copy.token = q->r.token;
	if (q->r.verb == ADMIN_QUEUE_SHOW)
		add_sessions(q, &copy);
	queue_row_encode(&copy, &b);
	if (b.error) {
		/* Too long for a frame: as many recipients as surely fit. */
		buf_done(&b);
		copy.n_rcpts = MIN(copy.n_rcpts, 100u);
		queue_row_encode(&copy, &b);
	}
	int r = b.error ? b.error
			: channel_send(q->peer->channel, FRAME_ADMIN_ROW, buf_span(&b), NULL, 0);
	if (r < 0)
		q->error = r;
	else
		q->rows++;
	buf_done(&b);
}

/* What has left the queue is still explained, as long as its sessions are remembered. */
static void show_gone(struct dispatcher *d, struct request *q)
{
	struct transcript_shown shown;

	for (uint32_t i = 0; q->r.verb == ADMIN_QUEUE_SHOW && i < q->r.n_ids; i++) {
		struct queue_row row = {.id = q->r.ids[i], .gone = true};
		if (!queue_has(d->queue, row.id) &&
			transcripts_find(&d->transcripts, row.id, &shown, 1) > 0)
			send_row(q, &row);
	}
}

/* true: answered. */
static bool list_slice(struct dispatcher *d, struct request *q)
{
	uint64_t left = q->r.limit ? q->r.limit - q->rows : ROWS_PER_TURN;
	bool more = left > 0 && queue_list(d->queue, &q->r, &q->cursor,
					(unsigned)MIN(left, (uint64_t)ROWS_PER_TURN), send_row, q);

	if (q->error == 0 && more && !(q->r.limit && q->rows >= q->r.limit))
		return false;
	show_gone(d, q);
	answer_end(q->peer, q->r.token, -q->error, q->error ? "the list broke off" : "", q->rows);
	return true;
}

/* true: answered. What a slice has released is on its way while the next is looked at. */
static bool command_slice(struct dispatcher *d, struct request *q)
{
	if (queue_command_slice(d->queue, &q->r, &q->cursor, COMMANDS_PER_TURN, &q->rows))
		return false;
	answer_end(q->peer, q->r.token, 0, "", q->rows);
	return true;
}

static void on_admin_timer(struct loop_timer *t)
{
	loop_defer(&CONTAINER_OF(t, struct dispatcher, admin_timer)->turn);
}

void admin_run(struct dispatcher *d)
{
	bool busy = false, more = false;

	list_foreach_safe (n, tmp, &d->requests) {
		struct request *q = CONTAINER_OF(n, struct request, node);
		if (q->r.verb != ADMIN_QUEUE_LIST && q->r.verb != ADMIN_QUEUE_SHOW) {
			if (d->book.failed && d->book.unwritten > COMMAND_UNWRITTEN_MAX)
				busy = true;
			else if (command_slice(d, q))
				request_free(d, q);
			else
				more = true;
		} else if (channel_backlog(q->peer->channel) > ADMIN_BACKLOG_MAX) {
			busy = true;
		} else if (list_slice(d, q)) {
			request_free(d, q);
		} else {
			more = true;
		}
	}
	d->admin_timer.fn = on_admin_timer;
	if (more || (busy && loop_timer_set(&d->admin_timer, loop_now_usec() + BUSY_USEC) < 0))
		loop_defer(&d->turn);
}
