/* What a sound configuration gives: each key of the design's examples, the defaults, includes,
 * paths, and the round trip to another process. */
#include "fixture.h"
#include "config/schema.h"
#include "mail/mechanism.h"
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static const char ten_lines[] =
	"hostname = \"mx.example.org\"\n"
	"data     = \"/var/lib/postrider\"\n"
	"\n"
	"listener \"mx\"          { address = {\"0.0.0.0:25\", \"[::]:25\"} }\n"
	"listener \"submission\"  { address = {\"0.0.0.0:587\"}  role = submission }\n"
	"listener \"submissions\" { address = {\"0.0.0.0:465\"}  role = submission  tls = implicit "
	"}\n"
	"tls    { certificate = \"/etc/ssl/example.org.pem\"  key = \"/etc/ssl/private/x.key\" }\n"
	"domain \"example.org\" {\n"
	"  users = \"file:/etc/postrider/users\"  aliases = \"file:/etc/postrider/aliases\"\n"
	"  deliver = \"maildir:/var/mail/{domain}/{local}\"   dkim = true\n"
	"}\n";
static const char relay[] = "hostname = \"relay.example.org\"\n"
			    "data     = \"./data\"\n"
			    "listener \"mx\" { address = {\"127.0.0.1:2525\"} }\n"
			    "relay    { from = {\"127.0.0.0/8\"}  via = \"smtp://127.0.0.1:2626\" "
			    "}     # via = \"mx\"\n";

/* Every key there is; a test below compares it with the schema. */
static const char everything[] =
	"hostname = \"MX.Example.Org\"\n"
	"data = \"spool/../data\"\n"
	"user = \"postrider\"\n"
	"mail_user = \"vmail\"\n"
	"grace = 45s\n"
	"listener \"mx\" { address = {\"127.0.0.1:2525\", \"[::1]:2525\"} role = mx tls = none }\n"
	"listener \"lmtp\" { address += {\"unix:run/lmtp\"} role = 'lmtp' proxy = "
	"{\"10.0.0.1/32\"}"
	"  xclient = \"10.0.0.2/32\" xforward = {\"10.0.0.3/32\"} }\n"
	"listener \"subs\" { address = \"127.0.0.1:4650\" role = submission tls = implicit "
	"tls_client = request }\n"
	"domain \"Example.ORG\" { users = \"file:users\" aliases = \"file:./aliases\" "
	"senders = \"file:senders\"\n"
	"  deliver = \"maildir:{data}/m/{domain}/{local}\" catch_all = \"info@example.com\"\n"
	"  subaddress = \"+-\" dkim = yes vrfy = yes expn = yes etrn = yes }\n"
	"domain \"a.example\" { users = any deliver = \"discard:\" subaddress = \"\" dkim = no }\n"
	"domain \"b.example\" { users = \"sqlite:db/users.sqlite\" deliver = \"lmtp:unix:run/d\" "
	"}\n"
	"route \"partner.example\" { via = \"lmtp:unix:/run/dovecot/lmtp\" tls = required }\n"
	"route \".c.example\" { via = \"smtps://[2001:db8::1]\" etrn = yes tls = verify"
	"  tls_names = {\"MX.c.example\", \".d.example\"} tls_ca = \"roots.pem\""
	"  tls_fingerprints = {\"00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:"
	"00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF\"}"
	"  credentials = \"file:secret\" source = {\"192.0.2.1\", \"2001:db8::7 out.example.org "
	"x3\"} "
	"}\n"
	"route \"*\" { via = mx }\n"
	"relay { from = {\"127.0.0.0/8\", \"::1/128\"} via = \"pipe:/bin/relay -x\" }\n"
	"limits { message_size = \"50M\" recipients = 1000 errors = 20 transactions = 70 "
	"line_length = 998 "
	"recipient_domains = 8 connections = 500\n"
	"  connections_per_ip = 7 hops = 30 command_timeout = 2m data_timeout = 90s\n"
	"  data_rate = 1K bare_newlines = {\"10.0.0.0/8\"} rates = {\"100/1h\"} }\n"
	"queue { retry = {\"5m\",\"15m\",\"1h\"} warn = \"3h\" expire = \"4d\" bounce_expire = "
	"12h future_release = 9d\n"
	"  concurrency = 9 connect_timeout = 11s command_timeout = 12s data_timeout = 13s }\n"
	"spool { segment_size = 16M reserve = 1G compact = 5m }\n"
	"log { format = json level = debug }\n"
	"control { http = \"127.0.0.1:8026\" }\n"
	"processes { receivers = 3 deliverers = 2 }\n"
	"tls { certificate = {\"a.pem\", \"b.pem\"} key = {\"a.key\", \"b.key\"} ca = \"ca.pem\" "
	"ocsp = a.ocsp ciphers = modern client = require client_ca = roots.pem keys = receiver "
	"handshake_timeout = 9s }\n"
	"dns { server = {\"127.0.0.1:5300\", \"192.0.2.1\"} trust_anchor = \"ta\" timeout = 7s "
	"cache = 8M "
	"  stub = {\"a.example 10.0.0.1\", \". [::1]:54\"} forward = {\"B.example "
	"10.0.0.2:5353\"} "
	"  insecure = {\"a.example\"} }\n"
	"tlsrpt { enabled = false organization = \"Example Org\" contact = \"tls@example.org\" "
	"delay = 2h "
	"}\n"
	"auth { mechanisms = {\"PLAIN\", \"login\"} hide_client = yes message_size = 1M "
	"recipients = 11\n  messages_per_hour = 12 recipients_per_hour = 13 }\n";

