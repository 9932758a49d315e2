/* Reading an answer section. Names are decompressed into wire form of their own (RFC 1035 4.1.4)
 * with pointers that only lead backwards, so that reading ends; a record that is cut short ends
 * the whole message. A record of the wrong owner, type or class is passed over: alias chains are
 * followed from the name that was asked, whatever the order of the records. */
#include "resolver/packet.h"

#define HEADER_OCTETS 12u
#define CLASS_IN      1u
#define TYPE_SOA      6u
#define NAME_MAX_WIRE 255u
#define RDATA_MAX     65535u

#define RCODE_NOERROR  0u
#define RCODE_NXDOMAIN 3u

struct name {
	size_t len;
	char wire[NAME_MAX_WIRE + 1];
};
struct record {
	struct name owner;
	uint16_t type, class;
	uint32_t ttl;
	size_t rdata, rdata_len; /* offset in the packet */
};

static uint8_t octet(struct span p, size_t at)
{
	return (uint8_t)p.ptr[at];
}

static bool read_u16(struct span p, size_t *at, uint16_t *ret)
{
	if (p.len < 2 || *at > p.len - 2)
		return false;
	*ret = (uint16_t)(octet(p, *at) << 8 | octet(p, *at + 1));
	*at += 2;
	return true;
}

static bool read_u32(struct span p, size_t *at, uint32_t *ret)
{
	uint16_t high, low;

	if (!read_u16(p, at, &high) || !read_u16(p, at, &low))
		return false;
	*ret = (uint32_t)high << 16 | low;
	return true;
}

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c + 'a' - 'A') : c;
}

/* The name at *at, in lower case; *at goes behind it. */
static bool read_name(struct span p, size_t *at, struct name *ret)
{
	size_t from = *at, before = *at;
	bool jumped = false;

	ret->len = 0;
	for (;;) {
		if (from >= p.len)
			return false;
		size_t n = octet(p, from);
		if ((n & 0xc0) == 0xc0) {
			uint16_t target;
			size_t pointer = from;
			if (!read_u16(p, &pointer, &target))
				return false;
			if (!jumped)
				*at = pointer;
			jumped = true;
			from = target & 0x3fff;
			/* Only backwards: every jump is to an earlier place than any before. */
			if (from >= before)
				return false;
			before = from;
			continue;
		}
		if ((n & 0xc0) != 0 || from + n >= p.len || ret->len + n + 1 > NAME_MAX_WIRE)
			return false;
		ret->wire[ret->len++] = (char)n;
		for (size_t i = 1; i <= n; i++)
			ret->wire[ret->len++] = lower(p.ptr[from + i]);
		from += n + 1;
		if (n == 0)
			break;
	}
	if (!jumped)
		*at = from;
	return true;
}

static bool read_record(struct span p, size_t *at, struct record *ret)
{
	uint16_t len;

	if (!read_name(p, at, &ret->owner) || !read_u16(p, at, &ret->type) ||
		!read_u16(p, at, &ret->class) || !read_u32(p, at, &ret->ttl) ||
		!read_u16(p, at, &len) || len > p.len - *at)
		return false;
	/* RFC 2181 8: a TTL with the top bit set is zero. */
	if (ret->ttl > INT32_MAX)
		ret->ttl = 0;
	ret->rdata = *at;
	ret->rdata_len = len;
	*at += len;
	return true;
}

static bool same_name(const struct name *a, const struct name *b)
{
	return a->len == b->len && memcmp(a->wire, b->wire, a->len) == 0;
}

/* rdata as its reader wants it: names whole. `skip` octets stand before the name. */
static bool rdata_name(struct span p, const struct record *r, size_t skip, struct name *ret)
{
	size_t at = r->rdata + skip;

	return r->rdata_len > skip && read_name(p, &at, ret) && at == r->rdata + r->rdata_len;
}

static int keep_rdata(struct span p, const struct record *r, struct arena *a, struct span *ret)
{
	struct name n;
	size_t skip = r->type == RESOLVE_MX ? 2 : 0;

	if (r->type != RESOLVE_MX && r->type != RESOLVE_CNAME && r->type != RESOLVE_PTR) {
		*ret = arena_span(a, span_make(p.ptr + r->rdata, r->rdata_len));
		return ret->ptr ? 0 : -ENOMEM;
	}
	if (!rdata_name(p, r, skip, &n))
		return -EBADMSG;
	char *copy = arena_alloc(a, skip + n.len);
	if (!copy)
		return -ENOMEM;
	memcpy(copy, p.ptr + r->rdata, skip);
	memcpy(copy + skip, n.wire, n.len);
	*ret = span_make(copy, skip + n.len);
	return 0;
}

struct section {
	struct span packet;
	size_t answers; /* offset of the answer section */
	uint16_t n_answers, n_authority;
	uint8_t rcode;
};

