#include "support.h"
#include <arpa/inet.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "deliver/jobs.h"
#include "deliver/smtp_delivery.h"
#include "fiber/offload.h"

#define PORT_FIRST 12000u
#define PORT_LAST  12999u
#define RCPTS_MAX  200u

struct on_loop {
	fiber_fn fn;
	void *arg;
};

static void run_and_stop(void *arg)
{
	struct on_loop *o = arg;
	o->fn(o->arg);
	loop_stop();
}

void run_on_loop(fiber_fn fn, void *arg)
{
	struct on_loop o = {fn, arg};
	signal(SIGPIPE, SIG_IGN);
	assert_int_equal(loop_init(), 0);
	assert_int_equal(offload_init(4), 0);
	assert_int_equal(fiber_spawn(run_and_stop, &o, NULL), 0);
	assert_int_equal(loop_run(), 0);
	offload_done();
	loop_done();
}

void store_message(struct stored *s, struct span message)
{
	static const char before[] = "octets of another message\r\n.\r\n";
	int fd = memfd_create("segment", MFD_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, before, sizeof(before)), sizeof(before));
	for (size_t at = 0; at < message.len;) {
		ssize_t n = write(fd, message.ptr + at, message.len - at);
		assert_true(n > 0);
		at += (size_t)n;
	}
	assert_int_equal(segments_init(&s->segments), 0);
	assert_int_equal(segments_add(&s->segments, 7, fd), 0);
	uint32_t half = (uint32_t)(message.len / 2);
	s->ranges[0] = (struct job_range){.segment = 7, .offset = sizeof(before), .length = half};
	s->ranges[1] = (struct job_range){.segment = 7,
		.offset = sizeof(before) + half,
		.length = (uint32_t)(message.len - half)};
	s->size = message.len;
}

void store_done(struct stored *s)
{
	segments_done(&s->segments);
}

void encode_job(const struct wanted_job *w, const struct stored *s, struct buf *out)
{
	static struct job_rcpt rcpts[RCPTS_MAX];
	struct job_range ranges[2] = {s->ranges[0], s->ranges[1]};
	struct job j = {
		.job = w->job ? w->job : 1,
		.message = 0x1234,
		.attempt = 1,
		.suspect = w->suspect,
		.via = w->via,
		.host = span_str(w->host			    ? w->host
				 : w->path && w->via != JOB_MAILDIR ? ""
								    : "127.0.0.1"),
		.port = w->port,
		.path = span_str(w->path),
		.site = SPAN_LIT("site"),
		.reverse_path = span_str(w->from),
		.arrival_wall_usec = UINT64_C(1763781000000042),
		.size = s->size,
		.body = w->body,
		.rcpts = rcpts,
		.ranges = ranges,
		.n_ranges = 2,
		.connect_timeout = w->connect_timeout ? w->connect_timeout : 2 * USEC_PER_SEC,
		.command_timeout = w->command_timeout ? w->command_timeout : 2 * USEC_PER_SEC,
		.data_timeout = w->data_timeout ? w->data_timeout : 2 * USEC_PER_SEC,
	};
	uint32_t given = w->many ? w->n_many : ARRAY_LEN(w->rcpts);
	const char *const *addresses = w->many ? w->many : w->rcpts;
	assert_true(given <= RCPTS_MAX);
	for (; j.n_rcpts < given && addresses[j.n_rcpts]; j.n_rcpts++)
		rcpts[j.n_rcpts] = (struct job_rcpt){
			.index = j.n_rcpts, .address = span_str(addresses[j.n_rcpts])};
	if (w->more)
		w->more(&j, rcpts);
	job_encode(&j, out);
	assert_int_equal(out->error, 0);
}

void make_delivery(struct delivery *d, const struct wanted_job *w, struct stored *s)
{
	struct buf b = BUF_INIT(1 << 20);
	encode_job(w, s, &b);
	assert_int_equal(delivery_init(d, buf_span(&b), &s->segments), 0);
	buf_done(&b); /* the delivery has its own copy */
}

char *outcome_text(const struct outcome *o)
{
	static const char *const classes[] = {"delivered", "deferred", "failed", "not-tried"};
	struct buf b = BUF_INIT(1 << 20);
	for (uint32_t i = 0; i < o->n_rcpts; i++)
		buf_printf(&b, "%u:%s:%u:%.*s ", o->rcpts[i].index, classes[o->rcpts[i].result],
			o->rcpts[i].code, SPAN_FMT(o->rcpts[i].enhanced));
	if (o->site_down)
		buf_str(&b, "down ");
	buf_char(&b, '\0');
	if (!b.ptr)
		abort();
	return b.ptr;
}

