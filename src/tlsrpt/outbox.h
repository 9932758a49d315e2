/* Reports that are made and not yet with everyone who wants them. Each is two files in the
 * reporter's folder, NAME.json.gz and NAME.state; the state is written last and makes the report.
 */
#pragma once
#include "base/buf.h"
#include "base/list.h"
#include "tlsrpt/record.h"

#define OUTBOX_REPORTS_MAX 10000u
#define OUTBOX_OCTETS_MAX  (8u << 20)			  /* of one compressed report */
#define OUTBOX_FIRST_USEC  (300 * USEC_PER_SEC)		  /* to the second attempt; doubles */
#define OUTBOX_STEP_MAX	   (4 * 3600 * USEC_PER_SEC)	  /* and grows no further */
#define OUTBOX_EXPIRE_USEC (24 * 3600 * USEC_PER_SEC)	  /* RFC 8460 5.5, from the first attempt */
#define OUTBOX_KEEP_USEC   (7 * 24 * 3600 * USEC_PER_SEC) /* of what waits for DKIM */

enum outbox_state {
	OUTBOX_PENDING,
	OUTBOX_SENT,
	OUTBOX_REFUSED, /* for good, or for too long */
	OUTBOX_WAITING, /* mailto: until mail can be signed (RFC 8460 3) */
};
#define OUTBOX_STATES 4u
const char *outbox_state_name(enum outbox_state s); /* "pending" */

struct outbox_target {
	enum outbox_state state;
	struct tlsrpt_uri uri; /* spans into owned */
	char *owned;
};
struct outbox_report {
	struct list node;
	char name[17]; /* of its files; hexadecimal */
	char *domain, *id;
	uint64_t begin_sec, end_sec;
	uint64_t ok, failed; /* sessions */
	struct outbox_target targets[TLSRPT_URIS_MAX];
	unsigned n_targets;
	/* Wall time, microseconds. */
	uint64_t made_usec, first_usec, due_usec; /* first_usec 0: not tried yet */
	uint32_t attempts;
	char why[256]; /* of the last failure */
	bool busy;
};
MUST_CHECK int outbox_report_new(
	struct span domain, uint64_t begin_sec, struct outbox_report **ret_report);
void outbox_report_free(struct outbox_report *r); /* NULL allowed */
MUST_CHECK int outbox_report_add_target(struct outbox_report *r, const struct tlsrpt_uri *uri);
bool outbox_report_has(const struct outbox_report *r, enum outbox_state s);
/* What a failed attempt means for `due_usec`, and for the targets when it was the last. */
void outbox_report_postpone(struct outbox_report *r, uint64_t now_wall_usec);

/* On a thread: they block. Negative errno. */
MUST_CHECK int outbox_save(
	int folder, const struct outbox_report *r, struct span gz); /* gz null: as is */
MUST_CHECK int outbox_body(int folder, const struct outbox_report *r, struct buf *out);
void outbox_remove(int folder, const struct outbox_report *r);
/* NAME.state. -EBADMSG: damaged; -ENOENT, -ENOMEM. */
MUST_CHECK int outbox_load(int folder, struct span name, struct outbox_report **ret_report);
/* Writes a whole file under a name, by a temporary one. */
MUST_CHECK int outbox_write(int folder, const char *name, struct span octets);