static int open_packet(struct span p, struct section *ret)
{
	size_t at = 2;
	uint16_t flags, n_questions, skipped;
	struct name ignored;

	if (p.len > RDATA_MAX || !read_u16(p, &at, &flags) || !read_u16(p, &at, &n_questions) ||
		!read_u16(p, &at, &ret->n_answers) || !read_u16(p, &at, &ret->n_authority) ||
		!read_u16(p, &at, &skipped))
		return -EBADMSG;
	assert(at == HEADER_OCTETS);
	for (unsigned i = 0; i < n_questions; i++)
		if (!read_name(p, &at, &ignored) || !read_u16(p, &at, &skipped) ||
			!read_u16(p, &at, &skipped))
			return -EBADMSG;
	ret->packet = p;
	ret->rcode = (uint8_t)(flags & 0xf);
	ret->answers = at;
	return 0;
}

/* From the asked name along its aliases. Each pass is over the whole section, so that their order
 * does not matter; a loop ends at the bound. */
static int follow_aliases(const struct section *s, struct name *current, uint32_t *ttl, bool *moved)
{
	for (unsigned step = 0; step < PACKET_ALIASES_MAX; step++) {
		size_t at = s->answers;
		bool found = false;
		for (unsigned i = 0; i < s->n_answers && !found; i++) {
			struct record r;
			if (!read_record(s->packet, &at, &r))
				return -EBADMSG;
			if (r.type != RESOLVE_CNAME || r.class != CLASS_IN ||
				!same_name(&r.owner, current))
				continue;
			if (!rdata_name(s->packet, &r, 0, current))
				return -EBADMSG;
			*ttl = MIN(*ttl, r.ttl);
			found = *moved = true;
		}
		if (!found)
			return 0;
	}
	return -ELOOP;
}

static int collect(const struct section *s, const struct name *owner, uint16_t type,
	struct arena *a, struct resolve_answer *ret)
{
	size_t at = s->answers;
	uint32_t room = MIN((uint32_t)s->n_answers, RESOLVE_RECORDS_MAX);

	ret->rdata = arena_alloc(a, (room ? room : 1) * sizeof(*ret->rdata));
	if (!ret->rdata)
		return -ENOMEM;
	for (unsigned i = 0; i < s->n_answers; i++) {
		struct record r;
		if (!read_record(s->packet, &at, &r))
			return -EBADMSG;
		if (r.type != type || r.class != CLASS_IN || !same_name(&r.owner, owner) ||
			ret->n_rdata == room)
			continue;
		int e = keep_rdata(s->packet, &r, a, &ret->rdata[ret->n_rdata]);
		if (e < 0)
			return e;
		ret->n_rdata++;
		ret->ttl = MIN(ret->ttl, r.ttl);
	}
	/* RFC 2308 5: how long the absence may be believed is the SOA's. */
	for (unsigned i = 0; ret->n_rdata == 0 && i < s->n_authority; i++) {
		struct record r;
		if (!read_record(s->packet, &at, &r))
			return -EBADMSG;
		if (r.type == TYPE_SOA)
			ret->ttl = MIN(ret->ttl, r.ttl);
	}
	return 0;
}

int packet_read(struct span packet, struct span name, uint16_t type, struct arena *a,
	struct resolve_answer *ret)
{
	struct section s = {0};
	struct resolve_answer answer = {.ttl = UINT32_MAX};
	struct buf wire = BUF_INIT(NAME_MAX_WIRE + 1), text = BUF_INIT(NAME_MAX_WIRE + 1);
	struct name current = {0};
	bool moved = false;
	int r = open_packet(packet, &s);

	if (r == 0)
		r = resolve_name_to_wire(name, &wire);
	for (size_t i = 0; r == 0 && i < wire.len; i++)
		current.wire[current.len++] = lower(wire.ptr[i]);
	buf_done(&wire);
	if (r == 0 && type != RESOLVE_CNAME)
		r = follow_aliases(&s, &current, &answer.ttl, &moved);
	if (r == -ELOOP) {
		*ret = (struct resolve_answer){
			.status = RESOLVE_SERVFAIL, .why = SPAN_LIT("too many aliases")};
		return 0;
	}
	if (r == 0)
		r = collect(&s, &current, type, a, &answer);
	if (r == 0 && moved) {
		/* Unprintable names are no hosts: the answer stays, without its name. */
		if (resolve_name_from_wire(span_make(current.wire, current.len), &text) == 0)
			answer.canonical = arena_span(a, buf_span(&text));
		else
			answer.canonical = SPAN_LIT("?");
	}
	buf_done(&text);
	if (r < 0)
		return r;
	answer.ttl = answer.ttl == UINT32_MAX ? 0 : answer.ttl;
	if (s.rcode == RCODE_NXDOMAIN)
		answer.status = RESOLVE_NXDOMAIN;
	else if (s.rcode != RCODE_NOERROR)
		answer.status = RESOLVE_SERVFAIL;
	else
		answer.status = answer.n_rdata ? RESOLVE_OK : RESOLVE_NODATA;
	if (answer.status != RESOLVE_OK)
		answer.n_rdata = 0;
	*ret = answer;
	return 0;
}
