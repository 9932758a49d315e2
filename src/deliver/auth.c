/* PLAIN, LOGIN, CRAM-MD5 and EXTERNAL are GNU SASL's (RFC 4616, 2195, 4422), SCRAM is our own
 * (scram_client.h says why); here are the order of preference, the dialogue of RFC 4954 and the
 * bounds. Steps are taken on the offload pool: a hundred thousand rounds take a while.
 *
 * A password is wiped where we hold it; it never stands in a result or in the log: what is told of
 * a failure is the server's reply. */
#include "deliver/auth.h"
#include <gsasl.h>
#include <openssl/crypto.h>
#include <stdlib.h>

#include "deliver/scram_client.h"
#include "fiber/offload.h"
#include "net/tls.h"

static const struct {
	const char *name;
	uint32_t bit;
	bool plus;
} mechanisms[] = {
	/* Those that are bound first: the others tell a server that it offered none. */
	{"SCRAM-SHA-256-PLUS", CLIENT_AUTH_SCRAM_SHA_256_PLUS, true},
	{"SCRAM-SHA-1-PLUS", CLIENT_AUTH_SCRAM_SHA_1_PLUS, true},
	{"SCRAM-SHA-256", CLIENT_AUTH_SCRAM_SHA_256, false},
	{"SCRAM-SHA-1", CLIENT_AUTH_SCRAM_SHA_1, false},
	{"PLAIN", CLIENT_AUTH_PLAIN, false},
	{"LOGIN", CLIENT_AUTH_LOGIN, false},
	/* Behind those that show the password to a server that proved itself: many servers list it
	 * for users of whom they keep a hash only, and then refuse. */
	{"CRAM-MD5", CLIENT_AUTH_CRAM_MD5, false},
	{"EXTERNAL", CLIENT_AUTH_EXTERNAL, false},
};

uint32_t auth_mechanisms(struct span words)
{
	uint32_t found = 0;
	for (struct span rest = words; rest.len > 0;) {
		size_t len = span_index(rest, ' ');
		for (size_t i = 0; i < ARRAY_LEN(mechanisms); i++)
			if (span_equal_nocase(span_head(rest, len), span_str(mechanisms[i].name)))
				found |= mechanisms[i].bit;
		rest = span_from(rest, len + 1);
	}
	return found;
}

uint32_t auth_choose(uint32_t offered, struct auth_means means)
{
	if ((offered & CLIENT_AUTH_EXTERNAL) && means.tls && means.certificate)
		return CLIENT_AUTH_EXTERNAL;
	for (size_t i = 0; i < ARRAY_LEN(mechanisms); i++)
		if ((offered & mechanisms[i].bit) && mechanisms[i].bit != CLIENT_AUTH_EXTERNAL &&
			means.password && (means.tls || !mechanisms[i].plus))
			return mechanisms[i].bit;
	return 0;
}

const char *auth_mechanism_name(uint32_t mechanism)
{
	for (size_t i = 0; i < ARRAY_LEN(mechanisms); i++)
		if (mechanisms[i].bit == mechanism)
			return mechanisms[i].name;
	return "none";
}

/* ---- one step, on a thread ---- */

/* One of the two. */
struct exchange {
	Gsasl_session *session;
	struct scram_client *scram;
};
struct step {
	const struct exchange *exchange;
	const char *challenge; /* base64 */
	char *answer;	       /* base64; gsasl_free */
};

static int scram_step(struct step *s)
{
	char *challenge = NULL;
	size_t len = 0;
	struct buf answer = BUF_INIT(SCRAM_CLIENT_MESSAGE_MAX);
	if (gsasl_base64_from(s->challenge, strlen(s->challenge), &challenge, &len) != GSASL_OK)
		return GSASL_BASE64_ERROR;
	int r = scram_client_step(s->exchange->scram, span_make(challenge, len), &answer);
	gsasl_free(challenge);
	if (r >= 0 && gsasl_base64_to(answer.ptr ? answer.ptr : "", answer.len, &s->answer, NULL) !=
			      GSASL_OK)
		r = -ENOMEM;
	buf_done(&answer);
	return r < 0 ? GSASL_AUTHENTICATION_ERROR : r > 0 ? GSASL_NEEDS_MORE : GSASL_OK;
}

static int step_work(void *arg)
{
	struct step *s = arg;
	if (s->exchange->scram)
		return scram_step(s);
	return gsasl_step64(s->exchange->session, s->challenge, &s->answer);
}

/* ---- the dialogue ---- */

static void free_secret(char *text)
{
	if (text)
		OPENSSL_cleanse(text, strlen(text));
	gsasl_free(text);
}

/* Sends one answer; first: with the command (RFC 4954 4: "=" is an empty initial response). */
SUSPENDS static int send_answer(struct smtp_client *c, const char *command, const char *answer)
{
	struct buf line = BUF_INIT(AUTH_LINE_MAX);
	if (command)
		buf_printf(&line, "AUTH %s ", command);
	buf_str(&line, command && !*answer ? "=" : answer);
	buf_str(&line, "\r\n");
	if (command)
		transcript_notef(&c->transcript, TRANSCRIPT_SENT, "AUTH %s (not shown)", command);
	else
		transcript_note(&c->transcript, TRANSCRIPT_SENT, SPAN_LIT("(not shown)"));
	int r = line.error ? line.error : stream_write(c->stream, buf_span(&line));
	if (line.ptr)
		OPENSSL_cleanse(line.ptr, line.len);
	buf_done(&line);
	return r;
}

