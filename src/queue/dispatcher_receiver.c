/* Receivers: segments go to them, notices of durable commits come back.
 *
 * A receiver is an untrusted peer. It is heard only about segments of its own slot; what a notice
 * names is read from the file and believed only as far as it verifies. A segment that was given
 * stays with it until it says SEALED or RETIRED, or until it is gone: then the file is synced,
 * read once more from where notices ended (its last commits may have got their 250 with the notice
 * unsent), and released. The same is done with what a receiver holds that outlived an earlier
 * dispatcher, as soon as it speaks to us.
 *
 * Notices that come before the queue has started are held in order and taken up then; nothing of
 * them is lost meanwhile, because no segment is recycled before the start. Once it has started, a
 * commit for which there is no memory ends this process: its next life finds it. */
#include "queue/dispatcher_internal.h"

#include "base/log.h"
#include "base/stats.h"
#include "queue/reclaim.h"
#include <stdlib.h>
#include <string.h>

static uint16_t slot_of(const struct peer *p)
{
	return (uint16_t)(p->index + 1);
}

/* ---- commits ---- */

static void refuse_notice(
	struct dispatcher *d, uint16_t slot, const struct commit_notice *n, int error)
{
	struct store_segment *s = store_find(d->store, n->segment);
	struct log_line *l = log_begin(LOG_LEVEL_ERROR, "spool-damaged");

	log_id(l, "id", n->id);
	log_str(l, "file", s ? s->name : NULL);
	log_u64(l, "segment", n->segment);
	log_u64(l, "offset", n->offset);
	log_u64(l, "slot", slot);
	log_errno(l, error);
	log_str(l, "action", "the commit is not believed; its segment is kept");
	log_end(l);
	STATS_ADD(spool_errors_total, 1);
	if (s && s->head.slot == slot)
		s->damaged = true;
}

void dispatcher_take(struct dispatcher *d, uint16_t slot, const struct commit_notice *n)
{
	const struct record_ref ref = {n->segment, n->offset, n->length};
	struct loaded *l = NULL;

	int r = message_check_commit(d, &ref, slot);
	/* A rescan found it before its notice came, and it is done by now. */
	if (r == -ENOENT && queue_knows(d->queue, n->id))
		return;
	if (r == 0)
		r = message_load(d, n->id, &ref, &l);
	if (r == 0)
		r = recover_check_commit(d->store, store_find(d->store, ref.segment), &l->m);
	if (r == 0)
		r = message_check_pieces(d, l, slot);
	if (r == 0) {
		dispatcher_event(d);
		d->about_message = &l->m;
		r = queue_committed(d->queue, &l->m, &ref);
		d->about_message = NULL;
	}
	if (r == 1)
		r = holds_take(&d->holds, &l->m, &ref);
	/* Its 250 was given: what cannot be read now is not refused but found again by recovery,
	 * which knows what to do about a bad disk. Later notices would otherwise bury it. */
	if (r == -ENOMEM || r == -EIO) {
		log_text(LOG_LEVEL_ERROR, r == -EIO ? "spool-unreadable" : "out-of-memory",
			"starting again from the spool");
		log_flush();
		abort();
	}
	if (r >= 0)
		store_known(d->store, &ref);
	else
		refuse_notice(d, slot, n, r);
}

static bool notices_full(const struct dispatcher *d)
{
	return d->notices.len >= NOTICES_HELD_MAX / 2;
}

static void hold_notice(struct dispatcher *d, uint16_t slot, const struct commit_notice *n)
{
	bool was_full = notices_full(d);

	wire_put_u16(&d->notices, slot);
	commit_notice_encode(n, &d->notices);
	if (d->notices.error) {
		log_text(LOG_LEVEL_ERROR, "notices-lost", "starting again from the spool");
		log_flush();
		abort();
	}
	if (!was_full && notices_full(d))
		receivers_accepting(d);
}

void dispatcher_take_held(struct dispatcher *d)
{
	struct wire w = wire_reader(buf_span(&d->notices));
	struct commit_notice n;

	while (w.rest.len > 0) {
		uint16_t slot = wire_get_u16(&w);
		if (commit_notice_next(&w, &n))
			dispatcher_take(d, slot, &n);
	}
	bool was_full = notices_full(d);
	buf_done(&d->notices);
	if (was_full)
		receivers_accepting(d);
}

static void notice(struct dispatcher *d, uint16_t slot, const struct commit_notice *n)
{
	if (d->started)
		dispatcher_take(d, slot, n);
	else
		hold_notice(d, slot, n);
}

