/* Readers of single keys, each of the type key_read (schema.h). Inner to src/config. */
#pragma once
#include "config/schema.h"

key_read value_hostname, value_path, value_data, value_text, value_account, value_bool,
	value_number, value_octets, value_duration, value_durations, value_networks,
	value_addresses, value_role, value_listener_tls, value_users, value_aliases, value_target,
	value_catch_all, value_subaddress, value_dkim, value_processes, value_log_format,
	value_log_level, value_route_tls, value_http, value_accept, value_names, value_fingerprints,
	value_credentials, value_sources, value_dns_servers, value_dns_zones, value_dns_names,
	value_mechanisms, value_paths, value_tls_ciphers, value_tls_client, value_tls_keys;

/* Notes "FILE:LINE: what is accepted but not active yet: why" for check and serve. */
MUST_CHECK int value_note_inactive(
	struct reading *r, struct position at, const char *what, const char *why);
/* path against the folder of the configuration file; NULL: no memory. */
char *value_absolute(const struct config *c, const char *path);
