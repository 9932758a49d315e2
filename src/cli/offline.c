/* The spool as the next dispatcher would find it: the ledger replayed, segments recovered into a
 * queue core whose actions do nothing. The seam's calls that would change a file are refused, so
 * that looking cannot harm. */
#include "cli/offline.h"

#include "base/clock.h"
#include "cli/cli.h"
#include "fiber/fiber.h"
#include "fiber/offload.h"
#include "queue/queue.h"
#include "spool/ledger.h"
#include "spool/recover.h"
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#define ARENA_MAX (64u << 20)

struct offline {
	struct seam *posix;
	struct seam seam;
	struct disk_ops ops;
	struct store *store;
	struct ledger *ledger;
	struct queue *queue;
	struct arena *arena;
	uint64_t damaged;
	uint64_t rows;
	void (*each)(void *arg, const struct queue_row *row);
	void *arg;
};

static int (*posix_open)(void *disk, const char *name, bool create, struct disk_file **ret_file);

static int read_only_open(void *disk, const char *name, bool create, struct disk_file **ret_file)
{
	return create ? -EROFS : posix_open(disk, name, false, ret_file);
}
static int read_only_write(struct disk_file *f, uint64_t offset, const struct iovec *iov, int n_iov)
{
	(void)f, (void)offset, (void)iov, (void)n_iov;
	return -EROFS;
}
static int read_only_unlink(void *disk, const char *name)
{
	(void)disk, (void)name;
	return -EROFS;
}

/* ---- actions that do nothing ---- */
static void no_ledger(void *arg, uint8_t type, struct span payload)
{
	(void)arg, (void)type, (void)payload;
}
static void no_ledger_sync(void *arg, uint64_t ticket)
{
	(void)arg, (void)ticket;
}
static void no_ask(void *arg, const struct expand_ask *ask)
{
	(void)arg, (void)ask;
}
static void no_deliver(void *arg, const struct job *job, const struct record_ref *commit)
{
	(void)arg, (void)job, (void)commit;
}
static void no_report(void *arg, const struct queue_report *report)
{
	(void)arg, (void)report;
}
static void no_forget(void *arg, uint64_t id, const struct record_ref *commit)
{
	(void)arg, (void)id, (void)commit;
}
static void no_kept(void *arg, uint64_t job)
{
	(void)arg, (void)job;
}
static void no_event(void *arg, const char *event, uint64_t id, struct span rcpt,
	const struct outcome_rcpt *outcome, struct span remote, struct span detail)
{
	(void)arg, (void)event, (void)id, (void)rcpt, (void)outcome, (void)remote, (void)detail;
}
static const struct queue_ops quiet_queue = {.ledger = no_ledger,
	.ledger_sync = no_ledger_sync,
	.expand = no_ask,
	.route = no_ask,
	.deliver = no_deliver,
	.report = no_report,
	.forget = no_forget,
	.outcome_kept = no_kept,
	.event = no_event};

static void no_ready(void *arg, uint16_t slot, struct store_segment *s)
{
	(void)arg, (void)slot, (void)s;
}
static void no_forgotten(void *arg, uint64_t sequence)
{
	(void)arg, (void)sequence;
}
static void no_disk_state(void *arg, bool low, uint64_t free_octets)
{
	(void)arg, (void)low, (void)free_octets;
}
static void say_error(void *arg, const char *name, int error)
{
	(void)arg;
	cli_error("spool/%s cannot be read: %s", name, strerror(-error));
}
static const struct store_ops quiet_store = {.ready = no_ready,
	.forgotten = no_forgotten,
	.disk_state = no_disk_state,
	.error = say_error};

/* ---- reading ---- */
static int on_entry(void *arg, uint8_t type, struct span payload)
{
	struct offline *o = arg;
	int r = queue_replay_entry(o->queue, type, payload);

	if (r != -EBADMSG)
		return r;
	o->damaged++;
	return 0;
}

