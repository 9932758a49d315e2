/* libunbound reads an anchor as one record on one line; zone files (RFC 1035 5.1) may spread it and
 * comment it, as the files of BIND, Unbound and IANA do. What the record's fields hold is
 * libunbound's to check: a line that it refuses stops the resolver from starting, because a server
 * that validates nothing must not look like one that does. */
#include "resolver/anchor.h"

const char *const anchor_root[] = {
	". IN DS 20326 8 2 E06D44B80B8F1D39A95C0B0D7C65D08458E880409BBC683457104237C7F8EC8D",
	". IN DS 38696 8 2 683D2D0ACB8C9B712A1948B27F741219298D0A450D612C483AF444A4C0FB2B16",
};
const size_t anchor_n_root = ARRAY_LEN(anchor_root);

static struct span next_word(struct span *rest)
{
	*rest = span_trim(*rest);
	size_t n = 0;
	while (n < rest->len && rest->ptr[n] != ' ' && rest->ptr[n] != '\t')
		n++;
	struct span word = span_head(*rest, n);
	*rest = span_from(*rest, n);
	return word;
}

/* "OWNER [TTL] [IN] DS|DNSKEY ..." */
static bool is_anchor(struct span record)
{
	struct span rest = record, word = next_word(&rest);
	uint64_t ttl;

	if (word.len == 0 || word.ptr[word.len - 1] != '.')
		return false;
	word = next_word(&rest);
	for (unsigned i = 0; i < 2; i++)
		if (span_to_u64(word, UINT32_MAX, &ttl) == 0 ||
			span_equal_nocase(word, SPAN_LIT("IN")))
			word = next_word(&rest);
	if (!span_equal_nocase(word, SPAN_LIT("DS")) &&
		!span_equal_nocase(word, SPAN_LIT("DNSKEY")))
		return false;
	return span_trim(rest).len > 0;
}

/* One line without its comment; parentheses are counted and become spaces. */
static void take_line(struct span line, struct buf *record, int *depth)
{
	for (size_t i = 0; i < line.len && line.ptr[i] != ';'; i++) {
		char c = line.ptr[i];
		if (c == '(' || c == ')')
			*depth += c == '(' ? 1 : -1;
		buf_char(record, c == '(' || c == ')' || c == '\r' || c == 0 ? ' ' : c);
	}
	buf_char(record, ' ');
}

int anchor_parse(struct span text, struct buf *out, size_t *ret_n, size_t *ret_line)
{
	struct buf record = BUF_INIT(ANCHOR_FILE_MAX + 2);
	size_t n = 0, line = 0;
	int depth = 0, r = 0;

	while (text.len > 0 && r == 0) {
		size_t end = span_index(text, '\n');
		line++;
		take_line(span_head(text, end), &record, &depth);
		text = span_from(text, end + 1);
		if (depth > 0 && text.len > 0)
			continue;
		struct span whole = span_trim(buf_span(&record));
		if (depth != 0 || n == ANCHORS_MAX || (whole.len > 0 && !is_anchor(whole))) {
			r = -EINVAL;
		} else if (whole.len > 0) {
			buf_put(out, whole);
			buf_char(out, '\0');
			n++;
		}
		if (r == 0 && record.error)
			r = record.error;
		buf_reset(&record);
	}
	buf_done(&record);
	if (r == 0)
		r = out->error;
	if (r == 0 && n == 0) {
		line = 0;
		r = -EINVAL;
	}
	if (r == -EINVAL)
		*ret_line = line;
	if (r == 0)
		*ret_n = n;
	return r;
}
