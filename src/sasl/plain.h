/* PLAIN's one message, RFC 4616 2: [authzid] NUL authcid NUL passwd. */
#pragma once
#include "base/span.h"

#define SASL_NAME_MAX	  320u	/* local part, "@", domain: RFC 5321 4.5.3.1 */
#define SASL_PASSWORD_MAX 1023u /* RFC 4616 names no bound; hashes stop reading long before */

struct plain {
	struct span authzid, authcid, password;
};
/* Borrows from the message. -EBADMSG. */
MUST_CHECK int plain_parse(struct span message, struct plain *ret);
