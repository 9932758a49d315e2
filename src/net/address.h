/* Socket addresses and networks as values. Text forms: "127.0.0.1:25", "[::1]:25", "unix:/path",
 * "10.0.0.0/8", "2001:db8::/32", "192.0.2.1". IPv4-mapped IPv6 is always turned into IPv4. */
#pragma once
#include "base/buf.h"
#include <sys/socket.h>

struct address {
	socklen_t len; /* 0: none */
	struct sockaddr_storage ss;
};
struct network {
	uint8_t family_v6; /* 0: IPv4, 1: IPv6 */
	uint8_t bits;
	uint8_t octets[16];
};
/* Numeric host only (no resolution). -EINVAL; port may be absent when default_port > 0. */
MUST_CHECK int address_parse(struct span text, uint16_t default_port, struct address *ret_address);
/* A numeric host without brackets or port, IPv4 or IPv6. -EINVAL. */
MUST_CHECK int address_parse_host(struct span host, uint16_t port, struct address *ret_address);
/* What accept, getpeername or getsockname gave. -EINVAL when cut short. */
MUST_CHECK int address_from_sockaddr(
	const struct sockaddr *sa, socklen_t len, struct address *ret_address);
/* "127.0.0.1:25", "[::1]:25", "local" for unix. */
void address_format(const struct address *a, struct buf *out);
struct address_text {
	char s[46]; /* INET6_ADDRSTRLEN */
};
/* "127.0.0.1", "::1", "local". */
struct address_text address_host_text(const struct address *a);
void address_format_host(const struct address *a, struct buf *out);
uint16_t address_port(const struct address *a);
bool address_is_unix(const struct address *a);
bool address_equal_host(const struct address *a, const struct address *b);
MUST_CHECK int network_parse(struct span text, struct network *ret_network);
bool network_contains(const struct network *n, const struct address *a);
