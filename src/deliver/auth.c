/* Mechanisms are GNU SASL's (RFC 2195, 4616, 5802, 7677; channel binding by RFC 9266's
 * tls-exporter, or tls-unique before TLS 1.3); what is ours is the order of preference, the
 * dialogue of RFC 4954 and the bounds. SCRAM's rounds are computed on the offload pool: a hundred
 * thousand take a while.
 *
 * A password is wiped where we hold it; it never stands in a result or in the log: what is told of
 * a failure is the server's reply. */
#include "deliver/auth.h"
#include <gsasl.h>
#include <openssl/crypto.h>
#include <stdlib.h>

#include "fiber/offload.h"
#include "net/tls.h"

#define BINDING_OCTETS	 32u
#define CHALLENGE_OCTETS 9216u

static const struct {
	const char *name;
	uint32_t bit;
	bool plus;
} mechanisms[] = {
	{"SCRAM-SHA-256-PLUS", CLIENT_AUTH_SCRAM_SHA_256_PLUS, true},
	{"SCRAM-SHA-256", CLIENT_AUTH_SCRAM_SHA_256, false},
	{"SCRAM-SHA-1-PLUS", CLIENT_AUTH_SCRAM_SHA_1_PLUS, true},
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

uint64_t auth_scram_rounds(struct span message)
{
	uint64_t rounds = 0;
	for (struct span rest = message; rest.len > 0;) {
		size_t len = span_index(rest, ',');
		struct span part = span_head(rest, len);
		if (part.len > 2 && part.ptr[0] == 'i' && part.ptr[1] == '=') {
			int r = span_to_u64(span_from(part, 2), UINT32_MAX, &rounds);
			return r == -ERANGE ? UINT64_MAX : r < 0 ? 0 : rounds;
		}
		rest = span_from(rest, len + 1);
	}
	return 0;
}

/* ---- one step, on a thread ---- */

struct step {
	Gsasl_session *session;
	const char *challenge; /* base64 */
	char *answer;	       /* base64; gsasl_free */
};

static int step_work(void *arg)
{
	struct step *s = arg;
	return gsasl_step64(s->session, s->challenge, &s->answer);
}

/* Base64 of a SCRAM server's first message? Then its rounds must be bearable. */
static bool challenge_is_bearable(const char *challenge)
{
	char *out = NULL;
	size_t len = 0;
	if (gsasl_base64_from(challenge, strlen(challenge), &out, &len) != GSASL_OK)
		return true; /* gsasl will say so */
	bool ok = auth_scram_rounds(span_make(out, len)) <= AUTH_ROUNDS_MAX;
	gsasl_free(out);
	return ok;
}

/* ---- the dialogue ---- */

static int set_binding(Gsasl_session *session, SSL *ssl)
{
	static const char label[] = "EXPORTER-Channel-Binding";
	unsigned char octets[64];
	size_t len = BINDING_OCTETS;
	Gsasl_property property = GSASL_CB_TLS_EXPORTER;
	char *text = NULL;
	if (!ssl)
		return 0;
	if (SSL_version(ssl) >= TLS1_3_VERSION) {
		if (SSL_export_keying_material(
			    ssl, octets, BINDING_OCTETS, label, sizeof(label) - 1, NULL, 0, 0) != 1)
			return -EPROTO;
	} else {
		property = GSASL_CB_TLS_UNIQUE;
		len = SSL_session_reused(ssl) == 1
			      ? SSL_get_peer_finished(ssl, octets, sizeof(octets))
			      : SSL_get_finished(ssl, octets, sizeof(octets));
	}
	if (len == 0 || gsasl_base64_to((char *)octets, len, &text, NULL) != GSASL_OK)
		return -EPROTO;
	int r = gsasl_property_set(session, property, text) == GSASL_OK ? 0 : -ENOMEM;
	gsasl_free(text);
	return r;
}

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

SUSPENDS static int converse(struct smtp_client *c, Gsasl_session *session, const char *name,
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
			if (!challenge_of(r, challenge, sizeof(challenge)) ||
				!challenge_is_bearable(challenge))
				return -EPROTO;
		}
		struct step s = {.session = session, .challenge = challenge};
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
static int finish(Gsasl_session *session, const struct reply *r, int error, bool scram)
{
	char *answer = NULL, challenge[REPLY_TEXT_KEEP + 1];
	struct span text = span_trim(buf_span(&r->text));
	if (!scram || error != -EPROTO || r->code != 235)
		return error;
	size_t skip = r->enhanced.class ? span_index(text, ' ') + 1 : 0;
	struct span last = span_from(text, skip);
	memcpy(challenge, last.ptr ? last.ptr : "", MIN(last.len, REPLY_TEXT_KEEP));
	challenge[MIN(last.len, REPLY_TEXT_KEEP)] = '\0';
	int e = gsasl_step64(session, challenge, &answer);
	gsasl_free(answer);
	return e == GSASL_OK ? 0 : -EPROTO;
}

int auth_run(struct smtp_client *c, uint32_t mechanism, const char *user, const char *password,
	uint64_t usec, struct reply *r)
{
	const char *name = auth_mechanism_name(mechanism);
	Gsasl *context = NULL;
	Gsasl_session *session = NULL;
	int error = 0;
	if (gsasl_init(&context) != GSASL_OK)
		return -ENOMEM;
	bool external = mechanism == CLIENT_AUTH_EXTERNAL;
	if (gsasl_client_start(context, name, &session) != GSASL_OK ||
		(external ? gsasl_property_set(session, GSASL_AUTHZID, "") != GSASL_OK
			  : gsasl_property_set(session, GSASL_AUTHID, user) != GSASL_OK ||
					gsasl_property_set(session, GSASL_PASSWORD, password) !=
						GSASL_OK))
		error = -ENOMEM;
	bool plus = mechanism & (CLIENT_AUTH_SCRAM_SHA_256_PLUS | CLIENT_AUTH_SCRAM_SHA_1_PLUS);
	if (error == 0 && plus)
		error = set_binding(session, stream_tls(c->stream));
	if (error == 0) {
		bool waits = mechanism & (CLIENT_AUTH_LOGIN | CLIENT_AUTH_CRAM_MD5);
		error = converse(c, session, name, waits, usec, r);
		error = finish(session, r, error, mechanism < CLIENT_AUTH_PLAIN);
	}
	if (session)
		gsasl_finish(session);
	gsasl_done(context);
	return error;
}
