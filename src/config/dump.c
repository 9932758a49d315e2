/* The tree as octets and back, for the roles that the supervisor starts. One walk serves both
 * directions: each step either writes a field or reads it, so that writer and reader cannot get
 * out of step, and a new field is one line. The octets come from our own supervisor, yet reading
 * is bounded all the same: a count is never trusted beyond the octets that are left. */
#include "config/tree.h"
#include "base/wire.h"
#include <stdlib.h>

#define DUMP_VERSION 1

struct codec {
	struct buf *out; /* writing; else reading */
	struct wire in;
};

static bool failed(const struct codec *k)
{
	return k->out ? k->out->error != 0 : k->in.error != 0;
}

static void set_error(struct codec *k, int error)
{
	if (!k->out && !k->in.error)
		k->in.error = error;
}

static void walk_u64(struct codec *k, uint64_t *v)
{
	if (k->out)
		wire_put_u64(k->out, *v);
	else
		*v = wire_get_u64(&k->in);
}

static void walk_bool(struct codec *k, bool *v)
{
	uint64_t n = *v;
	walk_u64(k, &n);
	if (!k->out)
		*v = n != 0;
}

static void walk_unsigned(struct codec *k, unsigned *v)
{
	uint64_t n = *v;
	walk_u64(k, &n);
	if (!k->out)
		*v = (unsigned)n;
}

/* Enumerations are unsigned to gcc and clang alike as long as none is negative. */
#define WALK_ENUM(k, field, last)                                                                  \
	do {                                                                                       \
		uint64_t walk_n_ = (uint64_t)(field);                                              \
		walk_u64((k), &walk_n_);                                                           \
		if (walk_n_ > (uint64_t)(last))                                                    \
			set_error((k), -EBADMSG);                                                  \
		else if (!(k)->out)                                                                \
			(field) = (__typeof__(field))walk_n_;                                      \
	} while (0)

static void walk_string(struct codec *k, char **s)
{
	bool given = *s != NULL;
	walk_bool(k, &given);
	if (k->out) {
		if (given)
			wire_put_span(k->out, span_str(*s));
		return;
	}
	struct span text = given ? wire_get_span(&k->in) : SPAN_NULL;
	if (!given || failed(k))
		return;
	*s = strndup(text.ptr ? text.ptr : "", text.len);
	if (!*s)
		set_error(k, -ENOMEM);
}

/* A list's length; when reading, also its memory. */
static void walk_count(struct codec *k, size_t *n, void **list, size_t size)
{
	uint64_t count = *n;
	walk_u64(k, &count);
	if (k->out)
		return;
	/* Each element is at least one octet of the text. */
	if (failed(k) || count > k->in.rest.len) {
		set_error(k, -EBADMSG);
		return;
	}
	*list = calloc(count ? count : 1, size);
	if (*list)
		*n = count;
	else
		set_error(k, -ENOMEM);
}

#define WALK_COUNT(k, n, list)                                                                     \
	do {                                                                                       \
		void *walk_list_ = (list);                                                         \
		walk_count((k), &(n), &walk_list_, sizeof(*(list)));                               \
		if (!(k)->out)                                                                     \
			(list) = walk_list_;                                                       \
	} while (0)

static void walk_octets(struct codec *k, void *ptr, size_t len)
{
	if (k->out) {
		wire_put_span(k->out, span_make(ptr, len));
		return;
	}
	struct span s = wire_get_span(&k->in);
	if (failed(k) || s.len != len)
		set_error(k, -EBADMSG);
	else
		memcpy(ptr, s.ptr, len);
}

static void walk_target(struct codec *k, struct target *t)
{
	unsigned port = t->port;
	WALK_ENUM(k, t->kind, TARGET_HOLD);
	walk_string(k, &t->host);
	walk_unsigned(k, &port);
	if (!k->out)
		t->port = (uint16_t)port;
	walk_string(k, &t->path);
	walk_string(k, &t->text);
}

static void walk_address(struct codec *k, struct address *a)
{
	unsigned len = a->len;
	walk_unsigned(k, &len);
	if (!k->out)
		a->len = (socklen_t)len;
	walk_octets(k, &a->ss, sizeof(a->ss));
}

static void walk_networks(struct codec *k, struct network **list, size_t *n)
{
	WALK_COUNT(k, *n, *list);
	for (size_t i = 0; i < *n && !failed(k); i++)
		walk_octets(k, &(*list)[i], sizeof(**list));
}

