/* TLS below a stream: handshakes, data both ways, files, ends, what must never pass. */
#include "tls_pair.h"

#define MSEC	USEC_PER_MSEC
#define TIMEOUT (10 * USEC_PER_SEC)

static SSL_CTX *server_context, *client_context;

static int contexts_setup(void **state)
{
	(void)state;
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *x = certificate_make(key, "mx.example");
	assert_int_equal(tls_context_new(true, &server_context), 0);
	assert_int_equal(tls_context_new(false, &client_context), 0);
	assert_int_equal(SSL_CTX_use_certificate(server_context, x), 1);
	assert_int_equal(SSL_CTX_use_PrivateKey(server_context, key), 1);
	assert_int_equal(X509_STORE_add_cert(SSL_CTX_get_cert_store(client_context), x), 1);
	X509_free(x);
	EVP_PKEY_free(key);
	return 0;
}

static int contexts_teardown(void **state)
{
	(void)state;
	tls_context_freep(&server_context);
	tls_context_freep(&client_context);
	return 0;
}

static SSL *server_ssl(void)
{
	SSL *ssl = SSL_new(server_context);
	assert_non_null(ssl);
	SSL_set_accept_state(ssl);
	return ssl;
}

static SSL *client_ssl(const char *name)
{
	SSL *ssl = SSL_new(client_context);
	assert_non_null(ssl);
	SSL_set_connect_state(ssl);
	if (name) {
		SSL_set_tlsext_host_name(ssl, (char *)(uintptr_t)name);
		SSL_set1_host(ssl, name);
		SSL_set_verify(ssl, SSL_VERIFY_PEER, NULL);
	}
	return ssl;
}

static void want_line(struct stream *s, const char *text)
{
	struct span line = SPAN_LIT("?");
	int r = stream_read_line(s, 1000, &line, NULL);
	if (r != 0 || !span_equal(line, span_str(text)))
		fail_msg("want \"%s\" got %d \"%.*s\"", text, r, SPAN_FMT(line));
}

static void want_end(struct stream *s, int want)
{
	struct span line = SPAN_LIT("");
	int r = stream_read_line(s, 1000, &line, NULL);
	if (r != want)
		fail_msg("want %d got %d \"%.*s\"", want, r, SPAN_FMT(line));
}

/* ---- what works ---- */

static void greet_server(struct stream *s)
{
	assert_null(stream_tls(s));
	assert_int_equal(stream_start_tls(s, server_ssl(), TIMEOUT), 0);
	struct tls_facts f;
	tls_facts(stream_tls(s), &f);
	assert_string_equal(f.version, "TLSv1.3");
	assert_string_equal(f.sni, "mx.example");
	assert_false(f.peer_certificate);
	assert_false(f.resumed);
	want_line(s, "hello");
	assert_int_equal(stream_write(s, SPAN_LIT("a\r\nb\r\nc\r\n")), 0);
	want_line(s, "bye");
	want_end(s, -ECONNRESET);
	assert_string_equal(stream_tls_error(s), "");
}

static void greet_client(struct stream *s)
{
	assert_int_equal(stream_start_tls(s, client_ssl("mx.example"), TIMEOUT), 0);
	struct tls_facts f;
	tls_facts(stream_tls(s), &f);
	assert_string_equal(f.peer_name, "mx.example");
	assert_true(f.peer_certificate);
	assert_true(f.verified);
	assert_true(f.bits >= 128);
	uint8_t digest[TLS_FINGERPRINT_OCTETS];
	assert_int_equal(tls_peer_fingerprint(stream_tls(s), digest), 0);
	struct buf subject = BUF_INIT(1000);
	assert_int_equal(tls_peer_subject(stream_tls(s), &subject), 0);
	assert_true(span_equal(buf_span(&subject), SPAN_LIT("CN=mx.example")));
	buf_done(&subject);
	assert_int_equal(stream_write(s, SPAN_LIT("hello\r\n")), 0);
	want_line(s, "a");
	want_line(s, "b");
	want_line(s, "c");
	assert_int_equal(stream_printf(s, "bye\r\n"), 0);
	assert_int_equal(stream_flush(s), 0);
}

static void stream_start_tls__talks(void **state)
{
	(void)state;
	run_pair(greet_server, greet_client);
}

/* A line in plain text, STARTTLS, 220, and on: as SMTP does it. */
static void upgrade_server(struct stream *s)
{
	want_line(s, "STARTTLS");
	assert_int_equal(stream_write(s, SPAN_LIT("220 go\r\n")), 0);
	assert_int_equal(stream_start_tls(s, server_ssl(), TIMEOUT), 0);
	want_line(s, "EHLO");
}

