/* The system calls that each role may make; anything else kills the process (SIGSYS), and the
 * supervisor logs it. What libc may try on its own and can live without (opening a file, stat) gets
 * EACCES instead, in the roles that have no folders. Never allowed to any role: execve, ptrace,
 * process_vm_*, pidfd_*, kill, mount, module and key calls, memory that is both new and
 * executable. */
#include "process/confine.h"
#include <fcntl.h>
#include <linux/sched.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

static const int calls_all[] = {SCMP_SYS(read), SCMP_SYS(write), SCMP_SYS(readv), SCMP_SYS(writev),
	SCMP_SYS(pread64), SCMP_SYS(pwrite64), SCMP_SYS(preadv), SCMP_SYS(pwritev),
	SCMP_SYS(recvmsg), SCMP_SYS(sendmsg), SCMP_SYS(recvfrom), SCMP_SYS(sendto),
	SCMP_SYS(recvmmsg), SCMP_SYS(sendmmsg), SCMP_SYS(close), SCMP_SYS(epoll_wait),
	SCMP_SYS(epoll_pwait), SCMP_SYS(epoll_pwait2), SCMP_SYS(epoll_ctl), SCMP_SYS(epoll_create1),
	SCMP_SYS(eventfd2), SCMP_SYS(timerfd_create), SCMP_SYS(timerfd_settime), SCMP_SYS(futex),
	SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(madvise), SCMP_SYS(brk),
	SCMP_SYS(clock_gettime), SCMP_SYS(clock_nanosleep), SCMP_SYS(gettimeofday),
	SCMP_SYS(nanosleep), SCMP_SYS(getpid), SCMP_SYS(gettid), SCMP_SYS(getppid),
	SCMP_SYS(getuid), SCMP_SYS(geteuid), SCMP_SYS(getgid), SCMP_SYS(getegid), SCMP_SYS(exit),
	SCMP_SYS(exit_group), SCMP_SYS(rt_sigreturn), SCMP_SYS(rt_sigprocmask),
	SCMP_SYS(rt_sigaction), SCMP_SYS(sigaltstack), SCMP_SYS(restart_syscall),
	SCMP_SYS(getrandom), SCMP_SYS(poll), SCMP_SYS(ppoll), SCMP_SYS(fstat), SCMP_SYS(lseek),
	SCMP_SYS(sched_yield), SCMP_SYS(sched_getaffinity), SCMP_SYS(set_robust_list),
	SCMP_SYS(rseq), SCMP_SYS(sysinfo), SCMP_SYS(getrusage), SCMP_SYS(shutdown),
	SCMP_SYS(getsockopt), SCMP_SYS(setsockopt), SCMP_SYS(getpeername), SCMP_SYS(getsockname),
	SCMP_SYS(dup), SCMP_SYS(membarrier)};
/* Reading a file name is tried by libc in odd corners; it finds nothing, and that is no attack. */
static const int calls_refused[] = {SCMP_SYS(openat), SCMP_SYS(open), SCMP_SYS(access),
	SCMP_SYS(faccessat), SCMP_SYS(faccessat2), SCMP_SYS(stat), SCMP_SYS(statx),
	SCMP_SYS(readlink), SCMP_SYS(readlinkat), SCMP_SYS(ioctl), SCMP_SYS(prlimit64),
	SCMP_SYS(uname), SCMP_SYS(socket)};
static const int calls_receiver[] = {SCMP_SYS(accept4), SCMP_SYS(fdatasync)};
static const int calls_dispatcher[] = {SCMP_SYS(openat), SCMP_SYS(newfstatat), SCMP_SYS(unlinkat),
	SCMP_SYS(fsync), SCMP_SYS(fdatasync), SCMP_SYS(fallocate), SCMP_SYS(ftruncate),
	SCMP_SYS(getdents64), SCMP_SYS(fstatfs), SCMP_SYS(statfs), SCMP_SYS(renameat2),
	SCMP_SYS(renameat), SCMP_SYS(fadvise64), SCMP_SYS(sync_file_range)};
