/* The PROXY protocol, as HAProxy's doc/proxy-protocol.txt has it (sections 2.1 and 2.2):
 *
 *   v1 = "PROXY" SP ( ( "TCP4" / "TCP6" ) SP source SP destination SP port SP port / "UNKNOWN" any
 * ) CRLF                                                   ; at most 107 octets v2 = signature(12)
 * %x20-21 family(1) length(2) addresses TLVs
 *
 * A receiver must not guess whether a header comes: the configuration says from whom one must, and
 * from them nothing else is taken. The header is read to its last octet and not one beyond it,
 * because TLS or a greeting may follow.
 *
 * Strict: no leading zeros or signs in numbers, single spaces, addresses as inet_pton takes them.
 * Of version 2 the families other than TCP over IPv4 and IPv6 say nothing that we could use: the
 * connection's own addresses stand then, as the document asks for UNSPEC. */
#include "accept/proxy.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#define V1_MAX	     107u
#define V2_HEAD	     16u
#define V2_IPV4	     12u
#define V2_IPV6	     36u
#define FAMILY_TCP4  0x11u
#define FAMILY_TCP6  0x21u
#define COMMAND_MASK 0x0Fu

static const char signature[12] = "\r\n\r\n\0\r\nQUIT\n";

static bool is_v2(struct span s)
{
	return s.len >= sizeof(signature) && memcmp(s.ptr, signature, sizeof(signature)) == 0;
}

static bool may_be_v1(struct span s)
{
	struct span word = SPAN_LIT("PROXY ");
	size_t n = MIN(s.len, word.len);

	return memcmp(s.ptr, word.ptr, n) == 0;
}

static size_t v2_length(struct span s)
{
	return V2_HEAD + ((size_t)(uint8_t)s.ptr[14] << 8) + (uint8_t)s.ptr[15];
}

int proxy_need(struct span have, size_t *ret_octets)
{
	size_t need = sizeof(signature);

	/* Both versions have at least as many octets as the signature. */
	if (have.len >= sizeof(signature) && is_v2(have)) {
		need = have.len < V2_HEAD ? V2_HEAD : v2_length(have);
		if (need > PROXY_HEADER_MAX)
			return -EINVAL;
	} else if (have.len >= sizeof(signature)) {
		if (!may_be_v1(have))
			return -EINVAL;
		bool whole = memcmp(have.ptr + have.len - 2, "\r\n", 2) == 0;
		if (!whole && have.len >= V1_MAX)
			return -EINVAL;
		need = have.len + (whole ? 0 : 1);
	}
	*ret_octets = need > have.len ? need - have.len : 0;
	return 0;
}

/* ---- version 1 ---- */

/* The word up to the next space or the end; false: empty. */
static bool take_word(struct span *rest, struct span *ret_word)
{
	size_t space = span_index(*rest, ' ');

	*ret_word = span_head(*rest, space);
	*rest = span_from(*rest, space + 1);
	return ret_word->len > 0;
}

static int parse_port(struct span word, uint16_t *ret_port)
{
	uint64_t port;

	if (word.len == 0 || (word.len > 1 && word.ptr[0] == '0') ||
		span_to_u64(word, UINT16_MAX, &port) < 0)
		return -EINVAL;
	*ret_port = (uint16_t)port;
	return 0;
}

static int parse_address(struct span word, bool v4, uint16_t port, struct address *ret)
{
	bool colon = span_index(word, ':') < word.len;

	return colon == v4 ? -EINVAL : address_parse_host(word, port, ret);
}

static int parse_v1(struct span line, struct proxy_header *ret)
{
	struct span word, source, destination, ports[2];
	struct span rest = span_from(line, 6);
	uint16_t port[2];

	if (!take_word(&rest, &word))
		return -EINVAL;
	if (span_equal(word, SPAN_LIT("UNKNOWN"))) {
		ret->keep = true;
		return 0;
	}
	bool v4 = span_equal(word, SPAN_LIT("TCP4"));
	if (!v4 && !span_equal(word, SPAN_LIT("TCP6")))
		return -EINVAL;
	if (!take_word(&rest, &source) || !take_word(&rest, &destination) ||
		!take_word(&rest, &ports[0]))
		return -EINVAL;
	ports[1] = rest; /* the last: a space in it is no digit */
	if (parse_port(ports[0], &port[0]) < 0 || parse_port(ports[1], &port[1]) < 0)
		return -EINVAL;
	int r = parse_address(source, v4, port[0], &ret->source);
	return r < 0 ? r : parse_address(destination, v4, port[1], &ret->destination);
}

/* ---- version 2 ---- */

static uint16_t get_port(const char *p)
{
	return (uint16_t)(((unsigned)(uint8_t)p[0] << 8) | (uint8_t)p[1]);
}

static int parse_v2_ipv4(const char *p, struct proxy_header *ret)
{
	struct sockaddr_in from = {.sin_family = AF_INET, .sin_port = htons(get_port(p + 8))};
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(get_port(p + 10))};

	memcpy(&from.sin_addr, p, 4);
	memcpy(&to.sin_addr, p + 4, 4);
	int r = address_from_sockaddr((struct sockaddr *)&from, sizeof(from), &ret->source);
	if (r == 0)
		r = address_from_sockaddr((struct sockaddr *)&to, sizeof(to), &ret->destination);
	return r;
}

static int parse_v2_ipv6(const char *p, struct proxy_header *ret)
{
	struct sockaddr_in6 from = {.sin6_family = AF_INET6, .sin6_port = htons(get_port(p + 32))};
	struct sockaddr_in6 to = {.sin6_family = AF_INET6, .sin6_port = htons(get_port(p + 34))};

	memcpy(&from.sin6_addr, p, 16);
	memcpy(&to.sin6_addr, p + 16, 16);
	int r = address_from_sockaddr((struct sockaddr *)&from, sizeof(from), &ret->source);
	if (r == 0)
		r = address_from_sockaddr((struct sockaddr *)&to, sizeof(to), &ret->destination);
	return r;
}

static int parse_v2(struct span s, struct proxy_header *ret)
{
	uint8_t version = (uint8_t)s.ptr[12], family = (uint8_t)s.ptr[13];
	size_t octets = s.len - V2_HEAD;

	if (version >> 4 != 2 || (version & COMMAND_MASK) > 1)
		return -EINVAL;
	bool local = (version & COMMAND_MASK) == 0;
	if (local || (family != FAMILY_TCP4 && family != FAMILY_TCP6)) {
		ret->keep = true;
		return 0;
	}
	if (octets < (family == FAMILY_TCP4 ? V2_IPV4 : V2_IPV6))
		return -EINVAL;
	return family == FAMILY_TCP4 ? parse_v2_ipv4(s.ptr + V2_HEAD, ret)
				     : parse_v2_ipv6(s.ptr + V2_HEAD, ret);
}

int proxy_parse(struct span header, struct proxy_header *ret)
{
	struct proxy_header h = {0};
	size_t need;

	if (proxy_need(header, &need) < 0 || need > 0)
		return -EINVAL;
	int r = is_v2(header) ? parse_v2(header, &h)
			      : parse_v1(span_head(header, header.len - 2), &h);
	if (r == 0)
		*ret = h;
	return r;
}
