/* An answer to a peer: SMTP reply code (RFC 5321 4.2), enhanced status code (RFC 3463, without
 * one for replies that must not carry it: ""), one line of text (static or arena storage). */
#pragma once
#include "base/base.h"

struct verdict {
	uint16_t code;
	const char *enhanced;
	const char *text;
};
#define VERDICT(code_, enhanced_, text_) ((struct verdict){(code_), (enhanced_), (text_)})
static inline bool verdict_is_ok(struct verdict v)
{
	return v.code >= 200 && v.code < 400;
}
static inline bool verdict_is_permanent(struct verdict v)
{
	return v.code >= 500;
}
