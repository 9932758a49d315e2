/* An OpenSSL provider (provider(7)) with two kinds of keys, RSA and EC, and their signatures.
 *
 * A key of ours holds a public key of the default provider and answers every question with it;
 * only "sign" goes another way. It is loaded beside the default provider, which comes first, so
 * that every other fetch by a bare name finds the default's. When OpenSSL wants to sign with such a
 * key it first tries to move the key to the default provider: `export` refuses to give what looks
 * like a private half, and then it asks the provider of the key (that is how PKCS#11 tokens work).
 *
 * Only what TLS calls is here: EVP_DigestSign in one shot. The signer may suspend the fiber;
 * OpenSSL holds no lock there, and its error queue is cleared by whoever called it (net/tls.c). */
#include "net/remote_key.h"
#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/params.h>
#include <openssl/provider.h>
#include <openssl/rsa.h>
#include <stdlib.h>
#include <string.h>

#define PROVIDER     "postrider"
#define PROPERTY     "provider=" PROVIDER
#define PARAM_REMOTE "postrider-remote" /* address of a struct remote */

struct remote {
	EVP_PKEY *public;
	const struct remote_signer *signer;
	uint8_t id[KEY_ID_OCTETS];
	bool rsa;
};
struct signing {
	const struct remote *key;
	enum sign_digest digest;
	enum sign_padding padding;
};

/* A dispatch table's functions have as many types as there are: all go through this one. */
#define FUNCTION(number, fn)                                                                       \
	{                                                                                          \
		(number), (void (*)(void))(fn)                                                     \
	}

/* ---- keys ---- */

static void *key_new(void *provider)
{
	(void)provider;
	return calloc(1, sizeof(struct remote));
}

static void key_free(void *data)
{
	struct remote *k = data;

	if (!k)
		return;
	EVP_PKEY_free(k->public);
	free(k);
}

/* The private half is not here, and is as good as here. */
static int key_has(const void *data, int selection)
{
	(void)selection;
	return data && ((const struct remote *)data)->public;
}

static int key_match(const void *a, const void *b, int selection)
{
	const struct remote *x = a, *y = b;

	(void)selection;
	return EVP_PKEY_eq(x->public, y->public) == 1;
}

static int key_get_params(void *data, OSSL_PARAM params[])
{
	return EVP_PKEY_get_params(((struct remote *)data)->public, params);
}

static const OSSL_PARAM *key_gettable(void *provider)
{
	static const OSSL_PARAM list[] = {
		OSSL_PARAM_int(OSSL_PKEY_PARAM_BITS, NULL),
		OSSL_PARAM_int(OSSL_PKEY_PARAM_SECURITY_BITS, NULL),
		OSSL_PARAM_int(OSSL_PKEY_PARAM_MAX_SIZE, NULL),
		OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, NULL, 0),
		OSSL_PARAM_END,
	};
	(void)provider;
	return list;
}

/* Only remote_key_new comes with the parameter; keys of other providers are not taken. */
static int key_import(void *data, int selection, const OSSL_PARAM params[])
{
	const OSSL_PARAM *p = OSSL_PARAM_locate_const(params, PARAM_REMOTE);
	struct remote *k = data;
	const void *from = NULL;
	size_t len = 0;

	(void)selection;
	if (!p || OSSL_PARAM_get_octet_ptr(p, &from, &len) != 1 || len != sizeof(*k))
		return 0;
	*k = *(const struct remote *)from;
	return EVP_PKEY_up_ref(k->public);
}

static const OSSL_PARAM *key_import_types(int selection)
{
	static const OSSL_PARAM list[] = {
		OSSL_PARAM_octet_ptr(PARAM_REMOTE, NULL, 0), OSSL_PARAM_END};
	(void)selection;
	return list;
}

static int key_export(void *data, int selection, OSSL_CALLBACK *callback, void *arg)
{
	if (selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY)
		return 0;
	return EVP_PKEY_export(((struct remote *)data)->public, selection, callback, arg);
}

static const OSSL_PARAM *key_export_types(int selection)
{
	static const OSSL_PARAM none[] = {OSSL_PARAM_END};
	(void)selection;
	return none;
}

static const char *rsa_operation(int operation)
{
	(void)operation;
	return "RSA";
}

static const char *ec_operation(int operation)
{
	(void)operation;
	return "ECDSA";
}

