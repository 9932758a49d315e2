/* What a message costs: octets and time, with a hundred thousand of them waiting. */
#include "base/clock.h"
#include "fake.h"

#include <malloc.h>

#define MAILS 100000u

static size_t in_use(void)
{
	struct mallinfo2 m = mallinfo2();

	return m.uordblks + m.hblkhd;
}

/* Asks are answered on the spot, so that the owner here keeps nothing for a message. */
static void drive(struct fake *f)
{
	queue_time(f->q, f->now, f->wall);
	queue_run(f->q, 100000);
	while (f->n_asks) {
		fake_answer(f);
		queue_run(f->q, 100000);
	}
}

static void queue__a_few_hundred_octets_a_message(void **state)
{
	(void)state;
	struct fake f;
	fake_init(&f);
	f.quiet = true;
	f.settings.concurrency = 1;
	queue_set_settings(f.q, &f.settings);
	fake_start(&f, true);
	/* One job takes the window; everything behind it waits, as at a next hop that is down. */
	assert_int_equal(fake_commit_one(&f, 1, "first@mail.partner.example"), 1);
	drive(&f);
	struct job_rcpt first = {.index = 0};
	f.jobs[0].rcpts = &first;
	size_t before = in_use();
	uint64_t start = clock_monotonic_usec(), half = 0;
	for (uint64_t id = 2; id < 2 + MAILS; id++) {
		char rcpt[64], sender[64];
		snprintf(rcpt, sizeof(rcpt), "recipient.%llu@mail.partner.example",
			(unsigned long long)id);
		snprintf(sender, sizeof(sender), "newsletter+%llu@list.example.net",
			(unsigned long long)id);
		assert_int_equal(fake_commit(&f, id, sender, (const char *const[]){rcpt, NULL}), 1);
		if (id % 100)
			continue;
		drive(&f);
		arena_reset(f.arena);
		if (id == MAILS / 2)
			half = clock_monotonic_usec() - start;
	}
	drive(&f);
	arena_reset(f.arena);
	uint64_t all = clock_monotonic_usec() - start;
	assert_int_equal(queue_counts(f.q).messages, MAILS + 1);
	size_t each = (in_use() - before) / MAILS;
	print_message(
		"%zu octets a message; %.2f us a message in the first half, %.2f in the second\n",
		each, (double)half / (MAILS / 2.0), (double)(all - half) / (MAILS / 2.0));
	/* The heaps of sanitizers and valgrind do not count. */
	if (before)
		assert_in_range(each, 1, 480);

	/* All of it goes, once the next hop takes it. */
	f.settings.concurrency = 1000;
	queue_set_settings(f.q, &f.settings);
	start = clock_monotonic_usec();
	while (queue_counts(f.q).messages) {
		while (f.n_jobs)
			fake_result(&f, OUTCOME_DELIVERED, false);
		drive(&f);
		fake_durable(&f, 0);
		f.n_ledger = f.durable = f.synced = 0;
	}
	print_message(
		"%.2f us a message to deliver\n", (double)(clock_monotonic_usec() - start) / MAILS);
	assert_int_equal(f.forgotten, MAILS + 1);
	fake_done(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(queue__a_few_hundred_octets_a_message),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
