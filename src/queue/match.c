/* Which messages and recipients an operator's request means. Filters that are given must all match;
 * those about recipients (recipient, domain, site, state) choose recipients, and a message when one
 * of them matches. A command without ids, filters or --all means nothing, a list everything. */
#include "queue/queue_internal.h"

static const char *const state_names[RCPT_STATES] = {
	[RCPT_EXPANDING] = "expanding",
	[RCPT_ROUTING] = "ready",
	[RCPT_ROUTED] = "ready",
	[RCPT_READY] = "ready",
	[RCPT_IN_FLIGHT] = "in-flight",
	[RCPT_DEFERRED] = "deferred",
	[RCPT_HELD] = "held",
	[RCPT_FAILED] = "failed",
	[RCPT_SUCCEEDED] = "delivered",
	[RCPT_DELIVERED] = "delivered",
	[RCPT_REPORTED] = "failed",
	[RCPT_DROPPED] = "dropped",
	[RCPT_MERGED] = "expanded",
};

struct span queue_state_name(const struct rcpt *r)
{
	/* What is ready at a site that is down waits like what is deferred. */
	if (r->state == RCPT_READY && r->hop->site->down)
		return SPAN_LIT("deferred");
	return span_str(state_names[r->state]);
}

static struct span domain_of(struct span address)
{
	size_t at = address.len;

	while (at > 0 && address.ptr[at - 1] != '@')
		at--;
	return at ? span_from(address, at) : SPAN_NULL;
}

/* "*@domain" or the whole address. */
static bool address_matches(struct span pattern, struct span address)
{
	if (pattern.len > 2 && pattern.ptr[0] == '*' && pattern.ptr[1] == '@')
		return span_equal_nocase(domain_of(address), span_from(pattern, 2));
	if (span_equal(pattern, SPAN_LIT("<>")))
		pattern = SPAN_NULL;
	return span_equal_nocase(pattern, address);
}

bool queue_request_is_open(const struct admin_request *r)
{
	return r->all || r->n_ids || r->sender.len || r->recipient.len || r->domain.len ||
	       r->site.len || r->state.len;
}

static bool domain_matches(const struct admin_request *a, struct span domain)
{
	size_t more = domain.len - a->domain.len;

	if (!a->below || domain.len <= a->domain.len)
		return span_equal_nocase(domain, a->domain);
	return domain.ptr[more - 1] == '.' && span_equal_nocase(span_from(domain, more), a->domain);
}

bool queue_match_rcpt(const struct mail *m, const struct rcpt *r, const struct admin_request *a)
{
	if (a->recipient.len && !address_matches(a->recipient, rcpt_address(r)) &&
		!address_matches(a->recipient, rcpt_envelope(m, r)))
		return false;
	if (a->domain.len && !domain_matches(a, domain_of(rcpt_address(r))))
		return false;
	if (a->site.len && (!r->hop || !span_equal(a->site, span_make(r->hop->site->key,
								    r->hop->site->key_len))))
		return false;
	return !a->state.len || span_equal(a->state, queue_state_name(r));
}

bool queue_match_mail(const struct mail *m, const struct admin_request *a)
{
	if (m->flags & (MAIL_DONE | MAIL_GHOST))
		return false;
	if (a->sender.len && !address_matches(a->sender, mail_reverse_path(m)))
		return false;
	for (uint32_t i = 0; i < m->n_rcpts; i++) {
		if (rcpt_is_live(&m->rcpts[i]) && queue_match_rcpt(m, &m->rcpts[i], a))
			return true;
	}
	return false;
}

struct mail *queue_request_next(
	struct queue *q, const struct admin_request *a, uint64_t *cursor, bool *ret_over)
{
	uint64_t id = 0;
	struct mail *m;

	if (a->n_ids) {
		*ret_over = *cursor >= a->n_ids;
		return *ret_over ? NULL : table_get(&q->mails, a->ids[(*cursor)++]);
	}
	m = table_from(&q->mails, *cursor, &id);
	*ret_over = !m;
	*cursor = m ? id + 1 : *cursor;
	return m;
}
