/* Formatting is done on the loop, between two turns of others, so that what is written is of one
 * moment; everything that waits for the disk is done on the pool. */
#include "directory/kept.h"
#include "base/log.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

void kept_init(struct kept *k, size_t max)
{
	k->text = BUF_INIT(max);
}

void kept_done(struct kept *k)
{
	assert(!k->writing);
	loop_timer_cancel(&k->timer);
	buf_done(&k->text);
}

int kept_read(const struct kept *k, struct buf *out)
{
	if (k->folder < 0)
		return 0;
	CLEANUP(fd_closep) int fd = openat(k->folder, k->name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	return buf_read_fd(out, fd);
}

static int write_file(const struct kept *k)
{
	struct span rest = buf_span(&k->text);
	char beside[KEPT_NAME_MAX + 8];

	(void)snprintf(beside, sizeof(beside), "%s.new", k->name);
	CLEANUP(fd_closep)
	int fd = openat(k->folder, beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	while (rest.len) {
		ssize_t n = write(fd, rest.ptr, rest.len);
		if (n < 0)
			return -errno;
		rest = span_from(rest, (size_t)n);
	}
	if (fsync(fd) < 0 || renameat(k->folder, beside, k->folder, k->name) < 0)
		return -errno;
	return fsync(k->folder) < 0 ? -errno : 0;
}

/* On the pool: touches only the text and the folder. */
static int work(struct offload_job *j)
{
	return write_file(CONTAINER_OF(j, struct kept, job));
}

static void plan(struct kept *k)
{
	if (k->folder < 0 || k->writing || k->timer.heap_index || !k->dirty)
		return;
	(void)!loop_timer_set(&k->timer, loop_now_usec() + k->every_usec);
}

static void say(const struct kept *k, int error)
{
	if (error < 0)
		log_text(LOG_LEVEL_ERROR, k->event, "data/auth/%s: %s", k->name, strerror(-error));
}

static void written(struct offload_job *j)
{
	struct kept *k = CONTAINER_OF(j, struct kept, job);

	k->writing = false;
	say(k, j->result);
	if (j->result == 0 && k->written)
		k->written(k->arg);
	plan(k);
}

static int format(struct kept *k)
{
	buf_reset(&k->text);
	k->format(k->arg, &k->text);
	k->dirty = false;
	return k->text.error;
}

static void on_timer(struct loop_timer *t)
{
	struct kept *k = CONTAINER_OF(t, struct kept, timer);
	int r = format(k);

	if (r < 0) {
		say(k, r);
		return;
	}
	k->writing = true;
	k->job = (struct offload_job){.work = work, .done = written};
	offload_submit(&k->job);
}

void kept_changed(struct kept *k)
{
	k->timer.fn = on_timer;
	k->dirty = true;
	plan(k);
}

bool kept_is_writing(const struct kept *k)
{
	return k->writing;
}

void kept_finish(struct kept *k)
{
	loop_timer_cancel(&k->timer);
	if (k->folder < 0 || k->writing || !k->dirty)
		return;
	int r = format(k);
	say(k, r < 0 ? r : write_file(k));
}
