/* Twin of src/keys/keyring.c: found by id, kept for one generation more, refused with a reason. */
#include "keys/keyring.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

struct made {
	EVP_PKEY *key;
	struct buf pem;
	uint8_t id[KEY_ID_OCTETS];
};

static struct made make(void)
{
	struct made m = {.key = EVP_EC_gen("P-256"), .pem = BUF_INIT(65536)};
	BIO *bio = BIO_new(BIO_s_mem());
	char *ptr;

	assert_int_equal(PEM_write_bio_PrivateKey(bio, m.key, NULL, NULL, 0, NULL, NULL), 1);
	long len = BIO_get_mem_data(bio, &ptr);
	buf_append(&m.pem, ptr, (size_t)len);
	BIO_free(bio);
	assert_int_equal(key_id_of(m.key, m.id), 0);
	return m;
}

static void drop(struct made *m)
{
	EVP_PKEY_free(m->key);
	buf_done(&m->pem);
}

static void keyring__keeps_a_key_for_one_more_generation(void **state)
{
	struct keyring *r;
	struct made a = make(), b = make();
	const char *why;
	(void)state;

	assert_int_equal(keyring_new(&r), 0);
	assert_int_equal(keyring_add(r, buf_span(&a.pem), &why), 0);
	assert_int_equal(keyring_add(r, buf_span(&a.pem), &why), 0);
	assert_int_equal(keyring_count(r), 1);
	assert_non_null(keyring_find(r, a.id, NULL));
	assert_null(keyring_find(r, b.id, NULL));
	keyring_renew(r);
	assert_int_equal(keyring_add(r, buf_span(&b.pem), &why), 0);
	assert_non_null(
		keyring_find(r, a.id, NULL)); /* handshakes that began with its certificate */
	assert_non_null(keyring_find(r, b.id, NULL));
	keyring_renew(r);
	assert_null(keyring_find(r, a.id, NULL));
	assert_non_null(keyring_find(r, b.id, NULL));
	keyring_free(r);
	drop(&a);
	drop(&b);
}

static void keyring_add__says_what_is_wrong(void **state)
{
	struct keyring *r;
	const char *why = NULL;
	(void)state;

	assert_int_equal(keyring_new(&r), 0);
	assert_int_equal(keyring_add(r, SPAN_LIT("hello"), &why), -EINVAL);
	assert_non_null(why);
	assert_int_equal(keyring_count(r), 0);
	keyring_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keyring__keeps_a_key_for_one_more_generation),
		cmocka_unit_test(keyring_add__says_what_is_wrong),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
