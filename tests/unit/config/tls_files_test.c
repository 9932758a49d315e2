/* Twin of config/tls_files.c: what is said of each kind of file that is no use, and of good ones.
 */
#include "fixture.h"
#include "../net/pem_make.h"
#include "config/tls_files.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define DAY  86400L
#define YEAR (365 * DAY)

static void write_span(const char *name, struct span octets)
{
	FILE *f = fopen(name, "w");

	assert_non_null(f);
	assert_int_equal(fwrite(octets.ptr, 1, octets.len, f), octets.len);
	assert_int_equal(fclose(f), 0);
}

/* NAME.pem, NAME.key, and NAME.both with the two of them. */
static void make(const char *name, enum pem_kind kind, long begins, long ends)
{
	struct buf certificate = BUF_INIT(65536), key = BUF_INIT(65536);
	char path[64];

	pem_make(kind, "mx.example.org", "DNS:mx.example.org", begins, ends, &certificate, &key);
	(void)snprintf(path, sizeof(path), "%s.pem", name);
	write_span(path, buf_span(&certificate));
	(void)snprintf(path, sizeof(path), "%s.key", name);
	write_span(path, buf_span(&key));
	buf_put(&certificate, buf_span(&key));
	(void)snprintf(path, sizeof(path), "%s.both", name);
	write_span(path, buf_span(&certificate));
	buf_done(&certificate);
	buf_done(&key);
}

static bool holds(const struct buf *b, const char *text)
{
	return b->len && memmem(b->ptr, b->len, text, strlen(text));
}

/* want NULL: nothing is said. */
static void expect(const char *tls, const char *kind, const struct buf *got, const char *want)
{
	if (want ? !holds(got, want) : got->len > 0)
		fail_msg("%s: %s: want \"%s\", got \"%.*s\"", tls, kind, want ? want : "",
			(int)got->len, got->len ? got->ptr : "");
}

static void judge(const struct fixture *f, const char *tls, const char *error, const char *warning)
{
	struct buf text = BUF_INIT(4096), errors = BUF_INIT(65536), warnings = BUF_INIT(65536);
	struct tls_files *files = NULL;
	struct config *c = NULL;

	buf_printf(&text,
		"hostname = \"mx.example.org\"\ndata = \"data\"\n"
		"listener \"mx\" { address = {\"127.0.0.1:2525\"} }\n"
		"relay { from = {\"127.0.0.0/8\"} }\ntls { %s }\n",
		tls);
	buf_char(&text, '\0');
	fixture_write(f, "conf", text.ptr);
	if (fixture_load("conf", &c, &errors) < 0)
		fail_msg("%s: %s", tls, errors.ptr);
	buf_reset(&errors);
	int r = tls_files_read(c, &files, &errors);
	if (r == 0)
		r = tls_files_judge(files, c, (int64_t)time(NULL), &warnings, &errors);
	if ((r == 0) != !error || (error && r != -EINVAL))
		fail_msg("%s: got %d", tls, r);
	expect(tls, "errors", &errors, error);
	expect(tls, "warnings", &warnings, warning);
	tls_files_free(files);
	config_free(c);
	buf_done(&text);
	buf_done(&errors);
	buf_done(&warnings);
}

static void tls_files__what_is_said(void **state)
{
	static const struct {
		const char *tls, *error, *warning;
	} rows[] = {
		{"certificate = \"ec.pem\" key = \"ec.key\"", NULL, NULL},
		{"certificate = \"rsa.pem\" key = \"rsa.key\"", NULL, NULL},
		{"certificate = \"ec.both\"", NULL, NULL},
		{"certificate = {\"ec.pem\", \"rsa.pem\"} key = {\"rsa.key\", \"ec.key\"}", NULL,
			NULL},
		{"certificate = \"ec.pem\" key = {\"ec.key\", \"rsa.key\"}", NULL,
			"rsa.key' fits no certificate: remove it"},
		{"certificate = \"soon.both\"", NULL, "in 5 days: see why it was not renewed"},
		{"certificate = \"late.both\"", "expired on ", NULL},
		{"certificate = \"early.both\"", "is not valid before ", NULL},
		{"certificate = \"weak.both\"", "has a key of 1024 bits", NULL},
		{"certificate = \"ed25519.both\"", "neither RSA nor ECDSA", NULL},
		{"certificate = \"ec.pem\" key = \"rsa.key\"", "no key fits the certificate",
			"rsa.key' fits no certificate"},
		{"certificate = {\"ec.pem\", \"rsa.both\"}", "no key", NULL},
		{"certificate = \"none.pem\" key = \"ec.key\"",
			"none.pem' cannot be read: No such file or directory: correct the path",
			NULL},
		{"certificate = \"ec.pem\" key = \"none.key\"", "the key file '", NULL},
		{"certificate = \"empty\" key = \"ec.key\"", "is empty: write it again", NULL},
		{"certificate = \"folder\" key = \"ec.key\"", "cannot be read", NULL},
		{"certificate = \"garbage\" key = \"ec.key\"", "garbage' is no use",
			"fits no certificate"},
		{"certificate = \"ec.pem\" key = \"garbage\"", "the key file '", NULL},
		{"certificate = \"large\" key = \"ec.key\"", "it is no certificate or key", NULL},
		{"certificate = \"ec.both\" ocsp = \"garbage\"", "is no OCSP response (DER)", NULL},
		{"certificate = \"ec.both\" client = require client_ca = \"garbage\"",
			"there is no certificate in the client_ca file", NULL},
		{"certificate = \"ec.both\" client = require client_ca = \"rsa.pem\"", NULL, NULL},
		{"certificate = \"other.both\"", NULL, "is not for the hostname mx.example.org"},
	};
	struct fixture f;
	struct buf certificate = BUF_INIT(65536), key = BUF_INIT(65536);

	(void)state;
	fixture_open(&f);
	make("ec", PEM_EC, -DAY, YEAR);
	make("rsa", PEM_RSA, -DAY, YEAR);
	make("soon", PEM_EC, -DAY, 5 * DAY + 3600);
	make("late", PEM_EC, -2 * DAY, -DAY);
	make("early", PEM_EC, DAY, YEAR);
	make("weak", PEM_RSA_1024, -DAY, YEAR);
	make("ed25519", PEM_ED25519, -DAY, YEAR);
	pem_make(PEM_EC, "other.example", "DNS:other.example", -DAY, YEAR, &certificate, &key);
	buf_put(&certificate, buf_span(&key));
	write_span("other.both", buf_span(&certificate));
	fixture_write(&f, "empty", "");
	fixture_write(&f, "garbage", "hello\n");
	fixture_write(&f, "large", "x");
	assert_int_equal(truncate("large", 10 << 20), 0);
	assert_int_equal(mkdir("folder", 0755), 0);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		judge(&f, rows[i].tls, rows[i].error, rows[i].warning);
	buf_done(&certificate);
	buf_done(&key);
	fixture_close(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tls_files__what_is_said),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
