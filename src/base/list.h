/* Intrusive doubly linked list. A node that is in no list has next == NULL. */
#pragma once
#include "base/base.h"

struct list {
	struct list *next, *prev;
};

static inline void list_init(struct list *head)
{
	head->next = head->prev = head;
}
static inline bool list_empty(const struct list *head)
{
	return head->next == head;
}
static inline bool list_linked(const struct list *node)
{
	return node->next != NULL;
}
static inline void list_insert_(struct list *node, struct list *prev, struct list *next)
{
	node->prev = prev;
	node->next = next;
	prev->next = node;
	next->prev = node;
}
static inline void list_push_back(struct list *head, struct list *node)
{
	list_insert_(node, head->prev, head);
}
static inline void list_push_front(struct list *head, struct list *node)
{
	list_insert_(node, head, head->next);
}
/* Removes if linked. */
static inline void list_remove(struct list *node)
{
	if (!node->next)
		return;
	node->prev->next = node->next;
	node->next->prev = node->prev;
	node->next = node->prev = NULL;
}
static inline struct list *list_pop_front(struct list *head)
{
	struct list *n = head->next;
	if (n == head)
		return NULL;
	list_remove(n);
	return n;
}
#define list_foreach(it, head) for (struct list *it = (head)->next; it != (head); it = it->next)
#define list_foreach_safe(it, tmp, head)                                                           \
	for (struct list *it = (head)->next, *tmp = it->next; it != (head);                        \
		it = tmp, tmp = it->next)
