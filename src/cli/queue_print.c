/* Octets in rows come from peers: on a terminal they are made safe, in JSON what is not UTF-8 is
 * escaped as \xHH text. */
#include "cli/queue_print.h"

#include "base/ident.h"
#include "cli/cli.h"
#include "mail/date.h"
#include <jansson.h>
#include <stdio.h>

static json_t *json_octets(struct span s)
{
	json_t *j = json_stringn(s.ptr ? s.ptr : "", s.len);

	if (!j) {
		struct buf b = BUF_INIT(1 << 16);
		buf_escaped(&b, s, 8192);
		j = json_stringn(b.ptr ? b.ptr : "", b.len);
		buf_done(&b);
	}
	return j;
}

static json_t *json_time(uint64_t wall_usec)
{
	struct buf b = BUF_INIT(64);

	if (wall_usec == 0)
		return json_null();
	date_format_iso(wall_usec, &b);
	json_t *j = json_stringn(b.ptr ? b.ptr : "", b.len);
	buf_done(&b);
	return j;
}

static json_t *json_rcpt(const struct queue_row_rcpt *r)
{
	json_t *o = json_object();

	(void)json_object_set_new(o, "address", json_octets(r->address));
	if (r->original.len)
		(void)json_object_set_new(o, "original", json_octets(r->original));
	(void)json_object_set_new(o, "state", json_octets(r->state));
	(void)json_object_set_new(o, "attempts", json_integer((json_int_t)r->attempts));
	(void)json_object_set_new(o, "next", json_time(r->due_wall_usec));
	(void)json_object_set_new(o, "next_hop", json_octets(r->site));
	(void)json_object_set_new(o, "status", json_octets(r->enhanced));
	(void)json_object_set_new(o, "text", json_octets(r->text));
	return o;
}

static json_t *json_sessions(const struct queue_row *row)
{
	json_t *sessions = json_array();

	for (uint32_t i = 0; i < row->n_sessions; i++) {
		json_t *o = json_object(), *lines = json_array();
		(void)json_object_set_new(o, "time", json_time(row->sessions[i].wall_usec));
		for (struct span rest = row->sessions[i].text; rest.len;) {
			size_t len = span_index(rest, '\n');
			(void)json_array_append_new(lines, json_octets(span_head(rest, len)));
			rest = span_from(rest, len + 1);
		}
		(void)json_object_set_new(o, "lines", lines);
		(void)json_array_append_new(sessions, o);
	}
	return sessions;
}

static void print_json(const struct queue_row *row)
{
	json_t *o = json_object(), *rcpts = json_array();

	(void)json_object_set_new(o, "id", json_string(ident_format(row->id).s));
	(void)json_object_set_new(o, "arrival", json_time(row->arrival_wall_usec));
	(void)json_object_set_new(o, "expires", json_time(row->expires_wall_usec));
	(void)json_object_set_new(o, "size", json_integer((json_int_t)row->size));
	(void)json_object_set_new(o, "sender", json_octets(row->reverse_path));
	(void)json_object_set_new(o, "client", json_octets(row->client));
	(void)json_object_set_new(o, "held", json_boolean(row->held));
	for (uint32_t i = 0; i < row->n_rcpts; i++)
		(void)json_array_append_new(rcpts, json_rcpt(&row->rcpts[i]));
	(void)json_object_set_new(o, "recipients", rcpts);
	if (row->gone)
		(void)json_object_set_new(o, "gone", json_true());
	if (row->n_sessions)
		(void)json_object_set_new(o, "failed_sessions", json_sessions(row));
	(void)json_object_set_new(
		o, "recipients_total", json_integer((json_int_t)row->n_rcpts_all));
	(void)json_dumpf(o, stdout, JSON_COMPACT);
	(void)putchar('\n');
	json_decref(o);
}

static void print_age(uint64_t from, uint64_t now)
{
	uint64_t s = now > from ? (now - from) / USEC_PER_SEC : 0;

	if (s < 120)
		(void)printf("%llus", (unsigned long long)s);
	else if (s < 7200)
		(void)printf("%llum", (unsigned long long)(s / 60));
	else if (s < 172800)
		(void)printf("%lluh", (unsigned long long)(s / 3600));
	else
		(void)printf("%llud", (unsigned long long)(s / 86400));
}

static void print_rcpt(const struct queue_row_rcpt *r, bool all, uint64_t now)
{
	(void)printf("    ");
	cli_print_safe(r->address);
	(void)printf("  ");
	cli_print_safe(r->state);
	if (r->attempts)
		(void)printf(", %u attempt%s", r->attempts, r->attempts == 1 ? "" : "s");
	if (r->due_wall_usec > now) {
		(void)printf(", next in ");
		print_age(now, r->due_wall_usec);
	}
	if (all && r->site.len) {
		(void)printf(", by ");
		cli_print_safe(r->site);
	}
	(void)putchar('\n');
	if (r->text.len) {
		(void)printf("      ");
		cli_print_safe(r->enhanced);
		(void)putchar(' ');
		cli_print_safe(r->text);
		(void)putchar('\n');
	}
}

static void print_sessions(const struct queue_row *row)
{
	for (uint32_t i = 0; i < row->n_sessions; i++) {
		struct buf b = BUF_INIT(64);
		date_format_iso(row->sessions[i].wall_usec, &b);
		(void)printf("    failed session, over at %.*s:\n", SPAN_FMT(buf_span(&b)));
		buf_done(&b);
		for (struct span rest = row->sessions[i].text; rest.len;) {
			size_t len = span_index(rest, '\n');
			(void)printf("      ");
			cli_print_safe(span_head(rest, len));
			(void)putchar('\n');
			rest = span_from(rest, len + 1);
		}
	}
}

static void print_text(const struct queue_row *row, bool all, uint64_t now)
{
	(void)printf("%-14s ", ident_format(row->id).s);
	if (row->gone) {
		(void)printf("is no longer queued\n");
		print_sessions(row);
		return;
	}
	print_age(row->arrival_wall_usec, now);
	(void)printf(" %llu octets  from <", (unsigned long long)row->size);
	cli_print_safe(row->reverse_path);
	(void)printf(">%s\n", row->held ? "  HELD" : "");
	if (all && row->client.len) {
		(void)printf("    client ");
		cli_print_safe(row->client);
		(void)putchar('\n');
	}
	uint32_t n = all ? row->n_rcpts : MIN(row->n_rcpts, 10u);
	for (uint32_t i = 0; i < n; i++)
		print_rcpt(&row->rcpts[i], all, now);
	if (n < row->n_rcpts_all)
		(void)printf("    ... and %u more recipients\n", row->n_rcpts_all - n);
	print_sessions(row);
}

void queue_print_row(const struct queue_row *row, enum queue_print how, uint64_t now_wall_usec)
{
	if (how == QUEUE_PRINT_JSON)
		print_json(row);
	else
		print_text(row, how == QUEUE_PRINT_SHOW, now_wall_usec);
}
