/* A queue row for people or, one object a line, for programs. */
#pragma once
#include "ipc/admin.h"

enum queue_print { QUEUE_PRINT_LIST, QUEUE_PRINT_SHOW, QUEUE_PRINT_JSON };
void queue_print_row(const struct queue_row *row, enum queue_print how, uint64_t now_wall_usec);
