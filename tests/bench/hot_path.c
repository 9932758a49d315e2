/* What one relayed message of 4 KiB costs in our own code, system calls left out: the parts of the
 * receiver, the dispatcher and the deliverer that work on octets, in their order, N times.
 * budget.py counts its instructions under callgrind; no clock is looked at.
 *
 * usage: hot_path N [PART] */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "connection.h"
#include "base/crc32c.h"
#include "base/log.h"
#include "base/map.h"
#include "deliver/envelope.h"
#include "deliver/smtp_client.h"
#include "deliver/transcript.h"
#include "ipc/job.h"
#include "ipc/spool_frames.h"
#include "mail/command.h"
#include "mail/date.h"
#include "mail/dot.h"
#include "mail/header.h"
#include "mail/reply.h"
#include "session/received.h"
#include "spool/message.h"

#define BODY_OCTETS 4096u
#define DECODED_MAX (64u * 1024u)

static char body[BODY_OCTETS];
static const struct generation generation = {{1, 2, 3}};

static void fail(const char *what)
{
	(void)fprintf(stderr, "hot_path: %s\n", what);
	exit(1);
}

static void body_make(void)
{
	memset(body, 'x', sizeof(body));
	for (size_t i = 76; i + 1 < sizeof(body); i += 78)
		memcpy(body + i, "\r\n", 2);
	memcpy(body + sizeof(body) - 5, "\r\n.\r\n", 5);
}

/* The session: four commands and the body. */
static void commands(uint64_t n)
{
	static const char *const lines[] = {"EHLO client.example.org",
		"MAIL FROM:<alice@sender.example>", "RCPT TO:<bob@recipient.example>", "DATA"};
	struct command c;

	(void)n;
	for (size_t i = 0; i < ARRAY_LEN(lines); i++)
		if (command_parse(span_str(lines[i]), false, &c).code >= 400)
			fail(lines[i]);
}

static void data(uint64_t n)
{
	struct dot_decoder d;
	struct buf out = BUF_INIT(DECODED_MAX);
	bool ended = false;
	uint8_t header[RECORD_HEADER];

	dot_decoder_init(&d, false);
	d.line_enough = UINT32_MAX; /* as without limits.line_length */
	if (dot_decode(&d, span_make(body, sizeof(body)), &out, &ended) != sizeof(body) || !ended)
		fail("dot_decode");
	struct record r = {.type = RECORD_CHUNK,
		.version = SPOOL_FORMAT,
		.length = (uint32_t)out.len,
		.offset = 4096,
		.id = n,
		.payload_crc = crc32c(0, out.ptr, out.len)};
	record_encode(&generation, &r, header);
	if (record_decode(&generation, 4096, header, &r) < 0)
		fail("record_decode");
	buf_done(&out);
}

/* The envelope: written by the receiver, read by the dispatcher. */
static void envelope(uint64_t n)
{
	struct message_rcpt rcpt = {.address = SPAN_LIT("bob@recipient.example")};
	struct message_piece pieces[] = {
		{.is_inline = true, .octets = SPAN_LIT("Received: from client.example.org\r\n")},
		{.piece = {.segment = 1, .record = 4096, .offset = 4160, .length = 4000}}};
	struct message m = {.id = n,
		.size = BODY_OCTETS,
		.reverse_path = SPAN_LIT("alice@sender.example"),
		.client = SPAN_LIT("192.0.2.1"),
		.helo = SPAN_LIT("client.example.org"),
		.protocol = SPAN_LIT("ESMTP"),
		.rcpts = &rcpt,
		.n_rcpts = 1,
		.pieces = pieces,
		.n_pieces = 2};
	struct buf out = BUF_INIT(DECODED_MAX);
	struct arena *a = arena_new(DECODED_MAX);

	message_encode(&m, &out);
	if (out.error || !a || message_decode(n, buf_span(&out), a, &m) < 0 || m.n_rcpts != 1)
		fail("message");
	arena_free(a);
	buf_done(&out);
}

static void frames(uint64_t n)
{
	struct job_rcpt rcpt = {.address = SPAN_LIT("bob@recipient.example")};
	struct job_range ranges[] = {{1, 8192, 100, false, 0}, {1, 4160, 4000, true, 7}};
	struct job job = {.job = n,
		.message = n,
		.via = JOB_SMTP,
		.host = SPAN_LIT("192.0.2.25"),
		.port = 25,
		.site = SPAN_LIT("smtp:192.0.2.25:25"),
		.reverse_path = SPAN_LIT("alice@sender.example"),
		.rcpts = &rcpt,
		.n_rcpts = 1,
		.ranges = ranges,
		.n_ranges = 2};
	struct outcome_rcpt result = {.code = 250, .text = SPAN_LIT("2.0.0 Ok")};
	struct outcome outcome = {.job = n, .message = n, .rcpts = &result, .n_rcpts = 1};
	struct commit_notice notice = {.id = n, .segment = 1, .offset = 8192, .length = 300};
	struct buf out = BUF_INIT(DECODED_MAX);
	struct arena *a = arena_new(DECODED_MAX);

	commit_notice_encode(&notice, &out);
	buf_reset(&out);
	job_encode(&job, &out);
	if (!a || job_decode(buf_span(&out), a, &job) < 0)
		fail("job");
	buf_reset(&out);
	outcome_encode(&outcome, &out);
	if (outcome_decode(buf_span(&out), a, &outcome) < 0)
		fail("outcome");
	arena_free(a);
	buf_done(&out);
}

