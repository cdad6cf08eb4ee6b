/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The shipped worker under /dev/kvm with our own guests: the machine's interrupts, processors, disks, resets and ends.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/guest/guests.h"
#include "vmm-core/base/cleanup.h"
#include "vmm-core/base/fdio.h"

static void test_exit(void **state)
{
	(void)state;
	run("exit", "42", 42);
	run("exit", "7", 7);
}

static void test_console(void **state)
{
	struct harness h;

	(void)state;
	boot(&h, "hello", "world");
	expect_ok(&h, harness_expect(&h, "hello world\n", WAIT_MS, NULL));
	assert_int_equal(write(h.serial_fd, "echo me\n", 8), 8);
	expect_ok(&h, harness_expect(&h, "echo me\n", WAIT_MS, NULL));
	expect_exit(&h, 0);
}

static void test_pic(void **state)
{
	(void)state;
	run("pic", "", 0);
}

static void test_ioapic(void **state)
{
	(void)state;
	run("ioapic", "", 0);
}

static void test_pci(void **state)
{
	(void)state;
	run("pci", "", 0);
}

/* A device behind PCI: rings, doorbell, MSI-X and the interrupt line. */
static void test_virtio(void **state)
{
	struct harness h;

	(void)state;
	prepare(&h, "virtio", "");
	h.config.rng.source = VM_RNG_BUILTIN;
	expect_ok(&h, harness_start(&h));
	expect_exit(&h, 0);
}

/* Memory of two cells is two files: the guest and its rings are in the second. */
static void test_cells(void **state)
{
	struct harness h;

	(void)state;
	prepare(&h, "virtio", "");
	h.config.rng.source = VM_RNG_BUILTIN;
	h.config.n_cells = 2;
	h.config.cells[0].memory_kib = 1024;
	h.config.cells[1].memory_kib = h.config.memory_kib - 1024;
	h.config.cells[0].cpus[0] = 1;
	memcpy(h.config.cells[0].distances, "\x0a\x14", 2);
	memcpy(h.config.cells[1].distances, "\x14\x0a", 2);
	h.config.memory_allocation = VM_ALLOCATION_IMMEDIATE;
	expect_ok(&h, harness_start(&h));
	expect_exit(&h, 0);
}

static void test_smp(void **state)
{
	static const unsigned counts[] = {1, 2, 4, 16, 255};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(counts); i++) {
		struct harness h;
		char n[8];

		(void)snprintf(n, sizeof(n), "%u", counts[i]);
		prepare(&h, "smp", n);
		h.config.vcpus = h.config.vcpus_max = counts[i];
		expect_ok(&h, harness_start(&h));
		expect_exit(&h, 0);
	}
}

/* KVM's own count of polls, where debugfs is there; -1: it is not. */
static long long halt_polls(const struct harness *h)
{
	char pattern[64], text[32] = "";
	long long n = -1;
	glob_t found;
	int fd;

	(void)snprintf(pattern, sizeof(pattern), "/sys/kernel/debug/kvm/%d-*/halt_attempted_poll",
		(int)h->pid);
	if (glob(pattern, 0, NULL, &found) == 0) {
		fd = open(found.gl_pathv[0], O_RDONLY | O_CLOEXEC);
		if (read(fd, text, sizeof(text) - 1) > 0)
			n = strtoll(text, NULL, 10);
		(void)close(fd);
	}
	globfree(&found);
	return n;
}

/* KVM takes what the XML says of polling when a vCPU halts; told not to poll it does not. */
static void test_halt_poll(void **state)
{
	static const uint32_t values[] = {VM_NO_HALT_POLL, 1, VM_MAX_HALT_POLL_US};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(values); i++) {
		struct harness h;

		prepare(&h, "spin", "halt");
		h.config.halt_poll_us = values[i];
		expect_ok(&h, harness_start(&h));
		expect_ok(&h, harness_expect(&h, "spinning", WAIT_MS, NULL));
		if (values[i] == VM_NO_HALT_POLL)
			assert_true(halt_polls(&h) <= 0);
		harness_done(&h);
	}
}

static void test_reset(void **state)
{
	struct harness h;

	(void)state;
	boot(&h, "reset", "");
	expect_exit(&h, 0);
	assert_int_equal(h.n_notices, 3);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(h.notices[i].kind, PROTO_NOTICE_GUEST_RESET);
}

