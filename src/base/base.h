/* Words that every room uses: attributes, ownership helpers, small arithmetic.
 * Nothing here allocates, waits or logs. */
#pragma once
#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define MUST_CHECK	       __attribute__((warn_unused_result))
#define PRINTF(fmt_arg, first) __attribute__((format(printf, fmt_arg, first)))
#define NORETURN	       __attribute__((noreturn))

/* Marks a function that may suspend the calling fiber (see fiber/fiber.h); so are its callers. */
#define SUSPENDS

/* Runs f(&variable) when the variable leaves its scope: CLEANUP(spool_discardp) struct x *p = NULL;
 */
#define CLEANUP(f) __attribute__((cleanup(f)))

/* Hands ownership over: the variable is left NULL. */
#define TAKE(p)                                                                                    \
	({                                                                                         \
		__typeof__(p) take_ = (p);                                                         \
		(p) = NULL;                                                                        \
		take_;                                                                             \
	})

#define ARRAY_LEN(a)			(sizeof(a) / sizeof((a)[0]))
#define CONTAINER_OF(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))
#define MIN(a, b)                                                                                  \
	({                                                                                         \
		__typeof__(a) min_a_ = (a);                                                        \
		__typeof__(b) min_b_ = (b);                                                        \
		min_a_ < min_b_ ? min_a_ : min_b_;                                                 \
	})
#define MAX(a, b)                                                                                  \
	({                                                                                         \
		__typeof__(a) max_a_ = (a);                                                        \
		__typeof__(b) max_b_ = (b);                                                        \
		max_a_ > max_b_ ? max_a_ : max_b_;                                                 \
	})

#define USEC_PER_MSEC UINT64_C(1000)
#define USEC_PER_SEC  UINT64_C(1000000)
/* A deadline that never comes; deadlines are monotonic microseconds. */
#define USEC_INFINITY UINT64_MAX

/* For CLEANUP: close an fd (or -1), free a pointer. errno is kept. */
void fd_closep(int *fd);
void freep(void *pointer_to_pointer);
/* Closes fd when >= 0 and returns -1, so that: fd = fd_close(fd). errno is kept. */
int fd_close(int fd);
