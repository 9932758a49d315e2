/* What RFC 8461 3.3 asks of the exchange, beside what net/https.h does of everyone: status 200 and
 * text/plain. A redirect is a status like any other. */
#include "deliver/sts_fetch.h"

#include "net/https.h"
#include <stdio.h>
#include <string.h>

/* 3.2: text/plain, whatever its parameters. */
static bool is_plain_text(const char *type)
{
	struct span t = span_str(type);
	return span_equal_nocase(
		span_trim(span_head(t, span_index(t, ';'))), SPAN_LIT("text/plain"));
}

static int judge(struct sts_fetch *f, const struct https_exchange *x)
{
	if (x->status != 200) {
		(void)snprintf(f->why, sizeof(f->why), "HTTP status %ld", x->status);
		return -EPROTO;
	}
	if (!is_plain_text(x->answer_type)) {
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
	struct https_exchange x = {
		.url = url.ptr,
		.port = 443,
		.addresses = f->addresses,
		.n_addresses = f->n_addresses,
		.roots = f->roots,
		.timeout_usec = f->timeout_usec,
		.answer = f->body,
	};
	int r = url.error;
	(void)snprintf(f->why, sizeof(f->why), "no memory");
	if (r == 0) {
		struct span host = span_from(buf_span(&url), strlen("https://"));
		x.host = span_head(host, span_index(host, '/'));
		r = https_run(&x);
		f->body = x.answer;
		f->webpki = x.webpki;
		if (r < 0)
			(void)snprintf(f->why, sizeof(f->why), "%s", x.why);
		else
			r = judge(f, &x);
	}
	buf_done(&url);
	return r;
}