static void walk_listener(struct codec *k, struct config_listener *l)
{
	walk_string(k, &l->name);
	walk_string(k, &l->at);
	WALK_ENUM(k, l->role, LISTENER_LMTP);
	WALK_ENUM(k, l->tls, TLS_NONE);
	WALK_ENUM(k, l->tls_client, TLS_CLIENT_REQUIRE);
	WALK_COUNT(k, l->n_addresses, l->addresses);
	for (size_t i = 0; i < l->n_addresses && !failed(k); i++) {
		struct config_address *a = &l->addresses[i];
		walk_address(k, &a->address);
		walk_string(k, &a->text);
	}
	walk_networks(k, &l->proxy, &l->n_proxy);
	walk_networks(k, &l->xclient, &l->n_xclient);
	walk_networks(k, &l->xforward, &l->n_xforward);
}

static void walk_domain(struct codec *k, struct config_domain *d)
{
	walk_string(k, &d->name);
	walk_string(k, &d->at);
	WALK_ENUM(k, d->users, USERS_ANY);
	walk_string(k, &d->users_path);
	walk_string(k, &d->aliases_path);
	walk_string(k, &d->senders_path);
	walk_target(k, &d->deliver);
	walk_string(k, &d->catch_all);
	walk_string(k, &d->subaddress);
	walk_bool(k, &d->dkim);
	walk_bool(k, &d->vrfy);
	walk_bool(k, &d->expn);
	walk_bool(k, &d->etrn);
}

static void walk_strings(struct codec *k, char ***list, size_t *n)
{
	WALK_COUNT(k, *n, *list);
	for (size_t i = 0; i < *n && !failed(k); i++)
		walk_string(k, &(*list)[i]);
}

/* Of credentials only the path travels: the file goes as an fd to the one role that needs it. */
static void walk_outbound(struct codec *k, struct config_outbound *o)
{
	WALK_ENUM(k, o->tls, TLS_LEVEL_DANE);
	walk_strings(k, &o->tls_names, &o->n_tls_names);
	walk_strings(k, &o->tls_fingerprints, &o->n_tls_fingerprints);
	walk_string(k, &o->tls_ca);
	walk_string(k, &o->credentials);
	walk_string(k, &o->certificate);
	walk_string(k, &o->key);
	WALK_COUNT(k, o->n_sources, o->sources);
	for (size_t i = 0; i < o->n_sources && !failed(k); i++) {
		walk_address(k, &o->sources[i].address);
		walk_string(k, &o->sources[i].name);
		walk_unsigned(k, &o->sources[i].weight);
		walk_string(k, &o->sources[i].text);
	}
}

static void walk_route(struct codec *k, struct config_route *r)
{
	walk_string(k, &r->domain);
	walk_string(k, &r->table);
	walk_string(k, &r->at);
	walk_target(k, &r->via);
	walk_bool(k, &r->etrn);
	walk_outbound(k, &r->out);
}

static void walk_blocks(struct codec *k, struct config *c)
{
	WALK_COUNT(k, c->n_listeners, c->listeners);
	for (size_t i = 0; i < c->n_listeners && !failed(k); i++)
		walk_listener(k, &c->listeners[i]);
	WALK_COUNT(k, c->n_domains, c->domains);
	for (size_t i = 0; i < c->n_domains && !failed(k); i++)
		walk_domain(k, &c->domains[i]);
	WALK_COUNT(k, c->n_routes, c->routes);
	for (size_t i = 0; i < c->n_routes && !failed(k); i++)
		walk_route(k, &c->routes[i]);
	walk_networks(k, &c->relay.from, &c->relay.n_from);
	walk_target(k, &c->relay.via);
	walk_outbound(k, &c->relay.out);
}

static void walk_texts(struct codec *k, char ***list, size_t *n)
{
	WALK_COUNT(k, *n, *list);
	for (size_t i = 0; i < *n && !failed(k); i++)
		walk_string(k, &(*list)[i]);
}

static void walk_tls(struct codec *k, struct config *c)
{
	walk_string(k, &c->tls.at);
	walk_texts(k, &c->tls.certificates, &c->tls.n_certificates);
	walk_texts(k, &c->tls.keys, &c->tls.n_keys);
	walk_texts(k, &c->tls.ocsp, &c->tls.n_ocsp);
	walk_string(k, &c->tls.client_ca);
	WALK_ENUM(k, c->tls.ciphers, TLS_CIPHERS_OLD);
	WALK_ENUM(k, c->tls.client, TLS_CLIENT_REQUIRE);
	WALK_ENUM(k, c->tls.keys_in, TLS_KEYS_RECEIVER);
	walk_u64(k, &c->tls.handshake_timeout);
}

