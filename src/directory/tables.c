/* Files are read whole, by pread: the description is the supervisor's too. A file that cannot be
 * read makes its domain's unknown users temporary failures, never permanent ones. */
#include "directory/tables.h"

#include "base/log.h"
#include "route/users_sqlite.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ERRORS_MAX	(64u * 1024u)
#define ERROR_LINES_MAX 20u

static void log_problems(struct span errors)
{
	for (unsigned i = 0; errors.len && i < ERROR_LINES_MAX; i++) {
		struct span line = span_head(errors, span_index(errors, '\n'));
		struct log_line *l = log_begin(LOG_LEVEL_WARN, "table-error");
		log_span(l, "text", line);
		log_end(l);
		errors = span_from(errors, line.len + 1);
	}
}

static void log_loaded(const char *kind, const char *path, size_t entries)
{
	struct log_line *l = log_begin(LOG_LEVEL_INFO, "table-loaded");

	log_str(l, "kind", kind);
	log_str(l, "file", path);
	log_u64(l, "entries", entries);
	log_end(l);
}

/* The file's octets, or an error that is logged. */
static int read_table(
	struct role_process *p, const char *kind, size_t index, const char *path, struct buf *out)
{
	char name[64];

	(void)snprintf(name, sizeof(name), "%s:%zu", kind, index);
	int fd = role_fd(p, name), r = fd < 0 ? -ENOENT : buf_read_fd(out, fd);
	if (r < 0)
		log_text(LOG_LEVEL_ERROR, "table-error", "%s: cannot be read: %s", path,
			strerror(-r));
	return r;
}

/* As octets of a users file, from a database. */
static int read_database(
	struct role_process *p, size_t i, const struct config_domain *d, struct buf *out)
{
	struct buf image = BUF_INIT(USERS_SQLITE_MAX), errors = BUF_INIT(ERRORS_MAX);
	char name[64];

	(void)snprintf(name, sizeof(name), "users:%zu", i);
	int fd = role_fd(p, name), r = fd < 0 ? -ENOENT : users_sqlite_read(fd, &image);
	if (r == 0)
		r = users_sqlite_text(buf_span(&image), d->users_path, d->name, out, &errors);
	log_problems(buf_span(&errors));
	if (r < 0 && errors.len == 0)
		log_text(LOG_LEVEL_ERROR, "table-error", "%s: cannot be read: %s", d->users_path,
			strerror(-r));
	buf_done(&image);
	buf_done(&errors);
	return r;
}

static int load_users(
	struct role_process *p, size_t i, const struct config_domain *d, struct route_tables *t)
{
	struct buf octets = BUF_INIT(USERS_FILE_MAX), errors = BUF_INIT(ERRORS_MAX);
	int r = d->users == USERS_SQLITE ? read_database(p, i, d, &octets)
					 : read_table(p, "users", i, d->users_path, &octets);

	if (r == 0)
		r = users_file_parse(buf_span(&octets), d->users_path, &t->users, &errors);
	log_problems(buf_span(&errors));
	if (r == 0)
		log_loaded("users", d->users_path, users_file_count(t->users));
	buf_done(&octets);
	buf_done(&errors);
	return r;
}

typedef int table_parse(
	struct span text, const char *name, struct aliases **ret, struct buf *errors);

static int load_aliases(struct role_process *p, const char *kind, size_t i, const char *path,
	table_parse *parse, struct aliases **ret)
{
	struct buf octets = BUF_INIT(ALIASES_FILE_MAX), errors = BUF_INIT(ERRORS_MAX);
	int r = read_table(p, kind, i, path, &octets);

	if (r == 0)
		r = parse(buf_span(&octets), path, ret, &errors);
	log_problems(buf_span(&errors));
	if (r == 0)
		log_loaded(kind, path, aliases_count(*ret));
	buf_done(&octets);
	buf_done(&errors);
	return r;
}

/* The table, or the earlier one where the file has slips or cannot be read. -ENOENT: neither. */
static int load_or_keep(struct role_process *p, const char *kind, size_t i, const char *path,
	table_parse *parse, struct aliases **before, struct aliases **ret)
{
	int r = load_aliases(p, kind, i, path, parse, ret);

	if (r == 0 && !aliases_complete(*ret) && before && *before) {
		aliases_free(TAKE(*ret));
		r = -EBADMSG;
	}
	if (r < 0)
		*ret = before ? TAKE(*before) : NULL;
	return *ret ? 0 : -ENOENT;
}

