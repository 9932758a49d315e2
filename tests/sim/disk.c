/* See disk.h. A file's cache is one array and its platter another; unsynced writes stand between
 * them in order, each with its octets. A sync moves those that were there when it began; a failed
 * one drops them from the queue (the kernel marks the pages clean and forgets), so that only a
 * reader of the cache still sees them and a power loss takes them. */
#include "disk.h"

#include "base/list.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECTOR 512u
#define PAGE   4096u

struct pending_write {
	struct list node;
	uint64_t offset, number;
	size_t len;
	char octets[];
};
struct sim_file {
	struct list node; /* disk.files */
	uint64_t id;
	char name[40];
	char *cache, *platter;
	uint64_t size, next_number;
	struct list unsynced; /* struct pending_write, oldest first */
	bool linked, entry_durable;
	bool diverged; /* the cache has octets that no sync will ever write */
	unsigned refs; /* handles and operations */
	unsigned use;  /* how often its head was written */
};
enum op_kind { OP_SYNC, OP_PREPARE };
struct sim_op {
	struct list node;
	struct disk_op *op;
	struct sim_file *file;
	struct sim_seam *owner;
	enum op_kind kind;
	uint64_t covers; /* writes numbered below are on the platter when a sync succeeds */
	uint64_t octets;
};
struct sim_disk {
	struct sim_random *random;
	struct list files, ops;
	size_t n_ops;
	uint64_t capacity, used, boot, last_id, stale_writes;
	unsigned write_eio, sync_eio;
	bool full;
};
struct sim_seam {
	struct seam seam;
	struct sim_disk *disk;
	struct sim_clock *clock;
	unsigned fuse;
	bool dead, unreadable;
};
struct sim_handle { /* struct disk_file is opaque: ours is this */
	struct sim_file *file;
	struct sim_seam *owner;
	unsigned use; /* of the file, that it was opened for */
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

static void *ram(void *p)
{
	if (!p)
		abort();
	return p;
}

/* ---- files ---- */

struct sim_disk *sim_disk_new(struct sim_random *r, uint64_t capacity)
{
	struct sim_disk *d = ram(calloc(1, sizeof(*d)));

	d->random = r;
	d->capacity = capacity;
	d->boot = 1;
	list_init(&d->ops);
	list_init(&d->files);
	return d;
}

static struct sim_file *file_new(struct sim_disk *d, const char *name)
{
	struct sim_file *f = ram(calloc(1, sizeof(*f)));

