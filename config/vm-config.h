/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * struct vm_config: all that a worker must know to build one virtual machine. Plain old data: bounded
 * arrays, no pointers, no paths, fixed widths, so that it can be sent as bytes and checked as a whole.
 * It is made by the daemon (config/domain-xml.c fills the struct domain_config around it), sent to the
 * worker in a sealed memory file, and checked on both sides by the one vm_config_validate().
 *
 * Everything the host side needs and the guest cannot see (paths, restart policy, titles) lives in
 * struct domain_config (config/domain-config.h) instead. Index i of an array here and index i of its
 * sibling there describe the same device.
 *
 * Enumerations are stored as uint8_t. Each has a name table with libvirt's words (config/names.c); value
 * 0 is always "default", which the validator or the builder replaces where a default is needed.
 *
 * A struct of all zeroes with magic, version (vm_config_init() sets both), memory_kib, vcpus and vcpus_max
 * set is a valid machine without devices. Flags are 0 or 1, strings end in NUL inside their array.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/net-config.h"
#include "vmm-core/base/cpuset.h"

#define VM_CONFIG_MAGIC   UINT32_C(0x43644d56)
#define VM_CONFIG_VERSION 7

#define VM_NAME_MAX           128 /* with the NUL, as all of these */
#define VM_CMDLINE_MAX        4096
#define VM_MAX_VCPUS          255
#define VM_MAX_DISKS          32
#define VM_MAX_SERIALS        4
#define VM_MAX_CONSOLES       4
#define VM_MAX_CHANNELS       8
#define VM_MAX_NICS           16
#define VM_MAX_NIC_QUEUES     8 /* pairs */
#define VM_MAX_NIC_QUEUE_SIZE 256
#define VM_MAX_CPU_FEATURES   256
#define VM_MAX_CPUID_LEAVES   160
#define VM_MIN_TSC_HZ         UINT64_C(1000000)
#define VM_MAX_TSC_HZ         UINT64_C(100000000000)
#define VM_MAX_CELLS          16 /* nodes of a guest's memory */
#define VM_CPU_NAME_MAX       32
#define VM_DISK_TARGET_MAX    16
#define VM_DISK_SERIAL_MAX    21 /* VIRTIO_BLK_ID_BYTES + NUL */
#define VM_PORT_NAME_MAX      64
#define VM_SMBIOS_VALUE_MAX   128
#define VM_MAX_OEM_STRINGS    16
#define VM_MIN_MEMORY_KIB     1024
#define VM_MAX_MEMORY_KIB     (UINT64_C(16) << 30) /* 16 TiB */
#define VM_MAX_DISK_QUEUES    16
#define VM_MAX_IOTHREADS      32
#define VM_MAX_IOTHREAD_ID    9999 /* what fits a thread's name */
#define VM_IOTUNE_GROUP_MAX   64
#define VM_IOTUNE_MAX         UINT64_C(1000000000000000) /* of any of its numbers; libvirt's as well */
#define VM_PCI_FIRST_SLOT     1
#define VM_PCI_LAST_SLOT      30
#define VM_MAX_PCI_DEVICES    (VM_PCI_LAST_SLOT - VM_PCI_FIRST_SLOT + 1)
#define VM_MAX_ALLOCATORS     256
#define VM_MAX_HALT_POLL_US   10000
#define VM_NO_HALT_POLL       UINT32_MAX
#define VM_MAX_BALLOON_PERIOD 86400 /* seconds */
#define VM_MAX_MEMORIES       8
#define VM_MAX_MEMORY_SLOTS   256
#define VM_MIN_MEMORY_BLOCK   2048 /* KiB */
#define VM_MAX_MEMORY_BLOCK   1048576
#define VM_MAX_MEMORY_BLOCKS  524288 /* of one device */
/* Each memory device begins at a multiple of it: a whole number of a Linux guest's memory blocks, however large those are. */
#define VM_MEMORY_ALIGN_KIB UINT64_C(2097152)
#define VM_MAX_CLOCK_S      (INT64_C(1) << 40) /* of clock adjustments and absolute starts */

