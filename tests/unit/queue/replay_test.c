/* Recovery, entry by entry: what each prefix of a ledger means, checkpoints, jobs that live on. */
#include "fake.h"

struct commits {
	struct message m[6];
	size_t n;
};

static void commit(struct fake *f, struct commits *c, const char *const *rcpts)
{
	c->m[c->n] = fake_message(f, c->n + 1, "s@example.net", rcpts);
	struct record_ref ref = fake_ref(c->m[c->n].id);

	assert_int_equal(queue_committed(f->q, &c->m[c->n], &ref), 1);
	c->n++;
}

#define COMMIT(f, c, ...) commit(f, c, (const char *const[]){__VA_ARGS__, NULL})

/* Replays n entries and all commits; returns how many are live. */
static uint64_t recover(struct fake *f, struct commits *c, size_t n)
{
	uint64_t live = 0;

	fake_crash(f, n);
	for (size_t i = 0; i < c->n; i++) {
		struct record_ref ref = fake_ref(c->m[i].id);
		int r = queue_replay_commit(f->q, &c->m[i], &ref, false);
		assert_in_range(r, 0, 1);
		live += (uint64_t)r;
	}
	return live;
}

static void everything(struct fake *f, struct commits *c)
{
	fake_start(f, true);
	COMMIT(f, c, "a@x.example");
	COMMIT(f, c, "list-2@y.example", "same-1@y.example");
	COMMIT(f, c, "hold@x.example");
	fake_flow(f);
	fake_result(f, OUTCOME_DELIVERED, false);
	fake_outcome(f, 0,
		(enum outcome_class[]){OUTCOME_DEFERRED, OUTCOME_FAILED, OUTCOME_DELIVERED}, 3);
	fake_flow(f);
	queue_report_written(f->q, 2, f->reports[0].event, 0);
	fake_turn(f, 400 * SEC);
	assert_int_equal(f->n_jobs, 1);
	fake_result(f, OUTCOME_DELIVERED, false);
	COMMIT(f, c, "d@x.example");
	fake_flow(f);
	fake_result(f, OUTCOME_DELIVERED, false);
	fake_flow(f);
	assert_int_equal(f->forgotten, 3);
}

/* Recipients of open jobs, and messages with DONE, in the first n entries. */
static void expect(const struct fake *f, size_t n, uint64_t *ret_open, uint64_t *ret_done)
{
	uint64_t done = 0, rcpts_of[64] = {0}, message_of[64] = {0};

	for (size_t i = 0; i < n; i++) {
		struct entry e;
		struct entry_rcpt r;
		assert_int_equal(entry_get(f->ledger[i].type, f->ledger[i].payload, &e), 0);
		if (e.type == ENTRY_HANDED) {
			message_of[e.job] = e.id;
			while (entry_next_rcpt(&e.rcpts, &r))
				rcpts_of[e.job]++;
		} else if (e.type == ENTRY_OUTCOME) {
			rcpts_of[e.job] = 0;
		}
		done += e.type == ENTRY_DONE;
		for (size_t k = 0; k < 64 && e.type == ENTRY_DONE; k++)
			rcpts_of[k] = message_of[k] == e.id ? 0 : rcpts_of[k];
	}
	*ret_open = 0;
	for (size_t k = 0; k < 64; k++)
		*ret_open += rcpts_of[k];
	*ret_done = done;
}

static void queue_replay__every_prefix(void **state)
{
	(void)state;
	struct fake f;
	fake_init(&f);
	struct commits c = {.n = 0};
	everything(&f, &c);
	size_t all = f.n_ledger;
	print_message("%zu prefixes\n", all + 1);
	for (size_t n = all + 1; n-- > 0;) {
		uint64_t open, done;
		expect(&f, n, &open, &done);
		assert_int_equal(recover(&f, &c, n), 4 - done);
		fake_start(&f, true);
		assert_int_equal(fake_said_times(&f, "possible-duplicate"), open);
		assert_int_equal(queue_counts(f.q).messages, 4 - done);
		/* What it writes now is not part of the history under test. */
		fake_turn(&f, 1);
		for (size_t i = 0; i < f.n_jobs; i++)
			assert_true(f.jobs[i].job > 0);
		f.n_ledger = n;
	}
	fake_done(&f);
}

