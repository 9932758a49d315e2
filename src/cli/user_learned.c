/* user keys: SCRAM keys that logins by PLAIN taught the server (data/auth/learned,
 * directory/learned.c) go where the user's others are: into the source, if its owner may write it.
 * The supervisor runs this when there are new ones; that no process which reads hashes all day may
 * write them is why it is a command of its own. A key goes in only while the hash is the one that
 * it was learned with. */
#include "cli/user_command.h"
#include "cli/user_store.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define LEARNED_MAX (256u << 20)
#define LINE_START  "keys "

static int read_learned(const struct config *c, struct buf *out)
{
	struct buf path = BUF_INIT(8192);

	buf_printf(&path, "%s/auth/learned", c->data);
	buf_char(&path, '\0');
	CLEANUP(fd_closep)
	int fd = path.error ? -1 : open(path.ptr, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	int r = fd >= 0 ? buf_read_fd(out, fd) : errno == ENOENT ? 0 : -errno;
	buf_done(&path);
	return r;
}

/* chmod a-w keeps the server's hands off, root's too. */
static bool is_writable(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && (st.st_mode & S_IWUSR) &&
	       faccessat(AT_FDCWD, path, W_OK, AT_EACCESS) == 0;
}

static struct span word(struct span *line)
{
	struct span w = span_head(*line, span_index(*line, ' '));

	*line = span_from(*line, w.len + 1);
	return w;
}

/* "HASH:KEYS..." of those that the user has not; false: nothing to add. */
static bool missing_keys(struct span rest, struct span hashed, struct span keys, struct buf *out)
{
	struct credentials c;
	struct buf name = BUF_INIT(64);
	struct scram_keys k;
	enum scram_hash h;
	bool any = false;

	credentials_parse(rest, &c);
	if (c.hash.len && secret_name(c.hash, &name) == 0 && span_equal(buf_span(&name), hashed)) {
		buf_put(out, c.hash);
		while (keys.len) {
			if (scram_keys_parse(word(&keys), &h, &k) < 0 || c.has_scram[h])
				continue;
			buf_char(out, ':');
			scram_keys_format(h, &k, out);
			any = true;
		}
	}
	buf_done(&name);
	return any && out->error == 0;
}

/* One line of the file, if it is about this domain. 1: keys were added. */
static int take_line(
	const struct config_domain *d, const struct users_file *users, struct span line)
{
	struct buf fields = BUF_INIT(REST_MAX);
	struct span login = word(&line), hashed = word(&line), rest;
	size_t at = login.len;
	int r = 0;

	while (at > 0 && login.ptr[at - 1] != '@')
		at--;
	struct span local = span_head(login, at ? at - 1 : 0);
	if (at && span_equal_nocase(span_from(login, at), span_str(d->name)) &&
		users_file_hash(users, local, &rest) && missing_keys(rest, hashed, line, &fields)) {
		r = user_store_edit(d, USERS_ADD_FIELDS, local, buf_span(&fields));
		/* Changed or gone meanwhile: they are worth nothing now. */
		r = r == 0 ? 1 : r == -ENOENT ? 0 : r;
	}
	buf_done(&fields);
	return r;
}

static int take_domain(const struct config_domain *d, struct span learned, size_t *n_added)
{
	struct users_file *users = NULL;
	int r = user_store_load(d, &users);

	while (r >= 0 && learned.len) {
		struct span line = span_head(learned, span_index(learned, '\n'));
		learned = span_from(learned, line.len + 1);
		if (!span_starts_nocase(line, SPAN_LIT(LINE_START)))
			continue;
		r = take_line(d, users, span_from(line, strlen(LINE_START)));
		*n_added += r > 0;
	}
	users_file_free(users);
	return r < 0 ? r : 0;
}

int user_keys(struct user_command *u)
{
	struct buf learned = BUF_INIT(LEARNED_MAX);
	size_t n_added = 0;
	int r = read_learned(u->config, &learned);

	if (r < 0)
		cli_error("%s/auth/learned: %s", u->config->data, strerror(-r));
	for (size_t i = 0; r == 0 && i < u->config->n_domains; i++) {
		const struct config_domain *d = &u->config->domains[i];
		if (d->users != USERS_FILE && d->users != USERS_SQLITE)
			continue;
		if (u->name && !span_equal_nocase(span_str(u->name), span_str(d->name)))
			continue;
		if (is_writable(d->users_path))
			r = take_domain(d, buf_span(&learned), &n_added);
	}
	if (n_added)
		(void)printf("%zu users have new SCRAM keys\n", n_added);
	if (learned.ptr)
		explicit_bzero(learned.ptr, learned.len);
	buf_done(&learned);
	return r < 0 ? EX_CANTCREATE_ : EX_OK_;
}
