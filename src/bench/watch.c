/* Asking the sink, over SMTP, what arrived: it may run on another machine.
 *
 *   XBENCH COUNT run      250 pairs messages doubled damaged first last cpu p500 p900 p990 p999 max
 *   XBENCH MARKS run      250-hex digits, two a pair, several lines, the last with "250 "
 *   both                  551 when nothing of that run has come
 *
 * The connection is made on first use and kept; after any error, a cancelled wait among them, it is
 * dropped, because a reply that was not read would be taken for the next one. */
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "bench/load.h"
#include "mail/reply.h"
#include "net/stream.h"

#define WATCH_TIMEOUT (30 * USEC_PER_SEC)

struct watcher {
	const struct load *l;
	struct stream *s;
};

int watcher_new(const struct load *l, struct watcher **ret_watcher)
{
	struct watcher *w = calloc(1, sizeof(*w));

	if (!w)
		return -ENOMEM;
	w->l = l;
	*ret_watcher = w;
	return 0;
}

void watcher_free(struct watcher *w)
{
	if (w)
		stream_free(w->s);
	free(w);
}

/* One line of a reply: its code, 0 while more follow. */
SUSPENDS static int get_line(struct watcher *w, struct span *ret_text)
{
	struct span line;
	uint64_t code;
	int r = stream_read_line(w->s, REPLY_LINE_MAX, &line, NULL);

	if (r < 0)
		return r;
	if (line.len < 4 || span_to_u64(span_head(line, 3), 599, &code) < 0)
		return -EBADMSG;
	*ret_text = span_from(line, 4);
	return line.ptr[3] == '-' ? 0 : (int)code;
}

SUSPENDS static int watcher_open(struct watcher *w)
{
	const struct address *a = &w->l->o->sink;
	struct span text;

	if (w->s)
		return 0;
	/* The sink is near: a blocking connect costs a round trip. */
	int fd = socket(a->ss.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (const struct sockaddr *)&a->ss, a->len) < 0) {
		int r = -errno;
		fd_close(fd);
		return r;
	}
	int r = stream_new(fd, &w->s);
	if (r < 0)
		return r;
	stream_set_timeout(w->s, WATCH_TIMEOUT, WATCH_TIMEOUT);
	r = get_line(w, &text);
	return r < 0 ? r : r == 220 ? 0 : -EPROTO;
}

SUSPENDS static int ask(struct watcher *w, const char *what)
{
	int r = watcher_open(w);

	if (r >= 0)
		r = stream_printf(w->s, "XBENCH %s %016jx\r\n", what, (uintmax_t)w->l->run_id);
	return r;
}

SUSPENDS static int ask_counts(struct watcher *w, struct watch_counts *ret_counts)
{
	struct watch_counts c = {.known = true};
	uint64_t *const values[] = {&c.pairs, &c.messages, &c.doubled, &c.damaged, &c.first_usec,
		&c.last_usec, &c.sink_cpu_usec, &c.latency_usec[0], &c.latency_usec[1],
		&c.latency_usec[2], &c.latency_usec[3], &c.latency_usec[4]};
	struct span text;
	int r = ask(w, "COUNT");

	if (r >= 0)
		r = get_line(w, &text);
	if (r == 551) {
		*ret_counts = (struct watch_counts){0};
		return 0;
	}
	if (r != 250)
		return r < 0 ? r : -EPROTO;
	for (size_t i = 0; i < ARRAY_LEN(values); i++) {
		size_t n = span_index(text, ' ');
		r = span_to_u64(span_head(text, n), UINT64_MAX, values[i]);
		if (r < 0)
			return r;
		text = span_from(text, n + (n < text.len));
	}
	*ret_counts = c;
	return 0;
}

static int digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

SUSPENDS static int ask_marks(struct watcher *w, uint8_t *marks)
{
	uint64_t n = w->l->o->messages * w->l->o->recipients, at = 0;
	struct span text;
	int r = ask(w, "MARKS");

	while (r >= 0) {
		r = get_line(w, &text);
		if (r == 551)
			return 0; /* nothing came: all marks are 0 */
		if (r != 0 && r != 250)
			return r < 0 ? r : -EPROTO;
		for (size_t i = 0; i + 1 < text.len; i += 2) {
			int high = digit(text.ptr[i]), low = digit(text.ptr[i + 1]);
			if (high < 0 || low < 0 || at == n)
				return -EPROTO;
			marks[at++] = (uint8_t)(high << 4 | low);
		}
		if (r == 250)
			return at == n ? 0 : -EPROTO;
	}
	return r;
}

static int watcher_end(struct watcher *w, int r)
{
	if (r < 0)
		stream_free(TAKE(w->s));
	return r;
}

int watcher_counts(struct watcher *w, struct watch_counts *ret_counts)
{
	return watcher_end(w, ask_counts(w, ret_counts));
}

int watcher_marks(struct watcher *w, uint8_t *marks)
{
	return watcher_end(w, ask_marks(w, marks));
}
