/* Twin of src/resolver/packet.c: answers built here octet by octet, then cut and bent. */
#include "resolver/packet.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

/* A packet under construction; u16 and u32 in network order. */
static void u16(struct buf *b, unsigned v)
{
	buf_char(b, (char)(v >> 8));
	buf_char(b, (char)(v & 0xff));
}

static void header(struct buf *b, unsigned rcode, unsigned answers, unsigned authority)
{
	u16(b, 1);
	u16(b, 0x8180 | rcode);
	u16(b, 1);
	u16(b, answers);
	u16(b, authority);
	u16(b, 0);
	/* The question, "a.x" at offset 12. */
	buf_append(b, "\1a\1x\0\0\17\0\1", 9);
}

static void record(struct buf *b, const char *owner, size_t owner_len, unsigned type, unsigned ttl,
	const char *rdata, size_t len)
{
	buf_append(b, owner, owner_len);
	u16(b, type);
	u16(b, 1);
	u16(b, ttl >> 16);
	u16(b, ttl & 0xffff);
	u16(b, (unsigned)len);
	buf_append(b, rdata, len);
}

#define RECORD(b, owner, type, ttl, rdata)                                                         \
	record((b), (owner), sizeof(owner) - 1, (type), (ttl), (rdata), sizeof(rdata) - 1)

static struct resolve_answer read_packet(const struct buf *b, unsigned type, struct arena *a)
{
	struct resolve_answer answer = {.status = RESOLVE_BAD_NAME};

	assert_int_equal(b->error, 0);
	assert_int_equal(packet_read(buf_span(b), SPAN_LIT("A.X."), (uint16_t)type, a, &answer), 0);
	return answer;
}

static void packet__records(void **state)
{
	struct buf b = BUF_INIT(4096);
	struct arena *a = arena_new(1 << 20);
	struct resolve_mx mx;
	(void)state;

	header(&b, 0, 4, 0);
	RECORD(&b, "\300\14", 15, 300, "\0\12\1M\300\16"); /* m.x by compression */
	RECORD(&b, "\1A\1X\0", 15, 60, "\0\24\1n\0");
	RECORD(&b, "\1b\300\16", 15, 10, "\0\1\1z\0"); /* another's */
	RECORD(&b, "\300\14", 1, 10, "\177\0\0\1");    /* another type */
	struct resolve_answer answer = read_packet(&b, RESOLVE_MX, a);
	assert_int_equal(answer.status, RESOLVE_OK);
	assert_int_equal(answer.n_rdata, 2);
	assert_int_equal(answer.ttl, 60);
	assert_int_equal(answer.canonical.len, 0);
	assert_int_equal(resolve_mx(answer.rdata[0], a, &mx), 0);
	assert_int_equal(mx.preference, 10);
	assert_true(span_equal(mx.host, SPAN_LIT("m.x")));
	arena_free(a);
	buf_done(&b);
}

static void packet__aliases_in_any_order(void **state)
{
	struct buf b = BUF_INIT(4096);
	struct arena *a = arena_new(1 << 20);
	(void)state;

	header(&b, 0, 3, 0);
	RECORD(&b, "\1c\300\16", 1, 300, "\177\0\0\1");
	RECORD(&b, "\1b\300\16", 5, 200, "\1c\300\16");
	RECORD(&b, "\300\14", 5, 100, "\1b\300\16");
	struct resolve_answer answer = read_packet(&b, RESOLVE_A, a);
	assert_int_equal(answer.status, RESOLVE_OK);
	assert_int_equal(answer.ttl, 100);
	assert_true(span_equal(answer.canonical, SPAN_LIT("c.x")));
	/* Asked for the alias itself, it is not followed. */
	answer = read_packet(&b, RESOLVE_CNAME, a);
	assert_int_equal(answer.n_rdata, 1);
	assert_int_equal(answer.canonical.len, 0);
	arena_free(a);
	buf_done(&b);
}

