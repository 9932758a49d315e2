/* send and sendmail: a message from standard input goes over the unix socket data/submit into a
 * receiver, by SMTP, and is in the spool when this command says 0. With the server down: exit 75,
 * nothing accepted, the caller tries again. The peer's uid is recorded by the receiver. */
#include "base/clock.h"
#include "cli/cli.h"
#include "cli/client.h"
#include "cli/compose.h"
#include "mail/dot.h"
#include "mail/reply.h"
#include "net/stream.h"
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define STDIN_STEP 65536u
#define INPUT_MAX  (1u << 30)
#define REPLY_WAIT (10 * 60 * USEC_PER_SEC)

struct submission {
	const char *data;
	struct span sender;
	struct span *rcpts;
	size_t n_rcpts;
	struct span message;
	const char *hostname;
	int fd;
	int status;
	struct stream *io;
	struct reply reply;
};

SUSPENDS static int read_reply(struct submission *s)
{
	struct span line;
	int r = 0;

	reply_done(&s->reply);
	reply_init(&s->reply);
	while (r == 0) {
		r = stream_read_line(s->io, REPLY_LINE_MAX, &line, NULL);
		if (r >= 0)
			r = reply_feed_line(&s->reply, line);
	}
	return r < 0 ? r : 0;
}

/* The reply's meaning as an exit status, said to the user when it is a refusal. */
static int judge(struct submission *s, struct span about)
{
	unsigned class = s->reply.code / 100;

	if (class == 2 || class == 3)
		return 0;
	cli_error("%.*s%s%u %.*s", SPAN_FMT(about), about.len ? ": " : "", s->reply.code,
		SPAN_FMT(buf_span(&s->reply.text)));
	if (class == 5)
		return s->reply.code == 550 && about.len ? EX_NOUSER_ : EX_UNAVAILABLE_;
	return EX_AGAIN_;
}

SUSPENDS static int command(struct submission *s, struct span about)
{
	int r = read_reply(s);
	return r < 0 ? r : judge(s, about);
}

/* All recipients or none: a message that is half accepted helps nobody at a command line. */
SUSPENDS static int converse(struct submission *s)
{
	struct dot_encoder e;
	struct buf body = BUF_INIT(SIZE_MAX);
	int r = command(s, SPAN_NULL);

	if (r == 0 && (r = stream_printf(s->io, "EHLO %s\r\n", s->hostname)) == 0)
		r = command(s, SPAN_NULL);
	if (r == 0 && (r = stream_printf(s->io, "MAIL FROM:<%.*s> BODY=8BITMIME\r\n",
			       SPAN_FMT(s->sender))) == 0)
		r = command(s, s->sender);
	for (size_t i = 0; r == 0 && i < s->n_rcpts; i++) {
		r = stream_printf(s->io, "RCPT TO:<%.*s>\r\n", SPAN_FMT(s->rcpts[i]));
		if (r == 0)
			r = command(s, s->rcpts[i]);
	}
	if (r == 0 && (r = stream_write(s->io, SPAN_LIT("DATA\r\n"))) == 0)
		r = command(s, SPAN_NULL);
	if (r == 0) {
		dot_encoder_init(&e);
		dot_encode(&e, s->message, &body);
		dot_encode_end(&e, &body);
		r = body.error ? body.error : stream_write(s->io, buf_span(&body));
	}
	buf_done(&body);
	if (r == 0)
		r = command(s, SPAN_NULL);
	if (r == 0)
		r = stream_write(s->io, SPAN_LIT("QUIT\r\n"));
	if (r == 0)
		r = stream_flush(s->io);
	return r;
}

static void submission_fiber(void *arg)
{
	struct submission *s = arg;
	int r = stream_new(s->fd, &s->io);

	if (r == 0) {
		stream_set_timeout(s->io, REPLY_WAIT, REPLY_WAIT);
		r = converse(s);
	}
	if (r < 0) {
		cli_error("the server broke off: %s; the message was not accepted", strerror(-r));
		r = EX_AGAIN_;
	}
	s->status = r;
	reply_done(&s->reply);
	stream_free(s->io);
	loop_exit();
}

static int submit(struct submission *s)
{
	s->status = EX_OS_;
	s->fd = client_connect(s->data, "submit", SOCK_STREAM);
	if (s->fd < 0) {
		cli_error(
			"no server answers at %s/submit: %s; nothing was accepted, try again later",
			s->data, strerror(-s->fd));
		return EX_AGAIN_;
	}
	reply_init(&s->reply);
	int r = loop_init();
	if (r == 0)
		r = fiber_spawn(submission_fiber, s, NULL);
	if (r == 0)
		r = loop_run();
	if (r < 0) {
		cli_error("cannot run: %s", strerror(-r));
		return EX_OS_;
	}
	return s->status;
}

/* dots_end: a line with only a dot ends the input (sendmail without -i). */
static int read_input(struct buf *in, bool dots_end)
{
	for (;;) {
		char *room = buf_reserve(in, STDIN_STEP);
		if (!room)
			return in->error;
		ssize_t n = read(STDIN_FILENO, room, STDIN_STEP);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		in->len += (size_t)n;
	}
	struct span all = buf_span(in);
	for (size_t at = 0; dots_end && at < all.len;) {
		struct span line = span_from(all, at);
		line = span_head(line, span_index(line, '\n'));
		if (span_equal(span_trim(line), SPAN_LIT(".")))
			in->len = at;
		at = in->len == at ? all.len : at + line.len + 1;
	}
	return 0;
}

