/* The octets of a message that comes by BDAT, RFC 3030 2: no transparency and no terminator, sizes
 * say all. What is bare is judged as in the data phase (dot.h), also over the borders of chunks:
 * a CR that ends one and the LF that begins the next are one CRLF. */
#pragma once
#include "base/buf.h"

struct chunk_decoder {
	bool lenient; /* a bare LF becomes CRLF, as in dot.h */
	bool binary;  /* BODY=BINARYMIME: octets pass as they are, nothing is bare */
	bool behind_cr;
	bool bare_newline; /* seen a bare CR or LF */
	bool has_8bit;
	uint32_t longest_line; /* octets without CRLF, saturating; 0 of binary ones */
	uint32_t line_enough;  /* up to here longest_line may be any; 0: exact (lines.h) */
	uint32_t line;
};
void chunk_decoder_init(struct chunk_decoder *d, bool lenient, bool binary);
/* Uses all of `in`, appends to out (its error sticks). */
void chunk_decode(struct chunk_decoder *d, struct span in, struct buf *out);
/* Behind the last chunk: a CR that nothing follows is bare. */
void chunk_decode_end(struct chunk_decoder *d);
