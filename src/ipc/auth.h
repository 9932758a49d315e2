/* Logging in and handing in, receiver <-> directory. A receiver asks and is not trusted: hashes and
 * keys never leave the directory, and it decides about lockouts and quotas. Every question begins
 * with a token that comes back. */
#pragma once
#include "base/wire.h"

/* FRAME_AUTH: one step of an exchange. The receiver numbers its exchanges; AUTH_BEGIN of a number
 * that is open ends the open one. */
enum auth_step_kind { AUTH_BEGIN, AUTH_CONTINUE, AUTH_CANCEL };
struct auth_step {
	uint64_t token, exchange;
	enum auth_step_kind kind;
	bool has_response;    /* of AUTH_BEGIN: false where the client sent no initial response */
	struct span response; /* decoded */
	/* AUTH_BEGIN: */
	uint64_t session;	 /* its number, for the log */
	struct span mechanism;	 /* as the client spells it */
	struct span client;	 /* address text without port */
	struct span exporter;	 /* channel binding data (RFC 9266), empty: none */
	struct span end_point;	 /* RFC 5929 4 */
	struct span fingerprint; /* SHA-256 of the client certificate, verified or not, or empty */
	struct span subject;	 /* of that certificate (RFC 2253 text), if it was verified */
};
#define AUTH_RESPONSE_MAX 12288u /* RFC 4954 4.4's line, decoded it is shorter */

/* FRAME_AUTH_ANSWER. Not sent for AUTH_CANCEL. */
enum auth_status {
	AUTH_CHALLENGE, /* data: what the client is to be sent */
	AUTH_OK,	/* data: the login, "local@domain" */
	AUTH_REFUSED,	/* the password, the user, the identity */
	AUTH_MALFORMED, /* not the mechanism's syntax */
	AUTH_LOCKED,	/* too many failures */
	AUTH_TEMPORARY,
};
struct auth_answer {
	uint64_t token;
	enum auth_status status;
	struct span data;
};

/* FRAME_AUTH_OFFER: u32, a set of enum mechanism (mail/mechanism.h): what the users' sources can
 * do. To receivers, unasked, at first and when it changes. */

/* FRAME_SUBMIT: a question about what a user hands in. */
enum submit_kind {
	SUBMIT_SENDER, /* may the login send as these addresses? */
	SUBMIT_CHARGE, /* a message to so many recipients: counted if it fits the quota */
};
struct submit {
	uint64_t token;
	enum submit_kind kind;
	struct span login;
	struct span *addresses; /* SUBMIT_SENDER: canonical local@domain */
	uint32_t n_addresses;
	uint32_t recipients; /* SUBMIT_CHARGE */
};
#define SUBMIT_ADDRESSES_MAX 100u

/* FRAME_SUBMIT_ANSWER */
enum submit_status { SUBMIT_OK, SUBMIT_NOT_YOURS, SUBMIT_OVER_QUOTA, SUBMIT_UNKNOWN };
struct submit_answer {
	uint64_t token;
	enum submit_status status; /* SUBMIT_UNKNOWN: a table cannot be read */
	uint32_t which;		   /* SUBMIT_NOT_YOURS: index of the first such address */
	uint64_t messages_left, recipients_left; /* of this hour; UINT64_MAX: no quota */
	uint64_t message_size, recipients;	 /* of one message; 0: no limit of his own */
};

void auth_step_encode(const struct auth_step *s, struct buf *out);
MUST_CHECK int auth_step_decode(struct span payload, struct auth_step *ret);
void auth_answer_encode(const struct auth_answer *a, struct buf *out);
MUST_CHECK int auth_answer_decode(struct span payload, struct auth_answer *ret);
void submit_encode(const struct submit *s, struct buf *out);
/* addresses: room for SUBMIT_ADDRESSES_MAX. */
MUST_CHECK int submit_decode(
	struct span payload, struct span addresses[SUBMIT_ADDRESSES_MAX], struct submit *ret);
void submit_answer_encode(const struct submit_answer *a, struct buf *out);
MUST_CHECK int submit_answer_decode(struct span payload, struct submit_answer *ret);
