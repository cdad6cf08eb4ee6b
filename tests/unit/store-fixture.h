/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A store of its own for each test, and ways to look at what it keeps. */
#pragma once

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "daemon/store-internal.h"
#include "vmm-core/base/fdio.h"
#include "vmm-core/base/strutil.h"

static const uint8_t uuid_a[16] = {1, 2, 3, 4}, uuid_b[16] = {5, 6, 7, 8};

struct fixture {
	char dir[64], state[96], runtime[96];
	struct store *store;
	struct error error;
};

static inline int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	strcpy(f->dir, "/tmp/test-store-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	snprintf(f->state, sizeof(f->state), "%s/state", f->dir);
	snprintf(f->runtime, sizeof(f->runtime), "%s/deep/run", f->dir);
	assert_int_equal(store_open(f->state, f->runtime, &f->store, &f->error), 0);
	*state = f;
	return 0;
}

static inline int teardown(void **state)
{
	struct fixture *f = *state;
	char command[128];

	f->store = store_free(f->store);
	snprintf(command, sizeof(command), "rm -rf %s", f->dir);
	assert_int_equal(system(command), 0);
	free(f);
	return 0;
}

struct seen {
	unsigned n;
	char xml[4][64];
	uint8_t uuid[4][16];
	int error[4];
};

static inline void see(void *opaque, const uint8_t uuid[16], const char *xml, int error)
{
	struct seen *seen = opaque;

	assert_in_range(seen->n, 0, 3);
	snprintf(seen->xml[seen->n], 64, "%s", xml ? xml : "");
	memcpy(seen->uuid[seen->n], uuid, 16);
	seen->error[seen->n++] = error;
}

static inline bool has_flag(struct fixture *f, const uint8_t uuid[16])
{
	assert_int_equal(store_settle(f->store, STORE_SETTLE_ALL), 0);
	return store_get_autostart(&f->store->domains, uuid);
}

static inline unsigned count_files(const char *dir, const char *sub)
{
	struct dirent *e;
	char path[256];
	unsigned n = 0;
	DIR *d;

	(void)snprintf(path, sizeof(path), "%s/%s", dir, sub);
	d = opendir(path);
	assert_non_null(d);
	while ((e = readdir(d)))
		n += !streq(e->d_name, ".") && !streq(e->d_name, "..");
	closedir(d);
	return n;
}

static inline int fail_at(void *opaque, enum store_step step, const char *name)
{
	(void)name;
	return step == *(enum store_step *)opaque ? -ENOSPC : 0;
}

static inline void reopen(struct fixture *f)
{
	f->store = store_free(f->store);
	if (store_open(f->state, f->runtime, &f->store, &f->error) < 0)
		fail_msg("%s", f->error.message);
}

static inline const char *text_of_a(struct fixture *f)
{
	static struct seen seen;

	memset(&seen, 0, sizeof(seen));
	assert_int_equal(store_each(&f->store->domains, see, &seen), 0);
	return seen.n ? seen.xml[0] : "";
}

/* Overwrite 'len' bytes of a file of the journal. */
static inline void scribble(
	struct fixture *f, const char *name, const void *bytes, size_t len, off_t at)
{
	int fd = openat(f->store->state_fd, name, O_WRONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, bytes, len, at), len);
	close(fd);
}

/* As if what a change has done to the files had never reached the disk. */
static inline void lose_files(struct fixture *f)
{
	const int fds[] = {f->store->domains.definitions_fd, f->store->domains.autostart_fd};

	for (unsigned i = 0; i < ARRAY_SIZE(fds); i++) {
		int fd = openat(fds[i], ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		DIR *d = fdopendir(fd);
		struct dirent *e;

		assert_non_null(d);
		while ((e = readdir(d)))
			if (e->d_type == DT_REG)
				assert_int_equal(unlinkat(fd, e->d_name, 0), 0);
		closedir(d);
	}
}

static inline void wait_for_disk(struct fixture *f)
{
	struct pollfd fd = {.fd = f->store->event_fd, .events = POLLIN};

	assert_int_equal(poll(&fd, 1, 60000), 1);
}

struct steps {
	unsigned n[STORE_STEP_X_MAX];
};

static inline int count_step(void *opaque, enum store_step step, const char *name)
{
	(void)name;
	((struct steps *)opaque)->n[step]++;
	return 0;
}
