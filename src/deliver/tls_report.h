/* What is told to the reporter of each session's TLS (RFC 8460): results of domains that publish a
 * policy, or might have. */
#pragma once
#include "deliver/candidate.h"
#include "deliver/smtp_open.h"
#include "deliver/sts.h"

struct tls_report {
	const struct delivery *d;
	const struct outbound *out;
	const struct sts_answer *sts;
	bool wanted; /* set by tls_report_init; else nothing below does anything */
};
/* After the way is known. */
void tls_report_init(struct tls_report *t, const struct delivery *d, const struct outbound *out,
	const struct way *way, const struct sts_answer *sts);
/* The domain's policy could not be had (sts.problem). */
void tls_report_policy(const struct tls_report *t);
/* The candidate's policy forbids it. */
void tls_report_skipped(const struct tls_report *t, const struct candidate *c);
/* A new connection that smtp_open gave up. */
void tls_report_failed(
	const struct tls_report *t, const struct candidate *c, const struct smtp_failure *f);
/* A session that mail goes over, new or kept: tells it once a domain. */
void tls_report_session(
	const struct tls_report *t, const struct candidate *c, struct smtp_client *client);
