/* libcurl, told to be narrow: HTTPS only, TLS 1.2 or later, the certificate verified for the url's
 * host against our roots, no redirects, addresses from our own resolver, no proxy, no cookies, no
 * files, a ceiling on octets and time. Whoever chooses the url (a stranger's DNS record does) can
 * only make us speak to a host that proves that name. */
#include "net/https.h"
#include "base/library.h"
/* Its macros would call the functions by their names, not through the table. */
#define CURL_DISABLE_TYPECHECK
#include <curl/curl.h>
#include <stdio.h>
#include <string.h>

#define CONNECT_MSEC	8000L
#define POST_ANSWER_MAX 65536u /* octets that a POST's answer may have */

#define CALLS(F)                                                                                   \
	F(curl_global_init)                                                                        \
	F(curl_easy_init)                                                                          \
	F(curl_easy_setopt)                                                                        \
	F(curl_easy_perform)                                                                       \
	F(curl_easy_getinfo)                                                                       \
	F(curl_easy_strerror)                                                                      \
	F(curl_easy_cleanup)                                                                       \
	F(curl_slist_append)                                                                       \
	F(curl_slist_free_all)

static LIBRARY_TABLE(CALLS) curl;

int https_load(const char **ret_why)
{
	static const char *const names[] = {CALLS(LIBRARY_NAME)};
	int r = library_load(SONAME_CURL, names, ARRAY_LEN(names), &curl, ret_why);

	if (r < 0)
		return r;
	*ret_why = "libcurl does not initialise";
	return curl.curl_global_init(CURL_GLOBAL_ALL) == CURLE_OK ? 0 : -ENOMEM;
}

struct transfer {
	struct https_exchange *x;
	size_t dropped;
};

static size_t on_body(char *ptr, size_t size, size_t n, void *arg)
{
	struct transfer *t = arg;
	struct https_exchange *x = t->x;
	size_t max = x->type ? POST_ANSWER_MAX - t->dropped : x->answer.max - x->answer.len;
	if (n > max || size * n > max)
		return 0; /* too large: the transfer fails */
	if (x->type) {
		t->dropped += size * n;
		return size * n;
	}
	buf_append(&x->answer, ptr, size * n);
	return x->answer.error ? 0 : size * n;
}

static int on_progress(void *arg, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
	const struct transfer *t = arg;
	(void)a;
	(void)b;
	(void)c;
	(void)d;
	return t->x->cancelled && __atomic_load_n(t->x->cancelled, __ATOMIC_RELAXED);
}

/* "www.example.org:443:192.0.2.1,[2001:db8::1]" */
static struct curl_slist *resolved(const struct https_exchange *x)
{
	struct buf b = BUF_INIT(4096);
	buf_printf(&b, "%.*s:%u:", SPAN_FMT(x->host), x->port);
	for (unsigned i = 0; i < x->n_addresses; i++) {
		if (i > 0)
			buf_char(&b, ',');
		bool v6 = x->addresses[i].ss.ss_family == AF_INET6;
		if (v6)
			buf_char(&b, '[');
		address_format_host(&x->addresses[i], &b);
		if (v6)
			buf_char(&b, ']');
	}
	buf_char(&b, '\0');
	struct curl_slist *list = b.error ? NULL : curl.curl_slist_append(NULL, b.ptr);
	buf_done(&b);
	return list;
}

static struct curl_slist *fields(const struct https_exchange *x)
{
	struct buf b = BUF_INIT(256);
	buf_printf(&b, "Content-Type: %s", x->type);
	buf_char(&b, '\0');
	struct curl_slist *list = b.error ? NULL : curl.curl_slist_append(NULL, b.ptr);
	buf_done(&b);
	/* A body of any size goes at once: waiting for 100 is a second lost at servers that never
	 * say it. */
	struct curl_slist *both = list ? curl.curl_slist_append(list, "Expect:") : NULL;
	if (!both)
		curl.curl_slist_free_all(list);
	return both;
}

