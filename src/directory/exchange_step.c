/* What each mechanism does with the client's next message. Whatever the outcome, a step ends in one
 * answer: a challenge, or the end of the exchange.
 *
 *   PLAIN     RFC 4616: [authzid] NUL authcid NUL passwd
 *   LOGIN     draft-murchison-sasl-login: name and password, each asked for in the words that
 *             clients (and printers) expect
 *   SCRAM     RFC 5802, 7677; the server's proof goes as a challenge, which the client answers with
 *             nothing (RFC 4954 4: no data with success)
 *   EXTERNAL  RFC 4422 A: the certificate is the proof
 *   CRAM-MD5  RFC 2195 (exchange_cram.c): the only one where the server speaks first
 *
 * An authorization identity has to be the user's own: there are no masters. */
#include "base/log.h"
#include "directory/exchange.h"
#include "fiber/fiber.h"
#include "sasl/plain.h"

#include <openssl/hmac.h>

/* ---- names ---- */

/* The same user under another spelling? Empty is "the same". */
static bool authorizes_itself(const struct exchange *e, struct span authzid)
{
	struct buf other = BUF_INIT(2 * LOGIN_MAX);
	struct span rest;

	if (authzid.len == 0)
		return true;
	(void)logins_find(e->auth->logins, authzid, &other, &rest);
	bool same = other.error == 0 && span_equal(buf_span(&other), buf_span(&e->login));
	buf_done(&other);
	return same;
}

bool exchange_find_user(
	struct exchange *e, struct span name, enum login_state *ret_state, struct span *ret_rest)
{
	buf_reset(&e->login);
	*ret_rest = SPAN_NULL;
	*ret_state = logins_find(e->auth->logins, name, &e->login, ret_rest);
	if (e->login.error) {
		exchange_end(e, AUTH_MALFORMED, SPAN_NULL);
		return false;
	}
	if (*ret_state == LOGIN_UNKNOWN) {
		exchange_log(e, "auth-unavailable", "table", SPAN_NULL);
		exchange_end(e, AUTH_TEMPORARY, SPAN_NULL);
		return false;
	}
	if (guess_is_locked(e->auth->guess, &e->client, buf_span(&e->login), loop_now_usec())) {
		exchange_locked(e);
		return false;
	}
	return true;
}

/* ---- passwords ---- */

static struct exchange *of_task(struct hash_task *t)
{
	return CONTAINER_OF(t, struct exchange, task);
}

static bool task_wanted(struct hash_task *t)
{
	struct exchange *e = of_task(t);

	/* While it waited, others from there may have used up the address's failures. */
	return e->peer &&
	       !guess_is_locked(e->auth->guess, &e->client, buf_span(&e->login), loop_now_usec());
}

static void task_work(struct hash_task *t)
{
	struct exchange *e = of_task(t);

	e->matches = secret_matches(buf_span(&e->password), buf_span(&e->hash));
	for (unsigned h = 0; e->matches && !e->nobody && e->learn && h < SCRAM_HASHES; h++)
		if (scram_keys_make((enum scram_hash)h, buf_span(&e->password), &e->keys[h]) < 0)
			e->learn = false;
}

static void succeed(struct exchange *e)
{
	struct auth *a = e->auth;

	if (e->learn &&
		learned_put(a->learned, buf_span(&e->login), buf_span(&e->hash), e->keys) == 0)
		a->changed(a->arg);
	exchange_succeed(e, SPAN_NULL);
}

static void task_done(struct hash_task *t, bool ran)
{
	struct exchange *e = of_task(t);

	e->hashing = false;
	if (!ran && !e->peer)
		exchange_free(e);
	else if (!ran)
		exchange_locked(e);
	else if (e->matches && !e->nobody)
		succeed(e);
	else
		exchange_refuse(e, e->refused, buf_span(&e->password));
}

