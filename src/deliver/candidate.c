/* Looking a host up, in this order: addresses, TLSA records, policy, names.
 *
 * Reference identifiers, by what proves the host:
 * - DANE-TA (RFC 7672 3.2.2): the TLSA base domain, and where DNSSEC proves the MX set, the
 * next-hop domain.
 * - MTA-STS (RFC 8461 4.1): the host's name, which the policy named.
 * - `verify` on the way to MX hosts that nothing proves: only the domain and what is below it; a
 *   forged MX set must not choose the name that is looked for. Else the host's own name.
 * - Opportunistic: the host's name, for the log; it decides nothing. */
#include "deliver/candidate.h"

#include "deliver/dial.h"
#include "mail/facts.h"

static void add_name(struct candidate *c, struct span name)
{
	if (name.len > 0 && c->target.n_names < CANDIDATE_NAMES_MAX)
		c->names[c->target.n_names++] = name;
}

static void name_domain(struct candidate *c, const struct job *j, struct arena *a)
{
	struct buf below = BUF_INIT(512);
	buf_char(&below, '.');
	buf_put(&below, j->domain);
	add_name(c, j->domain);
	if (!below.error)
		add_name(c, arena_span(a, buf_span(&below)));
	buf_done(&below);
}

static void set_names(struct candidate *c, const struct candidate_ask *ask)
{
	const struct job *j = &ask->d->job;
	bool by_mx = j->n_hosts > 0;
	bool proved = !by_mx || j->mx_secure || ask->sts == STS_ENFORCED;
	if (c->policy.want == TLS_WANT_DANE) {
		if (by_mx && j->mx_secure)
			add_name(c, j->domain);
		else if (!by_mx)
			add_name(c, c->host);
		return;
	}
	if (c->policy.want == TLS_WANT_PKIX && strcmp(c->policy.by, "sts") != 0) {
		for (size_t i = 0; i < ask->way->n_names; i++)
			add_name(c, span_str(ask->way->names[i]));
		if (!proved) {
			name_domain(c, j, ask->d->arena);
			return;
		}
	}
	if (!c->addresses.numeric || span_equal_nocase(c->host, SPAN_LIT("localhost")))
		add_name(c, c->host);
	else if (c->addresses.n > 0)
		c->target.literal = c->addresses.list[0];
}

static void set_target(struct candidate *c, const struct candidate_ask *ask)
{
	c->target = (struct tls_target){
		.want = c->policy.want,
		.test_names = c->policy.test_names,
		.san_only = c->policy.want == TLS_WANT_PKIX && strcmp(c->policy.by, "sts") == 0,
		.host = c->addresses.numeric ? SPAN_NULL : c->host,
		.fingerprints = ask->way->fingerprints,
		.n_fingerprints = ask->way->n_fingerprints,
		.roots = ask->way->roots,
		.certificate = ask->way->shown ? ask->way->shown->certificate : NULL,
		.certificate_key = ask->way->shown ? ask->way->shown->key : NULL,
		.dane = &c->dane,
	};
	set_names(c, ask);
	c->target.names = c->names;
}

static void put_dane(const struct dane *d, struct buf *out)
{
	wire_put_span(out, d->base);
	wire_put_u32(out, d->n);
	for (unsigned i = 0; i < d->n; i++) {
		wire_put_u8(out, d->records[i].usage);
		wire_put_u8(out, d->records[i].selector);
		wire_put_u8(out, d->records[i].matching);
		wire_put_span(out, d->records[i].data);
	}
}

/* A renewed certificate is another one for the peer, who may look at its serial number. */
static void put_shown(const struct shown *s, struct buf *out)
{
	uint8_t digest[EVP_MAX_MD_SIZE];
	unsigned len = 0;
	if (s && X509_digest(s->certificate->leaf, EVP_sha256(), digest, &len) != 1)
		len = 0;
	wire_put_span(out, span_make(digest, len));
}

