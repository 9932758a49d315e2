/* The configuration of who has none yet: everything on loopback and in one folder that can be
 * thrown away. Mail to anybody at localhost goes to a Maildir of its own; demo may log in to hand
 * mail in; nothing is relayed.
 * [::1] is left out where the machine has no IPv6, so that the first start never fails for it. */
#include "config/tree.h"
#include "config/value.h"
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static bool has_loopback_v6(void)
{
	struct sockaddr_in6 any_port = {
		.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	CLEANUP(fd_closep) int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);

	return fd >= 0 && bind(fd, (struct sockaddr *)&any_port, sizeof(any_port)) == 0;
}

static int add_listener(struct config *c, const char *name, enum listener_role role, unsigned port)
{
	static const char *const hosts[] = {"127.0.0.1", "[::1]"};
	size_t n = has_loopback_v6() ? 2 : 1;
	struct config_listener *l = tree_add_listener(c);

	if (!l)
		return -ENOMEM;
	l->name = strdup(name);
	l->role = role;
	l->addresses = calloc(n, sizeof(*l->addresses));
	if (!l->name || !l->addresses)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		if (asprintf(&l->addresses[i].text, "%s:%u", hosts[i], port) < 0) {
			l->addresses[i].text = NULL;
			return -ENOMEM;
		}
		l->n_addresses++;
		int r = address_parse(span_str(l->addresses[i].text), 0, &l->addresses[i].address);
		if (r < 0)
			return r;
	}
	return 0;
}

static int add_domain(struct config *c)
{
	const char *why;
	struct config_domain *d = tree_add_domain(c);

	if (!d)
		return -ENOMEM;
	d->name = strdup("localhost");
	d->users = USERS_ANY;
	d->users_path = value_absolute(c, "./postrider-data/demo-users");
	int r = target_parse("maildir:{data}/mail/{domain}/{local}", &d->deliver, &why);
	return d->name && d->users_path ? r : -ENOMEM;
}

int config_evaluation(const char *folder, struct config **ret_config)
{
	CLEANUP(config_freep) struct config *c = tree_new(folder);

	if (!c)
		return -ENOMEM;
	/* Braces would be read as placeholders in the maildir's path. */
	if (strpbrk(c->folder, "{}"))
		return -EINVAL;
	c->evaluation = true;
	free(c->data);
	c->data = value_absolute(c, "./postrider-data");
	c->hostname = strdup("localhost");
	if (!c->data || !c->hostname)
		return -ENOMEM;
	int r = add_listener(c, "mx", LISTENER_MX, 2525);
	if (r >= 0)
		r = add_listener(c, "submission", LISTENER_SUBMISSION, 2587);
	if (r >= 0)
		r = add_domain(c);
	if (r >= 0)
		r = tree_finish(c);
	if (r < 0)
		return r;
	*ret_config = TAKE(c);
	return 0;
}
