/* The supervisor opens the files with its rights; this process only ever sees their fds. A
 * password lies in this process's memory and nowhere else: not in the configuration's dump, not in
 * the log. A reload replaces everything at once, and jobs on the way hold their own copies. */
#include "deliver/way.h"
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"

struct way_files {
	struct list node;
	char *name;
	struct roots *roots;
	char *user, *password;
	struct shown *shown;
	bool has_credentials; /* the file was there */
};
struct ways {
	struct list files;
	const struct remote_signer *signer;
};

int ways_new(const struct remote_signer *signer, struct ways **ret_ways)
{
	struct ways *w = calloc(1, sizeof(*w));
	if (!w)
		return -ENOMEM;
	list_init(&w->files);
	w->signer = signer;
	*ret_ways = w;
	return 0;
}

static void wipe(char *secret)
{
	if (secret)
		OPENSSL_cleanse(secret, strlen(secret));
	free(secret);
}

static void shown_unref(struct shown *s)
{
	if (!s || --s->refs > 0)
		return;
	certificate_free(s->certificate);
	EVP_PKEY_free(s->key);
	free(s);
}

static void ways_clear(struct ways *w)
{
	list_foreach_safe (n, next, &w->files) {
		struct way_files *f = CONTAINER_OF(n, struct way_files, node);
		list_remove(n);
		roots_unref(f->roots);
		wipe(f->user);
		wipe(f->password);
		shown_unref(f->shown);
		free(f->name);
		free(f);
	}
}

void ways_free(struct ways *w)
{
	if (w)
		ways_clear(w);
	free(w);
}

static struct way_files *files_find(const struct ways *w, const char *name)
{
	list_foreach (n, &w->files) {
		struct way_files *f = CONTAINER_OF(n, struct way_files, node);
		if (strcmp(f->name, name) == 0)
			return f;
	}
	return NULL;
}

static struct way_files *files_get(struct ways *w, const char *name)
{
	struct way_files *f = files_find(w, name);
	if (f)
		return f;
	f = calloc(1, sizeof(*f));
	if (!f || !(f->name = strdup(name))) {
		free(f);
		return NULL;
	}
	list_push_back(&w->files, &f->node);
	return f;
}

int ways_add_roots(struct ways *w, const char *name, int fd, bool now)
{
	struct way_files *f = files_get(w, name);
	struct roots *roots;
	int r = f ? roots_new(fd, now, &roots) : -ENOMEM;

	if (r < 0)
		return r;
	roots_unref(f->roots);
	f->roots = roots;
	return 0;
}

struct roots *ways_roots(const struct ways *w)
{
	const struct way_files *all = files_find(w, "");

	return all ? all->roots : NULL;
}

/* The first line that is no comment: USER:PASSWORD. */
int ways_add_credentials(struct ways *w, const char *name, struct span text)
{
	struct way_files *f = files_get(w, name);
	if (!f)
		return -ENOMEM;
	f->has_credentials = true;
	for (struct span rest = text; rest.len > 0;) {
		size_t len = span_index(rest, '\n');
		struct span line = span_head(rest, len);
		rest = span_from(rest, len + 1);
		if (line.len > 0 && line.ptr[line.len - 1] == '\r')
			line.len--;
		if (line.len == 0 || line.ptr[0] == '#')
			continue;
		size_t colon = span_index(line, ':');
		if (colon == 0 || colon + 1 >= line.len || line.len > WAY_LINE_MAX ||
			memchr(line.ptr, '\0', line.len))
			return -EBADMSG;
		wipe(f->user);
		wipe(f->password);
		f->user = strndup(line.ptr, colon);
		f->password = strndup(line.ptr + colon + 1, line.len - colon - 1);
		return f->user && f->password ? 0 : -ENOMEM;
	}
	return -EBADMSG;
}

