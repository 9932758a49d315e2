/* The password itself, sealed for the keys process (sasl/seal.h): what CRAM-MD5 needs, made only
 * where `--reversible` asks for it. The key is data/secrets.key; the data folder is made if the
 * server has not run yet. */
#include "cli/user_command.h"
#include "config/seal_key.h"
#include "sasl/seal.h"

#include <fcntl.h>
#include <openssl/crypto.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int read_key(const struct config *c, uint8_t ret_key[static SEAL_KEY_OCTETS])
{
	if (mkdir(c->data, 0711) < 0 && errno != EEXIST)
		return -errno;
	CLEANUP(fd_closep) int folder = open(c->data, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (folder < 0)
		return -errno;
	CLEANUP(fd_closep) int fd = seal_key_open(folder);
	return fd < 0 ? fd : seal_key_read(fd, ret_key);
}

/* As the directory spells it. */
static void login_of(const struct user_command *u, struct buf *out)
{
	buf_printf(out, "%.*s@%s", SPAN_FMT(buf_span(&u->local)), u->domain->name);
	for (size_t i = 0; i < out->len; i++) {
		char *p = &out->ptr[i];
		*p = (char)(*p >= 'A' && *p <= 'Z' ? *p + 32 : *p);
	}
}

int user_seal(struct user_command *u, struct span password, struct buf *rest)
{
	uint8_t key[SEAL_KEY_OCTETS];
	struct buf login = BUF_INIT(1024);
	int r = read_key(u->config, key);

	login_of(u, &login);
	if (r < 0) {
		cli_error("%s/" SEAL_KEY_FILE ": cannot be made or read: %s: run this as the user "
			  "who starts the server",
			u->config->data, strerror(-r));
	} else {
		buf_char(rest, ':');
		r = seal_make(key, buf_span(&login), password, rest);
		if (r < 0)
			cli_error("the password cannot be sealed: %s", strerror(-r));
	}
	OPENSSL_cleanse(key, sizeof(key));
	buf_done(&login);
	return r < 0 ? EX_CANTCREATE_ : 0;
}

const char *user_sealed_differs(
	struct user_command *u, struct span password, const struct credentials *c)
{
	uint8_t key[SEAL_KEY_OCTETS];
	struct buf login = BUF_INIT(1024), secret = BUF_INIT(SEAL_SECRET_MAX);
	const char *why = NULL;

	if (c->sealed.len == 0)
		return NULL;
	login_of(u, &login);
	if (read_key(u->config, key) < 0)
		why = "right; what is sealed for CRAM-MD5 cannot be looked at: no right to read "
		      "its key";
	else if (seal_open(key, buf_span(&login), c->sealed, &secret) < 0)
		why = "right, but what is sealed for CRAM-MD5 belongs to another data folder or "
		      "name: use user passwd --reversible";
	else if (!span_equal(buf_span(&secret), password))
		why = "right, but what is sealed for CRAM-MD5 is another password: use user passwd "
		      "--reversible";
	OPENSSL_cleanse(key, sizeof(key));
	if (secret.ptr)
		OPENSSL_cleanse(secret.ptr, secret.cap);
	buf_done(&login);
	buf_done(&secret);
	return why;
}