static void walk_limits(struct codec *k, struct config *c)
{
	uint64_t *numbers[] = {&c->limits.message_size, &c->limits.recipients, &c->limits.errors,
		&c->limits.line_length, &c->limits.transactions, &c->limits.recipient_domains,
		&c->queue.future_release, &c->limits.connections, &c->limits.connections_per_ip,
		&c->limits.hops, &c->limits.command_timeout, &c->limits.data_timeout,
		&c->limits.data_rate, &c->queue.warn, &c->queue.expire, &c->queue.bounce_expire,
		&c->queue.concurrency, &c->queue.connect_timeout, &c->queue.command_timeout,
		&c->queue.data_timeout, &c->auth.message_size, &c->auth.recipients,
		&c->auth.messages_per_hour, &c->auth.recipients_per_hour, &c->spool.segment_size,
		&c->spool.reserve, &c->spool.compact, &c->grace};

	for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
		walk_u64(k, numbers[i]);
	walk_networks(k, &c->limits.bare_newlines, &c->limits.n_bare_newlines);
	WALK_COUNT(k, c->queue.n_retry, c->queue.retry);
	for (size_t i = 0; i < c->queue.n_retry && !failed(k); i++)
		walk_u64(k, &c->queue.retry[i]);
}

static void walk_zones(struct codec *k, struct config_dns_zone **list, size_t *n)
{
	WALK_COUNT(k, *n, *list);
	for (size_t i = 0; i < *n && !failed(k); i++) {
		walk_string(k, &(*list)[i].zone);
		walk_address(k, &(*list)[i].server);
	}
}

static void walk_dns(struct codec *k, struct config *c)
{
	WALK_COUNT(k, c->dns.n_servers, c->dns.servers);
	for (size_t i = 0; i < c->dns.n_servers && !failed(k); i++) {
		walk_address(k, &c->dns.servers[i].address);
		walk_string(k, &c->dns.servers[i].text);
	}
	walk_zones(k, &c->dns.stubs, &c->dns.n_stubs);
	walk_zones(k, &c->dns.forwards, &c->dns.n_forwards);
	WALK_COUNT(k, c->dns.n_insecure, c->dns.insecure);
	for (size_t i = 0; i < c->dns.n_insecure && !failed(k); i++)
		walk_string(k, &c->dns.insecure[i]);
	walk_string(k, &c->dns.trust_anchor);
	walk_u64(k, &c->dns.timeout);
	walk_u64(k, &c->dns.cache);
}

static void walk_config(struct codec *k, struct config *c)
{
	char **strings[] = {&c->path, &c->folder, &c->hostname, &c->data, &c->user, &c->mail_user,
		&c->log.format, &c->log.level, &c->control.http, &c->tls_ca,
		&c->tlsrpt.organization, &c->tlsrpt.contact};
	uint64_t version = DUMP_VERSION;

	walk_u64(k, &version);
	if (version != DUMP_VERSION)
		set_error(k, -EBADMSG);
	for (size_t i = 0; i < ARRAY_LEN(strings) && !failed(k); i++)
		walk_string(k, strings[i]);
	walk_bool(k, &c->evaluation);
	walk_unsigned(k, &c->auth.mechanisms);
	walk_bool(k, &c->auth.hide_client);
	walk_bool(k, &c->tlsrpt.enabled);
	walk_u64(k, &c->tlsrpt.delay);
	walk_unsigned(k, &c->receivers);
	walk_unsigned(k, &c->deliverers);
	walk_blocks(k, c);
	walk_limits(k, c);
	walk_dns(k, c);
	walk_tls(k, c);
	WALK_COUNT(k, c->n_unsupported, c->unsupported);
	for (size_t i = 0; i < c->n_unsupported && !failed(k); i++)
		walk_string(k, &c->unsupported[i]);
}

void config_dump(const struct config *c, struct buf *out)
{
	struct codec k = {.out = out};
	/* The copy is for the const; in this direction the walk stores nothing, neither in it nor
	 * in the lists that it shares with the caller's tree. */
	struct config copy = *c;
	walk_config(&k, &copy);
}

int config_parse_dump(struct span text, struct config **ret_config)
{
	CLEANUP(config_freep) struct config *c = calloc(1, sizeof(*c));
	struct codec k = {.in = wire_reader(text)};

	if (!c)
		return -ENOMEM;
	walk_config(&k, c);
	if (k.in.error)
		return k.in.error;
	if (k.in.rest.len > 0)
		return -EBADMSG;
	int r = tree_index_routes(c);
	if (r < 0)
		return r;
	*ret_config = TAKE(c);
	return 0;
}
