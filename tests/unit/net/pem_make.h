/* Certificates of any kind and age for tests, signed by themselves, as PEM. */
#pragma once
#include "base/buf.h"
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>

enum pem_kind { PEM_EC, PEM_RSA, PEM_RSA_1024, PEM_ED25519 };

static inline EVP_PKEY *pem_key(enum pem_kind kind)
{
	return kind == PEM_RSA	      ? EVP_RSA_gen(2048)
	       : kind == PEM_RSA_1024 ? EVP_RSA_gen(1024)
	       : kind == PEM_ED25519  ? EVP_PKEY_Q_keygen(NULL, NULL, "ED25519")
				      : EVP_EC_gen("P-256");
}

static inline void pem_put(BIO *bio, struct buf *out)
{
	char *text;
	long len = BIO_get_mem_data(bio, &text);

	buf_append(out, text, (size_t)len);
	BIO_free(bio);
}

/* Valid from `begins` to `ends` seconds from now; names: "DNS:a.example,DNS:b.example". */
static inline void pem_make(enum pem_kind kind, const char *cn, const char *names, long begins,
	long ends, struct buf *certificate, struct buf *key)
{
	EVP_PKEY *k = pem_key(kind);
	X509 *x = X509_new();
	BIO *out = BIO_new(BIO_s_mem()), *secret = BIO_new(BIO_s_mem());

	assert_non_null(k);
	assert_int_equal(X509_set_version(x, X509_VERSION_3), 1);
	ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
	X509_gmtime_adj(X509_getm_notBefore(x), begins);
	X509_gmtime_adj(X509_getm_notAfter(x), ends);
	X509_set_pubkey(x, k);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_UTF8,
		(const unsigned char *)cn, -1, -1, 0);
	X509_set_issuer_name(x, X509_get_subject_name(x));
	X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, names);
	assert_int_equal(X509_add_ext(x, e, -1), 1);
	X509_EXTENSION_free(e);
	assert_true(X509_sign(x, k, kind == PEM_ED25519 ? NULL : EVP_sha256()) > 0);
	assert_int_equal(PEM_write_bio_X509(out, x), 1);
	assert_int_equal(PEM_write_bio_PrivateKey(secret, k, NULL, NULL, 0, NULL, NULL), 1);
	pem_put(out, certificate);
	pem_put(secret, key);
	X509_free(x);
	EVP_PKEY_free(k);
}
