/* Reading and judging the files of tls {}, and those that a route or the relay shows to its next
 * hop. Every complaint names the file and the remedy, because it is read by somebody whose
 * certificate ran out at night.
 *
 * Certificates and keys are matched by their public halves, whatever their order. A key may stand
 * in the file of its certificate. */
#include "config/tls_files.h"
#include "net/certificate.h"
#include <fcntl.h>
#include <inttypes.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/ocsp.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define DAY_SEC	     INT64_C(86400)
#define SOON_SEC     (14 * DAY_SEC) /* certbot and lego renew 30 days before the end */
#define RSA_BITS_MIN 2048
#define EC_BITS_MIN  256

bool tls_is_wanted(const struct config *c)
{
	for (size_t i = 0; i < c->n_listeners; i++)
		if (c->listeners[i].tls != TLS_NONE)
			return true;
	return false;
}

/* ---- reading ---- */

static void file_done(struct tls_file *f)
{
	if (f->octets.ptr)
		OPENSSL_cleanse(f->octets.ptr, f->octets.cap);
	buf_done(&f->octets);
	free(f->path);
}

static void list_done(struct tls_file *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		file_done(&list[i]);
	free(list);
}

void tls_files_free(struct tls_files *f)
{
	if (!f)
		return;
	list_done(f->certificates, f->n_certificates);
	list_done(f->keys, f->n_keys);
	list_done(f->ocsp, f->n_ocsp);
	file_done(&f->client_ca);
	free(f);
}

void tls_files_freep(struct tls_files **f)
{
	tls_files_free(TAKE(*f));
}

static const char *remedy_of(int error)
{
	if (error == -ENOENT || error == -ENOTDIR)
		return "correct the path";
	if (error == -EACCES || error == -EPERM)
		return "change its owner or mode, or start as root";
	return error == -EFBIG ? "it is no certificate or key" : "correct the path";
}

static void PRINTF(3, 4) say(struct buf *out, const char *at, const char *fmt, ...)
{
	va_list ap;

	buf_printf(out, "%s: ", at);
	va_start(ap, fmt);
	buf_vprintf(out, fmt, ap);
	va_end(ap);
	buf_char(out, '\n');
}

