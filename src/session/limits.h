/* Every quantity of a session that a peer controls, and every wait that it could stretch, has its
 * bound here; what an operator may choose stands in config.h (limits {}). */
#pragma once
#include "base/base.h"

/* Replies to bad commands beyond limits.errors: each waits one step longer, then 421. */
#define ERRORS_SLOWED	 5u
#define ERRORS_STEP_USEC (500 * USEC_PER_MSEC)
/* Refused recipients are an error of somebody's list, not of the client: this many times
 * limits.errors of them are answered at full speed (a harvest of addresses has more). */
#define ERRORS_PER_REFUSALS 10u

/* A client that pipelines without end lets others run after so many commands. */
#define COMMANDS_PER_TURN 64u
/* Octets of a body that are decoded in one go (the stream itself yields between reads). */
#define BODY_SLICE (32u * 1024u)

/* Arena of one transaction: this, and so much for each recipient that the limit allows. */
#define TRANSACTION_OCTETS (64u * 1024u)
#define RECIPIENT_OCTETS   1024u

/* RFC 3461 4.4 and 4.2: the longest ENVID and ORCPT, as they stand in the command. */
#define ENVID_OCTETS_MAX 100u
#define ORCPT_OCTETS_MAX 500u

/* EXPN: what the directory may answer, and what a reply may hold; longer lists are 252. */
#define MEMBERS_OCTETS_MAX (64u * 1024u)

/* A recipient's answer from the directory; a client waits at least 5 minutes (RFC 5321 4.5.3.2.3).
 */
#define LOOKUP_WAIT_USEC (30 * USEC_PER_SEC)
/* For the directory to say what users can log in by, at the begin. */
#define OFFER_WAIT_USEC (2 * USEC_PER_SEC)
/* The same question is put to a restarted directory once more, not for ever. */
#define LOOKUP_SENDS_MAX 2u
/* A line of AUTH, and of its exchange (RFC 4954 4: 12288 octets with CRLF). */
#define AUTH_LINE_MAX 12286u
/* An answer of the directory's to AUTH: hashing takes a while, slowing guesses a while longer. */
#define AUTH_WAIT_USEC (20 * USEC_PER_SEC)
/* So many refusals end a session. */
#define AUTH_FAILURES_MAX 10u
/* The header of a message that a user hands in is kept in memory for a look at it. */
#define SUBMISSION_HEADER_MAX (128u * 1024u)
#define SUBMISSION_CUTS_MAX   32u /* Bcc fields in it */
/* What is put before it. */
#define SUBMISSION_FIELDS_MAX 4096u
/* MAIL waits so long for a dispatcher or a segment that is just coming (4.5.3.2.2: 5 minutes). */
#define INTAKE_WAIT_USEC (20 * USEC_PER_SEC)
/* In the data phase a segment is waited for longer: much has been sent already (4.5.3.2.5: 3
 * minutes). */
#define ROOM_WAIT_USEC (60 * USEC_PER_SEC)
/* The commit: a client waits 10 minutes for the reply to its final dot (4.5.3.2.6). */
#define COMMIT_WAIT_USEC (9 * 60 * USEC_PER_SEC)
/* Room that a message needs beside its body: envelope, facts, the record itself. */
#define COMMIT_ROOM (64u * 1024u)

/* More octets than this waiting for the dispatcher: no new mail until it has caught up. */
#define DISPATCHER_BACKLOG_MAX (4u * 1024u * 1024u)
#define NOTICE_OCTETS_MAX      256u
/* Notices kept while there is no dispatcher; it finds the rest in the segments anyway. */
#define NOTICES_HELD_MAX (64u * 1024u)

/* Full segments that drafts under way may keep from being recycled; beyond it the drafts that hold
 * up the oldest one are given up (slow senders must not fill the disk with other people's mail). */
#define SEGMENTS_PINNED_MAX 16u

/* One value of XCLIENT or XFORWARD, and all that XFORWARD says of a message. */
#define PROXIED_VALUE_MAX    256u
#define FORWARDED_OCTETS_MAX 2048u

/* A reply of ours, all its lines. */
#define REPLY_OCTETS_MAX 4096u

/* Octets of a peer's line or name that a log line shows. */
#define LOG_PEER_OCTETS 256u
