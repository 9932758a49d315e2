/* A test's folder of its own, with all that is in it. */
#pragma once
#include <ftw.h>
#include <stdio.h>

static inline int scratch_remove_one(
	const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

/* 0, or -1 with errno. */
static inline int scratch_remove(const char *folder)
{
	return nftw(folder, scratch_remove_one, 8, FTW_DEPTH | FTW_PHYS);
}