enum vm_cpu_mode {
	VM_CPU_MODE_DEFAULT, /* no <cpu>: host-model */
	VM_CPU_MODE_HOST_PASSTHROUGH,
	VM_CPU_MODE_HOST_MODEL,
	VM_CPU_MODE_MAXIMUM,
	VM_CPU_MODE_CUSTOM,
	VM_CPU_MODE_X_MAX
};

enum vm_cpu_policy {
	VM_CPU_POLICY_DEFAULT, /* require */
	VM_CPU_POLICY_FORCE,
	VM_CPU_POLICY_REQUIRE,
	VM_CPU_POLICY_OPTIONAL,
	VM_CPU_POLICY_DISABLE,
	VM_CPU_POLICY_FORBID,
	VM_CPU_POLICY_X_MAX
};

enum vm_clock_offset {
	VM_CLOCK_DEFAULT, /* utc */
	VM_CLOCK_UTC,
	VM_CLOCK_LOCALTIME,
	VM_CLOCK_VARIABLE, /* utc or local time plus clock_adjustment_s */
	VM_CLOCK_ABSOLUTE, /* starts at clock_start_s, seconds since 1970 UTC */
	VM_CLOCK_X_MAX
};

enum vm_disk_device {
	VM_DISK_DEVICE_DEFAULT,
	VM_DISK_DEVICE_DISK,
	VM_DISK_DEVICE_CDROM,
	VM_DISK_DEVICE_X_MAX
};
enum vm_disk_bus { VM_DISK_BUS_DEFAULT, VM_DISK_BUS_VIRTIO, VM_DISK_BUS_SATA, VM_DISK_BUS_X_MAX };
/* writethrough: each write is followed by a flush before it is answered; none: O_DIRECT; directsync: both;
 * unsafe: flushes are answered and not done. default = writeback. */
enum vm_disk_cache {
	VM_DISK_CACHE_DEFAULT,
	VM_DISK_CACHE_NONE,
	VM_DISK_CACHE_WRITETHROUGH,
	VM_DISK_CACHE_WRITEBACK,
	VM_DISK_CACHE_DIRECTSYNC,
	VM_DISK_CACHE_UNSAFE,
	VM_DISK_CACHE_X_MAX
};
enum vm_disk_io {
	VM_DISK_IO_DEFAULT,
	VM_DISK_IO_THREADS,
	VM_DISK_IO_NATIVE,
	VM_DISK_IO_IO_URING,
	VM_DISK_IO_X_MAX
};
enum vm_disk_discard {
	VM_DISK_DISCARD_DEFAULT,
	VM_DISK_DISCARD_IGNORE,
	VM_DISK_DISCARD_UNMAP,
	VM_DISK_DISCARD_X_MAX
};
enum vm_disk_detect_zeroes {
	VM_DISK_DETECT_ZEROES_DEFAULT,
	VM_DISK_DETECT_ZEROES_OFF,
	VM_DISK_DETECT_ZEROES_ON,
	VM_DISK_DETECT_ZEROES_UNMAP,
	VM_DISK_DETECT_ZEROES_X_MAX
};
/* What happens after an I/O error of the host: report it to the guest (default), stop the vm so that the
 * host can be mended and the request repeated, ignore it, or stop on ENOSPC and report the rest. */
enum vm_disk_error_policy {
	VM_DISK_ERROR_DEFAULT,
	VM_DISK_ERROR_STOP,
	VM_DISK_ERROR_REPORT,
	VM_DISK_ERROR_IGNORE,
	VM_DISK_ERROR_ENOSPACE,
	VM_DISK_ERROR_X_MAX
};

/* Where a character device's bytes go. The worker only sees an fd, or none for null. */
enum vm_chardev {
	VM_CHARDEV_DEFAULT, /* pty */
	VM_CHARDEV_PTY,
	VM_CHARDEV_FILE,
	VM_CHARDEV_UNIX,
	VM_CHARDEV_NULL,
	VM_CHARDEV_X_MAX
};

