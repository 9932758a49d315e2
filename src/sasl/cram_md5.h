/* CRAM-MD5, RFC 2195, the server's side: a challenge that is never the same, and the keyed digest
 * of it. The password itself has to be known for that (seal.h). */
#pragma once
#include "base/buf.h"

#define CRAM_DIGEST_OCTETS 16u
#define CRAM_CHALLENGE_MAX 512u
#define CRAM_RESPONSE_MAX  512u

struct cram_response {
	struct span name; /* as the client spells it */
	uint8_t digest[CRAM_DIGEST_OCTETS];
};
/* 2: "<random.seconds@hostname>", in the form of a msg-id. -EIO. */
MUST_CHECK int cram_challenge(const char *hostname, uint64_t seconds, struct buf *out);
/* "NAME DIGEST": the name may hold blanks, the digest is 32 hex digits. -EBADMSG. */
MUST_CHECK int cram_parse(struct span message, struct cram_response *ret);
/* HMAC-MD5 of the challenge, keyed by the password. -EINVAL: OpenSSL refuses MD5. */
MUST_CHECK int cram_digest(
	struct span password, struct span challenge, uint8_t ret_digest[static CRAM_DIGEST_OCTETS]);
/* Is this the password's digest? In constant time; both forms of the password (secret_prepare and
 * as it came) are tried, because clients send the one or the other. */
bool cram_matches(
	struct span password, struct span challenge, const uint8_t digest[CRAM_DIGEST_OCTETS]);
