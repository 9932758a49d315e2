/* What each part needs is known only behind its body, and is said before it: so the first reading
 * notes an action for each entity (an octet each), and the second does it.
 *
 * - A leaf with octets that the target cannot have is encoded: what is mostly
 *   ASCII in quoted-printable, so that people can still read it, else in base64 (RFC 6152 3, RFC
 *   3030 3). One that says "8bit" or "binary" and
 *   has no such octets only says what it is.
 * - A multipart or message says what its parts now are (RFC 2045 6.4).
 * - Opaque parts (mime_field.c), and encoded ones that hold octets which no encoding gives, cannot
 * be helped: -EILSEQ, and the message goes back (5.6.3).
 * - A message without MIME gets its fields, and its text an unknown charset (RFC 1428 3).
 * - Headers are left as they are: 8-bit octets there are SMTPUTF8's business, or were never right.
 *   Between the parts nothing is mail: such octets become question marks. */
#include "mail/mime.h"
#include <stdlib.h>

#include "mail/mime_encode.h"
#include "mail/mime_walk.h"

#define LINE_MAX_OCTETS 998u /* RFC 5321 4.5.3.1.6 */
#define FIELDS_OCTETS	128u /* that conversion adds to an entity, at most */

enum action { ACT_KEEP, ACT_7BIT, ACT_8BIT, ACT_QP, ACT_BASE64 };
struct mime {
	enum mime_target target;
	bool binary;
	int error;
	struct mime_walk walk;
	uint8_t *actions; /* by entity */
	size_t cap;
	bool changes;
	uint64_t size;
	/* First reading: the leaf at hand. */
	struct {
		uint64_t octets, high, control;
		size_t line;
		bool after_cr, odd;
	} seen;
	/* Second. */
	bool open_line;	    /* the last field had no end */
	bool missing_blank; /* between the header of a part and the message that it holds */
	struct buf *out;
	struct qp_encoder qp;
	struct base64_encoder base64;
};

/* ---- the first reading ---- */

static void note(struct mime *m, uint32_t number, enum action action)
{
	if (number >= m->cap) {
		size_t cap = MAX((size_t)number + 1, m->cap * 2 + 16);
		uint8_t *more = realloc(m->actions, cap);
		if (!more) {
			m->error = -ENOMEM;
			return;
		}
		memset(more + m->cap, ACT_KEEP, cap - m->cap);
		m->actions = more;
		m->cap = cap;
	}
	m->actions[number] = (uint8_t)action;
	m->changes = m->changes || action != ACT_KEEP;
	m->size += action != ACT_KEEP ? FIELDS_OCTETS : 0;
}

static void scan_field(void *arg, const struct mime_entity *e, struct span name, struct span whole)
{
	struct mime *m = arg;

	(void)e;
	(void)name;
	m->size += whole.len;
}

static void scan_header_end(void *arg, const struct mime_entity *e, struct span blank)
{
	struct mime *m = arg;
	bool says_binary = e->encoding == MIME_ENC_BINARY, says_8bit = e->encoding == MIME_ENC_8BIT;

	m->size += blank.len;
	memset(&m->seen, 0, sizeof(m->seen));
	if (e->kind != MIME_COMPOSITE)
		return;
	if (m->target == MIME_TO_7BIT && (says_binary || says_8bit))
		note(m, e->number, ACT_7BIT);
	else if (says_binary)
		note(m, e->number, ACT_8BIT);
}

static void scan_body(void *arg, const struct mime_entity *e, struct span in)
{
	struct mime *m = arg;

	(void)e;
	m->seen.octets += in.len;
	for (size_t i = 0; i < in.len; i++) {
		uint8_t c = (uint8_t)in.ptr[i];
		if (m->seen.after_cr ? c != '\n' : c == '\n')
			m->seen.odd = true;
		m->seen.after_cr = c == '\r';
		m->seen.high += c > 127;
		m->seen.control += c < 32 && c != '\t' && c != '\r' && c != '\n';
		m->seen.odd = m->seen.odd || c == 0;
		m->seen.line = c == '\n' ? 0 : m->seen.line + (c != '\r');
		m->seen.odd = m->seen.odd || (m->binary && m->seen.line > LINE_MAX_OCTETS);
	}
}

static enum action leaf_action(const struct mime *m, const struct mime_entity *e)
{
	uint64_t special = m->seen.high + m->seen.control;

	if (m->seen.odd)
		return ACT_BASE64;
	if (m->seen.high > 0 && m->target == MIME_TO_7BIT)
		return special > m->seen.octets / (e->other_type ? 6 : 2) ? ACT_BASE64 : ACT_QP;
	if (e->encoding == MIME_ENC_BINARY)
		return m->seen.high > 0 ? ACT_8BIT : ACT_7BIT;
	return e->encoding == MIME_ENC_8BIT && m->target == MIME_TO_7BIT ? ACT_7BIT : ACT_KEEP;
}

static void scan_body_end(void *arg, const struct mime_entity *e)
{
	struct mime *m = arg;
	m->seen.odd = m->seen.odd || m->seen.after_cr;
	enum action action = leaf_action(m, e);
	bool encodes = action == ACT_QP || action == ACT_BASE64;

	if (e->kind == MIME_OPAQUE || e->encoding > MIME_ENC_BINARY) {
		if (encodes && !m->error)
			m->error = -EILSEQ;
		action = ACT_KEEP;
	}
	m->size += encodes ? m->seen.octets * 3 + m->seen.octets / 8 + 16 : m->seen.octets;
	note(m, e->number, action);
}

