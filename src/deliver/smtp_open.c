/* Opening a session, RFC 5321 3.1, 3.2; STARTTLS by RFC 3207 (LMTP alike), implicit TLS by RFC
 * 8314, AUTH by RFC 4954.
 *
 * Invariants: nothing of a message, and no password, is said on a connection whose TLS is less than
 * the policy wants; what was offered before STARTTLS is forgotten behind it (RFC 3207 4.2). No
 * session at all (refused, timed out, a greeting of 4xx or 5xx) says nothing about the message: it
 * is deferred. So is a 554 greeting: RFC 5321 3.1 lets the client choose, and a smart host under
 * repair must not bounce a day's mail. */
#include "deliver/smtp_open.h"

#include "base/log.h"
#include "base/stats.h"
#include "deliver/auth.h"
#include "deliver/dial.h"

struct opening {
	const struct smtp_opening *ask;
	struct smtp_client *c;
	struct smtp_failure *failure;
	struct reply reply;
	uint64_t usec; /* for one reply */
};

static int fail(struct opening *o, enum smtp_stage stage, int error, struct outcome_rcpt result)
{
	o->failure->stage = error == -ECANCELED ? OPEN_OURS : stage;
	o->failure->error = error;
	o->failure->result = result;
	return error;
}

static int fail_stream(struct opening *o, enum smtp_stage stage, int error, const char *doing)
{
	return fail(o, stage, error, smtp_error_result(o->ask->d, o->c, error, doing));
}

/* ---- connecting ---- */

static void remote_begin(const struct job *j, const struct address *peer, struct buf *out)
{
	if (j->path.len > 0)
		buf_printf(out, "unix:%.*s", SPAN_FMT(j->path));
	else
		address_format(peer, out);
}

static int fail_dial(struct opening *o, const struct address *peer, int error)
{
	struct delivery *d = o->ask->d;
	if (error == -ECANCELED)
		return fail_stream(o, OPEN_OURS, error, "connecting");
	if (error == -EMFILE || error == -ENFILE || error == -ENOMEM || error == -ENOBUFS) {
		/* Our own trouble: not the site's fault. */
		return fail(o, OPEN_OURS, error,
			delivery_result(d, OUTCOME_DEFERRED, 0, "4.3.2", "cannot connect: %s",
				strerrordesc_np(-error)));
	}
	struct buf remote = BUF_INIT(512);
	remote_begin(&d->job, peer, &remote);
	d->outcome.remote = arena_span(d->arena, buf_span(&remote));
	buf_done(&remote);
	return fail(o, OPEN_CONNECT, error,
		delivery_result(d, OUTCOME_DEFERRED, 0, "4.4.1", "cannot connect to %.*s: %s",
			SPAN_FMT(d->outcome.remote), strerrordesc_np(-error)));
}

static void note_connected(struct opening *o)
{
	struct transcript *t = &o->c->transcript;
	struct buf from = BUF_INIT(128);
	if (o->ask->d->job.traced)
		t->live = o->ask->d;
	if (o->c->local.len > 0 && !address_is_unix(&o->c->peer))
		address_format_host(&o->c->local, &from);
	transcript_notef(t, TRANSCRIPT_FACT, "connected to %.*s%s%.*s, TLS: %s, by %s",
		SPAN_FMT(buf_span(&o->c->remote)), from.len ? " from " : "",
		SPAN_FMT(buf_span(&from)), tls_want_name(o->ask->policy->want), o->ask->policy->by);
	buf_done(&from);
}

