/* The tree: defaults, growth, the end, and finding a domain in it. The defaults stand here and
 * nowhere else; postrider.conf(5) and packaging/postrider.conf repeat them for people. */
#include "config/tree.h"
#include "config/name.h"
#include "config/value.h"
#include <stdlib.h>
#include <unistd.h>

#define DEFAULT_PATH "/etc/postrider/postrider.conf"
/* Up to this many domains a scan is as fast as a search. */
#define DOMAINS_SCANNED 16

static void set_limits(struct config *c)
{
	c->limits.message_size = UINT64_C(50) << 20;
	c->limits.recipients = 1000;
	c->limits.errors = 20;
	c->limits.connections = 10000;
	c->limits.connections_per_ip = 50;
	c->limits.hops = 50;
	/* RFC 5321 4.5.3.2.7: a server waits at least 5 minutes for the next command. */
	c->limits.command_timeout = 300 * USEC_PER_SEC;
	c->limits.data_timeout = 180 * USEC_PER_SEC;
	c->limits.data_rate = 64;
	c->auth.messages_per_hour = 1000;
	c->auth.recipients_per_hour = 5000;
	c->spool.segment_size = UINT64_C(64) << 20;
	c->dns.timeout = 10 * USEC_PER_SEC;
	c->dns.cache = UINT64_C(32) << 20;
	c->tlsrpt.enabled = true;
	c->tlsrpt.delay = 4 * 3600 * USEC_PER_SEC;
	c->spool.compact = 60 * USEC_PER_SEC;
	c->grace = 30 * USEC_PER_SEC;
	c->tls.client = TLS_CLIENT_NONE;
	c->tls.handshake_timeout = 60 * USEC_PER_SEC;
}

static int set_queue(struct config *c)
{
	static const unsigned minutes[] = {5, 15, 30, 60, 120, 240};

	c->queue.retry = calloc(ARRAY_LEN(minutes), sizeof(*c->queue.retry));
	if (!c->queue.retry)
		return -ENOMEM;
	c->queue.n_retry = ARRAY_LEN(minutes);
	for (size_t i = 0; i < ARRAY_LEN(minutes); i++)
		c->queue.retry[i] = minutes[i] * 60 * USEC_PER_SEC;
	c->queue.warn = 4 * 3600 * USEC_PER_SEC;
	c->queue.expire = 5 * 24 * 3600 * USEC_PER_SEC;
	c->queue.bounce_expire = 24 * 3600 * USEC_PER_SEC;
	c->queue.future_release = 30 * 24 * 3600 * USEC_PER_SEC;
	c->queue.concurrency = 20;
	/* RFC 5321 4.5.3.2 */
	c->queue.connect_timeout = 30 * USEC_PER_SEC;
	c->queue.command_timeout = 300 * USEC_PER_SEC;
	c->queue.data_timeout = 600 * USEC_PER_SEC;
	return 0;
}

static char *absolute_folder(const char *folder)
{
	if (folder[0] == '/')
		return strdup(folder);
	CLEANUP(freep) char *cwd = getcwd(NULL, 0);
	if (!cwd)
		return NULL;
	struct config here = {.folder = cwd};
	return value_absolute(&here, folder);
}

struct config *tree_new(const char *folder)
{
	CLEANUP(config_freep) struct config *c = calloc(1, sizeof(*c));
	if (!c)
		return NULL;
	set_limits(c);
	c->folder = absolute_folder(folder);
	c->data = strdup("/var/lib/postrider");
	c->log.format = strdup("auto");
	c->log.level = strdup("info");
	c->control.http = strdup("127.0.0.1:8025");
	if (set_queue(c) < 0 || !c->folder || !c->data || !c->log.format || !c->log.level ||
		!c->control.http)
		return NULL;
	return TAKE(c);
}

static void *grow(void *list, size_t *n, size_t size)
{
	char *more = reallocarray(list, *n + 1, size);
	if (more) {
		memset(more + *n * size, 0, size);
		++*n;
	}
	return more;
}

struct config_listener *tree_add_listener(struct config *c)
{
	struct config_listener *more = grow(c->listeners, &c->n_listeners, sizeof(*more));
	if (!more)
		return NULL;
	c->listeners = more;
	return &more[c->n_listeners - 1];
}

struct config_domain *tree_add_domain(struct config *c)
{
	struct config_domain *more = grow(c->domains, &c->n_domains, sizeof(*more));
	if (!more)
		return NULL;
	c->domains = more;
	more[c->n_domains - 1].subaddress = strdup("+");
	return more[c->n_domains - 1].subaddress ? &more[c->n_domains - 1] : NULL;
}

struct config_route *tree_add_route(struct config *c)
{
	struct config_route *more = grow(c->routes, &c->n_routes, sizeof(*more));
	if (!more)
		return NULL;
	c->routes = more;
	return &more[c->n_routes - 1];
}

