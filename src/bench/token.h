/* The token that names a message of a run and tells what its body must be. It travels as a header
 * field, which servers keep; what they add before it does no harm:
 *
 *   X-Bench: run=89abcdef01234567 n=12 of=1000 rcpts=1 octets=3900 crc=0123abcd at=1700000000000000
 *
 * octets and crc are of the body (all behind the first empty line, CRLF line ends). */
#pragma once
#include "base/buf.h"

#define TOKEN_FIELD	 "X-Bench:"
#define TOKEN_RCPTS_MAX	 100000u
#define TOKEN_OF_MAX	 100000000u
#define TOKEN_OCTETS_MAX (UINT64_C(1) << 40)

struct token {
	uint64_t run;
	uint64_t n, of;	  /* message n of 0..of-1 */
	uint64_t rcpts;	  /* recipients of each message */
	uint64_t octets;  /* of the body */
	uint64_t at_usec; /* wall time when its transaction began */
	uint32_t crc;	  /* CRC32C of the body */
};
void token_format(const struct token *t, struct buf *out);    /* the whole field with CRLF */
void token_hex(struct buf *out, uint64_t v, unsigned digits); /* the last ones, at most 16 */
/* The field's value. -EBADMSG: not a token of ours, or out of bounds. */
MUST_CHECK int token_parse(struct span value, struct token *ret_token);
/* Which recipient an address is: the last decimal number of its local part, else 0. */
uint64_t token_recipient(struct span address);
