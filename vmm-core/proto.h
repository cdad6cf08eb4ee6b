/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the daemon and a worker say to each other.
 *
 * Transport: a SOCK_SEQPACKET unix socket, one message a packet. The worker is started with
 *   fd 3  a connected control socket (the daemon that started it holds the other end), and
 *   fd 4  a listening socket bound by the daemon at RUNTIME/domains/UUID/control: when the control socket
 *         ends (the daemon died), the worker goes on and accepts the next connection here. There is at most
 *         one connection; a newer one replaces the older.
 * fds travel only towards the worker. Every request has exactly one REPLY with the same 'seq'; events carry
 * seq 0. After START the daemon treats the worker as hostile: an unknown type, a wrong length or an fd from it
 * end it.
 *
 * A worker that has not been told START ends with the daemon that made it: the kernel kills it (PR_SET_PDEATHSIG), and the end of the
 * control socket ends it. Taking the former back is the first thing that START does.
 *
 * Order: the worker sends HELLO as the first message on every connection. On a new worker the daemon answers
 * with START; the reply comes when the vCPUs exist and the sandbox is closed, and the vm runs (or is paused if
 * START asked for it) from then on.
 *
 * All numbers are of the host's byte order: both ends run on one host.
 */
#pragma once

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include "config/net-team.h"
#include "config/vm-config.h"

#define PROTO_VERSION     3
#define PROTO_CONTROL_FD  3
#define PROTO_LISTEN_FD   4
#define PROTO_MAX_PAYLOAD 4096
#define PROTO_MAX_FDS     128
#define PROTO_REASON_MAX  256
#define PROTO_VCPU_WORDS  8

enum proto_type {
	PROTO_INVALID,
	/* worker -> daemon, seq 0 */
	PROTO_HELLO,     /* struct proto_state: what it is and how it fares */
	PROTO_STATE,     /* struct proto_state: it changed */
	PROTO_NOTICE,    /* struct proto_notice: something to report, no change of state */
	PROTO_NET_EVENT, /* struct proto_net_event: of a network, or of a vm's link */
	/* worker -> daemon, answers */
	PROTO_REPLY, /* header.error: 0 or -errno; payload: struct proto_reason when not 0 */
	/* daemon -> worker */
	PROTO_START, /* struct proto_start, fds */
	PROTO_PAUSE, /* reply when no vCPU runs and the devices are quiet */
	PROTO_RESUME,
	PROTO_RESET,
	PROTO_POWER_BUTTON,   /* ACPI power button; -ENOTSUP without ACPI */
	PROTO_QUIT,           /* stop the vCPUs, flush the disks, exit; the reply may not come */
	PROTO_CONSOLE_ATTACH, /* struct proto_console, one fd (a stream socket) */
	PROTO_INJECT_NMI,
	/* to a vm */
	PROTO_NIC_SET,      /* struct proto_nic: address, VLANs, limits, link state */
	PROTO_NIC_ANNOUNCE, /* struct proto_nic_id: tell the switches where it is */
	PROTO_LINK_ADD,     /* struct proto_link, PROTO_LINK_FDS fds */
	PROTO_LINK_USE, /* struct proto_link_id: send by it from now on, or (flags 0) no longer */
	PROTO_LINK_REMOVE, /* struct proto_link_id */
	/* to a network's worker; its START is START_NETWORK */
	PROTO_START_NETWORK,  /* struct proto_start with struct net_config as CONFIG */
	PROTO_PORT_ADD,       /* struct proto_port, PROTO_LINK_FDS fds */
	PROTO_PORT_SET,       /* struct proto_port */
	PROTO_PORT_REMOVE,    /* struct proto_port_id */
	PROTO_CONSOLE_RESIZE, /* struct proto_console_size; what has no size ignores it */
	PROTO_UPLINK_ADD, /* struct proto_uplink, one fd: an uplink whose NIC was gone is back, or a new one */
	PROTO_UPLINK_REMOVE, /* struct proto_uplink_id */
	/* to a vm */
	PROTO_NIC_ADD, /* struct proto_nic_add, and its tap if it has one: plug it in; a star comes with LINK_ADD */
	PROTO_NIC_REMOVE, /* struct proto_nic_id: ask the guest to let go of it; STATE follows when it has */
	/* to either */
	PROTO_CAPTURE, /* struct proto_capture, fds: a SOCK_SEQPACKET socket, and struct capture_counts, sealed against shrinking: frames as they pass */
	PROTO_TEAM_LOOK, /* tell the state of the team, with counters of now; -ENOENT: no uplinks */
	PROTO_TEAM_TEST, /* struct proto_team_test: exercise it; what came of it is in its state */
	/* to a vm */
	PROTO_LINK_LIST, /* struct proto_nic_id: tell the direct links of this vNIC; -EAGAIN: there is no room for that now */
	/* worker -> daemon, seq 0: the uplinks of a network. The state comes after HELLO, when it has changed, and before the REPLY
	 * of TEAM_LOOK and TEAM_TEST; after HELLO the last reports come again. */
	PROTO_TEAM_STATE,  /* struct net_team_state */
	PROTO_TEAM_REPORT, /* struct net_team_report */
	/* the same, of a vm */
	PROTO_LINKS, /* struct proto_links: before the REPLY of LINK_LIST */
	/* daemon -> worker, to a vm; -ENODEV: it has no balloon */
	PROTO_BALLOON_SET, /* struct proto_balloon */
	PROTO_BALLOON_STATS, /* ask the guest: NOTICE_BALLOON_STATS follows if it answers; -ENODATA: it cannot */
	/* daemon -> worker, also before START */
	PROTO_PING, /* nothing but its REPLY: the worker's loop turns */
	/* to a vm */
	PROTO_VCPU_SET, /* struct proto_vcpu_set: so many are to be there; VCPUS follows when there are others */
	/* worker -> daemon, seq 0 */
	PROTO_VCPUS, /* struct proto_vcpus: of a vm, after HELLO and when there are others than before */
	/* daemon -> worker, to a vm */
	PROTO_MMU_STATS, /* what KVM's MMU did goes into the statistics page before the REPLY; -ENOTSUP: the kernel does not say */
	/* the same; the REPLY comes when the thread is there, or has ended. -ENOSPC: there are as many as there can be; -EEXIST, -ENOENT, -EBUSY: a disk uses it */
	PROTO_IOTHREAD,   /* struct proto_iothread */
	PROTO_MEMORY_SET, /* struct proto_memory_set: so much of a memory device the guest is to have; NOTICE_MEMORY follows */
	PROTO_MEMORY_ADD, /* struct proto_memory_add: plug a memory device in */
	PROTO_MEMORY_REMOVE, /* struct proto_memory_id: ask the guest to let go of it; MEMORIES follows when it has; -EBUSY: not empty */
	/* worker -> daemon, seq 0 */
	PROTO_MEMORIES, /* struct proto_memories: of a vm, after HELLO if it can have any, and when there are others than before */
	PROTO_CPUID,    /* struct proto_cpuid: of a vm, before the REPLY of START and after HELLO */
	PROTO_TYPE_X_MAX
};

