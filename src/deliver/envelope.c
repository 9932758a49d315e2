/* RFC 5321 4.1.1.2, 4.1.1.3 and the parameters of the extensions that the peer offers:
 *
 * - SMTPUTF8 (RFC 6531): asked for only if an address or the header needs it. A peer without it
 *   gets A-labels where the domain alone is not ASCII (3.2); an address that needs more fails with
 *   5.6.7, a message whose header needs more with 5.6.9 (3.5).
 * - DSN (RFC 3461 5.2.1): RET, ENVID, NOTIFY as they were given, never made up; ORCPT too, and
 * where an alias replaced the address, the one that was given (5.2.1 (c), 5.2.7.2). Not to LMTP:
 * behind it lies the mailbox, and we report.
 * - DELIVERBY (RFC 2852 4.1.3): the time that is left. Mode R goes to nobody who does not know it,
 *   or needs longer (4.1.4): the message fails. LMTP is delivery itself.
 * - LIMITS (RFC 9422): RCPTMAX and RCPTDOMAINMAX; who does not fit is not tried, for the queue to
 *   send at once, which each time leaves fewer.
 * - MT-PRIORITY (RFC 6710 4.3) where it is not 0. PRDR where there are several to answer for. */
#include "deliver/envelope.h"

#include "mail/facts.h"
#include "mail/idna.h"
#include "mail/xtext.h"

#define ADDRESS_OCTETS_MAX 4096u
/* Domains that are told apart when a peer limits them; the rest waits for the next transaction. */
#define DOMAINS_MAX 64u

static bool is_sendable(struct span a)
{
	if (a.len > ADDRESS_OCTETS_MAX)
		return false;
	for (size_t i = 0; i < a.len; i++) {
		uint8_t c = (uint8_t)a.ptr[i];
		if (c < ' ' || c == 0x7f)
			return false;
	}
	return true;
}

static size_t domain_begin(struct span address)
{
	size_t at = address.len;

	while (at > 0 && address.ptr[at - 1] != '@')
		at--;
	return at;
}

/* The address in ASCII: a span of the arena, or NULL where its local part is not. */
static struct span to_ascii(struct delivery *d, struct span address)
{
	size_t at = domain_begin(address);
	struct buf b = BUF_INIT(ADDRESS_OCTETS_MAX);
	struct span result = SPAN_NULL;

	if (text_is_ascii(address))
		return address;
	buf_put(&b, span_head(address, at));
	if (at > 0 && text_is_ascii(span_head(address, at)) &&
		idna_to_ascii(span_from(address, at), &b) >= 0 && !b.error)
		result = arena_span(d->arena, buf_span(&b));
	buf_done(&b);
	return result;
}

static bool fail_all(struct envelope *e, uint16_t code, const char *enhanced, const char *text)
{
	delivery_set_all(e->d, delivery_result(e->d, OUTCOME_FAILED, code, enhanced, "%s", text));
	e->n_send = 0;
	return false;
}

/* ---- who ---- */

/* False: nobody gets it. */
static bool plan_utf8(struct envelope *e)
{
	const struct job *j = &e->d->job;
	bool needed = (j->flags & MESSAGE_SMTPUTF8) && (j->flags & MESSAGE_UTF8_HEADER);

	if (needed && !e->c->offers.smtputf8)
		return fail_all(e, 554, "5.6.9",
			"the header is UTF-8, and the next hop does not offer SMTPUTF8");
	e->reverse_path = j->reverse_path;
	if (!text_is_ascii(j->reverse_path)) {
		needed = true;
		if (!e->c->offers.smtputf8)
			e->reverse_path = to_ascii(e->d, j->reverse_path);
		if (!e->reverse_path.ptr)
			return fail_all(e, 553, "5.6.7",
				"the sender's address is UTF-8, and the next hop does not offer "
				"SMTPUTF8");
	}
	for (uint32_t i = 0; i < j->n_rcpts; i++) {
		e->addresses[i] = j->rcpts[i].address;
		if (text_is_ascii(j->rcpts[i].address))
			continue;
		needed = true;
		if (!e->c->offers.smtputf8)
			e->addresses[i] = to_ascii(e->d, j->rcpts[i].address);
	}
	e->smtputf8 = needed && e->c->offers.smtputf8;
	return true;
}

