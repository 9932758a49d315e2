/* RFC 8461 3.1 (TXT) and 3.2 (policy file):
 *
 *   sts-text-record = sts-version 1*(sts-field-delim sts-field) [sts-field-delim]
 *   sts-field-delim = *WSP ";" *WSP
 *   sts-id          = %s"id" *WSP "=" *WSP 1*32(ALPHA / DIGIT)
 *
 *   sts-policy-record = sts-policy-field *WSP *(sts-policy-term sts-policy-field *WSP) [term]
 *   fields: version: STSv1, mode: testing / enforce / none, max_age: 1*10DIGIT, mx: domain
 *   sts-policy-term   = LF / CRLF
 *
 * Unknown fields are skipped (3.1, 3.2); of repeated ones all but mx count once, the first (3.2). A
 * policy of mode none needs no mx. What is wrong makes the whole policy invalid, never half of it.
 */
#include "deliver/sts_policy.h"

static bool is_alnum(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static struct span trim(struct span s)
{
	while (s.len > 0 && (s.ptr[0] == ' ' || s.ptr[0] == '\t'))
		s = span_from(s, 1);
	while (s.len > 0 && (s.ptr[s.len - 1] == ' ' || s.ptr[s.len - 1] == '\t'))
		s.len--;
	return s;
}

/* "name SEP value", both trimmed. */
static bool split(struct span field, char separator, struct span *ret_name, struct span *ret_value)
{
	size_t at = span_index(field, separator);
	if (at == field.len)
		return false;
	*ret_name = trim(span_head(field, at));
	*ret_value = trim(span_from(field, at + 1));
	return true;
}

static bool is_version(struct span first)
{
	struct span name, value;
	return split(first, '=', &name, &value) && span_equal(name, SPAN_LIT("v")) &&
	       span_equal(value, SPAN_LIT("STSv1"));
}

int sts_txt_parse(struct span txt, struct span *ret_id)
{
	struct span id = SPAN_NULL;
	bool first = true;
	for (struct span rest = txt; rest.len > 0;) {
		size_t len = span_index(rest, ';');
		struct span field = trim(span_head(rest, len)), name, value;
		rest = span_from(rest, len + 1);
		if (first && !is_version(field))
			return -EINVAL;
		bool was_first = first;
		first = false;
		if (was_first || field.len == 0)
			continue;
		if (!split(field, '=', &name, &value) || name.len == 0)
			return -EINVAL;
		if (!span_equal(name, SPAN_LIT("id")) || id.ptr)
			continue;
		if (value.len == 0 || value.len > STS_ID_MAX)
			return -EINVAL;
		for (size_t i = 0; i < value.len; i++)
			if (!is_alnum(value.ptr[i]))
				return -EINVAL;
		id = value;
	}
	if (!id.ptr)
		return -EINVAL;
	*ret_id = id;
	return 0;
}

int sts_txt_choose(const struct span *txts, unsigned n, struct span *ret_id)
{
	const struct span *found = NULL;
	for (unsigned i = 0; i < n; i++) {
		/* 3.1: what does not begin with "v=STSv1;" is discarded before counting. */
		if (!is_version(trim(span_head(txts[i], span_index(txts[i], ';')))))
			continue;
		if (found)
			return -EINVAL;
		found = &txts[i];
	}
	return found ? sts_txt_parse(*found, ret_id) : -ENOENT;
}

/* ---- the policy ---- */

struct reading {
	struct arena *arena;
	struct sts_policy policy;
	bool version, mode, max_age;
};

static bool is_pattern(struct span s)
{
	if (s.len > 2 && s.ptr[0] == '*' && s.ptr[1] == '.')
		s = span_from(s, 2);
	if (s.len == 0 || s.len > 253 || s.ptr[0] == '.' || s.ptr[0] == '-')
		return false;
	for (size_t i = 0; i < s.len; i++) {
		char c = s.ptr[i];
		if (!is_alnum(c) && c != '-' && c != '.' && c != '_')
			return false;
		if (c == '.' && i + 1 < s.len && s.ptr[i + 1] == '.')
			return false;
	}
	return true;
}

static const char *read_mx(struct reading *r, struct span value)
{
	if (!is_pattern(value))
		return "mx is no name or pattern";
	if (r->policy.n_mx == STS_MX_MAX)
		return "too many mx";
	char *lower = arena_str(r->arena, value);
	if (!lower)
		return "no memory";
	for (size_t i = 0; i < value.len; i++)
		if (lower[i] >= 'A' && lower[i] <= 'Z')
			lower[i] = (char)(lower[i] - 'A' + 'a');
	size_t len = value.len;
	if (lower[len - 1] == '.')
		len--;
	r->policy.mx[r->policy.n_mx++] = span_make(lower, len);
	return NULL;
}

static const char *read_mode(struct reading *r, struct span value)
{
	static const struct span words[] = {
		[STS_MODE_NONE] = SPAN_LIT("none"),
		[STS_MODE_TESTING] = SPAN_LIT("testing"),
		[STS_MODE_ENFORCE] = SPAN_LIT("enforce"),
	};
	for (unsigned i = 0; i < ARRAY_LEN(words) && !r->mode; i++) {
		if (span_equal(value, words[i])) {
			r->policy.mode = (enum sts_mode)i;
			r->mode = true;
			return NULL;
		}
	}
	return r->mode ? NULL : "mode is none of enforce, testing, none";
}

static const char *read_max_age(struct reading *r, struct span value)
{
	uint64_t seconds;
	if (r->max_age)
		return NULL;
	if (value.len > 10 || span_to_u64(value, UINT64_MAX, &seconds) < 0)
		return "max_age is no number";
	r->policy.max_age = (uint32_t)MIN(seconds, (uint64_t)STS_MAX_AGE_MAX);
	r->max_age = true;
	return NULL;
}

static const char *read_field(struct reading *r, struct span line)
{
	struct span name, value;
	if (!split(line, ':', &name, &value) || name.len == 0)
		return "a line is no \"name: value\"";
	if (span_equal(name, SPAN_LIT("version"))) {
		r->version = r->version || span_equal(value, SPAN_LIT("STSv1"));
		return r->version ? NULL : "the version is not STSv1";
	}
	if (span_equal(name, SPAN_LIT("mode")))
		return read_mode(r, value);
	if (span_equal(name, SPAN_LIT("max_age")))
		return read_max_age(r, value);
	if (span_equal(name, SPAN_LIT("mx")))
		return read_mx(r, value);
	return NULL;
}

int sts_policy_parse(
	struct span text, struct arena *a, struct sts_policy *ret, const char **ret_why)
{
	struct reading r = {.arena = a};
	const char *why = text.len > STS_POLICY_MAX ? "it is too large" : NULL;
	r.policy.mx = arena_alloc(a, STS_MX_MAX * sizeof(struct span));
	if (!r.policy.mx)
		return -ENOMEM;
	for (struct span rest = text; rest.len > 0 && !why;) {
		size_t len = span_index(rest, '\n');
		struct span line = span_head(rest, len);
		rest = span_from(rest, len + 1);
		if (line.len > 0 && line.ptr[line.len - 1] == '\r')
			line.len--;
		if (trim(line).len > 0)
			why = read_field(&r, line);
	}
	if (!why && !r.version)
		why = "the version is missing";
	if (!why && !r.mode)
		why = "the mode is missing";
	if (!why && !r.max_age)
		why = "max_age is missing";
	if (!why && r.policy.mode != STS_MODE_NONE && r.policy.n_mx == 0)
		why = "it names no mx";
	*ret_why = why;
	if (why)
		return -EBADMSG;
	*ret = r.policy;
	return 0;
}

bool sts_policy_matches(const struct sts_policy *p, struct span host)
{
	if (host.len > 0 && host.ptr[host.len - 1] == '.')
		host.len--;
	for (unsigned i = 0; i < p->n_mx; i++) {
		struct span pattern = p->mx[i];
		if (pattern.len > 2 && pattern.ptr[0] == '*') {
			size_t dot = span_index(host, '.');
			if (dot > 0 &&
				span_equal_nocase(span_from(host, dot), span_from(pattern, 1)))
				return true;
		} else if (span_equal_nocase(host, pattern)) {
			return true;
		}
	}
	return false;
}
