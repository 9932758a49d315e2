/* What the sink's sessions share. */
#pragma once
#include "bench/options.h"
#include "bench/tally.h"
#include "fiber/fiber.h"
#include <openssl/ssl.h>

struct sink {
	const struct sink_options *o;
	struct tally tally;
	SSL_CTX *tls; /* NULL: no STARTTLS */
	uint64_t random;
	uint64_t connections, open, messages, recipients, octets;
	uint64_t tempfails, permfails, hangups; /* injected */
	uint64_t bare_newlines;			/* messages with a bare CR or LF */
	uint64_t first_usec, last_usec;		/* wall, of messages */
	struct list sessions;
};
struct sink_session {
	struct list node;
	struct sink *sink;
	struct fiber *fiber;
	int fd; /* taken by the stream */
	bool tcp;
};
/* One fiber; arg: a struct sink_session, which it frees. */
SUSPENDS void sink_session_fiber(void *arg);
uint64_t sink_cpu_usec(void);
/* The sink's own report at its end. */
int sink_report(const struct sink *s);
