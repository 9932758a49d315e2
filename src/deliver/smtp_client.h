/* One session with a next hop, SMTP (RFC 5321) or LMTP (RFC 2033): greeting, EHLO, what the peer
 * offers, replies, QUIT. transaction.h sends mail over it. Held by one fiber, or by the cache. */
#pragma once
#include "deliver/delivery.h"
#include "deliver/offers.h"
#include "deliver/transcript.h"
#include "fiber/fiber.h"
#include "ipc/tls_result.h"
#include "mail/reply.h"
#include "net/address.h"
#include "net/stream.h"

#define SMTP_CLIENT_TOLD_MAX 8u
struct smtp_client {
	struct list node; /* of the cache */
	struct stream *stream;
	bool lmtp;
	bool pipelining, size, eightbitmime; /* RFC 2920, 1870, 6152 */
	bool starttls, requiretls;	     /* RFC 3207, 8689 */
	bool logged_in;			     /* we have: RFC 4954 */
	uint32_t auth;			     /* CLIENT_AUTH_* that it offers (auth.h) */
	uint64_t size_max;		     /* 0: the peer names none */
	struct offers offers;		     /* what else it offers */
	struct buf remote;		     /* "127.0.0.1:2626 mx.example.org" */
	enum tls_failure unproved; /* what a policy of mode testing would find wrong with it */
	uint64_t told[SMTP_CLIENT_TOLD_MAX]; /* hashes of domains that this session counts for */
	unsigned n_told;
	struct buf tls; /* "TLSv1.3 ... dane"; empty: clear text */
	struct buf key; /* of the cache */
	bool named;	/* remote has its name */
	struct address peer, local;
	unsigned transactions; /* begun in this session */
	bool needs_rset;       /* the last one was left open at the peer */
	uint64_t idle_deadline_usec;
	struct loop_timer watchdog;
	bool overdue; /* the watchdog has cut the connection */
	bool secret;  /* in AUTH: what is said stays out of the transcript */
	struct transcript transcript;
};

/* A session over a connected socket, which it takes over also on error; nothing is said yet. */
MUST_CHECK int smtp_client_new(int fd, bool lmtp, struct smtp_client **ret_client);
/* EHLO (HELO, LHLO) as hostname; what the peer offers is learned anew. The reply may be a refusal.
 * Its name joins `remote` where that has none yet. */
SUSPENDS MUST_CHECK int smtp_client_hello(
	struct smtp_client *c, const char *hostname, uint64_t usec, struct reply *r);
/* Closes at once, without QUIT. NULL allowed. */
void smtp_client_free(struct smtp_client *c);
/* QUIT, and the reply, within usec; the caller still frees. */
SUSPENDS void smtp_client_quit(struct smtp_client *c, uint64_t usec);

/* One command with its CRLF, noted in the transcript; leaves as stream_write says. */
SUSPENDS MUST_CHECK int smtp_client_say(struct smtp_client *c, struct span line);
SUSPENDS MUST_CHECK int smtp_client_sayf(struct smtp_client *c, const char *fmt, ...) PRINTF(2, 3);
/* Writes what gathered and reads one whole reply within usec. r is initialised, its old contents
 * are dropped. -EBADMSG: not a reply; -ETIMEDOUT, -ECONNRESET, -ECANCELED. */
SUSPENDS MUST_CHECK int smtp_client_reply(struct smtp_client *c, uint64_t usec, struct reply *r);
/* Cuts the connection if it is still busy by then; USEC_INFINITY: no more. Against peers that
 * take octets so slowly that no single wait times out. */
MUST_CHECK int smtp_client_watchdog(struct smtp_client *c, uint64_t deadline_usec);
/* A negative errno of the stream, corrected for what the watchdog did. */
int smtp_client_error(const struct smtp_client *c, int r);

/* A reply as one recipient's result: text and enhanced code of the reply, the enhanced code's
 * class made to fit the result (RFC 3463 2). */
struct outcome_rcpt smtp_result(
	struct delivery *d, enum outcome_class result, const struct reply *r);
/* 2xx delivered, 4xx deferred, 5xx failed; anything else is not understood: deferred. */
enum outcome_class smtp_class(const struct reply *r);
/* A broken session as a result. stage: "sending MAIL FROM". */
struct outcome_rcpt smtp_error_result(
	struct delivery *d, const struct smtp_client *c, int error, const char *stage);
