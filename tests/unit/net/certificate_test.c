/* Twin of src/net/certificate.c, self_made.c and tickets.c. */
#include "net/certificate.h"
#include "net/self_made.h"
#include "net/tickets.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>
#include <openssl/evp.h>
#include <time.h>

static void self_made_certificate__is_for_its_name(void **state)
{
	struct buf pem = BUF_INIT(65536), key = BUF_INIT(65536), names = BUF_INIT(256);
	struct certificate *c = NULL;
	EVP_PKEY *k = NULL;
	uint8_t id[KEY_ID_OCTETS];
	const char *why;
	(void)state;

	assert_int_equal(self_made_certificate("mx.example.org", 10, &pem, &key), 0);
	assert_int_equal(certificate_parse(buf_span(&pem), &c, &why), 0);
	assert_int_equal(private_key_parse(buf_span(&key), &k, &why), 0);
	assert_int_equal(key_id_of(k, id), 0);
	assert_memory_equal(id, c->key_id, KEY_ID_OCTETS);
	assert_true(certificate_covers(c, SPAN_LIT("MX.example.org")));
	assert_false(certificate_covers(c, SPAN_LIT("example.org")));
	assert_false(certificate_covers(c, SPAN_NULL));
	assert_false(certificate_lacks_issuer(c));
	certificate_names(c, &names);
	assert_true(span_equal(buf_span(&names), SPAN_LIT("mx.example.org")));
	int64_t now = (int64_t)time(NULL);
	assert_true(c->begins_sec < now && c->ends_sec > now + 9 * 86400 &&
		    c->ends_sec < now + 11 * 86400);
	certificate_free(c);
	EVP_PKEY_free(k);
	buf_done(&pem);
	buf_done(&key);
	buf_done(&names);
}

static void pem_certificates__shows_no_key(void **state)
{
	struct buf both = BUF_INIT(65536), pem = BUF_INIT(65536), key = BUF_INIT(65536),
		   only = BUF_INIT(65536);
	struct certificate *c = NULL;
	const char *why;
	(void)state;

	assert_int_equal(self_made_certificate("a.example", 10, &pem, &key), 0);
	buf_str(&both, "Bag Attributes\r\n");
	buf_put(&both, buf_span(&key));
	buf_put(&both, buf_span(&pem));
	buf_put(&both, buf_span(&key));
	pem_certificates(buf_span(&both), &only);
	assert_true(span_equal(buf_span(&only), buf_span(&pem)));
	assert_int_equal(certificate_parse(buf_span(&both), &c, &why), 0);
	certificate_free(c);
	buf_done(&both);
	buf_done(&pem);
	buf_done(&key);
	buf_done(&only);
}

static void parse__what_is_none(void **state)
{
	static const char *const texts[] = {"", "hello", "-----BEGIN CERTIFICATE-----\n",
		"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
		"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		struct certificate *c = NULL;
		EVP_PKEY *k = NULL;
		const char *why = NULL;
		assert_int_equal(certificate_parse(span_str(texts[i]), &c, &why), -EINVAL);
		assert_non_null(why);
		assert_int_equal(private_key_parse(span_str(texts[i]), &k, &why), -EINVAL);
	}
}

static void tickets__rotate(void **state)
{
	static struct ticket_page page;
	struct ticket_key first[TICKET_KEYS], then[TICKET_KEYS];
	(void)state;

	for (unsigned i = 0; i < TICKET_KEYS; i++)
		tickets_rotate(&page);
	assert_int_equal(tickets_read(&page, first), 0);
	tickets_rotate(&page);
	assert_int_equal(tickets_read(&page, then), 0);
	assert_memory_equal(&then[1], &first[0], sizeof(first[0]) * (TICKET_KEYS - 1));
	assert_memory_not_equal(&then[0], &first[0], sizeof(first[0]));
	page.sequence++; /* a writer that died in the middle */
	assert_int_equal(tickets_read(&page, then), -EAGAIN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(self_made_certificate__is_for_its_name),
		cmocka_unit_test(pem_certificates__shows_no_key),
		cmocka_unit_test(parse__what_is_none),
		cmocka_unit_test(tickets__rotate),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
