/* Giving up rights, once, after everything that needs them has been received: chroot and uid (as
 * root), no_new_privs, not dumpable, death with the parent, landlock, seccomp. SECURITY.md has the
 * table of what each role keeps. */
#pragma once
#include "ipc/frames.h"

#define CONFINE_FOLDERS_MAX 64
#define CONFINE_PORTS_MAX   64

struct confine_options {
	enum role role;
	uid_t uid; /* 0: stay (an ordinary user runs the server) */
	gid_t gid;
	int empty_fd; /* folder to chroot into when root; -1: none */
	/* Stays the working directory behind the chroot, so that unix sockets (lmtp:unix:) can be
	 * connected to by their paths, which may be made anew at any time; opening files is
	 * forbidden by landlock and seccomp all the same. -1: none. */
	int outside_fd;
	pid_t parent;			  /* the supervisor: die with it */
	int folders[CONFINE_FOLDERS_MAX]; /* below which files may be made and read (spool,
					     maildirs) */
	unsigned n_folders;
	uint16_t ports[CONFINE_PORTS_MAX]; /* that the resolver may connect to */
	unsigned n_ports;
};
/* 0, or a negative errno with *ret_what naming the step that failed. */
MUST_CHECK int confine(const struct confine_options *o, const char **ret_what);

/* The two kernel rule sets, each in its file; both are permanent. -EOPNOTSUPP: kernel too old. */
MUST_CHECK int confine_landlock(const struct confine_options *o);
MUST_CHECK int confine_seccomp(enum role role);
