/* Routing is the directory's own function over the configuration's tables; the policy and the hosts
 * are judged by the deliverer's. So `dns check` cannot say one thing and a delivery do another. */
#include "cli/dns_probe.h"

#include "cli/cli.h"
#include "mail/date.h"
#include "route/route.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

json_t *dns_text(struct span s)
{
	struct buf b = BUF_INIT(4096);

	buf_escaped(&b, s, 1000);
	json_t *j = json_stringn(b.ptr ? b.ptr : "", b.len);
	buf_done(&b);
	return j;
}

static void set(json_t *object, const char *key, json_t *value)
{
	(void)json_object_set_new(object, key, value);
}

/* ---- the route ---- */

static int load_table(const char *path, struct route_slot *slot)
{
	struct buf text = BUF_INIT(ROUTE_TABLE_MAX), errors = BUF_INIT(65536);
	CLEANUP(fd_closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
	int r = fd < 0 ? -errno : buf_read_fd(&text, fd);

	if (r == 0)
		r = route_table_parse(buf_span(&text), path, &slot->table, &errors);
	slot->unreadable = r < 0;
	buf_done(&text);
	buf_done(&errors);
	return r == -ENOMEM ? r : 0;
}

static int find_hop(const struct route *r, struct span domain, struct arena *a, struct hop *ret)
{
	struct buf address = BUF_INIT(512);

	buf_str(&address, "postmaster@");
	buf_put(&address, domain);
	struct expand_ask ask = {.address = arena_span(a, buf_span(&address))};
	buf_done(&address);
	return ask.address.ptr ? route_next_hop(r, &ask, a, ret) : -ENOMEM;
}

int dns_route(const struct config *c, struct span domain, struct arena *a, json_t *row,
	struct span *ret_route)
{
	struct route route = {c, calloc(c->n_domains + 1, sizeof(*route.tables)),
		calloc(c->n_routes + 1, sizeof(*route.routes))};
	struct hop hop = {.kind = HOP_MX};
	int r = route.tables && route.routes ? 0 : -ENOMEM;

	for (size_t i = 0; r == 0 && i < c->n_routes; i++)
		if (c->routes[i].table)
			r = load_table(c->routes[i].table, &route.routes[i]);
	if (r == 0)
		r = find_hop(&route, domain, a, &hop);
	if (r == 0) {
		*ret_route = hop.kind == HOP_MX ? hop.route : SPAN_LIT("relay");
		if (hop.kind != HOP_MX)
			set(row, "by_route", dns_text(hop.site.len ? hop.site : hop.text));
	}
	for (size_t i = 0; route.routes && i < c->n_routes; i++)
		route_table_free(route.routes[i].table);
	free(route.routes);
	free(route.tables);
	return r;
}

/* ---- MTA-STS ---- */

int dns_policy(
	struct prober *p, struct span domain, struct arena *a, json_t *row, struct sts_answer *ret)
{
	static const char *const modes[] = {[STS_MODE_NONE] = "none",
		[STS_MODE_TESTING] = "testing",
		[STS_MODE_ENFORCE] = "enforce"};
	int r = prober_policy(p, domain, a, ret);

	if (r < 0)
		return r;
	if (ret->problem != STS_FINE)
		set(row, "sts_problem", dns_text(ret->why));
	if (!ret->found)
		return 0;
	json_t *policy = json_object(), *mx = json_array();
	for (unsigned i = 0; i < ret->policy.n_mx; i++)
		(void)json_array_append_new(mx, dns_text(ret->policy.mx[i]));
	set(policy, "mode", json_string(modes[ret->policy.mode]));
	set(policy, "max_age", json_integer(ret->policy.max_age));
	set(policy, "mx", mx);
	set(row, "sts_policy", policy);
	return 0;
}

/* ---- a host ---- */

static json_t *date_json(int64_t sec)
{
	struct buf b = BUF_INIT(64);

	date_format_iso(sec > 0 ? (uint64_t)sec * USEC_PER_SEC : 0, &b);
	json_t *j = json_stringn(b.ptr ? b.ptr : "", b.len);
	buf_done(&b);
	return j;
}

static json_t *certificate_json(const struct probe_certificate *c)
{
	json_t *o = json_object();

	set(o, "names", dns_text(c->names));
	set(o, "issuer", dns_text(c->issuer));
	set(o, "begins", date_json(c->begins_sec));
	set(o, "ends", date_json(c->ends_sec));
	return o;
}

static void set_policy(json_t *row, const struct probe *f)
{
	static const char *const sts[] = {[STS_NONE] = "none",
		[STS_TESTING] = "testing",
		[STS_ENFORCED] = "enforced, the host is in the policy",
		[STS_MISMATCH] = "enforced, and the host is not in the policy"};
	struct buf b = BUF_INIT(1024);

	if (f->policy.skip)
		buf_printf(&b, "not used: %s", f->policy.skip);
	else
		buf_printf(&b, "%s, by %s", tls_want_name(f->policy.want), f->policy.by);
	set(row, "tls_policy", dns_text(buf_span(&b)));
	set(row, "sts", json_string(sts[f->sts]));
	buf_done(&b);
}

static void set_connection(json_t *row, const struct probe *f)
{
	json_t *o = json_object(), *list = json_array();

	set(o, "ok", json_boolean(f->open));
	set(o, "remote", dns_text(f->remote));
	set(o, "tls", f->tls.len ? dns_text(f->tls) : json_null());
	if (f->failure.len)
		set(o, "failure", dns_text(f->failure));
	set(row, "connection", o);
	for (unsigned i = 0; i < f->n_certificates; i++)
		(void)json_array_append_new(list, certificate_json(&f->certificates[i]));
	set(row, "certificates", list);
	if (f->webpki.len)
		set(row, "webpki", dns_text(f->webpki));
}

int dns_host(struct prober *p, const struct probe_ask *ask, struct arena *a, json_t *row)
{
	struct probe found;
	int r = probe_host(p, ask, a, &found);

	if (r < 0)
		return r;
	set_policy(row, &found);
	if (ask->connect && found.addresses.n > 0 && !found.policy.skip)
		set_connection(row, &found);
	return 0;
}

/* ---- printing ---- */

static const char *string_of(const json_t *row, const char *key)
{
	const char *s = json_string_value(json_object_get(row, key));
	return s ? s : "";
}

void dns_print_domain(const json_t *row)
{
	const json_t *policy = json_object_get(row, "sts_policy"),
		     *mx = json_object_get(policy, "mx");

	if (*string_of(row, "by_route"))
		(void)printf("  %-10s%s: mail goes there, and not by what follows\n", "route",
			string_of(row, "by_route"));
	if (policy) {
		(void)printf("  %-10smode %s, max_age %lld,", "policy", string_of(policy, "mode"),
			(long long)json_integer_value(json_object_get(policy, "max_age")));
		for (size_t i = 0; i < json_array_size(mx); i++)
			(void)printf(" %s", json_string_value(json_array_get(mx, i)));
		(void)putchar('\n');
	}
	if (*string_of(row, "sts_problem"))
		(void)printf("  %-10scannot be had: %s\n", "policy", string_of(row, "sts_problem"));
}

void dns_print_host(const json_t *row)
{
	const json_t *c = json_object_get(row, "connection");
	const json_t *list = json_object_get(row, "certificates");

	(void)printf("    %-10s%s\n", "MTA-STS", string_of(row, "sts"));
	(void)printf("    %-10s%s\n", "TLS", string_of(row, "tls_policy"));
	if (!c)
		return;
	if (json_is_true(json_object_get(c, "ok")))
		(void)printf("    %-10s%s: %s\n", "session", string_of(c, "remote"),
			*string_of(c, "tls") ? string_of(c, "tls") : "clear text");
	else
		(void)printf("    %-10s%s\n", "session", string_of(c, "failure"));
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *x = json_array_get(list, i);
		(void)printf("    %-10s%s; by %s; %.10s to %.10s\n", i ? "" : "shown",
			string_of(x, "names"), string_of(x, "issuer"), string_of(x, "begins"),
			string_of(x, "ends"));
	}
	if (*string_of(row, "webpki"))
		(void)printf("    %-10s%s\n", "WebPKI", string_of(row, "webpki"));
}
