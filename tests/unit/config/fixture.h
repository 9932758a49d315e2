/* A folder of configuration files for one test, under the folder for temporary files. */
#pragma once
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "config/config.h"

struct fixture {
	char folder[64];
};
void fixture_open(struct fixture *f);
void fixture_close(struct fixture *f); /* removes the folder and the files in it */
void fixture_write(const struct fixture *f, const char *name, const char *text);
/* Loads name from the folder, as the name alone (the folder is the working folder). errors is
 * NUL-terminated. */
int fixture_load(const char *name, struct config **ret_config, struct buf *errors);
