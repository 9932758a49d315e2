/* Steps, in the order that keeps the promise: write tmp/NAME and fsync it, link it to new/NAME
 * (which fails where it exists: nothing is ever replaced), fsync new. Only then is the recipient
 * delivered. The name derives from the message, so that a second attempt after a crash meets the
 * first one's file: in new by link's EEXIST, and, when the job is marked suspect, in cur by a
 * search (a mail reader may have moved it there and added flags).
 *
 * All paths start at the folder fd handed down by the supervisor and go one component at a time
 * with O_NOFOLLOW: no symbolic link and no name of a stranger's leads out of it.
 *
 * Files have LF line ends, as Postfix and Exim write them and mail readers expect; a CR that is
 * not part of a CRLF stays. A BINARYMIME body is stored unchanged (RFC 3030). Return-Path is by
 * RFC 5321 4.4; Delivered-To names the recipient and cuts loops: a message whose header already
 * has it was delivered here before and came back. */
#include "deliver/maildir.h"
#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "deliver/body.h"
#include "mail/header.h"

#define HEADER_SEARCH_MAX (64u * 1024u)
#define NAME_ROOM	  512u
#define BODY_BINARYMIME	  2
#define OPEN_FOLDER	  (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

static void fail(struct maildir_file *f, int error, const char *what)
{
	f->error = error > 0 ? error : EIO;
	f->what = what;
}

/* ---- folders ---- */

/* One component, made if it is missing (and then durable in its parent). An fd or -errno. */
static int open_folder(int parent, const char *name)
{
	int fd = openat(parent, name, OPEN_FOLDER);
	if (fd >= 0 || errno != ENOENT)
		return fd >= 0 ? fd : -errno;
	if (mkdirat(parent, name, 0700) < 0 && errno != EEXIST)
		return -errno;
	if (fsync(parent) < 0)
		return -errno;
	fd = openat(parent, name, OPEN_FOLDER);
	return fd >= 0 ? fd : -errno;
}

/* path: components joined by "/". An fd of its own, or -errno. */
static int open_path(int prefix_fd, struct span path)
{
	int fd = openat(prefix_fd, ".", OPEN_FOLDER);
	if (fd < 0)
		return -errno;
	while (path.len > 0) {
		char name[NAME_ROOM];
		size_t len = span_index(path, '/');
		if (len >= sizeof(name)) {
			fd_close(fd);
			return -ENAMETOOLONG;
		}
		memcpy(name, path.ptr, len);
		name[len] = '\0';
		path = span_from(path, len + 1);
		int next = open_folder(fd, name);
		fd_close(fd);
		if (next < 0)
			return next;
		fd = next;
	}
	return fd;
}

/* ---- an earlier attempt ---- */

/* 1: there, and durable by now (the attempt that put it there may have died before its fsync). */
static int holds_stem(int mailbox, const char *sub, struct span stem)
{
	int fd = openat(mailbox, sub, OPEN_FOLDER);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir) {
		int error = errno;
		fd_close(fd);
		return -error;
	}
	const struct dirent *e;
	int r = 0;
	while (r == 0 && (e = readdir(dir)))
		r = strncmp(e->d_name, stem.ptr, stem.len) == 0;
	if (r > 0 && fsync(fd) < 0)
		r = -errno;
	closedir(dir);
	return r;
}

static void search_mailbox(int mailbox, struct maildir_file *f)
{
	int r = holds_stem(mailbox, "new", f->stem);
	if (r == 0)
		r = holds_stem(mailbox, "cur", f->stem);
	if (r < 0)
		fail(f, -r, "search");
	f->found = r > 0;
	f->written = f->found; /* so that what may be left in tmp goes too */
}

/* ---- the octets ---- */

static int write_all(int fd, const char *ptr, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, ptr, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		ptr += n;
		len -= (size_t)n;
	}
	return 0;
}

/* CRLF becomes LF, in place; *cr carries a CR over the border of two chunks. out has room for one
 * octet more than in. */
