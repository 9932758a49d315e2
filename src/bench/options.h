/* What `postrider bench` was asked for. Usage errors are printed here. */
#pragma once
#include "bench/payload.h"
#include "net/address.h"

#define BENCH_CONNECTIONS_MAX 100000u
#define BENCH_SINKS_MAX	      16u

enum bench_tls { BENCH_TLS_NONE, BENCH_TLS_STARTTLS, BENCH_TLS_IMPLICIT };

struct load_options {
	struct address target;
	const char *target_text;
	uint64_t connections, messages, per_connection; /* per_connection 0: all on one */
	uint64_t recipients, domains, tries;
	struct payload_sizes sizes;
	struct span from, to; /* to: a template with {rcpt}, {message}, {domain} */
	struct span hello;
	bool pipelining, bdat, lmtp;
	uint64_t rate;		/* messages a second, 0: as fast as it goes */
	uint64_t slow;		/* octets a second and connection, 0: as fast as it goes */
	uint64_t window;	/* messages accepted and not yet at the sink, 0: any number */
	uint64_t idle_usec;	/* connections that say EHLO, then nothing */
	uint64_t duration_usec; /* begin no message after this; 0: no end */
	uint64_t timeout_usec;	/* of each wait */
	uint64_t connect_usec;	/* of connect() and banner together; 0: as the others */
	uint64_t settle_usec;	/* how long the sink may show no progress */
	struct address sink;	/* len 0: none */
	const char *sink_text;
	bool sink_is_there; /* --watch: somebody else runs it */
	enum bench_tls tls;
	const char *user, *password;
	bool auth_login;
	bool json, quiet;
};

/* A share of events, of a million. */
struct sink_options {
	struct address addresses[BENCH_SINKS_MAX];
	size_t n_addresses;
	uint64_t latency_usec, latency_max_usec;
	uint32_t tempfail, permfail, hangup;
	enum sink_stage {
		SINK_AT_CONNECT,
		SINK_AT_MAIL,
		SINK_AT_RCPT,
		SINK_AT_DATA,
		SINK_AT_DOT
	} at;
	bool pipelining, chunking, lmtp, starttls;
	uint64_t expect; /* end when so many pairs have arrived; 0: never */
	bool json, quiet;
};

/* 0, or an exit status of cli.h (usage), said on stderr. Spans borrow from argv. */
MUST_CHECK int load_options_parse(int argc, char **argv, struct load_options *ret_options);
MUST_CHECK int sink_options_parse(int argc, char **argv, struct sink_options *ret_options);
