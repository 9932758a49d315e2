/* The dispatcher's state and the steps between its files (private to dispatcher*.c). Everything
 * runs on the loop; recovery alone is a fiber. Frames and completions change the queue at once and
 * arm the turn, which comes once behind all of them: dispatcher.c has its order. */
#pragma once
#include "base/map.h"
#include "fiber/fiber.h"
#include "ipc/spool_frames.h"
#include "net/channel.h"
#include "process/role.h"
#include "queue/dispatcher_limits.h"
#include "queue/holds.h"
#include "queue/queue.h"
#include "queue/transcripts.h"
#include "spool/draft.h"
#include "spool/ledger.h"
#include "spool/store.h"

struct dispatcher;
struct resolve_client;
struct peer {
	struct list node;
	struct dispatcher *d;
	enum role role;
	unsigned index;
	struct channel *channel;
	/* receivers */
	bool wants, spoke;
	uint64_t given[GIVEN_MAX];
	unsigned n_given;
	/* deliverers, mailbox */
	struct map *opened; /* read-only fds that it has, by sequence */
	struct list jobs;   /* struct handed_job */
	unsigned n_jobs;
	bool answered; /* FRAME_INFLIGHT */
	bool draining; /* takes no more */
};
/* A job that a deliverer has or will get; until the queue says that its outcome is kept. */
struct handed_job {
	struct list node; /* of its peer's jobs, or d->unsent */
	struct peer *peer;
	uint64_t job, message, arrival_wall_usec, handed_wall_usec;
	enum job_via via;
	bool dot, ended, alone;
	uint64_t site_hash;
	struct buf frame;   /* encoded, until sent */
	uint64_t *segments; /* few, or an allocation */
	uint64_t few[2];
	unsigned n_segments;
	unsigned site_len;
	char site[];
};
static inline bool takes_jobs(const struct peer *p)
{
	return p->role == ROLE_DELIVERER || p->role == ROLE_MAILBOX;
}
static inline bool takes_jobs_now(const struct peer *p)
{
	return takes_jobs(p) && !p->draining && channel_is_open(p->channel) &&
	       channel_backlog(p->channel) <= JOB_BACKLOG_MAX;
}
/* An event for the queue that came at a bad time: from inside one of its actions, or before it was
 * started. */
struct late {
	struct list node;
	enum { LATE_OUTCOME, LATE_LOST, LATE_UNSENT, LATE_REPORT, LATE_GONE } kind;
	struct peer *peer; /* LATE_OUTCOME: who sent it, if it still lives */
	uint64_t a, b;	   /* job and dot; message and event; sequence */
	int result;
	struct buf payload;
};
/* A COMMIT, read and decoded. */
struct loaded {
	bool valid;
	uint64_t id;
	struct record_ref ref;
	struct buf octets; /* the record, header and payload */
	struct span payload;
	struct chunk_known {
		uint64_t segment;
		struct record record; /* the chunk read last; a message of one chunk has no other */
	} chunk;
	struct arena *arena;
	struct message m;
	struct piece *ranges;
	uint32_t n_ranges;
};
/* The messages looked at last: one is read when it comes and again when its job is made, which for
 * mail that flows is a moment later. */
#define MESSAGES_LOADED 256u
/* A domain that was tried for ETRN, and when. */
struct etrn_slot {
	uint64_t at_usec; /* 0: none */
	size_t len;
	char domain[256];
};
struct dispatcher {
	struct role_process *process;
	struct seam *seam;
	struct store *store;
	struct ledger *ledger;
	struct queue *queue;
	struct writer *writer; /* slot 0 */
	struct list peers;
	struct resolve_client *resolver;
	struct map *jobs; /* struct handed_job by id */
	struct holds holds;
	struct compactor *compactor;
	uint64_t compacted; /* messages, as far as they are in the log */
	struct list unsent, late, unwritten;
	unsigned n_unwritten;
	struct loaded loaded[MESSAGES_LOADED];
	struct arena *answer_arena,
		*outcome_arena; /* of the frame at hand; one is never inside the same */
	struct buf scratch;	/* a frame being made */
	struct buf notices;	/* held: u16 slot and a notice each */
	bool replayed, started, recycling, low, warned;
	struct {
		bool failed, stuck, checkpointing;
		uint64_t failed_since, unwritten; /* octets */
		uint64_t live, written;		  /* octets of the last checkpoint, of this one */
		uint64_t next_checkpoint;	  /* not before */
		struct writer_ticket first;
	} book;
	struct {
		struct writer_ticket ticket;
		struct loop_timer timer;
		uint64_t began;		 /* the last sync for the queue; 0: none yet */
		uint64_t wanted, covers; /* the queue's tickets: asked for; of the last sync */
		bool running;
	} sync;			/* of the ledger, paced: LEDGER_PACE_USEC */
	uint64_t most_messages; /* since memory was given back */
	unsigned reports;	/* being written */
	struct loop_defer turn;
	struct loop_timer due, tick, admin_timer;
	/* Valid while the queue works off an outcome or a commit, for the log. */
	const struct handed_job *about_job;
	const struct outcome *about_outcome;
	const struct message *about_message;
	struct peer *speaker;
	uint64_t spare_asked; /* when a deliverer for what goes alone was last asked for */
	struct list requests;
	unsigned n_requests;
	struct list traces; /* dispatcher_trace.c */
	unsigned n_traces;
	struct transcripts transcripts; /* of sessions that failed, for `queue show` */
	struct {
		bool on, syncing;
		struct loop_timer timer;
		struct writer_ticket ticket;
	} drain;
	struct etrn_slot etrn[16];
	struct cond answers; /* recovery waits for FRAME_INFLIGHT */
	uint64_t own_first;  /* the first segment given to our writer in this life */
};

