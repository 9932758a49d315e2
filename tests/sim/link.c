/* See link.h. */
#include "link.h"
#include "disk.h"

#include <stdlib.h>

struct link *link_new(void)
{
	struct link *l = calloc(1, sizeof(*l));

	if (!l)
		abort();
	list_init(&l->up);
	list_init(&l->down);
	return l;
}

static const struct disk_ops *file_ops;

static void said_drop(struct said *s)
{
	for (unsigned i = 0; i < s->n_files; i++)
		if (s->files[i].file)
			file_ops->close(s->files[i].file);
	free(s->files);
	buf_done(&s->payload);
}

void said_free(struct said *s)
{
	if (!s)
		return;
	said_drop(s);
	free(s);
}

struct said *link_hear(struct list *inbox)
{
	struct list *n = list_pop_front(inbox);

	return n ? CONTAINER_OF(n, struct said, node) : NULL;
}

void link_leave(struct link *l, bool dispatcher)
{
	struct list *unread = dispatcher ? &l->up : &l->down;

	for (struct said *s; (s = link_hear(unread));)
		said_free(s);
	if (dispatcher)
		l->dispatcher_left = true;
	else
		l->peer_left = true;
	if (!l->dispatcher_left || !l->peer_left)
		return;
	for (struct said *s; (s = link_hear(&l->up)) || (s = link_hear(&l->down));)
		said_free(s);
	free(l);
}

void link_say(struct link *l, struct seam *from, bool up, struct said s)
{
	file_ops = from->ops;
	if (!l || !sim_seam_touch(from) || (up ? l->dispatcher_left : l->peer_left)) {
		said_drop(&s);
		return;
	}
	struct said *copy = malloc(sizeof(*copy));
	if (!copy)
		abort();
	*copy = s;
	copy->node = (struct list){0};
	list_push_back(up ? &l->up : &l->down, &copy->node);
}