	(void)snprintf(f->name, sizeof(f->name), "%s", name);
	f->id = ++d->last_id;
	list_init(&f->unsynced);
	list_push_back(&d->files, &f->node);
	return f;
}

static void forget_unsynced(struct sim_file *f)
{
	for (struct list *n; (n = list_pop_front(&f->unsynced));)
		free(CONTAINER_OF(n, struct pending_write, node));
}

static void file_free(struct sim_disk *d, struct sim_file *f)
{
	d->used -= f->linked ? f->size : 0;
	list_remove(&f->node);
	forget_unsynced(f);
	free(f->cache);
	free(f->platter);
	free(f);
}

static void file_unref(struct sim_disk *d, struct sim_file *f, unsigned n)
{
	f->refs -= n;
	if (f->refs == 0 && !f->linked && !f->entry_durable)
		file_free(d, f);
}

void sim_disk_free(struct sim_disk *d)
{
	assert(list_empty(&d->ops));
	list_foreach_safe (n, tmp, &d->files)
		file_free(d, CONTAINER_OF(n, struct sim_file, node));
	free(d);
}

static struct sim_file *find(const struct sim_disk *d, const char *name)
{
	list_foreach (n, &d->files) {
		struct sim_file *f = CONTAINER_OF(n, struct sim_file, node);
		if (f->linked && strcmp(f->name, name) == 0)
			return f;
	}
	return NULL;
}

/* All zero, on the platter too. */
static void file_zero(struct sim_disk *d, struct sim_file *f, uint64_t size)
{
	forget_unsynced(f);
	free(f->cache);
	free(f->platter);
	f->cache = ram(calloc(1, size ? size : 1));
	f->platter = ram(calloc(1, size ? size : 1));
	if (f->linked)
		d->used = d->used - f->size + size;
	f->size = size;
	f->diverged = false;
}

/* Only what has a name counts as used: the room of an unlinked file is free at once. */
static void file_link(struct sim_disk *d, struct sim_file *f, bool linked)
{
	if (f->linked == linked)
		return;
	f->linked = linked;
	d->used = linked ? d->used + f->size : d->used - f->size;
}

static void entries_durable(struct sim_disk *d)
{
	list_foreach_safe (n, tmp, &d->files) {
		struct sim_file *f = CONTAINER_OF(n, struct sim_file, node);
		f->entry_durable = f->linked;
		file_unref(d, f, 0);
	}
}

/* ---- the process at the seam ---- */

static struct sim_seam *seam_of(void *disk)
{
	return disk;
}

static struct sim_handle *handle(struct disk_file *f)
{
	return (struct sim_handle *)f;
}

static bool touch(struct sim_seam *s)
{
	if (!s->dead && s->fuse && --s->fuse == 0)
		s->dead = true;
	return !s->dead;
}

bool sim_seam_touch(struct seam *s)
{
	return touch(s->disk);
}

void sim_seam_unreadable(struct seam *s, bool on)
{
	seam_of(s->disk)->unreadable = on;
}

void sim_seam_fuse(struct seam *s, unsigned calls)
{
	seam_of(s->disk)->fuse = calls;
}

void sim_seam_kill(struct seam *s)
{
	seam_of(s->disk)->dead = true;
}

bool sim_seam_is_dead(const struct seam *s)
{
	return seam_of(s->disk)->dead;
}

static struct disk_file *handle_new(struct sim_seam *s, struct sim_file *f)
{
	struct sim_handle *h = ram(malloc(sizeof(*h)));

