/* The table of extensions: what EHLO offers, to whom, and which parameters come with it. An
 * extension that is not offered to a client is not known to it: its parameters are 555.
 *
 *   PIPELINING           RFC 2920: nothing to do, replies leave when the input is drained
 *   SIZE n               RFC 1870
 *   8BITMIME             RFC 6152
 *   CHUNKING             RFC 3030, verb_bdat.c
 *   BINARYMIME           RFC 3030 3
 *   ENHANCEDSTATUSCODES  RFC 2034
 *   SMTPUTF8             RFC 6531
 *   DSN                  RFC 3461
 *   LIMITS               RFC 9422
 *   DELIVERBY            RFC 2852
 *   MT-PRIORITY          RFC 6710
 *   FUTURERELEASE        RFC 4865, to submitters only
 *   AUTH m m             RFC 4954 (verb_auth.c, login.c), on submission listeners, behind TLS
 *   REQUIRETLS           RFC 8689, inside TLS only
 *   VRFY, EXPN           RFC 5321 3.5.2, where a domain's configuration tells something
 *   ETRN                 RFC 1985, where a domain is configured for it
 *   XCLIENT, XFORWARD    Postfix's README documents, to named networks only
 *   PRDR                 draft-hall-prdr; LMTP has its own way to say the same
 *   HELP                 RFC 5321 4.1.1.8
 *
 * Parameters belong to EHLO (RFC 5321 4.1.1.11); but clients that said HELO and send SIZE= or BODY=
 * exist and mean it, so of these two only the meaning counts, not the greeting. */
#include "session/extension.h"
#include "session/encryption.h"
#include "mail/date.h"
#include "net/tls.h"
#include "session/login.h"
#include "session/parameter.h"
#include "session/proxied.h"

#include <inttypes.h>

/* ---- to whom ---- */

static bool to_submitters(const struct session *s)
{
	bool submitter = s->origin.local || s->origin.role == LISTENER_SUBMISSION;
	return submitter && s->config->queue.future_release > 0;
}

static bool to_smtp(const struct session *s)
{
	return s->origin.role != LISTENER_LMTP;
}

/* RFC 8689 2: to whom it came in clear text, nothing about TLS can be promised. */
static bool over_tls(const struct session *s)
{
	return stream_tls(s->io) != NULL;
}

static bool with_vrfy(const struct session *s)
{
	for (size_t i = 0; i < s->config->n_domains; i++)
		if (s->config->domains[i].vrfy)
			return true;
	return false;
}

static bool with_expn(const struct session *s)
{
	for (size_t i = 0; i < s->config->n_domains; i++)
		if (s->config->domains[i].expn)
			return true;
	return false;
}

static bool with_etrn(const struct session *s)
{
	return to_smtp(s) && config_etrn_somewhere(s->config);
}

/* ---- values behind the keyword ---- */

static void value_size(const struct session *s, struct buf *out)
{
	buf_char(out, ' ');
	buf_u64(out, s->config->limits.message_size);
}

static void limit(struct buf *out, const char *name, uint64_t most)
{
	buf_str(out, name);
	buf_u64(out, most);
}

/* RFC 9422 4: what is not limited is not named. */
static void value_limits(const struct session *s, struct buf *out)
{
	const struct config *c = s->config;

	limit(out, " RCPTMAX=", c->limits.recipients);
	if (c->limits.transactions > 0)
		limit(out, " MAILMAX=", c->limits.transactions);
	if (c->limits.recipient_domains > 0)
		limit(out, " RCPTDOMAINMAX=", c->limits.recipient_domains);
}

/* RFC 4865 3: the longest interval in seconds, and the same as a date. */
static void value_future(const struct session *s, struct buf *out)
{
	uint64_t most = s->config->queue.future_release;
	uint64_t whole = (loop_wall_usec() + most) / USEC_PER_SEC * USEC_PER_SEC;
	struct buf date = BUF_INIT(64);

	date_format_iso(whole, &date);
	/* "2026-11-22T03:26:43.000Z": RFC 4865 3 has no fractions. */
	buf_printf(out, " %" PRIu64 " %.*sZ", most / USEC_PER_SEC,
		SPAN_FMT(span_head(buf_span(&date), 19)));
	buf_done(&date);
}

/* RFC 3207 4.2: not once TLS is active. */
static bool to_plain(const struct session *s)
{
	return s->origin.tls == TLS_STARTTLS && encryption_is_possible(s);
}

/* ---- the tables ---- */

