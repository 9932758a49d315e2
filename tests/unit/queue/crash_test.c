/* The queue's promises under random work and random crashes, for many seeds. A scenario is random
 * steps of everything that happens to a queue; at any step the dispatcher is killed (what reached
 * the page cache stays; deliverers may live on and still have their jobs) or the power fails (of
 * what was not synced, any entry may be lost and any later one kept). In the end all is drained,
 * and:
 *
 * - every recipient of every commit was delivered, or its sender was told by exactly one report, or
 *   there was nobody to tell, or the operator dropped it;
 * - what was delivered more than once was named possible-duplicate as often;
 * - who asked to hear of success (RFC 3461) heard it once. */
#include "fake.h"

#include <string.h>

#define MAILS_MAX 400
#define RCPTS_MAX 12

struct target {
	struct span address;
	unsigned origins; /* bits: recipients of the envelope that stand for it */
	unsigned delivered, named, failed, told, dropped, succeeded;
	bool origin_ended; /* one of them failed or was dropped before it was expanded */
};
struct truth {
	struct message m;
	struct record_ref ref;
	bool given; /* to this life of the queue or an earlier one */
	bool gone;  /* forgotten: its segment may be recycled */
	/* One recipient that wants to hear of success: as the envelope names it. */
	unsigned succeeded, dropped;
	struct target *targets;
	size_t n_targets;
};
struct world {
	struct fake f;
	uint64_t random, next_counter[4];
	struct truth mails[MAILS_MAX];
	size_t n_mails;
	size_t begin; /* entry index of an unfinished checkpoint, or SIZE_MAX */
	bool ended;   /* it has its END, which is not durable yet */
	bool big;
};

static uint64_t rnd(struct world *w, uint64_t n)
{
	w->random ^= w->random << 13;
	w->random ^= w->random >> 7;
	w->random ^= w->random << 17;
	return (w->random >> 11) % n;
}

static struct truth *truth_of(struct world *w, uint64_t id)
{
	for (size_t i = 0; i < w->n_mails; i++) {
		if (w->mails[i].m.id == id)
			return &w->mails[i];
	}
	return NULL;
}

static struct target *target_of(struct truth *t, struct span address)
{
	for (size_t i = 0; i < t->n_targets; i++) {
		if (span_equal(t->targets[i].address, address))
			return &t->targets[i];
	}
	return NULL;
}

/* What ends a recipient of the envelope ends those whom it would have been expanded to. */
static void origin_ends(struct truth *t, struct span address)
{
	for (uint32_t i = 0; i < t->m.n_rcpts; i++) {
		if (!span_equal(t->m.rcpts[i].address, address))
			continue;
		for (size_t k = 0; k < t->n_targets; k++)
			t->targets[k].origin_ended |= t->targets[k].origins >> i & 1;
	}
}

/* Nobody hears of its failures: a null sender, or NOTIFY without FAILURE. */
static bool is_mute(const struct truth *t)
{
	uint64_t notify = t->m.rcpts[0].notify;

	return t->m.reverse_path.len == 0 || (notify && !(notify & NOTIFY_FAILURE));
}

static void on_happening(void *arg, const char *event, uint64_t id, struct span rcpt)
{
	struct world *w = arg;
	struct truth *t = truth_of(w, id);
	struct target *target = t ? target_of(t, rcpt) : NULL;
	bool mute = t && is_mute(t);

	if (t && strcmp(event, "dropped") == 0 && span_equal(rcpt, t->m.rcpts[0].address))
		t->dropped++;
	if (getenv("QUEUE_SEED"))
		print_message("%s %s %.*s\n", event, ident_format(id).s, SPAN_FMT(rcpt));
	if (t && (strcmp(event, "dropped") == 0 || (mute && strcmp(event, "failed") == 0)))
		origin_ends(t, rcpt);
	if (!target)
		return;
	target->named += strcmp(event, "possible-duplicate") == 0;
	target->failed += strcmp(event, "failed") == 0;
	target->dropped += strcmp(event, "dropped") == 0;
}

/* ---- commits ---- */

static void target_add(struct world *w, struct truth *t, uint32_t origin, struct span address)
{
	struct target *target = target_of(t, address);

	if (!target) {
		target = &t->targets[t->n_targets++];
		*target = (struct target){.address = arena_span(w->f.arena, address)};
	}
	target->origins |= 1u << origin;
}