static int on_committed(struct peer *p, struct span payload)
{
	struct wire w = wire_reader(payload);
	struct commit_notice n;

	while (commit_notice_next(&w, &n))
		notice(p->d, slot_of(p), &n);
	return w.error;
}

/* ---- segments out ---- */

static int send_give(struct dispatcher *d, struct peer *p, const struct store_segment *s)
{
	struct segment_give g = {
		.sequence = s->head.sequence,
		.size = s->head.size,
		.slot = s->head.slot,
		.created_wall_usec = s->head.created_wall_usec,
	};
	struct buf b = BUF_INIT(1024);
	CLEANUP(fd_closep) int fd = -1;

	memcpy(g.generation, s->head.generation.octets, sizeof(g.generation));
	memcpy(g.boot_id, s->head.boot_id, sizeof(g.boot_id));
	segment_give_encode(&g, &b);
	int r = b.error ? b.error : store_open_for_write(d->store, s->head.sequence, &fd);
	if (r == 0)
		r = channel_send(p->channel, FRAME_SEGMENT_GIVE, buf_span(&b), &fd, 1);
	buf_done(&b);
	return r;
}

void receiver_give(struct dispatcher *d, uint16_t slot, struct store_segment *s)
{
	struct peer *p = dispatcher_peer(d, ROLE_RECEIVER, slot - 1u);
	/* A wish of its predecessor is not its own: it has no place for what it did not ask for. */
	int r = p && p->wants && p->n_given < GIVEN_MAX ? send_give(d, p, s) : -EPIPE;

	if (r == 0) {
		p->given[p->n_given++] = s->head.sequence;
		p->wants = false;
		return;
	}
	if (p && p->wants)
		log_text(LOG_LEVEL_WARN, "segment-not-given", "receiver[%u]: %s", p->index,
			strerror(-r));
	/* Empty: it comes back as a spare. */
	store_release(d->store, s->head.sequence);
}

static bool given_remove(struct peer *p, uint64_t sequence)
{
	for (unsigned i = 0; i < p->n_given; i++) {
		if (p->given[i] != sequence)
			continue;
		p->given[i] = p->given[--p->n_given];
		return true;
	}
	return false;
}

/* ---- segments back ---- */

static void on_found(void *arg, uint16_t slot, uint64_t id, const struct record_ref *ref)
{
	const struct commit_notice n = {id, ref->segment, ref->offset, ref->length};

	notice(arg, slot, &n);
}

static void on_damage(void *arg, const struct store_segment *s, uint64_t offset, uint64_t octets)
{
	(void)arg;
	dispatcher_log_damage(s->name, offset, octets, "octets that should be a record");
}

static void on_failed(void *arg, const struct store_segment *s, int error)
{
	struct log_line *l = log_begin(LOG_LEVEL_ERROR, "spool-damaged");

	(void)arg;
	log_str(l, "file", s->name);
	log_errno(l, error);
	log_str(l, "action", "its last commits may be incomplete; kept for inspection");
	log_end(l);
	STATS_ADD(spool_errors_total, 1);
}

static bool is_given(void *arg, uint64_t sequence)
{
	const struct dispatcher *d = arg;

	list_foreach (n, &d->peers) {
		const struct peer *p = CONTAINER_OF(n, struct peer, node);
		for (unsigned i = 0; i < p->n_given; i++)
			if (p->given[i] == sequence)
				return true;
	}
	return false;
}

static bool has_started(void *arg)
{
	return ((const struct dispatcher *)arg)->started;
}

/* What is open in this slot and given to nobody alive: held by a receiver that is gone, or by one
 * that outlived an earlier dispatcher and has since turned to us (receiver_frame). */
static void reclaim(struct dispatcher *d, uint16_t slot)
{
	static const struct reclaim_ops ops = {
		.is_given = is_given,
		.started = has_started,
		.found = on_found,
		.damage = on_damage,
		.failed = on_failed,
	};

	reclaim_slot(d->seam, d->store, slot, &ops, d);
}

static int on_segment_back(struct peer *p, struct frame *f)
{
	struct dispatcher *d = p->d;
	struct wire w = wire_reader(f->payload);
	uint64_t sequence = wire_get_u64(&w);
	struct store_segment *s = store_find(d->store, sequence);

	if (w.error)
		return w.error;
	/* Not ours: of an earlier dispatcher, and reclaimed already. */
	if (!s || !given_remove(p, sequence))
		return 0;
	if (f->type == FRAME_SEGMENT_RETIRED) {
		int error = -(int)(wire_get_u32(&w) & INT16_MAX);
		struct log_line *l =
			log_begin(error ? LOG_LEVEL_ERROR : LOG_LEVEL_INFO, "segment-retired");
		log_str(l, "file", s->name);
		log_u64(l, "receiver", p->index);
		if (error)
			log_errno(l, error);
		log_end(l);
	}
	/* All its commits have been noticed before. */
	store_release(d->store, sequence);
	return w.error;
}

