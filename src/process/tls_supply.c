/* Files become sealed memory (memfd_create(2)): what was judged is what is used, a receiver's copy
 * of a file holds certificates only, and a process in an empty folder has nothing to open.
 *
 * A self-made certificate lies in data/tls (0700), made when `tls {}` names none, and again when
 * the hostname has changed or its end is near. */
#include "process/tls_supply.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/siphash.h"
#include "base/wire.h"
#include "config/tls_files.h"
#include "net/certificate.h"
#include "net/self_made.h"
#include "net/tickets.h"
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define SELF_MADE_DAYS	    3650u
#define SELF_MADE_RENEW_SEC (INT64_C(30) * 86400)
#define PEM_MAX		    65536u

/* ---- a certificate of our own making ---- */

static bool self_made_serves(int data_fd, const char *hostname)
{
	CLEANUP(fd_closep)
	int fd = openat(data_fd, TLS_SELF_MADE_CERTIFICATE, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	CLEANUP(certificate_freep) struct certificate *x = NULL;
	struct buf pem = BUF_INIT(2 * CERTIFICATE_FILE_MAX);
	int64_t now = (int64_t)(clock_wall_usec() / USEC_PER_SEC);
	const char *why;
	bool serves = fd >= 0 && faccessat(data_fd, TLS_SELF_MADE_KEY, R_OK, AT_EACCESS) == 0 &&
		      pem_read(fd, &pem) == 0 && certificate_parse(buf_span(&pem), &x, &why) == 0 &&
		      certificate_covers(x, span_str(hostname)) && x->begins_sec <= now &&
		      x->ends_sec > now + SELF_MADE_RENEW_SEC;

	buf_done(&pem);
	return serves;
}

static int write_file(int folder, const char *name, struct span octets)
{
	int fd = openat(folder, name, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	ssize_t n = write(fd, octets.ptr, octets.len);
	int r = n < 0 ? -errno : (size_t)n == octets.len ? 0 : -ENOSPC;
	if (r == 0 && fsync(fd) < 0)
		r = -errno;
	fd_close(fd);
	return r;
}

/* The key first: a certificate without its key would be believed at the next start. */
static int self_made_write(int data_fd, struct span certificate, struct span key)
{
	if (mkdirat(data_fd, "tls", 0700) < 0 && errno != EEXIST)
		return -errno;
	int r = write_file(data_fd, TLS_SELF_MADE_KEY ".new", key);
	if (r == 0)
		r = write_file(data_fd, TLS_SELF_MADE_CERTIFICATE ".new", certificate);
	if (r == 0 &&
		(renameat(data_fd, TLS_SELF_MADE_KEY ".new", data_fd, TLS_SELF_MADE_KEY) < 0 ||
			renameat(data_fd, TLS_SELF_MADE_CERTIFICATE ".new", data_fd,
				TLS_SELF_MADE_CERTIFICATE) < 0))
		r = -errno;
	return r;
}

/* In a child, whose memory goes with it (judge_apart says why). */
static int self_made_apart(const struct config *c, int data_fd)
{
	struct buf certificate = BUF_INIT(PEM_MAX), key = BUF_INIT(PEM_MAX);
	int status = 0;

	log_flush();
	pid_t pid = fork();
	if (pid == 0) {
		int r = self_made_certificate(c->hostname, SELF_MADE_DAYS, &certificate, &key);
		if (r == 0)
			r = self_made_write(data_fd, buf_span(&certificate), buf_span(&key));
		_exit(-r);
	}
	if (pid < 0)
		return -errno;
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return WIFEXITED(status) ? -WEXITSTATUS(status) : -EIO;
}

static int self_made(const struct config *c, int data_fd, struct buf *errors)
{
	if (c->tls.n_certificates > 0 || self_made_serves(data_fd, c->hostname))
		return 0;
	int r = self_made_apart(c, data_fd);
	if (r < 0)
		buf_printf(errors,
			"%s/%s: cannot make a certificate for %s: %s: make the folder writable, or "
			"name a certificate in tls { }\n",
			c->data, TLS_SELF_MADE_CERTIFICATE, c->hostname, strerror(-r));
	else
		log_text(LOG_LEVEL_INFO, "certificate-made",
			"a certificate for %s, signed by itself, until tls { } names a better one",
			c->hostname);
	return r;
}

/* ---- files into memory ---- */

static int seal(struct span octets, const char *name)
{
	int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	size_t done = 0;

	while (fd >= 0 && done < octets.len) {
		ssize_t n = write(fd, octets.ptr + done, octets.len - done);
		if (n <= 0) {
			int e = n < 0 ? -errno : -ENOSPC;
			fd_close(fd);
			return e;
		}
		done += (size_t)n;
	}
	if (fd < 0 || fcntl(fd, F_ADD_SEALS,
			      F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0) {
		int e = -errno;
		fd_close(fd);
		return e;
	}
	return fd;
}

static int supply(struct resources *r, const char *name, struct span octets)
{
	int fd = seal(octets, "tls");
	return fd < 0 ? fd : resources_set(r, name, fd);
}

static int supply_numbered(struct resources *r, const char *kind, size_t index, struct span octets)
{
	char name[64];

	(void)snprintf(name, sizeof(name), "%s:%zu", kind, index);
	return supply(r, name, octets);
}

static int supply_certificates(struct resources *r, const char *name, struct span pem)
{
	struct buf only = BUF_INIT(2 * CERTIFICATE_FILE_MAX);

	pem_certificates(pem, &only);
	int e = only.error ? only.error : supply(r, name, buf_span(&only));
	buf_done(&only);
	return e;
}

static bool holds_key(struct span pem)
{
	return memmem(pem.ptr, pem.len, "PRIVATE KEY-----", 16) != NULL;
}

static int supply_certificate(struct resources *r, size_t index, struct span pem)
{
	char name[64];

	(void)snprintf(name, sizeof(name), "certificate:%zu", index);
	return supply_certificates(r, name, pem);
}

/* A key may stand in the file of a certificate: the keys process gets those files as well. */
static int supply_all(struct resources *r, const struct tls_files *f)
{
	int e = 0;
	size_t n_keys = f->n_keys;

	for (size_t i = 0; e == 0 && i < f->n_certificates; i++)
		e = supply_certificate(r, i, buf_span(&f->certificates[i].octets));
	for (size_t i = 0; e == 0 && i < f->n_keys; i++)
		e = supply_numbered(r, "key", i, buf_span(&f->keys[i].octets));
	for (size_t i = 0; e == 0 && i < f->n_certificates; i++) {
		struct span pem = buf_span(&f->certificates[i].octets);
		if (holds_key(pem))
			e = supply_numbered(r, "key", n_keys++, pem);
	}
	for (size_t i = 0; e == 0 && i < f->n_ocsp; i++)
		e = supply_numbered(r, "ocsp", i, buf_span(&f->ocsp[i].octets));
	if (e == 0 && f->client_ca.path)
		e = supply_certificates(r, "client-ca:0", buf_span(&f->client_ca.octets));
	return e;
}

/* What a block shows to its next hop: the certificates for the deliverers, under the block's name;
 * the key for the keys process, whatever tls { keys } says about the receivers'. */
static int supply_shown(
	struct resources *r, const char *block, size_t index, const struct tls_files *f)
{
	struct span certificate = buf_span(&f->certificates[0].octets);
	struct buf name = BUF_INIT(1024);

	buf_printf(&name, "shown-certificate:%s", block);
	buf_char(&name, '\0');
	int e = name.error ? name.error : supply_certificates(r, name.ptr, certificate);
	if (e == 0)
		e = supply_numbered(r, "shown-key", index,
			f->n_keys ? buf_span(&f->keys[0].octets) : certificate);
	buf_done(&name);
	return e;
}

/* ---- taking in, and watching ---- */

static void sign_path(const char *path, uint64_t *signature)
{
	const struct siphash_key no_secret = {0, 0};
	struct stat st;
	uint64_t facts[6] = {*signature};

	if (stat(path, &st) == 0) {
		facts[1] = (uint64_t)st.st_dev;
		facts[2] = (uint64_t)st.st_ino;
		facts[3] = (uint64_t)st.st_size;
		facts[4] = (uint64_t)st.st_mtim.tv_sec;
		facts[5] = (uint64_t)st.st_mtim.tv_nsec;
	}
	*signature = siphash(no_secret, span_make(facts, sizeof(facts)));
}

/* Says when any of the files is another one, or has other octets. Never 0. */
static uint64_t signature_of(const struct config *c)
{
	struct tls_shown shown;
	uint64_t signature = 1;

	for (size_t i = 0; i < c->tls.n_certificates; i++)
		sign_path(c->tls.certificates[i], &signature);
	for (size_t i = 0; i < c->tls.n_keys; i++)
		sign_path(c->tls.keys[i], &signature);
	for (size_t i = 0; i < c->tls.n_ocsp; i++)
		sign_path(c->tls.ocsp[i], &signature);
	if (c->tls.client_ca)
		sign_path(c->tls.client_ca, &signature);
	for (size_t cursor = 0; tls_shown_next(c, &cursor, &shown);) {
		sign_path(shown.out->certificate, &signature);
		if (shown.out->key)
			sign_path(shown.out->key, &signature);
	}
	return signature | 1;
}

static void log_warnings(const struct buf *warnings)
{
	struct span rest = buf_span(warnings);

	while (rest.len > 0) {
		struct span line = span_head(rest, span_index(rest, '\n'));
		struct log_line *l = log_begin(LOG_LEVEL_WARN, "certificate-warning");
		log_span(l, "text", line);
		log_end(l);
		rest = span_from(rest, line.len + 1);
	}
}

/* In the forked child: what it found goes through the pipe. */
NORETURN static void judge_and_tell(
	struct tls_files *f, const struct config *c, int64_t now_sec, int out)
{
	struct buf warnings = BUF_INIT(1 << 16), errors = BUF_INIT(1 << 16),
		   told = BUF_INIT(1 << 18);
	int r = tls_files_judge(f, c, now_sec, &warnings, &errors);

	wire_put_u32(&told, (uint32_t)-r);
	wire_put_span(&told, buf_span(&warnings));
	wire_put_span(&told, buf_span(&errors));
	for (size_t done = 0; !told.error && done < told.len;) {
		ssize_t n = write(out, told.ptr + done, told.len - done);
		if (n <= 0)
			_exit(1);
		done += (size_t)n;
	}
	_exit(0);
}

static int read_told(int in, struct buf *told)
{
	for (;;) {
		char *space = buf_reserve(told, 4096);
		ssize_t n = space ? read(in, space, 4096) : -1;
		if (n < 0 && space && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -EIO : 0;
		told->len += (size_t)n;
	}
}

/* Parsing leaves pieces of keys in memory, and the supervisor lives long and has all rights: a
 * child parses, tells, and is gone. */
static int judge_apart(struct tls_files *f, const struct config *c, int64_t now_sec,
	struct buf *warnings, struct buf *errors)
{
	struct buf told = BUF_INIT(1 << 18);
	int ends[2], status = 0;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return -errno;
	log_flush();
	pid_t pid = fork();
	if (pid == 0)
		judge_and_tell(f, c, now_sec, ends[1]);
	int r = pid < 0 ? -errno : 0;
	fd_close(ends[1]);
	if (r == 0)
		r = read_told(ends[0], &told);
	fd_close(ends[0]);
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	struct wire w = wire_reader(buf_span(&told));
	uint32_t result = wire_get_u32(&w);
	buf_put(warnings, wire_get_span(&w));
	buf_put(errors, wire_get_span(&w));
	if (r < 0 || w.error || status != 0) {
		buf_printf(errors, "tls: the certificates could not be judged\n");
		r = r < 0 ? r : -EIO;
	} else {
		r = -(int)result;
	}
	buf_done(&told);
	return r;
}

struct intake {
	const struct config *c;
	struct tls_files *server; /* NULL: no listener wants TLS */
	struct tls_files **shown; /* in the order of tls_shown_next */
	size_t n_shown;
};

static void intake_done(struct intake *in)
{
	tls_files_free(in->server);
	for (size_t i = 0; i < in->n_shown; i++)
		tls_files_free(in->shown[i]);
	free(in->shown);
}

static int judge_taken(struct tls_files *f, const struct config *c, struct buf *errors)
{
	struct buf warnings = BUF_INIT(1 << 16);
	int e = judge_apart(f, c, (int64_t)(clock_wall_usec() / USEC_PER_SEC), &warnings, errors);

	/* That a certificate of our own making proves nothing was said when it was made. */
	if (e == 0 && (f->shown || c->tls.n_certificates > 0))
		log_warnings(&warnings);
	buf_done(&warnings);
	return e;
}

static int intake_read(struct intake *in, struct buf *errors)
{
	struct tls_shown shown;
	int result = tls_is_wanted(in->c) ? tls_files_read(in->c, &in->server, errors) : 0;

	if (in->server)
		result = judge_taken(in->server, in->c, errors);
	in->shown = calloc(in->c->n_routes + 1, sizeof(struct tls_files *));
	if (!in->shown)
		return -ENOMEM;
	for (size_t cursor = 0; tls_shown_next(in->c, &cursor, &shown);) {
		int e = tls_shown_read(&shown, &in->shown[in->n_shown], errors);
		if (e == 0)
			e = judge_taken(in->shown[in->n_shown++], in->c, errors);
		result = e < 0 ? e : result;
	}
	return result;
}

static int intake_supply(const struct intake *in, struct resources *r)
{
	static const char *const kinds[] = {
		"certificate:", "key:", "ocsp:", "client-ca:", "shown-certificate:", "shown-key:"};
	struct tls_shown shown;
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		resources_drop(r, kinds[i]);
	int e = in->server ? supply_all(r, in->server) : 0;
	for (size_t cursor = 0; e == 0 && tls_shown_next(in->c, &cursor, &shown); n++)
		e = supply_shown(r, shown.name, n, in->shown[n]);
	return e;
}

static int take_in(struct resources *r, const struct config *c, struct buf *errors)
{
	struct intake in = {.c = c};
	uint64_t signature = signature_of(c);
	int e = intake_read(&in, errors);

	if (e == 0) {
		e = intake_supply(&in, r);
		if (e < 0)
			buf_printf(errors, "tls: no memory for certificates: %s\n", strerror(-e));
	}
	if (e == 0)
		r->tls = (struct resources_tls){.taken = signature,
			.judged_sec = (int64_t)(clock_wall_usec() / USEC_PER_SEC)};
	intake_done(&in);
	return e;
}

int tls_supply_open(struct resources *r, const struct config *c, int data_fd, struct buf *errors)
{
	struct tls_shown shown;
	bool wanted = tls_is_wanted(c);

	if (!wanted && !tls_shown_next(c, &(size_t){0}, &shown))
		return 0;
	int e = wanted ? self_made(c, data_fd, errors) : 0;
	return e < 0 ? e : take_in(r, c, errors);
}

bool tls_supply_refresh(struct resources *r, const struct config *c, struct buf *errors)
{
	if (r->tls.taken == 0)
		return false;
	uint64_t signature = signature_of(c), pending = r->tls.pending;
	int64_t now = (int64_t)(clock_wall_usec() / USEC_PER_SEC);
	/* Once a day the same files are judged anew: an end comes near. */
	bool same = signature == r->tls.taken && now - r->tls.judged_sec < 86400;

	r->tls.pending = signature;
	if (same || signature != pending || signature == r->tls.refused)
		return false;
	if (signature == r->tls.taken)
		r->tls.judged_sec = now;
	if (take_in(r, c, errors) == 0)
		return true;
	r->tls.refused = signature == r->tls.taken ? 0 : signature;
	return false;
}

/* ---- tickets ---- */

int tls_supply_tickets(struct resources *r, struct ticket_page **ret_page)
{
	char path[64];
	CLEANUP(fd_closep) int fd = memfd_create("tickets", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0 || ftruncate(fd, sizeof(struct ticket_page)) < 0)
		return -errno;
	struct ticket_page *page =
		mmap(NULL, sizeof(*page), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (page == MAP_FAILED)
		return -errno;
	/* All start at random: an unset key would be everybody's. */
	for (unsigned i = 0; i < TICKET_KEYS; i++)
		tickets_rotate(page);
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	int read_only = open(path, O_RDONLY | O_CLOEXEC);
	int e = read_only < 0 ? -errno : resources_set(r, "tickets", read_only);
	if (e < 0) {
		(void)munmap(page, sizeof(*page));
		return e;
	}
	*ret_page = page;
	return 0;
}
