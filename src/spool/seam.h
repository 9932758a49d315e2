/* The seam: clock, disk and randomness of everything that is proven by simulation (spool, queue).
 * Two implementations: seam_posix.c (production) and tests/sim (deterministic, with faults).
 * Calls never block the loop but for page-cache speed; what waits for the disk is begun here and
 * completes later through `done`, on the loop, never from inside the begin call.
 * Errors: negative errno. Files belong to one folder; names have no slash. */
#pragma once
#include "base/span.h"
#include <sys/uio.h>

struct disk_file; /* opened by the implementation; freed by close */

/* A running operation; memory is the caller's until done is called. */
struct disk_op {
	void (*done)(struct disk_op *op, int result); /* 0 or a negative errno */
	void *implementation;			      /* the seam's own use */
};

struct disk_ops {
	/* create: O_CREAT|O_EXCL. The folder entry is durable only after sync_folder. */
	int (*open)(void *disk, const char *name, bool create, struct disk_file **ret_file);
	/* An fd handed over by another process, write-only (a receiver's segment). Takes over fd.
	 */
	int (*adopt)(void *disk, int fd, struct disk_file **ret_file);
	int (*fd)(struct disk_file *f); /* to hand to another process, or -1 (simulator) */
	/* Also while an operation runs on it, which then still ends. */
	void (*close)(struct disk_file *f);
	int (*size)(struct disk_file *f, uint64_t *ret_octets);
	/* All or an error; into the page cache. */
	int (*write)(struct disk_file *f, uint64_t offset, const struct iovec *iov, int n_iov);
	/* Up to len octets; fewer only at the end of the file. */
	int (*read)(struct disk_file *f, uint64_t offset, void *ptr, size_t len, size_t *ret_len);
	/* fdatasync. A failed sync is never retried as if it had worked: the segment is retired. */
	void (*sync)(struct disk_file *f, struct disk_op *op);
	/* Makes the file exactly `octets` long, all zero: allocated at once (fast == true) or
	 * written with zeros, in the background. In both cases file and folder are synced, so that
	 * the entry is durable when done says 0. */
	void (*prepare)(struct disk_file *f, uint64_t octets, bool fast, struct disk_op *op);
	int (*unlink)(void *disk, const char *name);
	int (*sync_folder)(void *disk);
	int (*list)(void *disk, void (*each)(void *arg, const char *name), void *arg);
	int (*free_octets)(void *disk, uint64_t *ret_octets);
	/* A write-only fd for another process; NULL where there are no other processes. */
	int (*open_write_fd)(void *disk, const char *name, int *ret_fd);
};

struct seam {
	const struct disk_ops *ops;
	void *disk;
	void *clock_arg;
	uint64_t (*monotonic_usec)(void *clock_arg);
	uint64_t (*wall_usec)(void *clock_arg);
	void (*random)(void *clock_arg, void *ptr, size_t len);
	/* Changes whenever unsynced writes may have been lost (the kernel's boot id, which the
	 * supervisor hands down as POSTRIDER_BOOT_ID). All zero: unknown. */
	uint8_t boot_id[16];
};

/* Production. folder_fd is borrowed; -1 for a process that only adopts segments. Needs
 * loop_init and offload_init. */
MUST_CHECK int seam_posix_new(int folder_fd, struct seam **ret_seam);
void seam_posix_free(struct seam *s);
