/* Records, heads, COMMIT payloads: what is written reads back, and nothing else reads at all. */
#include "fake.h"
#include "spool/message.h"

#include "base/crc32c.h"

static const struct generation generation = {
	{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}};

static void record__round_trip(void **state)
{
	uint8_t header[RECORD_HEADER];
	struct record r = {.type = RECORD_COMMIT,
			      .version = 1,
			      .length = 77,
			      .offset = 4096,
			      .id = 0x1122334455667788,
			      .payload_crc = 0xdeadbeef},
		      got;

	(void)state;
	record_encode(&generation, &r, header);
	want_int("decode", 0, record_decode(&generation, 4096, header, &got));
	want_u64("type", RECORD_COMMIT, got.type);
	want_u64("length", 77, got.length);
	want_u64("offset", 4096, got.offset);
	want_u64("id", r.id, got.id);
	want_u64("crc", r.payload_crc, got.payload_crc);
}

static void record_decode__any_flipped_bit(void **state)
{
	uint8_t header[RECORD_HEADER];
	struct record r = {.type = RECORD_CHUNK, .version = 1, .length = 5, .offset = 128}, got;

	(void)state;
	record_encode(&generation, &r, header);
	for (unsigned bit = 0; bit < RECORD_HEADER * 8; bit++) {
		header[bit / 8] ^= (uint8_t)(1u << bit % 8);
		if (record_decode(&generation, 128, header, &got) == 0)
			fail_msg("bit %u: want -EBADMSG, got a record", bit);
		header[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	want_int("moved", -EBADMSG, record_decode(&generation, 192, header, &got));
	struct generation other = generation;
	other.octets[15]++;
	want_int("generation", -EBADMSG, record_decode(&other, 128, header, &got));
}

static void record_span__table(void **state)
{
	static const struct {
		uint64_t payload, want;
	} table[] = {{0, 64}, {1, 128}, {64, 128}, {65, 192}, {131072, 131136}};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++)
		want_u64("span", table[i].want, record_span(table[i].payload));
}

static void segment_head_read__table(void **state)
{
	static const struct {
		const char *what;
		uint64_t size, octets, sequence;
		unsigned flip;
		int want;
	} table[] = {
		{"good", 1 << 20, 1 << 20, 5, 0, 0},
		{"a flipped bit of the payload", 1 << 20, 1 << 20, 5, 70, -EBADMSG},
		{"a flipped bit of the header", 1 << 20, 1 << 20, 5, 20, -EBADMSG},
		{"larger than its file", 1 << 21, 1 << 20, 5, 0, -EBADMSG},
		{"smaller than a head", 64, 1 << 20, 5, 0, -EBADMSG},
		{"no sequence", 1 << 20, 1 << 20, 0, 0, -EBADMSG},
		{"a file of nothing", 1 << 20, 10, 5, 0, -EBADMSG},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct fake f;
		struct disk_file *file;
		struct segment_head h = {.sequence = table[i].sequence,
					    .slot = 3,
					    .size = table[i].size,
					    .created_wall_usec = 99,
					    .generation = generation},
				    got;
		struct buf b = BUF_INIT(4096);
		fake_init(&f, 1 << 24, 1);
		segment_head_encode(&h, &b);
		want_u64("whole records", 0, b.len % RECORD_ALIGN);
		fake_poke(&f, "s", table[i].octets - 1, "", 1);
		if (table[i].octets > b.len)
			fake_poke(&f, "s", 0, b.ptr, b.len);
		if (table[i].flip)
			fake_flip(&f, "s", table[i].flip);
		want_int("open", 0, f.seam.ops->open(&f, "s", false, &file));
		want_int(table[i].what, table[i].want, segment_head_read(&f.seam, file, &got));
		if (table[i].want == 0) {
			want_u64("sequence", h.sequence, got.sequence);
			want_u64("slot", 3, got.slot);
			want_u64("size", h.size, got.size);
		}
		f.seam.ops->close(file);
		buf_done(&b);
		fake_done(&f);
	}
}

static void segment_scan__finds_the_next_record_after_damage(void **state)
{
	struct fake f;
	struct disk_file *file;
	struct segment_scan scan;
	struct record rec;
	struct buf head = BUF_INIT(4096);
	uint8_t header[RECORD_HEADER];
	struct segment_head h = {.sequence = 1, .size = 1 << 20, .generation = generation};

	(void)state;
	fake_init(&f, 1 << 24, 1);
	segment_head_encode(&h, &head);
	fake_poke(&f, "s", (1 << 20) - 1, "", 1);
	fake_poke(&f, "s", 0, head.ptr, head.len);
	buf_done(&head);
	for (unsigned i = 0; i < 3; i++) {
		struct record r = {.type = RECORD_CHUNK,
			.version = 1,
			.length = 100,
			.offset = SEGMENT_HEAD + i * record_span(100),
			.id = i};
		record_encode(&generation, &r, header);
		fake_poke(&f, "s", r.offset, header, sizeof(header));
	}
	fake_flip(&f, "s", SEGMENT_HEAD + record_span(100) + 17);
	want_int("open", 0, f.seam.ops->open(&f, "s", false, &file));
	want_int("init", 0, segment_scan_init(&scan, &f.seam, file));
	want_int("first", 1, segment_scan_next(&scan, &rec));
	want_u64("id", 0, rec.id);
	want_int("third", 1, segment_scan_next(&scan, &rec));
	want_u64("id", 2, rec.id);
	want_u64("damaged", record_span(100), scan.damaged);
	want_int("end", 0, segment_scan_next(&scan, &rec));
	want_u64("end", SEGMENT_HEAD + 3 * record_span(100), scan.end);
	segment_scan_done(&scan);
	f.seam.ops->close(file);
	fake_done(&f);
}

static void message__round_trip_keeps_unknown_facts(void **state)
{
	struct message_rcpt rcpts[] = {
		{.address = SPAN_LIT("b@example.org")}, {.address = SPAN_LIT("c@example.org"),
								.original = SPAN_LIT("C@x"),
								.flags = 2,
								.notify = NOTIFY_DELAY,
								.orcpt = SPAN_LIT("rfc822;C@x")}};
	struct message_piece pieces[] = {{.is_inline = true, .octets = SPAN_LIT("A: b\r\n")},
		{.piece = {7, 4096, 4160, 10}}};
	struct message m = {.arrival_wall_usec = 5,
			       .reverse_path = SPAN_LIT(""),
			       .size = 16,
			       .helo = SPAN_LIT("client"),
			       .envid = SPAN_LIT("e"),
			       .priority = MESSAGE_PRIORITY_BIAS - 4,
			       .flags = MESSAGE_REPORT,
			       .rcpts = rcpts,
			       .n_rcpts = 2,
			       .pieces = pieces,
			       .n_pieces = 2},
		       got;
	struct buf b = BUF_INIT(4096), again = BUF_INIT(4096), unknown = BUF_INIT(64);
	struct arena *a = arena_new(1 << 16);
	struct piece *ranges;
	uint32_t n;

	(void)state;
	wire_put_fact(&unknown, 999, SPAN_LIT("from the future"));
	m.unknown = buf_span(&unknown);
	message_encode(&m, &b);
	want_int("decode", 0, message_decode(1, buf_span(&b), a, &got));
	want_u64("recipients", 2, got.n_rcpts);
	assert_true(span_equal(got.rcpts[1].original, SPAN_LIT("C@x")));
	want_u64("flags", 2, got.rcpts[1].flags);
	want_u64("notify", NOTIFY_DELAY, got.rcpts[1].notify);
	assert_true(span_equal(got.rcpts[1].orcpt, SPAN_LIT("rfc822;C@x")));
	assert_true(span_equal(got.envid, SPAN_LIT("e")));
	want_int("priority", -4, message_priority(&got));
	want_u64("pieces", 2, got.n_pieces);
	message_encode(&got, &again);
	assert_true(span_equal(buf_span(&b), buf_span(&again)));
	/* Moved: the same facts, those of the future too, around other pieces. */
	struct buf moved = BUF_INIT(4096), back = BUF_INIT(4096);
	struct message_piece elsewhere[] = {pieces[0], {.piece = {8, 4096, 4160, 10}}};
	want_int("moved", 0, message_replace_pieces(buf_span(&b), elsewhere, 2, &moved));
	want_u64("moved", b.len, moved.len);
	want_int("decode", 0, message_decode(1, buf_span(&moved), a, &got));
	want_u64("segment", 8, got.pieces[1].piece.segment);
	want_int("and back", 0, message_replace_pieces(buf_span(&moved), pieces, 2, &back));
	want_int("decode", 0, message_decode(1, buf_span(&back), a, &got));
	buf_reset(&again);
	message_encode(&got, &again);
	assert_true(span_equal(buf_span(&b), buf_span(&again)));
	want_int("decode", 0, message_decode(1, buf_span(&b), a, &got));
	buf_done(&moved);
	buf_done(&back);
	struct record_ref commit = {9, 8192, (uint32_t)b.len};
	want_int("ranges", 0, message_ranges(&got, buf_span(&b), &commit, a, &ranges, &n));
	want_u64("inline: in the COMMIT's segment", 9, ranges[0].segment);
	assert_memory_equal("A: b\r\n", b.ptr + (ranges[0].offset - 8192 - RECORD_HEADER), 6);
	want_u64("in its chunk", 4160, ranges[1].offset);
	arena_free(a);
	buf_done(&b);
	buf_done(&again);
	buf_done(&unknown);
}

static void message_decode__bad(void **state)
{
	static const struct {
		const char *what;
		struct piece piece;
	} table[] = {
		{"in the head", {1, 0, 64, 10}},
		{"not where a record can be", {1, 4097, 4161, 10}},
		{"before its record's payload", {1, 8192, 8200, 10}},
		{"far behind its record", {1, 4096, UINT64_C(1) << 40, 10}},
	};
	struct arena *a = arena_new(1 << 16);
	struct message got;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct message_piece p = {.piece = table[i].piece};
		struct message m = {.pieces = &p, .n_pieces = 1};
		struct buf b = BUF_INIT(4096);
		message_encode(&m, &b);
		want_int(table[i].what, -EBADMSG, message_decode(1, buf_span(&b), a, &got));
		/* And cut short anywhere, it neither crashes nor reads beyond. */
		for (size_t len = 0; len < b.len; len++)
			(void)!message_decode(1, span_head(buf_span(&b), len), a, &got);
		buf_done(&b);
	}
	arena_free(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(record__round_trip),
		cmocka_unit_test(record_decode__any_flipped_bit),
		cmocka_unit_test(record_span__table),
		cmocka_unit_test(segment_head_read__table),
		cmocka_unit_test(segment_scan__finds_the_next_record_after_damage),
		cmocka_unit_test(message__round_trip_keeps_unknown_facts),
		cmocka_unit_test(message_decode__bad),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