static size_t unfold_crlf(const char *in, size_t len, bool *cr, char *out)
{
	size_t n = 0;
	for (size_t i = 0; i < len;) {
		if (*cr) {
			*cr = false;
			if (in[i] != '\n')
				out[n++] = '\r';
		}
		const char *p = memchr(in + i, '\r', len - i);
		size_t run = p ? (size_t)(p - (in + i)) : len - i;
		memcpy(out + n, in + i, run);
		n += run;
		i += run;
		if (i < len) {
			*cr = true;
			i++;
		}
	}
	return n;
}

static int copy_message(struct maildir_file *f, const struct delivery *d, char *in, char *out)
{
	struct body body;
	bool binary = d->job.body == BODY_BINARYMIME, cr = false;
	ssize_t n;
	body_init(&body, d);
	while ((n = body_read(&body, in, BODY_CHUNK)) > 0) {
		const char *octets = binary ? in : out;
		size_t len = binary ? (size_t)n : unfold_crlf(in, (size_t)n, &cr, out);
		int r = write_all(f->file, octets, len);
		if (r < 0) {
			fail(f, -r, "write");
			return r;
		}
		f->size += len;
	}
	if (n < 0) {
		fail(f, (int)-n, "read the message for");
		return (int)n;
	}
	f->size += cr;
	return cr ? write_all(f->file, "\r", 1) : 0;
}

static int write_own_fields(struct maildir_file *f, const struct delivery *d)
{
	const char *end = d->job.body == BODY_BINARYMIME ? "\r\n" : "\n";
	struct buf b = BUF_INIT(8192);
	buf_printf(&b, "Return-Path: <%.*s>%sDelivered-To: %.*s%s", SPAN_FMT(d->job.reverse_path),
		end, SPAN_FMT(d->job.rcpts[f->position].address), end);
	int r = b.error ? b.error : write_all(f->file, b.ptr, b.len);
	f->size = b.len;
	buf_done(&b);
	return r;
}

/* ---- one recipient's steps ---- */

static void open_mailbox(struct maildir_batch *b, struct maildir_file *f)
{
	int mailbox = open_path(f->prefix_fd, f->folder);
	if (mailbox < 0) {
		fail(f, -mailbox, "open or create");
		return;
	}
	int cur = open_folder(mailbox, "cur");
	fd_close(cur);
	f->tmp_dir = cur < 0 ? cur : open_folder(mailbox, "tmp");
	f->new_dir = f->tmp_dir < 0 ? f->tmp_dir : open_folder(mailbox, "new");
	if (f->new_dir < 0)
		fail(f, -f->new_dir, "open or create cur, tmp and new in");
	else if (b->d->job.suspect)
		search_mailbox(mailbox, f);
	fd_close(mailbox);
}

/* The name in tmp is the stem with the host; in new, the size stands behind. */
static void tmp_name(const struct maildir_batch *b, const struct maildir_file *f, char *name)
{
	(void)snprintf(name, NAME_ROOM, "%s%s", f->stem.ptr, b->hostname);
}

static void write_tmp(struct maildir_batch *b, struct maildir_file *f, char *in, char *out)
{
	const int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
	char name[NAME_ROOM];
	tmp_name(b, f, name);
	f->file = openat(f->tmp_dir, name, flags, 0600);
	if (f->file < 0 && errno == EEXIST && unlinkat(f->tmp_dir, name, 0) == 0)
		f->file = openat(f->tmp_dir, name, flags, 0600); /* of an attempt that died */
	if (f->file < 0) {
		fail(f, errno, "create a file in");
		return;
	}
	f->written = true;
	int r = write_own_fields(f, b->d);
	if (r >= 0)
		r = copy_message(f, b->d, in, out);
	if (r < 0 && f->error == 0)
		fail(f, -r, "write");
}

