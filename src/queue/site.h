/* Next hops, the sites they belong to, and jobs in flight (private to the queue). A site is what
 * shares a window, a backoff and connections: the directory names it by hop.site. */
#pragma once
#include "base/list.h"
#include "queue/lanes.h"
#include "queue/mail.h"

struct site {
	struct timer timer;   /* the next probe while it is down */
	struct list runnable; /* in queue.runnable while a job could be formed */
	struct list idle;     /* in queue.idle_sites while no next hop refers to it */
	struct lanes lanes;   /* ready batches by priority and by the hash of their sender */
	bool local, down, probing;
	uint32_t hops;	    /* next hops that refer to it */
	uint32_t ready;	    /* recipients */
	uint32_t in_flight; /* jobs: each owns one place in the window */
	uint32_t window, credits, fast_until;
	uint32_t failures; /* probes that failed in a row */
	struct note *note; /* why it is down; the last note otherwise, to be shared */
	uint32_t key_len;
	char key[];
};
struct next_hop {
	uint32_t refs;
	enum job_via via;
	uint16_t port;
	bool implicit_tls;
	bool mx; /* host is a domain whose MX set must be asked for: no job goes here */
	bool mx_secure;
	struct mx_wait *wait; /* the question for it, if batches wait */
	struct job_host *hosts;
	uint32_t n_hosts;
	struct span domain;
	struct site *site;
	struct batch *open;		    /* scratch of queue_regroup */
	struct span host, path, route, key; /* in octets */
	char octets[];
};
/* The question for a domain's MX set, and who waits for it (mx.c). */
struct mx_wait {
	struct list node;    /* in queue.mx_new, mx_again or mx_asked */
	struct list batches; /* by their lane; never empty */
	struct next_hop *hop;
	uint64_t token, asked; /* 0: not asked yet */
	bool fresh;
};
/* A job: from HANDED until its OUTCOME is durable. Owns its place in the site's window until the
 * outcome is in or the deliverer is lost. */
struct handed {
	uint64_t id;
	uint64_t message;
	struct mail *m;	      /* NULL once it has ended */
	struct handed *next;  /* of the message */
	struct next_hop *hop; /* NULL: handed out by an earlier life of the dispatcher */
	bool probe, alive;
	uint8_t crashes; /* of the message when it was handed out */
	uint32_t n;
	uint32_t rcpts[];
};
