/* Recipients of a job become files of a batch, batches go one after another to the offload pool,
 * and each file's fate becomes its recipient's result. A full disk or quota, a folder without
 * rights: the operator's to repair, so the mail waits (4xx) and the text names the folder. Only
 * what no repair changes fails for good: a name that no file system holds, a loop.
 *
 * The dispatcher is told before the first file is linked (FRAME_JOB_DOT): after a crash it marks
 * the job suspect, and the search for what the first attempt left finds it. */
#include "deliver/maildir_delivery.h"
#include <fcntl.h>
#include <stdlib.h>

#include "base/log.h"
#include "deliver/jobs.h"
#include "deliver/maildir.h"
#include "deliver/maildir_name.h"
#include "fiber/fiber.h"
#include "fiber/offload.h"
#include "mail/path.h"

#define RESULT_FOLDER_MAX 300u
#define HOSTNAME_MAX	  160u /* with the stem and the size a file name has at most 255 octets */

/* Where one recipient's mail goes. */
struct place {
	struct maildir_store *store; /* NULL: its result is set */
	struct span folder;	     /* below the store's prefix */
};

/* The store with the longest prefix above folder, or NULL; *ret_rest is what lies below it. */
static const struct maildir_store *store_of(
	struct span folder, const struct maildir_store *stores, size_t n, struct span *ret_rest)
{
	const struct maildir_store *best = NULL;
	struct span rest;
	for (size_t i = 0; i < n; i++) {
		if (!maildir_below(folder, span_str(stores[i].prefix), &rest))
			continue;
		if (best && rest.len >= ret_rest->len)
			continue;
		best = &stores[i];
		*ret_rest = rest;
	}
	return best;
}

static struct outcome_rcpt name_result(struct delivery *d, int error)
{
	switch (error) {
	case -ENAMETOOLONG:
		return delivery_result(d, OUTCOME_FAILED, 550, "5.1.1",
			"the address is too long for the name of a mailbox");
	case -ENOENT:
		return delivery_result(d, OUTCOME_FAILED, 550, "5.1.1",
			"the address has no local part or domain to name a mailbox");
	case -EINVAL:
		return delivery_result(d, OUTCOME_DEFERRED, 0, "4.3.5",
			"the template %.*s cannot be used: words are {domain} and {local}",
			SPAN_FMT(d->job.path));
	default:
		return delivery_result(
			d, OUTCOME_DEFERRED, 0, "4.3.0", "%s", strerrordesc_np(-error));
	}
}

/* The folder of one recipient, as maildir_expand writes it. 0 or a negative errno for name_result.
 */
static int folder_of(struct delivery *d, struct span address, struct span *ret_folder)
{
	struct path path;
	struct buf local = BUF_INIT(MAILDIR_FOLDER_MAX), domain = BUF_INIT(MAILDIR_FOLDER_MAX),
		   folder = BUF_INIT(MAILDIR_FOLDER_MAX);
	int r = mailbox_parse(address, true, true, &path);
	if (r < 0) { /* -ERANGE: too long, -EINVAL: not an address */
		r = r == -ERANGE ? -ENAMETOOLONG : -ENOENT;
	} else {
		local_part_unquoted(path.local, true, &local);
		for (size_t i = 0; i < path.domain.len; i++) {
			char c = path.domain.ptr[i];
			buf_char(&domain, c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c);
		}
		r = local.error ? local.error : domain.error;
		if (r >= 0)
			r = maildir_expand(
				d->job.path, buf_span(&local), buf_span(&domain), &folder);
	}
	if (r >= 0) {
		*ret_folder = arena_span(d->arena, buf_span(&folder));
		r = ret_folder->ptr ? 0 : -ENOMEM;
	}
	buf_done(&local);
	buf_done(&domain);
	buf_done(&folder);
	return r;
}

/* Every recipient's place, or its result where it has none. The stores that are used are copied
 * with an fd of the job's own: a reload may close or replace the others while the pool works. */
static struct place *find_places(
	struct delivery *d, const struct maildir_store *stores, size_t n_stores)
{
	struct place *places = arena_alloc(d->arena, d->job.n_rcpts * sizeof(*places));
	struct maildir_store *own = arena_alloc(d->arena, (n_stores + 1) * sizeof(*own));
	if (!places || !own)
		return NULL;
	for (uint32_t i = 0; i < d->job.n_rcpts; i++) {
		struct span folder;
		int r = folder_of(d, d->job.rcpts[i].address, &folder);
		if (r < 0) {
			delivery_set(d, i, name_result(d, r));
			continue;
		}
		const struct maildir_store *s =
			store_of(folder, stores, n_stores, &places[i].folder);
		if (!s) {
			delivery_set(d, i,
				delivery_result(d, OUTCOME_DEFERRED, 0, "4.3.5",
					"no folder for %.*s was handed to this process",
					SPAN_FMT(d->job.path)));
			continue;
		}
		struct maildir_store *mine = &own[s - stores];
		if (!mine->prefix) {
			mine->prefix = arena_str(d->arena, span_str(s->prefix));
			mine->fd = fcntl(s->fd, F_DUPFD_CLOEXEC, 0);
		}
		places[i].store = mine->prefix && mine->fd >= 0 ? mine : NULL;
	}
	return places;
}

