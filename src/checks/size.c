/* One rule for what a client declares at MAIL and for what has arrived so far: RFC 1870 6.1 and 6.3
 * want 552 for a size above the fixed maximum (452 is for a lack of room, which passes). */
#include "checks/size.h"

struct verdict check_size(uint64_t octets, uint64_t limit)
{
	if (limit > 0 && octets > limit)
		return VERDICT(552, "5.3.4", "Message exceeds the maximum size");
	return VERDICT(250, "2.1.0", "Size ok");
}
