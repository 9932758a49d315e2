/* SipHash-2-4, written from the paper "SipHash: a fast short-input PRF" (Aumasson, Bernstein 2012).
 *
 * Two rounds for each 8-octet word, four to finish. The last word carries the remaining octets and
 * the length modulo 256 in its top octet, so that trailing zeros matter. */
#include "base/siphash.h"

struct state {
	uint64_t v0, v1, v2, v3;
};

static inline uint64_t rotl(uint64_t v, unsigned n)
{
	return v << n | v >> (64 - n);
}

static inline void sip_round(struct state *s)
{
	s->v0 += s->v1;
	s->v2 += s->v3;
	s->v1 = rotl(s->v1, 13) ^ s->v0;
	s->v3 = rotl(s->v3, 16) ^ s->v2;
	s->v0 = rotl(s->v0, 32);
	s->v2 += s->v1;
	s->v0 += s->v3;
	s->v1 = rotl(s->v1, 17) ^ s->v2;
	s->v3 = rotl(s->v3, 21) ^ s->v0;
	s->v2 = rotl(s->v2, 32);
}

static inline void absorb(struct state *s, uint64_t word)
{
	s->v3 ^= word;
	sip_round(s);
	sip_round(s);
	s->v0 ^= word;
}

uint64_t siphash(struct siphash_key key, struct span octets)
{
	struct state s = {
		key.k0 ^ UINT64_C(0x736f6d6570736575),
		key.k1 ^ UINT64_C(0x646f72616e646f6d),
		key.k0 ^ UINT64_C(0x6c7967656e657261),
		key.k1 ^ UINT64_C(0x7465646279746573),
	};
	size_t i = 0;

	for (; octets.len - i >= 8; i += 8) {
		uint64_t word;
		memcpy(&word, octets.ptr + i, 8);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
		word = __builtin_bswap64(word);
#endif
		absorb(&s, word);
	}
	uint64_t last = (uint64_t)octets.len << 56;
	for (unsigned shift = 0; i < octets.len; i++, shift += 8)
		last |= (uint64_t)(unsigned char)octets.ptr[i] << shift;
	absorb(&s, last);
	s.v2 ^= 0xff;
	for (int round = 0; round < 4; round++)
		sip_round(&s);
	return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}