static void upgrade_client(struct stream *s)
{
	assert_int_equal(stream_write(s, SPAN_LIT("STARTTLS\r\n")), 0);
	want_line(s, "220 go");
	assert_int_equal(stream_start_tls(s, client_ssl(NULL), TIMEOUT), 0);
	assert_int_equal(stream_write(s, SPAN_LIT("EHLO\r\n")), 0);
	assert_int_equal(stream_flush(s), 0);
}

static void stream_start_tls__after_plain_lines(void **state)
{
	(void)state;
	run_pair(upgrade_server, upgrade_client);
}

#define BULK_OCTETS (700u * 1024u + 13u)
static char bulk_octets[BULK_OCTETS];

/* Long enough to fill the sockets in both ways: reads and writes have to wait. */
static void bulk_server(struct stream *s)
{
	assert_int_equal(stream_start_tls(s, server_ssl(), TIMEOUT), 0);
	size_t got = 0;
	while (got < BULK_OCTETS) {
		struct span have;
		assert_int_equal(stream_peek(s, &have), 0);
		assert_memory_equal(have.ptr, bulk_octets + got, have.len);
		got += have.len;
		stream_consume(s, have.len);
	}
	assert_int_equal(fiber_sleep(5 * MSEC), 0);
	assert_int_equal(stream_write(s, span_make(bulk_octets, BULK_OCTETS)), 0);
	assert_int_equal(stream_write(s, SPAN_LIT("\nend\n")), 0);
	assert_int_equal(stream_flush(s), 0);
}

static void bulk_client(struct stream *s)
{
	assert_int_equal(stream_start_tls(s, client_ssl(NULL), TIMEOUT), 0);
	/* A few octets in the buffer, and what is too large for it behind them. */
	assert_int_equal(stream_write(s, span_make(bulk_octets, 13)), 0);
	assert_int_equal(stream_write(s, span_make(bulk_octets + 13, BULK_OCTETS - 13)), 0);
	assert_int_equal(stream_flush(s), 0);
	assert_int_equal(fiber_sleep(20 * MSEC), 0);
	size_t got = 0;
	while (got < BULK_OCTETS) {
		struct span have;
		assert_int_equal(stream_peek(s, &have), 0);
		size_t n = MIN(have.len, BULK_OCTETS - got);
		assert_memory_equal(have.ptr, bulk_octets + got, n);
		got += n;
		stream_consume(s, n);
	}
	want_line(s, "");
	want_line(s, "end");
	want_end(s, -ECONNRESET);
}

static void stream_write__large_through_tls(void **state)
{
	(void)state;
	for (size_t i = 0; i < BULK_OCTETS; i++)
		bulk_octets[i] = (char)('a' + i * 7 % 26);
	run_pair(bulk_server, bulk_client);
}

/* ---- what must not pass ---- */

static void injected_server(struct stream *s)
{
	want_line(s, "STARTTLS");
	assert_int_equal(stream_write(s, SPAN_LIT("220 go\r\n")), 0);
	assert_int_equal(stream_start_tls(s, server_ssl(), TIMEOUT), -EPROTO);
	assert_string_equal(stream_tls_error(s), "plain text behind STARTTLS");
	want_end(s, -EPROTO);
	assert_int_equal(stream_write(s, SPAN_LIT("250 no\r\n")), -EPROTO);
	assert_null(stream_tls(s));
}

static void injected_client(struct stream *s)
{
	assert_int_equal(stream_write(s, SPAN_LIT("STARTTLS\r\nMAIL FROM:<>\r\n")), 0);
	want_line(s, "220 go");
	want_end(s, -ECONNRESET);
}

static void stream_start_tls__pipelined_plain_text_is_refused(void **state)
{
	(void)state;
	run_pair(injected_server, injected_client);
}

/* The plain text comes after the handshake began: it is a broken record, not a command. */
static void late_client(struct stream *s)
{
	assert_int_equal(stream_write(s, SPAN_LIT("STARTTLS\r\n")), 0);
	want_line(s, "220 go");
	assert_int_equal(stream_write(s, SPAN_LIT("MAIL FROM:<>\r\n")), 0);
	assert_int_equal(stream_flush(s), 0);
	struct span any;
	while (stream_peek(s, &any) == 0)
		stream_consume(s, any.len); /* an alert */
}

