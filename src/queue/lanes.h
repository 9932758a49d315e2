/* Who is next at a site (private to the queue): levels by priority, and within a level lanes by
 * sender that are served in turn. */
#pragma once
#include "base/list.h"

#define LANES 16u
/* Of so many turns, one goes to a level that is not the highest: nothing starves. */
#define LANES_TURNS 8u

struct lane_level {
	struct list node; /* of lanes.levels while it has anything, the highest first */
	int level;
	uint16_t bits; /* lanes that have anything */
	uint8_t turn;
	struct list lanes[LANES];
};
struct lanes {
	struct list levels;
	struct lane_level normal; /* level 0; others are allocated while they are needed */
	unsigned turns;
	int favoured; /* the level that last had the weaker ones' turn */
};
void lanes_init(struct lanes *l);
void lanes_done(struct lanes *l); /* must be empty */
/* lane is below LANES. Aborts without memory. */
void lanes_add(struct lanes *l, int level, unsigned lane, struct list *item, bool front);
void lanes_remove(struct lanes *l, int level, unsigned lane, struct list *item);
void lanes_to_back(struct lanes *l, int level, unsigned lane, struct list *item);
/* The next in turn, which stays where it is; there must be one. */
struct list *lanes_next(struct lanes *l);
