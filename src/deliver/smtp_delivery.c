/* Which hosts a job tries, and over which session it goes.
 *
 * - Hosts in order (hosts.h), of each all addresses (dial.h); the next when there is no session: no
 *   connection, a 4xx or 5xx greeting, a policy that this host does not meet (RFC 5321 5.1).
 * - A kept session under the same key is used first. It can die between two messages without either
 *   side's fault: if it does before the peer has answered anything of this transaction, nothing has
 *   happened, and a fresh one is opened.
 * - A failed opportunistic handshake is repeated once in clear text, on a new connection.
 * - What a host said to the transaction is an answer: no other host is asked, but where the session
 *   broke before the final dot, or where the reply refuses our address: then another source of the
 *   pool, once a job, and the other family's addresses and the next hosts, once a job, may do
 * better.
 *
 * The site is told to be down only when every host failed by lookup, connection or greeting, or
 * refused our login: a policy's trouble is its domain's, and must not hold up others that share the
 * hosts. */
#include "deliver/smtp_delivery.h"

#include "base/log.h"
#include "base/stats.h"
#include "deliver/candidate.h"
#include "deliver/hosts.h"
#include "deliver/refusal.h"
#include "deliver/smtp_open.h"
#include "deliver/sts.h"
#include "deliver/tls_report.h"
#include "deliver/transaction.h"
#include "mail/facts.h"

struct run {
	struct delivery *d;
	const struct outbound *out;
	struct way way;
	uint64_t deadline_usec;
	struct sts_answer sts;
	struct tls_report report;
	bool switched;	    /* an address was refused: from another source now */
	bool second_chance; /* and again, or there is none: the other family only */
	int refused_family;
	/* What came of the hosts so far. */
	struct outcome_rcpt failure;
	bool failed, all_forever, all_down;
	bool answered; /* a transaction has set the results, and they stand if nothing better comes
			*/
};
enum next { NEXT_DONE, NEXT_HOST, NEXT_AGAIN /* the same host, from another source */ };

static void note_failure(struct run *u, struct outcome_rcpt result, bool forever, bool down)
{
	u->d->told = true;
	/* The first that is worth a retry explains best why we wait. */
	if (!u->failed || (u->all_forever && !forever))
		u->failure = result;
	u->all_forever = (!u->failed || u->all_forever) && forever;
	u->all_down = (!u->failed || u->all_down) && down;
	u->failed = true;
}

/* ---- one session ---- */

static void finish_session(struct run *u, struct smtp_client *c, struct span key, int result)
{
	if (result >= 0) {
		buf_reset(&c->key);
		buf_put(&c->key, key);
		cache_give(u->out->cache, c);
		return;
	}
	struct log_line *l = log_begin(LOG_LEVEL_DEBUG, "outbound-broken");
	log_id(l, "id", u->d->job.message);
	log_span(l, "remote", u->d->outcome.remote);
	log_errno(l, result);
	log_end(l);
	smtp_client_free(c);
}

static void note_session(struct run *u, const struct smtp_client *c)
{
	u->d->outcome.remote = arena_span(u->d->arena, buf_span(&c->remote));
	u->d->outcome.tls = arena_span(u->d->arena, buf_span(&c->tls));
}

/* Nobody got it, and the reply is about where we come from. */
static bool address_was_refused(const struct run *u, const struct address *local)
{
	const struct outcome *o = &u->d->outcome;
	if (u->d->dotted)
		return false;
	for (uint32_t i = 0; i < o->n_rcpts; i++) {
		const struct outcome_rcpt *r = &o->rcpts[i];
		if (r->result == OUTCOME_DELIVERED || r->result == OUTCOME_NOT_TRIED ||
			!refusal_is_of_address(r->code, r->enhanced, r->text, local))
			return false;
	}
	return true;
}

static bool all_delivered(const struct delivery *d)
{
	for (uint32_t i = 0; i < d->outcome.n_rcpts; i++)
		if (d->outcome.rcpts[i].result != OUTCOME_DELIVERED)
			return false;
	return true;
}

/* Another transaction, with all recipients, would repeat nothing. */
static bool nothing_settled(const struct delivery *d)
{
	for (uint32_t i = 0; i < d->outcome.n_rcpts; i++)
		if (d->outcome.rcpts[i].result != OUTCOME_DEFERRED)
			return false;
	return !d->dotted;
}