static void packet__alias_loop(void **state)
{
	struct buf b = BUF_INIT(4096);
	struct arena *a = arena_new(1 << 20);
	(void)state;

	header(&b, 0, 2, 0);
	RECORD(&b, "\300\14", 5, 100, "\1b\300\16");
	RECORD(&b, "\1b\300\16", 5, 100, "\300\14");
	assert_int_equal(read_packet(&b, RESOLVE_A, a).status, RESOLVE_SERVFAIL);
	arena_free(a);
	buf_done(&b);
}

static void packet__absences(void **state)
{
	static const struct {
		unsigned rcode;
		enum resolve_status want;
	} rows[] = {{0, RESOLVE_NODATA}, {3, RESOLVE_NXDOMAIN}, {2, RESOLVE_SERVFAIL},
		{5, RESOLVE_SERVFAIL}};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct buf b = BUF_INIT(4096);
		struct arena *a = arena_new(1 << 20);
		header(&b, rows[i].rcode, 0, 1);
		RECORD(&b, "\300\16", 6, 77, "whatever");
		struct resolve_answer answer = read_packet(&b, RESOLVE_A, a);
		if (answer.status != rows[i].want || answer.ttl != 77)
			fail_msg("rcode %u: want %d, got %d, ttl %u", rows[i].rcode, rows[i].want,
				answer.status, answer.ttl);
		arena_free(a);
		buf_done(&b);
	}
}

/* Names that point at themselves, forwards, or out of the packet; names too long. */
static void packet__hostile_names(void **state)
{
	static const struct {
		const char *owner;
		size_t len;
	} rows[] = {{"\300\25", 2}, {"\300\77", 2}, {"\377\377", 2}, {"\300", 1}, {"\100a", 2},
		{"\200a", 2}, {"\77abc", 4}};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct buf b = BUF_INIT(4096);
		struct arena *a = arena_new(1 << 20);
		struct resolve_answer answer;
		header(&b, 0, 1, 0);
		record(&b, rows[i].owner, rows[i].len, 1, 1, "\177\0\0\1", 4);
		int r = packet_read(buf_span(&b), SPAN_LIT("a.x"), RESOLVE_A, a, &answer);
		if (r != -EBADMSG)
			fail_msg("row %zu: want %d, got %d", i, -EBADMSG, r);
		arena_free(a);
		buf_done(&b);
	}
}

static void packet__every_cut_and_bent_octet(void **state)
{
	struct buf b = BUF_INIT(4096);
	(void)state;

	header(&b, 0, 3, 1);
	RECORD(&b, "\300\14", 5, 100, "\1b\300\16");
	RECORD(&b, "\1b\300\16", 15, 100, "\0\12\1m\300\14");
	RECORD(&b, "\1b\300\16", 15, 100, "\0\12\1n\300\14");
	RECORD(&b, "\300\16", 6, 77, "whatever");
	for (size_t n = 0; n < b.len; n++) {
		char *copy = malloc(n ? n : 1);
		struct arena *a = arena_new(1 << 20);
		struct resolve_answer answer;
		memcpy(copy, b.ptr, n);
		int r = packet_read(span_make(copy, n), SPAN_LIT("a.x"), RESOLVE_MX, a, &answer);
		/* The last record is behind what a positive answer needs. */
		if (r != -EBADMSG && n < b.len - 20)
			fail_msg("cut at %zu: want %d, got %d", n, -EBADMSG, r);
		free(copy);
		arena_free(a);
	}
	for (size_t i = 0; i < b.len * 256; i++) {
		char *copy = malloc(b.len);
		struct arena *a = arena_new(1 << 20);
		struct resolve_answer answer;
		memcpy(copy, b.ptr, b.len);
		copy[i / 256] = (char)(i % 256);
		(void)!packet_read(span_make(copy, b.len), SPAN_LIT("a.x"), RESOLVE_MX, a, &answer);
		free(copy);
		arena_free(a);
	}
	buf_done(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(packet__records),
		cmocka_unit_test(packet__aliases_in_any_order),
		cmocka_unit_test(packet__alias_loop),
		cmocka_unit_test(packet__absences),
		cmocka_unit_test(packet__hostile_names),
		cmocka_unit_test(packet__every_cut_and_bent_octet),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
