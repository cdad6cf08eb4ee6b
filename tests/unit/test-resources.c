/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Resources: what goes with START, in which order, sealed how; what is refused, with which words; and that a refusal
 * makes nothing and loses no fd. */
#include "resources-fixture.h"

#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>

#include "daemon/stats-view.h"

static void test_the_least(void **state)
{
	const int all = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
	struct stats_view *view = NULL;
	struct stat st;
	int ram;

	(void)state;
	open_ok();
	assert_int_equal(res.n, 4);
	assert_int_equal(res.what[0].kind, PROTO_FD_CONFIG);
	assert_true(fcntl(res.fds[0], F_GET_SEALS) & F_SEAL_WRITE);
	ram = res.fds[find(PROTO_FD_RAM, 0)];
	assert_int_equal(fstat(ram, &st), 0);
	assert_int_equal(st.st_size, 4096 * 1024);
	assert_int_equal(fcntl(ram, F_GET_SEALS), all);
	assert_int_equal(fcntl(res.stats_fd, F_GET_SEALS), all);
	assert_true(find(PROTO_FD_KERNEL, 0) > 0);
	for (unsigned i = 0; i < res.n; i++)
		assert_true(fcntl(res.fds[i], F_GETFD) & FD_CLOEXEC);
	/* The page is as long as it must be, and nothing else is taken for one. */
	assert_int_equal(stats_view_map(STATS_VM, res.stats_fd, &view), 0);
	assert_int_equal(stat_read(&stats_view_page(view)->heartbeat), 0);
	view = stats_view_free(view);
	assert_int_equal(stats_view_map(STATS_VM, ram, &view), -EINVAL);
	assert_int_equal(
		stats_view_map(STATS_VM, res.fds[find(PROTO_FD_KERNEL, 0)], &view), -EINVAL);
}

static void test_kernel_refusals(void **state)
{
	struct fixture *f = *state;
	FILE *file;

	config->vm.has_kernel = 0;
	refused("has no <kernel>");
	config->vm.has_kernel = 1;
	strcpy(config->kernel, "/nonexistent/vmlinuz");
	refused("cannot open the kernel '/nonexistent/vmlinuz': No such file");
	strcpy(config->kernel, "/");
	refused("the kernel '/' is not a regular file");
	file = fopen(f->kernel, "w");
	fputs("not a kernel, but some text that is long enough to be looked at", file);
	fclose(file);
	strcpy(config->kernel, f->kernel);
	refused("cannot be booted");
	fixture_write_kernel(f->kernel);
	config->vm.has_initrd = 1;
	strcpy(config->initrd, "/nonexistent/initrd");
	refused("cannot open the initrd '/nonexistent/initrd'");
}

static void test_memory_and_kvm_refusals(void **state)
{
	(void)state;
	env.available_kib = 4095;
	refused("asks for 4096 KiB of memory, the host has 4095 KiB available");
	env.available_kib = 4096;
	config->vm.memory_locked = 1;
	env.memlock_kib = 4095;
	refused("domain 'test': cannot lock 4096 KiB of guest memory: RLIMIT_MEMLOCK allows this "
		"user 4095 KiB");
	env.memlock_kib = 4096;
	open_ok();
	resources_close(&res);
	/* Huge pages are not locked: they are reserved. */
	config->vm.memory_locked = 0;
	env.memlock_kib = 0;
	config->vm.hugepage_kib = 1048576;
	config->vm.memory_kib = UINT64_C(1048576) * 100000;
	refused("needs 100000 free huge pages of 1048576 KiB, the host has");
	config->vm.hugepage_kib = 0;
	config->vm.memory_kib = 4096;
	env.kvm_path = "/nonexistent/kvm";
	refused("there is no /nonexistent/kvm");
	env.kvm_path = "/dev/null";
	open_ok();
	assert_true(find(PROTO_FD_KVM, 0) > 0);
	assert_true(resources_available_kib() > 1024);
	assert_true(resources_memlock_kib() > 0);
}

static void test_cpus(void **state)
{
	uint64_t host[CPUSET_WORDS];

	(void)state;
	assert_int_equal(cpuset_parse("0-1", host), 0);
	env.host_cpus = host;
	open_ok();
	resources_close(&res);
	assert_int_equal(cpuset_parse("0-2", config->vm.cpuset), 0);
	refused("domain 'test': vcpu/@cpuset: the host has no CPU 2, or it is offline; write some "
		"of 0-1");
	assert_int_equal(cpuset_parse("1", config->vm.cpuset), 0);
	open_ok();
	/* This host has at least the CPU that this runs on. */
	assert_int_equal(resources_host_cpus(host), 0);
	assert_false(cpuset_is_empty(host));
}

static void test_disks(void **state)
{
	struct fixture *f = *state;
	struct stat st;
	FILE *file;

	config->vm.n_disks = 2;
	strcpy(config->vm.disks[0].target, "vda");
	strcpy(config->vm.disks[1].target, "vdb");
	config->vm.disks[1].device = VM_DISK_DEVICE_CDROM; /* without a medium */
	strcpy(config->disks[0].path, "/nonexistent/disk.img");
	refused("disk 'vda': ");
	assert_non_null(strstr(error.message, "/nonexistent/disk.img"));
	strcpy(config->disks[0].path, "/tmp");
	refused("/tmp");
	snprintf(config->disks[0].path, sizeof(config->disks[0].path), "%s/disk", f->dir);
	file = fopen(config->disks[0].path, "w");
	assert_int_equal(ftruncate(fileno(file), 65536), 0);
	fclose(file);
	open_ok();
	assert_true(find(PROTO_FD_DISK, 0) > 0);
	assert_int_equal(find(PROTO_FD_DISK, 1), -1);
	assert_int_equal(fstat(res.fds[find(PROTO_FD_DISK, 0)], &st), 0);
	assert_int_equal(fcntl(res.fds[find(PROTO_FD_DISK, 0)], F_GETFL) & O_ACCMODE, O_RDWR);
	resources_close(&res);
	config->vm.disks[0].readonly = 1;
	open_ok();
	assert_int_equal(fcntl(res.fds[find(PROTO_FD_DISK, 0)], F_GETFL) & O_ACCMODE, O_RDONLY);
}