SUSPENDS static int connect_any(struct opening *o)
{
	const struct smtp_opening *ask = o->ask;
	const struct way *way = ask->way;
	struct dial dial_ask = {
		.addresses = ask->addresses->list,
		.n = ask->addresses->n,
		.from_v4 = way->from_v4.address.len ? &way->from_v4.address : NULL,
		.from_v6 = way->from_v6.address.len ? &way->from_v6.address : NULL,
		.timeout_usec = ask->d->job.connect_timeout,
		.deadline_usec = ask->deadline_usec,
	};
	int fd = -1;
	int r = dial(&dial_ask, &fd, &o->failure->index);
	const struct address *peer = &ask->addresses->list[o->failure->index];
	o->failure->peer = *peer;
	if (r < 0)
		return fail_dial(o, peer, r);
	STATS_ADD(outbound_connections_total, 1);
	r = smtp_client_new(fd, ask->d->job.via == JOB_LMTP, &o->c);
	if (r < 0)
		return fail_dial(o, peer, r);
	remote_begin(&ask->d->job, peer, &o->c->remote);
	ask->d->outcome.remote = arena_span(ask->d->arena, buf_span(&o->c->remote));
	o->failure->local = o->c->local;
	note_connected(o);
	return 0;
}

/* ---- TLS ---- */

static int fail_tls(struct opening *o, enum tls_failure what, const char *why)
{
	const struct smtp_opening *ask = o->ask;
	o->failure->tls = what;
	o->failure->why = arena_span(ask->d->arena, span_str(why));
	return fail(o, OPEN_TLS, -EPROTO,
		delivery_result(ask->d, OUTCOME_DEFERRED, 0,
			what == TLS_NOT_OFFERED ? "4.7.4" : "4.7.5",
			"TLS (%s, by %s) with %.*s is not to be had: %s",
			tls_want_name(ask->policy->want), ask->policy->by,
			SPAN_FMT(buf_span(&o->c->remote)), why));
}

SUSPENDS static int shake_hands(struct opening *o)
{
	struct tls_verdict v = {.text = BUF_INIT(512)};
	const struct smtp_opening *ask = o->ask;
	int r = tls_client_start(ask->out->tls, o->c->stream, ask->target, o->usec, &v);
	buf_char(&v.text, '\0');
	const char *text = v.text.error ? "no memory" : v.text.ptr;
	o->failure->tls = v.failure;
	transcript_notef(
		&o->c->transcript, TRANSCRIPT_FACT, "%s %s", r >= 0 ? "TLS:" : "TLS failed:", text);
	if (r >= 0) {
		STATS_ADD(outbound_tls_total, 1);
		buf_str(&o->c->tls, text);
		if (v.verified_by && strcmp(ask->policy->by, "sts") == 0 &&
			!ask->policy->test_names)
			buf_str(&o->c->tls, " sts");
	} else if (r == -ECANCELED) {
		r = fail_stream(o, OPEN_OURS, r, "negotiating TLS");
	} else {
		STATS_ADD(outbound_tls_failed_total, 1);
		o->failure->handshake = true;
		r = fail_tls(o, v.failure, text);
	}
	buf_done(&v.text);
	return r;
}

/* 1: in TLS now, and EHLO is to be said again; 0: in clear text, as the policy allows. */
SUSPENDS static int start_tls(struct opening *o)
{
	const struct tls_answer *policy = o->ask->policy;
	if (policy->want == TLS_WANT_CLEAR || o->ask->clear || o->ask->d->job.implicit_tls)
		return 0;
	if (!o->c->starttls) {
		o->failure->tls = TLS_NOT_OFFERED;
		return policy->want == TLS_WANT_MAY
			       ? 0
			       : fail_tls(o, TLS_NOT_OFFERED, "it does not offer STARTTLS");
	}
	int r = smtp_client_say(o->c, SPAN_LIT("STARTTLS\r\n"));
	if (r >= 0)
		r = smtp_client_reply(o->c, o->usec, &o->reply);
	if (r < 0)
		return fail_stream(o, OPEN_TLS, r, "sending STARTTLS");
	if (o->reply.code != 220) { /* RFC 3207 4: the session goes on as it was */
		o->failure->tls = TLS_NOT_OFFERED;
		return policy->want == TLS_WANT_MAY && o->reply.code != 421
			       ? 0
			       : fail_tls(o, TLS_NOT_OFFERED, "it refuses STARTTLS");
	}
	r = shake_hands(o);
	return r < 0 ? r : 1;
}

