/* Private to store.c (what exists, who lives in it) and supply.c (where segments come from). */
#pragma once
#include "base/map.h"
#include "spool/store.h"

enum supply_step {
	STEP_NONE,
	STEP_ZERO, /* a new file gets its octets */
	STEP_HEAD, /* a new head is on its way to the disk */
	STEP_GIVE, /* a spare waits for the loop's turn to be given */
};
struct slot {
	uint16_t number;
	struct list segments; /* OPEN and SEALED, by sequence */
	struct list spares;   /* SPARE, by sequence: the oldest is given first */
	struct list making;   /* PREPARING: new files */
	unsigned recycling;   /* of segments: those that get a new head at the moment */
	uint64_t last_given;  /* sequences are given in rising order: see begin_give */
	unsigned n_given;     /* in this life of the store */
	bool want;
};
struct segment {
	struct store_segment pub;
	struct store *store; /* NULL: the store is gone, the last operation frees */
	struct slot *slot;
	struct disk_op op;
	enum supply_step step;
	bool given;		       /* in this life of the store */
	bool again;		       /* its new head failed, and is to be written once more */
	struct segment_head next_head; /* STEP_HEAD */
	struct list dead;	       /* in store.dead: waits to be recycled */
};
struct store {
	const struct seam *seam;
	const struct store_ops *ops;
	void *arg;
	struct map *by_sequence;
	struct slot **slots;
	uint32_t n_slots, cap_slots;
	uint64_t segment_size, reserve;
	uint64_t last_sequence; /* the highest ever seen: never used again */
	uint64_t last_name;
	uint64_t making_octets; /* of files that do not have their octets yet */
	struct list dead;
	unsigned recycling;
	unsigned claimed;    /* segments that store_claim marked */
	struct list blanks;  /* struct blank: files that never became segments */
	struct list watches; /* struct store_watch */
	bool recovered, low;
};
/* Of operations beside the store (reseal.c): learns that it is gone. */
struct store_watch {
	struct list node; /* in store.watches */
	struct store *store;
};
static inline struct segment *segment_of(struct list *node)
{
	return CONTAINER_OF(CONTAINER_OF(node, struct store_segment, node), struct segment, pub);
}
void segment_discard(struct segment *g); /* closes and frees */
MUST_CHECK int store_slot(struct store *s, uint16_t number, struct slot **ret);

/* supply.c */
void supply_slot(struct store *s, struct slot *slot);
void supply_all(struct store *s);
/* Sealed and nothing in it lives: to be recycled, a few at a time. */
void supply_recycle_if_dead(struct segment *g);
void supply_disk_state(struct store *s);
