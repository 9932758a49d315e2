/* Questions to the resolver and its answers; each payload carries one. token is the asker's and
 * comes back. A name is text without a trailing dot, A-labels, any case ("_25._tcp.mx.example").
 *
 * Records arrive as rdata of the asked type and class IN, canonical order not promised; names in
 * rdata are uncompressed. The readers below check what they read: DNS is outside. */
#pragma once
#include "base/arena.h"
#include "base/wire.h"
#include "net/address.h"

#define RESOLVE_NAME_MAX    253u /* RFC 1035 2.3.4, as text */
#define RESOLVE_RECORDS_MAX 256u /* of one answer: the rest is left out */
#define RESOLVE_WHY_MAX	    400u

enum resolve_type {
	RESOLVE_A = 1,
	RESOLVE_CNAME = 5,
	RESOLVE_PTR = 12,
	RESOLVE_MX = 15,
	RESOLVE_TXT = 16,
	RESOLVE_AAAA = 28,
	RESOLVE_TLSA = 52,
};
enum resolve_status {
	RESOLVE_OK,	     /* at least one record */
	RESOLVE_NODATA,	     /* the name exists, not with this type */
	RESOLVE_NXDOMAIN,    /* no such name */
	RESOLVE_SERVFAIL,    /* servers answer with errors or not at all */
	RESOLVE_BOGUS,	     /* signatures do not verify: `why` says what */
	RESOLVE_TIMEOUT,     /* no answer in dns.timeout */
	RESOLVE_UNAVAILABLE, /* the resolver itself: overloaded, or restarted twice meanwhile */
	RESOLVE_BAD_NAME,    /* no DNS name (empty label, too long): never asked */
};
/* "nxdomain" */
const char *resolve_status_name(enum resolve_status s);
/* Later perhaps otherwise: SERVFAIL, BOGUS, TIMEOUT, UNAVAILABLE. The others are answers. */
bool resolve_is_temporary(enum resolve_status s);

struct resolve_ask { /* FRAME_RESOLVE */
	uint64_t token;
	struct span name;
	uint16_t type;
};
struct resolve_answer { /* FRAME_RESOLVE_ANSWER */
	uint64_t token;
	enum resolve_status status;
	/* Validated from the trust anchor down: the records, or the proof that there are none, and
	 * every alias on the way. (Only the first alias secure, RFC 7672 2.2.2: ask for CNAME.) */
	bool secure;
	uint32_t ttl;	       /* seconds */
	struct span canonical; /* lower case, where CNAME and DNAME led; empty: no alias */
	struct span why;       /* bogus: why; text of the resolver, may hold octets of peers */
	struct span *rdata;
	uint32_t n_rdata;
};
void resolve_ask_encode(const struct resolve_ask *q, struct buf *out);
MUST_CHECK int resolve_ask_decode(struct span payload, struct resolve_ask *ret);
void resolve_answer_encode(const struct resolve_answer *a, struct buf *out);
/* Spans borrow from payload, the array lives in the arena. -EBADMSG, -ENOMEM. */
MUST_CHECK int resolve_answer_decode(
	struct span payload, struct arena *a, struct resolve_answer *ret);
/* A deep copy. -ENOMEM. */
MUST_CHECK int resolve_answer_copy(
	const struct resolve_answer *from, struct arena *a, struct resolve_answer *ret);

/* Text of a name to uncompressed wire form, and whether it can be one. -EINVAL. */
MUST_CHECK int resolve_name_to_wire(struct span name, struct buf *out);
/* An uncompressed wire name as lower case text; "" is the root. Octets that would mislead in text
 * (dots, controls) make it -EBADMSG: no mail host is called so. Takes exactly the whole span. */
MUST_CHECK int resolve_name_from_wire(struct span wire, struct buf *out);

/* rdata readers; -EBADMSG when the record is not what its type says, -ENOMEM. */
struct resolve_mx {
	uint16_t preference;
	struct span host; /* text, lower case; empty: "." */
};
MUST_CHECK int resolve_mx(struct span rdata, struct arena *a, struct resolve_mx *ret);
MUST_CHECK int resolve_host(struct span rdata, struct arena *a, struct span *ret); /* CNAME, PTR */
MUST_CHECK int resolve_txt(struct span rdata, struct arena *a, struct span *ret);  /* joined */
/* A or AAAA. */
MUST_CHECK int resolve_address(struct span rdata, uint16_t port, struct address *ret);
struct resolve_tlsa {
	uint8_t usage, selector, matching;
	struct span data;
};
MUST_CHECK int resolve_tlsa(struct span rdata, struct resolve_tlsa *ret);
