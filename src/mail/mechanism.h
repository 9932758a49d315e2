/* SASL mechanisms (RFC 4422) by name and as a set. */
#pragma once
#include "base/span.h"

enum mechanism {
	MECH_PLAIN,
	MECH_LOGIN,
	MECH_SCRAM_SHA_1,
	MECH_SCRAM_SHA_1_PLUS,
	MECH_SCRAM_SHA_256,
	MECH_SCRAM_SHA_256_PLUS,
	MECH_EXTERNAL,
	MECH_CRAM_MD5,
	MECH_COUNT
};
#define MECH_BIT(m)    (1u << (m))
#define MECH_ALL       ((1u << MECH_COUNT) - 1)
#define MECH_SCRAM_1   (MECH_BIT(MECH_SCRAM_SHA_1) | MECH_BIT(MECH_SCRAM_SHA_1_PLUS))
#define MECH_SCRAM_256 (MECH_BIT(MECH_SCRAM_SHA_256) | MECH_BIT(MECH_SCRAM_SHA_256_PLUS))
#define MECH_PLUS      (MECH_BIT(MECH_SCRAM_SHA_1_PLUS) | MECH_BIT(MECH_SCRAM_SHA_256_PLUS))

const char *mechanism_name(enum mechanism m);
/* Without case. -ENOENT. */
MUST_CHECK int mechanism_find(struct span name, enum mechanism *ret);
/* In order of preference, each once; MECH_COUNT at the end: the names as EHLO lists them. */
extern const enum mechanism mechanisms_preferred[MECH_COUNT];
