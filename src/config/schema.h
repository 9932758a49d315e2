/* What the configuration may say: blocks, keys, their shapes, bounds and places in the tree.
 * Inner to src/config. */
#pragma once
#include "config/config.h"
#include "config/diag.h"

#define SCHEMA_KEYS_MAX	  24 /* in one block; asserted */
#define SCHEMA_BLOCKS_MAX 24

struct key;
struct value {
	const char *text;
	struct position at;
};
/* One configuration being read. */
struct reading {
	struct config *config;
	struct diag *diag;
	unsigned n_missing; /* errors about what is missing (verify.c) */
};
/* Reads n values (n is 1 unless the key takes a list) into field. What is wrong with a value goes
 * to the diag; only -ENOMEM is returned. */
typedef int key_read(struct reading *r, const struct key *key, const struct value *values, size_t n,
	void *field);

struct key {
	const char *name;
	key_read *read;
	size_t offset;	      /* of the field in the block's record */
	size_t count_offset;  /* of the list's length, for lists */
	bool list;	      /* takes {...}; a single value stands for a list of one */
	uint64_t min, max;    /* of numbers, octets, microseconds */
	const char *inactive; /* why the key has no effect yet */
};

/* Which struct the keys of a block fill. */
enum record { RECORD_CONFIG, RECORD_LISTENER, RECORD_DOMAIN, RECORD_ROUTE };

struct block {
	const char *name;
	enum record record; /* all but RECORD_CONFIG have a title */
	const struct key *keys;
	size_t n_keys;
	const char *inactive;
};

extern const struct block schema_root; /* the keys outside of blocks */
extern const struct block schema_blocks[];
extern const size_t schema_n_blocks;

const struct block *schema_block(struct span name);			   /* NULL: unknown */
const struct key *schema_key(const struct block *block, struct span name); /* NULL: unknown */
/* What is said about an unknown word: "did you mean 'x'?", "it belongs in 'limits {}'", or the
 * words known here. block is &schema_root outside of blocks. */
void schema_suggest(const struct block *block, struct span name, struct buf *out);
