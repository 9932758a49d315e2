/* Readers of single keys: text in, a field of the tree out. A reader that dislikes its value says
 * so at the value's own line and leaves the field as it was; it goes on as if nothing had
 * happened, so that one run shows all errors. Only -ENOMEM ends the reading.
 * Networks, addresses and durations in lists stand in value_list.c. */
#include "config/value.h"
#include "config/name.h"
#include <confuse.h>
#include <stdlib.h>

static void refuse(struct reading *r, const struct key *key, const struct value *v, const char *why)
{
	struct buf shown = BUF_INIT(512);
	buf_escaped(&shown, span_str(v->text), 80);
	buf_char(&shown, '\0');
	diag_error(r->diag, v->at, "%s = '%s': %s", key->name, shown.error ? "?" : shown.ptr, why);
	buf_done(&shown);
}

/* Replaces *field; a NULL text means that the copy had no memory. */
static int set_string(char **field, char *text)
{
	if (!text)
		return -ENOMEM;
	free(*field);
	*field = text;
	return 0;
}

int value_note_inactive(struct reading *r, struct position at, const char *what, const char *why)
{
	struct config *c = r->config;
	char **more = reallocarray(c->unsupported, c->n_unsupported + 1, sizeof(*more));
	if (!more)
		return -ENOMEM;
	c->unsupported = more;

	struct buf line = BUF_INIT(16384);
	buf_printf(
		&line, "%s:%u: %s is accepted but not active yet: %s", at.file, at.line, what, why);
	buf_char(&line, '\0');
	if (line.error) {
		buf_done(&line);
		return -ENOMEM;
	}
	c->unsupported[c->n_unsupported++] = line.ptr;
	return 0;
}

char *value_absolute(const struct config *c, const char *path)
{
	if (path[0] == '/')
		return strdup(path);
	while (path[0] == '.' && path[1] == '/')
		for (path += 2; *path == '/';)
			path++;
	struct buf joined = BUF_INIT(65536);
	buf_str(&joined, c->folder);
	if (*path && strcmp(path, ".") != 0) {
		if (joined.len == 0 || joined.ptr[joined.len - 1] != '/')
			buf_char(&joined, '/');
		buf_str(&joined, path);
	}
	buf_char(&joined, '\0');
	if (joined.error) {
		buf_done(&joined);
		return NULL;
	}
	return joined.ptr;
}

int value_text(
	struct reading *r, const struct key *key, const struct value *v, size_t n, void *field)
{
	(void)n;
	if (!*v->text) {
		refuse(r, key, v, "it is empty: give a value or remove the key");
		return 0;
	}
	return set_string(field, strdup(v->text));
}

int value_account(
	struct reading *r, const struct key *key, const struct value *v, size_t n, void *field)
{
	if (strpbrk(v->text, ":/ \t\n")) {
		refuse(r, key, v, "this is no account name: name one of the system's accounts");
		return 0;
	}
	return value_text(r, key, v, n, field);
}

int value_hostname(
	struct reading *r, const struct key *key, const struct value *v, size_t n, void *field)
{
	(void)n;
	const char *why = name_problem(span_str(v->text));
	if (why) {
		refuse(r, key, v, why);
		return 0;
	}
	return set_string(field, name_lower(span_str(v->text)));
}

int value_path(
	struct reading *r, const struct key *key, const struct value *v, size_t n, void *field)
{
	(void)n;
	if (!*v->text) {
		refuse(r, key, v, "it is empty: give a path or remove the key");
		return 0;
	}
	return set_string(field, value_absolute(r->config, v->text));
}

int value_data(
	struct reading *r, const struct key *key, const struct value *v, size_t n, void *field)
{
	/* {data} in a maildir template becomes this text. */
	if (strpbrk(v->text, "{}")) {
		refuse(r, key, v, "braces have a meaning in paths: choose a folder without them");
		return 0;
	}
	return value_path(r, key, v, n, field);
}

static bool read_bool(
	struct reading *r, const struct key *key, const struct value *v, bool *ret_bool)
{
	int b = cfg_parse_boolean(v->text);
	if (b < 0)
		refuse(r, key, v, "it is neither true nor false: write true or false");
	else
		*ret_bool = b == 1;
	return b >= 0;
}

