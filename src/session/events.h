/* The log lines of a session, each in one place: docs/logs-receiver.md has the names and keys. */
#pragma once
#include "session/state.h"

void event_connect(const struct session *s);
/* A handshake is done; or it failed, with that error. */
void event_tls(const struct session *s, uint64_t usec);
void event_tls_failed(const struct session *s, int error);
void event_xclient(const struct session *s);
void event_end(const struct session *s);
void event_rcpt_refused(const struct session *s, struct span path, struct verdict v);
void event_mail_refused(const struct session *s, struct span path, struct verdict v);
void event_message_refused(const struct session *s, uint64_t id, uint64_t octets, struct verdict v);
/* Stages: from MAIL to the end of data, and from there to the durable commit. */
void event_message_accepted(
	const struct session *s, const struct message *m, uint64_t data_usec, uint64_t commit_usec);
void event_slowed(const struct session *s);
