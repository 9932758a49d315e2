/* One connection without a message, as the receiver sees it: hot_path's part of that name. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

/* A session from its start to its end, both log lines included; false: something failed. */
bool connection_run(uint64_t n);
