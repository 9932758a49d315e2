/* One SMTP command line into its parts, RFC 5321 4.1.1 and 4.1.1.11. Pure syntax: sequence and
 * policy are the session's, and so are unknown parameters (555 5.5.4, 4.1.1.11).
 *
 *   ehlo = "EHLO" SP ( Domain / address-literal ) CRLF
 *   mail = "MAIL FROM:" Reverse-path [SP Mail-parameters] CRLF
 *   rcpt = "RCPT TO:" Forward-path [SP Rcpt-parameters] CRLF
 *   data = "DATA" CRLF            rset = "RSET" CRLF           quit = "QUIT" CRLF
 *   vrfy = "VRFY" SP String CRLF  expn = "EXPN" SP String CRLF
 *   help = "HELP" [ SP String ] CRLF   noop = "NOOP" [ SP String ] CRLF
 *   bdat = "BDAT" SP chunk-size [ SP "LAST" ] CRLF                       ; RFC 3030 2
 *   Mail-parameters = esmtp-param *( SP esmtp-param )
 *   esmtp-param     = esmtp-keyword [ "=" esmtp-value ]
 *   esmtp-keyword   = ( ALPHA / DIGIT ) *( ALPHA / DIGIT / "-" )
 *   esmtp-value     = 1*( %d33-60 / %d62-126 )      ; =/ UTF8-non-ascii when utf8, RFC 6531 3.3
 *
 * More lenient than the grammar, because clients are: white space behind "FROM:" and "TO:", HTAB
 * where SP stands, white space at the end (4.1.1 asks for that), any text behind NOOP and HELP,
 * underscores in EHLO's name. Not lenient: addresses without <>, other control octets, 8-bit
 * octets without utf8, doubled parameters. */
#include "mail/command.h"
#include "mail/octet.h"

enum argument_rule { ARG_NONE, ARG_OPTIONAL, ARG_REQUIRED, ARG_HOST, ARG_PATH, ARG_CHUNK };

struct verb_rule {
	const char *name;
	enum argument_rule rule;
	bool utf8; /* RFC 6531 3.3, 3.7.4.2: may have non-ASCII octets */
};
static const struct verb_rule verb_rules[VERB_COUNT] = {
	[VERB_UNKNOWN] = {"unknown", ARG_OPTIONAL, false},
	[VERB_HELO] = {"HELO", ARG_HOST, false},
	[VERB_EHLO] = {"EHLO", ARG_HOST, false},
	[VERB_LHLO] = {"LHLO", ARG_HOST, false},
	[VERB_MAIL] = {"MAIL", ARG_PATH, true},
	[VERB_RCPT] = {"RCPT", ARG_PATH, true},
	[VERB_DATA] = {"DATA", ARG_NONE, false},
	[VERB_BDAT] = {"BDAT", ARG_CHUNK, false},
	[VERB_RSET] = {"RSET", ARG_NONE, false},
	[VERB_NOOP] = {"NOOP", ARG_OPTIONAL, false},
	[VERB_VRFY] = {"VRFY", ARG_REQUIRED, true},
	[VERB_EXPN] = {"EXPN", ARG_REQUIRED, true},
	[VERB_HELP] = {"HELP", ARG_OPTIONAL, false},
	[VERB_QUIT] = {"QUIT", ARG_NONE, false},
	[VERB_STARTTLS] = {"STARTTLS", ARG_NONE, false},
	[VERB_AUTH] = {"AUTH", ARG_REQUIRED, false},
	[VERB_ETRN] = {"ETRN", ARG_REQUIRED, false},
	[VERB_XCLIENT] = {"XCLIENT", ARG_REQUIRED, false},
	[VERB_XFORWARD] = {"XFORWARD", ARG_REQUIRED, false},
	[VERB_HTTP] = {"http", ARG_OPTIONAL, false},
};

const char *verb_name(enum verb v)
{
	assert(v < VERB_COUNT);
	return verb_rules[v].name;
}

static const struct verdict syntax_ok = {250, "2.0.0", "Ok"};

/* Octets up to the next white space of s, from i. */
static size_t word_end(struct span s, size_t i)
{
	while (i < s.len && !is_wsp(octet_at(s, i)))
		i++;
	return i;
}

