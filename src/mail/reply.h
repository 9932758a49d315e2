/* SMTP replies: RFC 5321 4.2 (ABNF in reply.c), enhanced codes RFC 3463/2034. The parser is for
 * untrusted servers: fed line by line, bounded. */
#pragma once
#include "base/buf.h"
#include "mail/verdict.h"

#define REPLY_LINE_MAX                                                                             \
	4096u /* RFC 5321 4.5.3.1.5 says 512 with CRLF; extensions and peers exceed it */
#define REPLY_LINES_MAX 128u
#define REPLY_TEXT_KEEP 1024u

struct enhanced_code {
	uint8_t class; /* 2, 4, 5; 0: none */
	uint16_t subject, detail;
};
struct reply {
	uint16_t code; /* 0 until complete */
	struct enhanced_code enhanced;
	unsigned lines;
	uint16_t pending; /* code of the lines so far, all alike */
	/* Text of all lines, enhanced codes included, joined by "\n", at most REPLY_TEXT_KEEP
	 * octets kept; control octets are replaced by "?". */
	struct buf text;
};
void reply_init(struct reply *r);
void reply_done(struct reply *r);
/* Feeds one line without its end. 1: complete, 0: more lines follow, -EBADMSG: not a reply. */
MUST_CHECK int reply_feed_line(struct reply *r, struct span line);
/* "5.1.1" at the start of text: octets used, 0 when there is none or its class differs. */
size_t enhanced_code_parse(struct span text, uint16_t reply_code, struct enhanced_code *ret_code);
/* Formats "250-2.1.0 line\r\n...": text may hold "\n" for several lines, each gets the code. Empty
 * enhanced: none. Octets that may not stand in a reply are replaced by "?". */
void reply_format(struct buf *out, uint16_t code, const char *enhanced, struct span text);
