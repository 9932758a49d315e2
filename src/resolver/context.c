/* libunbound in library form: no files, no threads, no resolv.conf, no hosts file, no log of its
 * own. Its defaults validate; nothing here may weaken that but dns.insecure, which is said by name.
 *
 * The library can forward only everything, so a zone of dns.forward has a context of its own that
 * forwards everything, and questions go to the context with the longest matching zone. An alias
 * that leads out of the zone is followed by that zone's server, as forwarders do. */
#include "resolver/context.h"
#include "base/library.h"
#include "resolver/anchor.h"
#include <stdlib.h>
#include <unbound-event.h>
#include <unbound.h>

#define FORWARDS_MAX 64u
#define CLASS_IN     1
#define CALLS(F)                                                                                   \
	F(ub_ctx_create_ub_event)                                                                  \
	F(ub_ctx_delete)                                                                           \
	F(ub_ctx_set_option)                                                                       \
	F(ub_ctx_debugout)                                                                         \
	F(ub_ctx_add_ta)                                                                           \
	F(ub_ctx_set_fwd)                                                                          \
	F(ub_ctx_set_stub)                                                                         \
	F(ub_ctx_zone_remove)                                                                      \
	F(ub_resolve_event)

struct context {
	const char *zone; /* "": the world */
	struct ub_ctx *ub;
};
struct contexts {
	struct context list[FORWARDS_MAX + 1];
	size_t n;
	char *zones[FORWARDS_MAX + 1];
};

static LIBRARY_TABLE(CALLS) unbound;

int contexts_load(const char **ret_why)
{
	static const char *const names[] = {CALLS(LIBRARY_NAME)};

	return library_load(SONAME_UNBOUND, names, ARRAY_LEN(names), &unbound, ret_why);
}

/* "192.0.2.53@5300" */
static int server_text(const struct address *a, struct buf *out)
{
	buf_reset(out);
	address_format_host(a, out);
	buf_printf(out, "@%u", address_port(a));
	buf_char(out, '\0');
	return out->error;
}

static int set(struct ub_ctx *ub, const char *option, const char *value)
{
	return unbound.ub_ctx_set_option(ub, option, value) == 0 ? 0 : -EINVAL;
}

static int set_octets(struct ub_ctx *ub, const char *option, uint64_t octets)
{
	struct buf value = BUF_INIT(32);

	buf_printf(&value, "%llu", (unsigned long long)octets);
	buf_char(&value, '\0');
	int r = value.error ? value.error : set(ub, option, value.ptr);
	buf_done(&value);
	return r;
}

static int set_options(struct ub_ctx *ub, uint64_t cache)
{
	static const char *const options[][2] = {
		/* A queue has many questions open at once. */
		{"outgoing-range:", "2048"},
		{"num-queries-per-thread:", "4096"},
		{"outgoing-num-tcp:", "64"},
		/* What failed is asked again within a minute: a retry comes later than that. */
		{"infra-host-ttl:", "60"},
		{"infra-keep-probing:", "yes"},
		{"val-bogus-ttl:", "30"},
		{"cache-max-ttl:", "86400"},
		{"cache-max-negative-ttl:", "3600"},
		{"prefetch:", "yes"},
		{"prefetch-key:", "yes"},
		{"qname-minimisation:", "yes"},
		{"aggressive-nsec:", "yes"},
		{"harden-below-nxdomain:", "yes"},
		{"harden-dnssec-stripped:", "yes"},
		{"harden-algo-downgrade:", "no"},
		{"minimal-responses:", "no"}, /* the SOA of an absence: its TTL */
		{"rrset-roundrobin:", "no"},  /* shuffling is the deliverer's, and it is tested */
		/* Zones of private networks may be forwarded to servers there. */
		{"unblock-lan-zones:", "yes"},
	};
	int r = unbound.ub_ctx_debugout(ub, NULL) == 0 ? 0 : -EINVAL;

	for (size_t i = 0; r == 0 && i < ARRAY_LEN(options); i++)
		r = set(ub, options[i][0], options[i][1]);
	if (r == 0)
		r = set_octets(ub, "rrset-cache-size:", cache / 2);
	if (r == 0)
		r = set_octets(ub, "msg-cache-size:", cache / 4);
	if (r == 0)
		r = set_octets(ub, "key-cache-size:", cache / 8);
	if (r == 0)
		r = set_octets(ub, "neg-cache-size:", cache / 8);
	return r;
}