/* -EINVAL when it cannot be read (errors tells). */
static int file_read(
	const char *at, const char *what, const char *path, struct tls_file *f, struct buf *errors)
{
	/* Grown at once: a key leaves no older copies behind in freed memory. */
	f->octets = BUF_INIT(2 * CERTIFICATE_FILE_MAX);
	f->path = strdup(path);
	if (!f->path || !buf_reserve(&f->octets, CERTIFICATE_FILE_MAX + 8192))
		return -ENOMEM;
	CLEANUP(fd_closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	int r = fd < 0 ? -errno : pem_read(fd, &f->octets);
	if (r == 0 && f->octets.len > 0)
		return 0;
	if (r == -ENOMEM)
		return r;
	if (r == 0)
		say(errors, at, "the %s file '%s' is empty: write it again", what, path);
	else
		say(errors, at, "the %s file '%s' cannot be read: %s: %s", what, path, strerror(-r),
			remedy_of(r));
	return -EINVAL;
}

static int list_read(const char *at, const char *what, char *const *paths, size_t n,
	struct tls_file **ret_list, size_t *ret_n, struct buf *errors)
{
	int result = 0;

	*ret_list = calloc(n ? n : 1, sizeof(**ret_list));
	if (!*ret_list)
		return -ENOMEM;
	*ret_n = n;
	for (size_t i = 0; i < n && result != -ENOMEM; i++) {
		int r = file_read(at, what, paths[i], &(*ret_list)[i], errors);
		result = r < 0 ? r : result;
	}
	return result;
}

static int join(const char *folder, const char *name, char **ret_path)
{
	struct buf b = BUF_INIT(65536);

	buf_printf(&b, "%s/%s", folder, name);
	buf_char(&b, '\0');
	*ret_path = b.ptr;
	return b.error;
}

static int read_all(const struct config *c, struct tls_files *f, struct buf *errors)
{
	CLEANUP(freep) char *certificate = NULL;
	CLEANUP(freep) char *key = NULL;
	bool own = c->tls.n_certificates == 0;
	int result = join(c->data, TLS_SELF_MADE_CERTIFICATE, &certificate);

	if (result == 0)
		result = join(c->data, TLS_SELF_MADE_KEY, &key);
	if (result < 0)
		return result;
	int r = list_read(f->at, "certificate", own ? &certificate : c->tls.certificates,
		own ? 1 : c->tls.n_certificates, &f->certificates, &f->n_certificates, errors);
	result = r < 0 ? r : result;
	r = list_read(f->at, "key", own ? &key : c->tls.keys, own ? 1 : c->tls.n_keys, &f->keys,
		&f->n_keys, errors);
	result = r < 0 ? r : result;
	r = list_read(
		f->at, "OCSP response", c->tls.ocsp, c->tls.n_ocsp, &f->ocsp, &f->n_ocsp, errors);
	result = r < 0 ? r : result;
	if (c->tls.client_ca) {
		r = file_read(f->at, "client_ca", c->tls.client_ca, &f->client_ca, errors);
		result = r < 0 ? r : result;
	}
	return result;
}

int tls_files_read(const struct config *c, struct tls_files **ret_files, struct buf *errors)
{
	CLEANUP(tls_files_freep) struct tls_files *f = calloc(1, sizeof(*f));

	if (!f)
		return -ENOMEM;
	f->at = c->tls.at ? c->tls.at : "tls";
	int r = read_all(c, f, errors);
	if (r < 0)
		return r;
	*ret_files = TAKE(f);
	return 0;
}

/* ---- what next hops are shown ---- */

bool tls_shown_next(const struct config *c, size_t *cursor, struct tls_shown *ret_shown)
{
	while (*cursor <= c->n_routes) {
		size_t i = (*cursor)++;
		const struct config_outbound *o = i ? &c->routes[i - 1].out : &c->relay.out;
		if (!o->certificate)
			continue;
		*ret_shown = (struct tls_shown){
			.out = o,
			.name = i ? c->routes[i - 1].domain : "relay",
			.at = i ? c->routes[i - 1].at : "relay",
		};
		return true;
	}
	return false;
}

int tls_shown_read(const struct tls_shown *s, struct tls_files **ret_files, struct buf *errors)
{
	CLEANUP(tls_files_freep) struct tls_files *f = calloc(1, sizeof(*f));
	char *certificate = s->out->certificate, *key = s->out->key;

	if (!f)
		return -ENOMEM;
	f->at = s->at;
	f->shown = true;
	int r = list_read(f->at, "certificate", &certificate, 1, &f->certificates,
		&f->n_certificates, errors);
	int r2 = list_read(f->at, "key", &key, key ? 1 : 0, &f->keys, &f->n_keys, errors);
	r = r < 0 ? r : r2;
	if (r < 0)
		return r;
	*ret_files = TAKE(f);
	return 0;
}

/* ---- judging ---- */

struct judging {
	const struct config *c;
	struct tls_files *f;
	struct buf *warnings, *errors;
	int64_t now_sec;
	EVP_PKEY **keys; /* of f->keys, then of f->certificates (or NULL) */
	bool *used;
};

static void put_date(int64_t sec, struct buf *out)
{
	time_t t = (time_t)sec;
	struct tm tm;
	char text[32];

	if (gmtime_r(&t, &tm) && strftime(text, sizeof(text), "%Y-%m-%d %H:%M UTC", &tm) > 0)
		buf_str(out, text);
}

/* "ends on 2026-01-01 ..." with the names, for a line of its own. */
static void judge_dates(struct judging *j, const char *path, const struct certificate *x)
{
	struct buf names = BUF_INIT(4096), date = BUF_INIT(64);
	bool early = x->begins_sec > j->now_sec, late = x->ends_sec <= j->now_sec;

	certificate_names(x, &names);
	put_date(early ? x->begins_sec : x->ends_sec, &date);
	struct span n = span_head(buf_span(&names), 256), d = buf_span(&date);
	if (early)
		say(j->errors, j->f->at,
			"the certificate '%s' (%.*s) is not valid before %.*s: set the clock, or "
			"wait",
			path, SPAN_FMT(n), SPAN_FMT(d));
	else if (late)
		say(j->errors, j->f->at,
			"the certificate '%s' (%.*s) expired on %.*s: renew it (certbot renew, "
			"lego "
			"renew), then reload",
			path, SPAN_FMT(n), SPAN_FMT(d));
	else if (x->ends_sec < j->now_sec + SOON_SEC)
		say(j->warnings, j->f->at,
			"the certificate '%s' (%.*s) expires on %.*s, in %" PRId64
			" days: see why it was not renewed",
			path, SPAN_FMT(n), SPAN_FMT(d), (x->ends_sec - j->now_sec) / DAY_SEC);
	buf_done(&names);
	buf_done(&date);
}

static void judge_strength(struct judging *j, const char *path, const struct certificate *x)
{
	int bits = EVP_PKEY_get_bits(X509_get0_pubkey(x->leaf));

	if (x->key_type != EVP_PKEY_RSA && x->key_type != EVP_PKEY_EC)
		say(j->errors, j->f->at,
			"the certificate '%s' has a key that is neither RSA nor ECDSA, which few "
			"mail "
			"servers can use: get one with an RSA or ECDSA key",
			path);
	else if (bits < (x->key_type == EVP_PKEY_RSA ? RSA_BITS_MIN : EC_BITS_MIN))
		say(j->errors, j->f->at,
			"the certificate '%s' has a key of %d bits, which clients refuse: get one "
			"with RSA 2048 or ECDSA P-256",
			path, bits);
}

static void judge_use(struct judging *j, const char *path, const struct certificate *x)
{
	if (j->f->shown) /* next hops look for whom it names, and have the issuer */
		return;
	if (j->c->hostname && j->f->n_certificates == 1 &&
		!certificate_covers(x, span_str(j->c->hostname)))
		say(j->warnings, j->f->at,
			"the certificate '%s' is not for the hostname %s: clients that connect by "
			"that name refuse it: get one that names it",
			path, j->c->hostname);
	if (certificate_lacks_issuer(x))
		say(j->warnings, j->f->at,
			"the certificate '%s' comes without its issuer's: many clients then refuse "
			"it: "
			"name the full chain (fullchain.pem)",
			path);
}

static void judge_key_of(struct judging *j, const char *path, const struct certificate *x)
{
	size_t n = j->f->n_keys + j->f->n_certificates;

	for (size_t i = 0; i < n; i++) {
		if (!j->keys[i] || EVP_PKEY_eq(j->keys[i], X509_get0_pubkey(x->leaf)) != 1)
			continue;
		j->used[i] = true;
		return;
	}
	if (j->f->n_keys == 0)
		say(j->errors, j->f->at,
			"there is no key for the certificate '%s', and none in its file: add key = "
			"\"FILE.key\"",
			path);
	else
		say(j->errors, j->f->at,
			"no key fits the certificate '%s': name the key that it was requested with "
			"(key = ...)",
			path);
}

static int judge_certificate(struct judging *j, const struct tls_file *file)
{
	CLEANUP(certificate_freep) struct certificate *x = NULL;
	const char *why;
	int r = certificate_parse(buf_span(&file->octets), &x, &why);

	if (r < 0) {
		say(j->errors, j->f->at,
			"the certificate file '%s' is no use: %s: correct the path", file->path,
			why);
		return r == -ENOMEM ? r : 0;
	}
	judge_dates(j, file->path, x);
	judge_strength(j, file->path, x);
	judge_use(j, file->path, x);
	judge_key_of(j, file->path, x);
	return 0;
}

static int read_keys(struct judging *j)
{
	const char *why;

	for (size_t i = 0; i < j->f->n_keys; i++) {
		int r = private_key_parse(buf_span(&j->f->keys[i].octets), &j->keys[i], &why);
		if (r == -ENOMEM)
			return r;
		if (r < 0)
			say(j->errors, j->f->at, "the key file '%s' is no use: %s",
				j->f->keys[i].path, why);
	}
	for (size_t i = 0; i < j->f->n_certificates; i++)
		if (private_key_parse(buf_span(&j->f->certificates[i].octets),
			    &j->keys[j->f->n_keys + i], &why) == -ENOMEM)
			return -ENOMEM;
	return 0;
}

static void judge_rest(struct judging *j)
{
	struct buf roots = BUF_INIT(2 * CERTIFICATE_FILE_MAX);

	for (size_t i = 0; i < j->f->n_keys; i++)
		if (j->keys[i] && !j->used[i])
			say(j->warnings, j->f->at, "the key '%s' fits no certificate: remove it",
				j->f->keys[i].path);
	for (size_t i = 0; i < j->f->n_ocsp; i++) {
		const unsigned char *p = (const unsigned char *)j->f->ocsp[i].octets.ptr;
		OCSP_RESPONSE *o = d2i_OCSP_RESPONSE(NULL, &p, (long)j->f->ocsp[i].octets.len);
		if (!o || OCSP_response_status(o) != OCSP_RESPONSE_STATUS_SUCCESSFUL)
			say(j->errors, j->f->at,
				"the file '%s' is no OCSP response (DER): fetch it again (openssl "
				"ocsp -respout)",
				j->f->ocsp[i].path);
		OCSP_RESPONSE_free(o);
	}
	if (j->f->client_ca.path) {
		pem_certificates(buf_span(&j->f->client_ca.octets), &roots);
		if (roots.len == 0)
			say(j->errors, j->f->at,
				"there is no certificate in the client_ca file '%s': correct the "
				"path",
				j->f->client_ca.path);
	}
	buf_done(&roots);
}

int tls_files_judge(struct tls_files *f, const struct config *c, int64_t now_sec,
	struct buf *warnings, struct buf *errors)
{
	size_t before = errors->len, n = f->n_keys + f->n_certificates;
	struct judging j = {
		.c = c,
		.f = f,
		.warnings = warnings,
		.errors = errors,
		.now_sec = now_sec,
		.keys = calloc(n, sizeof(EVP_PKEY *)),
		.used = calloc(n, sizeof(bool)),
	};
	int r = j.keys && j.used ? read_keys(&j) : -ENOMEM;

	for (size_t i = 0; r == 0 && i < f->n_certificates; i++)
		r = judge_certificate(&j, &f->certificates[i]);
	if (r == 0)
		judge_rest(&j);
	for (size_t i = 0; j.keys && i < n; i++)
		EVP_PKEY_free(j.keys[i]);
	free(j.keys);
	free(j.used);
	if (r == 0 && errors->len > before)
		r = -EINVAL;
	return r;
}
