/* Asks the keys process for signatures (ipc/sign.h). One channel for all fibers of a process. */
#pragma once
#include "fiber/fiber.h"
#include "ipc/sign.h"

#define SIGN_WAIT_USEC (10 * USEC_PER_SEC) /* one signature in all, a restart included */

struct sign_client;
MUST_CHECK int sign_client_new(struct sign_client **ret_client);
void sign_client_free(struct sign_client *c); /* no question may be open; NULL allowed */
/* A channel to the keys process; takes over fd, replaces an older one. */
MUST_CHECK int sign_client_attach(struct sign_client *c, int fd);
/* A remote_sign (net/remote_key.h) whose arg is the client: for as long as the client lives.
 * -EPIPE: the keys process ended meanwhile; -ETIMEDOUT, -ECANCELED, -ENOKEY, -EINVAL, -EBUSY. */
const struct remote_signer *sign_client_signer(const struct sign_client *c);
