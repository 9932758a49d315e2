/* Twin of src/ipc/asker.c: a scripted peer that answers, answers wrong, stays silent and dies. */
#include "ipc/asker.h"
#include "base/wire.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <cmocka.h>

#define ASK    1
#define ANSWER 2
#define TELL   3

enum habit { SILENT, RIGHT, UNKNOWN_TOKEN, WRONG_TYPE, BAD };

struct peer {
	struct channel *channel;
	unsigned asked, told;
	bool closed;
	enum habit habit;
};
struct taken {
	unsigned times;
	char text[16];
	size_t len;
};
struct world {
	struct asker a;
	struct peer peers[3];
	unsigned n_peers;
	unsigned sends;
	struct taken taken;
	int result;
	bool asked;
};

static int on_frame(void *arg, struct frame *f)
{
	struct peer *p = arg;
	struct wire w = wire_reader(f->payload);
	uint64_t token = wire_get_u64(&w);

	if (f->type == TELL) {
		assert_int_equal(token, 0);
		p->told++;
		return 0;
	}
	assert_int_equal(f->type, ASK);
	assert_true(span_equal(w.rest, SPAN_LIT("question")));
	p->asked++;
	if (p->habit == SILENT)
		return 0;
	struct buf b = BUF_INIT(64);
	wire_put_u64(&b, p->habit == UNKNOWN_TOKEN ? token + 7 : token);
	buf_str(&b, p->habit == BAD ? "bad" : "answer");
	assert_int_equal(channel_send(p->channel, p->habit == WRONG_TYPE ? TELL : ANSWER,
				 buf_span(&b), NULL, 0),
		0);
	buf_done(&b);
	return 0;
}

static void on_close(void *arg, int error)
{
	(void)error;
	((struct peer *)arg)->closed = true;
}

