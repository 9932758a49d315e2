/* The sink's process: listens, starts a fiber for each connection, reports at its end (SIGINT,
 * SIGTERM, or when --expect pairs have arrived). */
#include "bench/sink.h"

#include <inttypes.h>
#include <jansson.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "bench/bench.h"
#include "net/certificate.h"
#include "net/self_made.h"
#include "net/tls.h"

#define SINK_BACKLOG  4096
#define ACCEPT_BATCH  64u
#define PROGRESS_USEC USEC_PER_SEC

static struct sink the_sink; /* one a process: the turn hook has no argument */
static bool ending;

uint64_t sink_cpu_usec(void)
{
	struct rusage u;

	if (getrusage(RUSAGE_SELF, &u) < 0)
		return 0;
	return (uint64_t)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * USEC_PER_SEC +
	       (uint64_t)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

/* ---- listening ---- */

static void session_start(struct sink *k, int fd, bool tcp)
{
	struct sink_session *session = calloc(1, sizeof(*session));

	if (!session) {
		fd_close(fd);
		return;
	}
	session->sink = k;
	session->fd = fd;
	session->tcp = tcp;
	if (fiber_spawn(sink_session_fiber, session, &session->fiber) < 0) {
		fd_close(fd);
		free(session);
		return;
	}
	list_push_back(&k->sessions, &session->node);
	k->connections++;
	k->open++;
}

struct listening {
	struct watch watch;
	bool tcp;
	struct loop_defer more; /* the batch was cut short */
};

static void accept_batch(struct listening *l)
{
	for (unsigned i = 0; i < ACCEPT_BATCH; i++) {
		int fd = accept4(l->watch.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0 && errno != ECONNABORTED && errno != EINTR)
			return;
		if (fd >= 0)
			session_start(&the_sink, fd, l->tcp);
	}
	loop_defer(&l->more);
}

static void on_more(struct loop_defer *d)
{
	accept_batch(CONTAINER_OF(d, struct listening, more));
}

static void on_ready(struct watch *w, uint32_t events)
{
	(void)events;
	accept_batch(CONTAINER_OF(w, struct listening, watch));
}

static int listen_at(const struct address *a, struct listening *l)
{
	int on = 1, fd = socket(a->ss.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	/* What is accepted has it from here. */
	l->tcp = !address_is_unix(a);
	if (l->tcp)
		(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	l->watch.fd = fd;
	l->more.fn = on_more;
	if (bind(fd, (const struct sockaddr *)&a->ss, a->len) < 0 || listen(fd, SINK_BACKLOG) < 0)
		return -errno;
	return watch_init(&l->watch, fd, on_ready);
}

/* ---- the end ---- */

static uint64_t pairs_arrived(const struct sink *k)
{
	uint64_t pairs = 0;

	for (size_t i = 0; i < k->tally.n_runs; i++)
		pairs += k->tally.runs[i]->pairs;
	return pairs;
}

static void on_turn(void)
{
	struct sink *k = &the_sink;

	if (ending)
		return;
	if (!bench_interrupted() && !(k->o->expect && pairs_arrived(k) >= k->o->expect))
		return;
	ending = true;
	list_foreach (node, &k->sessions)
		fiber_cancel(CONTAINER_OF(node, struct sink_session, node)->fiber);
	loop_stop();
}

static void on_progress(struct loop_timer *t)
{
	const struct sink *k = &the_sink;

	if (!k->o->quiet && k->connections)
		(void)fprintf(stderr,
			"%" PRIu64 " open, %" PRIu64 " messages, %" PRIu64 " recipients, %" PRIu64
			" octets\n",
			k->open, k->messages, k->recipients, k->octets);
	if (loop_timer_set(t, loop_now_usec() + PROGRESS_USEC) < 0)
		ending = true;
}

static json_t *number(uint64_t v)
{
	return json_integer((json_int_t)v);
}

static double message_rate(const struct sink *k)
{
	uint64_t usec = k->last_usec - k->first_usec;
	return usec ? (double)(k->messages - 1) * 1e6 / (double)usec : 0;
}

static int report_json(const struct sink *k, uint64_t doubled, uint64_t damaged)
{
	json_t *all = json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:f, "
				"s:f, s:o}",
		"connections", number(k->connections), "messages", number(k->messages),
		"recipients", number(k->recipients), "octets", number(k->octets), "pairs",
		number(pairs_arrived(k)), "doubled", number(doubled), "damaged", number(damaged),
		"strangers", number(k->tally.strangers), "bare_newlines", number(k->bare_newlines),
		"tempfails", number(k->tempfails), "permfails", number(k->permfails), "hangups",
		number(k->hangups), "seconds", (double)(k->last_usec - k->first_usec) / 1e6,
		"messages_per_second", message_rate(k), "cpu_us", number(sink_cpu_usec()));
	int r = all ? json_dumpf(all, stdout, JSON_COMPACT) : -1;

	(void)putchar('\n');
	json_decref(all);
	return r;
}

int sink_report(const struct sink *k)
{
	uint64_t doubled = 0, damaged = 0;
	int r = 0;

	for (size_t i = 0; i < k->tally.n_runs; i++) {
		doubled += k->tally.runs[i]->doubled;
		damaged += k->tally.runs[i]->damaged;
	}
	if (k->o->json)
		r = report_json(k, doubled, damaged);
	else
		(void)printf(
			"arrived    %" PRIu64 " messages, %" PRIu64 " recipients (%" PRIu64
			" doubled, %" PRIu64 " damaged), %" PRIu64 " without a token\n"
			"           %.1f messages/s between the first and the last, on %" PRIu64
			" connections\n"
			"injected   %" PRIu64 " times 4xx, %" PRIu64 " times 5xx, %" PRIu64
			" hang-ups\n"
			"own CPU    %.1f us a message\n",
			k->messages, k->recipients, doubled, damaged, k->tally.strangers,
			message_rate(k), k->connections, k->tempfails, k->permfails, k->hangups,
			(double)sink_cpu_usec() / (double)MAX(k->messages, UINT64_C(1)));
	if (fflush(stdout) != 0 || r < 0)
		return BENCH_OS;
	return doubled || damaged ? BENCH_INCOMPLETE : BENCH_OK;
}

/* A certificate for a day, ECDSA P-256. No tickets: every handshake is a full one. */
static int tls_prepare(struct sink *k)
{
	struct buf pem = BUF_INIT(CERTIFICATE_FILE_MAX), key_pem = BUF_INIT(CERTIFICATE_FILE_MAX);
	struct certificate *certificate = NULL;
	EVP_PKEY *key = NULL;
	const char *why;
	int r = self_made_certificate("sink.example", 1, &pem, &key_pem);

	if (r >= 0)
		r = certificate_parse(buf_span(&pem), &certificate, &why);
	if (r >= 0)
		r = private_key_parse(buf_span(&key_pem), &key, &why);
	if (r >= 0)
		r = tls_context_new(true, &k->tls);
	if (r >= 0 && (SSL_CTX_use_certificate(k->tls, certificate->leaf) != 1 ||
			      SSL_CTX_use_PrivateKey(k->tls, key) != 1 ||
			      SSL_CTX_set_num_tickets(k->tls, 0) != 1))
		r = -EINVAL;
	EVP_PKEY_free(key);
	certificate_free(certificate);
	buf_done(&key_pem);
	buf_done(&pem);
	return r;
}

int sink_run(const struct sink_options *o, int ready_fd)
{
	struct listening listening[BENCH_SINKS_MAX] = {0};
	struct loop_timer progress = {.fn = on_progress};
	int r = loop_init();

	bench_prepare();
	the_sink = (struct sink){.o = o};
	random_octets(&the_sink.random, sizeof(the_sink.random));
	the_sink.random |= 1;
	list_init(&the_sink.sessions);
	if (o->starttls && r >= 0)
		r = tls_prepare(&the_sink);
	for (size_t i = 0; i < o->n_addresses && r >= 0; i++)
		r = listen_at(&o->addresses[i], &listening[i]);
	if (r < 0) {
		(void)fprintf(stderr, "postrider: bench sink: %s\n", strerror(-r));
		return BENCH_UNAVAILABLE;
	}
	/* One octet: we listen. */
	if (ready_fd >= 0 && write(ready_fd, "1", 1) == 1)
		fd_close(ready_fd);
	loop_set_turn_hook(on_turn);
	r = loop_timer_set(&progress, loop_now_usec() + PROGRESS_USEC);
	if (r >= 0)
		r = loop_run();
	loop_timer_cancel(&progress);
	for (size_t i = 0; i < o->n_addresses; i++) {
		loop_defer_cancel(&listening[i].more);
		watch_done(&listening[i].watch);
		fd_close(listening[i].watch.fd);
	}
	loop_done();
	int status = ready_fd >= 0 ? BENCH_OK : sink_report(&the_sink);
	tally_done(&the_sink.tally);
	tls_context_freep(&the_sink.tls);
	return r < 0 ? BENCH_OS : status;
}
