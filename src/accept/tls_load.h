/* What the supervisor gave this process for TLS, as a struct tls_server. */
#pragma once
#include "net/tickets.h"
#include "process/role.h"
#include "session/tls_server.h"

/* NULL in *ret_server where the configuration wants no TLS. What is unusable is logged. tickets and
 * signer outlive it. */
MUST_CHECK int tls_load(struct role_process *p, const struct ticket_page *tickets,
	const struct remote_signer *signer, struct tls_server **ret_server);
/* The shared page, mapped for the life of the process; NULL: there is none. */
MUST_CHECK int tls_map_tickets(struct role_process *p, const struct ticket_page **ret_page);
