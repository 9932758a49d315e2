/* Nothing that could be read or changed on the way is offered in clear text: neither PLAIN, whose
 * password would be seen, nor SCRAM, behind which the session itself could be taken over. */
#include "session/login.h"
#include "mail/mechanism.h"
#include "net/tls.h"

bool session_is_encrypted(const struct session *s)
{
	/* Nobody listens on the machine's own socket. */
	return s->origin.local || stream_tls(s->io) != NULL;
}

bool session_is_logged_in(const struct session *s)
{
	return s->login.len > 0;
}

bool login_is_offered(const struct session *s)
{
	return s->origin.role == LISTENER_SUBMISSION && session_is_encrypted(s);
}

uint32_t login_offer(const struct session *s)
{
	if (!login_is_offered(s))
		return 0;
	uint32_t set = lookup_client_offer(s->server->directory);
	if (s->exporter.len == 0 && s->end_point.len == 0)
		set &= ~(uint32_t)MECH_PLUS;
	if (s->fingerprint.len == 0)
		set &= ~MECH_BIT(MECH_EXTERNAL);
	return set;
}

void login_line(const struct session *s, struct buf *out)
{
	uint32_t set = login_offer(s);

	for (size_t i = 0; i < MECH_COUNT; i++)
		if (set & MECH_BIT(mechanisms_preferred[i])) {
			buf_char(out, ' ');
			buf_str(out, mechanism_name(mechanisms_preferred[i]));
		}
}

struct verdict login_check_mail(const struct session *s)
{
	if (s->origin.role != LISTENER_SUBMISSION || session_is_logged_in(s))
		return VERDICT(250, "2.1.0", "Ok");
	if (!session_is_encrypted(s))
		return VERDICT(530, "5.7.0", "Must issue a STARTTLS command first");
	return VERDICT(530, "5.7.0", "Authentication required");
}

static bool is_hex(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'F');
}

/* RFC 4954 5 and 8: xtext of an addr-spec, or "<>". Nobody is trusted to vouch for somebody else
 * here, so that its syntax is all that counts (5: the server MUST then behave as for AUTH=<>). */
struct verdict login_param(struct session *s, struct span value)
{
	(void)s;
	for (size_t i = 0; i < value.len; i++) {
		char c = value.ptr[i];
		if (c == '+') {
			if (i + 2 >= value.len || !is_hex(value.ptr[i + 1]) ||
				!is_hex(value.ptr[i + 2]))
				return VERDICT(501, "5.5.4", "AUTH= is not xtext");
			i += 2;
		} else if (c < '!' || c > '~' || c == '=') {
			return VERDICT(501, "5.5.4", "AUTH= is not xtext");
		}
	}
	return VERDICT(250, "2.1.0", "Ok");
}
