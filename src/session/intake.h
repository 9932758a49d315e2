/* The receiver's side of the spool: the writer of its slot, the segments that the dispatcher hands
 * to it, and the notices that tell the dispatcher of each durable commit. One for a process.
 *
 * A dispatcher that is restarted reads every segment again; what an older one gave is then never
 * written again (see intake.c). */
#pragma once
#include "fiber/fiber.h"
#include "mail/verdict.h"
#include "spool/seam.h"

struct intake;
/* slot: 1 for the first receiver. seam outlives it. */
MUST_CHECK int intake_new(const struct seam *seam, uint16_t slot, struct intake **ret_intake);
void intake_free(struct intake *i); /* no draft may be left; NULL allowed */
/* A channel to a dispatcher; takes over fd, replaces an older one. */
MUST_CHECK int intake_attach(struct intake *i, int fd);

/* May a message begin now? Waits a little for what is just coming (a dispatcher, a segment).
 * 250; 452 4.3.1 the disk is low; 451 4.3.0 nobody takes mail now. Text is static. */
SUSPENDS struct verdict intake_check(struct intake *i);
/* Asks the dispatcher to try now what waits for a domain. False: it cannot be asked. */
MUST_CHECK bool intake_ask_retry(struct intake *i, struct span domain);
/* Seals the open segment: nothing will come any more. May be called again. */
void intake_close(struct intake *i);
/* Everything is durable and said, as far as there is somebody to say it to. */
bool intake_is_quiet(const struct intake *i);
