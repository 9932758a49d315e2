/* What to tell a client when our own side fails. Always 4xx: in doubt the mail stays with whoever
 * still has it. */
#pragma once
#include "mail/verdict.h"

static inline struct verdict refusal_of(int error)
{
	if (error == -ENOSPC || error == -EDQUOT)
		return VERDICT(452, "4.3.1", "Insufficient system storage");
	if (error == -EMSGSIZE) /* the envelope, not the body, outgrows what a segment holds */
		return VERDICT(452, "4.5.3", "Too many recipients for one message");
	if (error == -ESTALE)
		return VERDICT(451, "4.3.0", "The queue was restarted, try again");
	if (error == -ETIME) /* overtaken by too much other mail (SEGMENTS_PINNED_MAX) */
		return VERDICT(451, "4.4.2", "The message took too long, try again");
	if (error == -ECANCELED)
		return VERDICT(421, "4.3.2", "Server is shutting down, try again later");
	return VERDICT(451, "4.3.0", "Local error in processing, try again later");
}
