/* What ASan, TSan and valgrind must be told about stacks; empty in a plain build. */
#pragma once
#include "base/base.h"

#if !defined(__has_feature)
#define __has_feature(x) 0
#endif

#if defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer)
#define FIBER_ASAN 1
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#define FIBER_UNPOISON(ptr, len) __asan_unpoison_memory_region(ptr, len)
#else
#define FIBER_ASAN		 0
#define FIBER_UNPOISON(ptr, len) ((void)(ptr), (void)(len))
#endif

#if defined(__SANITIZE_THREAD__) || __has_feature(thread_sanitizer)
#define FIBER_TSAN 1
#include <sanitizer/tsan_interface.h>
#else
#define FIBER_TSAN 0
#endif

#if __has_include(<valgrind/valgrind.h>)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wcast-qual"
#include <valgrind/valgrind.h>
#pragma GCC diagnostic pop
#else
#define RUNNING_ON_VALGRIND		    0
#define VALGRIND_STACK_REGISTER(start, end) 0
#define VALGRIND_STACK_DEREGISTER(id)	    ((void)(id))
#endif
