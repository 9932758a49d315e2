/* What a single key cannot know: titles, duplicates, what is missing. Inner to src/config. */
#pragma once
#include "config/name.h"
#include "config/schema.h"

/* NULL when the title is fine, else what is wrong and the remedy (static text). */
const char *verify_listener_title(const struct config *c, const char *title);
const char *verify_domain_title(const char *title);
const char *verify_route_title(const char *title);
/* The block's record after its last key. */
MUST_CHECK int verify_block(struct reading *r, const struct block *block, const struct value *title,
	const void *record);
/* All after the last block; `whole` names the main file. Fills the default hostname. */
MUST_CHECK int verify_whole(struct reading *r, struct position whole);
