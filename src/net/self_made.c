/* What a server shows that has no certificate yet: enough to encrypt against whoever only listens,
 * no proof of who it is. Servers that send us mail take it (RFC 7435); people's programs ask. */
#include "net/self_made.h"
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <stdio.h>

#define SERIAL_OCTETS 16

/* RFC 5280 4.1.2.2: positive, at most 20 octets. */
static int set_serial(X509 *x)
{
	unsigned char octets[SERIAL_OCTETS];

	if (RAND_bytes(octets, sizeof(octets)) != 1)
		return 0;
	octets[0] = (octets[0] & 0x7f) | 0x40;
	BIGNUM *n = BN_bin2bn(octets, sizeof(octets), NULL);
	int ok = n && BN_to_ASN1_INTEGER(n, X509_get_serialNumber(x)) != NULL;
	BN_free(n);
	return ok;
}

static int add_extension(X509 *x, int nid, const char *value)
{
	X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, NULL, nid, value);
	int ok = e && X509_add_ext(x, e, -1) == 1;

	X509_EXTENSION_free(e);
	return ok;
}

static int fill(X509 *x, EVP_PKEY *key, const char *name, unsigned days)
{
	struct buf names = BUF_INIT(1024);
	X509_NAME *subject = X509_get_subject_name(x);

	buf_printf(&names, "DNS:%s", name);
	buf_char(&names, '\0');
	/* A common name has at most 64 characters (RFC 5280 appendix A); the other field has all.
	 */
	bool fits = strlen(name) <= 64;
	int ok = !names.error && X509_set_version(x, X509_VERSION_3) == 1 && set_serial(x) &&
		 X509_gmtime_adj(X509_getm_notBefore(x), -3600) &&
		 X509_time_adj_ex(X509_getm_notAfter(x), (int)days, 0, NULL) &&
		 X509_set_pubkey(x, key) == 1 &&
		 X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8,
			 (const unsigned char *)(fits ? name : "postrider"), -1, -1, 0) == 1 &&
		 X509_set_issuer_name(x, subject) == 1 &&
		 add_extension(x, NID_subject_alt_name, names.ptr) &&
		 add_extension(x, NID_basic_constraints, "critical,CA:FALSE") &&
		 add_extension(x, NID_ext_key_usage, "serverAuth");
	buf_done(&names);
	return ok;
}

static void take(BIO *from, struct buf *out)
{
	char *ptr = NULL;
	long len = BIO_get_mem_data(from, &ptr);

	if (len > 0)
		buf_append(out, ptr, (size_t)len);
}

int self_made_certificate(
	const char *name, unsigned days, struct buf *certificate, struct buf *key_text)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *x = X509_new();
	BIO *a = BIO_new(BIO_s_mem()), *b = BIO_new(BIO_s_secmem());
	int r = -ENOMEM;

	if (key && x && a && b) {
		bool ok = fill(x, key, name, days) && X509_sign(x, key, EVP_sha256()) > 0 &&
			  PEM_write_bio_X509(a, x) == 1 &&
			  PEM_write_bio_PrivateKey(b, key, NULL, NULL, 0, NULL, NULL) == 1;
		r = ok ? 0 : -EINVAL;
	}
	if (r == 0) {
		take(a, certificate);
		take(b, key_text);
		r = certificate->error ? certificate->error : key_text->error;
	}
	BIO_free(a);
	BIO_free(b);
	X509_free(x);
	EVP_PKEY_free(key);
	ERR_clear_error();
	return r;
}
