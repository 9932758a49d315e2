/* What leaves is lines that end in CRLF, wherever a read ends: against an octet-by-octet reading of
 * the rule, over texts of CR, LF and one letter. */
#include "support.h"
#include <sys/mman.h>
#include <unistd.h>

#include "deliver/content.h"

#define TEXT	 24u
#define ROUNDS	 300u
#define LETTERS	 "\r\nx"
#define OUT_MAX	 (4u * TEXT)
#define FIRST_AT 64u

/* RFC 5321 2.3.8: CR and LF only together. */
static size_t mended(const char *in, size_t len, char *out)
{
	size_t n = 0;

	for (size_t i = 0; i < len; i++) {
		bool after_cr = i > 0 && in[i - 1] == '\r';
		if (in[i] == '\n' && !after_cr)
			out[n++] = '\r';
		if (in[i] != '\n' && after_cr)
			out[n++] = '\n';
		out[n++] = in[i];
	}
	if (len > 0 && in[len - 1] == '\r') {
		out[n++] = '\n';
	} else if (len > 0 && in[len - 1] != '\n') {
		out[n++] = '\r';
		out[n++] = '\n';
	}
	return n;
}

/* The first `cut` octets lie in one segment, the others in another: two reads. */
static void check(struct segment segments[2], const char *text, uint32_t cut)
{
	struct job_range ranges[] = {{.offset = FIRST_AT, .length = cut},
		{.offset = FIRST_AT + cut, .length = TEXT - cut}};
	struct segment *of[] = {&segments[0], &segments[1]};
	struct delivery d = {.segments = of, .job.ranges = ranges, .job.n_ranges = 2};
	struct buf got = BUF_INIT(OUT_MAX);
	struct content c;
	char want[OUT_MAX];
	size_t n = mended(text, TEXT, want);
	int r;

	content_init(&c, &d, NULL, false);
	while ((r = content_read(&c, &got)) > 0)
		;
	assert_int_equal(r, 0);
	if (got.len != n || memcmp(got.ptr, want, n) != 0) {
		struct buf shown = BUF_INIT(1024);
		buf_escaped(&shown, span_make(text, TEXT), 1000);
		fail_msg("%.*s, cut at %u: want %zu octets, got %zu or others",
			SPAN_FMT(buf_span(&shown)), cut, n, got.len);
	}
	content_done(&c);
	buf_done(&got);
}

static void texts(void *arg)
{
	struct segment segments[] = {
		{.fd = memfd_create("one", MFD_CLOEXEC)}, {.fd = memfd_create("two", MFD_CLOEXEC)}};
	uint32_t random = 1;

	(void)arg;
	for (unsigned round = 0; round < ROUNDS; round++) {
		char text[TEXT];
		for (size_t i = 0; i < TEXT; i++) {
			random = random * 1664525u + 1013904223u;
			text[i] = LETTERS[(random >> 16) % (sizeof(LETTERS) - 1)];
		}
		for (size_t i = 0; i < 2; i++)
			assert_int_equal(pwrite(segments[i].fd, text, TEXT, FIRST_AT), TEXT);
		for (uint32_t cut = 0; cut <= TEXT; cut++)
			check(segments, text, cut);
	}
	close(segments[0].fd);
	close(segments[1].fd);
}

static void content_read__lines_whatever_they_were(void **state)
{
	(void)state;
	run_on_loop(texts, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(content_read__lines_whatever_they_were),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
