/* What was said in one session with a next hop, kept to be told when it fails
 * (docs/tracing.md). The opening (greeting, EHLO, TLS) stays for the session's life; of the
 * transactions behind it only the last is kept. Noting a line copies it, and nothing else. */
#pragma once
#include "base/buf.h"
#include "base/clock.h"
#include "ipc/trace.h"

#define TRANSCRIPT_OCTETS      4096u
#define TRANSCRIPT_OPENING_MAX 2048u /* of them, for the opening */

enum transcript_kind { TRANSCRIPT_SENT = '>', TRANSCRIPT_GOT = '<', TRANSCRIPT_FACT = '*' };

struct delivery;
struct transcript {
	uint64_t begun_usec, begun_wall_usec;
	uint32_t used, opening; /* octets; 0 opening: it is still going on */
	uint32_t lost;		/* lines that have made room */
	struct delivery *live;	/* each line is told at once, too (jobs_tell); or NULL */
	char octets[TRANSCRIPT_OCTETS];
};
void transcript_init(struct transcript *t);
/* A line's end is left out. */
void transcript_note(struct transcript *t, enum transcript_kind kind, struct span line);
void transcript_notef(struct transcript *t, enum transcript_kind kind, const char *fmt, ...)
	PRINTF(3, 4);
/* What has been noted so far is the opening. */
void transcript_opened(struct transcript *t);
/* A transaction begins: the last one's lines go. */
void transcript_restart(struct transcript *t);
/* A trace_line for each, the oldest first. */
void transcript_write(const struct transcript *t, struct buf *out);
