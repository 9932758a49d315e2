/* What the sender wants about time: MT-PRIORITY (RFC 6710), BY (RFC 2852), HOLDFOR and HOLDUNTIL
 * (RFC 4865). They are recorded; the queue acts on them.
 *
 *   "MT-PRIORITY=" [ "-" ] DIGIT                       ; -9 to 9
 *   "BY=" [ "+" / "-" ] 1*9DIGIT ";" ( "R" / "N" ) [ "T" ]
 *   "HOLDFOR=" 1*9DIGIT          "HOLDUNTIL=" date-time ; RFC 3339, UTC */
#include "fiber/fiber.h"
#include "mail/date.h"
#include "session/login.h"
#include "session/parameter.h"

#define TIME_DIGITS_MAX 9u

/* RFC 6710 4.1: whose wishes count is ours to say. Strangers may ask for less, not for more; the
 * reply tells what became of it (X.3.6). */
struct verdict param_mt_priority(struct session *s, struct span value)
{
	bool negative = value.len == 2 && value.ptr[0] == '-';
	struct span digit = span_from(value, negative);
	int priority = digit.len == 1 ? digit.ptr[0] - '0' : -1;

	if (priority < 0 || priority > 9 || (negative && priority == 0))
		return PARAM_BAD("MT-PRIORITY is a number from -9 to 9");
	priority = negative ? -priority : priority;
	s->tx.priority_lowered = priority > 0 && !s->trusted && !session_is_logged_in(s);
	if (s->tx.priority_lowered)
		priority = 0;
	unsigned biased = (unsigned)(priority + MESSAGE_PRIORITY_BIAS);
	s->tx.priority = biased;
	return PARAM_OK;
}

static uint64_t wall_after(int64_t seconds)
{
	uint64_t now = loop_wall_usec();
	uint64_t usec = (uint64_t)(seconds < 0 ? -seconds : seconds) * USEC_PER_SEC;

	if (seconds >= 0)
		return now + usec;
	return now > usec ? now - usec : 1;
}

/* RFC 2852 4: "R" asks to return what is late, so its time must lie ahead; "N" to tell. */
struct verdict param_by(struct session *s, struct span value)
{
	size_t semicolon = span_index(value, ';');
	struct span digits = span_head(value, semicolon), mode = span_from(value, semicolon + 1);
	bool negative = digits.len > 0 && digits.ptr[0] == '-';
	uint64_t seconds;

	if (negative || (digits.len > 0 && digits.ptr[0] == '+'))
		digits = span_from(digits, 1);
	if (digits.len > TIME_DIGITS_MAX || span_to_u64(digits, UINT64_MAX, &seconds) < 0)
		return PARAM_BAD("BY is seconds;R or seconds;N");
	struct span letter = span_head(mode, 1), trace = span_from(mode, 1);
	bool wants_return = span_equal_nocase(letter, SPAN_LIT("R"));
	if ((!wants_return && !span_equal_nocase(letter, SPAN_LIT("N"))) ||
		(trace.len > 0 && !span_equal_nocase(trace, SPAN_LIT("T"))))
		return PARAM_BAD("BY is seconds;R or seconds;N");
	if (wants_return && (negative || seconds == 0))
		return PARAM_BAD("BY with R needs a time ahead");
	s->tx.deliver_by_wall_usec = wall_after(negative ? -(int64_t)seconds : (int64_t)seconds);
	s->tx.deliver_by_mode = (wants_return ? MESSAGE_BY_RETURN : MESSAGE_BY_NOTIFY) |
				(trace.len > 0 ? MESSAGE_BY_TRACE : 0);
	return PARAM_OK;
}

static struct verdict hold_until(struct session *s, uint64_t wall_usec)
{
	uint64_t now = loop_wall_usec(), most = s->config->queue.future_release;

	if (s->tx.hold_until_wall_usec)
		return PARAM_BAD("HOLDFOR or HOLDUNTIL, not both"); /* RFC 4865 4 */
	if (wall_usec > now + most)
		return PARAM_BAD("The release lies too far ahead");
	s->tx.hold_until_wall_usec = wall_usec;
	return PARAM_OK;
}

struct verdict param_holdfor(struct session *s, struct span value)
{
	uint64_t seconds;

	if (value.len > TIME_DIGITS_MAX || span_to_u64(value, UINT64_MAX, &seconds) < 0)
		return PARAM_BAD("HOLDFOR is a number of seconds");
	return hold_until(s, wall_after((int64_t)seconds));
}

struct verdict param_holduntil(struct session *s, struct span value)
{
	uint64_t wall_usec;

	if (date_parse_iso(value, &wall_usec) < 0 || wall_usec == 0)
		return PARAM_BAD("HOLDUNTIL is a date and time like 2026-11-22T12:00:00Z");
	return hold_until(s, wall_usec);
}

/* RFC 4865 and RFC 2852 together: what may not be delivered before it is late makes no sense. */
struct verdict param_times_agree(const struct session *s)
{
	uint64_t hold = s->tx.hold_until_wall_usec, by = s->tx.deliver_by_wall_usec;

	if (hold > 0 && by > 0 && by <= hold)
		return PARAM_BAD("BY is over before the message is released");
	return PARAM_OK;
}