static void attach(struct world *w, enum habit habit)
{
	static const struct channel_ops ops = {.on_frame = on_frame, .on_close = on_close};
	struct peer *p = &w->peers[w->n_peers++];
	int pair[2];

	assert_int_equal(
		socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
	p->habit = habit;
	assert_int_equal(channel_new(pair[1], &ops, p, &p->channel), 0);
	assert_int_equal(asker_attach(&w->a, pair[0]), 0);
}

static int take(void *arg, struct span answer)
{
	struct taken *t = arg;
	struct span text = span_from(answer, ASKER_TOKEN_OCTETS);

	t->times++;
	if (span_equal(text, SPAN_LIT("bad")))
		return -EBADMSG;
	assert_true(text.len <= sizeof(t->text));
	memcpy(t->text, text.ptr, text.len);
	t->len = text.len;
	return 0;
}

static void asking(void *arg)
{
	struct world *w = arg;
	struct asker_question q = {.type = ASK,
		.answer_type = ANSWER,
		.payload = SPAN_LIT("question"),
		.sends = w->sends,
		.take = take,
		.arg = &w->taken};

	w->result = asker_ask(&w->a, &q, loop_now_usec() + 300 * USEC_PER_MSEC);
	w->asked = true;
}

static void rest(void)
{
	assert_int_equal(fiber_sleep(30 * USEC_PER_MSEC), 0);
}

static void begin(struct world *w, unsigned sends)
{
	static const struct asker_ops plain;

	*w = (struct world){.sends = sends};
	assert_int_equal(asker_init(&w->a, &plain, NULL, 64), 0);
}

static void ask(struct world *w)
{
	assert_int_equal(fiber_spawn(asking, w, NULL), 0);
	rest();
}

static void end(struct world *w, int want)
{
	for (int i = 0; i < 100 && !w->asked; i++)
		rest();
	assert_true(w->asked);
	assert_int_equal(w->result, want);
	asker_done(&w->a);
	for (unsigned i = 0; i < w->n_peers; i++)
		channel_free(w->peers[i].channel);
}

static void all_cases(void *arg)
{
	struct world w;

	(void)arg;
	begin(&w, 1); /* an answer */
	attach(&w, RIGHT);
	ask(&w);
	assert_true(span_equal(span_make(w.taken.text, w.taken.len), SPAN_LIT("answer")));
	asker_tell(&w.a, TELL, SPAN_LIT("news"));
	rest();
	assert_int_equal(w.peers[0].told, 1);
	end(&w, 0);

	begin(&w, 1); /* nobody there: it waits for a peer */
	asker_tell(&w.a, TELL, SPAN_LIT("dropped"));
	ask(&w);
	assert_false(w.asked);
	attach(&w, RIGHT);
	end(&w, 0);
	assert_int_equal(w.peers[0].told, 0);

	for (unsigned sends = 1; sends <= 2; sends++) { /* its peer is replaced */
		begin(&w, sends);
		attach(&w, SILENT);
		ask(&w);
		assert_int_equal(w.peers[0].asked, 1);
		attach(&w, RIGHT);
		assert_int_equal(w.a.generation, 2);
		end(&w, sends == 1 ? -EPIPE : 0);
		assert_int_equal(w.peers[1].asked, sends - 1);
	}

	begin(&w, 1); /* its peer dies: who may not ask another does not wait */
	attach(&w, SILENT);
	ask(&w);
	channel_free(TAKE(w.peers[0].channel));
	rest();
	assert_true(w.asked);
	end(&w, -EPIPE);

	static const struct {
		enum habit habit;
		int want;
		bool closes;
	} odd[] = {
		{SILENT, -ETIMEDOUT, false},
		{UNKNOWN_TOKEN, -ETIMEDOUT, false},
		{WRONG_TYPE, -EPIPE, true},
		{BAD, -EBADMSG, true},
	};
	for (size_t i = 0; i < ARRAY_LEN(odd); i++) {
		begin(&w, 1);
		attach(&w, odd[i].habit);
		ask(&w);
		rest();
		if (w.peers[0].closed != odd[i].closes)
			fail_msg("case %zu: want closed %d, got %d", i, odd[i].closes,
				w.peers[0].closed);
		end(&w, odd[i].want);
	}
	loop_exit();
}

/* ---- without fibers ---- */

struct step {
	struct asker_request request;
	struct asker_question question;
	struct step *neighbour; /* cancelled when this one ends */
	bool again;		/* asked anew when it ends */
	unsigned ends;
	int result;
};

static void step_start(struct asker *a, struct step *s, struct taken *t)
{
	s->question = (struct asker_question){.type = ASK,
		.answer_type = ANSWER,
		.payload = SPAN_LIT("question"),
		.sends = 1,
		.take = take,
		.arg = t};
	assert_int_equal(asker_start(a, &s->request, loop_now_usec() + 5 * USEC_PER_SEC), 0);
}

static void step_done(struct asker_request *r, int result)
{
	struct step *s = CONTAINER_OF(r, struct step, request);

	s->ends++;
	s->result = result;
	if (s->neighbour)
		asker_cancel(&s->neighbour->request);
	if (TAKE(s->again))
		step_start(r->asker, s, s->question.arg);
}

/* The peer of three open questions dies: the first one's end cancels the second, and asks again. */
static void end_in_the_middle(void *arg)
{
	struct world w;
	struct step steps[3] = {{.again = true}};

	(void)arg;
	begin(&w, 1);
	attach(&w, SILENT);
	steps[0].neighbour = &steps[1];
	for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
		steps[i].request =
			(struct asker_request){.ask = &steps[i].question, .done = step_done};
		step_start(&w.a, &steps[i], &w.taken);
	}
	rest();
	assert_int_equal(w.peers[0].asked, 3);
	channel_free(TAKE(w.peers[0].channel));
	rest();
	assert_int_equal(steps[0].ends, 1);
	assert_int_equal(steps[0].result, -EPIPE);
	assert_int_equal(steps[1].ends, 0);
	assert_int_equal(steps[2].ends, 1);
	asker_cancel(&steps[1].request); /* not open: nothing */
	attach(&w, RIGHT);
	for (int i = 0; i < 100 && steps[0].ends < 2; i++)
		rest();
	assert_int_equal(steps[0].ends, 2);
	assert_int_equal(steps[0].result, 0);
	assert_int_equal(w.peers[1].asked, 1);
	w.asked = true;
	end(&w, 0);
	loop_exit();
}

static void run(void (*fn)(void *arg))
{
	assert_int_equal(loop_init(), 0);
	assert_int_equal(fiber_spawn(fn, NULL, NULL), 0);
	assert_int_equal(loop_run(), 0);
	loop_done();
}

static void asker__every_peer(void **state)
{
	(void)state;
	run(all_cases);
}

static void asker_start__ends_may_cancel_and_ask(void **state)
{
	(void)state;
	run(end_in_the_middle);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(asker__every_peer),
		cmocka_unit_test(asker_start__ends_may_cancel_and_ask),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