static const int calls_deliverer[] = {SCMP_SYS(preadv2), SCMP_SYS(connect), SCMP_SYS(bind),
	SCMP_SYS(fadvise64), SCMP_SYS(openat), SCMP_SYS(renameat), SCMP_SYS(unlinkat)};
static const int calls_mailbox[] = {SCMP_SYS(openat), SCMP_SYS(newfstatat), SCMP_SYS(mkdirat),
	SCMP_SYS(linkat), SCMP_SYS(unlinkat), SCMP_SYS(renameat), SCMP_SYS(renameat2),
	SCMP_SYS(fsync), SCMP_SYS(fdatasync), SCMP_SYS(getdents64), SCMP_SYS(fchmod),
	SCMP_SYS(faccessat), SCMP_SYS(faccessat2), SCMP_SYS(statx), SCMP_SYS(fallocate),
	SCMP_SYS(ftruncate)};
static const int calls_resolver[] = {SCMP_SYS(bind), SCMP_SYS(connect)};
static const int calls_directory[] = {
	SCMP_SYS(openat), SCMP_SYS(renameat), SCMP_SYS(renameat2), SCMP_SYS(fsync)};
static const int calls_reporter[] = {SCMP_SYS(connect), SCMP_SYS(openat), SCMP_SYS(renameat),
	SCMP_SYS(unlinkat), SCMP_SYS(fdatasync), SCMP_SYS(getdents64)};
static const int calls_control[] = {SCMP_SYS(accept4)};

static int allow(scmp_filter_ctx f, uint32_t action, const int *calls, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		int r = seccomp_rule_add(f, action, calls[i], 0);
		/* A call that does not exist on this CPU cannot be made either. */
		if (r < 0 && r != -EDOM && r != -EEXIST)
			return r;
	}
	return 0;
}

static int allow_role(scmp_filter_ctx f, enum role role)
{
	switch (role) {
	case ROLE_RECEIVER:
		return allow(f, SCMP_ACT_ALLOW, calls_receiver, ARRAY_LEN(calls_receiver));
	case ROLE_DISPATCHER:
		return allow(f, SCMP_ACT_ALLOW, calls_dispatcher, ARRAY_LEN(calls_dispatcher));
	case ROLE_DELIVERER:
		return allow(f, SCMP_ACT_ALLOW, calls_deliverer, ARRAY_LEN(calls_deliverer));
	case ROLE_MAILBOX:
		return allow(f, SCMP_ACT_ALLOW, calls_mailbox, ARRAY_LEN(calls_mailbox));
	case ROLE_RESOLVER:
		return allow(f, SCMP_ACT_ALLOW, calls_resolver, ARRAY_LEN(calls_resolver));
	case ROLE_DIRECTORY:
		return allow(f, SCMP_ACT_ALLOW, calls_directory, ARRAY_LEN(calls_directory));
	case ROLE_REPORTER:
		return allow(f, SCMP_ACT_ALLOW, calls_reporter, ARRAY_LEN(calls_reporter));
	case ROLE_CONTROL:
		return allow(f, SCMP_ACT_ALLOW, calls_control, ARRAY_LEN(calls_control));
	default:
		return 0;
	}
}

static bool in(const int *calls, size_t n, int call)
{
	for (size_t i = 0; i < n; i++)
		if (calls[i] == call)
			return true;
	return false;
}

static bool may_dial(enum role role)
{
	return role == ROLE_DELIVERER || role == ROLE_RESOLVER || role == ROLE_REPORTER;
}

