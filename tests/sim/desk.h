/* The simulated dispatcher (desk*.c): the real store, ledger, queue, recovery and writer, joined as
 * queue/dispatcher*.c joins them, with frames and time from the world. Its rules of order are
 * copied from there: what the ledger must know is written before its effect leaves; names are in
 * the log before the job goes. */
#pragma once
#include "world.h"

#include "queue/entries.h"
#include "queue/holds.h"
#include "spool/compact.h"
#include "spool/draft.h"
#include "spool/ledger.h"
#include "spool/recover.h"

#define GIVEN_MAX     64u
#define JOBS_MAX      200u
#define MESSAGE_ARENA (8u << 20)

struct peer {
	struct list node;
	struct desk *d;
	enum peer_kind kind;
	unsigned index;
	struct link *link;
	uint64_t given[GIVEN_MAX];
	unsigned n_given;
	struct list jobs; /* struct handed_out */
	bool answered, spoke, wants;
};
struct handed_out {
	struct list node; /* of its peer's jobs, or desk.unsent, or none: waits to be kept */
	struct peer *peer;
	uint64_t job;
	bool dot, ended;
	struct buf frame;
	uint64_t *segments;
	unsigned n_segments;
};
struct late {
	struct list node;
	enum { LATE_OUTCOME, LATE_LOST, LATE_REPORT, LATE_GONE } kind;
	struct peer *peer;
	struct writing *writing;
	uint64_t a, b;
	struct buf payload;
};
struct name { /* of a possible duplicate, not yet in the log */
	uint64_t id;
	char address[TRUTH_NAME];
};
struct held_notice {
	uint16_t slot;
	uint64_t id;
	struct record_ref ref;
};
enum desk_phase { DESK_LEDGER, DESK_SEGMENTS, DESK_SYNC, DESK_ASK, DESK_STARTED };
struct desk {
	struct world *w;
	struct seam *seam;
	struct store *store;
	struct ledger *ledger;
	struct queue *queue;
	struct writer *writer; /* slot 0 */
	struct list peers, unsent, late;
	struct map *jobs;
	struct holds holds;
	struct compactor *compactor;
	struct name *names;
	size_t n_names;
	struct held_notice *notices;
	size_t n_notices;
	struct arena *arena; /* of the message at hand */
	struct buf payload;
	enum desk_phase phase;
	bool closing, turn_due, recycling, low;
	bool ledger_failed, checkpoint_wanted, checkpointing;
	struct writer_ticket first;
	uint64_t life; /* which one it is */
	bool same_boot, boot_known;
	uint8_t boot[16]; /* as the ledger notes it */
	uint64_t own_first;
	struct {
		uint64_t *sequences;
		size_t n, at;
		bool reading;
		struct recover_cursor cursor;
		uint64_t live;
		unsigned syncs;
		int error;
	} recovery;
	struct peer *speaker;
};

/* desk.c */
void desk_event(struct desk *d);
void desk_late(struct desk *d, struct late l);
struct peer *desk_peer(struct desk *d, enum peer_kind kind, unsigned index);
void desk_say(struct desk *d, struct peer *p, struct said s);
void desk_die(struct desk *d, const char *why); /* where the dispatcher would abort */
/* desk_spool.c */
extern const struct store_ops desk_store_ops;
extern const struct writer_ops desk_writer_ops;
void desk_ledger(void *arg, uint8_t type, struct span payload);
void desk_ledger_sync(void *arg, uint64_t ticket);
bool desk_ledger_write(struct desk *d);
void desk_checkpoint_run(struct desk *d);
void desk_receiver_frame(struct peer *p, const struct said *s);
void desk_reclaim(struct desk *d, uint16_t slot);
void desk_notice(struct desk *d, const struct held_notice *n);
void desk_take(struct desk *d, const struct held_notice *n);
/* desk_message.c */
MUST_CHECK int desk_load(
	struct desk *d, uint64_t id, const struct record_ref *ref, struct message *ret);
void desk_forget(void *arg, uint64_t id, const struct record_ref *commit);
void desk_report(void *arg, const struct queue_report *report);
void desk_report_late(struct desk *d, struct writing *w);
/* desk_compact.c */
extern const struct compact_ops desk_compact_ops;
void desk_compact(struct desk *d);
void desk_moved(void *arg, uint64_t id);
/* desk_jobs.c */
void desk_deliver(void *arg, const struct job *job, const struct record_ref *commit);
void desk_cancel(void *arg, uint64_t job);
void desk_outcome_kept(void *arg, uint64_t job);
void desk_outcome(struct desk *d, struct peer *from, struct span payload);
void desk_deliverer_frame(struct peer *p, struct said *s);
void desk_deliverer_gone(struct peer *p);
void desk_jobs_send(struct desk *d);
unsigned desk_jobs_room(const struct desk *d);
void desk_job_free(struct desk *d, struct handed_out *j);
