/* Segments are shared by many jobs and live as long as the last of them: a plain count, because
 * one thread takes and drops references (the offload pool only reads through fds of a job whose
 * fiber waits for it). The number is bounded, since every entry is an fd of this process. */
#include "deliver/segments.h"
#include <stdlib.h>

int segments_init(struct segments *s)
{
	s->by_sequence = map_new(0);
	return s->by_sequence ? 0 : -ENOMEM;
}

void segments_done(struct segments *s)
{
	if (!s->by_sequence)
		return;
	segments_forget_all(s);
	map_free(s->by_sequence);
	s->by_sequence = NULL;
}

int segments_add(struct segments *s, uint64_t sequence, int fd)
{
	segments_forget(s, sequence);
	if (map_count(s->by_sequence) >= SEGMENTS_MAX) {
		fd_close(fd);
		return -ENFILE;
	}
	struct segment *segment = calloc(1, sizeof(*segment));
	if (!segment) {
		fd_close(fd);
		return -ENOMEM;
	}
	*segment = (struct segment){.sequence = sequence, .fd = fd, .references = 1};
	int r = map_put_u64(s->by_sequence, sequence, segment);
	if (r < 0)
		segment_release(segment);
	return r;
}

void segments_forget(struct segments *s, uint64_t sequence)
{
	segment_release(map_remove_u64(s->by_sequence, sequence));
}

void segments_forget_all(struct segments *s)
{
	struct segment *segment;
	size_t cursor = 0;
	while ((segment = map_next(s->by_sequence, &cursor))) {
		map_remove_u64(s->by_sequence, segment->sequence);
		segment_release(segment);
	}
}

struct segment *segments_get(struct segments *s, uint64_t sequence)
{
	struct segment *segment = map_get_u64(s->by_sequence, sequence);
	if (segment)
		segment->references++;
	return segment;
}

void segment_release(struct segment *segment)
{
	if (!segment || --segment->references > 0)
		return;
	fd_close(segment->fd);
	free(segment);
}