static bool plan_by(struct envelope *e, uint64_t wall_usec)
{
	const struct job *j = &e->d->job;
	const struct offers *o = &e->c->offers;
	uint64_t by = j->deliver_by_wall_usec;
	uint64_t left = (by > wall_usec ? by - wall_usec : wall_usec - by) / USEC_PER_SEC;

	if (!by || e->c->lmtp)
		return true;
	e->by = o->deliverby;
	e->by_is_past = by < wall_usec;
	e->by_remaining_sec = MIN(left, UINT64_C(999999999));
	if (!(j->deliver_by_mode & MESSAGE_BY_RETURN))
		return true;
	if (e->by_is_past || left == 0)
		return fail_all(e, 0, "5.4.7", "the time to deliver it by has passed");
	if (!o->deliverby)
		return fail_all(e, 0, "5.3.3",
			"the next hop does not offer DELIVERBY, and the message must come back if "
			"it is late");
	if (left < o->by_min_sec)
		return fail_all(
			e, 0, "5.4.7", "the next hop needs longer than the time that is left");
	return true;
}

struct domains {
	struct span seen[DOMAINS_MAX];
	uint64_t n, max;
};

static bool domain_fits(struct domains *d, struct span address)
{
	struct span domain = span_from(address, domain_begin(address));

	for (uint64_t i = 0; i < d->n; i++)
		if (span_equal_nocase(d->seen[i], domain))
			return true;
	if (d->n >= MIN(d->max, (uint64_t)DOMAINS_MAX))
		return false;
	d->seen[d->n++] = domain;
	return true;
}

static void plan_rcpts(struct envelope *e)
{
	const struct job *j = &e->d->job;
	const struct offers *o = &e->c->offers;
	struct domains domains = {.max = o->rcpt_domain_max};

	for (uint32_t i = 0; i < j->n_rcpts; i++) {
		struct span a = e->addresses[i];
		if (!a.ptr) {
			delivery_set(e->d, i,
				delivery_result(e->d, OUTCOME_FAILED, 553, "5.6.7",
					"the address is UTF-8, and the next hop does not offer "
					"SMTPUTF8"));
		} else if (!is_sendable(a)) { /* it came through our own grammar: should not be */
			delivery_set(e->d, i,
				delivery_result(e->d, OUTCOME_FAILED, 553, "5.1.3",
					"the address holds control characters"));
		} else if ((o->rcpt_max && e->n_send >= o->rcpt_max) ||
			   (domains.max && !domain_fits(&domains, a))) {
			delivery_set(e->d, i,
				delivery_result(e->d, OUTCOME_NOT_TRIED, 0, "4.5.3",
					"the next hop limits the recipients of a transaction"));
		} else {
			e->send[e->n_send++] = i;
		}
	}
}

int envelope_plan(
	struct envelope *e, struct delivery *d, const struct smtp_client *c, uint64_t wall_usec)
{
	const struct job *j = &d->job;

	*e = (struct envelope){.d = d, .c = c, .body = j->body, .size = j->size};
	e->addresses = arena_alloc(d->arena, j->n_rcpts * sizeof(*e->addresses));
	e->send = arena_alloc(d->arena, j->n_rcpts * sizeof(*e->send));
	if (!e->addresses || !e->send)
		return -ENOMEM;
	if (!is_sendable(j->reverse_path)) {
		(void)fail_all(e, 553, "5.1.7", "the sender's address holds control characters");
		return 0;
	}
	if (!plan_by(e, wall_usec) || !plan_utf8(e))
		return 0;
	plan_rcpts(e);
	e->dsn = c->offers.dsn && !c->lmtp;
	e->prdr = c->offers.prdr && !c->lmtp && e->n_send > 1;
	return 0;
}

/* ---- how ---- */

/* RFC 2852 4: by-time ";" by-mode [by-trace]. A time that has passed goes on in mode N. */
static void put_by(const struct envelope *e, struct buf *out)
{
	uint8_t mode = e->d->job.deliver_by_mode;

	buf_printf(out, " BY=%s%ju;%s%s", e->by_is_past ? "-" : "", (uintmax_t)e->by_remaining_sec,
		mode & MESSAGE_BY_RETURN ? "R" : "N", mode & MESSAGE_BY_TRACE ? "T" : "");
}

