/* The sessions of a process as a group: their shared parts, the newest configuration, the drain. */
#include "session/server.h"
#include "base/clock.h"
#include "session/limits.h"
#include "session/state.h"

int server_init(
	struct server *srv, const struct seam *seam, uint16_t slot, const struct config *config)
{
	*srv = (struct server){.next_session = 1};
	list_init(&srv->sessions);
	list_init(&srv->kept);
	/* Numbers differ from those of an earlier life of the process, so that a log can be read.
	 */
	srv->next_session = (clock_wall_usec() / USEC_PER_SEC) << 24;
	int r = settings_new(config, &srv->settings);
	if (r == 0)
		r = intake_new(seam, slot, &srv->intake);
	if (r == 0)
		r = lookup_client_new(&srv->directory);
	if (r < 0)
		server_done(srv);
	return r;
}

void server_done(struct server *srv)
{
	assert(srv->n_sessions == 0);
	sessions_discard_kept(srv);
	lookup_client_free(TAKE(srv->directory));
	intake_free(TAKE(srv->intake));
	settings_unref(TAKE(srv->settings));
	for (size_t i = 0; i < ARRAY_LEN(srv->scratch); i++)
		buf_done(&srv->scratch[i]);
	tls_server_unref(TAKE(srv->tls));
}

int server_reload(struct server *srv, const struct config *config)
{
	struct settings *fresh = NULL;

	int r = settings_new(config, &fresh);
	if (r < 0)
		return r;
	settings_unref(srv->settings);
	srv->settings = fresh;
	return 0;
}

void server_set_tls(struct server *srv, struct tls_server *tls)
{
	tls_server_unref(srv->tls);
	srv->tls = tls;
}

struct buf server_scratch(struct server *srv)
{
	struct buf b = BUF_INIT(REPLY_OCTETS_MAX);

	for (size_t i = 0; i < ARRAY_LEN(srv->scratch); i++) {
		if (!srv->scratch[i].ptr)
			continue;
		b = srv->scratch[i];
		srv->scratch[i] = BUF_INIT(0);
		break;
	}
	return b;
}

void server_scratch_back(struct server *srv, struct buf *b)
{
	buf_reset(b);
	for (size_t i = 0; i < ARRAY_LEN(srv->scratch) && b->ptr; i++) {
		if (srv->scratch[i].ptr)
			continue;
		srv->scratch[i] = *b;
		*b = BUF_INIT(b->max);
	}
	buf_done(b);
}

void server_drain(struct server *srv)
{
	srv->draining = true;
	list_foreach (it, &srv->sessions) {
		struct session *s = CONTAINER_OF(it, struct session, node);
		if (s->idle)
			fiber_cancel(s->fiber);
	}
}

void server_cancel(struct server *srv)
{
	srv->draining = true;
	list_foreach (it, &srv->sessions)
		fiber_cancel(CONTAINER_OF(it, struct session, node)->fiber);
}
