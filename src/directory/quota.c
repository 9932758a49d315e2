/* A bucket holds what a user has used, in units of which limit x 3600 s leak out in an hour, so
 * that nothing is lost to rounding. A full hour's worth may come at once; then it comes back
 * evenly. counters.c keeps them over a restart. */
#include "directory/quota.h"
#include "base/list.h"
#include "base/map.h"

#include <stdlib.h>

#define HOUR_SECONDS 3600u

struct user {
	struct list node; /* quota.recent, the one that was charged last at the end */
	struct span key;
	uint64_t messages, recipients; /* used, times HOUR_SECONDS */
	uint64_t since_usec;	       /* up to when leaking was accounted for */
	char octets[];
};
struct quota {
	struct map *map;
	struct list recent;
};

int quota_new(struct quota **ret_quota)
{
	struct quota *q = calloc(1, sizeof(*q));

	if (!q)
		return -ENOMEM;
	list_init(&q->recent);
	q->map = map_new(0);
	if (!q->map) {
		free(q);
		return -ENOMEM;
	}
	*ret_quota = q;
	return 0;
}

static void drop(struct quota *q, struct user *u)
{
	(void)map_remove(q->map, u->key);
	list_remove(&u->node);
	free(u);
}

void quota_free(struct quota *q)
{
	if (!q)
		return;
	list_foreach_safe (it, tmp, &q->recent)
		drop(q, CONTAINER_OF(it, struct user, node));
	map_free(q->map);
	free(q);
}

static uint64_t leaked(uint64_t used, uint64_t limit, uint64_t seconds)
{
	uint64_t out = limit * MIN(seconds, (uint64_t)HOUR_SECONDS);

	return used > out ? used - out : 0;
}

/* NULL: nothing used. */
static struct user *find(
	struct quota *q, struct span login, const struct quota_limits *l, uint64_t now)
{
	struct user *u = map_get(q->map, login);

	if (!u)
		return NULL;
	uint64_t seconds = (now - u->since_usec) / USEC_PER_SEC;
	u->messages = leaked(u->messages, l->messages, seconds);
	u->recipients = leaked(u->recipients, l->recipients, seconds);
	u->since_usec += seconds * USEC_PER_SEC;
	if (u->messages == 0 && u->recipients == 0) {
		drop(q, u);
		return NULL;
	}
	return u;
}

static uint64_t rest(uint64_t limit, uint64_t used)
{
	uint64_t whole = (used + HOUR_SECONDS - 1) / HOUR_SECONDS;

	return limit == 0 ? UINT64_MAX : limit > whole ? limit - whole : 0;
}

void quota_left(struct quota *q, struct span login, const struct quota_limits *l, uint64_t now,
	struct quota_left *ret_left)
{
	struct user *u = find(q, login, l, now);

	*ret_left = (struct quota_left){
		rest(l->messages, u ? u->messages : 0), rest(l->recipients, u ? u->recipients : 0)};
}

static struct user *make(struct quota *q, struct span login, uint64_t now)
{
	if (map_count(q->map) >= QUOTA_ENTRIES_MAX)
		drop(q, CONTAINER_OF(q->recent.next, struct user, node));
	struct user *u = calloc(1, sizeof(*u) + login.len + 1);
	if (!u)
		return NULL;
	memcpy(u->octets, login.ptr, login.len);
	u->key = span_make(u->octets, login.len);
	u->since_usec = now;
	if (map_put(q->map, u->key, u) < 0) {
		free(u);
		return NULL;
	}
	list_push_back(&q->recent, &u->node);
	return u;
}

int quota_charge(struct quota *q, struct span login, const struct quota_limits *l,
	uint32_t recipients, uint64_t now)
{
	struct quota_left left;

	if (l->messages == 0 && l->recipients == 0)
		return 0;
	quota_left(q, login, l, now, &left);
	if (left.messages < 1 || left.recipients < recipients)
		return -EDQUOT;
	struct user *u = find(q, login, l, now);
	if (!u)
		u = make(q, login, now);
	if (!u)
		return -ENOMEM;
	u->messages += l->messages ? HOUR_SECONDS : 0;
	u->recipients += l->recipients ? (uint64_t)recipients * HOUR_SECONDS : 0;
	list_remove(&u->node);
	list_push_back(&q->recent, &u->node);
	return 0;
}

void quota_each(const struct quota *q, size_t most, uint64_t now,
	void (*fn)(void *arg, struct span login, uint64_t messages_used, uint64_t recipients_used,
		uint64_t age_usec),
	void *arg)
{
	size_t n = map_count(q->map);

	list_foreach (it, &q->recent) {
		const struct user *u = CONTAINER_OF(it, struct user, node);
		if (n-- <= most)
			fn(arg, u->key, u->messages, u->recipients, now - u->since_usec);
	}
}

void quota_restore(struct quota *q, struct span login, uint64_t messages, uint64_t recipients,
	uint64_t age_usec, uint64_t now)
{
	struct user *u = map_get(q->map, login);

	if (!u)
		u = make(q, login, now);
	if (!u)
		return;
	u->messages = messages;
	u->recipients = recipients;
	u->since_usec = now - age_usec; /* may be before this clock began: it wraps */
}
