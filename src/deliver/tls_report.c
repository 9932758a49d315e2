/* Which policy a session was under, and what its end means in the words of RFC 8460 4.3.
 *
 * - Only sessions to MX hosts of a recipient's domain, at a level that asks what the domain
 *   publishes: what a route orders is no business of its peer. Not those of messages that waive TLS
 *   (RFC 8689 3), nor those that ask for more than the domain does.
 * - What could not be connected to, or did not greet, is no matter of TLS (RFC 8460 4.3.4).
 * - A session without a policy fails only by not coming to TLS: nobody verifies its certificate.
 * - Under DANE the policy domain is the TLSA base domain (RFC 8460 1.1), the report still goes to
 *   the recipient's domain.
 *
 * - A kept session is one for each domain that it carries mail to, once, and for the first few.
 *
 * One frame a new connection; what the channel does not take is lost, which costs a count. */
#include "deliver/tls_report.h"

#include "base/siphash.h"
#include "deliver/smtp_client.h"
#include "ipc/asker.h"
#include "mail/facts.h"
#include "ipc/frames.h"

#define FRAME_OCTETS_MAX (256u << 10)

void tls_report_init(struct tls_report *t, const struct delivery *d, const struct outbound *out,
	const struct way *way, const struct sts_answer *sts)
{
	const struct job *j = &d->job;
	bool level = way->tls == TLS_LEVEL_AUTO || way->tls == TLS_LEVEL_DANE;
	bool flagged = j->flags & (MESSAGE_REQUIRETLS | MESSAGE_TLS_OPTIONAL);
	*t = (struct tls_report){.d = d, .out = out, .sts = sts};
	t->wanted = out->reports && out->config && out->config->tlsrpt.enabled && j->n_hosts > 0 &&
		    j->via == JOB_SMTP && level && !flagged && !way->wants_auth;
}

static void tell(const struct tls_report *t, struct tls_result *result)
{
	struct buf b = BUF_INIT(FRAME_OCTETS_MAX);
	result->domain = t->d->job.domain;
	if (result->policy_domain.len == 0)
		result->policy_domain = result->domain;
	tls_result_encode(result, &b);
	if (!b.error)
		asker_tell(t->out->reports, FRAME_TLS_RESULT, buf_span(&b));
	buf_done(&b);
}

/* ---- policies ---- */

/* RFC 8460 4.5: the four fields of a record, as RFC 6698 2.2 writes them. */
static struct span tlsa_text(const struct resolve_tlsa *r, struct arena *a)
{
	struct buf b = BUF_INIT(2 * TLS_RESULT_TEXT_MAX);
	buf_printf(&b, "%u %u %u ", r->usage, r->selector, r->matching);
	for (size_t i = 0; i < MIN(r->data.len, (size_t)TLS_RESULT_TEXT_MAX / 2); i++)
		buf_printf(&b, "%02X", (unsigned char)r->data.ptr[i]);
	struct span s = b.error ? SPAN_NULL : arena_span(a, buf_span(&b));
	buf_done(&b);
	return s;
}

static void put_tlsa(const struct tls_report *t, const struct dane *dane, struct tls_result *result)
{
	struct arena *a = t->d->arena;
	result->policy = TLS_RESULT_TLSA;
	result->policy_domain = dane->base;
	result->strings = arena_alloc(a, (dane->n + 1) * sizeof(*result->strings));
	for (unsigned i = 0; result->strings && i < dane->n; i++)
		result->strings[result->n_strings++] = tlsa_text(&dane->records[i], a);
}

/* RFC 8460 4.5: the policy's lines as they were served. */
static void put_sts(const struct tls_report *t, struct tls_result *result)
{
	const struct sts_answer *sts = t->sts;
	struct span rest = sts->found ? sts->text : SPAN_NULL;
	result->policy = TLS_RESULT_STS;
	result->strings =
		arena_alloc(t->d->arena, TLS_RESULT_STRINGS_MAX * sizeof(*result->strings));
	while (result->strings && rest.len > 0 && result->n_strings < TLS_RESULT_STRINGS_MAX) {
		size_t end = span_index(rest, '\n');
		struct span line = span_trim(span_head(rest, end));
		if (line.len > 0)
			result->strings[result->n_strings++] = line;
		rest = span_from(rest, end + 1);
	}
	if (sts->found) {
		result->mx_hosts = sts->policy.mx;
		result->n_mx_hosts = sts->policy.n_mx;
	}
}