/* Loads text, which must be sound. */
static struct config *load(const struct fixture *f, const char *text)
{
	struct buf errors = BUF_INIT(65536);
	struct config *c = NULL;

	fixture_write(f, "m.conf", text);
	int r = fixture_load("m.conf", &c, &errors);
	if (r < 0 || errors.ptr[0])
		fail_msg("want no error, got %d: %s", r, errors.ptr);
	buf_done(&errors);
	return c;
}

static bool has_line(const struct config *c, const char *start)
{
	for (size_t i = 0; i < c->n_unsupported; i++)
		if (strncmp(c->unsupported[i], start, strlen(start)) == 0)
			return true;
	return false;
}

static void config_load__ten_lines(void **state)
{
	struct fixture f;
	(void)state;

	fixture_open(&f);
	struct config *c = load(&f, ten_lines);
	assert_string_equal(c->hostname, "mx.example.org");
	assert_string_equal(c->data, "/var/lib/postrider");
	assert_int_equal(c->n_listeners, 3);
	assert_int_equal(c->listeners[0].n_addresses, 2);
	assert_int_equal(address_port(&c->listeners[0].addresses[1].address), 25);
	assert_int_equal(c->listeners[2].role, LISTENER_SUBMISSION);
	assert_int_equal(c->listeners[2].tls, TLS_IMPLICIT);
	assert_string_equal(c->listeners[2].at, "m.conf:6");
	assert_int_equal(c->tls.n_certificates, 1);
	assert_string_equal(c->tls.certificates[0], "/etc/ssl/example.org.pem");
	assert_string_equal(c->tls.keys[0], "/etc/ssl/private/x.key");
	assert_string_equal(c->tls.at, "m.conf:7");
	assert_int_equal(c->tls.client, TLS_CLIENT_NONE);
	assert_int_equal(c->n_domains, 1);
	assert_int_equal(c->domains[0].users, USERS_FILE);
	assert_string_equal(c->domains[0].users_path, "/etc/postrider/users");
	assert_string_equal(c->domains[0].aliases_path, "/etc/postrider/aliases");
	assert_int_equal(c->domains[0].deliver.kind, TARGET_MAILDIR);
	assert_string_equal(c->domains[0].deliver.path, "/var/mail/{domain}/{local}");
	assert_true(c->domains[0].dkim);
	assert_string_equal(c->domains[0].at, "m.conf:8");
	static const char *const lines[] = {"m.conf:10: dkim is accepted"};
	for (size_t i = 0; i < ARRAY_LEN(lines); i++)
		if (!has_line(c, lines[i]))
			fail_msg("want the line '%s'", lines[i]);
	assert_int_equal(c->n_unsupported, ARRAY_LEN(lines));
	config_free(c);
	fixture_close(&f);
}

