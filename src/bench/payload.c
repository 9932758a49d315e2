/* A pool of lines of base64 characters, fixed for all runs: compressible by nobody's wish, no line
 * begins with a dot, all 7 bits. Every body is a prefix of it; the CRC of the last length asked for
 * is kept, since most runs have one size. */
#include "bench/payload.h"

#include <stdlib.h>

#include "base/crc32c.h"

#define LINE_OCTETS (PAYLOAD_LINE + 2u)

struct payload_pool {
	char *octets;
	size_t len;
	size_t known_len; /* whose CRC is known_crc */
	uint32_t known_crc;
};

static int part_parse(struct span text, uint64_t *ret_low, uint64_t *ret_high)
{
	size_t dash = span_index(text, '-');
	uint64_t low, high;
	int r = span_to_octets(span_head(text, dash), &low);

	if (r < 0)
		return r;
	high = low;
	if (dash < text.len)
		r = span_to_octets(span_from(text, dash + 1), &high);
	if (r < 0)
		return r;
	if (low > high || high > PAYLOAD_MAX || low == 0)
		return -ERANGE;
	*ret_low = low;
	*ret_high = high;
	return 0;
}

int payload_sizes_parse(struct span text, struct payload_sizes *ret_sizes)
{
	struct payload_sizes s = {0};

	while (text.len > 0) {
		size_t comma = span_index(text, ',');
		struct span part = span_head(text, comma);
		size_t colon = span_index(part, ':');
		uint64_t weight = 1;
		if (s.n == PAYLOAD_MIX_MAX)
			return -ERANGE;
		int r = part_parse(span_head(part, colon), &s.parts[s.n].low, &s.parts[s.n].high);
		if (r >= 0 && colon < part.len)
			r = span_to_u64(span_from(part, colon + 1), 1000000, &weight);
		if (r < 0)
			return r;
		s.parts[s.n++].weight = weight;
		s.weights += weight;
		text = span_from(text, comma + (comma < text.len));
	}
	if (s.weights == 0)
		return -EINVAL;
	*ret_sizes = s;
	return 0;
}

uint64_t payload_size_pick(const struct payload_sizes *s, uint64_t random)
{
	uint64_t at = random % s->weights;
	size_t i = 0;

	while (at >= s->parts[i].weight)
		at -= s->parts[i++].weight;
	uint64_t width = s->parts[i].high - s->parts[i].low + 1;
	return s->parts[i].low + random / s->weights % width;
}

uint64_t payload_size_max(const struct payload_sizes *s)
{
	uint64_t max = 0;

	for (size_t i = 0; i < s->n; i++)
		max = MAX(max, s->parts[i].high);
	return max;
}

int payload_pool_new(uint64_t max_octets, struct payload_pool **ret_pool)
{
	static const char letters[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	size_t lines = (size_t)max_octets / LINE_OCTETS + 1;
	struct payload_pool *p = calloc(1, sizeof(*p));
	uint64_t x = UINT64_C(0x9e3779b97f4a7c15);

	if (p)
		p->octets = malloc(lines * LINE_OCTETS);
	if (!p || !p->octets) {
		free(p);
		return -ENOMEM;
	}
	for (size_t i = 0; i < lines; i++) {
		char *line = p->octets + i * LINE_OCTETS;
		for (size_t k = 0; k < PAYLOAD_LINE; k++) {
			x ^= x << 13;
			x ^= x >> 7;
			x ^= x << 17;
			line[k] = letters[x >> 58];
		}
		line[PAYLOAD_LINE] = '\r';
		line[PAYLOAD_LINE + 1] = '\n';
	}
	p->len = lines * LINE_OCTETS;
	*ret_pool = p;
	return 0;
}

void payload_pool_free(struct payload_pool *p)
{
	if (p)
		free(p->octets);
	free(p);
}

struct span payload_body(
	struct payload_pool *p, uint64_t size, uint64_t head_octets, uint32_t *ret_crc)
{
	uint64_t want = size > head_octets ? size - head_octets : 1;
	size_t len = (size_t)(want + LINE_OCTETS / 2) / LINE_OCTETS * LINE_OCTETS;

	len = MIN(MAX(len, (size_t)LINE_OCTETS), p->len);
	if (len != p->known_len) {
		p->known_crc = crc32c(0, p->octets, len);
		p->known_len = len;
	}
	*ret_crc = p->known_crc;
	return span_make(p->octets, len);
}

void payload_head(
	const struct token *t, struct span from, struct span to, const char *date, struct buf *out)
{
	buf_str(out, "From: <");
	buf_put(out, from);
	buf_str(out, ">\r\nTo: <");
	buf_put(out, to);
	buf_str(out, ">\r\nSubject: bench ");
	buf_u64(out, t->n);
	buf_str(out, "\r\nDate: ");
	buf_str(out, date);
	buf_str(out, "\r\nMessage-ID: <");
	token_hex(out, t->run, 16);
	buf_char(out, '.');
	buf_u64(out, t->n);
	buf_str(out, "@bench.example>\r\n");
	token_format(t, out);
	buf_str(out, "\r\n");
}
