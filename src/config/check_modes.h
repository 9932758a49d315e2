/* The part of `postrider check` that looks at the modes of files with secrets. */
#pragma once
#include "config/config.h"

/* One line of warnings a file that others may read or change, with the remedy. */
void config_check_modes(const struct config *c, struct buf *warnings);
/* The same for one file: at, "FILE:LINE" or NULL for the configuration as a whole; what: "the key".
 * No file, no line. */
void config_check_mode(const struct config *c, const char *at, const char *what, const char *path,
	struct buf *warnings);
