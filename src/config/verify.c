/* Checks beyond a single key. What is *missing* is only said when nothing else was wrong: a
 * mistyped `deliver` is one error, not two. Duplicates are always said. */
#include "config/verify.h"
#include "config/value.h"
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define SAY_MISSING(r, at, ...)                                                                    \
	do {                                                                                       \
		if ((r)->diag->count == (r)->n_missing) {                                          \
			(r)->n_missing++;                                                          \
			diag_error((r)->diag, (at), __VA_ARGS__);                                  \
		}                                                                                  \
	} while (0)

const char *verify_listener_title(const struct config *c, const char *title)
{
	if (!*title || strlen(title) > 64)
		return "is no name: give 1 to 64 octets";
	for (const char *p = title; *p; p++)
		if ((unsigned char)*p <= ' ' || (unsigned char)*p >= 0x7f || *p == '"')
			return "is no name: use letters, digits and hyphens";
	for (size_t i = 0; i < c->n_listeners; i++)
		if (strcmp(c->listeners[i].name, title) == 0)
			return "was given before: choose another name, or add the addresses to "
			       "the first";
	return NULL;
}

const char *verify_domain_title(const char *title)
{
	return name_problem(span_str(title));
}

const char *verify_route_title(const char *title)
{
	if (strcmp(title, "*") == 0)
		return NULL;
	if (strncmp(title, ROUTE_FILE, sizeof(ROUTE_FILE) - 1) == 0)
		return title[sizeof(ROUTE_FILE) - 1]
			       ? NULL
			       : "names no file: write \"file:PATH\", one NAME [TARGET] a line";
	/* "from:DOMAIN", "from:USER@DOMAIN": by the sender. */
	if (strncmp(title, "from:", 5) == 0) {
		const char *at = strrchr(title, '@');
		return name_problem(span_str(at ? at + 1 : title + 5));
	}
	return name_problem(span_str(title[0] == '.' ? title + 1 : title));
}

static void verify_listener(
	struct reading *r, const struct value *title, const struct config_listener *l)
{
	const struct config *c = r->config;

	if (l->n_addresses == 0)
		SAY_MISSING(r, title->at,
			"listener \"%s\" has no address: add address = {\"0.0.0.0:25\"}", l->name);
	/* RFC 2033 3: what speaks SMTP to port 25 must not meet a server that answers otherwise. */
	for (size_t k = 0; l->role == LISTENER_LMTP && k < l->n_addresses; k++)
		if (!address_is_unix(&l->addresses[k].address) &&
			address_port(&l->addresses[k].address) == 25)
			diag_error(r->diag, title->at,
				"listener \"%s\": LMTP may not use port 25 (RFC 2033): choose "
				"another, as 24 or unix:PATH",
				l->name);
	/* l is the last; an address may stand twice in its own list too. */
	for (size_t k = 0; k < l->n_addresses; k++)
		for (size_t i = 0; i < c->n_listeners; i++) {
			const struct config_listener *o = &c->listeners[i];
			size_t n = o == l ? k : o->n_addresses;
			for (size_t j = 0; j < n; j++)
				if (strcmp(o->addresses[j].text, l->addresses[k].text) == 0)
					diag_error(r->diag, title->at,
						"listener \"%s\": the address %s is also in "
						"listener \"%s\": give it once",
						l->name, l->addresses[k].text, o->name);
		}
}

static void verify_domain(
	struct reading *r, const struct value *title, const struct config_domain *d)
{
	if (d->deliver.kind == TARGET_NONE)
		SAY_MISSING(r, title->at,
			"domain \"%s\" does not say where its mail goes: add deliver = "
			"\"maildir:/var/mail/{domain}/{local}\"",
			d->name);
	if (d->users == USERS_NONE && !d->aliases_path && !d->catch_all)
		SAY_MISSING(r, title->at,
			"domain \"%s\" has no addresses: add users = \"file:PATH\" (or aliases, "
			"or users = \"any\")",
			d->name);
}

static void verify_shown(
	struct reading *r, const struct value *title, const struct config_outbound *o)
{
	if (o->key && !o->certificate)
		SAY_MISSING(r, title->at,
			"there is a key and no certificate: add certificate = \"FILE.pem\"");
}

static int verify_relay(struct reading *r, const struct value *title)
{
	verify_shown(r, title, &r->config->relay.out);
	if (r->config->relay.via.kind != TARGET_NONE)
		return 0;
	return value_note_inactive(r, title->at, "relay without via, which means via = mx,",
		"nothing is delivered that way");
}

