/* What the tests of this room share: a loop with one main fiber, messages in memory files, jobs,
 * and a scripted next hop. */
#pragma once
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "deliver/delivery.h"
#include "fiber/fiber.h"
#include "net/stream.h"

/* Runs fn(arg) as a fiber of a fresh loop, until it and all others have ended. */
void run_on_loop(fiber_fn fn, void *arg);

/* A message stored in one memory file behind some octets that are not its own, as two ranges. */
struct stored {
	struct segments segments;
	struct job_range ranges[2];
	uint64_t size;
};
void store_message(struct stored *s, struct span message);
void store_done(struct stored *s);

struct wanted_job {
	uint64_t job;
	enum job_via via;
	uint16_t port;
	const char *host, *path, *from; /* host: default 127.0.0.1 */
	const char *rcpts[4];		/* NULL-terminated */
	const char *const *many;	/* instead, n_many of them */
	uint32_t n_many;
	uint8_t body;
	bool suspect;
	void (*more)(struct job *j, struct job_rcpt *rcpts);	 /* what few jobs have; or NULL */
	uint64_t command_timeout, connect_timeout, data_timeout; /* 0: 2 s */
};
void encode_job(const struct wanted_job *w, const struct stored *s, struct buf *out);
void make_delivery(struct delivery *d, const struct wanted_job *w, struct stored *s);
/* "0:delivered:250:2.0.0 1:deferred:452:4.5.3 ", by position; the caller frees. */
char *outcome_text(const struct outcome *o);

/* A next hop that follows a script, one line a step, sessions divided by "---":
 *   S: TEXT   sends TEXT CRLF            C: PREFIX  reads a line that must begin so
 *   D:        reads to CRLF.CRLF         N:         nothing must come for 60 ms
 *   L: N      sends N times "x"          W: MSEC    waits
 *   B: N      reads N octets; without N: as many as the last BDAT said
 *   H:        says nothing more, until the peer goes
 *   X:        closes                     R:         closes with a reset
 * At the end of a session's script it answers QUIT and waits for the peer's end. */
struct fake_hop {
	int fd;
	uint16_t port;
	char unix_path[64]; /* when opened so */
	struct span script;
	struct fiber *acceptor;
	struct buf data;    /* what came between DATA and the dot, all sessions */
	struct buf failure; /* "session 1: wanted ..., got ..." */
	unsigned sessions, quits, open;
};
void fake_hop_open(struct fake_hop *h, const char *script);
void fake_hop_open_unix(struct fake_hop *h, const char *script);
SUSPENDS void fake_hop_close(struct fake_hop *h); /* waits for the sessions; asserts no failure */

struct cache;
SUSPENDS void end_cache(struct cache *cache); /* QUIT to all sessions that are kept, and frees it */
/* smtp_deliver with that cache and a plain configuration: EHLO client.example.org. */
SUSPENDS void deliver_over(struct delivery *d, struct cache *cache);
