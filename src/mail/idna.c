/* U-labels to A-labels, RFC 5891 5, with the mapping of UTS 46 (non-transitional) first: people
 * type capitals and compatibility forms, and RFC 5895 lets an application map them. A name goes
 * into the envelope only as what comes out of here, so two spellings of one domain are one domain
 * everywhere behind this line, and no look-alike survives as a second name for a domain of ours.
 *
 * libidn2 allocates; that is the one exception to the room's rule of `struct buf` only. */
#include "mail/idna.h"
#include "mail/octet.h"
#include "mail/path.h"

#include <idn2.h>
#include <stdlib.h>

bool text_is_ascii(struct span s)
{
	uint8_t all = 0;

	for (size_t i = 0; i < s.len; i++)
		all |= octet_at(s, i);
	return all < 128;
}

static void put_lower(struct span s, struct buf *out)
{
	for (size_t i = 0; i < s.len; i++)
		buf_char(out, to_lower(octet_at(s, i)));
}

int idna_to_ascii(struct span domain, struct buf *out)
{
	char *ascii = NULL, *copy;
	enum domain_kind kind;

	if (text_is_ascii(domain)) {
		put_lower(domain, out);
		return out->error;
	}
	if (span_index(domain, '\0') < domain.len)
		return -EINVAL;
	copy = strndup(domain.ptr, domain.len);
	if (!copy)
		return -ENOMEM;
	int r = idn2_to_ascii_8z(copy, &ascii, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL);
	free(copy);
	if (r != IDN2_OK)
		return r == IDN2_MALLOC ? -ENOMEM : -EINVAL;
	struct span text = span_str(ascii);
	/* A mapping may leave what is no host name: an empty label, a full stop in a label. */
	r = domain_parse(text, false, &kind) < 0 || kind != DOMAIN_NAME ? -EINVAL : 0;
	if (r == 0)
		put_lower(text, out);
	idn2_free(ascii);
	return r < 0 ? r : out->error;
}
