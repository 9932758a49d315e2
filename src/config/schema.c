/* The table of everything that the configuration may say. The scanner takes the names and shapes
 * from it, load.c the readers and places; a new key is one line here, one in the manual page and
 * one in packaging/postrider.conf (a unit test compares them). Keys whose work comes later have
 * `inactive`: they parse from the first day, and check and serve say that they have no effect. */
#include "config/schema.h"
#include "config/value.h"

#define DAY_USEC (24 * 3600 * USEC_PER_SEC)
/* Beyond a year a wait is a slip of the pen; it also keeps sums far from overflow. */
#define DURATION_MAX (366 * DAY_USEC)
#define OCTETS_MAX   (UINT64_C(1) << 40)

#define IN(field)	   .offset = offsetof(struct config, field)
#define IN_LISTENER(field) .offset = offsetof(struct config_listener, field)
#define IN_DOMAIN(field)   .offset = offsetof(struct config_domain, field)
#define IN_ROUTE(field)	   .offset = offsetof(struct config_route, field)
#define COUNT(type, field) .list = true, .count_offset = offsetof(struct type, field)
#define RANGE(low, high)   .min = (low), .max = (high)
#define SECONDS(low)	   .min = (low), .max = DURATION_MAX

static const struct key keys_root[] = {
	{.name = "hostname", .read = value_hostname, IN(hostname)},
	{.name = "data", .read = value_data, IN(data)},
	{.name = "user", .read = value_account, IN(user)},
	{.name = "mail_user", .read = value_account, IN(mail_user)},
	{.name = "grace", .read = value_duration, IN(grace), SECONDS(0)},
};
static const struct key keys_listener[] = {
	{.name = "address",
		.read = value_addresses,
		IN_LISTENER(addresses),
		COUNT(config_listener, n_addresses)},
	{.name = "role", .read = value_role, IN_LISTENER(role)},
	{.name = "tls", .read = value_listener_tls, IN_LISTENER(tls)},
	{.name = "tls_client", .read = value_tls_client, IN_LISTENER(tls_client)},
	{.name = "proxy",
		.read = value_networks,
		IN_LISTENER(proxy),
		COUNT(config_listener, n_proxy)},
	{.name = "xclient",
		.read = value_networks,
		IN_LISTENER(xclient),
		COUNT(config_listener, n_xclient)},
	{.name = "xforward",
		.read = value_networks,
		IN_LISTENER(xforward),
		COUNT(config_listener, n_xforward)},
};
static const struct key keys_domain[] = {
	{.name = "users", .read = value_users, .offset = 0},
	{.name = "aliases", .read = value_aliases, IN_DOMAIN(aliases_path)},
	{.name = "senders", .read = value_aliases, IN_DOMAIN(senders_path)},
	{.name = "deliver", .read = value_target, IN_DOMAIN(deliver)},
	{.name = "catch_all", .read = value_catch_all, IN_DOMAIN(catch_all)},
	{.name = "subaddress", .read = value_subaddress, IN_DOMAIN(subaddress)},
	{.name = "dkim", .read = value_dkim, IN_DOMAIN(dkim)},
	{.name = "vrfy", .read = value_bool, IN_DOMAIN(vrfy)},
	{.name = "expn", .read = value_bool, IN_DOMAIN(expn)},
	{.name = "etrn", .read = value_bool, IN_DOMAIN(etrn)},
};
/* clang-format off */
#define KEYS_OUTBOUND(type, o)                                                                     \
	{.name = "tls", .read = value_route_tls, .offset = offsetof(struct type, o.tls)},          \
	{.name = "tls_names", .read = value_names, .offset = offsetof(struct type, o.tls_names),   \
		COUNT(type, o.n_tls_names)},                                                       \
	{.name = "tls_fingerprints", .read = value_fingerprints,                                   \
		.offset = offsetof(struct type, o.tls_fingerprints),                               \
		COUNT(type, o.n_tls_fingerprints)},                                                \
	{.name = "tls_ca", .read = value_path, .offset = offsetof(struct type, o.tls_ca)},         \
	{.name = "credentials", .read = value_credentials,                                         \
		.offset = offsetof(struct type, o.credentials)},                                   \
	{.name = "certificate", .read = value_path,                                                \
		.offset = offsetof(struct type, o.certificate)},                                   \
	{.name = "key", .read = value_path, .offset = offsetof(struct type, o.key)},               \
	{.name = "source", .read = value_sources, .offset = offsetof(struct type, o.sources),      \
		COUNT(type, o.n_sources)}
