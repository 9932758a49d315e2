/* The data phase's octets, RFC 5321 4.5.2 (transparency) and 2.3.8, 4.1.1.4 (only CRLF.CRLF ends).
 * Decoder: server side; strict: a bare CR or LF is data of which the message is refused for
 * (RFC 5321 2.3.8), never an end of line; it never ends the data. Lenient ("named networks"): a
 * bare LF counts as CRLF in the body but `LF . LF` and mixed forms still do not end the data. */
#pragma once
#include "base/buf.h"

struct dot_decoder {
	uint8_t state;
	bool lenient;
	bool bare_newline; /* seen a bare CR or LF */
	bool has_8bit;
	uint32_t longest_line; /* octets without CRLF, saturating */
	uint32_t line_enough;  /* up to here longest_line may be any; 0: exact (lines.h) */
	uint32_t line;
};
void dot_decoder_init(struct dot_decoder *d, bool lenient);
/* Consumes from `in` and appends the decoded octets to out (its error sticks). Returns octets of
 * `in` used; *ret_end is set when the terminator was consumed (it is not appended; the CRLF
 * before it belongs to the body). */
size_t dot_decode(struct dot_decoder *d, struct span in, struct buf *out, bool *ret_end);

/* Encoder, client side: doubles leading dots; never emits a bare CR or LF: a lone LF or CR becomes
 * CRLF; dot_encode_end adds CRLF if the last line is open, and ".CRLF". */
struct dot_encoder {
	uint8_t state;
};
void dot_encoder_init(struct dot_encoder *e);
void dot_encode(struct dot_encoder *e, struct span in, struct buf *out);
void dot_encode_end(struct dot_encoder *e, struct buf *out);
/* True: `in` leaves as it is, and the encoder takes it for sent; so no copy is needed. False: it is
 * to be encoded, and the encoder stands where it was (also where little speaks against it). */
MUST_CHECK bool dot_encode_as_is(struct dot_encoder *e, struct span in);
