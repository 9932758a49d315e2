/* What the blocks of the configuration become: listeners, domains, routes, targets and how mail
 * leaves. Owned by the tree that config.h describes; every string is the tree's. */
#pragma once
#include "base/buf.h"
#include "net/address.h"

enum listener_role { LISTENER_MX, LISTENER_SUBMISSION, LISTENER_LMTP };
enum tls_mode { TLS_STARTTLS, TLS_IMPLICIT, TLS_NONE };
/* What clients may agree on (docs/tls.md). */
enum tls_ciphers { TLS_CIPHERS_INTERMEDIATE, TLS_CIPHERS_MODERN, TLS_CIPHERS_OLD };
/* Whether clients show a certificate; a listener inherits from tls {}. */
enum tls_wish { TLS_CLIENT_INHERIT, TLS_CLIENT_NONE, TLS_CLIENT_REQUEST, TLS_CLIENT_REQUIRE };
/* Who holds the private keys. */
enum tls_keys { TLS_KEYS_PROCESS, TLS_KEYS_RECEIVER };

/* Where mail goes: deliver and via values. */
enum target_kind {
	TARGET_NONE,
	TARGET_MAILDIR, /* path template */
	TARGET_LMTP,	/* host+port or unix path */
	TARGET_SMTP,
	TARGET_SMTPS,
	TARGET_PIPE, /* command template */
	TARGET_MX,
	TARGET_DISCARD,
	TARGET_HOLD,
};
struct target {
	enum target_kind kind;
	char *host;    /* smtp, smtps, lmtp over TCP: name or literal without brackets; else NULL */
	uint16_t port; /* default 25, 465, 24 */
	char *path;    /* maildir template, unix path, pipe command; else NULL */
	char *text;    /* as written */
};

struct config_address {
	struct address address;
	char *text; /* as written, for errors */
};
struct config_listener {
	char *name;
	char *at; /* "FILE:LINE" of the block, for errors; NULL in evaluation mode */
	enum listener_role role;
	enum tls_mode tls;
	enum tls_wish tls_client;
	struct config_address *addresses;
	size_t n_addresses;
	/* Who speaks for others: each connection begins with a PROXY header; may say XCLIENT,
	 * XFORWARD. */
	struct network *proxy, *xclient, *xforward;
	size_t n_proxy, n_xclient, n_xforward;
};
enum users_kind { USERS_NONE, USERS_FILE, USERS_SQLITE, USERS_ANY };
struct config_domain {
	char *name; /* lower case A-label form */
	char *at;   /* "FILE:LINE" of the block, for errors; NULL in evaluation mode */
	enum users_kind users;
	char *users_path;
	char *aliases_path; /* NULL: none */
	char *senders_path; /* which addresses its users may send as beside their own; NULL: none */
	struct target deliver;
	char *catch_all;  /* address or local part, or NULL (key catch_all) */
	char *subaddress; /* the delimiter octets, default "+"; "" switches it off (key subaddress)
			   */
	bool dkim;
	bool etrn;	 /* anybody may ask for a try to deliver now (RFC 1985) */
	bool vrfy, expn; /* tells strangers who lives here, and the members of lists */
};
/* How mail leaves on a way (docs/tls-out.md). */
enum tls_level {
	TLS_LEVEL_AUTO,	   /* what the domain publishes (DANE, MTA-STS), else opportunistic */
	TLS_LEVEL_NONE,	   /* never */
	TLS_LEVEL_MAY,	   /* where offered, unverified */
	TLS_LEVEL_ENCRYPT, /* always, unverified (also written "required") */
	TLS_LEVEL_VERIFY,  /* always, with a certificate that verifies */
	TLS_LEVEL_DANE,	   /* always, with usable TLSA records */
};
struct config_source { /* an address of ours to connect from */
	struct address address;
	char *name; /* for EHLO; NULL: hostname */
	unsigned weight;
	char *text; /* as written */
};
struct config_outbound {
	enum tls_level tls;
	char **tls_names; /* that the certificate may have, beside the next hop's */
	size_t n_tls_names;
	char **tls_fingerprints; /* SHA-256 of certificates, 64 lower-case hex digits */
	size_t n_tls_fingerprints;
	char *tls_ca;	   /* file of roots for this way only; NULL: tls.ca */
	char *credentials; /* file with "USER:PASSWORD"; NULL: no AUTH by password */
	char *certificate; /* file of the one that is shown to the next hop; NULL: none */
	char *key;	   /* its key; NULL: it stands in the certificate's file */
	struct config_source *sources;
	size_t n_sources;
};
struct config_dns_zone {
	char *zone; /* lower case; "." is the root */
	struct address server;
};
#define ROUTE_FILE "file:" /* begins the title of a block that has a table */
struct config_route {
	char *domain; /* block title: "partner.example", ".partner.example" (subdomains), "*",
			 "from:...", "file:PATH" */
	char *table;  /* the file of titles and addresses, one a line; NULL: none */
	char *at;     /* "FILE:LINE" of the block */
	struct target via;
	bool etrn; /* anybody may ask for a try to deliver now (RFC 1985) */
	struct config_outbound out;
};
