/* libcurl, told to be narrow: HTTPS only, TLS 1.2 or later, the certificate verified for
 * mta-sts.DOMAIN against our roots, no redirects (RFC 8461 3.3), addresses from our own resolver,
 * no proxy, no cookies, no files, a ceiling on octets and time. */
#include "deliver/sts_fetch.h"
#include "deliver/sts_policy.h"
#include <curl/curl.h>

#define CONNECT_MSEC 8000L

void sts_fetch_init(void)
{
	(void)curl_global_init(CURL_GLOBAL_ALL);
}

static size_t on_body(char *ptr, size_t size, size_t n, void *arg)
{
	struct sts_fetch *f = arg;
	if (n > STS_POLICY_MAX || size * n > STS_POLICY_MAX - f->body.len)
		return 0; /* too large: the transfer fails */
	buf_append(&f->body, ptr, size * n);
	return f->body.error ? 0 : size * n;
}

/* "+mta-sts.example.org:443:192.0.2.1,[2001:db8::1]" */
static struct curl_slist *resolved(const struct sts_fetch *f)
{
	struct buf b = BUF_INIT(4096);
	buf_printf(&b, "mta-sts.%s:443:", f->domain);
	for (unsigned i = 0; i < f->n_addresses; i++) {
		if (i > 0)
			buf_char(&b, ',');
		bool v6 = f->addresses[i].ss.ss_family == AF_INET6;
		if (v6)
			buf_char(&b, '[');
		address_format_host(&f->addresses[i], &b);
		if (v6)
			buf_char(&b, ']');
	}
	buf_char(&b, '\0');
	struct curl_slist *list = b.error ? NULL : curl_slist_append(NULL, b.ptr);
	buf_done(&b);
	return list;
}

static void set_options(CURL *c, struct sts_fetch *f, const char *url, struct curl_slist *hosts,
	struct curl_blob *roots)
{
	curl_easy_setopt(c, CURLOPT_URL, url);
	curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "https");
	curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(c, CURLOPT_RESOLVE, hosts);
	curl_easy_setopt(c, CURLOPT_NOPROXY, "*");
	curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(c, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	curl_easy_setopt(c, CURLOPT_SSL_VERIFYPEER, 1L);
	curl_easy_setopt(c, CURLOPT_SSL_VERIFYHOST, 2L);
	curl_easy_setopt(c, CURLOPT_CAINFO, NULL);
	curl_easy_setopt(c, CURLOPT_CAPATH, NULL);
	curl_easy_setopt(c, CURLOPT_CAINFO_BLOB, roots);
	curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_MSEC);
	curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, (long)(f->timeout_usec / USEC_PER_MSEC));
	curl_easy_setopt(c, CURLOPT_MAXFILESIZE, (long)STS_POLICY_MAX);
	curl_easy_setopt(c, CURLOPT_USERAGENT, "postrider/" POSTRIDER_VERSION);
	curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(c, CURLOPT_WRITEDATA, f);
}

/* 3.2: text/plain, whatever its parameters. */
static bool is_plain_text(const char *type)
{
	struct span t = span_str(type);
	return span_equal_nocase(
		span_trim(span_head(t, span_index(t, ';'))), SPAN_LIT("text/plain"));
}

static int judge(CURL *c, struct sts_fetch *f, CURLcode code)
{
	long status = 0;
	char *type = NULL;
	if (code != CURLE_OK) {
		f->webpki = code == CURLE_PEER_FAILED_VERIFICATION;
		(void)snprintf(f->why, sizeof(f->why), "%s",
			code == CURLE_WRITE_ERROR ? "the policy is too large"
						  : curl_easy_strerror(code));
		return -EPROTO;
	}
	curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &status);
	curl_easy_getinfo(c, CURLINFO_CONTENT_TYPE, &type);
	if (status != 200) {
		(void)snprintf(f->why, sizeof(f->why), "HTTP status %ld", status);
		return -EPROTO;
	}
	if (!is_plain_text(type)) {
		(void)snprintf(f->why, sizeof(f->why), "it is not text/plain");
		return -EPROTO;
	}
	return 0;
}

int sts_fetch_run(void *fetch)
{
	struct sts_fetch *f = fetch;
	struct buf url = BUF_INIT(1024);
	buf_printf(&url, "https://mta-sts.%s/.well-known/mta-sts.txt", f->domain);
	buf_char(&url, '\0');
	struct curl_slist *hosts = resolved(f);
	struct curl_blob roots = {.data = (char *)(uintptr_t)f->roots.ptr,
		.len = f->roots.len,
		.flags = CURL_BLOB_NOCOPY};
	CURL *c = curl_easy_init();
	int r = -ENOMEM;
	(void)snprintf(f->why, sizeof(f->why), "no memory");
	if (f->roots.len == 0) {
		(void)snprintf(f->why, sizeof(f->why), "there are no roots to verify it with");
		r = -ENOENT;
	} else if (c && hosts && !url.error) {
		set_options(c, f, url.ptr, hosts, &roots);
		r = judge(c, f, curl_easy_perform(c));
	}
	curl_easy_cleanup(c);
	curl_slist_free_all(hosts);
	buf_done(&url);
	return r;
}
