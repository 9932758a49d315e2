/* Parameters that say what a message is: SIZE, BODY, SMTPUTF8, PRDR. Those about reports stand in
 * parameter_dsn.c, those about time in parameter_time.c. */
#include "session/parameter.h"
#include "checks/size.h"

/* RFC 1870 3: at most 20 digits. What does not fit in 64 bits is too big in any case. */
struct verdict param_size(struct session *s, struct span value)
{
	uint64_t octets = 0;

	int r = value.len > 20 ? -EINVAL : span_to_u64(value, UINT64_MAX, &octets);
	if (r == -ERANGE)
		octets = UINT64_MAX;
	else if (r < 0)
		return PARAM_BAD("SIZE needs a number");
	struct verdict v = check_size(octets, s->config->limits.message_size);
	if (verdict_is_ok(v))
		s->tx.declared_size = octets;
	return v;
}

/* RFC 6152 2: 7BIT or 8BITMIME; RFC 3030 3: BINARYMIME. */
struct verdict param_body(struct session *s, struct span value)
{
	if (span_equal_nocase(value, SPAN_LIT("7BIT")))
		s->tx.body = BODY_7BIT;
	else if (span_equal_nocase(value, SPAN_LIT("8BITMIME")))
		s->tx.body = BODY_8BITMIME;
	else if (span_equal_nocase(value, SPAN_LIT("BINARYMIME")))
		s->tx.body = BODY_BINARYMIME;
	else
		return PARAM_BAD("BODY is 7BIT, 8BITMIME or BINARYMIME");
	return PARAM_OK;
}

struct verdict param_smtputf8(struct session *s, struct span value)
{
	(void)value; /* it has none */
	s->tx.flags |= MESSAGE_SMTPUTF8;
	return PARAM_OK;
}

struct verdict param_requiretls(struct session *s, struct span value)
{
	(void)value;
	s->tx.flags |= MESSAGE_REQUIRETLS;
	return PARAM_OK;
}

struct verdict param_prdr(struct session *s, struct span value)
{
	(void)value;
	s->tx.prdr = true;
	return PARAM_OK;
}
