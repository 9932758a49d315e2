/* Keywords are compared without case (RFC 5321 2.4). A value that cannot be understood is as if it
 * had not been said: for LIMITS RFC 9422 3 asks so, and a limit of 0 would forbid all mail. */
#include "deliver/offers.h"

static void learn_limit(struct offers *o, struct span name, struct span value)
{
	const struct {
		struct span name;
		uint64_t *limit;
	} limits[] = {
		{SPAN_LIT("MAILMAX"), &o->mail_max},
		{SPAN_LIT("RCPTMAX"), &o->rcpt_max},
		{SPAN_LIT("RCPTDOMAINMAX"), &o->rcpt_domain_max},
	};
	uint64_t n;

	for (size_t i = 0; i < ARRAY_LEN(limits); i++) {
		if (!span_equal_nocase(name, limits[i].name))
			continue;
		/* RFC 9422 4: %x31-39 0*5DIGIT */
		if (span_to_u64(value, 999999, &n) >= 0 && n > 0)
			*limits[i].limit = n;
	}
}

static void learn_limits(struct offers *o, struct span list)
{
	while (list.len > 0) {
		struct span one = span_head(list, span_index(list, ' '));
		size_t equals = span_index(one, '=');
		list = span_trim(span_from(list, one.len));
		learn_limit(o, span_head(one, equals), span_from(one, equals + 1));
	}
}

void offers_learn(struct offers *o, struct span keyword, struct span value)
{
	const struct {
		struct span name;
		bool *flag;
	} flags[] = {
		{SPAN_LIT("CHUNKING"), &o->chunking},
		{SPAN_LIT("BINARYMIME"), &o->binarymime},
		{SPAN_LIT("SMTPUTF8"), &o->smtputf8},
		{SPAN_LIT("DSN"), &o->dsn},
		{SPAN_LIT("DELIVERBY"), &o->deliverby},
		{SPAN_LIT("MT-PRIORITY"), &o->mt_priority},
		{SPAN_LIT("PRDR"), &o->prdr},
	};
	uint64_t n;

	for (size_t i = 0; i < ARRAY_LEN(flags); i++)
		if (span_equal_nocase(keyword, flags[i].name))
			*flags[i].flag = true;
	if (span_equal_nocase(keyword, SPAN_LIT("DELIVERBY")) &&
		span_to_u64(value, 999999999, &n) >= 0)
		o->by_min_sec = n;
	if (span_equal_nocase(keyword, SPAN_LIT("LIMITS")))
		learn_limits(o, value);
}