enum vm_console_target {
	VM_CONSOLE_TARGET_DEFAULT,
	VM_CONSOLE_TARGET_SERIAL,
	VM_CONSOLE_TARGET_VIRTIO,
	VM_CONSOLE_TARGET_X_MAX
};
enum vm_rng_source { VM_RNG_NONE, VM_RNG_RANDOM, VM_RNG_BUILTIN, VM_RNG_X_MAX };
enum vm_timer {
	VM_TIMER_RTC,
	VM_TIMER_PIT,
	VM_TIMER_HPET,
	VM_TIMER_KVMCLOCK,
	VM_TIMER_TSC,
	VM_TIMER_X_MAX
};
enum vm_balloon_model { VM_BALLOON_NONE, VM_BALLOON_VIRTIO, VM_BALLOON_X_MAX };
enum vm_allocation {
	VM_ALLOCATION_DEFAULT, /* on demand */
	VM_ALLOCATION_IMMEDIATE,
	VM_ALLOCATION_ON_DEMAND,
	VM_ALLOCATION_X_MAX
};
enum vm_tristate { VM_TRISTATE_DEFAULT, VM_TRISTATE_YES, VM_TRISTATE_NO, VM_TRISTATE_X_MAX };

/* A place on PCI bus 0. 'set' 0: the builder picks a free slot. Slots VM_PCI_FIRST_SLOT … VM_PCI_LAST_SLOT
 * may be taken (0 is the host bridge, 31 the ISA bridge); function and pad are 0. */
struct vm_pci_addr {
	uint8_t set, slot, function, pad;
};

struct vm_cpu_feature {
	char name[VM_CPU_NAME_MAX]; /* libvirt's name, for example "sse4.1" */
	uint8_t policy;             /* enum vm_cpu_policy */
};

/* struct vm_cpu, check and match; 0: nothing is said */
#define VM_CPU_CHECK_NONE    1
#define VM_CPU_CHECK_PARTIAL 2
#define VM_CPU_CHECK_FULL    3
#define VM_CPU_MATCH_MINIMUM 1
#define VM_CPU_MATCH_EXACT   2
#define VM_CPU_MATCH_STRICT  3

struct vm_cpu {
	uint8_t mode; /* enum vm_cpu_mode */
	uint8_t fallback_forbid;
	uint8_t check;      /* VM_CPU_CHECK_*; 0: default */
	uint8_t match;      /* VM_CPU_MATCH_*; 0: default (exact) */
	uint8_t migratable; /* enum vm_tristate; of host-passthrough and maximum: no: invtsc, too */
	uint8_t pad[3];
	char model
		[VM_CPU_NAME_MAX]; /* custom only: a name of cpu-models.c, or libvirt's version of one */
	char vendor[16];
	/* All zero: one socket per vCPU. Otherwise the product is vcpus_max. */
	uint16_t sockets, dies, cores, threads;
	uint32_t n_features;
	struct vm_cpu_feature features[VM_MAX_CPU_FEATURES];
};

/* A leaf of CPUID as a guest reads it; MSR 0x10a as if it were one (vmm-core/cpu-model.h). */
#define VM_CPUID_INDEXED (UINT32_C(1) << 31) /* in 'subleaf': the subleaf matters */
struct vm_cpuid_leaf {
	uint32_t leaf, subleaf, eax, ebx, ecx, edx;
};

/* Between cells, as firmware tells it (ACPI's SLIT): 10 is a cell's to itself. */
#define VM_CELL_LOCAL    10
#define VM_CELL_REMOTE   20 /* where nothing is said */
#define VM_CELL_FARTHEST 255

/* <cpu><numa><cell>: vCPUs and memory that are near to each other. The cells' memory lies one behind the other, in their order. */
struct vm_cell {
	uint64_t memory_kib; /* at least VM_MIN_MEMORY_KIB; whole pages, and begins at one */
	uint64_t cpus[CPUSET_WORDS];     /* vCPUs; each of vcpus_max is in one cell */
	uint32_t hugepage_kib;           /* as vm_config's */
	uint8_t distances[VM_MAX_CELLS]; /* to each cell: VM_CELL_LOCAL to itself, more to others */
};

enum vm_iotune_limit {
	VM_IOTUNE_TOTAL_BYTES,
	VM_IOTUNE_READ_BYTES,
	VM_IOTUNE_WRITE_BYTES,
	VM_IOTUNE_TOTAL_IOPS,
	VM_IOTUNE_READ_IOPS,
	VM_IOTUNE_WRITE_IOPS,
	VM_IOTUNE_X_MAX
};

/* <iotune>: how fast a disk may be. 0: no limit. A total excludes read and write of its kind; a max needs its rate and
 * is not below it; a length needs its max. Disks of one group share what their (equal) numbers say. No padding: compared
 * as bytes. */
