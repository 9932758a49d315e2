/* Connection limits across processes. */
#include "accept/permits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

static struct address at(const char *text)
{
	struct address a;
	assert_int_equal(address_parse(span_str(text), 25, &a), 0);
	return a;
}

static void permits_enter__limits(void **state)
{
	struct config c = {.limits = {.connections = 6, .connections_per_ip = 2}};
	struct network relayed;
	struct permits *p = NULL;
	uint32_t bucket[16];
	(void)state;

	assert_int_equal(network_parse(SPAN_LIT("10.0.0.0/8"), &relayed), 0);
	c.relay.from = &relayed;
	c.relay.n_from = 1;
	assert_int_equal(permits_new(-1, 0, &p), 0);
	const struct {
		const char *address;
		enum permit_result want;
	} rows[] = {
		{"192.0.2.1", PERMIT_OK},
		{"192.0.2.1", PERMIT_OK},
		{"192.0.2.1", PERMIT_ADDRESS_TAKEN},
		{"10.1.1.1", PERMIT_OK},
		{"10.1.1.1", PERMIT_OK},
		{"10.1.1.1", PERMIT_OK}, /* relay.from is exempt */
		{"127.0.0.1", PERMIT_OK},
		{"127.0.0.1", PERMIT_ALL_TAKEN},
	};
	size_t held = 0;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct address a = at(rows[i].address);
		enum permit_result got = permits_enter(p, &c, &a, &bucket[held]);
		if (got != rows[i].want)
			fail_msg("row %zu, %s: want %d, got %d", i, rows[i].address, rows[i].want,
				got);
		held += got == PERMIT_OK;
	}
	permits_leave(p, bucket[0]);
	struct address a = at("192.0.2.1");
	assert_int_equal(permits_enter(p, &c, &a, &bucket[0]), PERMIT_OK);
	for (size_t i = 0; i < held; i++)
		permits_leave(p, bucket[i]);
	assert_int_equal(permits_enter(p, &c, NULL, &bucket[0]), PERMIT_OK);
	permits_free(p);
}

static void permits_enter__ipv6_by_64(void **state)
{
	struct config c = {.limits = {.connections = 100, .connections_per_ip = 1}};
	struct permits *p = NULL;
	uint32_t bucket;
	(void)state;

	assert_int_equal(permits_new(-1, 0, &p), 0);
	struct address one = at("2001:db8::1"), two = at("2001:db8::2"),
		       other = at("2001:db8:0:1::1");
	assert_int_equal(permits_enter(p, &c, &one, &bucket), PERMIT_OK);
	assert_int_equal(permits_enter(p, &c, &two, &bucket), PERMIT_ADDRESS_TAKEN);
	assert_int_equal(permits_enter(p, &c, &other, &bucket), PERMIT_OK);
	permits_free(p);
}

static void permits_new__shared_rows_and_a_death(void **state)
{
	struct config c = {.limits = {.connections = 100, .connections_per_ip = 2}};
	struct permits *first = NULL, *second = NULL;
	struct address a = at("192.0.2.1");
	uint32_t bucket;
	int fd = memfd_create("permits", MFD_CLOEXEC);
	(void)state;

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, PERMIT_OCTETS), 0);
	assert_int_equal(permits_new(fd, 0, &first), 0);
	assert_int_equal(permits_new(fd, 1, &second), 0);
	assert_int_equal(permits_enter(first, &c, &a, &bucket), PERMIT_OK);
	assert_int_equal(permits_enter(second, &c, &a, &bucket), PERMIT_OK);
	assert_int_equal(permits_enter(first, &c, &a, &bucket), PERMIT_ADDRESS_TAKEN);
	/* The second dies without a word, another takes its place. */
	permits_free(second);
	assert_int_equal(permits_new(fd, 1, &second), 0);
	assert_int_equal(permits_enter(first, &c, &a, &bucket), PERMIT_OK);
	permits_free(first);
	permits_free(second);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(permits_enter__limits),
		cmocka_unit_test(permits_enter__ipv6_by_64),
		cmocka_unit_test(permits_new__shared_rows_and_a_death),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