int ways_add_certificate(struct ways *w, const char *name, struct span pem)
{
	struct way_files *f = files_get(w, name);
	struct shown *s = calloc(1, sizeof(*s));
	const char *why;
	int r = f && s ? certificate_parse(pem, &s->certificate, &why) : -ENOMEM;
	if (r >= 0)
		r = w->signer ? remote_key_new(
					X509_get0_pubkey(s->certificate->leaf), w->signer, &s->key)
			      : -ENOKEY;
	if (s)
		s->refs = 1;
	if (r < 0) {
		shown_unref(s);
		return r;
	}
	shown_unref(f->shown);
	f->shown = s;
	return 0;
}

/* The whole file, from its beginning: the fd may have been read before. */
static int read_fd(int fd, struct buf *out)
{
	struct stat st;
	if (fstat(fd, &st) < 0 || st.st_size < 0 || st.st_size > WAY_FILE_MAX)
		return -EFBIG;
	return buf_read_fd(out, fd);
}

static void say_unusable(const char *event, const char *name, int error)
{
	struct log_line *l = log_begin(LOG_LEVEL_ERROR, event);
	log_str(l, "route", *name ? name : "default");
	log_errno(l, error);
	log_end(l);
}

static void load_files(struct ways *w, const struct role_process *p, const char *prefix,
	int (*add)(struct ways *, const char *, struct span), const char *event)
{
	size_t cursor = 0;
	const char *name;
	int fd;
	while ((fd = role_next_fd(p, prefix, &cursor, &name)) >= 0) {
		struct buf text = BUF_INIT(WAY_FILE_MAX + 128 * 1024);
		int r = read_fd(fd, &text);
		if (r >= 0)
			r = add(w, name + strlen(prefix), buf_span(&text));
		if (r < 0)
			say_unusable(event, name + strlen(prefix), r);
		if (text.ptr)
			OPENSSL_cleanse(text.ptr, text.len);
		buf_done(&text);
	}
}

/* Nobody has written the system's: they are believed until a handshake needs them. */
static void load_roots(struct ways *w, const struct role_process *p)
{
	size_t cursor = 0;
	const char *name;
	int fd;

	while ((fd = role_next_fd(p, "ca:", &cursor, &name)) >= 0) {
		name += strlen("ca:");
		int r = ways_add_roots(w, name, fd, *name || role_config(p)->tls_ca);
		if (r < 0)
			say_unusable("roots-unusable", name, r);
	}
}

void ways_load(struct ways *w, const struct role_process *p)
{
	ways_clear(w);
	load_roots(w, p);
	load_files(w, p, "credentials:", ways_add_credentials, "credentials-unusable");
	load_files(w, p, "shown-certificate:", ways_add_certificate, "shown-certificate-unusable");
}

/* ---- one job's ---- */

static const struct config_outbound *settings_of(const struct config *c, struct span route)
{
	static const struct config_outbound none = {0};
	if (route.len == 0 || !c)
		return &none;
	const struct config_route *block = config_route(c, route);
	if (block && span_equal(route, span_str(block->domain)))
		return &block->out;
	/* A file's path keeps its case. */
	for (size_t i = 0; i < c->n_routes_loose; i++) {
		block = &c->routes[c->routes_loose[i]];
		if (span_equal(route, span_str(block->domain)))
			return &block->out;
	}
	return span_equal(route, SPAN_LIT("relay")) ? &c->relay.out : &none;
}

static int copy_strings(
	char *const *from, size_t n, struct arena *a, const char *const **ret, size_t *ret_n)
{
	const char **list = arena_alloc(a, (n + 1) * sizeof(*list));
	if (!list)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		list[i] = arena_str(a, span_str(from[i]));
		if (!list[i])
			return -ENOMEM;
	}
	*ret = list;
	*ret_n = n;
	return 0;
}

/* One of that family's sources, by weight; not the one at `but` (may be NULL). */
static const struct way_source *choose(
	const struct way *way, int family, const struct address *but, uint64_t random)
{
	uint64_t total = 0;
	const struct way_source *found = NULL;
	for (int round = 0; round < 2 && !found; round++) {
		uint64_t lot = total ? random % total : 0;
		total = 0;
		for (size_t i = 0; i < way->n_pool && !found; i++) {
			const struct way_source *s = &way->pool[i];
			if (s->address.ss.ss_family != family ||
				(but && address_equal_host(&s->address, but)))
				continue;
			total += s->weight;
			if (round == 1 && lot < total)
				found = s;
		}
	}
	return found;
}

