/* The addresses and dates of others, read in place from POSTRIDER_SUITES (default: ../shared/suites
 * beside the project); skipped where they are missing.
 * addresses/isemail.xml: an envelope takes the categories VALID_CATEGORY, DNSWARN and RFC5321. The
 * quoted DEPREC cases were looked at one by one: "a"."b" is no Quoted-string, DEL and control
 * octets are in neither qtextSMTP nor quoted-pairSMTP; none is allowed by RFC 5321. So is not
 * IPv6's "::" for one group. headers/date.json: an oracle for values; what it takes beyond RFC 5322
 * we need not take. */
#include "mail/date.h"
#include "mail/path.h"
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include "check.h"

/* Reads a file of the suites; skips the test when it is missing. */
static struct buf suite_read(const char *name)
{
	const char *root = getenv("POSTRIDER_SUITES");
	struct buf path = BUF_INIT(4096), data = BUF_INIT(16 << 20);
	buf_printf(&path, "%s/%s", root ? root : SUITES_DEFAULT, name);
	buf_char(&path, '\0');
	FILE *f = fopen(path.ptr, "re");
	buf_done(&path);
	if (!f) {
		print_message("%s: the shared test data is missing, skipped\n", name);
		skip();
		return data;
	}
	size_t n;
	do {
		char *space = buf_reserve(&data, 65536);
		assert_non_null(space);
		n = fread(space, 1, 65536, f);
		data.len += n;
	} while (n > 0);
	(void)fclose(f);
	return data;
}

/* What stands between open and close at or behind *rest; *rest moves behind it. */
static bool between(struct span *rest, const char *open, const char *close, struct span *ret_inner)
{
	const char *from = memmem(rest->ptr, rest->len, open, strlen(open));
	if (!from)
		return false;
	from += strlen(open);
	size_t left = rest->len - (size_t)(from - rest->ptr);
	const char *to = memmem(from, left, close, strlen(close));
	if (!to)
		return false;
	*ret_inner = span_make(from, (size_t)(to - from));
	*rest = span_make(to, left - ret_inner->len);
	return true;
}

/* XML's references, and U+2400+n, which stands for control octet n. */
static void xml_text(struct span s, struct buf *out)
{
	static const struct {
		const char *name;
		char octet;
	} entities[] = {
		{"&amp;", '&'}, {"&lt;", '<'}, {"&gt;", '>'}, {"&quot;", '"'}, {"&apos;", '\''}};
	while (s.len > 0) {
		size_t used = 1;
		char octet = s.ptr[0];
		for (size_t k = 0; k < ARRAY_LEN(entities); k++)
			if (span_starts_nocase(s, span_str(entities[k].name)))
				octet = entities[k].octet, used = strlen(entities[k].name);
		if (span_starts_nocase(s, SPAN_LIT("&#x"))) {
			size_t end = span_index(s, ';');
			unsigned long value = strtoul(s.ptr + 3, NULL, 16);
			octet = (char)(value >= 0x2400 && value < 0x2420 ? value - 0x2400 : value);
			used = end + 1;
		} else if (s.len >= 3 && memcmp(s.ptr, "\xE2\x90", 2) == 0 &&
			   (uint8_t)s.ptr[2] < 0xA0) {
			octet = (char)((uint8_t)s.ptr[2] - 0x80);
			used = 3;
		}
		buf_char(out, octet);
		s = span_from(s, used);
	}
}

static void mailbox_parse__isemail(void **state)
{
	static const char *const good[] = {
		"ISEMAIL_VALID_CATEGORY", "ISEMAIL_DNSWARN", "ISEMAIL_RFC5321"};
	struct buf xml = suite_read("addresses/isemail.xml");
	struct span rest = buf_span(&xml), test, address, category;
	unsigned count = 0;
	(void)state;
	while (between(&rest, "<test id", "</test>", &test)) {
		struct buf text = BUF_INIT(4096), label = BUF_INIT(8192);
		struct path p;
		if (!between(&test, "<address>", "</address>", &address))
			address = span_head(test, 0);
		assert_true(between(&test, "<category>", "</category>", &category));
		xml_text(address, &text);
		bool want = false;
		for (size_t k = 0; k < ARRAY_LEN(good); k++)
			want |= span_equal(category, span_str(good[k]));
		buf_escaped(&label, buf_span(&text), 300);
		buf_char(&label, '\0');
		bool got = mailbox_parse(buf_span(&text), false, false, &p) >= 0;
		check_number(label.ptr, "accepted", got, want);
		/* In a path the same octets are the same mailbox. */
		struct buf path = BUF_INIT(4096);
		struct span behind;
		buf_char(&path, '<');
		buf_put(&path, buf_span(&text));
		buf_char(&path, '>');
		got = text.len > 0 &&
		      path_parse(buf_span(&path), PATH_FORWARD, false, &p, &behind) >= 0 &&
		      behind.len == 0;
		check_number(label.ptr, "accepted in a path", got, want);
		buf_done(&path);
		buf_done(&text);
		buf_done(&label);
		count++;
	}
	print_message("%u addresses\n", count);
	assert_true(count > 100);
	buf_done(&xml);
}

static long long expected_number(const json_t *expected, const char *key)
{
	return json_integer_value(json_object_get(expected, key));
}

static void date_parse__shared_values(void **state)
{
	struct buf data = suite_read("headers/date.json");
	json_t *list = json_loadb(data.ptr, data.len, 0, NULL);
	unsigned agreed = 0, not_taken = 0;
	size_t i;
	json_t *entry;
	(void)state;
	assert_non_null(list);
	json_array_foreach(list, i, entry)
	{
		const char *text = json_string_value(json_object_get(entry, "header"));
		const json_t *expected = json_object_get(entry, "expected");
		uint64_t usec;
		if (!text || !json_is_object(expected) ||
			date_parse(span_trim(span_str(text)), &usec) < 0) {
			not_taken++;
			continue;
		}
		struct tm tm = {
			.tm_year = (int)expected_number(expected, "year") - 1900,
			.tm_mon = (int)expected_number(expected, "month") - 1,
			.tm_mday = (int)expected_number(expected, "day"),
			.tm_hour = (int)expected_number(expected, "hour"),
			.tm_min = (int)expected_number(expected, "minute"),
			.tm_sec = (int)expected_number(expected, "second"),
		};
		long long offset = expected_number(expected, "tz_hour") * 3600 +
				   expected_number(expected, "tz_minute") * 60;
		bool west = json_is_true(json_object_get(expected, "tz_before_gmt"));
		check_number(text, "seconds", (long long)(usec / USEC_PER_SEC),
			(long long)timegm(&tm) + (west ? offset : -offset));
		agreed++;
	}
	print_message("%u dates agree, %u not taken\n", agreed, not_taken);
	assert_true(agreed > 0);
	json_decref(list);
	buf_done(&data);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mailbox_parse__isemail),
		cmocka_unit_test(date_parse__shared_values),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
