/* One request, its rows, its end. The socket's name is relative to the data folder, because
 * sun_path is short and data folders may not be. */
#include "cli/client.h"

#include "cli/cli.h"
#include "ipc/frames.h"
#include "net/channel.h"
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

struct asking {
	const struct client_ops *ops;
	int result;
	uint32_t error;
	uint64_t count;
	bool over;
};

int client_connect(const char *data, const char *name, int type)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	CLEANUP(fd_closep) int here = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CLEANUP(fd_closep) int folder = open(data, O_PATH | O_DIRECTORY | O_CLOEXEC);
	int r = 0;

	if (folder < 0)
		return -errno;
	(void)snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", name);
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
	if (fd < 0 || fchdir(folder) < 0 || connect(fd, (struct sockaddr *)&sun, sizeof(sun)) < 0)
		r = -errno;
	if (here >= 0 && fchdir(here) < 0 && r == 0)
		r = -errno;
	if (r == 0 && fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
		r = -errno;
	if (r < 0) {
		fd_close(fd);
		return r;
	}
	return fd;
}

static int on_frame(void *arg, struct frame *f)
{
	struct asking *a = arg;
	struct admin_end end;

	if (f->type == FRAME_ADMIN_ROW) {
		if (a->ops->row)
			a->ops->row(a->ops->arg, f->payload);
		return 0;
	}
	struct admin_line l;
	if (f->type == FRAME_ADMIN_LINE && admin_line_decode(f->payload, &l) == 0) {
		if (a->ops->line)
			a->ops->line(a->ops->arg, l.lost, l.line);
		return 0;
	}
	if (f->type != FRAME_ADMIN_END || admin_end_decode(f->payload, &end) < 0)
		return -EPROTO;
	a->over = true;
	a->error = end.error;
	a->count = end.count;
	struct span text = end.text.len ? end.text : SPAN_LIT("the server refused");
	if (end.error)
		cli_error("%.*s", SPAN_FMT(text));
	loop_exit();
	return 0;
}

static void on_close(void *arg, int error)
{
	struct asking *a = arg;

	if (!a->over)
		a->result = error < 0 ? error : -ECONNRESET;
	loop_exit();
}

int client_unanswered(const char *data, int error)
{
	cli_error("no server answers at %s/control: %s", data, strerror(-error));
	return EX_UNAVAILABLE_;
}

int client_ask(const char *data, struct admin_request *r, const struct client_ops *ops,
	uint32_t *ret_error, uint64_t *ret_count)
{
	static const struct channel_ops channel_ops = {.on_frame = on_frame, .on_close = on_close};
	struct asking a = {.ops = ops};
	CLEANUP(channel_freep) struct channel *c = NULL;
	struct buf b = BUF_INIT(CHANNEL_FRAME_MAX);
	int fd = client_connect(data, "control", SOCK_SEQPACKET);

	if (fd < 0)
		return fd;
	int e = loop_init();
	if (e < 0) {
		fd_close(fd);
		return e;
	}
	e = channel_new(fd, &channel_ops, &a, &c);
	if (e == 0) {
		r->token = 1;
		admin_request_encode(r, &b);
		e = b.error ? b.error : channel_send(c, FRAME_ADMIN, buf_span(&b), NULL, 0);
	}
	if (e == 0)
		e = loop_run();
	buf_done(&b);
	if (e == 0)
		e = a.result;
	if (e < 0)
		return e;
	*ret_error = a.error;
	*ret_count = a.count;
	return 0;
}