static int set_anchors(struct ub_ctx *ub, const struct buf *anchors)
{
	int r = 0;

	for (size_t i = 0; !anchors && i < anchor_n_root && r == 0; i++)
		r = unbound.ub_ctx_add_ta(ub, anchor_root[i]);
	for (size_t at = 0; anchors && at < anchors->len && r == 0;) {
		r = unbound.ub_ctx_add_ta(ub, anchors->ptr + at);
		at += strlen(anchors->ptr + at) + 1;
	}
	return r == 0 ? 0 : -EINVAL;
}

static int set_insecure(struct ub_ctx *ub, const struct config *c)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < c->dns.n_insecure; i++)
		r = set(ub, "domain-insecure:", c->dns.insecure[i]);
	return r;
}

static int forward_all(struct ub_ctx *ub, const struct address *server)
{
	struct buf text = BUF_INIT(128);
	int r = server_text(server, &text);

	if (r == 0)
		r = unbound.ub_ctx_set_fwd(ub, text.ptr) == 0 ? 0 : -EINVAL;
	buf_done(&text);
	return r;
}

/* For the world: dns.server, and the stubs. */
static int set_world(struct ub_ctx *ub, const struct config *c)
{
	struct buf text = BUF_INIT(128);
	int r = 0;

	for (size_t i = 0; r == 0 && i < c->dns.n_servers; i++)
		r = forward_all(ub, &c->dns.servers[i].address);
	for (size_t i = 0; r == 0 && i < c->dns.n_stubs; i++) {
		r = server_text(&c->dns.stubs[i].server, &text);
		if (r == 0 && unbound.ub_ctx_set_stub(ub, c->dns.stubs[i].zone, text.ptr, 0) != 0)
			r = -EINVAL;
	}
	buf_done(&text);
	return r;
}

/* One for a forwarded zone, with all of its servers; or for the world (zone NULL). */
static int new_context(const struct config *c, const struct buf *anchors, struct events *e,
	const char *zone, struct ub_ctx **ret, const char **ret_why)
{
	struct ub_ctx *ub = unbound.ub_ctx_create_ub_event(events_base(e));

	if (!ub)
		return -ENOMEM;
	*ret_why = "set libunbound's options";
	int r = set_options(ub, zone ? MAX(c->dns.cache / 8, UINT64_C(1) << 20) : c->dns.cache);
	if (r == 0)
		r = set_insecure(ub, c);
	if (r == 0) {
		*ret_why = "set the servers of dns { }";
		if (!zone)
			r = set_world(ub, c);
		for (size_t i = 0; zone && r == 0 && i < c->dns.n_forwards; i++)
			if (strcmp(c->dns.forwards[i].zone, zone) == 0)
				r = forward_all(ub, &c->dns.forwards[i].server);
	}
	if (r == 0) {
		*ret_why = "take the trust anchors (are they sound DS or DNSKEY records?)";
		r = set_anchors(ub, anchors);
	}
	/* Its settings are read only now, and errors told. These names are the library's own. */
	if (r == 0)
		r = unbound.ub_ctx_zone_remove(ub, "test.") == 0 &&
				    unbound.ub_ctx_zone_remove(ub, "home.arpa.") == 0
			    ? 0
			    : -EINVAL;
	if (r < 0) {
		unbound.ub_ctx_delete(ub);
		return r;
	}
	*ret = ub;
	return 0;
}

