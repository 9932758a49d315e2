/* The configuration: libConfuse blocks read into one frozen tree. Read once by the supervisor (and
 * `check`), then handed to every role as text (config_dump) and frozen there; nobody changes it.
 * Every string is owned by the tree. Relative paths are already absolute (against the folder of
 * the configuration file). Missing values hold their defaults. Durations are microseconds.
 *
 * Errors name file, line and remedy, also inside blocks, lists and includes. */
#pragma once
#include "config/blocks.h"

struct config {
	char *path;   /* of the file; NULL in evaluation mode */
	char *folder; /* that relative paths start from */
	bool evaluation;
	char *hostname;		/* default: the system's name */
	char *data;		/* default: /var/lib/postrider */
	char *user, *mail_user; /* NULL: default accounts or fixed uids */
	struct config_listener *listeners;
	size_t n_listeners;
	struct config_domain *domains; /* in the order of their names */
	size_t n_domains;
	struct config_route *routes;
	size_t n_routes;
	size_t *routes_by_title; /* indices, in the order of their titles */
	size_t *routes_loose;	 /* of those whose title is no whole domain, in their order */
	size_t n_routes_loose;
	struct {
		struct network *from;
		size_t n_from;
		struct target via; /* TARGET_NONE when absent */
		struct config_outbound out;
	} relay;
	struct {
		uint64_t message_size;	       /* 50M */
		uint64_t recipients;	       /* 1000; at least 100 (RFC 5321 4.5.3.1.8) */
		uint64_t transactions;	       /* of one session (RFC 9422 MAILMAX); 0: any */
		uint64_t recipient_domains;    /* of one message (RCPTDOMAINMAX); 0: any */
		uint64_t errors;	       /* 20 */
		uint64_t connections;	       /* 10000 in all */
		uint64_t connections_per_ip;   /* 50; loopback and relay.from are exempt */
		uint64_t line_length;	       /* octets of a message's line; 0: any */
		uint64_t hops;		       /* 50 Received fields (RFC 5321 6.3) */
		uint64_t command_timeout;      /* 5m */
		uint64_t data_timeout;	       /* 3m between data blocks */
		uint64_t data_rate;	       /* octets a second, averaged; 64; 0 off */
		struct network *bare_newlines; /* networks whose bare CR or LF is tolerated */
		size_t n_bare_newlines;
	} limits;
	struct {
		uint64_t *retry; /* waits in turn; default 5m 15m 30m 1h 2h 4h */
		size_t n_retry;
		uint64_t warn;		 /* 4h; 0 off */
		uint64_t expire;	 /* 5d */
		uint64_t bounce_expire;	 /* 1d, for null senders */
		uint64_t future_release; /* the farthest (RFC 4865): 30d; 0: not offered */
		uint64_t concurrency;	 /* most connections to one site: 20 */
		uint64_t connect_timeout, command_timeout,
			data_timeout; /* client side: 30s 5m 10m */
	} queue;
	struct {
		uint64_t segment_size; /* 64M; halves down to 1M on small disks */
		uint64_t reserve; /* free octets under which new mail gets 452: 0 = automatic */
		uint64_t compact; /* a nearly dead segment is emptied after: 1m; 0 off */
	} spool;
	struct {
		uint32_t mechanisms; /* set of enum mechanism; 0: what the users' sources can do */
		bool hide_client;    /* no client address in Received of what users hand in */
		uint64_t message_size, recipients; /* of a message; 0: as limits {} say */
		uint64_t messages_per_hour;	   /* of a user: 1000; 0 off */
		uint64_t recipients_per_hour;	   /* of a user: 5000; 0 off */
	} auth;
	struct {
		char *format; /* "auto", "readable", "json" */
		char *level;  /* "info" */
	} log;
	struct {
		char *http; /* "127.0.0.1:8025" */
	} control;
	struct {
		char *at; /* "FILE:LINE" of the block; NULL: there is none */
		/* Files; none: the server makes itself a certificate. */
		char **certificates;
		size_t n_certificates;
		char **keys; /* in any order; none: they stand in the certificates' files */
		size_t n_keys;
		char **ocsp; /* responses to staple */
		size_t n_ocsp;
		char *client_ca; /* file of roots for clients' certificates, or NULL */
		enum tls_ciphers ciphers;
		enum tls_wish client; /* never TLS_CLIENT_INHERIT */
		enum tls_keys keys_in;
		uint64_t handshake_timeout; /* 1m */
	} tls;
	char *tls_ca; /* tls.ca: roots for what we verify as a client; NULL: the system's */
	struct {
		struct config_address *servers; /* ask these instead of recursing */
		size_t n_servers;
		struct config_dns_zone *stubs;	  /* zones whose authoritative servers these are */
		struct config_dns_zone *forwards; /* zones that these servers resolve for us */
		size_t n_stubs, n_forwards;
		char **insecure; /* zones without signatures under a signed parent */
		size_t n_insecure;
		char *trust_anchor; /* file; NULL: the root's keys, built in */
		uint64_t timeout;   /* 10s: of one question, all tries together */
		uint64_t cache;	    /* octets: 32M */
	} dns;
	struct {
		bool enabled;	    /* true */
		char *organization; /* NULL: the hostname */
		char *contact;	    /* NULL: postmaster at the hostname */
		uint64_t delay;	    /* 4h: reports leave within this of the day's end */
	} tlsrpt;
	uint64_t grace;			/* drain time at SIGTERM: 30s */
	unsigned receivers, deliverers; /* 0: one a core (key processes { receivers deliverers }) */
	/* Keys that parse but whose work is not there yet: "dkim at FILE:LINE" for `check` and
	 * `serve`. */
	char **unsupported;
	size_t n_unsupported;
};

