/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * P21: how fast memory goes back to the host when a guest gives up neighbouring pages, in lists of 256 as Linux's driver has
 * them. The same guest (guest-balloon.c) runs on the shipped worker in its full sandbox, and on QEMU's q35 with its
 * virtio-balloon-pci: with its usual memory, and with a shared memory file as vmmd's is. All in turn. In lists of 256 much of the
 * time is the guest's, where ring 0 is emulated; one list for all shows the devices. The limit is the kernel's:
 * madvise() by one megabyte, and by all at once, of a memory file and of anonymous memory that this process has touched.
 *
 *	bench-balloon WORKER GUESTS [BOOTS]
 */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/guest/harness.h"
#include "tests/bench/measure.h"
#include "tests/guest/jailed.h"
#include "vmm-core/base/cleanup.h"

#define MAX_SAMPLES 1024
#define RAM_MIB     128
#define BYTES       MIB(64) /* as guest-balloon.c has it */
#define ROUNDS      5       /* of a boot */
#define WAIT_MS     60000

struct series {
	double v[MAX_SAMPLES];
	unsigned n;
};

static const char *worker_path, *guest_path;
static struct jailed jail;

static double now_s(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void add(struct series *s, double seconds)
{
	if (s->n < MAX_SAMPLES)
		s->v[s->n++] = (double)BYTES / (double)MIB(1024) / seconds;
}

static double median(struct series *s)
{
	if (!s->n)
		return 0;
	qsort(s->v, s->n, sizeof(s->v[0]), by_value);
	return s->v[s->n / 2];
}

/* What the balloon's callbacks have taken so far, of a worker's statistics page; 0 without one. */
static double device_s(const struct vm_stats_page *stats)
{
	return stats ? (double)stats->loop_ns[VM_LEDGER_MACHINE] / 1e9 : 0;
}

/* The guest's words, as they come: between "go" and "end" it gives up BYTES. 'device' is filled if there is a page. */
static void time_rounds(
	int fd, const struct vm_stats_page *stats, struct series *s, struct series *device)
{
	double begin = 0, device_begin = 0;
	char text[16] = "";
	size_t len = 0;

	for (unsigned n = 0; n < ROUNDS;) {
		struct pollfd p = {.fd = fd, .events = POLLIN};
		char c;

		if (poll(&p, 1, WAIT_MS) <= 0)
			die("the guest says nothing");
		if (read(fd, &c, 1) != 1)
			die("the guest ended too early");
		if (c != '\n' && len < sizeof(text) - 1) {
			text[len++] = c;
			continue;
		}
		text[len] = 0;
		len = 0;
		if (strstr(text, "go")) {
			begin = now_s();
			device_begin = device_s(stats);
		}
		if (strstr(text, "end") && begin > 0) {
			add(s, now_s() - begin);
			if (stats)
				add(device, device_s(stats) - device_begin);
			n++;
		}
	}
}

static void run_ours(struct series *s, struct series *device, bool one_list)
{
	struct harness h;

	harness_init(&h, worker_path, guest_path);
	h.config.memory_kib = h.config.current_memory_kib = RAM_MIB * 1024;
	h.config.balloon.model = VM_BALLOON_VIRTIO;
	(void)snprintf(
		h.config.cmdline, sizeof(h.config.cmdline), "%d%s", ROUNDS, one_list ? " all" : "");
	if (jailed_spawn(&jail, &h) < 0 || harness_send_start(&h) < 0)
		die("worker: %s", h.error);
	time_rounds(h.serial_fd, h.stats, s, device);
	harness_done(&h);
}

static void run_qemu(struct series *s, bool memory_file, bool one_list)
{
	char kernel[4096], rounds[16], machine[] = "q35,memory-backend=ram", object[] = "-object";
	char backend[] = "memory-backend-memfd,id=ram,size=128M,share=on";
	char *argv[] = {(char[]){"qemu-system-x86_64"}, (char[]){"-accel"}, (char[]){"kvm"},
		(char[]){"-cpu"}, (char[]){"qemu64"}, (char[]){"-nodefaults"},
		(char[]){"-no-user-config"}, (char[]){"-display"}, (char[]){"none"}, (char[]){"-m"},
		(char[]){"128"}, (char[]){"-serial"}, (char[]){"stdio"}, (char[]){"-device"},
		(char[]){"virtio-balloon-pci,disable-legacy=on"}, (char[]){"-device"},
		(char[]){"isa-debug-exit,iobase=0x501,iosize=4"}, (char[]){"-kernel"}, kernel,
		(char[]){"-append"}, rounds, (char[]){"-M"}, (char[]){"q35"}, NULL, NULL, NULL};
	int pipe_fds[2];
	pid_t pid;

	(void)snprintf(kernel, sizeof(kernel), "%s", guest_path);
	(void)snprintf(rounds, sizeof(rounds), "%d%s", ROUNDS, one_list ? " all" : "");
	if (memory_file) {
		argv[22] = machine;
		argv[23] = object;
		argv[24] = backend;
	}
	if (pipe2(pipe_fds, O_CLOEXEC) < 0)
		die("pipe: %m");
	pid = fork();
	if (pid == 0) {
		int null = open("/dev/null", O_RDWR);

		(void)dup2(null, 0);
		(void)dup2(pipe_fds[1], 1);
		(void)dup2(null, 2);
		(void)execvp(argv[0], argv);
		_exit(127);
	}
	(void)close(pipe_fds[1]);
	time_rounds(pipe_fds[0], NULL, s, NULL);
	(void)close(pipe_fds[0]);
	(void)kill(pid, SIGKILL);
	(void)waitpid(pid, NULL, 0);
}

/* The kernel alone, 'step' bytes a call. */
static void run_kernel(struct series *s, bool memory_file, uint64_t step)
{
	int fd = memory_file ? memfd_create("bench", MFD_CLOEXEC) : -1;
	uint8_t *p;
	double begin;

	if (memory_file && ftruncate(fd, (off_t)BYTES) < 0)
		die("ftruncate: %m");
	p = mmap(NULL, BYTES, PROT_READ | PROT_WRITE,
		memory_file ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS, fd, 0);
	if (p == MAP_FAILED)
		die("mmap: %m");
	for (uint64_t i = 0; i < BYTES; i += 4096)
		p[i] = 1;
	begin = now_s();
	for (uint64_t i = 0; i < BYTES; i += step)
		if (madvise(p + i, step, memory_file ? MADV_REMOVE : MADV_DONTNEED) < 0)
			die("madvise: %m");
	add(s, now_s() - begin);
	(void)munmap(p, BYTES);
	if (fd >= 0)
		(void)close(fd);
}

static void row(const char *what, struct series *s, struct series *ours)
{
	double m = median(s), first = s->n ? s->v[0] : 0, last = s->n ? s->v[s->n - 1] : 0;

	printf("| %s | %.2f (%.2f-%.2f) | %.2f |\n", what, m, first, last,
		m > 0 ? median(ours) / m : 0);
}

int main(int argc, char **argv)
{
	static struct series ours[2], device[2], qemu[2], qemu_file[2];
	static struct series kernel_mib, kernel_all, kernel_anon;
	unsigned boots = argc > 3 ? (unsigned)atoi(argv[3]) : 5;
	char path[4096];

	if (argc < 3)
		die("usage: bench-balloon WORKER GUESTS [BOOTS]");
	(void)snprintf(path, sizeof(path), "%s/guest-balloon.elf", argv[2]);
	worker_path = argv[1];
	guest_path = path;
	(void)signal(SIGPIPE, SIG_IGN);
	if (jailed_init(&jail, worker_path, 0, MIB(RAM_MIB)) < 0)
		die("cannot plan the jail (run as root): %m");
	for (unsigned i = 0; i < boots; i++)
		for (unsigned one = 0; one < 2; one++) {
			run_ours(&ours[one], &device[one], one);
			run_qemu(&qemu[one], false, one);
			for (unsigned k = 0; k < ROUNDS; k++) {
				run_kernel(&kernel_mib, true, MIB(1));
				run_kernel(&kernel_all, true, BYTES);
				run_kernel(&kernel_anon, false, BYTES);
			}
			run_qemu(&qemu_file[one], true, one);
		}
	for (unsigned one = 0; one < 2; one++) {
		printf("| P21 balloon, 64 MiB of neighbours, %s | GiB/s, median (min-max) | vmmd's "
		       "ratio "
		       "to it |\n|---|---|---|\n",
			one ? "one list" : "lists of 256");
		row("vmmd", &ours[one], &ours[one]);
		row("vmmd, the device's part of the time", &device[one], &ours[one]);
		row("QEMU, its usual memory", &qemu[one], &ours[one]);
		row("QEMU, a shared memory file", &qemu_file[one], &ours[one]);
		row("kernel, memory file, 1 MiB a call", &kernel_mib, &ours[one]);
		row("kernel, memory file, one call", &kernel_all, &ours[one]);
		row("kernel, anonymous memory, one call", &kernel_anon, &ours[one]);
		printf("\n");
	}
	jailed_done(&jail);
	return 0;
}
