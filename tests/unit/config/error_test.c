/* Each slip of an operator's pen, and the one line that it must give: file, line, what, remedy. */
#include "fixture.h"
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define HEAD   "hostname = \"mx.example.org\"\n"
#define RELAY  "relay { via = \"smtp://127.0.0.1:2626\" }\n"
#define LISTEN "listener \"mx\" { address = {\"127.0.0.1:2525\"} }\n"
#define SOUND  HEAD LISTEN RELAY

static const struct {
	const char *name, *text;
	const char *wanted; /* exactly these errors, each the start of a line; '\n' between */
	const char *remedy; /* somewhere in the text */
} slips[] = {
	{"unknown key", SOUND "hostnam = \"x\"\n", "m.conf:4: unknown key 'hostnam'",
		"did you mean 'hostname'?"},
	{"unknown key in a block",
		HEAD RELAY "listener \"mx\" {\n\n adress = {\"127.0.0.1:1\"}\n}\n",
		"m.conf:5: unknown key 'adress' in block listener", "did you mean 'address'?"},
	{"unknown block", SOUND "domian \"a.example\" { users = any }\n",
		"m.conf:4: unknown key 'domian'", "did you mean 'domain'?"},
	{"key of another block", SOUND "message_size = 1M\n",
		"m.conf:4: unknown key 'message_size'", "it belongs in 'limits { }'"},
	{"key that is nothing", SOUND "limits { zzzzz = 1 }\n",
		"m.conf:4: unknown key 'zzzzz' in block limits", "known here are message_size,"},
	{"two unknown keys", SOUND "foo = 1\nlimits {\n bar = {1, 2}\n errors = x\n}\n",
		"m.conf:4: unknown key 'foo'\nm.conf:6: unknown key 'bar'\nm.conf:7: errors = 'x'",
		"write digits only"},
	{"line after a C comment", "/* a\n\n b */ # c\n// d\n" SOUND "errors = 1\n",
		"m.conf:8: unknown key 'errors'", "limits"},
	{"number ill-typed", SOUND "limits {\n recipients = many\n}\n",
		"m.conf:5: recipients = 'many'", "it is no number"},
	{"number too small", SOUND "limits { recipients = 99 }\n", "m.conf:4: recipients = '99'",
		"from 100"},
	{"bool ill-typed",
		SOUND "domain \"a.example\" { users = any\n deliver = \"discard:\"\n"
		      " dkim = maybe }\n",
		"m.conf:6: dkim = 'maybe'", "write true or false"},
	{"list for a scalar", SOUND "data = {\"a\", \"b\"}\n", "m.conf:4: 'data' takes one value",
		"remove the braces"},
	{"bad value in a list over lines",
		HEAD RELAY
		"listener \"mx\" {\n address = {\n  \"127.0.0.1:2525\",\n  \"nonsense\",\n"
		"  \"[::1]:x\"\n }\n}\n",
		"m.conf:6: address: 'nonsense'\nm.conf:7: address: '[::1]:x'",
		"write \"0.0.0.0:25\""},
	{"bad network", HEAD LISTEN "relay {\n via = hold\n from = {\n\"10.0.0.0/33\"}\n}\n",
		"m.conf:6: from: '10.0.0.0/33' is no network", "10.0.0.0/8"},
	{"bad target", HEAD LISTEN "relay { via = \"smpt://x:1\" }\n",
		"m.conf:3: via = 'smpt://x:1': unknown kind", "smtp://HOST:PORT"},
	{"bad duration", SOUND "queue {\n retry = {\"5m\",\n\"5 bananas\"}\n}\n",
		"m.conf:6: retry = '5 bananas' is no duration", "15m"},
	{"bad size", SOUND "limits { message_size = \"50X\" }\n", "m.conf:4: message_size = '50X'",
		"K, M or G"},
	{"bad role", HEAD RELAY "listener \"mx\" { address = {\"127.0.0.1:2525\"}\n role = mta }\n",
		"m.conf:4: role = 'mta'", "write mx, submission or lmtp"},
	{"hostname twice", SOUND "hostname = \"b.example\"\n",
		"m.conf:4: 'hostname' was given before, at m.conf:1", "remove one"},
	{"list twice",
		HEAD RELAY "listener \"mx\" {\n address = {\"127.0.0.1:1\"}\n address = "
			   "{\"127.0.0.1:2\"}\n}\n",
		"m.conf:5: 'address' was given before, at m.conf:4", "+="},
	{"block twice", SOUND "limits { }\nlimits { errors = 3 }\n",
		"m.conf:5: the block 'limits' was given before, at m.conf:4", "join the two"},
	{"domain twice",
		SOUND "domain \"a.example\" { users = any deliver = hold }\n"
		      "domain \"A.Example\" { users = any deliver = hold }\n",
		"m.conf:5: domain \"a.example\" was given before, at m.conf:4", "join"},
	{"route twice", SOUND "route \"*\" { via = hold }\nroute \"*\" { via = hold }\n",
		"m.conf:5: route \"*\" was given before, at m.conf:4", "join"},
	{"listener twice", SOUND LISTEN, "m.conf:4: listener \"mx\" was given before",
		"another name"},
	{"lmtp on port 25", SOUND "listener \"l\" { role = lmtp address = {\"127.0.0.1:25\"} }\n",
		"m.conf:4: listener \"l\": LMTP may not use port 25", "choose another"},
	{"address twice", SOUND "listener \"b\" { address = {\"127.0.0.1:2525\"} }\n",
		"m.conf:4: listener \"b\": the address 127.0.0.1:2525 is also in listener \"mx\"",
		"give it once"},
	{"block without title", SOUND "domain { users = any }\n",
		"m.conf:4: the block 'domain' needs a title", "domain \"NAME\""},
	{"title without need", SOUND "limits \"x\" { errors = 3 }\n",
		"m.conf:4: the block 'limits' takes no title", "limits {"},
	{"bad domain name", SOUND "domain \"exa mple\" { users = any deliver = hold }\n",
		"m.conf:4: domain \"exa mple\" has an octet", "letters, digits"},
	{"U-label", SOUND "domain \"m\xc3\xbcller.example\" { users = any deliver = hold }\n",
		"m.conf:4: domain ", "xn--"},
	{"block not closed", SOUND "limits {\n errors = 3\n",
		"m.conf:4: the block 'limits' that opens here is not closed", "add '}'"},
	{"block not closed before the next",
		HEAD RELAY "limits {\n errors = 3\n" LISTEN "queue { warn = 1h }\n}\n",
		"m.conf:5: the block 'listener' cannot stand inside of 'limits', opened at "
		"m.conf:3",
		"missing '}'"},
	{"brace too many", SOUND "limits { errors = 3 } }\n", "m.conf:4: '}' closes nothing",
		"remove it"},
	{"string not closed", "hostname = \"mx.example.org\n" LISTEN RELAY,
		"m.conf:1: the string is not closed on its line", "add \""},
	{"list not closed",
		HEAD RELAY "listener \"mx\" { address = {\"127.0.0.1:2525\"\n role = mx }\n",
		"m.conf:4: a ',' must stand\nm.conf:3: the list of 'address' that opens here",
		"add '}'"},
	{"comma missing",
		HEAD RELAY "listener \"mx\" { address = {\"127.0.0.1:1\"\n\"127.0.0.1:2\"} }\n",
		"m.conf:4: a ',' must stand between the values of a list", "found"},
	{"comment not closed", SOUND "\n/* x\n\n", "m.conf:5: the comment that opens here", "*/"},
	{"equal sign missing", "hostname \"mx.example.org\"\n" LISTEN RELAY,
		"m.conf:1: '=' must follow the key", "found the string"},
	{"value missing", "hostname = \"mx.example.org\"\ndata =\n" LISTEN RELAY,
		"m.conf:2: the value of 'data' is missing", "same line"},
	{"semicolon", "hostname = \"mx.example.org\";\n" LISTEN RELAY, "m.conf:1: ';'",
		"remove it"},
	{"variable not set", "hostname = \"${POSTRIDER_NO_SUCH}\"\n" LISTEN RELAY,
		"m.conf:1: the environment variable 'POSTRIDER_NO_SUCH' is not set\n"
		"m.conf:1: hostname = ''",
		"${NAME:-default}"},
	{"variable not closed", "hostname = \"mx${\"\n" LISTEN "relay { via = \"hold\" } # }\n",
		"m.conf:1: ${ is not closed", "\\${ for itself"},
	{"string ends in a backslash at the end of the file", SOUND "data = \"a\\",
		"m.conf:4: the string is not closed", "add \""},
	{"escapes that are no octets",
		SOUND
		"data = \"a\\400\"\nuser = \"a\\0\"\nmail_user = \"a\\8\"\ngrace = \"1\\xg\"\n",
		"m.conf:4: a number after \\ is no octet\nm.conf:5: a number after\n"
		"m.conf:6: a number after\nm.conf:7: a number after",
		"\\\\ for a backslash"},
	{"domain without deliver",
		SOUND
		"domain \"a.example\" { users = any }\ndomain \"b.example\" { users = any }\n",
		"m.conf:4: domain \"a.example\" does not say where its mail goes\n"
		"m.conf:5: domain \"b.example\" does not say where its mail goes",
		"add deliver ="},
	{"domain without addresses", SOUND "domain \"a.example\" { deliver = hold }\n",
		"m.conf:4: domain \"a.example\" has no addresses", "users ="},
	{"listener without address", HEAD RELAY "\nlistener \"mx\" { }\n",
		"m.conf:4: listener \"mx\" has no address", "add address ="},
	{"route without via", SOUND "route \"a.example\" { }\n",
		"m.conf:4: route \"a.example\" does not say where to", "add via ="},
	{"no listener", HEAD RELAY, "m.conf: there is no listener", "add listener"},
	{"nothing to do", HEAD LISTEN, "m.conf: there is neither a domain nor a relay", "add"},
	{"users of no kind", SOUND "domain \"a.example\" { users = \"/etc/x\" deliver = hold }\n",
		"m.conf:4: users = '/etc/x': unknown kind", "file:PATH"},
	{"unknown placeholder",
		SOUND "domain \"a.example\" { users = any deliver = \"maildir:/m/{user}\" }\n",
		"m.conf:4: deliver = 'maildir:/m/{user}': unknown placeholder", "{local}"},
	{"control octet", SOUND "\x01 \n", "m.conf:4: a control octet 0x01", "remove"},
	{"missing include", SOUND "\ninclude(\"none.conf\")\n", "m.conf:5: cannot include '",
		"it does not exist"},
	{"folder included", SOUND "include(\"folder\")\n", "m.conf:4: cannot include '",
		"it is a folder"},
	{"include loop", SOUND "\ninclude(\"loop.conf\")\n",
		"@/loop.conf:2: the file includes itself", "remove this include"},
	{"include of the main file", SOUND "include(\"m.conf\")\n",
		"m.conf:4: the file includes itself", "remove"},
	{"include without a name", SOUND "include \"x\"\n", "m.conf:4: write include(\"FILE\")",
		"found"},
	{"errors in an include and after it", SOUND "include(\"bad.conf\")\nfoo = 1\n",
		"@/bad.conf:3: unknown key 'eror' in block limits\n"
		"@/bad.conf:4: '}' closes nothing\nm.conf:5: unknown key 'foo'",
		"did you mean 'errors'?"},
	{"error in an include inside of a block",
		SOUND "limits {\n include(\"inner.conf\")\n bad = 1\n}\n",
		"m.conf:6: unknown key 'bad' in block limits\n@/inner.conf:2: errors = 'no'", ""},
	{"duplicate over an include", SOUND "limits {\n errors = 3\n include(\"inner.conf\")\n}\n",
		"@/inner.conf:2: 'errors' was given before, at m.conf:5\n", ""},
	{"empty file", "", "m.conf: there is no listener", ""},
};

