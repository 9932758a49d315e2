/* The steps between the queue's files, by the file that has them (private to the queue; included by
 * queue_internal.h). A step is atomic: nothing here suspends, or calls the owner but by queue_ops.
 * A step on a message ends with queue_settle or queue_settle_all. */
#pragma once
#include "queue/site.h"

struct queue;

/* queue.c */
void *queue_grow(void *p, size_t *cap, size_t n, size_t each); /* aborts without memory */
void *queue_scratch(struct queue *q, size_t octets);
uint64_t queue_random(struct queue *q);
void queue_say(struct queue *q, const char *event, const struct mail *m, const struct rcpt *r,
	const struct note *n, struct span detail);
/* mail.c */
void queue_mail_free(struct queue *q, struct mail *m);
struct rcpt *queue_mail_add_rcpt(struct queue *q, struct mail *m); /* NULL: too many */
/* recipient.c */
void queue_rcpt_set(struct queue *q, struct mail *m, struct rcpt *r, enum rcpt_state state);
void queue_rcpt_address(struct rcpt *r, struct span address);
void queue_rcpt_hop(struct queue *q, struct rcpt *r, struct next_hop *hop); /* takes over */
void queue_rcpt_note(struct rcpt *r, struct note *n);			    /* takes over */
void queue_rcpt_touch(struct queue *q, struct mail *m, struct rcpt *r, bool dirty);
void queue_rcpt_fail(struct queue *q, struct mail *m, struct rcpt *r);
/* A report of success is owed; takes over the note. */
void queue_rcpt_succeed(struct queue *q, struct mail *m, struct rcpt *r, struct note *n);
void queue_rcpt_defer(struct queue *q, struct mail *m, struct rcpt *r);
void queue_rcpt_expire(struct queue *q, struct mail *m, struct rcpt *r);
void queue_rcpt_hold(struct queue *q, struct mail *m, struct rcpt *r);
void queue_rcpt_drop(struct queue *q, struct mail *m, struct rcpt *r, struct span detail);
void queue_rcpt_again(struct queue *q, struct mail *m, struct rcpt *r); /* READY or asked anew */
struct note *note_new(uint16_t code, bool remote_said, struct span enhanced, struct span text,
	struct span remote);
struct note *note_ref(struct note *n);
void note_unref(struct note *n);
bool note_equal(const struct note *a, const struct note *b);
struct span note_enhanced(const struct note *n);
struct span note_text(const struct note *n);
struct span note_remote(const struct note *n);
/* settle.c: the end of every step on a message: ledger, reports, batches, done */
void queue_settle(struct queue *q, struct mail *m, const struct handed *ended, bool front);
void queue_settle_all(struct queue *q, struct mail *m, bool front);
/* Leaves what a step changed for a later queue_settle_all. */
void queue_untouch(struct queue *q, struct mail *m);
void queue_dissolve(struct queue *q, struct mail *m); /* READY -> ROUTED */
/* schedule.c */
uint64_t queue_retry_wait(struct queue *q, unsigned attempts);
uint64_t queue_retry_last(const struct queue *q);
uint64_t queue_expire_at(const struct queue *q, const struct mail *m);
/* When its life begins, and its by-time, from wall to monotonic. */
void queue_mail_born(struct queue *q, struct mail *m, uint64_t age_max);
uint64_t queue_mail_held_back(const struct queue *q, const struct mail *m); /* so long from now */
uint64_t queue_to_wall(const struct queue *q, uint64_t mono);
void queue_mail_timer(struct queue *q, struct mail *m);
void queue_mail_due(struct queue *q, struct mail *m, uint64_t due); /* at the latest then */
void queue_mail_grace(struct queue *q, struct mail *m); /* a life of QUEUE_GRACE_USEC at least */
void queue_timers_run(struct queue *q);
/* site.c */
struct next_hop *queue_hop(
	struct queue *q, const struct hop *h); /* a reference, or NULL: no memory */
void queue_hop_unref(struct queue *q, struct next_hop *hop);
enum site_change {
	SITE_UNKNOWN, /* nothing learnt */
	SITE_SUCCESS,
	SITE_FAILURE, /* a session was had, but nothing came of it */
	SITE_NO_SESSION,
};
void queue_site_result(
	struct queue *q, struct site *s, bool probe, enum site_change change, struct note *why);
void queue_site_ready(struct queue *q, struct site *s, int64_t n);
void queue_site_release(struct queue *q, struct site *s, bool probe);
void queue_site_try(struct queue *q, struct site *s); /* the operator: up, whatever it was */
void queue_site_runnable(struct queue *q, struct site *s);
void queue_site_probe(struct queue *q, struct site *s);
void queue_site_free(struct queue *q, struct site *s);
void queue_batch_add(struct queue *q, struct batch *b, bool front);
void queue_batch_free(struct queue *q, struct batch *b);
void queue_batch_back(struct queue *q, struct batch *b); /* to the end of its lane */
struct batch *queue_site_next(struct site *s);
/* asks.c, expand.c */
void queue_ask(struct queue *q, struct mail *m);
void queue_asks_run(struct queue *q);
struct rcpt *queue_ask_take(struct queue *q, uint64_t token, bool route, struct mail **ret_mail);
/* mx.c */
void queue_mx_park(struct queue *q, struct batch *b, bool front);
void queue_mx_unpark(struct queue *q, struct batch *b);
void queue_mx_run(struct queue *q);
uint64_t queue_mx_due(const struct queue *q);
/* jobs.c, reports.c */
void queue_jobs_run(struct queue *q, unsigned max_jobs);
void queue_job_free(struct queue *q, struct handed *h);
void queue_report_owed(struct queue *q, struct mail *m, uint32_t event);
bool queue_rcpt_warns(const struct mail *m, const struct rcpt *r); /* of delay, if asked for */
void queue_report_delay(struct queue *q, struct mail *m);
/* journal.c */
void queue_entry(struct queue *q, const struct entry *e);
void queue_entry_open(struct queue *q, enum entry_type type, const struct mail *m, uint64_t job);
void queue_entry_rcpt(struct queue *q, const struct mail *m, const struct rcpt *r);
void queue_entry_close(struct queue *q);
void queue_after(struct queue *q, enum effect_kind kind, uint64_t a, uint32_t event);
/* compaction.c */
void queue_write_moved(struct queue *q, const struct mail *m);
/* done.c: ids that are done and whose segment is still there */
void queue_done_add(struct queue *q, uint64_t id);
bool queue_done_has(const struct queue *q, uint64_t id);
void queue_done_seen(struct queue *q, uint64_t id); /* replay: its segment is there */
void queue_done_trim(struct queue *q, bool all);    /* forgets segments not seen, or all */
/* replay.c */
void queue_job_close(struct queue *q, uint64_t job); /* takes it out of its message and frees it */
void queue_replay_marks(struct queue *q);
void queue_replay_done(struct queue *q);
/* match.c */
struct span queue_state_name(const struct rcpt *r);
bool queue_request_is_open(const struct admin_request *r);
bool queue_match_mail(const struct mail *m, const struct admin_request *a);
bool queue_match_rcpt(const struct mail *m, const struct rcpt *r, const struct admin_request *a);
/* The next message to look at, by ids asked for or in order. *cursor (0 at first) is a place in the
 * ids or the next id, so that it stays right whatever comes and goes between two calls. NULL and
 * not over: an id that is not queued. */
struct mail *queue_request_next(
	struct queue *q, const struct admin_request *a, uint64_t *cursor, bool *ret_over);
