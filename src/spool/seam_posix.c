/* The seam in production: files of one folder, the kernel's clocks and randomness. The only file of
 * this room that makes system calls.
 *
 * Reads and writes go to the page cache on the caller's thread; what waits for the disk (sync,
 * prepare) runs on the offload pool, and its `done` on the loop. A file that is closed while an
 * operation runs stays open until that has ended. Files are opened by name relative to the folder,
 * never through a link, so that nobody who can write elsewhere can make us open anything else.
 *
 * The boot id decides whether writes that were never synced may have been lost. Roles are confined
 * before they come here and cannot open /proc, so the supervisor hands it down in the environment;
 * without either it is all zero, which readers must take for "may have been lost". */
#include "spool/seam.h"

#include "base/clock.h"
#include "base/list.h"
#include "fiber/offload.h"
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#define ZERO_STEP (1u << 20)

struct folder {
	int fd; /* borrowed, or -1 */
};
struct job {
	struct offload_job offload;
	struct disk_file *file;
	struct disk_op *op;
	uint64_t octets;
};
struct disk_file {
	struct folder *folder;
	int fd;
	unsigned refs; /* the owner and each running job */
	bool busy;     /* `own` runs */
	struct job own;
};

static void file_unref(struct disk_file *f)
{
	if (--f->refs)
		return;
	fd_close(f->fd);
	free(f);
}

static int file_new(struct folder *folder, int fd, struct disk_file **ret)
{
	struct disk_file *f = calloc(1, sizeof(*f));

	if (!f)
		return -ENOMEM;
	*f = (struct disk_file){.folder = folder, .fd = fd, .refs = 1};
	*ret = f;
	return 0;
}

static int posix_open(void *disk, const char *name, bool create, struct disk_file **ret_file)
{
	struct folder *folder = disk;
	int flags = O_RDWR | O_CLOEXEC | O_NOFOLLOW | (create ? O_CREAT | O_EXCL : 0);
	int fd = openat(folder->fd, name, flags, 0600);

	if (fd < 0)
		return -errno;
	int r = file_new(folder, fd, ret_file);
	if (r < 0)
		fd_close(fd);
	return r;
}

static int posix_open_write_fd(void *disk, const char *name, int *ret_fd)
{
	struct folder *folder = disk;
	int fd = openat(folder->fd, name, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0)
		return -errno;
	*ret_fd = fd;
	return 0;
}

static int posix_adopt(void *disk, int fd, struct disk_file **ret_file)
{
	int r = file_new(disk, fd, ret_file);

	if (r < 0)
		fd_close(fd);
	return r;
}

static int posix_fd(struct disk_file *f)
{
	return f->fd;
}

static int posix_size(struct disk_file *f, uint64_t *ret_octets)
{
	struct stat st;

	if (fstat(f->fd, &st) < 0)
		return -errno;
	*ret_octets = (uint64_t)st.st_size;
	return 0;
}

/* Drops the first n octets of a scatter list in place. */
static void iov_advance(struct iovec **iov, int *n_iov, size_t n)
{
	while (*n_iov > 0 && n >= (*iov)->iov_len) {
		n -= (*iov)->iov_len;
		(*iov)++;
		(*n_iov)--;
	}
	if (n) {
		(*iov)->iov_base = (char *)(*iov)->iov_base + n;
		(*iov)->iov_len -= n;
	}
}

/* As many parts at once as fit here: no more than a writer's record has in practice. */
#define PARTS_MAX 16

static int posix_write(struct disk_file *f, uint64_t offset, const struct iovec *iov, int n_iov)
{
	struct iovec parts[PARTS_MAX];

	while (n_iov > 0) {
		int n = MIN(n_iov, PARTS_MAX);
		memcpy(parts, iov, (size_t)n * sizeof(*iov));
		iov += n;
		n_iov -= n;
		struct iovec *rest = parts;
		iov_advance(&rest, &n, 0);
		while (n > 0) {
			ssize_t wrote = pwritev(f->fd, rest, n, (off_t)offset);
			if (wrote < 0 && errno == EINTR)
				continue;
			if (wrote < 0)
				return -errno;
			if (wrote == 0)
				return -EIO;
			offset += (uint64_t)wrote;
			iov_advance(&rest, &n, (size_t)wrote);
		}
	}
	return 0;
}

static int posix_read(struct disk_file *f, uint64_t offset, void *ptr, size_t len, size_t *ret_len)
{
	size_t got = 0;

	while (got < len) {
		ssize_t n = pread(f->fd, (char *)ptr + got, len - got, (off_t)(offset + got));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		got += (size_t)n;
	}
	*ret_len = got;
	return 0;
}

/* ---- what waits for the disk: work_* on the pool's threads ---- */

static int work_sync(struct offload_job *j)
{
	return fdatasync(CONTAINER_OF(j, struct job, offload)->file->fd) < 0 ? -errno : 0;
}

static int write_zeros(int fd, uint64_t octets)
{
	void *zeros = calloc(1, ZERO_STEP);

	if (!zeros)
		return -ENOMEM;
	int r = 0;
	for (uint64_t at = 0; at < octets && r == 0;) {
		size_t step = (size_t)MIN(octets - at, (uint64_t)ZERO_STEP);
		ssize_t n = pwrite(fd, zeros, step, (off_t)at);
		if (n < 0 && errno != EINTR)
			r = -errno;
		if (n > 0)
			at += (uint64_t)n;
	}
	free(zeros);
	return r;
}

static int make_durable(const struct job *job)
{
	if (fsync(job->file->fd) < 0 || fsync(job->file->folder->fd) < 0)
		return -errno;
	return 0;
}

static int work_zero(struct offload_job *j)
{
	struct job *job = CONTAINER_OF(j, struct job, offload);
	int r = write_zeros(job->file->fd, job->octets);

	return r < 0 ? r : make_durable(job);
}

