/* dns check DOMAIN...: what we would do to deliver there, and why. The running server's resolver is
 * asked through data/control, so that its servers, stubs and trust anchors count; the decision is
 * the dispatcher's own (route/mx.h), hosts are judged by the deliverer's code (dns_probe.h): it
 * connects, says EHLO and STARTTLS, and QUIT; never with --no-connect. */
#include "cli/cli.h"
#include "cli/client.h"
#include "cli/dns_probe.h"
#include "fiber/offload.h"
#include "ipc/resolve_client.h"
#include "mail/idna.h"
#include "route/mx.h"
#include "tlsrpt/record.h"
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define ARENA_MAX  (64u << 20)
#define NO_CONNECT "--no-connect"
#define THREADS	   4u

struct checking {
	struct cli *cli;
	const struct config *config;
	struct resolve_client *client;
	struct arena *arena;
	json_t *row;
	int status;
	struct prober *prober;
	struct span domain, route;
	struct sts_answer sts;
	bool connect;
};

static void set(json_t *object, const char *key, json_t *value)
{
	(void)json_object_set_new(object, key, value);
}

/* An answer, whatever becomes of the question. */
SUSPENDS static struct resolve_answer ask(struct checking *k, struct span name, uint16_t type)
{
	struct resolve_answer a;

	if (resolve(k->client, name, type, k->arena, &a) < 0)
		a = (struct resolve_answer){.status = RESOLVE_UNAVAILABLE};
	return a;
}

static void add_addresses(struct checking *k, json_t *list, const struct resolve_answer *a)
{
	(void)k;
	for (uint32_t i = 0; i < a->n_rdata; i++) {
		struct address address;
		struct buf b = BUF_INIT(128);
		if (resolve_address(a->rdata[i], 25, &address) < 0)
			continue;
		address_format_host(&address, &b);
		(void)json_array_append_new(list, json_stringn(b.ptr, b.len));
		buf_done(&b);
	}
}

static void add_tlsa(json_t *list, const struct resolve_answer *a)
{
	for (uint32_t i = 0; i < a->n_rdata; i++) {
		struct resolve_tlsa t;
		struct buf b = BUF_INIT(4096);
		if (resolve_tlsa(a->rdata[i], &t) < 0)
			continue;
		buf_printf(&b, "%u %u %u ", t.usage, t.selector, t.matching);
		for (size_t n = 0; n < MIN(t.data.len, (size_t)64); n++)
			buf_printf(&b, "%02x", (unsigned char)t.data.ptr[n]);
		(void)json_array_append_new(list, json_stringn(b.ptr, b.len));
		buf_done(&b);
	}
}

/* RFC 7672 2.2: TLSA records count when the host's addresses are secure and they are, too; a
 * failed question for them makes the host unusable for now, never unprotected. */
static const char *dane_verdict(const struct resolve_answer *v4, const struct resolve_answer *v6,
	const struct resolve_answer *tlsa, bool mx_secure)
{
	bool addresses_secure = (v4->status == RESOLVE_OK && v4->secure) ||
				(v6->status == RESOLVE_OK && v6->secure);

	if (!mx_secure)
		return "none: the MX set is not signed";
	if (!addresses_secure)
		return "none: the host's addresses are not signed";
	if (resolve_is_temporary(tlsa->status))
		return "unknown: the question for TLSA records failed, delivery there waits";
	if (tlsa->status != RESOLVE_OK || !tlsa->secure)
		return "none: no TLSA records";
	return "yes: TLS is required and checked against these TLSA records";
}

SUSPENDS static json_t *check_host(struct checking *k, const struct job_host *host, bool mx_secure)
{
	json_t *row = json_object(), *addresses = json_array(), *tlsa = json_array();
	struct buf name = BUF_INIT(512);
	struct resolve_answer v4 = ask(k, host->name, RESOLVE_A);
	struct resolve_answer v6 = ask(k, host->name, RESOLVE_AAAA);

	buf_str(&name, "_25._tcp.");
	buf_put(&name, v4.canonical.len ? v4.canonical : host->name);
	struct resolve_answer t = ask(k, buf_span(&name), RESOLVE_TLSA);
	add_addresses(k, addresses, &v4);
	add_addresses(k, addresses, &v6);
	add_tlsa(tlsa, &t);
	set(row, "name", dns_text(host->name));
	set(row, "preference", json_integer(host->preference));
	set(row, "addresses", addresses);
	if (json_array_size(addresses) == 0)
		set(row, "problem",
			json_string(resolve_status_name(
				resolve_is_temporary(v6.status) ? v6.status : v4.status)));
	set(row, "addresses_secure", json_boolean(v4.secure || v6.secure));
	set(row, "tlsa", tlsa);
	set(row, "dane", json_string(dane_verdict(&v4, &v6, &t, mx_secure)));
	struct probe_ask probe = {.domain = k->domain,
		.route = k->route,
		.host = host->name,
		.port = 25,
		.mx_secure = mx_secure,
		.sts = &k->sts,
		.connect = k->connect};
	if (dns_host(k->prober, &probe, k->arena, row) < 0)
		k->status = EX_OS_;
	buf_done(&name);
	return row;
}