struct vm_iotune {
	uint64_t rate[VM_IOTUNE_X_MAX];         /* a second */
	uint64_t max[VM_IOTUNE_X_MAX];          /* a second, within a burst */
	uint64_t max_length_s[VM_IOTUNE_X_MAX]; /* of that burst; 0: 1 */
	uint64_t size_iops;                     /* bytes of one operation; 0: any is one */
	char group[VM_IOTUNE_GROUP_MAX];
};

struct vm_disk {
	char target[VM_DISK_TARGET_MAX]; /* "vda" */
	char serial[VM_DISK_SERIAL_MAX];
	char wwn[17];
	uint8_t device, bus, cache, io, discard, detect_zeroes, error_policy, rerror_policy;
	uint8_t readonly, shareable;
	uint16_t queues;                        /* 0: one per vCPU, at most VM_MAX_DISK_QUEUES */
	uint16_t boot_order;                    /* 0: none */
	uint32_t logical_block, physical_block; /* bytes; 0: 512 */
	uint32_t iothread; /* the id of one of vm_config.iothreads; 0: the worker's own loop */
	struct vm_iotune iotune;
	struct vm_pci_addr pci;
};

struct vm_serial {
	uint8_t type; /* enum vm_chardev */
	uint8_t port; /* 0 = COM1 … 3 = COM4 */
};

struct vm_console {
	uint8_t type; /* enum vm_chardev */
	uint8_t target; /* enum vm_console_target; serial: an alias of serial 0, no device of its own */
	uint8_t port;
};

/* A virtio-serial port, for example the guest agent's. */
struct vm_channel {
	uint8_t type; /* enum vm_chardev */
	char name[VM_PORT_NAME_MAX];
};

struct vm_rng {
	uint8_t source;                      /* enum vm_rng_source; VM_RNG_NONE: no device */
	uint32_t rate_bytes, rate_period_ms; /* 0: unlimited */
	struct vm_pci_addr pci;
};

struct vm_balloon {
	uint8_t model; /* enum vm_balloon_model; VM_BALLOON_NONE: no device */
	uint8_t autodeflate; /* enum vm_tristate; default: no: a guest short of memory may take pages back by itself */
	uint8_t reporting; /* enum vm_tristate; default: yes, where memory can be given back: free pages go to the host */
	uint8_t pad;
	uint32_t
		stats_period_s; /* 0: the guest is asked for statistics only when somebody wants them */
	struct vm_pci_addr pci;
};

/* Memory that comes and goes: virtio-mem. */
struct vm_memory {
	uint64_t size_kib;      /* that there is room for: a multiple of the block */
	uint64_t requested_kib; /* that the guest is to have of it: likewise, at most size_kib */
	uint32_t block_kib;     /* a power of two, no smaller than a page of the machine's */
	uint32_t node;          /* the cell that it belongs to; 0 without cells */
	struct vm_pci_addr pci;
	uint32_t pad;
};

/* Offloads that <driver><host/> and <driver><guest/> switch off. */
#define VM_NIC_NO_HOST_CSUM  (1U << 0)
#define VM_NIC_NO_HOST_TSO4  (1U << 1)
#define VM_NIC_NO_HOST_TSO6  (1U << 2)
#define VM_NIC_NO_HOST_ECN   (1U << 3)
#define VM_NIC_NO_HOST_UFO   (1U << 4) /* and USO */
#define VM_NIC_NO_MRG_RXBUF  (1U << 5)
#define VM_NIC_NO_GUEST_CSUM (1U << 6)
#define VM_NIC_NO_GUEST_TSO4 (1U << 7)
#define VM_NIC_NO_GUEST_TSO6 (1U << 8)
#define VM_NIC_NO_GUEST_ECN  (1U << 9)
#define VM_NIC_NO_GUEST_UFO  (1U << 10)
#define VM_NIC_OFFLOADS      ((1U << 11) - 1)

/* A virtual network interface: virtio-net. 'port' is its place in the network (config/net-config.h); its mac is never zero
 * and never a group's. */