	*h = (struct sim_handle){f, s, f->use};
	f->refs++;
	return (struct disk_file *)h;
}

struct disk_file *sim_disk_share(struct disk_file *f, struct seam *other)
{
	return handle_new(seam_of(other->disk), handle(f)->file);
}

uint64_t sim_disk_stale_writes(const struct sim_disk *d)
{
	return d->stale_writes;
}

uint64_t sim_disk_file_id(struct disk_file *f)
{
	return handle(f)->file->id;
}

/* ---- struct disk_ops ---- */

static int op_open(void *disk, const char *name, bool create, struct disk_file **ret)
{
	struct sim_seam *s = seam_of(disk);
	struct sim_disk *d = s->disk;
	struct sim_file *f = find(d, name);

	if (create && f)
		return -EEXIST;
	if (!create && !f)
		return -ENOENT;
	if (create && !touch(s))
		return -EIO;
	if (create) {
		/* A name that was given up and is still on the platter is overwritten there. */
		list_foreach_safe (n, tmp, &d->files) {
			struct sim_file *old = CONTAINER_OF(n, struct sim_file, node);
			if (old->linked || strcmp(old->name, name) != 0)
				continue;
			old->entry_durable = false;
			file_unref(d, old, 0);
		}
		f = file_new(d, name);
		file_link(d, f, true);
	}
	*ret = handle_new(s, f);
	return 0;
}

static int op_adopt(void *disk, int fd, struct disk_file **ret)
{
	(void)disk;
	(void)fd;
	(void)ret;
	return -ENOTSUP;
}

static int op_fd(struct disk_file *f)
{
	(void)f;
	return -1;
}

static void op_close(struct disk_file *f)
{
	struct sim_handle *h = handle(f);

	file_unref(h->owner->disk, h->file, 1);
	free(h);
}

static int op_size(struct disk_file *f, uint64_t *ret)
{
	*ret = handle(f)->file->size;
	return 0;
}

static void put(struct sim_file *f, uint64_t offset, const struct iovec *iov, size_t len)
{
	struct pending_write *w = ram(malloc(sizeof(*w) + len));
	size_t at = 0;

	if (len == 0) {
		free(w);
		return;
	}
	*w = (struct pending_write){.offset = offset, .number = f->next_number++, .len = len};
	for (size_t i = 0; at < len; i++) {
		size_t n = MIN(iov[i].iov_len, len - at);
		if (n)
			memcpy(w->octets + at, iov[i].iov_base, n);
		at += n;
	}
	memcpy(f->cache + offset, w->octets, len);
	list_push_back(&f->unsynced, &w->node);
}

static int op_write(struct disk_file *file, uint64_t offset, const struct iovec *iov, int n)
{
	struct sim_handle *h = handle(file);
	struct sim_disk *d = h->owner->disk;
	size_t total = 0;
	bool was_dead = h->owner->dead;

	for (int i = 0; i < n; i++)
		total += iov[i].iov_len;
	if (offset > h->file->size || total > h->file->size - offset)
		return -ENOSPC; /* segments have their size from the start */
	if (!touch(h->owner)) {
		/* Killed in this very call: some pages of it may have been copied. */
		if (!was_dead)
			put(h->file, offset, iov, (size_t)sim_below(d->random, total + 1));
		return 0;
	}
	if (offset == 0)
		h->use = ++h->file->use;
	else if (h->use != h->file->use)
		d->stale_writes++;
	if (sim_chance(d->random, d->write_eio)) {
		put(h->file, offset, iov, (size_t)sim_below(d->random, total + 1));
		return -EIO;
	}
	put(h->file, offset, iov, total);
	return 0;
}

static int op_read(struct disk_file *file, uint64_t offset, void *ptr, size_t len, size_t *ret_len)
{
	struct sim_file *f = handle(file)->file;

	if (handle(file)->owner->unreadable)
		return -EIO;
	*ret_len = offset >= f->size ? 0 : (size_t)MIN((uint64_t)len, f->size - offset);
	if (*ret_len)
		memcpy(ptr, f->cache + offset, *ret_len);
	return 0;
}

static void begin(struct disk_file *file, struct disk_op *op, enum op_kind kind, uint64_t octets)
{
	struct sim_handle *h = handle(file);
	struct sim_op *o = ram(malloc(sizeof(*o)));

	(void)touch(h->owner);
	*o = (struct sim_op){.op = op,
		.file = h->file,
		.owner = h->owner,
		.kind = kind,
		.covers = h->file->next_number,
		.octets = octets};
	h->file->refs++;
	h->owner->disk->n_ops++;
	list_push_back(&h->owner->disk->ops, &o->node);
}

static void op_sync(struct disk_file *file, struct disk_op *op)
{
	begin(file, op, OP_SYNC, 0);
}

static void op_prepare(struct disk_file *file, uint64_t octets, bool fast, struct disk_op *op)
{
	(void)fast;
	begin(file, op, OP_PREPARE, octets);
}

static int op_unlink(void *disk, const char *name)
{
	struct sim_seam *s = seam_of(disk);
	struct sim_file *f = find(s->disk, name);

	if (!f)
		return -ENOENT;
	if (!touch(s))
		return 0;
	file_link(s->disk, f, false);
	file_unref(s->disk, f, 0);
	return 0;
}

static int op_sync_folder(void *disk)
{
	if (touch(seam_of(disk)))
		entries_durable(seam_of(disk)->disk);
	return 0;
}

static int op_list(void *disk, void (*each)(void *arg, const char *name), void *arg)
{
	list_foreach (n, &seam_of(disk)->disk->files) {
		const struct sim_file *f = CONTAINER_OF(n, struct sim_file, node);
		if (f->linked)
			each(arg, f->name);
	}
	return 0;
}

static int op_free_octets(void *disk, uint64_t *ret)
{
	const struct sim_disk *d = seam_of(disk)->disk;

	*ret = d->full || d->used >= d->capacity ? 0 : d->capacity - d->used;
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
	return seam_of(arg)->clock->monotonic;
}

static uint64_t clock_wall(void *arg)
{
	return seam_of(arg)->clock->wall;
}

static void seam_random(void *arg, void *ptr, size_t len)
{
	for (size_t i = 0; i < len; i++)
		((uint8_t *)ptr)[i] = (uint8_t)sim_random(seam_of(arg)->disk->random);
}

struct seam *sim_seam_new(struct sim_disk *d, struct sim_clock *clock)
{
	struct sim_seam *s = ram(calloc(1, sizeof(*s)));

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

/* ---- operations that end ---- */

static void op_take(struct sim_disk *d, struct sim_op *o)
{
	list_remove(&o->node);
	d->n_ops--;
}

static void to_platter(struct sim_file *f, const struct pending_write *w)
{
	memcpy(f->platter + w->offset, w->octets, w->len);
}

static void sync_succeeds(struct sim_op *o)
{
	while (!list_empty(&o->file->unsynced)) {
		struct list *n = o->file->unsynced.next;
		struct pending_write *w = CONTAINER_OF(n, struct pending_write, node);
		if (w->number >= o->covers)
			break;
		to_platter(o->file, w);
		list_remove(n);
		free(w);
	}
}

/* What was dirty counts as clean now; some of it may have reached the platter. */
static void sync_fails(struct sim_disk *d, struct sim_op *o)
{
	unsigned kept = sim_chance(d->random, 500) ? 0 : 500;

	while (!list_empty(&o->file->unsynced)) {
		struct list *n = o->file->unsynced.next;
		struct pending_write *w = CONTAINER_OF(n, struct pending_write, node);
		if (w->number >= o->covers)
			break;
		if (sim_chance(d->random, kept))
			to_platter(o->file, w);
		else
			o->file->diverged = true;
		list_remove(n);
		free(w);
	}
}

static int finish(struct sim_disk *d, struct sim_op *o)
{
	struct sim_file *f = o->file;

	if (o->kind == OP_PREPARE) {
		uint64_t more = o->octets > f->size ? o->octets - f->size : 0;
		if (d->full || d->used + more > d->capacity)
			return -ENOSPC;
		file_zero(d, f, o->octets);
		entries_durable(d);
		return 0;
	}
	if (sim_chance(d->random, d->sync_eio)) {
		sync_fails(d, o);
		return -EIO;
	}
	sync_succeeds(o);
	return 0;
}

static void op_end(struct sim_disk *d, struct sim_op *o, int result)
{
	struct disk_op *op = o->op;

	file_unref(d, o->file, 1);
	free(o);
	op->done(op, result);
}

bool sim_disk_step(struct sim_disk *d)
{
	struct list *chosen = d->ops.next;

	if (d->n_ops == 0)
		return false;
	for (uint64_t pick = sim_below(d->random, d->n_ops); pick > 0; pick--)
		chosen = chosen->next;
	struct sim_op *o = CONTAINER_OF(chosen, struct sim_op, node);
	op_take(d, o);
	op_end(d, o, finish(d, o));
	return true;
}

size_t sim_disk_running(const struct sim_disk *d)
{
	return d->n_ops;
}

/* A process died while it was made: part of it is there. */
static void prepare_dropped(struct sim_disk *d, struct sim_op *o)
{
	uint64_t size = sim_below(d->random, o->octets / PAGE + 1) * PAGE;

	if (sim_chance(d->random, 500) && o->file->size == 0 && d->used + size <= d->capacity)
		file_zero(d, o->file, size);
}

void sim_seam_free(struct seam *seam)
{
	struct sim_seam *s = seam_of(seam->disk);
	struct sim_disk *d = s->disk;
	struct list mine;

	list_init(&mine);
	list_foreach_safe (n, tmp, &d->ops) {
		struct sim_op *o = CONTAINER_OF(n, struct sim_op, node);
		if (o->owner != s)
			continue;
		op_take(d, o);
		list_push_back(&mine, n);
	}
	for (struct list *n; (n = list_pop_front(&mine));) {
		struct sim_op *o = CONTAINER_OF(n, struct sim_op, node);
		if (o->kind == OP_PREPARE)
			prepare_dropped(d, o);
		else if (sim_chance(d->random, 500))
			sync_succeeds(o);
		op_end(d, o, -ECANCELED);
	}
	free(s);
}

/* ---- faults ---- */

/* Oldest first, so that of two that reached the platter the younger one stands. */
static void meet_fate(struct sim_disk *d, struct sim_file *f)
{
	bool dirty = f->diverged || !list_empty(&f->unsynced);

	for (struct list *n; (n = list_pop_front(&f->unsynced));) {
		struct pending_write *w = CONTAINER_OF(n, struct pending_write, node);
		uint64_t fate = sim_below(d->random, 3);
		/* Torn: whole sectors of it arrived or did not. */
		for (size_t at = 0, step; at < w->len; at += step) {
			step = SECTOR - (size_t)((w->offset + at) % SECTOR);
			step = MIN(step, w->len - at);
			if (fate == 1 || (fate == 2 && sim_below(d->random, 2)))
				memcpy(f->platter + w->offset + at, w->octets + at, step);
		}
		free(w);
	}
	if (dirty)
		memcpy(f->cache, f->platter, f->size);
	f->diverged = false;
}

void sim_disk_power_loss(struct sim_disk *d)
{
	assert(d->n_ops == 0);
	list_foreach_safe (n, tmp, &d->files) {
		struct sim_file *f = CONTAINER_OF(n, struct sim_file, node);
		meet_fate(d, f);
		if (f->linked != f->entry_durable && sim_below(d->random, 2))
			file_link(d, f, f->entry_durable);
		f->entry_durable = f->linked;
		file_unref(d, f, 0);
	}
	d->boot++;
}

static struct sim_file *file_copy(struct sim_disk *to, const struct sim_file *from)
{
	struct sim_file *f = file_new(to, from->name);

