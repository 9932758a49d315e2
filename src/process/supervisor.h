/* Inside of the supervisor, shared by supervisor.c (life of the server), children.c (starting,
 * wiring and restarting roles) and drain.c (orderly end). */
#pragma once
#include "base/list.h"
#include "net/channel.h"
#include "process/resources.h"
#include "process/supervise.h"

#define CHILDREN_MAX 160u

struct supervisor;
struct child {
	struct supervisor *s;
	enum role role;
	unsigned index;
	pid_t pid; /* 0: not running */
	struct channel *channel;
	bool ready, failed;
	uint64_t started_usec;
	unsigned fast_deaths; /* in a row, each within RESTART_FAST of its start */
	struct loop_timer restart;
};
struct supervisor {
	const char *path; /* of the configuration; NULL: evaluation mode */
	struct config *config;
	struct accounts accounts;
	struct resources resources;
	int self_fd; /* this program, for re-execution */
	int stats_fd;
	int notify_fd;
	struct child *children[CHILDREN_MAX];
	unsigned n_children;
	struct watch signals;
	struct loop_timer tables;
	struct ticket_page *tickets;
	uint64_t tickets_usec; /* when their keys change */
	bool ready_said, draining;
	unsigned drain_phase;
	uint64_t drain_deadline;
	struct loop_timer drain_timer;
	pid_t learner; /* learn.c; 0: none runs */
	bool learn_again;
	int status;
};

/* children.c */
MUST_CHECK int children_start(struct supervisor *s);
void children_reap(struct supervisor *s);   /* after SIGCHLD */
void children_reload(struct supervisor *s); /* new configuration and resources to all */
void children_renew(struct supervisor *s, enum role role); /* an orderly end, then a new start */
/* A process of that role apart from the others, for jobs that may kill it. */
void children_spare(struct supervisor *s, enum role role);
void children_new_tables(struct supervisor *s);	      /* to the directory only */
void children_new_certificates(struct supervisor *s); /* to keys and receivers */
void children_kill(struct supervisor *s);
bool children_all_ready(const struct supervisor *s);
bool children_running(const struct supervisor *s, enum role role);

/* learn.c */
void learn_begin(struct supervisor *s); /* learned keys into the users' sources */
void learn_reap(struct supervisor *s);	/* after SIGCHLD */

/* drain.c */
void drain_begin(struct supervisor *s);
void drain_step(struct supervisor *s); /* a child has ended */

/* supervisor.c */
void supervisor_child_ready(struct supervisor *s);
void supervisor_frame(struct supervisor *s, struct child *from, struct frame *f);
void supervisor_say(struct supervisor *s, const char *state); /* to systemd's notify socket */
