/* Readers of what `route` and `relay` say about the way out: TLS, names and fingerprints of
 * certificates, credentials, source addresses. */
#include "config/name.h"
#include "config/value.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FINGERPRINT_DIGITS 64u
#define WEIGHT_MAX	   1000u

int value_route_tls(
	struct reading *r, const struct key *key, const struct value *v, size_t n, void *field)
{
	static const struct {
		const char *word;
		enum tls_level level;
	} levels[] = {
		{"auto", TLS_LEVEL_AUTO},
		{"none", TLS_LEVEL_NONE},
		{"may", TLS_LEVEL_MAY},
		{"encrypt", TLS_LEVEL_ENCRYPT},
		{"required", TLS_LEVEL_ENCRYPT},
		{"verify", TLS_LEVEL_VERIFY},
		{"dane", TLS_LEVEL_DANE},
	};
	(void)n;
	for (size_t i = 0; i < ARRAY_LEN(levels); i++) {
		if (strcasecmp(v->text, levels[i].word) == 0) {
			*(enum tls_level *)field = levels[i].level;
			return 0;
		}
	}
	diag_error(r->diag, v->at,
		"%s = '%s': unknown level: write auto, none, may, encrypt, required, verify or "
		"dane",
		key->name, v->text);
	return 0;
}

/* Adds to a list of strings whose memory is there; takes text over. */
static int add_string(const struct key *key, void *field, char *text)
{
	if (!text)
		return -ENOMEM;
	(*(char ***)field)[(*value_count(key, field))++] = text;
	return 0;
}

static int new_strings(const struct key *key, size_t n, void *field)
{
	if (*(char ***)field) /* given twice: the scanner has said so */
		return -EEXIST;
	*(char ***)field = calloc(n ? n : 1, sizeof(char *));
	*value_count(key, field) = 0;
	return *(char ***)field ? 0 : -ENOMEM;
}

int value_names(
	struct reading *r, const struct key *key, const struct value *v, size_t n, void *field)
{
	int e = new_strings(key, n, field);
	for (size_t i = 0; e >= 0 && i < n; i++) {
		const char *name = v[i].text[0] == '.' ? v[i].text + 1 : v[i].text;
		const char *why = name_problem(span_str(name));
		if (why) {
			diag_error(r->diag, v[i].at, "%s: '%s' %s", key->name, v[i].text, why);
			continue;
		}
		CLEANUP(freep) char *lower = name_lower(span_str(name));
		char *text = NULL;
		if (lower && asprintf(&text, "%s%s", name == v[i].text ? "" : ".", lower) < 0)
			text = NULL;
		e = add_string(key, field, text);
	}
	return e == -EEXIST ? 0 : e;
}

/* "AB:CD:..." as openssl prints it, or plain hex. NULL with ret_sound false: no fingerprint. */
static char *fingerprint_of(const char *text, bool *ret_sound)
{
	char *hex = calloc(1, FINGERPRINT_DIGITS + 1);
	size_t len = 0;
	*ret_sound = true;
	for (const char *p = text; hex && *p; p++) {
		char c = *p >= 'A' && *p <= 'F' ? (char)(*p - 'A' + 'a') : *p;
		if (c == ':' && len > 0 && len % 2 == 0)
			continue;
		if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')) ||
			len == FINGERPRINT_DIGITS) {
			*ret_sound = false;
			break;
		}
		hex[len++] = c;
	}
	*ret_sound = *ret_sound && len == FINGERPRINT_DIGITS;
	return hex;
}

int value_fingerprints(
	struct reading *r, const struct key *key, const struct value *v, size_t n, void *field)
{
	int e = new_strings(key, n, field);
	for (size_t i = 0; e >= 0 && i < n; i++) {
		bool sound;
		char *hex = fingerprint_of(v[i].text, &sound);
		if (hex && !sound) {
			diag_error(r->diag, v[i].at,
				"%s: '%s' is no SHA-256 fingerprint: write the 64 hex digits of "
				"openssl x509 -fingerprint -sha256 -in CERTIFICATE",
				key->name, v[i].text);
			free(hex);
			continue;
		}
		e = add_string(key, field, hex);
	}
	return e == -EEXIST ? 0 : e;
}

int value_credentials(
	struct reading *r, const struct key *key, const struct value *v, size_t n, void *field)
{
	char **path = field;
	(void)n;
	if (strncmp(v->text, "file:", 5) != 0 || !v->text[5]) {
		/* The value is not repeated: it may well be the password. */
		diag_error(r->diag, v->at,
			"%s: unknown kind: write \"file:PATH\" of a file with one line "
			"USER:PASSWORD",
			key->name);
		return 0;
	}
	free(*path);
	*path = value_absolute(r->config, v->text + 5);
	return *path ? 0 : -ENOMEM;
}

/* "ADDRESS [NAME] [xWEIGHT]". false: what is wrong stands in *ret_why. */
static int read_source(const char *text, struct config_source *s, const char **ret_why)
{
	struct span rest = span_trim(span_str(text));
	size_t len = span_index(rest, ' ');
	struct buf host = BUF_INIT(256);
	*ret_why = NULL;
	bool v6 = span_index(span_head(rest, len), ':') < len;
	buf_printf(&host, v6 ? "[%.*s]" : "%.*s", SPAN_FMT(span_head(rest, len)));
	int r = host.error ? host.error : address_parse(buf_span(&host), 1, &s->address);
	buf_done(&host);
	if (r < 0 || address_is_unix(&s->address) || address_port(&s->address) != 1) {
		*ret_why = "is no address: write \"192.0.2.1\" or \"2001:db8::1\", after it, if "
			   "you want, a name for EHLO and a weight as \"x3\"";
		return 0;
	}
	s->weight = 1;
	for (rest = span_trim(span_from(rest, len)); rest.len > 0;
		rest = span_trim(span_from(rest, len))) {
		uint64_t weight;
		len = span_index(rest, ' ');
		struct span word = span_head(rest, len);
		if (word.ptr[0] == 'x' &&
			span_to_u64(span_from(word, 1), WEIGHT_MAX, &weight) >= 0 && weight > 0) {
			s->weight = (unsigned)weight;
			continue;
		}
		*ret_why = s->name ? "has two names: give one" : name_problem(word);
		if (*ret_why)
			return 0;
		s->name = name_lower(word);
		if (!s->name)
			return -ENOMEM;
	}
	s->text = strdup(text);
	return s->text ? 0 : -ENOMEM;
}

int value_sources(
	struct reading *r, const struct key *key, const struct value *v, size_t n, void *field)
{
	struct config_source **list = field;
	if (*list)
		return 0;
	*list = calloc(n ? n : 1, sizeof(**list));
	if (!*list)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		struct config_source *s = &(*list)[*value_count(key, field)];
		const char *why;
		int e = read_source(v[i].text, s, &why);
		if (e < 0 || why) {
			free(s->name);
			free(s->text);
			*s = (struct config_source){0};
		}
		if (e < 0)
			return e;
		if (why)
			diag_error(r->diag, v[i].at, "%s: '%s' %s", key->name, v[i].text, why);
		else
			++*value_count(key, field);
	}
	return 0;
}