int value_bool(
	struct reading *r, const struct key *key, const struct value *v, size_t n, void *field)
{
	(void)n;
	(void)read_bool(r, key, v, field);
	return 0;
}

int value_dkim(
	struct reading *r, const struct key *key, const struct value *v, size_t n, void *field)
{
	bool *dkim = field;
	(void)n;
	if (!read_bool(r, key, v, dkim) || !*dkim)
		return 0;
	return value_note_inactive(r, v->at, "dkim", "mail leaves without a signature");
}

static void refuse_range(struct reading *r, const struct key *key, const struct value *v)
{
	diag_error(r->diag, v->at, "%s = '%s' is out of range: give a number from %llu to %llu",
		key->name, v->text, (unsigned long long)key->min, (unsigned long long)key->max);
}

int value_number(
	struct reading *r, const struct key *key, const struct value *v, size_t n, void *field)
{
	uint64_t number;
	(void)n;

	int e = span_to_u64(span_str(v->text), UINT64_MAX, &number);
	if (e == -ERANGE || (e >= 0 && (number < key->min || number > key->max)))
		refuse_range(r, key, v);
	else if (e < 0)
		refuse(r, key, v, "it is no number: write digits only");
	else
		*(uint64_t *)field = number;
	return 0;
}

int value_processes(
	struct reading *r, const struct key *key, const struct value *v, size_t n, void *field)
{
	uint64_t number = *(unsigned *)field;
	int e = value_number(r, key, v, n, &number);
	*(unsigned *)field = (unsigned)number; /* key->max is small */
	return e;
}

int value_octets(
	struct reading *r, const struct key *key, const struct value *v, size_t n, void *field)
{
	uint64_t octets;
	(void)n;

	int e = span_to_octets(span_str(v->text), &octets);
	if (e == -ERANGE || (e >= 0 && (octets < key->min || octets > key->max)))
		refuse_range(r, key, v);
	else if (e < 0)
		refuse(r, key, v, "it is no size: write octets, or a number with K, M or G");
	else
		*(uint64_t *)field = octets;
	return 0;
}

int value_choose(struct reading *r, const struct key *key, const struct value *v,
	const char *const *words, const char *remedy)
{
	for (int i = 0; words[i]; i++)
		if (span_equal_nocase(span_str(v->text), span_str(words[i])))
			return i;
	refuse(r, key, v, remedy);
	return -1;
}

int value_role(
	struct reading *r, const struct key *key, const struct value *v, size_t n, void *field)
{
	static const char *const words[] = {"mx", "submission", "lmtp", NULL};
	static const enum listener_role roles[] = {LISTENER_MX, LISTENER_SUBMISSION, LISTENER_LMTP};
	(void)n;

	int i = value_choose(r, key, v, words, "unknown role: write mx, submission or lmtp");
	if (i >= 0)
		*(enum listener_role *)field = roles[i];
	return 0;
}

int value_log_format(
	struct reading *r, const struct key *key, const struct value *v, size_t n, void *field)
{
	static const char *const words[] = {"auto", "readable", "json", NULL};
	(void)n;
	int i = value_choose(r, key, v, words, "unknown format: write auto, readable or json");
	return i < 0 ? 0 : set_string(field, strdup(words[i]));
}

int value_log_level(
	struct reading *r, const struct key *key, const struct value *v, size_t n, void *field)
{
	static const char *const words[] = {"error", "warn", "info", "debug", NULL};
	(void)n;
	int i = value_choose(r, key, v, words, "unknown level: write error, warn, info or debug");
	return i < 0 ? 0 : set_string(field, strdup(words[i]));
}

int value_http(
	struct reading *r, const struct key *key, const struct value *v, size_t n, void *field)
{
	struct address a;
	if (address_parse(span_str(v->text), 0, &a) < 0 || address_is_unix(&a)) {
		refuse(r, key, v, "it is no address with a port: write \"127.0.0.1:8025\"");
		return 0;
	}
	return value_text(r, key, v, n, field);
}

