/* Addresses of ours: which domain a bare name belongs to, whether a user exists, whom an alias
 * stands for. The directory knows; here its answers become replies. */
#include "session/recipient.h"
#include "ipc/frames.h"
#include "mail/idna.h"
#include "session/limits.h"

/* The local domain that this host itself belongs to: its name, or the nearest parent that is ours
 * (mx.example.org: example.org); else any of ours; the name on a pure relay. */
struct span recipient_home(const struct config *c)
{
	struct span name = span_str(c->hostname);

	if (c->n_domains == 0)
		return name;
	while (name.len > 0 && !config_domain(c, name))
		name = span_from(name, span_index(name, '.') + 1);
	return name.len > 0 ? name : span_str(c->domains[0].name);
}

struct verdict recipient_ask(struct session *s, struct span canonical)
{
	enum lookup_status status;

	if (lookup_ask(s->server->directory, canonical, &status) < 0)
		return VERDICT(451, "4.3.0", "The directory does not answer, try again later");
	switch (status) {
	case LOOKUP_OK:
		return VERDICT(250, "2.1.5", "Recipient ok");
	case LOOKUP_UNKNOWN_USER:
		return VERDICT(550, "5.1.1", "No such user here");
	case LOOKUP_LOOP:
		return VERDICT(550, "5.4.6", "The address is an alias of itself");
	case LOOKUP_TOO_MANY:
		return VERDICT(451, "4.3.5", "The address stands for too many others");
	case LOOKUP_NOT_LOCAL: /* our configuration and the directory's differ: a reload is under
				  way */
	case LOOKUP_TEMPORARY:
		break;
	}
	return VERDICT(451, "4.3.0", "The recipient cannot be verified now, try again later");
}

static bool take_smtputf8(struct span *argument)
{
	struct span word = SPAN_LIT(" SMTPUTF8");

	if (argument->len <= word.len ||
		!span_equal_nocase(span_from(*argument, argument->len - word.len), word))
		return false;
	*argument = span_trim(span_head(*argument, argument->len - word.len));
	return true;
}

struct verdict recipient_argument(
	const struct session *s, struct span argument, struct buf *out, bool *ret_utf8)
{
	struct path p;
	struct buf ascii = BUF_INIT(DOMAIN_MAX + 1);

	bool utf8 = s->extended && take_smtputf8(&argument);
	*ret_utf8 = utf8;
	if (!utf8 && !text_is_ascii(argument))
		return VERDICT(553, "5.6.7", "A non-ASCII address needs SMTPUTF8");
	if (argument.len > 2 && argument.ptr[0] == '<' && argument.ptr[argument.len - 1] == '>')
		argument = span_from(span_head(argument, argument.len - 1), 1);
	int r = mailbox_parse(argument, utf8, true, &p);
	if (r == 0 && p.domain_kind == DOMAIN_NONE) {
		p.domain = recipient_home(s->config);
		p.domain_kind = DOMAIN_NAME;
	} else if (r == 0 && p.domain_kind == DOMAIN_NAME) {
		r = idna_to_ascii(p.domain, &ascii);
		p.domain = buf_span(&ascii);
	}
	if (r == 0)
		path_canonical(&p, out);
	buf_done(&ascii);
	return r == 0 && out->error == 0 ? VERDICT(250, "2.1.5", "Ok")
					 : VERDICT(501, "5.1.3", "No address");
}

static int members_ask(struct session *s, struct span canonical, struct buf *answer)
{
	struct buf payload = BUF_INIT(4096);

	expand_ask_encode(&(struct expand_ask){.address = canonical}, &payload);
	struct lookup_question q = {
		.type = FRAME_EXPAND,
		.answer_type = FRAME_EXPAND_ANSWER,
		.payload = span_from(buf_span(&payload), sizeof(uint64_t)),
		.sends = LOOKUP_SENDS_MAX,
		.wait_usec = LOOKUP_WAIT_USEC,
	};
	wire_put_u64(answer, 0); /* the token, which the decoder expects */
	int r = payload.error | answer->error;
	if (r == 0)
		r = lookup_client_ask(s->server->directory, &q, answer);
	buf_done(&payload);
	return r;
}

static void members_list(const struct expand_answer *a, struct buf *out)
{
	for (uint32_t i = 0; i < a->n_children; i++) {
		if (i > 0)
			buf_char(out, '\n');
		buf_char(out, '<');
		buf_put(out, a->children[i].address);
		buf_char(out, '>');
	}
}

struct verdict recipient_members(struct session *s, struct span canonical, struct buf *ret_lines)
{
	struct buf answer = BUF_INIT(MEMBERS_OCTETS_MAX);
	struct arena *arena = arena_new(MEMBERS_OCTETS_MAX);
	struct expand_answer a = {.status = LOOKUP_TEMPORARY};

	int r = arena ? members_ask(s, canonical, &answer) : -ENOMEM;
	if (r == 0)
		r = expand_answer_decode(buf_span(&answer), arena, &a);
	if (r == 0 && a.status == LOOKUP_OK)
		members_list(&a, ret_lines);
	arena_free(arena);
	buf_done(&answer);
	if (r == -EMSGSIZE || r == -ENOMEM || ret_lines->error < 0)
		return VERDICT(252, "2.0.0", "The list is too long to be told");
	if (r < 0 || a.status == LOOKUP_TEMPORARY)
		return VERDICT(451, "4.3.0", "The directory does not answer, try again later");
	return a.status == LOOKUP_OK && ret_lines->len > 0
		       ? VERDICT(250, "2.1.5", "Ok")
		       : VERDICT(550, "5.1.1", "No such list here");
}
