/* The memory of a message. What the COMMIT says is copied once, into the allocation that holds the
 * message; peers chose those octets, so their lengths and counts are bounded here (TEXT_MAX,
 * QUEUE_RCPTS_MAX) and a message beyond them is the caller's to set aside. A ghost is a message
 * that the ledger speaks of while its COMMIT has not been read yet: recipients and no envelope. */
#include "queue/queue_internal.h"

#include <stdlib.h>

struct span text_span(const char *text)
{
	uint16_t len;

	memcpy(&len, text, sizeof(len));
	return span_make(text + sizeof(len), len);
}

const char *text_next(const char *text)
{
	struct span s = text_span(text);

	return s.ptr + s.len;
}

static char *text_write(char *at, struct span s)
{
	uint16_t len = (uint16_t)s.len;

	memcpy(at, &len, sizeof(len));
	if (s.len)
		memcpy(at + sizeof(len), s.ptr, s.len);
	return at + sizeof(len) + s.len;
}

char *text_new(struct span s)
{
	s = span_head(s, UINT16_MAX);
	char *text = malloc(sizeof(uint16_t) + s.len);
	if (!text)
		abort();
	(void)text_write(text, s);
	return text;
}

/* Octets of all texts, or 0 when one is beyond the limits. */
static size_t texts_octets(const struct message *m)
{
	size_t sum = 6 + m->reverse_path.len + m->client.len + m->login.len;

	if (m->reverse_path.len > TEXT_MAX || m->client.len > TEXT_MAX || m->login.len > TEXT_MAX)
		return 0;
	for (uint32_t i = 0; i < m->n_rcpts; i++) {
		const struct message_rcpt *r = &m->rcpts[i];
		if (!r->address.len || r->address.len > TEXT_MAX || r->original.len > TEXT_MAX)
			return 0;
		sum += 4 + r->address.len + r->original.len;
	}
	return sum;
}

static void mail_init(struct mail *mail, uint64_t id)
{
	mail->timer = (struct timer){.due = USEC_INFINITY, .kind = TIMER_MAIL};
	mail->id = id;
	mail->next_event = EVENT_FIRST;
	list_init(&mail->batches);
}

int mail_new(const struct message *m, const struct record_ref *commit, struct mail **ret)
{
	if (!m->n_rcpts || m->n_rcpts > QUEUE_RCPTS_MAX)
		return -EBADMSG;
	size_t octets = texts_octets(m);
	if (!octets)
		return -EBADMSG;
	size_t rcpts = m->n_rcpts * sizeof(struct rcpt);
	struct mail *mail = malloc(sizeof(*mail) + rcpts + octets);
	if (!mail)
		return -ENOMEM;
	memset(mail, 0, sizeof(*mail) + rcpts);
	mail_init(mail, m->id);
	mail->arrival_wall = m->arrival_wall_usec;
	mail->size = m->size;
	mail->commit = *commit;
	mail->body = (uint8_t)m->body;
	mail->priority = (int8_t)MIN(MAX(message_priority(m), -9), 9);
	mail->hold_until = m->hold_until_wall_usec;
	mail->deliver_by = m->deliver_by_wall_usec;
	mail->by_mode = (uint8_t)m->deliver_by_mode;
	mail->flags = (uint16_t)((m->flags & MESSAGE_REPORT ? MAIL_REPORT : 0) |
				 (m->relay ? MAIL_RELAY : 0));
	mail->rcpts = mail->inline_rcpts;
	mail->n_rcpts = mail->n_env = mail->cap_rcpts = m->n_rcpts;

	char *at = (char *)mail->inline_rcpts + rcpts;
	at = text_write(at, m->reverse_path);
	at = text_write(at, m->client);
	at = text_write(at, m->login);
	for (uint32_t i = 0; i < m->n_rcpts; i++) {
		struct rcpt *r = &mail->rcpts[i];
		r->address = r->envelope = at;
		r->origin = i;
		r->notify = (uint8_t)m->rcpts[i].notify;
		at = text_write(at, m->rcpts[i].address);
		at = text_write(at, m->rcpts[i].original);
	}
	*ret = mail;
	return 0;
}

