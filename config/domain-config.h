/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * struct domain_config: a domain as its XML describes it: the machine (struct vm_config, all the worker
 * sees) and the host's side of it (paths, restart policy, titles), for the daemon only. Plain old data
 * but for 'extra' (what round-trips without being understood). Arrays are siblings of vm_config's: index i
 * here belongs to index i there.
 *
 * Tested by tests/unit/test-domain-xml.c.
 */
#pragma once

#include "config/vm-config.h"

#define DOMAIN_PATH_MAX        4096
#define DOMAIN_TITLE_MAX       256
#define DOMAIN_DESCRIPTION_MAX 8192
#define DOMAIN_OWNER_MAX       64

enum domain_action { /* on_poweroff, on_reboot, on_crash */
	DOMAIN_ACTION_DEFAULT,
	DOMAIN_ACTION_DESTROY,
	DOMAIN_ACTION_RESTART,
	DOMAIN_ACTION_PRESERVE,
	DOMAIN_ACTION_RENAME_RESTART,
	DOMAIN_ACTION_COREDUMP_DESTROY,
	DOMAIN_ACTION_COREDUMP_RESTART,
	DOMAIN_ACTION_X_MAX
};

enum domain_disk_type { DOMAIN_DISK_FILE, DOMAIN_DISK_BLOCK, DOMAIN_DISK_TYPE_X_MAX };
enum domain_disk_format {
	DOMAIN_FORMAT_DEFAULT /* raw */,
	DOMAIN_FORMAT_RAW,
	DOMAIN_FORMAT_QCOW2,
	DOMAIN_FORMAT_X_MAX
};

struct domain_disk {
	uint8_t type;               /* enum domain_disk_type */
	uint8_t format;             /* enum domain_disk_format */
	char path[DOMAIN_PATH_MAX]; /* absolute, never empty: a drive without a medium is no disk */
};

struct domain_chardev {
	char path
		[DOMAIN_PATH_MAX]; /* file, unix (listened on by the daemon); a live pty's name once it runs */
	uint8_t append;            /* file: keep what is there */
};

enum domain_nic_type {
	DOMAIN_NIC_NETWORK,
	DOMAIN_NIC_BRIDGE,   /* a bridge of the host's */
	DOMAIN_NIC_ETHERNET, /* a tap that is nobody's port */
	DOMAIN_NIC_DIRECT,   /* a macvtap on a NIC of the host's */
	DOMAIN_NIC_TYPE_X_MAX
};
/* Of type direct: <source mode=…/>. */
enum domain_nic_mode {
	DOMAIN_NIC_VEPA,
	DOMAIN_NIC_PRIVATE,
	DOMAIN_NIC_MACVLAN_BRIDGE,
	DOMAIN_NIC_PASSTHROUGH,
	DOMAIN_NIC_MODE_X_MAX
};
/* <filterref>: what each one checks is in vm_nic.port.flags. */
enum domain_nic_filter {
	DOMAIN_FILTER_NONE,
	DOMAIN_FILTER_CLEAN,
	DOMAIN_FILTER_CLEAN_GATEWAY,
	DOMAIN_FILTER_MAC,
	DOMAIN_FILTER_IP,
	DOMAIN_FILTER_IPV6,
	DOMAIN_FILTER_ARP,
	DOMAIN_FILTER_ARP_IP,
	DOMAIN_FILTER_ARP_MAC,
	DOMAIN_FILTER_DHCP,   /* answers no DHCP */
	DOMAIN_FILTER_ROUTER, /* sends no router advertisements */
	DOMAIN_FILTER_STRICT, /* all of the above */
	DOMAIN_FILTER_ALLOW_ARP,
	DOMAIN_FILTER_ALLOW_DHCP,
	DOMAIN_FILTER_ALLOW_DHCP_SERVER,
	DOMAIN_FILTER_ALLOW_DHCPV6,
	DOMAIN_FILTER_ALLOW_DHCPV6_SERVER,
	DOMAIN_FILTER_ALLOW_IN_IPV4,
	DOMAIN_FILTER_ALLOW_IN_IPV6,
	DOMAIN_FILTER_ALLOW_IPV4,
	DOMAIN_FILTER_ALLOW_IPV6,
	DOMAIN_FILTER_X_MAX
};
enum domain_ip_learning {     /* parameter CTRL_IP_LEARNING */
	DOMAIN_LEARN_DEFAULT, /* any, when no address is given */
	DOMAIN_LEARN_ANY,
	DOMAIN_LEARN_DHCP,
	DOMAIN_LEARN_NONE,
	DOMAIN_LEARN_X_MAX
};

