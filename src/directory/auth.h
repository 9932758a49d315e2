/* AUTH in the directory: exchanges of all receivers, lockouts, password checks (ipc/auth.h). */
#pragma once
#include "net/channel.h"

struct auth;
struct auth_peer;
struct logins;
struct learned;
struct counters;
/* learned, counters: outlive it. changed: keys were learned, and with them what can be offered. */
MUST_CHECK int auth_new(struct learned *learned, struct counters *counters,
	void (*changed)(void *arg), void *arg, struct auth **ret_auth);
/* New tables, or NULL while there are none; borrowed until the next call. Tells the receivers what
 * is offered now. */
void auth_set_logins(struct auth *a, const struct logins *l);

/* A channel to the keys process, which CRAM-MD5 needs; takes over fd. */
MUST_CHECK int auth_attach_keys(struct auth *a, int fd);

/* One who asks. channel is borrowed. Free it before the channel. */
MUST_CHECK int auth_peer_new(struct auth *a, struct channel *c, struct auth_peer **ret_peer);
void auth_peer_free(struct auth_peer *p); /* NULL allowed */
/* FRAME_AUTH. Answers now or later. -EBADMSG, -ENOMEM: its channel has to go. */
MUST_CHECK int auth_on_step(struct auth_peer *p, struct span payload);
