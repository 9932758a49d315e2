/* A store over the fake disk with the writers of two receivers' slots, as the dispatcher wires them
 * up; and what the store said. */
#pragma once
#include "fake.h"
#include "spool/draft.h"
#include "spool/ledger.h"
#include "spool/recover.h"

#define RIG_SLOTS  3u /* 0: the dispatcher's, 1 and 2: receivers' */
#define RIG_SEEN   32u
#define RIG_ERRORS 8u

struct rig;
struct rig_writer {
	struct rig *rig;
	uint16_t slot;
	struct writer *writer;
	unsigned sealed, retired;
	bool keep; /* a full segment is not given back yet, as while a draft uses it */
};
struct rig {
	struct fake fake;
	struct store *store;
	struct ledger *ledger;
	struct rig_writer writers[RIG_SLOTS];
	uint64_t ready[RIG_SEEN], forgotten[RIG_SEEN];
	char errors[RIG_ERRORS][32];
	unsigned n_ready, n_forgotten, n_errors, n_low, n_room;
};
extern const struct store_limits rig_limits; /* segments of 1 MiB, 4 MiB of reserve */
void rig_init(struct rig *r, uint64_t room, uint64_t seed);
/* Opens the store again after rig_down; forgets what was seen. */
void rig_up(struct rig *r);
void rig_up_with(struct rig *r, const struct store_limits *limits);
void rig_down(struct rig *r); /* the process ends: by a kill if nothing else came first */
void rig_done(struct rig *r);
/* A writer for the slot; its segments come as the fake disk runs. */
void rig_writer(struct rig *r, uint16_t slot);
bool rig_saw(const uint64_t *list, unsigned n, uint64_t sequence);

/* A message with that many octets of body; 0, or the error. *ret_done becomes the ticket's result,
 * or stays 1 while it is open. */
struct rig_mail {
	uint64_t id;
	struct record_ref commit;
	struct writer_ticket ticket;
	int result;
	uint32_t octets;
};
MUST_CHECK int rig_send(struct rig *r, uint16_t slot, uint32_t octets, struct rig_mail *ret);
/* Reads the body back through the message's pieces: is it what rig_send wrote? */
bool rig_body_is_whole(
	struct rig *r, uint64_t id, const struct record_ref *ref, struct span payload);
