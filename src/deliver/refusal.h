/* Does a reply refuse our address rather than the message? Then another address may do better. */
#pragma once
#include "mail/reply.h"
#include "net/address.h"

/* code: of the reply (4xx or 5xx), enhanced: "5.7.1" or empty; local: where we connected from. */
bool refusal_is_of_address(
	uint16_t code, struct span enhanced, struct span text, const struct address *local);
