/* The part of a report for programs (private to the room). */
#pragma once
#include "bounce/report.h"

void status_write(const struct report *r, struct buf *out);
/* What the remote server said, and its name, as clean text. */
void status_reply(struct buf *out, const struct report_rcpt *p);
void status_remote_name(struct buf *out, struct span remote);