struct vm_nic {
	struct net_port_config port;
	uint32_t offloads_off;                 /* VM_NIC_NO_* */
	uint16_t queues;                       /* pairs; 0: 1 */
	uint16_t rx_queue_size, tx_queue_size; /* 0: 256 */
	uint16_t poll_us;    /* the longest look for frames before a sleep; 0: none */
	uint16_t boot_order; /* 0: none */
	struct vm_pci_addr pci;
};

enum vm_smbios_field {
	VM_SMBIOS_BIOS_VENDOR,
	VM_SMBIOS_BIOS_VERSION,
	VM_SMBIOS_BIOS_DATE,
	VM_SMBIOS_BIOS_RELEASE,
	VM_SMBIOS_SYSTEM_MANUFACTURER,
	VM_SMBIOS_SYSTEM_PRODUCT,
	VM_SMBIOS_SYSTEM_VERSION,
	VM_SMBIOS_SYSTEM_SERIAL,
	VM_SMBIOS_SYSTEM_UUID,
	VM_SMBIOS_SYSTEM_SKU,
	VM_SMBIOS_SYSTEM_FAMILY,
	VM_SMBIOS_BOARD_MANUFACTURER,
	VM_SMBIOS_BOARD_PRODUCT,
	VM_SMBIOS_BOARD_VERSION,
	VM_SMBIOS_BOARD_SERIAL,
	VM_SMBIOS_BOARD_ASSET,
	VM_SMBIOS_BOARD_LOCATION,
	VM_SMBIOS_CHASSIS_MANUFACTURER,
	VM_SMBIOS_CHASSIS_VERSION,
	VM_SMBIOS_CHASSIS_SERIAL,
	VM_SMBIOS_CHASSIS_ASSET,
	VM_SMBIOS_CHASSIS_SKU,
	VM_SMBIOS_FIELD_X_MAX
};

struct vm_smbios {
	uint8_t enabled; /* <smbios mode='sysinfo'/>: the strings below are used; else vmmd's own */
	char values[VM_SMBIOS_FIELD_X_MAX][VM_SMBIOS_VALUE_MAX];
	uint32_t n_oem_strings;
	char oem_strings[VM_MAX_OEM_STRINGS][VM_SMBIOS_VALUE_MAX];
};

struct vm_config {
	uint32_t magic, version; /* VM_CONFIG_MAGIC, VM_CONFIG_VERSION */
	char name[VM_NAME_MAX];
	uint8_t uuid[16];

	uint64_t
		memory_kib; /* at boot; a multiple of 4 (KiB), of the hugepage size if one is set */
	uint64_t current_memory_kib; /* <= memory_kib */
	uint64_t max_memory_kib;     /* with all that can be plugged in; 0: nothing can */
	uint32_t memory_slots; /* memory devices that there may be; not 0 with max_memory_kib */
	uint32_t
		hugepage_kib; /* 0: ordinary pages; else 2048 or 1048576; with cells the greatest of theirs */
	uint8_t memory_locked, memory_nosharepages;
	uint8_t memory_bound;      /* to nodes of the host: its huge pages are taken at the start */
	uint8_t memory_allocation; /* enum vm_allocation */
	uint16_t memory_allocators; /* threads of an immediate one; 0: 1 */

	uint32_t vcpus_max, vcpus;     /* 1 <= vcpus <= vcpus_max <= VM_MAX_VCPUS */
	uint64_t cpuset[CPUSET_WORDS]; /* host CPUs that the worker runs on; empty: all */
	/* Threads that disks may have for a home: ids, each once, 1 … VM_MAX_IOTHREAD_ID. */
	uint32_t n_iothreads, iothreads[VM_MAX_IOTHREADS];
	struct vm_cpu cpu;
	/* What a vm of this configuration was given before, and is given again or does not start (vmm-core/cpuid.h); 0: nothing. */
	uint32_t n_cpuid;
	struct vm_cpuid_leaf cpuid[VM_MAX_CPUID_LEAVES];
	uint32_t n_cells; /* 0: the guest is told of no nodes */
	struct vm_cell cells[VM_MAX_CELLS];
	uint32_t
		halt_poll_us; /* that KVM looks for work at most when a vCPU halts; 0: as the host says;
				* VM_NO_HALT_POLL: not at all */
	uint8_t acpi, apic,
		pae; /* features present in the XML; acpi off: no tables, no power button */

