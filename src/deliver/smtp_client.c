/* The session around transactions, RFC 5321 3.1, 3.2, 4.1.1.1, 4.2; extensions by RFC 5321 2.2.
 *
 * Everything the peer sends is hostile: replies are bounded (mail/reply.h), one deadline covers a
 * whole reply however many lines it has, and what is not a reply ends the session. No session at
 * all (refused, timed out, a greeting of 4xx or 5xx) says nothing about the message: it is
 * deferred, and the site is reported as down. So is a 554 greeting: RFC 5321 3.1 lets the client
 * choose, and a smart host under repair must not bounce a day's mail. */
#include "deliver/smtp_client.h"
#include <stdlib.h>
#include <sys/socket.h>

#include "deliver/auth.h"

/* RFC 5321 4.5.3.2.5: for each block of data, at least 3 minutes. */
#define WRITE_TIMEOUT_USEC (180 * USEC_PER_SEC)
#define REMOTE_MAX	   512u
#define PEER_NAME_MAX	   255u
#define SAY_MAX		   2048u
#define ENHANCED_MAX	   16u /* "5.999.999" and its NUL */

static void on_watchdog(struct loop_timer *t)
{
	struct smtp_client *c = CONTAINER_OF(t, struct smtp_client, watchdog);
	c->overdue = true;
	(void)shutdown(stream_fd(c->stream), SHUT_RDWR); /* its fiber wakes with an error */
}

int smtp_client_watchdog(struct smtp_client *c, uint64_t deadline_usec)
{
	c->watchdog.fn = on_watchdog;
	if (deadline_usec != USEC_INFINITY)
		return loop_timer_set(&c->watchdog, deadline_usec);
	loop_timer_cancel(&c->watchdog);
	return 0;
}

int smtp_client_error(const struct smtp_client *c, int r)
{
	return r < 0 && r != -ECANCELED && c->overdue ? -ETIMEDOUT : r;
}

void smtp_client_free(struct smtp_client *c)
{
	if (!c)
		return;
	loop_timer_cancel(&c->watchdog);
	list_remove(&c->node);
	stream_free(c->stream);
	buf_done(&c->remote);
	buf_done(&c->tls);
	buf_done(&c->key);
	free(c);
}

/* EHLO keywords stand one a line, from the second on (RFC 5321 4.1.1.1). */
static void learn_keyword(struct smtp_client *c, struct span line)
{
	struct span word = span_trim(span_from(line, 4));
	struct span value = SPAN_NULL;
	size_t space = span_index(word, ' ');
	if (space < word.len) {
		value = span_trim(span_from(word, space));
		word.len = space;
	}
	if (span_equal_nocase(word, SPAN_LIT("PIPELINING")))
		c->pipelining = true;
	else if (span_equal_nocase(word, SPAN_LIT("8BITMIME")))
		c->eightbitmime = true;
	else if (span_equal_nocase(word, SPAN_LIT("STARTTLS")))
		c->starttls = true;
	else if (span_equal_nocase(word, SPAN_LIT("REQUIRETLS")))
		c->requiretls = true;
	else if (span_equal_nocase(word, SPAN_LIT("AUTH")))
		c->auth = auth_mechanisms(value);
	offers_learn(&c->offers, word, value);
	if (span_equal_nocase(word, SPAN_LIT("SIZE"))) {
		uint64_t max;
		c->size = true;
		if (span_to_u64(value, UINT64_MAX, &max) >= 0)
			c->size_max = max;
	}
}

/* Challenges may help to guess a password: of AUTH's replies, those that say why are shown. */
static void note_reply(struct smtp_client *c, struct span line)
{
	bool masked = c->secret && line.len > 4 && (line.ptr[0] == '2' || line.ptr[0] == '3');
	if (masked)
		transcript_notef(&c->transcript, TRANSCRIPT_GOT, "%.*s(not shown)",
			SPAN_FMT(span_head(line, 4)));
	else
		transcript_note(&c->transcript, TRANSCRIPT_GOT, line);
}

SUSPENDS static int read_reply(struct smtp_client *c, uint64_t usec, struct reply *r, bool ehlo)
{
	reply_done(r);
	reply_init(r);
	stream_set_read_deadline(c->stream, loop_now_usec() + usec);
	stream_set_timeout(c->stream, usec, WRITE_TIMEOUT_USEC);
	int n = 0;
	while (n == 0) {
		struct span line;
		n = stream_read_line(c->stream, REPLY_LINE_MAX, &line, NULL);
		if (n == -EMSGSIZE)
			n = -EBADMSG;
		if (n < 0)
			break;
		note_reply(c, line);
		n = reply_feed_line(r, line);
		if (ehlo && n >= 0 && r->lines > 1)
			learn_keyword(c, line);
	}
	stream_set_read_deadline(c->stream, USEC_INFINITY);
	if (n >= 0)
		return 0;
	n = smtp_client_error(c, n);
	transcript_notef(&c->transcript, TRANSCRIPT_FACT, "no reply: %s",
		n == -EBADMSG ? "that is no SMTP reply" : strerrordesc_np(-n));
	return n;
}

int smtp_client_reply(struct smtp_client *c, uint64_t usec, struct reply *r)
{
	return read_reply(c, usec, r, false);
}

int smtp_client_say(struct smtp_client *c, struct span line)
{
	transcript_note(&c->transcript, TRANSCRIPT_SENT, line);
	return stream_write(c->stream, line);
}

int smtp_client_sayf(struct smtp_client *c, const char *fmt, ...)
{
	struct buf line = BUF_INIT(SAY_MAX);
	va_list ap;
	va_start(ap, fmt);
	buf_vprintf(&line, fmt, ap);
	va_end(ap);
	int r = line.error ? line.error : smtp_client_say(c, buf_span(&line));
	buf_done(&line);
	return r;
}

