/* The few helpers behind the cleanup attribute.
 *
 * They run on the way out of a function, often while errno or a negative errno is on its way to
 * the caller: therefore none of them changes errno, and none of them can fail. close(2) is called
 * once and never retried: on Linux the descriptor is gone even after EINTR, and a second close
 * could hit a descriptor that another thread has just opened. */
#include "base/base.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int fd_close(int fd)
{
	if (fd < 0)
		return -1;
	int saved = errno;
	int r = close(fd);
	/* Closing what is not open is a bug: next time it would be somebody else's descriptor. */
	assert(r == 0 || errno != EBADF);
	(void)r;
	errno = saved;
	return -1;
}

void fd_closep(int *fd)
{
	*fd = fd_close(*fd);
}

void freep(void *pointer_to_pointer)
{
	void *p;
	int saved = errno;

	/* The caller's variable has a type of its own; memcpy reads it without lying about it. */
	memcpy(&p, pointer_to_pointer, sizeof(p));
	free(p);
	p = NULL;
	memcpy(pointer_to_pointer, &p, sizeof(p));
	errno = saved;
}