	uint8_t clock_offset; /* enum vm_clock_offset */
	uint8_t clock_basis_localtime;
	int64_t clock_adjustment_s;
	int64_t clock_start_s;
	uint8_t timers[VM_TIMER_X_MAX]; /* enum vm_tristate: present */
	uint8_t tsc_mode; /* 0 not said, 1 auto, 2 native: the processor's counter in any case */
	uint64_t
		tsc_hz; /* of the guest's counter; 0: the host's. Else VM_MIN_TSC_HZ ... VM_MAX_TSC_HZ */

	char cmdline[VM_CMDLINE_MAX];
	uint8_t has_kernel, has_initrd;

	uint32_t n_disks, n_serials, n_consoles, n_channels;
	struct vm_disk disks[VM_MAX_DISKS];
	struct vm_serial serials[VM_MAX_SERIALS];
	struct vm_console consoles[VM_MAX_CONSOLES];
	struct vm_channel channels[VM_MAX_CHANNELS];
	struct vm_pci_addr serial_controller_pci;
	struct vm_rng rng;
	struct vm_balloon balloon;
	uint32_t n_memories;
	struct vm_memory memories[VM_MAX_MEMORIES];
	uint32_t n_nics;
	struct vm_nic nics[VM_MAX_NICS];
	uint8_t panic_isa; /* pvpanic */
	uint8_t genid;     /* vmgenid present */
	uint8_t debug_exit; /* <vmmd:debug-exit/>: port 0x501 ends the vm with a code (test guests) */
	uint8_t genid_uuid[16];
	struct vm_smbios smbios;
};

/* All zeroes, but for magic and version. */
void vm_config_init(struct vm_config *config);

/* The place of 'id' in iothreads[]; -ENOENT: it is not there. */
int vm_config_find_iothread(const struct vm_config *config, uint32_t id);

/* The machine has a virtio-serial controller: it has channels or virtio consoles. */
bool vm_config_has_serial_controller(const struct vm_config *config);

/* Of its memory, what lies in ordinary pages. */
uint64_t vm_config_ordinary_kib(const struct vm_config *config);
/* What the guest has when all of its memory devices are full, and what it is to have. */
uint64_t vm_config_total_kib(const struct vm_config *config);
uint64_t vm_config_requested_kib(const struct vm_config *config);
/* Room for memory devices, behind the machine's memory, in its addresses and in its memory file: none of it is there before it is
 * plugged in. Of a valid configuration. */
uint64_t vm_config_plug_room_kib(const struct vm_config *config);

/* 'name' may name a domain: not empty, UTF-8, no '/', no control characters, no '.' in front, shorter than
 * VM_NAME_MAX. Returns NULL, or what is wrong with it. */
const char *vm_name_check(const char *name);

/* Check the whole of 'config' (never trusts a byte of it: NUL-termination, ranges, enums, cross-checks such
 * as topology = vcpus_max, unique targets, unique PCI places). Returns 0, or -EINVAL with one line in
 * ret_reason[reason_size] that names the element as the XML does and says what to write instead. */
int vm_config_validate(const struct vm_config *config, char *ret_reason, size_t reason_size);

/* Name tables: the libvirt word of a value, NULL for "default"; and back, -EINVAL if unknown. 'kind' is the
 * enum. */
enum vm_enum {
	VM_ENUM_CPU_MODE,
	VM_ENUM_CPU_POLICY,
	VM_ENUM_CLOCK_OFFSET,
	VM_ENUM_DISK_DEVICE,
	VM_ENUM_DISK_BUS,
	VM_ENUM_DISK_CACHE,
	VM_ENUM_DISK_IO,
	VM_ENUM_DISK_DISCARD,
	VM_ENUM_DISK_DETECT_ZEROES,
	VM_ENUM_DISK_ERROR,
	VM_ENUM_CHARDEV,
	VM_ENUM_CONSOLE_TARGET,
	VM_ENUM_RNG_SOURCE,
	VM_ENUM_TIMER,
	VM_ENUM_TRISTATE,
	VM_ENUM_X_MAX
};
const char *vm_enum_to_string(enum vm_enum kind, unsigned value);
int vm_enum_from_string(enum vm_enum kind, const char *s);
/* The number of values of the enum, for loops over its words. */
unsigned vm_enum_count(enum vm_enum kind);
