#include "rig.h"

#include <stdio.h>
#include <stdlib.h>

#define BODY_MAX (4u * 1024u * 1024u)

const struct store_limits rig_limits = {.segment_size = 1u << 20, .reserve = 4u << 20};

static void on_ready(void *arg, uint16_t slot, struct store_segment *s)
{
	struct rig *r = arg;
	struct disk_file *f;

	if (r->n_ready < RIG_SEEN)
		r->ready[r->n_ready++] = s->head.sequence;
	if (slot == SLOT_LEDGER) {
		ledger_give(r->ledger, s);
		return;
	}
	if (slot >= RIG_SLOTS || !r->writers[slot].writer)
		return;
	assert_int_equal(r->fake.seam.ops->open(&r->fake, s->name, false, &f), 0);
	writer_give_segment(r->writers[slot].writer, f, &s->head);
}

static void on_forgotten(void *arg, uint64_t sequence)
{
	struct rig *r = arg;

	if (r->n_forgotten < RIG_SEEN)
		r->forgotten[r->n_forgotten++] = sequence;
}

static void on_disk_state(void *arg, bool low, uint64_t room)
{
	struct rig *r = arg;

	(void)room;
	if (low)
		r->n_low++;
	else
		r->n_room++;
}

static void on_error(void *arg, const char *name, int error)
{
	struct rig *r = arg;

	(void)error;
	if (r->n_errors < RIG_ERRORS)
		snprintf(r->errors[r->n_errors++], sizeof(r->errors[0]), "%s", name);
}

static const struct store_ops store_ops = {
	.ready = on_ready,
	.forgotten = on_forgotten,
	.disk_state = on_disk_state,
	.error = on_error,
};

static void on_need(void *arg)
{
	struct rig_writer *w = arg;

	store_want(w->rig->store, w->slot);
}

static void on_sealed(void *arg, uint64_t sequence, uint64_t end)
{
	struct rig_writer *w = arg;

	(void)end;
	w->sealed++;
	if (!w->keep)
		store_release(w->rig->store, sequence);
}

static void on_retired(void *arg, uint64_t sequence, int error)
{
	struct rig_writer *w = arg;

	(void)error;
	w->retired++;
	store_release(w->rig->store, sequence);
}

static const struct writer_ops writer_ops = {
	.need_segment = on_need,
	.sealed = on_sealed,
	.retired = on_retired,
};

void rig_up(struct rig *r)
{
	rig_up_with(r, &rig_limits);
}

void rig_up_with(struct rig *r, const struct store_limits *limits)
{
	r->n_ready = r->n_forgotten = r->n_errors = r->n_low = r->n_room = 0;
	assert_int_equal(store_open(&r->fake.seam, limits, &store_ops, r, &r->store), 0);
	assert_int_equal(ledger_new(&r->fake.seam, r->store, &r->ledger), 0);
}

void rig_init(struct rig *r, uint64_t room, uint64_t seed)
{
	memset(r, 0, sizeof(*r));
	fake_init(&r->fake, room, seed);
	rig_up(r);
}

void rig_down(struct rig *r)
{
	fake_kill(&r->fake);
	for (unsigned i = 0; i < RIG_SLOTS; i++)
		writer_free(TAKE(r->writers[i].writer));
	ledger_free(TAKE(r->ledger));
	store_free(TAKE(r->store));
	fake_settle(&r->fake);
}

void rig_done(struct rig *r)
{
	rig_down(r);
	fake_done(&r->fake);
}

void rig_writer(struct rig *r, uint16_t slot)
{
	struct rig_writer *w = &r->writers[slot];

	*w = (struct rig_writer){.rig = r, .slot = slot};
	assert_int_equal(writer_new(&r->fake.seam, slot, &writer_ops, w, &w->writer), 0);
}

bool rig_saw(const uint64_t *list, unsigned n, uint64_t sequence)
{
	for (unsigned i = 0; i < n; i++)
		if (list[i] == sequence)
			return true;
	return false;
}

/* ---- messages ---- */

/* Octets that follow from the id, so that any of another message shows. */
static char octet_of(uint64_t id, uint64_t at)
{
	return (char)('a' + (id * 31 + (id >> 24) * 7 + at + at / 61) % 26);
}

static void on_ticket(struct writer_ticket *t, int result)
{
	CONTAINER_OF(t, struct rig_mail, ticket)->result = result;
}

int rig_send(struct rig *r, uint16_t slot, uint32_t octets, struct rig_mail *ret)
{
	struct draft *d = NULL;
	struct message_rcpt rcpt = {.address = SPAN_LIT("b@example.org")};
	struct message m = {
		.reverse_path = SPAN_LIT("a@example.org"), .rcpts = &rcpt, .n_rcpts = 1};

	*ret = (struct rig_mail){.octets = octets, .ticket.done = on_ticket, .result = 1};
	int e = draft_new(r->writers[slot].writer, &d);
	if (e < 0)
		return e;
	ret->id = draft_id(d);
	char *body = malloc(octets + 1);
	assert_non_null(body);
	for (uint32_t i = 0; i < octets; i++)
		body[i] = octet_of(ret->id, i);
	e = draft_append(d, span_make(body, octets));
	if (e == 0)
		e = draft_prepend(d, SPAN_LIT("Received: here\r\n"));
	if (e == 0)
		e = draft_commit(d, &m, &ret->ticket, &ret->commit);
	draft_free(d);
	free(body);
	return e;
}

bool rig_body_is_whole(
	struct rig *r, uint64_t id, const struct record_ref *ref, struct span payload)
{
	struct arena *a = arena_new(1u << 20);
	struct message m;
	struct piece *pieces;
	uint32_t n;
	uint64_t at = 0;
	bool good = true;
	char *octets = malloc(BODY_MAX);

	assert_true(a && octets);
	assert_int_equal(message_decode(id, payload, a, &m), 0);
	assert_int_equal(message_ranges(&m, payload, ref, a, &pieces, &n), 0);
	for (uint32_t i = 1; i < n && good; i++) {
		const struct store_segment *s = store_find(r->store, pieces[i].segment);
		size_t got = 0;
		good = s && pieces[i].length <= BODY_MAX &&
		       r->fake.seam.ops->read(
			       s->file, pieces[i].offset, octets, pieces[i].length, &got) == 0 &&
		       got == pieces[i].length;
		for (size_t k = 0; k < got && good; k++)
			good = octets[k] == octet_of(id, at + k);
		at += got;
	}
	good = good && m.size == at + sizeof("Received: here\r\n") - 1;
	free(octets);
	arena_free(a);
	return good;
}
