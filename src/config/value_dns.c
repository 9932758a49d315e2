/* Readers of dns { }: servers, zones with servers of their own, names without signatures. */
#include "config/name.h"
#include "config/value.h"
#include <stdlib.h>

#define DNS_PORT 53

static bool parse_server(struct span text, struct address *ret)
{
	return address_parse(text, DNS_PORT, ret) == 0 && !address_is_unix(ret) &&
	       address_port(ret) != 0;
}

static int read_server(struct reading *r, const char *text, struct address *ret)
{
	(void)r;
	return parse_server(span_str(text), ret) ? 0 : -EINVAL;
}

int value_dns_servers(
	struct reading *r, const struct key *key, const struct value *v, size_t n, void *field)
{
	return value_address_list(r, key, v, n, field, read_server,
		"server: write ADDRESS or ADDRESS:PORT, as \"192.0.2.53\" or "
		"\"[2001:db8::53]:5300\" (no names)");
}

/* "." is the root here. */
static const char *zone_problem(struct span zone)
{
	return span_equal(zone, SPAN_LIT(".")) ? NULL : name_problem(zone);
}

int value_dns_zones(
	struct reading *r, const struct key *key, const struct value *v, size_t n, void *field)
{
	struct config_dns_zone *list = calloc(n ? n : 1, sizeof(*list));

	if (!list)
		return -ENOMEM;
	*(struct config_dns_zone **)field = list;
	for (size_t i = 0; i < n; i++) {
		struct config_dns_zone *z = &list[*value_count(key, field)];
		struct span text = span_trim(span_str(v[i].text));
		struct span zone = span_head(text, span_index(text, ' '));
		struct span server = span_trim(span_from(text, zone.len));
		if (zone_problem(zone) || !parse_server(server, &z->server)) {
			diag_error(r->diag, v[i].at,
				"%s: '%s' is no zone with a server: write \"ZONE ADDRESS\", as "
				"\"corp.example 10.0.0.53\" or \"corp.example 10.0.0.53:5300\"",
				key->name, v[i].text);
			continue;
		}
		z->zone = name_lower(zone);
		if (!z->zone)
			return -ENOMEM;
		++*value_count(key, field);
	}
	return 0;
}

int value_dns_names(
	struct reading *r, const struct key *key, const struct value *v, size_t n, void *field)
{
	char **list = calloc(n ? n : 1, sizeof(*list));

	if (!list)
		return -ENOMEM;
	*(char ***)field = list;
	for (size_t i = 0; i < n; i++) {
		const char *why = zone_problem(span_str(v[i].text));
		if (why) {
			diag_error(r->diag, v[i].at, "%s: '%s': %s", key->name, v[i].text, why);
			continue;
		}
		char *name = name_lower(span_str(v[i].text));
		if (!name)
			return -ENOMEM;
		list[(*value_count(key, field))++] = name;
	}
	return 0;
}
