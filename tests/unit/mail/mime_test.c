/* Conversion for next hops of less: what becomes of a message, whole and octet by octet. */
#include "mail/mime.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#define MIXED "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=\"b b\"\r\n"

struct mime_case {
	const char *name;
	enum mime_target target;
	bool binary;
	const char *in;
	int want; /* of mime_scan_end */
	const char *out;
};

static const struct mime_case cases[] = {
	{"ascii__unchanged", MIME_TO_7BIT, false, "Subject: x\r\n\r\nhi\r\n", 0, NULL},
	{"text__quoted_printable", MIME_TO_7BIT, false,
		"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
		"Content-Transfer-Encoding: 8bit\r\nSubject: x\r\n\r\nGr\303\274\303\237e = "
		"\r\n.\r\nFrom\r\n",
		1,
		"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nSubject: x\r\n"
		"Content-Transfer-Encoding: quoted-printable\r\n\r\nGr=C3=BC=C3=9Fe "
		"=3D=20\r\n=2E\r\n=46rom\r\n"},
	{"mostly_high__base64", MIME_TO_7BIT, false,
		"MIME-Version: 1.0\r\nContent-Type: a/b\r\n\r\n\303\274\303\274\r\n", 1,
		"MIME-Version: 1.0\r\nContent-Type: a/b\r\nContent-Transfer-Encoding: "
		"base64\r\n\r\n"
		"w7zDvA0K"},
	{"no_mime__unknown_charset", MIME_TO_7BIT, false, "Subject: x\r\n\r\nabcdefg h\351\r\n", 1,
		"Subject: x\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; "
		"charset=unknown-8bit\r\n"
		"Content-Transfer-Encoding: quoted-printable\r\n\r\nabcdefg h=E9\r\n"},
	{"no_header__begins_one", MIME_TO_7BIT, false, "abcdefgh h\351\r\nx\r\n", 1,
		"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=unknown-8bit\r\n"
		"Content-Transfer-Encoding: quoted-printable\r\n\r\nabcdefgh h=E9\r\nx\r\n"},
	{"multipart__leaves_only", MIME_TO_7BIT, false,
		MIXED "Content-Transfer-Encoding: 8bit\r\n\r\npre\351\r\n--b b\r\n"
		      "Content-Transfer-Encoding: 8bit\r\n\r\nascii\r\n--b "
		      "b\r\n\r\nabcdefgh\351\r\n\r\n--b b-- \r\npost\r\n",
		1,
		MIXED "Content-Transfer-Encoding: 7bit\r\n\r\npre?\r\n--b b\r\n"
		      "Content-Transfer-Encoding: 7bit\r\n\r\nascii\r\n--b b\r\n"
		      "Content-Transfer-Encoding: quoted-printable\r\n\r\nabcdefgh=E9\r\n\r\n--b "
		      "b-- \r\npost\r\n"},
	{"message_within__its_leaf", MIME_TO_7BIT, false,
		MIXED "\r\n--b b\r\nContent-Type: message/rfc822\r\nContent-Transfer-Encoding: "
		      "8bit\r\n\r\n"
		      "Subject: y\r\n\r\nabcdefgh\351\r\n--b b--\r\n",
		1,
		MIXED "\r\n--b b\r\nContent-Type: message/rfc822\r\nContent-Transfer-Encoding: "
		      "7bit\r\n\r\n"
		      "Subject: y\r\nContent-Transfer-Encoding: "
		      "quoted-printable\r\n\r\nabcdefgh=E9\r\n--b b--\r\n"},
	{"rfc1847__signed_is_not_touched", MIME_TO_7BIT, false,
		"Content-Type: multipart/signed; "
		"boundary=x\r\n\r\n--x\r\n\r\nabcdefgh\351\r\n--x--\r\n",
		-EILSEQ, NULL},
	{"rfc1847__signed_ascii_beside_others", MIME_TO_7BIT, false,
		MIXED "\r\n--b b\r\nContent-Type: multipart/signed; "
		      "boundary=x\r\n\r\n--x\r\n\r\nab\r\n--x--\r\n"
		      "--b b\r\n\r\nabcdefgh\351\r\n--b b--\r\n",
		1,
		MIXED "\r\n--b b\r\nContent-Type: multipart/signed; "
		      "boundary=x\r\n\r\n--x\r\n\r\nab\r\n--x--\r\n"
		      "--b b\r\nContent-Transfer-Encoding: "
		      "quoted-printable\r\n\r\nabcdefgh=E9\r\n--b b--\r\n"},
	{"rfc2046_5_2_2__partial_is_not_touched", MIME_TO_7BIT, false,
		"Content-Type: message/partial; id=x\r\n\r\nabcdefgh\351\r\n", -EILSEQ, NULL},
	{"encoded_with_high_octets__not_touched", MIME_TO_7BIT, false,
		"Content-Transfer-Encoding: base64\r\n\r\nabcdefgh\351\r\n", -EILSEQ, NULL},
	{"unknown_encoding__not_touched", MIME_TO_7BIT, false,
		"Content-Transfer-Encoding: x-uue\r\n\r\nabcdefgh\351\r\n", -EILSEQ, NULL},
	{"binary__base64_to_8bit", MIME_TO_8BIT, true,
		MIXED "Content-Transfer-Encoding: binary\r\n\r\n--b "
		      "b\r\nContent-Transfer-Encoding: binary\r\n"
		      "Content-Type: image/x\r\n\r\na\nb\r\n--b b\r\nContent-Transfer-Encoding: "
		      "binary\r\n\r\ng\303\274\r\n--b b--\r\n",
		1,
		MIXED "Content-Transfer-Encoding: 8bit\r\n\r\n--b b\r\nContent-Type: image/x\r\n"
		      "Content-Transfer-Encoding: base64\r\n\r\nYQpi\r\n--b "
		      "b\r\nContent-Transfer-Encoding: 8bit\r\n\r\ng\303\274\r\n--b b--\r\n"},
	{"boundary__of_outer_ends_inner", MIME_TO_7BIT, false,
		"Content-Type: multipart/mixed; boundary=o\r\n\r\n--o\r\nContent-Type: "
		"multipart/x; boundary=i\r\n\r\n"
		"--i\r\n\r\nabcdefgh\351\r\n--o\r\n\r\nabcdefgh\351\r\n--o--",
		1,
		"Content-Type: multipart/mixed; boundary=o\r\n\r\n--o\r\nContent-Type: "
		"multipart/x; boundary=i\r\n\r\n"
		"--i\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nabcdefgh=E9\r\n--o\r\n"
		"Content-Transfer-Encoding: quoted-printable\r\n\r\nabcdefgh=E9\r\n--o--"},
	{"digest__messages_by_default", MIME_TO_7BIT, false,
		"Content-Type: multipart/digest; boundary=o\r\n\r\n--o\r\n\r\nSubject: "
		"z\r\n\r\nabcdefgh\351\r\n--o--\r\n",
		1,
		"Content-Type: multipart/digest; boundary=o\r\n\r\n--o\r\n\r\nSubject: z\r\n"
		"Content-Transfer-Encoding: quoted-printable\r\n\r\nabcdefgh=E9\r\n--o--\r\n"},
	{"comments_and_folding", MIME_TO_7BIT, false,
		"Content-Type: (a (b) c) multipart (x) /\r\n mixed; charset=\"a;\\\"b\" "
		";\r\n\tBOUNDARY = (y) o (z)\r\n"
		"content-transfer-encoding : (c) 8BIT\r\n\r\n--o\r\n\r\nabcdefgh\351\r\n--o--\r\n",
		1,
		"Content-Type: (a (b) c) multipart (x) /\r\n mixed; charset=\"a;\\\"b\" "
		";\r\n\tBOUNDARY = (y) o (z)\r\n"
		"MIME-Version: 1.0\r\nContent-Transfer-Encoding: 7bit\r\n\r\n--o\r\n"
		"Content-Transfer-Encoding: quoted-printable\r\n\r\nabcdefgh=E9\r\n--o--\r\n"},
};

