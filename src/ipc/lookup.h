/* Questions to the directory. Each payload carries one question or answer; many frames share a
 * packet. token is the asker's and comes back. */
#pragma once
#include "base/arena.h"
#include "base/wire.h"
#include "ipc/job.h"

enum lookup_status {
	LOOKUP_OK,
	LOOKUP_UNKNOWN_USER, /* 550 5.1.1 */
	LOOKUP_NOT_LOCAL,    /* the domain is not ours */
	LOOKUP_TEMPORARY,    /* a table cannot be read: 4xx */
	LOOKUP_LOOP,	     /* aliases that only point at each other: 5.4.6 */
	LOOKUP_TOO_MANY,     /* expansion beyond EXPAND_MAX: 5.3.4? the sender is told */
};
#define EXPAND_MAX   10000u /* children of one address */
#define EXPAND_DEPTH 20u    /* aliases of aliases */

struct lookup {
	uint64_t token;
	struct span address; /* canonical local@domain */
};
struct lookup_answer {
	uint64_t token;
	enum lookup_status status;
};
void lookup_encode(const struct lookup *l, struct buf *out);
MUST_CHECK int lookup_decode(struct span payload, struct lookup *ret);
void lookup_answer_encode(const struct lookup_answer *a, struct buf *out);
MUST_CHECK int lookup_answer_decode(struct span payload, struct lookup_answer *ret);

/* A next hop as the directory decides it. */
enum hop_kind {
	HOP_DELIVER,
	HOP_HOLD,
	HOP_FAIL,
	HOP_TEMPORARY,
	HOP_MX, /* host is the domain (A-labels, lower case) whose MX set has to be asked for */
};
struct hop {
	enum hop_kind kind;
	enum job_via via;
	struct span host;
	uint16_t port;
	struct span path;
	struct span site;  /* key: same site = same window, same connections */
	struct span route; /* whose settings count on the way out: title of a `route` block,
			      "relay", or empty */
	bool implicit_tls; /* smtps: */
	/* The answer to HOP_MX; the directory never sends these. */
	struct job_host *hosts;
	uint32_t n_hosts;
	bool mx_secure;
	struct span domain;
	struct span enhanced, text; /* hold, fail, temporary: why */
};
struct expand_child {
	struct span address;
	struct hop hop;
};
struct expand_ask { /* FRAME_EXPAND, FRAME_ROUTE */
	uint64_t token;
	struct span address, reverse_path;
	bool relay;	 /* accepted under relay rules: foreign goes by relay.via */
	struct span via; /* operator's override (`queue release --via`), or empty */
};
struct expand_answer { /* FRAME_EXPAND_ANSWER: children; FRAME_ROUTE_ANSWER: exactly one child */
	uint64_t token;
	enum lookup_status status;
	struct expand_child *children;
	uint32_t n_children;
};
void expand_ask_encode(const struct expand_ask *e, struct buf *out);
MUST_CHECK int expand_ask_decode(struct span payload, struct expand_ask *ret);
void expand_answer_encode(const struct expand_answer *e, struct buf *out);
MUST_CHECK int expand_answer_decode(
	struct span payload, struct arena *a, struct expand_answer *ret);