static void set_options(
	CURL *c, struct transfer *t, struct curl_slist *hosts, struct curl_blob *roots)
{
	const struct https_exchange *x = t->x;
	curl.curl_easy_setopt(c, CURLOPT_URL, x->url);
	curl.curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "https");
	curl.curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 0L);
	curl.curl_easy_setopt(c, CURLOPT_RESOLVE, hosts);
	curl.curl_easy_setopt(c, CURLOPT_NOPROXY, "*");
	curl.curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
	curl.curl_easy_setopt(c, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	curl.curl_easy_setopt(c, CURLOPT_SSL_VERIFYPEER, 1L);
	curl.curl_easy_setopt(c, CURLOPT_SSL_VERIFYHOST, 2L);
	curl.curl_easy_setopt(c, CURLOPT_CAINFO, NULL);
	curl.curl_easy_setopt(c, CURLOPT_CAPATH, NULL);
	curl.curl_easy_setopt(c, CURLOPT_CAINFO_BLOB, roots);
	curl.curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_MSEC);
	curl.curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, (long)(x->timeout_usec / USEC_PER_MSEC));
	if (!x->type)
		curl.curl_easy_setopt(c, CURLOPT_MAXFILESIZE, (long)x->answer.max);
	curl.curl_easy_setopt(c, CURLOPT_USERAGENT, "postrider/" POSTRIDER_VERSION);
	curl.curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body);
	curl.curl_easy_setopt(c, CURLOPT_WRITEDATA, t);
	if (x->cancelled) {
		curl.curl_easy_setopt(c, CURLOPT_NOPROGRESS, 0L);
		curl.curl_easy_setopt(c, CURLOPT_XFERINFOFUNCTION, on_progress);
		curl.curl_easy_setopt(c, CURLOPT_XFERINFODATA, t);
	}
}

static void set_post(CURL *c, const struct https_exchange *x, struct curl_slist *head)
{
	curl.curl_easy_setopt(c, CURLOPT_POST, 1L);
	curl.curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)x->body.len);
	curl.curl_easy_setopt(c, CURLOPT_POSTFIELDS, x->body.ptr);
	curl.curl_easy_setopt(c, CURLOPT_HTTPHEADER, head);
}

static int judge(CURL *c, struct https_exchange *x, CURLcode code)
{
	char *type = NULL;
	curl.curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &x->status);
	curl.curl_easy_getinfo(c, CURLINFO_CONTENT_TYPE, &type);
	(void)snprintf(x->answer_type, sizeof(x->answer_type), "%s", type ? type : "");
	/* What a server says behind its status to a POST is none of our business. */
	if (code == CURLE_OK || (code == CURLE_WRITE_ERROR && x->type && x->status))
		return 0;
	x->webpki = code == CURLE_PEER_FAILED_VERIFICATION;
	(void)snprintf(x->why, sizeof(x->why), "%s",
		code == CURLE_WRITE_ERROR || code == CURLE_FILESIZE_EXCEEDED
			? "the answer is too large"
			: curl.curl_easy_strerror(code));
	return -EPROTO;
}

int https_run(struct https_exchange *x)
{
	struct transfer t = {.x = x};
	if (x->roots.len == 0) {
		(void)snprintf(x->why, sizeof(x->why), "there are no roots to verify it with");
		return -ENOENT;
	}
	if (!curl.curl_easy_init) {
		(void)snprintf(x->why, sizeof(x->why), "this process was started without libcurl");
		return -ENOENT;
	}
	(void)snprintf(x->why, sizeof(x->why), "no memory");
	struct curl_slist *hosts = resolved(x), *head = x->type ? fields(x) : NULL;
	struct curl_blob roots = {.data = (char *)(uintptr_t)x->roots.ptr,
		.len = x->roots.len,
		.flags = CURL_BLOB_NOCOPY};
	CURL *c = curl.curl_easy_init();
	int r = -ENOMEM;
	if (c && hosts && (head || !x->type)) {
		set_options(c, &t, hosts, &roots);
		if (x->type)
			set_post(c, x, head);
		r = judge(c, x, curl.curl_easy_perform(c));
	}
	curl.curl_easy_cleanup(c);
	curl.curl_slist_free_all(hosts);
	curl.curl_slist_free_all(head);
	return r;
}
