/* dlopen and dlsym, once a library and process. What was loaded stays: functions of its are held by
 * whoever called them. */
#include "base/library.h"

#include <dlfcn.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static const char *last_error(void)
{
	const char *said = dlerror();

	return said ? said : "no reason is given";
}

static int bind(void *library, const char *const *names, size_t n_names, void **functions,
	const char **ret_why)
{
	for (size_t i = 0; i < n_names; i++) {
		functions[i] = dlsym(library, names[i]);
		if (!functions[i]) {
			*ret_why = last_error();
			return -ELIBACC;
		}
	}
	return 0;
}

int library_load(const char *soname, const char *const *names, size_t n_names, void *table,
	const char **ret_why)
{
	void *functions[LIBRARY_CALLS_MAX];

	assert(n_names <= ARRAY_LEN(functions));
	memcpy(functions, table, sizeof(functions[0]));
	if (functions[0])
		return 0;
	void *library = dlopen(soname, RTLD_NOW | RTLD_LOCAL);
	if (!library) {
		*ret_why = last_error();
		return -ELIBACC;
	}
	int r = bind(library, names, n_names, functions, ret_why);
	if (r < 0)
		return r;
	memcpy(table, functions, n_names * sizeof(functions[0]));
	/* Where pages are larger, others' data shares this one. */
	if (sysconf(_SC_PAGESIZE) == LIBRARY_PAGE && mprotect(table, LIBRARY_PAGE, PROT_READ) < 0) {
		*ret_why = "the table of its functions cannot be made read-only";
		return -errno;
	}
	return 0;
}
