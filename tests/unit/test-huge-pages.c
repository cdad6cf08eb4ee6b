/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Pools of huge pages of a host that is a folder: set, added to, on nodes and on the whole; refused before anything is touched; less than was
 * asked for, which the caller is told; and a kernel that takes its time (a lease on its file, which a writer waits for), while the daemon answers others.
 */
#include "daemon/huge-pages.h"

#include <signal.h>
#include <sys/stat.h>

#include "dbus-fixture.h"

static char sysfs[96];

static void put(const char *name, const char *text)
{
	char path[256], folder[256];
	FILE *file;

	(void)snprintf(path, sizeof(path), "%s/%s", sysfs, name);
	for (char *p = path + 1; *p; p++)
		if (*p == '/') {
			(void)snprintf(folder, sizeof(folder), "%.*s", (int)(p - path), path);
			(void)mkdir(folder, 0700);
		}
	file = fopen(path, "w");
	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
}

static uint64_t get(const char *name)
{
	char path[256];
	unsigned long long n = 0;
	FILE *file;

	(void)snprintf(path, sizeof(path), "%s/%s", sysfs, name);
	file = fopen(path, "r");
	assert_non_null(file);
	assert_int_equal(fscanf(file, "%llu", &n), 1);
	(void)fclose(file);
	return n;
}

#define HOST  "kernel/mm/hugepages/hugepages-2048kB/nr_hugepages"
#define NODE0 "devices/system/node/node0/hugepages/hugepages-2048kB/nr_hugepages"
#define NODE2 "devices/system/node/node2/hugepages/hugepages-2048kB/nr_hugepages"

static int pages_setup(void **state)
{
	int r = setup(state);
	struct fixture *f = *state;

	(void)snprintf(sysfs, sizeof(sysfs), "%s/sys", f->dir);
	put("devices/system/node/has_memory", "0,2\n");
	put("devices/system/node/node0/meminfo", "Node 0 MemTotal: 1048576 kB\n");
	put("devices/system/node/node2/meminfo", "Node 2 MemTotal: 2097152 kB\n");
	put(HOST, "16\n");
	put(NODE0, "10\n");
	put(NODE2, "6\n");
	f->manager->options.sysfs = sysfs;
	return r;
}

#define ALLOC(f, size, count, nodes, flags)                                                        \
	CALL(f, "AllocPages", "utsu", size, UINT64_C(count), nodes, flags)

static void test_set(void **state)
{
	struct fixture *f = *state;

	ok(ALLOC(f, 2048, 20, "", 0));
	assert_int_equal(get(HOST), 20);
	ok(ALLOC(f, 2048, 4, "", 1));
	assert_int_equal(get(HOST), 24);
	assert_int_equal(get(NODE0), 10);
	ok(ALLOC(f, 2048, 3, "2", 0));
	assert_int_equal(get(NODE2), 3);
	ok(ALLOC(f, 2048, 5, "0,2", 1));
	assert_int_equal(get(NODE0), 15);
	assert_int_equal(get(NODE2), 8);
	ok(ALLOC(f, 2048, 0, "0", 0));
	assert_int_equal(get(NODE0), 0);
	assert_null(f->manager->huge_pages);
}

static void test_refused(void **state)
{
	struct fixture *f = *state;

	fails(ALLOC(f, 4, 1, "", 0), VMMD_ERROR_PREFIX "OperationFailed",
		"system page pool can't be modified");
	fails(ALLOC(f, 1048576, 1, "", 0), VMMD_ERROR_PREFIX "OperationFailed",
		"page size 1048576 is not available on this host");
	fails(ALLOC(f, 16, 1, "2", 0), VMMD_ERROR_PREFIX "OperationFailed",
		"page size 16 is not available on node 2");
	fails(ALLOC(f, 0, 1, "", 0), VMMD_ERROR_PREFIX "InvalidArgument", "0 KiB");
	fails(ALLOC(f, 2048, 1, "0-2", 0), VMMD_ERROR_PREFIX "InvalidArgument",
		"the host has no memory on NUMA node 1");
	fails(ALLOC(f, 2048, 1, "x", 0), VMMD_ERROR_PREFIX "InvalidArgument", "no NUMA nodes");
	fails(ALLOC(f, 2048, 1, "", 2), VMMD_ERROR_PREFIX "InvalidArgument", "");
	/* As many as there is memory, and no more; nor by adding, nor by going round. */
	ok(ALLOC(f, 2048, 512, "0", 0));
	fails(ALLOC(f, 2048, 513, "0", 0), VMMD_ERROR_PREFIX "InvalidArgument",
		"513 pages of 2048 KiB are more than the memory there, 1048576 KiB");
	fails(ALLOC(f, 2048, 1, "0", 1), VMMD_ERROR_PREFIX "InvalidArgument",
		"more than the memory");
	fails(ALLOC(f, 2048, 18446744073709551615, "0", 1), VMMD_ERROR_PREFIX "InvalidArgument",
		"more than the memory");
	fails(ALLOC(f, 2048, 1537, "", 0), VMMD_ERROR_PREFIX "InvalidArgument", "3145728 KiB");
	/* Nothing is done when one of the nodes cannot have it. */
	fails(ALLOC(f, 2048, 600, "0,2", 0), VMMD_ERROR_PREFIX "InvalidArgument", "more than");
	assert_int_equal(get(NODE2), 6);
}

