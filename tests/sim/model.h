/* What an outsider knows: senders who got a 250, next hops that took mail, the log. Nothing here
 * looks into the server; it is what the promises are held against. */
#pragma once
#include "base/map.h"
#include "trace.h"

#define TRUTH_NAME 48u

struct truth_address {
	char name[TRUTH_NAME];
	int parent;		       /* the recipient of the envelope that stands for it, or -1 */
	bool is_final;		       /* a copy of the message is due here */
	bool refused;		       /* somebody said a 5xx of it */
	bool expired, failed, dropped; /* the log said so */
	bool named_since;	       /* possible-duplicate since the last delivery */
	unsigned delivered, named;
};
struct truth_mail {
	struct truth_mail *next;
	uint64_t id, serial;
	bool accepted; /* its sender has a 250; of a report: the server says it is durable */
	bool null_sender;
	bool damaged; /* the log says that its octets are */
	bool dropped; /* by the operator, perhaps only some of it */
	bool is_report, is_delay;
	uint64_t parent, event; /* of a report */
	uint64_t found_in;	/* the life of the dispatcher that found it last */
	char *head;		/* octets before the body; of a report all of it */
	size_t head_len;
	uint64_t body_len;
	struct truth_address *addresses;
	unsigned n_addresses;
	char (*about)[TRUTH_NAME]; /* of a report */
	unsigned n_about;
};
struct truth {
	struct world *w;
	struct map *by_id;
	struct truth_mail *mails; /* youngest first */
	uint64_t accepted, delivered, doubles, named, reports, delays, expired;
};
struct truth *truth_new(struct world *w);
void truth_free(struct truth *t);
struct truth_mail *truth_add(struct truth *t, uint64_t id, uint64_t serial);
/* parent -1: stands in the envelope. Returns its place. */
int truth_address_add(struct truth_mail *m, const char *name, int parent, bool is_final);
struct truth_mail *truth_find(const struct truth *t, uint64_t id);
struct truth_address *truth_address_find(struct truth_mail *m, struct span name);
/* Octets of the body of message `serial` from `offset`. */
void truth_content(uint64_t serial, uint64_t offset, char *ptr, size_t len);
/* Are these the octets of the message at `offset`? */
bool truth_matches(const struct truth_mail *m, uint64_t offset, struct span octets);
/* The next hop has it. */
void truth_delivered(struct truth *t, uint64_t id, struct span address);
/* The log says so. */
void truth_named(struct truth *t, uint64_t id, struct span address);
void truth_logged(struct truth *t, const char *event, uint64_t id, struct span address);
void truth_damaged(struct truth *t, uint64_t id);
void truth_accepted(struct truth *t, struct truth_mail *m);
void truth_report(struct truth *t, const struct truth_mail *report);
/* Somebody still has to do something for this message; *ret_address says about whom. */
bool truth_is_open(struct truth *t, struct truth_mail *m, const char **ret_address);
/* Nothing is left to do: was everything done? */
void truth_check_end(struct truth *t);