/* Our address is refused. true: there is another one to go from. */
static bool switch_source(struct run *u, const struct address *refused)
{
	struct buf b = BUF_INIT(128);
	address_format_host(refused, &b);
	bool switched = !u->switched && way_switch_source(&u->way, refused, hosts_random(NULL));
	if (switched) {
		u->switched = true;
	} else {
		u->second_chance = true;
		u->refused_family = refused->ss.ss_family;
	}
	delivery_fact(u->d, "our address %.*s is refused%s", SPAN_FMT(buf_span(&b)),
		switched ? ": once more, from another one"
			 : ": once more where the other family is at hand");
	buf_done(&b);
	return switched;
}

/* NEXT_HOST: this host's other addresses or the next hosts may do better; the results are set. */
SUSPENDS static enum next transfer(
	struct run *u, const struct candidate *host, struct smtp_client *c, int *ret)
{
	struct address local = c->local;
	note_session(u, c);
	c->transcript.live = u->d->job.traced ? u->d : NULL;
	if (u->d->job.traced && c->transactions > 0)
		delivery_fact(u->d, "over a kept session with %.*s%s%.*s",
			SPAN_FMT(buf_span(&c->remote)), c->tls.len ? ", " : "",
			SPAN_FMT(buf_span(&c->tls)));
	int r = transaction_run(c, u->d);
	*ret = r;
	c->transcript.live = NULL;
	if (r < 0 ? r != -ESTALE && r != -ECANCELED : !all_delivered(u->d))
		delivery_keep(u->d, &c->transcript);
	if (r != -ESTALE) /* a kept one that was dead was none */
		tls_report_session(&u->report, host, c);
	finish_session(u, c, host->key, r);
	if (r == -ESTALE || r == -ECANCELED)
		return NEXT_DONE;
	bool refused = !u->second_chance && address_was_refused(u, &local);
	if (refused)
		u->answered = true;
	if (refused && switch_source(u, &local))
		return NEXT_AGAIN;
	if (!refused && (r >= 0 || !nothing_settled(u->d)))
		return NEXT_DONE;
	u->answered = true;
	return NEXT_HOST;
}

/* ---- one host ---- */

static void drop_family(struct addresses *a, int family)
{
	for (unsigned i = a->n; i-- > 0;)
		if (a->list[i].ss.ss_family == family)
			addresses_remove(a, i);
}

static void note_open_failure(struct run *u, const struct smtp_failure *f)
{
	if (f->stage == OPEN_TLS)
		STATS_ADD(outbound_policy_refusals_total, 1);
	bool down = f->stage == OPEN_CONNECT || f->stage == OPEN_GREETING || f->stage == OPEN_AUTH;
	note_failure(u, f->result, f->result.result == OUTCOME_FAILED, down);
	if (f->stage != OPEN_GREETING || u->second_chance ||
		!refusal_is_of_address(
			f->result.code, f->result.enhanced, f->result.text, &f->local))
		return;
	(void)switch_source(u, &f->local);
}

static void log_fallback(const struct run *u, const struct smtp_failure *f)
{
	struct log_line *l = log_begin(LOG_LEVEL_INFO, "tls-fallback");
	log_id(l, "id", u->d->job.message);
	log_span(l, "remote", u->d->outcome.remote);
	log_str(l, "failure", tls_failure_name(f->tls));
	log_span(l, "text", f->result.text);
	log_end(l);
	delivery_fact(u->d, "once more, without TLS");
}

/* One session over a new connection to any of the host's addresses; those that fail are taken off.
 * 0 with a client, or an error that is noted. */
SUSPENDS static int open_host(struct run *u, struct candidate *c, struct smtp_client **ret_client)
{
	struct smtp_opening o = {
		.d = u->d,
		.out = u->out,
		.way = &u->way,
		.host = c->host,
		.addresses = &c->addresses,
		.policy = &c->policy,
		.target = &c->target,
		.deadline_usec = u->deadline_usec,
	};
	struct smtp_failure f;
	int r = smtp_open(&o, ret_client, &f);
	if (r < 0)
		tls_report_failed(&u->report, c, &f);
	else
		tls_report_session(&u->report, c, *ret_client);
	if (r < 0 && f.handshake && c->policy.want == TLS_WANT_MAY) {
		struct addresses same = {.n = 1, .list = {f.peer}};
		struct smtp_failure again;
		log_fallback(u, &f);
		o.addresses = &same;
		o.clear = true;
		r = smtp_open(&o, ret_client, &again);
		if (r >= 0) /* why it is in clear text has been told */
			(*ret_client)->n_told = SMTP_CLIENT_TOLD_MAX;
		again.index = f.index;
		f = again;
	}
	if (r >= 0)
		return 0;
	if (f.stage == OPEN_OURS) {
		delivery_set_all(u->d, f.result.enhanced.len ? f.result : u->failure);
		return -ECANCELED;
	}
	if (f.stage == OPEN_CONNECT)
		delivery_fact(u->d, "%.*s", SPAN_FMT(f.result.text));
	note_open_failure(u, &f);
	/* All were in the race that nobody won. */
	if (f.stage == OPEN_CONNECT)
		c->addresses.n = 0;
	else
		addresses_remove(&c->addresses, f.index);
	return r;
}

