/* A disk must never stop the loop, so a fiber's reads take what the page cache has (preadv2 with
 * RWF_NOWAIT: mail just received is still there) and go by the offload pool for the rest, a chunk
 * at a time. A segment that ends before its range does is an error, never
 * an end: a truncated message must not get its final dot. Nor must one whose checksum is wrong: the
 * disk gave back other octets than it was given. */
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
	ssize_t n = piece_read_cached(&p);
	return count(b, into, n > 0 ? n : offload_call(piece_read_on_pool, &p));
}
