/* A probe is a delivery that ends before MAIL: candidate_find looks the host up and judges it,
 * smtp_open connects, says EHLO and STARTTLS and verifies, as the policy wants; then QUIT. No AUTH,
 * and no certificate of ours: a look must not spend a password. Where the policy's handshake fails,
 * a second connection without verification shows the certificates all the same, so that one sees
 * what was refused.
 *
 * "WebPKI" is judged beside, whatever the policy: the chain by the roots, the name of the host. */
#include "deliver/probe.h"
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <time.h>

#include "deliver/candidate.h"
#include "deliver/smtp_open.h"
#include "net/certificate.h"
#include "net/https.h"

#define CONNECT_USEC (10 * USEC_PER_SEC)
#define COMMAND_USEC (20 * USEC_PER_SEC)
#define HOST_USEC    (60 * USEC_PER_SEC)
#define QUIT_USEC    (2 * USEC_PER_SEC)

struct prober {
	const struct config *config;
	struct outbound out;
};

static int read_roots(struct ways *ways, const struct config *c)
{
	const char *path = config_roots_path(c);
	CLEANUP(fd_closep) int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	return path && fd < 0 ? -errno : fd >= 0 ? ways_add_roots(ways, "", fd, true) : 0;
}

int prober_new(const struct config *c, struct resolve_client *resolver, struct prober **ret_prober)
{
	struct prober *p = calloc(1, sizeof(*p));
	const char *why;
	if (!p)
		return -ENOMEM;
	p->config = p->out.config = c;
	p->out.resolver = resolver;
	int r = tls_client_new(&p->out.tls);
	if (r >= 0)
		r = ways_new(NULL, &p->out.ways);
	if (r >= 0)
		r = read_roots(p->out.ways, c);
	/* The server's folder of policies is its own: a stranger's file would be in its way. */
	if (r >= 0)
		r = https_load(&why);
	if (r >= 0)
		r = sts_new(-1, &p->out.sts);
	if (r >= 0)
		sts_set_roots(p->out.sts, ways_roots(p->out.ways));
	if (r < 0) {
		prober_free(p);
		return r;
	}
	*ret_prober = p;
	return 0;
}

void prober_free(struct prober *p)
{
	if (!p)
		return;
	tls_client_free(p->out.tls);
	ways_free(p->out.ways);
	sts_free(p->out.sts);
	free(p);
}

int prober_policy(struct prober *p, struct span domain, struct arena *a, struct sts_answer *ret)
{
	return sts_find(p->out.sts, p->out.resolver, domain, a, ret);
}

/* ---- certificates ---- */

static int64_t seconds_of(const ASN1_TIME *t)
{
	struct tm tm;
	return ASN1_TIME_to_tm(t, &tm) == 1 ? (int64_t)timegm(&tm) : 0;
}

static struct span text_of(struct buf *b, struct arena *a)
{
	struct span s = arena_span(a, b->error ? SPAN_LIT("too long") : buf_span(b));
	buf_done(b);
	return s;
}

static struct span issuer_of(X509 *x, struct arena *a)
{
	struct buf text = BUF_INIT(4096);
	char *octets;
	BIO *bio = BIO_new(BIO_s_mem());
	if (bio && X509_NAME_print_ex(bio, X509_get_issuer_name(x), 0,
			   XN_FLAG_ONELINE & ~XN_FLAG_SPC_EQ) >= 0) {
		long n = BIO_get_mem_data(bio, &octets);
		buf_append(&text, octets, n > 0 ? (size_t)n : 0);
	}
	BIO_free(bio);
	return text_of(&text, a);
}

static void add_certificate(struct probe *ret, X509 *x, struct arena *a)
{
	struct certificate borrowed = {.leaf = x};
	struct buf names = BUF_INIT(65536);
	certificate_names(&borrowed, &names);
	ret->certificates[ret->n_certificates++] = (struct probe_certificate){
		.names = text_of(&names, a),
		.issuer = issuer_of(x, a),
		.begins_sec = seconds_of(X509_get0_notBefore(x)),
		.ends_sec = seconds_of(X509_get0_notAfter(x)),
	};
}

/* RFC 6125 6.4.3; as for MTA-STS, RFC 8461 4.2. */
static const char *judge(X509_STORE *roots, STACK_OF(X509) * chain, const char *host)
{
	X509_STORE_CTX *c = X509_STORE_CTX_new();
	const char *said = "cannot be judged";
	if (c && roots && X509_STORE_CTX_init(c, roots, sk_X509_value(chain, 0), chain) == 1) {
		X509_VERIFY_PARAM *param = X509_STORE_CTX_get0_param(c);
		X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
		if (X509_VERIFY_PARAM_set1_host(param, host, 0) == 1 &&
			X509_STORE_CTX_set_purpose(c, X509_PURPOSE_SSL_SERVER) == 1)
			said = X509_verify_cert(c) == 1
				       ? "verifies"
				       : X509_verify_cert_error_string(X509_STORE_CTX_get_error(c));
	}
	X509_STORE_CTX_free(c);
	ERR_clear_error();
	return roots ? said : "there are no roots to judge by";
}

