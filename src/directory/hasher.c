/* Why it is fair: a guesser with fifty connections waits behind himself. Whoever comes from an
 * address that has not failed waits for at most one hash of his own kind and one of a guesser's. */
#include "directory/hasher.h"

#include <assert.h>

void hasher_init(struct hasher *h)
{
	*h = (struct hasher){0};
	list_init(&h->clean);
	list_init(&h->suspect);
	list_init(&h->running);
}

static void hasher_run(struct hasher *h);

static int task_work(struct offload_job *j)
{
	struct hash_task *t = CONTAINER_OF(j, struct hash_task, job);

	t->work(t);
	return 0;
}

static void task_done(struct offload_job *j)
{
	struct hash_task *t = CONTAINER_OF(j, struct hash_task, job);
	struct hasher *h = t->hasher;

	list_remove(&t->node);
	h->n_running--;
	h->n_suspect_running -= t->is_clean ? 0 : 1;
	t->done(t, true);
	hasher_run(h);
}

static bool address_runs(const struct hasher *h, const struct address *a)
{
	list_foreach (it, &h->running)
		if (address_equal_host(&CONTAINER_OF(it, struct hash_task, node)->client, a))
			return true;
	return false;
}

static struct hash_task *pick(struct hasher *h, struct list *from)
{
	list_foreach (it, from) {
		struct hash_task *t = CONTAINER_OF(it, struct hash_task, node);
		if (!address_runs(h, &t->client))
			return t;
	}
	return NULL;
}

static void hasher_run(struct hasher *h)
{
	while (h->n_running < HASHES_RUNNING) {
		struct hash_task *t = pick(h, &h->clean);
		if (!t && h->n_suspect_running == 0)
			t = pick(h, &h->suspect);
		if (!t)
			return;
		list_remove(&t->node);
		h->n_waiting--;
		if (!t->wanted(t)) {
			t->done(t, false);
			continue;
		}
		list_push_back(&h->running, &t->node);
		h->n_running++;
		h->n_suspect_running += t->is_clean ? 0 : 1;
		t->job = (struct offload_job){.work = task_work, .done = task_done};
		offload_submit(&t->job);
	}
}

int hasher_submit(struct hasher *h, struct hash_task *t)
{
	if (h->n_waiting >= HASHES_WAITING_MAX)
		return -EBUSY;
	t->hasher = h;
	list_push_back(t->is_clean ? &h->clean : &h->suspect, &t->node);
	h->n_waiting++;
	hasher_run(h);
	return 0;
}
