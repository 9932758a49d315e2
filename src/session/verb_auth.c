/* AUTH, RFC 4954 4. The exchange is the directory's (ipc/auth.h): here its messages are carried
 * between the client's base64 lines and the directory's frames, and its outcome becomes a reply.
 *
 *   235 2.7.0   logged in            501 5.5.2  not base64, or "*" (cancelled)
 *   334         go on                500 5.5.6  a line longer than 12288 octets
 *   535 5.7.8   refused              454 4.7.0  the directory does not answer
 *   538 5.7.11  not before TLS       504 5.5.4  no such mechanism here
 *   503 5.5.1   logged in already, or inside a transaction, or before EHLO
 *   421 4.7.0   locked out: the connection ends
 *
 * What a client sent lives in buffers that are wiped; it is never logged. */
#include "base/base64.h"
#include "base/stats.h"
#include "ipc/auth.h"
#include "ipc/frames.h"
#include "mail/mechanism.h"
#include "session/limits.h"
#include "session/login.h"
#include "session/refusal.h"
#include "session/reply.h"
#include "session/verb.h"

#define TOKEN_OCTETS 8u

struct exchange {
	struct buf line;     /* decoded, wiped after each step */
	struct buf answer;   /* the directory's */
	uint64_t generation; /* of the directory that it began with */
	struct span mechanism;
};

static void wipe(struct buf *b)
{
	if (b->ptr)
		explicit_bzero(b->ptr, b->cap);
	buf_reset(b);
}

static struct verdict check_state(const struct session *s, struct span mechanism)
{
	enum mechanism m;

	if (s->origin.role != LISTENER_SUBMISSION)
		return VERDICT(502, "5.5.1", "Command not implemented");
	if (!s->extended)
		return VERDICT(503, "5.5.1", "EHLO first");
	if (session_is_logged_in(s))
		return VERDICT(503, "5.5.1", "You are logged in already");
	if (s->tx.open)
		return VERDICT(503, "5.5.1", "Not inside a transaction");
	if (mechanism_find(mechanism, &m) < 0)
		return VERDICT(504, "5.5.4", "Mechanism not known");
	if (!session_is_encrypted(s))
		return VERDICT(538, "5.7.11", "Encryption required: STARTTLS first");
	if (!(login_offer(s) & MECH_BIT(m)))
		return VERDICT(504, "5.5.4", "Mechanism not offered");
	return VERDICT(235, "2.7.0", "Ok");
}

/* One question to the directory. */
static SUSPENDS int ask(struct session *s, const struct auth_step *step, struct exchange *x,
	struct auth_answer *ret_answer)
{
	struct buf payload = BUF_INIT(64u * 1024u);

	auth_step_encode(step, &payload);
	buf_reset(&x->answer);
	wire_put_u64(&x->answer, 0);
	struct lookup_question q = {
		.type = FRAME_AUTH,
		.answer_type = FRAME_AUTH_ANSWER,
		.payload = span_from(buf_span(&payload), TOKEN_OCTETS),
		.sends = 1,
		.wait_usec = AUTH_WAIT_USEC,
	};
	int r = payload.error;
	/* A directory that was started since knows nothing of the exchange. */
	if (r == 0 && step->kind == AUTH_CONTINUE &&
		x->generation != lookup_client_generation(s->server->directory))
		r = -EPIPE;
	if (r == 0)
		r = lookup_client_ask(s->server->directory, &q, &x->answer);
	if (step->kind == AUTH_BEGIN)
		x->generation = lookup_client_generation(s->server->directory);
	if (r == 0)
		r = auth_answer_decode(buf_span(&x->answer), ret_answer);
	wipe(&payload);
	buf_done(&payload);
	return r;
}

static void cancel(struct session *s)
{
	struct auth_step step = {.exchange = s->number, .kind = AUTH_CANCEL};
	struct buf payload = BUF_INIT(256);

	auth_step_encode(&step, &payload);
	if (payload.error == 0)
		lookup_client_tell(s->server->directory, FRAME_AUTH,
			span_from(buf_span(&payload), TOKEN_OCTETS));
	buf_done(&payload);
}

static SUSPENDS int begin(
	struct session *s, struct exchange *x, bool has_response, struct auth_answer *ret_answer)
{
	struct address_text client = session_client_text(s);
	struct auth_step step = {
		.exchange = s->number,
		.kind = AUTH_BEGIN,
		.has_response = has_response,
		.response = buf_span(&x->line),
		.session = s->number,
		.mechanism = x->mechanism,
		.client = span_str(client.s),
		.exporter = buf_span(&s->exporter),
		.end_point = buf_span(&s->end_point),
		.fingerprint = buf_span(&s->fingerprint),
		.subject = buf_span(&s->subject),
	};
	return ask(s, &step, x, ret_answer);
}

