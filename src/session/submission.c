/* RFC 6409: 4.3 and 6.1 (who may send as whom), 8.2 and 8.3 (Date, Message-ID), RFC 5322 3.6.3 (Bcc
 * is for the sender's eyes). The header is looked at in a copy that the data phase kept
 * (arrival.c); the message in the spool is edited by pieces: what is taken out is left out of the
 * list, what is added stands in front.
 *
 * 553 5.7.1 and 550 5.7.1 are about the address that is not the user's; the quota is 450, because
 * the next hour is another one. */
#include "session/submission.h"
#include "base/ident.h"
#include "ipc/auth.h"
#include "ipc/frames.h"
#include "mail/addresses.h"
#include "mail/date.h"
#include "session/limits.h"
#include "session/login.h"
#include "session/reply.h"

#include <inttypes.h>
#include <stdlib.h>

#define TOKEN_OCTETS 8u
#define OK	     VERDICT(250, "2.1.0", "Ok")
#define QUOTA	     VERDICT(450, "4.7.1", "Your quota for this hour is used up, try again later")

/* ---- questions ---- */

static SUSPENDS int ask(struct session *s, struct submit *q, struct submit_answer *ret_answer)
{
	struct buf payload = BUF_INIT(256u * 1024u), answer = BUF_INIT(4096);

	q->login = buf_span(&s->login);
	submit_encode(q, &payload);
	wire_put_u64(&answer, 0);
	struct lookup_question question = {
		.type = FRAME_SUBMIT,
		.answer_type = FRAME_SUBMIT_ANSWER,
		.payload = span_from(buf_span(&payload), TOKEN_OCTETS),
		.sends = 1, /* a charge may have been counted */
		.wait_usec = LOOKUP_WAIT_USEC,
	};
	int r = payload.error | answer.error;
	if (r == 0)
		r = lookup_client_ask(s->server->directory, &question, &answer);
	if (r == 0)
		r = submit_answer_decode(buf_span(&answer), ret_answer);
	buf_done(&payload);
	buf_done(&answer);
	return r;
}

static struct verdict no_answer(void)
{
	return VERDICT(451, "4.3.0", "The directory does not answer, try again later");
}

struct verdict submission_check_sender(struct session *s)
{
	struct submit q = {.kind = SUBMIT_SENDER,
		.addresses = &s->tx.reverse_path,
		.n_addresses = s->tx.reverse_path.len ? 1 : 0};
	struct submit_answer a;

	if (!session_is_logged_in(s))
		return OK;
	if (ask(s, &q, &a) < 0 || a.status == SUBMIT_UNKNOWN)
		return no_answer();
	if (a.status == SUBMIT_NOT_YOURS)
		return VERDICT(553, "5.7.1", "You may not send as that address");
	if (a.messages_left == 0 || a.recipients_left == 0)
		return QUOTA;
	s->recipients_left = a.recipients_left;
	s->own_size = a.message_size;
	s->own_rcpts = a.recipients;
	if (s->tx.declared_size > submission_size_max(s))
		return VERDICT(552, "5.3.4", "The message is larger than you may send");
	return OK;
}

struct verdict submission_check_rcpt(const struct session *s)
{
	if (!session_is_logged_in(s))
		return OK;
	if (s->own_rcpts && s->tx.n_rcpts >= s->own_rcpts)
		return VERDICT(452, "4.5.3", "Too many recipients");
	if (s->tx.n_rcpts >= s->recipients_left)
		return QUOTA;
	return OK;
}

uint64_t submission_size_max(const struct session *s)
{
	uint64_t all = s->config->limits.message_size, own = s->own_size;

	return session_is_logged_in(s) && own ? MIN(own, all) : all;
}

/* ---- the header ---- */

struct cut {
	uint64_t from;
	uint32_t len;
};
struct header_plan {
	bool from, date, message_id;
	bool any; /* it has a field, or is there at least as an empty line */
	struct addresses senders;
	struct cut cuts[SUBMISSION_CUTS_MAX];
	size_t n_cuts;
};

static struct verdict add_from(struct header_plan *p, struct span body)
{
	/* RFC 5322 3.6: one. Two, and each reader shows another. */
	if (p->from)
		return VERDICT(554, "5.6.0", "The message has two From fields");
	p->from = true;
	int r = addresses_parse(&p->senders, body);
	if (r == -ENOMEM)
		return VERDICT(451, "4.3.0", "Out of memory");
	if (r < 0 || p->senders.n == 0)
		return VERDICT(554, "5.6.0", "The From field cannot be understood");
	return OK;
}

static struct verdict add_cut(struct header_plan *p, struct span head, struct span field)
{
	if (p->n_cuts == SUBMISSION_CUTS_MAX)
		return VERDICT(554, "5.6.0", "The message has too many Bcc fields");
	p->cuts[p->n_cuts++] = (struct cut){(uint64_t)(field.ptr - head.ptr), (uint32_t)field.len};
	return OK;
}

