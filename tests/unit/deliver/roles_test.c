/* Both roles as their process sees them, with the process faked: start, jobs, reload, drain. */
#include "dispatcher.h"
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "deliver/deliverer.h"
#include "deliver/mailbox.h"

/* ---- the process ---- */

struct role_process {
	void *state;
	struct config config;
	const char *names[2];
	int fds[2];
	size_t n_fds;
	unsigned finished;
};

void role_set_state(struct role_process *p, void *state)
{
	p->state = state;
}

void *role_state(const struct role_process *p)
{
	return p->state;
}

const struct config *role_config(const struct role_process *p)
{
	return &p->config;
}

int role_fd(const struct role_process *p, const char *name)
{
	(void)p;
	(void)name;
	return -1;
}

int role_next_fd(
	const struct role_process *p, const char *prefix, size_t *cursor, const char **ret_name)
{
	while (*cursor < p->n_fds) {
		size_t i = (*cursor)++;
		if (strncmp(p->names[i], prefix, strlen(prefix)) == 0) {
			*ret_name = p->names[i];
			return p->fds[i];
		}
	}
	return -1;
}

void role_failed(struct role_process *p, const char *fmt, ...)
{
	(void)p;
	fail_msg("role_failed: %s", fmt);
}

void role_finished(struct role_process *p)
{
	p->finished++;
}

static char hostname[] = "client.example.org";

static void expect_finished(struct role_process *p)
{
	for (int i = 0; i < 500 && !p->finished; i++)
		(void)fiber_sleep(5 * USEC_PER_MSEC);
	assert_int_equal(p->finished, 1);
	assert_null(p->state);
}

/* ---- the deliverer ---- */

#define ONE                                                                                        \
	{                                                                                          \
		"a@b.org"                                                                          \
	}
#define MESSAGE	  SPAN_LIT("A: b\r\n\r\nx\r\n")
#define HELLO	  "S: 220 mx\nC: EHLO client.example.org\nS: 250-mx\nS: 250 PIPELINING\n"
#define ENVELOPE  "C: MAIL\nC: RCPT\nC: DATA\nS: 250 ok\nS: 250 ok\nS: 354 go\n"
#define DELIVERED ENVELOPE "D:\nS: 250 2.6.0 taken\n"

static void deliverer(void *arg)
{
	(void)arg;
	struct role_process p = {.config = {.hostname = hostname}};
	struct dispatcher d;
	struct fake_hop hop;
	struct stored s;
	fake_hop_open(&hop, HELLO DELIVERED DELIVERED);
	/* The channel comes before the start: nothing runs before it. */
	deliverer_role.peer(&p, ROLE_DISPATCHER, 0, dispatcher_new(&d));
	ask_inflight(&d);
	open_segment(&d, MESSAGE, &s);
	hand_out(&d, &s,
		&(struct wanted_job){.job = 1, .via = JOB_SMTP, .port = hop.port, .rcpts = ONE});
	(void)fiber_sleep(30 * USEC_PER_MSEC);
	assert_int_equal(d.heard.len, 0);
	assert_int_equal(deliverer_role.start(&p), 0);
	expect_heard(&d, "inflight\ndot 1\noutcome 1 0:delivered:250:2.6.0 \n");
	hand_out(&d, &s,
		&(struct wanted_job){.job = 2, .via = JOB_SMTP, .port = hop.port, .rcpts = ONE});
	expect_heard(&d, "dot 2\noutcome 2 0:delivered:250:2.6.0 \n");
	assert_int_equal(hop.sessions, 1);
	hand_out(&d, &s, &(struct wanted_job){.job = 3, .via = JOB_DISCARD, .rcpts = ONE});
	expect_heard(&d, "outcome 3 0:delivered:0:2.1.5 \n");
	hand_out(&d, &s, &(struct wanted_job){.job = 4, .via = JOB_MAILDIR, .rcpts = ONE});
	expect_heard(&d, "outcome 4 0:deferred:0:4.3.5 \n");
	for (uint64_t job = 1; job <= 4; job++)
		tell_u64(&d, FRAME_OUTCOME_KEPT, job);
	/* The kept session ends with QUIT before the process does. */
	deliverer_role.drain(&p, USEC_PER_SEC);
	expect_finished(&p);
	assert_int_equal(hop.quits, 1);
	store_done(&s);
	dispatcher_free(&d);
	fake_hop_close(&hop);
}

static void deliverer_role__life(void **state)
{
	(void)state;
	run_on_loop(deliverer, NULL);
}

