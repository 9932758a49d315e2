/* Internationalised domain names (RFC 5890, 5891): the one place that knows libidn2. */
#pragma once
#include "base/buf.h"

/* Appends the domain with every U-label as its A-label, in lower case: what DNS and the
 * configuration know. An ASCII domain is only put in lower case. -EINVAL: not a domain name by
 * IDNA's rules, or longer than a domain may be; -ENOMEM. */
MUST_CHECK int idna_to_ascii(struct span domain, struct buf *out);
bool text_is_ascii(struct span s);