static int on_commit(
	void *arg, uint64_t id, const struct record_ref *ref, struct span payload, bool damaged)
{
	struct offline *o = arg;
	struct message m;

	arena_reset(o->arena);
	int r = message_decode(id, payload, o->arena, &m);
	if (r == 0)
		r = queue_replay_commit(o->queue, &m, ref, damaged);
	if (r == -EBADMSG) {
		o->damaged++;
		r = 0;
	}
	return r < 0 ? r : 0;
}

static void on_damage(void *arg, const struct store_segment *s, uint64_t offset, uint64_t octets)
{
	(void)arg;
	cli_error("spool/%s: %llu octets at %llu are damaged", s->name, (unsigned long long)octets,
		(unsigned long long)offset);
}

static int read_spool(struct offline *o)
{
	static const struct recover_ops ops = {.commit = on_commit, .damage = on_damage};
	uint32_t cursor = 0;
	uint16_t slot;
	int r = ledger_replay(o->ledger, on_entry, o, &o->damaged);

	while (r >= 0 && store_next_slot(o->store, &cursor, &slot)) {
		struct store_segment *s = NULL;
		while (slot != SLOT_LEDGER && r >= 0 && (s = store_next(o->store, slot, s)))
			r = spool_recover_segment(&o->seam, o->store, s, 0, &ops, o);
	}
	return r < 0 ? r : queue_start(o->queue, clock_monotonic_usec(), clock_wall_usec(), true);
}

static void on_row(void *arg, const struct queue_row *row)
{
	struct offline *o = arg;

	o->each(o->arg, row);
	o->rows++;
}

static int open_spool(struct offline *o, const struct config *c, int folder)
{
	const struct store_limits limits = {c->spool.segment_size, c->spool.reserve};
	struct queue_settings settings = {.n_retry = 1,
		.retry = {300 * USEC_PER_SEC},
		.expire = c->queue.expire,
		.bounce_expire = c->queue.bounce_expire,
		.concurrency = 1};
	int r = loop_init();

	if (r == 0)
		r = offload_init(1);
	if (r == 0)
		r = seam_posix_new(folder, &o->posix);
	if (r < 0)
		return r;
	o->ops = *o->posix->ops;
	posix_open = o->ops.open;
	o->ops.open = read_only_open;
	o->ops.write = read_only_write;
	o->ops.unlink = read_only_unlink;
	o->seam = *o->posix;
	o->seam.ops = &o->ops;
	r = store_open(&o->seam, &limits, &quiet_store, o, &o->store);
	if (r == 0)
		r = ledger_new(&o->seam, o->store, &o->ledger);
	if (r == 0)
		r = queue_new(&quiet_queue, o, &settings, &o->queue);
	o->arena = arena_new(ARENA_MAX);
	return r == 0 && !o->arena ? -ENOMEM : r;
}

int offline_list(const struct config *c, const struct admin_request *r,
	void (*each)(void *arg, const struct queue_row *row), void *arg, uint64_t *ret_count)
{
	struct offline o = {.each = each, .arg = arg};
	struct buf path = BUF_INIT(8192);
	uint64_t cursor = 0;

	buf_printf(&path, "%s/spool", c->data);
	buf_append(&path, "", 1);
	CLEANUP(fd_closep)
	int folder = path.error ? -1 : open(path.ptr, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int e = folder < 0 ? -ENOENT : open_spool(&o, c, folder);
	buf_done(&path);
	if (e == 0)
		e = read_spool(&o);
	while (e >= 0 && queue_list(o.queue, r, &cursor, 1000, on_row, &o))
		;
	if (o.damaged)
		cli_error(
			"some of the ledger or the spool is damaged; the server's log says where");
	/* The process ends next: what is open ends with it, the loop too. */
	queue_free(o.queue);
	ledger_free(o.ledger);
	store_free(o.store);
	seam_posix_free(o.posix);
	arena_free(o.arena);
	if (e < 0)
		return e;
	*ret_count = o.rows;
	return 0;
}
