/* The log sink: lines are built here, gather here, and leave in few writes that never wait.
 *
 * Only the thread of the fibers logs, and a line is begun and ended between two suspensions, so
 * one line under construction is enough and nothing is locked.
 *
 * Invariants:
 * - A line never exceeds PIPE_BUF: written to a pipe it is atomic (pipe(7)), so that lines of the
 *   processes that share a pipe do not mix. Whole lines are batched up to that size.
 * - A line is complete and well formed whatever is put into it: every field has a bound of its
 *   own, the end of the line has its room reserved, and what did not fit leaves truncated=true.
 * - Waiting lines are bounded; what does not fit is dropped as a whole line, counted, and reported
 *   by one line as soon as the buffer is half empty again.
 *
 * The descriptor is shared with other processes (it is usually their stderr), so O_NONBLOCK, which
 * belongs to the shared description, is not ours to set. A socket has MSG_DONTWAIT; a pipe or a
 * terminal is opened once more through /proc for a description of our own, where rights and
 * confinement allow it. Where not, poll(2) is asked before each batch: a pipe that polls writable
 * has room for PIPE_BUF. SIGPIPE is the owner's to ignore. */
#include "base/log.h"
#include "base/clock.h"
#include "base/escape.h"
#include "base/ident.h"
#include "base/stats.h"

#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOG_PENDING_MAX (256 * 1024)
#define LOG_LINE_MAX	PIPE_BUF
/* One value, escaped. Four long ones fit in a line. */
#define LOG_VALUE_MAX 900
/* Kept free for the end of the line: ,"truncated":true}\n */
#define LOG_TAIL_ROOM 24
/* The longest printf text of log_text. */
#define LOG_TEXT_MAX 1024

struct log_line {
	struct buf text;
	bool open, truncated;
};

enum sink_kind {
	SINK_WHOLE,  /* a file: write(2) takes all there is */
	SINK_SOCKET, /* send(2) without waiting */
	SINK_OWN,    /* our own non-blocking description */
	SINK_POLL,   /* ask before each batch */
};

static struct {
	int fd;	    /* borrowed */
	int own_fd; /* ours, or -1 */
	enum sink_kind kind;
	enum log_format format;
	enum log_level level;
	const char *role;
	int index;
	struct buf origin; /* what each line says of role and index, as the format has it */
	struct buf pending;
	struct log_line line, report;
	uint64_t dropped; /* not reported yet */
} sink = {
	.fd = STDERR_FILENO,
	.own_fd = -1,
	.kind = SINK_POLL,
	.level = LOG_LEVEL_INFO,
	.role = "postrider",
	.index = -1,
	.origin = {.max = LOG_LINE_MAX},
	.pending = {.max = LOG_PENDING_MAX},
	.line = {.text = {.max = LOG_LINE_MAX}},
	.report = {.text = {.max = LOG_LINE_MAX}},
};

static const char *const level_names[] = {"error", "warn", "info", "debug"};

/* A description of our own for the same pipe or terminal, or -1. */
static int reopen_nonblocking(int fd)
{
	char path[sizeof("/proc/self/fd/") + 3 * sizeof(int)];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
}

void log_init(int fd, enum log_format format, enum log_level level, const char *role, int index)
{
	struct stat st;

	sink.own_fd = fd_close(sink.own_fd);
	sink.fd = fd;
	sink.format = format;
	sink.level = level;
	sink.role = role;
	sink.index = index;
	buf_done(&sink.origin); /* the next line makes it anew */
	sink.kind = SINK_POLL;
	if (fstat(fd, &st) < 0)
		return;
	if (S_ISREG(st.st_mode)) {
		sink.kind = SINK_WHOLE;
	} else if (S_ISSOCK(st.st_mode)) {
		sink.kind = SINK_SOCKET;
	} else {
		sink.own_fd = reopen_nonblocking(fd);
		sink.kind = sink.own_fd >= 0 ? SINK_OWN : SINK_POLL;
	}
}

enum log_level log_get_level(void)
{
	return sink.level;
}

/* ---- one line ---- */