void smtp_client_quit(struct smtp_client *c, uint64_t usec)
{
	struct reply reply;
	reply_init(&reply);
	if (smtp_client_watchdog(c, loop_now_usec() + usec) >= 0 &&
		smtp_client_say(c, SPAN_LIT("QUIT\r\n")) >= 0 &&
		smtp_client_reply(c, usec, &reply) < 0) {
		/* RFC 5321 4.1.1.10 asks to wait for the reply; it changes nothing. */
	}
	reply_done(&reply);
}

/* ---- results ---- */

enum outcome_class smtp_class(const struct reply *r)
{
	switch (r->code / 100) {
	case 2:
		return OUTCOME_DELIVERED;
	case 5:
		return OUTCOME_FAILED;
	default: /* RFC 5321 4.2.1: what is not understood is not permanent */
		return OUTCOME_DEFERRED;
	}
}

struct outcome_rcpt smtp_result(
	struct delivery *d, enum outcome_class result, const struct reply *r)
{
	static const unsigned classes[] = {
		[OUTCOME_DELIVERED] = 2,
		[OUTCOME_DEFERRED] = 4,
		[OUTCOME_FAILED] = 5,
		[OUTCOME_NOT_TRIED] = 4,
	};
	bool given = r->enhanced.class != 0;
	char octets[ENHANCED_MAX];
	struct buf enhanced = {.ptr = octets, .cap = sizeof(octets), .max = sizeof(octets)};
	buf_u64(&enhanced, classes[result]);
	buf_char(&enhanced, '.');
	buf_u64(&enhanced, given ? r->enhanced.subject : 0u);
	buf_char(&enhanced, '.');
	buf_u64(&enhanced, given ? r->enhanced.detail : 0u);
	buf_char(&enhanced, '\0');
	return delivery_result_text(
		d, result, r->code, enhanced.error ? "4.0.0" : octets, buf_span(&r->text));
}

struct outcome_rcpt smtp_error_result(
	struct delivery *d, const struct smtp_client *c, int error, const char *stage)
{
	struct span peer = c ? buf_span(&c->remote) : SPAN_LIT("the next hop");
	switch (error) {
	case -ECANCELED:
		return delivery_result(
			d, OUTCOME_NOT_TRIED, 0, "4.3.2", "shutting down while %s", stage);
	case -ETIMEDOUT:
		return delivery_result(d, OUTCOME_DEFERRED, 0, "4.4.2",
			"conversation with %.*s timed out while %s", SPAN_FMT(peer), stage);
	case -EBADMSG:
		return delivery_result(d, OUTCOME_DEFERRED, 0, "4.5.0",
			"%.*s sent something that is no SMTP reply while %s", SPAN_FMT(peer),
			stage);
	default:
		return delivery_result(d, OUTCOME_DEFERRED, 0, "4.4.2",
			"lost connection with %.*s while %s: %s", SPAN_FMT(peer), stage,
			strerrordesc_np(-error));
	}
}

/* ---- beginning ---- */

int smtp_client_new(int fd, bool lmtp, struct smtp_client **ret_client)
{
	struct smtp_client *c = calloc(1, sizeof(*c));
	if (!c) {
		fd_close(fd);
		return -ENOMEM;
	}
	c->remote = BUF_INIT(REMOTE_MAX);
	c->tls = BUF_INIT(REMOTE_MAX);
	c->key = BUF_INIT(SIZE_MAX);
	c->lmtp = lmtp;
	transcript_init(&c->transcript);
	c->peer.len = sizeof(c->peer.ss);
	if (getpeername(fd, (struct sockaddr *)&c->peer.ss, &c->peer.len) < 0)
		c->peer.len = 0;
	c->local.len = sizeof(c->local.ss);
	if (getsockname(fd, (struct sockaddr *)&c->local.ss, &c->local.len) < 0)
		c->local.len = 0;
	int r = stream_new_known(fd, !address_is_unix(&c->peer), &c->stream);
	if (r < 0) {
		smtp_client_free(c);
		return r;
	}
	*ret_client = c;
	return 0;
}

static void remote_name(struct smtp_client *c, const struct reply *r)
{
	struct span name = span_head(buf_span(&r->text), PEER_NAME_MAX);
	for (size_t i = 0; i < name.len; i++) {
		if (name.ptr[i] <= ' ' || name.ptr[i] > '~')
			name.len = i;
	}
	if (name.len == 0 || c->remote.error || c->named)
		return;
	c->named = true;
	buf_char(&c->remote, ' ');
	buf_put(&c->remote, name);
}

static void forget_keywords(struct smtp_client *c)
{
	c->pipelining = c->size = c->eightbitmime = c->starttls = c->requiretls = false;
	c->auth = 0;
	c->size_max = 0;
	c->offers = (struct offers){0};
}

/* EHLO, HELO for those of before RFC 1869 (RFC 5321 3.2, 4.1.4), LHLO (RFC 2033 4.1). */
int smtp_client_hello(struct smtp_client *c, const char *hostname, uint64_t usec, struct reply *r)
{
	forget_keywords(c); /* RFC 3207 4.2: what was said before TLS may be a lie */
	int n = smtp_client_sayf(c, "%s %s\r\n", c->lmtp ? "LHLO" : "EHLO", hostname);
	if (n >= 0)
		n = read_reply(c, usec, r, true);
	if (n >= 0 && !c->lmtp && r->code / 100 == 5) {
		forget_keywords(c);
		n = smtp_client_sayf(c, "HELO %s\r\n", hostname);
		if (n >= 0)
			n = smtp_client_reply(c, usec, r);
	}
	if (n >= 0 && r->code / 100 == 2)
		remote_name(c, r);
	return n;
}