static void late_server(struct stream *s)
{
	want_line(s, "STARTTLS");
	assert_int_equal(stream_write(s, SPAN_LIT("220 go\r\n")), 0);
	assert_int_equal(stream_start_tls(s, server_ssl(), TIMEOUT), -EPROTO);
	assert_string_equal(stream_tls_error(s), "wrong version number");
	want_end(s, -EPROTO);
}

static void stream_start_tls__plain_text_instead_of_a_hello(void **state)
{
	(void)state;
	run_pair(late_server, late_client);
}

static void silent_client(struct stream *s)
{
	struct span any;
	assert_int_equal(stream_peek(s, &any), -ECONNRESET);
}

static void waiting_server(struct stream *s)
{
	assert_int_equal(stream_start_tls(s, server_ssl(), 5 * MSEC), -ETIMEDOUT);
	want_end(s, -ETIMEDOUT);
}

static void stream_start_tls__times_out(void **state)
{
	(void)state;
	run_pair(waiting_server, silent_client);
}

static void left_server(struct stream *s)
{
	assert_int_equal(stream_start_tls(s, server_ssl(), TIMEOUT), -ECONNRESET);
}

static void leaving_client(struct stream *s)
{
	(void)s;
}

static void stream_start_tls__peer_leaves(void **state)
{
	(void)state;
	run_pair(left_server, leaving_client);
}

static void doubted_server(struct stream *s)
{
	assert_int_equal(stream_start_tls(s, server_ssl(), TIMEOUT), -EPROTO);
	want_end(s, -EPROTO);
	assert_non_null(strstr(stream_tls_error(s), "alert bad certificate"));
}

static void doubting_client(struct stream *s)
{
	assert_int_equal(stream_start_tls(s, client_ssl("other.example"), TIMEOUT), -EKEYREJECTED);
	assert_int_equal(stream_tls_verify_result(s), X509_V_ERR_HOSTNAME_MISMATCH);
	assert_string_equal(stream_tls_error(s), "hostname mismatch");
}

static void stream_start_tls__certificate_of_another_name(void **state)
{
	(void)state;
	run_pair(doubted_server, doubting_client);
}

/* An end in the middle of a record, without close_notify, is an end. */
static void cut_client(struct stream *s)
{
	assert_int_equal(stream_start_tls(s, client_ssl(NULL), TIMEOUT), 0);
	assert_int_equal(stream_write(s, SPAN_LIT("half")), 0);
	assert_int_equal(stream_flush(s), 0);
	assert_int_equal(shutdown(stream_fd(s), SHUT_RDWR), 0);
}

static void cut_server(struct stream *s)
{
	assert_int_equal(stream_start_tls(s, server_ssl(), TIMEOUT), 0);
	want_end(s, -ECONNRESET);
}

static void stream_read_line__tls_cut_off(void **state)
{
	(void)state;
	run_pair(cut_server, cut_client);
}

static void resting_server(struct stream *s)
{
	assert_int_equal(stream_start_tls(s, server_ssl(), TIMEOUT), 0);
	struct span any = SPAN_NULL;
	assert_int_equal(stream_fill_now(s), -EAGAIN);
	assert_int_equal(fiber_sleep(400 * MSEC), 0);
	assert_int_equal(stream_fill_now(s), 0);
	any = stream_buffered(s);
	assert_true(span_equal(any, SPAN_LIT("421 bye\r\n")));
	assert_int_equal(stream_fill_now(s), -ECONNRESET);
}

static void speaking_client(struct stream *s)
{
	assert_int_equal(stream_start_tls(s, client_ssl(NULL), TIMEOUT), 0);
	assert_int_equal(stream_flush(s), 0); /* the Finished, which waits for our words */
	assert_int_equal(fiber_sleep(200 * MSEC), 0);
	assert_int_equal(stream_write(s, SPAN_LIT("421 bye\r\n")), 0);
	assert_int_equal(stream_flush(s), 0);
}

static void stream_fill_now__sees_tls_octets_and_the_end(void **state)
{
	(void)state;
	run_pair(resting_server, speaking_client);
}

/* ---- what leaves together ---- */

/* On a SOCK_SEQPACKET pair each send is a packet. */
#define RECORD_HEAD 5u
static char packet[8192];

/* The next packet's records; 0: there is none. */
static unsigned records_waiting(struct stream *s, int flags)
{
	ssize_t len = recv(stream_fd(s), packet, sizeof(packet), MSG_DONTWAIT | flags);
	unsigned n = 0;

	for (size_t at = 0; len > 0 && at + RECORD_HEAD <= (size_t)len; n++) {
		size_t high = (unsigned char)packet[at + 3], low = (unsigned char)packet[at + 4];
		at += RECORD_HEAD + (high << 8) + low;
	}
	return n;
}

