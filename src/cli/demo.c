/* Who tries the server out gets a login that nobody can guess, without a command for it. Both files
 * are the owner's alone (0600); removing them makes a new password. `serve` says it in its welcome.
 */
#include "cli/demo.h"
#include "sasl/secret.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static int write_new(int folder, const char *name, struct span octets)
{
	CLEANUP(fd_closep)
	int fd = openat(folder, name, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (fd < 0)
		return -errno;
	ssize_t n = write(fd, octets.ptr, octets.len);
	return n < 0 ? -errno : (size_t)n < octets.len ? -EIO : 0;
}

static int make_line(struct span password, struct buf *out)
{
	buf_str(out, "demo:");
	int r = secret_hash(password, out);
	for (unsigned h = 0; r == 0 && h < SCRAM_HASHES; h++) {
		struct scram_keys k;
		r = scram_keys_make((enum scram_hash)h, password, &k);
		buf_char(out, ':');
		if (r == 0)
			scram_keys_format((enum scram_hash)h, &k, out);
	}
	buf_char(out, '\n');
	return r < 0 ? r : out->error;
}

int demo_account(const struct config *c)
{
	struct buf password = BUF_INIT(64), print = BUF_INIT(64), line = BUF_INIT(4096);

	if (mkdir(c->data, 0711) < 0 && errno != EEXIST)
		return -errno;
	CLEANUP(fd_closep) int folder = open(c->data, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (folder < 0)
		return -errno;
	if (faccessat(folder, "demo-users", F_OK, 0) == 0 &&
		faccessat(folder, "demo-password", F_OK, 0) == 0)
		return 0;
	int r = app_password_make(&password, &print);
	if (r == 0)
		r = make_line(buf_span(&password), &line);
	buf_char(&password, '\n');
	if (r == 0)
		r = write_new(folder, "demo-password", buf_span(&password));
	if (r == 0)
		r = write_new(folder, "demo-users", buf_span(&line));
	buf_done(&password);
	buf_done(&print);
	buf_done(&line);
	return r;
}
