/* Twin of src/resolver/context.c and events.c: libunbound on our loop, asking a small name server
 * that runs on the same loop. Validation has tests with real zones (tests/interop/test_dns.py). */
#include "resolver/anchor.h"
#include "resolver/context.h"
#include "resolver/packet.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

struct server {
	struct watch watch;
	unsigned asked;
	bool silent;
	uint8_t last; /* octet of the address that it gives */
};
struct scene {
	struct server servers[2];
	struct events *events;
	struct contexts *contexts;
	struct config config;
	unsigned open;
	enum resolve_status status;
	uint8_t got;
	int security;
};

/* Every A question gets 192.0.2.<last>, every other no data. */
static void on_question(struct watch *w, uint32_t events)
{
	struct server *s = CONTAINER_OF(w, struct server, watch);
	char p[2048];
	struct sockaddr_in from;
	socklen_t len = sizeof(from);
	ssize_t n;

	(void)events;
	while ((n = recvfrom(w->fd, p, 512, 0, (struct sockaddr *)&from, &len)) > 12) {
		s->asked++;
		if (s->silent)
			continue;
		size_t end = 12;
		while (p[end] != 0)
			end += (size_t)p[end] + 1;
		bool is_a = p[end + 1] == 0 && p[end + 2] == 1;
		end += 5;
		const char answer[] = {
			'\300', 12, 0, 1, 0, 1, 0, 0, 1, 0, 0, 4, '\300', 0, 2, (char)s->last};
		p[2] = '\204' | 1;
		p[3] = '\200';
		p[7] = is_a ? 1 : 0;
		p[9] = p[11] = 0;
		if (is_a) {
			memcpy(p + end, answer, sizeof(answer));
			end += sizeof(answer);
		}
		assert_true(sendto(w->fd, p, end, 0, (struct sockaddr *)&from, len) > 0);
	}
}

static void server_open(struct server *s, uint8_t last, struct address *ret)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(a);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	s->last = last;
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
	assert_int_equal(watch_init(&s->watch, fd, on_question), 0);
	assert_int_equal(address_from_sockaddr((struct sockaddr *)&a, len, ret), 0);
}

static void scene_start(struct scene *s, bool forward)
{
	static struct config_address server;
	static struct config_dns_zone zone;
	struct buf anchors = BUF_INIT(16); /* none: nothing validates */
	const char *why;

	*s = (struct scene){.config = {.dns = {.cache = 4 << 20}}};
	assert_int_equal(loop_init(), 0);
	server_open(&s->servers[0], 1, &server.address);
	s->config.dns.servers = &server;
	s->config.dns.n_servers = 1;
	zone = (struct config_dns_zone){.zone = (char[]){"corp.example"}};
	server_open(&s->servers[1], 2, &zone.server);
	s->config.dns.forwards = &zone;
	s->config.dns.n_forwards = forward ? 1 : 0;
	assert_int_equal(events_new(&s->events), 0);
	assert_int_equal(contexts_load(&why), 0);
	int r = contexts_new(&s->config, &anchors, s->events, &s->contexts, &why);
	if (r < 0)
		fail_msg("want contexts, got %d: %s", r, why);
}

static void scene_end(struct scene *s)
{
	contexts_free(s->contexts);
	events_free(s->events);
	for (size_t i = 0; i < ARRAY_LEN(s->servers); i++) {
		int fd = s->servers[i].watch.fd;
		watch_done(&s->servers[i].watch);
		fd_close(fd);
	}
	loop_done();
}

static void on_resolved(void *arg, int rcode, void *packet, int len, int security, char *why_bogus,
	int was_ratelimited)
{
	struct scene *s = arg;
	struct arena *a = arena_new(1 << 20);
	struct resolve_answer answer;

	(void)why_bogus;
	(void)was_ratelimited;
	s->status = RESOLVE_SERVFAIL;
	s->security = security;
	if (rcode == 0 && packet) {
		assert_int_equal(packet_read(span_make(packet, (size_t)len),
					 SPAN_LIT("host.corp.example"), RESOLVE_A, a, &answer),
			0);
		s->status = answer.status;
		s->got = answer.n_rdata ? (uint8_t)answer.rdata[0].ptr[3] : 0;
	}
	arena_free(a);
	if (--s->open == 0)
		loop_exit();
}

static void ask(struct scene *s, const char *name)
{
	s->open++;
	assert_int_equal(contexts_ask(s->contexts, name, 1, on_resolved, s), 0);
}

static void context__asks_the_server(void **state)
{
	struct scene s;
	(void)state;

	scene_start(&s, false);
	ask(&s, "host.corp.example");
	assert_int_equal(loop_run(), 0);
	assert_int_equal(s.status, RESOLVE_OK);
	assert_int_equal(s.got, 1);
	assert_int_equal(s.security, 0);
	unsigned before = s.servers[0].asked;
	ask(&s, "host.corp.example"); /* from the cache */
	if (s.open)
		assert_int_equal(loop_run(), 0);
	assert_int_equal(s.servers[0].asked, before);
	scene_end(&s);
}

static void context__forwards_a_zone(void **state)
{
	struct scene s;
	(void)state;

	scene_start(&s, true);
	ask(&s, "host.corp.example");
	assert_int_equal(loop_run(), 0);
	assert_int_equal(s.got, 2);
	assert_int_equal(s.servers[0].asked, 0);
	struct ub_ctx *world = contexts_for(s.contexts, SPAN_LIT("example"));
	assert_ptr_equal(contexts_for(s.contexts, SPAN_LIT("xcorp.example")), world);
	assert_ptr_not_equal(contexts_for(s.contexts, SPAN_LIT("CORP.example.")), world);
	scene_end(&s);
}

static void stop(struct loop_timer *t)
{
	(void)t;
	loop_exit();
}

/* Contexts may go while they wait; nothing is touched afterwards (ASan looks). */
static void context__ends_with_open_questions(void **state)
{
	struct scene s;
	struct loop_timer timer = {.fn = stop};
	(void)state;

	scene_start(&s, false);
	s.servers[0].silent = true;
	ask(&s, "host.corp.example");
	ask(&s, "other.corp.example");
	assert_int_equal(loop_timer_set(&timer, loop_now_usec() + 50 * USEC_PER_MSEC), 0);
	assert_int_equal(loop_run(), 0);
	assert_true(s.servers[0].asked > 0);
	assert_int_equal(s.open, 2);
	scene_end(&s);
}

static void context__refuses_a_broken_anchor(void **state)
{
	struct scene s;
	struct buf anchors = BUF_INIT(1024);
	struct contexts *k = NULL;
	const char *why = "";
	(void)state;

	scene_start(&s, false);
	buf_append(&anchors, ". IN DS 1 8 2 nonsense", 23);
	assert_true(contexts_new(&s.config, &anchors, s.events, &k, &why) < 0);
	assert_non_null(strstr(why, "anchor"));
	buf_done(&anchors);
	assert_int_equal(contexts_new(&s.config, NULL, s.events, &k, &why), 0); /* the root's */
	contexts_free(k);
	scene_end(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(context__asks_the_server),
		cmocka_unit_test(context__forwards_a_zone),
		cmocka_unit_test(context__ends_with_open_questions),
		cmocka_unit_test(context__refuses_a_broken_anchor),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
