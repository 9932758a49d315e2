/* Twin of src/ipc: round trips; every truncation of every payload is refused, none is read past. */
#include "ipc/admin.h"
#include "ipc/job.h"
#include "ipc/lookup.h"
#include "ipc/spool_frames.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

typedef int (*decode_fn)(struct span payload, struct arena *a);

static int try_job(struct span p, struct arena *a)
{
	struct job j;
	return job_decode(p, a, &j);
}
static int try_outcome(struct span p, struct arena *a)
{
	struct outcome o;
	return outcome_decode(p, a, &o);
}
static int try_expand(struct span p, struct arena *a)
{
	struct expand_answer e;
	return expand_answer_decode(p, a, &e);
}
static int try_ask(struct span p, struct arena *a)
{
	struct expand_ask e;
	(void)a;
	return expand_ask_decode(p, &e);
}
static int try_request(struct span p, struct arena *a)
{
	struct admin_request e;
	return admin_request_decode(p, a, &e);
}
static int try_line(struct span s, struct arena *a)
{
	struct admin_line e;
	(void)a;
	return admin_line_decode(s, &e);
}

static int try_row(struct span p, struct arena *a)
{
	struct queue_row e;
	return queue_row_decode(p, a, &e);
}
static int try_give(struct span p, struct arena *a)
{
	struct segment_give g;
	(void)a;
	return segment_give_decode(p, &g);
}

/* Each truncation is copied to memory of its own size, so that ASan sees any read past it. */
static void check_truncations(const char *what, const struct buf *b, decode_fn decode)
{
	assert_int_equal(b->error, 0);
	for (size_t n = 0; n <= b->len; n++) {
		char *copy = malloc(n ? n : 1);
		memcpy(copy, b->ptr, n);
		struct arena *a = arena_new(1 << 20);
		int r = decode(span_make(copy, n), a);
		if (n == b->len ? r != 0 : r != -EBADMSG)
			fail_msg("%s cut at %zu of %zu: got %d", what, n, b->len, r);
		arena_free(a);
		free(copy);
	}
}

static void job__round_trip_and_truncations(void **state)
{
	(void)state;
	struct job_rcpt rcpts[] = {{.index = 3,
					   .address = SPAN_LIT("a@b"),
					   .original = SPAN_LIT("c@d"),
					   .notify = 2,
					   .orcpt = SPAN_LIT("rfc822;c@d")},
		{.index = 9, .address = SPAN_LIT("e@f")}};
	struct job_host hosts[] = {{SPAN_LIT("mx1.b"), 10}, {SPAN_LIT("mx2.b"), 20}};
	struct job_range ranges[] = {{7, 4096, 100, true, 0xe3069283}, {8, 64, 1, false, 0}};
	struct job j = {.job = 1,
		.message = 2,
		.attempt = 3,
		.suspect = true,
		.via = JOB_SMTP,
		.host = SPAN_LIT("127.0.0.1"),
		.port = 25,
		.hosts = hosts,
		.n_hosts = 2,
		.mx_secure = true,
		.domain = SPAN_LIT("b"),
		.route = SPAN_LIT("relay"),
		.envid = SPAN_LIT("id"),
		.ret = 2,
		.priority = -3,
		.flags = 6,
		.site = SPAN_LIT("s"),
		.reverse_path = SPAN_LIT("x@y"),
		.arrival_wall_usec = 5,
		.size = 6,
		.body = 1,
		.rcpts = rcpts,
		.n_rcpts = 2,
		.ranges = ranges,
		.n_ranges = 2,
		.connect_timeout = 1,
		.command_timeout = 2,
		.data_timeout = 3};
	struct buf b = BUF_INIT(1 << 16);
	struct arena *a = arena_new(1 << 16);
	struct job back;

	job_encode(&j, &b);
	assert_int_equal(job_decode(buf_span(&b), a, &back), 0);
	assert_int_equal(back.n_rcpts, 2);
	assert_int_equal(back.rcpts[1].index, 9);
	assert_true(span_equal(back.rcpts[0].original, SPAN_LIT("c@d")));
	assert_int_equal(back.rcpts[0].notify, 2);
	assert_true(span_equal(back.rcpts[0].orcpt, SPAN_LIT("rfc822;c@d")));
	assert_int_equal(back.n_hosts, 2);
	assert_true(span_equal(back.hosts[1].name, SPAN_LIT("mx2.b")));
	assert_int_equal(back.hosts[1].preference, 20);
	assert_true(back.mx_secure && !back.implicit_tls);
	assert_true(span_equal(back.route, SPAN_LIT("relay")));
	assert_true(span_equal(back.envid, SPAN_LIT("id")));
	assert_int_equal(back.priority, -3);
	assert_int_equal(back.ret, 2);
	assert_int_equal(back.flags, 6);
	assert_int_equal(back.ranges[0].offset, 4096);
	assert_int_equal(back.ranges[0].crc, 0xe3069283);
	assert_true(back.ranges[0].checked && !back.ranges[1].checked);
	assert_int_equal(back.data_timeout, 3);
	assert_true(back.suspect);
	check_truncations("job", &b, try_job);
	arena_free(a);
	buf_done(&b);
}

