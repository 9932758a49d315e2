/* The configuration file and what it includes, as one text for libConfuse in which every value
 * carries its own position. Inner to src/config. */
#pragma once
#include "config/schema.h"

#define SCAN_FILE_OCTETS_MAX  (1024 * 1024)
#define SCAN_TOTAL_OCTETS_MAX (16 * 1024 * 1024) /* all files together */
#define SCAN_FILES_MAX	      1000
#define SCAN_DEPTH_MAX	      16 /* of includes */

struct scan {
	struct buf flat; /* what libConfuse reads */
	char **files;	 /* names; a position in `flat` is an index into it and a line */
	size_t n_files;
	size_t octets; /* read so far */
	const char *folder;
	struct diag *diag;
	/* Blocks without a title stand once: where. */
	struct position *blocks_seen;
	/* line i of flat came from lines[i]: for errors that libConfuse itself finds */
	struct position *lines;
	size_t n_lines, cap_lines;
};

/* Reads path and its includes. Errors in the text go to the diag, and the statements that have
 * one are left out of s->flat. Negative: the main file cannot be read (said in the diag too), or
 * -ENOMEM. */
MUST_CHECK int scan_file(struct scan *s, const char *path, const char *folder, struct diag *diag);
void scan_done(struct scan *s);
/* "F:L:text", as it stands in the flat text, to the position and the text. */
MUST_CHECK int scan_unmark(const struct scan *s, const char *marked, struct value *ret_value);