/* Once a host, before its first connection: what was found out, and what follows from it. */
static void tell_host(struct run *u, const struct candidate *c)
{
	static const char *const dane[] = {[DANE_NONE] = "no TLSA records that count",
		[DANE_USABLE] = "usable TLSA records",
		[DANE_UNUSABLE] = "TLSA records, none of them usable",
		[DANE_FAILED] = "TLSA records cannot be had"};
	struct buf b = BUF_INIT(4096);
	for (unsigned i = 0; i < c->addresses.n; i++) {
		buf_str(&b, i ? ", " : "");
		address_format(&c->addresses.list[i], &b);
	}
	if (c->addresses.n == 0)
		buf_str(&b, resolve_status_name(c->addresses.status));
	if (!c->addresses.numeric)
		buf_printf(&b, " (%s), %s", c->addresses.secure ? "by DNSSEC" : "not signed",
			dane[c->dane.state]);
	delivery_fact(u->d, "host %.*s: %.*s", SPAN_FMT(c->host), SPAN_FMT(buf_span(&b)));
	buf_done(&b);
}

SUSPENDS static enum next use_addresses(struct run *u, struct candidate *c)
{
	while (c->addresses.n > 0 && loop_now_usec() < u->deadline_usec) {
		struct smtp_client *client;
		if (u->second_chance) {
			drop_family(&c->addresses, u->refused_family);
			if (c->addresses.n == 0)
				break;
		}
		bool before = u->switched;
		int r = open_host(u, c, &client);
		if (r == -ECANCELED)
			return NEXT_DONE;
		if (u->switched && !before)
			return NEXT_AGAIN;
		if (r < 0)
			continue;
		struct address peer = client->peer;
		enum next next = transfer(u, c, client, &r);
		if (next != NEXT_HOST)
			return next;
		for (unsigned i = c->addresses.n; i-- > 0;)
			if (address_equal_host(&c->addresses.list[i], &peer))
				addresses_remove(&c->addresses, i);
	}
	return NEXT_HOST;
}

static void note_unusable(struct run *u, const struct candidate *c)
{
	struct delivery *d = u->d;
	if (c->addresses.n == 0) {
		const char *status = resolve_status_name(c->addresses.status);
		bool forever = c->nowhere && d->job.n_hosts > 0;
		note_failure(u,
			delivery_result(d, forever ? OUTCOME_FAILED : OUTCOME_DEFERRED, 0,
				forever ? "5.4.4" : "4.4.3", "the addresses of %.*s: %s%s%.*s",
				SPAN_FMT(c->host), status, c->addresses.why.len ? ": " : "",
				SPAN_FMT(span_head(c->addresses.why, RESOLVE_WHY_MAX))),
			forever, true);
		return;
	}
	STATS_ADD(outbound_policy_refusals_total, 1);
	tls_report_skipped(&u->report, c);
	note_failure(u,
		delivery_result(d, c->policy.skip_forever ? OUTCOME_FAILED : OUTCOME_DEFERRED, 0,
			c->policy.skip_forever ? "5.7.30" : "4.7.5", "%.*s is not used: %s%s%.*s",
			SPAN_FMT(c->host), c->policy.skip, c->dane.why.len ? ": " : "",
			SPAN_FMT(span_head(c->dane.why, RESOLVE_WHY_MAX))),
		c->policy.skip_forever, false);
}

static void tell_policy(struct run *u)
{
	static const char *const modes[] = {[STS_MODE_NONE] = "none",
		[STS_MODE_TESTING] = "testing",
		[STS_MODE_ENFORCE] = "enforce"};
	if (u->sts.found)
		delivery_fact(u->d, "MTA-STS policy of %.*s: mode %s, %u patterns of hosts",
			SPAN_FMT(u->d->job.domain), modes[u->sts.policy.mode], u->sts.policy.n_mx);
	if (u->sts.problem != STS_FINE)
		delivery_fact(u->d, "MTA-STS policy of %.*s cannot be had: %.*s",
			SPAN_FMT(u->d->job.domain), SPAN_FMT(u->sts.why));
}