/* What the fake's directory will say. */
static void targets_make(struct world *w, struct truth *t)
{
	char text[64];

	t->targets = arena_alloc(w->f.arena, (t->m.n_rcpts * 1600ul + 1) * sizeof(*t->targets));
	assert_non_null(t->targets);
	for (uint32_t i = 0; i < t->m.n_rcpts; i++) {
		struct span a = t->m.rcpts[i].address;
		struct span at = span_from(a, span_index(a, '@'));
		if (span_starts_nocase(a, SPAN_LIT("nobody@")))
			continue;
		unsigned long n =
			span_starts_nocase(a, SPAN_LIT("list-")) ? strtoul(a.ptr + 5, NULL, 10) : 0;
		for (unsigned long k = 0; k < n; k++) {
			snprintf(text, sizeof(text), "member-%lu%.*s", k, SPAN_FMT(at));
			target_add(w, t, i, span_str(text));
		}
		snprintf(text, sizeof(text), "same%.*s", SPAN_FMT(at));
		if (span_starts_nocase(a, SPAN_LIT("same-")))
			target_add(w, t, i, span_str(text));
		else if (!n)
			target_add(w, t, i, a);
	}
}

static struct truth *truth_new(
	struct world *w, uint64_t segment, const char *sender, const char *const *rcpts)
{
	uint64_t id = segment << 24 | w->next_counter[segment]++;
	struct truth *t = &w->mails[w->n_mails++];

	*t = (struct truth){.m = fake_message(&w->f, id, sender, rcpts), .ref = fake_ref(id)};
	if (rnd(w, 4) == 0 && segment < 3) {
		uint64_t notify = 1 + rnd(w, 15);
		for (uint32_t i = 0; i < t->m.n_rcpts; i++)
			t->m.rcpts[i].notify = notify & NOTIFY_NEVER ? NOTIFY_NEVER : notify;
	}
	if (rnd(w, 8) == 0 && segment < 3)
		t->m.hold_until_wall_usec = w->f.wall + rnd(w, 7200) * SEC;
	targets_make(w, t);
	return t;
}

static void give(struct world *w, struct truth *t)
{
	queue_time(w->f.q, w->f.now, w->f.wall);
	assert_int_equal(queue_committed(w->f.q, &t->m, &t->ref), 1);
	t->given = true;
}

static void do_commit(struct world *w)
{
	static const char *const pool[] = {"a@x.example", "b@x.example", "c@y.example",
		"d@box.example", "list-3@x.example", "list-2@y.example", "member-1@x.example",
		"same-1@x.example", "same-2@x.example", "nobody@x.example", "hold@x.example",
		"fail@x.example", "unknown@y.example"};
	const char *rcpts[RCPTS_MAX + 1] = {NULL};
	size_t n = rnd(w, 3) ? 1 : 1 + rnd(w, RCPTS_MAX);

	if (w->n_mails > MAILS_MAX / 4)
		return;
	for (size_t i = 0; i < n; i++)
		rcpts[i] = pool[rnd(w, ARRAY_LEN(pool))];
	if (w->big && rnd(w, 8) == 0)
		rcpts[0] = "list-1500@y.example";
	give(w, truth_new(w, 1 + rnd(w, 2), rnd(w, 6) ? "s@example.net" : "", rcpts));
}

/* ---- deliverers ---- */

/* job.size is the test's mark that the next hop has the message. */
static void do_transfer(struct world *w, size_t job)
{
	struct job *j = &w->f.jobs[job];
	struct truth *t = truth_of(w, j->message);

	if (j->size == 1)
		return;
	j->size = 1;
	for (uint32_t i = 0; i < j->n_rcpts; i++) {
		struct target *target = target_of(t, j->rcpts[i].address);
		assert_non_null(target); /* nobody else gets the mail */
		target->delivered++;
	}
}

static void do_outcome(struct world *w)
{
	enum outcome_class results[RCPTS_MAX];

	if (!w->f.n_jobs)
		return;
	size_t job = rnd(w, w->f.n_jobs);
	struct job *j = &w->f.jobs[job];
	if (rnd(w, 3) == 0 || j->size == 1 || j->n_rcpts > RCPTS_MAX) {
		do_transfer(w, job);
		fake_outcome(&w->f, job, (enum outcome_class[]){OUTCOME_DELIVERED}, 1);
		return;
	}
	if (rnd(w, 5) == 0) {
		struct job swap = *j;
		*j = w->f.jobs[0];
		w->f.jobs[0] = swap;
		fake_result(&w->f, OUTCOME_DEFERRED, true);
		return;
	}
	for (uint32_t i = 0; i < j->n_rcpts; i++) {
		results[i] = (enum outcome_class)rnd(w, 4);
		if (results[i] == OUTCOME_DELIVERED)
			target_of(truth_of(w, j->message), j->rcpts[i].address)->delivered++;
	}
	fake_outcome(&w->f, job, results, j->n_rcpts);
}

