/* This process's counters, in memory that the control process can read.
 *
 * Until stats_attach the counters live in a private page, so that code may count from its first
 * line on, in tests and subcommands too. Attaching carries what was counted so far over and
 * forgets what an earlier process left in the slot: a counter belongs to one life of a process.
 * Slots are smaller than a page; a process maps the page or pages its slot touches. Other slots in
 * them are hints of equals, nothing is decided from them. */
#include "base/stats.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static struct stats stats_private;
struct stats *stats_self = &stats_private;

int stats_attach(int memfd, unsigned slot)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	size_t offset = (size_t)slot * STATS_SLOT_OCTETS;
	size_t start = offset - offset % page;
	size_t end = offset + STATS_SLOT_OCTETS;
	struct stat st;

	/* Touching a mapping behind the end of the file would be SIGBUS, much later. */
	if (fstat(memfd, &st) < 0)
		return -errno;
	if ((uint64_t)st.st_size < end)
		return -EINVAL;
	char *map =
		mmap(NULL, end - start, PROT_READ | PROT_WRITE, MAP_SHARED, memfd, (off_t)start);
	if (map == MAP_FAILED)
		return -errno;
	/* The mapping stays for the life of the process; a second attach (tests) keeps the first
	 * one mapped, because another thread may still be counting there. */
	struct stats *mine = (struct stats *)(void *)(map + (offset - start));
	*mine = *stats_self;
	stats_self = mine;
	return 0;
}