/* RFC 8461 is about MX hosts of a domain; smart hosts are the operator's word. */
SUSPENDS static int find_policy(struct run *u)
{
	const struct job *j = &u->d->job;
	bool optional = (j->flags & MESSAGE_TLS_OPTIONAL) && !(j->flags & MESSAGE_REQUIRETLS);
	if (!u->out->sts || j->n_hosts == 0 || optional || !tls_level_uses_sts(u->way.tls))
		return 0;
	int r = sts_find(u->out->sts, u->out->resolver, j->domain, u->d->arena, &u->sts);
	if (r >= 0)
		tell_policy(u);
	if (r >= 0 && u->sts.problem != STS_FINE) {
		struct log_line *l = log_begin(LOG_LEVEL_INFO, "sts-policy-unusable");
		log_id(l, "id", j->message);
		log_span(l, "domain", j->domain);
		log_str(l, "failure",
			tls_failure_name(u->sts.problem == STS_WEBPKI	? TLS_STS_WEBPKI_INVALID
					 : u->sts.problem == STS_BROKEN ? TLS_STS_INVALID
									: TLS_STS_FETCH_ERROR));
		log_span(l, "reason", u->sts.why);
		log_str(l, "in_force", u->sts.found ? "an earlier policy" : "none");
		log_end(l);
		tls_report_policy(&u->report);
	}
	return r;
}

SUSPENDS static enum next use_host(struct run *u, struct span host)
{
	struct candidate_ask ask = {.d = u->d,
		.out = u->out,
		.way = &u->way,
		.host = host,
		.sts = sts_state_of(&u->sts, host)};
	struct candidate *c;
	int r = candidate_find(&ask, &c);
	if (r < 0) {
		delivery_set_all(u->d, smtp_error_result(u->d, NULL, r, "looking up the host"));
		return NEXT_DONE;
	}
	if (c->addresses.n == 0 || c->policy.skip) {
		tell_host(u, c);
		note_unusable(u, c);
		delivery_fact(u->d, "%.*s", SPAN_FMT(u->failure.text));
		return NEXT_HOST;
	}
	struct smtp_client *kept = u->second_chance ? NULL : cache_take(u->out->cache, c->key);
	if (kept) {
		STATS_ADD(outbound_reused_total, 1);
		enum next next = transfer(u, c, kept, &r);
		if (r != -ESTALE && (next != NEXT_HOST || !u->second_chance))
			return next;
	}
	tell_host(u, c);
	return use_addresses(u, c);
}

/* ---- the whole ---- */

static void settle(struct run *u)
{
	if (!u->failed || u->answered)
		return; /* what every recipient has from the start, or from a transaction */
	delivery_set_all(u->d, u->failure);
	u->d->outcome.site_down = u->all_down && u->failure.result == OUTCOME_DEFERRED;
}

/* Which of our addresses it goes from: spread well is enough, and asking the kernel for a number
 * would be a call for each message. */
static uint64_t lot_of(const struct delivery *d)
{
	uint64_t n = (d->job.job ^ loop_now_usec()) * UINT64_C(0x9e3779b97f4a7c15);
	return n ^ n >> 32;
}

void smtp_deliver(struct delivery *d, const struct outbound *out)
{
	struct run u = {.d = d, .out = out, .deadline_usec = loop_now_usec() + DELIVERY_OPEN_MAX};
	struct span hosts[HOSTS_MAX];
	if (way_find(out->ways, out->config, &d->job, lot_of(d), d->arena, &u.way) < 0)
		return; /* every recipient is deferred from the start */
	tls_report_init(&u.report, d, out, &u.way, &u.sts);
	uint32_t n = hosts_order(&d->job, hosts_random, NULL, hosts);
	enum next next = NEXT_HOST;
	int r = find_policy(&u);
	if (r < 0) {
		delivery_set_all(d, smtp_error_result(d, NULL, r, "looking up the policy"));
		next = NEXT_DONE;
	}
	for (uint32_t i = 0; i < n && next == NEXT_HOST && loop_now_usec() < u.deadline_usec; i++)
		do
			next = use_host(&u, hosts[i]);
		while (next == NEXT_AGAIN);
	if (next == NEXT_HOST)
		settle(&u);
	way_done(&u.way);
}
