/* A report's files and schedule (RFC 8460 5.4, 5.5), and when a day's reports leave (4.1). */
#include "tlsrpt/reporter_internal.h"
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

#define HOUR (3600 * USEC_PER_SEC)

static char folder[] = "/tmp/postrider-outbox-XXXXXX";

static struct outbox_report *made(void)
{
	static const char *const uris[] = {"https://r.example:8443/x?y=z", "mailto:a@b.example"};
	struct outbox_report *r;
	assert_int_equal(outbox_report_new(SPAN_LIT("a.example"), 86400, &r), 0);
	r->id = strdup("1970-01-02T00:00:00Z.a.example@mx.example");
	r->end_sec = 2 * 86400;
	r->ok = 5;
	r->failed = 7;
	r->made_usec = r->due_usec = 11 * HOUR;
	for (size_t i = 0; i < ARRAY_LEN(uris); i++) {
		struct tlsrpt_uri u;
		assert_int_equal(tlsrpt_uri_parse(span_str(uris[i]), &u), 0);
		assert_int_equal(outbox_report_add_target(r, &u), 0);
	}
	return r;
}

static void outbox_load__is_the_same_again(void **state)
{
	CLEANUP(fd_closep) int fd = open(folder, O_RDONLY | O_DIRECTORY);
	struct outbox_report *r = made(), *again;
	struct buf body = BUF_INIT(1 << 20);
	(void)state;
	r->attempts = 3;
	r->first_usec = 12 * HOUR;
	assert_int_equal(outbox_save(fd, r, SPAN_LIT("body")), 0);
	assert_int_equal(outbox_load(fd, span_str(r->name), &again), 0);
	assert_string_equal(again->domain, r->domain);
	assert_string_equal(again->id, r->id);
	assert_int_equal(again->begin_sec, 86400);
	assert_int_equal(again->end_sec, 2 * 86400);
	assert_int_equal(again->ok, 5);
	assert_int_equal(again->failed, 7);
	assert_int_equal(again->first_usec, 12 * HOUR);
	assert_int_equal(again->due_usec, 11 * HOUR);
	assert_int_equal(again->attempts, 3);
	assert_int_equal(again->n_targets, 2);
	assert_int_equal(again->targets[0].state, OUTBOX_PENDING);
	assert_int_equal(again->targets[0].uri.port, 8443);
	assert_int_equal(again->targets[1].state, OUTBOX_WAITING);
	assert_int_equal(outbox_body(fd, again, &body), 0);
	assert_true(span_equal(buf_span(&body), SPAN_LIT("body")));
	outbox_remove(fd, r);
	struct outbox_report *none;
	assert_int_equal(outbox_load(fd, span_str(r->name), &none), -ENOENT);
	buf_done(&body);
	outbox_report_free(r);
	outbox_report_free(again);
}

static void outbox_load__refuses_damage(void **state)
{
	static const char *const bad[] = {
		"",
		"end\n",
		"tlsrpt-report 2\nend\n",
		"tlsrpt-report 1\ndomain a.example\nid x\nend\n", /* nowhere to go */
		"tlsrpt-report 1\ndomain a.example\nid x\ntarget pending https://r.example/\n",
		"tlsrpt-report 1\ndomain a.example\nid x\ntarget later https://r.example/\nend\n",
		"tlsrpt-report 1\ndomain a.example\nid x\ntarget pending http://r.example/\nend\n",
		"tlsrpt-report 1\ndomain a.b\nid x\ntimes 1 2 3\ntarget sent mailto:a@b\nend\n",
		"tlsrpt-report 1\ndomain a.example\nid x\ntarget sent mailto:a@b\nend\nmore\n",
		"tlsrpt-report 1\nunknown word\nid x\ntarget sent mailto:a@b\nend\n",
	};
	CLEANUP(fd_closep) int fd = open(folder, O_RDONLY | O_DIRECTORY);
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct outbox_report *r = NULL;
		assert_int_equal(outbox_write(fd, "0123456789abcdef.state", span_str(bad[i])), 0);
		int got = outbox_load(fd, SPAN_LIT("0123456789abcdef"), &r);
		if (got != -EBADMSG)
			fail_msg("%zu: want %d, got %d", i, -EBADMSG, got);
	}
	assert_int_equal(unlinkat(fd, "0123456789abcdef.state", 0), 0);
}

