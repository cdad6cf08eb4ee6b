/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A fake worker's START of a vm, and what can go wrong then. fake=WORD in the command line:
 *
 *	fail-start cpu-lacks cpu-differs cpu-tsc	START fails, the last three for what the host's processors lack
 *	no-reply			START is not answered
 *	crash exit-quietly		the worker is gone
 *	garbage bad-type short fds	a packet that is none
 *	wrong-seq bad-text back-to-new	a packet that cannot be
 *	stop-reading flood		reads nothing any more; sends 20000 notices
 *	cpuid				tells what the processors are, twice and differently, or what the configuration says they
 *					were
 *	cpuid-many cpuid-short		tells of them what cannot be
 *	threads				has threads of its vCPUs and iothreads (fake-worker-vcpu.c)
 */
#include "tests/fakes/fake-worker.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vmm-core/base/fdio.h"

/* A Nehalem that also has x2apic, and lacks nothing but popcnt. */
static void tell_cpuid(struct fake *f, uint32_t tsc_khz)
{
	struct proto_cpuid cpuid = {.n = 4,
		.tsc_khz = tsc_khz,
		.leaves = {{0, 0, 0xb, 0x756e6547, 0x6c65746e, 0x49656e69},
			{1, 0, 0x000106a3, 0x10800, 0x80382201, 0x078bfbfd},
			{0xd, 1 | VM_CPUID_INDEXED, 0, 0, 0, 0},
			{0x80000001, 0, 0, 0, 1, 0x20100800}}};

	/* What it had before, it has again: the counter shows it. */
	if (f->config.n_cpuid) {
		cpuid.n = f->config.n_cpuid;
		memcpy(cpuid.leaves, f->config.cpuid, sizeof(cpuid.leaves));
		cpuid.tsc_khz = 1000000;
	}
	if (fake_told(f, "cpuid-many"))
		cpuid.n = VM_MAX_CPUID_LEAVES + 1;
	fake_send(f, PROTO_CPUID, 0, 0, &cpuid,
		sizeof(cpuid) - (fake_told(f, "cpuid-short") ? 1 : 0), NULL, 0);
}

static void misbehave(struct fake *f)
{
	struct proto_state bad = {.state = PROTO_VM_RUNNING};

	if (fake_told(f, "crash"))
		raise(SIGKILL);
	if (fake_told(f, "garbage"))
		(void)!write(f->control, "nonsense, and not even sixteen", 30);
	if (fake_told(f, "bad-type"))
		fake_send(f, 99, 0, 0, NULL, 0, NULL, 0);
	if (fake_told(f, "short"))
		fake_send(f, PROTO_STATE, 0, 0, "x", 1, NULL, 0);
	if (fake_told(f, "fds"))
		fake_send(f, PROTO_NOTICE, 0, 0, NULL, 0, &f->control, 1);
	if (fake_told(f, "wrong-seq"))
		fake_reply(f, 4711, 0, "");
	if (fake_told(f, "back-to-new"))
		fake_set_state(f, PROTO_VM_NEW, 0);
	if (fake_told(f, "bad-text")) {
		memset(bad.text, 'x', sizeof(bad.text));
		fake_send(f, PROTO_STATE, 0, 0, &bad, sizeof(bad), NULL, 0);
	}
	for (unsigned i = 0; fake_told(f, "flood") && i < 20000; i++)
		fake_notice(f, PROTO_NOTICE_GUEST_RESET);
	if (fake_told(f, "cpuid-many") || fake_told(f, "cpuid-short"))
		tell_cpuid(f, 0);
	if (fake_told(f, "exit-quietly"))
		exit(3);
	while (fake_told(f, "stop-reading"))
		pause();
}

static void take_stats(struct fake *f, int fd)
{
	void *p = mmap(NULL, sizeof(*f->stats), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (p == MAP_FAILED)
		return;
	f->stats = p;
	f->stats->magic = STATS_MAGIC;
	f->stats->version = STATS_VERSION;
	for (unsigned i = 0; i < f->config.vcpus; i++)
		stat_add(&f->stats->vcpus[i].exits, 1000000 * (i + 1));
	stat_add(&f->stats->disks[0].rd_reqs, 7);
	for (unsigned i = 0; i < VM_BOOT_X_MAX; i++)
		stat_add(&f->stats->boot_ns[i], fake_now_ns());
}

static int open_config(struct fake *f, const struct proto_start *s, const int *fds)
{
	for (unsigned i = 0; i < s->n_fds; i++)
		if (s->fds[i].kind == PROTO_FD_CONFIG)
			return memfd_read_sealed(fds[i], &f->config, sizeof(f->config));
	return -ENODATA;
}

static const struct {
	const char *word, *text;
} cpu_errors[] = {
	{"cpu-lacks",
		"cpu: the CPU is incompatible with host CPU: Host CPU does not provide "
		"required features: avx"},
	{"cpu-differs",
		"cpu: operation failed: guest CPU doesn't match specification: missing "
		"features: avx"},
	{"cpu-tsc", "cpu: Requested TSC frequency 1 Hz is outside tolerance range"},
};

void fake_start(struct fake *f, const struct fake_request *p)
{
	struct proto_start s;

	memcpy(&s, p->payload, sizeof(s));
	if (p->header.len != sizeof(s) || s.n_fds != p->n_fds || open_config(f, &s, p->fds) < 0) {
		fake_reply(f, p->header.seq, -EINVAL, "START: malformed");
		return;
	}
	for (unsigned i = 0; i < p->n_fds; i++)
		if (s.fds[i].kind == PROTO_FD_STATS)
			take_stats(f, p->fds[i]);
	f->flags = s.flags;
	f->nics = (UINT32_C(1) << f->config.n_nics) - 1;
	fake_have_vcpus(f, f->config.vcpus);
	for (unsigned i = 0; i < f->config.n_memories; i++)
		fake_have_memory(f, i, f->config.memories[i].requested_kib);
	for (size_t i = 0; i < ARRAY_SIZE(cpu_errors); i++)
		if (fake_told(f, cpu_errors[i].word)) {
			fake_reply(f, p->header.seq, -ENOTSUP, cpu_errors[i].text);
			exit(1);
		}
	if (fake_told(f, "fail-start")) {
		fake_reply(f, p->header.seq, -ENOMEM, "KVM_CREATE_VM: Cannot allocate memory");
		exit(1);
	}
	misbehave(f);
	if (fake_told(f, "threads"))
		fake_start_threads(f);
	f->state = s.flags & PROTO_START_PAUSED ? PROTO_VM_PAUSED : PROTO_VM_RUNNING;
	f->reason = s.flags & PROTO_START_PAUSED ? PROTO_REASON_USER : PROTO_REASON_NONE;
	for (uint32_t i = 0; i < 2 && fake_told(f, "cpuid"); i++)
		tell_cpuid(f, 2400000 + i);
	if (!fake_told(f, "no-reply"))
		fake_reply(f, p->header.seq, 0, "");
}
