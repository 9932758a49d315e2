/* A job of SMTP or LMTP from beginning to end. */
#pragma once
#include "deliver/outbound.h"

/* From the first lookup to the last host's session; transfers come on top. */
#define DELIVERY_OPEN_MAX (10 * 60 * USEC_PER_SEC)

SUSPENDS void smtp_deliver(struct delivery *d, const struct outbound *out);