static size_t skip_wsp(struct span s, size_t i)
{
	while (i < s.len && is_wsp(octet_at(s, i)))
		i++;
	return i;
}

static struct span trim_wsp(struct span s)
{
	size_t from = skip_wsp(s, 0), end = s.len;
	while (end > from && is_wsp(octet_at(s, end - 1)))
		end--;
	return span_from(span_head(s, end), from);
}

/* A request of HTTP in first position, or anything that is no verb of ours and ends in "HTTP/x":
 * a browser was made to talk to us, and what follows would be its choice of commands. */
static bool is_http(struct span word, struct span argument)
{
	static const char *const methods[] = {"GET", "POST", "HEAD", "PUT", "CONNECT", "OPTIONS",
		"DELETE", "PATCH", "TRACE", "PRI"};
	for (size_t i = 0; i < ARRAY_LEN(methods); i++)
		if (span_equal_nocase(word, span_str(methods[i])))
			return true;
	size_t from = argument.len;
	while (from > 0 && !is_wsp(octet_at(argument, from - 1)))
		from--;
	return span_starts_nocase(span_from(argument, from), SPAN_LIT("HTTP/"));
}

static enum verb verb_find(struct span word, struct span argument)
{
	char first = word.len > 0 ? (char)(word.ptr[0] & ~0x20) : '\0'; /* a letter's upper case */

	for (int v = VERB_UNKNOWN + 1; v < VERB_HTTP; v++)
		if (verb_rules[v].name[0] == first &&
			span_equal_nocase(word, span_str(verb_rules[v].name)))
			return (enum verb)v;
	return is_http(word, argument) ? VERB_HTTP : VERB_UNKNOWN;
}

static bool keyword_ok(struct span s)
{
	if (s.len == 0 || s.ptr[0] == '-')
		return false;
	for (size_t i = 0; i < s.len; i++)
		if (!is_let_dig(octet_at(s, i)) && s.ptr[i] != '-')
			return false;
	return true;
}

static bool value_ok(struct span s, bool utf8)
{
	size_t i = 0;
	while (i < s.len) {
		uint8_t c = octet_at(s, i);
		size_t n = c > 32 && c < 127 && c != '=' ? 1 : 0;
		if (n == 0 && utf8)
			n = utf8_non_ascii_length(s, i);
		if (n == 0)
			return false;
		i += n;
	}
	return s.len > 0;
}

static struct verdict params_add(struct command *c, struct span text, bool utf8)
{
	size_t equals = span_index(text, '=');
	struct esmtp_param p = {.keyword = span_head(text, equals), .value = SPAN_NULL};

	if (equals < text.len)
		p.value = span_from(text, equals + 1);
	if (!keyword_ok(p.keyword) || (p.value.ptr && !value_ok(p.value, utf8)))
		return VERDICT(501, "5.5.4", "Malformed parameter");
	for (size_t i = 0; i < c->n_params; i++)
		if (span_equal_nocase(c->params[i].keyword, p.keyword))
			return VERDICT(501, "5.5.4", "Parameter given twice");
	if (c->n_params == COMMAND_PARAMS_MAX)
		return VERDICT(501, "5.5.4", "Too many parameters");
	c->params[c->n_params++] = p;
	return syntax_ok;
}

static struct verdict parse_params(struct command *c, struct span rest, bool utf8)
{
	if (rest.len > 0 && !is_wsp(octet_at(rest, 0)))
		return VERDICT(501, "5.5.4", "White space missing behind the path");
	for (size_t i = skip_wsp(rest, 0); i < rest.len; i = skip_wsp(rest, i)) {
		size_t end = word_end(rest, i);
		struct verdict v = params_add(c, span_from(span_head(rest, end), i), utf8);
		if (!verdict_is_ok(v))
			return v;
		i = end;
	}
	return syntax_ok;
}

static struct verdict parse_path_argument(struct command *c, bool utf8)
{
	bool reverse = c->verb == VERB_MAIL;
	struct span prefix = reverse ? SPAN_LIT("FROM:") : SPAN_LIT("TO:");
	struct span rest;