/* The waits grow to four hours, and 24 hours behind the first attempt it is over. */
static void outbox_report_postpone__table(void **state)
{
	static const struct {
		uint32_t attempts;
		uint64_t since_first, want_wait;
		enum outbox_state want;
	} table[] = {
		{1, 0, 300 * USEC_PER_SEC, OUTBOX_PENDING},
		{2, HOUR, 600 * USEC_PER_SEC, OUTBOX_PENDING},
		{6, 5 * HOUR, 9600 * USEC_PER_SEC, OUTBOX_PENDING},
		{7, 10 * HOUR, 4 * HOUR, OUTBOX_PENDING},
		{8, 20 * HOUR, 4 * HOUR, OUTBOX_PENDING},
		{9, 20 * HOUR + 1, 4 * HOUR, OUTBOX_REFUSED},
		{4000000000u, 30 * HOUR, 4 * HOUR, OUTBOX_REFUSED},
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct outbox_report *r = made();
		r->attempts = table[i].attempts;
		r->first_usec = 100 * HOUR;
		uint64_t now = r->first_usec + table[i].since_first;
		outbox_report_postpone(r, now);
		if (r->due_usec != now + table[i].want_wait || r->targets[0].state != table[i].want)
			fail_msg("%zu: want %llu %s, got %llu %s", i,
				(unsigned long long)table[i].want_wait,
				outbox_state_name(table[i].want),
				(unsigned long long)(r->due_usec - now),
				outbox_state_name(r->targets[0].state));
		assert_int_equal(r->targets[1].state, OUTBOX_WAITING);
		outbox_report_free(r);
	}
}

static void send_judge__table(void **state)
{
	static const struct {
		long status;
		enum outbox_state want;
	} table[] = {{200, OUTBOX_SENT}, {201, OUTBOX_SENT}, {204, OUTBOX_SENT},
		{301, OUTBOX_PENDING}, {400, OUTBOX_REFUSED}, {404, OUTBOX_REFUSED},
		{408, OUTBOX_PENDING}, {413, OUTBOX_REFUSED}, {429, OUTBOX_PENDING},
		{500, OUTBOX_PENDING}, {503, OUTBOX_PENDING}, {0, OUTBOX_PENDING}};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++)
		if (send_judge(table[i].status) != table[i].want)
			fail_msg("%ld: want %s, got %s", table[i].status,
				outbox_state_name(table[i].want),
				outbox_state_name(send_judge(table[i].status)));
}

/* Within the delay, the same each day, not the same for all. */
static void periods_due__is_spread(void **state)
{
	uint64_t end = 86400 * UINT64_C(20000), last = 0;
	unsigned different = 0;
	(void)state;
	for (unsigned i = 0; i < 100; i++) {
		char name[32];
		(void)snprintf(name, sizeof(name), "mx%u.example.org", i);
		uint64_t due = periods_due(end, 4 * HOUR, span_str(name));
		assert_true(due >= end * USEC_PER_SEC && due < end * USEC_PER_SEC + 4 * HOUR);
		assert_int_equal(
			periods_due(end + 86400, 4 * HOUR, span_str(name)), due + 24 * HOUR);
		different += due != last;
		last = due;
	}
	assert_true(different > 90);
	assert_int_equal(periods_due(end, 0, SPAN_LIT("mx.example.org")), end * USEC_PER_SEC);
}

static int make_folder(void **state)
{
	(void)state;
	return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
	(void)state;
	return rmdir(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(outbox_load__is_the_same_again),
		cmocka_unit_test(outbox_load__refuses_damage),
		cmocka_unit_test(outbox_report_postpone__table),
		cmocka_unit_test(send_judge__table),
		cmocka_unit_test(periods_due__is_spread),
	};
	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
