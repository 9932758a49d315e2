/* Readers of single keys, each of the type key_read (schema.h). Inner to src/config. */
#pragma once
#include "config/schema.h"

key_read value_hostname, value_path, value_data, value_text, value_account, value_bool,
	value_number, value_octets, value_duration, value_durations, value_networks,
	value_addresses, value_role, value_listener_tls, value_users, value_aliases, value_target,
	value_catch_all, value_subaddress, value_dkim, value_processes, value_log_format,
	value_log_level, value_route_tls, value_http, value_accept, value_names, value_fingerprints,
	value_credentials, value_sources, value_dns_servers, value_dns_zones, value_dns_names,
	value_mechanisms, value_paths, value_words, value_mail_address, value_tls_ciphers,
	value_tls_client, value_tls_keys;

/* Notes "FILE:LINE: what is accepted but not active yet: why" for check and serve. */
MUST_CHECK int value_note_inactive(
	struct reading *r, struct position at, const char *what, const char *why);
/* path against the folder of the configuration file; NULL: no memory. */
char *value_absolute(const struct config *c, const char *path);

/* The index of the word in a NULL-terminated list, or -1 and an error that ends with the remedy. */
int value_choose(struct reading *r, const struct key *key, const struct value *v,
	const char *const *words, const char *remedy);
/* Where the length of the list in `field` stands. */
static inline size_t *value_count(const struct key *key, void *field)
{
	return (size_t *)(void *)((char *)field - key->offset + key->count_offset);
}
/* A list of addresses. parse: 0 or a negative errno for what is none; then the error says that it
 * is no `what`, which tells how to write it. */
MUST_CHECK int value_address_list(struct reading *r, const struct key *key, const struct value *v,
	size_t n, void *field, int (*parse)(struct reading *, const char *, struct address *),
	const char *what);
