/* RFC 5321 4.5.3.2.5 gives a client three minutes for each block of data; one octet every three
 * minutes would keep a session, and its place in the spool, for years. So the average counts too.
 * 421: the session ends, the client keeps the message. */
#include "checks/rate.h"

struct verdict check_rate(uint64_t octets, uint64_t elapsed_usec, uint64_t floor)
{
	if (floor > 0 && elapsed_usec > RATE_GRACE_USEC &&
		octets / floor < (elapsed_usec - RATE_GRACE_USEC) / USEC_PER_SEC)
		return VERDICT(421, "4.4.2", "Data arrives too slowly, closing");
	return VERDICT(250, "2.0.0", "Rate ok");
}