static void check_password(struct exchange *e, struct span authzid, struct span password)
{
	struct credentials c;
	enum login_state state;
	struct span rest;

	/* Anew: the tables may be others than when LOGIN asked for the name. */
	if (!exchange_find_user(e, buf_span(&e->name), &state, &rest))
		return;
	credentials_parse(rest, &c);
	bool itself = authorizes_itself(e, authzid);
	const struct app_password *app = itself ? credentials_app(&c, password) : NULL;
	if (app) {
		exchange_succeed(e, app->label);
		return;
	}
	e->nobody = state != LOGIN_FOUND || c.hash.len == 0 || !itself;
	e->refused = !itself		    ? "identity"
		     : state != LOGIN_FOUND ? "user"
		     : c.hash.len == 0	    ? "no-password"
					    : "password";
	for (unsigned h = 0; h < SCRAM_HASHES; h++)
		e->learn |=
			!logins_scram(e->auth->logins, buf_span(&e->login), &c, (enum scram_hash)h);
	buf_put(&e->password, password);
	buf_put(&e->hash, e->nobody ? logins_decoy(e->auth->logins) : c.hash);
	if (e->password.error || e->hash.error) {
		exchange_end(e, AUTH_TEMPORARY, SPAN_NULL);
		return;
	}
	e->state = EXCHANGE_BUSY;
	e->task = (struct hash_task){
		.client = e->client,
		.is_clean = guess_is_clean(e->auth->guess, &e->client, loop_now_usec()),
		.wanted = task_wanted,
		.work = task_work,
		.done = task_done,
	};
	e->hashing = true;
	if (hasher_submit(&e->auth->hasher, &e->task) < 0) {
		e->hashing = false;
		exchange_log(e, "auth-unavailable", "busy", SPAN_NULL);
		exchange_end(e, AUTH_TEMPORARY, SPAN_NULL);
	}
}

static void ask(struct exchange *e, enum exchange_state next, struct span challenge)
{
	e->state = next;
	exchange_answer(e, AUTH_CHALLENGE, challenge);
}

static void step_plain(struct exchange *e, struct span response)
{
	struct plain p;

	if (plain_parse(response, &p) < 0) {
		exchange_end(e, AUTH_MALFORMED, SPAN_NULL);
		return;
	}
	buf_put(&e->name, p.authcid);
	check_password(e, p.authzid, p.password);
}

static void step_login(struct exchange *e, struct span response)
{
	if (response.len == 0 || span_index(response, '\0') < response.len ||
		response.len > (e->state == EXCHANGE_PASSWORD ? SASL_PASSWORD_MAX : LOGIN_MAX)) {
		exchange_end(e, AUTH_MALFORMED, SPAN_NULL);
	} else if (e->state != EXCHANGE_PASSWORD) {
		buf_put(&e->name, response);
		ask(e, EXCHANGE_PASSWORD, SPAN_LIT("Password:"));
	} else {
		check_password(e, SPAN_NULL, response);
	}
}

/* ---- SCRAM ---- */

static bool is_plus(enum mechanism m)
{
	return MECH_PLUS & MECH_BIT(m);
}

static bool is_scram(enum mechanism m)
{
	return (MECH_SCRAM_1 | MECH_SCRAM_256) & MECH_BIT(m);
}

/* The same for a name each time it is asked for, whatever case it is written in. */
static void fake_salt(const struct exchange *e, uint8_t ret_salt[static SCRAM_SALT_OCTETS])
{
	uint8_t digest[EVP_MAX_MD_SIZE] = {0};
	struct buf text = BUF_INIT(2 * LOGIN_MAX + 32);

	buf_char(&text, e->scram.hash == SCRAM_SHA_1 ? '1' : '2');
	buf_put(&text, buf_span(&e->login));
	(void)HMAC(EVP_sha256(), e->auth->counters->salt_key, COUNTERS_SALT_KEY,
		(const uint8_t *)text.ptr, text.len, digest, NULL);
	memcpy(ret_salt, digest, SCRAM_SALT_OCTETS);
	buf_done(&text);
}

static void scram_refuse(struct exchange *e, int error)
{
	if (error == -EBADMSG)
		exchange_end(e, AUTH_MALFORMED, SPAN_NULL);
	else if (error == -EACCES)
		exchange_refuse(e, e->refused ? e->refused : "binding", SPAN_NULL);
	else
		exchange_end(e, AUTH_TEMPORARY, SPAN_NULL);
}