struct proto_header {
	uint16_t version;
	uint16_t type;
	uint32_t seq;
	uint32_t len;  /* of the payload that follows, <= PROTO_MAX_PAYLOAD */
	int32_t error; /* REPLY only */
};
static_assert(sizeof(struct proto_header) == 16, "wire format");
static_assert(offsetof(struct proto_header, error) == 12, "wire format");

/* What an fd of START is for; 'index' is the place in vm_config's array. */
enum proto_fd_kind {
	PROTO_FD_CONFIG, /* sealed memory file with struct vm_config; always the first */
	PROTO_FD_KVM,    /* /dev/kvm */
	PROTO_FD_RAM, /* guest memory, sealed against shrinking: of a cell; without cells all of it, index 0 */
	PROTO_FD_STATS,  /* struct vm_stats_page, sealed against shrinking */
	PROTO_FD_KERNEL, /* read-only, sealed memory file or regular file */
	PROTO_FD_INITRD,
	PROTO_FD_DISK,
	PROTO_FD_SERIAL, /* pty master, file or stream socket; none: null */
	PROTO_FD_CONSOLE,
	PROTO_FD_CHANNEL,
	PROTO_FD_RNG,
	PROTO_FD_NIC, /* a tap or macvtap (devices/net/port-tap.h); none: the vNIC's links come later */
	/* of START_NETWORK, beside CONFIG and STATS (struct net_stats_page) */
	PROTO_FD_HOST_TAP,  /* the host port's */
	PROTO_FD_UPLINK,    /* net_config.uplinks[index]: a packet socket or a tap, by its kind */
	PROTO_FD_RTNETLINK, /* bound to RTMGRP_LINK where the uplinks are */
	/* of START */
	PROTO_FD_PLUG, /* room for memory devices, sealed likewise; none: nothing can be plugged in */
	PROTO_FD_KIND_X_MAX
};

