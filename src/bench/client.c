/* One session of the generator (RFC 5321 3.1-3.9, seen from the client), as lean as it can be: the
 * envelope leaves in one write where the server offers PIPELINING (RFC 2920), or message and all
 * with BDAT (RFC 3030); replies are read line by line and only their code looked at. How a session
 * begins and ends is client_session.c's.
 *
 * A transaction that a connection's end or a 4xx cut short is tried again, up to --tries, but never
 * when its fate is unknown (the final dot was sent, no reply came): to send it again would make the
 * generator itself the cause of a double. */
#include "bench/client.h"

#include "base/clock.h"

#define RETRY_WAIT_USEC (100 * USEC_PER_MSEC)
#define ENVELOPE_MAX	(16u << 20)
#define OPENING_MAX	64u

/* ---- a transaction ---- */

static void put_template(
	struct buf *out, struct span text, uint64_t rcpt, uint64_t n, uint64_t domain)
{
	while (text.len > 0) {
		size_t brace = span_index(text, '{');
		buf_put(out, span_head(text, brace));
		text = span_from(text, brace);
		struct span names[] = {
			SPAN_LIT("{rcpt}"), SPAN_LIT("{message}"), SPAN_LIT("{domain}")};
		uint64_t values[] = {rcpt, n, domain};
		size_t i = 0;
		while (i < ARRAY_LEN(names) && !span_starts_nocase(text, names[i]))
			i++;
		if (i < ARRAY_LEN(names)) {
			buf_u64(out, values[i]);
			text = span_from(text, names[i].len);
		} else {
			buf_put(out, span_head(text, 1));
			text = span_from(text, 1);
		}
	}
}

struct transaction_state {
	uint64_t n; /* the message */
	uint8_t *fates;
	uint64_t since, data_since;
	uint64_t octets;
	uint64_t accepted; /* RCPTs with 2xx */
	bool transient;	   /* a 4xx: worth another try */
	bool dotted;	   /* the final dot may have left */
};

/* MAIL and RCPTs into the envelope buffer; the head with the token into the head buffer. */
static struct span compose(struct client *c, struct transaction_state *t)
{
	struct load *l = c->l;
	const struct load_options *o = l->o;
	struct token token = {
		.run = l->run_id, .n = t->n, .of = o->messages, .rcpts = o->recipients};
	uint64_t size = payload_size_pick(&o->sizes, load_random(l));
	uint64_t domain = t->n % o->domains;

	/* The fields of payload_head beside the addresses. */
	uint64_t head = 270 + o->from.len + o->to.len;
	token.at_usec = clock_wall_usec();
	struct span body = payload_body(l->pool, size, head, &token.crc);
	token.octets = body.len;
	buf_reset(&c->head);
	buf_reset(&c->envelope);
	put_template(&c->envelope, o->to, 0, t->n, domain);
	payload_head(&token, o->from, buf_span(&c->envelope), l->date, &c->head);
	buf_reset(&c->envelope);
	buf_str(&c->envelope, "MAIL FROM:<");
	buf_put(&c->envelope, o->from);
	buf_str(&c->envelope, ">\r\n");
	for (uint64_t i = 0; i < o->recipients; i++) {
		buf_str(&c->envelope, "RCPT TO:<");
		put_template(&c->envelope, o->to, i, t->n, domain);
		buf_str(&c->envelope, ">\r\n");
	}
	return body;
}

static const char *const reply_names[] = {"MAIL", "RCPT", "DATA"};

/* Commands [0, n] of MAIL, RCPTs and DATA: sends at once or one by one, reads their replies.
 * 0, 1 when nothing is to be sent (refused), or a negative errno. */
SUSPENDS static int envelope(struct client *c, struct transaction_state *t, bool bdat)
{
	const struct load_options *o = c->l->o;
	uint64_t commands = o->recipients + (bdat ? 1 : 2);
	struct span lines = buf_span(&c->envelope);
	int r = c->envelope.error;
	bool go = true;

	if (r >= 0 && c->pipelining)
		r = client_put(c, lines);
	for (uint64_t i = 0; r >= 0 && i < commands; i++) {
		if (!c->pipelining) {
			size_t line = span_index(lines, '\n') + 1;
			if (i == o->recipients + 1 && t->accepted == 0)
				return 1; /* nobody to send DATA for */
			r = client_put(c, span_head(lines, line));
			lines = span_from(lines, line);
			if (r < 0)
				break;
		}
		size_t kind = i == 0 ? 0 : i <= o->recipients ? 1 : 2;
		r = client_get(c, reply_names[kind], false);
		if (r < 0)
			break;
		t->transient |= r / 100 == 4;
		if (kind == 1 && r / 100 == 2)
			t->accepted++;
		else if (kind == 1)
			t->fates[i - 1] = FATE_REFUSED;
		else if (r != (kind == 0 ? 250 : 354))
			go = false;
	}
	return r < 0 ? r : go && t->accepted ? 0 : 1;
}

/* The replies to the message: one, or with LMTP (RFC 2033 4.2) one for each accepted recipient. */
SUSPENDS static int final_replies(struct client *c, struct transaction_state *t)
{
	struct load *l = c->l;
	uint64_t n = l->o->recipients, accepted = 0;
	int code = 0;

	for (uint64_t i = 0; i < n; i++) {
		if (t->fates[i] == FATE_REFUSED)
			continue;
		if (code == 0 || l->o->lmtp)
			code = client_get(c, "end of data", false);
		if (code < 0)
			return code;
		t->transient |= code / 100 == 4;
		t->fates[i] = code / 100 == 2 ? FATE_ACCEPTED : FATE_REFUSED;
		accepted += code / 100 == 2;
	}
	t->dotted = false;
	if (accepted > 0) {
		l->accepted_messages++;
		l->accepted_pairs += accepted;
		l->octets += t->octets;
		l->ended_usec = clock_monotonic_usec();
		load_time(l, STAGE_DATA, t->data_since);
		load_time(l, STAGE_TO_250, t->since);
	}
	return 0;
}