static void want_records(const char *what, unsigned got, unsigned want)
{
	if (got != want)
		fail_msg("%s: want a packet of %u records, got %u", what, want, got);
}

static void gathering_server(struct stream *s)
{
	assert_int_equal(stream_start_tls(s, server_ssl(), TIMEOUT), 0);
	want_records("behind the Finished", records_waiting(s, MSG_PEEK), 0);
	want_line(s, "EHLO");
	assert_int_equal(stream_write(s, SPAN_LIT("250 hello\r\n")), 0);
	want_line(s, "QUIT");
	assert_int_equal(stream_write(s, SPAN_LIT("221 bye\r\n")), 0);
	assert_int_equal(stream_finish(s), 0);
}

static void gathering_client(struct stream *s)
{
	assert_int_equal(stream_start_tls(s, client_ssl(NULL), TIMEOUT), 0);
	assert_int_equal(stream_write(s, SPAN_LIT("EHLO\r\n")), 0);
	assert_int_equal(stream_flush(s), 0);
	assert_int_equal(fiber_sleep(50 * MSEC), 0);
	/* RFC 8446 4.6.1: OpenSSL's two, and the reply. */
	want_records("tickets", records_waiting(s, MSG_PEEK), 3);
	want_line(s, "250 hello");
	assert_int_equal(stream_write(s, SPAN_LIT("QUIT\r\n")), 0);
	assert_int_equal(stream_flush(s), 0);
	assert_int_equal(fiber_sleep(50 * MSEC), 0);
	want_records("221 and close_notify", records_waiting(s, 0), 2);
	want_records("behind the end", records_waiting(s, 0), 0);
}

static void stream_start_tls__what_can_leave_together_does(void **state)
{
	(void)state;
	run_pair_on(SOCK_SEQPACKET, gathering_server, gathering_client);
}

/* A client that never speaks gets its tickets all the same, and 1.2's Finished waits for nobody. */
static void idle_server(struct stream *s)
{
	assert_int_equal(stream_start_tls(s, server_ssl(), TIMEOUT), 0);
	want_end(s, -ECONNRESET);
}

static void idle_client(struct stream *s)
{
	SSL *ssl = client_ssl(NULL);
	SSL_set_max_proto_version(ssl, TLS1_2_VERSION);
	assert_int_equal(stream_start_tls(s, ssl, TIMEOUT), 0);
}

static void silent_tls_client(struct stream *s)
{
	assert_int_equal(stream_start_tls(s, client_ssl(NULL), TIMEOUT), 0);
	assert_int_equal(stream_flush(s), 0);
	uint64_t end_usec = loop_now_usec() + TIMEOUT;
	while (records_waiting(s, MSG_PEEK) == 0 && loop_now_usec() < end_usec)
		assert_int_equal(fiber_sleep(20 * MSEC), 0);
	want_records("tickets", records_waiting(s, MSG_PEEK), 2);
}

static void stream_start_tls__nobody_waits_for_what_is_held(void **state)
{
	(void)state;
	run_pair_on(SOCK_SEQPACKET, idle_server, idle_client);
	run_pair_on(SOCK_SEQPACKET, idle_server, silent_tls_client);
}

int main(void)
{
	signal(SIGPIPE, SIG_IGN);
	const struct CMUnitTest tests[] = {
		LOOP_TEST(stream_start_tls__talks),
		LOOP_TEST(stream_start_tls__after_plain_lines),
		LOOP_TEST(stream_write__large_through_tls),
		LOOP_TEST(stream_start_tls__pipelined_plain_text_is_refused),
		LOOP_TEST(stream_start_tls__plain_text_instead_of_a_hello),
		LOOP_TEST(stream_start_tls__times_out),
		LOOP_TEST(stream_start_tls__peer_leaves),
		LOOP_TEST(stream_start_tls__certificate_of_another_name),
		LOOP_TEST(stream_read_line__tls_cut_off),
		LOOP_TEST(stream_fill_now__sees_tls_octets_and_the_end),
		LOOP_TEST(stream_start_tls__what_can_leave_together_does),
		LOOP_TEST(stream_start_tls__nobody_waits_for_what_is_held),
	};
	return cmocka_run_group_tests(tests, contexts_setup, contexts_teardown);
}
