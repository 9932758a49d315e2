/* One HTTPS exchange, blocking: for a thread of the offload pool. */
#pragma once
#include "net/address.h"

struct https_exchange {
	const char *url;  /* https://HOST[:PORT]/... */
	struct span host; /* as the url has it: `addresses` are what it is taken for */
	uint16_t port;
	const struct address *addresses;
	unsigned n_addresses;
	struct span roots; /* PEM */
	uint64_t timeout_usec;
	/* With a type it is a POST, and what comes back is not kept. */
	const char *type;
	struct span body;
	const bool *cancelled; /* optional, atomic: give up */
	/* Out. */
	struct buf answer; /* with its ceiling set: more fails the exchange */
	bool webpki;	   /* the certificate did not verify */
	long status;	   /* 200; 0: none came */
	char answer_type[128];
	char why[256];
};
/* Loads libcurl: once, before the threads and before the process is confined; *ret_why (static
 * text) says what is missing. Without it every exchange fails with -ENOENT. */
MUST_CHECK int https_load(const char **ret_why);
/* 0: an answer came, whatever its status; -EPROTO, -ENOENT (no roots), -ENOMEM, with why. */
MUST_CHECK int https_run(struct https_exchange *x);