static void test_stop_on_reset(void **state)
{
	struct harness h;

	(void)state;
	prepare(&h, "reset", "");
	h.flags = PROTO_START_STOP_ON_RESET;
	expect_ok(&h, harness_start(&h));
	expect_ok(&h, harness_wait(&h, PROTO_VM_STOPPED, WAIT_MS));
	assert_int_equal(h.state.reason, PROTO_REASON_GUEST_RESET);
	harness_done(&h);
}

static void test_poweroff(void **state)
{
	struct harness h;

	(void)state;
	boot(&h, "poweroff", "");
	expect_ok(&h, harness_wait(&h, PROTO_VM_STOPPED, WAIT_MS));
	assert_int_equal(h.state.reason, PROTO_REASON_GUEST_POWEROFF);
	harness_done(&h);
}

static void test_power_button(void **state)
{
	struct harness h;

	(void)state;
	boot(&h, "poweroff", "wait");
	expect_ok(&h, harness_expect(&h, "ready", WAIT_MS, NULL));
	expect_ok(&h, harness_request(&h, PROTO_POWER_BUTTON, WAIT_MS));
	expect_ok(&h, harness_wait(&h, PROTO_VM_STOPPED, WAIT_MS));
	if (h.state.reason != PROTO_REASON_GUEST_POWEROFF)
		fail_msg("reason %u: %s", h.state.reason, h.state.text);
	harness_done(&h);
	/* Without ACPI there is no button. */
	prepare(&h, "spin", "halt");
	h.config.acpi = 0;
	expect_ok(&h, harness_start(&h));
	assert_int_equal(harness_request(&h, PROTO_POWER_BUTTON, WAIT_MS), -ENOTSUP);
	harness_done(&h);
}

static void test_panic(void **state)
{
	struct harness h;

	(void)state;
	boot(&h, "panic", "");
	expect_ok(&h, harness_wait(&h, PROTO_VM_PAUSED, WAIT_MS));
	assert_int_equal(h.state.reason, PROTO_REASON_PANICKED);
	harness_done(&h);
	prepare(&h, "panic", "");
	h.flags = PROTO_START_STOP_ON_PANIC;
	expect_ok(&h, harness_start(&h));
	expect_ok(&h, harness_wait(&h, PROTO_VM_STOPPED, WAIT_MS));
	assert_int_equal(h.state.reason, PROTO_REASON_PANICKED);
	harness_done(&h);
}

/* 33 MiB as guest-blk.c wants them: a pattern, zeroes, and the kept block. Past the page cache where that is possible,
 * so that requests take their time. */
#define DISK_PATTERN_LEN (16 << 20)
#define DISK_KEPT_AT     (32 << 20)
#define DISK_LIVES       8

static int make_disk(void)
{
	static uint8_t pattern[1 << 20];
	char path[4096];
	int fd;

	(void)snprintf(path, sizeof(path), "%s/disk-XXXXXX", guests_dir());
	fd = mkostemp(path, O_CLOEXEC);
	assert_true(fd >= 0);
	(void)unlink(path);
	memset(pattern, 0xa5, sizeof(pattern));
	for (off_t at = 0; at < DISK_PATTERN_LEN; at += (off_t)sizeof(pattern))
		assert_int_equal(
			pwrite(fd, pattern, sizeof(pattern), at), (ssize_t)sizeof(pattern));
	assert_int_equal(ftruncate(fd, DISK_KEPT_AT + (1 << 20)), 0);
	assert_int_equal(fsync(fd), 0);
	(void)fcntl(fd, F_SETFL, O_DIRECT);
	return fd;
}

static void prepare_disk(
	struct harness *h, const char *guest, const char *what, uint8_t io, uint32_t iothread)
{
	prepare(h, guest, what);
	h->config.n_disks = 1;
	(void)strcpy(h->config.disks[0].target, "vda");
	h->config.disks[0].io = io;
	h->disks[0] = make_disk();
	if (!iothread)
		return;
	h->config.n_iothreads = 1;
	h->config.iothreads[0] = h->config.disks[0].iothread = iothread;
}

