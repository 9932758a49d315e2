/* Files for the tests of src/config; the working folder is the fixture's, so that messages show
 * short names. */
#include "fixture.h"
#include "../scratch.h"
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

void fixture_open(struct fixture *f)
{
	const char *tmp = getenv("TMPDIR");
	int n = snprintf(f->folder, sizeof(f->folder), "%s/postrider-config-XXXXXX",
		tmp && strlen(tmp) < 32 ? tmp : "/tmp");
	assert_true(n > 0 && (size_t)n < sizeof(f->folder));
	assert_non_null(mkdtemp(f->folder));
	assert_int_equal(chdir(f->folder), 0);
}

void fixture_close(struct fixture *f)
{
	assert_int_equal(chdir("/"), 0);
	assert_int_equal(scratch_remove(f->folder), 0);
}

void fixture_write(const struct fixture *f, const char *name, const char *text)
{
	(void)f;
	FILE *file = fopen(name, "w");
	assert_non_null(file);
	assert_int_equal(fputs(text, file) >= 0, 1);
	assert_int_equal(fclose(file), 0);
}

int fixture_load(const char *name, struct config **ret_config, struct buf *errors)
{
	buf_reset(errors);
	int r = config_load(name, ret_config, errors);
	buf_char(errors, '\0');
	assert_int_equal(errors->error, 0);
	return r;
}
