/* The senders table is written like aliases, from the user to what it may use:
 *
 *	alice: sales@example.org, @shop.example
 *
 * "@domain" is every address of that domain. Who reads mail for an address may answer as it: so an
 * alias that leads to a user is one of the user's addresses without being named. */
#include "directory/submit.h"
#include "mail/path.h"
#include "route/local.h"

/* Local parts compare without case, for those are ours (DESIGN: users). */
static bool same_address(struct span a, struct span b)
{
	return span_equal_nocase(a, b);
}

static bool is_own(const struct local *l, struct span login)
{
	struct buf mine = BUF_INIT(1024);

	buf_put(&mine, l->base);
	buf_char(&mine, '@');
	buf_str(&mine, l->domain->name);
	bool own = mine.error == 0 && same_address(buf_span(&mine), login);
	buf_reset(&mine);
	buf_put(&mine, buf_span(&l->name));
	buf_char(&mine, '@');
	buf_str(&mine, l->domain->name);
	own |= mine.error == 0 && same_address(buf_span(&mine), login);
	buf_done(&mine);
	return own;
}

static bool leads_to(
	const struct route *r, struct span address, struct span login, struct arena *arena)
{
	struct expand_ask ask = {.address = address};
	struct expand_answer a;

	if (route_expand(r, &ask, arena, &a) < 0)
		return false;
	for (uint32_t i = 0; i < a.n_children; i++)
		if (same_address(a.children[i].address, login))
			return true;
	return false;
}

static bool is_given(const struct local *user, struct span address)
{
	const struct alias *row =
		user->tables->senders ? aliases_find(user->tables->senders, buf_span(&user->name))
				      : NULL;

	for (uint32_t i = 0; row && i < row->n_targets; i++) {
		struct span t = row->targets[i];
		size_t at = address.len > t.len ? address.len - t.len : 0;
		if (same_address(t, address))
			return true;
		if (t.len && t.ptr[0] == '@' && same_address(t, span_from(address, at)))
			return true;
	}
	return false;
}

enum submit_status submit_may_send(
	const struct route *r, struct span login, struct span address, struct arena *arena)
{
	struct path user_path, path;
	struct local user, l;
	bool may = false, doubt;

	if (mailbox_parse(login, true, false, &user_path) < 0 || !local_find(r, &user_path, &user))
		return SUBMIT_NOT_YOURS;
	doubt = user.tables->senders_unreadable;
	may = is_given(&user, address);
	if (!may && mailbox_parse(address, true, false, &path) == 0 && local_find(r, &path, &l)) {
		may = is_own(&l, login);
		if (!may && local_alias(&l))
			may = leads_to(r, address, login, arena);
		doubt |= local_in_doubt(&l);
		local_done(&l);
	}
	local_done(&user);
	return may ? SUBMIT_OK : doubt ? SUBMIT_UNKNOWN : SUBMIT_NOT_YOURS;
}

struct user_limits submit_limits(const struct logins *l, const struct config *c, struct span login)
{
	struct buf canonical = BUF_INIT(2 * LOGIN_MAX);
	struct user_limits own = USER_LIMITS_NONE;
	struct span rest;

	if (logins_find(l, login, &canonical, &rest) == LOGIN_FOUND)
		own = credentials_limits(rest);
	buf_done(&canonical);
	if (own.message_size == LIMIT_UNSET)
		own.message_size = c->auth.message_size;
	if (own.recipients == LIMIT_UNSET)
		own.recipients = c->auth.recipients;
	if (own.messages_per_hour == LIMIT_UNSET)
		own.messages_per_hour = c->auth.messages_per_hour;
	if (own.recipients_per_hour == LIMIT_UNSET)
		own.recipients_per_hour = c->auth.recipients_per_hour;
	return own;
}

void submit_answer(const struct route *r, const struct logins *l, struct quota *q,
	const struct submit *s, uint64_t now, struct arena *arena, struct submit_answer *ret)
{
	const struct user_limits own = submit_limits(l, r->config, s->login);
	const struct quota_limits limits = {own.messages_per_hour, own.recipients_per_hour};
	struct submit_answer a = {.token = s->token, .status = SUBMIT_OK};
	struct quota_left left;

	for (uint32_t i = 0; a.status == SUBMIT_OK && i < s->n_addresses; i++) {
		a.status = submit_may_send(r, s->login, s->addresses[i], arena);
		a.which = i;
	}
	if (a.status == SUBMIT_OK && s->kind == SUBMIT_CHARGE &&
		quota_charge(q, s->login, &limits, s->recipients, now) < 0)
		a.status = SUBMIT_OVER_QUOTA;
	quota_left(q, s->login, &limits, now, &left);
	a.messages_left = left.messages;
	a.recipients_left = left.recipients;
	a.message_size = own.message_size;
	a.recipients = own.recipients;
	*ret = a;
}