/* clang-format on */
static const struct key keys_route[] = {
	{.name = "via", .read = value_target, IN_ROUTE(via)},
	{.name = "etrn", .read = value_bool, IN_ROUTE(etrn)},
	KEYS_OUTBOUND(config_route, out),
};
static const struct key keys_relay[] = {
	{.name = "from", .read = value_networks, IN(relay.from), COUNT(config, relay.n_from)},
	{.name = "via", .read = value_target, IN(relay.via)},
	KEYS_OUTBOUND(config, relay.out),
};
static const struct key keys_limits[] = {
	{.name = "message_size",
		.read = value_octets,
		IN(limits.message_size),
		RANGE(1, OCTETS_MAX)},
	/* RFC 5321 4.5.3.1.8: at least 100 */
	{.name = "recipients", .read = value_number, IN(limits.recipients), RANGE(100, 1000000)},
	{.name = "transactions", .read = value_number, IN(limits.transactions), RANGE(0, 1000000)},
	{.name = "recipient_domains",
		.read = value_number,
		IN(limits.recipient_domains),
		RANGE(0, 1000000)},
	{.name = "errors", .read = value_number, IN(limits.errors), RANGE(1, 1000000)},
	{.name = "connections", .read = value_number, IN(limits.connections), RANGE(1, 1000000)},
	{.name = "connections_per_ip",
		.read = value_number,
		IN(limits.connections_per_ip),
		RANGE(1, 1000000)},
	{.name = "line_length", .read = value_number, IN(limits.line_length), RANGE(0, 1000000000)},
	{.name = "hops", .read = value_number, IN(limits.hops), RANGE(1, 1000)},
	{.name = "command_timeout", .read = value_duration, IN(limits.command_timeout), SECONDS(1)},
	{.name = "data_timeout", .read = value_duration, IN(limits.data_timeout), SECONDS(1)},
	{.name = "data_rate", .read = value_octets, IN(limits.data_rate), RANGE(0, OCTETS_MAX)},
	{.name = "bare_newlines",
		.read = value_networks,
		IN(limits.bare_newlines),
		COUNT(config, limits.n_bare_newlines)},
	{.name = "rates", .read = value_accept, .list = true, .inactive = "no rate is limited"},
};
static const struct key keys_queue[] = {
	{.name = "retry",
		.read = value_durations,
		IN(queue.retry),
		COUNT(config, queue.n_retry),
		SECONDS(1)},
	{.name = "warn", .read = value_duration, IN(queue.warn), SECONDS(0)},
	{.name = "expire", .read = value_duration, IN(queue.expire), SECONDS(1)},
	{.name = "bounce_expire", .read = value_duration, IN(queue.bounce_expire), SECONDS(1)},
	{.name = "future_release", .read = value_duration, IN(queue.future_release), SECONDS(0)},
	{.name = "concurrency", .read = value_number, IN(queue.concurrency), RANGE(1, 10000)},
	{.name = "connect_timeout", .read = value_duration, IN(queue.connect_timeout), SECONDS(1)},
	{.name = "command_timeout", .read = value_duration, IN(queue.command_timeout), SECONDS(1)},
	{.name = "data_timeout", .read = value_duration, IN(queue.data_timeout), SECONDS(1)},
};
static const struct key keys_spool[] = {
	{.name = "segment_size",
		.read = value_octets,
		IN(spool.segment_size),
		RANGE(UINT64_C(1) << 20, UINT64_C(1) << 30)},
	{.name = "reserve", .read = value_octets, IN(spool.reserve), RANGE(0, OCTETS_MAX)},
	{.name = "compact", .read = value_duration, IN(spool.compact), SECONDS(0)},
};
static const struct key keys_log[] = {
	{.name = "format", .read = value_log_format, IN(log.format)},
	{.name = "level", .read = value_log_level, IN(log.level)},
};
static const struct key keys_control[] = {
	{.name = "http",
		.read = value_http,
		IN(control.http),
		.inactive = "the HTTP port stays closed"},
};
static const struct key keys_processes[] = {
	{.name = "receivers", .read = value_processes, IN(receivers), RANGE(0, 256)},
	{.name = "deliverers", .read = value_processes, IN(deliverers), RANGE(0, 256)},
};
static const struct key keys_tls[] = {
	{.name = "certificate",
		.read = value_paths,
		IN(tls.certificates),
		COUNT(config, tls.n_certificates)},
	{.name = "key", .read = value_paths, IN(tls.keys), COUNT(config, tls.n_keys)},
	{.name = "ocsp", .read = value_paths, IN(tls.ocsp), COUNT(config, tls.n_ocsp)},
	{.name = "ciphers", .read = value_tls_ciphers, IN(tls.ciphers)},
	{.name = "client", .read = value_tls_client, IN(tls.client)},
	{.name = "client_ca", .read = value_path, IN(tls.client_ca)},
	{.name = "keys", .read = value_tls_keys, IN(tls.keys_in)},
	{.name = "handshake_timeout",
		.read = value_duration,
		IN(tls.handshake_timeout),
		SECONDS(1)},
	{.name = "ca", .read = value_path, IN(tls_ca)},
};
static const struct key keys_dns[] = {
	{.name = "server",
		.read = value_dns_servers,
		IN(dns.servers),
		COUNT(config, dns.n_servers)},
	{.name = "stub", .read = value_dns_zones, IN(dns.stubs), COUNT(config, dns.n_stubs)},
	{.name = "forward",
		.read = value_dns_zones,
		IN(dns.forwards),
		COUNT(config, dns.n_forwards)},
	{.name = "insecure",
		.read = value_dns_names,
		IN(dns.insecure),
		COUNT(config, dns.n_insecure)},
	{.name = "trust_anchor", .read = value_path, IN(dns.trust_anchor)},
	{.name = "timeout", .read = value_duration, IN(dns.timeout), SECONDS(1)},
	{.name = "cache",
		.read = value_octets,
		IN(dns.cache),
		RANGE(UINT64_C(1) << 20, UINT64_C(1) << 34)},
};
static const struct key keys_tlsrpt[] = {
	{.name = "enabled", .read = value_bool, IN(tlsrpt.enabled)},
	{.name = "organization", .read = value_words, IN(tlsrpt.organization)},
	{.name = "contact", .read = value_mail_address, IN(tlsrpt.contact)},
	{.name = "delay",
		.read = value_duration,
		IN(tlsrpt.delay),
		.max = 12 * 3600 * USEC_PER_SEC},
};
static const struct key keys_auth[] = {
	{.name = "mechanisms", .read = value_mechanisms, .list = true, IN(auth.mechanisms)},
	{.name = "hide_client", .read = value_bool, IN(auth.hide_client)},
	{.name = "message_size", .read = value_octets, IN(auth.message_size), RANGE(0, OCTETS_MAX)},
	{.name = "recipients", .read = value_number, IN(auth.recipients), RANGE(0, 1000000)},
	{.name = "messages_per_hour",
		.read = value_number,
		IN(auth.messages_per_hour),
		RANGE(0, 1000000000)},
	{.name = "recipients_per_hour",
		.read = value_number,
		IN(auth.recipients_per_hour),
		RANGE(0, 1000000000)},
};

