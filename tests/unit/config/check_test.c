/* What `postrider check` says about the machine. Loopback ports of this test: 39471 and 39472. */
#include "fixture.h"
#include "config/check.h"
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define LISTEN                                                                                     \
	"hostname = \"mx.example.org\"\nlistener \"mx\" { address = {\"127.0.0.1:39471\"} }\n"
#define HOLD "domain \"a.example\" { users = any deliver = hold }\n"

enum kind { NOTHING, WARNING, ERROR };
static const struct {
	const char *name, *text;
	enum kind kind;
	const char *wanted, *remedy;
	bool not_root; /* root may everything */
} cases[] = {
	{"all well", "data = \"here\"\n" LISTEN HOLD, NOTHING, "", "", false},
	{"data missing", "data = \"none/below\"\n" LISTEN HOLD, WARNING,
		"m.conf: the data folder '@/none/below' does not exist yet", "serve will create it",
		false},
	{"data is a file", "data = \"file/x\"\n" LISTEN HOLD, ERROR,
		"m.conf: the data folder '@/file/x': Not a directory", "choose another path",
		false},
	{"data is itself a file", "data = \"file\"\n" LISTEN HOLD, ERROR,
		"m.conf: the data folder '@/file': '@/file' is no folder", "remove it", false},
	{"data not writable", "data = \"closed/x\"\n" LISTEN HOLD, ERROR,
		"m.conf: the data folder '@/closed/x': no permission to write to '@/closed'",
		"change its owner", true},
	{"users missing",
		"data = \"here\"\n" LISTEN
		"domain \"a.example\" { users = \"file:nobody\" deliver = hold }\n",
		ERROR, "m.conf:4: domain \"a.example\": the users file '@/nobody' does not exist",
		"postrider user add", false},
	{"users is a folder",
		"data = \"here\"\n" LISTEN
		"domain \"a.example\" { users = \"file:here\" deliver = hold }\n",
		ERROR, "m.conf:4: domain \"a.example\": the users file '@/here' is no regular file",
		"name a file", false},
	{"users unreadable",
		"data = \"here\"\n" LISTEN
		"domain \"a.example\" { users = \"file:secret\" deliver = hold }\n",
		ERROR, "m.conf:4: domain \"a.example\": no permission to read the users file",
		"mode", true},
	{"aliases missing",
		"data = \"here\"\n" LISTEN
		"domain \"a.example\" { users = any aliases = \"file:none\" deliver = hold }\n",
		ERROR, "m.conf:4: domain \"a.example\": the aliases file '@/none' does not exist",
		"remove the key", false},
	{"no postmaster",
		"data = \"here\"\n" LISTEN
		"domain \"a.example\" { users = \"file:users\" deliver = hold }\n",
		WARNING, "m.conf:4: domain \"a.example\" has no postmaster", "postmaster: YOU",
		false},
	{"postmaster by alias",
		"data = \"here\"\n" LISTEN "domain \"a.example\" { users = \"file:users\" aliases "
		"= \"file:aliases\" deliver = hold }\n",
		NOTHING, "", "", false},
	{"mail folder not writable",
		"data = \"here\"\n" LISTEN
		"domain \"a.example\" { users = any deliver = \"maildir:closed/m/{local}\" }\n",
		ERROR, "m.conf:4: the mail folder '@/closed/m': no permission", "owner", true},
	{"mail folder inside of data",
		"data = \"here\"\n" LISTEN
		"domain \"a.example\" { users = any deliver = \"maildir:{data}/m/{local}\" }\n",
		NOTHING, "", "", false},
	{"port in use",
		"data = \"here\"\nhostname = \"mx.example.org\"\n"
		"listener \"b\" { address = {\"127.0.0.1:39472\"} }\n" HOLD,
		WARNING, "m.conf:3: listener \"b\": 127.0.0.1:39472 is in use", "already running",
		false},
	{"address of nobody",
		"data = \"here\"\nhostname = \"mx.example.org\"\n"
		"listener \"b\" { address = {\"192.0.2.77:39471\"} }\n" HOLD,
		WARNING, "m.conf:3: listener \"b\": no interface", "correct the address", false},
	{"short hostname",
		"hostname = \"mail\"\ndata = \"here\"\nlistener \"mx\" { address = "
		"{\"127.0.0.1:39471\"} }\n" HOLD,
		WARNING, "m.conf: hostname 'mail' is no full name", "set hostname", false},
	{"small messages", "data = \"here\"\nlimits { message_size = 1K }\n" LISTEN HOLD, WARNING,
		"m.conf: limits.message_size is below 64K", "raise", false},
	{"late warning", "data = \"here\"\nqueue { warn = 5d }\n" LISTEN HOLD, WARNING,
		"m.conf: queue.warn is not below", "set it to 0", false},
	{"closed name server",
		"data = \"here\"\ndns { server = {\"127.0.0.1:39473\"} }\n" LISTEN HOLD, WARNING,
		"m.conf: dns.server: 127.0.0.1:39473 refuses questions", "start it", false},
	{"trust anchor missing", "data = \"here\"\ndns { trust_anchor = \"none\" }\n" LISTEN HOLD,
		ERROR, "m.conf: dns.trust_anchor: '@/none': No such file", "remove the key", false},
	/* The last one; see low_ports_are_free. */
	{"low port",
		"data = \"here\"\nhostname = \"mx.example.org\"\n"
		"listener \"b\" { address = {\"127.0.0.1:25\"} }\n" HOLD,
		ERROR, "m.conf:3: listener \"b\": port 25 of 127.0.0.1:25 is below 1024",
		"CAP_NET_BIND_SERVICE", true},
};

