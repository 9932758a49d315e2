/* The report of one domain and period: JSON by the schema of RFC 8460 4.4, compressed (5.2). */
#pragma once
#include "base/buf.h"
#include "tlsrpt/counts.h"

#define REPORT_OCTETS_MAX (8u << 20) /* uncompressed: larger than any that the bounds allow */

struct rpt_head {
	const char *organization, *contact;
	const char *hostname; /* behind the "@" of the report-id */
	uint64_t begin_sec, end_sec;
};
/* "2026-11-22T00:00:00Z.example.org@mx.example.net": the same each time that the report of this
 * domain and period is made, so that a receiver can tell a repetition. */
void rpt_id(const struct rpt_head *h, struct span domain, struct buf *out);
/* -ENOMEM, -EMSGSIZE. */
MUST_CHECK int rpt_write(const struct rpt_head *h, const struct counts_domain *d, struct buf *out);
/* gzip (RFC 1952). -ENOMEM, -EMSGSIZE. */
MUST_CHECK int rpt_compress(struct span text, struct buf *out);