/* The line that starts with wanted ("@" stands for the folder) is removed from the list. */
static bool take_line(struct buf *list, const struct fixture *f, struct span wanted)
{
	char start[512];
	bool in_folder = wanted.len > 0 && wanted.ptr[0] == '@';
	snprintf(start, sizeof(start), "%s%.*s", in_folder ? f->folder : "",
		(int)wanted.len - in_folder, wanted.ptr + in_folder);
	for (char *line = list->ptr; *line;) {
		char *end = strchr(line, '\n');
		if (strncmp(line, start, strlen(start)) == 0) {
			memmove(line, end + 1, strlen(end + 1) + 1);
			return true;
		}
		line = end + 1;
	}
	return false;
}

static bool matches(struct buf *errors, const struct fixture *f, const char *wanted)
{
	struct span rest = span_str(wanted);
	while (rest.len > 0) {
		size_t end = span_index(rest, '\n');
		if (!take_line(errors, f, span_head(rest, end)))
			return false;
		rest = span_from(rest, end + 1);
	}
	return errors->ptr[0] == '\0';
}

static void config_load__slips(void **state)
{
	struct fixture f;
	struct buf errors = BUF_INIT(65536);
	unsigned failures = 0;
	(void)state;

	fixture_open(&f);
	assert_int_equal(mkdir("folder", 0755), 0);
	fixture_write(&f, "loop.conf", "\ninclude(\"loop.conf\")\n");
	fixture_write(&f, "bad.conf", "# a\n\nlimits { eror = 3 }\n}\n");
	fixture_write(&f, "inner.conf", "\nerrors = no\n");
	for (size_t i = 0; i < ARRAY_LEN(slips); i++) {
		struct config *c = NULL;
		fixture_write(&f, "m.conf", slips[i].text);
		int r = fixture_load("m.conf", &c, &errors);
		char *got = strdup(errors.ptr);
		/* The default hostname of the machine may be missing as well. */
		if (strcmp(slips[i].name, "empty file") == 0) {
			take_line(&errors, &f, SPAN_LIT("m.conf: hostname is missing"));
			take_line(&errors, &f, SPAN_LIT("m.conf: there is neither"));
		}
		if (strcmp(slips[i].name, "duplicate over an include") == 0)
			take_line(&errors, &f, SPAN_LIT("@/inner.conf:2: errors = 'no'"));
		bool as_wanted = r == -EINVAL && !c && strstr(got, slips[i].remedy) &&
				 matches(&errors, &f, slips[i].wanted);
		if (!as_wanted) {
			printf("%s: r %d\n want: %s | %s\n got: %s\n", slips[i].name, r,
				slips[i].wanted, slips[i].remedy, got);
			failures++;
		}
		free(got);
		config_free(c);
	}
	buf_done(&errors);
	fixture_close(&f);
	assert_int_equal(failures, 0);
}

