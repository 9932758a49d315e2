/* PEM (RFC 7468) files as operators have them: the server's certificate first, its issuers behind
 * it, at times the private key in the same file. OpenSSL parses; here its answers become facts and
 * words. The files are the operator's own: not what strangers send. */
#include "net/certificate.h"
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <limits.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define CHAIN_MAX 16 /* certificates behind the first */

static BIO *text_bio(struct span pem)
{
	return pem.len <= CERTIFICATE_FILE_MAX ? BIO_new_mem_buf(pem.ptr, (int)pem.len) : NULL;
}

static int64_t seconds_of(const ASN1_TIME *t)
{
	struct tm tm;

	return ASN1_TIME_to_tm(t, &tm) == 1 ? (int64_t)timegm(&tm) : 0;
}

/* A key in a server must not wait for somebody to type. */
static int no_password(char *ptr, int size, int rwflag, void *arg)
{
	(void)ptr;
	(void)size;
	(void)rwflag;
	*(bool *)arg = true;
	return -1;
}

static int read_chain(BIO *bio, struct certificate *c)
{
	for (X509 *x; (x = PEM_read_bio_X509(bio, NULL, NULL, NULL));) {
		if (sk_X509_num(c->chain) >= CHAIN_MAX || sk_X509_push(c->chain, x) <= 0) {
			X509_free(x);
			return -E2BIG;
		}
	}
	return 0;
}

static int read_facts(struct certificate *c, const char **ret_why)
{
	EVP_PKEY *key = X509_get0_pubkey(c->leaf);

	*ret_why = "its public key is of a kind that is not known";
	if (!key)
		return -EINVAL;
	c->key_type = EVP_PKEY_get_base_id(key);
	c->begins_sec = seconds_of(X509_get0_notBefore(c->leaf));
	c->ends_sec = seconds_of(X509_get0_notAfter(c->leaf));
	return key_id_of(key, c->key_id);
}

int certificate_parse(struct span pem, struct certificate **ret_certificate, const char **ret_why)
{
	CLEANUP(certificate_freep) struct certificate *c = calloc(1, sizeof(*c));
	BIO *bio = text_bio(pem);

	*ret_why = "out of memory";
	if (!c || !bio || !(c->chain = sk_X509_new_null())) {
		BIO_free(bio);
		return -ENOMEM;
	}
	int r = 0;
	c->leaf = PEM_read_bio_X509(bio, NULL, NULL, NULL);
	if (!c->leaf) {
		*ret_why = "there is no certificate in it (a line -----BEGIN CERTIFICATE-----)";
		r = -EINVAL;
	}
	if (r == 0 && (r = read_chain(bio, c)) < 0)
		*ret_why = "there are too many certificates in it";
	if (r == 0)
		r = read_facts(c, ret_why);
	BIO_free(bio);
	ERR_clear_error();
	if (r < 0)
		return r == -ENOMEM ? r : -EINVAL;
	*ret_certificate = TAKE(c);
	return 0;
}

void certificate_free(struct certificate *c)
{
	if (!c)
		return;
	X509_free(c->leaf);
	sk_X509_pop_free(c->chain, X509_free);
	free(c);
}

void certificate_freep(struct certificate **c)
{
	certificate_free(TAKE(*c));
}

bool certificate_covers(const struct certificate *c, struct span name)
{
	/* An empty length would mean strlen. */
	bool covers = name.len > 0 && X509_check_host(c->leaf, name.ptr, name.len, 0, NULL) == 1;

	ERR_clear_error();
	return covers;
}

/* The DNS names, at most `max`, separated by commas. */
static void put_names(const struct certificate *c, int max, struct buf *out)
{
	GENERAL_NAMES *names = X509_get_ext_d2i(c->leaf, NID_subject_alt_name, NULL, NULL);

	for (int i = 0; i < sk_GENERAL_NAME_num(names) && max > 0; i++) {
		const GENERAL_NAME *n = sk_GENERAL_NAME_value(names, i);
		if (n->type != GEN_DNS)
			continue;
		if (out->len > 0)
			buf_str(out, ", ");
		buf_append(out, ASN1_STRING_get0_data(n->d.dNSName),
			(size_t)ASN1_STRING_length(n->d.dNSName));
		max--;
	}
	GENERAL_NAMES_free(names);
	ERR_clear_error();
}

void certificate_names(const struct certificate *c, struct buf *out)
{
	size_t before = out->len;

	put_names(c, INT_MAX, out);
	if (out->len > before)
		return;
	char *subject = X509_NAME_oneline(X509_get_subject_name(c->leaf), NULL, 0);
	buf_str(out, subject ? subject : "?");
	OPENSSL_free(subject);
}

void certificate_first_name(const struct certificate *c, struct buf *out)
{
	put_names(c, 1, out);
	buf_char(out, '\0');
}

bool certificate_lacks_issuer(const struct certificate *c)
{
	bool self =
		X509_NAME_cmp(X509_get_subject_name(c->leaf), X509_get_issuer_name(c->leaf)) == 0;

	return !self && sk_X509_num(c->chain) == 0;
}

int private_key_parse(struct span pem, EVP_PKEY **ret_key, const char **ret_why)
{
	BIO *bio = text_bio(pem);
	bool wanted_password = false;

	*ret_why = "out of memory";
	if (!bio)
		return -ENOMEM;
	EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, no_password, &wanted_password);
	BIO_free(bio);
	ERR_clear_error();
	if (!key) {
		*ret_why = wanted_password ? "it is encrypted, and a server cannot type its "
					     "password: store it without one (openssl pkey)"
					   : "there is no private key in it (a line -----BEGIN "
					     "PRIVATE KEY-----)";
		return -EINVAL;
	}
	*ret_key = key;
	return 0;
}

int key_id_of(EVP_PKEY *key, uint8_t ret_id[KEY_ID_OCTETS])
{
	unsigned char *der = NULL;
	int len = i2d_PUBKEY(key, &der);
	unsigned n = 0;
	int ok = len > 0 ? EVP_Digest(der, (size_t)len, ret_id, &n, EVP_sha256(), NULL) : 0;

	OPENSSL_free(der);
	ERR_clear_error();
	return ok == 1 && n == KEY_ID_OCTETS ? 0 : -EINVAL;
}

void pem_certificates(struct span pem, struct buf *out)
{
	static const struct span begin = {"-----BEGIN CERTIFICATE-----", 27},
				 end = {"-----END CERTIFICATE-----", 25};
	bool inside = false;

	while (pem.len > 0) {
		struct span line = span_head(pem, span_index(pem, '\n'));
		pem = span_from(pem, line.len + 1);
		struct span text = span_trim(line);
		if (span_equal(text, begin))
			inside = true;
		if (inside) {
			buf_put(out, text);
			buf_char(out, '\n');
		}
		if (span_equal(text, end))
			inside = false;
	}
}

int pem_read(int fd, struct buf *out)
{
	off_t at = 0;

	for (;;) {
		char *space = buf_reserve(out, 4096);
		if (!space)
			return out->error;
		ssize_t n = pread(fd, space, 4096, at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : 0;
		out->len += (size_t)n;
		at += n;
		if (out->len > CERTIFICATE_FILE_MAX)
			return -EFBIG;
	}
}
