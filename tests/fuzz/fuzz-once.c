/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Fuzzer of records of calls that happen once, as a daemon finds them: any bytes; what is taken is bounded and ended, and is the same when it
 * has been written and read again; what is not taken is gone. The first byte says whether the record is a lost one. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/manager.h"
#include "daemon/once-internal.h"
#include "tests/fuzz/fuzz-input.h"
#include "vmm-core/base/fdio.h"
#include "vmm-core/base/log.h"

static struct store store;
static struct manager manager = {.store = &store};
static char dir[] = "/dev/shm/fuzz-once-XXXXXX";

static void clean_up(void)
{
	(void)unlinkat(store.runtime_fd, ONCE_FOLDER, AT_REMOVEDIR);
	(void)rmdir(dir);
}

static void begin(void)
{
	log_init("fuzz-once", LOG_CRIT, NULL);
	if (access("/dev/shm", W_OK) < 0)
		memcpy(dir, "/tmp////", 8);
	expect(mkdtemp(dir) != NULL);
	store.runtime_dir = dir;
	store.runtime_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	expect(store.runtime_fd >= 0 && mkdirat(store.runtime_fd, ONCE_FOLDER, 0700) == 0);
	(void)atexit(clean_up);
}

static void load(struct once *once)
{
	*once = (struct once){.manager = &manager, .dir_fd = -EBADF};
	list_init(&once->entries);
	expect(once_file_load(once) == 0);
}

static struct once_entry *first(struct once *once)
{
	return list_entry(once->entries.next, struct once_entry, link);
}

static void done(struct once *once)
{
	while (!list_empty(&once->entries))
		(void)once_entry_free(first(once));
	expect(once->bytes == 0 && once->n_entries == 0);
	once->dir_fd = safe_close(once->dir_fd);
}

static bool same_text(const char *a, const char *b)
{
	return a == b || (a && b && streq(a, b));
}

static void check(struct once_entry *e)
{
	struct once again;
	struct once_entry *other;

	expect(e->number == 1 && e->rule && e->state < ONCE_STATE_X_MAX);
	expect(e->code < ERROR_CODE_X_MAX && (e->code == ERROR_NONE || e->message));
	expect(memchr(e->key, 0, sizeof(e->key)) && memchr(e->caller, 0, sizeof(e->caller)));
	expect(memchr(e->before.name, 0, sizeof(e->before.name)));
	once_file_remove(e);
	expect(once_file_save(e) == 0);
	load(&again);
	expect(again.n_entries == 1);
	other = first(&again);
	expect(streq(e->key, other->key) && streq(e->caller, other->caller));
	expect(e->rule == other->rule && e->state == other->state && e->code == other->code);
	expect(e->at_s == other->at_s && once_digest_equal(e->arguments, other->arguments));
	expect(same_text(e->answer, other->answer) && same_text(e->message, other->message));
	expect(memcmp(&e->before, &other->before, sizeof(e->before)) == 0);
	once_file_remove(other);
	done(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct once once;
	int fd;

	if (!store.runtime_dir)
		begin();
	if (!size)
		return 0;
	fd = openat(store.runtime_fd, data[0] == 'L' ? ONCE_FOLDER "/1.lost" : ONCE_FOLDER "/1",
		O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	expect(fd >= 0 && write_full(fd, data + 1, size - 1) == 0);
	(void)close(fd);
	load(&once);
	expect(once.n_entries <= 1);
	if (once.n_entries)
		check(first(&once));
	done(&once);
	expect(faccessat(store.runtime_fd, ONCE_FOLDER "/1", F_OK, 0) < 0);
	return 0;
}
