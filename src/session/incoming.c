/* A draft, its lease, and the wait for the disk.
 *
 * The ticket of a commit belongs to the writer until it completes, whatever becomes of the session:
 * so this object, which holds the ticket, ends only then. A session that gives up earlier (drain,
 * a disk that hangs) lets go of it, and the done callback does the rest: the notice for the
 * dispatcher is sent there, on the loop, in the turn in which the commit became durable and before
 * the session wakes for its 250. */
#include "session/incoming.h"
#include "base/log.h"
#include "base/stats.h"
#include "session/lease.h"
#include "session/limits.h"

#include <stdlib.h>

struct incoming {
	struct list node; /* lease.drafts, until the commit was noticed or given up */
	struct lease *lease;
	struct draft *draft;
	struct writer_ticket ticket;
	struct record_ref commit;
	uint64_t id;
	bool committing, done, abandoned;
	bool overtaken; /* given up so that a segment can go: it keeps none any more */
	int result;
	struct cond cond;
};

bool lease_segment_in_use(const struct lease *l, uint64_t sequence)
{
	list_foreach (it, &l->drafts) {
		const struct incoming *in = CONTAINER_OF(it, struct incoming, node);
		if (!in->overtaken && draft_uses(in->draft, sequence))
			return true;
	}
	return false;
}

void lease_overtake(struct lease *l, uint64_t sequence)
{
	list_foreach (it, &l->drafts) {
		struct incoming *in = CONTAINER_OF(it, struct incoming, node);
		if (!in->committing && draft_uses(in->draft, sequence))
			in->overtaken = true;
	}
}

/* A chunk in a segment whose sync failed may be lost: such a message is never promised. */
static bool lost_octets(const struct incoming *in)
{
	list_foreach (it, &in->lease->segments) {
		struct leased_segment *s = CONTAINER_OF(it, struct leased_segment, node);
		if (s->state == LEASED_RETIRED && draft_uses(in->draft, s->sequence))
			return true;
	}
	return false;
}

int incoming_new(struct intake *i, struct incoming **ret_incoming)
{
	if (!i->lease)
		return -ESTALE;
	struct incoming *in = calloc(1, sizeof(*in));
	if (!in)
		return -ENOMEM;
	int r = draft_new(i->lease->writer, &in->draft);
	if (r < 0) {
		free(in);
		return r;
	}
	in->lease = i->lease;
	in->lease->refs++;
	in->id = draft_id(in->draft);
	cond_init(&in->cond);
	list_push_back(&in->lease->drafts, &in->node);
	*ret_incoming = in;
	return 0;
}

/* Lets go of what the draft kept; *in stays. */
static void incoming_unlink(struct incoming *in)
{
	if (!list_linked(&in->node))
		return;
	list_remove(&in->node);
	lease_report_segments(in->lease);
}

static void incoming_end(struct incoming *in)
{
	incoming_unlink(in);
	draft_free(in->draft);
	in->lease->refs--;
	lease_changed(in->lease);
	free(in);
}

void incoming_free(struct incoming *in)
{
	if (!in)
		return;
	if (in->committing && !in->done)
		in->abandoned = true;
	else
		incoming_end(in);
}
uint64_t incoming_id(const struct incoming *in)
{
	return in->id;
}

struct buf *incoming_buffer(struct incoming *in)
{
	return draft_buffer(in->draft);
}

int incoming_flush(struct incoming *in)
{
	if (in->overtaken)
		return -ETIME;
	if (in->lease->ended)
		return -ESTALE;
	if (draft_buffer(in->draft)->len >= SPOOL_CHUNK) {
		int r = lease_wait_room(
			in->lease, SPOOL_CHUNK + COMMIT_ROOM, loop_now_usec() + ROOM_WAIT_USEC);
		if (r < 0)
			return r;
	}
	return draft_flush_full(in->draft);
}

int incoming_cut(struct incoming *in, uint64_t from, uint32_t len)
{
	return draft_cut(in->draft, from, len);
}

int incoming_prepend(struct incoming *in, struct span octets)
{
	return draft_prepend(in->draft, octets);
}

static void log_abandoned(const struct incoming *in)
{
	struct log_line *line = log_begin(LOG_LEVEL_WARN, "commit-abandoned");

	log_id(line, "id", in->id);
	log_str(line, "state", in->result == 0 ? "possible-duplicate" : "lost");
	log_end(line);
}

static void incoming_done(struct writer_ticket *t, int result)
{
	struct incoming *in = CONTAINER_OF(t, struct incoming, ticket);
	struct intake *i = in->lease->intake;

	in->done = true;
	in->result = result;
	in->lease->commits--;
	lease_changed(in->lease);
	if (result == 0) {
		STATS_ADD(spool_commits_total, 1);
		intake_notice(i, &(struct commit_notice){
					 .id = in->id,
					 .segment = in->commit.segment,
					 .offset = in->commit.offset,
					 .length = in->commit.length,
				 });
	}
	intake_count(i);
	incoming_unlink(in);
	if (in->abandoned) {
		log_abandoned(in);
		incoming_end(in);
	} else {
		cond_broadcast(&in->cond);
	}
}

int incoming_commit(struct incoming *in, struct message *m)
{
	uint64_t now = loop_now_usec();

	int r = lease_wait_room(
		in->lease, draft_buffer(in->draft)->len + COMMIT_ROOM, now + ROOM_WAIT_USEC);
	if (r < 0)
		return r;
	if (in->overtaken)
		return -ETIME;
	if (lost_octets(in))
		return -EIO;
	in->ticket.done = incoming_done;
	r = draft_commit(in->draft, m, &in->ticket, &in->commit);
	if (r < 0)
		return r;
	in->committing = true;
	in->lease->commits++;
	while (r >= 0 && !in->done)
		r = cond_wait(&in->cond, now + COMMIT_WAIT_USEC);
	return in->done ? in->result : r;
}
