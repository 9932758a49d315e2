/* A configuration that sessions hold on to: a running session keeps the one it began with until it
 * ends, a new one gets the newest. Counted references; one thread. */
#pragma once
#include "config/config.h"

struct settings {
	unsigned refs;
	struct config *config; /* a copy of its own */
};
MUST_CHECK int settings_new(const struct config *c, struct settings **ret_settings);
struct settings *settings_ref(struct settings *s);
void settings_unref(struct settings *s); /* NULL allowed */
