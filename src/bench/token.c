/* Writing and reading the token. It comes back through servers that may fold or re-space header
 * fields, so that words are found between any white space; it may also come from a stranger who
 * found the sink, so that each number has a bound. */
#include "bench/token.h"

void token_hex(struct buf *out, uint64_t v, unsigned digits)
{
	char text[16];

	assert(digits <= sizeof(text));
	for (unsigned i = digits; i > 0; v >>= 4)
		text[--i] = "0123456789abcdef"[v & 15];
	buf_append(out, text, digits);
}

static void put_number(struct buf *out, const char *name, uint64_t v)
{
	buf_str(out, name);
	buf_u64(out, v);
}

/* Once a message, and the generator's own cost is part of what it measures: no printf. */
void token_format(const struct token *t, struct buf *out)
{
	buf_str(out, TOKEN_FIELD " run=");
	token_hex(out, t->run, 16);
	put_number(out, " n=", t->n);
	put_number(out, " of=", t->of);
	put_number(out, " rcpts=", t->rcpts);
	put_number(out, " octets=", t->octets);
	buf_str(out, "\r\n crc=");
	token_hex(out, t->crc, 8);
	put_number(out, " at=", t->at_usec);
	buf_str(out, "\r\n");
}

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static struct span next_word(struct span *rest)
{
	*rest = span_trim(*rest);
	size_t n = 0;
	while (n < rest->len && !is_space(rest->ptr[n]))
		n++;
	struct span word = span_head(*rest, n);
	*rest = span_from(*rest, n);
	return word;
}

static int hex_to_u64(struct span s, uint64_t *ret_value)
{
	uint64_t v = 0;

	if (s.len == 0 || s.len > 16)
		return -EBADMSG;
	for (size_t i = 0; i < s.len; i++) {
		char c = s.ptr[i];
		unsigned digit;
		if (c >= '0' && c <= '9')
			digit = (unsigned)(c - '0');
		else if (c >= 'a' && c <= 'f')
			digit = (unsigned)(c - 'a') + 10;
		else
			return -EBADMSG;
		v = v << 4 | digit;
	}
	*ret_value = v;
	return 0;
}

int token_parse(struct span value, struct token *ret_token)
{
	struct token t = {0};
	uint64_t crc = 0;
	const struct {
		struct span name;
		uint64_t max; /* 0: hexadecimal */
		uint64_t *value;
	} words[] = {
		{SPAN_LIT("run="), 0, &t.run},
		{SPAN_LIT("n="), TOKEN_OF_MAX, &t.n},
		{SPAN_LIT("of="), TOKEN_OF_MAX, &t.of},
		{SPAN_LIT("rcpts="), TOKEN_RCPTS_MAX, &t.rcpts},
		{SPAN_LIT("octets="), TOKEN_OCTETS_MAX, &t.octets},
		{SPAN_LIT("crc="), 0, &crc},
		{SPAN_LIT("at="), UINT64_MAX, &t.at_usec},
	};

	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		struct span word = next_word(&value);
		if (!span_starts_nocase(word, words[i].name))
			return -EBADMSG;
		word = span_from(word, words[i].name.len);
		int r = words[i].max ? span_to_u64(word, words[i].max, words[i].value)
				     : hex_to_u64(word, words[i].value);
		if (r < 0)
			return -EBADMSG;
	}
	if (t.n >= t.of || t.rcpts == 0 || crc > UINT32_MAX)
		return -EBADMSG;
	t.crc = (uint32_t)crc;
	*ret_token = t;
	return 0;
}

uint64_t token_recipient(struct span address)
{
	struct span local = span_head(address, span_index(address, '@'));
	size_t end = local.len, begin;
	uint64_t number = 0;

	while (end > 0 && (local.ptr[end - 1] < '0' || local.ptr[end - 1] > '9'))
		end--;
	begin = end;
	while (begin > 0 && local.ptr[begin - 1] >= '0' && local.ptr[begin - 1] <= '9')
		begin--;
	local = span_make(local.ptr ? local.ptr + begin : NULL, end - begin);
	return span_to_u64(local, TOKEN_RCPTS_MAX, &number) < 0 ? 0 : number;
}