static bool have_zone(const struct contexts *k, const char *zone)
{
	for (size_t i = 0; i < k->n; i++)
		if (strcmp(k->list[i].zone, zone) == 0)
			return true;
	return false;
}

static int add(struct contexts *k, const struct config *c, const struct buf *anchors,
	struct events *e, const char *zone, const char **ret_why)
{
	struct context *context = &k->list[k->n];

	k->zones[k->n] = strdup(zone ? zone : "");
	if (!k->zones[k->n])
		return -ENOMEM;
	context->zone = k->zones[k->n];
	int r = new_context(c, anchors, e, zone, &context->ub, ret_why);
	if (r < 0) {
		free(TAKE(k->zones[k->n]));
		return r;
	}
	k->n++;
	return 0;
}

int contexts_new(const struct config *c, const struct buf *anchors, struct events *e,
	struct contexts **ret, const char **ret_why)
{
	struct contexts *k = calloc(1, sizeof(*k));

	*ret_why = "find memory";
	if (!k)
		return -ENOMEM;
	int r = add(k, c, anchors, e, NULL, ret_why);
	for (size_t i = 0; r == 0 && i < c->dns.n_forwards; i++) {
		if (have_zone(k, c->dns.forwards[i].zone))
			continue;
		*ret_why = "have that many zones in dns.forward (64 at most)";
		r = k->n > FORWARDS_MAX ? -EINVAL
					: add(k, c, anchors, e, c->dns.forwards[i].zone, ret_why);
	}
	if (r < 0) {
		contexts_free(k);
		return r;
	}
	*ret = k;
	return 0;
}

void contexts_free(struct contexts *k)
{
	if (!k)
		return;
	for (size_t i = 0; i < k->n; i++) {
		unbound.ub_ctx_delete(k->list[i].ub);
		free(k->zones[i]);
	}
	free(k);
}

static bool is_below(struct span name, struct span zone)
{
	if (zone.len == 0 || span_equal(zone, SPAN_LIT(".")))
		return true;
	if (name.len < zone.len || !span_equal_nocase(span_from(name, name.len - zone.len), zone))
		return false;
	return name.len == zone.len || name.ptr[name.len - zone.len - 1] == '.';
}

struct ub_ctx *contexts_for(struct contexts *k, struct span name)
{
	struct context *best = &k->list[0];

	if (name.len > 0 && name.ptr[name.len - 1] == '.')
		name.len--;
	for (size_t i = 1; i < k->n; i++)
		if (is_below(name, span_str(k->list[i].zone)) &&
			strlen(k->list[i].zone) >= strlen(best->zone))
			best = &k->list[i];
	return best->ub;
}

int contexts_ask(
	struct contexts *k, const char *name, uint16_t type, contexts_answer *fn, void *arg)
{
	struct ub_ctx *ub = contexts_for(k, span_str(name));

	return unbound.ub_resolve_event(ub, name, type, CLASS_IN, arg, fn, NULL) == 0 ? 0 : -EIO;
}

static void describe_zones(const struct config_dns_zone *list, size_t n, struct buf *out)
{
	buf_printf(out, "%zu:", n);
	for (size_t i = 0; i < n; i++) {
		buf_printf(out, "%s ", list[i].zone);
		address_format(&list[i].server, out);
		buf_char(out, '\n');
	}
}

void contexts_describe(const struct config *c, struct buf *out)
{
	buf_printf(out, "%llu %zu:", (unsigned long long)c->dns.cache, c->dns.n_servers);
	for (size_t i = 0; i < c->dns.n_servers; i++) {
		address_format(&c->dns.servers[i].address, out);
		buf_char(out, '\n');
	}
	describe_zones(c->dns.stubs, c->dns.n_stubs, out);
	describe_zones(c->dns.forwards, c->dns.n_forwards, out);
	for (size_t i = 0; i < c->dns.n_insecure; i++)
		buf_printf(out, "%s\n", c->dns.insecure[i]);
}
