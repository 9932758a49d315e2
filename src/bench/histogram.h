/* Durations in microseconds, counted in buckets of at most 3 % width: bounded memory however many
 * are added, percentiles good to that width. A value. */
#pragma once
#include "base/base.h"

#define HISTOGRAM_SUB	  32u /* buckets between one power of two and the next */
#define HISTOGRAM_BUCKETS (60u * HISTOGRAM_SUB)

struct histogram {
	uint64_t count, sum, min, max;
	uint32_t buckets[HISTOGRAM_BUCKETS];
};
void histogram_add(struct histogram *h, uint64_t usec);
/* permille 500: the median. The bucket's middle, never outside min and max; 0 when empty. */
uint64_t histogram_permille(const struct histogram *h, unsigned permille);
uint64_t histogram_mean(const struct histogram *h);