static void expand(const char *text, const struct fixture *f, struct buf *out)
{
	for (; *text; text++)
		if (*text == '@')
			buf_str(out, f->folder);
		else
			buf_char(out, *text);
	buf_char(out, '\0');
}

static void check_case(size_t i, const struct fixture *f)
{
	struct buf errors = BUF_INIT(65536), warnings = BUF_INIT(65536), wanted = BUF_INIT(4096);
	struct config *c = NULL;

	fixture_write(f, "m.conf", cases[i].text);
	if (fixture_load("m.conf", &c, &errors) < 0)
		fail_msg("%s: %s", cases[i].name, errors.ptr);
	buf_reset(&errors);
	/* Messages about the whole name the file by its full path. */
	buf_str(&wanted, strncmp(cases[i].wanted, "m.conf: ", 8) == 0 ? f->folder : "");
	buf_str(&wanted, strncmp(cases[i].wanted, "m.conf: ", 8) == 0 ? "/" : "");
	expand(cases[i].wanted, f, &wanted);
	int r = config_check_environment(c, &warnings, &errors);
	buf_char(&warnings, '\0');
	buf_char(&errors, '\0');
	const struct buf *in = cases[i].kind == ERROR ? &errors : &warnings;
	const struct buf *empty = cases[i].kind == ERROR ? &warnings : &errors;
	bool sound = strncmp(in->ptr, wanted.ptr, strlen(wanted.ptr)) == 0 &&
		     strstr(in->ptr, cases[i].remedy) && !*empty->ptr &&
		     (cases[i].kind != NOTHING || !*in->ptr);
	if (!sound || r != (cases[i].kind == ERROR ? -EINVAL : 0))
		fail_msg("%s: want %d '%s' '%s', got %d, errors '%s', warnings '%s'", cases[i].name,
			(int)cases[i].kind, wanted.ptr, cases[i].remedy, r, errors.ptr,
			warnings.ptr);
	config_free(c);
	buf_done(&errors);
	buf_done(&warnings);
	buf_done(&wanted);
}

/* Containers often let everybody bind every port. */
static bool low_ports_are_free(void)
{
	unsigned first = 1024;
	FILE *file = fopen("/proc/sys/net/ipv4/ip_unprivileged_port_start", "r");
	if (!file)
		return false;
	bool read = fscanf(file, "%u", &first) == 1;
	assert_int_equal(fclose(file), 0);
	return read && first <= 25;
}

static int listen_on(uint16_t port)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(port)};
	in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&in, sizeof(in)), 0);
	assert_int_equal(listen(fd, 1), 0);
	return fd;
}

static void config_check_environment__cases(void **state)
{
	struct fixture f;
	(void)state;

	fixture_open(&f);
	assert_int_equal(mkdir("here", 0755), 0);
	assert_int_equal(mkdir("closed", 0555), 0);
	fixture_write(&f, "file", "");
	fixture_write(&f, "secret", "");
	assert_int_equal(chmod("secret", 0), 0);
	fixture_write(&f, "users", "# postmaster\nann:\nxpostmaster:x\n");
	fixture_write(&f, "aliases", "abuse: ann\n  PostMaster : ann\n");
	int fd = listen_on(39472);
	size_t n = ARRAY_LEN(cases) - (low_ports_are_free() ? 1 : 0);
	for (size_t i = 0; i < n; i++)
		if (!cases[i].not_root || geteuid() != 0)
			check_case(i, &f);
	fd_close(fd);
	fixture_close(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(config_check_environment__cases),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
