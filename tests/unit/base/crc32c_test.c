/* CRC32C: the vectors of RFC 3720 B.4, and both ways of computing it against each other. */
#include "test.h"
#include "base/crc32c.h"

static void crc32c__rfc3720_vectors(void **state)
{
	unsigned char zeros[32] = {0}, ones[32], up[32], down[32];
	(void)state;
	for (size_t i = 0; i < 32; i++) {
		ones[i] = 0xff;
		up[i] = (unsigned char)i;
		down[i] = (unsigned char)(31 - i);
	}
	const struct {
		const char *row;
		const void *ptr;
		size_t len;
		uint32_t want;
	} rows[] = {
		/* The RFC prints the octets as they are sent: aa 36 91 8a is 0x8a9136aa. */
		{"32 zeros", zeros, 32, 0x8a9136aa},
		{"32 ones", ones, 32, 0x62a8ab43},
		{"32 up", up, 32, 0x46dd794e},
		{"32 down", down, 32, 0x113fdb5c},
		{"123456789", "123456789", 9, 0xe3069283},
		{"empty", "", 0, 0},
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		want_u64(rows[i].row, rows[i].want, crc32c(0, rows[i].ptr, rows[i].len));
		want_u64(rows[i].row, rows[i].want, crc32c_portable(0, rows[i].ptr, rows[i].len));
	}
}

static void crc32c__in_parts_and_both_ways(void **state)
{
	unsigned char octets[300];
	(void)state;
	for (size_t i = 0; i < sizeof(octets); i++)
		octets[i] = (unsigned char)(i * 7 + i / 13);
	for (size_t len = 0; len <= sizeof(octets); len++) {
		for (size_t from = 0; from < 9 && from <= len; from++) {
			uint32_t whole = crc32c(0, octets, len);
			want_u64("parts", whole,
				crc32c(crc32c(0, octets, from), octets + from, len - from));
			want_u64("unaligned, both ways",
				crc32c_portable(99, octets + from, len - from),
				crc32c(99, octets + from, len - from));
		}
	}
}

/* Long ones go by three blocks at a time, of either size, with any rest. */
static void crc32c__blocks_side_by_side(void **state)
{
	static unsigned char octets[3 * 4096 + 64];
	const size_t edges[] = {3 * 128, 6 * 128, 3 * 1024, 3 * 1024 + 3 * 128, 6 * 1024, 3 * 4096};
	uint32_t seed = 1;
	(void)state;
	for (size_t i = 0; i < sizeof(octets); i++) {
		seed = seed * 1664525u + 1013904223u;
		octets[i] = (unsigned char)(seed >> 24);
	}
	for (size_t e = 0; e < ARRAY_LEN(edges); e++) {
		for (size_t len = edges[e] - 9; len <= edges[e] + 9; len++) {
			uint32_t crc = (uint32_t)(len * 2654435761u);
			want_u64("both ways", crc32c_portable(crc, octets + len % 7, len),
				crc32c(crc, octets + len % 7, len));
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(crc32c__rfc3720_vectors),
		cmocka_unit_test(crc32c__in_parts_and_both_ways),
		cmocka_unit_test(crc32c__blocks_side_by_side),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
