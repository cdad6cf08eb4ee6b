/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The statistics page: shared memory that a worker writes and the daemon reads, so that a reading never waits
 * for a worker. Counters are single 64-bit words that only grow, written with relaxed stores by one thread
 * each and read with relaxed loads: a torn or stale set is possible, a torn counter is not. The daemon maps it
 * read-only and believes nothing of it beyond "a number to show".
 */
#pragma once

#include <assert.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "config/vm-config.h"

#define STATS_MAGIC   UINT32_C(0x74536d56)
#define STATS_VERSION 6

typedef _Atomic uint64_t stat_counter;

struct vm_stats_vcpu {
	stat_counter exits; /* CPU time is not here: the kernel counts it by thread */
	stat_counter pio_exits, mmio_exits, irq_window_exits, eoi_exits, signal_exits, other_exits;
	stat_counter halted; /* parked (not yet started, or stopped) */
	/* Time spent on exits, in the same order: from KVM_RUN's return until it may be called again. */
	stat_counter pio_ns, mmio_ns, irq_window_ns, eoi_ns, signal_ns, other_ns;
	stat_counter pad[2];
};

struct vm_stats_disk {
	stat_counter rd_reqs, rd_bytes, rd_ns;
	stat_counter wr_reqs, wr_bytes, wr_ns;
	stat_counter fl_reqs, fl_ns;
	stat_counter errors;
	stat_counter capacity; /* bytes */
	stat_counter pad[6];
};

/* Bits of 'known', and places in values[]: the specification's tags (virtio 5.5.6.4). */
#define VM_BALLOON_TAGS 16

/* Pages are of 4 KiB. */
struct vm_stats_balloon {
	stat_counter target,
		actual; /* pages that the guest is to do without, and that it does without */
	stat_counter given_back; /* bytes that went to the host when it gave up pages, */
	stat_counter reported;   /* and because it reported them to be free */
	stat_counter updates;    /* statistics that came */
	stat_counter updated_ns; /* when the last did, CLOCK_MONOTONIC */
	stat_counter known;      /* which of the values it had */
	stat_counter calls;      /* of the kernel, for given_back and reported */
	stat_counter values[VM_BALLOON_TAGS]; /* as the guest says: sizes are bytes */
};

/* A memory device, in bytes. */
struct vm_stats_memory {
	stat_counter requested, plugged; /* that the guest is to have of it, and that it has */
	stat_counter usable;             /* that it can reach */
	stat_counter plugs, unplugs;     /* plugged so far, and unplugged */
	stat_counter calls;              /* of the kernel, for the latter */
	stat_counter pad[2];
};

/* What KVM's MMU did for the machine, by KVM's names: of the vm, and sums over its vCPUs. */
enum vm_mmu_stat {
	VM_MMU_PAGES_4K, /* mapped now, in pages of that size */
	VM_MMU_PAGES_2M,
	VM_MMU_PAGES_1G,
	VM_MMU_NX_SPLITS, /* huge pages that are mapped as small ones (iTLB multihit) now */
	VM_MMU_SHADOW_ZAPPED,
	VM_MMU_PTE_WRITES,
	VM_MMU_RECYCLED,
	VM_MMU_REMOTE_FLUSHES,
	VM_MMU_OF_VCPUS,
	VM_MMU_FAULTS = VM_MMU_OF_VCPUS,
	VM_MMU_FAULTS_FIXED,
	VM_MMU_FAULTS_EMULATED,
	VM_MMU_FAULTS_SPURIOUS,
	VM_MMU_FAULTS_FAST,
	VM_MMU_FAULTS_MMIO,
	VM_MMU_FAULTS_GUEST,
	VM_MMU_FLUSHES,
	VM_MMU_X_MAX
};
#define VM_MMU_NAMES                                                                               \
	{                                                                                          \
		[VM_MMU_PAGES_4K] = "pages_4k", [VM_MMU_PAGES_2M] = "pages_2m",                    \
		[VM_MMU_PAGES_1G] = "pages_1g", [VM_MMU_NX_SPLITS] = "nx_lpage_splits",            \
		[VM_MMU_SHADOW_ZAPPED] = "mmu_shadow_zapped",                                      \
		[VM_MMU_PTE_WRITES] = "mmu_pte_write", [VM_MMU_RECYCLED] = "mmu_recycled",         \
		[VM_MMU_REMOTE_FLUSHES] = "remote_tlb_flush", [VM_MMU_FAULTS] = "pf_taken",        \
		[VM_MMU_FAULTS_FIXED] = "pf_fixed", [VM_MMU_FAULTS_EMULATED] = "pf_emulate",       \
		[VM_MMU_FAULTS_SPURIOUS] = "pf_spurious", [VM_MMU_FAULTS_FAST] = "pf_fast",        \
		[VM_MMU_FAULTS_MMIO] = "pf_mmio_spte_created", [VM_MMU_FAULTS_GUEST] = "pf_guest", \
		[VM_MMU_FLUSHES] = "tlb_flush",                                                    \
	}

