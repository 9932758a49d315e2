/* Reading every process's counters from the shared pages that the supervisor made. Relaxed loads:
 * a counter is at worst a moment old. A slot of zeros is no process (or one that did nothing). */
#include "base/stats.h"
#include "control/control.h"
#include "process/supervise.h"

#define COUNTERS (sizeof(struct stats) / sizeof(uint64_t))

static void encode_slot(const uint64_t *counters, unsigned slot, struct buf *out)
{
	bool any = false;

	for (size_t i = 0; i < COUNTERS && !any; i++)
		any = __atomic_load_n(&counters[i], __ATOMIC_RELAXED) != 0;
	if (!any)
		return;
	wire_put_u8(out, (uint8_t)(slot / STATS_ROLE_SLOTS));
	wire_put_u16(out, (uint16_t)(slot % STATS_ROLE_SLOTS));
	wire_put_u16(out, COUNTERS);
	for (size_t i = 0; i < COUNTERS; i++)
		wire_put_u64(out, __atomic_load_n(&counters[i], __ATOMIC_RELAXED));
}

void control_stats_encode(const void *pages, size_t octets, struct buf *out)
{
	for (unsigned slot = 0; ((size_t)slot + 1) * STATS_SLOT_OCTETS <= octets; slot++) {
		const char *at = (const char *)pages + (size_t)slot * STATS_SLOT_OCTETS;
		encode_slot((const uint64_t *)(const void *)at, slot, out);
	}
}