/* The client's next line, decoded into x->line. 250: go on. */
static SUSPENDS struct verdict read_response(struct session *s, struct exchange *x)
{
	struct span line;
	bool crlf = false;
	int r = stream_read_line(s->io, AUTH_LINE_MAX, &line, &crlf);

	if (r == -EMSGSIZE)
		return VERDICT(500, "5.5.6", "Authentication exchange line is too long");
	if (r == -ETIMEDOUT) {
		session_end(s, "timeout");
		return VERDICT(421, "4.4.2", "Timeout, closing");
	}
	if (r < 0) {
		session_end(s, r == -ECANCELED ? "drain" : "closed");
		return r == -ECANCELED ? refusal_of(r) : VERDICT_NONE;
	}
	if (!crlf && !s->bare_tolerated)
		return VERDICT(500, "5.5.2", "A line ends with CRLF");
	if (span_equal(line, SPAN_LIT("*")))
		return VERDICT(501, "5.7.0", "Authentication cancelled");
	wipe(&x->line);
	if (base64_decode(line, &x->line) < 0)
		return VERDICT(501, "5.5.2", "Not base64");
	return VERDICT(250, "2.0.0", "Ok");
}

static SUSPENDS int send_challenge(struct session *s, struct span challenge)
{
	base64_encode(challenge, reply_begin(s));
	return s->text.error ? s->text.error : reply_send(s, reply_text(s, 334, ""));
}

/* What the directory's last word means. */
static struct verdict outcome(struct session *s, const struct auth_answer *a)
{
	switch (a->status) {
	case AUTH_OK:
		buf_reset(&s->login);
		buf_put(&s->login, a->data);
		if (s->login.error) {
			buf_reset(&s->login);
			break;
		}
		return VERDICT(235, "2.7.0", "Authentication successful");
	case AUTH_REFUSED:
		if (++s->auth_failures < AUTH_FAILURES_MAX)
			return VERDICT(535, "5.7.8", "Authentication credentials invalid");
		session_end(s, "auth");
		return VERDICT(421, "4.7.0", "Too many failures, closing");
	case AUTH_MALFORMED:
		return VERDICT(501, "5.5.2", "Not what the mechanism asks for");
	case AUTH_LOCKED:
		session_end(s, "auth");
		return VERDICT(421, "4.7.0", "Too many failures from your address, try later");
	case AUTH_CHALLENGE:
	case AUTH_TEMPORARY:
		break;
	}
	return VERDICT(454, "4.7.0", "Temporary authentication failure");
}

static SUSPENDS struct verdict converse(struct session *s, struct exchange *x, bool has_response)
{
	struct auth_answer a = {.status = AUTH_TEMPORARY};
	int r = begin(s, x, has_response, &a);

	while (r == 0 && a.status == AUTH_CHALLENGE) {
		if (send_challenge(s, a.data) < 0) {
			session_end(s, "closed");
			cancel(s);
			return VERDICT_NONE;
		}
		struct verdict v = read_response(s, x);
		if (!verdict_is_ok(v)) {
			cancel(s);
			return v;
		}
		struct auth_step step = {.exchange = s->number,
			.kind = AUTH_CONTINUE,
			.has_response = true,
			.response = buf_span(&x->line)};
		r = ask(s, &step, x, &a);
	}
	if (r == -ECANCELED) {
		session_end(s, "drain");
		return refusal_of(r);
	}
	if (r < 0) {
		cancel(s);
		a.status = AUTH_TEMPORARY;
	}
	return outcome(s, &a);
}

struct verdict verb_auth(struct session *s, const struct command *c)
{
	struct span mechanism = span_head(c->argument, span_index(c->argument, ' '));
	struct span initial = span_trim(span_from(c->argument, mechanism.len));
	struct verdict v = check_state(s, mechanism);
	struct exchange x = {
		.line = BUF_INIT(AUTH_LINE_MAX),
		.answer = BUF_INIT(64u * 1024u),
	};
	enum mechanism m;

	if (!verdict_is_ok(v) || mechanism_find(mechanism, &m) < 0)
		return v;
	x.mechanism = span_str(mechanism_name(m)); /* the line is gone after the next read */
	/* 4: "=" is an initial response of no octets. */
	if (initial.len && !span_equal(initial, SPAN_LIT("=")) &&
		base64_decode(initial, &x.line) < 0)
		v = VERDICT(501, "5.5.2", "Not base64");
	else
		v = converse(s, &x, initial.len > 0);
	wipe(&x.line);
	buf_done(&x.line);
	buf_done(&x.answer);
	return v;
}