/* The worker's threads whose name begins so: how many there are, and how often they were switched to another. */
static unsigned look_at_threads(const struct harness *h, const char *name, uint64_t *ret_switches)
{
	char path[64];
	struct dirent *e;
	unsigned n = 0;
	DIR *dir;

	*ret_switches = 0;
	(void)snprintf(path, sizeof(path), "/proc/%d/task", (int)h->pid);
	dir = opendir(path);
	assert_non_null(dir);
	while ((e = readdir(dir))) {
		char text[4096] = "", *p;
		int fd;

		(void)snprintf(path, sizeof(path), "%.20s/status", e->d_name);
		fd = openat(dirfd(dir), path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			continue;
		(void)!read(fd, text, sizeof(text) - 1);
		(void)close(fd);
		if (strncmp(text, "Name:\t", 6) != 0 || strncmp(text + 6, name, strlen(name)) != 0)
			continue;
		n++;
		p = strstr(text, "\nvoluntary_ctxt_switches:");
		assert_non_null(p);
		*ret_switches += strtoull(strchr(p, ':') + 1, NULL, 10);
	}
	(void)closedir(dir);
	return n;
}

static unsigned count_threads(const struct harness *h, const char *name)
{
	uint64_t switches;

	return look_at_threads(h, name, &switches);
}

/* A thread that has ended is gone a moment after who waited for it knows. */
static void expect_threads(const struct harness *h, const char *name, unsigned n)
{
	for (unsigned ms = 0; ms < WAIT_MS && count_threads(h, name) != n; ms++)
		(void)usleep(1000);
	assert_int_equal(count_threads(h, name), n);
}

/* A halted guest: no exit, no wake-up of ours, of no thread. */
static void test_idle(void **state)
{
	struct harness h;
	uint64_t exits, beats, switches, now;

	(void)state;
	prepare_disk(&h, "spin", "halt", VM_DISK_IO_DEFAULT, 5);
	h.config.balloon.model = VM_BALLOON_VIRTIO;
	h.config.balloon.stats_period_s = 1; /* without a driver there is nobody to be asked */
	expect_ok(&h, harness_start(&h));
	expect_ok(&h, harness_expect(&h, "spinning", WAIT_MS, NULL));
	(void)usleep(200000);
	/* The start has left its moments, in their order. */
	for (unsigned i = 0; i < VM_BOOT_X_MAX; i++)
		assert_true(h.stats->boot_ns[i] > (i ? h.stats->boot_ns[i - 1] : 0));
	/* Exits and the console's callbacks have cost something, and no more than there was time. */
	assert_in_range(h.stats->vcpus[0].pio_ns, 1, WAIT_MS * NSEC_PER_MSEC);
	assert_in_range(h.stats->loop_ns[VM_LEDGER_CONSOLES], 1, WAIT_MS * NSEC_PER_MSEC);
	exits = h.stats->vcpus[0].exits;
	beats = h.stats->heartbeat;
	/* There is a thread for each iothread, and none besides. */
	assert_int_equal(look_at_threads(&h, "IO ", &switches), 1);
	(void)usleep(500000);
	assert_int_equal(h.stats->vcpus[0].exits - exits, 0);
	assert_int_equal(h.stats->heartbeat - beats, 0);
	assert_int_equal(look_at_threads(&h, "IO ", &now), 1);
	assert_int_equal(now, switches);
	(void)close(h.disks[0]);
	harness_done(&h);
}

/* A guest that sleeps until somebody writes to it, and what its worker holds beside the guest's memory. */
static void test_small(void **state)
{
	unsigned anonymous_kib = 0;
	_cleanup_(freep) char *text = NULL;
	struct harness h;
	char path[64];
	char *p;

	(void)state;
	(void)unsetenv("MALLOC_PERTURB_"); /* meson's: it touches all that is allocated */
	boot(&h, "echo", "");
	for (char c = 'a'; c < 'd'; c++) {
		assert_int_equal(write(h.serial_fd, &c, 1), 1);
		expect_ok(&h, harness_expect(&h, (char[]){c, 0}, WAIT_MS, NULL));
	}
	(void)snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", (int)h.pid);
	assert_int_equal(read_file(AT_FDCWD, path, 4096, &text, NULL), 0);
	p = strstr(text, "\nAnonymous:");
	assert_non_null(p);
	assert_int_equal(sscanf(p, "\nAnonymous: %u", &anonymous_kib), 1);
#ifndef __SANITIZE_ADDRESS__
	assert_in_range(anonymous_kib, 1, 288);
#endif
	harness_done(&h);
}

/* All that a thread of the worker can do shows here: it slept and was woken, or it ran. */
#define MAX_THREADS 32
struct cost {
	unsigned n;
	struct {
		char name[16];
		uint64_t switches, run_ns;
	} threads[MAX_THREADS];
};

static void read_thread(const char *folder, const char *file, char ret[4096])
{
	char path[320];
	int fd;

	(void)snprintf(path, sizeof(path), "%.256s/%s", folder, file);
	memset(ret, 0, 4096);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	(void)!read(fd, ret, 4095);
	(void)close(fd);
}

/* But for the kernel's own threads for io_uring, which end by themselves some time after they had work. */
static void look_at_cost(const struct harness *h, struct cost *ret)
{
	char path[64], text[4096];
	glob_t found;

	memset(ret, 0, sizeof(*ret));
	(void)snprintf(path, sizeof(path), "/proc/%d/task/*", (int)h->pid);
	assert_int_equal(glob(path, 0, NULL, &found), 0);
	for (size_t i = 0; i < found.gl_pathc && ret->n < MAX_THREADS; i++) {
		const char *p;

		read_thread(found.gl_pathv[i], "status", text);
		p = strstr(text, "\nvoluntary_ctxt_switches:");
		if (!p || strncmp(text, "Name:\tiou-", 10) == 0)
			continue;
		(void)sscanf(text, "Name:\t%15[^\n]", ret->threads[ret->n].name);
		ret->threads[ret->n].switches = strtoull(strchr(p + 1, ':') + 1, NULL, 10);
		read_thread(found.gl_pathv[i], "schedstat", text);
		ret->threads[ret->n++].run_ns = strtoull(text, NULL, 10);
	}
	globfree(&found);
}

/* The first thread that did something between the looks, or NULL. */
static const char *find_active(const struct cost *before, const struct cost *after)
{
	if (before->n != after->n)
		return "another thread";
	for (unsigned i = 0; i < after->n; i++)
		if (before->threads[i].switches != after->threads[i].switches ||
			before->threads[i].run_ns != after->threads[i].run_ns)
			return after->threads[i].name;
	return NULL;
}

/* While other guests are started, run and end, no thread of this one wakes or runs. What it was told last may take its time, and KVM
 * itself wakes a vCPU once, some time after it began, to set its clock: so not the first look has to find it so, but one of a few. */
static void expect_quiet(const struct harness *h)
{
	const char *active = "not looked at";
	struct cost before, after;

	for (unsigned attempt = 0; active && attempt < 4; attempt++) {
		look_at_cost(h, &before);
		for (unsigned i = 0; i < 24; i++)
			run("exit", "7", 7);
		look_at_cost(h, &after);
		active = find_active(&before, &after);
	}
	if (active)
		fail_msg("a machine that is to be quiet is not: %s", active);
}

/* A machine with all that a new domain has, and processors that could come: what the guest does not ask for does not happen. */
static void test_quiet(void **state)
{
	struct harness h;

	(void)state;
	prepare_disk(&h, "spin", "halt", VM_DISK_IO_DEFAULT, 0);
	h.config.vcpus_max = 4;
	h.config.acpi = 1;
	h.config.balloon.model = VM_BALLOON_VIRTIO;
	h.config.rng.source = VM_RNG_BUILTIN;
	h.config.n_channels = 1;
	h.config.channels[0].type = VM_CHARDEV_UNIX;
	(void)strcpy(h.config.channels[0].name, "org.qemu.guest_agent.0");
	expect_ok(&h, harness_start(&h));
	expect_ok(&h, harness_expect(&h, "spinning", WAIT_MS, NULL));
	expect_quiet(&h);
	(void)close(h.disks[0]);
	harness_done(&h);
}

/* A guest that would never rest, paused. */
static void test_quiet_paused(void **state)
{
	struct harness h;

	(void)state;
	prepare_disk(&h, "spin", "", VM_DISK_IO_DEFAULT, 3);
	h.config.vcpus_max = 4;
	h.config.balloon.model = VM_BALLOON_VIRTIO;
	h.config.balloon.stats_period_s = 1;
	expect_ok(&h, harness_start(&h));
	expect_ok(&h, harness_expect(&h, "spinning", WAIT_MS, NULL));
	expect_ok(&h, harness_request(&h, PROTO_PAUSE, WAIT_MS));
	expect_quiet(&h);
	(void)close(h.disks[0]);
	harness_done(&h);
}

/* What no other test has: disks on both backends beside an entropy device and 16 processors. In the sandbox that
 * ships everything is built, reset, and ends in order: threads joined, rings given back. */
static void test_all_kinds(void **state)
{
	struct harness h;
	int status;

	(void)state;
	prepare(&h, "smp", "16");
	h.config.vcpus = h.config.vcpus_max = 16;
	h.config.n_disks = 4;
	for (unsigned i = 0; i < h.config.n_disks; i++) {
		struct vm_disk *disk = &h.config.disks[i];

		h.disks[i] = memfd_create("disk", MFD_CLOEXEC);
		assert_int_equal(ftruncate(h.disks[i], 1 << 20), 0);
		(void)snprintf(disk->target, sizeof(disk->target), "vd%c", 'a' + (int)i);
		disk->io = i % 2 ? VM_DISK_IO_THREADS : disk->io;
	}
	h.config.rng.source = VM_RNG_BUILTIN;
	h.flags = PROTO_START_PAUSED;
	expect_ok(&h, harness_start(&h));
	expect_ok(&h, harness_wait(&h, PROTO_VM_PAUSED, WAIT_MS));
	for (unsigned i = 0; i < 10; i++)
		expect_ok(&h, harness_request(&h, PROTO_RESET, WAIT_MS));
	(void)harness_request(&h, PROTO_QUIT, WAIT_MS);
	expect_ok(&h, harness_reap(&h, WAIT_MS, &status));
	if (!WIFEXITED(status) || WEXITSTATUS(status))
		fail_msg("status 0x%x", (unsigned)status);
	for (unsigned i = 0; i < h.config.n_disks; i++)
		(void)close(h.disks[i]);
	harness_done(&h);
}

/* The host's look at the same: the pattern is whole, the kept block is of the last life. */
static void check_disk(int fd)
{
	static uint32_t words[1 << 18];

	(void)fcntl(fd, F_SETFL, 0);
	for (off_t at = 0; at < DISK_PATTERN_LEN; at += (off_t)sizeof(words)) {
		assert_int_equal(pread(fd, words, sizeof(words), at), (ssize_t)sizeof(words));
		for (unsigned i = 0; i < ARRAY_SIZE(words); i++)
			if (words[i] != 0xa5a5a5a5)
				fail_msg("0x%x at %llu", words[i], (unsigned long long)at + 4 * i);
	}
	assert_int_equal(pread(fd, words, 4096, DISK_KEPT_AT), 4096);
	for (unsigned i = 0; i < 1024; i++)
		assert_int_equal(words[i], DISK_LIVES);
}

static void run_disk(const char *what, uint8_t io, uint32_t iothread)
{
	struct harness h;
	int fd;

	prepare_disk(&h, "blk", what, io, iothread);
	fd = h.disks[0];
	expect_ok(&h, harness_start(&h));
	expect_exit(&h, 0);
	assert_int_equal(h.n_notices, streq(what, "machine") ? DISK_LIVES : 0);
	check_disk(fd);
	(void)close(fd);
}

/* A reset of the machine, and one of the device, while the disk is busy. */
static void test_disk_reset(void **state)
{
	(void)state;
	run_disk("machine", VM_DISK_IO_DEFAULT, 0);
	run_disk("machine", VM_DISK_IO_THREADS, 0);
	run_disk("device", VM_DISK_IO_DEFAULT, 0);
	run_disk("device", VM_DISK_IO_THREADS, 0);
	/* The same on an iothread. */
	run_disk("machine", VM_DISK_IO_DEFAULT, 5);
	run_disk("device", VM_DISK_IO_DEFAULT, 5);
	run_disk("device", VM_DISK_IO_THREADS, 5);
}

/* What a paused guest's disk could still write to: the image with its rings, and where reads go. */
#define BUSY_LEN (24 << 20)

static void expect_still(struct harness *h)
{
	_cleanup_(freep) uint8_t *before = malloc(BUSY_LEN);
	uint8_t *ram = mmap(NULL, BUSY_LEN, PROT_READ, MAP_SHARED, h->ram, 0);

	assert_non_null(before);
	assert_true(ram != MAP_FAILED);
	memcpy(before, ram, BUSY_LEN);
	(void)usleep(20000);
	assert_memory_equal(before, ram, BUSY_LEN);
	(void)munmap(ram, BUSY_LEN);
}

/* A disk on an iothread that is never idle, and whose registers are not left alone either: paused, it touches nothing; reset, it
 * begins again; and it ends in order. What it costs is the disk's. */
static void test_busy_iothread(void **state)
{
	struct harness h;
	uint64_t loop_ns;
	int status, fd;

	(void)state;
	prepare_disk(&h, "blk", "busy", VM_DISK_IO_DEFAULT, 5);
	h.config.vcpus = h.config.vcpus_max = 2;
	fd = h.disks[0];
	expect_ok(&h, harness_start(&h));
	for (unsigned i = 0; i < 6; i++) {
		expect_ok(&h, harness_expect(&h, "busy\n", WAIT_MS, NULL));
		expect_ok(&h, harness_request(&h, PROTO_PAUSE, WAIT_MS));
		expect_still(&h);
		loop_ns = h.stats->loop_ns[VM_LEDGER_DISKS];
		assert_true(loop_ns > 0);
		if (i % 3 == 2)
			expect_ok(&h, harness_request(&h, PROTO_RESET, WAIT_MS));
		expect_ok(&h, harness_request(&h, PROTO_RESUME, WAIT_MS));
		expect_ok(&h, harness_expect(&h, "busy\n", WAIT_MS, NULL));
		assert_true(h.stats->loop_ns[VM_LEDGER_DISKS] > loop_ns);
		if (i % 3 == 0)
			expect_ok(&h, harness_request(&h, PROTO_RESET, WAIT_MS));
	}
	(void)harness_request(&h, PROTO_QUIT, WAIT_MS);
	expect_ok(&h, harness_reap(&h, WAIT_MS, &status));
	if (!WIFEXITED(status) || WEXITSTATUS(status))
		fail_msg("status 0x%x", (unsigned)status);
	harness_done(&h);
	(void)close(fd);
}

/* Iothreads come and go while the guest runs, and none that a disk needs. */
static void test_iothreads(void **state)
{
	struct proto_iothread what = {.id = 9, .on = 1};
	struct harness h;
	uint32_t seq;

	(void)state;
	prepare_disk(&h, "blk", "busy", VM_DISK_IO_DEFAULT, 5);
	h.config.vcpus = h.config.vcpus_max = 2;
	expect_ok(&h, harness_start(&h));
	for (unsigned i = 0; i < 4; i++, what.on = !what.on) {
		expect_ok(&h, harness_send(&h, PROTO_IOTHREAD, &what, sizeof(what), NULL, 0, &seq));
		expect_ok(&h, harness_wait_reply(&h, seq, WAIT_MS));
		expect_threads(&h, "IO iothread9", what.on);
		expect_threads(&h, "IO iothread5", 1);
	}
	what = (struct proto_iothread){.id = 5};
	expect_ok(&h, harness_send(&h, PROTO_IOTHREAD, &what, sizeof(what), NULL, 0, &seq));
	assert_int_equal(harness_wait_reply(&h, seq, WAIT_MS), -EBUSY);
	(void)close(h.disks[0]);
	harness_done(&h);
}

/* As guest-balloon.c has them. */
#define BALLOON_PAGES 2048U

static uint64_t ram_pages(const struct harness *h)
{
	struct stat st;

	assert_int_equal(fstat(h->ram, &st), 0);
	return (uint64_t)st.st_blocks * 512 / 4096;
}

static void set_target(struct harness *h, uint32_t pages)
{
	struct proto_balloon what = {.flags = PROTO_BALLOON_TARGET, .target = pages};
	uint32_t seq;

	expect_ok(h, harness_send(h, PROTO_BALLOON_SET, &what, sizeof(what), NULL, 0, &seq));
	expect_ok(h, harness_wait_reply(h, seq, WAIT_MS));
}

/* The kernel says what its MMU did, where it does. The guest has filled memory, so KVM with EPT or NPT has mapped pages and taken faults;
 * others (PVM) need not count these. */
static void test_mmu(void **state)
{
	const struct vm_stats_mmu *mmu;
	uint64_t pages, sum = 0;
	struct harness h;
	int r;

	(void)state;
	prepare(&h, "balloon", "");
	h.config.balloon.model = VM_BALLOON_VIRTIO;
	expect_ok(&h, harness_start(&h));
	expect_ok(&h, harness_expect(&h, "filled\n", WAIT_MS, NULL));
	mmu = &h.stats->mmu;
	assert_int_equal(mmu->known, 0);
	r = harness_request(&h, PROTO_MMU_STATS, WAIT_MS);
	if (r == -ENOTSUP) {
		harness_done(&h);
		skip();
	}
	expect_ok(&h, r);
	assert_true(mmu->known >> VM_MMU_PAGES_4K & 1);
	assert_true(mmu->known >> VM_MMU_FAULTS & 1);
	for (unsigned i = 0; i < VM_MMU_X_MAX; i++)
		sum += mmu->values[i];
	assert_true(sum > 0);
	if (access("/sys/module/kvm_intel", F_OK) == 0 ||
		access("/sys/module/kvm_amd", F_OK) == 0) {
		pages = mmu->values[VM_MMU_PAGES_4K] + 512 * mmu->values[VM_MMU_PAGES_2M];
		assert_true(pages >= BALLOON_PAGES);
		assert_true(mmu->values[VM_MMU_FAULTS] > 0);
	}
	harness_done(&h);
}

/* Memory goes back to the host when it is given up and when it is reported free, comes back as zeroes, and the guest is asked for
 * statistics when somebody wants them. */
static void test_balloon(void **state)
{
	struct harness h;
	uint64_t filled;

	(void)state;
	prepare(&h, "balloon", "");
	h.config.balloon.model = VM_BALLOON_VIRTIO;
	expect_ok(&h, harness_start(&h));
	expect_ok(&h, harness_expect(&h, "filled\n", WAIT_MS, NULL));
	filled = ram_pages(&h);
	for (unsigned i = 1; i <= 3; i++) {
		expect_ok(&h, harness_request(&h, PROTO_BALLOON_STATS, WAIT_MS));
		expect_ok(&h, harness_wait_notice(&h, PROTO_NOTICE_BALLOON_STATS, i, WAIT_MS));
		assert_int_equal(h.stats->balloon.known, 1 << 5 | 1 << 4);
		assert_int_equal(h.stats->balloon.values[4], i);
		assert_int_equal(h.stats->balloon.updates, i + 1);
	}
	set_target(&h, BALLOON_PAGES);
	expect_ok(&h, harness_expect(&h, "inflated\n", WAIT_MS, NULL));
	assert_in_range(filled - ram_pages(&h), BALLOON_PAGES - 16, BALLOON_PAGES);
	assert_int_equal(h.stats->balloon.actual, BALLOON_PAGES);
	assert_int_equal(h.stats->balloon.given_back, BALLOON_PAGES * 4096);
	expect_ok(&h, harness_wait_notice(&h, PROTO_NOTICE_BALLOON, 1, WAIT_MS));
	set_target(&h, 0);
	expect_ok(&h, harness_expect(&h, "deflated\n", WAIT_MS, NULL));
	filled = ram_pages(&h);
	set_target(&h, 1);
	expect_ok(&h, harness_expect(&h, "reported\n", WAIT_MS, NULL));
	assert_in_range(filled - ram_pages(&h), BALLOON_PAGES - 16, BALLOON_PAGES);
	assert_int_equal(h.stats->balloon.reported, BALLOON_PAGES * 4096);
	set_target(&h, 2);
	expect_exit(&h, 0);
	/* Without one nobody can be asked. */
	boot(&h, "spin", "halt");
	assert_int_equal(harness_request(&h, PROTO_BALLOON_STATS, WAIT_MS), -ENODEV);
	harness_done(&h);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_exit),
		cmocka_unit_test(test_console),
		cmocka_unit_test(test_pic),
		cmocka_unit_test(test_ioapic),
		cmocka_unit_test(test_pci),
		cmocka_unit_test(test_virtio),
		cmocka_unit_test(test_cells),
		cmocka_unit_test(test_smp),
		cmocka_unit_test(test_reset),
		cmocka_unit_test(test_stop_on_reset),
		cmocka_unit_test(test_poweroff),
		cmocka_unit_test(test_power_button),
		cmocka_unit_test(test_panic),
		cmocka_unit_test(test_idle),
		cmocka_unit_test(test_small),
		cmocka_unit_test(test_quiet),
		cmocka_unit_test(test_quiet_paused),
		cmocka_unit_test(test_all_kinds),
		cmocka_unit_test(test_disk_reset),
		cmocka_unit_test(test_busy_iothread),
		cmocka_unit_test(test_iothreads),
		cmocka_unit_test(test_mmu),
		cmocka_unit_test(test_halt_poll),
		cmocka_unit_test(test_balloon),
	};

	return guests_main(argc, argv, tests);
}
