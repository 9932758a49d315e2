/* RFC 4616 2: authcid and passwd are not empty; NUL only separates. */
#include "sasl/plain.h"

int plain_parse(struct span message, struct plain *ret)
{
	struct plain p;

	p.authzid = span_head(message, span_index(message, '\0'));
	if (p.authzid.len == message.len)
		return -EBADMSG;
	struct span rest = span_from(message, p.authzid.len + 1);
	p.authcid = span_head(rest, span_index(rest, '\0'));
	if (p.authcid.len == rest.len || p.authcid.len == 0)
		return -EBADMSG;
	p.password = span_from(rest, p.authcid.len + 1);
	if (p.password.len == 0 || span_index(p.password, '\0') < p.password.len)
		return -EBADMSG;
	if (p.authzid.len > SASL_NAME_MAX || p.authcid.len > SASL_NAME_MAX ||
		p.password.len > SASL_PASSWORD_MAX)
		return -EBADMSG;
	*ret = p;
	return 0;
}
