/* A real dispatcher process, and everybody whom it talks to played by the test: supervisor,
 * receivers with real writers, a directory that routes by domain, a deliverer and a mailbox that
 * record what they are given, control. Everything runs in the fiber of the test. */
#pragma once
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "base/stats.h"
#include "ipc/admin.h"
#include "ipc/frames.h"
#include "ipc/job.h"
#include "net/channel.h"
#include "spool/draft.h"
#include "spool/writer.h"

#define RECEIVERS 2u
#define JOBS_SEEN 32768u

enum habit {
	HABIT_DELIVER,
	HABIT_REFUSE, /* 550 */
	HABIT_DEFER,  /* 451 */
	HABIT_KEEP,   /* say nothing */
};
struct seen_job {
	uint64_t job, message;
	enum role by;
	bool suspect, answered, kept;
	uint32_t attempt, n_rcpts, index;
	char rcpt[128], from[128];
	char *octets; /* of the message, NUL behind it */
	size_t len;
};
struct world;
struct actor {
	struct world *w;
	enum role role;
	unsigned index;
	bool alive;
	struct channel *channel; /* NULL: nobody there */
	/* receivers */
	struct seam *seam;
	struct writer *writer;
	unsigned given, committed;
	bool mute; /* says nothing of commits */
	bool accepting;
	/* deliverers */
	enum habit habit;
	struct {
		uint64_t sequence;
		int fd;
	} segments[64];
	unsigned n_segments;
	bool asked;
};
struct world {
	char folder[64], log[96];
	int folder_fd, stats_fd;
	const struct stats *stats; /* the dispatcher's */
	pid_t pid;
	bool ready, closed;
	struct channel *supervisor;
	struct actor receivers[RECEIVERS], directory, deliverer, mailbox, control;
	struct seen_job jobs[JOBS_SEEN];
	unsigned n_jobs;
	unsigned rows, ends;
	uint64_t count;
	char states[64]; /* of the last row's first recipient */
	uint64_t last_id;
	const char *sought; /* of world_logged: by the last call, and how far without it */
	long sought_to;
};
/* Runs fn in a fiber with a dispatcher on an empty spool, and cleans up. */
void with_world(void (*fn)(struct world *w));
void with_world_in(const char *where, void (*fn)(struct world *w));
/* Life of the dispatcher. start: living actors are older than it. */
void world_start(struct world *w);
void world_kill(struct world *w);
int world_reap(struct world *w); /* it ends by itself: its exit status */
int world_drain(struct world *w);
/* Waits up to 60 s (sanitizers and valgrind are slow); fails with the words otherwise. */
#define WAIT_FOR(what)                                                                             \
	do {                                                                                       \
		unsigned left_ = 12000;                                                            \
		while (!(what) && left_-- > 0)                                                     \
			(void)fiber_sleep(5 * USEC_PER_MSEC);                                      \
		if (!(what))                                                                       \
			fail_msg("waited in vain for: %s", #what);                                 \
	} while (0)

/* Between actors and stage. */
void world_send(struct channel *c, uint16_t type, struct buf *b, int fd); /* and frees b */
void world_send_u64(struct channel *c, uint16_t type, uint64_t v);
void actor_attach(struct actor *a);

void actor_live(struct actor *a); /* a fresh process: attaches if there is a dispatcher */
void actor_die(struct actor *a);
/* A message into the spool; its id. to: addresses separated by spaces. */
uint64_t world_mail(struct world *w, unsigned receiver, const char *from, const char *to,
	struct span text, bool notify);
void world_mail_many(
	struct world *w, unsigned n, const char *from, const char *to, struct span text);
void job_answer(struct world *w, struct seen_job *j, enum habit habit);
void job_dot(struct world *w, const struct seen_job *j);
unsigned jobs_of(const struct world *w, uint64_t message);
struct seen_job *job_to(struct world *w, const char *rcpt, unsigned nth);
/* Operator. Waits for the end; rows and count are in w. */
void world_admin(struct world *w, enum admin_verb verb, uint64_t id);
bool world_logged(struct world *w, const char *words);
