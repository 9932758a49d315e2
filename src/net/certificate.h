/* Certificates and private keys out of PEM files, and what an operator must be told about them.
 * Pure: octets in, objects and words out. */
#pragma once
#include "base/buf.h"
#include <openssl/x509.h>

#define CERTIFICATE_FILE_MAX (256u * 1024u) /* octets of a file that is read at all */
#define KEY_ID_OCTETS	     32u

struct certificate {
	X509 *leaf;
	STACK_OF(X509) * chain; /* what is sent behind it; may be empty */
	int key_type;		/* EVP_PKEY_RSA, EVP_PKEY_EC, others */
	uint8_t key_id[KEY_ID_OCTETS];
	int64_t begins_sec, ends_sec; /* wall */
};
/* The first certificate of the text and those behind it. -EINVAL with the reason in *ret_why
 * (static text); -ENOMEM. */
MUST_CHECK int certificate_parse(
	struct span pem, struct certificate **ret_certificate, const char **ret_why);
void certificate_free(struct certificate *c); /* NULL allowed */
void certificate_freep(struct certificate **c);
/* Is it valid for that host name (wildcards as RFC 6125 6.4.3)? */
bool certificate_covers(const struct certificate *c, struct span name);
/* "mx.example.org, *.example.org": its DNS names, or its subject. */
void certificate_names(const struct certificate *c, struct buf *out);
/* Does it need an issuer's certificate behind it that is not there? */
bool certificate_lacks_issuer(const struct certificate *c);
/* The first DNS name into out, terminated; empty when there is none. */
void certificate_first_name(const struct certificate *c, struct buf *out);

/* -EINVAL with the reason (also for a key that needs a password). */
MUST_CHECK int private_key_parse(struct span pem, EVP_PKEY **ret_key, const char **ret_why);
/* SHA-256 of the public half (SubjectPublicKeyInfo): names a key without showing it. */
MUST_CHECK int key_id_of(EVP_PKEY *key, uint8_t ret_id[KEY_ID_OCTETS]);

/* Only the certificates of a PEM text: what may be shown to processes that must not see a key that
 * stands in the same file. */
void pem_certificates(struct span pem, struct buf *out);
/* Reads a file of at most CERTIFICATE_FILE_MAX octets. */
MUST_CHECK int pem_read(int fd, struct buf *out);
