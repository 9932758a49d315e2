/* Questions to the resolver, its answers, and the few record types that mail needs. An answer
 * crossed two borders: strangers wrote the records, and the resolver that read them may be
 * compromised; so lengths are checked here again, record by record, where they are used. */
#include "ipc/resolve.h"
#include <netinet/in.h>

#define LABEL_MAX     63u
#define WIRE_NAME_MAX 255u /* RFC 1035 2.3.4, with lengths and root */

static const char *const status_names[] = {
	"ok", "no-data", "nxdomain", "servfail", "bogus", "timeout", "unavailable", "bad-name"};

const char *resolve_status_name(enum resolve_status s)
{
	return (size_t)s < ARRAY_LEN(status_names) ? status_names[s] : "unknown";
}

bool resolve_is_temporary(enum resolve_status s)
{
	return s == RESOLVE_SERVFAIL || s == RESOLVE_BOGUS || s == RESOLVE_TIMEOUT ||
	       s == RESOLVE_UNAVAILABLE;
}

void resolve_ask_encode(const struct resolve_ask *q, struct buf *out)
{
	wire_put_u64(out, q->token);
	wire_put_span(out, q->name);
	wire_put_u16(out, q->type);
}

int resolve_ask_decode(struct span payload, struct resolve_ask *ret)
{
	struct wire w = wire_reader(payload);
	struct resolve_ask q = {.token = wire_get_u64(&w)};

	q.name = wire_get_span(&w);
	q.type = wire_get_u16(&w);
	if (w.error)
		return -EBADMSG;
	*ret = q;
	return 0;
}

void resolve_answer_encode(const struct resolve_answer *a, struct buf *out)
{
	wire_put_u64(out, a->token);
	wire_put_u8(out, (uint8_t)a->status);
	wire_put_u8(out, a->secure);
	wire_put_u32(out, a->ttl);
	wire_put_span(out, a->canonical);
	wire_put_span(out, a->why);
	wire_put_u32(out, a->n_rdata);
	for (uint32_t i = 0; i < a->n_rdata; i++)
		wire_put_span(out, a->rdata[i]);
}

int resolve_answer_decode(struct span payload, struct arena *arena, struct resolve_answer *ret)
{
	struct wire w = wire_reader(payload);
	struct resolve_answer a = {.token = wire_get_u64(&w)};
	uint8_t status = wire_get_u8(&w);

	a.status = (enum resolve_status)status;
	a.secure = wire_get_u8(&w) != 0;
	a.ttl = wire_get_u32(&w);
	a.canonical = wire_get_span(&w);
	a.why = wire_get_span(&w);
	a.n_rdata = wire_get_u32(&w);
	if (w.error || status > RESOLVE_BAD_NAME || a.n_rdata > RESOLVE_RECORDS_MAX ||
		a.canonical.len > WIRE_NAME_MAX || (a.status == RESOLVE_OK) != (a.n_rdata > 0))
		return -EBADMSG;
	a.rdata = arena_alloc(arena, (a.n_rdata ? a.n_rdata : 1) * sizeof(*a.rdata));
	if (!a.rdata)
		return -ENOMEM;
	for (uint32_t i = 0; i < a.n_rdata; i++)
		a.rdata[i] = wire_get_span(&w);
	if (w.error)
		return -EBADMSG;
	*ret = a;
	return 0;
}

int resolve_answer_copy(
	const struct resolve_answer *from, struct arena *a, struct resolve_answer *ret)
{
	struct resolve_answer copy = *from;

	copy.canonical = arena_span(a, from->canonical);
	copy.why = arena_span(a, from->why);
	copy.rdata = arena_alloc(a, (from->n_rdata ? from->n_rdata : 1) * sizeof(*copy.rdata));
	if (!copy.canonical.ptr || !copy.why.ptr || !copy.rdata)
		return -ENOMEM;
	for (uint32_t i = 0; i < from->n_rdata; i++) {
		copy.rdata[i] = arena_span(a, from->rdata[i]);
		if (!copy.rdata[i].ptr)
			return -ENOMEM;
	}
	*ret = copy;
	return 0;
}

/* ---- names ---- */

