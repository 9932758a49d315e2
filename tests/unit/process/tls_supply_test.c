/* Twin of src/process/tls_supply.c: what is handed out, what is made, what is taken in when files
 * change, and what is not. */
#include "../base/test.h"
#include "../scratch.h"
#include "../net/pem_make.h"
#include "base/log.h"
#include "net/certificate.h"
#include "process/tls_supply.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define YEAR (365L * 86400)

struct world {
	char folder[64];
	struct config *config;
	struct resources r;
	struct buf errors;
	int data_fd;
};

static void write_span(const char *name, struct span octets)
{
	FILE *f = fopen(name, "w");

	assert_non_null(f);
	assert_int_equal(fwrite(octets.ptr, 1, octets.len, f), octets.len);
	assert_int_equal(fclose(f), 0);
}

/* A certificate, and its key in the same file or in one of its own. */
static void make(const char *certificate, const char *key, long ends)
{
	struct buf c = BUF_INIT(65536), k = BUF_INIT(65536);

	pem_make(PEM_EC, "mx.example.org", "DNS:mx.example.org", -2 * 86400, ends, &c, &k);
	if (key)
		write_span(key, buf_span(&k));
	else
		buf_put(&c, buf_span(&k));
	write_span(certificate, buf_span(&c));
	buf_done(&c);
	buf_done(&k);
}

static void configure(struct world *w, const char *tls)
{
	struct buf text = BUF_INIT(65536);

	buf_printf(&text,
		"hostname = \"mx.example.org\"\ndata = \"data\"\n"
		"listener \"mx\" { address = {\"127.0.0.1:2525\"} }\n"
		"relay { from = {\"127.0.0.0/8\"} }\n%s\n",
		tls);
	write_span("conf", buf_span(&text));
	buf_done(&text);
	if (config_load("conf", &w->config, &w->errors) < 0)
		fail_msg("config: %.*s", SPAN_FMT(buf_span(&w->errors)));
}

static int set_up(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	w->errors = BUF_INIT(65536);
	(void)snprintf(w->folder, sizeof(w->folder), "/tmp/postrider-supply-XXXXXX");
	assert_non_null(mkdtemp(w->folder));
	assert_int_equal(chdir(w->folder), 0);
	assert_int_equal(mkdir("data", 0711), 0);
	w->data_fd = open("data", O_RDONLY | O_DIRECTORY);
	resources_init(&w->r);
	*state = w;
	return 0;
}

static int tear_down(void **state)
{
	struct world *w = *state;

	resources_done(&w->r);
	config_free(w->config);
	buf_done(&w->errors);
	close(w->data_fd);
	assert_int_equal(chdir("/"), 0);
	assert_int_equal(scratch_remove(w->folder), 0);
	free(w);
	return 0;
}

/* The octets behind a resource; empty: there is none of that name. */
static struct span octets_of(struct world *w, const char *name, struct buf *out)
{
	const struct resource *item = resources_find(&w->r, name);

	buf_reset(out);
	if (item)
		assert_int_equal(pem_read(item->fd, out), 0);
	return buf_span(out);
}

static bool holds(struct span s, const char *text)
{
	return s.len && memmem(s.ptr, s.len, text, strlen(text));
}

static void open_ok(struct world *w)
{
	if (tls_supply_open(&w->r, w->config, w->data_fd, &w->errors) < 0)
		fail_msg("%.*s", SPAN_FMT(buf_span(&w->errors)));
}

static void expect_error(const struct world *w, const char *want)
{
	if (!holds(buf_span(&w->errors), want))
		fail_msg("want \"%s\", got \"%.*s\"", want, SPAN_FMT(buf_span(&w->errors)));
}

/* A key that stands in the certificate's file goes to the keys process, and to nobody else. */
static void tls_supply_open__hands_out_each_its_part(void **state)
{
	struct world *w = *state;
	struct buf b = BUF_INIT(2 * CERTIFICATE_FILE_MAX);

	make("both.pem", NULL, YEAR);
	make("one.pem", "one.key", YEAR);
	configure(w, "tls { certificate = {\"both.pem\", \"one.pem\"} key = \"one.key\" "
		     "client = request client_ca = \"both.pem\" }");
	open_ok(w);
	static const struct {
		const char *name;
		bool there, certificate, key;
	} rows[] = {
		{"certificate:0", true, true, false},
		{"certificate:1", true, true, false},
		{"certificate:2", false, false, false},
		{"key:0", true, false, true},
		{"key:1", true, true, true}, /* both.pem as it is */
		{"key:2", false, false, false},
		{"client-ca:0", true, true, false},
		{"ocsp:0", false, false, false},
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct span s = octets_of(w, rows[i].name, &b);
		want_int(rows[i].name, rows[i].there, s.len > 0);
		want_int(rows[i].name, rows[i].certificate, holds(s, "BEGIN CERTIFICATE"));
		want_int(rows[i].name, rows[i].key, holds(s, "PRIVATE KEY"));
		const struct resource *item = resources_find(&w->r, rows[i].name);
		if (item)
			want_int(rows[i].name, -1, (int)write(item->fd, "x", 1)); /* sealed */
	}
	buf_done(&b);
}

