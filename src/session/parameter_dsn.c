/* What the sender wants to be told, RFC 3461 4:
 *
 *   "RET=" ( "FULL" / "HDRS" )        "ENVID=" xtext                      ; of MAIL
 *   "NOTIFY=" ( "NEVER" / 1#( "SUCCESS" / "FAILURE" / "DELAY" ) )         ; of RCPT
 *   "ORCPT=" addr-type ";" xtext                                          ; RFC 6533 3: utf-8
 *
 * They are kept as facts of the message and acted upon where the outcome is known (bounce/), or
 * passed on to a next hop that knows them. */
#include "mail/xtext.h"
#include "session/limits.h"
#include "session/parameter.h"

struct verdict param_ret(struct session *s, struct span value)
{
	if (span_equal_nocase(value, SPAN_LIT("FULL")))
		s->tx.ret = MESSAGE_RET_FULL;
	else if (span_equal_nocase(value, SPAN_LIT("HDRS")))
		s->tx.ret = MESSAGE_RET_HDRS;
	else
		return PARAM_BAD("RET is FULL or HDRS");
	return PARAM_OK;
}

/* 4.4: at most 100 octets of xtext, which stand for printable ASCII. */
struct verdict param_envid(struct session *s, struct span value)
{
	struct buf text = BUF_INIT(ENVID_OCTETS_MAX);
	struct verdict v = PARAM_BAD("ENVID is xtext of at most 100 characters");

	if (value.len <= ENVID_OCTETS_MAX && xtext_decode(value, &text) == 0 &&
		text_is_printable(buf_span(&text))) {
		s->tx.envid = arena_span(s->tx.arena, buf_span(&text));
		v = s->tx.envid.ptr ? PARAM_OK : VERDICT(451, "4.3.0", "Out of memory");
	}
	buf_done(&text);
	return v;
}

static uint64_t notify_flag(struct span word)
{
	static const struct {
		const char *word;
		uint64_t flag;
	} words[] = {
		{"SUCCESS", NOTIFY_SUCCESS}, {"FAILURE", NOTIFY_FAILURE}, {"DELAY", NOTIFY_DELAY}};

	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (span_equal_nocase(word, span_str(words[i].word)))
			return words[i].flag;
	return 0;
}

struct verdict param_notify(struct session *s, struct span value)
{
	uint64_t flags = 0;
	bool more = true;

	if (span_equal_nocase(value, SPAN_LIT("NEVER"))) {
		s->tx.next.notify = NOTIFY_NEVER;
		return PARAM_OK;
	}
	while (more) {
		size_t comma = span_index(value, ',');
		uint64_t flag = notify_flag(span_head(value, comma));
		if (flag == 0)
			return PARAM_BAD("NOTIFY is NEVER alone, or SUCCESS, FAILURE, DELAY");
		flags |= flag;
		more = comma < value.len;
		value = span_from(value, comma + 1);
	}
	s->tx.next.notify = flags;
	return PARAM_OK;
}

/* 4.2: at most 500 octets. */
struct verdict param_orcpt(struct session *s, struct span value)
{
	struct buf text = BUF_INIT(ORCPT_OCTETS_MAX);
	bool utf8 = (s->tx.flags & MESSAGE_SMTPUTF8) != 0;
	struct verdict v = PARAM_BAD("ORCPT is type;address in xtext");

	if (value.len <= ORCPT_OCTETS_MAX && orcpt_decode(value, utf8, &text) == 0) {
		s->tx.next.orcpt = arena_span(s->tx.arena, buf_span(&text));
		v = s->tx.next.orcpt.ptr ? PARAM_OK : VERDICT(452, "4.5.3", "Too many recipients");
	}
	buf_done(&text);
	return v;
}
