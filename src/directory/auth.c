/* Exchanges by the receiver's number for them, and how each of them ends.
 *
 * A receiver may be compromised: it learns the passwords that clients show it, nothing more. It
 * cannot make the directory work more than the hasher's bound, nor keep more exchanges than
 * EXCHANGES_MAX. What it says about the client's address is believed (it could refuse everybody
 * anyway).
 *
 * An exchange whose receiver or client went away while its password is being hashed ends when the
 * hash does; a failure counts all the same. */
#include "directory/auth.h"
#include "base/log.h"
#include "base/map.h"
#include "base/stats.h"
#include "directory/exchange.h"
#include "fiber/fiber.h"
#include "ipc/frames.h"
#include "sasl/plain.h"

#include <stdlib.h>

#define EXCHANGES_MAX	  16384u /* of one receiver */
#define ANSWER_MAX	  (16u * 1024u)
#define KEYS_QUESTION_MAX 8192u

int auth_new(struct learned *learned, struct counters *counters, void (*changed)(void *arg),
	void *arg, struct auth **ret_auth)
{
	static const struct asker_ops no_ops = {.frame = NULL};
	struct auth *a = calloc(1, sizeof(*a));

	if (!a)
		return -ENOMEM;
	a->learned = learned;
	a->counters = counters;
	a->guess = counters->guess;
	a->changed = changed;
	a->arg = arg;
	list_init(&a->peers);
	hasher_init(&a->hasher);
	a->answer = BUF_INIT(ANSWER_MAX);
	int r = asker_init(&a->keys, &no_ops, a, KEYS_QUESTION_MAX);
	if (r < 0) {
		asker_done(&a->keys);
		free(a);
		return r;
	}
	*ret_auth = a;
	return 0;
}

int auth_attach_keys(struct auth *a, int fd)
{
	return asker_attach(&a->keys, fd);
}

/* ---- receivers ---- */

static void send_offer(struct auth_peer *p)
{
	struct buf b = BUF_INIT(16);

	if (p->auth->logins) {
		wire_put_u32(&b, logins_offer(p->auth->logins));
		/* A full channel gets the next one. */
		if (b.error == 0)
			(void)!channel_send(p->channel, FRAME_AUTH_OFFER, buf_span(&b), NULL, 0);
	}
	buf_done(&b);
}

void auth_set_logins(struct auth *a, const struct logins *l)
{
	a->logins = l;
	list_foreach (it, &a->peers)
		send_offer(CONTAINER_OF(it, struct auth_peer, node));
}

int auth_peer_new(struct auth *a, struct channel *c, struct auth_peer **ret_peer)
{
	struct auth_peer *p = calloc(1, sizeof(*p));

	if (!p)
		return -ENOMEM;
	p->by_number = map_new(0);
	if (!p->by_number) {
		free(p);
		return -ENOMEM;
	}
	p->auth = a;
	p->channel = c;
	list_init(&p->exchanges);
	list_push_back(&a->peers, &p->node);
	send_offer(p);
	*ret_peer = p;
	return 0;
}

/* Takes it from its receiver; what is being hashed goes on alone. */
static void orphan(struct exchange *e)
{
	(void)map_remove_u64(e->peer->by_number, e->number);
	list_remove(&e->node);
	e->peer = NULL;
	if (!e->hashing)
		exchange_free(e);
}

void auth_peer_free(struct auth_peer *p)
{
	if (!p)
		return;
	list_foreach_safe (it, tmp, &p->exchanges)
		orphan(CONTAINER_OF(it, struct exchange, node));
	list_remove(&p->node);
	map_free(p->by_number);
	free(p);
}

/* ---- exchanges ---- */

static void wipe(struct buf *b)
{
	if (b->ptr)
		explicit_bzero(b->ptr, b->cap);
	buf_done(b);
}

void exchange_free(struct exchange *e)
{
	loop_timer_cancel(&e->delay);
	if (e->scram_open)
		scram_done(&e->scram);
	buf_done(&e->name);
	buf_done(&e->login);
	buf_done(&e->exporter);
	buf_done(&e->end_point);
	buf_done(&e->fingerprint);
	buf_done(&e->subject);
	buf_done(&e->challenge);
	buf_done(&e->question);
	wipe(&e->password);
	buf_done(&e->hash);
	explicit_bzero(e->keys, sizeof(e->keys));
	free(e);
}

void exchange_answer(struct exchange *e, enum auth_status status, struct span data)
{
	struct buf *b = &e->auth->answer;

	if (!e->peer || e->token == 0)
		return;
	buf_reset(b);
	auth_answer_encode(
		&(struct auth_answer){.token = e->token, .status = status, .data = data}, b);
	e->token = 0;
	/* Who does not read answers waits until his patience ends: 454 there. */
	if (b->error == 0)
		(void)!channel_send(e->peer->channel, FRAME_AUTH_ANSWER, buf_span(b), NULL, 0);
}

void exchange_end(struct exchange *e, enum auth_status status, struct span data)
{
	exchange_answer(e, status, data);
	if (e->peer)
		orphan(e);
	else
		exchange_free(e);
}

