/* Readers of lists and of durations. A list replaces its default as a whole. */
#include "config/value.h"
#include <confuse.h>
#include <stdlib.h>

/* An array of n elements; n = 0 gives one unused, so that NULL means no memory. */
static void *new_array(size_t n, size_t size)
{
	return calloc(n ? n : 1, size);
}

static bool read_duration(
	struct reading *r, const struct key *key, const struct value *v, uint64_t *ret_usec)
{
	uint64_t usec;

	if (key->min == 0 && cfg_parse_boolean(v->text) == 0) {
		*ret_usec = 0; /* warn = off */
		return true;
	}
	int e = span_to_usec(span_str(v->text), &usec);
	if (e == -ERANGE || (e >= 0 && usec > key->max)) {
		diag_error(r->diag, v->at, "%s = '%s' is too long: give at most 366d", key->name,
			v->text);
		return false;
	}
	if (e < 0) {
		diag_error(r->diag, v->at,
			"%s = '%s' is no duration: write a number with s, m, h or d, as \"15m\"",
			key->name, v->text);
		return false;
	}
	if (usec < key->min) {
		diag_error(r->diag, v->at, "%s = '%s' is too short: give more than zero", key->name,
			v->text);
		return false;
	}
	*ret_usec = usec;
	return true;
}

int value_duration(
	struct reading *r, const struct key *key, const struct value *v, size_t n, void *field)
{
	(void)n;
	(void)read_duration(r, key, v, field);
	return 0;
}

int value_durations(
	struct reading *r, const struct key *key, const struct value *v, size_t n, void *field)
{
	bool sound = true;

	if (n == 0) {
		diag_error(r->diag, v->at, "%s is empty: give at least one duration", key->name);
		return 0;
	}
	uint64_t *list = new_array(n, sizeof(*list));
	if (!list)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		sound = read_duration(r, key, &v[i], &list[i]) && sound;
	if (!sound) {
		free(list);
		return 0;
	}
	free(*(uint64_t **)field);
	*(uint64_t **)field = list;
	*value_count(key, field) = n;
	return 0;
}

int value_networks(
	struct reading *r, const struct key *key, const struct value *v, size_t n, void *field)
{
	struct network *list = new_array(n, sizeof(*list));
	if (!list)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		if (network_parse(span_str(v[i].text), &list[i]) < 0)
			diag_error(r->diag, v[i].at,
				"%s: '%s' is no network: write ADDRESS/BITS, as \"10.0.0.0/8\" or "
				"\"2001:db8::/32\"",
				key->name, v[i].text);
	free(*(struct network **)field);
	*(struct network **)field = list;
	*value_count(key, field) = n;
	return 0;
}

/* A relative unix path would start from wherever the server was started. */
static int parse_address(struct reading *r, const char *text, struct address *ret_address)
{
	if (strncmp(text, "unix:", 5) != 0 || text[5] == '/' || !text[5])
		return address_parse(span_str(text), 0, ret_address);
	CLEANUP(freep) char *path = value_absolute(r->config, text + 5);
	struct buf whole = BUF_INIT(8192);
	buf_printf(&whole, "unix:%s", path ? path : "");
	int e = whole.error ? whole.error : address_parse(buf_span(&whole), 0, ret_address);
	buf_done(&whole);
	return path ? e : -ENOMEM;
}

int value_address_list(struct reading *r, const struct key *key, const struct value *v, size_t n,
	void *field, int (*parse)(struct reading *, const char *, struct address *),
	const char *what)
{
	struct config_address *list = new_array(n, sizeof(*list));
	if (!list)
		return -ENOMEM;
	*(struct config_address **)field = list;
	for (size_t i = 0; i < n; i++) {
		struct config_address *a = &list[*value_count(key, field)];
		if (parse(r, v[i].text, &a->address) < 0) {
			diag_error(
				r->diag, v[i].at, "%s: '%s' is no %s", key->name, v[i].text, what);
			continue;
		}
		a->text = strdup(v[i].text);
		if (!a->text)
			return -ENOMEM;
		++*value_count(key, field);
	}
	return 0;
}

int value_addresses(
	struct reading *r, const struct key *key, const struct value *v, size_t n, void *field)
{
	return value_address_list(r, key, v, n, field, parse_address,
		"address with a port: write \"0.0.0.0:25\", \"[::]:25\" or \"unix:/PATH\" (no "
		"names)");
}