struct sending {
	const char *sender, *full_name;
	bool from_header, dots_end;
	char **rcpts;
	int n_rcpts;
};

static void default_sender(const struct config *c, struct buf *out)
{
	const struct passwd *p = getpwuid(getuid());

	buf_printf(out, "%s@%s", p ? p->pw_name : "nobody", c->hostname);
}

/* argv's recipients (a comma-separated list is taken apart), then the header's. */
static int gather(const struct sending *o, const struct compose *m, const struct config *c,
	struct buf *list, struct span **ret, size_t *ret_n)
{
	size_t n = 0, i = 0;

	for (int a = 0; a < o->n_rcpts; a++)
		address_list(span_str(o->rcpts[a]), list);
	if (o->from_header)
		buf_put(list, buf_span(&m->recipients));
	/* A bare name is a local user. */
	struct buf full = BUF_INIT(list->max);
	for (size_t at = 0; at < list->len; at += strlen(list->ptr + at) + 1) {
		buf_str(&full, list->ptr + at);
		if (!strchr(list->ptr + at, '@'))
			buf_printf(&full, "@%s", c->n_domains ? c->domains[0].name : c->hostname);
		buf_append(&full, "", 1);
		n++;
	}
	buf_done(list);
	*list = full;
	if (list->error)
		return list->error;
	struct span *spans = calloc(n ? n : 1, sizeof(*spans));
	if (!spans)
		return -ENOMEM;
	for (size_t at = 0; at < list->len; at += spans[i++].len + 1)
		spans[i] = span_str(list->ptr + at);
	*ret = spans;
	*ret_n = n;
	return 0;
}

static int send_message(const struct config *c, const struct sending *o)
{
	struct buf in = BUF_INIT(INPUT_MAX), sender = BUF_INIT(1024), list = BUF_INIT(4u << 20);
	struct compose m = {.message = BUF_INIT(0)};
	struct submission s = {.data = c->data, .hostname = c->hostname};
	int status = EX_OS_;

	if (o->sender)
		buf_str(&sender, o->sender);
	else
		default_sender(c, &sender);
	struct compose_options how = {.from_header = o->from_header,
		.sender = buf_span(&sender),
		.full_name = span_str(o->full_name),
		.hostname = span_str(c->hostname),
		.wall_usec = clock_wall_usec()};
	random_octets(&how.unique, sizeof(how.unique));
	int r = read_input(&in, o->dots_end);
	if (r == 0)
		r = compose(buf_span(&in), &how, &m);
	if (r == 0)
		r = gather(o, &m, c, &list, &s.rcpts, &s.n_rcpts);
	if (r < 0) {
		cli_error("the message cannot be read: %s", strerror(-r));
		status = EX_DATA_;
	} else if (s.n_rcpts == 0) {
		cli_error("no recipients: name them%s", o->from_header ? " in To, Cc or Bcc" : "");
		status = EX_USAGE_;
	} else {
		s.sender = buf_span(&sender);
		s.message = buf_span(&m.message);
		status = submit(&s);
	}
	free(s.rcpts);
	compose_done(&m);
	buf_done(&in);
	buf_done(&sender);
	buf_done(&list);
	return status;
}

static int send_with(struct cli *cli, const struct sending *o)
{
	int status = EX_OK_;
	struct config *c = cli_config(cli, &status);

	if (c)
		status = send_message(c, o);
	config_free(c);
	return status;
}

int cmd_send(struct cli *cli)
{
	struct sending o = {0};
	int option;

	optind = 1;
	while ((option = getopt(cli->argc, cli->argv, "+f:F:t")) != -1) {
		if (option == 'f')
			o.sender = strcmp(optarg, "<>") == 0 ? "" : optarg;
		else if (option == 'F')
			o.full_name = optarg;
		else if (option == 't')
			o.from_header = true;
		else
			return EX_USAGE_;
	}
	o.rcpts = cli->argv + optind;
	o.n_rcpts = cli->argc - optind;
	return send_with(cli, &o);
}

/* sendmail(8)'s options that programs use; the rest is accepted without effect, as its other
 * successors do. -C FILE is the configuration. */
int cmd_sendmail(int argc, char **argv)
{
	struct cli cli = {0};
	struct sending o = {.dots_end = true};
	int option;

	while ((option = getopt(argc, argv, "+A:B:b:C:d:e:F:f:GhIiL:mN:no:O:p:q:R:r:sTtUV:vX:")) !=
		-1) {
		if (option == 'f' || option == 'r')
			o.sender = strcmp(optarg, "<>") == 0 ? "" : optarg;
		else if (option == 'F')
			o.full_name = optarg;
		else if (option == 't')
			o.from_header = true;
		else if (option == 'i' || (option == 'o' && optarg[0] == 'i'))
			o.dots_end = false;
		else if (option == 'C')
			cli.config_path = optarg;
		else if (option == 'b' && optarg[0] == 'p') {
			char queue[] = "queue", list[] = "list";
			char *args[] = {queue, list, NULL};
			cli.argc = 2;
			cli.argv = args;
			return cmd_queue(&cli);
		} else if (option == 'b' && optarg[0] == 'i') {
			return EX_OK_;
		} else if (option == 'b' && optarg[0] != 'm') {
			cli_error("sendmail -b%s is not supported", optarg);
			return EX_USAGE_;
		} else if (option == '?') {
			return EX_USAGE_;
		}
	}
	o.rcpts = argv + optind;
	o.n_rcpts = argc - optind;
	return send_with(&cli, &o);
}