static void tls_supply_open__makes_one_where_none_is_named(void **state)
{
	struct world *w = *state;
	struct buf first = BUF_INIT(2 * CERTIFICATE_FILE_MAX),
		   again = BUF_INIT(2 * CERTIFICATE_FILE_MAX);
	struct stat st;

	configure(w, "");
	open_ok(w);
	assert_true(holds(octets_of(w, "certificate:0", &first), "BEGIN CERTIFICATE"));
	assert_true(holds(octets_of(w, "key:0", &again), "PRIVATE KEY"));
	assert_int_equal(stat("data/tls/self-made.key", &st), 0);
	want_int("mode", 0600, (int)(st.st_mode & 07777));
	/* The next start has the same. */
	resources_done(&w->r);
	resources_init(&w->r);
	open_ok(w);
	want_span("again", buf_span(&first), octets_of(w, "certificate:0", &again));
	buf_done(&first);
	buf_done(&again);
}

static void tls_supply_open__bad_files_add_nothing(void **state)
{
	struct world *w = *state;

	make("late.pem", NULL, -86400);
	configure(w, "tls { certificate = \"late.pem\" }");
	want_int("result", -EINVAL, tls_supply_open(&w->r, w->config, w->data_fd, &w->errors));
	expect_error(w, "expired on ");
	assert_null(resources_find(&w->r, "certificate:0"));
	assert_null(resources_find(&w->r, "key:0"));
}

/* Files are taken in when they have been the same twice; bad ones never, and that is said once. */
static void tls_supply_refresh__takes_good_ones(void **state)
{
	struct world *w = *state;
	struct buf before = BUF_INIT(2 * CERTIFICATE_FILE_MAX),
		   after = BUF_INIT(2 * CERTIFICATE_FILE_MAX);

	make("live.pem", NULL, YEAR);
	configure(w, "tls { certificate = \"live.pem\" }");
	assert_false(tls_supply_refresh(&w->r, w->config, &w->errors)); /* nothing is in use */
	open_ok(w);
	assert_false(tls_supply_refresh(&w->r, w->config, &w->errors));
	(void)octets_of(w, "certificate:0", &before);

	make("next.pem", NULL, YEAR);
	assert_int_equal(rename("next.pem", "live.pem"), 0);
	assert_false(
		tls_supply_refresh(&w->r, w->config, &w->errors)); /* seen for the first time */
	assert_true(tls_supply_refresh(&w->r, w->config, &w->errors));
	assert_false(tls_supply_refresh(&w->r, w->config, &w->errors));
	want_u64("errors", 0, w->errors.len);
	assert_false(span_equal(buf_span(&before), octets_of(w, "certificate:0", &after)));

	static const char *const bad[] = {
		"expired on ", "there is no certificate in it", "cannot be read"};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		(void)octets_of(w, "certificate:0", &before);
		assert_true(unlink("live.pem") == 0 || errno == ENOENT);
		if (i == 0)
			make("live.pem", NULL, -86400);
		else if (i == 1)
			write_span("live.pem", SPAN_LIT("hello\n"));
		assert_false(tls_supply_refresh(&w->r, w->config, &w->errors));
		assert_false(tls_supply_refresh(&w->r, w->config, &w->errors));
		expect_error(w, bad[i]);
		buf_reset(&w->errors);
		assert_false(tls_supply_refresh(&w->r, w->config, &w->errors));
		want_u64("said once", 0, w->errors.len);
		want_span(
			"what is in use", buf_span(&before), octets_of(w, "certificate:0", &after));
	}
	make("live.pem", NULL, YEAR);
	assert_false(tls_supply_refresh(&w->r, w->config, &w->errors));
	assert_true(tls_supply_refresh(&w->r, w->config, &w->errors));
	buf_done(&before);
	buf_done(&after);
}

/* Receivers read the page, and cannot write it. */
static void tls_supply_tickets__read_only_for_others(void **state)
{
	struct world *w = *state;
	struct ticket_page *page = NULL;
	struct ticket_key keys[TICKET_KEYS], none = {{0}, {0}, {0}};

	assert_int_equal(tls_supply_tickets(&w->r, &page), 0);
	const struct resource *item = resources_find(&w->r, "tickets");
	assert_non_null(item);
	assert_ptr_equal(mmap(NULL, sizeof(*page), PROT_READ | PROT_WRITE, MAP_SHARED, item->fd, 0),
		MAP_FAILED);
	const struct ticket_page *theirs =
		mmap(NULL, sizeof(*page), PROT_READ, MAP_SHARED, item->fd, 0);
	assert_ptr_not_equal(theirs, MAP_FAILED);
	assert_int_equal(tickets_read(theirs, keys), 0);
	for (size_t i = 0; i < TICKET_KEYS; i++)
		assert_memory_not_equal(&keys[i], &none, sizeof(none));
	tickets_rotate(page);
	struct ticket_key then[TICKET_KEYS];
	assert_int_equal(tickets_read(theirs, then), 0);
	assert_memory_equal(&then[1], &keys[0], sizeof(keys[0]));
	assert_int_equal(munmap(page, sizeof(*page)), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			tls_supply_open__hands_out_each_its_part, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			tls_supply_open__makes_one_where_none_is_named, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			tls_supply_open__bad_files_add_nothing, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			tls_supply_refresh__takes_good_ones, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			tls_supply_tickets__read_only_for_others, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
