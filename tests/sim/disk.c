/* See disk.h. A file's cache is one array; unsynced writes keep their place and their octets before
 * the write, so that a power loss can undo any subset of them, oldest last. */
#include "disk.h"

#include "base/list.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILES_MAX 4096u
#define SECTOR	  512u

struct write_undo {
	struct list node;
	uint64_t offset;
	size_t len;
	char *before; /* of the same length */
};
struct sim_file {
	char name[40];
	char *octets;
	uint64_t size;
	struct list unsynced; /* oldest first */
	bool exists;
	bool sync_failed; /* the kernel forgot dirty pages: they may never become durable */
};
struct sim_op {
	struct list node;
	struct disk_op *op;
	struct sim_file *file;
	size_t covers; /* writes that were there when the sync began */
	int kind;      /* 0 sync, 1 prepare */
	uint64_t octets;
};
struct sim_disk {
	struct sim_random *random;
	struct sim_file *files[FILES_MAX];
	unsigned n_files;
	struct list ops;
	uint64_t capacity, boot;
	unsigned write_eio, sync_eio;
	bool full;
};
struct sim_handle { /* struct disk_file is opaque: ours is this */
	struct sim_file *file;
	struct sim_disk *disk;
};
struct sim_seam {
	struct seam seam;
	struct sim_disk *disk;
	struct sim_clock *clock;
};

