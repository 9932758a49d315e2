/* The stage of dispatcher_test.c: the dispatcher as a process of its own, started by executing this
 * test again, and the supervisor that it sees. */
#include "dispatcher_world.h"

#include "config/config.h"
#include "fiber/offload.h"
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- the dispatcher ---- */

static int supervisor_frame(void *arg, struct frame *f)
{
	struct world *w = arg;

	if (f->type == FRAME_FAILED)
		fail_msg("the dispatcher says: %.*s", SPAN_FMT(f->payload));
	w->ready = w->ready || f->type == FRAME_READY;
	return 0;
}

static void supervisor_closed(void *arg, int error)
{
	struct world *w = arg;

	(void)error;
	w->closed = true;
	channel_free(TAKE(w->supervisor));
}

static void send_setup(struct world *w)
{
	static const char text[] =
		"hostname = \"mx.world.test\"\n"
		"data = \"/nowhere\"\n"
		"relay { from = {\"127.0.0.0/8\"} via = \"smtp://127.0.0.1:13025\" }\n"
		"listener \"mx\" { address = {\"127.0.0.1:13001\"} }\n"
		"queue { retry = {\"1s\"} }\n"
		"spool { segment_size = \"1M\" compact = \"1s\" }\n"
		"log { format = \"json\" level = \"debug\" }\n";
	char path[128];
	struct config *c;
	struct buf errors = BUF_INIT(65536), b = BUF_INIT(1 << 20);

	(void)snprintf(path, sizeof(path), "%s/conf", w->folder);
	FILE *f = fopen(path, "we");
	assert_non_null(f);
	(void)fputs(text, f);
	(void)fclose(f);
	if (config_load(path, &c, &errors) < 0)
		fail_msg("%.*s", SPAN_FMT(buf_span(&errors)));
	buf_done(&errors);
	config_dump(c, &b);
	config_free(c);
	world_send(w->supervisor, FRAME_CONFIG, &b, -1);
	b = BUF_INIT(64);
	wire_put_span(&b, SPAN_LIT("spool"));
	world_send(w->supervisor, FRAME_FD, &b, w->folder_fd);
	b = BUF_INIT(64);
	wire_put_span(&b, SPAN_LIT("stats:0"));
	world_send(w->supervisor, FRAME_FD, &b, w->stats_fd);
}

static void exec_dispatcher(int channel, const char *log)
{
	char name[] = "dispatcher", flag[] = "--dispatcher";
	char *argv[] = {name, flag, NULL}, self[1024];
	/* By its name: valgrind translates the link's text, not its execution. */
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	int fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

	if (n < 0 || fd < 0 || dup2(channel, 3) < 0 || dup2(fd, 2) < 0)
		_exit(71);
	(void)setenv("POSTRIDER_BOOT_ID", "00112233445566778899aabbccddeeff", 1);
	self[n] = '\0';
	execv(self, argv);
	_exit(72);
}

