/* Whether octets need any thought about their line ends (RFC 5321 2.3.8): nearly all mail does not,
 * and one pass tells. */
#pragma once
#include "base/span.h"

/* Every CR of it is followed by an LF of it, and every LF preceded by such a CR. Empty: yes. */
bool lines_are_whole(struct span octets);