#define KEYS(table) .keys = (table), .n_keys = ARRAY_LEN(table)

const struct block schema_root = {.name = "", .record = RECORD_CONFIG, KEYS(keys_root)};
const struct block schema_blocks[] = {
	{.name = "listener", .record = RECORD_LISTENER, KEYS(keys_listener)},
	{.name = "domain", .record = RECORD_DOMAIN, KEYS(keys_domain)},
	{.name = "route", .record = RECORD_ROUTE, KEYS(keys_route)},
	{.name = "relay", .record = RECORD_CONFIG, KEYS(keys_relay)},
	{.name = "limits", .record = RECORD_CONFIG, KEYS(keys_limits)},
	{.name = "queue", .record = RECORD_CONFIG, KEYS(keys_queue)},
	{.name = "spool", .record = RECORD_CONFIG, KEYS(keys_spool)},
	{.name = "log", .record = RECORD_CONFIG, KEYS(keys_log)},
	{.name = "control", .record = RECORD_CONFIG, KEYS(keys_control)},
	{.name = "processes", .record = RECORD_CONFIG, KEYS(keys_processes)},
	{.name = "tls", .record = RECORD_CONFIG, KEYS(keys_tls)},
	{.name = "dns", .record = RECORD_CONFIG, KEYS(keys_dns)},
	{.name = "tlsrpt", .record = RECORD_CONFIG, KEYS(keys_tlsrpt)},
	{.name = "auth", .record = RECORD_CONFIG, KEYS(keys_auth)},
};
const size_t schema_n_blocks = ARRAY_LEN(schema_blocks);

