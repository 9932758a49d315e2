/* The order matters: folders are opened before chroot, the uid goes after chroot, PR_SET_PDEATHSIG
 * after the uid (setuid clears it), landlock after no_new_privs, seccomp last of all, because it
 * forbids every step before it. A role that cannot confine itself does not run. */
#include "process/confine.h"
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static int drop_ids(const struct confine_options *o)
{
	if (o->uid == 0)
		return 0;
	gid_t group = o->gid;
	if (setgroups(1, &group) < 0 || setresgid(o->gid, o->gid, o->gid) < 0 ||
		setresuid(o->uid, o->uid, o->uid) < 0)
		return -errno;
	/* Nothing may bring the old identity back. */
	if (setuid(0) == 0)
		return -EPERM;
	return 0;
}

static int enter_empty(const struct confine_options *o)
{
	if (o->uid == 0 || o->empty_fd < 0)
		return 0;
	if (fchdir(o->empty_fd) < 0 || chroot(".") < 0 || chdir("/") < 0)
		return -errno;
	if (o->outside_fd >= 0 && fchdir(o->outside_fd) < 0)
		return -errno;
	return 0;
}

static int die_with_parent(const struct confine_options *o)
{
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
		return -errno;
	/* The parent may have died before the call: then nobody would ever signal us. */
	if (getppid() != o->parent)
		return -ESRCH;
	return 0;
}

static void set_limits(void)
{
	struct rlimit core = {0, 0}, files;

	(void)setrlimit(RLIMIT_CORE, &core);
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &files);
	}
}

/* Who is woken by a packet does not push the process that sent it from its core: what else comes
 * meanwhile is worked on in one turn, with half the context switches a message where all cores
 * are busy. Where one is idle it changes nothing. Another policy is the operator's choice. */
static void wait_for_turn(void)
{
	struct sched_param none = {0};

	if (sched_getscheduler(0) == SCHED_OTHER)
		(void)sched_setscheduler(0, SCHED_BATCH, &none);
}

int confine(const struct confine_options *o, const char **ret_what)
{
	int r;

	/* What libc would read from files later. */
	tzset();
	set_limits();
	wait_for_turn();
	*ret_what = "chroot into the empty folder";
	if ((r = enter_empty(o)) < 0)
		return r;
	*ret_what = "change the user id";
	if ((r = drop_ids(o)) < 0)
		return r;
	*ret_what = "set no_new_privs";
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -errno;
	*ret_what = "switch off core dumps and tracing";
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return -errno;
	*ret_what = "bind its life to the supervisor's";
	if ((r = die_with_parent(o)) < 0)
		return r;
#ifndef POSTRIDER_SANITIZED
	*ret_what = "restrict itself by landlock";
	r = confine_landlock(o);
	if (r < 0 && r != -EOPNOTSUPP)
		return r;
	*ret_what = "restrict itself by seccomp";
	if ((r = confine_seccomp(o->role)) < 0)
		return r;
#endif
	return 0;
}