/* The file of a pool, which whoever wants to write to it must wait for. */
static int hold(const char *name)
{
	char path[256];
	int fd;

	(void)signal(SIGIO, SIG_IGN);
	(void)snprintf(path, sizeof(path), "%s/%s", sysfs, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	if (fcntl(fd, F_SETLEASE, F_RDLCK) < 0) {
		print_message("skipped: no leases on this file system\n");
		(void)close(fd);
		return -1;
	}
	return fd;
}

static void begin(struct fixture *f, struct answer *answer)
{
	sd_bus_message *m = NULL;

	assert_true(sd_bus_message_new_method_call(client, &m, NULL, VMMD_BUS_PATH,
			    VMMD_BUS_INTERFACE, "AllocPages") >= 0);
	assert_true(sd_bus_message_append(m, "utsu", 2048, UINT64_C(30), "", 0) >= 0);
	assert_true(sd_bus_call_async(client, NULL, m, on_answer, answer, 0) >= 0);
	sd_bus_message_unref(m);
	RUN_UNTIL(f, f->manager->huge_pages);
}

/* What is there when the kernel has done what it could is another number than was asked for. */
static void test_fewer(void **state)
{
	static const struct {
		const char *now, *message;
	} cases[] = {
		{"5\n", "Unable to allocate 30 pages. Allocated only 5"},
		{"44\n", "Unable to free pages: 44 of 2048 KiB are left, as they are in use"},
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct answer answer = {0};
		char path[256];
		int fd = hold(HOST);

		if (fd < 0)
			return;
		begin(f, &answer);
		/* The child writes to the file that was there before: it stands before its door. */
		RUN_UNTIL(f, fcntl(fd, F_GETLEASE) != F_RDLCK);
		(void)snprintf(path, sizeof(path), "%s/" HOST, sysfs);
		assert_int_equal(unlink(path), 0);
		put(HOST, cases[i].now);
		(void)close(fd);
		RUN_UNTIL(f, answer.m);
		fails(answer.m, VMMD_ERROR_PREFIX "OperationFailed", cases[i].message);
	}
}

static void test_slow_kernel(void **state)
{
	struct fixture *f = *state;
	struct answer answer = {0};
	int fd = hold(HOST);

	if (fd < 0)
		return;
	begin(f, &answer);
	/* Others are answered meanwhile, and a second wish is refused. */
	ok(CALL(f, "GetNodeMemory", ""));
	fails(ALLOC(f, 2048, 1, "0", 0), VMMD_ERROR_PREFIX "ResourceBusy", "under way");
	assert_null(answer.m);
	(void)close(fd);
	RUN_UNTIL(f, answer.m);
	ok(answer.m);
	assert_int_equal(get(HOST), 30);
	ok(ALLOC(f, 2048, 1, "0", 0));
}

static void test_too_slow(void **state)
{
	struct fixture *f = *state;
	struct answer answer = {0};
	int fd = hold(HOST);

	if (fd < 0)
		return;
	f->manager->options.huge_pages_usec = 20000;
	begin(f, &answer);
	RUN_UNTIL(f, answer.m);
	fails(answer.m, VMMD_ERROR_PREFIX "OperationFailed",
		"Unable to allocate 30 pages. Allocated only 16 before the time was up");
	assert_null(f->manager->huge_pages);
	(void)close(fd);
}

/* The daemon ends: so does the child, and nobody is told twice. */
static void test_ends(void **state)
{
	struct fixture *f = *state;
	struct answer answer = {0};
	int fd = hold(HOST);

	if (fd < 0)
		return;
	begin(f, &answer);
	huge_pages_end(f->manager);
	assert_null(f->manager->huge_pages);
	RUN_UNTIL(f, answer.m);
	fails(answer.m, VMMD_ERROR_PREFIX "Interrupted", "vmmd ends");
	(void)close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_set, pages_setup, teardown),
		cmocka_unit_test_setup_teardown(test_refused, pages_setup, teardown),
		cmocka_unit_test_setup_teardown(test_fewer, pages_setup, teardown),
		cmocka_unit_test_setup_teardown(test_slow_kernel, pages_setup, teardown),
		cmocka_unit_test_setup_teardown(test_too_slow, pages_setup, teardown),
		cmocka_unit_test_setup_teardown(test_ends, pages_setup, teardown),
	};

	log_init("test-huge-pages", LOG_CRIT, false);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
