/* Conversion: the same wherever the message is cut; nothing changes where nothing must; what was
 * converted is fit, needs no conversion again, and decodes to what was there. */
#include "fuzz.h"
#include "mail/mime.h"
#include "mail/mime_walk.h"
#include <stdlib.h>

struct reader {
	struct buf leaves; /* all of them, decoded, one behind the other */
	struct buf body;   /* of the one at hand, as it stands */
	bool qp, base64;
};

static int hex(int c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static void decode_qp(struct span s, struct buf *out)
{
	for (size_t i = 0; i < s.len; i++) {
		bool two = i + 2 < s.len;
		if (s.ptr[i] != '=')
			buf_char(out, s.ptr[i]);
		else if (two && s.ptr[i + 1] == '\r' && s.ptr[i + 2] == '\n')
			i += 2;
		else if (two && hex(s.ptr[i + 1]) >= 0 && hex(s.ptr[i + 2]) >= 0) {
			buf_char(out, (char)(hex(s.ptr[i + 1]) * 16 + hex(s.ptr[i + 2])));
			i += 2;
		} else {
			abort();
		}
	}
}

static void decode_base64(struct span s, struct buf *out)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	uint32_t v = 0;
	unsigned n = 0;

	for (size_t i = 0; i < s.len; i++) {
		const char *d = s.ptr[i] ? strchr(digits, s.ptr[i]) : NULL;
		if (!d)
			continue;
		v = v << 6 | (uint32_t)(d - digits);
		n += 6;
		if (n >= 8) {
			n -= 8;
			buf_char(out, (char)(v >> n & 255));
		}
	}
}

static void on_field(void *arg, const struct mime_entity *e, struct span name, struct span whole)
{
	(void)arg;
	(void)e;
	(void)name;
	(void)whole;
}

static void on_header_end(void *arg, const struct mime_entity *e, struct span blank)
{
	(void)arg;
	(void)e;
	(void)blank;
}

static void on_body(void *arg, const struct mime_entity *e, struct span octets)
{
	struct reader *r = arg;

	(void)e;
	buf_put(&r->body, octets);
}

static uint8_t *actions_seen;
static uint32_t n_leaves;

static void on_body_end(void *arg, const struct mime_entity *e)
{
	struct reader *r = arg;
	struct span s = buf_span(&r->body);

	(void)e;
	if (r->qp && actions_seen && actions_seen[n_leaves] == 'q')
		decode_qp(s, &r->leaves);
	else if (r->qp && actions_seen && actions_seen[n_leaves] == 'b')
		decode_base64(s, &r->leaves);
	else
		buf_put(&r->leaves, s);
	buf_char(&r->leaves, '|');
	n_leaves++;
	buf_reset(&r->body);
}

static void on_between(void *arg, struct span octets, bool is_boundary)
{
	(void)arg;
	(void)octets;
	(void)is_boundary;
}

static const struct mime_events events = {
	on_field, on_header_end, on_body, on_body_end, on_between};

static int scan(struct mime *m, struct span in, size_t step)
{
	for (; in.len > 0; in = span_from(in, step))
		mime_scan(m, span_head(in, step));
	return mime_scan_end(m);
}

static int convert(struct span in, uint8_t mode, size_t step, struct buf *out, uint64_t *ret_size)
{
	struct mime *m;
	if (mime_new(mode & 1 ? MIME_TO_8BIT : MIME_TO_7BIT, mode & 2, &m) < 0)
		abort();
	int r = scan(m, in, step);
	*ret_size = mime_size(m);
	for (struct span s = in; r >= 0 && s.len > 0; s = span_from(s, step))
		mime_convert(m, span_head(s, step), out);
	if (r >= 0)
		mime_convert_end(m, out);
	mime_free(m);
	return r;
}

/* Which leaves are encoded in the second that were not in the first, by their headers. */
static void note_field(void *arg, const struct mime_entity *e, struct span name, struct span whole)
{
	struct buf *kinds = arg;
	struct span body = span_trim(span_from(whole, span_index(whole, ':') + 1));

	(void)e;
	if (!span_equal_nocase(name, SPAN_LIT("Content-Transfer-Encoding")))
		return;
	kinds->ptr[kinds->len - 1] = span_equal(body, SPAN_LIT("quoted-printable")) ? 'q'
				     : span_equal(body, SPAN_LIT("base64"))	    ? 'b'
										    : '-';
}

static void note_leaf(void *arg, const struct mime_entity *e)
{
	(void)e;
	buf_char(arg, '-');
}

static void note_body(void *arg, const struct mime_entity *e, struct span octets)
{
	(void)arg;
	(void)e;
	(void)octets;
}

static const struct mime_events notes = {
	note_field, on_header_end, note_body, note_leaf, on_between};

static void kinds_of(struct span in, struct buf *kinds)
{
	struct mime_walk w;
	buf_char(kinds, '-');
	walk_init(&w, &notes, kinds);
	walk_feed(&w, in);
	walk_end(&w);
	walk_done(&w);
}

static void leaves_of(struct span in, bool decode, struct reader *r)
{
	struct mime_walk w;
	*r = (struct reader){
		.leaves = BUF_INIT(FUZZ_BUF), .body = BUF_INIT(FUZZ_BUF), .qp = decode};
	n_leaves = 0;
	walk_init(&w, &events, r);
	walk_feed(&w, in);
	walk_end(&w);
	walk_done(&w);
	buf_done(&r->body);
}

static void check_leaves(struct span before, struct span after)
{
	struct buf a = BUF_INIT(FUZZ_BUF), b = BUF_INIT(FUZZ_BUF);
	struct reader x, y;

	kinds_of(before, &a);
	kinds_of(after, &b);
	assert(a.len == b.len);
	/* What was encoded before stays as it is. */
	for (size_t i = 0; i < a.len; i++)
		if (a.ptr[i] != '-')
			b.ptr[i] = '-';
	leaves_of(before, false, &x);
	actions_seen = (uint8_t *)b.ptr;
	leaves_of(after, true, &y);
	actions_seen = NULL;
	assert(span_equal(buf_span(&x.leaves), buf_span(&y.leaves)));
	buf_done(&a);
	buf_done(&b);
	buf_done(&x.leaves);
	buf_done(&y.leaves);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span in = span_make(data, size);
	uint8_t mode = fuzz_mode(&in);
	struct buf whole = BUF_INIT(FUZZ_BUF), parts = BUF_INIT(FUZZ_BUF),
		   again = BUF_INIT(FUZZ_BUF);
	uint64_t limit, other;

	int r = convert(in, mode, in.len ? in.len : 1, &whole, &limit);
	int s = convert(in, mode, 1 + (mode >> 4), &parts, &other);
	assert(r == s && limit == other);
	assert(whole.error == 0 && parts.error == 0);
	assert(span_equal(buf_span(&whole), buf_span(&parts)));
	if (r >= 0)
		assert(whole.len <= limit);
	if (r == 0)
		assert(span_equal(buf_span(&whole), in));
	if (r == 1) {
		assert(convert(buf_span(&whole), mode, 7, &again, &limit) == 0);
		check_leaves(in, buf_span(&whole));
	}
	buf_done(&whole);
	buf_done(&parts);
	buf_done(&again);
	return 0;
}