/* ---- the scripted next hop ---- */

struct session {
	struct fake_hop *hop;
	struct stream *stream;
	struct span script;
	unsigned number;
	size_t chunk; /* what the last BDAT said */
};

static void fail_session(struct session *s, const char *wanted, struct span got)
{
	buf_printf(&s->hop->failure, "session %u: wanted \"%s\", got \"%.*s\"\n", s->number, wanted,
		SPAN_FMT(got));
}

static struct span next_line(struct span *text)
{
	size_t len = span_index(*text, '\n');
	struct span line = span_head(*text, len);
	*text = span_from(*text, len + 1);
	return line;
}

static void read_data(struct session *s)
{
	struct buf *data = &s->hop->data;
	size_t from = data->len;
	for (;;) {
		struct span in;
		if (stream_peek(s->stream, &in) < 0) {
			buf_str(data, "[end]");
			return;
		}
		/* The end may begin in what came before; what is behind it is the next command. */
		size_t had = data->len, search = had - from > 4 ? had - 4 : from;
		buf_put(data, in);
		bool lone = data->len - from >= 3 && memcmp(data->ptr + from, ".\r\n", 3) == 0;
		const char *end = memmem(data->ptr + search, data->len - search, "\r\n.\r\n", 5);
		if (lone || end) {
			size_t len = lone ? from + 3 : (size_t)(end - data->ptr) + 5;
			stream_consume(s->stream, len - had);
			data->len = len;
			return;
		}
		stream_consume(s->stream, in.len);
	}
}

static void read_octets(struct session *s, size_t n)
{
	struct span in;
	for (; n > 0; n -= in.len) {
		if (stream_peek(s->stream, &in) < 0) {
			buf_str(&s->hop->data, "[end]");
			return;
		}
		in = span_head(in, n);
		buf_put(&s->hop->data, in);
		stream_consume(s->stream, in.len);
	}
}

static void until_end(struct session *s)
{
	struct span line;
	int r = 0;
	while (r >= 0) {
		r = stream_read_line(s->stream, 4096, &line, NULL);
		if (r < 0)
			break;
		if (!span_equal(line, SPAN_LIT("QUIT"))) {
			fail_session(s, "QUIT or the end", line);
			break;
		}
		s->hop->quits++;
		r = stream_printf(s->stream, "221 2.0.0 bye\r\n");
	}
}

