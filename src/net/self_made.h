/* A certificate that a server signs for itself. */
#pragma once
#include "base/buf.h"

/* A new ECDSA P-256 key and a certificate for name, valid from now for `days`, both as PEM.
 * -ENOMEM; -EINVAL: OpenSSL does not want to. */
MUST_CHECK int self_made_certificate(
	const char *name, unsigned days, struct buf *certificate, struct buf *key);
