/* Addresses and networks as values, numeric only: names are the resolver's work.
 *
 * An IPv4 peer of an IPv6 socket has the address ::ffff:a.b.c.d (RFC 4291 2.5.5.2). Every function
 * here treats it as the IPv4 address that it is, so that a network or a limit written for IPv4
 * cannot be passed by through the other family. */
#include "net/address.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/un.h>

#define PORT_MAX 65535u

/* ---- hosts as octets ---- */

struct host {
	unsigned n_octets; /* 4, 16, or 0: no IP address */
	uint8_t octets[16];
};

static const uint8_t mapped_prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

static void host_unmap(struct host *h)
{
	if (h->n_octets != 16 || memcmp(h->octets, mapped_prefix, sizeof mapped_prefix) != 0)
		return;
	memmove(h->octets, h->octets + 12, 4);
	h->n_octets = 4;
}

static struct host host_of(const struct address *a)
{
	struct host h = {0};
	if (a->len == 0)
		return h;
	if (a->ss.ss_family == AF_INET) {
		const struct sockaddr_in *in = (const void *)&a->ss;
		h.n_octets = 4;
		memcpy(h.octets, &in->sin_addr, 4);
	} else if (a->ss.ss_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const void *)&a->ss;
		h.n_octets = 16;
		memcpy(h.octets, &in6->sin6_addr, 16);
		host_unmap(&h);
	}
	return h;
}

static struct address address_of(const struct host *h, uint16_t port)
{
	struct address a = {0};
	if (h->n_octets == 4) {
		struct sockaddr_in *in = (void *)&a.ss;
		in->sin_family = AF_INET;
		in->sin_port = htons(port);
		memcpy(&in->sin_addr, h->octets, 4);
		a.len = sizeof *in;
	} else {
		struct sockaddr_in6 *in6 = (void *)&a.ss;
		in6->sin6_family = AF_INET6;
		in6->sin6_port = htons(port);
		memcpy(&in6->sin6_addr, h->octets, 16);
		a.len = sizeof *in6;
	}
	return a;
}

/* The whole span, without brackets. Keeps a mapped address as it stands. */
static int host_parse(struct span text, struct host *ret_host)
{
	char z[INET6_ADDRSTRLEN];
	if (text.len == 0 || text.len >= sizeof z || memchr(text.ptr, 0, text.len))
		return -EINVAL;
	memcpy(z, text.ptr, text.len);
	z[text.len] = 0;
	struct host h = {0};
	if (inet_pton(AF_INET, z, h.octets) == 1)
		h.n_octets = 4;
	else if (inet_pton(AF_INET6, z, h.octets) == 1)
		h.n_octets = 16;
	else
		return -EINVAL;
	*ret_host = h;
	return 0;
}

/* ---- text to address ---- */

static int address_parse_unix(struct span path, struct address *ret_address)
{
	struct address a = {0};
	struct sockaddr_un *un = (void *)&a.ss;
	if (path.len == 0 || path.len >= sizeof un->sun_path || memchr(path.ptr, 0, path.len))
		return -EINVAL;
	un->sun_family = AF_UNIX;
	memcpy(un->sun_path, path.ptr, path.len);
	a.len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + path.len + 1);
	*ret_address = a;
	return 0;
}

/* Splits "host:port", "[host]:port", "[host]" and "host"; ret_port is empty where there is none. */
static int split_port(struct span text, struct span *ret_host, struct span *ret_port)
{
	if (text.len > 0 && text.ptr[0] == '[') {
		size_t close = span_index(text, ']');
		struct span after = span_from(text, close + 1);
		if (close == text.len || (after.len > 0 && after.ptr[0] != ':') || after.len == 1)
			return -EINVAL;
		*ret_host = span_make(text.ptr + 1, close - 1);
		*ret_port = span_from(after, 1);
		/* Brackets are for IPv6 (RFC 3986 3.2.2). */
		return memchr(ret_host->ptr, ':', ret_host->len) ? 0 : -EINVAL;
	}
	size_t colon = span_index(text, ':');
	struct span after = span_from(text, colon + 1);
	if (colon == text.len || memchr(after.ptr, ':', after.len)) {
		*ret_host = text; /* no colon, or a bare IPv6 address */
		*ret_port = SPAN_NULL;
		return 0;
	}
	*ret_host = span_head(text, colon);
	*ret_port = after;
	return after.len > 0 ? 0 : -EINVAL;
}

int address_parse(struct span text, uint16_t default_port, struct address *ret_address)
{
	struct span unix_prefix = SPAN_LIT("unix:");
	if (span_equal(span_head(text, unix_prefix.len), unix_prefix))
		return address_parse_unix(span_from(text, unix_prefix.len), ret_address);
	struct span host, port;
	int r = split_port(text, &host, &port);
	if (r < 0)
		return r;
	uint64_t number = default_port;
	if (port.len > 0) {
		if (span_to_u64(port, PORT_MAX, &number) < 0)
			return -EINVAL;
	} else if (default_port == 0) {
		return -EINVAL;
	}
	struct host h;
	r = host_parse(host, &h);
	if (r < 0)
		return r;
	host_unmap(&h);
	*ret_address = address_of(&h, (uint16_t)number);
	return 0;
}

