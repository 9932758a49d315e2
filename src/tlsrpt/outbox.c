/* The state is lines of words, so that an operator can read it:
 *
 *   tlsrpt-report 1
 *   domain example.org
 *   id 2026-11-22T00:00:00Z.example.org@mx.example.net
 *   period BEGIN END            (seconds)
 *   sessions OK FAILED
 *   times MADE FIRST DUE ATTEMPTS     (microseconds)
 *   target pending https://tlsrpt.example.org/v1
 *   end
 *
 * The last line says that it is whole. A body without state is no report, and removed at start. */
#include "tlsrpt/outbox.h"

#include "base/siphash.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define STATE_OCTETS_MAX 16384u
#define FILE_NAME_MAX	 64u

const char *outbox_state_name(enum outbox_state s)
{
	static const char *const names[OUTBOX_STATES] = {"pending", "sent", "refused", "waiting"};
	return names[s];
}

int outbox_report_new(struct span domain, uint64_t begin_sec, struct outbox_report **ret_report)
{
	struct outbox_report *r = calloc(1, sizeof(*r));
	if (!r || !(r->domain = strndup(domain.ptr, domain.len))) {
		free(r);
		return -ENOMEM;
	}
	r->begin_sec = begin_sec;
	/* The same for the same report: made twice, it is there once. */
	uint64_t h = siphash((struct siphash_key){begin_sec, 0}, domain);
	(void)snprintf(r->name, sizeof(r->name), "%016llx", (unsigned long long)h);
	*ret_report = r;
	return 0;
}

void outbox_report_free(struct outbox_report *r)
{
	if (!r)
		return;
	for (unsigned i = 0; i < r->n_targets; i++)
		free(r->targets[i].owned);
	free(r->domain);
	free(r->id);
	free(r);
}

int outbox_report_add_target(struct outbox_report *r, const struct tlsrpt_uri *uri)
{
	if (r->n_targets >= TLSRPT_URIS_MAX)
		return -ENOSPC;
	struct outbox_target *t = &r->targets[r->n_targets];
	t->owned = strndup(uri->text.ptr, uri->text.len);
	if (!t->owned)
		return -ENOMEM;
	int e = tlsrpt_uri_parse(span_str(t->owned), &t->uri);
	if (e < 0) {
		free(TAKE(t->owned));
		return e;
	}
	t->state = t->uri.mail ? OUTBOX_WAITING : OUTBOX_PENDING;
	r->n_targets++;
	return 0;
}

bool outbox_report_has(const struct outbox_report *r, enum outbox_state s)
{
	for (unsigned i = 0; i < r->n_targets; i++)
		if (r->targets[i].state == s)
			return true;
	return false;
}

/* RFC 8460 5.5: for up to 24 hours after the first attempt. */
void outbox_report_postpone(struct outbox_report *r, uint64_t now)
{
	uint64_t step = OUTBOX_FIRST_USEC;
	for (uint32_t i = 1; i < r->attempts && step < OUTBOX_STEP_MAX; i++)
		step *= 2;
	r->due_usec = now + MIN(step, OUTBOX_STEP_MAX);
	if (r->due_usec <= r->first_usec + OUTBOX_EXPIRE_USEC && now >= r->first_usec)
		return;
	for (unsigned i = 0; i < r->n_targets; i++)
		if (r->targets[i].state == OUTBOX_PENDING)
			r->targets[i].state = OUTBOX_REFUSED;
}

/* ---- files ---- */

static void file_name(const struct outbox_report *r, const char *extension, char *out)
{
	(void)snprintf(out, FILE_NAME_MAX, "%s.%s", r->name, extension);
}