struct domain_nic {
	uint8_t number; /* its place in the worker, which stays when others go; the alias has it; at the start the
				* index */
	uint8_t type;                 /* enum domain_nic_type */
	uint8_t filter;               /* enum domain_nic_filter */
	uint8_t ip_learning;          /* enum domain_ip_learning */
	uint8_t mode;                 /* type direct: enum domain_nic_mode */
	uint8_t existing_tap;         /* type ethernet: somebody else has made it (managed='no') */
	char network[NET_NAME_MAX];   /* type network; never empty there */
	char portgroup[NET_NAME_MAX]; /* type network; "": the network's default, if it has one */
	char bridge[NET_IFNAME_MAX];  /* type bridge; never empty there */
	char dev[NET_IFNAME_MAX];     /* type direct: the NIC; never empty there */
	char target[NET_IFNAME_MAX];  /* the host's side; "": chosen at the start; never empty with
					* existing_tap */
};

struct domain_memory_device {
	uint8_t number;       /* its place in the worker, as of interfaces */
	uint64_t current_kib; /* that the guest has of it, by its own claim */
	/* That it may have of it by the host's limits: what was requested and what it has, whichever is more. Of what runs. */
	uint64_t granted_kib;
};

/* <vcpupin>: the thread of one vCPU. */
struct domain_pin {
	uint32_t vcpu; /* one of each at most; it may be one that the machine does not have */
	uint64_t cpus[CPUSET_WORDS]; /* never empty */
};

/* <iothreadpin>: the thread of one iothread. */
struct domain_iothread_pin {
	uint32_t iothread;           /* one of vm.iothreads; of each at most one */
	uint64_t cpus[CPUSET_WORDS]; /* never empty */
};

/* A share of CPU time: 'quota_us' in each 'period_us'. 0: not given; a quota below 0: no limit. */
struct domain_quota {
	uint64_t period_us; /* else DOMAIN_PERIOD_MIN_US … DOMAIN_PERIOD_MAX_US */
	int64_t quota_us;   /* else from DOMAIN_QUOTA_MIN_US, or below 0 */
};

#define DOMAIN_SHARES_MAX        262144
#define DOMAIN_PERIOD_DEFAULT_US 100000
#define DOMAIN_PERIOD_MIN_US     1000
#define DOMAIN_PERIOD_MAX_US     1000000
#define DOMAIN_QUOTA_MIN_US      1000
#define DOMAIN_QUOTA_MAX_US      INT64_C(17592186044415)

/* <cputune> */
struct domain_cputune {
	uint64_t shares; /* 0: not given; else up to DOMAIN_SHARES_MAX */
	struct domain_quota vcpu /* of each */, emulator, global, iothread /* of each */;
	uint32_t n_pins;
	struct domain_pin pins[VM_MAX_VCPUS];
	uint64_t emulator_pin
		[CPUSET_WORDS]; /* all threads but the vCPUs' and iothreads; empty: vm.cpuset */
	uint32_t n_iothread_pins;
	struct domain_iothread_pin iothread_pins[VM_MAX_IOTHREADS];
};

#define DOMAIN_MEMTUNE_UNLIMITED_KIB UINT64_C(9007199254740988) /* or more; libvirt's number */

