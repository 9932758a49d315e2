/* MT-PRIORITY (RFC 6710) orders the queue: the highest level that has anything is served, but for
 * one turn of LANES_TURNS, which goes round among the others, so that low priority is slow and
 * never stuck. Within a level the lanes (by sender) are served in turn, one job each, so that one
 * sender's bulk does not hold up the others. */
#include "queue/lanes.h"

#include <stdlib.h>

static void level_init(struct lane_level *v, int level)
{
	*v = (struct lane_level){.level = level};
	for (size_t i = 0; i < LANES; i++)
		list_init(&v->lanes[i]);
}

void lanes_init(struct lanes *l)
{
	*l = (struct lanes){0};
	list_init(&l->levels);
	level_init(&l->normal, 0);
}

void lanes_done(struct lanes *l)
{
	assert(list_empty(&l->levels));
}

static struct lane_level *level_at(struct list *n)
{
	return CONTAINER_OF(n, struct lane_level, node);
}

static struct lane_level *level_find(struct lanes *l, int level)
{
	if (level == 0)
		return &l->normal;
	list_foreach (n, &l->levels)
		if (level_at(n)->level == level)
			return level_at(n);
	return NULL;
}

/* In its place among the others. */
static void level_link(struct lanes *l, struct lane_level *v)
{
	struct list *before = &l->levels;

	list_foreach (n, &l->levels) {
		if (level_at(n)->level > v->level)
			before = n;
	}
	list_push_front(before, &v->node);
}

void lanes_add(struct lanes *l, int level, unsigned lane, struct list *item, bool front)
{
	struct lane_level *v = level_find(l, level);

	if (!v) {
		v = malloc(sizeof(*v));
		if (!v)
			abort();
		level_init(v, level);
	}
	if (!v->bits)
		level_link(l, v);
	if (front)
		list_push_front(&v->lanes[lane], item);
	else
		list_push_back(&v->lanes[lane], item);
	v->bits |= (uint16_t)(1u << lane);
}

void lanes_remove(struct lanes *l, int level, unsigned lane, struct list *item)
{
	struct lane_level *v = level_find(l, level);

	list_remove(item);
	if (!list_empty(&v->lanes[lane]))
		return;
	v->bits &= (uint16_t) ~(1u << lane);
	if (v->bits)
		return;
	list_remove(&v->node);
	if (v != &l->normal)
		free(v);
}

void lanes_to_back(struct lanes *l, int level, unsigned lane, struct list *item)
{
	struct lane_level *v = level_find(l, level);

	list_remove(item);
	list_push_back(&v->lanes[lane], item);
}

/* The level below the one that had the last such turn, the highest but one behind the lowest. */
static struct lane_level *weaker(struct lanes *l)
{
	struct list *first = l->levels.next;
	struct lane_level *next =
		first->next == &l->levels ? level_at(first) : level_at(first->next);

	list_foreach (n, &l->levels) {
		if (n == first || level_at(n)->level >= l->favoured)
			continue;
		next = level_at(n);
		break;
	}
	l->favoured = next->level;
	return next;
}

struct list *lanes_next(struct lanes *l)
{
	assert(!list_empty(&l->levels));
	struct lane_level *v = level_at(l->levels.next);

	if (++l->turns % LANES_TURNS == 0)
		v = weaker(l);
	do {
		v->turn = (uint8_t)((v->turn + 1) % LANES);
	} while (!(v->bits >> v->turn & 1));
	return v->lanes[v->turn].next;
}
