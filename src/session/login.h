/* Who a session is: AUTH's part of it (RFC 4954) and what the listener asks for (RFC 6409). */
#pragma once
#include "session/state.h"

/* Octets on the wire cannot be read by others. */
bool session_is_encrypted(const struct session *s);
bool session_is_logged_in(const struct session *s);
/* The mechanisms that this client may use (a set of enum mechanism): none where AUTH is not
 * offered. */
uint32_t login_offer(const struct session *s);
/* Is AUTH offered here: on a submission listener, behind TLS? */
bool login_is_offered(const struct session *s);
/* The mechanisms behind EHLO's AUTH: " PLAIN LOGIN". */
void login_line(const struct session *s, struct buf *out);
/* MAIL on a submission listener: RFC 6409 4.3, RFC 3207 4. 250, or 530 5.7.0. */
struct verdict login_check_mail(const struct session *s);
/* MAIL's AUTH=, RFC 4954 5. */
struct verdict login_param(struct session *s, struct span value);
