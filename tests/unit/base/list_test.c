/* Intrusive lists: order, removal anywhere, safe iteration. */
#include "test.h"
#include "base/list.h"

struct item {
	int value;
	struct list node;
};

static int value_of(struct list *n)
{
	return CONTAINER_OF(n, struct item, node)->value;
}

static void list_push__keeps_order(void **state)
{
	(void)state;
	struct list head;
	struct item items[] = {{.value = 1}, {.value = 2}, {.value = 0}};
	list_init(&head);
	assert_true(list_empty(&head));
	list_push_back(&head, &items[0].node);
	list_push_back(&head, &items[1].node);
	list_push_front(&head, &items[2].node);
	int want = 0;
	list_foreach (n, &head)
		want_int("order", want++, value_of(n));
	want_int("count", 3, want);
	for (want = 0; want < 3; want++)
		want_int("popped", want, value_of(list_pop_front(&head)));
	assert_null(list_pop_front(&head));
}

static void list_remove__linked_or_not(void **state)
{
	(void)state;
	struct list head;
	struct item items[] = {{.value = 0}, {.value = 1}, {.value = 2}};
	list_init(&head);
	for (size_t i = 0; i < 3; i++)
		list_push_back(&head, &items[i].node);
	list_remove(&items[1].node);
	assert_false(list_linked(&items[1].node));
	list_remove(&items[1].node);
	assert_ptr_equal(head.next->next, &items[2].node);
	assert_ptr_equal(head.prev->prev, &items[0].node);
}

static void list_foreach_safe__removes_while_walking(void **state)
{
	(void)state;
	struct list head;
	struct item items[10];
	list_init(&head);
	for (int i = 0; i < 10; i++) {
		items[i] = (struct item){.value = i};
		list_push_back(&head, &items[i].node);
	}
	list_foreach_safe (n, next, &head)
		if (value_of(n) % 2)
			list_remove(n);
	int want = 0;
	list_foreach (n, &head) {
		want_int("left", want, value_of(n));
		want += 2;
	}
	want_int("all even ones", 10, want);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(list_push__keeps_order),
		cmocka_unit_test(list_remove__linked_or_not),
		cmocka_unit_test(list_foreach_safe__removes_while_walking),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
