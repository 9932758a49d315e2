/* Quoted-printable and base64 of a body that streams by (private to the room). RFC 2045 6.7, 6.8.
 */
#pragma once
#include "base/buf.h"

struct qp_encoder {
	unsigned column;
	bool cr;    /* a CR that may begin a line's end */
	char space; /* SP or HTAB that may stand at a line's end; 0: none */
};
void qp_encode(struct qp_encoder *e, struct span in, struct buf *out);
void qp_encode_end(struct qp_encoder *e, struct buf *out);

struct base64_encoder {
	uint8_t rest[3];
	unsigned n, column;
};
void base64_encode_lines(struct base64_encoder *e, struct span in, struct buf *out);
void base64_encode_lines_end(struct base64_encoder *e, struct buf *out);
