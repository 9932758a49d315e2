/* The queue's part in compaction: who could be moved, and that somebody was. A message is idle when
 * no job has it: a job names places in the old segment, and a deliverer may read there until its
 * outcome is kept. Whatever else the message waits for asks for its place when it needs it. */
#include "queue/queue_internal.h"

static bool is_idle(const struct mail *m)
{
	return !(m->flags & (MAIL_DONE | MAIL_DAMAGED | MAIL_GHOST)) && !m->jobs;
}

bool queue_walk(struct queue *q, uint64_t *cursor, unsigned max,
	void (*each)(
		void *arg, uint64_t id, const struct record_ref *commit, uint64_t size, bool idle),
	void *arg)
{
	struct mail *m;
	uint64_t id;

	while ((m = table_from(&q->mails, *cursor, &id))) {
		if (max-- == 0)
			return true;
		*cursor = id + 1;
		each(arg, id, &m->commit, m->size, is_idle(m));
	}
	return false;
}

bool queue_is_idle(const struct queue *q, uint64_t id, const struct record_ref *commit)
{
	const struct mail *m = table_get(&q->mails, id);

	return m && is_idle(m) && m->commit.segment == commit->segment &&
	       m->commit.offset == commit->offset;
}

void queue_write_moved(struct queue *q, const struct mail *m)
{
	queue_entry(q, &(struct entry){.type = ENTRY_MOVED,
			       .id = m->id,
			       .sequence = m->commit.segment,
			       .offset = m->commit.offset,
			       .length = m->commit.length});
}

void queue_moved(struct queue *q, uint64_t id, const struct record_ref *to)
{
	struct mail *m = table_get(&q->mails, id);

	assert(m && is_idle(m));
	m->commit = *to;
	m->flags |= MAIL_MOVED;
	queue_write_moved(q, m);
	queue_after(q, EFFECT_MOVED, id, 0);
}
