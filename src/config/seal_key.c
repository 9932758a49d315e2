/* The file appears whole or not at all: it is written under a name of its maker's own, synced, and
 * linked. Whoever loses the race takes the winner's. It is never replaced: with it the secrets that
 * it sealed would be lost. */
#include "config/seal_key.h"
#include "base/buf.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

static int write_key(int data_fd, const char *name)
{
	uint8_t key[SEAL_KEY_FILE_OCTETS];
	struct stat folder;
	CLEANUP(fd_closep)
	int fd = openat(data_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (fd < 0)
		return -errno;
	/* root's command line works for whoever runs the server. */
	if (geteuid() == 0 && fstat(data_fd, &folder) == 0 && folder.st_uid != 0 &&
		fchown(fd, folder.st_uid, folder.st_gid) < 0)
		return -errno;
	int r = getrandom(key, sizeof(key), 0) == (ssize_t)sizeof(key) ? 0 : -EIO;
	if (r == 0 && write(fd, key, sizeof(key)) != (ssize_t)sizeof(key))
		r = errno ? -errno : -ENOSPC;
	explicit_bzero(key, sizeof(key));
	if (r == 0 && fsync(fd) < 0)
		r = -errno;
	return r;
}

static int make(int data_fd)
{
	char name[64];

	(void)snprintf(name, sizeof(name), SEAL_KEY_FILE ".%d", (int)getpid());
	int r = write_key(data_fd, name);
	if (r == 0 && linkat(data_fd, name, data_fd, SEAL_KEY_FILE, 0) < 0 && errno != EEXIST)
		r = -errno;
	(void)unlinkat(data_fd, name, 0);
	if (r == 0 && fsync(data_fd) < 0)
		r = -errno;
	return r;
}

int seal_key_open(int data_fd)
{
	for (unsigned i = 0; i < 2; i++) {
		int fd = openat(data_fd, SEAL_KEY_FILE, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
		if (fd >= 0 || errno != ENOENT)
			return fd >= 0 ? fd : -errno;
		int r = make(data_fd);
		if (r < 0)
			return r;
	}
	return -ENOENT;
}

int seal_key_read(int fd, uint8_t ret_key[static SEAL_KEY_FILE_OCTETS])
{
	uint8_t octets[SEAL_KEY_FILE_OCTETS + 1];
	ssize_t n = pread(fd, octets, sizeof(octets), 0);
	int r = n < 0 ? -errno : n == (ssize_t)SEAL_KEY_FILE_OCTETS ? 0 : -EBADMSG;

	if (r == 0)
		memcpy(ret_key, octets, SEAL_KEY_FILE_OCTETS);
	explicit_bzero(octets, sizeof(octets));
	return r;
}
