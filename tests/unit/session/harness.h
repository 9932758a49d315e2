/* Whole sessions without other processes: a dispatcher and a directory that live in the test, on
 * real channels; segments in a scratch folder; a client fiber on a socket pair. */
#pragma once
#include "ipc/spool_frames.h"
#include "net/channel.h"
#include "session/session.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define NOTICES_MAX 64
#define ENDS_MAX    64

struct ended_segment {
	uint64_t sequence;
	bool sealed;
	uint32_t error;
};
struct harness {
	struct seam *seam;
	struct config config;
	struct config_domain domain;
	struct server server;
	int folder;
	/* the dispatcher */
	struct channel *dispatcher;
	uint64_t next_segment, segment_size;
	bool give;	    /* answers SEGMENT_WANT */
	const char *broken; /* the next segment is this file instead (a device that fails) */
	unsigned wants;
	struct commit_notice notices[NOTICES_MAX];
	unsigned n_notices;
	struct ended_segment ends[ENDS_MAX];
	unsigned n_ends;
	/* the directory */
	struct channel *directory;
	bool answer;
	unsigned questions;
	/* the test's body */
	void (*body)(struct harness *h);
	bool finished;
};
/* Runs body on a fiber with everything set up. Assertions in it abort the test. */
void harness_run(void (*body)(struct harness *h));
void harness_dispatcher(struct harness *h); /* a fresh one; the old one is gone */
void harness_dispatcher_gone(struct harness *h);
void harness_directory(struct harness *h);
void harness_directory_gone(struct harness *h);

/* A client's end. */
struct client {
	struct stream *io;
};
struct client harness_connect(struct harness *h, bool local);
void client_close(struct client *c);
SUSPENDS void client_send(struct client *c, const char *octets);
SUSPENDS void client_send_many(struct client *c, const char *line, unsigned times);
/* Reads one whole reply whose last line starts so. */
SUSPENDS void client_expect(struct client *c, const char *start);
SUSPENDS void client_command(struct client *c, const char *line, const char *start);
SUSPENDS void client_expect_end(struct client *c);
/* To the point where the data may be sent. */
SUSPENDS void client_to_data(struct client *c);
/* The whole message that a notice names, as spooled. */
void harness_read(struct harness *h, const struct commit_notice *n, struct buf *out);