static void put_policy(
	const struct tls_report *t, const struct candidate *c, struct tls_result *result)
{
	bool sts = strcmp(c->policy.by, "sts") == 0;
	if (c->dane.state != DANE_NONE && !sts)
		put_tlsa(t, &c->dane, result);
	else if (sts)
		put_sts(t, result);
	else
		result->policy = TLS_RESULT_NO_POLICY;
}

/* ---- events ---- */

void tls_report_policy(const struct tls_report *t)
{
	struct tls_result result = {.reason = t->sts->why};
	if (!t->wanted || t->sts->problem == STS_FINE)
		return;
	result.failure = t->sts->problem == STS_WEBPKI	 ? TLS_STS_WEBPKI_INVALID
			 : t->sts->problem == STS_BROKEN ? TLS_STS_INVALID
							 : TLS_STS_FETCH_ERROR;
	put_sts(t, &result);
	tell(t, &result);
}

void tls_report_skipped(const struct tls_report *t, const struct candidate *c)
{
	struct tls_result result = {.mx = c->host, .reason = c->dane.why};
	if (!t->wanted)
		return;
	put_policy(t, c, &result);
	if (c->dane.state == DANE_FAILED)
		result.failure = TLS_DNSSEC_INVALID;
	else if (strcmp(c->policy.by, "sts") == 0)
		result.failure = TLS_OTHER; /* 4.3 has no word for a host that is not listed */
	else if (c->dane.state == DANE_UNUSABLE)
		result.failure = TLS_TLSA_INVALID;
	else
		result.failure = TLS_DANE_REQUIRED;
	if (result.reason.len == 0)
		result.reason = span_str(c->policy.skip);
	tell(t, &result);
}

static struct span host_text(const struct address *a, struct arena *arena)
{
	struct buf b = BUF_INIT(128);
	if (a->len > 0)
		address_format_host(a, &b);
	struct span s = b.error || b.len == 0 ? SPAN_NULL : arena_span(arena, buf_span(&b));
	buf_done(&b);
	return s;
}

/* RFC 8461 5: what a testing policy would have refused is told, and the mail goes. */
static bool is_listed(const struct tls_report *t, const struct candidate *c)
{
	return !c->policy.test_names || sts_policy_matches(&t->sts->policy, c->host);
}

/* TLS_OK: it is as the policy wants it. */
static enum tls_failure judge(const struct candidate *c, bool secured, enum tls_failure unproved)
{
	if (!secured)
		return TLS_NOT_OFFERED;
	if (c->policy.test_names)
		return unproved;
	return c->dane.state == DANE_UNUSABLE && strcmp(c->policy.by, "dane") == 0
		       ? TLS_TLSA_INVALID
		       : TLS_OK;
}

static void tell_session(const struct tls_report *t, const struct candidate *c,
	const struct address *local, const struct address *peer, struct tls_result *told)
{
	put_policy(t, c, told);
	if (told->failure == TLS_OK && !is_listed(t, c)) {
		told->failure = TLS_OTHER;
		told->reason = SPAN_LIT("it is not in the domain's MTA-STS policy");
	}
	if (told->failure != TLS_OK) {
		told->mx = c->host;
		told->local = host_text(local, t->d->arena);
		told->remote = host_text(peer, t->d->arena);
	}
	tell(t, told);
}

void tls_report_failed(
	const struct tls_report *t, const struct candidate *c, const struct smtp_failure *f)
{
	struct tls_result told = {.failure = f->tls == TLS_OK ? TLS_OTHER : f->tls,
		.reason = f->why.len > 0 ? f->why : f->result.text};
	if (t->wanted && f->stage == OPEN_TLS)
		tell_session(t, c, &f->local, &f->peer, &told);
}

/* A guess at the domain's name will do: what it costs is a count. */
static bool is_told(struct smtp_client *client, struct span domain)
{
	uint64_t h = siphash((struct siphash_key){0, 0}, domain);
	for (unsigned i = 0; i < client->n_told; i++)
		if (client->told[i] == h)
			return true;
	if (client->n_told == SMTP_CLIENT_TOLD_MAX)
		return true;
	client->told[client->n_told++] = h;
	return false;
}

void tls_report_session(
	const struct tls_report *t, const struct candidate *c, struct smtp_client *client)
{
	if (!t->wanted || is_told(client, t->d->job.domain))
		return;
	struct tls_result told = {.failure = judge(c, client->tls.len > 0, client->unproved)};
	tell_session(t, c, &client->local, &client->peer, &told);
}