static void link_new(struct maildir_batch *b, struct maildir_file *f)
{
	char from[NAME_ROOM], to[NAME_ROOM + 32];
	tmp_name(b, f, from);
	(void)snprintf(to, sizeof(to), "%s,S=%" PRIu64, from, f->size);
	if (linkat(f->tmp_dir, from, f->new_dir, to, 0) == 0)
		return;
	int error = errno;
	if (error == EPERM || error == EOPNOTSUPP || error == EMLINK) {
		/* A file system without hard links. */
		if (renameat2(f->tmp_dir, from, f->new_dir, to, RENAME_NOREPLACE) == 0) {
			f->written = false;
			return;
		}
		error = errno == EEXIST ? EEXIST : error;
	}
	if (error == EEXIST)
		f->found = true;
	else
		fail(f, error, "link into new in");
}

static void close_files(struct maildir_batch *b, struct maildir_file *f)
{
	if (f->written) {
		char name[NAME_ROOM];
		tmp_name(b, f, name);
		(void)unlinkat(f->tmp_dir, name, 0); /* if it stays, the next attempt replaces it */
	}
	f->file = fd_close(f->file);
	f->tmp_dir = fd_close(f->tmp_dir);
	f->new_dir = fd_close(f->new_dir);
}

/* ---- the batch ---- */

/* The message's first octets, for Delivered-To. Their number, or -errno. */
static ssize_t read_head(const struct delivery *d, char *head)
{
	struct body body;
	size_t len = 0;
	ssize_t n = 0;
	body_init(&body, d);
	while (len < HEADER_SEARCH_MAX &&
		(n = body_read(&body, head + len, HEADER_SEARCH_MAX - len)) > 0)
		len += (size_t)n;
	return n < 0 ? n : (ssize_t)len;
}

static bool was_here(struct span head, struct span address)
{
	struct header_cursor c = header_cursor(head);
	struct header_field field;
	while (header_next(&c, &field)) {
		if (span_equal_nocase(field.name, SPAN_LIT("Delivered-To")) &&
			span_equal_nocase(span_trim(field.body), address))
			return true;
	}
	return false;
}

static bool pending(const struct maildir_file *f)
{
	return f->error == 0 && !f->loop && !f->found;
}

static void prepare(struct maildir_batch *b, char *in, char *out)
{
	ssize_t head = read_head(b->d, in);
	for (unsigned i = 0; i < b->n; i++) {
		struct maildir_file *f = &b->files[i];
		f->tmp_dir = f->new_dir = f->file = -1;
		if (head < 0) {
			fail(f, (int)-head, "read the message for");
			continue;
		}
		f->loop =
			was_here(span_make(in, (size_t)head), b->d->job.rcpts[f->position].address);
	}
	for (unsigned i = 0; i < b->n; i++) {
		struct maildir_file *f = &b->files[i];
		if (pending(f))
			open_mailbox(b, f);
		if (pending(f))
			write_tmp(b, f, in, out);
	}
}

int maildir_batch_run(void *batch)
{
	/* NOLINTNEXTLINE(misc-redundant-expression): today they are equal */
	_Static_assert(HEADER_SEARCH_MAX <= BODY_CHUNK, "the head fits into the chunk");
	struct maildir_batch *b = batch;
	CLEANUP(freep) char *in = malloc(BODY_CHUNK);
	CLEANUP(freep) char *out = malloc(BODY_CHUNK + 1);
	if (!in || !out) {
		for (unsigned i = 0; i < b->n; i++)
			fail(&b->files[i], ENOMEM, "write to");
		return 0;
	}
	prepare(b, in, out);
	for (unsigned i = 0; i < b->n; i++) {
		if (pending(&b->files[i]) && fsync(b->files[i].file) < 0)
			fail(&b->files[i], errno, "fsync a file in");
	}
	for (unsigned i = 0; i < b->n; i++) {
		if (pending(&b->files[i]))
			link_new(b, &b->files[i]);
	}
	for (unsigned i = 0; i < b->n; i++) {
		struct maildir_file *f = &b->files[i];
		/* Also where it was found: the attempt that linked it may have died before this. */
		if (f->error == 0 && f->new_dir >= 0 && fsync(f->new_dir) < 0)
			fail(f, errno, "fsync new in");
		close_files(b, f);
	}
	return 0;
}