struct proto_fd {
	uint8_t kind; /* enum proto_fd_kind */
	uint8_t index;
	uint8_t flags; /* PROTO_FD_LISTENING: a listening socket, to be accepted from */
	uint8_t pad;
};
#define PROTO_FD_LISTENING 1

#define PROTO_START_PAUSED (1U << 0)
#define PROTO_START_SECCOMP_ERRNO                                                                  \
	(1U << 1) /* test: forbidden system calls fail with EPERM instead of killing */
#define PROTO_START_SECCOMP_OFF (1U << 2) /* test */

struct proto_start {
	uint32_t flags;
	uint32_t n_fds; /* as many as the packet carries */
	int64_t wall_offset_s;
	struct proto_fd fds[PROTO_MAX_FDS];
};
static_assert(sizeof(struct proto_start) == 16 + 4 * PROTO_MAX_FDS, "wire format");

enum proto_vm_state {
	PROTO_VM_NEW, /* waiting for START */
	PROTO_VM_RUNNING,
	PROTO_VM_PAUSED,
	PROTO_VM_STOPPED, /* the guest is gone; the process ends after this message */
	PROTO_VM_STATE_X_MAX
};

enum proto_vm_reason {
	PROTO_REASON_NONE,
	PROTO_REASON_USER, /* PAUSE, RESUME, QUIT */
	PROTO_REASON_GUEST_POWEROFF,
	PROTO_REASON_GUEST_RESET, /* STOPPED with this: the guest asked for a reset (on_reboot decides) */
	PROTO_REASON_PANICKED,
	PROTO_REASON_IO_ERROR,   /* PAUSED by a disk's error policy */
	PROTO_REASON_CRASHED,    /* KVM gave up: internal error, shutdown, emulation failure */
	PROTO_REASON_DEBUG_EXIT, /* 'code' is the guest's */
	PROTO_VM_REASON_X_MAX
};

/* A guest's reset is done inside the worker (RUNNING goes on) unless START's vm asked otherwise: the daemon
 * tells by PROTO_START_STOP_ON_RESET / _STOP_ON_PANIC what on_reboot and on_crash want. */
#define PROTO_START_STOP_ON_RESET (1U << 3)
#define PROTO_START_STOP_ON_PANIC (1U << 4)

struct proto_state {
	uint32_t state;  /* enum proto_vm_state */
	uint32_t reason; /* enum proto_vm_reason */
	int32_t code; /* DEBUG_EXIT: the code; IO_ERROR: the disk's index; of RUNNING, 1: a PAUSE is under way */
	uint32_t pid; /* as the worker sees itself: not to be trusted */
	uint8_t uuid[16];
	uint32_t nics;               /* of a vm: bits of the vNICs that it has */
	char text[PROTO_REASON_MAX]; /* one line for people; NUL-terminated, printable */
};
static_assert(sizeof(struct proto_state) == 36 + PROTO_REASON_MAX, "wire format");

enum proto_notice_kind {
	PROTO_NOTICE_GUEST_RESET, /* the guest rebooted inside the worker */
	PROTO_NOTICE_CRASHLOADED,
	PROTO_NOTICE_IO_ERROR, /* reported to the guest; 'index' is the disk; at most once a second for each */
	PROTO_NOTICE_BALLOON, /* 'index' pages are given up; at most once a second, the last of them always */
	PROTO_NOTICE_BALLOON_STATS, /* they are in the statistics page */
	PROTO_NOTICE_VCPU_REFUSED,  /* the guest does not let go of vCPU 'index' */
	PROTO_NOTICE_MEMORY, /* memory device 'index' has another size now: it is in the statistics page */
	PROTO_NOTICE_KIND_X_MAX
};

struct proto_notice {
	uint32_t kind;
	uint32_t index;
	char text[PROTO_REASON_MAX];
};
static_assert(sizeof(struct proto_notice) == 8 + PROTO_REASON_MAX, "wire format");

/* Pages are of 4 KiB. */
#define PROTO_BALLOON_TARGET (1U << 0)
#define PROTO_BALLOON_PERIOD (1U << 1)

