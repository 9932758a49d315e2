/* Names that an operator writes: hostname, domain and route titles, next hops. Stricter than the
 * SMTP grammar on purpose (RFC 1123 2.1 letters, digits and hyphens, RFC 1035 2.3.4 lengths), as a
 * slip here is cheaper to find before the server starts. U-labels are refused with the remedy:
 * the tree holds A-labels only, so that every comparison later is octets against octets. */
#include "config/name.h"
#include <arpa/inet.h>
#include <stdlib.h>

static bool is_letter_digit(unsigned char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static const char *label_problem(struct span label)
{
	if (label.len == 0)
		return "has an empty label: remove the extra dot";
	if (label.len > LABEL_OCTETS_MAX)
		return "has a label of more than 63 octets: shorten it";
	if (label.ptr[0] == '-' || label.ptr[label.len - 1] == '-')
		return "has a label that starts or ends with a hyphen: remove the hyphen";
	for (size_t i = 0; i < label.len; i++) {
		unsigned char c = (unsigned char)label.ptr[i];
		if (c >= 0x80)
			return "is not ASCII: write it in its A-label form (xn--...)";
		/* The underscore is no host name, but it is in real use. */
		if (!is_letter_digit(c) && c != '-' && c != '_')
			return "has an octet that no name may hold: use letters, digits, hyphens "
			       "and dots";
	}
	return NULL;
}

const char *name_problem(struct span name)
{
	if (name.len == 0)
		return "is empty: give a name";
	if (name.len > NAME_OCTETS_MAX)
		return "is longer than 253 octets: shorten it";
	if (name_is_literal(name))
		return "is an address: give a name";
	struct span rest = name;
	for (;;) {
		size_t dot = span_index(rest, '.');
		const char *why = label_problem(span_head(rest, dot));
		if (why || dot == rest.len)
			return why;
		rest = span_from(rest, dot + 1);
	}
}

bool name_is_literal(struct span name)
{
	char text[INET6_ADDRSTRLEN];
	unsigned char octets[16];

	if (name.len == 0 || name.len >= sizeof(text))
		return false;
	memcpy(text, name.ptr, name.len);
	text[name.len] = '\0';
	return inet_pton(AF_INET, text, octets) == 1 || inet_pton(AF_INET6, text, octets) == 1;
}

char *name_lower(struct span name)
{
	char *copy = malloc(name.len + 1);
	if (!copy)
		return NULL;
	for (size_t i = 0; i < name.len; i++) {
		char c = name.ptr[i];
		copy[i] = c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
	}
	copy[name.len] = '\0';
	return copy;
}