/* Reads path. On success *ret_config is owned by the caller. On error a negative errno, and
 * errors has one line each: "FILE:LINE: what is wrong: remedy". All errors that can be found are
 * listed, not only the first. */
MUST_CHECK int config_load(const char *path, struct config **ret_config, struct buf *errors);
/* The evaluation mode's configuration: loopback, MX on 2525, ./postrider-data, *@localhost in
 * Maildirs (users any), relay refused. `folder`: where ./postrider-data is. */
MUST_CHECK int config_evaluation(const char *folder, struct config **ret_config);
/* A self-contained text that config_parse_dump turns into an equal tree in another process. */
void config_dump(const struct config *c, struct buf *out);
MUST_CHECK int config_parse_dump(struct span text, struct config **ret_config);
void config_free(struct config *c); /* NULL allowed */
void config_freep(struct config **c);
/* ETRN (RFC 1985): may anybody ask for a try to deliver what waits for the node ("domain",
 * "@domain",
 * "#queue"), and what does it mean; is there any at all? */
struct etrn_wish {
	struct span domain; /* of node */
	bool below;	    /* and all domains below it */
};
bool config_etrn(const struct config *c, struct span node, struct etrn_wish *ret);
bool config_etrn_somewhere(const struct config *c);
/* -c FILE or NULL; else POSTRIDER_CONFIG; else /etc/postrider/postrider.conf; else NULL (the
 * evaluation mode). A named file that is missing is not this function's error. */
const char *config_choose_path(const char *given);
/* tls.ca, or the system's file of roots; NULL: there is none. */
const char *config_roots_path(const struct config *c);
const struct config_domain *config_domain(const struct config *c, struct span domain); /* local? */
/* The block with this title, in any spelling; a path with capitals is not found. NULL: none. */
const struct config_route *config_route(const struct config *c, struct span title);
/* "smtp://host:port", "maildir:/path", ... 0 or -EINVAL with a remedy in *ret_why (static). */
MUST_CHECK int target_parse(const char *text, struct target *ret_target, const char **ret_why);
void target_done(struct target *t);
