/* user limit: how much one user may hand in, where that is not what auth {} says for all. Kept as a
 * field behind the user's name, in either source; "default" takes a limit away again. */
#include "cli/user_command.h"
#include "cli/user_store.h"

#include <stdio.h>

static int set_one(struct user_limits *l, struct span word)
{
	struct span name = span_head(word, span_index(word, '='));
	struct span value = span_from(word, name.len + 1);
	uint64_t *limit = name.len < word.len ? user_limit(l, name) : NULL;

	if (!limit) {
		cli_error("%.*s: use message_size=, recipients=, messages_per_hour= or "
			  "recipients_per_hour=",
			SPAN_FMT(word));
		return EX_USAGE_;
	}
	if (span_equal(value, SPAN_LIT("default"))) {
		*limit = LIMIT_UNSET;
		return 0;
	}
	if (span_to_octets(value, limit) < 0 || *limit == LIMIT_UNSET) {
		cli_error("%.*s: use a number, with K, M or G behind it for thousands, or default",
			SPAN_FMT(word));
		return EX_USAGE_;
	}
	return 0;
}

static void print_one(const char *name, uint64_t own, uint64_t all)
{
	uint64_t value = own == LIMIT_UNSET ? all : own;

	(void)printf("%s=", name);
	if (value == 0)
		(void)printf("none");
	else
		(void)printf("%llu", (unsigned long long)value);
	(void)printf("%s\n", own == LIMIT_UNSET ? " (default)" : "");
}

static void print(const struct config *c, const struct user_limits *l)
{
	print_one("message_size", l->message_size, c->auth.message_size);
	print_one("recipients", l->recipients, c->auth.recipients);
	print_one("messages_per_hour", l->messages_per_hour, c->auth.messages_per_hour);
	print_one("recipients_per_hour", l->recipients_per_hour, c->auth.recipients_per_hour);
}

/* What stands behind the name, with other limits. */
static void replace(struct span old, const struct user_limits *l, struct buf *out)
{
	struct buf text = BUF_INIT(512);

	user_limits_format(l, &text);
	for (bool first = true; old.len || first; first = false) {
		struct span field = span_head(old, span_index(old, ':'));
		old = span_from(old, field.len + 1);
		if (!first && span_starts_nocase(field, SPAN_LIT("{LIMITS}")))
			continue;
		if (!first)
			buf_char(out, ':');
		buf_put(out, field);
	}
	if (text.len) {
		buf_char(out, ':');
		buf_put(out, buf_span(&text));
	}
	buf_done(&text);
}

int user_limit_command(struct user_command *u)
{
	struct buf rest = BUF_INIT(REST_MAX), changed = BUF_INIT(REST_MAX);
	int status = 0;

	if (!user_find_rest(u, &rest, &status))
		goto out;
	struct user_limits l = credentials_limits(buf_span(&rest));
	status = 0;
	for (unsigned i = 0; status == 0 && i < u->n_words; i++)
		status = set_one(&l, span_str(u->words[i]));
	if (status == 0 && u->n_words) {
		replace(buf_span(&rest), &l, &changed);
		status = user_edited(u, user_store_edit(u->domain, USERS_CHANGE,
						buf_span(&u->local), buf_span(&changed)));
	}
	if (status == 0)
		print(u->config, &l);
out:
	buf_done(&rest);
	buf_done(&changed);
	return status;
}
