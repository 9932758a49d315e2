/* What was counted in one period (a day, UTC), by recipient domain and policy. Bounded; what goes
 * beyond a bound is merged or counted as lost. */
#pragma once
#include "base/list.h"
#include "ipc/tls_result.h"

#define COUNTS_DOMAINS_MAX  50000u
#define COUNTS_POLICIES_MAX 32u		/* of one domain: a TLSA set each, roll-overs */
#define COUNTS_DETAILS_MAX  64u		/* of one policy; then only by kind of failure */
#define COUNTS_OCTETS_MAX   (64u << 20) /* of all that is kept */

struct counts_detail {
	struct list node;
	struct span about; /* tls_result.about_session */
	uint64_t count;
};
struct counts_policy {
	struct list node;
	struct span about; /* tls_result.about_policy */
	uint64_t ok, failed;
	struct list details;
	unsigned n_details;
};
struct counts_domain {
	struct list node;
	struct span name;
	struct list policies;
	unsigned n_policies;
	bool busy;	     /* somebody makes its report */
	uint64_t retry_usec; /* wall: not before */
};
struct counts {
	uint64_t begin_sec, end_sec; /* wall, UTC; of a running period the end of its day */
	struct map *by_name;
	struct list domains;
	unsigned n;
	size_t octets;
	uint64_t lost; /* results that found no room */
	bool dirty;    /* something has changed since somebody last cleared this */
};
MUST_CHECK int counts_new(uint64_t begin_sec, uint64_t end_sec, struct counts **ret_counts);
void counts_free(struct counts *t); /* NULL allowed */
/* -ENOSPC: no room, counted as lost; -ENOMEM. */
MUST_CHECK int counts_add(struct counts *t, const struct tls_result *result);
struct counts_domain *counts_find(const struct counts *t, struct span domain);
void counts_remove(struct counts *t, struct counts_domain *d);
/* The sums of all its policies. */
void counts_sum(const struct counts_domain *d, uint64_t *ret_ok, uint64_t *ret_failed);

/* To octets with a checksum, and back. -EBADMSG: damaged, or of another program; -ENOMEM. */
void counts_encode(const struct counts *t, struct buf *out);
MUST_CHECK int counts_decode(struct span octets, struct counts **ret_counts);
/* A policy, and one of its details or NULL, as a result again; lives in the arena and borrows. */
MUST_CHECK int counts_read(const struct counts_domain *d, const struct counts_policy *p,
	const struct counts_detail *detail, struct arena *a, struct tls_result *ret);