int outbox_write(int folder, const char *name, struct span octets)
{
	char temporary[FILE_NAME_MAX + 8];
	(void)snprintf(temporary, sizeof(temporary), ".%s", name);
	int fd = openat(
		folder, temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	int r = 0;
	for (size_t at = 0; at < octets.len && r == 0;) {
		ssize_t n = write(fd, octets.ptr + at, octets.len - at);
		r = n < 0 ? -errno : 0;
		at += n > 0 ? (size_t)n : 0;
	}
	if (r == 0 && fdatasync(fd) < 0)
		r = -errno;
	fd_close(fd);
	if (r == 0 && renameat(folder, temporary, folder, name) < 0)
		r = -errno;
	if (r < 0)
		(void)unlinkat(folder, temporary, 0);
	return r;
}

static void write_state(const struct outbox_report *r, struct buf *out)
{
	buf_printf(out,
		"tlsrpt-report 1\ndomain %s\nid %s\nperiod %llu %llu\nsessions %llu %llu\n"
		"times %llu %llu %llu %u\n",
		r->domain, r->id, (unsigned long long)r->begin_sec, (unsigned long long)r->end_sec,
		(unsigned long long)r->ok, (unsigned long long)r->failed,
		(unsigned long long)r->made_usec, (unsigned long long)r->first_usec,
		(unsigned long long)r->due_usec, r->attempts);
	for (unsigned i = 0; i < r->n_targets; i++)
		buf_printf(out, "target %s %s\n", outbox_state_name(r->targets[i].state),
			r->targets[i].owned);
	buf_str(out, "end\n");
}

int outbox_save(int folder, const struct outbox_report *r, struct span gz)
{
	char name[FILE_NAME_MAX];
	int e = 0;
	if (gz.ptr) {
		file_name(r, "json.gz", name);
		e = outbox_write(folder, name, gz);
	}
	struct buf b = BUF_INIT(STATE_OCTETS_MAX);
	write_state(r, &b);
	file_name(r, "state", name);
	if (e == 0)
		e = b.error ? b.error : outbox_write(folder, name, buf_span(&b));
	buf_done(&b);
	return e;
}

static int read_whole(int folder, const char *name, struct buf *out)
{
	int fd = openat(folder, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		return -errno;
	int r = buf_read_fd(out, fd);
	fd_close(fd);
	return r;
}

int outbox_body(int folder, const struct outbox_report *r, struct buf *out)
{
	char name[FILE_NAME_MAX];
	file_name(r, "json.gz", name);
	return read_whole(folder, name, out);
}

void outbox_remove(int folder, const struct outbox_report *r)
{
	char name[FILE_NAME_MAX];
	file_name(r, "state", name);
	(void)unlinkat(folder, name, 0);
	file_name(r, "json.gz", name);
	(void)unlinkat(folder, name, 0);
}

/* ---- reading a state ---- */

static int read_numbers(struct span s, uint64_t *numbers, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		size_t end = span_index(s, ' ');
		if (span_to_u64(span_head(s, end), UINT64_MAX, &numbers[i]) < 0)
			return -EBADMSG;
		s = span_from(s, end + 1);
	}
	return s.len > 0 ? -EBADMSG : 0;
}

static int read_target(struct outbox_report *r, struct span s)
{
	size_t end = span_index(s, ' ');
	struct tlsrpt_uri uri;
	if (tlsrpt_uri_parse(span_from(s, end + 1), &uri) < 0 ||
		outbox_report_add_target(r, &uri) < 0)
		return -EBADMSG;
	for (unsigned i = 0; i < OUTBOX_STATES; i++) {
		if (!span_equal(span_head(s, end), span_str(outbox_state_name(i))))
			continue;
		r->targets[r->n_targets - 1].state = (enum outbox_state)i;
		return 0;
	}
	return -EBADMSG;
}

static int set_string(char **field, struct span s)
{
	free(*field);
	*field = strndup(s.ptr, s.len);
	return *field ? 0 : -ENOMEM;
}

static int read_line(struct outbox_report *r, struct span key, struct span value)
{
	uint64_t n[4] = {0};
	int e = -EBADMSG;
	if (span_equal(key, SPAN_LIT("tlsrpt-report")))
		return span_equal(value, SPAN_LIT("1")) ? 0 : -EBADMSG;
	if (span_equal(key, SPAN_LIT("domain")))
		return set_string(&r->domain, value);
	if (span_equal(key, SPAN_LIT("id")))
		return set_string(&r->id, value);
	if (span_equal(key, SPAN_LIT("target")))
		return read_target(r, value);
	if (span_equal(key, SPAN_LIT("period"))) {
		e = read_numbers(value, n, 2);
		r->begin_sec = n[0];
		r->end_sec = n[1];
	} else if (span_equal(key, SPAN_LIT("sessions"))) {
		e = read_numbers(value, n, 2);
		r->ok = n[0];
		r->failed = n[1];
	} else if (span_equal(key, SPAN_LIT("times"))) {
		e = read_numbers(value, n, 4);
		r->made_usec = n[0];
		r->first_usec = n[1];
		r->due_usec = n[2];
		r->attempts = (uint32_t)n[3];
	}
	return e;
}

static int read_state(struct outbox_report *r, struct span text)
{
	bool ended = false;
	while (text.len > 0) {
		size_t end = span_index(text, '\n');
		struct span line = span_head(text, end);
		size_t space = span_index(line, ' ');
		text = span_from(text, end + 1);
		if (ended)
			return -EBADMSG;
		ended = span_equal(line, SPAN_LIT("end"));
		int e = ended ? 0
			      : read_line(r, span_head(line, space), span_from(line, space + 1));
		if (e < 0)
			return e;
	}
	return ended && r->id && *r->domain && r->n_targets > 0 ? 0 : -EBADMSG;
}

int outbox_load(int folder, struct span name, struct outbox_report **ret_report)
{
	struct outbox_report *r = NULL;
	struct buf b = BUF_INIT(STATE_OCTETS_MAX + BUF_READ_STEP);
	if (name.len != sizeof(r->name) - 1)
		return -EBADMSG;
	int e = outbox_report_new(SPAN_LIT(""), 0, &r);
	if (e == 0) {
		memcpy(r->name, name.ptr, name.len);
		char file[FILE_NAME_MAX];
		file_name(r, "state", file);
		e = read_whole(folder, file, &b);
	}
	if (e == 0)
		e = read_state(r, buf_span(&b));
	buf_done(&b);
	if (e < 0) {
		outbox_report_free(r);
		return e;
	}
	*ret_report = r;
	return 0;
}
