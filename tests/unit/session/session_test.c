/* Sessions with the spool and their peers: what a 250 promises, and what happens when a peer dies
 * in the middle. */
#include "harness.h"
#include "ipc/frames.h"
#include "ipc/spool_frames.h"
#include "session/limits.h"

#define SETTLE (50 * USEC_PER_MSEC)

static void settle(void)
{
	assert_int_equal(fiber_sleep(SETTLE), 0);
}

static bool contains(const struct buf *b, const char *what)
{
	return memmem(b->ptr, b->len, what, strlen(what)) != NULL;
}

static void message(struct harness *h)
{
	struct buf stored = BUF_INIT(1u << 20);
	struct client c = harness_connect(h, false);

	client_to_data(&c);
	client_send(&c, "Subject: x\r\n\r\n..dot\r\nend\r\n.\r\n");
	client_expect(&c, "250 2.0.0 Accepted as ");
	settle();
	assert_int_equal(h->n_notices, 1);
	harness_read(h, &h->notices[0], &stored);
	if (!contains(&stored,
		    "Received: from client.example.net ([192.0.2.7])\r\n\tby mx.example.org "
		    "with ESMTP id ") ||
		!contains(&stored, "\r\n\tfor <alice@example.org>;\r\n\t") ||
		!contains(&stored, "+0000\r\nSubject: x\r\n\r\n.dot\r\nend\r\n"))
		fail_msg("got %.*s", SPAN_FMT(buf_span(&stored)));
	buf_done(&stored);
	client_command(&c, "QUIT", "221 2.0.0 ");
	client_expect_end(&c);
	client_close(&c);
}

static void session__message_is_spooled_and_noticed(void **state)
{
	(void)state;
	harness_run(message);
}

static void local_submitter(struct harness *h)
{
	struct buf stored = BUF_INIT(1u << 20);
	struct client c = harness_connect(h, true);

	client_to_data(&c);
	client_send(&c, "Subject: x\r\n\r\nbody\r\n.\r\n");
	client_expect(&c, "250 2.0.0 ");
	settle();
	harness_read(h, &h->notices[0], &stored);
	assert_true(contains(
		&stored, "Received: by mx.example.org (Postrider, from uid 1000) with ESMTP id "));
	buf_done(&stored);
	client_close(&c);
}

static void session__local_submitter_is_named_by_uid(void **state)
{
	(void)state;
	harness_run(local_submitter);
}

/* The storage of an ended session is used again; nothing of what it knew is. */
static void next_connection(struct harness *h)
{
	struct client c = harness_connect(h, false);

	client_expect(&c, "220 ");
	client_command(&c, "EHLO first.example.net", "250 ");
	client_command(&c, "MAIL FROM:<a@example.net> BODY=8BITMIME", "250 ");
	client_command(&c, "RCPT TO:<alice@example.org>", "250 ");
	client_close(&c);
	settle();
	assert_int_equal(h->server.n_sessions, 0);
	c = harness_connect(h, false);
	client_expect(&c, "220 ");
	client_command(&c, "MAIL FROM:<a@example.net>", "503 ");
	client_command(&c, "HELO second.example.net", "250 ");
	client_command(&c, "RCPT TO:<alice@example.org>", "503 ");
	client_command(&c, "MAIL FROM:<a@example.net>", "250 ");
	client_command(&c, "DATA", "554 ");
	client_close(&c);
}

static void session__next_connection_knows_nothing_of_the_last(void **state)
{
	(void)state;
	harness_run(next_connection);
}

static void directory_answers(struct harness *h)
{
	struct client c = harness_connect(h, false);

	client_expect(&c, "220 ");
	client_command(&c, "EHLO x", "250 ");
	client_command(&c, "MAIL FROM:<>", "250 ");
	client_command(&c, "RCPT TO:<alice@example.org>", "250 2.1.5 ");
	client_command(&c, "RCPT TO:<nobody@example.org>", "550 5.1.1 ");
	client_command(&c, "RCPT TO:<broken@example.org>", "451 4.3.0 ");
	client_command(&c, "RCPT TO:<loop@example.org>", "550 5.4.6 ");
	client_command(&c, "RCPT TO:<x@far.example>", "550 5.7.1 ");
	client_close(&c);
}

static void session__directory_answers(void **state)
{
	(void)state;
	harness_run(directory_answers);
}

static void directory_dies(struct harness *h)
{
	struct client c = harness_connect(h, false);

	client_expect(&c, "220 ");
	client_command(&c, "EHLO x", "250 ");
	client_command(&c, "MAIL FROM:<>", "250 ");
	h->answer = false;
	client_send(&c, "RCPT TO:<alice@example.org>\r\n");
	settle();
	assert_int_equal(h->questions, 1);
	harness_directory_gone(h);
	settle();
	h->answer = true;
	harness_directory(h);
	client_expect(&c, "250 2.1.5 ");
	/* A question that kills two directories is not put to a third. */
	h->answer = false;
	client_send(&c, "RCPT TO:<alice2@example.org>\r\n");
	for (int i = 0; i < 2; i++) {
		settle();
		harness_directory_gone(h);
		settle();
		harness_directory(h);
	}
	client_expect(&c, "451 4.3.0 ");
	client_close(&c);
}

