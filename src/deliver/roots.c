/* The fd outlives a reload that replaces the file by another: a job keeps the roots that it began
 * with. A file that is written anew in place is noticed by the supervisor, which gives its fd
 * again; until then what was parsed stays, and what was not is read as it is. */
#include "deliver/roots.h"

#include "base/log.h"
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdlib.h>

struct roots {
	unsigned refs;
	int fd;
	X509_STORE *store;
	bool unusable;
};

static int parse(struct span pem, X509_STORE **ret_store)
{
	X509_STORE *store = X509_STORE_new();
	BIO *bio = BIO_new_mem_buf(pem.ptr, (int)MIN(pem.len, (size_t)ROOTS_FILE_MAX));
	unsigned n = 0;

	if (store && bio) {
		X509 *root;
		while ((root = PEM_read_bio_X509(bio, NULL, NULL, NULL)) != NULL) {
			n += X509_STORE_add_cert(store, root) == 1;
			X509_free(root);
		}
	}
	ERR_clear_error(); /* the end of the file is one */
	int r = !store || !bio ? -ENOMEM : n == 0 ? -EBADMSG : 0;
	BIO_free(bio);
	if (r < 0)
		X509_STORE_free(store);
	else
		*ret_store = store;
	return r;
}

int roots_read(const struct roots *r, struct buf *out)
{
	return buf_read_fd(out, r->fd);
}

static int load(struct roots *r)
{
	struct buf pem = BUF_INIT(ROOTS_FILE_MAX + BUF_READ_STEP);
	int e = roots_read(r, &pem);

	if (e >= 0)
		e = parse(buf_span(&pem), &r->store);
	buf_done(&pem);
	return e;
}

int roots_new(int fd, bool now, struct roots **ret_roots)
{
	struct roots *roots = calloc(1, sizeof(*roots));
	int r = 0;

	if (!roots)
		return -ENOMEM;
	roots->refs = 1;
	roots->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (roots->fd < 0)
		r = -errno;
	else if (now)
		r = load(roots);
	if (r < 0) {
		roots_unref(roots);
		return r;
	}
	*ret_roots = roots;
	return 0;
}

struct roots *roots_ref(struct roots *r)
{
	if (r)
		r->refs++;
	return r;
}

void roots_unref(struct roots *r)
{
	if (!r || --r->refs > 0)
		return;
	X509_STORE_free(r->store);
	fd_close(r->fd);
	free(r);
}

X509_STORE *roots_store(struct roots *r)
{
	if (!r || r->store || r->unusable)
		return r ? r->store : NULL;
	int e = load(r);
	if (e < 0) {
		r->unusable = true;
		struct log_line *l = log_begin(LOG_LEVEL_ERROR, "roots-unusable");
		log_str(l, "route", "default");
		log_errno(l, e);
		log_end(l);
	}
	return r->store;
}