/* "2026-11-22T03:26:43.123Z": the second's part is made once a second. */
static void put_time(struct buf *out)
{
	static uint64_t known = UINT64_MAX; /* the second that text tells */
	static struct buf text = BUF_INIT(64);
	uint64_t now = clock_wall_usec();
	unsigned msec = (unsigned)(now % USEC_PER_SEC / USEC_PER_MSEC);

	if (now / USEC_PER_SEC != known) {
		struct clock_date d = clock_date_utc(now);
		const struct {
			unsigned value, digits;
			char behind;
		} parts[] = {{d.year, 4, '-'}, {d.month, 2, '-'}, {d.day, 2, 'T'}, {d.hour, 2, ':'},
			{d.minute, 2, ':'}, {d.second, 2, '.'}};
		buf_reset(&text);
		for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
			buf_u64_padded(&text, parts[i].value, parts[i].digits);
			buf_char(&text, parts[i].behind);
		}
		known = text.error ? UINT64_MAX : now / USEC_PER_SEC;
	}
	buf_put(out, buf_span(&text));
	buf_append(out,
		(char[]){(char)('0' + msec / 100), (char)('0' + msec / 10 % 10),
			(char)('0' + msec % 10), 'Z'},
		4);
}

/* ","role":"receiver","index":0,"event":" or " receiver[0]: ". */
static void origin_make(struct buf *out)
{
	bool json = sink.format == LOG_JSON;

	buf_str(out, json ? "\",\"role\":\"" : " ");
	if (json)
		(void)escape_json(out, span_str(sink.role), LOG_VALUE_MAX);
	else
		buf_str(out, sink.role);
	if (json)
		buf_char(out, '"');
	if (sink.index >= 0) {
		buf_str(out, json ? ",\"index\":" : "[");
		buf_u64(out, (uint64_t)sink.index);
		buf_str(out, json ? "" : "]");
	}
	buf_str(out, json ? ",\"event\":\"" : ": ");
}

/* Event and level are words of ours, in which nothing is to be escaped. */
static void line_start(struct log_line *l, enum log_level level, const char *event)
{
	bool json = sink.format == LOG_JSON;

	buf_reset(&l->text);
	(void)buf_reserve(&l->text, LOG_LINE_MAX); /* it grows once in its life */
	l->open = true;
	l->truncated = false;
	if (!sink.origin.len)
		origin_make(&sink.origin);
	if (json)
		buf_str(&l->text, "{\"ts\":\"");
	put_time(&l->text);
	buf_put(&l->text, buf_span(&sink.origin));
	buf_str(&l->text, event);
	if (json)
		buf_char(&l->text, '"');
	/* The eye looks for what is out of the ordinary; "info" on each line would hide it. */
	if (json || level <= LOG_LEVEL_WARN)
		log_str(l, "level", level_names[level]);
}

/* Octets that a field may still take, the line's end left out. */
static size_t line_room(const struct log_line *l)
{
	size_t limit = LOG_LINE_MAX - LOG_TAIL_ROOM;

	return l->text.len < limit ? limit - l->text.len : 0;
}

/* The key, if it and `room` octets of a value fit. */
static bool field_start(struct log_line *l, const char *key, size_t room)
{
	size_t key_len = strlen(key);

	/* ,"": and the value's own quotes. */
	char *p = line_room(l) < key_len + room + 6 ? NULL : buf_reserve(&l->text, key_len + 4);
	if (!p) {
		l->truncated = true;
		return false;
	}
	char *from = p;
	*p++ = sink.format == LOG_JSON ? ',' : ' ';
	if (sink.format == LOG_JSON)
		*p++ = '"';
	memcpy(p, key, key_len);
	p += key_len;
	if (sink.format == LOG_JSON)
		*p++ = '"';
	*p++ = sink.format == LOG_JSON ? ':' : '=';
	l->text.len += (size_t)(p - from);
	return true;
}

void log_span(struct log_line *l, const char *key, struct span value)
{
	if (!l || !field_start(l, key, ESCAPE_MIN_OUT))
		return;
	if (sink.format == LOG_JSON) {
		buf_char(&l->text, '"');
		/* One octet for the closing quote; field_start has made sure of the minimum. */
		(void)escape_json(&l->text, value, MIN(line_room(l) - 1, (size_t)LOG_VALUE_MAX));
		buf_char(&l->text, '"');
	} else {
		(void)escape_value(&l->text, value, MIN(line_room(l), (size_t)LOG_VALUE_MAX));
	}
}

void log_str(struct log_line *l, const char *key, const char *value)
{
	if (value)
		log_span(l, key, span_str(value));
}

void log_u64(struct log_line *l, const char *key, uint64_t value)
{
	if (l && field_start(l, key, 20))
		buf_u64(&l->text, value);
}

void log_id(struct log_line *l, const char *key, uint64_t id)
{
	if (l)
		log_str(l, key, ident_format(id).s);
}

void log_msec(struct log_line *l, const char *key, uint64_t usec)
{
	unsigned msec = (unsigned)(usec % USEC_PER_SEC / USEC_PER_MSEC);

	if (!l || !field_start(l, key, 24))
		return;
	buf_u64(&l->text, usec / USEC_PER_SEC);
	buf_append(&l->text,
		(char[]){'.', (char)('0' + msec / 100), (char)('0' + msec / 10 % 10),
			(char)('0' + msec % 10)},
		4);
}