static void queue_replay__another_boot_suspects_what_was_due(void **state)
{
	(void)state;
	struct fake f;
	fake_init(&f);
	struct commits c = {.n = 0};
	fake_start(&f, true);
	COMMIT(&f, &c, "a@x.example");	  /* untouched: may have been handed out without trace */
	COMMIT(&f, &c, "hold@x.example"); /* held: cannot have been */
	COMMIT(&f, &c, "b@y.example");	  /* deferred for a while: cannot have been */
	fake_turn(&f, 1);
	fake_job_remove(&f, 0);
	fake_result(&f, OUTCOME_DEFERRED, false);
	fake_flow(&f);
	size_t keep = 0;
	for (size_t i = 0; i < f.n_ledger; i++) {
		struct entry e;
		assert_int_equal(entry_get(f.ledger[i].type, f.ledger[i].payload, &e), 0);
		if (e.id != 1)
			f.ledger[keep++] = f.ledger[i]; /* message 1's HANDED is lost */
	}
	assert_int_equal(recover(&f, &c, keep), 3);
	fake_start(&f, false);
	assert_int_equal(fake_said_times(&f, "possible-duplicate"), 1);
	assert_true(fake_said(&f, "possible-duplicate 1 a@x.example"));
	fake_turn(&f, 1);
	assert_int_equal(f.n_jobs, 1);
	assert_true(f.jobs[0].suspect);
	/* The next restart of the same boot knows it still. */
	assert_int_equal(recover(&f, &c, f.n_ledger - 1), 3); /* without the HANDED */
	fake_start(&f, true);
	fake_turn(&f, 1);
	assert_true(f.jobs[0].suspect);
	fake_done(&f);
}

static void queue_job_alive__is_no_suspect(void **state)
{
	(void)state;
	for (int alive = 0; alive < 2; alive++) {
		struct fake f;
		fake_init(&f);
		struct commits c = {.n = 0};
		fake_start(&f, true);
		COMMIT(&f, &c, "a@x.example", "b@x.example");
		fake_turn(&f, 1);
		uint64_t job = f.jobs[0].job;
		assert_int_equal(recover(&f, &c, f.n_ledger), 1);
		if (alive)
			queue_job_alive(f.q, job);
		fake_start(&f, true);
		fake_turn(&f, 1);
		assert_int_equal(f.n_jobs, 0); /* not before what was recovered is durable */
		fake_durable(&f, 0);
		fake_turn(&f, 1);
		assert_int_equal(fake_said_times(&f, "possible-duplicate"), alive ? 0 : 2);
		assert_int_equal(f.n_jobs, alive ? 0 : 1);
		struct outcome_rcpt rcpts[] = {{.index = 0, .result = OUTCOME_DELIVERED},
			{.index = 1, .result = OUTCOME_DELIVERED}};
		struct outcome o = {.job = job, .message = 1, .rcpts = rcpts, .n_rcpts = 2};
		queue_outcome(f.q, &o);
		fake_flow(&f);
		assert_int_equal(f.kept, 1); /* either way the deliverer may forget it */
		assert_int_equal(f.forgotten, alive ? 1 : 0);
		if (!alive)
			assert_true(f.jobs[0].job > job);
		fake_done(&f);
	}
}

static void queue_replay_commit__report_marks_its_event(void **state)
{
	(void)state;
	struct fake f;
	fake_init(&f);
	struct commits c = {.n = 0};
	fake_start(&f, true);
	COMMIT(&f, &c, "a@x.example");
	fake_turn(&f, 1);
	fake_result(&f, OUTCOME_FAILED, false);
	fake_flow(&f);
	assert_int_equal(f.n_reports, 1);
	struct message report = fake_message(&f, 7, "", (const char *const[]){"s@x.example", NULL});
	report.parent = 1;
	report.event = f.reports[0].event;
	report.flags = MESSAGE_REPORT;
	struct record_ref ref = fake_ref(7);
	/* Not written: it is owed still, but not before the ledger is durable. */
	assert_int_equal(recover(&f, &c, f.n_ledger), 1);
	fake_start(&f, true);
	fake_turn(&f, 1);
	assert_int_equal(f.n_reports, 0);
	fake_flow(&f);
	assert_int_equal(f.n_reports, 1);
	assert_int_equal(f.reports[0].event, report.event);
	/* Written, and the dispatcher died before BOUNCED: not written again, and not lost. */
	for (int first = 0; first < 2; first++) {
		fake_crash(&f, f.n_ledger);
		if (first)
			assert_int_equal(queue_replay_commit(f.q, &report, &ref, false), 1);
		struct record_ref parent = fake_ref(1);
		assert_int_equal(queue_replay_commit(f.q, &c.m[0], &parent, false), 1);
		if (!first)
			assert_int_equal(queue_replay_commit(f.q, &report, &ref, false), 1);
		size_t keep = f.n_ledger;
		fake_start(&f, true);
		fake_flow(&f);
		assert_int_equal(f.n_reports, 0);
		assert_int_equal(f.n_jobs, 1); /* the report itself */
		assert_int_equal(queue_counts(f.q).messages, 1);
		f.n_ledger = keep;
	}
	fake_done(&f);
}

