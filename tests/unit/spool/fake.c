/* See fake.h. A write marks its sectors unsynced; a sync makes durable what was written before it
 * began. Anything that a dead process left running ends without effect. */
#include "fake.h"

#include <stdio.h>
#include <stdlib.h>

#define SECTOR 512u

struct file {
	struct list node;
	char name[64];
	uint64_t size, durable_size;
	uint8_t *cache, *disk;
	uint64_t *written; /* a sector: the write that it was last changed by; 0: durable */
	uint64_t *first;   /* and the first one that is not durable */
	bool durable_entry, unlinked;
	unsigned refs; /* the folder's, handles, operations */
};
struct disk_file {
	struct fake *fake;
	struct file *file;
};
struct fake_op {
	struct list node;
	struct file *file;
	struct disk_op *op;
	uint64_t before; /* writes up to this one become durable */
	uint64_t octets; /* prepare: the size; else 0 */
	bool dead;
};
static uint64_t n_writes; /* over all disks: only the order matters */

uint64_t fake_random(struct fake *f)
{
	f->random ^= f->random << 13;
	f->random ^= f->random >> 7;
	f->random ^= f->random << 17;
	return f->random;
}

static void file_unref(struct file *file)
{
	if (--file->refs)
		return;
	list_remove(&file->node);
	free(file->cache);
	free(file->disk);
	free(file->written);
	free(file->first);
	free(file);
}

static struct file *find(struct fake *f, const char *name)
{
	list_foreach (n, &f->files) {
		struct file *file = CONTAINER_OF(n, struct file, node);
		if (!file->unlinked && strcmp(file->name, name) == 0)
			return file;
	}
	return NULL;
}

static void resize(struct file *file, uint64_t size)
{
	uint64_t sectors = (size + SECTOR - 1) / SECTOR, old = (file->size + SECTOR - 1) / SECTOR;

	if (size <= file->size)
		return;
	file->cache = realloc(file->cache, sectors * SECTOR);
	file->disk = realloc(file->disk, sectors * SECTOR);
	file->written = realloc(file->written, sectors * sizeof(*file->written));
	file->first = realloc(file->first, sectors * sizeof(*file->first));
	assert_true(file->cache && file->disk && file->written && file->first);
	memset(file->cache + old * SECTOR, 0, (sectors - old) * SECTOR);
	memset(file->disk + old * SECTOR, 0, (sectors - old) * SECTOR);
	memset(file->written + old, 0, (sectors - old) * sizeof(*file->written));
	file->size = size;
}

static uint64_t used(struct fake *f)
{
	uint64_t n = 0;

	list_foreach (node, &f->files)
		n += CONTAINER_OF(node, struct file, node)->size;
	return n;
}

static int handle(struct fake *f, struct file *file, struct disk_file **ret)
{
	struct disk_file *h = calloc(1, sizeof(*h));

	assert_non_null(h);
	*h = (struct disk_file){f, file};
	file->refs++;
	*ret = h;
	return 0;
}

static int fake_open(void *disk, const char *name, bool create, struct disk_file **ret_file)
{
	struct fake *f = disk;
	struct file *file = find(f, name);

	if (create && file)
		return -EEXIST;
	if (!create && !file)
		return -ENOENT;
	if (!file) {
		file = calloc(1, sizeof(*file));
		assert_non_null(file);
		snprintf(file->name, sizeof(file->name), "%s", name);
		file->refs = 1;
		list_push_back(&f->files, &file->node);
	}
	return handle(f, file, ret_file);
}

static int fake_fd(struct disk_file *h)
{
	(void)h;
	return -1;
}

static void fake_close(struct disk_file *h)
{
	file_unref(h->file);
	free(h);
}

static int fake_size(struct disk_file *h, uint64_t *ret)
{
	*ret = h->file->size;
	return 0;
}

static int fault(int error, unsigned *before)
{
	if (!error)
		return 0;
	if (*before) {
		--*before;
		return 0;
	}
	return error;
}