static int work_allocate(struct offload_job *j)
{
	struct job *job = CONTAINER_OF(j, struct job, offload);

	if (fallocate(job->file->fd, 0, 0, (off_t)job->octets) < 0) {
		/* Not every filesystem can: then the slow way. */
		if (errno != EOPNOTSUPP && errno != ENOSYS)
			return -errno;
		return work_zero(j);
	}
	return make_durable(job);
}

static void job_done(struct offload_job *j)
{
	struct job *job = CONTAINER_OF(j, struct job, offload);
	struct disk_file *f = job->file;
	struct disk_op *op = job->op;
	int result = j->result;

	if (job == &f->own)
		f->busy = false;
	else
		free(job);
	file_unref(f);
	op->done(op, result);
}

static void job_start(struct disk_file *f, struct disk_op *op, int (*work)(struct offload_job *j),
	uint64_t octets)
{
	/* One operation a file at a time is the rule and needs no memory. */
	struct job *job = f->busy ? malloc(sizeof(*job)) : &f->own;

	if (!job)
		abort(); /* a sync that nobody will hear of must not be: recovery restores */
	if (job == &f->own)
		f->busy = true;
	*job = (struct job){
		.offload = {.work = work, .done = job_done}, .file = f, .op = op, .octets = octets};
	f->refs++;
	offload_submit(&job->offload);
}

static void posix_sync(struct disk_file *f, struct disk_op *op)
{
	job_start(f, op, work_sync, 0);
}

static void posix_prepare(struct disk_file *f, uint64_t octets, bool fast, struct disk_op *op)
{
	job_start(f, op, fast ? work_allocate : work_zero, octets);
}

/* ---- the folder ---- */

static int posix_unlink(void *disk, const char *name)
{
	return unlinkat(((struct folder *)disk)->fd, name, 0) < 0 ? -errno : 0;
}

static int posix_sync_folder(void *disk)
{
	return fsync(((struct folder *)disk)->fd) < 0 ? -errno : 0;
}

static int posix_list(void *disk, void (*each)(void *arg, const char *name), void *arg)
{
	struct folder *folder = disk;
	int fd = openat(folder->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *e;

	if (!d) {
		int r = -errno;
		fd_close(fd);
		return r;
	}
	while (errno = 0, (e = readdir(d)) != NULL)
		if (e->d_name[0] != '.')
			each(arg, e->d_name);
	int r = -errno;
	closedir(d);
	return r;
}

static int posix_free_octets(void *disk, uint64_t *ret_octets)
{
	struct statfs st;

	/* statfs, not statvfs: the dispatcher's rules allow this call and no other way around. */
	if (fstatfs(((struct folder *)disk)->fd, &st) < 0)
		return -errno;
	*ret_octets = (uint64_t)st.f_bavail * (uint64_t)st.f_bsize;
	return 0;
}

static const struct disk_ops posix_ops = {
	.open = posix_open,
	.adopt = posix_adopt,
	.fd = posix_fd,
	.close = file_unref,
	.size = posix_size,
	.write = posix_write,
	.read = posix_read,
	.sync = posix_sync,
	.prepare = posix_prepare,
	.unlink = posix_unlink,
	.sync_folder = posix_sync_folder,
	.list = posix_list,
	.free_octets = posix_free_octets,
	.open_write_fd = posix_open_write_fd,
};

/* ---- clock, randomness, boot id ---- */

static uint64_t posix_monotonic(void *arg)
{
	(void)arg;
	return clock_monotonic_usec();
}

static uint64_t posix_wall(void *arg)
{
	(void)arg;
	return clock_wall_usec();
}

static void posix_random(void *arg, void *ptr, size_t len)
{
	(void)arg;
	random_octets(ptr, len);
}

static int hex_digit(char c)
{
	return c >= '0' && c <= '9'   ? c - '0'
	       : c >= 'a' && c <= 'f' ? c - 'a' + 10
	       : c >= 'A' && c <= 'F' ? c - 'A' + 10
				      : -1;
}

/* 32 hex digits, hyphens between them allowed (the kernel writes a UUID). */
static bool parse_boot_id(const char *text, size_t len, uint8_t ret[16])
{
	unsigned n = 0;
	uint8_t id[16] = {0};

	for (size_t i = 0; i < len; i++) {
		int d = hex_digit(text[i]);
		if (text[i] == '-')
			continue;
		if (d < 0 || n == 32)
			break;
		id[n / 2] = (uint8_t)(id[n / 2] << 4 | d);
		n++;
	}
	if (n != 32)
		return false;
	memcpy(ret, id, sizeof(id));
	return true;
}

static void read_boot_id(uint8_t ret[16])
{
	const char *given = getenv("POSTRIDER_BOOT_ID");

	if (given && parse_boot_id(given, strlen(given), ret))
		return;
	char text[64];
	int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text));
	fd_close(fd);
	if (n > 0)
		(void)parse_boot_id(text, (size_t)n, ret);
}

int seam_posix_new(int folder_fd, struct seam **ret_seam)
{
	struct seam *s = calloc(1, sizeof(*s));
	struct folder *folder = calloc(1, sizeof(*folder));

	if (!s || !folder) {
		free(s);
		free(folder);
		return -ENOMEM;
	}
	folder->fd = folder_fd;
	*s = (struct seam){.ops = &posix_ops,
		.disk = folder,
		.monotonic_usec = posix_monotonic,
		.wall_usec = posix_wall,
		.random = posix_random};
	read_boot_id(s->boot_id);
	*ret_seam = s;
	return 0;
}

void seam_posix_free(struct seam *s)
{
	if (!s)
		return;
	free(s->disk);
	free(s);
}
