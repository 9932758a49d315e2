/* MTA-STS (RFC 8461): the TXT record and the policy file, as values. Pure, fuzzed. */
#pragma once
#include "base/arena.h"
#include "base/buf.h"

#define STS_ID_MAX	32u	  /* RFC 8461 3.1 */
#define STS_POLICY_MAX	65536u	  /* octets: 3.3 says 64 KiB will do */
#define STS_MX_MAX	100u	  /* patterns */
#define STS_MAX_AGE_MAX 31557600u /* seconds, 3.2: about a year */
#define STS_AGE_LEAST	300u	  /* a policy is not asked for more often (3.3) */

enum sts_mode { STS_MODE_NONE, STS_MODE_TESTING, STS_MODE_ENFORCE };
struct sts_policy {
	enum sts_mode mode;
	uint32_t max_age; /* seconds */
	struct span *mx;  /* lower case; "*.example.org" */
	unsigned n_mx;
};
/* "v=STSv1; id=20160831085700Z;" -EINVAL: it is no STS record, or a broken one. ret_id borrows. */
MUST_CHECK int sts_txt_parse(struct span txt, struct span *ret_id);
/* Of several TXT records: exactly one must be an STS record (3.1). -ENOENT none, -EINVAL. */
MUST_CHECK int sts_txt_choose(const struct span *txts, unsigned n, struct span *ret_id);
/* The policy file. Spans live in the arena. -EBADMSG, with a reason (static), -ENOMEM. */
MUST_CHECK int sts_policy_parse(
	struct span text, struct arena *a, struct sts_policy *ret, const char **ret_why);
/* 4.1: the host's name against the patterns; a wildcard is one whole leftmost label. */
bool sts_policy_matches(const struct sts_policy *p, struct span host);