static int fake_write(struct disk_file *h, uint64_t offset, const struct iovec *iov, int n)
{
	int r = fault(h->fake->write_error, &h->fake->writes_before);

	if (r < 0)
		return r;
	n_writes++;
	for (int i = 0; i < n; i++) {
		resize(h->file, offset + iov[i].iov_len);
		memcpy(h->file->cache + offset, iov[i].iov_base, iov[i].iov_len);
		for (uint64_t s = offset / SECTOR; s * SECTOR < offset + iov[i].iov_len; s++) {
			if (!h->file->written[s])
				h->file->first[s] = n_writes;
			h->file->written[s] = n_writes;
		}
		offset += iov[i].iov_len;
	}
	return 0;
}

static int fake_read(struct disk_file *h, uint64_t offset, void *ptr, size_t len, size_t *ret_len)
{
	*ret_len = offset >= h->file->size ? 0 : (size_t)MIN((uint64_t)len, h->file->size - offset);
	if (offset < h->fake->bad_to && offset + *ret_len > h->fake->bad_from)
		return -EIO;
	if (*ret_len)
		memcpy(ptr, h->file->cache + offset, *ret_len);
	return 0;
}

static void begin(struct disk_file *h, struct disk_op *op, uint64_t octets)
{
	struct fake_op *o = calloc(1, sizeof(*o));

	assert_non_null(o);
	*o = (struct fake_op){.file = h->file, .op = op, .before = n_writes, .octets = octets};
	h->file->refs++;
	list_push_back(&h->fake->ops, &o->node);
}

static void fake_sync(struct disk_file *h, struct disk_op *op)
{
	begin(h, op, 0);
}

static void fake_prepare(struct disk_file *h, uint64_t octets, bool fast, struct disk_op *op)
{
	(void)fast;
	begin(h, op, octets);
}

static int fake_unlink(void *disk, const char *name)
{
	struct file *file = find(disk, name);

	if (!file)
		return -ENOENT;
	file->unlinked = true;
	file_unref(file);
	return 0;
}

static int fake_sync_folder(void *disk)
{
	struct fake *f = disk;

	list_foreach (n, &f->files)
		CONTAINER_OF(n, struct file, node)->durable_entry = true;
	return 0;
}

static int fake_list(void *disk, void (*each)(void *arg, const char *name), void *arg)
{
	struct fake *f = disk;

	list_foreach (n, &f->files) {
		const struct file *file = CONTAINER_OF(n, struct file, node);
		if (!file->unlinked)
			each(arg, file->name);
	}
	return 0;
}

static int fake_free_octets(void *disk, uint64_t *ret)
{
	struct fake *f = disk;
	uint64_t n = used(f);

	*ret = n < f->room ? f->room - n : 0;
	return 0;
}

static const struct disk_ops fake_ops = {
	.open = fake_open,
	.fd = fake_fd,
	.close = fake_close,
	.size = fake_size,
	.write = fake_write,
	.read = fake_read,
	.sync = fake_sync,
	.prepare = fake_prepare,
	.unlink = fake_unlink,
	.sync_folder = fake_sync_folder,
	.list = fake_list,
	.free_octets = fake_free_octets,
};

static uint64_t fake_clock(void *arg)
{
	return ++((struct fake *)arg)->now;
}

static void fake_octet_source(void *arg, void *ptr, size_t len)
{
	for (size_t i = 0; i < len; i++)
		((uint8_t *)ptr)[i] = (uint8_t)(fake_random(arg) >> 24);
}

void fake_init(struct fake *f, uint64_t room, uint64_t seed)
{
	*f = (struct fake){.room = room, .random = seed * 0x9e3779b97f4a7c15u + 1, .now = 1000};
	f->seam = (struct seam){.ops = &fake_ops,
		.disk = f,
		.clock_arg = f,
		.monotonic_usec = fake_clock,
		.wall_usec = fake_clock,
		.random = fake_octet_source,
		.boot_id = {1}};
	list_init(&f->files);
	list_init(&f->ops);
}