static void config_load__relay_and_defaults(void **state)
{
	struct fixture f;
	char path[128];
	(void)state;

	fixture_open(&f);
	struct config *c = load(&f, relay);
	snprintf(path, sizeof(path), "%s/data", f.folder);
	assert_string_equal(c->data, path);
	assert_string_equal(c->folder, f.folder);
	snprintf(path, sizeof(path), "%s/m.conf", f.folder);
	assert_string_equal(c->path, path);
	assert_int_equal(c->n_unsupported, 0);
	assert_int_equal(c->relay.n_from, 1);
	assert_int_equal(c->relay.from[0].bits, 8);
	assert_int_equal(c->relay.via.kind, TARGET_SMTP);
	assert_string_equal(c->relay.via.host, "127.0.0.1");
	assert_int_equal(c->relay.via.port, 2626);
	assert_int_equal(c->limits.message_size, 50 << 20);
	assert_int_equal(c->limits.recipients, 1000);
	assert_int_equal(c->limits.errors, 20);
	assert_int_equal(c->queue.n_retry, 6);
	assert_int_equal(c->queue.retry[0], 5 * 60 * USEC_PER_SEC);
	assert_int_equal(c->queue.warn, 4 * 3600 * USEC_PER_SEC);
	assert_int_equal(c->queue.expire, 5 * 24 * 3600 * USEC_PER_SEC);
	assert_string_equal(c->log.format, "auto");
	assert_int_equal(c->spool.segment_size, 64 << 20);
	assert_int_equal(c->spool.compact, 60 * USEC_PER_SEC);
	assert_null(config_domain(c, SPAN_LIT("relay.example.org")));
	config_free(c);
	fixture_close(&f);
}