static void lookup_ask__survives_a_restart_of_the_directory(void **state)
{
	(void)state;
	harness_run(directory_dies);
}

static void dispatcher_dies(struct harness *h)
{
	struct client c = harness_connect(h, false);

	client_to_data(&c);
	client_send(&c, "Subject: x\r\n\r\n");
	settle();
	harness_dispatcher_gone(h);
	settle();
	client_send(&c, "body\r\n.\r\n");
	client_expect(&c, "451 4.3.0 ");
	/* Nobody to take mail: MAIL waits for the next one. */
	client_send(&c, "MAIL FROM:<a@example.net>\r\n");
	settle();
	harness_dispatcher(h);
	client_expect(&c, "250 2.1.0 ");
	client_command(&c, "RCPT TO:<alice@example.org>", "250 ");
	client_command(&c, "DATA", "354 ");
	client_send(&c, "Subject: y\r\n\r\nbody\r\n.\r\n");
	client_expect(&c, "250 2.0.0 ");
	settle();
	/* What the first dispatcher gave was given back, unused, to the second. */
	assert_int_equal(h->n_ends, 2);
	for (unsigned i = 0; i < h->n_ends; i++) {
		assert_false(h->ends[i].sealed);
		assert_int_equal(h->ends[i].error, 0);
		assert_true(h->ends[i].sequence <= 2);
	}
	assert_int_equal(h->n_notices, 1);
	assert_true(h->notices[0].segment > 2);
	client_close(&c);
}

static void intake__dispatcher_dies_in_the_data(void **state)
{
	(void)state;
	harness_run(dispatcher_dies);
}

static void send_filler(struct client *c, unsigned octets)
{
	client_command(c, "MAIL FROM:<a@example.net>", "250 ");
	client_command(c, "RCPT TO:<alice@example.org>", "250 ");
	client_command(c, "DATA", "354 ");
	client_send_many(c, "0123456789012345678901234567890123456789012345678901234567890\r\n",
		octets / 63);
	client_send(c, ".\r\n");
	client_expect(c, "250 2.0.0 ");
}

static void slow_draft(struct harness *h)
{
	struct client slow = harness_connect(h, false), fast = harness_connect(h, false);
	struct buf stored = BUF_INIT(8u << 20);

	client_to_data(&slow);
	client_send_many(
		&slow, "0123456789012345678901234567890123456789012345678901234567890\r\n", 5000);
	settle(); /* two chunks of it are in the first segment */
	client_expect(&fast, "220 ");
	client_command(&fast, "EHLO x", "250 ");
	for (int i = 0; i < 8; i++)
		send_filler(&fast, 400 * 1000);
	settle();
	bool first = false;
	unsigned sealed = 0;
	for (unsigned i = 0; i < h->n_ends; i++) {
		first |= h->ends[i].sequence == 1;
		sealed += h->ends[i].sealed;
	}
	assert_true(sealed >= 1);
	assert_false(first); /* it is full, but the slow body needs it */
	unsigned notices = h->n_notices;
	client_send(&slow, "the end\r\n.\r\n");
	client_expect(&slow, "250 2.0.0 ");
	settle();
	for (unsigned i = 0; i < h->n_ends; i++)
		first |= h->ends[i].sequence == 1 && h->ends[i].sealed;
	assert_true(first);
	assert_int_equal(h->n_notices, notices + 1);
	harness_read(h, &h->notices[notices], &stored);
	assert_true(stored.len > 5000 * 63);
	assert_true(contains(&stored, "890\r\nthe end\r\n"));
	buf_done(&stored);
	client_close(&slow);
	client_close(&fast);
}

static void intake__segment_is_kept_for_a_slow_body(void **state)
{
	(void)state;
	harness_run(slow_draft);
}

/* Each slow body keeps a segment of its own, until there are too many of them. */
static void slow_drafts(struct harness *h)
{
	struct client slow[SEGMENTS_PINNED_MAX + 2], fast = harness_connect(h, false);

	client_expect(&fast, "220 ");
	client_command(&fast, "EHLO x", "250 ");
	for (unsigned i = 0; i < ARRAY_LEN(slow); i++) {
		slow[i] = harness_connect(h, false);
		client_to_data(&slow[i]);
		client_send_many(&slow[i],
			"0123456789012345678901234567890123456789012345678901234567890\r\n", 2500);
		settle();
		send_filler(&fast, 800 * 1000);
	}
	settle();
	/* The oldest was given up, in favour of the others. */
	client_send(&slow[0], "the end\r\n.\r\n");
	client_expect(&slow[0], "451 4.4.2 ");
	client_send(&slow[ARRAY_LEN(slow) - 1], "the end\r\n.\r\n");
	client_expect(&slow[ARRAY_LEN(slow) - 1], "250 2.0.0 ");
	bool first = false;
	for (unsigned i = 0; i < h->n_ends; i++)
		first |= h->ends[i].sequence == 1;
	assert_true(first);
	for (unsigned i = 0; i < ARRAY_LEN(slow); i++)
		client_close(&slow[i]);
	client_close(&fast);
}