/* The 334's challenge, NUL-terminated. reply keeps 1024 octets of text: more is no challenge. */
static const char *challenge_of(const struct reply *r, char *into, size_t cap)
{
	struct span text = span_trim(buf_span(&r->text));
	if (text.len >= cap)
		return NULL;
	memcpy(into, text.ptr ? text.ptr : "", text.len);
	into[text.len] = '\0';
	return into;
}

SUSPENDS static int converse(struct smtp_client *c, const struct exchange *x, const char *name,
	bool server_first, uint64_t usec, struct reply *r)
{
	char challenge[REPLY_TEXT_KEEP + 1] = "";
	const char *command = name;
	bool finished = false;
	if (server_first) { /* LOGIN, CRAM-MD5: no initial response */
		int n = smtp_client_sayf(c, "AUTH %s\r\n", name);
		if (n >= 0)
			n = smtp_client_reply(c, usec, r);
		if (n < 0)
			return n;
		command = NULL;
	}
	for (unsigned i = 0; i < AUTH_STEPS_MAX; i++) {
		if (!command) { /* not the first line: there is a reply to answer */
			if (r->code == 235)
				return finished ? 0 : -EPROTO;
			if (r->code != 334)
				return -EACCES;
			if (!challenge_of(r, challenge, sizeof(challenge)))
				return -EPROTO;
		}
		struct step s = {.exchange = x, .challenge = challenge};
		int e = offload_call(step_work, &s);
		if (e != GSASL_OK && e != GSASL_NEEDS_MORE) {
			free_secret(s.answer);
			return -EPROTO;
		}
		finished = e == GSASL_OK;
		int n = send_answer(c, command, s.answer ? s.answer : "");
		free_secret(s.answer);
		command = NULL;
		if (n >= 0)
			n = smtp_client_reply(c, usec, r);
		if (n < 0)
			return n;
	}
	return -EPROTO;
}

/* RFC 4954 4: SCRAM's last server message may come with the 235 instead of a 334; then one step is
 * left, and the server is only proved by it. */
static int finish(const struct exchange *x, const struct reply *r, int error)
{
	char challenge[REPLY_TEXT_KEEP + 1];
	struct span text = span_trim(buf_span(&r->text));
	if (!x->scram || error != -EPROTO || r->code != 235)
		return error;
	size_t skip = r->enhanced.class ? span_index(text, ' ') + 1 : 0;
	struct span last = span_from(text, MIN(skip, text.len));
	memcpy(challenge, last.ptr ? last.ptr : "", MIN(last.len, REPLY_TEXT_KEEP));
	challenge[MIN(last.len, REPLY_TEXT_KEEP)] = '\0';
	struct step s = {.exchange = x, .challenge = challenge};
	int e = scram_step(&s);
	free_secret(s.answer);
	return e == GSASL_OK ? 0 : -EPROTO;
}

/* ---- beginning ---- */

/* TLS 1.3 has tls-exporter; before it tls-server-end-point, which needs neither tls-unique's
 * extended master secret nor that the handshake was a full one. */
static int begin_scram(
	struct exchange *x, uint32_t mechanism, SSL *ssl, const char *user, const char *password)
{
	struct buf data = BUF_INIT(EVP_MAX_MD_SIZE);
	struct scram_client_ask ask = {
		.sha256 = mechanism & (CLIENT_AUTH_SCRAM_SHA_256 | CLIENT_AUTH_SCRAM_SHA_256_PLUS),
		.plus = mechanism & (CLIENT_AUTH_SCRAM_SHA_256_PLUS | CLIENT_AUTH_SCRAM_SHA_1_PLUS),
		.user = user,
		.password = password,
	};
	if (ssl && tls_exporter(ssl, &data) == 0)
		ask.binding = "tls-exporter";
	else if (ssl && tls_end_point(SSL_get0_peer_certificate(ssl), &data) == 0)
		ask.binding = "tls-server-end-point";
	ask.binding_data = buf_span(&data);
	int r = scram_client_new(&ask, &x->scram);
	buf_done(&data);
	return r;
}

static int begin_gsasl(struct exchange *x, Gsasl *context, uint32_t mechanism, const char *user,
	const char *password)
{
	const char *name = auth_mechanism_name(mechanism);
	if (gsasl_client_start(context, name, &x->session) != GSASL_OK)
		return -ENOMEM;
	int e;
	if (mechanism == CLIENT_AUTH_EXTERNAL) {
		e = gsasl_property_set(x->session, GSASL_AUTHZID, "");
	} else {
		e = gsasl_property_set(x->session, GSASL_AUTHID, user);
		if (e == GSASL_OK)
			e = gsasl_property_set(x->session, GSASL_PASSWORD, password);
	}
	return e == GSASL_OK ? 0 : -ENOMEM;
}

int auth_run(struct smtp_client *c, uint32_t mechanism, const char *user, const char *password,
	uint64_t usec, struct reply *r)
{
	struct exchange x = {0};
	Gsasl *context = NULL;
	if (gsasl_init(&context) != GSASL_OK)
		return -ENOMEM;
	int error = mechanism < CLIENT_AUTH_PLAIN
			    ? begin_scram(&x, mechanism, stream_tls(c->stream), user, password)
			    : begin_gsasl(&x, context, mechanism, user, password);
	if (error == 0) {
		bool waits = mechanism & (CLIENT_AUTH_LOGIN | CLIENT_AUTH_CRAM_MD5);
		error = converse(c, &x, auth_mechanism_name(mechanism), waits, usec, r);
		error = finish(&x, r, error);
	}
	if (x.session)
		gsasl_finish(x.session);
	scram_client_free(x.scram);
	gsasl_done(context);
	return error;
}