static void check_everything(const struct config *c, const struct fixture *f)
{
	char path[128];

	assert_string_equal(c->hostname, "mx.example.org");
	assert_string_equal(c->user, "postrider");
	assert_string_equal(c->mail_user, "vmail");
	assert_int_equal(c->grace, 45 * USEC_PER_SEC);
	assert_int_equal(c->n_listeners, 3);
	assert_int_equal(c->listeners[0].tls, TLS_NONE);
	assert_int_equal(c->listeners[1].role, LISTENER_LMTP);
	assert_true(address_is_unix(&c->listeners[1].addresses[0].address));
	assert_int_equal(c->n_domains, 3);
	const struct config_domain *d = config_domain(c, SPAN_LIT("EXAMPLE.org"));
	assert_non_null(d);
	assert_string_equal(d->name, "example.org");
	snprintf(path, sizeof(path), "%s/users", f->folder);
	assert_string_equal(d->users_path, path);
	snprintf(path, sizeof(path), "%s/aliases", f->folder);
	assert_string_equal(d->aliases_path, path);
	snprintf(path, sizeof(path), "%s/spool/../data/m/{domain}/{local}", f->folder);
	assert_string_equal(d->deliver.path, path);
	assert_string_equal(d->deliver.text, "maildir:{data}/m/{domain}/{local}");
	assert_string_equal(d->catch_all, "info@example.com");
	assert_string_equal(d->subaddress, "+-");
	d = config_domain(c, SPAN_LIT("a.example"));
	assert_string_equal(d->subaddress, "");
	assert_false(d->dkim);
	d = config_domain(c, SPAN_LIT("b.example"));
	assert_int_equal(d->users, USERS_SQLITE);
	assert_string_equal(d->subaddress, "+");
	snprintf(path, sizeof(path), "%s/run/d", f->folder);
	assert_string_equal(d->deliver.path, path);
	assert_null(config_domain(c, SPAN_LIT("c.example")));
	assert_null(config_domain(c, SPAN_LIT("a.exampl")));
	assert_null(config_domain(c, SPAN_LIT("a.examplee")));
	assert_int_equal(c->n_routes, 3);
	assert_int_equal(c->routes[0].out.tls, TLS_LEVEL_ENCRYPT);
	assert_string_equal(c->routes[1].domain, ".c.example");
	assert_string_equal(c->routes[1].via.host, "2001:db8::1");
	assert_int_equal(c->routes[1].via.port, 465);
	const struct config_outbound *o = &c->routes[1].out;
	assert_int_equal(o->tls, TLS_LEVEL_VERIFY);
	assert_int_equal(o->n_tls_names, 2);
	assert_string_equal(o->tls_names[0], "mx.c.example");
	assert_string_equal(o->tls_names[1], ".d.example");
	assert_int_equal(o->n_tls_fingerprints, 1);
	assert_string_equal(o->tls_fingerprints[0],
		"00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff");
	snprintf(path, sizeof(path), "%s/secret", f->folder);
	assert_string_equal(o->credentials, path);
	assert_int_equal(o->n_sources, 2);
	assert_null(o->sources[0].name);
	assert_int_equal(o->sources[1].address.ss.ss_family, AF_INET6);
	assert_string_equal(o->sources[1].name, "out.example.org");
	assert_int_equal(o->sources[1].weight, 3);
	assert_int_equal(c->relay.out.tls, TLS_LEVEL_AUTO);
	assert_int_equal(c->routes[2].via.kind, TARGET_MX);
	assert_int_equal(c->relay.n_from, 2);
	assert_string_equal(c->relay.via.path, "/bin/relay -x");
	assert_int_equal(c->limits.connections, 500);
	assert_int_equal(c->limits.connections_per_ip, 7);
	assert_int_equal(c->limits.hops, 30);
	assert_int_equal(c->limits.command_timeout, 120 * USEC_PER_SEC);
	assert_int_equal(c->limits.data_timeout, 90 * USEC_PER_SEC);
	assert_int_equal(c->limits.data_rate, 1024);
	assert_int_equal(c->limits.n_bare_newlines, 1);
	assert_int_equal(c->queue.n_retry, 3);
	assert_int_equal(c->queue.retry[2], 3600 * USEC_PER_SEC);
	assert_int_equal(c->queue.warn, 3 * 3600 * USEC_PER_SEC);
	assert_int_equal(c->queue.bounce_expire, 12 * 3600 * USEC_PER_SEC);
	assert_int_equal(c->queue.concurrency, 9);
	assert_int_equal(c->queue.connect_timeout, 11 * USEC_PER_SEC);
	assert_int_equal(c->queue.command_timeout, 12 * USEC_PER_SEC);
	assert_int_equal(c->queue.data_timeout, 13 * USEC_PER_SEC);
	assert_int_equal(c->spool.segment_size, 16 << 20);
	assert_int_equal(c->spool.reserve, 1 << 30);
	assert_int_equal(c->auth.mechanisms, MECH_BIT(MECH_PLAIN) | MECH_BIT(MECH_LOGIN));
	assert_true(c->auth.hide_client);
	assert_int_equal(c->auth.message_size, 1 << 20);
	assert_int_equal(c->auth.recipients, 11);
	assert_int_equal(c->auth.messages_per_hour, 12);
	assert_int_equal(c->auth.recipients_per_hour, 13);
	assert_int_equal(c->spool.compact, 300 * USEC_PER_SEC);
	assert_string_equal(c->log.format, "json");
	assert_string_equal(c->log.level, "debug");
	assert_string_equal(c->control.http, "127.0.0.1:8026");
	assert_int_equal(c->dns.n_servers, 2);
	assert_int_equal(address_port(&c->dns.servers[1].address), 53);
	assert_int_equal(c->dns.n_stubs, 2);
	assert_string_equal(c->dns.stubs[1].zone, ".");
	assert_int_equal(address_port(&c->dns.stubs[1].server), 54);
	assert_string_equal(c->dns.forwards[0].zone, "b.example");
	assert_string_equal(c->dns.insecure[0], "a.example");
	assert_int_equal(c->dns.timeout, 7 * USEC_PER_SEC);
	assert_int_equal(c->dns.cache, 8 << 20);
	assert_int_equal(c->listeners[2].tls_client, TLS_CLIENT_REQUEST);
	assert_int_equal(c->tls.n_certificates, 2);
	assert_int_equal(c->tls.n_keys, 2);
	assert_int_equal(c->tls.n_ocsp, 1);
	assert_int_equal(c->tls.ciphers, TLS_CIPHERS_MODERN);
	assert_int_equal(c->tls.client, TLS_CLIENT_REQUIRE);
	assert_int_equal(c->tls.keys_in, TLS_KEYS_RECEIVER);
	assert_int_equal(c->tls.handshake_timeout, 9 * USEC_PER_SEC);
	assert_int_equal(c->receivers, 3);
	assert_int_equal(c->deliverers, 2);
}

