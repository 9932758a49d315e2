/* Targets: where mail goes. One spelling for `deliver` and `via`, parsed once, so that nobody
 * later takes a target apart again.
 *
 *	maildir:TEMPLATE   smtp://HOST[:PORT]   smtps://HOST[:PORT]   lmtp://HOST[:PORT]
 *	lmtp:unix:PATH     pipe:COMMAND         mx     discard:       hold
 *
 * "smtp:HOST:PORT" without the slashes is the same. Templates know {domain} and {local} ({data} is
 * replaced when the configuration is loaded); relative paths are made absolute there too. */
#include "config/config.h"
#include "config/name.h"
#include <stdlib.h>

static const struct {
	const char *scheme;
	enum target_kind kind;
	uint16_t port; /* the default; 0: not a host */
} schemes[] = {
	{"maildir", TARGET_MAILDIR, 0},
	{"lmtp", TARGET_LMTP, 24},
	{"smtp", TARGET_SMTP, 25},
	{"smtps", TARGET_SMTPS, 465},
	{"pipe", TARGET_PIPE, 0},
	{"mx", TARGET_MX, 0},
	{"discard", TARGET_DISCARD, 0},
	{"hold", TARGET_HOLD, 0},
};

static int refuse(const char **ret_why, const char *why)
{
	*ret_why = why;
	return -EINVAL;
}

static int copy_span(struct span s, char **ret_copy)
{
	*ret_copy = strndup(s.ptr, s.len);
	return *ret_copy ? 0 : -ENOMEM;
}

/* The port after the host, or the default. */
static int parse_port(struct span text, uint16_t *port, const char **ret_why)
{
	uint64_t number;

	if (text.len == 0)
		return 0;
	if (text.ptr[0] != ':')
		return refuse(ret_why, "what follows ] must be a port: write [ADDRESS]:PORT");
	if (span_to_u64(span_from(text, 1), UINT16_MAX, &number) < 0 || number == 0)
		return refuse(
			ret_why, "the port must be a number from 1 to 65535: write HOST:PORT");
	*port = (uint16_t)number;
	return 0;
}

static int parse_host(struct span rest, struct target *t, const char **ret_why)
{
	struct span host;

	if (span_starts_nocase(rest, SPAN_LIT("//")))
		rest = span_from(rest, 2);
	if (rest.len > 0 && rest.ptr[rest.len - 1] == '/')
		rest.len--;
	if (rest.len > 0 && rest.ptr[0] == '[') {
		size_t close = span_index(rest, ']');
		host = span_from(span_head(rest, close), 1);
		if (close == rest.len || !name_is_literal(host))
			return refuse(ret_why, "between [ and ] must stand an address: write "
					       "[2001:db8::1]:25, or a name without brackets");
		rest = span_from(rest, close + 1);
	} else {
		host = span_head(rest, span_index(rest, ':'));
		rest = span_from(rest, host.len);
		if (memchr(rest.len ? rest.ptr + 1 : "", ':', rest.len ? rest.len - 1 : 0))
			return refuse(ret_why, "an IPv6 address needs brackets: write "
					       "[2001:db8::1]:25");
		if (host.len == 0)
			return refuse(ret_why, "the host is missing: write smtp://HOST:PORT");
		if (!name_is_literal(host) && name_problem(host))
			return refuse(ret_why, "the host is no name and no address: write "
					       "smtp://HOST:PORT");
	}
	int r = parse_port(rest, &t->port, ret_why);
	return r < 0 ? r : copy_span(host, &t->host);
}

/* Braces of a template: only known placeholders, so that a typo is no folder name. */
static const char *template_problem(struct span text)
{
	while (text.len > 0) {
		size_t open = span_index(text, '{'), close = span_index(text, '}');
		if (open == text.len && close == text.len)
			return NULL;
		if (open == text.len || close == text.len || close < open)
			return "a brace has no partner: write {domain} or {local}";
		struct span word = span_from(span_head(text, close), open + 1);
		if (!span_equal(word, SPAN_LIT("domain")) && !span_equal(word, SPAN_LIT("local")) &&
			!span_equal(word, SPAN_LIT("data")))
			return "unknown placeholder: {domain}, {local} and {data} are known";
		text = span_from(text, close + 1);
	}
	return NULL;
}

static int parse_path(struct span rest, struct target *t, const char **ret_why)
{
	if (t->kind == TARGET_LMTP)
		rest = span_from(rest, 5); /* unix: */
	if (rest.len == 0 && t->kind == TARGET_PIPE)
		return refuse(ret_why, "the command is missing: write pipe:/PATH/TO/COMMAND");
	if (rest.len == 0 && t->kind == TARGET_LMTP)
		return refuse(ret_why, "the path is missing: write lmtp:unix:/PATH");
	if (rest.len == 0)
		return refuse(
			ret_why, "the path is missing: write maildir:/var/mail/{domain}/{local}");
	const char *why = t->kind == TARGET_MAILDIR ? template_problem(rest) : NULL;
	return why ? refuse(ret_why, why) : copy_span(rest, &t->path);
}

static int parse_scheme(struct span text, struct target *t, const char **ret_why)
{
	struct span scheme = span_head(text, span_index(text, ':'));
	struct span rest = span_from(text, scheme.len + 1);

	for (size_t i = 0; i < ARRAY_LEN(schemes); i++)
		if (span_equal_nocase(scheme, span_str(schemes[i].scheme))) {
			t->kind = schemes[i].kind;
			t->port = schemes[i].port;
		}
	switch (t->kind) {
	case TARGET_MX:
	case TARGET_DISCARD:
	case TARGET_HOLD:
		return rest.len == 0
			       ? 0
			       : refuse(ret_why, "it takes nothing after it: remove the rest");
	case TARGET_LMTP:
		if (!span_starts_nocase(rest, SPAN_LIT("unix:")))
			return parse_host(rest, t, ret_why);
		t->port = 0;
		return parse_path(rest, t, ret_why);
	case TARGET_SMTP:
	case TARGET_SMTPS:
		return parse_host(rest, t, ret_why);
	case TARGET_MAILDIR:
	case TARGET_PIPE:
		return parse_path(rest, t, ret_why);
	case TARGET_NONE:
		break;
	}
	return refuse(ret_why, "unknown kind: write maildir:PATH, smtp://HOST:PORT, "
			       "smtps://HOST:PORT, lmtp:unix:PATH, lmtp://HOST:PORT, pipe:COMMAND, "
			       "mx, discard: or hold");
}

int target_parse(const char *text, struct target *ret_target, const char **ret_why)
{
	struct target t = {.kind = TARGET_NONE};

	*ret_why = "no memory";
	int r = parse_scheme(span_str(text), &t, ret_why);
	if (r >= 0)
		r = copy_span(span_str(text), &t.text);
	if (r < 0) {
		target_done(&t);
		return r;
	}
	*ret_why = NULL;
	*ret_target = t;
	return 0;
}

void target_done(struct target *t)
{
	if (!t)
		return;
	free(t->host);
	free(t->path);
	free(t->text);
	*t = (struct target){.kind = TARGET_NONE};
}
