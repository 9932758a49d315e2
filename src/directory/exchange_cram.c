/* CRAM-MD5, RFC 2195: the challenge is made here, the response is judged by the keys process, which
 * alone can unseal the user's secret. The question waits on a fiber of its own; the exchange is
 * busy meanwhile, and outlives its receiver until the answer is there (as with the hasher).
 *
 * Nobody's response goes to the keys process like anybody's: it costs the same, and while that
 * process is away all get 454, whoever they are. */
#include "base/log.h"
#include "directory/exchange.h"
#include "fiber/fiber.h"
#include "ipc/cram.h"
#include "ipc/frames.h"
#include "sasl/cram_md5.h"
#include "sasl/seal.h"

#define CRAMS_MAX      512u		  /* that wait at once */
#define CRAM_WAIT_USEC (5 * USEC_PER_SEC) /* for the answer, a restart included */

void exchange_cram_begin(struct exchange *e)
{
	buf_reset(&e->challenge);
	const char *hostname = logins_hostname(e->auth->logins);
	if (cram_challenge(hostname, loop_wall_usec() / USEC_PER_SEC, &e->challenge) < 0) {
		exchange_end(e, AUTH_TEMPORARY, SPAN_NULL);
		return;
	}
	e->state = EXCHANGE_DIGEST;
	exchange_answer(e, AUTH_CHALLENGE, buf_span(&e->challenge));
}

static int take(void *arg, struct span answer)
{
	enum cram_status *status = arg;
	struct cram_answer a;
	int r = cram_answer_decode(answer, &a);

	if (r == 0)
		*status = a.status;
	return r;
}

static void unavailable(struct exchange *e, const char *why)
{
	exchange_log(e, "auth-unavailable", why, SPAN_NULL);
	exchange_end(e, AUTH_TEMPORARY, SPAN_NULL);
}

static void ask_keys(void *arg)
{
	struct exchange *e = arg;
	struct auth *a = e->auth;
	enum cram_status status = CRAM_WRONG;
	const struct asker_question q = {.type = FRAME_CRAM,
		.answer_type = FRAME_CRAM_ANSWER,
		.payload = span_from(buf_span(&e->question), ASKER_TOKEN_OCTETS),
		.sends = 1,
		.take = take,
		.arg = &status};
	int r = asker_ask(&a->keys, &q, loop_now_usec() + CRAM_WAIT_USEC);

	e->hashing = false;
	a->crams--;
	if (r < 0)
		unavailable(e, "keys");
	else if (status == CRAM_UNSEALABLE && !e->nobody)
		unavailable(e, "seal");
	else if (status == CRAM_RIGHT && !e->nobody)
		exchange_succeed(e, SPAN_NULL);
	else
		exchange_refuse(e, e->refused, SPAN_NULL);
}

void exchange_cram_finish(struct exchange *e, struct span response)
{
	struct cram_response c;
	struct credentials known;
	enum login_state state;
	struct span rest;

	if (cram_parse(response, &c) < 0) {
		exchange_end(e, AUTH_MALFORMED, SPAN_NULL);
		return;
	}
	if (!exchange_find_user(e, c.name, &state, &rest))
		return;
	credentials_parse(rest, &known);
	bool has_secret = known.sealed.len > 0 && known.sealed.len <= SEAL_TEXT_MAX;
	e->nobody = state != LOGIN_FOUND || !has_secret;
	e->refused = state != LOGIN_FOUND ? "user" : !has_secret ? "no-secret" : "password";
	const struct cram_ask ask = {.login = buf_span(&e->login),
		.sealed = e->nobody ? SPAN_NULL : known.sealed,
		.challenge = buf_span(&e->challenge),
		.digest = span_make(c.digest, sizeof(c.digest))};
	buf_reset(&e->question);
	cram_ask_encode(&ask, &e->question);
	e->state = EXCHANGE_BUSY;
	e->hashing = true;
	if (e->auth->crams >= CRAMS_MAX || e->question.error ||
		fiber_spawn(ask_keys, e, NULL) < 0) {
		e->hashing = false;
		unavailable(e, "busy");
		return;
	}
	e->auth->crams++;
}
