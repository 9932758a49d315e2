/* Letting go of a tree: each string belongs to it alone. */
#include "config/tree.h"
#include <stdlib.h>

void tree_listener_done(struct config_listener *l)
{
	for (size_t i = 0; i < l->n_addresses; i++)
		free(l->addresses[i].text);
	free(l->addresses);
	free(l->proxy);
	free(l->xclient);
	free(l->xforward);
	free(l->name);
	free(l->at);
}

void tree_domain_done(struct config_domain *d)
{
	free(d->name);
	free(d->users_path);
	free(d->aliases_path);
	free(d->senders_path);
	target_done(&d->deliver);
	free(d->catch_all);
	free(d->subaddress);
	free(d->at);
}

static void strings_done(char **list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(list[i]);
	free(list);
}

static void outbound_done(struct config_outbound *o)
{
	strings_done(o->tls_names, o->n_tls_names);
	strings_done(o->tls_fingerprints, o->n_tls_fingerprints);
	free(o->tls_ca);
	free(o->credentials);
	free(o->certificate);
	free(o->key);
	for (size_t i = 0; i < o->n_sources; i++) {
		free(o->sources[i].name);
		free(o->sources[i].text);
	}
	free(o->sources);
}

void tree_route_done(struct config_route *r)
{
	free(r->domain);
	free(r->table);
	target_done(&r->via);
	outbound_done(&r->out);
	free(r->at);
}

static void free_texts(char **list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(list[i]);
	free(list);
}

void config_free(struct config *c)
{
	if (!c)
		return;
	for (size_t i = 0; i < c->n_listeners; i++)
		tree_listener_done(&c->listeners[i]);
	for (size_t i = 0; i < c->n_domains; i++)
		tree_domain_done(&c->domains[i]);
	for (size_t i = 0; i < c->n_routes; i++)
		tree_route_done(&c->routes[i]);
	for (size_t i = 0; i < c->n_unsupported; i++)
		free(c->unsupported[i]);
	free(c->unsupported);
	free(c->listeners);
	free(c->domains);
	free(c->routes);
	free(c->routes_by_title);
	free(c->routes_loose);
	free(c->relay.from);
	target_done(&c->relay.via);
	outbound_done(&c->relay.out);
	free(c->tls_ca);
	free(c->limits.bare_newlines);
	free(c->tls.at);
	free_texts(c->tls.certificates, c->tls.n_certificates);
	free_texts(c->tls.keys, c->tls.n_keys);
	free_texts(c->tls.ocsp, c->tls.n_ocsp);
	free(c->tls.client_ca);
	free(c->queue.retry);
	free(c->log.format);
	free(c->log.level);
	for (size_t i = 0; i < c->dns.n_servers; i++)
		free(c->dns.servers[i].text);
	for (size_t i = 0; i < c->dns.n_stubs; i++)
		free(c->dns.stubs[i].zone);
	for (size_t i = 0; i < c->dns.n_forwards; i++)
		free(c->dns.forwards[i].zone);
	for (size_t i = 0; i < c->dns.n_insecure; i++)
		free(c->dns.insecure[i]);
	free(c->dns.servers);
	free(c->dns.stubs);
	free(c->dns.forwards);
	free(c->dns.insecure);
	free(c->dns.trust_anchor);
	free(c->control.http);
	free(c->tlsrpt.organization);
	free(c->tlsrpt.contact);
	free(c->path);
	free(c->folder);
	free(c->hostname);
	free(c->data);
	free(c->user);
	free(c->mail_user);
	free(c);
}

void config_freep(struct config **c)
{
	config_free(*c);
	*c = NULL;
}