#define KEY_FUNCTIONS(operation_name)                                                              \
	FUNCTION(OSSL_FUNC_KEYMGMT_NEW, key_new), FUNCTION(OSSL_FUNC_KEYMGMT_FREE, key_free),      \
		FUNCTION(OSSL_FUNC_KEYMGMT_HAS, key_has),                                          \
		FUNCTION(OSSL_FUNC_KEYMGMT_MATCH, key_match),                                      \
		FUNCTION(OSSL_FUNC_KEYMGMT_GET_PARAMS, key_get_params),                            \
		FUNCTION(OSSL_FUNC_KEYMGMT_GETTABLE_PARAMS, key_gettable),                         \
		FUNCTION(OSSL_FUNC_KEYMGMT_IMPORT, key_import),                                    \
		FUNCTION(OSSL_FUNC_KEYMGMT_IMPORT_TYPES, key_import_types),                        \
		FUNCTION(OSSL_FUNC_KEYMGMT_EXPORT, key_export),                                    \
		FUNCTION(OSSL_FUNC_KEYMGMT_EXPORT_TYPES, key_export_types),                        \
		FUNCTION(OSSL_FUNC_KEYMGMT_QUERY_OPERATION_NAME, operation_name)

static const OSSL_DISPATCH rsa_key_functions[] = {KEY_FUNCTIONS(rsa_operation), {0, NULL}};
static const OSSL_DISPATCH ec_key_functions[] = {KEY_FUNCTIONS(ec_operation), {0, NULL}};

/* ---- signatures ---- */

static const struct {
	const char *name;
	const EVP_MD *(*md)(void);
} digests[] = {
	[SIGN_MD5_SHA1] = {"MD5-SHA1", EVP_md5_sha1},
	[SIGN_SHA1] = {"SHA1", EVP_sha1},
	[SIGN_SHA256] = {"SHA2-256", EVP_sha256},
	[SIGN_SHA384] = {"SHA2-384", EVP_sha384},
	[SIGN_SHA512] = {"SHA2-512", EVP_sha512},
};

const EVP_MD *sign_digest_md(enum sign_digest d)
{
	return d >= SIGN_MD5_SHA1 && d <= SIGN_DIGEST_LAST ? digests[d].md() : NULL;
}

static void *signing_new(void *provider, const char *properties)
{
	(void)provider;
	(void)properties;
	return calloc(1, sizeof(struct signing));
}

static void signing_free(void *data)
{
	free(data);
}

static int signing_set(void *data, const OSSL_PARAM params[])
{
	struct signing *s = data;
	const OSSL_PARAM *p =
		params ? OSSL_PARAM_locate_const(params, OSSL_SIGNATURE_PARAM_PAD_MODE) : NULL;
	int mode = 0;

	/* The salt is always as long as the digest (RFC 8446 4.2.3): its parameter says nothing. */
	if (!p)
		return 1;
	if (p->data_type == OSSL_PARAM_UTF8_STRING)
		mode = strcmp(p->data, OSSL_PKEY_RSA_PAD_MODE_PSS) == 0 ? RSA_PKCS1_PSS_PADDING
									: RSA_PKCS1_PADDING;
	else if (OSSL_PARAM_get_int(p, &mode) != 1)
		return 0;
	if (!s->key->rsa || (mode != RSA_PKCS1_PADDING && mode != RSA_PKCS1_PSS_PADDING))
		return 0;
	s->padding = mode == RSA_PKCS1_PSS_PADDING ? SIGN_RSA_PSS : SIGN_RSA_PKCS1;
	return 1;
}

static const OSSL_PARAM *signing_settable(void *data, void *provider)
{
	static const OSSL_PARAM list[] = {
		OSSL_PARAM_int(OSSL_SIGNATURE_PARAM_PAD_MODE, NULL),
		OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_PSS_SALTLEN, NULL, 0),
		OSSL_PARAM_END,
	};
	(void)data;
	(void)provider;
	return list;
}

/* Fetched once: a handshake asks for several before it signs with one. NULL: there is none. */
static EVP_MD *digest_fetched(enum sign_digest d)
{
	static EVP_MD *fetched[ARRAY_LEN(digests)];

	if (!fetched[d])
		fetched[d] = EVP_MD_fetch(NULL, digests[d].name, NULL);
	return fetched[d];
}

/* By any of its names. 0: none of ours. */
static enum sign_digest digest_of(const char *name)
{
	for (size_t i = SIGN_MD5_SHA1; name && i < ARRAY_LEN(digests); i++) {
		const EVP_MD *md = digest_fetched((enum sign_digest)i);
		if (md && EVP_MD_is_a(md, name))
			return (enum sign_digest)i;
	}
	return (enum sign_digest)0;
}