static void outcome__round_trip_and_truncations(void **state)
{
	(void)state;
	struct outcome_rcpt rcpts[] = {{.index = 1,
					       .result = OUTCOME_FAILED,
					       .code = 550,
					       .enhanced = SPAN_LIT("5.1.1"),
					       .text = SPAN_LIT("no such user")},
		{.index = 2,
			.result = OUTCOME_NOT_TRIED,
			.code = 452,
			.enhanced = SPAN_LIT("4.5.3"),
			.dsn_passed_on = true}};
	struct outcome o = {.job = 1,
		.message = 2,
		.remote = SPAN_LIT("r"),
		.tls = SPAN_LIT("TLSv1.3"),
		.rcpts = rcpts,
		.n_rcpts = 2};
	struct buf b = BUF_INIT(1 << 16);
	struct arena *a = arena_new(1 << 16);
	struct outcome back;

	outcome_encode(&o, &b);
	assert_int_equal(outcome_decode(buf_span(&b), a, &back), 0);
	assert_int_equal(back.rcpts[0].code, 550);
	assert_int_equal(back.rcpts[1].result, OUTCOME_NOT_TRIED);
	assert_true(back.rcpts[1].dsn_passed_on && !back.rcpts[0].dsn_passed_on);
	assert_true(span_equal(back.tls, SPAN_LIT("TLSv1.3")));
	check_truncations("outcome", &b, try_outcome);
	arena_free(a);
	buf_done(&b);
}

static void lookup__round_trip_and_truncations(void **state)
{
	(void)state;
	struct expand_child kids[] = {{SPAN_LIT("a@b"), {.kind = HOP_DELIVER,
								.via = JOB_MAILDIR,
								.path = SPAN_LIT("/m/{local}"),
								.site = SPAN_LIT("maildir:/m")}}};
	struct expand_answer e = {
		.token = 5, .status = LOOKUP_OK, .children = kids, .n_children = 1};
	struct expand_ask ask = {
		.token = 6, .address = SPAN_LIT("a@b"), .relay = true, .via = SPAN_LIT("v")};
	struct buf b = BUF_INIT(1 << 16);
	struct arena *a = arena_new(1 << 16);
	struct expand_answer back;

	expand_answer_encode(&e, &b);
	assert_int_equal(expand_answer_decode(buf_span(&b), a, &back), 0);
	assert_true(span_equal(back.children[0].hop.path, SPAN_LIT("/m/{local}")));
	check_truncations("expand_answer", &b, try_expand);
	buf_reset(&b);
	expand_ask_encode(&ask, &b);
	check_truncations("expand_ask", &b, try_ask);
	arena_free(a);
	buf_done(&b);
}

static void admin__round_trip_and_truncations(void **state)
{
	(void)state;
	uint64_t ids[] = {1, 2};
	struct admin_request r = {.token = 1,
		.verb = ADMIN_QUEUE_DROP,
		.state = SPAN_LIT("held"),
		.ids = ids,
		.n_ids = 2};
	struct queue_row_rcpt rr[] = {{SPAN_LIT("a@b"), SPAN_NULL, SPAN_LIT("ready"), 1, 2,
		SPAN_LIT("s"), SPAN_NULL, SPAN_LIT("t")}};
	struct queue_row_session sessions[] = {{7, SPAN_LIT("one")}, {8, SPAN_LIT("two")}};
	struct queue_row row = {.id = 4,
		.reverse_path = SPAN_LIT("x@y"),
		.rcpts = rr,
		.n_rcpts = 1,
		.n_rcpts_all = 1,
		.sessions = sessions,
		.n_sessions = 2};
	struct admin_line line = {.token = 5, .lost = 6, .line = SPAN_LIT("x")};
	struct segment_give g = {.sequence = 3, .size = 4, .slot = 1, .generation = {1, 2, 3}};
	struct buf b = BUF_INIT(1 << 16);

	admin_request_encode(&r, &b);
	check_truncations("admin_request", &b, try_request);
	buf_reset(&b);
	queue_row_encode(&row, &b);
	check_truncations("queue_row", &b, try_row);
	buf_reset(&b);
	admin_line_encode(&line, &b);
	check_truncations("admin_line", &b, try_line);
	buf_reset(&b);
	segment_give_encode(&g, &b);
	check_truncations("segment_give", &b, try_give);
	buf_done(&b);
}

static void commit_notice__many_in_a_payload(void **state)
{
	(void)state;
	struct buf b = BUF_INIT(1 << 16);

	for (uint64_t i = 1; i <= 3; i++)
		commit_notice_encode(&(struct commit_notice){i, i * 10, i * 100, (uint32_t)i}, &b);
	struct wire w = wire_reader(buf_span(&b));
	struct commit_notice n;
	for (uint64_t i = 1; i <= 3; i++) {
		assert_true(commit_notice_next(&w, &n));
		assert_int_equal(n.segment, i * 10);
	}
	assert_false(commit_notice_next(&w, &n));
	assert_int_equal(w.error, 0);
	w = wire_reader(span_head(buf_span(&b), b.len - 1));
	while (commit_notice_next(&w, &n))
		;
	assert_int_equal(w.error, -EBADMSG);
	buf_done(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(job__round_trip_and_truncations),
		cmocka_unit_test(outcome__round_trip_and_truncations),
		cmocka_unit_test(lookup__round_trip_and_truncations),
		cmocka_unit_test(admin__round_trip_and_truncations),
		cmocka_unit_test(commit_notice__many_in_a_payload),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