/* dispatcher.c */
void dispatcher_event(struct dispatcher *d); /* before an event is given to the queue */
struct peer *dispatcher_peer(struct dispatcher *d, enum role role, unsigned index);
/* Empty, for one frame that is made and sent at once. */
struct buf *dispatcher_scratch(struct dispatcher *d);
void dispatcher_late(struct dispatcher *d, struct late l);
/* dispatcher_spool.c */
extern const struct store_ops dispatcher_store_ops;
MUST_CHECK int dispatcher_spool_open(struct dispatcher *d);
void dispatcher_ledger(void *arg, uint8_t type, struct span payload);
/* Notes the boot: all that the ledger says so far has been started in it. */
void dispatcher_ledger_boot(struct dispatcher *d);
void dispatcher_ledger_sync(void *arg, uint64_t ticket);
bool dispatcher_ledger_write(struct dispatcher *d); /* true: everything is in the page cache */
void dispatcher_ledger_wake(struct dispatcher *d);
void dispatcher_checkpoint(struct dispatcher *d);
/* dispatcher_receiver.c */
int receiver_frame(struct peer *p, struct frame *f);
void receiver_attached(struct peer *p);
void receiver_gone(struct peer *p);
void receiver_give(struct dispatcher *d, uint16_t slot, struct store_segment *s);
void receivers_accepting(struct dispatcher *d);
void dispatcher_take_held(struct dispatcher *d);
/* Before anything else: what receivers that are older than this process may hold is theirs. */
void receivers_claim(struct dispatcher *d);
/* Only once the queue has started. */
void dispatcher_take(struct dispatcher *d, uint16_t slot, const struct commit_notice *n);
/* dispatcher_message.c */
/* Reads and decodes; the result is good until the next call. -EBADMSG, -EIO, -ENOENT, -ENOMEM. */
MUST_CHECK int message_load(struct dispatcher *d, uint64_t id, const struct record_ref *commit,
	struct loaded **ret_loaded);
void message_unload_all(struct dispatcher *d);
/* Those in the segment. */
void message_unload_segment(struct dispatcher *d, uint64_t sequence);
/* Does the slot own this place, and will it stay? -ENOENT. */
MUST_CHECK int message_check_commit(
	struct dispatcher *d, const struct record_ref *commit, uint16_t slot);
/* Are all pieces octets of this very message, in segments of that slot? */
MUST_CHECK int message_check_pieces(struct dispatcher *d, struct loaded *l, uint16_t slot);
/* The checksum that the chunk under this piece was written with. */
MUST_CHECK int message_chunk_crc(
	struct dispatcher *d, struct loaded *l, const struct piece *p, struct job_range *range);
/* The first octets of the message, at most max. */
MUST_CHECK int message_head(
	struct dispatcher *d, const struct loaded *l, size_t max, struct buf *out);
/* dispatcher_compact.c */
MUST_CHECK int dispatcher_compact_new(struct dispatcher *d);
void dispatcher_compact(struct dispatcher *d);
void dispatcher_moved(void *arg, uint64_t id);
void dispatcher_forget(void *arg, uint64_t id, const struct record_ref *commit);
/* dispatcher_jobs.c */
int deliverer_frame(struct peer *p, struct frame *f);
void deliverer_attached(struct peer *p);
void deliverer_gone(struct peer *p);
void deliverers_ask(struct dispatcher *d);
bool deliverers_answered(const struct dispatcher *d);
void dispatcher_deliver(void *arg, const struct job *job, const struct record_ref *commit);
void dispatcher_outcome_kept(void *arg, uint64_t job);
void dispatcher_outcome(struct dispatcher *d, struct peer *from, struct span payload);
void job_free_segments(struct handed_job *j);
void handed_job_free(struct dispatcher *d, struct handed_job *j);
/* dispatcher_mx.c */
void dispatcher_mx(void *arg, uint64_t token, struct span domain, struct span route);
MUST_CHECK int dispatcher_resolver_init(struct dispatcher *d);
void dispatcher_resolver_settings(struct dispatcher *d); /* again after a reload */
void dispatcher_resolver_attach(struct dispatcher *d, int fd);
/* dispatcher_send.c */
void deliverers_forget(struct dispatcher *d, uint64_t sequence);
void dispatcher_cancel(void *arg, uint64_t job);
unsigned jobs_room(const struct dispatcher *d);
void jobs_send(struct dispatcher *d);
void jobs_cancel_all(struct dispatcher *d);
void peer_forget_segments(struct peer *p);
int peer_send_u64(struct peer *p, enum frame_type type, uint64_t value, int fd);
/* dispatcher_drain.c */
void dispatcher_drain(struct dispatcher *d, uint64_t grace_usec);
void dispatcher_drain_step(struct dispatcher *d);
/* dispatcher_report.c */
void dispatcher_report(void *arg, const struct queue_report *report);
void reports_run(struct dispatcher *d);
void dispatcher_report_late(struct dispatcher *d, const struct late *l);
/* dispatcher_admin.c */
int control_frame(struct peer *p, struct frame *f);
void control_gone(struct peer *p);
void admin_run(struct dispatcher *d);
/* dispatcher_recover.c */
SUSPENDS void dispatcher_recover(void *arg);
/* dispatcher_log.c */
void dispatcher_log_event(void *arg, const char *event, uint64_t id, struct span rcpt,
	const struct outcome_rcpt *outcome, struct span remote, struct span detail);
void dispatcher_log_damage(const char *file, uint64_t offset, uint64_t octets, const char *what);
void dispatcher_count(struct dispatcher *d);
