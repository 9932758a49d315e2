/* The promises, held against what can be seen from outside:
 *
 * - whoever got a 250 finds each final address delivered, bounced (a report that lists it was
 *   accepted, and is held to the same promise), refused where there is nobody to tell, or dropped
 *   by the operator;
 * - a second delivery of a copy comes only after the log named it `possible-duplicate`, and after
 *   the delivery before it;
 * - nothing bounces that was delivered, unless named; nothing fails without a reason; one event is
 *   reported once;
 * - what is delivered is the message, octet for octet. */
#include "model.h"
#include "world.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct truth *truth_new(struct world *w)
{
	struct truth *t = must(calloc(1, sizeof(*t)));

	t->w = w;
	t->by_id = must(map_new(1));
	return t;
}

void truth_free(struct truth *t)
{
	for (struct truth_mail *m = t->mails, *next; m; m = next) {
		next = m->next;
		free(m->head);
		free(m->addresses);
		free(m->about);
		free(m);
	}
	map_free(t->by_id);
	free(t);
}

struct truth_mail *truth_add(struct truth *t, uint64_t id, uint64_t serial)
{
	struct truth_mail *m = must(calloc(1, sizeof(*m)));

	m->id = id;
	m->serial = serial;
	if (map_put_u64(t->by_id, id, m) < 0)
		violation(t->w, "id %" PRIx64 " is given out twice", id);
	m->next = t->mails;
	t->mails = m;
	return m;
}

int truth_address_add(struct truth_mail *m, const char *name, int parent, bool is_final)
{
	m->addresses = must(realloc(m->addresses, (m->n_addresses + 1) * sizeof(*m->addresses)));
	struct truth_address *a = &m->addresses[m->n_addresses];
	*a = (struct truth_address){.parent = parent, .is_final = is_final};
	(void)snprintf(a->name, sizeof(a->name), "%s", name);
	return (int)m->n_addresses++;
}

struct truth_mail *truth_find(const struct truth *t, uint64_t id)
{
	return map_get_u64(t->by_id, id);
}

struct truth_address *truth_address_find(struct truth_mail *m, struct span name)
{
	for (unsigned i = 0; i < m->n_addresses; i++)
		if (span_equal(span_str(m->addresses[i].name), name))
			return &m->addresses[i];
	return NULL;
}

/* ---- content ---- */

void truth_content(uint64_t serial, uint64_t offset, char *ptr, size_t len)
{
	while (len > 0) {
		struct sim_random r = {.state = serial * UINT64_C(0xd6e8feb86659fd93) + offset / 8};
		uint64_t word = sim_random(&r);
		size_t skip = (size_t)(offset % 8), n = MIN(8 - skip, len);
		memcpy(ptr, (const char *)&word + skip, n);
		ptr += n;
		offset += n;
		len -= n;
	}
}

bool truth_matches(const struct truth_mail *m, uint64_t offset, struct span octets)
{
	char part[2048];

	if (offset + octets.len > m->head_len + m->body_len)
		return false;
	if (offset < m->head_len) {
		size_t n = MIN(octets.len, (size_t)(m->head_len - offset));
		if (memcmp(octets.ptr, m->head + offset, n) != 0)
			return false;
		octets = span_from(octets, n);
		offset += n;
	}
	while (octets.len > 0) {
		size_t n = MIN(octets.len, sizeof(part));
		truth_content(m->serial, offset - m->head_len, part, n);
		if (memcmp(octets.ptr, part, n) != 0)
			return false;
		octets = span_from(octets, n);
		offset += n;
	}
	return true;
}

/* ---- what is seen ---- */

static struct truth_address *must_know(struct truth *t, const char *what, uint64_t id,
	struct span address, struct truth_mail **ret)
{
	struct truth_mail *m = truth_find(t, id);
	struct truth_address *a = m ? truth_address_find(m, address) : NULL;

	if (!a)
		violation(t->w, "%s: nobody sent message %" PRIx64 " to <%.*s>", what, id,
			SPAN_FMT(address));
	if (ret)
		*ret = m;
	return a;
}

/* The same event told in two reports. */
static void check_report_once(struct truth *t, const struct truth_mail *report)
{
	for (const struct truth_mail *m = t->mails; m; m = m->next)
		if (m != report && m->is_report && m->parent == report->parent &&
			m->event == report->event && m->addresses[0].delivered)
			violation(t->w,
				"event %" PRIu64 " of message %" PRIx64
				" is reported twice: %" PRIx64 " and %" PRIx64,
				report->event, report->parent, m->id, report->id);
}

void truth_delivered(struct truth *t, uint64_t id, struct span address)
{
	struct truth_mail *m;
	struct truth_address *a = must_know(t, "delivered", id, address, &m);

	if (!a->is_final)
		violation(t->w, "message %" PRIx64 " is delivered to the alias <%s>", id, a->name);
	if (a->delivered && !a->named_since)
		violation(t->w,
			"message %" PRIx64 " is delivered to <%s> again, and the log did not name "
			"it",
			id, a->name);
	if (m->is_report && a->delivered == 0)
		check_report_once(t, m);
	t->delivered++;
	t->doubles += a->delivered > 0;
	if (m->is_report && a->delivered == 0) {
		t->reports += !m->is_delay;
		t->delays += m->is_delay;
	}
	a->delivered++;
	a->named_since = false;
}