	file_zero(to, f, from->size);
	if (from->size) {
		memcpy(f->cache, from->cache, from->size);
		memcpy(f->platter, from->platter, from->size);
	}
	list_foreach (n, &from->unsynced) {
		const struct pending_write *w = CONTAINER_OF(n, struct pending_write, node);
		struct pending_write *c = ram(malloc(sizeof(*c) + w->len));
		memcpy(c, w, sizeof(*c) + w->len);
		list_push_back(&f->unsynced, &c->node);
	}
	f->next_number = from->next_number;
	file_link(to, f, from->linked);
	f->entry_durable = from->entry_durable;
	f->diverged = from->diverged;
	return f;
}

struct sim_disk *sim_disk_copy(const struct sim_disk *d, struct sim_random *r, bool power_loss)
{
	struct sim_disk *c = sim_disk_new(r, d->capacity);

	c->boot = d->boot;
	list_foreach (n, &d->files) {
		const struct sim_file *f = CONTAINER_OF(n, struct sim_file, node);
		if (f->linked || f->entry_durable)
			(void)file_copy(c, f);
	}
	if (power_loss)
		sim_disk_power_loss(c);
	return c;
}

void sim_disk_set_faults(struct sim_disk *d, unsigned write_eio, unsigned sync_eio, bool full)
{
	d->write_eio = write_eio;
	d->sync_eio = sync_eio;
	d->full = full;
}

bool sim_disk_flip(struct sim_disk *d, struct sim_flip *ret)
{
	struct sim_file *chosen = NULL;
	uint64_t n_seen = 0;

	list_foreach (n, &d->files) {
		struct sim_file *f = CONTAINER_OF(n, struct sim_file, node);
		if (f->linked && f->size && sim_below(d->random, ++n_seen) == 0)
			chosen = f;
	}
	if (!chosen)
		return false;
	/* Most of a segment is empty: look for an octet that is not. */
	uint64_t offset = sim_below(d->random, chosen->size), looked = 0;
	for (; looked < chosen->size && !chosen->platter[offset]; looked++)
		offset = (offset + 1) % chosen->size;
	if (looked == chosen->size)
		return false;
	char bit = (char)(1u << sim_below(d->random, 8));
	chosen->platter[offset] = (char)(chosen->platter[offset] ^ bit);
	chosen->cache[offset] = (char)(chosen->cache[offset] ^ bit);
	*ret = (struct sim_flip){chosen->id, offset};
	return true;
}
