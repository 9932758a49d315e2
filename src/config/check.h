/* What a sound configuration meets on this machine. */
#pragma once
#include "config/config.h"

/* For `postrider check`: looks at folders, files and ports as the calling user sees them, and
 * changes nothing (a port is bound for an instant). One line each: "FILE:LINE: what: remedy";
 * warnings for what may be meant so, errors for what cannot work. 0, or -EINVAL with errors. */
/* Of dns { }; how many errors. Part of config_check_environment. */
unsigned config_check_dns(const struct config *c, struct buf *warnings, struct buf *errors);
MUST_CHECK int config_check_environment(
	const struct config *c, struct buf *warnings, struct buf *errors);
/* The fixed folder in front of a maildir template's first placeholder: "/var/mail" of
 * "/var/mail/{domain}/{local}", the whole path where there is none. Appends without a NUL;
 * nothing for other kinds of target. */
void config_maildir_prefix(const struct target *t, struct buf *out);