void truth_named(struct truth *t, uint64_t id, struct span address)
{
	struct truth_mail *m;
	struct truth_address *a = must_know(t, "possible-duplicate", id, address, &m);

	t->named++;
	a->named++;
	a->named_since = true;
	/* Its children are not known at this point: they are named when they are. */
}

static bool was_refused(const struct truth_mail *m, const struct truth_address *a)
{
	return a->refused || a->expired || (a->parent >= 0 && m->addresses[a->parent].refused);
}

void truth_logged(struct truth *t, const char *event, uint64_t id, struct span address)
{
	struct truth_address *a;
	struct truth_mail *m;

	if (strcmp(event, "expired") == 0) {
		must_know(t, event, id, address, NULL)->expired = true;
		t->expired++;
	} else if (strcmp(event, "failed") == 0 && address.len) {
		a = must_know(t, event, id, address, &m);
		a->failed = true;
		if (!was_refused(m, a))
			violation(t->w, "<%s> of message %" PRIx64 " fails without a reason",
				a->name, id);
	} else if (strcmp(event, "dropped") == 0) {
		a = must_know(t, event, id, address, &m);
		a->dropped = true;
		if (!m->dropped && a->is_final)
			violation(t->w, "<%s> of message %" PRIx64 " is dropped, nobody said so",
				a->name, id);
	}
}

void truth_damaged(struct truth *t, uint64_t id)
{
	struct truth_mail *m = truth_find(t, id);

	if (!m)
		violation(t->w, "message %" PRIx64 " is damaged, and nobody sent it", id);
	if (m->accepted && !t->w->lying)
		violation(t->w, "message %" PRIx64 " had its 250 and is damaged", id);
	m->damaged = true;
}

void truth_accepted(struct truth *t, struct truth_mail *m)
{
	m->accepted = true;
	t->accepted += !m->is_report;
}

void truth_report(struct truth *t, const struct truth_mail *report)
{
	struct truth_mail *m = truth_find(t, report->parent);

	if (!m)
		violation(t->w, "a report about message %" PRIx64 " that nobody sent",
			report->parent);
	if (m->null_sender)
		violation(t->w, "a report about message %" PRIx64 " that has no sender", m->id);
	for (unsigned i = 0; i < report->n_about && !report->is_delay; i++) {
		const struct truth_address *a = truth_address_find(m, span_str(report->about[i]));
		if (!a)
			violation(t->w, "a report about <%s>, no recipient", report->about[i]);
		if (a->delivered && !a->named)
			violation(t->w, "<%s> of message %" PRIx64 " bounces though delivered",
				a->name, m->id);
	}
}

/* ---- is it done? ---- */

static bool reported(const struct truth *t, const struct truth_mail *m, const char *name)
{
	for (const struct truth_mail *r = t->mails; r; r = r->next) {
		if (!r->is_report || r->is_delay || r->parent != m->id ||
			!(r->accepted || r->addresses[0].delivered))
			continue;
		for (unsigned i = 0; i < r->n_about; i++)
			if (strcmp(r->about[i], name) == 0)
				return true;
	}
	return false;
}

static bool address_settled(
	const struct truth *t, const struct truth_mail *m, const struct truth_address *a)
{
	if (a->delivered || (a->dropped && m->dropped))
		return true;
	return m->null_sender ? a->failed : a->failed && reported(t, m, a->name);
}

/* Several recipients of the envelope may stand for one address: by any of them. */
static bool settled(
	const struct truth *t, const struct truth_mail *m, const struct truth_address *a)
{
	for (unsigned i = 0; i < m->n_addresses; i++) {
		const struct truth_address *other = &m->addresses[i];
		if (strcmp(other->name, a->name) != 0)
			continue;
		if (address_settled(t, m, other) ||
			(other->parent >= 0 && address_settled(t, m, &m->addresses[other->parent])))
			return true;
	}
	return false;
}

bool truth_is_open(struct truth *t, struct truth_mail *m, const char **ret_address)
{
	for (unsigned i = 0; m->accepted && i < m->n_addresses; i++) {
		if (!m->addresses[i].is_final || settled(t, m, &m->addresses[i]))
			continue;
		*ret_address = m->addresses[i].name;
		return true;
	}
	return false;
}

void truth_check_end(struct truth *t)
{
	const char *address;

	for (struct truth_mail *m = t->mails; m; m = m->next)
		if (truth_is_open(t, m, &address))
			violation(t->w, "%s %" PRIx64 " (serial %" PRIu64 ") is lost: <%s>",
				m->is_report ? "report" : "message", m->id, m->serial, address);
}