static int signing_init(void *data, const char *md_name, void *key, const OSSL_PARAM params[])
{
	struct signing *s = data;

	s->key = key;
	s->padding = s->key->rsa ? SIGN_RSA_PKCS1 : SIGN_ECDSA;
	s->digest = digest_of(md_name);
	return s->digest != 0 && signing_set(s, params);
}

static int signing_sign(void *data, unsigned char *signature, size_t *len, size_t size,
	const unsigned char *octets, size_t n_octets)
{
	struct signing *s = data;
	size_t max = (size_t)EVP_PKEY_get_size(s->key->public);
	uint8_t digest[EVP_MAX_MD_SIZE], made[SIGN_SIGNATURE_MAX];
	unsigned digest_len = 0;
	size_t made_len = 0;

	if (!signature) {
		*len = max;
		return 1;
	}
	if (EVP_Digest(octets, n_octets, digest, &digest_len, digest_fetched(s->digest), NULL) != 1)
		return 0;
	struct sign_ask ask = {
		.padding = s->padding,
		.digest_name = s->digest,
		.digest = span_make(digest, digest_len),
	};
	memcpy(ask.key_id, s->key->id, sizeof(ask.key_id));
	int r = s->key->signer->sign(s->key->signer->arg, &ask, made, &made_len);
	if (r < 0 || made_len == 0 || made_len > MIN(max, size))
		return 0;
	memcpy(signature, made, made_len);
	*len = made_len;
	return 1;
}

/* OpenSSL wants the long form to exist; TLS does not use it. */
static int signing_update(void *data, const unsigned char *octets, size_t len)
{
	(void)data;
	(void)octets;
	(void)len;
	return 0;
}

static int signing_final(void *data, unsigned char *signature, size_t *len, size_t size)
{
	(void)data;
	(void)signature;
	(void)len;
	(void)size;
	return 0;
}

static const OSSL_DISPATCH signature_functions[] = {
	FUNCTION(OSSL_FUNC_SIGNATURE_NEWCTX, signing_new),
	FUNCTION(OSSL_FUNC_SIGNATURE_FREECTX, signing_free),
	FUNCTION(OSSL_FUNC_SIGNATURE_DIGEST_SIGN_INIT, signing_init),
	FUNCTION(OSSL_FUNC_SIGNATURE_DIGEST_SIGN, signing_sign),
	FUNCTION(OSSL_FUNC_SIGNATURE_DIGEST_SIGN_UPDATE, signing_update),
	FUNCTION(OSSL_FUNC_SIGNATURE_DIGEST_SIGN_FINAL, signing_final),
	FUNCTION(OSSL_FUNC_SIGNATURE_SET_CTX_PARAMS, signing_set),
	FUNCTION(OSSL_FUNC_SIGNATURE_SETTABLE_CTX_PARAMS, signing_settable),
	{0, NULL},
};

/* ---- the provider ---- */

static const OSSL_ALGORITHM *provider_query(void *provider, int operation, int *no_cache)
{
	static const OSSL_ALGORITHM keys[] = {
		{"RSA:rsaEncryption", PROPERTY, rsa_key_functions, "remote RSA"},
		{"EC:id-ecPublicKey", PROPERTY, ec_key_functions, "remote EC"},
		{NULL, NULL, NULL, NULL},
	};
	static const OSSL_ALGORITHM signatures[] = {
		{"RSA:rsaEncryption", PROPERTY, signature_functions, "remote RSA"},
		{"ECDSA", PROPERTY, signature_functions, "remote ECDSA"},
		{NULL, NULL, NULL, NULL},
	};
	(void)provider;
	*no_cache = 0;
	if (operation == OSSL_OP_KEYMGMT)
		return keys;
	return operation == OSSL_OP_SIGNATURE ? signatures : NULL;
}

static int provider_init(const OSSL_CORE_HANDLE *handle, const OSSL_DISPATCH *in,
	const OSSL_DISPATCH **ret_out, void **ret_context)
{
	static const OSSL_DISPATCH functions[] = {
		FUNCTION(OSSL_FUNC_PROVIDER_QUERY_OPERATION, provider_query),
		{0, NULL},
	};
	static char context; /* there is none, but NULL would be a failure */

	(void)handle;
	(void)in;
	*ret_out = functions;
	*ret_context = &context;
	return 1;
}

