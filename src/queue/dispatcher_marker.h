/* What recovery is reading, in a small mapped file of the spool folder ("recovering"), so that a
 * record that crashes the dispatcher is known at the next start, and skipped after two deaths. */
#pragma once
#include "base/base.h"

struct marker_page;
struct mark {
	uint64_t segment, offset; /* any two numbers that name the same thing at every start */
	uint64_t deaths;
};
struct marker {
	int folder;
	struct marker_page *page; /* NULL: there is none, every record is read */
	struct mark suspect;	  /* what ended an earlier recovery */
};
/* folder is borrowed. One at a time in a process: crashes are noted by signal handlers. */
void marker_open(struct marker *m, int folder);
/* Recovery is over: forgets everything. */
void marker_close(struct marker *m);
/* This is read next. false: it has ended us often enough, leave it out. */
bool marker_set(struct marker *m, uint64_t segment, uint64_t offset);