const struct block *schema_block(struct span name)
{
	for (size_t i = 0; i < schema_n_blocks; i++)
		if (span_equal(name, span_str(schema_blocks[i].name)))
			return &schema_blocks[i];
	return NULL;
}

const struct key *schema_key(const struct block *block, struct span name)
{
	assert(block->n_keys <= SCHEMA_KEYS_MAX);
	for (size_t i = 0; i < block->n_keys; i++)
		if (span_equal(name, span_str(block->keys[i].name)))
			return &block->keys[i];
	return NULL;
}

#define SUGGEST_OCTETS_MAX 32 /* longer words are no slip of a key that we know */

static size_t smaller(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* How many letters to change, add, drop or swap to come from a to b. */
static size_t edit_distance(struct span a, struct span b)
{
	size_t row[3][SUGGEST_OCTETS_MAX + 1];
	size_t *before = row[0], *last = row[1], *now = row[2];

	for (size_t j = 0; j <= b.len; j++)
		last[j] = j;
	for (size_t i = 1; i <= a.len; i++) {
		now[0] = i;
		for (size_t j = 1; j <= b.len; j++) {
			size_t same = a.ptr[i - 1] == b.ptr[j - 1] ? 0 : 1;
			now[j] = smaller(last[j - 1] + same, smaller(last[j], now[j - 1]) + 1);
			if (i > 1 && j > 1 && a.ptr[i - 1] == b.ptr[j - 2] &&
				a.ptr[i - 2] == b.ptr[j - 1])
				now[j] = smaller(now[j], before[j - 2] + 1);
		}
		size_t *spare = before;
		before = last;
		last = now;
		now = spare;
	}
	return last[b.len];
}

static void consider(struct span name, const char *known, size_t *best, const char **ret_nearest)
{
	struct span k = span_str(known);
	if (name.len > SUGGEST_OCTETS_MAX || k.len > SUGGEST_OCTETS_MAX)
		return;
	size_t distance = edit_distance(name, k);
	if (distance < *best && distance < k.len && distance < name.len + 1) {
		*best = distance;
		*ret_nearest = known;
	}
}

void schema_suggest(const struct block *block, struct span name, struct buf *out)
{
	size_t best = name.len <= 3 ? 2 : 3;
	const char *nearest = NULL;

	for (size_t i = 0; i < block->n_keys; i++)
		consider(name, block->keys[i].name, &best, &nearest);
	for (size_t i = 0; block == &schema_root && i < schema_n_blocks; i++)
		consider(name, schema_blocks[i].name, &best, &nearest);
	if (nearest) {
		buf_printf(out, "did you mean '%s'?", nearest);
		return;
	}
	if (block != &schema_root && schema_key(&schema_root, name)) {
		buf_str(out, "it belongs outside of the blocks");
		return;
	}
	for (size_t i = 0; i < schema_n_blocks; i++)
		if (schema_key(&schema_blocks[i], name)) {
			buf_printf(out, "it belongs in '%s { }'", schema_blocks[i].name);
			return;
		}
	buf_str(out, "known here are");
	for (size_t i = 0; i < block->n_keys; i++)
		buf_printf(out, "%s %s", i > 0 ? "," : "", block->keys[i].name);
	for (size_t i = 0; block == &schema_root && i < schema_n_blocks; i++)
		buf_printf(out, ", %s", schema_blocks[i].name);
}