static void do_lose_job(struct world *w)
{
	if (!w->f.n_jobs)
		return;
	size_t job = rnd(w, w->f.n_jobs);
	uint64_t id = w->f.jobs[job].job;
	bool dot = w->f.jobs[job].size == 1 || rnd(w, 2);
	if (dot && rnd(w, 2))
		do_transfer(w, job);
	fake_job_remove(&w->f, job);
	queue_job_lost(w->f.q, id, dot);
}

/* ---- reports ---- */

static struct truth *report_commit(struct world *w, const struct fake_report *r)
{
	struct truth *t = truth_new(w, 3, "", (const char *const[]){"s@sender.example", NULL});
	struct truth *parent = truth_of(w, r->message);

	t->m.flags = MESSAGE_REPORT;
	t->m.parent = r->message;
	t->m.event = r->event;
	if (getenv("QUEUE_SEED"))
		print_message("-- report %s event %llu delay %d\n", ident_format(r->message).s,
			(unsigned long long)r->event, r->delay);
	for (uint32_t i = 0; i < r->n_rcpts && !r->delay; i++) {
		struct target *target = target_of(parent, r->rcpts[i]);
		parent->succeeded +=
			r->success && span_equal(r->rcpts[i], parent->m.rcpts[0].address);
		if (target && r->success)
			target->succeeded++;
		if (r->success)
			continue;
		if (target)
			target->told++;
		origin_ends(parent, r->rcpts[i]);
	}
	return t;
}

/* The owner's order, with a crash possible after each part. */
static void do_report(struct world *w)
{
	struct fake *f = &w->f;

	if (!f->n_reports || w->n_mails == MAILS_MAX)
		return;
	struct fake_report r = f->reports[0];
	memmove(f->reports, f->reports + 1, --f->n_reports * sizeof(r));
	if (rnd(w, 5) == 0) {
		queue_report_written(f->q, r.message, r.event, -ENOSPC);
		return;
	}
	struct truth *t = report_commit(w, &r);
	if (rnd(w, 6) == 0)
		return; /* the crash that follows finds it durable and not told (see world_step) */
	queue_report_written(f->q, r.message, r.event, 0);
	if (rnd(w, 6))
		give(w, t);
}

/* ---- checkpoints ---- */

static uint64_t known_end(const struct world *w, uint64_t segment)
{
	uint64_t end = 0, least = UINT64_MAX;

	for (size_t i = 0; i < w->n_mails; i++) {
		const struct truth *t = &w->mails[i];
		if (t->ref.segment != segment)
			continue;
		if (t->given)
			end = MAX(end, t->ref.offset + 64);
		else
			least = MIN(least, t->ref.offset);
	}
	return MIN(end, least);
}

static void do_checkpoint(struct world *w)
{
	struct fake *f = &w->f;

	if (w->begin == SIZE_MAX) {
		struct queue_segment_state segments[3];
		for (uint64_t s = 1; s <= 3; s++)
			segments[s - 1] = (struct queue_segment_state){s, known_end(w, s)};
		w->begin = f->n_ledger;
		queue_checkpoint_begin(f->q, segments, 3);
	}
	if (!w->ended && queue_checkpoint_slice(f->q, 1 + (unsigned)rnd(w, 5)))
		return;
	w->ended = true;
	fake_turn(f, 1);
	if (rnd(w, 2))
		return; /* a crash may come before it is durable */
	fake_durable(f, 0);
	w->ended = false;
	assert_false(queue_checkpoint_wanted(f->q));
	memmove(f->ledger, f->ledger + w->begin, (f->n_ledger - w->begin) * sizeof(*f->ledger));
	f->n_ledger -= w->begin;
	f->durable -= w->begin;
	f->written -= MIN(w->begin, f->written);
	f->synced = f->n_ledger;
	w->begin = SIZE_MAX;
}

/* ---- crashes ---- */