static void config_load__everything(void **state)
{
	static const char *const lines[] = {"m.conf:11: dkim", "m.conf:17: pipe:/bin/relay -x",
		"m.conf:20: rates", "m.conf:25: http"};
	struct fixture f;
	(void)state;

	fixture_open(&f);
	struct config *c = load(&f, everything);
	check_everything(c, &f);
	for (size_t i = 0; i < ARRAY_LEN(lines); i++)
		if (!has_line(c, lines[i]))
			fail_msg("want the line '%s'", lines[i]);
	assert_int_equal(c->n_unsupported, ARRAY_LEN(lines));
	config_free(c);
	fixture_close(&f);
}

static void config_parse_dump__everything(void **state)
{
	struct fixture f;
	struct buf first = BUF_INIT(1 << 20), second = BUF_INIT(1 << 20);
	(void)state;

	fixture_open(&f);
	struct config *c = load(&f, everything), *copy = NULL;
	config_dump(c, &first);
	assert_int_equal(first.error, 0);
	assert_int_equal(config_parse_dump(buf_span(&first), &copy), 0);
	check_everything(copy, &f);
	assert_int_equal(copy->n_unsupported, c->n_unsupported);
	assert_string_equal(copy->unsupported[3], c->unsupported[3]);
	assert_true(address_equal_host(
		&copy->listeners[0].addresses[1].address, &c->listeners[0].addresses[1].address));
	/* Equal octets: nothing was lost that the eye above did not miss. */
	config_dump(copy, &second);
	assert_int_equal(first.len, second.len);
	assert_memory_equal(first.ptr, second.ptr, first.len);
	config_free(copy);
	config_free(c);
	buf_done(&first);
	buf_done(&second);
	fixture_close(&f);
}

static void config_parse_dump__cut_short_or_flipped(void **state)
{
	struct fixture f;
	struct buf whole = BUF_INIT(1 << 20);
	(void)state;

	fixture_open(&f);
	struct config *c = load(&f, everything), *copy = NULL;
	config_dump(c, &whole);
	for (size_t len = 0; len < whole.len; len++) {
		int r = config_parse_dump(span_make(whole.ptr, len), &copy);
		if (r != -EBADMSG)
			fail_msg("%zu octets: want -EBADMSG, got %d", len, r);
	}
	for (size_t i = 0; i < whole.len; i++) {
		whole.ptr[i] ^= (char)0xff;
		if (config_parse_dump(buf_span(&whole), &copy) == 0)
			config_freep(&copy); /* a flipped number is still a number */
		whole.ptr[i] ^= (char)0xff;
	}
	config_free(c);
	buf_done(&whole);
	fixture_close(&f);
}

static void config_load__includes(void **state)
{
	struct fixture f;
	(void)state;

	fixture_open(&f);
	assert_int_equal(mkdir("conf.d", 0755), 0);
	fixture_write(&f, "conf.d/domains.conf",
		"# relative to the main file's folder, as all paths\n"
		"include(\"conf.d/one.conf\")\n"
		"domain \"b.example\" { users = \"file:users.b\" include('conf.d/inner.conf') }\n");
	fixture_write(&f, "conf.d/one.conf", "domain \"a.example\" { users = any deliver = hold }");
	fixture_write(&f, "conf.d/inner.conf", "deliver = 'discard:'");
	struct config *c = load(&f,
		"\xef\xbb\xbfhostname = 'mx.example.org'\r\n"
		"include(\"conf.d/domains.conf\")\r\n"
		"listener \"mx\" { address = {\"127.0.0.1:1\",} address += \"127.0.0.1:2\" }\r\n");
	assert_int_equal(c->n_domains, 2);
	assert_int_equal(c->domains[1].deliver.kind, TARGET_DISCARD);
	char path[128];
	snprintf(path, sizeof(path), "%s/users.b", f.folder);
	assert_string_equal(c->domains[1].users_path, path);
	snprintf(path, sizeof(path), "%s/conf.d/domains.conf:3", f.folder);
	assert_string_equal(c->domains[1].at, path);
	assert_int_equal(c->listeners[0].n_addresses, 2);
	config_free(c);
	fixture_close(&f);
}

