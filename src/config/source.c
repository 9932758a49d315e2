/* Opening and skipping of configuration files, beneath scan.c.
 *
 * A file is read whole and at once, bounded, and only if it is a regular one: a folder, a pipe
 * that never ends or a device is told apart with a remedy, before anything tries to parse it. */
#include "config/source.h"
#include "config/scan.h"
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

struct position source_position(const struct source *src, unsigned line)
{
	return (struct position){src->x.file, line};
}

struct position source_now(const struct source *src)
{
	return source_position(src, src->x.token.line);
}

/* Up to and with the } that ends `depth` open braces. */
static void skip_braces(struct source *src, unsigned depth)
{
	while (depth > 0) {
		struct token t = lexer_take(&src->x);
		if (t.type == TOKEN_OPEN)
			depth++;
		else if (t.type == TOKEN_CLOSE)
			depth--;
		else if (t.type == TOKEN_END)
			return;
	}
}

void source_skip_block(struct source *src)
{
	if (src->x.token.type != TOKEN_OPEN)
		return;
	lexer_take(&src->x);
	skip_braces(src, 1);
}

void source_skip_statement(struct source *src, unsigned line)
{
	const struct token *t = &src->x.token;
	if (t->type == TOKEN_STRING || (t->type == TOKEN_WORD && t->line == line))
		lexer_take(&src->x);
	if (t->type == TOKEN_ASSIGN || t->type == TOKEN_APPEND) {
		lexer_take(&src->x);
		if (t->type == TOKEN_STRING || (t->type == TOKEN_WORD && t->line == line))
			lexer_take(&src->x);
	}
	source_skip_block(src);
	while (t->type == TOKEN_LEFT || t->type == TOKEN_RIGHT ||
		(t->type == TOKEN_STRING && t->line == line))
		lexer_take(&src->x);
}

bool source_is_open(const struct source *from, const struct source *src)
{
	for (; from; from = from->parent)
		if (from->dev == src->dev && from->ino == src->ino)
			return true;
	return false;
}

/* st.st_size octets, or more if it grew meanwhile, up to the ceiling of text. */
static int read_all(int fd, off_t size, struct buf *text)
{
	if (size >= (off_t)text->max)
		return -EFBIG;
	size_t left = (size_t)size + 1; /* one more octet tells the end */
	char *space = buf_reserve(text, left);
	if (!space)
		return text->error;
	while (left > 0) {
		ssize_t n = read(fd, space, left);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : 0;
		space += n;
		left -= (size_t)n;
		text->len += (size_t)n;
	}
	return -EAGAIN; /* it is being written just now */
}

static int open_regular(struct source *src, struct buf *text)
{
	CLEANUP(fd_closep) int fd = open(src->x.file, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat st;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (S_ISDIR(st.st_mode))
		return -EISDIR;
	if (!S_ISREG(st.st_mode))
		return -EBADF;
	src->dev = st.st_dev;
	src->ino = st.st_ino;
	return read_all(fd, st.st_size, text);
}

static const char *remedy(int r)
{
	switch (r) {
	case -ENOENT:
	case -ENOTDIR:
		return "it does not exist: create it or correct the name";
	case -EACCES:
	case -EPERM:
		return "no permission to read it: change its mode or owner, or run as a user who "
		       "may";
	case -EISDIR:
		return "it is a folder: name the file in it";
	case -EBADF:
		return "it is no regular file: name a file";
	case -EFBIG:
		return "it is larger than 1 MiB: split it by include(\"FILE\")";
	case -EAGAIN:
		return "it grows while it is read: try again";
	case -ELOOP:
		return "its name is a loop of symbolic links: correct the links";
	default:
		return strerror(-r);
	}
}

/* One octet that libConfuse would take for the end. */
static bool has_nul(const struct source *src, const struct buf *text, struct diag *diag)
{
	const char *nul = text->len ? memchr(text->ptr, '\0', text->len) : NULL;
	unsigned line = 1;

	if (!nul)
		return false;
	for (const char *p = text->ptr; p < nul; p++)
		line += *p == '\n';
	diag_error(diag, source_position(src, line),
		"a NUL octet stands here, this is no text file: remove it");
	return true;
}

int source_read(struct source *src, struct position asked, struct buf *text, struct diag *diag)
{
	int r = open_regular(src, text);
	if (r < 0) {
		if (src->parent)
			diag_error(diag, asked, "cannot include '%s': %s", src->x.file, remedy(r));
		else
			diag_error(diag, asked, "cannot read the configuration: %s", remedy(r));
		return r;
	}
	return has_nul(src, text, diag) ? -EINVAL : 0;
}