void log_errno(struct log_line *l, int negative_errno)
{
	/* strerror would read the locale's catalogue from disk; this does not. */
	const char *text = strerrordesc_np(negative_errno < 0 ? -negative_errno : negative_errno);

	if (text)
		log_str(l, "error", text);
	else
		log_u64(l, "error", (uint64_t)llabs(negative_errno));
}

static void line_finish(struct log_line *l)
{
	if (l->truncated)
		buf_str(&l->text,
			sink.format == LOG_JSON ? ",\"truncated\":true" : " truncated=true");
	buf_str(&l->text, sink.format == LOG_JSON ? "}\n" : "\n");
	l->open = false;
}

/* ---- waiting lines ---- */

static bool pending_add(const struct log_line *l)
{
	/* A line that ran out of memory is a dropped line; so is one that finds none here. */
	if (!l->text.error)
		buf_put(&sink.pending, buf_span(&l->text));
	bool added = !l->text.error && !sink.pending.error;
	sink.pending.error = 0;
	return added;
}

static void report_drops(void)
{
	if (!sink.dropped || sink.pending.len > LOG_PENDING_MAX / 2)
		return;
	line_start(&sink.report, LOG_LEVEL_WARN, "log-dropped");
	log_u64(&sink.report, "count", sink.dropped);
	line_finish(&sink.report);
	if (pending_add(&sink.report))
		sink.dropped = 0;
}

struct log_line *log_begin(enum log_level level, const char *event)
{
	assert(!sink.line.open);
	if (level > sink.level)
		return NULL;
	line_start(&sink.line, level, event);
	return &sink.line;
}

void log_end(struct log_line *l)
{
	if (!l)
		return;
	assert(l == &sink.line && l->open);
	line_finish(l);
	report_drops();
	if (l->text.len > LOG_PENDING_MAX - sink.pending.len)
		log_flush();
	if (!pending_add(l)) {
		sink.dropped++;
		STATS_ADD(log_dropped_total, 1);
	}
}

void log_text(enum log_level level, const char *event, const char *fmt, ...)
{
	struct log_line *l = log_begin(level, event);
	char text[LOG_TEXT_MAX];
	va_list ap;

	if (!l)
		return;
	va_start(ap, fmt);
	/* Cut, not refused: half a sentence is better than none. */
	int n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	log_span(l, "text", span_make(text, n < 0 ? 0 : MIN((size_t)n, sizeof(text) - 1)));
	log_end(l);
}

/* ---- writing ---- */

/* The longest run of whole lines that is written atomically, or the rest of a line cut before. */
static struct span next_batch(struct span rest)
{
	struct span head = span_head(rest, PIPE_BUF);

	if (sink.kind == SINK_WHOLE || head.len == rest.len)
		return sink.kind == SINK_WHOLE ? rest : head;
	const char *last = memrchr(head.ptr, '\n', head.len);
	return last ? span_head(head, (size_t)(last - head.ptr) + 1) : head;
}

/* Octets taken; 0 or -1 when there is no going on now. */
static ssize_t sink_write(struct span s)
{
	struct pollfd p = {.fd = sink.fd, .events = POLLOUT};

	switch (sink.kind) {
	case SINK_SOCKET:
		return send(sink.fd, s.ptr, s.len, MSG_DONTWAIT | MSG_NOSIGNAL);
	case SINK_OWN:
		return write(sink.own_fd, s.ptr, s.len);
	case SINK_WHOLE:
		return write(sink.fd, s.ptr, s.len);
	case SINK_POLL:
		if (poll(&p, 1, 0) != 1 || !(p.revents & POLLOUT))
			return 0;
		return write(sink.fd, s.ptr, s.len);
	}
	return -1;
}

/* True when all has gone. What an error keeps back is tried again at the next flush: a full disk
 * gets room, and a reader may come back; until then the buffer's bound holds. */
static bool pending_write(void)
{
	size_t done = 0;

	while (done < sink.pending.len) {
		struct span batch = next_batch(span_from(buf_span(&sink.pending), done));
		ssize_t n = sink_write(batch);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		done += (size_t)n;
		if ((size_t)n < batch.len)
			break;
	}
	buf_consume(&sink.pending, done);
	return sink.pending.len == 0;
}

void log_flush(void)
{
	int saved = errno;

	report_drops();
	if (pending_write() && sink.dropped) {
		report_drops();
		(void)pending_write();
	}
	errno = saved;
}