static int convert(const struct mime_case *c, size_t step, struct buf *out)
{
	struct mime *m;
	struct span in = span_str(c->in);

	assert_int_equal(mime_new(c->target, c->binary, &m), 0);
	for (struct span s = in; s.len > 0; s = span_from(s, step))
		mime_scan(m, span_head(s, step));
	int r = mime_scan_end(m);
	for (struct span s = in; r >= 0 && s.len > 0; s = span_from(s, step))
		mime_convert(m, span_head(s, step), out);
	if (r >= 0) {
		mime_convert_end(m, out);
		assert_true(out->len <= mime_size(m));
	}
	mime_free(m);
	return r;
}

static void mime_convert__table(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const struct mime_case *c = &cases[i];
		for (size_t step = 1; step < 2000; step = step * 3 + 1) {
			struct buf out = BUF_INIT(1 << 20);
			int r = convert(c, step, &out);
			struct span want = span_str(c->out ? c->out : c->in);
			if (r != c->want || (r >= 0 && !span_equal(buf_span(&out), want)))
				fail_msg("%s, step %zu: want %d\n%.*s\ngot %d\n%.*s", c->name, step,
					c->want, SPAN_FMT(want), r, SPAN_FMT(buf_span(&out)));
			buf_done(&out);
		}
	}
}