static int refuse_quietly(scmp_filter_ctx f, enum role role)
{
	for (size_t i = 0; i < ARRAY_LEN(calls_refused); i++) {
		int call = calls_refused[i];
		if (role == ROLE_DISPATCHER &&
			in(calls_dispatcher, ARRAY_LEN(calls_dispatcher), call))
			continue;
		if (role == ROLE_DIRECTORY && in(calls_directory, ARRAY_LEN(calls_directory), call))
			continue;
		if (role == ROLE_MAILBOX && in(calls_mailbox, ARRAY_LEN(calls_mailbox), call))
			continue;
		if (may_dial(role) && call == SCMP_SYS(socket))
			continue;
		if (role == ROLE_REPORTER && in(calls_reporter, ARRAY_LEN(calls_reporter), call))
			continue;
		if (role == ROLE_DELIVERER && in(calls_deliverer, ARRAY_LEN(calls_deliverer), call))
			continue;
		int r = allow(f, SCMP_ACT_ERRNO(EACCES), &call, 1);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Calls whose arguments decide. */
static int allow_by_argument(scmp_filter_ctx f, enum role role)
{
	static const int fcntls[] = {F_GETFL, F_SETFL, F_GETFD, F_SETFD, F_DUPFD_CLOEXEC};
	static const int families[] = {AF_INET, AF_INET6, AF_UNIX};
	const uint64_t thread = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD;
	int r = 0;

	/* SQLite's lock on the users database, on a description that is read-only. */
	if (role == ROLE_DIRECTORY)
		r = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(fcntl), 1,
			SCMP_A1(SCMP_CMP_EQ, F_OFD_SETLK, 0));
	for (size_t i = 0; i < ARRAY_LEN(fcntls) && r == 0; i++)
		r = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(fcntl), 1,
			SCMP_A1(SCMP_CMP_EQ, (scmp_datum_t)fcntls[i], 0));
	if (r == 0)
		r = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1,
			SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	if (r == 0)
		r = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1,
			SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	/* libc's fstat is newfstatat with AT_EMPTY_PATH; by name it is for those with folders. */
	if (r == 0 && role != ROLE_DISPATCHER && role != ROLE_MAILBOX) {
		r = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(newfstatat), 1,
			SCMP_A3(SCMP_CMP_MASKED_EQ, AT_EMPTY_PATH, AT_EMPTY_PATH));
		if (r == 0)
			r = seccomp_rule_add(f, SCMP_ACT_ERRNO(EACCES), SCMP_SYS(newfstatat), 1,
				SCMP_A3(SCMP_CMP_MASKED_EQ, AT_EMPTY_PATH, 0));
	}
	/* Threads of the offload pool, no processes; clone3 cannot be looked into: libc falls back.
	 */
	if (r == 0)
		r = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
			SCMP_A0(SCMP_CMP_MASKED_EQ, thread, thread));
	if (r == 0)
		r = seccomp_rule_add(f, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
	/* abort() signals its own process only. */
	if (r == 0)
		r = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1,
			SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)getpid(), 0));
	/* prctl: only the names of threads and of memory areas. */
	if (r == 0)
		r = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(prctl), 1,
			SCMP_A0(SCMP_CMP_EQ, 15 /* PR_SET_NAME */, 0));
	if (r == 0)
		r = seccomp_rule_add(f, SCMP_ACT_ERRNO(EINVAL), SCMP_SYS(prctl), 1,
			SCMP_A0(SCMP_CMP_EQ, 0x53564d41 /* PR_SET_VMA */, 0));
	/* libcurl wakes itself through a pair. */
	if (r == 0 && (role == ROLE_DELIVERER || role == ROLE_REPORTER))
		r = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(socketpair), 1,
			SCMP_A0(SCMP_CMP_EQ, AF_UNIX, 0));
	for (size_t i = 0; may_dial(role) && i < ARRAY_LEN(families) && r == 0; i++)
		r = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(socket), 1,
			SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)families[i], 0));
	return r;
}

int confine_seccomp(enum role role)
{
	scmp_filter_ctx f = seccomp_init(SCMP_ACT_KILL_PROCESS);
	if (!f)
		return -ENOMEM;
	int r = allow(f, SCMP_ACT_ALLOW, calls_all, ARRAY_LEN(calls_all));
	if (r == 0)
		r = allow_role(f, role);
	if (r == 0)
		r = refuse_quietly(f, role);
	if (r == 0)
		r = allow_by_argument(f, role);
	/* A binary tree instead of a list of comparisons: a call costs its depth. */
	if (r == 0)
		(void)seccomp_attr_set(f, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	if (r == 0)
		r = seccomp_load(f);
	seccomp_release(f);
	return r;
}
