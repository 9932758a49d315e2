/* One job while it is worked on: the decoded job, the segments it reads, and the outcome that
 * grows. Everything in it lives in the job's arena and dies with it. */
#pragma once
#include "deliver/segments.h"
#include "ipc/job.h"

#define DELIVERY_ARENA_MAX (24u << 20) /* a job frame of 4 MiB, its arrays, its outcome */
#define DELIVERY_RCPTS_MAX 20000u
#define RESULT_TEXT_MAX	   512u	      /* octets of a reply kept for one recipient */
#define RESULT_TEXTS_MAX   (2u << 20) /* of all recipients together: an outcome is one frame */
#define TRANSCRIPTS_MAX	   16384u     /* octets, of all sessions of a job that failed */

struct jobs;
struct rooms;
struct delivery {
	struct jobs *jobs;   /* NULL in tests without a runner */
	struct rooms *rooms; /* shared by all; NULL in the same tests */
	struct arena *arena;
	struct job job;
	struct segment **segments; /* one reference for each of job.ranges; NULL: not handed over */
	struct outcome outcome;	   /* every recipient starts as deferred 4.3.0 */
	bool unwanted;		   /* the dispatcher took it back: do not begin a transaction */
	bool dotted;		   /* the final dot may have been sent */
	struct buf transcript;	   /* what sessions that failed said */
	bool told;		   /* ... and is to go back */
	uint32_t untold;	   /* lines that could not be told to who traces */
};
/* Decodes a copy of payload. -EBADMSG, -ENOMEM. segments may lack some: see delivery_readable. */
MUST_CHECK int delivery_init(struct delivery *d, struct span payload, struct segments *segments);
void delivery_done(struct delivery *d);
bool delivery_readable(const struct delivery *d); /* all segments are there */

/* A result for one recipient, its text in the arena. enhanced: "4.4.2". */
struct outcome_rcpt delivery_result(struct delivery *d, enum outcome_class result, uint16_t code,
	const char *enhanced, const char *fmt, ...) PRINTF(5, 6);
struct outcome_rcpt delivery_result_text(struct delivery *d, enum outcome_class result,
	uint16_t code, const char *enhanced, struct span text);
/* position: in job.rcpts (not the recipient's index in the message). */
void delivery_set(struct delivery *d, uint32_t position, struct outcome_rcpt result);
void delivery_set_all(struct delivery *d, struct outcome_rcpt result);

struct transcript;
/* A session failed: what it said goes back with the outcome. */
void delivery_keep(struct delivery *d, const struct transcript *t);
/* What no session knows, told live where it is traced; goes back if anything fails. */
void delivery_fact(struct delivery *d, const char *fmt, ...) PRINTF(2, 3);