static void test_character_devices(void **state)
{
	struct fixture *f = *state;
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	int i, client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	config->vm.n_serials = 3;
	config->vm.serials[1].type = VM_CHARDEV_NULL;
	config->vm.serials[2].type = VM_CHARDEV_FILE;
	config->vm.n_consoles = 2; /* the first is serial 0's alias */
	config->vm.consoles[0].target = VM_CONSOLE_TARGET_SERIAL;
	config->vm.consoles[1].target = VM_CONSOLE_TARGET_VIRTIO;
	config->vm.n_channels = 1;
	config->vm.channels[0].type = VM_CHARDEV_UNIX;
	strcpy(config->vm.channels[0].name, "org.qemu.guest_agent.0");
	refused("serial2 of type 'file' has no <source path='…'/>");
	strcpy(config->serials[2].path, "/nonexistent/dir/file");
	refused("/nonexistent/dir/file");
	snprintf(config->serials[2].path, sizeof(config->serials[2].path), "%s/serial", f->dir);
	open_ok();
	assert_int_equal(strncmp(res.serial_paths[0], "/dev/pts/", 9), 0);
	assert_string_equal(res.console_paths[0], res.serial_paths[0]);
	assert_int_equal(strncmp(res.console_paths[1], "/dev/pts/", 9), 0);
	assert_string_not_equal(res.console_paths[1], res.console_paths[0]);
	assert_int_equal(find(PROTO_FD_SERIAL, 1), -1);
	assert_int_equal(find(PROTO_FD_CONSOLE, 0), -1);
	i = find(PROTO_FD_CHANNEL, 0);
	assert_int_equal(res.what[i].flags, PROTO_FD_LISTENING);
	strcpy(sa.sun_path, res.channel_paths[0]);
	assert_int_equal(connect(client, (struct sockaddr *)&sa, sizeof(sa)), 0);
	close(client);
}

/* A left-over socket is replaced; one that somebody serves, and what is no socket, are not touched. */
static void test_unix_paths(void **state)
{
	struct fixture *f = *state;
	struct resources first;
	FILE *file;

	config->vm.n_serials = 1;
	config->vm.serials[0].type = VM_CHARDEV_UNIX;
	snprintf(config->serials[0].path, sizeof(config->serials[0].path), "%s/sock", f->dir);
	open_ok();
	first = res;
	refused("Address already in use");
	resources_close(&first);
	open_ok();
	resources_close(&res);
	assert_int_equal(unlink(config->serials[0].path), 0);
	file = fopen(config->serials[0].path, "w");
	fclose(file);
	refused("File exists");
}

static void test_clock_and_rng(void **state)
{
	time_t now = time(NULL);

	(void)state;
	config->vm.rng.source = VM_RNG_RANDOM;
	config->vm.clock_offset = VM_CLOCK_ABSOLUTE;
	config->vm.clock_start_s = 1000;
	open_ok();
	assert_true(find(PROTO_FD_RNG, 0) > 0);
	assert_in_range(1000 - res.wall_offset_s, now, now + 5);
	resources_close(&res);
	config->vm.clock_offset = VM_CLOCK_VARIABLE;
	config->vm.clock_adjustment_s = -77;
	open_ok();
	assert_int_equal(res.wall_offset_s, -77);
	resources_close(&res);
	strcpy(config->rng_path, "/nonexistent/rng");
	refused("cannot open the entropy source '/nonexistent/rng'");
}

/* Shares of the loop's time: as the worker says where that can be, else in its proportions. */
static void test_ledger(void **state)
{
	stat_counter accounts[VM_LEDGER_X_MAX] = {0};
	uint64_t ns[VM_LEDGER_X_MAX], sum = 0;

	(void)state;
	accounts[VM_LEDGER_SWITCH] = 300;
	accounts[VM_LEDGER_NICS + VM_MAX_NICS - 1] = 100;
	assert_int_equal(ledger_shares(accounts, 1000, ns), 600);
	assert_int_equal(ns[VM_LEDGER_SWITCH], 300);
	assert_int_equal(ns[VM_LEDGER_NICS + VM_MAX_NICS - 1], 100);
	assert_int_equal(ledger_shares(accounts, 200, ns), 0);
	assert_int_equal(ns[VM_LEDGER_SWITCH], 150);
	assert_int_equal(ns[VM_LEDGER_NICS + VM_MAX_NICS - 1], 50);
	assert_int_equal(ledger_shares(accounts, 0, ns), 0);
	for (unsigned i = 0; i < VM_LEDGER_X_MAX; i++)
		accounts[i] = UINT64_MAX - i;
	assert_true(ledger_shares(accounts, 1000000, ns) < VM_LEDGER_X_MAX);
	for (unsigned i = 0; i < VM_LEDGER_X_MAX; i++)
		sum += ns[i];
	assert_in_range(sum, 1000000 - VM_LEDGER_X_MAX, 1000000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, resources_setup, resources_teardown)
		cmocka_unit_test(test_ledger),
		T(test_the_least),
		T(test_kernel_refusals),
		T(test_memory_and_kvm_refusals),
		T(test_cpus),
		T(test_disks),
		T(test_character_devices),
		T(test_unix_paths),
		T(test_clock_and_rng),
	};

	log_init("test-resources", LOG_CRIT, false);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