/* RFC 2045 6.7 (5), 6.8: no line over 76 characters. */
static void mime_convert__long_lines_are_cut(void **state)
{
	(void)state;
	for (int binary = 0; binary < 2; binary++) {
		struct buf in = BUF_INIT(1 << 20), out = BUF_INIT(1 << 20);
		buf_str(&in, "Subject: x\r\n\r\n");
		for (int i = 0; i < 3000; i++)
			buf_str(&in, i % 40 ? "x " : "\351");
		buf_str(&in, "\r\n");
		buf_append(&in, "", 1);
		struct mime_case c = {.in = in.ptr, .binary = binary};
		assert_int_equal(convert(&c, 1000, &out), 1);
		for (struct span s = buf_span(&out); s.len > 0;) {
			size_t n = span_index(s, '\n');
			assert_true(n <= 77);
			s = span_from(s, n + 1);
		}
		buf_done(&in);
		buf_done(&out);
	}
}

static void mime_scan__bounds(void **state)
{
	(void)state;
	struct buf deep = BUF_INIT(1 << 20), many = BUF_INIT(1 << 20);
	for (unsigned i = 0; i < MIME_DEPTH_MAX + 1; i++)
		buf_printf(&deep, "Content-Type: multipart/mixed; boundary=b%u\r\n\r\n--b%u\r\n", i,
			i);
	buf_append(&deep, "", 1);
	buf_str(&many, "Content-Type: multipart/mixed; boundary=b\r\n\r\n");
	for (unsigned i = 0; i < MIME_ENTITIES_MAX + 1; i++)
		buf_str(&many, "--b\r\n\r\n");
	buf_append(&many, "", 1);
	const char *ins[] = {deep.ptr, many.ptr};
	for (size_t i = 0; i < ARRAY_LEN(ins); i++) {
		struct buf out = BUF_INIT(1 << 20);
		assert_int_equal(convert(&(struct mime_case){.in = ins[i]}, 4096, &out), -E2BIG);
		buf_done(&out);
	}
	buf_done(&deep);
	buf_done(&many);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mime_convert__table),
		cmocka_unit_test(mime_convert__long_lines_are_cut),
		cmocka_unit_test(mime_scan__bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