static void intake__slow_bodies_cannot_keep_every_segment(void **state)
{
	(void)state;
	harness_run(slow_drafts);
}

static void disk_low(struct harness *h)
{
	struct client c = harness_connect(h, false);
	struct buf b = BUF_INIT(64);

	client_expect(&c, "220 ");
	client_command(&c, "EHLO x", "250 ");
	wire_put_u8(&b, 0);
	wire_put_span(&b, SPAN_LIT("disk low"));
	assert_int_equal(channel_send(h->dispatcher, FRAME_ACCEPTING, buf_span(&b), NULL, 0), 0);
	settle();
	client_command(&c, "MAIL FROM:<a@example.net>", "452 4.3.1 ");
	buf_reset(&b);
	wire_put_u8(&b, 1);
	wire_put_span(&b, SPAN_LIT(""));
	assert_int_equal(channel_send(h->dispatcher, FRAME_ACCEPTING, buf_span(&b), NULL, 0), 0);
	settle();
	client_command(&c, "MAIL FROM:<a@example.net>", "250 2.1.0 ");
	buf_done(&b);
	client_close(&c);
}

static void intake_check__disk_is_low(void **state)
{
	(void)state;
	harness_run(disk_low);
}

/* The first segment fails in that way; the next message goes into another one. */
static void failing_disk(struct harness *h, const char *device, const char *answer)
{
	/* A fresh dispatcher that hands out the device first. */
	settle();
	h->n_ends = 0;
	h->broken = device;
	harness_dispatcher(h);
	settle();
	h->n_ends = 0; /* what the first one gave came back */
	struct client c = harness_connect(h, false);
	client_to_data(&c);
	client_send(&c, "Subject: x\r\n\r\nbody\r\n.\r\n");
	client_expect(&c, answer);
	settle();
	assert_int_equal(h->n_notices, 0);
	assert_int_equal(h->n_ends, 1);
	assert_false(h->ends[0].sealed);
	assert_true(h->ends[0].error != 0);
	send_filler(&c, 1000);
	settle();
	assert_int_equal(h->n_notices, 1);
	assert_true(h->notices[0].segment != h->ends[0].sequence);
	client_close(&c);
}

static void disk_full(struct harness *h)
{
	failing_disk(h, "/dev/full", "452 4.3.1 ");
}

static void intake__write_fails(void **state)
{
	(void)state;
	harness_run(disk_full);
}

static void sync_fails(struct harness *h)
{
	failing_disk(h, "/dev/null", "451 4.3.0 ");
}

static void intake__sync_fails(void **state)
{
	(void)state;
	harness_run(sync_fails);
}

static void drain(struct harness *h)
{
	struct client idle = harness_connect(h, false), busy = harness_connect(h, false);

	client_expect(&idle, "220 ");
	client_to_data(&busy);
	settle();
	server_drain(&h->server);
	client_expect(&idle, "421 4.3.2 ");
	client_expect_end(&idle);
	client_send(&busy, "Subject: late\r\n\r\nbody\r\n.\r\n");
	client_expect(&busy, "250 2.0.0 ");
	client_expect(&busy, "421 4.3.2 ");
	client_expect_end(&busy);
	settle();
	assert_int_equal(h->server.n_sessions, 0);
	intake_close(h->server.intake);
	for (unsigned i = 0; i < 100 && !intake_is_quiet(h->server.intake); i++)
		settle();
	settle();
	assert_true(intake_is_quiet(h->server.intake));
	assert_int_equal(h->n_ends, 1);
	assert_true(h->ends[0].sealed);
	client_close(&idle);
	client_close(&busy);
}

static void server_drain__idle_and_busy(void **state)
{
	(void)state;
	harness_run(drain);
}

static void client_leaves(struct harness *h)
{
	struct client c = harness_connect(h, false);

	client_to_data(&c);
	client_send(&c, "half a mess");
	settle();
	client_close(&c);
	settle();
	assert_int_equal(h->server.n_sessions, 0);
	assert_int_equal(h->n_notices, 0);
}

static void session__client_leaves_in_the_data(void **state)
{
	(void)state;
	harness_run(client_leaves);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(session__message_is_spooled_and_noticed),
		cmocka_unit_test(session__local_submitter_is_named_by_uid),
		cmocka_unit_test(session__next_connection_knows_nothing_of_the_last),
		cmocka_unit_test(session__directory_answers),
		cmocka_unit_test(lookup_ask__survives_a_restart_of_the_directory),
		cmocka_unit_test(intake__dispatcher_dies_in_the_data),
		cmocka_unit_test(intake__segment_is_kept_for_a_slow_body),
		cmocka_unit_test(intake__slow_bodies_cannot_keep_every_segment),
		cmocka_unit_test(intake_check__disk_is_low),
		cmocka_unit_test(intake__write_fails),
		cmocka_unit_test(intake__sync_fails),
		cmocka_unit_test(server_drain__idle_and_busy),
		cmocka_unit_test(session__client_leaves_in_the_data),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
