/* Only deaths of the dispatcher's own count, and a signal handler notes them down as they happen: a
 * kill from outside (an operator, the OOM killer, the supervisor's end) says nothing about the
 * record that it met. The page survives the process because it is a file's; it need not survive the
 * kernel. Without room for the file there is no marker, and recovery goes on without. */
#include "queue/dispatcher_marker.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define MARKER_NAME   "recovering"
#define MARKER_OCTETS 4096u
#define MARK_DEATHS   2u

/* The layout of the file; read back only on the same machine. */
struct marker_page {
	struct mark now, worst;
};

static const int deaths[] = {SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL};
/* For the handler, which is given nothing: NULL outside of a recovery. */
static struct marker_page *volatile dying;
static struct sigaction before[ARRAY_LEN(deaths)];

/* Counts, and lets the signal do what it would have done. */
static void on_death(int signal)
{
	if (dying)
		dying->now.deaths++;
	dying = NULL;
	for (size_t i = 0; i < ARRAY_LEN(deaths); i++)
		if (deaths[i] == signal)
			(void)sigaction(signal, &before[i], NULL);
	(void)raise(signal); /* comes when this returns: it is blocked until then */
}

static void watch_deaths(struct marker_page *page)
{
	dying = page;
	for (size_t i = 0; i < ARRAY_LEN(deaths); i++) {
		const struct sigaction action = {.sa_handler = on_death};
		if (page)
			(void)sigaction(deaths[i], &action, &before[i]);
		else
			(void)sigaction(deaths[i], &before[i], NULL);
	}
}

void marker_open(struct marker *m, int folder)
{
	static const char zeros[MARKER_OCTETS];
	struct marker_page old = {0};

	*m = (struct marker){.folder = folder};
	CLEANUP(fd_closep)
	int fd = openat(folder, MARKER_NAME, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0)
		return;
	if (pread(fd, &old, sizeof(old), 0) == (ssize_t)sizeof(old))
		m->suspect = old.now.deaths ? old.now : old.worst;
	/* All of the page must exist: a store into a hole of a full disk would kill us. */
	if (pwrite(fd, zeros, sizeof(zeros), 0) != (ssize_t)sizeof(zeros))
		return;
	void *map = mmap(NULL, MARKER_OCTETS, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		return;
	m->page = map;
	m->page->worst = m->suspect;
	watch_deaths(m->page);
}

void marker_close(struct marker *m)
{
	if (m->page) {
		watch_deaths(NULL);
		(void)munmap(m->page, MARKER_OCTETS);
	}
	m->page = NULL;
	(void)unlinkat(m->folder, MARKER_NAME, 0);
}

bool marker_set(struct marker *m, uint64_t segment, uint64_t offset)
{
	bool again = m->suspect.segment == segment && m->suspect.offset == offset;
	uint64_t before_now = again ? m->suspect.deaths : 0;

	if (m->page)
		m->page->now = (struct mark){segment, offset, before_now};
	return before_now < MARK_DEATHS;
}
