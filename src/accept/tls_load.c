/* The supervisor has judged the files; what is handed over are sealed copies. The keys of
 * certificates are the keys process's, unless the operator wants them here (tls { keys = receiver
 * }). */
#include "accept/tls_load.h"
#include "base/log.h"
#include "net/certificate.h"

#include <openssl/crypto.h>
#include <sys/mman.h>

typedef int (*take_pem)(struct tls_server *t, struct span octets,
	const struct remote_signer *signer, const char **ret_why);

static int take_certificate(struct tls_server *t, struct span octets,
	const struct remote_signer *signer, const char **ret_why)
{
	return tls_server_add_certificate(t, octets, signer, ret_why);
}

static int take_key(struct tls_server *t, struct span octets, const struct remote_signer *signer,
	const char **ret_why)
{
	(void)signer;
	return tls_server_add_key(t, octets, ret_why);
}

static int take_ocsp(struct tls_server *t, struct span octets, const struct remote_signer *signer,
	const char **ret_why)
{
	(void)signer;
	*ret_why = "it is for none of the certificates";
	return tls_server_add_ocsp(t, octets);
}

static int take_roots(struct tls_server *t, struct span octets, const struct remote_signer *signer,
	const char **ret_why)
{
	(void)signer;
	*ret_why = "there is no certificate in it";
	return tls_server_set_client_roots(t, octets);
}

/* All fds of a kind; one that is no use is told and left out. */
static int take_all(struct role_process *p, const char *prefix, take_pem take, struct tls_server *t,
	const struct remote_signer *signer)
{
	size_t cursor = 0;
	const char *name;
	int fd;

	while ((fd = role_next_fd(p, prefix, &cursor, &name)) >= 0) {
		struct buf octets = BUF_INIT(2 * CERTIFICATE_FILE_MAX);
		const char *why = "it cannot be read";
		int r = pem_read(fd, &octets);
		if (r == 0)
			r = take(t, buf_span(&octets), signer, &why);
		if (octets.ptr)
			OPENSSL_cleanse(octets.ptr, octets.cap);
		buf_done(&octets);
		if (r == -ENOMEM)
			return r;
		if (r < 0)
			log_text(LOG_LEVEL_ERROR, "certificate-unusable", "%s: %s", name, why);
	}
	return 0;
}

int tls_load(struct role_process *p, const struct ticket_page *tickets,
	const struct remote_signer *signer, struct tls_server **ret_server)
{
	CLEANUP(tls_server_unrefp) struct tls_server *t = NULL;
	const struct config *c = role_config(p);
	bool own = c->tls.keys_in == TLS_KEYS_RECEIVER;
	size_t cursor = 0;
	const char *name;

	*ret_server = NULL;
	if (role_next_fd(p, "certificate:", &cursor, &name) < 0)
		return 0;
	int r = tls_server_new(c, tickets, &t);
	if (r == 0)
		r = take_all(p, "certificate:", take_certificate, t, own ? NULL : signer);
	if (r == 0 && own)
		r = take_all(p, "key:", take_key, t, NULL);
	if (r == 0)
		r = take_all(p, "ocsp:", take_ocsp, t, NULL);
	if (r == 0)
		r = take_all(p, "client-ca:", take_roots, t, NULL);
	if (r == 0)
		r = tls_server_finish(t);
	if (r == 0)
		*ret_server = TAKE(t);
	return r;
}

int tls_map_tickets(struct role_process *p, const struct ticket_page **ret_page)
{
	int fd = role_fd(p, "tickets");

	*ret_page = NULL;
	if (fd < 0)
		return 0;
	void *page = mmap(NULL, sizeof(struct ticket_page), PROT_READ, MAP_SHARED, fd, 0);
	if (page == MAP_FAILED)
		return -errno;
	*ret_page = page;
	return 0;
}
