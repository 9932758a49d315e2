/* The server's side of SCRAM, RFC 5802 (SHA-1) and 7677 (SHA-256), with and without channel binding
 * (-PLUS): tls-exporter (RFC 9266) and tls-server-end-point (RFC 5929 4). Pure: messages in,
 * messages out; the keys are looked up by the caller between first and challenge. */
#pragma once
#include "sasl/secret.h"

#define SCRAM_MESSAGE_MAX 4096u /* of any message of the exchange */
#define SCRAM_BINDING_MAX 64u	/* octets of channel binding data: a hash */

struct scram_binding {
	struct span exporter, end_point; /* empty: this connection has none */
};
struct scram {
	enum scram_hash hash;
	bool plus;	   /* the mechanism's name ends in -PLUS */
	bool plus_offered; /* we offered such a name (RFC 5802 6: a client that says "y" lies) */
	struct span name;  /* after scram_first: the user, as the client spells it */
	struct span authzid;
	/* Inner. */
	struct buf names, first_bare, header, challenge, binding;
	struct span client_nonce;
	struct scram_keys keys;
	bool known;
};
void scram_init(struct scram *s, enum scram_hash hash, bool plus, bool plus_offered);
void scram_done(struct scram *s);
/* client-first-message. -EBADMSG: malformed or asks for what cannot be; -EACCES: the channel
 * binding is not one of this connection's, or the client was lied to about what we offer. */
MUST_CHECK int scram_first(
	struct scram *s, struct span message, const struct scram_binding *binding);
/* server-first-message to out. keys NULL: nobody (with keys) has that name; fake_salt, of
 * SCRAM_SALT_OCTETS, is then the salt: the caller makes it of the name, the same each time.
 * nonce: printable, no comma; empty: a random one (tests give one). */
MUST_CHECK int scram_challenge(struct scram *s, const struct scram_keys *keys,
	struct span fake_salt, struct span nonce, struct buf *out);
/* client-final-message; server-final-message to out. -EBADMSG; -EACCES: not the right password, or
 * nobody. */
MUST_CHECK int scram_final(struct scram *s, struct span message, struct buf *out);
