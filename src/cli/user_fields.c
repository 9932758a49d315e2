/* user app, user cert: what a user may log in with beside the password. App passwords are made
 * here, shown once, and kept as fingerprints; certificates are known by fingerprint or subject. */
#include "base/base64.h"
#include "cli/user_command.h"
#include "cli/user_store.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

/* The line without the field that starts so and goes on with `value` up to `end`; true: it was
 * there. */
static bool drop_field(
	struct span rest, const char *start, struct span value, char end, struct buf *out)
{
	bool found = false;

	for (bool first = true; rest.len || first; first = false) {
		struct span field = span_head(rest, span_index(rest, ':'));
		rest = span_from(rest, field.len + 1);
		struct span tail = span_from(field, strlen(start));
		bool this = span_starts_nocase(field, span_str(start)) &&
			    span_equal(span_head(tail, span_index(tail, end)), value);
		found |= this;
		if (this)
			continue;
		if (!first)
			buf_char(out, ':');
		buf_put(out, field);
	}
	return found;
}

static int app_list(struct user_command *u, const struct credentials *c)
{
	for (size_t i = 0; i < c->n_apps; i++) {
		struct span label = c->apps[i].label;
		char made[32], used[32];
		user_format_date(c->apps[i].created, made);
		user_last_use(u, buf_span(&u->local), u->domain->name, label, used);
		if (u->json)
			(void)printf("{\"user\": \"%s\", \"app\": \"%.*s\", \"created\": \"%s\", "
				     "\"used\": \"%s\"}\n",
				u->name, SPAN_FMT(label), made, used);
		else
			(void)printf("%.*s  made %s  last used %s\n", SPAN_FMT(label), made, used);
	}
	return EX_OK_;
}

static int app_add(
	struct user_command *u, struct span label, const struct credentials *c, struct buf *rest)
{
	struct buf password = BUF_INIT(64), print = BUF_INIT(64);

	if (c->n_apps >= APP_PASSWORDS_MAX) {
		cli_error(
			"%s has %u app passwords already: remove one", u->name, APP_PASSWORDS_MAX);
		return EX_DATA_;
	}
	for (size_t i = 0; i < c->n_apps; i++)
		if (span_equal(c->apps[i].label, label)) {
			cli_error("%s has an app password of that name: remove it first", u->name);
			return EX_DATA_;
		}
	int r = app_password_make(&password, &print);
	buf_printf(rest, ":{APP}%.*s,%lld,%.*s", SPAN_FMT(label), (long long)time(NULL),
		SPAN_FMT(buf_span(&print)));
	if (r == 0)
		r = user_store_edit(u->domain, USERS_CHANGE, buf_span(&u->local), buf_span(rest));
	if (r == 0)
		(void)printf("%.*s\n", SPAN_FMT(buf_span(&password)));
	buf_done(&password);
	buf_done(&print);
	return user_edited(u, r);
}

int user_app(struct user_command *u, const char *verb)
{
	struct buf rest = BUF_INIT(REST_MAX), less = BUF_INIT(REST_MAX);
	struct span label = span_str(u->n_words ? u->words[0] : "");
	struct credentials c;
	int status;

	if (!user_find_rest(u, &rest, &status))
		goto out;
	credentials_parse(buf_span(&rest), &c);
	status = EX_USAGE_;
	if (strcmp(verb, "list") == 0) {
		status = app_list(u, &c);
	} else if (!app_label_ok(label)) {
		cli_error("give the app password a name: letters, digits, '-', '_', '.'");
	} else if (strcmp(verb, "add") == 0) {
		status = app_add(u, label, &c, &rest);
	} else if (strcmp(verb, "remove") == 0) {
		if (drop_field(buf_span(&rest), "{APP}", label, ',', &less)) {
			status = user_edited(u, user_store_edit(u->domain, USERS_CHANGE,
							buf_span(&u->local), buf_span(&less)));
		} else {
			cli_error("%s has no app password of that name", u->name);
			status = EX_NOUSER_;
		}
	} else {
		cli_error("user app %s: use add, list or remove", verb);
	}
out:
	buf_done(&rest);
	buf_done(&less);
	return status;
}

/* 64 hex digits, with or without colons, as openssl x509 -fingerprint -sha256 prints them: those
 * octets; anything else is a subject. */
static void certificate_key(const char *text, struct buf *out)
{
	struct buf octets = BUF_INIT(64);
	int high = -1;

	for (const char *p = text; *p; p++) {
		int v = *p >= '0' && *p <= '9'	 ? *p - '0'
			: *p >= 'a' && *p <= 'f' ? *p - 'a' + 10
			: *p >= 'A' && *p <= 'F' ? *p - 'A' + 10
						 : -1;
		if (*p == ':')
			continue;
		if (v < 0) {
			octets.error = -EINVAL;
			break;
		}
		if (high >= 0)
			buf_char(&octets, (char)(high << 4 | v));
		high = high >= 0 ? -1 : v;
	}
	bool fingerprint = octets.error == 0 && octets.len == 32 && high < 0;
	base64_encode(fingerprint ? buf_span(&octets) : span_str(text), out);
	buf_done(&octets);
}

int user_cert(struct user_command *u, const char *verb)
{
	struct buf rest = BUF_INIT(REST_MAX), less = BUF_INIT(REST_MAX), key = BUF_INIT(8192);
	int status = EX_USAGE_;

	if (u->n_words != 1 || (strcmp(verb, "add") != 0 && strcmp(verb, "remove") != 0)) {
		cli_error("use user cert add|remove NAME@DOMAIN FINGERPRINT-OR-SUBJECT");
		return status;
	}
	if (!user_find_rest(u, &rest, &status))
		goto out;
	certificate_key(u->words[0], &key);
	bool known = drop_field(buf_span(&rest), "{CERT}", buf_span(&key), ':', &less);
	if (strcmp(verb, "add") == 0) {
		buf_str(&less, ":{CERT}");
		buf_put(&less, buf_span(&key));
	} else if (!known) {
		cli_error("%s has no such certificate", u->name);
		status = EX_NOUSER_;
		goto out;
	}
	status = user_edited(
		u, user_store_edit(u->domain, USERS_CHANGE, buf_span(&u->local), buf_span(&less)));
out:
	buf_done(&rest);
	buf_done(&less);
	buf_done(&key);
	return status;
}
