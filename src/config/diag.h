/* Where a word of the configuration stands, and the list of what is wrong with it. Inner to
 * src/config. */
#pragma once
#include "base/buf.h"

/* Errors beyond this many are counted, not listed: nobody repairs more in one go. */
#define DIAG_ERRORS_MAX 100

struct position {
	const char *file; /* borrowed; as the operator named it */
	unsigned line;	  /* from 1; 0: the file as a whole */
};
struct diag {
	struct buf *errors; /* one "FILE:LINE: what: remedy" a line */
	unsigned count;
};

void diag_error(struct diag *d, struct position at, const char *fmt, ...) PRINTF(3, 4);