static void scan_between(void *arg, struct span octets, bool is_boundary)
{
	struct mime *m = arg;

	m->size += octets.len;
	for (size_t i = 0; !is_boundary && i < octets.len; i++) {
		uint8_t c = (uint8_t)octets.ptr[i];
		m->changes = m->changes || c == 0 || (c > 127 && m->target == MIME_TO_7BIT);
	}
}

static const struct mime_events scan_events = {.field = scan_field,
	.header_end = scan_header_end,
	.body = scan_body,
	.body_end = scan_body_end,
	.between = scan_between};

void mime_scan(struct mime *m, struct span in)
{
	walk_feed(&m->walk, in);
}

/* ---- the second reading ---- */

static enum action action_of(const struct mime *m, const struct mime_entity *e)
{
	return e->number < m->cap ? (enum action)m->actions[e->number] : ACT_KEEP;
}

static void convert_field(
	void *arg, const struct mime_entity *e, struct span name, struct span whole)
{
	struct mime *m = arg;

	if (action_of(m, e) != ACT_KEEP &&
		span_equal_nocase(name, SPAN_LIT("Content-Transfer-Encoding")))
		return;
	m->open_line = whole.ptr[whole.len - 1] != '\n';
	buf_put(m->out, whole);
}

static void convert_header_end(void *arg, const struct mime_entity *e, struct span blank)
{
	static const char *const names[] = {[ACT_7BIT] = "7bit",
		[ACT_8BIT] = "8bit",
		[ACT_QP] = "quoted-printable",
		[ACT_BASE64] = "base64"};
	struct mime *m = arg;
	enum action action = action_of(m, e);

	m->qp = (struct qp_encoder){0};
	m->base64 = (struct base64_encoder){0};
	bool missing = m->missing_blank;
	m->missing_blank = false;
	if (action == ACT_KEEP) {
		buf_put(m->out, blank);
		m->missing_blank = blank.len == 0 && e->kind == MIME_COMPOSITE && !e->multipart;
		return;
	}
	if (m->open_line)
		buf_str(m->out, "\r\n");
	m->open_line = false;
	if (missing)
		buf_str(m->out, "\r\n");
	if (e->number == 0 && !e->has_version)
		buf_str(m->out, "MIME-Version: 1.0\r\n");
	if (e->number == 0 && !e->has_type)
		buf_str(m->out, "Content-Type: text/plain; charset=unknown-8bit\r\n");
	buf_printf(m->out, "Content-Transfer-Encoding: %s\r\n\r\n", names[action]);
}

static void convert_body(void *arg, const struct mime_entity *e, struct span in)
{
	struct mime *m = arg;
	enum action action = action_of(m, e);

	if (action == ACT_QP)
		qp_encode(&m->qp, in, m->out);
	else if (action == ACT_BASE64)
		base64_encode_lines(&m->base64, in, m->out);
	else
		buf_put(m->out, in);
}

static void convert_body_end(void *arg, const struct mime_entity *e)
{
	struct mime *m = arg;

	if (action_of(m, e) == ACT_QP)
		qp_encode_end(&m->qp, m->out);
	else if (action_of(m, e) == ACT_BASE64)
		base64_encode_lines_end(&m->base64, m->out);
}

static void convert_between(void *arg, struct span octets, bool is_boundary)
{
	struct mime *m = arg;

	if (is_boundary) {
		buf_put(m->out, octets);
		return;
	}
	for (size_t i = 0; i < octets.len; i++) {
		uint8_t c = (uint8_t)octets.ptr[i];
		bool bad = c == 0 || (c > 127 && m->target == MIME_TO_7BIT);
		buf_char(m->out, bad ? '?' : (char)c);
	}
}

static const struct mime_events convert_events = {.field = convert_field,
	.header_end = convert_header_end,
	.body = convert_body,
	.body_end = convert_body_end,
	.between = convert_between};

void mime_convert(struct mime *m, struct span in, struct buf *out)
{
	m->out = out;
	walk_feed(&m->walk, in);
}

void mime_convert_end(struct mime *m, struct buf *out)
{
	m->out = out;
	walk_end(&m->walk);
	if (m->walk.error && !out->error)
		out->error = m->walk.error;
}

/* ---- life ---- */

int mime_new(enum mime_target target, bool binary, struct mime **ret_mime)
{
	struct mime *m = calloc(1, sizeof(*m));

	if (!m)
		return -ENOMEM;
	m->target = target;
	m->binary = binary;
	walk_init(&m->walk, &scan_events, m);
	if (m->walk.error) {
		mime_free(m);
		return -ENOMEM;
	}
	*ret_mime = m;
	return 0;
}

int mime_scan_end(struct mime *m)
{
	walk_end(&m->walk);
	int r = m->walk.error ? m->walk.error : m->error;
	walk_done(&m->walk);
	walk_init(&m->walk, &convert_events, m);
	return r < 0 ? r : m->walk.error ? m->walk.error : m->changes;
}

uint64_t mime_size(const struct mime *m)
{
	return m->size;
}

void mime_free(struct mime *m)
{
	if (!m)
		return;
	walk_done(&m->walk);
	free(m->actions);
	free(m);
}