static void config_load__strings(void **state)
{
	struct fixture f;
	(void)state;

	fixture_open(&f);
	assert_int_equal(setenv("POSTRIDER_TEST_NAME", "mx.example.org", 1), 0);
	struct config *c = load(&f, "hostname = \"${POSTRIDER_TEST_NAME}\" // by the environment\n"
				    "data = \"/a\\x20b\\\"c\\\n/d/${POSTRIDER_NONE:-e}\"\n"
				    "user='po${stri}der'\n"
				    "listener mx { address = 127.0.0.1:2525 } /* bare words */\n"
				    "relay { via = smtp://localhost:26 }\n");
	assert_string_equal(c->hostname, "mx.example.org");
	assert_string_equal(c->data, "/a b\"c/d/e");
	assert_string_equal(c->user, "po${stri}der");
	assert_string_equal(c->relay.via.text, "smtp://localhost:26");
	config_free(c);
	fixture_close(&f);
}

/* Each octet of a whole configuration left out, doubled, or made a brace or a quote: an error is
 * always said, and the scanner leaves none to libConfuse. */
static void config_load__mutated(void **state)
{
	static const char changes[] = {'\0', '{', '}', '"', '\'', '\\', '=', ',', '\n', '('};
	struct fixture f;
	struct buf errors = BUF_INIT(1 << 18), text = BUF_INIT(1 << 16);
	(void)state;

	fixture_open(&f);
	for (size_t i = 0; i + 1 < sizeof(everything); i++) {
		struct config *c = NULL;
		char change = changes[i % sizeof(changes)];
		buf_reset(&text);
		buf_append(&text, everything, i);
		if (change)
			buf_char(&text, change);
		buf_str(&text, everything + i + (i % 3 == 0 ? 0 : 1));
		buf_char(&text, '\0');
		fixture_write(&f, "m.conf", text.ptr);
		int r = fixture_load("m.conf", &c, &errors);
		if ((r != 0 && r != -EINVAL) || (r == 0) != (errors.ptr[0] == '\0') ||
			strstr(errors.ptr, "correct the syntax"))
			fail_msg("octet %zu: got %d, '%s'", i, r, errors.ptr);
		config_free(c);
	}
	buf_done(&errors);
	buf_done(&text);
	fixture_close(&f);
}

static void config_load__many_domains(void **state)
{
	struct fixture f;
	struct buf text = BUF_INIT(1 << 20);
	(void)state;

	fixture_open(&f);
	buf_str(&text, "hostname = a.b listener mx { address = {\"127.0.0.1:1\"} }\n");
	for (unsigned i = 0; i < 5000; i++)
		buf_printf(&text, "domain \"d%u.example\" { users = any deliver = hold }\n",
			i * 7919 % 5000);
	buf_char(&text, '\0');
	struct config *c = load(&f, text.ptr);
	assert_int_equal(c->n_domains, 5000);
	for (unsigned i = 0; i < 5000; i++) {
		char name[32];
		int n = snprintf(name, sizeof(name), "D%u.Example", i);
		const struct config_domain *d = config_domain(c, span_make(name, (size_t)n));
		assert_non_null(d);
		assert_null(config_domain(c, span_make(name, (size_t)n - 1)));
	}
	config_free(c);
	buf_done(&text);
	fixture_close(&f);
}

static void config_evaluation__as_designed(void **state)
{
	struct fixture f;
	struct config *c = NULL;
	struct buf dump = BUF_INIT(1 << 20);
	char path[128];
	(void)state;

	fixture_open(&f);
	assert_int_equal(config_evaluation(".", &c), 0);
	assert_true(c->evaluation);
	assert_null(c->path);
	assert_string_equal(c->hostname, "localhost");
	snprintf(path, sizeof(path), "%s/postrider-data", f.folder);
	assert_string_equal(c->data, path);
	assert_int_equal(address_port(&c->listeners[0].addresses[0].address), 2525);
	const struct config_domain *d = config_domain(c, SPAN_LIT("localhost"));
	assert_int_equal(d->users, USERS_ANY);
	snprintf(path, sizeof(path), "%s/postrider-data/mail/{domain}/{local}", f.folder);
	assert_string_equal(d->deliver.path, path);
	assert_int_equal(c->relay.n_from, 0);
	assert_int_equal(c->relay.via.kind, TARGET_NONE);
	config_dump(c, &dump);
	config_freep(&c);
	assert_int_equal(config_parse_dump(buf_span(&dump), &c), 0);
	assert_null(c->path);
	assert_true(c->evaluation);
	config_free(c);
	buf_done(&dump);
	fixture_close(&f);
}