static void config_load__files(void **state)
{
	static const struct {
		const char *path;
		int r;
		const char *text;
	} table[] = {
		{"none.conf", -ENOENT,
			"none.conf: cannot read the configuration: it does not exist"},
		{"folder", -EISDIR, "folder: cannot read the configuration: it is a folder"},
		{"folder/x.conf/y", -ENOENT, "it does not exist"},
		{"m.conf/x", -ENOTDIR, "it does not exist"},
		{"big.conf", -EFBIG, "it is larger than 1 MiB"},
		{"/dev/null", -EBADF, "it is no regular file"},
		{"nul.conf", -EINVAL, "nul.conf:2: a NUL octet"},
		{"secret.conf", -EACCES, "no permission"},
	};
	struct fixture f;
	struct buf errors = BUF_INIT(65536);
	(void)state;

	fixture_open(&f);
	assert_int_equal(mkdir("folder", 0755), 0);
	fixture_write(&f, "m.conf", SOUND);
	fixture_write(&f, "big.conf", "");
	assert_int_equal(truncate("big.conf", 1024 * 1024 + 1), 0);
	fixture_write(&f, "nul.conf", "data = x\n");
	assert_int_equal(truncate("nul.conf", 10), 0);
	fixture_write(&f, "secret.conf", SOUND);
	assert_int_equal(chmod("secret.conf", 0), 0);
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct config *c = NULL;
		if (table[i].r == -EACCES && access("secret.conf", R_OK) == 0)
			continue; /* root reads everything */
		int r = fixture_load(table[i].path, &c, &errors);
		if (r != table[i].r || !strstr(errors.ptr, table[i].text))
			fail_msg("%s: want %d '%s', got %d '%s'", table[i].path, table[i].r,
				table[i].text, r, errors.ptr);
	}
	buf_done(&errors);
	fixture_close(&f);
}

static void config_load__many_errors_are_bounded(void **state)
{
	struct fixture f;
	struct buf errors = BUF_INIT(65536), text = BUF_INIT(65536);
	struct config *c = NULL;
	unsigned lines = 0;
	(void)state;

	fixture_open(&f);
	for (unsigned i = 0; i < 5000; i++)
		buf_str(&text, "zzz = 1\n");
	buf_char(&text, '\0');
	fixture_write(&f, "m.conf", text.ptr);
	assert_int_equal(fixture_load("m.conf", &c, &errors), -EINVAL);
	for (const char *p = errors.ptr; *p; p++)
		lines += *p == '\n';
	assert_int_equal(lines, 101);
	assert_non_null(strstr(errors.ptr, "too many errors"));
	buf_done(&errors);
	buf_done(&text);
	fixture_close(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(config_load__slips),
		cmocka_unit_test(config_load__files),
		cmocka_unit_test(config_load__many_errors_are_bounded),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
