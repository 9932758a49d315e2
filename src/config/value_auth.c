/* Readers of what concerns logging in: mechanisms, tables of senders. */
#include "config/value.h"
#include "mail/mechanism.h"
#include <stdlib.h>

int value_mechanisms(
	struct reading *r, const struct key *key, const struct value *v, size_t n, void *field)
{
	uint32_t set = 0;

	for (size_t i = 0; i < n; i++) {
		enum mechanism m;
		if (mechanism_find(span_str(v[i].text), &m) < 0) {
			struct buf shown = BUF_INIT(512);
			buf_escaped(&shown, span_str(v[i].text), 80);
			buf_char(&shown, '\0');
			diag_error(r->diag, v[i].at,
				"%s: '%s' is no mechanism: write some of PLAIN, LOGIN, "
				"SCRAM-SHA-1, SCRAM-SHA-256, SCRAM-SHA-1-PLUS, "
				"SCRAM-SHA-256-PLUS, EXTERNAL, CRAM-MD5",
				key->name, shown.error ? "?" : shown.ptr);
			buf_done(&shown);
			return 0;
		}
		set |= MECH_BIT(m);
	}
	if (set == 0) {
		diag_error(r->diag, v[0].at,
			"%s is empty, so that nobody could log in: name some, or remove the key",
			key->name);
		return 0;
	}
	*(uint32_t *)field = set;
	return 0;
}