/* RFC 8461 3.1: one TXT record that begins with v=STSv1. */
SUSPENDS static void check_sts(struct checking *k, struct span domain)
{
	struct buf name = BUF_INIT(512);
	json_t *found = json_null();

	buf_str(&name, "_mta-sts.");
	buf_put(&name, domain);
	struct resolve_answer a = ask(k, buf_span(&name), RESOLVE_TXT);
	for (uint32_t i = 0; i < a.n_rdata; i++) {
		struct span text;
		if (resolve_txt(a.rdata[i], k->arena, &text) == 0 &&
			span_starts_nocase(text, SPAN_LIT("v=STSv1;"))) {
			json_decref(found);
			found = dns_text(text);
		}
	}
	set(k->row, "mta_sts", found);
	buf_done(&name);
}

/* RFC 8460 3: where reports would go, by the reporter's own reading. */
SUSPENDS static void check_tlsrpt(struct checking *k, struct span domain)
{
	struct buf name = BUF_INIT(512);
	struct span txts[16];
	unsigned n = 0;
	struct tlsrpt_record record = {.n = 0};
	json_t *targets = json_array();

	buf_str(&name, "_smtp._tls.");
	buf_put(&name, domain);
	struct resolve_answer a = ask(k, buf_span(&name), RESOLVE_TXT);
	for (uint32_t i = 0; i < a.n_rdata && n < ARRAY_LEN(txts); i++)
		if (resolve_txt(a.rdata[i], k->arena, &txts[n]) == 0 &&
			span_starts_nocase(txts[n], SPAN_LIT("v=TLSRPTv1")))
			n++;
	int r = tlsrpt_record_choose(txts, n, &record);
	for (unsigned i = 0; i < record.n; i++)
		(void)json_array_append_new(targets, dns_text(record.uris[i].text));
	set(k->row, "tlsrpt", n ? dns_text(txts[0]) : json_null());
	set(k->row, "tlsrpt_targets", targets);
	if (n > 0 && r < 0)
		set(k->row, "tlsrpt_problem",
			json_string(n > 1 ? "several records: as none" : "the record is broken"));
	buf_done(&name);
}

SUSPENDS static int decide(struct checking *k, struct span domain, struct hop *ret)
{
	struct resolve_answer mx = ask(k, domain, RESOLVE_MX), v4 = {0}, v6 = {0};
	struct span own[] = {span_str(k->config->hostname)};
	struct mx_facts facts = {.domain = domain, .own = own, .n_own = 1, .mx = &mx};

	if (mx_wants_addresses(&mx)) {
		v4 = ask(k, domain, RESOLVE_A);
		v6 = ask(k, domain, RESOLVE_AAAA);
		facts.a = &v4;
		facts.aaaa = &v6;
	}
	set(k->row, "mx", json_string(resolve_status_name(mx.status)));
	set(k->row, "mx_secure", json_boolean(mx.secure));
	if (mx.canonical.len)
		set(k->row, "canonical", dns_text(mx.canonical));
	return mx_decide(&facts, k->arena, ret);
}

static const char *decision_name(enum hop_kind kind)
{
	return kind == HOP_DELIVER ? "deliver" : kind == HOP_FAIL ? "fail" : "defer";
}

SUSPENDS static void check_domain(struct checking *k, struct span given)
{
	struct buf domain = BUF_INIT(512);
	struct hop hop = {.kind = HOP_FAIL,
		.enhanced = SPAN_LIT("5.1.2"),
		.text = SPAN_LIT("not a domain name")};
	json_t *hosts = json_array();
	int r = idna_to_ascii(given, &domain);

	set(k->row, "domain", dns_text(r == 0 ? buf_span(&domain) : given));
	if (r == 0)
		r = decide(k, buf_span(&domain), &hop);
	set(k->row, "decision", json_string(r == -ENOMEM ? "defer" : decision_name(hop.kind)));
	if (hop.kind == HOP_DELIVER) {
		set(k->row, "site", dns_text(hop.site));
		k->domain = buf_span(&domain);
		if (dns_route(k->config, k->domain, k->arena, k->row, &k->route) < 0 ||
			dns_policy(k->prober, k->domain, k->arena, k->row, &k->sts) < 0)
			k->status = EX_OS_;
		for (uint32_t i = 0; i < hop.n_hosts; i++)
			(void)json_array_append_new(
				hosts, check_host(k, &hop.hosts[i], hop.mx_secure));
		check_sts(k, buf_span(&domain));
		check_tlsrpt(k, buf_span(&domain));
	} else {
		set(k->row, "enhanced", dns_text(hop.enhanced));
		set(k->row, "text", dns_text(hop.text));
		k->status = EX_UNAVAILABLE_;
	}
	set(k->row, "hosts", hosts);
	buf_done(&domain);
}

/* ---- printing ---- */

static const char *string_of(const json_t *row, const char *key)
{
	const char *s = json_string_value(json_object_get(row, key));
	return s ? s : "";
}