	if (!span_starts_nocase(c->argument, prefix))
		return reverse ? VERDICT(501, "5.5.4", "Syntax: MAIL FROM:<address>")
			       : VERDICT(501, "5.5.4", "Syntax: RCPT TO:<address>");
	rest = span_from(c->argument, prefix.len);
	/* The grammar has no space here; enough clients send one that refusing it serves nobody. */
	rest = span_from(rest, skip_wsp(rest, 0));
	int r = path_parse(rest, reverse ? PATH_REVERSE : PATH_FORWARD, utf8, &c->path, &rest);
	const char *enhanced = reverse ? "5.1.7" : "5.1.3";
	if (r == -ERANGE)
		return VERDICT(501, enhanced, "Path too long");
	if (r < 0)
		return VERDICT(501, enhanced, "Malformed address");
	return parse_params(c, rest, utf8);
}

/* Size and the rest (LAST) are only split, into keywords of params: the session knows what they
 * mean, and it must know the size even when it refuses the rest: the octets follow anyway. */
static struct verdict parse_chunk(struct command *c)
{
	struct span a = c->argument;
	size_t first = word_end(a, 0), second = skip_wsp(a, first);

	if (a.len == 0)
		return VERDICT(501, "5.5.4", "Syntax: BDAT size [LAST]");
	c->params[c->n_params++] = (struct esmtp_param){.keyword = span_head(a, first)};
	if (second < a.len)
		c->params[c->n_params++] = (struct esmtp_param){.keyword = span_from(a, second)};
	return syntax_ok;
}

static struct verdict parse_argument(struct command *c, bool utf8)
{
	switch (verb_rules[c->verb].rule) {
	case ARG_NONE:
		return c->argument.len == 0 ? syntax_ok
					    : VERDICT(501, "5.5.4", "No argument allowed");
	case ARG_REQUIRED:
		return c->argument.len > 0 ? syntax_ok : VERDICT(501, "5.5.4", "Argument missing");
	case ARG_HOST:
		return ehlo_argument_ok(c->argument)
			       ? syntax_ok
			       : VERDICT(501, "5.5.4", "A domain or an address literal is needed");
	case ARG_PATH:
		return parse_path_argument(c, utf8);
	case ARG_CHUNK:
		return parse_chunk(c);
	case ARG_OPTIONAL:
		break;
	}
	return syntax_ok;
}

struct verdict command_parse(struct span line, bool utf8, struct command *ret)
{
	bool control = false, high = false;

	*ret = (struct command){.verb = VERB_UNKNOWN};
	ret->word = span_head(line, word_end(line, 0));
	ret->argument = trim_wsp(span_from(line, ret->word.len));
	ret->verb = verb_find(ret->word, ret->argument);
	if (ret->verb == VERB_HTTP)
		return VERDICT(554, "5.5.1", "This is not a web server");

	for (size_t i = 0; i < line.len; i++) {
		uint8_t c = octet_at(line, i);
		control |= is_control(c) && c != '\t';
		high |= c >= 128;
	}
	if (control)
		return VERDICT(500, "5.5.2", "Control octets in a command");
	if (ret->verb == VERB_UNKNOWN)
		return VERDICT(500, "5.5.2", "Command not recognised");
	if (high && !(utf8 && verb_rules[ret->verb].utf8))
		return VERDICT(501, "5.5.4", "Only ASCII is allowed here");
	return parse_argument(ret, utf8);
}

bool ehlo_argument_ok(struct span arg)
{
	enum domain_kind kind;
	size_t label = 0;

	if (arg.len == 0 || arg.len > DOMAIN_MAX)
		return false;
	if (arg.ptr[0] == '[')
		return domain_parse(arg, false, &kind) >= 0;
	/* Host names of real peers have underscores, hyphens at odd places and a root dot; the name
	 * decides nothing (RFC 5321 4.1.4), so only what could upset a trace line is refused. */
	for (size_t i = 0; i < arg.len; i++) {
		uint8_t c = octet_at(arg, i);
		if (c == '.' && label == 0)
			return false;
		if (c != '.' && !is_let_dig(c) && c != '-' && c != '_')
			return false;
		label = c == '.' ? 0 : label + 1;
	}
	return true;
}
