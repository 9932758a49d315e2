/* Shared libraries that only some roles call: loaded by those, when they start and before they are
 * confined, instead of by the dynamic linker into every process. (libcurl alone brings twenty
 * others; each process relocates all that it loads, into pages of its own.)
 *
 *	#define CURL_CALLS(F) F(curl_easy_init) F(curl_easy_cleanup)
 *	static LIBRARY_TABLE(CURL_CALLS) curl;
 *	static const char *const curl_names[] = {CURL_CALLS(LIBRARY_NAME)};
 *	...
 *	r = library_load(SONAME_CURL, curl_names, ARRAY_LEN(curl_names), &curl, &why);
 *	CURL *c = curl.curl_easy_init();
 *
 * SONAME_* is what the headers' library is called, found when the program is built (meson.build).
 * Packages must name these libraries: neither ldd nor dpkg-shlibdeps finds them in the program.
 * The names keep their types: what the header promises is what the compiler checks. */
#pragma once
#include "base/base.h"

#define LIBRARY_PAGE	  4096
#define LIBRARY_CALLS_MAX 64
#define LIBRARY_MEMBER(f) __typeof__(f) *f;
#define LIBRARY_NAME(f)	  #f,
#define LIBRARY_TABLE(calls)                                                                       \
	union {                                                                                    \
		struct {                                                                           \
			calls(LIBRARY_MEMBER)                                                      \
		};                                                                                 \
		unsigned char page[LIBRARY_PAGE];                                                  \
	} __attribute__((aligned(LIBRARY_PAGE)))

/* Fills the table; loaded before: nothing to do. Every name is bound now (as -z now does), and the
 * table is made read-only then (as -z relro does). Not for two threads at once. -ELIBACC: the
 * library or one of the names is not there; *ret_why says it in words (static text). */
MUST_CHECK int library_load(const char *soname, const char *const *names, size_t n_names,
	void *table, const char **ret_why);
