/* The table of extensions:
 *
 *   PIPELINING           RFC 2920: nothing to do, replies leave when the input is drained
 *   SIZE n               RFC 1870, MAIL's SIZE=
 *   8BITMIME             RFC 6152, MAIL's BODY=
 *   CHUNKING             RFC 3030, verb_bdat.c
 *   BINARYMIME           RFC 3030 3, MAIL's BODY=BINARYMIME
 *   ENHANCEDSTATUSCODES  RFC 2034
 *   HELP                 RFC 5321 4.1.1.8
 *
 * Parameters are taken only after EHLO (RFC 5321 4.1.1.11: none is valid before; but clients that
 * said HELO and send SIZE= exist and mean it, so only their meaning counts, not the greeting). */
#include "session/extension.h"
#include "checks/size.h"

#include <inttypes.h>

/* RFC 1870 3: at most 20 digits. What does not fit in 64 bits is too big in any case. */
static struct verdict param_size(struct session *s, struct span value)
{
	uint64_t octets = 0;

	int r = span_to_u64(value, UINT64_MAX, &octets);
	if (r == -ERANGE)
		octets = UINT64_MAX;
	else if (r < 0)
		return VERDICT(501, "5.5.4", "SIZE needs a number");
	struct verdict v = check_size(octets, s->config->limits.message_size);
	if (verdict_is_ok(v))
		s->tx.declared_size = octets;
	return v;
}

/* RFC 6152 2: 7BIT or 8BITMIME; RFC 3030 3: BINARYMIME. */
static struct verdict param_body(struct session *s, struct span value)
{
	if (span_equal_nocase(value, SPAN_LIT("7BIT")))
		s->tx.body = BODY_7BIT;
	else if (span_equal_nocase(value, SPAN_LIT("8BITMIME")))
		s->tx.body = BODY_8BITMIME;
	else if (span_equal_nocase(value, SPAN_LIT("BINARYMIME")))
		s->tx.body = BODY_BINARYMIME;
	else
		return VERDICT(501, "5.5.4", "BODY is 7BIT, 8BITMIME or BINARYMIME");
	return VERDICT(250, "2.1.0", "Ok");
}

static void value_size(const struct session *s, struct buf *out)
{
	buf_printf(out, " %" PRIu64, s->config->limits.message_size);
}

struct extension {
	const char *keyword;
	void (*value)(const struct session *s, struct buf *out); /* behind the keyword, or NULL */
};
static const struct extension extensions[] = {
	{"PIPELINING", NULL},
	{"SIZE", value_size},
	{"8BITMIME", NULL},
	{"CHUNKING", NULL},
	{"BINARYMIME", NULL},
	{"ENHANCEDSTATUSCODES", NULL},
	{"HELP", NULL},
};

struct parameter {
	enum verb verb;
	const char *keyword;
	struct verdict (*apply)(struct session *s, struct span value);
};
static const struct parameter parameters[] = {
	{VERB_MAIL, "SIZE", param_size},
	{VERB_MAIL, "BODY", param_body},
};

void extension_lines(const struct session *s, struct buf *out)
{
	for (size_t i = 0; i < ARRAY_LEN(extensions); i++) {
		buf_char(out, '\n');
		buf_str(out, extensions[i].keyword);
		if (extensions[i].value)
			extensions[i].value(s, out);
	}
}

static struct verdict apply(struct session *s, enum verb verb, const struct esmtp_param *p)
{
	for (size_t i = 0; i < ARRAY_LEN(parameters); i++) {
		if (parameters[i].verb != verb ||
			!span_equal_nocase(p->keyword, span_str(parameters[i].keyword)))
			continue;
		if (!p->value.ptr)
			return VERDICT(501, "5.5.4", "The parameter needs a value");
		return parameters[i].apply(s, p->value);
	}
	return VERDICT(555, "5.5.4", "Parameter not recognised");
}

struct verdict extension_params(struct session *s, const struct command *c)
{
	for (size_t i = 0; i < c->n_params; i++) {
		struct verdict v = apply(s, c->verb, &c->params[i]);
		if (!verdict_is_ok(v))
			return v;
	}
	return VERDICT(250, "2.1.0", "Ok");
}
