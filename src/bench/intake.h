/* One message as it comes in: finds the token in its header, sums its body. */
#pragma once
#include "bench/token.h"

#define INTAKE_HEAD_MAX (1u << 20)

struct intake {
	struct buf head; /* up to the empty line, at most INTAKE_HEAD_MAX */
	bool in_body;
	uint64_t octets; /* of the body */
	uint32_t crc;
};
void intake_init(struct intake *in);
void intake_reset(struct intake *in);
void intake_done(struct intake *in);
/* The next octets, dot-stuffing undone. */
void intake_feed(struct intake *in, struct span octets);
/* 1: a token, and the body is whole; 0: a token, and it is not; -EBADMSG: no token. */
MUST_CHECK int intake_end(const struct intake *in, struct token *ret_token);
