/* data/secrets.key: what reversible secrets (sasl/seal.h) are sealed by. 32 random octets, 0600,
 * made once: by the server's start, or by the first `postrider user ... --reversible`. */
#pragma once
#include "base/base.h"

#define SEAL_KEY_FILE	     "secrets.key"
#define SEAL_KEY_FILE_OCTETS 32u

/* Makes the file if it is missing, and opens it for reading: an fd, or a negative errno. */
MUST_CHECK int seal_key_open(int data_fd);
/* The key behind an fd. -EBADMSG: not as many octets as there should be. */
MUST_CHECK int seal_key_read(int fd, uint8_t ret_key[static SEAL_KEY_FILE_OCTETS]);
