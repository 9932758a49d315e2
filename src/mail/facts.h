/* Numbers by which the rooms tell each other what an envelope asked for; they stand in the spool
 * and in jobs, so they never change. */
#pragma once

#define MESSAGE_REPORT	     1u	 /* a DSN of ours: null sender, never bounced */
#define MESSAGE_SMTPUTF8     2u	 /* MAIL said so (RFC 6531) */
#define MESSAGE_REQUIRETLS   4u	 /* MAIL said so (RFC 8689) */
#define MESSAGE_TLS_OPTIONAL 8u	 /* the header field "TLS-Required: No" (RFC 8689 3) */
#define MESSAGE_UTF8_HEADER  16u /* header octets above 127 were seen */
#define MESSAGE_8BIT_BODY    32u /* body octets above 127 were seen */

#define MESSAGE_RET_FULL 1u
#define MESSAGE_RET_HDRS 2u

#define MESSAGE_PRIORITY_BIAS 16

#define MESSAGE_BY_RETURN 1u
#define MESSAGE_BY_NOTIFY 2u
#define MESSAGE_BY_TRACE  4u /* beside one of the others */

#define NOTIFY_NEVER   1u
#define NOTIFY_SUCCESS 2u
#define NOTIFY_FAILURE 4u
#define NOTIFY_DELAY   8u