/* ---- the dialogue ---- */

static int fail_reply(struct opening *o, enum smtp_stage stage)
{
	struct outcome_rcpt result = smtp_result(o->ask->d, OUTCOME_DEFERRED, &o->reply);
	if (o->reply.enhanced.class == 0)
		result.enhanced = SPAN_LIT("4.4.1");
	return fail(o, stage, -ECONNREFUSED, result);
}

SUSPENDS static int hello(struct opening *o)
{
	int r = smtp_client_hello(o->c, way_helo(o->ask->way, &o->c->local), o->usec, &o->reply);
	if (r < 0)
		return fail_stream(
			o, OPEN_GREETING, r, o->c->lmtp ? "sending LHLO" : "sending EHLO");
	return o->reply.code / 100 == 2 ? 0 : fail_reply(o, OPEN_GREETING);
}

SUSPENDS static int greet(struct opening *o)
{
	int r = smtp_client_reply(o->c, o->usec, &o->reply);
	if (r < 0)
		return fail_stream(o, OPEN_GREETING, r, "waiting for the greeting");
	return o->reply.code / 100 == 2 ? hello(o) : fail_reply(o, OPEN_GREETING);
}

static int fail_auth(struct opening *o, int error, const char *why)
{
	const struct smtp_opening *ask = o->ask;
	return fail(o, OPEN_AUTH, error,
		delivery_result(ask->d, OUTCOME_DEFERRED, 0, "4.7.8",
			"cannot log in at %.*s: %s: correct the credentials of %s \"%s\"",
			SPAN_FMT(buf_span(&o->c->remote)), why,
			strcmp(ask->way->name, "relay") == 0 ? "the block" : "route",
			ask->way->name));
}

/* 535 is no message's fault: it waits, and the operator reads why (RFC 4954 6). */
static int fail_login(struct opening *o, uint32_t mechanism, int error)
{
	struct buf why = BUF_INIT(2048);
	if (error == -EACCES)
		buf_printf(&why, "%s was refused with %u %.*s", auth_mechanism_name(mechanism),
			o->reply.code, SPAN_FMT(buf_span(&o->reply.text)));
	else
		buf_printf(&why, "%s failed: %s", auth_mechanism_name(mechanism),
			error == -EPROTO ? "the server does not prove that it knows the password"
					 : strerrordesc_np(-error));
	buf_char(&why, '\0');
	int r = fail_auth(o, error, why.error ? "no memory" : why.ptr);
	o->failure->result.code = error == -EACCES ? o->reply.code : 0;
	buf_done(&why);
	return r;
}

SUSPENDS static int log_in(struct opening *o)
{
	const struct way *way = o->ask->way;
	struct auth_means means = {
		.tls = stream_tls(o->c->stream) != NULL, .password = way->wants_auth};
	means.certificate = means.tls && o->ask->target->certificate;
	if (way->wants_certificate && !means.certificate && means.tls)
		return fail_auth(o, -ENOENT, "our certificate cannot be used");
	if (way->wants_auth && !way->password)
		return fail_auth(o, -ENOENT, "its credentials file holds no line USER:PASSWORD");
	if (way->wants_auth && !means.tls && !address_is_loopback(&o->c->peer))
		return fail_auth(o, -EPROTO, "a password is not sent in clear text");
	uint32_t mechanism = auth_choose(o->c->auth, means);
	if (!mechanism && !way->wants_auth)
		return 0; /* to have shown a certificate may be enough */
	if (!mechanism)
		return fail_auth(o, -EPROTO,
			o->c->auth ? "it offers no mechanism that can be used here"
				   : "it does not offer AUTH with a mechanism that we know");
	o->c->secret = true;
	int r = auth_run(o->c, mechanism, way->user, way->password, o->usec, &o->reply);
	o->c->secret = false;
	if (r < 0)
		return r == -ECANCELED ? fail_stream(o, OPEN_OURS, r, "logging in")
				       : fail_login(o, mechanism, r);
	o->c->logged_in = true;
	return 0;
}

