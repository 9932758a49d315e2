/* The orderly end: receivers first (no session is cut in a transaction), then the dispatcher with
 * the deliverers still there to finish what they hold, then the rest. Everything together is
 * bounded by the configuration's `grace`; who has not ended by then is killed, which loses nothing:
 * that is what the spool is for. */
#include "process/supervisor.h"

#include "base/log.h"
#include <limits.h>
#include <signal.h>
#include <stdlib.h>

static const unsigned phases[] = {
	1u << ROLE_RECEIVER,
	1u << ROLE_DISPATCHER,
	1u << ROLE_DELIVERER | 1u << ROLE_MAILBOX,
	1u << ROLE_REPORTER, /* it has heard of every session by now */
	1u << ROLE_DIRECTORY | 1u << ROLE_RESOLVER | 1u << ROLE_KEYS | 1u << ROLE_CONTROL,
};

static bool is_running(const struct supervisor *s, unsigned roles)
{
	for (unsigned r = 0; r < ROLE_COUNT; r++)
		if ((roles & 1u << r) && children_running(s, (enum role)r))
			return true;
	return false;
}

static void tell_phase(struct supervisor *s)
{
	uint64_t now = loop_now_usec();
	struct buf b = BUF_INIT(16);

	wire_put_u64(&b, s->drain_deadline > now ? s->drain_deadline - now : 0);
	for (unsigned i = 0; i < s->n_children; i++) {
		struct child *c = s->children[i];
		bool of_phase = phases[s->drain_phase] & 1u << c->role;
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
		if (is_running(s, phases[s->drain_phase]))
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
