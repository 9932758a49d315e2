/* The orderly end: receivers first (no session is cut in a transaction), then the dispatcher with
 * the deliverers still there to finish what they hold, then the rest. Everything together is
 * bounded by the configuration's `grace`; who has not ended by then is killed, which loses nothing:
 * that is what the spool is for. */
#include "process/supervisor.h"

#include "base/log.h"
#include <limits.h>
#include <signal.h>
#include <stdlib.h>

static const enum role phases[][3] = {
	{ROLE_RECEIVER, ROLE_RECEIVER, ROLE_RECEIVER},
	{ROLE_DISPATCHER, ROLE_DISPATCHER, ROLE_DISPATCHER},
	{ROLE_DELIVERER, ROLE_MAILBOX, ROLE_MAILBOX},
	{ROLE_DIRECTORY, ROLE_RESOLVER, ROLE_CONTROL},
};

static void tell_phase(struct supervisor *s)
{
	uint64_t now = loop_now_usec();
	struct buf b = BUF_INIT(16);

	wire_put_u64(&b, s->drain_deadline > now ? s->drain_deadline - now : 0);
	for (unsigned i = 0; i < s->n_children; i++) {
		struct child *c = s->children[i];
		bool of_phase = c->role == phases[s->drain_phase][0] ||
				c->role == phases[s->drain_phase][1] ||
				c->role == phases[s->drain_phase][2];
		if (c->pid && of_phase &&
			channel_send(c->channel, FRAME_DRAIN, buf_span(&b), NULL, 0) < 0)
			(void)kill(c->pid, SIGKILL);
	}
	buf_done(&b);
}

void drain_step(struct supervisor *s)
{
	if (s->drain_phase == UINT_MAX)
		return;
	while (s->drain_phase < ARRAY_LEN(phases)) {
		if (children_running(s, phases[s->drain_phase][0]) ||
			children_running(s, phases[s->drain_phase][1]) ||
			children_running(s, phases[s->drain_phase][2]))
			return;
		s->drain_phase++;
		if (s->drain_phase < ARRAY_LEN(phases))
			tell_phase(s);
	}
	s->status = 0;
	loop_exit();
}

static void on_deadline(struct loop_timer *t)
{
	struct supervisor *s = CONTAINER_OF(t, struct supervisor, drain_timer);

	log_text(LOG_LEVEL_WARN, "drain-grace-over",
		"ending what still runs; the spool keeps its mail");
	s->drain_phase = UINT_MAX;
	s->status = 0;
	loop_exit();
}

void drain_begin(struct supervisor *s)
{
	if (s->draining) {
		/* Asked twice: at once. */
		on_deadline(&s->drain_timer);
		return;
	}
	s->draining = true;
	supervisor_say(s, "STOPPING=1");
	log_text(LOG_LEVEL_INFO, "draining", "no new mail; what runs may end");
	loop_timer_cancel(&s->tables);
	s->drain_deadline = loop_now_usec() + s->config->grace;
	s->drain_timer.fn = on_deadline;
	/* A little more than the roles are told, so that they can end by themselves. */
	if (loop_timer_set(&s->drain_timer, s->drain_deadline + USEC_PER_SEC) < 0)
		abort();
	tell_phase(s);
	resources_stop_listening(&s->resources);
	drain_step(s);
}