static void print_list(const char *label, const json_t *list, const char *none)
{
	(void)printf("    %-10s", label);
	for (size_t i = 0; i < json_array_size(list); i++)
		(void)printf("%s%s", i ? ", " : "", json_string_value(json_array_get(list, i)));
	(void)printf("%s\n", json_array_size(list) ? "" : none);
}

static void print_row(const json_t *row)
{
	const json_t *hosts = json_object_get(row, "hosts");
	bool secure = json_is_true(json_object_get(row, "mx_secure"));

	(void)printf("%s: %s", string_of(row, "domain"), string_of(row, "decision"));
	if (*string_of(row, "text"))
		(void)printf(": %s %s", string_of(row, "enhanced"), string_of(row, "text"));
	(void)printf("\n  %-10s%s, %s\n", "MX", string_of(row, "mx"),
		secure ? "validated by DNSSEC" : "not signed");
	if (*string_of(row, "canonical"))
		(void)printf("  %-10sof %s\n", "alias", string_of(row, "canonical"));
	if (*string_of(row, "site"))
		(void)printf("  %-10s%s\n", "site", string_of(row, "site"));
	if (json_array_size(hosts))
		(void)printf("  %-10s%s\n", "MTA-STS",
			*string_of(row, "mta_sts") ? string_of(row, "mta_sts") : "none");
	if (json_array_size(hosts)) {
		(void)printf("  %-10s%s\n", "TLSRPT",
			*string_of(row, "tlsrpt") ? string_of(row, "tlsrpt") : "none");
		if (*string_of(row, "tlsrpt_problem"))
			(void)printf(
				"  %-10snone: %s\n", "reports", string_of(row, "tlsrpt_problem"));
		else if (json_array_size(json_object_get(row, "tlsrpt_targets")))
			print_list("reports to", json_object_get(row, "tlsrpt_targets"), "");
	}
	dns_print_domain(row);
	for (size_t i = 0; i < json_array_size(hosts); i++) {
		const json_t *h = json_array_get(hosts, i);
		(void)printf("  %lld %s\n",
			(long long)json_integer_value(json_object_get(h, "preference")),
			string_of(h, "name"));
		print_list("addresses", json_object_get(h, "addresses"), string_of(h, "problem"));
		if (json_array_size(json_object_get(h, "tlsa")))
			print_list("TLSA", json_object_get(h, "tlsa"), "");
		(void)printf("    %-10s%s\n", "DANE", string_of(h, "dane"));
		dns_print_host(h);
	}
}

static void check_all(void *arg)
{
	struct checking *k = arg;

	for (int i = 2; i < k->cli->argc; i++) {
		if (strcmp(k->cli->argv[i], NO_CONNECT) == 0)
			continue;
		arena_reset(k->arena);
		k->sts = (struct sts_answer){0};
		k->row = json_object();
		check_domain(k, span_str(k->cli->argv[i]));
		if (k->cli->json) {
			(void)json_dumpf(k->row, stdout, JSON_COMPACT);
			(void)putchar('\n');
		} else {
			print_row(k->row);
		}
		json_decref(k->row);
	}
	loop_exit();
}

/* The server's control process takes the same frames as the resolver itself. */
static int run(struct checking *k)
{
	int fd = client_connect(k->config->data, "control", SOCK_SEQPACKET);

	if (fd < 0)
		return client_unanswered(k->config->data, fd);
	(void)signal(SIGPIPE, SIG_IGN); /* a host may close while we speak */
	int r = loop_init();
	if (r == 0)
		r = resolve_client_new(&k->client);
	if (r < 0) {
		fd_close(fd);
	} else {
		resolve_client_set_wait(k->client, k->config->dns.timeout + 5 * USEC_PER_SEC);
		r = resolve_client_attach(k->client, fd);
	}
	k->arena = arena_new(ARENA_MAX);
	if (r == 0)
		r = offload_init(THREADS);
	if (r == 0)
		r = prober_new(k->config, k->client, &k->prober);
	if (r == 0)
		r = k->arena ? fiber_spawn(check_all, k, NULL) : -ENOMEM;
	if (r == 0)
		r = loop_run();
	prober_free(k->prober);
	resolve_client_free(k->client);
	offload_done();
	arena_free(k->arena);
	if (r < 0)
		cli_error("%s", strerror(-r));
	return r < 0 ? EX_OS_ : k->status;
}

int cmd_dns(struct cli *cli)
{
	int status = EX_OK_;

	if (cli->argc < 3 || strcmp(cli->argv[1], "check") != 0) {
		cli_error("usage: postrider dns check [--json] [-c FILE] [--no-connect] DOMAIN...");
		return EX_USAGE_;
	}
	struct config *c = cli_config(cli, &status);
	if (!c)
		return status;
	struct checking k = {.cli = cli, .config = c, .connect = true};
	for (int i = 2; i < cli->argc; i++)
		if (strcmp(cli->argv[i], NO_CONNECT) == 0)
			k.connect = false;
	status = run(&k);
	config_free(c);
	return status;
}
