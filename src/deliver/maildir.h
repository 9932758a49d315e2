/* Delivery of one message into Maildirs: tmp, fsync, link into new, fsync of new. Blocking: runs
 * on the offload pool. What was linked is delivered, whatever dies afterwards. */
#pragma once
#include "deliver/delivery.h"

/* Recipients of one call: their fsyncs go together, their fds (three each) stay bounded. */
#define MAILDIR_BATCH 16u

struct maildir_file {
	uint32_t position;  /* of the recipient in the job */
	int prefix_fd;	    /* borrowed: the folder handed over by the supervisor */
	struct span folder; /* below it: "example.org/bob" */
	struct span stem;   /* maildir_stem, NUL-terminated */

	/* What happened: error 0 is delivered. */
	int error;	  /* errno, positive */
	const char *what; /* "create", "write": what failed */
	bool loop;	  /* the message has been here (Delivered-To) */
	bool found;	  /* an earlier attempt had delivered it */

	int tmp_dir, new_dir, file;
	bool written;
	uint64_t size;
};
struct maildir_batch {
	const struct delivery *d;
	const char *hostname; /* as maildir_hostname writes it */
	struct maildir_file files[MAILDIR_BATCH];
	unsigned n;
};
int maildir_batch_run(void *batch); /* for offload_call; always 0 */
