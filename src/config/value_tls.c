/* Readers of what `tls` and a listener's tls keys say about the server's side of TLS. */
#include "config/value.h"
#include <stdlib.h>

int value_paths(
	struct reading *r, const struct key *key, const struct value *v, size_t n, void *field)
{
	char ***list = field;
	size_t *count = value_count(key, field);

	if (*list) /* given twice: the scanner has said so */
		return 0;
	*list = calloc(n ? n : 1, sizeof(**list));
	if (!*list)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		if (!*v[i].text) {
			diag_error(r->diag, v[i].at, "%s: a path is empty: give one or remove it",
				key->name);
			continue;
		}
		(*list)[*count] = value_absolute(r->config, v[i].text);
		if (!(*list)[*count])
			return -ENOMEM;
		++*count;
	}
	return 0;
}

int value_listener_tls(
	struct reading *r, const struct key *key, const struct value *v, size_t n, void *field)
{
	static const char *const words[] = {"starttls", "implicit", "none", NULL};
	static const enum tls_mode modes[] = {TLS_STARTTLS, TLS_IMPLICIT, TLS_NONE};
	(void)n;

	int i = value_choose(r, key, v, words, "unknown mode: write starttls, implicit or none");
	if (i >= 0)
		*(enum tls_mode *)field = modes[i];
	return 0;
}

int value_tls_ciphers(
	struct reading *r, const struct key *key, const struct value *v, size_t n, void *field)
{
	static const char *const words[] = {"intermediate", "modern", "old", NULL};
	static const enum tls_ciphers presets[] = {
		TLS_CIPHERS_INTERMEDIATE, TLS_CIPHERS_MODERN, TLS_CIPHERS_OLD};
	(void)n;

	int i = value_choose(r, key, v, words, "unknown preset: write intermediate, modern or old");
	if (i >= 0)
		*(enum tls_ciphers *)field = presets[i];
	return 0;
}

int value_tls_client(
	struct reading *r, const struct key *key, const struct value *v, size_t n, void *field)
{
	static const char *const words[] = {"none", "request", "require", NULL};
	static const enum tls_wish wants[] = {
		TLS_CLIENT_NONE, TLS_CLIENT_REQUEST, TLS_CLIENT_REQUIRE};
	(void)n;

	int i = value_choose(r, key, v, words, "unknown wish: write none, request or require");
	if (i >= 0)
		*(enum tls_wish *)field = wants[i];
	return 0;
}

int value_tls_keys(
	struct reading *r, const struct key *key, const struct value *v, size_t n, void *field)
{
	static const char *const words[] = {"process", "receiver", NULL};
	static const enum tls_keys places[] = {TLS_KEYS_PROCESS, TLS_KEYS_RECEIVER};
	(void)n;

	int i = value_choose(r, key, v, words, "unknown place: write process or receiver");
	if (i >= 0)
		*(enum tls_keys *)field = places[i];
	return 0;
}
