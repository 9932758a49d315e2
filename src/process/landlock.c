/* Landlock (Linux 5.13 and later): no file of the system is reachable by name, /proc included, but
 * those below the folders handed down; no TCP bind for anyone (but
 * deliverers to a port of the system's choice), TCP connect for deliverers and the reporter only,
 * and for the resolver to DNS ports; no signals and no abstract sockets outside. Where the kernel
 * knows less, what it knows is used. Opened fds (listeners, segments) are not affected. */
#include "process/confine.h"
#include <linux/landlock.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Later kernels' names that Debian 12's headers lack (Linux 6.2, 6.7, 6.10, 6.12 UAPI). */
#define FS_V1		    ((UINT64_C(1) << 13) - 1)
#define FS_REFER	    (UINT64_C(1) << 13)
#define FS_TRUNC	    (UINT64_C(1) << 14)
#define FS_IOCTL	    (UINT64_C(1) << 15)
#define NET_BIND	    (UINT64_C(1) << 0)
#define NET_CONN	    (UINT64_C(1) << 1)
#define SCOPE_ABSTRACT_UNIX (UINT64_C(1) << 0)
#define SCOPE_SIGNAL	    (UINT64_C(1) << 1)

struct ruleset_attr {
	uint64_t fs, net, scoped;
};

/* Regular files and folders below the given one: no devices, sockets, fifos, links; no execute. */
#define FOLDER_RIGHTS                                                                              \
	(LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR |                              \
		LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_FILE |                   \
		LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_DIR | FS_REFER | FS_TRUNC)

/* struct landlock_net_port_attr, Linux 6.7 */
#define RULE_NET_PORT 2
struct port_attr {
	uint64_t allowed, port;
};

static int add_port(int ruleset, uint64_t allowed, uint16_t port)
{
	struct port_attr rule = {allowed, port};

	if (syscall(SYS_landlock_add_rule, ruleset, RULE_NET_PORT, &rule, 0) < 0)
		return -errno;
	return 0;
}

static int add_folder(int ruleset, int fd, uint64_t handled)
{
	struct landlock_path_beneath_attr rule = {
		.allowed_access = FOLDER_RIGHTS & handled, .parent_fd = fd};

	if (syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) < 0)
		return -errno;
	return 0;
}

int confine_landlock(const struct confine_options *o)
{
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	if (abi < 1)
		return -EOPNOTSUPP;
	struct ruleset_attr attr = {.fs = FS_V1};
	size_t size = sizeof(attr.fs);

	if (abi >= 2)
		attr.fs |= FS_REFER;
	if (abi >= 3)
		attr.fs |= FS_TRUNC;
	if (abi >= 4) {
		bool dials = o->role == ROLE_DELIVERER || o->role == ROLE_REPORTER;
		attr.net = dials ? NET_BIND : NET_BIND | NET_CONN;
		size = 2 * sizeof(uint64_t);
	}
	if (abi >= 5)
		attr.fs |= FS_IOCTL;
	if (abi >= 6) {
		attr.scoped = SCOPE_ABSTRACT_UNIX | SCOPE_SIGNAL;
		size = sizeof(attr);
	}
	CLEANUP(fd_closep)
	int ruleset = (int)syscall(SYS_landlock_create_ruleset, &attr, size, 0);
	if (ruleset < 0)
		return -errno;
	for (unsigned i = 0; i < o->n_folders; i++) {
		int r = add_folder(ruleset, o->folders[i], attr.fs);
		if (r < 0)
			return r;
	}
	for (unsigned i = 0; abi >= 4 && i < o->n_ports; i++) {
		int r = add_port(ruleset, NET_CONN, o->ports[i]);
		if (r < 0)
			return r;
	}
	/* Port 0 is any ephemeral one: to connect from an address of `source`. */
	if (abi >= 4 && o->role == ROLE_DELIVERER) {
		int r = add_port(ruleset, NET_BIND, 0);
		if (r < 0)
			return r;
	}
	if (syscall(SYS_landlock_restrict_self, ruleset, 0) < 0)
		return -errno;
	return 0;
}