/* "file:PATH" and the like: the path after the scheme, or NULL. */
static const char *after_scheme(const char *text, const char *scheme)
{
	size_t len = strlen(scheme);
	return strncmp(text, scheme, len) == 0 && text[len] ? text + len : NULL;
}

int value_users(
	struct reading *r, const struct key *key, const struct value *v, size_t n, void *field)
{
	struct config_domain *d = field;
	const char *file = after_scheme(v->text, "file:");
	const char *sqlite = after_scheme(v->text, "sqlite:");
	(void)n;

	if (strcmp(v->text, "any") == 0) {
		d->users = USERS_ANY;
		return 0;
	}
	if (!file && !sqlite) {
		refuse(r, key, v, "unknown kind: write \"file:PATH\", \"sqlite:PATH\" or \"any\"");
		return 0;
	}
	d->users = file ? USERS_FILE : USERS_SQLITE;
	return set_string(&d->users_path, value_absolute(r->config, file ? file : sqlite));
}

int value_aliases(
	struct reading *r, const struct key *key, const struct value *v, size_t n, void *field)
{
	const char *file = after_scheme(v->text, "file:");
	(void)n;

	if (!file) {
		refuse(r, key, v, "unknown kind: write \"file:PATH\"");
		return 0;
	}
	return set_string(field, value_absolute(r->config, file));
}

int value_catch_all(
	struct reading *r, const struct key *key, const struct value *v, size_t n, void *field)
{
	const char *at = strrchr(v->text, '@');

	for (const char *p = v->text; *p; p++)
		if ((unsigned char)*p <= ' ' || *p == 0x7f || *p == '<' || *p == '>') {
			refuse(r, key, v, "it is no address: write \"local\" or \"local@domain\"");
			return 0;
		}
	if (at && (at == v->text || name_problem(span_str(at + 1)))) {
		refuse(r, key, v, "it is no address: write \"local\" or \"local@domain\"");
		return 0;
	}
	return value_text(r, key, v, n, field);
}

/* Words for people elsewhere: what stands in reports. */
int value_words(
	struct reading *r, const struct key *key, const struct value *v, size_t n, void *field)
{
	for (const char *p = v->text; *p; p++)
		if ((unsigned char)*p < ' ' || (unsigned char)*p >= 0x7f) {
			refuse(r, key, v, "write it in ASCII, on one line");
			return 0;
		}
	return value_text(r, key, v, n, field);
}

int value_mail_address(
	struct reading *r, const struct key *key, const struct value *v, size_t n, void *field)
{
	const char *at = strrchr(v->text, '@');

	if (!at || at == v->text || name_problem(span_str(at + 1)) || strpbrk(v->text, " <>\"")) {
		refuse(r, key, v, "it is no address: write \"local@domain\"");
		return 0;
	}
	return value_words(r, key, v, n, field);
}

int value_subaddress(
	struct reading *r, const struct key *key, const struct value *v, size_t n, void *field)
{
	(void)n;
	/* Octets of atoms (RFC 5321 4.1.2) that no user's name starts or ends with. */
	if (strlen(v->text) > 8 || strspn(v->text, "+-_=#~!%&*/") != strlen(v->text)) {
		refuse(r, key, v,
			"these are no delimiters: write one or more of + - _ = # ~, or "
			"\"\" for none");
		return 0;
	}
	return set_string(field, strdup(v->text));
}

int value_target(
	struct reading *r, const struct key *key, const struct value *v, size_t n, void *field)
{
	struct target t;
	const char *why;
	(void)n;

	int e = target_parse(v->text, &t, &why);
	if (e == -ENOMEM)
		return e;
	if (e < 0) {
		refuse(r, key, v, why);
		return 0;
	}
	target_done(field);
	*(struct target *)field = t;
	switch (t.kind) {
	case TARGET_PIPE:
		return value_note_inactive(r, v->at, t.text, "nothing is delivered that way");
	default:
		return 0;
	}
}

int value_accept(
	struct reading *r, const struct key *key, const struct value *v, size_t n, void *field)
{
	(void)field;
	for (size_t i = 0; i < n; i++)
		if (!*v[i].text)
			refuse(r, key, &v[i], "it is empty: give a value or remove the key");
	return 0;
}