void world_start(struct world *w)
{
	static const struct channel_ops ops = {
		.on_frame = supervisor_frame, .on_close = supervisor_closed};
	struct actor *all[] = {&w->directory, &w->deliverer, &w->mailbox, &w->control,
		&w->receivers[0], &w->receivers[1]};
	struct buf account = BUF_INIT(8);
	uint32_t id = geteuid() == 0 ? 65534 : 0; /* root's process gives its rights up */
	int pair[2];

	assert_int_equal(
		socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
	w->pid = fork();
	assert_true(w->pid >= 0);
	if (w->pid == 0)
		exec_dispatcher(pair[1], w->log);
	fd_close(pair[1]);
	w->ready = w->closed = false;
	assert_int_equal(channel_new(pair[0], &ops, w, &w->supervisor), 0);
	send_setup(w);
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		if (all[i]->alive)
			actor_attach(all[i]);
	wire_put_u32(&account, id);
	wire_put_u32(&account, id);
	world_send(w->supervisor, FRAME_START, &account, -1);
	WAIT_FOR(w->ready || w->closed);
	assert_true(w->ready);
}

int world_reap(struct world *w)
{
	int status = 0;

	WAIT_FOR(w->closed);
	assert_int_equal(waitpid(w->pid, &status, 0), w->pid);
	w->pid = 0;
	return status;
}

void world_kill(struct world *w)
{
	assert_int_equal(kill(w->pid, SIGKILL), 0);
	(void)world_reap(w);
}

int world_drain(struct world *w)
{
	world_send_u64(w->supervisor, FRAME_DRAIN, 3 * USEC_PER_SEC);
	return world_reap(w);
}

/* Who asks for the same words again goes on where the last look ended: a log that is read from its
 * start every 5 ms would be most of what this test does. */
bool world_logged(struct world *w, const char *words)
{
	char *text = NULL;
	size_t size = 0;
	FILE *f = fopen(w->log, "re");
	bool found = false;

	if (w->sought != words)
		w->sought_to = 0;
	w->sought = words;
	if (f)
		assert_int_equal(fseek(f, w->sought_to, SEEK_SET), 0);
	while (f && !found && getline(&text, &size, f) > 0) {
		found = strstr(text, words) != NULL;
		if (!found && strchr(text, '\n'))
			w->sought_to = ftell(f);
	}
	free(text);
	if (f)
		(void)fclose(f);
	return found;
}

/* ---- the stage ---- */

static void remove_folder(const char *path)
{
	DIR *d = opendir(path);
	const struct dirent *e;

	while (d && (e = readdir(d)))
		(void)unlinkat(dirfd(d), e->d_name, 0);
	if (d)
		(void)closedir(d);
	(void)rmdir(path);
}

static void init_actor(struct world *w, struct actor *a, enum role role, unsigned index)
{
	*a = (struct actor){.w = w, .role = role, .index = index};
}

struct play {
	struct world *w;
	void (*fn)(struct world *w);
};

static void play(void *arg)
{
	const struct play *p = arg;
	struct world *w = p->w;
	struct actor *all[] = {&w->directory, &w->deliverer, &w->mailbox, &w->control};

	world_start(w);
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		actor_live(all[i]);
	for (unsigned i = 0; i < RECEIVERS; i++)
		actor_live(&w->receivers[i]);
	p->fn(w);
	if (w->pid)
		world_kill(w);
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		actor_die(all[i]);
	for (unsigned i = 0; i < RECEIVERS; i++) {
		actor_die(&w->receivers[i]);
		seam_posix_free(w->receivers[i].seam);
	}
	loop_stop();
}

void with_world(void (*fn)(struct world *w))
{
	with_world_in("/tmp", fn);
}

void with_world_in(const char *where, void (*fn)(struct world *w))
{
	struct world *w = calloc(1, sizeof(*w));
	struct play p = {w, fn};

	if (!w)
		abort();
	(void)snprintf(w->folder, sizeof(w->folder), "%s/dispatcher-test-XXXXXX", where);
	if (!mkdtemp(w->folder))
		fail_msg("mkdtemp");
	assert_int_equal(chmod(w->folder, 0777), 0);
	(void)snprintf(w->log, sizeof(w->log), "%s.log", w->folder);
	w->folder_fd = open(w->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	w->stats_fd = memfd_create("stats", MFD_CLOEXEC);
	assert_true(w->stats_fd >= 0 && ftruncate(w->stats_fd, STATS_SLOT_OCTETS) == 0);
	void *page = mmap(NULL, STATS_SLOT_OCTETS, PROT_READ, MAP_SHARED, w->stats_fd, 0);
	assert_ptr_not_equal(page, MAP_FAILED);
	w->stats = page;
	for (unsigned i = 0; i < RECEIVERS; i++)
		init_actor(w, &w->receivers[i], ROLE_RECEIVER, i);
	init_actor(w, &w->directory, ROLE_DIRECTORY, 0);
	init_actor(w, &w->deliverer, ROLE_DELIVERER, 0);
	init_actor(w, &w->mailbox, ROLE_MAILBOX, 0);
	init_actor(w, &w->control, ROLE_CONTROL, 0);
	assert_int_equal(loop_init(), 0);
	assert_int_equal(offload_init(2), 0);
	assert_int_equal(fiber_spawn(play, &p, NULL), 0);
	assert_int_equal(loop_run(), 0);
	offload_done();
	loop_done();
	for (unsigned i = 0; i < w->n_jobs; i++)
		free(w->jobs[i].octets);
	fd_close(w->folder_fd);
	fd_close(w->stats_fd);
	(void)munmap((void *)(uintptr_t)w->stats, STATS_SLOT_OCTETS);
	remove_folder(w->folder);
	(void)unlink(w->log);
	free(w);
}
