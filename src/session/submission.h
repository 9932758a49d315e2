/* What a submission server does beyond taking a message, RFC 6409: for sessions that are logged in,
 * and without effect for all others. */
#pragma once
#include "session/arrival.h"

/* At MAIL, when the transaction has its reverse-path: may the user send as that, and has it quota
 * left? 553 5.7.1, 450 4.7.1, 451. */
SUSPENDS struct verdict submission_check_sender(struct session *s);
/* At RCPT: 452 4.5.3 beyond what one message may have, 450 4.7.1 beyond what is left of the hour.
 */
struct verdict submission_check_rcpt(const struct session *s);
/* The largest message of this session; with the user's own limit as of MAIL. */
uint64_t submission_size_max(const struct session *s);
/* When the octets are there: checks From, takes Bcc out, and appends to fields what the header
 * lacks (it goes below our Received). Counts the message. */
SUSPENDS struct verdict submission_finish(struct session *s, struct arrival *a, struct buf *fields);