static void config_choose_path__order(void **state)
{
	(void)state;
	assert_int_equal(setenv("POSTRIDER_CONFIG", "b.conf", 1), 0);
	assert_string_equal(config_choose_path("a.conf"), "a.conf");
	assert_string_equal(config_choose_path(NULL), "b.conf");
	assert_int_equal(unsetenv("POSTRIDER_CONFIG"), 0);
	const char *path = config_choose_path(NULL);
	if (path)
		assert_string_equal(path, "/etc/postrider/postrider.conf");
}

/* The text has each key of the schema; MANUAL and SAMPLE name each too. */
static void find_keys(const char *text, const char *where)
{
	for (size_t i = 0; i <= schema_n_blocks; i++) {
		const struct block *b = i < schema_n_blocks ? &schema_blocks[i] : &schema_root;
		for (size_t k = 0; k < b->n_keys; k++)
			if (!strstr(text, b->keys[k].name))
				fail_msg("%s: want the key '%s' of '%s'", where, b->keys[k].name,
					b->name);
		if (!strstr(text, b->name))
			fail_msg("%s: want the block '%s'", where, b->name);
	}
}

static char *read_text(const char *path)
{
	CLEANUP(freep) char *text = calloc(1, 1 << 18);
	FILE *file = fopen(path, "r");
	if (!file)
		fail_msg("cannot read %s", path);
	assert_non_null(text);
	assert_true(fread(text, 1, (1 << 18) - 1, file) > 0);
	assert_int_equal(fclose(file), 0);
	return TAKE(text);
}

static void schema__is_documented(void **state)
{
	char *manual = read_text(SOURCE_ROOT "/docs/man/postrider.conf.5");
	char *sample = read_text(SOURCE_ROOT "/packaging/postrider.conf");
	(void)state;

	find_keys(everything, "this test");
	find_keys(manual, "the manual page");
	find_keys(sample, "the sample");
	free(manual);
	free(sample);
}

/* The sample's comments, once opened, must be a configuration, and give the defaults. */
static void sample__gives_the_defaults(void **state)
{
	struct fixture f;
	char *sample = read_text(SOURCE_ROOT "/packaging/postrider.conf");
	struct buf opened = BUF_INIT(1 << 18), dumps[2] = {BUF_INIT(1 << 18), BUF_INIT(1 << 18)};
	(void)state;

	fixture_open(&f);
	/* "#key" is a default in a comment, "# words" a comment. */
	for (char *p = sample, *end; *p; p = end + 1) {
		end = strchr(p, '\n');
		char *hash = p + strspn(p, "\t");
		bool is_default = hash[0] == '#' && hash[1] >= 'a' && hash[1] <= 'z';
		buf_append(&opened, is_default ? hash + 1 : p,
			(size_t)(end - (is_default ? hash + 1 : p)));
		buf_char(&opened, '\n');
	}
	buf_char(&opened, '\0');
	struct config *a = load(&f, sample), *b = load(&f, opened.ptr);
	/* Lines apart, all fields must be the same; what has no default is inactive. */
	struct config *both[2] = {a, b};
	for (size_t i = 0; i < 2; i++) {
		for (size_t k = 0; k < both[i]->n_unsupported; k++)
			free(both[i]->unsupported[k]);
		both[i]->n_unsupported = 0;
		config_dump(both[i], &dumps[i]);
	}
	assert_int_equal(dumps[0].len, dumps[1].len);
	assert_memory_equal(dumps[0].ptr, dumps[1].ptr, dumps[0].len);
	config_free(a);
	config_free(b);
	buf_done(&dumps[0]);
	buf_done(&dumps[1]);
	buf_done(&opened);
	free(sample);
	fixture_close(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(config_load__ten_lines),
		cmocka_unit_test(config_load__relay_and_defaults),
		cmocka_unit_test(config_load__everything),
		cmocka_unit_test(config_parse_dump__everything),
		cmocka_unit_test(config_parse_dump__cut_short_or_flipped),
		cmocka_unit_test(config_load__includes),
		cmocka_unit_test(config_load__strings),
		cmocka_unit_test(config_load__mutated),
		cmocka_unit_test(config_load__many_domains),
		cmocka_unit_test(config_evaluation__as_designed),
		cmocka_unit_test(config_choose_path__order),
		cmocka_unit_test(schema__is_documented),
		cmocka_unit_test(sample__gives_the_defaults),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
