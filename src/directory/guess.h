/* Who guesses passwords: failures by address, by network (/24, /64) and by user, for all receivers
 * together, in one bounded table. Pure: the caller gives the time. Nothing is slowed or refused
 * before GUESS_FREE failures. */
#pragma once
#include "net/address.h"

#define GUESS_FREE	     10u /* failures that cost nothing, of anybody */
#define GUESS_ADDRESS_MAX    30u /* then the address is locked out */
#define GUESS_NETWORK_FREE   30u
#define GUESS_NETWORK_MAX    300u
#define GUESS_USER_MAX	     100u /* then addresses that failed GUESS_USER_SUSPECT times for anybody */
#define GUESS_USER_SUSPECT   3u
#define GUESS_STEP_USEC	     (500 * USEC_PER_MSEC)
#define GUESS_DELAY_MAX_USEC (5 * USEC_PER_SEC)
#define GUESS_LOCK_USEC	     (15 * 60 * USEC_PER_SEC) /* since the last failure */
#define GUESS_FORGET_USEC    (60 * 60 * USEC_PER_SEC)
#define GUESS_ENTRIES_MAX    65536u /* the one that was quiet longest makes room */

struct guess;
MUST_CHECK int guess_new(struct guess **ret_guess);
void guess_free(struct guess *g); /* NULL allowed */
/* Has this address (and, if user.len, this address for that user) to be turned away? */
bool guess_is_locked(
	struct guess *g, const struct address *client, struct span user, uint64_t now_usec);
/* Has the address no failure that counts? */
bool guess_is_clean(struct guess *g, const struct address *client, uint64_t now_usec);
/* A failure. secret: what was tried, empty if we never see it: the same wrong one, tried again for
 * the same user from the same address, is a device with an old password and counts once. Returns
 * how long the answer has to wait. */
uint64_t guess_failed(struct guess *g, const struct address *client, struct span user,
	struct span secret, uint64_t now_usec);
/* To keep them over a restart: those with failures that matter (GUESS_USER_SUSPECT and more), the
 * latest `most`, oldest first, with the time since the last failure; and back again, in that order.
 */
void guess_each(const struct guess *g, size_t most, uint64_t now_usec,
	void (*fn)(void *arg, struct span key, unsigned failures, uint64_t age_usec), void *arg);
void guess_restore(
	struct guess *g, struct span key, unsigned failures, uint64_t age_usec, uint64_t now_usec);
size_t guess_entries(const struct guess *g);
