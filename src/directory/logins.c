/* Every user's line is read once when the tables are loaded: SCRAM may only be offered where all
 * can do it, because a client that sees it will not try anything else. */
#include "directory/logins.h"
#include "base/base64.h"
#include "base/map.h"
#include "directory/learned.h"
#include "mail/mechanism.h"

#include <stdlib.h>

#define KEYS_MAX (64u << 20)

struct certificate {
	struct span key, login; /* fingerprint's or subject's octets */
};
struct logins {
	const struct route *route;
	const struct learned *learned;
	struct arena *arena;
	struct map *certificates;
	uint32_t offer;
	bool any_user, all[SCRAM_HASHES];
	struct span decoy;
};

static int add_certificate(
	struct logins *l, struct span octets, struct span name, const char *domain)
{
	struct certificate *c = arena_alloc(l->arena, sizeof(*c));
	struct buf login = BUF_INIT(LOGIN_MAX);

	buf_put(&login, name);
	buf_char(&login, '@');
	buf_str(&login, domain);
	int r = c ? login.error : -ENOMEM;
	if (r == 0) {
		c->key = arena_span(l->arena, octets);
		c->login = arena_span(l->arena, buf_span(&login));
		r = c->key.ptr && c->login.ptr ? map_put(l->certificates, c->key, c) : -ENOMEM;
	}
	buf_done(&login);
	return r == -EEXIST ? 0 : r; /* two users, one certificate: the first has it */
}

const struct scram_keys *logins_scram(
	const struct logins *l, struct span login, const struct credentials *c, enum scram_hash h)
{
	return c->has_scram[h] ? &c->scram[h] : learned_keys(l->learned, login, c->hash, h);
}

/* Which of the hashes has the user no keys for? */
static void note_keys(
	struct logins *l, const struct credentials *c, struct span name, const char *domain)
{
	struct buf login = BUF_INIT(LOGIN_MAX);

	buf_put(&login, name);
	buf_char(&login, '@');
	buf_str(&login, domain);
	for (unsigned h = 0; h < SCRAM_HASHES; h++)
		l->all[h] &= login.error == 0 &&
			     logins_scram(l, buf_span(&login), c, (enum scram_hash)h) != NULL;
	buf_done(&login);
}

static int read_user(struct logins *l, struct span name, struct span rest, const char *domain)
{
	struct credentials c;
	int r = 0;

	credentials_parse(rest, &c);
	if (c.hash.len) {
		l->any_user = true;
		if (!l->decoy.len && c.hash.ptr[0] == '$')
			l->decoy = c.hash;
		note_keys(l, &c, name, domain);
	}
	for (size_t i = 0; r == 0 && i < c.n_certificates; i++) {
		struct buf octets = BUF_INIT(4096);
		r = base64_decode(c.certificates[i], &octets);
		r = r == 0 ? add_certificate(l, buf_span(&octets), name, domain) : 0;
		buf_done(&octets);
	}
	return r;
}

static uint32_t offer_of(const struct logins *l)
{
	const struct config *c = l->route->config;
	uint32_t set = MECH_BIT(MECH_PLAIN) | MECH_BIT(MECH_LOGIN);

	if (c->auth.mechanisms)
		return c->auth.mechanisms;
	if (l->any_user && l->all[SCRAM_SHA_1])
		set |= MECH_SCRAM_1;
	if (l->any_user && l->all[SCRAM_SHA_256])
		set |= MECH_SCRAM_256;
	if (map_count(l->certificates) > 0)
		set |= MECH_BIT(MECH_EXTERNAL);
	return set;
}

int logins_new(const struct route *route, const struct learned *learned, struct logins **ret_logins)
{
	struct logins *l = calloc(1, sizeof(*l));
	int r = 0;

	if (!l)
		return -ENOMEM;
	*l = (struct logins){
		.route = route, .learned = learned, .all = {true, true}, .decoy = SPAN_NULL};
	l->arena = arena_new(KEYS_MAX);
	l->certificates = map_new(0);
	if (!l->arena || !l->certificates)
		r = -ENOMEM;
	for (size_t i = 0; r == 0 && i < route->config->n_domains; i++) {
		const struct users_file *u = route->tables[i].users;
		struct span name, rest;
		size_t cursor = 0;
		while (r == 0 && u && users_file_next(u, &cursor, &name, &rest))
			r = read_user(l, name, rest, route->config->domains[i].name);
	}
	if (r < 0) {
		logins_free(l);
		return r;
	}
	l->offer = offer_of(l);
	*ret_logins = l;
	return 0;
}

void logins_free(struct logins *l)
{
	if (!l)
		return;
	map_free(l->certificates);
	arena_free(l->arena);
	free(l);
}

uint32_t logins_offer(const struct logins *l)
{
	return l->offer;
}

/* "alice" means alice of the domain that this host belongs to (mx.example.org: example.org), else
 * of the only domain. */
static const struct config_domain *home(const struct config *c)
{
	struct span name = span_str(c->hostname);

	for (; name.len; name = span_from(name, span_index(name, '.') + 1)) {
		const struct config_domain *d = config_domain(c, name);
		if (d)
			return d;
	}
	return c->n_domains == 1 ? &c->domains[0] : NULL;
}

enum login_state logins_find(
	const struct logins *l, struct span name, struct buf *ret_login, struct span *ret_rest)
{
	const struct config *c = l->route->config;
	size_t at = name.len;

	while (at > 0 && name.ptr[at - 1] != '@')
		at--;
	struct span local = at ? span_head(name, at - 1) : name;
	const struct config_domain *d = at ? config_domain(c, span_from(name, at)) : home(c);
	size_t start = ret_login->len;
	buf_put(ret_login, local);
	buf_char(ret_login, '@');
	buf_put(ret_login, d ? span_str(d->name) : at ? span_from(name, at) : SPAN_NULL);
	if (ret_login->error)
		return LOGIN_NOBODY;
	for (size_t i = start; i < ret_login->len; i++) {
		char *p = &ret_login->ptr[i];
		*p = (char)(*p >= 'A' && *p <= 'Z' ? *p + 32 : *p);
	}
	if (!d)
		return LOGIN_NOBODY;
	const struct route_tables *t = &l->route->tables[d - c->domains];
	struct span rest;
	if (t->users && users_file_hash(t->users, local, &rest)) {
		*ret_rest = rest;
		return LOGIN_FOUND;
	}
	if (t->unreadable || (t->users && !users_file_complete(t->users)))
		return LOGIN_UNKNOWN;
	return LOGIN_NOBODY;
}

struct span logins_by_certificate(
	const struct logins *l, struct span fingerprint, struct span subject)
{
	const struct certificate *c =
		fingerprint.len ? map_get(l->certificates, fingerprint) : NULL;

	if (!c && subject.len)
		c = map_get(l->certificates, subject);
	return c ? c->login : SPAN_NULL;
}

const char *logins_hostname(const struct logins *l)
{
	return l->route->config->hostname;
}

struct span logins_decoy(const struct logins *l)
{
	return l->decoy.len ? l->decoy : secret_decoy();
}
