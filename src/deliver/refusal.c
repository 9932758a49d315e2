/* There is no code for "not from this address" that all use. What tells it:
 * - X.7.25 (RFC 7372 3): the reverse name of the address;
 * - X.7.1, X.7.0, 421, 450, 550, 554 with our own address in the text (block lists quote it);
 * - the same with the words that large receivers use for missing reverse names of IPv6 addresses.
 * A wrong guess costs one more connection, never a message: the retry is bounded by its caller. */
#include "deliver/refusal.h"

#define TEXT_MAX 1024u

static bool contains(struct span text, struct span word)
{
	for (size_t i = 0; i + word.len <= text.len; i++)
		if (span_equal_nocase(span_head(span_from(text, i), word.len), word))
			return true;
	return false;
}

bool refusal_is_of_address(
	uint16_t code, struct span enhanced, struct span text, const struct address *local)
{
	static const struct span words[] = {SPAN_LIT("PTR record"), SPAN_LIT("reverse DNS"),
		SPAN_LIT("reverse hostname"), SPAN_LIT("IPv6 sending guidelines"),
		SPAN_LIT("over IPv6"), SPAN_LIT("blocked using")};
	if (code < 400 || code > 599)
		return false;
	if (enhanced.len > 2 && span_equal(span_from(enhanced, 1), SPAN_LIT(".7.25")))
		return true;
	bool policy = code == 421 || code == 554 ||
		      (enhanced.len > 4 &&
			      span_equal(span_head(span_from(enhanced, 1), 3), SPAN_LIT(".7.")));
	if (!policy && code != 550 && code != 450)
		return false;
	text = span_head(text, TEXT_MAX);
	struct buf own = BUF_INIT(128);
	address_format_host(local, &own);
	bool named = local->len > 0 && !own.error && own.len > 0 && contains(text, buf_span(&own));
	buf_done(&own);
	for (size_t i = 0; i < ARRAY_LEN(words) && !named; i++)
		named = contains(text, words[i]);
	return named;
}