/* As of the last time that the daemon asked (PROTO_MMU_STATS). */
struct vm_stats_mmu {
	stat_counter known; /* bits of enum vm_mmu_stat: this host's KVM counts it */
	stat_counter values[VM_MMU_X_MAX];
};

/* A network's, by port number: 0 is the host's port, 1 … NET_MAX_PORTS - 1 the others, as the daemon numbers them. */
struct net_stats_page {
	uint32_t magic, version;
	stat_counter heartbeat;
	stat_counter pad[14];
	struct net_port_counters ports[NET_MAX_PORTS];
	struct net_port_counters uplinks[NET_MAX_UPLINKS];
};

/* Moments of a start: ends of its stages, CLOCK_MONOTONIC in nanoseconds; 0: not reached. */
enum vm_boot_moment {
	VM_BOOT_RECEIVED, /* START, and the configuration has been checked */
	VM_BOOT_KVM,
	VM_BOOT_MEMORY,
	VM_BOOT_VCPUS,
	VM_BOOT_DEVICES,
	VM_BOOT_LOADED,
	VM_BOOT_CLOSED,  /* threads run, in their sandboxes the loop's thread too */
	VM_BOOT_ENTERED, /* vCPU 0 goes into the guest for the first time */
	VM_BOOT_X_MAX
};

/* Accounts of the loop's thread (loop.h, loop_set_ledger()). */
enum vm_ledger {
	VM_LEDGER_OTHER,    /* requests of the daemon's, vCPUs that stop */
	VM_LEDGER_MACHINE,  /* timers and chips of the board */
	VM_LEDGER_CONSOLES, /* serial ports, consoles, channels */
	VM_LEDGER_RNG,
	VM_LEDGER_SWITCH, /* frames that come by links */
	VM_LEDGER_DISKS,  /* one each */
	VM_LEDGER_NICS =
		VM_LEDGER_DISKS + VM_MAX_DISKS, /* likewise: what its queues and its tap ask for */
	VM_LEDGER_X_MAX = VM_LEDGER_NICS + VM_MAX_NICS,
};

struct vm_stats_page {
	uint32_t magic, version;
	stat_counter heartbeat;   /* goes up once a turn of the loop; not a timer of its own */
	stat_counter needs_reset; /* devices failed by their driver */
	stat_counter boot_ns[VM_BOOT_X_MAX];
	stat_counter pad[13 - VM_BOOT_X_MAX];
	struct vm_stats_vcpu vcpus[VM_MAX_VCPUS];
	struct vm_stats_disk disks[VM_MAX_DISKS];
	struct net_port_counters nics[VM_MAX_NICS];
	stat_counter loop_ns[VM_LEDGER_X_MAX];
	struct vm_stats_balloon balloon;
	struct vm_stats_mmu mmu;
	struct vm_stats_memory memories[VM_MAX_MEMORIES];
};
static_assert(sizeof(struct vm_stats_memory) == 64, "shared layout");
static_assert(sizeof(struct vm_stats_balloon) == 192, "shared layout");
static_assert(sizeof(struct vm_stats_vcpu) == 128, "shared layout");
static_assert(sizeof(struct vm_stats_disk) == 128, "shared layout");
/* From an exit's counter to its time. */
#define STATS_EXIT_NS                                                                              \
	(offsetof(struct vm_stats_vcpu, pio_ns) - offsetof(struct vm_stats_vcpu, pio_exits))
static_assert(offsetof(struct vm_stats_vcpu, other_exits) + STATS_EXIT_NS ==
		offsetof(struct vm_stats_vcpu, other_ns),
	"in the same order");
static_assert(offsetof(struct vm_stats_page, vcpus) == 128, "shared layout");

static inline void stat_set(stat_counter *c, uint64_t value)
{
	atomic_store_explicit(c, value, memory_order_relaxed);
}

static inline void stat_add(stat_counter *c, uint64_t n)
{
	/* One writer: a load and a store, no locked instruction. */
	atomic_store_explicit(
		c, atomic_load_explicit(c, memory_order_relaxed) + n, memory_order_relaxed);
}