static int verify_tls(struct reading *r, const struct value *block)
{
	struct config *c = r->config;

	if (c->tls.n_certificates == 0 && c->tls.n_keys > 0)
		SAY_MISSING(r, block->at,
			"tls has a key and no certificate: add certificate = \"FILE.pem\"");
	if (!c->tls.at && asprintf(&c->tls.at, "%s:%u", block->at.file, block->at.line) < 0)
		return -ENOMEM;
	return 0;
}

static void verify_route(
	struct reading *r, const struct value *title, const struct config_route *route)
{
	if (route->table && route->etrn)
		diag_error(r->diag, title->at,
			"route \"%s\": etrn cannot be said of a table: write a route block for "
			"each domain that may ask",
			title->text);
	verify_shown(r, title, &route->out);
}

int verify_block(
	struct reading *r, const struct block *block, const struct value *title, const void *record)
{
	const struct config_route *route = record;

	if (block->record == RECORD_LISTENER)
		verify_listener(r, title, record);
	else if (block->record == RECORD_DOMAIN)
		verify_domain(r, title, record);
	else if (block->record == RECORD_ROUTE && route->via.kind == TARGET_NONE)
		SAY_MISSING(r, title->at,
			"route \"%s\" does not say where to: add via = \"smtp://HOST:PORT\"",
			title->text);
	else if (block->record == RECORD_ROUTE)
		verify_route(r, title, route);
	else if (strcmp(block->name, "relay") == 0)
		return verify_relay(r, title);
	else if (strcmp(block->name, "tls") == 0)
		return verify_tls(r, title);
	return 0;
}

/* ---- the whole ---- */

struct titled {
	const char *title, *at;
	size_t index;
};

static int compare_titled(const void *a, const void *b)
{
	const struct titled *x = a, *y = b;
	int order = strcmp(x->title, y->title);
	return order ? order : (x->index < y->index ? -1 : 1);
}

static void verify_unique(struct reading *r, const char *block, struct titled *list, size_t n)
{
	if (n > 1)
		qsort(list, n, sizeof(*list), compare_titled);
	for (size_t i = 1; i < n; i++)
		if (strcmp(list[i - 1].title, list[i].title) == 0)
			diag_error(r->diag, (struct position){list[i].at, 0},
				"%s \"%s\" was given before, at %s: join the two blocks", block,
				list[i].title, list[i - 1].at);
}

static int verify_titles(struct reading *r)
{
	const struct config *c = r->config;
	struct titled *list = calloc(MAX(c->n_domains, c->n_routes) + 1, sizeof(*list));
	if (!list)
		return -ENOMEM;
	for (size_t i = 0; i < c->n_domains; i++)
		list[i] = (struct titled){c->domains[i].name, c->domains[i].at, i};
	verify_unique(r, "domain", list, c->n_domains);
	for (size_t i = 0; i < c->n_routes; i++)
		list[i] = (struct titled){c->routes[i].domain, c->routes[i].at, i};
	verify_unique(r, "route", list, c->n_routes);
	free(list);
	return 0;
}

static int default_hostname(struct reading *r, struct position whole)
{
	char name[HOST_NAME_MAX + 1] = "";

	if (gethostname(name, sizeof(name) - 1) == 0 && strchr(name, '.') &&
		!name_problem(span_str(name))) {
		r->config->hostname = name_lower(span_str(name));
		return r->config->hostname ? 0 : -ENOMEM;
	}
	SAY_MISSING(r, whole,
		"hostname is missing, and the system's name is no full name to use instead: add "
		"hostname = \"mx.example.org\"");
	return 0;
}

int verify_whole(struct reading *r, struct position whole)
{
	const struct config *c = r->config;
	int e = verify_titles(r);

	if (e >= 0 && !c->hostname)
		e = default_hostname(r, whole);
	if (e < 0)
		return e;
	if (c->n_listeners == 0)
		SAY_MISSING(r, whole,
			"there is no listener: add listener \"mx\" { address = {\"0.0.0.0:25\"} }");
	if (c->n_domains == 0 && c->relay.n_from == 0 && c->relay.via.kind == TARGET_NONE)
		SAY_MISSING(r, whole,
			"there is neither a domain nor a relay block, nothing would be accepted: "
			"add "
			"domain \"example.org\" { ... } or relay { from = {\"127.0.0.0/8\"} }");
	return 0;
}