void exchange_log(
	const struct exchange *e, const char *event, const char *reason, struct span label)
{
	struct log_line *l = log_begin(LOG_LEVEL_INFO, event);
	struct buf client = BUF_INIT(128);

	if (!l)
		return;
	address_format_host(&e->client, &client);
	log_id(l, "session", e->session);
	log_span(l, "client", buf_span(&client));
	log_span(l, "user", span_head(buf_span(&e->login), LOGIN_MAX));
	log_str(l, "mechanism", mechanism_name(e->mechanism));
	if (reason)
		log_str(l, "reason", reason);
	if (label.len)
		log_span(l, "app", label);
	log_end(l);
	buf_done(&client);
}

void exchange_succeed(struct exchange *e, struct span label)
{
	STATS_ADD(auth_ok_total, 1);
	exchange_log(e, "auth-ok", NULL, label);
	learned_used(e->auth->learned, buf_span(&e->login), label, loop_wall_usec());
	exchange_end(e, AUTH_OK, buf_span(&e->login));
}

static void on_delay_over(struct loop_timer *t)
{
	exchange_end(CONTAINER_OF(t, struct exchange, delay), AUTH_REFUSED, SPAN_NULL);
}

void exchange_refuse(struct exchange *e, const char *reason, struct span secret)
{
	uint64_t now = loop_now_usec();
	uint64_t wait = guess_failed(e->auth->guess, &e->client, buf_span(&e->login), secret, now);

	counters_changed(e->auth->counters);
	STATS_ADD(auth_failed_total, 1);
	exchange_log(e, "auth-failed", reason, SPAN_NULL);
	wipe(&e->password);
	e->state = EXCHANGE_BUSY;
	e->delay.fn = on_delay_over;
	if (!e->peer || wait == 0 || loop_timer_set(&e->delay, now + wait) < 0)
		exchange_end(e, AUTH_REFUSED, SPAN_NULL);
}

static struct exchange *exchange_new(struct auth_peer *p, const struct auth_step *s)
{
	struct exchange *e = calloc(1, sizeof(*e));

	if (!e)
		return NULL;
	*e = (struct exchange){
		.peer = p,
		.auth = p->auth,
		.number = s->exchange,
		.session = s->session,
		.name = BUF_INIT(LOGIN_MAX),
		.login = BUF_INIT(2 * LOGIN_MAX),
		.exporter = BUF_INIT(SCRAM_BINDING_MAX),
		.end_point = BUF_INIT(SCRAM_BINDING_MAX),
		.fingerprint = BUF_INIT(64),
		.subject = BUF_INIT(4096),
		.challenge = BUF_INIT(512),
		.question = BUF_INIT(KEYS_QUESTION_MAX),
		.password = BUF_INIT(SASL_PASSWORD_MAX + 1),
		.hash = BUF_INIT(1024),
	};
	buf_put(&e->fingerprint, s->fingerprint);
	buf_put(&e->subject, s->subject);
	buf_put(&e->exporter, s->exporter);
	buf_put(&e->end_point, s->end_point);
	if (map_put_u64(p->by_number, e->number, e) < 0) {
		exchange_free(e);
		return NULL;
	}
	list_push_back(&p->exchanges, &e->node);
	return e;
}

static void refuse_at_once(struct auth_peer *p, uint64_t token, enum auth_status status)
{
	struct exchange none = {.peer = p, .auth = p->auth, .token = token};

	exchange_answer(&none, status, SPAN_NULL);
}

void exchange_locked(struct exchange *e)
{
	STATS_ADD(auth_locked_total, 1);
	exchange_log(e, "auth-locked", NULL, SPAN_NULL);
	exchange_end(e, AUTH_LOCKED, SPAN_NULL);
}

/* ---- frames ---- */

static void begin(struct auth_peer *p, const struct auth_step *s)
{
	struct auth *a = p->auth;
	struct exchange *old = map_get_u64(p->by_number, s->exchange);
	struct exchange *e = NULL;
	enum mechanism m;

	if (old)
		orphan(old);
	if (a->logins && map_count(p->by_number) < EXCHANGES_MAX)
		e = exchange_new(p, s);
	if (!e) {
		refuse_at_once(p, s->token, AUTH_TEMPORARY);
		return;
	}
	e->token = s->token;
	if (mechanism_find(s->mechanism, &m) < 0 || address_parse(s->client, 1, &e->client) < 0) {
		exchange_end(e, AUTH_MALFORMED, SPAN_NULL);
		return;
	}
	e->mechanism = m;
	/* Before it costs anything. */
	if (guess_is_locked(a->guess, &e->client, SPAN_NULL, loop_now_usec())) {
		exchange_locked(e);
		return;
	}
	exchange_step(e, s);
}

int auth_on_step(struct auth_peer *p, struct span payload)
{
	struct auth_step s;
	int r = auth_step_decode(payload, &s);

	if (r < 0)
		return r;
	if (s.kind == AUTH_BEGIN) {
		begin(p, &s);
		return 0;
	}
	struct exchange *e = map_get_u64(p->by_number, s.exchange);
	if (s.kind == AUTH_CANCEL) {
		if (e)
			orphan(e);
	} else if (!e || e->state == EXCHANGE_BUSY || !p->auth->logins) {
		refuse_at_once(p, s.token, AUTH_TEMPORARY); /* begun with an earlier directory */
	} else {
		e->token = s.token;
		exchange_step(e, &s);
	}
	return 0;
}
