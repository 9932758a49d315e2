/* SipHash-2-4 (Aumasson and Bernstein 2012): a keyed hash for tables whose keys strangers choose.
 */
#pragma once
#include "base/span.h"
struct siphash_key {
	uint64_t k0, k1;
};
uint64_t siphash(struct siphash_key key, struct span octets);
