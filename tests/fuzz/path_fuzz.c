/* Paths and mailboxes: what parses borrows from its input, is bounded, and its canonical form
 * parses to the same canonical form. */
#include "fuzz.h"
#include "mail/path.h"

static void check_canonical(const struct path *p, enum path_use use, bool utf8)
{
	struct buf first = BUF_INIT(FUZZ_BUF), second = BUF_INIT(FUZZ_BUF);
	struct path again;
	struct span rest;

	buf_char(&first, '<');
	path_canonical(p, &first);
	buf_char(&first, '>');
	assert(first.error == 0);
	int r = path_parse(buf_span(&first), use, utf8, &again, &rest);
	assert(r == 0 && rest.len == 0);
	buf_char(&second, '<');
	path_canonical(&again, &second);
	buf_char(&second, '>');
	assert(span_equal(buf_span(&first), buf_span(&second)));
	buf_done(&first);
	buf_done(&second);
}

static void check_path(const struct path *p, struct span in)
{
	assert(fuzz_within(p->text, in) && fuzz_within(p->local, p->text));
	assert(fuzz_within(p->domain, p->text));
	assert(p->local.len <= LOCAL_PART_MAX && p->domain.len <= DOMAIN_MAX);
	assert(p->text.len + 2 <= PATH_MAX_SMTP);
	assert(p->is_null == (p->text.len == 0));
	assert((p->domain_kind == DOMAIN_NONE) == (p->domain.len == 0));
	for (size_t i = 0; i < p->text.len; i++)
		assert((uint8_t)p->text.ptr[i] >= 32 && p->text.ptr[i] != 127);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span in = span_make(data, size);
	uint8_t mode = fuzz_mode(&in);
	enum path_use use = mode & 1 ? PATH_FORWARD : PATH_REVERSE;
	bool utf8 = mode & 2, allow_local = mode & 4;
	struct path p;
	struct span rest;
	enum domain_kind kind;

	if (in.len == 0)
		return 0;
	if (path_parse(in, use, utf8, &p, &rest) >= 0) {
		assert(fuzz_within(rest, in));
		check_path(&p, in);
		check_canonical(&p, use, utf8);
	}
	if (mailbox_parse(in, utf8, allow_local, &p) >= 0) {
		check_path(&p, in);
		assert(p.text.len == in.len && (allow_local || p.domain.len > 0));
		if (p.domain.len > 0)
			check_canonical(&p, use, utf8);
	}
	if (domain_parse(in, utf8, &kind) >= 0)
		assert(kind != DOMAIN_NONE && in.len <= DOMAIN_MAX);

	struct buf quoted = BUF_INIT(FUZZ_BUF), meaning = BUF_INIT(FUZZ_BUF);
	local_part_quoted(in, &quoted);
	for (size_t i = 0; i < quoted.len; i++)
		assert((uint8_t)quoted.ptr[i] >= 32 && quoted.ptr[i] != 127);
	local_part_unquoted(buf_span(&quoted), false, &meaning);
	assert(meaning.len == in.len);
	buf_done(&quoted);
	buf_done(&meaning);
	return 0;
}
