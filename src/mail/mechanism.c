/* The strongest first: clients that take the first one that they know do well. */
#include "mail/mechanism.h"

static const char *const names[MECH_COUNT] = {
	[MECH_PLAIN] = "PLAIN",
	[MECH_LOGIN] = "LOGIN",
	[MECH_SCRAM_SHA_1] = "SCRAM-SHA-1",
	[MECH_SCRAM_SHA_1_PLUS] = "SCRAM-SHA-1-PLUS",
	[MECH_SCRAM_SHA_256] = "SCRAM-SHA-256",
	[MECH_SCRAM_SHA_256_PLUS] = "SCRAM-SHA-256-PLUS",
	[MECH_EXTERNAL] = "EXTERNAL",
	[MECH_CRAM_MD5] = "CRAM-MD5",
};
const enum mechanism mechanisms_preferred[MECH_COUNT] = {MECH_EXTERNAL, MECH_SCRAM_SHA_256_PLUS,
	MECH_SCRAM_SHA_1_PLUS, MECH_SCRAM_SHA_256, MECH_SCRAM_SHA_1, MECH_PLAIN, MECH_LOGIN,
	MECH_CRAM_MD5};

const char *mechanism_name(enum mechanism m)
{
	return names[m];
}

int mechanism_find(struct span name, enum mechanism *ret)
{
	for (unsigned i = 0; i < MECH_COUNT; i++)
		if (span_equal_nocase(name, span_str(names[i]))) {
			*ret = (enum mechanism)i;
			return 0;
		}
	return -ENOENT;
}