/* ---- ETRN ---- */

/* Anybody may ask: each walks over the queue, so a domain is tried again only after a while, and
 * only so many domains in it. */
#define ETRN_AGAIN_USEC (10 * USEC_PER_SEC)

static bool etrn_is_due(struct dispatcher *d, struct span domain)
{
	uint64_t now = loop_now_usec();
	struct etrn_slot *free_slot = NULL;

	for (size_t i = 0; i < ARRAY_LEN(d->etrn); i++) {
		struct etrn_slot *s = &d->etrn[i];
		bool old = s->at_usec == 0 || now - s->at_usec >= ETRN_AGAIN_USEC;
		if (!old && span_equal_nocase(span_make(s->domain, s->len), domain))
			return false;
		if (old)
			free_slot = s;
	}
	if (!free_slot || domain.len > sizeof(free_slot->domain))
		return false;
	free_slot->at_usec = now;
	free_slot->len = domain.len;
	memcpy(free_slot->domain, domain.ptr, domain.len);
	return true;
}

static int on_etrn(struct peer *p, struct span payload)
{
	struct dispatcher *d = p->d;
	struct wire w = wire_reader(payload);
	struct span node = wire_get_span(&w);
	struct etrn_wish wish;

	if (w.error)
		return w.error;
	if (!d->started || !config_etrn(role_config(d->process), node, &wish) ||
		!etrn_is_due(d, node))
		return 0;
	struct admin_request r = {
		.verb = ADMIN_QUEUE_RETRY, .domain = wish.domain, .below = wish.below};
	dispatcher_event(d);
	uint64_t n = queue_command(d->queue, &r);
	struct log_line *l = log_begin(LOG_LEVEL_INFO, "etrn");
	log_span(l, "domain", node);
	log_u64(l, "messages", n);
	log_end(l);
	return 0;
}

int receiver_frame(struct peer *p, struct frame *f)
{
	/* Who speaks to us has let go of what an earlier dispatcher gave: nothing is appended under
	 * a lease that has ended (session/intake.c). */
	if (!p->spoke) {
		p->spoke = true;
		reclaim(p->d, slot_of(p));
	}
	switch (f->type) {
	case FRAME_SEGMENT_WANT:
		p->wants = true;
		store_want(p->d->store, slot_of(p));
		return 0;
	case FRAME_COMMITTED:
		return on_committed(p, f->payload);
	case FRAME_SEGMENT_SEALED:
	case FRAME_SEGMENT_RETIRED:
		return on_segment_back(p, f);
	case FRAME_ETRN:
		return on_etrn(p, f->payload);
	default:
		return -EPROTO;
	}
}

/* ---- coming and going ---- */

void receivers_claim(struct dispatcher *d)
{
	list_foreach (n, &d->peers) {
		const struct peer *p = CONTAINER_OF(n, struct peer, node);
		struct store_segment *s = NULL;
		while (p->role == ROLE_RECEIVER && (s = store_next(d->store, slot_of(p), s)))
			store_claim(d->store, s->head.sequence);
	}
}

static void send_accepting(struct dispatcher *d, struct peer *p)
{
	bool full = notices_full(d);
	struct buf b = BUF_INIT(256);

	wire_put_u8(&b, !d->low && !full && !d->book.stuck);
	wire_put_span(&b, d->low	  ? SPAN_LIT("the disk is low")
			  : d->book.stuck ? SPAN_LIT("the ledger cannot be written")
			  : full	  ? SPAN_LIT("the queue is still being read")
					  : SPAN_LIT("room again"));
	if (b.error || channel_send(p->channel, FRAME_ACCEPTING, buf_span(&b), NULL, 0) < 0)
		log_text(LOG_LEVEL_WARN, "receiver-not-told", "receiver[%u]", p->index);
	buf_done(&b);
}

void receivers_accepting(struct dispatcher *d)
{
	list_foreach (n, &d->peers) {
		struct peer *p = CONTAINER_OF(n, struct peer, node);
		if (p->role == ROLE_RECEIVER && channel_is_open(p->channel))
			send_accepting(d, p);
	}
}

void receiver_attached(struct peer *p)
{
	if (p->d->low || p->d->book.stuck || notices_full(p->d))
		send_accepting(p->d, p);
}

void receiver_gone(struct peer *p)
{
	reclaim(p->d, slot_of(p));
}
