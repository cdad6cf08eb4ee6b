/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Runs a fuzzer's function once over every file of the folders given, so that each ordinary test run replays
 * all that fuzzing has found. A folder without files is an error: a replay of nothing proves nothing.
 */
#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int run_file(const char *path)
{
	struct stat st;
	uint8_t *data;
	FILE *file;
	size_t n;

	if (stat(path, &st) < 0 || !S_ISREG(st.st_mode))
		return 0;
	file = fopen(path, "re");
	data = malloc(st.st_size ? (size_t)st.st_size : 1); /* exact: ASan sees a read beyond */
	if (!file || !data) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		exit(1);
	}
	n = fread(data, 1, (size_t)st.st_size, file);
	fclose(file);
	printf("%s\n", path);
	fflush(stdout);
	LLVMFuzzerTestOneInput(data, n);
	free(data);
	return 1;
}

static int run_folder(const char *folder)
{
	DIR *dir = opendir(folder);
	struct dirent *entry;
	int n_run = 0;

	if (!dir) {
		fprintf(stderr, "%s: %s\n", folder, strerror(errno));
		exit(1);
	}
	while ((entry = readdir(dir))) {
		char *path;

		if (asprintf(&path, "%s/%s", folder, entry->d_name) < 0)
			exit(1);
		n_run += run_file(path);
		free(path);
	}
	closedir(dir);
	return n_run;
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		int n = run_folder(argv[i]);

		printf("%s: %d files\n", argv[i], n);
		if (!n)
			return 1;
	}
	return argc < 2;
}
