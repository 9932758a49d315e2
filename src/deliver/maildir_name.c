/* An address is a stranger's octets, a path component is ours: everything that means something to
 * a file system is percent-encoded, "%" too, so that the mapping is one to one. A leading dot is
 * encoded because "." and ".." are folders and ".name" is hidden from `ls` (and is a subfolder in
 * Maildir++).
 *
 * File names follow the Maildir convention (seconds "." unique "." host) with the unique part
 * taken from the message's id, not from time and pid: a second attempt finds the first one's. */
#include "deliver/maildir_name.h"
#include <inttypes.h>

#include "base/ident.h"

static void percent(struct buf *out, char c)
{
	buf_printf(out, "%%%02X", (unsigned)(unsigned char)c);
}

void maildir_encode(struct span value, struct buf *out)
{
	for (size_t i = 0; i < value.len; i++) {
		unsigned char c = (unsigned char)value.ptr[i];
		if (c < ' ' || c == 0x7f || c == '/' || c == '%' || (c == '.' && i == 0))
			percent(out, (char)c);
		else
			buf_char(out, (char)c);
	}
}

static int expand_word(struct span word, struct span local, struct span domain, struct buf *out)
{
	struct span value;
	if (span_equal(word, SPAN_LIT("local")))
		value = local;
	else if (span_equal(word, SPAN_LIT("domain")))
		value = domain;
	else
		return -EINVAL;
	if (value.len == 0)
		return -ENOENT;
	maildir_encode(value, out);
	return 0;
}

static int expand_component(
	struct span component, struct span local, struct span domain, struct buf *out)
{
	size_t from = out->len;
	while (component.len > 0) {
		size_t open = span_index(component, '{');
		buf_put(out, span_head(component, open));
		component = span_from(component, open);
		if (component.len == 0)
			break;
		size_t end = span_index(component, '}');
		if (end == component.len)
			return -EINVAL;
		int r = expand_word(span_from(span_head(component, end), 1), local, domain, out);
		if (r < 0)
			return r;
		component = span_from(component, end + 1);
	}
	return out->len - from > MAILDIR_COMPONENT_MAX ? -ENAMETOOLONG : 0;
}

int maildir_expand(struct span template, struct span local, struct span domain, struct buf *out)
{
	while (template.len > 0) {
		size_t len = span_index(template, '/');
		struct span component = span_head(template, len);
		template = span_from(template, len + 1);
		if (component.len == 0 || span_equal(component, SPAN_LIT(".")))
			continue;
		if (out->len > 0)
			buf_char(out, '/');
		int r = expand_component(component, local, domain, out);
		if (r < 0)
			return r;
	}
	if (out->error == -EMSGSIZE)
		return -ENAMETOOLONG;
	return out->error;
}

/* The next component that means something; empty at the end. */
static struct span next_component(struct span *path)
{
	struct span component = SPAN_NULL;
	while (path->len > 0 && (component.len == 0 || span_equal(component, SPAN_LIT(".")))) {
		component = span_head(*path, span_index(*path, '/'));
		*path = span_from(*path, component.len + 1);
	}
	return span_equal(component, SPAN_LIT(".")) ? SPAN_NULL : component;
}

bool maildir_below(struct span folder, struct span prefix, struct span *ret_rest)
{
	for (;;) {
		struct span want = next_component(&prefix);
		if (want.len == 0)
			break;
		if (!span_equal(next_component(&folder), want))
			return false;
	}
	struct span rest = folder, component;
	while ((component = next_component(&folder)).len > 0) {
		if (span_equal(component, SPAN_LIT("..")))
			return false;
	}
	*ret_rest = rest;
	return true;
}

void maildir_stem(const struct job *j, uint32_t rcpt_index, struct buf *out)
{
	buf_printf(out, "%" PRIu64 ".M%" PRIu64 "V%sR%" PRIu32 ".",
		j->arrival_wall_usec / USEC_PER_SEC, j->arrival_wall_usec % USEC_PER_SEC,
		ident_format(j->message).s, rcpt_index);
}

void maildir_hostname(struct span hostname, struct buf *out)
{
	for (size_t i = 0; i < hostname.len; i++) {
		char c = hostname.ptr[i];
		if (c == '/')
			buf_str(out, "\\057");
		else if (c == ':')
			buf_str(out, "\\072");
		else if ((unsigned char)c > ' ' && c != 0x7f)
			buf_char(out, c);
	}
}