uint64_t sim_random(struct sim_random *r)
{
	/* splitmix64 (public domain algorithm by S. Vigna). */
	uint64_t z = (r->state += UINT64_C(0x9e3779b97f4a7c15));
	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

uint64_t sim_below(struct sim_random *r, uint64_t n)
{
	return n ? sim_random(r) % n : 0;
}

bool sim_chance(struct sim_random *r, unsigned per_mille)
{
	return per_mille && sim_below(r, 1000) < per_mille;
}

struct sim_disk *sim_disk_new(struct sim_random *r, uint64_t capacity)
{
	struct sim_disk *d = calloc(1, sizeof(*d));

	assert(d);
	d->random = r;
	d->capacity = capacity;
	d->boot = 1;
	list_init(&d->ops);
	return d;
}

static void undo_free(struct write_undo *u)
{
	list_remove(&u->node);
	free(u->before);
	free(u);
}

static void forget_unsynced(struct sim_file *f)
{
	while (!list_empty(&f->unsynced))
		undo_free(CONTAINER_OF(f->unsynced.next, struct write_undo, node));
}

void sim_disk_free(struct sim_disk *d)
{
	for (unsigned i = 0; i < d->n_files; i++) {
		forget_unsynced(d->files[i]);
		free(d->files[i]->octets);
		free(d->files[i]);
	}
	assert(list_empty(&d->ops));
	free(d);
}

static struct sim_disk *disk_of(void *disk)
{
	return ((struct sim_seam *)disk)->disk;
}

static uint64_t used(const struct sim_disk *d)
{
	uint64_t sum = 0;
	for (unsigned i = 0; i < d->n_files; i++)
		if (d->files[i]->exists)
			sum += d->files[i]->size;
	return sum;
}

static struct sim_file *find(struct sim_disk *d, const char *name)
{
	for (unsigned i = 0; i < d->n_files; i++)
		if (d->files[i]->exists && strcmp(d->files[i]->name, name) == 0)
			return d->files[i];
	return NULL;
}

static int op_open(void *disk, const char *name, bool create, struct disk_file **ret)
{
	struct sim_disk *d = disk_of(disk);
	struct sim_file *f = find(d, name);

	if (create && f)
		return -EEXIST;
	if (!create && !f)
		return -ENOENT;
	if (!f) {
		assert(d->n_files < FILES_MAX);
		f = calloc(1, sizeof(*f));
		assert(f);
		(void)snprintf(f->name, sizeof(f->name), "%s", name);
		list_init(&f->unsynced);
		f->exists = true;
		d->files[d->n_files++] = f;
	}
	struct sim_handle *h = calloc(1, sizeof(*h));
	assert(h);
	*h = (struct sim_handle){f, d};
	*ret = (struct disk_file *)h;
	return 0;
}

static int op_adopt(void *disk, int fd, struct disk_file **ret)
{
	(void)disk;
	(void)fd;
	(void)ret;
	return -ENOTSUP;
}

static struct sim_handle *handle(struct disk_file *f)
{
	return (struct sim_handle *)f;
}

static int op_fd(struct disk_file *f)
{
	(void)f;
	return -1;
}

static void op_close(struct disk_file *f)
{
	free(handle(f));
}

static int op_size(struct disk_file *f, uint64_t *ret)
{
	*ret = handle(f)->file->size;
	return 0;
}

static void put(struct sim_file *f, uint64_t offset, const void *ptr, size_t len)
{
	struct write_undo *u = calloc(1, sizeof(*u));

	assert(u && offset + len <= f->size);
	*u = (struct write_undo){.offset = offset, .len = len, .before = malloc(len ? len : 1)};
	assert(u->before);
	memcpy(u->before, f->octets + offset, len);
	memcpy(f->octets + offset, ptr, len);
	list_push_back(&f->unsynced, &u->node);
}

static int op_write(struct disk_file *file, uint64_t offset, const struct iovec *iov, int n)
{
	struct sim_handle *h = handle(file);
	size_t total = 0;

	for (int i = 0; i < n; i++)
		total += iov[i].iov_len;
	char *all = malloc(total ? total : 1);
	assert(all);
	for (size_t at = 0, i = 0; i < (size_t)n; at += iov[i++].iov_len)
		memcpy(all + at, iov[i].iov_base, iov[i].iov_len);
	int r = 0;
	if (offset + total > h->file->size)
		r = -ENOSPC; /* segments have their size from the start: nobody writes behind it */
	else if (sim_chance(h->disk->random, h->disk->write_eio)) {
		/* A part may have arrived. */
		put(h->file, offset, all, (size_t)sim_below(h->disk->random, total + 1));
		r = -EIO;
	} else {
		put(h->file, offset, all, total);
	}
	free(all);
	return r;
}

static int op_read(struct disk_file *file, uint64_t offset, void *ptr, size_t len, size_t *ret_len)
{
	struct sim_file *f = handle(file)->file;

	*ret_len = offset >= f->size ? 0 : (size_t)MIN((uint64_t)len, f->size - offset);
	memcpy(ptr, f->octets + offset, *ret_len);
	return 0;
}

static struct sim_op *begin(struct disk_file *file, struct disk_op *op, int kind, uint64_t octets)
{
	struct sim_handle *h = handle(file);
	struct sim_op *o = calloc(1, sizeof(*o));

	assert(o);
	*o = (struct sim_op){.op = op, .file = h->file, .kind = kind, .octets = octets};
	list_foreach (n, &h->file->unsynced)
		o->covers++;
	list_push_back(&h->disk->ops, &o->node);
	return o;
}

static void op_sync(struct disk_file *file, struct disk_op *op)
{
	(void)begin(file, op, 0, 0);
}

static void op_prepare(struct disk_file *file, uint64_t octets, bool fast, struct disk_op *op)
{
	(void)fast;
	(void)begin(file, op, 1, octets);
}

static int op_unlink(void *disk, const char *name)
{
	struct sim_file *f = find(disk_of(disk), name);

	if (!f)
		return -ENOENT;
	f->exists = false;
	return 0;
}

static int op_sync_folder(void *disk)
{
	(void)disk;
	return 0;
}

static int op_list(void *disk, void (*each)(void *arg, const char *name), void *arg)
{
	struct sim_disk *d = disk_of(disk);

	for (unsigned i = 0; i < d->n_files; i++)
		if (d->files[i]->exists)
			each(arg, d->files[i]->name);
	return 0;
}

static int op_free_octets(void *disk, uint64_t *ret)
{
	struct sim_disk *d = disk_of(disk);
	uint64_t u = used(d);

	*ret = d->full || u >= d->capacity ? 0 : d->capacity - u;
	return 0;
}

static const struct disk_ops sim_ops = {.open = op_open,
	.adopt = op_adopt,
	.fd = op_fd,
	.close = op_close,
	.size = op_size,
	.write = op_write,
	.read = op_read,
	.sync = op_sync,
	.prepare = op_prepare,
	.unlink = op_unlink,
	.sync_folder = op_sync_folder,
	.list = op_list,
	.free_octets = op_free_octets};

static uint64_t clock_monotonic(void *arg)
{
	return ((struct sim_seam *)arg)->clock->monotonic;
}

static uint64_t clock_wall(void *arg)
{
	return ((struct sim_seam *)arg)->clock->wall;
}

static void seam_random(void *arg, void *ptr, size_t len)
{
	struct sim_seam *s = arg;
	for (size_t i = 0; i < len; i++)
		((uint8_t *)ptr)[i] = (uint8_t)sim_random(s->disk->random);
}

struct seam *sim_seam_new(struct sim_disk *d, struct sim_clock *clock)
{
	struct sim_seam *s = calloc(1, sizeof(*s));

	assert(s);
	s->disk = d;
	s->clock = clock;
	s->seam = (struct seam){.ops = &sim_ops,
		.disk = s,
		.clock_arg = s,
		.monotonic_usec = clock_monotonic,
		.wall_usec = clock_wall,
		.random = seam_random};
	memcpy(s->seam.boot_id, &d->boot, sizeof(d->boot));
	return &s->seam;
}

void sim_seam_free(struct seam *s)
{
	free(s);
}

/* The oldest `n` unsynced writes are durable now. */
static void make_durable(struct sim_file *f, size_t n)
{
	while (n-- && !list_empty(&f->unsynced))
		undo_free(CONTAINER_OF(f->unsynced.next, struct write_undo, node));
}

/* The kernel's behaviour after a failed fdatasync: what was dirty counts as clean, and may or may
 * not be on the disk. Here it never will be if the power goes: the worst. */
static int finish_sync(struct sim_disk *d, struct sim_op *o)
{
	if (sim_chance(d->random, d->sync_eio)) {
		o->file->sync_failed = true;
		return -EIO;
	}
	if (!o->file->sync_failed)
		make_durable(o->file, o->covers);
	return 0;
}

static int finish_prepare(struct sim_disk *d, struct sim_op *o)
{
	struct sim_file *f = o->file;
	uint64_t more = o->octets > f->size ? o->octets - f->size : 0;

	if (d->full || used(d) + more > d->capacity)
		return -ENOSPC;
	forget_unsynced(f);
	f->octets = realloc(f->octets, o->octets);
	assert(f->octets);
	memset(f->octets, 0, o->octets);
	f->size = o->octets;
	f->sync_failed = false;
	return 0;
}

bool sim_disk_step(struct sim_disk *d)
{
	size_t n = 0;

	list_foreach (it, &d->ops)
		n++;
	if (n == 0)
		return false;
	size_t pick = (size_t)sim_below(d->random, n);
	struct list *chosen = d->ops.next;
	while (pick--)
		chosen = chosen->next;
	struct sim_op *o = CONTAINER_OF(chosen, struct sim_op, node);
	int r = o->kind == 0 ? finish_sync(d, o) : finish_prepare(d, o);
	struct disk_op *op = o->op;
	list_remove(&o->node);
	/* Later syncs of this file cover fewer writes now. */
	list_foreach (it, &d->ops) {
		struct sim_op *other = CONTAINER_OF(it, struct sim_op, node);
		if (o->kind == 0 && r == 0 && other->file == o->file)
			other->covers -= MIN(other->covers, o->covers);
	}
	free(o);
	op->done(op, r);
	return true;
}

/* Undoing happens newest first, so that an older write's octets come back right. */
static void lose(struct sim_disk *d, struct sim_file *f)
{
	while (!list_empty(&f->unsynced)) {
		struct write_undo *u = CONTAINER_OF(f->unsynced.prev, struct write_undo, node);
		uint64_t fate = sim_below(d->random, 3);
		/* Torn: whole sectors of it arrived or did not. */
		for (size_t at = 0; at < u->len;) {
			size_t step = SECTOR - (size_t)((u->offset + at) % SECTOR);
			step = MIN(step, u->len - at);
			bool lost = f->sync_failed || fate == 0 ||
				    (fate == 1 && sim_below(d->random, 2));
			if (lost)
				memcpy(f->octets + u->offset + at, u->before + at, step);
			at += step;
		}
		undo_free(u);
	}
	f->sync_failed = false;
}

void sim_disk_power_loss(struct sim_disk *d)
{
	sim_disk_drop_ops(d);
	for (unsigned i = 0; i < d->n_files; i++)
		lose(d, d->files[i]);
	d->boot++;
}

void sim_disk_drop_ops(struct sim_disk *d)
{
	for (struct list *n; (n = list_pop_front(&d->ops));)
		free(CONTAINER_OF(n, struct sim_op, node));
}

void sim_disk_set_faults(struct sim_disk *d, unsigned write_eio, unsigned sync_eio, bool full)
{
	d->write_eio = write_eio;
	d->sync_eio = sync_eio;
	d->full = full;
}

void sim_disk_flip(struct sim_disk *d)
{
	if (d->n_files == 0)
		return;
	struct sim_file *f = d->files[sim_below(d->random, d->n_files)];
	if (f->size)
		f->octets[sim_below(d->random, f->size)] ^= (char)(1u << sim_below(d->random, 8));
}

uint64_t sim_disk_boot(const struct sim_disk *d)
{
	return d->boot;
}
