/* A run of the generator: what its sessions share. All on one loop. */
#pragma once
#include "bench/histogram.h"
#include "bench/options.h"
#include "fiber/fiber.h"
#include <openssl/ssl.h>

/* What the server said about a pair. */
enum fate {
	FATE_UNSENT,   /* never got as far as a reply that counts */
	FATE_ACCEPTED, /* 250 */
	FATE_REFUSED,  /* 5xx, or 4xx at the last try */
	FATE_UNKNOWN,  /* the connection broke between the final dot and its reply */
};

enum stage {
	STAGE_CONNECT,	/* connect() */
	STAGE_BANNER,	/* connected to 220 */
	STAGE_TLS,	/* the handshake alone */
	STAGE_HELLO,	/* EHLO, STARTTLS and AUTH to their last reply */
	STAGE_ENVELOPE, /* MAIL to the reply of DATA */
	STAGE_DATA,	/* the message's first octet to the 250 of the final dot */
	STAGE_TO_250,	/* connect (first message) or MAIL (others) to the 250 */
	STAGE_SESSION,	/* connect to the end of the connection */
	STAGE_COUNT
};
extern const char *const stage_names[STAGE_COUNT];

#define REPLIES_MAX	 32u
#define REPLY_SAMPLE_MAX 120u
struct reply_count {
	const char *where; /* "MAIL", "RCPT", ... */
	int code;	   /* below 0: an errno; 0: no reply, the sample says what */
	uint64_t count;
	char sample[REPLY_SAMPLE_MAX];
};

struct load {
	const struct load_options *o;
	uint64_t run_id, random;
	struct payload_pool *pool;
	char date[64];
	uint8_t *fates; /* [message * recipients + recipient] */
	uint64_t next_message;
	uint64_t begun_usec, ended_usec, begun_wall_usec; /* ended: the last 250 */
	uint64_t accepted_messages, accepted_pairs, refused_pairs, retried, octets;
	uint64_t connections, connections_failed, open, closed_early;
	uint64_t opening; /* idle mode: connecting now */
	size_t workers;
	bool stopping;
	SSL_CTX *tls;		/* NULL: plain text only */
	char tls_cipher[64];	/* of the first handshake: "TLSv1.3 TLS_AES_256_GCM_SHA384" */
	uint64_t arrived_pairs; /* as far as the sink was asked */
	struct cond room;	/* for --window: more has arrived */
	struct cond finished;
	struct histogram stages[STAGE_COUNT];
	struct reply_count replies[REPLIES_MAX]; /* what was not a success */
	size_t n_replies;
};
/* Replies that are failures, and broken connections, by kind. */
void load_count_reply(struct load *l, const char *where, int code, struct span text);
uint64_t load_random(struct load *l);
/* The next message's number, false when there is none left; waits for --rate and --window. */
SUSPENDS bool load_next_message(struct load *l, uint64_t *ret_n);
/* --duration is over: what has not gone out yet stays unsent. */
bool load_time_is_over(const struct load *l);
void load_time(struct load *l, enum stage s, uint64_t since_usec);

/* One fiber: sessions until no message is left. arg: the load. */
SUSPENDS void client_worker(void *arg);
/* One fiber of the idle mode. */
SUSPENDS void client_idle(void *arg);

/* What the sink knows, asked over SMTP (the sink's XBENCH, see sink_session.c). */
struct watch_counts {
	bool known; /* false: nothing of this run arrived yet, or no sink */
	uint64_t pairs, messages, doubled, damaged, first_usec, last_usec, sink_cpu_usec;
	uint64_t latency_usec[5]; /* permille 500, 900, 990, 999, max */
};
struct watcher;
MUST_CHECK int watcher_new(const struct load *l, struct watcher **ret_watcher);
void watcher_free(struct watcher *w);
SUSPENDS MUST_CHECK int watcher_counts(struct watcher *w, struct watch_counts *ret_counts);
/* One octet a pair as in tally.h; marks has room for all pairs. */
SUSPENDS MUST_CHECK int watcher_marks(struct watcher *w, uint8_t *marks);

/* The comparison of fates and marks. */
struct account {
	uint64_t pairs, accepted, refused, unknown, unsent;
	uint64_t arrived, lost, doubled, damaged,
		unasked; /* unasked: arrived, though not accepted */
	bool compared;	 /* there was a sink to ask */
};
void account_make(const struct load *l, const uint8_t *marks, struct account *ret_account);
/* Prints the report; returns the exit status. */
int report_load(const struct load *l, const struct account *a, const struct watch_counts *counts);
