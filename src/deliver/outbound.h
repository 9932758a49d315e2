/* What the deliveries of one process share. */
#pragma once
#include "deliver/cache.h"
#include "deliver/tls_client.h"
#include "deliver/way.h"

struct asker;
struct sign_client;
struct sts;
struct outbound {
	struct cache *cache;
	struct tls_client *tls;
	struct resolve_client *resolver; /* NULL: names cannot be looked up */
	struct sign_client *keys;	 /* NULL in tests */
	struct ways *ways;
	struct sts *sts;	     /* NULL: MTA-STS is not looked at */
	struct asker *reports;	     /* to the reporter; NULL: nobody counts */
	const struct config *config; /* of now: only before the first suspension; NULL in tests */
};