int resolve_name_to_wire(struct span name, struct buf *out)
{
	size_t before = out->len;

	if (name.len > 0 && name.ptr[name.len - 1] == '.')
		name.len--;
	if (name.len > RESOLVE_NAME_MAX)
		return -EINVAL;
	while (name.len > 0) {
		size_t n = span_index(name, '.');
		if (n == 0 || n > LABEL_MAX || n + 1 == name.len)
			return -EINVAL;
		for (size_t i = 0; i < n; i++)
			/* What presentation form would escape is in no name that mail asks for. */
			if ((uint8_t)name.ptr[i] <= ' ' || (uint8_t)name.ptr[i] >= 0x7f ||
				name.ptr[i] == '\\')
				return -EINVAL;
		buf_char(out, (char)n);
		buf_append(out, name.ptr, n);
		name = span_from(name, n + 1);
	}
	buf_char(out, 0);
	return out->error ? out->error : out->len - before > WIRE_NAME_MAX ? -EINVAL : 0;
}

int resolve_name_from_wire(struct span wire, struct buf *out)
{
	bool first = true;

	if (wire.len > WIRE_NAME_MAX)
		return -EBADMSG;
	for (;;) {
		if (wire.len == 0)
			return -EBADMSG;
		size_t n = (uint8_t)wire.ptr[0];
		wire = span_from(wire, 1);
		if (n == 0)
			return wire.len > 0 ? -EBADMSG : out->error;
		if (n > LABEL_MAX || n > wire.len)
			return -EBADMSG;
		if (!first)
			buf_char(out, '.');
		first = false;
		for (size_t i = 0; i < n; i++) {
			char c = wire.ptr[i];
			if ((uint8_t)c <= ' ' || (uint8_t)c >= 0x7f || c == '.' || c == '\\')
				return -EBADMSG;
			buf_char(out, c >= 'A' && c <= 'Z' ? (char)(c + 'a' - 'A') : c);
		}
		wire = span_from(wire, n);
	}
}

/* ---- records ---- */

int resolve_host(struct span rdata, struct arena *a, struct span *ret)
{
	struct buf text = BUF_INIT(WIRE_NAME_MAX);
	int r = resolve_name_from_wire(rdata, &text);

	if (r == 0) {
		struct span host = arena_span(a, buf_span(&text));
		if (host.ptr)
			*ret = host;
		else
			r = -ENOMEM;
	}
	buf_done(&text);
	return r;
}

int resolve_mx(struct span rdata, struct arena *a, struct resolve_mx *ret)
{
	struct span host;

	if (rdata.len < 3)
		return -EBADMSG;
	int r = resolve_host(span_from(rdata, 2), a, &host);
	if (r < 0)
		return r;
	*ret = (struct resolve_mx){
		(uint16_t)((uint8_t)rdata.ptr[0] << 8 | (uint8_t)rdata.ptr[1]), host};
	return 0;
}

int resolve_txt(struct span rdata, struct arena *a, struct span *ret)
{
	char *text = arena_alloc(a, rdata.len + 1);
	size_t len = 0;

	if (!text)
		return -ENOMEM;
	while (rdata.len > 0) {
		size_t n = (uint8_t)rdata.ptr[0];
		if (n + 1 > rdata.len)
			return -EBADMSG;
		memcpy(text + len, rdata.ptr + 1, n);
		len += n;
		rdata = span_from(rdata, n + 1);
	}
	*ret = span_make(text, len);
	return 0;
}

int resolve_address(struct span rdata, uint16_t port, struct address *ret)
{
	struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(port)};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};

	if (rdata.len == sizeof(v4.sin_addr)) {
		memcpy(&v4.sin_addr, rdata.ptr, rdata.len);
		return address_from_sockaddr((const struct sockaddr *)&v4, sizeof(v4), ret);
	}
	if (rdata.len != sizeof(v6.sin6_addr))
		return -EBADMSG;
	memcpy(&v6.sin6_addr, rdata.ptr, rdata.len);
	return address_from_sockaddr((const struct sockaddr *)&v6, sizeof(v6), ret);
}

int resolve_tlsa(struct span rdata, struct resolve_tlsa *ret)
{
	if (rdata.len < 3)
		return -EBADMSG;
	*ret = (struct resolve_tlsa){(uint8_t)rdata.ptr[0], (uint8_t)rdata.ptr[1],
		(uint8_t)rdata.ptr[2], span_from(rdata, 3)};
	return 0;
}
