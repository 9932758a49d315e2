/* What dot.c must do, written a second time: slowly, octet by octet, from RFC 5321 4.5.2. Shared by
 * the unit test and the fuzz target. */
#pragma once
#include "base/buf.h"

/* Index behind the first CRLF.CRLF, the data being preceded by the CRLF of the command DATA; in.len
 * + 1 when there is none. */
static inline size_t reference_end(struct span in)
{
	static const char end[] = "\r\n.\r\n";
	for (size_t at = 0; at + 3 <= in.len; at++) {
		if (memcmp(in.ptr + at, end + 2, 3) == 0 &&
			(at == 0 || (at >= 2 && memcmp(in.ptr + at - 2, end, 2) == 0)))
			return at + 3;
	}
	return in.len + 1;
}

/* Decodes what precedes the end, or all: then an unfinished last line that may still be the end is
 * held back. */
static inline void reference_decode(struct span in, bool lenient, struct buf *out)
{
	size_t end = reference_end(in);
	struct span rest = end <= in.len ? span_head(in, end - 3) : in;

	while (rest.len > 0) {
		size_t len = 0;
		while (len < rest.len &&
			!(rest.ptr[len] == '\n' &&
				(lenient || (len > 0 && rest.ptr[len - 1] == '\r'))))
			len++;
		bool whole = len < rest.len;
		bool crlf = whole && len > 0 && rest.ptr[len - 1] == '\r';
		struct span text = span_head(rest, crlf ? len - 1 : len);
		bool one_dot = text.len == 1 && text.ptr[0] == '.';
		if (!whole && (one_dot || span_equal(text, SPAN_LIT(".\r"))))
			return;
		if (text.len > 0 && text.ptr[0] == '.' && !(one_dot && whole))
			text = span_from(text, 1);
		buf_put(out, text);
		if (whole)
			buf_str(out, "\r\n");
		rest = span_from(rest, whole ? len + 1 : len);
	}
}

static inline bool reference_is_proper(struct span in)
{
	for (size_t i = 0; i < in.len; i++) {
		if (in.ptr[i] == '\r' && (i + 1 == in.len || in.ptr[i + 1] != '\n'))
			return false;
		if (in.ptr[i] == '\n' && (i == 0 || in.ptr[i - 1] != '\r'))
			return false;
	}
	return true;
}

/* CRLF for each lone CR and LF, and at the end. */
static inline void reference_proper(struct span in, struct buf *out)
{
	for (size_t i = 0; i < in.len; i++) {
		if (in.ptr[i] == '\r' || in.ptr[i] == '\n') {
			i += in.ptr[i] == '\r' && i + 1 < in.len && in.ptr[i + 1] == '\n';
			buf_str(out, "\r\n");
		} else {
			buf_char(out, in.ptr[i]);
		}
	}
	if (out->len > 0 && out->ptr[out->len - 1] != '\n')
		buf_str(out, "\r\n");
}

/* `in` must be proper. */
static inline void reference_encode(struct span in, struct buf *out)
{
	for (size_t i = 0; i < in.len; i++) {
		if (in.ptr[i] == '.' && (i == 0 || in.ptr[i - 1] == '\n'))
			buf_char(out, '.');
		buf_char(out, in.ptr[i]);
	}
	buf_str(out, ".\r\n");
}
