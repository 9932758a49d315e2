/* A delivery job and its outcome. One job is one transaction at one next hop: all recipients of a
 * message that go there now. */
#pragma once
#include "base/arena.h"
#include "base/wire.h"

enum job_via { JOB_MAILDIR, JOB_SMTP, JOB_LMTP, JOB_PIPE, JOB_DISCARD };

struct job_rcpt {
	uint32_t index;	     /* of the recipient within the message */
	struct span address; /* canonical forward-path to send or store to */
	struct span original;
	uint8_t notify;	   /* NOTIFY_* of RFC 3461 as in spool/message.h; 0: not said */
	struct span orcpt; /* "rfc822;...", decoded; may be empty */
	uint32_t origin;   /* of the envelope; between queue and dispatcher only, not sent along */
};
struct job_host {	  /* of an MX set, in any order */
	struct span name; /* lower case A-labels, without a final dot */
	uint16_t preference;
};
struct job_range { /* octets of the message in a segment that FRAME_SEGMENT_OPEN named */
	uint64_t segment, offset;
	uint32_t length;
	bool checked; /* crc (CRC32C) is of exactly these octets: compare before the final dot */
	uint32_t crc;
};
struct job {
	uint64_t job; /* id of this handing-out, unique for the life of the spool */
	uint64_t message;
	uint32_t attempt; /* 1 for the first */
	bool alone;	  /* not sent along: it has been there when deliverers died, and goes to one
			     that has nothing else */
	bool traced;	  /* somebody watches: what happens is told at once (FRAME_TRACE) */
	bool suspect;	  /* an earlier handing-out may have succeeded: maildir looks for it */
	enum job_via via;
	struct span host; /* smtp, lmtp: name or literal; empty when hosts has the MX set */
	uint16_t port;
	struct job_host *hosts; /* the MX set of `domain`, implicit MX included */
	uint32_t n_hosts;	/* 0: host is the only one */
	bool mx_secure;		/* DNSSEC proved the set (RFC 7672 2.2.1) */
	struct span domain;	/* the next-hop domain when hosts is given: policies go by it */
	struct span route; /* whose settings count (TLS, credentials, source): title of a `route`
			      block, "relay", or empty */
	bool implicit_tls; /* smtps: */
	struct span path;  /* maildir template, unix socket, command */
	struct span site;  /* the site's key: connections are kept under it */
	struct span reverse_path;
	uint64_t arrival_wall_usec, size;
	uint8_t body;	/* 0 7BIT, 1 8BITMIME, 2 BINARYMIME */
	uint32_t flags; /* MESSAGE_* of spool/message.h */
	struct span envid, auth_sender;
	uint8_t ret;		       /* MESSAGE_RET_* */
	int8_t priority;	       /* -9..9 */
	uint64_t deliver_by_wall_usec; /* 0: none */
	uint8_t deliver_by_mode;       /* MESSAGE_BY_* */
	struct job_rcpt *rcpts;
	uint32_t n_rcpts;
	struct job_range *ranges;
	uint32_t n_ranges;
	uint64_t connect_timeout, command_timeout, data_timeout;
};
void job_encode(const struct job *j, struct buf *out);
/* Spans borrow from payload, arrays live in the arena. -EBADMSG, -ENOMEM. */
MUST_CHECK int job_decode(struct span payload, struct arena *a, struct job *ret);

enum outcome_class {
	OUTCOME_DELIVERED, /* the next hop took responsibility (2xx after data), or it is in the
			      mailbox */
	OUTCOME_DEFERRED,  /* 4xx or a broken connection: try again */
	OUTCOME_FAILED,	   /* 5xx: for good */
	OUTCOME_NOT_TRIED, /* 452/552 at RCPT, or the session ended before its turn: again at once,
			      no attempt counted */
};
struct outcome_rcpt {
	uint32_t index;
	enum outcome_class result;
	uint16_t code;	      /* SMTP reply, 0: none */
	struct span enhanced; /* "4.4.1"; always set for deferred and failed */
	struct span text;     /* the remote reply's text or ours, escaped by whoever prints it */
	bool dsn_passed_on;   /* delivered to a peer with DSN: reports are its business now */
	bool by_passed_on;    /* delivered to a peer with DELIVERBY, by-time and all */
};
struct outcome {
	uint64_t job, message;
	bool site_down; /* no session could be had: the site backs off, no attempt counted but its
			   probe's */
	bool damaged;	/* the octets in the spool are not what they were: hold, do not retry */
	struct span remote; /* "127.0.0.1:2626 mx.example.org" */
	struct span tls;    /* "TLSv1.3 TLS_AES_256_GCM_SHA384 dane"; empty: clear text */
	uint64_t connect_usec, transfer_usec; /* stages */
	struct span transcript; /* what sessions that failed said, line by line; empty: none has */
	struct outcome_rcpt *rcpts;
	uint32_t n_rcpts;
};
void outcome_encode(const struct outcome *o, struct buf *out);
MUST_CHECK int outcome_decode(struct span payload, struct arena *a, struct outcome *ret);