static struct route_tables *same_domain(struct tables *old, const char *name)
{
	for (size_t i = 0; old && i < old->n; i++)
		if (strcmp(old->route.config->domains[i].name, name) == 0)
			return &old->route.tables[i];
	return NULL;
}

/* ---- routes ---- */

static int load_route(struct role_process *p, size_t i, const char *path, struct route_table **ret)
{
	struct buf octets = BUF_INIT(ROUTE_TABLE_MAX), errors = BUF_INIT(ERRORS_MAX);
	int r = read_table(p, "route", i, path, &octets);

	if (r == 0)
		r = route_table_parse(buf_span(&octets), path, ret, &errors);
	log_problems(buf_span(&errors));
	if (r == 0)
		log_loaded("route", path, route_table_count(*ret));
	buf_done(&octets);
	buf_done(&errors);
	return r;
}

static struct route_slot *same_route(struct tables *old, const char *title)
{
	for (size_t i = 0; old && old->route.routes && i < old->n_routes; i++)
		if (strcmp(old->route.config->routes[i].domain, title) == 0)
			return &old->route.routes[i];
	return NULL;
}

/* As of aliases: an earlier table is better than one with slips. */
static void load_routes(struct role_process *p, struct tables *old, struct route_slot *slots)
{
	const struct config *c = role_config(p);

	for (size_t i = 0; i < c->n_routes; i++) {
		struct route_slot *slot = &slots[i];
		if (!c->routes[i].table)
			continue;
		struct route_slot *before = same_route(old, c->routes[i].domain);
		int r = load_route(p, i, c->routes[i].table, &slot->table);
		if (r == 0 && !route_table_complete(slot->table) && before && before->table) {
			route_table_free(TAKE(slot->table));
			r = -EBADMSG;
		}
		if (r < 0)
			slot->table = before ? TAKE(before->table) : NULL;
		slot->unreadable = !slot->table;
	}
}

int tables_load(struct role_process *p, struct tables *old, struct tables *ret)
{
	const struct config *c = role_config(p);
	struct route_tables *t = calloc(c->n_domains + 1, sizeof(*t));
	struct route_slot *routes = calloc(c->n_routes + 1, sizeof(*routes));

	if (!t || !routes) {
		free(t);
		free(routes);
		return -ENOMEM;
	}
	load_routes(p, old, routes);
	for (size_t i = 0; i < c->n_domains; i++) {
		const struct config_domain *d = &c->domains[i];
		struct route_tables *before = same_domain(old, d->name);
		int r = d->users_path ? load_users(p, i, d, &t[i]) : 0;
		/* What a slip of the pen leaves out was there before. */
		if (r == 0 && t[i].users && !users_file_complete(t[i].users) && before &&
			before->users) {
			users_file_free(TAKE(t[i].users));
			r = -EBADMSG;
		}
		if (r < 0) {
			t[i].users = before ? TAKE(before->users) : NULL;
			t[i].unreadable = !t[i].users;
		}
		if (d->aliases_path && load_or_keep(p, "aliases", i, d->aliases_path, aliases_parse,
					       before ? &before->aliases : NULL, &t[i].aliases) < 0)
			t[i].unreadable = true;
		if (d->senders_path && load_or_keep(p, "senders", i, d->senders_path, senders_parse,
					       before ? &before->senders : NULL, &t[i].senders) < 0)
			t[i].senders_unreadable = true;
	}
	*ret = (struct tables){{c, t, routes}, c->n_domains, c->n_routes};
	return 0;
}

void tables_done(struct tables *t)
{
	for (size_t i = 0; i < t->n; i++) {
		users_file_free(t->route.tables[i].users);
		aliases_free(t->route.tables[i].aliases);
		aliases_free(t->route.tables[i].senders);
	}
	for (size_t i = 0; i < t->n_routes; i++)
		route_table_free(t->route.routes[i].table);
	free(t->route.tables);
	free(t->route.routes);
	*t = (struct tables){0};
}
