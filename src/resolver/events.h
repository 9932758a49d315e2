/* The event base that libunbound runs on: our loop. Its sockets lie level-triggered in an epoll of
 * their own, which the loop watches as one fd; its timers are the loop's. */
#pragma once
#include "fiber/fiber.h"

struct ub_event_base;
struct events;
MUST_CHECK int events_new(struct events **ret);
void events_free(struct events *e); /* after every context on it is gone; NULL allowed */
struct ub_event_base *events_base(struct events *e);
