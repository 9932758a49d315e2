/* Memory that large messages pass through on their way out. A few rooms are kept between them, for
 * a moment, so that not every message has its own faulted in, page by page. */
#pragma once
#include "base/buf.h"
#include "fiber/fiber.h"

#define ROOM_OCTETS ((256u + 4u) * 1024u)
#define ROOMS_SPARE 8u

struct rooms {
	char *spare[ROOMS_SPARE];
	unsigned n_spare;
	struct loop_timer rest;
};
void rooms_done(struct rooms *r); /* zeroed is how they begin */
/* b, which is empty, gets a room if there is memory; else it grows as any buf. r may be
 * NULL. */
void rooms_take(struct rooms *r, struct buf *b);
/* Instead of buf_done; also where b grew. */
void rooms_give(struct rooms *r, struct buf *b);
