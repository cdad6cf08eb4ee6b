/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A folder that stands for /sys, with nodes of memory that this host does not have. Include <cmocka.h> first. */
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static inline int sysfs_setup(void **state)
{
	char *dir = strdup("/tmp/test-sysfs-XXXXXX");

	assert_non_null(dir);
	assert_non_null(mkdtemp(dir));
	*state = dir;
	return 0;
}

static inline int sysfs_teardown(void **state)
{
	char command[64];

	snprintf(command, sizeof(command), "rm -rf %s", (const char *)*state);
	assert_int_equal(system(command), 0);
	free(*state);
	return 0;
}

static inline void sysfs_put(const char *dir, const char *path, const char *text)
{
	char full[256], command[512];
	FILE *f;

	snprintf(full, sizeof(full), "%s/%s", dir, path);
	snprintf(command, sizeof(command), "mkdir -p $(dirname %s)", full);
	assert_int_equal(system(command), 0);
	f = fopen(full, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static inline void sysfs_put_pages(
	const char *dir, unsigned node, unsigned kib, unsigned total, unsigned n_free)
{
	const struct {
		const char *file;
		unsigned n;
	} files[] = {{"nr_hugepages", total}, {"free_hugepages", n_free}};
	char path[128], text[16];

	for (size_t i = 0; i < 2; i++) {
		snprintf(path, sizeof(path),
			"devices/system/node/node%u/hugepages/hugepages-%ukB/%s", node, kib,
			files[i].file);
		snprintf(text, sizeof(text), "%u\n", files[i].n);
		sysfs_put(dir, path, text);
	}
}