/* Length-prefixed, so that nothing runs together. */
static int set_key(struct candidate *c, const struct candidate_ask *ask)
{
	const struct job *j = &ask->d->job;
	const struct way *way = ask->way;
	struct buf key = BUF_INIT(1 << 20);
	wire_put_u8(&key, (uint8_t)j->via);
	wire_put_u16(&key, j->port);
	wire_put_u8(&key, j->implicit_tls);
	wire_put_span(&key, c->host);
	wire_put_span(&key, j->path);
	wire_put_span(&key, span_str(way->name));
	wire_put_span(&key, span_str(way->from_v4.helo));
	wire_put_span(&key, span_str(way->from_v6.helo));
	wire_put_span(&key, span_str(way->user));
	put_shown(way->shown, &key);
	wire_put_span(&key, span_make(&way->from_v4.address.ss, way->from_v4.address.len));
	wire_put_span(&key, span_make(&way->from_v6.address.ss, way->from_v6.address.len));
	wire_put_u8(&key, (uint8_t)c->policy.want);
	wire_put_u8(&key, c->policy.requiretls);
	wire_put_u8(&key, c->target.san_only);
	for (unsigned i = 0; i < c->target.n_names; i++)
		wire_put_span(&key, c->names[i]);
	for (size_t i = 0; i < way->n_fingerprints; i++)
		wire_put_span(&key, span_str(way->fingerprints[i]));
	if (c->policy.want == TLS_WANT_DANE)
		put_dane(&c->dane, &key);
	c->key = key.error ? SPAN_NULL : arena_span(ask->d->arena, buf_span(&key));
	c->target.key = c->key;
	buf_done(&key);
	return c->key.ptr ? 0 : -ENOMEM;
}

static void decide(struct candidate *c, const struct candidate_ask *ask)
{
	const struct job *j = &ask->d->job;
	struct tls_question q = {
		.level = ask->way->tls,
		.implicit = j->implicit_tls,
		.credentials = ask->way->wants_auth || ask->way->wants_certificate,
		.loopback = c->addresses.loopback,
		.requiretls = (j->flags & MESSAGE_REQUIRETLS) != 0,
		.optional = (j->flags & MESSAGE_TLS_OPTIONAL) != 0,
		.by_mx = j->n_hosts > 0,
		.mx_secure = j->mx_secure,
		.dane = c->dane.state,
		.sts = ask->sts,
	};
	/* A unix socket's peer is this machine: there is nothing to protect on the way. */
	if (j->path.len > 0)
		c->policy = (struct tls_answer){.want = TLS_WANT_CLEAR, .by = "unix"};
	else
		c->policy = tls_decide(&q);
}

SUSPENDS static int find_addresses(struct candidate *c, const struct candidate_ask *ask)
{
	const struct job *j = &ask->d->job;
	if (j->path.len > 0) {
		c->addresses.numeric = c->addresses.loopback = true;
		if (dial_unix_address(j->path, &c->addresses.list[0]) >= 0)
			c->addresses.n = 1;
		return 0;
	}
	int r = addresses_find(
		ask->out->resolver, ask->host, j->port, ask->d->arena, &c->addresses);
	if (r >= 0 && c->addresses.n == 0)
		c->nowhere = !resolve_is_temporary(c->addresses.status);
	return r;
}

int candidate_find(const struct candidate_ask *ask, struct candidate **ret)
{
	const struct job *j = &ask->d->job;
	struct arena *a = ask->d->arena;
	struct candidate *c = arena_alloc(a, sizeof(*c));
	if (!c)
		return -ENOMEM;
	c->host = ask->host;
	int r = find_addresses(c, ask);
	/* RFC 8689 4.1: a message that does without TLS needs no records about it. */
	bool optional = (j->flags & MESSAGE_TLS_OPTIONAL) && !(j->flags & MESSAGE_REQUIRETLS) &&
			ask->way->tls == TLS_LEVEL_AUTO;
	if (r >= 0 && c->addresses.n > 0 && tls_level_uses_dane(ask->way->tls) && !optional)
		r = dane_find(ask->out->resolver, c->host, j->port, &c->addresses, a, &c->dane);
	if (r < 0)
		return r;
	decide(c, ask);
	set_target(c, ask);
	r = set_key(c, ask);
	*ret = c;
	return r;
}