/* At the end of the grace: before the dot nothing has happened, behind it nobody knows. */
static void cut_off(void *arg)
{
	(void)arg;
	struct role_process p = {.config = {.hostname = hostname}};
	struct dispatcher d;
	struct fake_hop before, behind;
	struct stored s;
	fake_hop_open(&before, HELLO "H:\n");
	fake_hop_open(&behind, HELLO ENVELOPE "D:\nH:\n");
	assert_int_equal(deliverer_role.start(&p), 0);
	deliverer_role.peer(&p, ROLE_DISPATCHER, 0, dispatcher_new(&d));
	open_segment(&d, MESSAGE, &s);
	hand_out(&d, &s,
		&(struct wanted_job){.job = 1, .via = JOB_SMTP, .port = before.port, .rcpts = ONE});
	hand_out(&d, &s,
		&(struct wanted_job){.job = 2, .via = JOB_SMTP, .port = behind.port, .rcpts = ONE});
	expect_heard(&d, "dot 2\n");
	deliverer_role.drain(&p, 50 * USEC_PER_MSEC);
	expect_heard(
		&d, "no more\noutcome 1 0:not-tried:0:4.3.2 \noutcome 2 0:deferred:0:4.3.2 \n");
	tell_u64(&d, FRAME_OUTCOME_KEPT, 1);
	tell_u64(&d, FRAME_OUTCOME_KEPT, 2);
	expect_finished(&p);
	store_done(&s);
	dispatcher_free(&d);
	fake_hop_close(&before);
	fake_hop_close(&behind);
}

static void deliverer_role__grace_ends(void **state)
{
	(void)state;
	run_on_loop(cut_off, NULL);
}

/* ---- the mailbox ---- */

static void mailbox(void *arg)
{
	(void)arg;
	struct role_process p = {.config = {.hostname = hostname}};
	struct dispatcher d;
	struct stored s;
	char folder[] = "/tmp/postrider-roles.XXXXXX", name[128], template[128], command[160];
	assert_non_null(mkdtemp(folder));
	snprintf(name, sizeof(name), "maildir:%s", folder);
	snprintf(template, sizeof(template), "%s/{local}", folder);
	p.names[0] = name;
	p.fds[0] = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	p.n_fds = 1;
	assert_int_equal(mailbox_role.start(&p), 0);
	/* During a reload the process has no folders: jobs must not notice. */
	p.n_fds = 0;
	close(p.fds[0]);
	mailbox_role.peer(&p, ROLE_DISPATCHER, 0, dispatcher_new(&d));
	ask_inflight(&d);
	open_segment(&d, MESSAGE, &s);
	struct wanted_job w = {.job = 1, .via = JOB_MAILDIR, .path = template, .rcpts = ONE};
	hand_out(&d, &s, &w);
	expect_heard(&d, "inflight\ndot 1\noutcome 1 0:delivered:0:2.1.5 \n");
	w = (struct wanted_job){.job = 2, .via = JOB_PIPE, .path = "cat", .rcpts = ONE};
	hand_out(&d, &s, &w);
	expect_heard(&d, "outcome 2 0:deferred:0:4.3.5 \n");
	w = (struct wanted_job){.job = 3, .via = JOB_DISCARD, .rcpts = ONE};
	hand_out(&d, &s, &w);
	expect_heard(&d, "outcome 3 0:delivered:0:2.1.5 \n");
	/* A configuration without the folder. */
	mailbox_role.reload(&p, NULL);
	w = (struct wanted_job){.job = 4, .via = JOB_MAILDIR, .path = template, .rcpts = ONE};
	hand_out(&d, &s, &w);
	expect_heard(&d, "outcome 4 0:deferred:0:4.3.5 \n");
	dispatcher_free(&d);
	/* Without a dispatcher a drain waits for nobody. */
	(void)fiber_sleep(20 * USEC_PER_MSEC);
	mailbox_role.drain(&p, USEC_PER_SEC);
	expect_finished(&p);
	static const char *const made[] = {"a/tmp", "a/cur", "a/new/", "a/new", "a", ""};
	for (size_t i = 0; i < ARRAY_LEN(made); i++) {
		snprintf(command, sizeof(command), "%s/%s%s", folder, made[i],
			i == 2 ? "1763781000.M42V4HMR0.client.example.org,S=46" : "");
		if (remove(command) < 0)
			print_error("not there: %s\n", command);
	}
	assert_int_equal(access(folder, F_OK), -1);
	store_done(&s);
}

static void mailbox_role__life(void **state)
{
	(void)state;
	run_on_loop(mailbox, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(deliverer_role__life),
		cmocka_unit_test(deliverer_role__grace_ends),
		cmocka_unit_test(mailbox_role__life),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
