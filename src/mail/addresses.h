/* The addresses in an address field (From, Sender...), RFC 5322 3.4, without the words around them.
 * Tolerant of what real programs write in display names, strict about the addresses. */
#pragma once
#include "base/buf.h"

#define ADDRESSES_MAX 100u

struct addresses {
	struct buf text; /* the addr-specs, white space and comments taken out */
	struct {
		size_t start, len;
	} each[ADDRESSES_MAX]; /* in text */
	size_t n;
};
void addresses_init(struct addresses *a);
void addresses_done(struct addresses *a);
/* body: raw, folding included. Appends. -EINVAL: something in it is no address; -E2BIG: more than
 * ADDRESSES_MAX or too long; -ENOMEM. */
MUST_CHECK int addresses_parse(struct addresses *a, struct span body);
struct span addresses_get(const struct addresses *a, size_t i);
