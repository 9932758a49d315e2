/* Counters in a shared page: each process owns one struct stats in a memfd made by the supervisor,
 * control maps all of them read-only. Written with relaxed atomics, no locks. X(name, kind, help):
 * a counter only grows in one life of the process, a gauge is the present state. */
#pragma once
#include "base/base.h"

#define STATS_LIST(X)                                                                              \
	X(connections_total, counter, "Connections accepted")                                      \
	X(connections_open, gauge, "Connections open")                                             \
	X(connections_refused_total, counter, "Connections refused by a limit")                    \
	X(commands_total, counter, "SMTP commands read")                                           \
	X(replies_4xx_total, counter, "4xx replies sent")                                          \
	X(replies_5xx_total, counter, "5xx replies sent")                                          \
	X(messages_accepted_total, counter, "Messages answered with 250 after data")               \
	X(messages_refused_total, counter, "Messages refused after data")                          \
	X(recipients_accepted_total, counter, "Recipients of accepted messages")                   \
	X(octets_accepted_total, counter, "Octets of accepted messages")                           \
	X(spool_syncs_total, counter, "fdatasync calls on the spool")                              \
	X(spool_commits_total, counter, "Commits and ledger records made durable")                 \
	X(spool_errors_total, counter, "Disk errors on the spool")                                 \
	X(spool_moved_total, counter, "Messages moved out of nearly dead segments")                \
	X(spool_low_disk, gauge, "1 while the disk is too low to accept")                          \
	X(spool_segments, gauge, "Segment files in use")                                           \
	X(queue_messages, gauge, "Messages in the queue")                                          \
	X(queue_recipients, gauge, "Recipients in the queue")                                      \
	X(queue_ready, gauge, "Recipients ready to be sent")                                       \
	X(queue_deferred, gauge, "Recipients waiting for a retry")                                 \
	X(queue_held, gauge, "Recipients on hold")                                                 \
	X(queue_in_flight, gauge, "Recipients handed to deliverers")                               \
	X(deliveries_total, counter, "Recipients delivered")                                       \
	X(deferrals_total, counter, "Recipient attempts deferred")                                 \
	X(bounces_total, counter, "Recipients failed for good")                                    \
	X(reports_total, counter, "Delivery status notifications written")                         \
	X(possible_duplicates_total, counter, "Deliveries named possible-duplicate")               \
	X(outbound_connections_total, counter, "Connections made to next hops")                    \
	X(outbound_reused_total, counter, "Transactions on a kept connection")                     \
	X(auth_ok_total, counter, "Logins")                                                        \
	X(auth_failed_total, counter, "Logins refused")                                            \
	X(auth_locked_total, counter, "Login attempts of locked-out addresses")                    \
	X(outbound_tls_total, counter, "TLS handshakes with next hops that succeeded")             \
	X(outbound_tls_failed_total, counter, "TLS handshakes with next hops that failed")         \
	X(outbound_policy_refusals_total, counter, "Hosts not used because of a TLS policy")       \
	X(outbound_converted_total, counter,                                                       \
		"Messages converted for next hops of less (8BITMIME)")                             \
	X(lookups_total, counter, "Directory questions answered")                                  \
	X(dns_questions_total, counter, "DNS questions of other processes")                        \
	X(dns_secure_total, counter, "DNS answers validated by DNSSEC")                            \
	X(dns_failures_total, counter, "DNS questions that ended in SERVFAIL")                     \
	X(dns_bogus_total, counter, "DNS answers whose signatures do not verify")                  \
	X(dns_timeouts_total, counter, "DNS questions without an answer in dns.timeout")           \
	X(tlsrpt_results_total, counter, "Sessions counted for TLS reports")                       \
	X(tlsrpt_lost_total, counter, "Sessions that found no room in the counts")                 \
	X(tlsrpt_reports, gauge, "TLS reports that are made and not yet with everyone")            \
	X(tlsrpt_sent_total, counter, "TLS reports taken by the host that a domain names")         \
	X(tlsrpt_refused_total, counter, "TLS reports given up")                                   \
	X(tls_handshakes_total, counter, "TLS handshakes completed as server")                     \
	X(tls_resumed_total, counter, "of these, by a session ticket")                             \
	X(tls_failed_total, counter, "TLS handshakes that failed as server")                       \
	X(signatures_total, counter, "Signatures made by the keys process")                        \
	X(log_dropped_total, counter, "Log lines dropped")                                         \
	X(restarts_total, counter, "Processes restarted by the supervisor")

struct stats {
#define STATS_FIELD(name, kind, help) uint64_t name;
	STATS_LIST(STATS_FIELD)
#undef STATS_FIELD
};

/* Room for one process in the shared pages. */
#define STATS_SLOT_OCTETS 1024
_Static_assert(sizeof(struct stats) <= STATS_SLOT_OCTETS, "a slot holds all counters");

/* This process's counters: a private page until stats_attach. Never NULL. */
extern struct stats *stats_self;
MUST_CHECK int stats_attach(int memfd, unsigned slot);

#define STATS_ADD(field, n) __atomic_fetch_add(&stats_self->field, (uint64_t)(n), __ATOMIC_RELAXED)
#define STATS_SUB(field, n) __atomic_fetch_sub(&stats_self->field, (uint64_t)(n), __ATOMIC_RELAXED)
#define STATS_SET(field, n) __atomic_store_n(&stats_self->field, (uint64_t)(n), __ATOMIC_RELAXED)