void fake_done(struct fake *f)
{
	fake_settle(f);
	list_foreach_safe (n, tmp, &f->files) {
		struct file *file = CONTAINER_OF(n, struct file, node);
		assert_int_equal(file->refs, 1); /* a handle was not closed */
		file_unref(file);
	}
}

static void make_durable(struct file *file, uint64_t before)
{
	for (uint64_t s = 0; s * SECTOR < file->size; s++) {
		if (!file->written[s] || file->first[s] > before)
			continue;
		/* What came later into the same sector goes along, and is still to be synced. */
		memcpy(file->disk + s * SECTOR, file->cache + s * SECTOR, SECTOR);
		file->first[s] = file->written[s];
		if (file->written[s] <= before)
			file->written[s] = 0;
	}
}

static int carry_out(struct fake *f, struct fake_op *o)
{
	if (o->octets) {
		if (used(f) + o->octets > f->room)
			return -ENOSPC;
		resize(o->file, o->octets);
		o->file->durable_entry = true;
	}
	f->syncs++;
	int r = fault(f->sync_error, &f->syncs_before);
	if (r < 0) {
		/* As Linux does it: the pages count as clean from now on, and are not on the disk.
		 */
		for (uint64_t s = 0; s * SECTOR < o->file->size; s++)
			if (o->file->written[s])
				o->file->written[s] = o->file->first[s] = UINT64_MAX;
		return r;
	}
	make_durable(o->file, o->before);
	return 0;
}

bool fake_step(struct fake *f)
{
	struct list *n = list_pop_front(&f->ops);

	if (!n)
		return false;
	struct fake_op *o = CONTAINER_OF(n, struct fake_op, node);
	int r = o->dead ? -ECANCELED : carry_out(f, o);
	struct disk_op *op = o->op;
	file_unref(o->file);
	free(o);
	op->done(op, r);
	return true;
}

void fake_run(struct fake *f)
{
	while (fake_step(f))
		;
}

void fake_kill(struct fake *f)
{
	list_foreach (n, &f->ops)
		CONTAINER_OF(n, struct fake_op, node)->dead = true;
}

void fake_settle(struct fake *f)
{
	fake_kill(f);
	fake_run(f);
}

static void lose(struct fake *f, struct file *file)
{
	bool entry = file->durable_entry || fake_random(f) % 2;

	for (uint64_t s = 0; s * SECTOR < file->size; s++) {
		if (file->written[s] && fake_random(f) % 2)
			memcpy(file->disk + s * SECTOR, file->cache + s * SECTOR, SECTOR);
		file->written[s] = 0;
	}
	if (file->size)
		memcpy(file->cache, file->disk, file->size);
	file->durable_entry = true;
	if (!entry && !file->unlinked) {
		file->unlinked = true;
		file_unref(file);
	}
}

void fake_power_loss(struct fake *f)
{
	fake_kill(f);
	list_foreach_safe (n, tmp, &f->files)
		lose(f, CONTAINER_OF(n, struct file, node));
	f->seam.boot_id[0]++;
}

uint8_t *fake_octets(struct fake *f, const char *name, uint64_t *ret_size)
{
	struct file *file = find(f, name);

	if (ret_size)
		*ret_size = file ? file->size : 0;
	return file ? file->cache : NULL;
}

void fake_poke(struct fake *f, const char *name, uint64_t offset, const void *ptr, size_t len)
{
	struct file *file = find(f, name);

	if (!file) {
		struct disk_file *h;
		assert_int_equal(fake_open(f, name, true, &h), 0);
		file = h->file;
		fake_close(h);
		file->durable_entry = true;
	}
	resize(file, offset + len);
	memcpy(file->cache + offset, ptr, len);
	memcpy(file->disk + offset, ptr, len);
}

void fake_flip(struct fake *f, const char *name, uint64_t offset)
{
	struct file *file = find(f, name);

	assert_true(file && offset < file->size);
	file->cache[offset] ^= 0x10;
	file->disk[offset] ^= 0x10;
}

unsigned fake_count(struct fake *f)
{
	unsigned n = 0;

	list_foreach (node, &f->files)
		n += !CONTAINER_OF(node, struct file, node)->unlinked;
	return n;
}
