/* A users file and a users database look the same from here: names with what stands behind them. */
#include "cli/user_store.h"
#include "route/users_sqlite.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define ERRORS_MAX 65536u

static int read_text(
	const struct config_domain *d, int fd, struct buf *ret_text, struct buf *errors)
{
	struct buf image = BUF_INIT(USERS_SQLITE_MAX);

	if (d->users == USERS_FILE)
		return buf_read_fd(ret_text, fd);
	int r = users_sqlite_read(fd, &image);
	if (r == 0)
		r = users_sqlite_text(buf_span(&image), d->users_path, d->name, ret_text, errors);
	buf_done(&image);
	return r;
}

int user_store_load(const struct config_domain *d, struct users_file **ret)
{
	struct buf text = BUF_INIT(USERS_FILE_MAX), errors = BUF_INIT(ERRORS_MAX);
	CLEANUP(fd_closep) int fd = open(d->users_path, O_RDONLY | O_CLOEXEC);
	int r = fd < 0 ? -errno : read_text(d, fd, &text, &errors);

	if (r == 0)
		r = users_file_parse(buf_span(&text), d->users_path, ret, &errors);
	if (errors.len)
		(void)fwrite(errors.ptr, 1, errors.len, stderr);
	else if (r < 0)
		cli_error("%s: %s", d->users_path, strerror(-r));
	buf_done(&text);
	buf_done(&errors);
	return r;
}

int user_store_edit(
	const struct config_domain *d, enum users_edit how, struct span name, struct span rest)
{
	struct buf errors = BUF_INIT(ERRORS_MAX);
	int r = d->users == USERS_FILE
			? users_file_edit(d->users_path, how, name, rest)
			: users_sqlite_edit(d->users_path, how, d->name, name, rest, &errors);

	if (errors.len)
		cli_error("%.*s", SPAN_FMT(span_trim(buf_span(&errors))));
	else if (r < 0 && r != -EEXIST && r != -ENOENT)
		cli_error("%s: cannot be changed: %s", d->users_path, strerror(-r));
	buf_done(&errors);
	return r;
}

/* Lines "used LOGIN LABEL SECONDS" of data/auth/learned (directory/learned.c). */
uint64_t user_store_last_use(const struct config *c, struct span login, struct span label)
{
	struct buf path = BUF_INIT(8192), text = BUF_INIT(USERS_FILE_MAX), start = BUF_INIT(1024);
	uint64_t seconds = 0;

	buf_printf(&path, "%s/auth/learned", c->data);
	buf_char(&path, '\0');
	buf_printf(&start, "used %.*s %.*s ", SPAN_FMT(login), SPAN_FMT(label));
	CLEANUP(fd_closep) int fd = path.error ? -1 : open(path.ptr, O_RDONLY | O_CLOEXEC);
	struct span rest = fd >= 0 && buf_read_fd(&text, fd) == 0 ? buf_span(&text) : SPAN_NULL;
	while (rest.len && seconds == 0) {
		struct span line = span_head(rest, span_index(rest, '\n'));
		rest = span_from(rest, line.len + 1);
		if (span_equal(span_head(line, start.len), buf_span(&start)))
			(void)!span_to_u64(span_from(line, start.len), UINT32_MAX, &seconds);
	}
	buf_done(&path);
	buf_done(&text);
	buf_done(&start);
	return seconds;
}