/* True: the session goes on. */
static bool step(struct session *s, struct span line)
{
	struct span rest = span_trim(span_from(line, 2));
	struct span got = SPAN_NULL;
	int r = 0;
	char wanted[128];
	snprintf(wanted, sizeof(wanted), "%.*s", SPAN_FMT(line));
	switch (line.ptr[0]) {
	case 'S':
		r = stream_printf(s->stream, "%.*s\r\n", SPAN_FMT(rest));
		break;
	case 'C':
		r = stream_read_line(s->stream, 8192, &got, NULL);
		if (r < 0)
			fail_session(s, wanted, SPAN_LIT("the end"));
		else if (!span_starts_nocase(got, rest))
			fail_session(s, wanted, got);
		else if (span_starts_nocase(got, SPAN_LIT("BDAT ")))
			s->chunk = (size_t)atol(got.ptr + 5);
		break;
	case 'D':
		read_data(s);
		break;
	case 'B':
		read_octets(s, rest.len ? (size_t)atol(rest.ptr) : s->chunk);
		break;
	case 'N':
		if (stream_flush(s->stream) < 0 || fiber_sleep(60 * USEC_PER_MSEC) < 0)
			return false;
		if (stream_fill_now(s->stream) != -EAGAIN || stream_buffered(s->stream).len > 0)
			fail_session(s, wanted, stream_buffered(s->stream));
		break;
	case 'L':
		for (long n = atol(rest.ptr); n > 0 && r >= 0; n--)
			r = stream_write(s->stream, SPAN_LIT("x"));
		if (r >= 0)
			r = stream_write(s->stream, SPAN_LIT("\r\n"));
		break;
	case 'W':
		r = stream_flush(s->stream);
		if (r >= 0)
			r = fiber_sleep((uint64_t)atol(rest.ptr) * USEC_PER_MSEC);
		break;
	case 'H':
		while (stream_peek(s->stream, &got) >= 0)
			stream_consume(s->stream, got.len);
		return false;
	case 'R': {
		struct linger reset = {.l_onoff = 1};
		(void)setsockopt(
			stream_fd(s->stream), SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
		return false;
	}
	case 'X':
		(void)(stream_flush(s->stream) < 0);
		return false;
	default:
		fail_session(s, "a step", line);
	}
	return r >= 0;
}

static void session_run(void *arg)
{
	struct session *s = arg;
	bool on = true;
	while (on && s->script.len > 0) {
		struct span line = next_line(&s->script);
		if (line.len > 0)
			on = step(s, line);
	}
	if (on)
		until_end(s);
	stream_free(s->stream);
	s->hop->open--;
	free(s);
}

/* The n-th part between "---" lines; empty when there are fewer. */
static struct span session_script(struct span script, unsigned n)
{
	struct span rest = script;
	const char *from = rest.ptr;
	unsigned at = 0;
	while (rest.len > 0) {
		const char *line_at = rest.ptr;
		struct span line = next_line(&rest);
		if (!span_equal(line, SPAN_LIT("---")))
			continue;
		if (at++ == n)
			return span_make(from, (size_t)(line_at - from));
		from = rest.ptr;
	}
	return at == n ? span_make(from, (size_t)(rest.ptr - from)) : SPAN_NULL;
}

static void accept_run(void *arg)
{
	struct fake_hop *h = arg;
	struct watch w = {0};
	assert_int_equal(watch_init(&w, h->fd, NULL), 0);
	for (;;) {
		int fd = accept4(h->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0) {
			if (fiber_wait_readable(&w, USEC_INFINITY) < 0)
				break;
			continue;
		}
		struct session *s = calloc(1, sizeof(*s));
		*s = (struct session){.hop = h, .number = h->sessions++};
		s->script = session_script(h->script, s->number);
		if (s->script.len == 0)
			fail_session(s, "no more sessions", SPAN_LIT("one"));
		assert_int_equal(stream_new(fd, &s->stream), 0);
		h->open++;
		assert_int_equal(fiber_spawn(session_run, s, NULL), 0);
	}
	watch_done(&w);
	h->acceptor = NULL;
}

static void start(struct fake_hop *h)
{
	assert_int_equal(listen(h->fd, 64), 0);
	assert_int_equal(fiber_spawn(accept_run, h, &h->acceptor), 0);
}

void fake_hop_open(struct fake_hop *h, const char *script)
{
	static uint16_t port = PORT_FIRST;
	*h = (struct fake_hop){
		.script = span_str(script), .data = BUF_INIT(64 << 20), .failure = BUF_INIT(65536)};
	for (;; port++) {
		assert_true(port <= PORT_LAST);
		struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
		a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		h->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		if (bind(h->fd, (struct sockaddr *)&a, sizeof(a)) == 0 && listen(h->fd, 64) == 0)
			break;
		close(h->fd);
	}
	h->port = port++;
	start(h);
}

void fake_hop_open_unix(struct fake_hop *h, const char *script)
{
	*h = (struct fake_hop){
		.script = span_str(script), .data = BUF_INIT(64 << 20), .failure = BUF_INIT(65536)};
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	snprintf(h->unix_path, sizeof(h->unix_path), "/tmp/postrider-lmtp.%d", (int)getpid());
	snprintf(a.sun_path, sizeof(a.sun_path), "%s", h->unix_path);
	unlink(h->unix_path);
	h->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(h->fd, (struct sockaddr *)&a, sizeof(a)), 0);
	start(h);
}

void fake_hop_close(struct fake_hop *h)
{
	for (unsigned i = 0; i < 500 && h->open > 0; i++)
		(void)fiber_sleep(10 * USEC_PER_MSEC);
	if (h->open > 0)
		print_error("a session with the fake hop is still open\n");
	if (h->failure.len > 0)
		print_error("%.*s", SPAN_FMT(buf_span(&h->failure)));
	assert_int_equal(h->failure.len, 0);
	assert_int_equal(h->open, 0);
	fiber_cancel(h->acceptor);
	while (h->acceptor)
		(void)fiber_yield();
	close(h->fd);
	if (h->unix_path[0])
		unlink(h->unix_path);
	buf_done(&h->data);
	buf_done(&h->failure);
}

void deliver_over(struct delivery *d, struct cache *cache)
{
	static char hostname[] = "client.example.org";
	static const struct config config = {.hostname = hostname};
	struct outbound out = {.cache = cache, .config = &config};
	assert_int_equal(ways_new(NULL, &out.ways), 0);
	assert_int_equal(tls_client_new(&out.tls), 0);
	smtp_deliver(d, &out);
	ways_free(out.ways);
	tls_client_free(out.tls);
}

static void on_cache_drained(void *arg)
{
	*(bool *)arg = true;
}

void end_cache(struct cache *cache)
{
	bool drained = false;
	cache_drain(cache, on_cache_drained, &drained);
	while (!drained)
		(void)fiber_sleep(USEC_PER_MSEC);
	cache_free(cache);
}
