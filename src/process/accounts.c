/* Fixed uids: nobody else uses this range (it lies between what containers and what systemd take);
 * where a user namespace does not map it, a small range below the system's own is taken. */
#include "process/accounts.h"

#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define UID_BASE_HIGH 1910250000u
#define UID_BASE_LOW  64810u

static bool uid_is_mapped(uid_t uid)
{
	FILE *f = fopen("/proc/self/uid_map", "re");
	unsigned long inside, outside, count;
	bool mapped = false;

	if (!f)
		return true;
	while (!mapped && fscanf(f, "%lu %lu %lu", &inside, &outside, &count) == 3)
		mapped = uid >= inside && uid - inside < count;
	(void)fclose(f);
	return mapped;
}

static int named(const char *name, const char *fallback, enum role role, struct accounts *a)
{
	const struct passwd *p = getpwnam(name ? name : fallback);

	if (!p || p->pw_uid == 0)
		return name ? -ENOENT : 0;
	a->uid[role] = p->pw_uid;
	a->gid[role] = p->pw_gid;
	return 0;
}

int accounts_find(const struct config *c, struct accounts *ret, const char **ret_what)
{
	struct accounts a = {{0}, {0}};

	if (geteuid() == 0) {
		uid_t base =
			uid_is_mapped(UID_BASE_HIGH + ROLE_COUNT) ? UID_BASE_HIGH : UID_BASE_LOW;
		for (unsigned i = ROLE_RECEIVER; i < ROLE_COUNT; i++) {
			a.uid[i] = base + i;
			a.gid[i] = base + i;
		}
		int r = named(c->user, "postrider", ROLE_DISPATCHER, &a);
		*ret_what = "find the account that `user` names (create it, or leave the key out)";
		if (r == 0) {
			*ret_what = "find the account that `mail_user` names (create it, or leave "
				    "the key out)";
			r = named(c->mail_user, "postrider-mail", ROLE_MAILBOX, &a);
		}
		if (r < 0)
			return r;
	}
	*ret = a;
	return 0;
}
