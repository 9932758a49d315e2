/* A disk must never stop the loop, so a fiber's reads take what the page cache has (preadv2 with
 * RWF_NOWAIT: mail just received is still there) and go by the offload pool for the rest, a chunk
 * at a time. A small message is two ranges, the body and behind it in the same record the fields
 * that stand before it: both come by one call. A segment that ends before its range does is an
 * error, never an end: a truncated message must not get its final dot. Nor must one whose checksum
 * is wrong: the disk gave back other octets than it was given. */
#include "deliver/body.h"
#include <sys/uio.h>
#include <unistd.h>

#include "base/crc32c.h"
#include "fiber/offload.h"

struct piece {
	int fd;
	char *into;
	size_t len;
	off_t offset;
};

void body_init(struct body *b, const struct delivery *d)
{
	*b = (struct body){.d = d};
}

size_t body_left(const struct body *b, size_t most)
{
	const struct job *j = &b->d->job;
	uint64_t left = 0;
	for (uint32_t i = b->range; i < j->n_ranges && left < most; i++)
		left += j->ranges[i].length - (i == b->range ? b->used : 0);
	return (size_t)MIN(left, (uint64_t)most);
}

/* The next octets to read: 1, 0 at the end, -EIO. */
static int next_piece(struct body *b, char *into, size_t cap, struct piece *ret_piece)
{
	const struct job *j = &b->d->job;
	while (b->range < j->n_ranges && b->used == j->ranges[b->range].length) {
		b->range++;
		b->used = 0;
		b->crc = 0;
	}
	if (b->range == j->n_ranges)
		return 0;
	const struct job_range *range = &j->ranges[b->range];
	const struct segment *segment = b->d->segments[b->range];
	if (!segment || range->offset > INT64_MAX - UINT32_MAX)
		return -EIO;
	*ret_piece = (struct piece){
		.fd = segment->fd,
		.into = into,
		.len = MIN(cap, (size_t)(range->length - b->used)),
		.offset = (off_t)(range->offset + b->used),
	};
	return 1;
}

static ssize_t piece_read(const struct piece *p)
{
	ssize_t n;
	do
		n = pread(p->fd, p->into, p->len, p->offset);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	return n == 0 ? -EIO : n;
}

/* What is in memory: octets (perhaps fewer than wanted), or -EAGAIN for all that the pool should
 * have another look at. */
static ssize_t piece_read_cached(const struct piece *p)
{
	struct iovec iov = {p->into, p->len};
	ssize_t n = preadv2(p->fd, &iov, 1, p->offset, RWF_NOWAIT);
	return n > 0 ? n : -EAGAIN;
}

/* What lies between two ranges that are read together: the rest of a record, the next one's head.
 */
#define GAP_MAX 1024u

/* The rest of this range and all of the next, when both are in memory, near to each other and fit:
 * octets, all behind one another in `into`. 0: to be read one by one. */
static ssize_t pair_read_cached(struct body *b, const struct piece *p, char *into, size_t cap)
{
	const struct job *j = &b->d->job;
	const struct job_range *first = &j->ranges[b->range], *second = first + 1;
	char gap[GAP_MAX];
	if (b->used > 0 || b->range + 1 >= j->n_ranges || p->len < first->length ||
		b->d->segments[b->range + 1] != b->d->segments[b->range] || second->length == 0 ||
		second->length > cap - first->length)
		return 0;
	bool forward = second->offset > first->offset;
	const struct job_range *low = forward ? first : second, *high = forward ? second : first;
	if (low->offset + low->length > high->offset ||
		high->offset - low->offset - low->length > GAP_MAX)
		return 0;
	char *second_into = into + first->length;
	struct iovec iov[] = {
		{forward ? into : second_into, low->length},
		{gap, (size_t)(high->offset - low->offset - low->length)},
		{forward ? second_into : into, high->length},
	};
	size_t want = iov[0].iov_len + iov[1].iov_len + iov[2].iov_len;
	ssize_t n = preadv2(p->fd, iov, 3, (off_t)low->offset, RWF_NOWAIT);
	return n == (ssize_t)want ? (ssize_t)(iov[0].iov_len + iov[2].iov_len) : 0;
}

static int piece_read_on_pool(void *arg)
{
	return (int)piece_read(arg); /* at most BODY_CHUNK */
}

/* n: what was read into `octets`, or an error. */
static ssize_t count(struct body *b, const char *octets, ssize_t n)
{
	const struct job_range *range = &b->d->job.ranges[b->range];
	if (n <= 0)
		return n;
	b->crc = crc32c(b->crc, octets, (size_t)n);
	b->used += (uint32_t)n;
	if (b->used == range->length && range->checked && b->crc != range->crc)
		return -EBADMSG;
	return n;
}

ssize_t body_read(struct body *b, char *into, size_t cap)
{
	struct piece p;
	int r = next_piece(b, into, cap, &p);
	if (r <= 0)
		return r;
	return count(b, into, piece_read(&p));
}

ssize_t body_read_fiber(struct body *b, char *into, size_t cap)
{
	struct piece p;
	int r = next_piece(b, into, MIN(cap, BODY_CHUNK), &p);
	if (r <= 0)
		return r;
	ssize_t n = pair_read_cached(b, &p, into, MIN(cap, BODY_CHUNK));
	if (n > 0) {
		size_t first = b->d->job.ranges[b->range].length;
		ssize_t e = count(b, into, (ssize_t)first);
		if (e < 0)
			return e;
		r = next_piece(b, into + first, (size_t)n - first, &p); /* the next range */
		e = r <= 0 ? -EIO : count(b, into + first, (ssize_t)p.len);
		return e < 0 ? e : n;
	}
	n = piece_read_cached(&p);
	return count(b, into, n > 0 ? n : offload_call(piece_read_on_pool, &p));
}