/* <memtune>, in KiB; 0: not given. And <vmmd:memoryPolicy>. */
struct domain_memtune {
	uint64_t hard_kib, soft_kib, swap_hard_kib;
	uint64_t min_kib; /* the host's memory policy takes nothing below it */
	uint64_t weight; /* the heavier, the less it takes: 1 … DOMAIN_WEIGHT_MAX; 0: not given */
};
#define DOMAIN_WEIGHT_MAX 10000

/* <memoryBacking><hugepages><page>: of these cells, or (none) of all that no other page names. */
struct domain_page {
	uint32_t size_kib;
	uint64_t cells[CPUSET_WORDS];
};

/* Of a cell, beside vm_cell: its name, and distances as they are written. Numbers that may be 0 or missing are stored as in XML
 * (XML_ZERO_IS_MAX). */
struct domain_sibling {
	uint8_t id;
	uint8_t value;
};
struct domain_cell {
	uint8_t id; /* DOMAIN_CELL_ZERO: 0; else its index */
	uint32_t n_siblings;
	struct domain_sibling siblings[VM_MAX_CELLS];
};
#define DOMAIN_CELL_ZERO UINT8_MAX

/* <numatune>: which nodes of the host memory is taken from. */
enum domain_numa_mode {
	DOMAIN_NUMA_DEFAULT,    /* no nodes are given */
	DOMAIN_NUMA_STRICT,     /* from these, or not at all */
	DOMAIN_NUMA_PREFERRED,  /* from this one, from another when it is full */
	DOMAIN_NUMA_INTERLEAVE, /* from each of these in turn */
	DOMAIN_NUMA_RESTRICTIVE, /* as strict, for all that the worker has: its control group sees to it */
	DOMAIN_NUMA_X_MAX
};
struct domain_memnode {
	uint8_t cell; /* one of each at most */
	uint8_t mode; /* enum domain_numa_mode */
	uint64_t nodes[CPUSET_WORDS];
};
struct domain_numatune {
	uint8_t mode;    /* enum domain_numa_mode; of all that no memnode names */
	uint8_t is_auto; /* the host's kernel is to choose: then there are no memnodes */
	uint64_t nodes[CPUSET_WORDS];
	uint32_t n_memnodes;
	struct domain_memnode memnodes[VM_MAX_CELLS];
};

struct xml_extra; /* config/xml-extra.h: elements kept for the round trip */

struct domain_config {
	struct vm_config vm;
	char title[DOMAIN_TITLE_MAX];
	char description[DOMAIN_DESCRIPTION_MAX];
	char owner[DOMAIN_OWNER_MAX]; /* a user's name, or a uid in decimal; "": nobody */
	uint8_t on_poweroff, on_reboot, on_crash; /* enum domain_action */
	uint32_t iothreads;                       /* vm.n_iothreads, as <iothreads> says it */
	uint8_t own_iothreadids;                  /* <iothreadids> was there: it is said again */
	char kernel[DOMAIN_PATH_MAX];
	char initrd[DOMAIN_PATH_MAX];
	struct domain_disk disks[VM_MAX_DISKS];
	struct domain_chardev serials[VM_MAX_SERIALS];
	struct domain_chardev consoles[VM_MAX_CONSOLES];
	struct domain_chardev channels[VM_MAX_CHANNELS];
	struct domain_nic nics[VM_MAX_NICS];
	struct domain_memory_device memories[VM_MAX_MEMORIES];
	struct domain_cputune cputune;
	struct domain_memtune memtune;
	uint32_t n_pages;
	struct domain_page pages[VM_MAX_CELLS];
	struct domain_cell cells[VM_MAX_CELLS];
	struct domain_numatune numatune;
	uint8_t core_scheduling; /* enum vm_tristate; default: no: the worker shares no core with others */
	char rng_path
		[DOMAIN_PATH_MAX]; /* backend random: /dev/urandom (default), /dev/random or /dev/hwrng */
	struct xml_extra *extra; /* owned; freed by domain_config_free() */
};