static void recover(struct world *w, size_t keep, const bool *alive_jobs, const struct job *jobs,
	size_t n_jobs, bool same_boot)
{
	struct fake *f = &w->f;

	if (getenv("QUEUE_SEED"))
		print_message(
			"-- crash, boot %d, %zu of %zu entries\n", same_boot, keep, f->n_ledger);
	fake_crash(f, keep);
	w->begin = SIZE_MAX;
	w->ended = false;
	for (size_t i = 0; i < w->n_mails; i++) {
		struct truth *t = &w->mails[i];
		int r = queue_replay_commit(f->q, &t->m, &t->ref, false);
		assert_in_range(r, 0, 1);
		t->given = true;
	}
	for (size_t i = 0; i < n_jobs; i++) {
		if (!alive_jobs[i])
			continue;
		queue_job_alive(f->q, jobs[i].job);
		f->jobs[f->n_jobs++] = jobs[i];
	}
	f->now = 1000 * SEC; /* another boot's or the same clock: it does not matter */
	fake_start(f, same_boot);
}

static void do_kill(struct world *w)
{
	struct fake *f = &w->f;
	size_t keep = f->written + rnd(w, f->n_ledger - f->written + 1), n = f->n_jobs;
	static bool alive[4096];
	struct job *jobs = calloc(n + 1, sizeof(*jobs));

	assert_non_null(jobs);
	assert_true(n < ARRAY_LEN(alive));
	if (n)
		memcpy(jobs, f->jobs, n * sizeof(*jobs));
	for (size_t i = 0; i < n; i++) {
		alive[i] = rnd(w, 2);
		if (!alive[i] && rnd(w, 2))
			do_transfer(w, i); /* it had just been taken when everything died */
	}
	recover(w, keep, alive, jobs, n, true);
	free(jobs);
}

static void do_power_failure(struct world *w)
{
	struct fake *f = &w->f;
	size_t keep = f->durable;

	for (size_t i = 0; i < f->n_jobs; i++) {
		if (rnd(w, 2))
			do_transfer(w, i);
	}
	for (size_t i = f->durable; i < f->n_ledger; i++) {
		if (rnd(w, 2))
			f->ledger[keep++] = f->ledger[i];
	}
	recover(w, keep, NULL, NULL, 0, false);
	fake_turn(f, 0);   /* the owner writes before it takes note of the new boot */
	f->durable = keep; /* recovery has read it from the disk */
}

/* ---- the scenario ---- */

static void do_operator(struct world *w)
{
	static const enum admin_verb verbs[] = {
		ADMIN_QUEUE_RETRY, ADMIN_QUEUE_HOLD, ADMIN_QUEUE_RELEASE, ADMIN_QUEUE_DROP};
	struct admin_request r = {.verb = verbs[rnd(w, rnd(w, 10) ? 3 : 4)]};

	if (!w->n_mails)
		return;
	uint64_t id = w->mails[rnd(w, w->n_mails)].m.id;
	if (rnd(w, 3)) {
		r.ids = &id;
		r.n_ids = 1;
	} else {
		r.domain = SPAN_LIT("x.example");
	}
	(void)queue_command(w->f.q, &r);
}

static void world_step(struct world *w)
{
	static const uint64_t waits[] = {1, 1, SEC, 10 * SEC, 600 * SEC, 7200 * SEC};

	switch (rnd(w, 14)) {
	case 0:
	case 1:
	case 2:
		do_commit(w);
		break;
	case 3:
	case 4:
		fake_turn(&w->f, waits[rnd(w, ARRAY_LEN(waits))]);
		break;
	case 5:
	case 6:
		fake_durable(&w->f, 0);
		break;
	case 7:
	case 8:
	case 9:
		do_outcome(w);
		break;
	case 10:
		if (rnd(w, 4) == 0)
			do_lose_job(w);
		break;
	case 11:
		do_report(w);
		break;
	case 12:
		if (rnd(w, 3) == 0)
			do_operator(w);
		else
			do_checkpoint(w);
		break;
	default:
		if (rnd(w, 8) == 0)
			do_kill(w);
		else if (rnd(w, w->big ? 3 : 12) == 0)
			do_power_failure(w);
		break;
	}
	/* A report that was committed and not given is only seen by a recovery. */
	for (size_t i = 0; i < w->n_mails; i++) {
		if (!w->mails[i].given) {
			do_kill(w);
			break;
		}
	}
}