SUSPENDS static int transfer(struct client *c, struct transaction_state *t)
{
	bool bdat = c->l->o->bdat && c->chunking;
	struct span body = compose(c, t);
	struct buf command = BUF_INIT(64);

	if (!bdat)
		buf_str(&c->envelope, "DATA\r\n");
	t->since = c->first ? c->connected_usec : clock_monotonic_usec();
	uint64_t mail_since = clock_monotonic_usec();
	c->first = false;
	int r = envelope(c, t, bdat);
	if (r != 0)
		return r;
	load_time(c->l, STAGE_ENVELOPE, mail_since);
	t->data_since = clock_monotonic_usec();
	t->octets = c->head.len + body.len;
	t->dotted = true;
	if (bdat) {
		buf_printf(&command, "BDAT %zu LAST\r\n", c->head.len + body.len);
		r = client_put(c, buf_span(&command));
		buf_done(&command);
	}
	if (r >= 0)
		r = c->head.error ? c->head.error : client_put(c, buf_span(&c->head));
	if (r >= 0)
		r = client_put(c, body);
	if (r >= 0 && !bdat)
		r = client_put(c, SPAN_LIT(".\r\n"));
	return r < 0 ? r : final_replies(c, t);
}

/* One message, however many tries it takes. */
SUSPENDS static void send_message(struct client *c, uint64_t n)
{
	struct load *l = c->l;
	uint64_t rcpts = l->o->recipients;
	uint8_t *fates = l->fates + n * rcpts;

	for (uint64_t try = 0; try < l->o->tries && !fiber_cancelled(); try++) {
		struct transaction_state t = {.n = n, .fates = fates};
		int r = c->s ? 0 : client_open(c);
		bool opened = r >= 0;
		memset(fates, FATE_UNSENT, rcpts);
		if (opened)
			r = transfer(c, &t);
		if (r < 0 && opened) {
			load_count_reply(l, t.dotted ? "end of data" : "session", r, SPAN_NULL);
			client_close(c);
			for (uint64_t i = 0; i < rcpts && t.dotted; i++)
				if (fates[i] != FATE_REFUSED && fates[i] != FATE_ACCEPTED)
					fates[i] = FATE_UNKNOWN;
			if (t.dotted)
				break;
		} else if (r > 0) {
			/* Refused before the data: the next MAIL needs a clean slate. */
			r = client_put(c, SPAN_LIT("RSET\r\n"));
			r = r < 0 ? r : client_get(c, "RSET", false);
			if (r < 0 || r >= 400)
				client_close(c);
			memset(fates, FATE_REFUSED, rcpts);
			if (!t.transient)
				break;
		} else if (r == 0 && (!t.transient || memchr(fates, FATE_ACCEPTED, rcpts))) {
			break;
		}
		if (load_time_is_over(l))
			break;
		if (try + 1 < l->o->tries) {
			l->retried++;
			if (fiber_sleep(RETRY_WAIT_USEC << MIN(try, UINT64_C(5))) < 0)
				break;
		}
	}
	for (uint64_t i = 0; i < rcpts; i++)
		l->refused_pairs += fates[i] == FATE_REFUSED;
}

static void client_done(struct client *c)
{
	buf_done(&c->envelope);
	buf_done(&c->head);
	if (--c->l->workers == 0)
		cond_broadcast(&c->l->finished);
}

void client_worker(void *arg)
{
	struct load *l = arg;
	struct client c = {
		.l = l, .envelope = BUF_INIT(ENVELOPE_MAX), .head = BUF_INIT(CLIENT_HEAD_MAX)};
	uint64_t sent = 0, n;

	while (load_next_message(l, &n)) {
		send_message(&c, n);
		sent++;
		if (l->o->per_connection && sent % l->o->per_connection == 0 && c.s)
			client_quit(&c);
	}
	if (c.s)
		client_quit(&c);
	client_done(&c);
}

void client_idle(void *arg)
{
	struct load *l = arg;
	struct client c = {
		.l = l, .envelope = BUF_INIT(ENVELOPE_MAX), .head = BUF_INIT(CLIENT_HEAD_MAX)};
	uint64_t until = loop_now_usec() + l->o->idle_usec;
	struct span rest;

	while (l->opening >= OPENING_MAX && !fiber_cancelled())
		(void)fiber_sleep(USEC_PER_MSEC);
	l->opening++;
	int r = -ECANCELED;
	for (uint64_t try = 0; try < l->o->tries && r < 0 && !fiber_cancelled(); try++)
		r = client_open(&c);
	l->opening--;
	if (r >= 0) {
		stream_set_read_deadline(c.s, until);
		stream_set_timeout(c.s, USEC_INFINITY, l->o->timeout_usec);
		r = stream_peek(c.s, &rest);
		/* Anything but our own deadline: the server said 421 or hung up. */
		if (r != -ETIMEDOUT && r != -ECANCELED)
			l->closed_early++;
		client_close(&c);
	}
	client_done(&c);
}