/* For the life of the process. The default comes first: who comes first is preferred. */
static int provider_load(void)
{
	static OSSL_PROVIDER *standard, *ours;

	if (!standard)
		standard = OSSL_PROVIDER_load(NULL, "default");
	if (standard && !ours && OSSL_PROVIDER_add_builtin(NULL, PROVIDER, provider_init) == 1)
		ours = OSSL_PROVIDER_load(NULL, PROVIDER);
	return ours ? 0 : -ENOMEM;
}

int remote_key_new(EVP_PKEY *public, const struct remote_signer *signer, EVP_PKEY **ret_key)
{
	struct remote k = {
		.public = public, .signer = signer, .rsa = EVP_PKEY_is_a(public, "RSA") == 1};
	void *address = &k;
	OSSL_PARAM params[] = {
		OSSL_PARAM_octet_ptr(PARAM_REMOTE, &address, sizeof(k)), OSSL_PARAM_END};

	if (!k.rsa && EVP_PKEY_is_a(public, "EC") != 1)
		return -ENOTSUP;
	int r = provider_load();
	if (r == 0)
		r = key_id_of(public, k.id);
	if (r < 0)
		return r;
	EVP_PKEY *made = NULL;
	EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, k.rsa ? "RSA" : "EC", PROPERTY);
	if (!context || EVP_PKEY_fromdata_init(context) != 1 ||
		EVP_PKEY_fromdata(context, &made, EVP_PKEY_KEYPAIR, params) != 1)
		r = -ENOMEM;
	EVP_PKEY_CTX_free(context);
	ERR_clear_error();
	if (r == 0)
		*ret_key = made;
	return r;
}

/* ---- the other end ---- */

static EVP_PKEY_CTX *context_of(EVP_PKEY *key, enum sign_padding padding, const EVP_MD *md)
{
	EVP_PKEY_CTX *c = EVP_PKEY_CTX_new(key, NULL);
	bool ok = c && EVP_PKEY_sign_init(c) == 1;

	if (ok && padding != SIGN_ECDSA)
		ok = EVP_PKEY_CTX_set_rsa_padding(c,
			     padding == SIGN_RSA_PSS ? RSA_PKCS1_PSS_PADDING : RSA_PKCS1_PADDING) ==
		     1;
	ok = ok && EVP_PKEY_CTX_set_signature_md(c, md) == 1;
	if (ok && padding == SIGN_RSA_PSS)
		ok = EVP_PKEY_CTX_set_rsa_pss_saltlen(c, RSA_PSS_SALTLEN_DIGEST) == 1;
	if (ok)
		return c;
	EVP_PKEY_CTX_free(c);
	return NULL;
}

void sign_kept_done(struct sign_kept *kept)
{
	EVP_PKEY_CTX_free(kept->context);
	*kept = (struct sign_kept){0};
}

int sign_locally_kept(struct sign_kept *kept, EVP_PKEY *key, const struct sign_ask *ask,
	uint8_t ret_signature[SIGN_SIGNATURE_MAX], size_t *ret_len)
{
	const EVP_MD *md = sign_digest_md(ask->digest_name);
	size_t len = SIGN_SIGNATURE_MAX;

	if (!md || ask->digest.len != (size_t)EVP_MD_get_size(md))
		return -EINVAL;
	if (!kept->context || kept->padding != ask->padding ||
		kept->digest_name != ask->digest_name) {
		sign_kept_done(kept);
		if ((EVP_PKEY_is_a(key, "RSA") == 1) != (ask->padding != SIGN_ECDSA))
			return -EINVAL;
		*kept = (struct sign_kept){
			context_of(key, ask->padding, md), ask->padding, ask->digest_name};
	}
	bool ok = kept->context && EVP_PKEY_sign(kept->context, ret_signature, &len,
					   (const uint8_t *)ask->digest.ptr, ask->digest.len) == 1;
	ERR_clear_error();
	if (!ok) {
		sign_kept_done(kept);
		return -EINVAL;
	}
	*ret_len = len;
	return 0;
}

int sign_locally(EVP_PKEY *key, const struct sign_ask *ask,
	uint8_t ret_signature[SIGN_SIGNATURE_MAX], size_t *ret_len)
{
	struct sign_kept kept = {0};
	int r = sign_locally_kept(&kept, key, ask, ret_signature, ret_len);

	sign_kept_done(&kept);
	return r;
}
