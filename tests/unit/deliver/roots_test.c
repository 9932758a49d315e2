/* Twin of deliver/roots.c: a file is parsed when it is first needed, or at once where that was
 * asked, and what was begun with it outlives its replacement. */
#include "deliver/roots.h"

#include "support.h"
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* A certificate of our own, for nobody: P-256, for a hundred years. */
static const char pem[] = "-----BEGIN CERTIFICATE-----\n"
			  "MIIBkDCCATegAwIBAgIUVVPL3cbkv67h/5xbJCNCdFVW5JkwCgYIKoZIzj0EAwIw\n"
			  "HTEbMBkGA1UEAwwScm9vdHMudGVzdC5leGFtcGxlMCAXDTI2MTEyMjE0NDE1OFoY\n"
			  "DzIxMjYxMDI5MTQ0MTU4WjAdMRswGQYDVQQDDBJyb290cy50ZXN0LmV4YW1wbGUw\n"
			  "WTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAARz0SXxCHcT8NXTLnrUWLVtpmvm51GM\n"
			  "Lm7vLsQcB5M6XXx7Q5m1pnskEJfcrKxe1rtm3VRoien/w+mHNDrUGeLmo1MwUTAd\n"
			  "BgNVHQ4EFgQUu+ydB24N/MJwZsz3ChV4nb05d5cwHwYDVR0jBBgwFoAUu+ydB24N\n"
			  "/MJwZsz3ChV4nb05d5cwDwYDVR0TAQH/BAUwAwEB/zAKBggqhkjOPQQDAgNHADBE\n"
			  "AiAkINHvxS/VyDcSvK7EZ+Yp8x+0BxkbgSR3rzpMWSyMOQIge2FtyKcRdzBB6ag3\n"
			  "fH68YT6DYhnatLilAZox9TlGMxc=\n"
			  "-----END CERTIFICATE-----\n";

static int file_with(const char *text)
{
	int fd = memfd_create("roots", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	return fd;
}

static int count(X509_STORE *store)
{
	return store ? sk_X509_OBJECT_num(X509_STORE_get0_objects(store)) : -1;
}

static void roots_new__parses_now_or_later(void **state)
{
	static const struct {
		const char *text;
		int now, certificates; /* -1: no store */
	} table[] = {{pem, 0, 1}, {"", -EBADMSG, -1}, {"no certificate at all\n", -EBADMSG, -1}};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		int fd = file_with(table[i].text);
		struct roots *now = NULL, *later = NULL;
		int r = roots_new(fd, true, &now);
		if (r != table[i].now)
			fail_msg("row %zu at once: want %d, got %d", i, table[i].now, r);
		assert_int_equal(roots_new(fd, false, &later), 0);
		for (unsigned again = 0; again < 2; again++)
			if (count(roots_store(later)) != table[i].certificates)
				fail_msg("row %zu later: want %d, got %d", i, table[i].certificates,
					count(roots_store(later)));
		roots_unref(now);
		roots_unref(later);
		close(fd);
	}
	assert_null(roots_store(NULL));
}

static void roots_new__is_lazy(void **state)
{
	struct roots *roots = NULL;
	int fd = file_with("nothing yet");

	(void)state;
	assert_int_equal(roots_new(fd, false, &roots), 0);
	assert_int_equal(pwrite(fd, pem, strlen(pem), 0), (ssize_t)strlen(pem));
	assert_int_equal(count(roots_store(roots)), 1);
	/* Parsed once: what happens to the file later is for the next one. */
	assert_int_equal(ftruncate(fd, 0), 0);
	assert_int_equal(count(roots_store(roots)), 1);
	roots_unref(roots);
	close(fd);
}

static void roots_ref__outlives_its_giver(void **state)
{
	struct roots *roots = NULL;
	struct buf text = BUF_INIT(ROOTS_FILE_MAX);
	int fd = file_with(pem);

	(void)state;
	assert_int_equal(roots_new(fd, false, &roots), 0);
	close(fd);
	struct roots *mine = roots_ref(roots);
	roots_unref(roots);
	assert_int_equal(roots_read(mine, &text), 0);
	assert_true(span_equal(buf_span(&text), span_str(pem)));
	assert_int_equal(count(roots_store(mine)), 1);
	roots_unref(mine);
	buf_done(&text);
	assert_null(roots_ref(NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(roots_new__parses_now_or_later),
		cmocka_unit_test(roots_new__is_lazy),
		cmocka_unit_test(roots_ref__outlives_its_giver),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