static int finish_target(const struct config *c, struct target *t)
{
	if (!t->path || t->kind == TARGET_PIPE)
		return 0;
	struct buf path = BUF_INIT(65536);
	for (const char *p = t->path; *p;) {
		const char *data = t->kind == TARGET_MAILDIR ? strstr(p, "{data}") : NULL;
		buf_append(&path, p, data ? (size_t)(data - p) : strlen(p));
		if (!data)
			break;
		buf_str(&path, c->data);
		p = data + strlen("{data}");
	}
	buf_char(&path, '\0');
	char *whole = path.error ? NULL : value_absolute(c, path.ptr);
	buf_done(&path);
	if (!whole)
		return -ENOMEM;
	free(t->path);
	t->path = whole;
	return 0;
}

static int compare_domains(const void *a, const void *b)
{
	const struct config_domain *x = a, *y = b;
	return strcmp(x->name, y->name);
}

static int name_contact(struct config *c)
{
	struct buf b = BUF_INIT(512);
	buf_printf(&b, "postmaster@%s", c->hostname);
	buf_char(&b, '\0');
	int r = b.error;
	if (r == 0)
		c->tlsrpt.contact = TAKE(b.ptr);
	buf_done(&b);
	return r;
}

static int compare_routes(const void *a, const void *b, void *arg)
{
	const struct config *c = arg;
	const size_t *x = a, *y = b;
	int order = strcmp(c->routes[*x].domain, c->routes[*y].domain);
	return order ? order : (*x < *y ? -1 : 1);
}

static bool is_whole_domain(const char *title)
{
	return title[0] != '*' && title[0] != '.' && !strchr(title, ':');
}

int tree_index_routes(struct config *c)
{
	c->routes_by_title = calloc(c->n_routes + 1, sizeof(size_t));
	c->routes_loose = calloc(c->n_routes + 1, sizeof(size_t));
	if (!c->routes_by_title || !c->routes_loose)
		return -ENOMEM;
	for (size_t i = 0; i < c->n_routes; i++) {
		if (!c->routes[i].domain)
			return -EBADMSG;
		c->routes_by_title[i] = i;
		if (!is_whole_domain(c->routes[i].domain))
			c->routes_loose[c->n_routes_loose++] = i;
	}
	if (c->n_routes > 1)
		qsort_r(c->routes_by_title, c->n_routes, sizeof(size_t), compare_routes, c);
	return 0;
}

int tree_finish(struct config *c)
{
	int r = finish_target(c, &c->relay.via);
	if (r >= 0 && !c->tlsrpt.contact && c->hostname)
		r = name_contact(c);
	for (size_t i = 0; r >= 0 && i < c->n_domains; i++)
		r = finish_target(c, &c->domains[i].deliver);
	for (size_t i = 0; r >= 0 && i < c->n_routes; i++)
		r = finish_target(c, &c->routes[i].via);
	if (r >= 0 && c->n_domains > 1)
		qsort(c->domains, c->n_domains, sizeof(*c->domains), compare_domains);
	return r < 0 ? r : tree_index_routes(c);
}

/* strcmp of a domain's name and any spelling of one. */
static int compare_name(const char *name, struct span spelled)
{
	for (size_t i = 0; i < spelled.len; i++) {
		unsigned char a = (unsigned char)name[i], b = (unsigned char)spelled.ptr[i];
		b = b >= 'A' && b <= 'Z' ? (unsigned char)(b - 'A' + 'a') : b;
		if (a != b || a == 0)
			return a < b || a == 0 ? -1 : 1;
	}
	return name[spelled.len] ? 1 : 0;
}

const struct config_domain *config_domain(const struct config *c, struct span domain)
{
	size_t low = 0, high = c->n_domains;

	if (high <= DOMAINS_SCANNED) {
		for (size_t i = 0; i < high; i++)
			if (compare_name(c->domains[i].name, domain) == 0)
				return &c->domains[i];
		return NULL;
	}
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = compare_name(c->domains[middle].name, domain);
		if (order == 0)
			return &c->domains[middle];
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

const char *config_choose_path(const char *given)
{
	if (given)
		return given;
	const char *environment = getenv("POSTRIDER_CONFIG");
	if (environment && *environment)
		return environment;
	/* One that is there but out of reach is an error to show, no reason for other settings. */
	if (access(DEFAULT_PATH, F_OK) == 0 || (errno != ENOENT && errno != ENOTDIR))
		return DEFAULT_PATH;
	return NULL;
}

const char *config_roots_path(const struct config *c)
{
	static const char *const usual[] = {"/etc/ssl/certs/ca-certificates.crt",
		"/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"};

	if (c->tls_ca)
		return c->tls_ca;
	for (size_t i = 0; i < ARRAY_LEN(usual); i++)
		if (access(usual[i], R_OK) == 0)
			return usual[i];
	return NULL;
}

const struct config_route *config_route(const struct config *c, struct span title)
{
	size_t low = 0, high = c->routes_by_title ? c->n_routes : 0;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		const struct config_route *found = &c->routes[c->routes_by_title[middle]];
		int order = compare_name(found->domain, title);
		if (order == 0)
			return found;
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}