static void scram_begin(struct exchange *e, struct span response)
{
	const struct scram_binding binding = {buf_span(&e->exporter), buf_span(&e->end_point)};
	/* "y" is only a lie where this client could have read of a -PLUS form. */
	bool plus_offered = (binding.exporter.len || binding.end_point.len) &&
			    (logins_offer(e->auth->logins) & MECH_PLUS);
	enum scram_hash h = MECH_SCRAM_256 & MECH_BIT(e->mechanism) ? SCRAM_SHA_256 : SCRAM_SHA_1;
	struct credentials c;
	enum login_state state;
	struct span rest;
	uint8_t salt[SCRAM_SALT_OCTETS];
	struct buf out = BUF_INIT(SCRAM_MESSAGE_MAX);

	scram_init(&e->scram, h, is_plus(e->mechanism), plus_offered);
	e->scram_open = true;
	int r = scram_first(&e->scram, response, &binding);
	if (r < 0) {
		scram_refuse(e, r);
		return;
	}
	if (!exchange_find_user(e, e->scram.name, &state, &rest))
		return;
	credentials_parse(rest, &c);
	bool itself = authorizes_itself(e, e->scram.authzid);
	const struct scram_keys *keys =
		state == LOGIN_FOUND ? logins_scram(e->auth->logins, buf_span(&e->login), &c, h)
				     : NULL;
	e->refused = !itself ? "identity" : keys ? "password" : "user";
	fake_salt(e, salt);
	/* Without keys, and for a wrong identity, the exchange goes on and fails at its end. */
	r = scram_challenge(
		&e->scram, itself ? keys : NULL, span_make(salt, sizeof(salt)), SPAN_NULL, &out);
	if (r == 0)
		ask(e, EXCHANGE_FINAL, buf_span(&out));
	else
		scram_refuse(e, r);
	explicit_bzero(&c, sizeof(c));
	buf_done(&out);
}

static void scram_finish(struct exchange *e, struct span response)
{
	struct buf out = BUF_INIT(SCRAM_MESSAGE_MAX);
	int r = scram_final(&e->scram, response, &out);

	if (r == 0)
		ask(e, EXCHANGE_CONFIRM, buf_span(&out));
	else
		scram_refuse(e, r);
	buf_done(&out);
}

/* ---- EXTERNAL ---- */

static void step_external(struct exchange *e, struct span authzid)
{
	struct span login = logins_by_certificate(
		e->auth->logins, buf_span(&e->fingerprint), buf_span(&e->subject));
	enum login_state state;
	struct span rest;

	if (!exchange_find_user(e, login.len ? login : authzid, &state, &rest))
		return;
	if (login.len && authorizes_itself(e, authzid))
		exchange_succeed(e, SPAN_NULL);
	else
		exchange_refuse(e, login.len ? "identity" : "certificate", SPAN_NULL);
}

/* ---- the step ---- */

static void first_message(struct exchange *e, struct span response)
{
	if (is_scram(e->mechanism))
		scram_begin(e, response);
	else if (e->mechanism == MECH_PLAIN)
		step_plain(e, response);
	else if (e->mechanism == MECH_LOGIN)
		step_login(e, response);
	else
		step_external(e, response);
}

void exchange_step(struct exchange *e, const struct auth_step *s)
{
	switch (e->state) {
	case EXCHANGE_NEW:
		/* RFC 4954 4: all mechanisms but CRAM-MD5 let the client speak first; without an
		 * initial response it is asked to (LOGIN: by a question). Where the server speaks
		 * first, an initial response is 501. */
		if (e->mechanism == MECH_CRAM_MD5 && s->has_response)
			exchange_end(e, AUTH_MALFORMED, SPAN_NULL);
		else if (e->mechanism == MECH_CRAM_MD5)
			exchange_cram_begin(e);
		else if (s->has_response)
			first_message(e, s->response);
		else
			ask(e, EXCHANGE_RESPONSE,
				e->mechanism == MECH_LOGIN ? SPAN_LIT("Username:") : SPAN_NULL);
		break;
	case EXCHANGE_RESPONSE:
		first_message(e, s->response);
		break;
	case EXCHANGE_PASSWORD:
		step_login(e, s->response);
		break;
	case EXCHANGE_FINAL:
		scram_finish(e, s->response);
		break;
	case EXCHANGE_DIGEST:
		exchange_cram_finish(e, s->response);
		break;
	case EXCHANGE_CONFIRM:
		if (s->response.len)
			exchange_end(e, AUTH_MALFORMED, SPAN_NULL);
		else
			exchange_succeed(e, SPAN_NULL);
		break;
	case EXCHANGE_BUSY:
		break;
	}
}