struct proto_balloon {
	uint32_t flags;    /* PROTO_BALLOON_*: which of the following counts */
	uint32_t target;   /* pages that the guest is to do without; at most what it has */
	uint32_t period_s; /* seconds between two statistics; 0: only those that are asked for */
};
static_assert(sizeof(struct proto_balloon) == 12, "wire format");

struct proto_reason {
	char text
		[PROTO_REASON_MAX]; /* the stage that failed: "KVM_CREATE_VM: Cannot allocate memory" */
};
static_assert(sizeof(struct proto_reason) == PROTO_REASON_MAX, "wire format");

struct proto_vcpu_set {
	uint32_t n; /* from 1 to vm_config.vcpus_max */
};
static_assert(sizeof(struct proto_vcpu_set) == 4, "wire format");

struct proto_iothread {
	uint32_t id;
	uint32_t on; /* 1: it is to be there; 0: it is not */
};
static_assert(sizeof(struct proto_iothread) == 8, "wire format");

/* Those that are there, a bit each; vCPU 0 always is. */
struct proto_vcpus {
	uint32_t bits[PROTO_VCPU_WORDS];
};
static_assert(sizeof(struct proto_vcpus) == 4 * PROTO_VCPU_WORDS, "wire format");
static_assert(32 * PROTO_VCPU_WORDS > VM_MAX_VCPUS, "a bit each");

struct proto_memory_id {
	uint32_t number;
};

struct proto_memory_set {
	uint32_t number, pad;
	uint64_t kib; /* whole blocks, at most the device's size */
};
static_assert(sizeof(struct proto_memory_set) == 16, "wire format");

struct proto_memory_add {
	uint32_t number, pad; /* one that is free */
	struct vm_memory config;
};
static_assert(sizeof(struct proto_memory_add) == 8 + sizeof(struct vm_memory), "wire format");

/* Those that are there, a bit each. */
struct proto_memories {
	uint32_t bits;
};
static_assert(VM_MAX_MEMORIES <= 32, "a bit each");

/* What a vm's processors are: leaves without what differs from one to the next (APIC ids), and MSR 0x10a as if it were a leaf
 * (vmm-core/cpu-model.h). */
struct proto_cpuid {
	uint32_t n;
	uint32_t tsc_khz; /* of the guest's counter; 0: unknown */
	uint32_t pad[2];
	struct vm_cpuid_leaf leaves[VM_MAX_CPUID_LEAVES];
};
static_assert(sizeof(struct proto_cpuid) == 16 + 24 * VM_MAX_CPUID_LEAVES, "wire format");
static_assert(sizeof(struct proto_cpuid) <= PROTO_MAX_PAYLOAD, "one message");

enum proto_console_kind { PROTO_CONSOLE_SERIAL, PROTO_CONSOLE_VIRTIO, PROTO_CONSOLE_KIND_X_MAX };

#define PROTO_CONSOLE_FORCE (1U << 0) /* disconnect whoever is attached; without it: -EBUSY */

struct proto_console {
	uint32_t kind;
	uint32_t index;
	uint32_t flags;
};
static_assert(sizeof(struct proto_console) == 12, "wire format");

/*
 * Links between workers. A link is two memory files and two eventfds, made by the daemon; each end gets, in this order:
 * its own file (read-write), the peer's (read-only), its own bell (rung by the peer), the peer's bell. The files are
 * devices/net/ring.h's, of PROTO_RING_FILE bytes, sealed against changing their size.
 *
 * The star of a vNIC is link PROTO_LINK_STAR; it is in use as soon as it is added. Every other link is direct: added at
 * both ends first, put to use at both ends when both have answered, and removed in the reverse order, so that no
 * frame is lost and none overtakes another (devices/net/nic.h).
 */
#define PROTO_LINK_FDS  4
#define PROTO_LINK_STAR 0
#define PROTO_LINK_ALL  UINT32_MAX /* LINK_USE, LINK_REMOVE: every direct link of the vNIC */
#define PROTO_RING_DATA (1024 * 1024)
#define PROTO_RING_FILE (4096 + PROTO_RING_DATA)

struct proto_nic {
	uint32_t nic; /* index */
	struct net_port_config port;
};

struct proto_nic_add {
	uint32_t nic; /* a number that is free */
	struct vm_nic config;
};
static_assert(sizeof(struct proto_nic_add) <= PROTO_MAX_PAYLOAD, "wire format");

struct proto_nic_id {
	uint32_t nic;
};