static void drain(struct world *w)
{
	struct fake *f = &w->f;

	for (int i = 0; queue_counts(f->q).messages && i < 3000; i++) {
		(void)queue_command(
			f->q, &(struct admin_request){.verb = ADMIN_QUEUE_RETRY, .all = true});
		(void)queue_command(f->q, &(struct admin_request){.verb = ADMIN_QUEUE_RELEASE,
						  .all = true,
						  .via = SPAN_LIT("drain.example")});
		fake_flow(f);
		while (f->n_jobs) {
			do_transfer(w, 0);
			fake_result(f, OUTCOME_DELIVERED, false);
		}
		while (f->n_reports && w->n_mails < MAILS_MAX) {
			struct truth *t = report_commit(w, &f->reports[0]);
			queue_report_written(f->q, f->reports[0].message, f->reports[0].event, 0);
			memmove(f->reports, f->reports + 1, --f->n_reports * sizeof(*f->reports));
			give(w, t);
		}
		fake_flow(f);
	}
	assert_int_equal(queue_counts(f->q).messages, 0);
	assert_int_equal(queue_counts(f->q).recipients, 0);
}

static void check_target(uint64_t seed, const struct truth *t, const struct target *r)
{
	bool mute = is_mute(t);
	bool settled =
		r->delivered || r->dropped || r->told || r->origin_ended || (mute && r->failed);

	if (!settled)
		fail_msg("seed %llu: lost: message %s to %.*s", (unsigned long long)seed,
			ident_format(t->m.id).s, SPAN_FMT(r->address));
	if (r->told > 1)
		fail_msg("seed %llu: told %u times: message %s to %.*s", (unsigned long long)seed,
			r->told, ident_format(t->m.id).s, SPAN_FMT(r->address));
	if (r->delivered > 1 + r->named)
		fail_msg("seed %llu: delivered %u times, named %u: message %s to %.*s",
			(unsigned long long)seed, r->delivered, r->named, ident_format(t->m.id).s,
			SPAN_FMT(r->address));
}

static void check_success(uint64_t seed, const struct truth *t)
{
	const struct message_rcpt *to = &t->m.rcpts[0];
	bool wanted = t->m.reverse_path.len && (to->notify & NOTIFY_SUCCESS);
	unsigned want = 0;

	for (size_t k = 0; k < t->n_targets; k++) {
		const struct target *target = &t->targets[k];
		if (target->succeeded > 1 || (target->succeeded && !target->delivered))
			fail_msg("seed %llu: success told %u times: message %s",
				(unsigned long long)seed, target->succeeded,
				ident_format(t->m.id).s);
		want |= target->delivered && span_equal(target->address, to->address);
	}
	if (t->m.n_rcpts == 1 && wanted && want && !t->dropped && !t->targets[0].failed &&
		t->succeeded != 1)
		fail_msg("seed %llu: success told %u times: message %s to %.*s",
			(unsigned long long)seed, t->succeeded, ident_format(t->m.id).s,
			SPAN_FMT(to->address));
	/* An alias with several: told once, if it was expanded; the operator may drop the report.
	 */
	if (t->succeeded > t->m.n_rcpts || (t->succeeded && !wanted))
		fail_msg("seed %llu: success told %u times: message %s", (unsigned long long)seed,
			t->succeeded, ident_format(t->m.id).s);
}

static void scenario(uint64_t seed, unsigned steps, bool big)
{
	struct world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	*w = (struct world){
		.random = seed * UINT64_C(0x9e3779b97f4a7c15) + 1, .begin = SIZE_MAX, .big = big};
	fake_init(&w->f);
	w->f.quiet = true;
	w->f.hook = on_happening;
	w->f.hook_arg = w;
	fake_start(&w->f, true);
	for (unsigned i = 0; i < steps; i++)
		world_step(w);
	drain(w);
	for (size_t i = 0; i < w->n_mails; i++) {
		check_success(seed, &w->mails[i]);
		for (size_t k = 0; k < w->mails[i].n_targets; k++)
			check_target(seed, &w->mails[i], &w->mails[i].targets[k]);
	}
	fake_done(&w->f);
	free(w);
}

static void queue__random_crashes_lose_and_double_nothing(void **state)
{
	(void)state;
	const char *only = getenv("QUEUE_SEED");
	const char *many = getenv("QUEUE_SEEDS");
	uint64_t seeds = many ? strtoul(many, NULL, 10) : 600;

	if (only) {
		scenario(strtoul(only, NULL, 10), 400, false);
		return;
	}
	for (uint64_t seed = 1; seed <= seeds; seed++)
		scenario(seed, 400, false);
}

static void queue__random_crashes_with_big_lists(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 60; seed++)
		scenario(seed, 150, true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(queue__random_crashes_lose_and_double_nothing),
		cmocka_unit_test(queue__random_crashes_with_big_lists),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