static int look_at(struct smtp_client *c, const struct way *way, const struct candidate *host,
	struct arena *a, struct probe *ret)
{
	SSL *ssl = stream_tls(c->stream);
	STACK_OF(X509) *chain = ssl ? SSL_get_peer_cert_chain(ssl) : NULL;
	if (!chain || sk_X509_num(chain) == 0)
		return 0;
	unsigned n = MIN((unsigned)sk_X509_num(chain), PROBE_CERTIFICATES_MAX);
	const char *name = arena_str(a, host->host);
	ret->n_certificates = 0;
	ret->certificates = arena_alloc(a, n * sizeof(*ret->certificates));
	if (!ret->certificates || !name)
		return -ENOMEM;
	for (unsigned i = 0; i < n; i++)
		add_certificate(ret, sk_X509_value(chain, (int)i), a);
	ret->webpki = arena_span(a, span_str(judge(roots_store(way->roots), chain, name)));
	return 0;
}

/* ---- the session ---- */

struct session {
	struct prober *p;
	struct delivery d;
	struct way way;
	struct candidate *c;
	uint64_t deadline_usec;
};

SUSPENDS static int open_session(struct session *s, const struct tls_answer *policy,
	const struct tls_target *target, struct smtp_client **ret, struct smtp_failure *failure)
{
	struct smtp_opening o = {
		.d = &s->d,
		.out = &s->p->out,
		.way = &s->way,
		.host = s->c->host,
		.addresses = &s->c->addresses,
		.policy = policy,
		.target = target,
		.deadline_usec = s->deadline_usec,
	};
	return smtp_open(&o, ret, failure);
}

SUSPENDS static void end_session(struct smtp_client *c)
{
	smtp_client_quit(c, QUIT_USEC);
	smtp_client_free(c);
}

/* What was refused: the same host, with any certificate. */
SUSPENDS static int look_again(struct session *s, struct arena *a, struct probe *ret)
{
	struct tls_answer any = {.want = TLS_WANT_ENCRYPT, .by = "probe"};
	struct tls_target target = s->c->target;
	struct smtp_failure failure;
	struct smtp_client *client;
	target.want = TLS_WANT_ENCRYPT;
	target.key = SPAN_LIT("probe");
	int r = open_session(s, &any, &target, &client, &failure);
	if (r < 0)
		return r == -ECANCELED || r == -ENOMEM ? r : 0;
	r = look_at(client, &s->way, s->c, a, ret);
	end_session(client);
	return r;
}

SUSPENDS static int converse(struct session *s, struct arena *a, struct probe *ret)
{
	struct smtp_failure failure;
	struct smtp_client *client;
	int r = open_session(s, &s->c->policy, &s->c->target, &client, &failure);
	if (r < 0) {
		ret->failure = failure.result.text;
		ret->remote = s->d.outcome.remote;
		if (r == -ECANCELED || r == -ENOMEM)
			return r;
		return failure.handshake ? look_again(s, a, ret) : 0;
	}
	ret->open = true;
	ret->remote = arena_span(a, buf_span(&client->remote));
	ret->tls = arena_span(a, buf_span(&client->tls));
	r = look_at(client, &s->way, s->c, a, ret);
	end_session(client);
	return r;
}

/* ---- the whole ---- */

static int make_delivery(const struct probe_ask *ask, struct arena *a, struct delivery *ret)
{
	struct job_host *host = arena_alloc(a, sizeof(*host));
	struct job_rcpt *rcpt = arena_alloc(a, sizeof(*rcpt));
	struct outcome_rcpt *result = arena_alloc(a, sizeof(*result));
	if (!host || !rcpt || !result)
		return -ENOMEM;
	*host = (struct job_host){.name = ask->host};
	*rcpt = (struct job_rcpt){.index = 0};
	*result = (struct outcome_rcpt){.index = 0};
	*ret = (struct delivery){
		.arena = a,
		.transcript = BUF_INIT(SIZE_MAX),
		.job = {.via = JOB_SMTP,
			.port = ask->port,
			.hosts = host,
			.n_hosts = 1,
			.mx_secure = ask->mx_secure,
			.domain = ask->domain,
			.route = ask->route,
			.rcpts = rcpt,
			.n_rcpts = 1,
			.connect_timeout = CONNECT_USEC,
			.command_timeout = COMMAND_USEC,
			.data_timeout = COMMAND_USEC},
		.outcome = {.rcpts = result, .n_rcpts = 1},
	};
	return 0;
}

int probe_host(struct prober *p, const struct probe_ask *ask, struct arena *a, struct probe *ret)
{
	struct session s = {.p = p, .deadline_usec = loop_now_usec() + HOST_USEC};
	*ret = (struct probe){.sts = sts_state_of(ask->sts, ask->host)};
	int r = make_delivery(ask, a, &s.d);
	if (r >= 0)
		r = way_find(p->out.ways, p->config, &s.d.job, 0, a, &s.way);
	if (r < 0)
		return r;
	s.way.wants_certificate = false;
	struct candidate_ask look = {
		.d = &s.d, .out = &p->out, .way = &s.way, .host = ask->host, .sts = ret->sts};
	r = candidate_find(&look, &s.c);
	if (r >= 0) {
		ret->addresses = s.c->addresses;
		ret->dane = s.c->dane.state;
		ret->policy = s.c->policy;
		s.way.wants_auth = false;
		if (ask->connect && s.c->addresses.n > 0 && !s.c->policy.skip)
			r = converse(&s, a, ret);
	}
	way_done(&s.way);
	buf_done(&s.d.transcript);
	return r;
}