struct proto_link {
	uint32_t nic;
	uint32_t id;
	uint32_t ring_data; /* bytes */
	uint32_t peer_port; /* of a direct link: the peer's number in its network */
	struct net_port_config
		peer; /* of a direct link: the policy of what comes from there; its address */
};

#define PROTO_LINK_ON (1U << 0)

struct proto_link_id {
	uint32_t nic;
	uint32_t id;
	uint32_t flags; /* LINK_USE: PROTO_LINK_ON or 0 */
};

/* What a vNIC has for direct links: a new daemon finds them again, and one that makes room sees which are quiet. */
#define PROTO_MAX_LINKS 64

struct proto_link_state {
	uint32_t id;
	uint16_t peer_port; /* as LINK_ADD had it */
	uint16_t flags;     /* PROTO_LINK_ON: this end sends by it */
	uint64_t frames;    /* by it so far, both ways; segments of one frame count once */
};

struct proto_links {
	uint32_t nic;
	uint32_t n;
	struct proto_link_state links[PROTO_MAX_LINKS];
};
static_assert(sizeof(struct proto_links) == 8 + 16 * PROTO_MAX_LINKS, "wire format");
static_assert(sizeof(struct proto_links) <= PROTO_MAX_PAYLOAD, "one message");

/* Port numbers are the daemon's: 1 … NET_MAX_PORTS - 1; 0 is the host's, which START_NETWORK makes. */
struct proto_mirror {
	uint16_t from, to;  /* ports; 'to' has NET_PORT_MIRROR */
	uint32_t direction; /* CAPTURE_IN: what 'from' is given, CAPTURE_OUT: what it sends */
};

struct proto_port {
	uint32_t port;
	uint32_t ring_data; /* PORT_ADD */
	struct net_port_config config;
	/* PORT_ADD: what it watches or is watched by, of the ports that are there. They end with either port. */
	uint32_t n_mirrors;
	struct proto_mirror mirrors[NET_MAX_MIRRORS];
};

struct proto_port_id {
	uint32_t port;
};

#define PROTO_CAPTURE_FDS 2
/* It ends when its reader goes, or either end of its socket is shut down (devices/net/capture.h); there is no request for that. */
struct proto_capture {
	uint32_t index;     /* a vm: the vNIC; a network: the uplink, or PROTO_CAPTURE_SWITCH */
	uint32_t direction; /* CAPTURE_IN, CAPTURE_OUT (vmm-core/base/capture-record.h) */
	uint32_t snaplen;   /* bytes of each frame, from 1 */
};
#define PROTO_CAPTURE_SWITCH UINT32_MAX /* what passes through the network's worker */

struct proto_uplink {
	uint32_t
		index; /* in net_config.uplinks, one that is gone or was removed; or behind the last */
	struct net_uplink uplink; /* the new one */
};
struct proto_uplink_id {
	uint32_t index;
};

#define PROTO_TEST_FORCE   (1U << 0) /* also when that cuts the network */
#define PROTO_TEST_MAX_MS  60000
#define PROTO_TEST_STOP_MS 0

/* -EINVAL (member, ms, flags), -EALREADY (another test goes on), -ENETDOWN (the member does not work anyhow), -EBUSY
 * (without it no traffic could go on). */
struct proto_team_test {
	uint32_t member;
	uint32_t
		ms; /* out of use for so long, at most PROTO_TEST_MAX_MS; STOP: end the test of the member */
	uint32_t flags;
};
static_assert(sizeof(struct proto_team_test) == 12, "wire format");

enum proto_net_event_kind {
	PROTO_NET_LINK_BROKEN, /* vm: 'a' nic, 'b' link; network: 'a' port: the peer broke the ring */
	PROTO_NET_PAIR,        /* ports a and b exchange many frames */
	PROTO_NET_ADDRESS,     /* port 'a' has 'mac' and 'ip' */
	PROTO_NET_EVENT_KIND_X_MAX
};

struct proto_net_event {
	uint32_t kind;
	uint32_t a, b;
	uint8_t mac[NET_MAC_LEN];
	uint8_t pad[2];
	struct net_ip ip;
	char text[PROTO_REASON_MAX];
};
static_assert(sizeof(struct proto_net_event) == 20 + 20 + PROTO_REASON_MAX, "wire format");

struct proto_console_size {
	uint32_t kind;
	uint32_t index;
	uint16_t cols, rows; /* from 1 */
};
static_assert(sizeof(struct proto_console_size) == 12, "wire format");
