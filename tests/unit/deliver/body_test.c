/* A message's octets from the ranges of its job: the same, whether two ranges come by one call or
 * each by its own. */
#include "support.h"
#include <sys/mman.h>
#include <unistd.h>

#include "base/crc32c.h"
#include "deliver/body.h"

#define FILE_SIZE 20000u

static char file[FILE_SIZE]; /* what the segment holds */

static int segment_file(void)
{
	int fd = memfd_create("segment", MFD_CLOEXEC);

	for (size_t i = 0; i < FILE_SIZE; i++)
		file[i] = (char)(i * 31 + i / 251);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, file, FILE_SIZE), FILE_SIZE);
	return fd;
}

/* Reads all with pieces of at most cap: the result of the last read, 0 when all came. */
SUSPENDS static ssize_t read_all(struct delivery *d, size_t cap, struct buf *out)
{
	struct body b;
	static char chunk[BODY_CHUNK / 2];
	ssize_t n;

	body_init(&b, d);
	while ((n = body_read_fiber(&b, chunk, MIN(cap, sizeof(chunk)))) > 0)
		buf_append(out, chunk, (size_t)n);
	return n;
}

static void ranges(void *arg)
{
	static const struct {
		const char *name;
		struct {
			uint64_t offset;
			uint32_t length;
			int segment;
		} r[3];
		size_t cap;
		int bad; /* the range whose checksum is wrong, 1 is the first */
		ssize_t result;
	} rows[] = {
		{"one", {{64, 5000, 0}}, 32768, 0, 0},
		{"fields behind the body", {{4300, 200, 0}, {128, 4096, 0}}, 32768, 0, 0},
		{"fields before the body", {{100, 200, 0}, {400, 4096, 0}}, 32768, 0, 0},
		{"without a gap", {{100, 300, 0}, {400, 4096, 0}}, 32768, 0, 0},
		{"the widest gap", {{6000, 200, 0}, {880, 4096, 0}}, 32768, 0, 0},
		{"too wide a gap", {{6000, 200, 0}, {879, 4096, 0}}, 32768, 0, 0},
		{"they overlap", {{100, 300, 0}, {350, 100, 0}}, 32768, 0, 0},
		{"other segments", {{4300, 200, 0}, {128, 4096, 1}}, 32768, 0, 0},
		{"larger than the buffer", {{4300, 200, 0}, {128, 4096, 0}}, 1000, 0, 0},
		{"the second is empty", {{4300, 200, 0}, {128, 0, 0}}, 32768, 0, 0},
		{"the first is empty", {{128, 0, 0}, {4300, 200, 0}}, 32768, 0, 0},
		{"three", {{4300, 200, 0}, {128, 4096, 0}, {9000, 700, 0}}, 32768, 0, 0},
		{"damaged fields", {{4300, 200, 0}, {128, 4096, 0}}, 32768, 1, -EBADMSG},
		{"damaged body", {{4300, 200, 0}, {128, 4096, 0}}, 32768, 2, -EBADMSG},
		{"the file is short", {{100, 200, 0}, {FILE_SIZE - 100, 300, 0}}, 32768, 0, -EIO},
		{"short, and near", {{FILE_SIZE - 500, 200, 0}, {FILE_SIZE - 100, 300, 0}}, 32768,
			0, -EIO},
	};
	struct segment segments[] = {{.fd = segment_file()}, {.fd = segment_file()}};

	(void)arg;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct job_range r[3] = {0};
		struct segment *of[3];
		struct buf want = BUF_INIT(FILE_SIZE), got = BUF_INIT(FILE_SIZE);
		struct delivery d = {.segments = of, .job.ranges = r};
		for (uint32_t k = 0; k < 3; k++) {
			r[k].offset = rows[i].r[k].offset;
			r[k].length = rows[i].r[k].length;
			of[k] = &segments[rows[i].r[k].segment];
			if (r[k].offset == 0)
				break;
			d.job.n_ranges++;
			if (r[k].offset + r[k].length > FILE_SIZE)
				continue;
			r[k].checked = true;
			r[k].crc = crc32c(0, file + r[k].offset, r[k].length) ^
				   (rows[i].bad == (int)k + 1);
			buf_append(&want, file + r[k].offset, r[k].length);
		}
		ssize_t result = read_all(&d, rows[i].cap, &got);
		if (result != rows[i].result)
			fail_msg("%s: want %zd, got %zd", rows[i].name, rows[i].result, result);
		if (result == 0 && !span_equal(buf_span(&got), buf_span(&want)))
			fail_msg("%s: want %zu octets, got %zu or others", rows[i].name, want.len,
				got.len);
		buf_done(&want);
		buf_done(&got);
	}
	close(segments[0].fd);
	close(segments[1].fd);
}

static void body_read_fiber__all_octets_in_order(void **state)
{
	(void)state;
	run_on_loop(ranges, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(body_read_fiber__all_octets_in_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
