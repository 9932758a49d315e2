/* An owner for the queue's tests: it records every action, answers the directory's questions by
 * rules that stand in the address, keeps the ledger as a list with a durable length, and can start
 * a new queue from any prefix of it. Time moves only when a test says so. */
#pragma once
#include "base/arena.h"
#include "base/ident.h"
#include "queue/entries.h"
#include "queue/queue.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define SEC USEC_PER_SEC
/* 2026-01-01: wall time in the tests. */
#define WALL_START (UINT64_C(1767225600) * SEC)

struct fake_entry {
	uint8_t type;
	struct span payload;
};
struct fake_ask {
	struct expand_ask ask;
	bool route;
};
struct fake_mx {
	uint64_t token;
	struct span domain;
};
struct fake_report {
	uint64_t message, event;
	bool delay, success;
	enum queue_action action; /* of the first */
	uint32_t n_rcpts;
	struct span *rcpts; /* addresses */
	struct span text;   /* of the first */
};
struct fake {
	struct queue *q;
	struct queue_settings settings;
	struct arena *arena;
	uint64_t now, wall;
	struct fake_entry *ledger;
	size_t n_ledger, cap_ledger, durable;
	uint64_t ticket; /* asked for and not answered: covers synced entries */
	size_t synced;
	struct fake_ask *asks;
	size_t n_asks, cap_asks;
	struct fake_mx *mxs;
	size_t n_mxs, cap_mxs;
	struct job *jobs; /* handed out and not yet answered by the test */
	size_t n_jobs, cap_jobs;
	struct fake_report *reports; /* asked for and not yet written */
	size_t n_reports, cap_reports;
	struct buf events; /* a line each: event id rcpt text detail */
	uint64_t kept, forgotten, cancelled, handed, syncs, moved;
	bool moved_first; /* before anything was forgotten */
	size_t written;	  /* entries that a deliverer's job or a sync has put into the page cache */
	bool quiet;	  /* no events kept */
	void (*hook)(void *arg, const char *event, uint64_t id, struct span rcpt);
	void *hook_arg;
	const char *route; /* another site for every address, or NULL */
};

void fake_init(struct fake *f);
void fake_done(struct fake *f);
void fake_start(struct fake *f, bool same_boot); /* after replay, or at once */
/* Throws the queue away and replays the first n entries of the ledger into a new one. */
void fake_crash(struct fake *f, size_t n);
/* Commits a message with these recipients; sender "" is the null reverse path. */
int fake_commit(struct fake *f, uint64_t id, const char *sender, const char *const *rcpts);
int fake_commit_one(struct fake *f, uint64_t id, const char *rcpt);
struct message fake_message(
	struct fake *f, uint64_t id, const char *sender, const char *const *rcpts);
struct record_ref fake_ref(uint64_t id);
void fake_turn(struct fake *f, uint64_t usec); /* time passes, the queue runs, asks are answered */
void fake_answer(struct fake *f);
void fake_durable(struct fake *f, int result);
/* turn, durable, turn */
void fake_flow(struct fake *f);
/* The oldest job gets this result for all recipients. */
void fake_result(struct fake *f, enum outcome_class result, bool site_down);
void fake_outcome(struct fake *f, size_t job, const enum outcome_class *results, size_t n);
void fake_job_remove(struct fake *f, size_t job);
bool fake_said(const struct fake *f, const char *text);
size_t fake_said_times(const struct fake *f, const char *text);
size_t fake_entries(const struct fake *f, enum entry_type type);
void fake_command(
	struct fake *f, enum admin_verb verb, struct admin_request request, uint64_t want);
