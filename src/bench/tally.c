/* Marks of one octet for each pair, allocated when a run's first message comes: the kernel gives
 * pages as they are touched. */
#include "bench/tally.h"

#include <stdlib.h>

static void run_free(struct tally_run *run)
{
	if (run)
		free(run->marks);
	free(run);
}

void tally_done(struct tally *t)
{
	for (size_t i = 0; i < t->n_runs; i++)
		run_free(t->runs[i]);
	*t = (struct tally){0};
}

struct tally_run *tally_find(const struct tally *t, uint64_t id)
{
	for (size_t i = t->n_runs; i-- > 0;)
		if (t->runs[i]->id == id)
			return t->runs[i];
	return NULL;
}

struct tally_run *tally_run(struct tally *t, const struct token *token)
{
	struct tally_run *run = tally_find(t, token->run);

	if (run)
		return run->of == token->of && run->rcpts == token->rcpts ? run : NULL;
	if (token->of * token->rcpts > TALLY_PAIRS_MAX)
		return NULL;
	run = calloc(1, sizeof(*run));
	if (run)
		run->marks = calloc(token->of, token->rcpts);
	if (!run || !run->marks) {
		run_free(run);
		return NULL;
	}
	run->id = token->run;
	run->of = token->of;
	run->rcpts = token->rcpts;
	if (t->n_runs == TALLY_RUNS_MAX) {
		run_free(t->runs[0]);
		memmove(&t->runs[0], &t->runs[1], sizeof(t->runs) - sizeof(t->runs[0]));
		t->n_runs--;
	}
	t->runs[t->n_runs++] = run;
	return run;
}

void tally_arrived(struct tally_run *run, const struct token *token, uint64_t rcpt, bool whole)
{
	uint8_t *mark = &run->marks[token->n * run->rcpts + rcpt % run->rcpts];

	if (!whole) {
		run->damaged++;
		*mark |= MARK_DAMAGED;
		return;
	}
	unsigned count = *mark & MARK_COUNT;
	run->pairs += count == 0;
	run->doubled += count > 0;
	if (count < MARK_COUNT)
		(*mark)++;
}