/* Commands to a next hop, and what becomes of its reply. */
static void transaction(uint64_t n, const struct reply *last)
{
	static struct smtp_client c = {.size = true, .eightbitmime = true};
	struct job_rcpt rcpt = {.address = SPAN_LIT("bob@recipient.example")};
	struct outcome_rcpt result = {0};
	struct delivery d = {.arena = arena_new(DECODED_MAX),
		.job = {.job = n,
			.size = BODY_OCTETS,
			.reverse_path = SPAN_LIT("alice@sender.example"),
			.rcpts = &rcpt,
			.n_rcpts = 1},
		.outcome = {.rcpts = &result, .n_rcpts = 1}};
	struct buf out = BUF_INIT(DECODED_MAX);
	struct envelope e;

	if (!d.arena || envelope_plan(&e, &d, &c, 0) < 0 || e.n_send != 1)
		fail("envelope_plan");
	envelope_mail(&e, &out);
	envelope_rcpt(&e, 0, &out);
	delivery_set(&d, 0, smtp_result(&d, smtp_class(last), last));
	if (out.error || result.result != OUTCOME_DELIVERED)
		fail("transaction");
	buf_done(&out);
	arena_free(d.arena);
}

/* The deliverer: commands, replies, the body again, and the notes for the case that it fails. */
static void delivery(uint64_t n)
{
	static struct transcript transcript;
	static const char *const said[] = {"MAIL FROM:<alice@sender.example> SIZE=4096\r\n",
		"RCPT TO:<bob@recipient.example>\r\n", "DATA\r\n", "(the message) ."};
	static const char *const lines[] = {
		"250 2.1.0 Ok", "250 2.1.5 Ok", "354 Go on", "250 2.0.0 Ok"};
	struct buf out = BUF_INIT(DECODED_MAX);
	struct dot_encoder e;
	struct reply r;

	transcript_restart(&transcript);
	for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
		transcript_note(&transcript, TRANSCRIPT_SENT, span_str(said[i]));
		transcript_note(&transcript, TRANSCRIPT_GOT, span_str(lines[i]));
		reply_init(&r);
		if (reply_feed_line(&r, span_str(lines[i])) != 1)
			fail(lines[i]);
		if (i + 1 == ARRAY_LEN(lines))
			transaction(n, &r);
		reply_done(&r);
	}
	dot_encoder_init(&e);
	if (!dot_encode_as_is(&e, span_make(body, sizeof(body) - 3)))
		fail("dot_encode_as_is");
	dot_encode_end(&e, &out);
	if (out.error)
		fail("dot_encode");
	buf_done(&out);
}

/* The lines of a message's life, and one map entry. */
static void book(uint64_t n)
{
	static struct map *m;
	static const char *const events[] = {"message-accepted", "message-queued", "delivered"};

	for (size_t i = 0; i < ARRAY_LEN(events); i++) {
		struct log_line *l = log_begin(LOG_LEVEL_INFO, events[i]);
		log_id(l, "id", n);
		log_span(l, "from", SPAN_LIT("alice@sender.example"));
		log_span(l, "to", SPAN_LIT("bob@recipient.example"));
		log_str(l, "reply", "250 2.0.0 Ok");
		log_u64(l, "size", BODY_OCTETS);
		log_msec(l, "delay", 12345 + n);
		log_end(l);
	}
	log_flush();
	if (!m && !(m = map_new(1)))
		fail("map_new");
	if (map_put_u64(m, n, body) < 0 || map_remove_u64(m, n) != body)
		fail("map");
}

/* What the session says to one message, and the field that it puts before it. */
static void answers(uint64_t n)
{
	static const struct verdict said[] = {{250, "2.1.0", "Sender ok"},
		{250, "2.1.5", "Recipient ok"}, {354, "", "End data with <CR><LF>.<CR><LF>"},
		{250, "2.0.0", "Accepted as 5G00000000000"}};
	struct received r = {.helo = SPAN_LIT("client.example.org"),
		.client = SPAN_LIT("192.0.2.1"),
		.hostname = SPAN_LIT("mx.example.org"),
		.protocol = SPAN_LIT("ESMTP"),
		.id = n,
		.only_recipient = SPAN_LIT("bob@recipient.example"),
		.wall_usec = 1800000000 * USEC_PER_SEC + n};
	struct buf out = BUF_INIT(DECODED_MAX);

	for (size_t i = 0; i < ARRAY_LEN(said); i++)
		reply_format(&out, said[i].code, said[i].enhanced, span_str(said[i].text));
	received_format(&r, &out);
	if (out.error)
		fail("answers");
	buf_done(&out);
}

static void connection(uint64_t n)
{
	if (!connection_run(n))
		fail("connection");
}

static const struct {
	const char *name;
	void (*run)(uint64_t n);
} parts[] = {{"commands", commands}, {"data", data}, {"envelope", envelope}, {"frames", frames},
	{"delivery", delivery}, {"book", book}, {"answers", answers}, {"connection", connection}};

int main(int argc, char **argv)
{
	uint64_t n = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
	FILE *nowhere = fopen("/dev/null", "w");

	if (!nowhere)
		fail("/dev/null");
	log_init(fileno(nowhere), LOG_JSON, LOG_LEVEL_INFO, "bench", 0);
	body_make();
	for (uint64_t i = 1; i <= n; i++)
		for (size_t p = 0; p < ARRAY_LEN(parts); p++)
			if (argc < 3 || strcmp(argv[2], parts[p].name) == 0)
				parts[p].run(i);
	(void)fclose(nowhere);
	return 0;
}
