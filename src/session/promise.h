/* The reply to the end of a message, however it came: 250 is a promise. */
#pragma once
#include "session/arrival.h"

/* Checks what has arrived and commits it: 250 when it is durable and the dispatcher has been told,
 * or why not (logged and counted). */
SUSPENDS struct verdict promise_message(struct session *s, struct arrival *a);
/* Logs and counts a refusal, once a message; returns v. */
struct verdict promise_refused(struct session *s, struct arrival *a, struct verdict v);
/* The session ends in the middle of the octets: error as arrival_receive returned it. */
struct verdict promise_broken_off(struct session *s, struct arrival *a, int error);