/* A report whose sync failed comes back with a power failure: it told nobody, and is not mail. */
static void queue_void__tells_of_nothing(void **state)
{
	(void)state;
	struct fake f;
	fake_init(&f);
	struct commits c = {.n = 0};
	fake_start(&f, true);
	COMMIT(&f, &c, "a@x.example");
	fake_turn(&f, 1);
	fake_result(&f, OUTCOME_FAILED, false);
	fake_flow(&f);
	assert_int_equal(f.n_reports, 1);
	struct message report = fake_message(&f, 7, "", (const char *const[]){"s@x.example", NULL});
	report.parent = 1;
	report.event = f.reports[0].event;
	report.flags = MESSAGE_REPORT;
	struct record_ref ref = fake_ref(7);
	queue_void(f.q, 7);
	queue_report_written(f.q, 1, report.event, -EIO);
	fake_flow(&f);
	assert_int_equal(recover(&f, &c, f.n_ledger), 1);
	assert_int_equal(queue_replay_commit(f.q, &report, &ref, false), 0);
	fake_start(&f, false);
	fake_flow(&f);
	assert_int_equal(f.n_reports, 1);
	assert_int_equal(f.reports[0].event, report.event);
	fake_done(&f);
}

static void queue_replay_commit__damaged_is_held(void **state)
{
	(void)state;
	struct fake f;
	fake_init(&f);
	struct message m =
		fake_message(&f, 1, "s@x.example", (const char *const[]){"a@x.example", NULL});
	struct record_ref ref = fake_ref(1);
	assert_int_equal(queue_replay_commit(f.q, &m, &ref, true), 1);
	fake_start(&f, true);
	fake_flow(&f);
	assert_int_equal(queue_counts(f.q).held, 1);
	assert_true(fake_said(&f, "held 1 a@x.example its octets in the spool are damaged"));
	fake_done(&f);
}

static void queue_start__entries_without_a_commit_are_said(void **state)
{
	(void)state;
	struct fake f;
	fake_init(&f);
	struct commits c = {.n = 0};
	fake_start(&f, true);
	COMMIT(&f, &c, "a@x.example");
	fake_turn(&f, 1);
	c.n = 0;
	assert_int_equal(recover(&f, &c, f.n_ledger), 0);
	fake_start(&f, true);
	assert_true(fake_said(&f, "failed 1   no COMMIT in the spool"));
	fake_done(&f);
}

static void queue_replay_entry__unreadable(void **state)
{
	(void)state;
	struct fake f;
	fake_init(&f);
	assert_int_equal(queue_replay_entry(f.q, 99, SPAN_NULL), -EBADMSG);
	assert_int_equal(queue_replay_entry(f.q, ENTRY_DONE, SPAN_LIT("abc")), -EBADMSG);
	assert_int_equal(queue_replay_entry(f.q, ENTRY_STATE, SPAN_LIT("12345678")), -EBADMSG);
	struct buf b = BUF_INIT(1024);
	entry_put(&b, &(struct entry){.type = ENTRY_HANDED, .id = 1, .job = 1});
	entry_put_rcpt(&b, &(struct entry_rcpt){.index = 4000000000u, .origin = 4000000000u});
	assert_int_equal(queue_replay_entry(f.q, ENTRY_HANDED, buf_span(&b)), -EBADMSG);
	buf_done(&b);
	fake_start(&f, true);
	assert_int_equal(queue_counts(f.q).messages, 0);
	fake_done(&f);
}

/* ---- checkpoints ---- */

static void checkpoint(struct fake *f, uint64_t known_end, bool whole)
{
	struct queue_segment_state segment = {0, known_end};

	queue_checkpoint_begin(f->q, &segment, 1);
	while (queue_checkpoint_slice(f->q, 1)) {
		fake_flow(f);
		if (!whole)
			return;
	}
	fake_flow(f);
}

static void queue_checkpoint__stands_alone(void **state)
{
	(void)state;
	struct fake f;
	fake_init(&f);
	struct commits c = {.n = 0};
	everything(&f, &c);
	COMMIT(&f, &c, "list-2@w.example");
	fake_turn(&f, 1); /* in flight */
	size_t begin = f.n_ledger;
	checkpoint(&f, fake_ref(5).offset + 64, true);
	COMMIT(&f, &c, "late@x.example"); /* beyond the known end: live without a word */
	assert_int_equal(f.ledger[f.n_ledger - 1].type, ENTRY_END);
	memmove(f.ledger, f.ledger + begin, (f.n_ledger - begin) * sizeof(*f.ledger));
	assert_int_equal(recover(&f, &c, f.n_ledger - begin), 3); /* held, in flight, late */
	fake_start(&f, true);
	assert_int_equal(fake_said_times(&f, "possible-duplicate"), 2);
	assert_int_equal(queue_counts(f.q).held, 1);
	/* What is done stays done when its notice comes again. */
	struct record_ref ref = fake_ref(1);
	assert_int_equal(queue_committed(f.q, &c.m[0], &ref), 0);
	fake_done(&f);
}

