/* libunbound's contexts as dns { } orders them: one for the world, which recurses or asks
 * dns.server, and one for each zone of dns.forward, with a cache of its own. */
#pragma once
#include "config/config.h"
#include "resolver/events.h"

struct contexts;
/* Loads libunbound: first of all, before the process is confined; *ret_why (static text) says what
 * is missing. */
MUST_CHECK int contexts_load(const char **ret_why);
/* anchors: from anchor_parse, or NULL for the root's. *ret_why names what failed (static text).
 * -EINVAL: libunbound refuses a setting or an anchor; -ENOMEM. */
MUST_CHECK int contexts_new(const struct config *c, const struct buf *anchors, struct events *e,
	struct contexts **ret, const char **ret_why);
/* Questions without an answer end here: libunbound may call back once more for them, from inside.
 * NULL allowed. */
void contexts_free(struct contexts *c);

struct ub_ctx;
/* The context that answers for a name (text, no trailing dot). */
struct ub_ctx *contexts_for(struct contexts *c, struct span name);
/* ub_event_callback_type. */
typedef void contexts_answer(
	void *arg, int rcode, void *packet, int len, int security, char *why, int was_ratelimited);
/* name: text, to the end of the question; fn may be called before this returns. -EIO: it was not
 * taken, fn will not be called. */
MUST_CHECK int contexts_ask(
	struct contexts *c, const char *name, uint16_t type, contexts_answer *fn, void *arg);
/* Everything in dns { } that a context depends on, as octets to compare. */
void contexts_describe(const struct config *c, struct buf *out);