enum extension_name {
	EXT_PIPELINING,
	EXT_SIZE,
	EXT_8BITMIME,
	EXT_CHUNKING,
	EXT_BINARYMIME,
	EXT_ENHANCED,
	EXT_SMTPUTF8,
	EXT_DSN,
	EXT_LIMITS,
	EXT_DELIVERBY,
	EXT_PRIORITY,
	EXT_FUTURE,
	EXT_STARTTLS,
	EXT_AUTH,
	EXT_REQUIRETLS,
	EXT_PRDR,
	EXT_VRFY,
	EXT_EXPN,
	EXT_ETRN,
	EXT_XCLIENT,
	EXT_XFORWARD,
	EXT_HELP,
};
struct extension {
	const char *keyword;
	void (*value)(const struct session *s, struct buf *out); /* behind the keyword, or NULL */
	bool (*offered)(const struct session *s);		 /* NULL: to all */
};
static const struct extension extensions[] = {
	[EXT_PIPELINING] = {"PIPELINING", NULL, NULL},
	[EXT_SIZE] = {"SIZE", value_size, NULL},
	[EXT_8BITMIME] = {"8BITMIME", NULL, NULL},
	[EXT_CHUNKING] = {"CHUNKING", NULL, NULL},
	[EXT_BINARYMIME] = {"BINARYMIME", NULL, NULL},
	[EXT_ENHANCED] = {"ENHANCEDSTATUSCODES", NULL, NULL},
	[EXT_SMTPUTF8] = {"SMTPUTF8", NULL, NULL},
	[EXT_DSN] = {"DSN", NULL, NULL},
	[EXT_LIMITS] = {"LIMITS", value_limits, NULL},
	[EXT_DELIVERBY] = {"DELIVERBY", NULL, NULL},
	[EXT_PRIORITY] = {"MT-PRIORITY", NULL, NULL},
	[EXT_FUTURE] = {"FUTURERELEASE", value_future, to_submitters},
	[EXT_STARTTLS] = {"STARTTLS", NULL, to_plain},
	[EXT_AUTH] = {"AUTH", login_line, login_is_offered},
	[EXT_REQUIRETLS] = {"REQUIRETLS", NULL, over_tls},
	[EXT_PRDR] = {"PRDR", NULL, to_smtp},
	[EXT_VRFY] = {"VRFY", NULL, with_vrfy},
	[EXT_EXPN] = {"EXPN", NULL, with_expn},
	[EXT_ETRN] = {"ETRN", NULL, with_etrn},
	[EXT_XCLIENT] = {"XCLIENT NAME ADDR PORT PROTO HELO LOGIN DESTADDR DESTPORT", NULL,
		session_may_xclient},
	[EXT_XFORWARD] = {"XFORWARD NAME ADDR PORT PROTO HELO IDENT SOURCE", NULL,
		session_may_xforward},
	[EXT_HELP] = {"HELP", NULL, NULL},
};

enum parameter_form { WITH_VALUE, WITHOUT_VALUE };
struct parameter {
	enum verb verb;
	const char *keyword;
	enum extension_name extension;
	enum parameter_form form;
	struct verdict (*apply)(struct session *s, struct span value);
};
static const struct parameter parameters[] = {
	{VERB_MAIL, "SIZE", EXT_SIZE, WITH_VALUE, param_size},
	{VERB_MAIL, "BODY", EXT_8BITMIME, WITH_VALUE, param_body},
	{VERB_MAIL, "SMTPUTF8", EXT_SMTPUTF8, WITHOUT_VALUE, param_smtputf8},
	{VERB_MAIL, "RET", EXT_DSN, WITH_VALUE, param_ret},
	{VERB_MAIL, "ENVID", EXT_DSN, WITH_VALUE, param_envid},
	{VERB_MAIL, "BY", EXT_DELIVERBY, WITH_VALUE, param_by},
	{VERB_MAIL, "MT-PRIORITY", EXT_PRIORITY, WITH_VALUE, param_mt_priority},
	{VERB_MAIL, "HOLDFOR", EXT_FUTURE, WITH_VALUE, param_holdfor},
	{VERB_MAIL, "HOLDUNTIL", EXT_FUTURE, WITH_VALUE, param_holduntil},
	{VERB_MAIL, "REQUIRETLS", EXT_REQUIRETLS, WITHOUT_VALUE, param_requiretls},
	{VERB_MAIL, "PRDR", EXT_PRDR, WITHOUT_VALUE, param_prdr},
	{VERB_MAIL, "AUTH", EXT_AUTH, WITH_VALUE, login_param},
	{VERB_RCPT, "NOTIFY", EXT_DSN, WITH_VALUE, param_notify},
	{VERB_RCPT, "ORCPT", EXT_DSN, WITH_VALUE, param_orcpt},
};

static bool is_offered(const struct session *s, enum extension_name e)
{
	if (!s->extended && e != EXT_SIZE && e != EXT_8BITMIME)
		return false;
	return !extensions[e].offered || extensions[e].offered(s);
}

void extension_lines(const struct session *s, struct buf *out)
{
	for (size_t i = 0; i < ARRAY_LEN(extensions); i++) {
		if (!is_offered(s, (enum extension_name)i))
			continue;
		buf_char(out, '\n');
		buf_str(out, extensions[i].keyword);
		if (extensions[i].value)
			extensions[i].value(s, out);
	}
}

static struct verdict apply(struct session *s, enum verb verb, const struct esmtp_param *p)
{
	for (size_t i = 0; i < ARRAY_LEN(parameters); i++) {
		const struct parameter *known = &parameters[i];
		if (known->verb != verb ||
			!span_equal_nocase(p->keyword, span_str(known->keyword)) ||
			!is_offered(s, known->extension))
			continue;
		if (known->form == WITH_VALUE && !p->value.ptr)
			return PARAM_BAD("The parameter needs a value");
		if (known->form == WITHOUT_VALUE && p->value.ptr)
			return PARAM_BAD("The parameter takes no value");
		return known->apply(s, p->value);
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
	return PARAM_OK;
}