static int copy_pool(
	const struct config_outbound *o, const char *hostname, struct arena *a, struct way *way)
{
	way->pool = arena_alloc(a, (o->n_sources + 1) * sizeof(*way->pool));
	if (!way->pool)
		return -ENOMEM;
	for (size_t i = 0; i < o->n_sources; i++) {
		const struct config_source *s = &o->sources[i];
		const char *helo = s->name ? arena_str(a, span_str(s->name)) : hostname;
		if (!helo)
			return -ENOMEM;
		way->pool[way->n_pool++] = (struct way_source){s->address, helo, s->weight};
	}
	return 0;
}

static int set_source(const struct config *c, const struct config_outbound *o, uint64_t random,
	struct arena *a, struct way *way)
{
	const char *hostname = arena_str(a, span_str(c && c->hostname ? c->hostname : "localhost"));
	int r = hostname ? copy_pool(o, hostname, a, way) : -ENOMEM;
	if (r < 0)
		return r;
	const struct way_source none = {.helo = hostname};
	const struct way_source *v4 = choose(way, AF_INET, NULL, random);
	const struct way_source *v6 = choose(way, AF_INET6, NULL, random >> 16);
	way->from_v4 = v4 ? *v4 : none;
	way->from_v6 = v6 ? *v6 : none;
	return 0;
}

bool way_switch_source(struct way *way, const struct address *refused, uint64_t random)
{
	int family = refused->ss.ss_family;
	const struct way_source *other = choose(way, family, refused, random);
	if (!other || (family != AF_INET && family != AF_INET6))
		return false;
	*(family == AF_INET6 ? &way->from_v6 : &way->from_v4) = *other;
	return true;
}

const char *way_helo(const struct way *way, const struct address *local)
{
	return local->ss.ss_family == AF_INET6 ? way->from_v6.helo : way->from_v4.helo;
}

int way_find(const struct ways *w, const struct config *c, const struct job *job, uint64_t random,
	struct arena *a, struct way *ret)
{
	const struct config_outbound *o = settings_of(c, job->route);
	const struct way_files *mine = NULL, *all = files_find(w, "");
	struct way way = {.tls = o->tls, .name = arena_str(a, job->route)};
	if (!way.name)
		return -ENOMEM;
	if (*way.name)
		mine = files_find(w, way.name);
	int r = copy_strings(o->tls_names, o->n_tls_names, a, &way.names, &way.n_names);
	if (r >= 0)
		r = copy_strings(o->tls_fingerprints, o->n_tls_fingerprints, a, &way.fingerprints,
			&way.n_fingerprints);
	if (r >= 0)
		r = set_source(c, o, random, a, &way);
	way.wants_auth = o->credentials || (mine && mine->has_credentials);
	if (r >= 0 && mine && mine->password) {
		way.user = arena_str(a, span_str(mine->user));
		way.password = arena_str(a, span_str(mine->password));
		r = way.user && way.password ? 0 : -ENOMEM;
	}
	if (r < 0)
		return r;
	/* A route's own roots that could not be read are not replaced by the system's. */
	way.own_roots = o->tls_ca || (mine && mine->roots);
	const struct way_files *roots = way.own_roots ? mine : all;
	if (roots)
		way.roots = roots_ref(roots->roots);
	if (mine && mine->shown) {
		mine->shown->refs++;
		way.shown = mine->shown;
	}
	way.wants_certificate = o->certificate;
	*ret = way;
	return 0;
}

void way_done(struct way *way)
{
	roots_unref(TAKE(way->roots));
	shown_unref(TAKE(way->shown));
	if (way->password)
		OPENSSL_cleanse((char *)(uintptr_t)way->password, strlen(way->password));
}