static void close_stores(struct delivery *d, struct place *places)
{
	for (uint32_t i = 0; places && i < d->job.n_rcpts; i++) {
		/* Several places share a store: whoever comes first closes it. */
		struct maildir_store *s = places[i].store;
		if (s)
			s->fd = fd_close(s->fd);
	}
}

static void add_file(struct maildir_batch *b, struct delivery *d, const struct place *p, uint32_t i)
{
	struct buf stem = BUF_INIT(256);
	maildir_stem(&d->job, d->job.rcpts[i].index, &stem);
	struct span own = arena_span(d->arena, buf_span(&stem));
	if (!stem.error && own.ptr)
		b->files[b->n++] = (struct maildir_file){
			.position = i, .prefix_fd = p->store->fd, .folder = p->folder, .stem = own};
	buf_done(&stem);
}

static struct outcome_rcpt error_result(
	struct delivery *d, const struct maildir_file *f, const struct maildir_store *store)
{
	const char *enhanced = "4.3.0";
	if (f->error == EDQUOT)
		enhanced = "4.2.2"; /* mailbox full */
	else if (f->error == ENOSPC)
		enhanced = "4.3.1"; /* mail system full */
	struct log_line *l = log_begin(LOG_LEVEL_ERROR, "mailbox-error");
	log_id(l, "id", d->job.message);
	log_str(l, "prefix", store->prefix);
	log_span(l, "folder", f->folder);
	log_str(l, "failed", f->what);
	log_errno(l, -f->error);
	log_end(l);
	if (f->error == EBADMSG) {
		d->outcome.damaged = true;
		return delivery_result(
			d, OUTCOME_DEFERRED, 0, "4.3.0", "the message is damaged in the spool");
	}
	return delivery_result(d, OUTCOME_DEFERRED, 0, enhanced, "cannot %s %s/%.*s: %s", f->what,
		store->prefix, SPAN_FMT(span_head(f->folder, RESULT_FOLDER_MAX)),
		strerrordesc_np(f->error));
}

static void take_results(struct maildir_batch *b, struct delivery *d, const struct place *places)
{
	for (unsigned i = 0; i < b->n; i++) {
		const struct maildir_file *f = &b->files[i];
		struct span address = d->job.rcpts[f->position].address;
		struct outcome_rcpt result;
		if (f->error)
			result = error_result(d, f, places[f->position].store);
		else if (f->loop)
			result = delivery_result(d, OUTCOME_FAILED, 554, "5.4.6",
				"mail forwarding loop for %.*s", SPAN_FMT(address));
		else
			result = delivery_result(d, OUTCOME_DELIVERED, 0, "2.1.5", "%s",
				f->found ? "already in the mailbox" : "stored");
		delivery_set(d, f->position, result);
	}
	b->n = 0;
}

SUSPENDS static void deliver_in_batches(
	struct delivery *d, const struct place *places, const char *hostname)
{
	struct maildir_batch *b = calloc(1, sizeof(*b));
	bool any = false;
	uint32_t i = 0;
	for (uint32_t k = 0; k < d->job.n_rcpts; k++)
		any = any || places[k].store;
	int r = !b ? -ENOMEM : any ? jobs_mark_dot(d) : 0;
	for (; r >= 0 && i < d->job.n_rcpts; i++) {
		b->d = d;
		b->hostname = hostname;
		if (places[i].store)
			add_file(b, d, &places[i], i);
		if (b->n == 0 || (b->n < MAILDIR_BATCH && i + 1 < d->job.n_rcpts))
			continue;
		r = offload_call(maildir_batch_run, b);
		if (r >= 0)
			take_results(b, d, places);
		if (r >= 0 && fiber_cancelled())
			r = -ECANCELED;
	}
	for (; r == -ECANCELED && i < d->job.n_rcpts; i++) {
		if (places[i].store)
			delivery_set(d, i,
				delivery_result(d, OUTCOME_NOT_TRIED, 0, "4.3.2", "shutting down"));
	}
	free(b);
}

void maildir_deliver(struct delivery *d, const struct maildir_store *stores, size_t n_stores,
	const char *hostname)
{
	struct place *places = find_places(d, stores, n_stores);
	struct buf name = BUF_INIT(HOSTNAME_MAX);
	maildir_hostname(span_str(hostname), &name);
	struct span host_span = name.error ? SPAN_LIT("localhost") : buf_span(&name);
	const char *host = arena_str(d->arena, host_span);
	buf_done(&name);
	uint64_t begun = loop_now_usec();
	if (host && places)
		deliver_in_batches(d, places, host);
	d->outcome.transfer_usec = loop_now_usec() - begun;
	close_stores(d, places);
}