/* The number of a report that was told and is gone must not be given to another failure: recovery
 * takes a COMMIT that names it for the word that this one was told, too. */
static void queue_checkpoint__remembers_event_numbers(void **state)
{
	(void)state;
	struct fake f;
	fake_init(&f);
	struct commits c = {.n = 0};
	fake_start(&f, true);
	COMMIT(&f, &c, "fail@x.example", "a@y.example");
	fake_flow(&f);
	assert_int_equal(f.n_reports, 1);
	assert_int_equal(f.reports[0].event, EVENT_FIRST);
	queue_report_written(f.q, 1, EVENT_FIRST, 0);
	fake_flow(&f);
	size_t begin = f.n_ledger;
	checkpoint(&f, fake_ref(1).offset + 64, true);
	memmove(f.ledger, f.ledger + begin, (f.n_ledger - begin) * sizeof(*f.ledger));
	assert_int_equal(recover(&f, &c, f.n_ledger - begin), 1);
	fake_start(&f, true);
	fake_flow(&f);
	fake_result(&f, OUTCOME_FAILED, false);
	fake_flow(&f);
	assert_int_equal(f.n_reports, 1);
	assert_int_equal(f.reports[0].event, EVENT_FIRST + 1);
	fake_done(&f);
}

static void queue_checkpoint__without_its_end_means_nothing(void **state)
{
	(void)state;
	struct fake f;
	fake_init(&f);
	struct commits c = {.n = 0};
	fake_start(&f, true);
	for (int i = 0; i < 5; i++)
		COMMIT(&f, &c, "hold@x.example");
	fake_flow(&f);
	checkpoint(&f, fake_ref(5).offset + 64, false);
	assert_int_equal(fake_entries(&f, ENTRY_SEGMENT), 1);
	assert_int_equal(fake_entries(&f, ENTRY_END), 0);
	assert_int_equal(recover(&f, &c, f.n_ledger), 5);
	fake_start(&f, true);
	assert_int_equal(queue_counts(f.q).held, 5);
	fake_done(&f);
}

static void queue_checkpoint__end_waits_for_its_entries(void **state)
{
	(void)state;
	struct fake f;
	fake_init(&f);
	fake_start(&f, true);
	assert_int_equal(fake_commit_one(&f, 1, "hold@x.example"), 1);
	fake_flow(&f);
	queue_checkpoint_begin(f.q, NULL, 0);
	for (int i = 0; i < 3; i++) {
		assert_true(queue_checkpoint_slice(f.q, 100));
		assert_int_equal(fake_entries(&f, ENTRY_END), 0);
	}
	fake_durable(&f, 0);
	assert_false(queue_checkpoint_slice(f.q, 100));
	assert_int_equal(fake_entries(&f, ENTRY_END), 1);
	/* A sync that fails meanwhile: over without an END, and another is wanted. */
	queue_checkpoint_begin(f.q, NULL, 0);
	assert_true(queue_checkpoint_slice(f.q, 100));
	fake_durable(&f, -EIO);
	assert_false(queue_checkpoint_slice(f.q, 100));
	assert_int_equal(fake_entries(&f, ENTRY_END), 1);
	assert_true(queue_checkpoint_wanted(f.q));
	fake_done(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(queue_replay__every_prefix),
		cmocka_unit_test(queue_replay__another_boot_suspects_what_was_due),
		cmocka_unit_test(queue_job_alive__is_no_suspect),
		cmocka_unit_test(queue_replay_commit__report_marks_its_event),
		cmocka_unit_test(queue_void__tells_of_nothing),
		cmocka_unit_test(queue_replay_commit__damaged_is_held),
		cmocka_unit_test(queue_start__entries_without_a_commit_are_said),
		cmocka_unit_test(queue_replay_entry__unreadable),
		cmocka_unit_test(queue_checkpoint__stands_alone),
		cmocka_unit_test(queue_checkpoint__remembers_event_numbers),
		cmocka_unit_test(queue_checkpoint__without_its_end_means_nothing),
		cmocka_unit_test(queue_checkpoint__end_waits_for_its_entries),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
