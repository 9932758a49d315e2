/* Trust anchors: DS and DNSKEY records, one a line, as libunbound takes them. */
#pragma once
#include "base/buf.h"

#define ANCHOR_FILE_MAX (1u << 20)
#define ANCHORS_MAX	256u

/* The root's key signing keys, KSK-2017 and KSK-2024 (data.iana.org/root-anchors). */
extern const char *const anchor_root[];
extern const size_t anchor_n_root;

/* A zone file's text to records of one line each, separated by NUL, in `out`: comments go,
 * parentheses join lines, TTL and class may be there. -EINVAL: a line that is neither DS nor
 * DNSKEY (*ret_line says which), or none at all (*ret_line 0); -ENOMEM. */
MUST_CHECK int anchor_parse(struct span text, struct buf *out, size_t *ret_n, size_t *ret_line);
