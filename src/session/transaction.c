/* RFC 5321 3.3 and 4.1.4: a transaction begins with MAIL and ends with the reply to the data, with
 * RSET, EHLO, HELO or QUIT; nothing of it outlives that. The arena is made with the session's first
 * transaction and kept, one block of it, for the next.
 *
 * A recipient named twice is one recipient (RFC 5321 does not say; two copies in one mailbox are
 * what nobody wants). */
#include "session/transaction.h"
#include "base/map.h"
#include "mail/idna.h"
#include "session/limits.h"

#define RCPTS_FIRST 4u
#define RCPTS_FEW   16u /* up to here a list is searched as fast as a map */

void transaction_init(struct transaction *t, uint32_t max_rcpts)
{
	struct arena *arena = t->arena;

	if (t->max_rcpts != max_rcpts) { /* its ceiling follows from it */
		arena_free(arena);
		arena = NULL;
	}
	*t = (struct transaction){.arena = arena, .max_rcpts = max_rcpts};
}

void transaction_done(struct transaction *t)
{
	map_free(TAKE(t->seen));
	arena_free(TAKE(t->arena));
}

void transaction_reset(struct transaction *t)
{
	struct arena *arena = t->arena;
	uint32_t max_rcpts = t->max_rcpts;

	map_free(TAKE(t->seen)); /* its keys live in the arena */
	if (arena)
		arena_reset(arena);
	*t = (struct transaction){.arena = arena, .max_rcpts = max_rcpts};
}

struct span address_domain(struct span canonical)
{
	size_t i = canonical.len;
	while (i > 0 && canonical.ptr[i - 1] != '@')
		i--;
	return span_from(canonical, i);
}

int transaction_canonical(
	struct transaction *t, const struct path *p, struct span domain, struct span *ret_canonical)
{
	struct buf b = BUF_INIT(PATH_MAX_SMTP * 2), ascii = BUF_INIT(DOMAIN_MAX + 1);
	struct path copy = *p;
	int r = 0;

	if (domain.ptr) {
		copy.domain = domain;
		copy.domain_kind = DOMAIN_NAME;
	} else if (!text_is_ascii(p->domain)) {
		r = idna_to_ascii(p->domain, &ascii);
		copy.domain = buf_span(&ascii);
	}
	if (r == 0) {
		path_canonical(&copy, &b);
		r = b.error;
	}
	struct span kept = r == 0 ? arena_span(t->arena, buf_span(&b)) : SPAN_NULL;
	buf_done(&b);
	buf_done(&ascii);
	if (r == -EMSGSIZE) /* an A-label is longer than its U-label */
		return -EINVAL;
	if (r < 0)
		return r;
	if (!kept.ptr)
		return -ENOMEM;
	*ret_canonical = kept;
	return 0;
}

int transaction_prepare(struct transaction *t)
{
	if (!t->arena)
		t->arena = arena_new(TRANSACTION_OCTETS + (size_t)t->max_rcpts * RECIPIENT_OCTETS);
	return t->arena ? 0 : -ENOMEM;
}

int transaction_begin(struct transaction *t, const struct path *reverse_path, uint64_t now_usec)
{
	int r = transaction_prepare(t);
	if (r == 0)
		r = transaction_canonical(t, reverse_path, SPAN_NULL, &t->reverse_path);
	if (r < 0)
		return r;
	t->began_usec = now_usec;
	t->open = true;
	return 0;
}

bool transaction_has_domain(const struct transaction *t, struct span domain)
{
	/* Most lists are sorted, or of one domain: the newest first. */
	for (uint32_t i = t->n_rcpts; i > 0; i--)
		if (span_equal(address_domain(t->rcpts[i - 1].address), domain))
			return true;
	return false;
}

bool transaction_has(const struct transaction *t, struct span canonical)
{
	if (t->seen)
		return map_get(t->seen, canonical) != NULL;
	for (uint32_t i = 0; i < t->n_rcpts; i++)
		if (span_equal(t->rcpts[i].address, canonical))
			return true;
	return false;
}

static int grow(struct transaction *t)
{
	uint32_t cap = t->cap_rcpts ? t->cap_rcpts * 2 : RCPTS_FIRST;
	struct message_rcpt *rcpts = arena_alloc(t->arena, cap * sizeof(*rcpts));

	if (!rcpts)
		return -ENOMEM;
	if (t->n_rcpts > 0)
		memcpy(rcpts, t->rcpts, t->n_rcpts * sizeof(*rcpts));
	t->rcpts = rcpts;
	t->cap_rcpts = cap;
	return 0;
}

static int remember(struct transaction *t, struct span canonical)
{
	static char present;

	if (!t->seen && t->n_rcpts < RCPTS_FEW)
		return 0;
	if (t->seen)
		return map_put(t->seen, canonical, &present);
	t->seen = map_new(0);
	int r = t->seen ? map_put(t->seen, canonical, &present) : -ENOMEM;
	for (uint32_t i = 0; r == 0 && i < t->n_rcpts; i++)
		r = map_put(t->seen, t->rcpts[i].address, &present);
	if (r < 0) /* half a map would lie: the list is searched until the next try */
		map_free(TAKE(t->seen));
	return r;
}

int transaction_add(struct transaction *t, struct span canonical, struct span original)
{
	struct message_rcpt rcpt = {
		.address = canonical,
		.notify = t->next.notify,
		.orcpt = t->next.orcpt,
	};

	if (t->n_rcpts == t->cap_rcpts && grow(t) < 0)
		return -ENOMEM;
	if (!span_equal(canonical, original)) {
		rcpt.original = arena_span(t->arena, original);
		if (!rcpt.original.ptr)
			return -ENOMEM;
	}
	if (remember(t, canonical) < 0)
		return -ENOMEM;
	t->rcpts[t->n_rcpts++] = rcpt;
	return 0;
}
