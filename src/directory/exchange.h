/* Inner to the directory: one exchange of AUTH, from its first message to its outcome. */
#pragma once
#include "directory/auth.h"
#include "directory/hasher.h"
#include "directory/learned.h"
#include "directory/counters.h"
#include "directory/logins.h"
#include "ipc/asker.h"
#include "ipc/auth.h"
#include "mail/mechanism.h"
#include "sasl/scram.h"

struct auth_peer {
	struct list node; /* auth.peers */
	struct auth *auth;
	struct channel *channel;
	struct list exchanges;
	struct map *by_number;
};
struct auth {
	const struct logins *logins; /* NULL: no tables now */
	struct counters *counters;
	struct guess *guess; /* of the counters */
	struct learned *learned;
	void (*changed)(void *arg);
	void *arg;
	struct hasher hasher;
	struct list peers;
	struct buf answer;
	struct asker keys; /* CRAM-MD5's questions */
	unsigned crams;	   /* that wait for an answer */
};
enum exchange_state {
	EXCHANGE_NEW,
	EXCHANGE_RESPONSE, /* the mechanism's first message was asked for */
	EXCHANGE_PASSWORD, /* LOGIN: the name is known */
	EXCHANGE_FINAL,	   /* SCRAM: the challenge was sent */
	EXCHANGE_CONFIRM,  /* SCRAM: the right proof came, the server's was sent */
	EXCHANGE_DIGEST,   /* CRAM-MD5: the challenge was sent */
	EXCHANGE_BUSY,	   /* the password is being checked, or a refusal waits */
};
struct exchange {
	struct list node;	/* auth_peer.exchanges */
	struct auth_peer *peer; /* NULL: its receiver or its client is gone */
	struct auth *auth;
	uint64_t number, token, session;
	enum exchange_state state;
	enum mechanism mechanism;
	struct address client;
	struct buf name;  /* as the client spelled it */
	struct buf login; /* its canonical form */
	struct buf fingerprint, subject, exporter, end_point;
	bool scram_open;
	struct scram scram;
	struct buf challenge, question; /* CRAM-MD5: sent; to the keys process */
	/* A password being checked. */
	struct hash_task task;
	struct buf password, hash;
	bool hashing; /* with the hasher or the keys process: only its end may free us */
	bool nobody, matches;
	bool learn; /* the password's SCRAM keys are wanted, too */
	struct scram_keys keys[SCRAM_HASHES];
	const char *refused; /* why, for the log */
	struct loop_timer delay;
};

/* Sends an answer to the exchange's question, if somebody still wants it. */
void exchange_answer(struct exchange *e, enum auth_status status, struct span data);
/* Ends it: with an answer, or silently. */
void exchange_end(struct exchange *e, enum auth_status status, struct span data);
void exchange_free(struct exchange *e);
/* The client is who it says. label: of an app password, or empty. */
void exchange_succeed(struct exchange *e, struct span label);
/* It is not; the answer waits for as long as guessing has to be slowed. */
void exchange_refuse(struct exchange *e, const char *reason, struct span secret);
/* Its address is locked out. */
void exchange_locked(struct exchange *e);
/* Looks the user up by a name, into e->login, unless the address is locked out for him or the table
 * is not there: false, the exchange has ended then. ret_rest: borrowed until the next wait. */
bool exchange_find_user(
	struct exchange *e, struct span name, enum login_state *ret_state, struct span *ret_rest);
/* exchange_cram.c: the challenge, and the response to it. */
void exchange_cram_begin(struct exchange *e);
void exchange_cram_finish(struct exchange *e, struct span response);
/* exchange_step.c: the client's next message. */
void exchange_step(struct exchange *e, const struct auth_step *s);
void exchange_log(
	const struct exchange *e, const char *event, const char *reason, struct span label);