/* RFC 8689 4.2.1 step 4: offered inside TLS only. */
static int check_requiretls(struct opening *o)
{
	const struct smtp_opening *ask = o->ask;
	if (!ask->policy->requiretls || o->c->requiretls || o->c->lmtp)
		return 0;
	return fail(o, OPEN_TLS, -EPROTO,
		delivery_result(ask->d, OUTCOME_FAILED, 550, "5.7.30",
			"the message requires TLS on its whole way (REQUIRETLS), which %.*s does "
			"not promise",
			SPAN_FMT(buf_span(&o->c->remote))));
}

SUSPENDS static int converse(struct opening *o)
{
	int r = o->ask->d->job.implicit_tls ? shake_hands(o) : 0;
	if (r >= 0)
		r = greet(o);
	if (r >= 0)
		r = start_tls(o);
	if (r > 0)
		r = hello(o);
	if (r >= 0)
		r = check_requiretls(o);
	return r < 0 ? r : log_in(o);
}

/* RFC 8461 5: a testing policy's failures are told, and the mail goes. */
static void log_testing(const struct opening *o)
{
	if (!o->ask->policy->test_names || o->failure->tls == TLS_OK)
		return;
	struct log_line *l = log_begin(LOG_LEVEL_INFO, "sts-testing-failure");
	log_id(l, "id", o->ask->d->job.message);
	log_span(l, "domain", o->ask->d->job.domain);
	log_span(l, "remote", buf_span(&o->c->remote));
	log_str(l, "failure", tls_failure_name(o->failure->tls));
	log_end(l);
}

static void log_connected(const struct opening *o, uint64_t begun)
{
	struct delivery *d = o->ask->d;
	d->outcome.remote = arena_span(d->arena, buf_span(&o->c->remote));
	d->outcome.connect_usec = loop_now_usec() - begun;
	struct log_line *l = log_begin(LOG_LEVEL_DEBUG, "outbound-connected");
	log_id(l, "id", d->job.message);
	log_span(l, "remote", d->outcome.remote);
	log_span(l, "tls", buf_span(&o->c->tls));
	log_str(l, "policy", o->ask->policy->by);
	log_msec(l, "connect", d->outcome.connect_usec);
	log_end(l);
}

int smtp_open(const struct smtp_opening *ask, struct smtp_client **ret_client,
	struct smtp_failure *ret_failure)
{
	struct opening o = {
		.ask = ask, .failure = ret_failure, .usec = ask->d->job.command_timeout};
	uint64_t begun = loop_now_usec();
	*ret_failure = (struct smtp_failure){.stage = OPEN_OURS};
	reply_init(&o.reply);
	int r = connect_any(&o);
	/* A peer that sends a line now and then holds us no longer than this. */
	if (r >= 0 && smtp_client_watchdog(
			      o.c, MIN(loop_now_usec() + 3 * o.usec, ask->deadline_usec)) < 0)
		r = fail_dial(&o, &ret_failure->peer, -ENOMEM);
	if (r >= 0)
		r = converse(&o);
	reply_done(&o.reply);
	if (r >= 0 && smtp_client_watchdog(o.c, USEC_INFINITY) >= 0) {
		log_connected(&o, begun);
		transcript_opened(&o.c->transcript);
		log_testing(&o);
		o.c->unproved = ret_failure->tls;
		*ret_client = o.c;
		return 0;
	}
	if (o.c && ret_failure->stage != OPEN_OURS)
		delivery_keep(ask->d, &o.c->transcript);
	smtp_client_free(o.c);
	return r < 0 ? r : -ENOMEM;
}