int address_from_sockaddr(const struct sockaddr *sa, socklen_t len, struct address *ret_address)
{
	struct address a = {.len = len};
	if (len < sizeof sa->sa_family || len > sizeof a.ss)
		return -EINVAL;
	memcpy(&a.ss, sa, len);
	if ((a.ss.ss_family == AF_INET && len < sizeof(struct sockaddr_in)) ||
		(a.ss.ss_family == AF_INET6 && len < sizeof(struct sockaddr_in6)))
		return -EINVAL;
	struct host h = host_of(&a);
	if (a.ss.ss_family == AF_INET6 && h.n_octets == 4)
		a = address_of(&h, address_port(&a));
	*ret_address = a;
	return 0;
}

/* ---- address to text ---- */

static void v4_format(const uint8_t octets[static 4], char *out)
{
	for (unsigned i = 0; i < 4; i++) {
		unsigned v = octets[i];
		if (i > 0)
			*out++ = '.';
		if (v >= 100)
			*out++ = (char)('0' + v / 100);
		if (v >= 10)
			*out++ = (char)('0' + v / 10 % 10);
		*out++ = (char)('0' + v % 10);
	}
	*out = '\0';
}

static bool host_format(const struct host *h, struct address_text *out)
{
	_Static_assert(sizeof(out->s) == INET6_ADDRSTRLEN, "address_text has room for any address");

	if (h->n_octets == 4) /* inet_ntop would go through printf, and each log line has one */
		v4_format(h->octets, out->s);
	else if (h->n_octets == 0 || !inet_ntop(AF_INET6, h->octets, out->s, sizeof(out->s)))
		return false;
	return true;
}

struct address_text address_host_text(const struct address *a)
{
	struct address_text t;
	struct host h = host_of(a);

	return host_format(&h, &t) ? t : (struct address_text){"local"};
}

void address_format_host(const struct address *a, struct buf *out)
{
	buf_str(out, address_host_text(a).s);
}

void address_format(const struct address *a, struct buf *out)
{
	struct address_text t;
	struct host h = host_of(a);

	if (!host_format(&h, &t)) {
		buf_str(out, "local");
		return;
	}
	buf_str(out, h.n_octets == 16 ? "[" : "");
	buf_str(out, t.s);
	buf_str(out, h.n_octets == 16 ? "]:" : ":");
	buf_u64(out, address_port(a));
}

/* ---- questions ---- */

uint16_t address_port(const struct address *a)
{
	if (a->len > 0 && a->ss.ss_family == AF_INET)
		return ntohs(((const struct sockaddr_in *)(const void *)&a->ss)->sin_port);
	if (a->len > 0 && a->ss.ss_family == AF_INET6)
		return ntohs(((const struct sockaddr_in6 *)(const void *)&a->ss)->sin6_port);
	return 0;
}

bool address_is_unix(const struct address *a)
{
	return a->len > 0 && a->ss.ss_family == AF_UNIX;
}

bool address_equal_host(const struct address *a, const struct address *b)
{
	if (address_is_unix(a) || address_is_unix(b))
		return a->len == b->len && memcmp(&a->ss, &b->ss, a->len) == 0;
	struct host x = host_of(a), y = host_of(b);
	return x.n_octets > 0 && x.n_octets == y.n_octets &&
	       memcmp(x.octets, y.octets, x.n_octets) == 0;
}

/* ---- networks ---- */

static void octets_mask(uint8_t octets[static 16], unsigned bits)
{
	for (unsigned i = 0; i < 16; i++) {
		unsigned kept = bits > i * 8 ? bits - i * 8 : 0;
		if (kept < 8)
			octets[i] = (uint8_t)(octets[i] & (0xff00u >> kept));
	}
}

int network_parse(struct span text, struct network *ret_network)
{
	size_t slash = span_index(text, '/');
	struct span host = span_head(text, slash);
	if (host.len > 2 && host.ptr[0] == '[' && host.ptr[host.len - 1] == ']') {
		host = span_make(host.ptr + 1, host.len - 2);
		if (!memchr(host.ptr, ':', host.len))
			return -EINVAL;
	}
	struct host h;
	int r = host_parse(host, &h);
	if (r < 0)
		return r;
	uint64_t bits = h.n_octets * 8;
	if (slash < text.len && span_to_u64(span_from(text, slash + 1), bits, &bits) < 0)
		return -EINVAL;
	if (bits >= 96 && h.n_octets == 16) {
		host_unmap(&h);
		if (h.n_octets == 4)
			bits -= 96;
	}
	struct network n = {.family_v6 = h.n_octets == 16, .bits = (uint8_t)bits};
	memcpy(n.octets, h.octets, h.n_octets);
	octets_mask(n.octets, n.bits);
	*ret_network = n;
	return 0;
}

bool network_contains(const struct network *n, const struct address *a)
{
	struct host h = host_of(a);
	if (h.n_octets != (n->family_v6 ? 16u : 4u))
		return false;
	octets_mask(h.octets, n->bits);
	return memcmp(h.octets, n->octets, h.n_octets) == 0;
}

int address_parse_host(struct span host, uint16_t port, struct address *ret_address)
{
	char text[INET6_ADDRSTRLEN] = "";
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(port)};
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};

	if (host.len == 0 || host.len >= sizeof(text) || span_index(host, '\0') < host.len)
		return -EINVAL;
	memcpy(text, host.ptr, host.len);
	if (span_index(host, ':') < host.len)
		return inet_pton(AF_INET6, text, &in6.sin6_addr) == 1
			       ? address_from_sockaddr(
					 (struct sockaddr *)&in6, sizeof(in6), ret_address)
			       : -EINVAL;
	return inet_pton(AF_INET, text, &in.sin_addr) == 1
		       ? address_from_sockaddr((struct sockaddr *)&in, sizeof(in), ret_address)
		       : -EINVAL;
}
