/* Log-linear buckets: values below 2 * HISTOGRAM_SUB have a bucket each; above, each power of two
 * is split into HISTOGRAM_SUB equal parts. */
#include "bench/histogram.h"

static size_t bucket_of(uint64_t v)
{
	if (v < (uint64_t)HISTOGRAM_SUB * 2)
		return (size_t)v;
	unsigned top = 63u - (unsigned)__builtin_clzll(v); /* at least 6 */
	unsigned shift = top - 5u;			   /* leaves HISTOGRAM_SUB..2*SUB-1 */
	return (size_t)shift * HISTOGRAM_SUB + (size_t)(v >> shift);
}

static uint64_t bucket_middle(size_t i)
{
	if (i < (size_t)HISTOGRAM_SUB * 2)
		return i;
	size_t shift = i / HISTOGRAM_SUB - 1;
	uint64_t low = (uint64_t)(i % HISTOGRAM_SUB + HISTOGRAM_SUB) << shift;
	return low + ((UINT64_C(1) << shift) >> 1);
}

void histogram_add(struct histogram *h, uint64_t usec)
{
	size_t i = bucket_of(usec);

	h->buckets[MIN(i, (size_t)HISTOGRAM_BUCKETS - 1)]++;
	h->min = h->count ? MIN(h->min, usec) : usec;
	h->max = MAX(h->max, usec);
	h->sum += usec;
	h->count++;
}

uint64_t histogram_permille(const struct histogram *h, unsigned permille)
{
	/* The smallest value that at least this share does not exceed. */
	uint64_t rank = (h->count * permille + 999) / 1000, seen = 0;

	if (h->count == 0)
		return 0;
	for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
		seen += h->buckets[i];
		if (seen >= rank && seen > 0)
			return MAX(h->min, MIN(h->max, bucket_middle(i)));
	}
	return h->max;
}

uint64_t histogram_mean(const struct histogram *h)
{
	return h->count ? h->sum / h->count : 0;
}
