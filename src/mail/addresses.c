/* RFC 5322 3.4, 3.2:
 *
 *   address-list = address *("," address)
 *   address      = mailbox / group
 *   mailbox      = [display-name] "<" addr-spec ">" / addr-spec
 *   group        = display-name ":" [mailbox-list] ";"
 *
 * One pass over the octets. Outside of angles, octets gather as a candidate: if "<" comes they were
 * a display name and are forgotten (unquoted dots and even "@" stand there in real mail), if ":"
 * comes they were a group's name; at "," ";" or the end they are the address itself. Quoted strings
 * keep their octets, comments vanish, whatever their depth. So nothing that a reader would take for
 * the address can hide in a quoted string or a comment. Whether the text is an addr-spec is
 * mail/path's to say. */
#include "mail/addresses.h"
#include "mail/path.h"

#define TEXT_MAX (64u * 1024u)

enum place { IN_WORDS, IN_ANGLE, AFTER_ANGLE };

struct scan {
	struct addresses *a;
	enum place place;
	bool in_group;
	struct buf word; /* the candidate */
	bool had_space;	 /* white space stood between two words of it */
};

void addresses_init(struct addresses *a)
{
	*a = (struct addresses){.text = BUF_INIT(TEXT_MAX)};
}

void addresses_done(struct addresses *a)
{
	buf_done(&a->text);
}

struct span addresses_get(const struct addresses *a, size_t i)
{
	return span_make(a->text.ptr + a->each[i].start, a->each[i].len);
}

static int keep(struct scan *s)
{
	struct addresses *a = s->a;
	struct path p;

	if (s->word.error)
		return s->word.error;
	if (mailbox_parse(buf_span(&s->word), true, false, &p) < 0)
		return -EINVAL;
	if (a->n == ADDRESSES_MAX)
		return -E2BIG;
	a->each[a->n].start = a->text.len;
	a->each[a->n].len = s->word.len;
	buf_put(&a->text, buf_span(&s->word));
	if (a->text.error)
		return a->text.error == -EMSGSIZE ? -E2BIG : a->text.error;
	a->n++;
	return 0;
}

/* "," ";" or the end of the field. */
static int end_of_mailbox(struct scan *s)
{
	int r = 0;

	if (s->place == IN_ANGLE)
		return -EINVAL;
	/* RFC 5322 4.4: empty elements of a list are passed over. */
	if (s->place == IN_WORDS && s->word.len)
		r = s->had_space ? -EINVAL : keep(s);
	s->place = IN_WORDS;
	s->had_space = false;
	buf_reset(&s->word);
	return r;
}

/* Octets of the quoted string (with its quotes) or comment at the start of in; 0: it has no end. */
static size_t quoted_length(struct span in)
{
	for (size_t i = 1; i < in.len; i++) {
		if (in.ptr[i] == '\\')
			i++;
		else if (in.ptr[i] == '"')
			return i + 1;
	}
	return 0;
}

static size_t comment_length(struct span in)
{
	size_t depth = 0;

	for (size_t i = 0; i < in.len; i++) {
		if (in.ptr[i] == '\\')
			i++;
		else if (in.ptr[i] == '(')
			depth++;
		else if (in.ptr[i] == ')' && --depth == 0)
			return i + 1;
	}
	return 0;
}

static int special(struct scan *s, char c)
{
	switch (c) {
	case '<':
		if (s->place != IN_WORDS)
			return -EINVAL;
		s->place = IN_ANGLE;
		s->had_space = false;
		buf_reset(&s->word);
		return 0;
	case '>': {
		if (s->place != IN_ANGLE)
			return -EINVAL;
		s->place = AFTER_ANGLE;
		return keep(s);
	}
	case ':':
		/* A source route (4.4) is in angles, and is no address of anybody's today. */
		if (s->place != IN_WORDS || s->in_group)
			return -EINVAL;
		s->in_group = true;
		s->had_space = false;
		buf_reset(&s->word);
		return 0;
	case ';':
		if (!s->in_group)
			return -EINVAL;
		s->in_group = false;
		return end_of_mailbox(s);
	default:
		return s->place == IN_ANGLE ? -EINVAL : end_of_mailbox(s);
	}
}

/* One octet or one quoted string of a word. In an address white space may stand around "@" and
 * dots (4.4), nowhere else. */
static int word(struct scan *s, struct span octets, bool space_before)
{
	if (s->place == AFTER_ANGLE)
		return -EINVAL;
	if (space_before && s->word.len) {
		char last = s->word.ptr[s->word.len - 1];
		if (last != '@' && last != '.' && octets.ptr[0] != '@' && octets.ptr[0] != '.')
			s->had_space = true;
	}
	if (s->place == IN_ANGLE && s->had_space)
		return -EINVAL;
	/* A display name is longer than any address may be: only its length is lost. */
	if (s->place == IN_WORDS && s->word.len > 2 * PATH_MAX_SMTP)
		s->had_space = true;
	else
		buf_put(&s->word, octets);
	return s->word.error == -EMSGSIZE ? -EINVAL : s->word.error;
}

static int scan_octets(struct scan *s, struct span in)
{
	bool space = false;
	int r = 0;

	while (r == 0 && in.len) {
		size_t n = 1;
		char c = in.ptr[0];
		if (c == ' ' || c == '\t' || c == '\r' || c == '\n') {
			space = true;
		} else if (c == '(') {
			n = comment_length(in);
			space = true;
		} else if (c == '<' || c == '>' || c == ',' || c == ';' ||
			   (c == ':' && s->place != IN_ANGLE)) {
			r = special(s, c);
			space = false;
		} else {
			n = c == '"' ? quoted_length(in) : 1;
			if (c == '[') { /* a domain literal may hold ":" */
				n = span_index(in, ']') + 1;
				n = n > in.len ? 0 : n;
			}
			if (n)
				r = word(s, span_head(in, n), space);
			space = false;
		}
		if (n == 0)
			return -EINVAL;
		in = span_from(in, n);
	}
	return r;
}

int addresses_parse(struct addresses *a, struct span body)
{
	struct scan s = {.a = a, .word = BUF_INIT(TEXT_MAX)};
	int r = scan_octets(&s, body);

	if (r == 0)
		r = s.in_group ? -EINVAL : end_of_mailbox(&s);
	buf_done(&s.word);
	return r;
}
