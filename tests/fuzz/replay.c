/* Runs a fuzz target over the files of a folder (its corpus): no fuzzing, but each build proves
 * that the targets still compile and that what was once found stays fixed. */
#include "fuzz.h"
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

static int replay_file(const char *folder, const char *name)
{
	struct buf path = BUF_INIT(4096), data = BUF_INIT(FUZZ_INPUT_MAX);
	buf_printf(&path, "%s/%s", folder, name);
	buf_char(&path, '\0');
	FILE *f = fopen(path.ptr, "re");
	if (!f) {
		perror(path.ptr);
		return -1;
	}
	char *space = buf_reserve(&data, FUZZ_INPUT_MAX);
	assert(space);
	data.len = fread(space, 1, FUZZ_INPUT_MAX, f);
	(void)fclose(f);
	(void)LLVMFuzzerTestOneInput((const uint8_t *)data.ptr, data.len);
	buf_done(&data);
	buf_done(&path);
	return 0;
}

int main(int argc, char **argv)
{
	unsigned count = 0;
	if (argc != 2) {
		(void)fprintf(stderr, "usage: replay FOLDER\n");
		return 2;
	}
	DIR *d = opendir(argv[1]);
	if (!d) {
		perror(argv[1]);
		return 1;
	}
	for (struct dirent *e = readdir(d); e; e = readdir(d)) {
		if (e->d_name[0] == '.')
			continue;
		if (replay_file(argv[1], e->d_name) < 0)
			return 1;
		count++;
	}
	(void)closedir(d);
	printf("%u files\n", count);
	return count > 0 ? 0 : 1;
}