void envelope_mail(const struct envelope *e, struct buf *out)
{
	const struct job *j = &e->d->job;
	const struct smtp_client *c = e->c;

	buf_str(out, "MAIL FROM:<");
	buf_put(out, e->reverse_path);
	buf_char(out, '>');
	if (c->size) {
		buf_str(out, " SIZE=");
		buf_u64(out, e->size);
	}
	if (e->body == 2)
		buf_str(out, " BODY=BINARYMIME");
	else if (c->eightbitmime && e->body == 1)
		buf_str(out, " BODY=8BITMIME");
	/* RFC 8689 4.2.1: the session was only opened where it is kept (smtp_open). */
	if ((j->flags & MESSAGE_REQUIRETLS) && e->c->requiretls)
		buf_str(out, " REQUIRETLS");
	if (e->smtputf8)
		buf_str(out, " SMTPUTF8");
	if (e->dsn && j->ret)
		buf_str(out, j->ret == MESSAGE_RET_FULL ? " RET=FULL" : " RET=HDRS");
	if (e->dsn && j->envid.len > 0) {
		buf_str(out, " ENVID=");
		xtext_encode(j->envid, out);
	}
	if (e->by)
		put_by(e, out);
	if (c->offers.mt_priority && j->priority != 0)
		buf_printf(out, " MT-PRIORITY=%d", j->priority);
	/* RFC 4954 5: whom the mail is from, to a server that trusts us. */
	if (c->logged_in && j->auth_sender.len > 0) {
		buf_str(out, " AUTH=");
		xtext_encode(j->auth_sender, out);
	}
	if (e->prdr)
		buf_str(out, " PRDR");
	buf_str(out, "\r\n");
}

static void put_notify(uint8_t notify, struct buf *out)
{
	static const struct {
		uint8_t bit;
		const char *word;
	} words[] = {
		{NOTIFY_SUCCESS, "SUCCESS"}, {NOTIFY_FAILURE, "FAILURE"}, {NOTIFY_DELAY, "DELAY"}};
	const char *between = " NOTIFY=";

	if (notify & NOTIFY_NEVER) {
		buf_str(out, " NOTIFY=NEVER");
		return;
	}
	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		if (!(notify & words[i].bit))
			continue;
		buf_str(out, between);
		buf_str(out, words[i].word);
		between = ",";
	}
}

/* RFC 3461 4.2: addr-type ";" xtext; RFC 6533 3: of type utf-8 in its ASCII form, or as it is. */
static void put_orcpt(const struct envelope *e, const struct job_rcpt *r, struct buf *out)
{
	size_t semicolon = span_index(r->orcpt, ';');
	struct span type = span_head(r->orcpt, semicolon);
	struct span address = span_from(r->orcpt, semicolon + 1);

	if (semicolon == r->orcpt.len) {
		if (r->original.len == 0 || span_equal(r->original, r->address))
			return;
		address = r->original;
		type = text_is_ascii(address) ? SPAN_LIT("rfc822") : SPAN_LIT("utf-8");
	}
	if (span_equal_nocase(type, SPAN_LIT("utf-8"))) {
		/* To a server without SMTPUTF8 RFC 6533 3 allows the ASCII form just as well. */
		if (!text_is_utf8(address))
			return;
		buf_str(out, " ORCPT=utf-8;");
		utf8_address_encode(address, out);
		return;
	}
	buf_str(out, " ORCPT=");
	buf_put(out, type);
	buf_char(out, ';');
	xtext_encode(address, out);
	(void)e;
}

void envelope_rcpt(const struct envelope *e, uint32_t i, struct buf *out)
{
	const struct job_rcpt *r = &e->d->job.rcpts[e->send[i]];

	buf_str(out, "RCPT TO:<");
	buf_put(out, e->addresses[e->send[i]]);
	buf_char(out, '>');
	if (e->dsn) {
		put_notify(r->notify, out);
		put_orcpt(e, r, out);
	}
	buf_str(out, "\r\n");
}
