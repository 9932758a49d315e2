/* Fields are separated by ":"; the first is the hash. Unknown ones are ignored (a newer program
 * may have written them), never the whole line: the user still receives mail. */
#include "sasl/credentials.h"
#include "sasl/seal.h"

#include <inttypes.h>

static bool parse_app(struct span field, struct app_password *ret)
{
	struct app_password a = {.text = field};

	if (!span_starts_nocase(field, SPAN_LIT("{APP}")))
		return false;
	struct span rest = span_from(field, 5);
	a.label = span_head(rest, span_index(rest, ','));
	rest = span_from(rest, a.label.len + 1);
	struct span created = span_head(rest, span_index(rest, ','));
	a.fingerprint = span_from(rest, created.len + 1);
	if (!app_label_ok(a.label) || a.fingerprint.len == 0 ||
		span_to_u64(created, UINT32_MAX, &a.created) < 0)
		return false;
	*ret = a;
	return true;
}

static const char limits_mark[] = "{LIMITS}";
static const char *const limit_names[] = {
	"message_size", "recipients", "messages_per_hour", "recipients_per_hour"};

static uint64_t *limit_at(struct user_limits *l, size_t i)
{
	uint64_t *const fields[] = {
		&l->message_size, &l->recipients, &l->messages_per_hour, &l->recipients_per_hour};
	return fields[i];
}

uint64_t *user_limit(struct user_limits *l, struct span name)
{
	for (size_t i = 0; i < ARRAY_LEN(limit_names); i++)
		if (span_equal_nocase(name, span_str(limit_names[i])))
			return limit_at(l, i);
	return NULL;
}

void user_limits_format(const struct user_limits *l, struct buf *out)
{
	struct user_limits copy = *l;
	bool any = false;

	for (size_t i = 0; i < ARRAY_LEN(limit_names); i++) {
		uint64_t value = *limit_at(&copy, i);
		if (value == LIMIT_UNSET)
			continue;
		buf_printf(out, "%s%s=%" PRIu64, any ? "," : limits_mark, limit_names[i], value);
		any = true;
	}
}

/* What cannot be read is not set; the rest counts. */
static bool parse_limits(struct span field, struct user_limits *ret)
{
	bool whole = true;

	if (!span_starts_nocase(field, span_str(limits_mark)))
		return false;
	for (struct span rest = span_from(field, sizeof(limits_mark) - 1); rest.len;) {
		struct span one = span_head(rest, span_index(rest, ','));
		struct span name = span_head(one, span_index(one, '='));
		uint64_t *limit = user_limit(ret, name);
		rest = span_from(rest, one.len + 1);
		if (!limit || span_to_octets(span_from(one, name.len + 1), limit) < 0)
			whole = false;
	}
	return whole;
}

struct user_limits credentials_limits(struct span rest)
{
	struct user_limits l = USER_LIMITS_NONE;

	while (rest.len) {
		struct span field = span_head(rest, span_index(rest, ':'));
		(void)parse_limits(field, &l);
		rest = span_from(rest, field.len + 1);
	}
	return l;
}

static void parse_field(struct span field, struct credentials *c)
{
	struct scram_keys keys;
	struct app_password app;
	enum scram_hash h;

	if (scram_keys_parse(field, &h, &keys) == 0) {
		c->scram[h] = keys;
		c->has_scram[h] = true;
	} else if (parse_app(field, &app) && c->n_apps < APP_PASSWORDS_MAX) {
		c->apps[c->n_apps++] = app;
	} else if (span_starts_nocase(field, SPAN_LIT("{CERT}")) &&
		   c->n_certificates < CERTIFICATES_MAX) {
		c->certificates[c->n_certificates++] = span_from(field, 6);
	} else if (parse_limits(field, &c->limits)) {
		/* taken */
	} else if (seal_is_sealed(field)) {
		c->sealed = field;
	} else if (field.len) {
		c->odd = true;
	}
}

void credentials_parse(struct span rest, struct credentials *ret)
{
	*ret = (struct credentials){
		.hash = span_head(rest, span_index(rest, ':')), .limits = USER_LIMITS_NONE};
	rest = span_from(rest, ret->hash.len + 1);
	while (rest.len) {
		struct span field = span_head(rest, span_index(rest, ':'));
		parse_field(field, ret);
		rest = span_from(rest, field.len + 1);
	}
}

bool credentials_can_log_in(const struct credentials *c)
{
	return c->hash.len > 0 || c->n_apps > 0 || c->n_certificates > 0;
}

const struct app_password *credentials_app(const struct credentials *c, struct span password)
{
	const struct app_password *found = NULL;

	/* All are looked at: the time does not tell which. */
	for (size_t i = 0; i < c->n_apps; i++)
		if (app_password_matches(password, c->apps[i].fingerprint))
			found = &c->apps[i];
	return found;
}