static struct verdict read_header(struct header_plan *p, struct span head)
{
	struct header_cursor c = header_cursor(head);
	struct header_field f;
	struct verdict v = OK;

	p->any = head.len && (head.ptr[0] == '\r' || head.ptr[0] == '\n');
	while (verdict_is_ok(v) && header_next(&c, &f)) {
		p->any = true;
		if (span_equal_nocase(f.name, SPAN_LIT("From")))
			v = add_from(p, f.body);
		else if (span_equal_nocase(f.name, SPAN_LIT("Date")))
			p->date = true;
		else if (span_equal_nocase(f.name, SPAN_LIT("Message-ID")))
			p->message_id = true;
		else if (span_equal_nocase(f.name, SPAN_LIT("Bcc")) ||
			 span_equal_nocase(f.name, SPAN_LIT("Resent-Bcc")))
			v = add_cut(p, head, f.whole);
	}
	return v;
}

/* What the header lacks. A message without From is from whom the envelope names. */
static void format_missing(const struct session *s, const struct arrival *a,
	const struct header_plan *p, struct buf *out)
{
	uint64_t wall_usec = loop_wall_usec();

	if (!p->from) {
		buf_str(out, "From: <");
		buf_put(out, s->tx.reverse_path.len ? s->tx.reverse_path : buf_span(&s->login));
		buf_str(out, ">\r\n");
	}
	if (!p->date) {
		buf_str(out, "Date: ");
		date_format(wall_usec, out);
		buf_str(out, "\r\n");
	}
	if (!p->message_id)
		buf_printf(out, "Message-ID: <%s.%" PRIu64 "@%s>\r\n", ident_format(a->id).s,
			wall_usec, s->config->hostname);
	/* Octets that do not begin with a header are the body. */
	if (!p->any)
		buf_str(out, "\r\n");
}

static int cut_out(struct incoming *in, const struct header_plan *p)
{
	int r = 0;

	/* From the last to the first: the earlier ones stay where they are. */
	for (size_t i = p->n_cuts; r == 0 && i > 0; i--)
		r = incoming_cut(in, p->cuts[i - 1].from, p->cuts[i - 1].len);
	return r;
}

/* ---- the end of data ---- */

/* All that From names, in their canonical forms, and the message itself, in one question. */
static SUSPENDS struct verdict check_from(struct session *s, const struct header_plan *p)
{
	struct span canonical[SUBMIT_ADDRESSES_MAX];
	struct buf text = BUF_INIT(128u * 1024u);
	size_t ends[SUBMIT_ADDRESSES_MAX], n = 0;
	struct submit q = {
		.kind = SUBMIT_CHARGE, .addresses = canonical, .recipients = s->tx.n_rcpts};
	struct submit_answer a = {.status = SUBMIT_UNKNOWN};

	for (; n < p->senders.n && n < ARRAY_LEN(ends); n++) {
		struct path path;
		if (mailbox_parse(addresses_get(&p->senders, n), true, false, &path) == 0)
			path_canonical(&path, &text);
		ends[n] = text.len;
	}
	for (size_t i = 0, start = 0; i < n; start = ends[i++])
		canonical[i] = span_make(text.ptr + start, ends[i] - start);
	q.n_addresses = (uint32_t)n;
	int r = text.error ? text.error : ask(s, &q, &a);
	buf_done(&text);
	if (r < 0 || a.status == SUBMIT_UNKNOWN)
		return no_answer();
	if (a.status == SUBMIT_NOT_YOURS)
		return VERDICT(550, "5.7.1", "The From field names an address that is not yours");
	return a.status == SUBMIT_OVER_QUOTA ? QUOTA : OK;
}

static SUSPENDS struct verdict finish(
	struct session *s, struct arrival *a, struct header_plan *p, struct buf *fields)
{
	struct verdict v = read_header(p, buf_span(&a->head));

	if (verdict_is_ok(v))
		v = check_from(s, p);
	if (!verdict_is_ok(v))
		return v;
	format_missing(s, a, p, fields);
	if (fields->error || cut_out(a->in, p) < 0)
		return VERDICT(451, "4.3.0", "Local error in processing, try again later");
	return v;
}

struct verdict submission_finish(struct session *s, struct arrival *a, struct buf *fields)
{
	if (!session_is_logged_in(s))
		return OK;
	if (a->head.error)
		return VERDICT(552, "5.3.4", "The header is too large");
	struct header_plan *p = calloc(1, sizeof(*p));
	if (!p)
		return VERDICT(451, "4.3.0", "Out of memory");
	addresses_init(&p->senders);
	struct verdict v = finish(s, a, p, fields);
	addresses_done(&p->senders);
	free(p);
	return v;
}