int mail_new_ghost(uint64_t id, struct mail **ret)
{
	struct mail *mail = calloc(1, sizeof(*mail));

	if (!mail)
		return -ENOMEM;
	mail_init(mail, id);
	mail->flags = MAIL_GHOST;
	*ret = mail;
	return 0;
}

void queue_mail_free(struct queue *q, struct mail *m)
{
	if (!m)
		return;
	queue_dissolve(q, m);
	for (uint32_t i = 0; i < m->n_rcpts; i++) {
		struct rcpt *r = &m->rcpts[i];
		queue_rcpt_hop(q, r, NULL);
		queue_rcpt_note(r, NULL);
		if (r->flags & RF_OWN)
			free((char *)(uintptr_t)r->address);
	}
	heap_set(&q->heap, &m->timer, USEC_INFINITY);
	list_remove(&m->ask);
	if (m->rcpts != m->inline_rcpts)
		free(m->rcpts);
	free(m->via);
	free(m);
}

struct rcpt *queue_mail_add_rcpt(struct queue *q, struct mail *m)
{
	if (m->n_rcpts >= QUEUE_RCPTS_MAX)
		return NULL;
	if (m->n_rcpts == m->cap_rcpts) {
		uint32_t cap = MIN(MAX(m->cap_rcpts * 2, 4u), QUEUE_RCPTS_MAX);
		struct rcpt *old = m->rcpts == m->inline_rcpts ? NULL : m->rcpts;
		struct rcpt *more = realloc(old, cap * sizeof(*more));
		if (!more)
			abort();
		if (!old && m->n_rcpts)
			memcpy(more, m->inline_rcpts, m->n_rcpts * sizeof(*more));
		m->rcpts = more;
		m->cap_rcpts = cap;
	}
	struct rcpt *r = &m->rcpts[m->n_rcpts];
	*r = (struct rcpt){.origin = m->n_rcpts, .state = RCPT_EXPANDING};
	m->n_rcpts++;
	if (!(m->flags & MAIL_GHOST)) {
		q->by_state[RCPT_EXPANDING]++;
		m->live++;
		m->pending++;
	}
	return r;
}

const char *mail_texts(const struct mail *m)
{
	return m->n_env ? (const char *)&m->inline_rcpts[m->n_env] : NULL;
}

struct span mail_reverse_path(const struct mail *m)
{
	const char *texts = mail_texts(m);

	return texts ? text_span(texts) : SPAN_NULL;
}

bool mail_is_mute(const struct mail *m)
{
	return (m->flags & MAIL_REPORT) || mail_reverse_path(m).len == 0;
}

struct span rcpt_address(const struct rcpt *r)
{
	return r->address ? text_span(r->address) : SPAN_NULL;
}

struct span rcpt_envelope(const struct mail *m, const struct rcpt *r)
{
	uint32_t origin = r->origin < m->n_env ? r->origin : 0;

	return text_span(m->rcpts[origin].envelope);
}

struct span rcpt_original(const struct mail *m, const struct rcpt *r)
{
	uint32_t origin = r->origin < m->n_env ? r->origin : 0;
	const char *text = m->rcpts[origin].envelope;
	struct span given = text_span(text_next(text));

	return given.len ? given : text_span(text);
}

uint8_t rcpt_child_notify(uint8_t notify)
{
	uint8_t rest = (uint8_t)(notify & ~NOTIFY_SUCCESS);

	return notify && !rest ? NOTIFY_NEVER : rest;
}

/* RFC 3461 4.1: without NOTIFY, failures and (if the server does so) delays are told. */
bool rcpt_wants(const struct mail *m, const struct rcpt *r, uint8_t what)
{
	if (mail_is_mute(m))
		return false;
	return r->notify ? (r->notify & what) != 0 : what != NOTIFY_SUCCESS;
}

bool rcpt_owes_report(const struct rcpt *r)
{
	return r->state == RCPT_FAILED || r->state == RCPT_SUCCEEDED;
}

bool rcpt_is_live(const struct rcpt *r)
{
	return r->state < RCPT_DELIVERED;
}

bool rcpt_is_waiting(const struct rcpt *r)
{
	return r->state < RCPT_HELD && r->state != RCPT_IN_FLIGHT;
}
