/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A domain: a definition, and the worker that runs it while it is active. Knows no transport: operations that take
 * time answer through a callback.
 *
 *	           domain_start                 reply of START
 *	IDLE ────────────────────► STARTING ────────────────────► ACTIVE
 *	 ▲  resources_open, spawn,    │                              │ STATE STOPPED, destroy,
 *	 │  HELLO, START              ▼ gone                         ▼ or death
 *	 └──────────────────────── finish (or start again: on_reboot, on_crash, …) ◄── gone
 *
 * A domain whose files others must answer for (reach.h) is STARTING, without a worker, until they have: then it is as any other.
 *
 * 'state' and 'reason' are libvirt's and what the API shows; 'phase' is the daemon's. Reading a domain never waits for
 * its worker: state is what the worker last said, statistics are read from the page it shares (stats-view.h).
 *
 * Ownership: domains belong to the manager. A transient domain is freed by the manager when it stops; nobody keeps a
 * pointer to a domain over a turn of the event loop except the domain's own worker and waits.
 */
#pragma once

#include "daemon/boot-report.h"
#include "daemon/definition.h"
#include "daemon/error.h"
#include "daemon/resources.h"
#include "daemon/worker.h"
#include "vmm-core/base/list.h"

#define DOMAIN_START_USEC (60 * UINT64_C(1000000))
#define DOMAIN_LOCK_USEC                                                                           \
	(4 * UINT64_C(1000000)) /* on top, for each GiB that is locked or allocated */
#define DOMAIN_REQUEST_USEC (15 * UINT64_C(1000000))
#define DOMAIN_QUIT_USEC    (5 * UINT64_C(1000000)) /* destroy: from QUIT to SIGKILL */
#define DOMAIN_STATS_USEC                                                                          \
	(UINT64_C(1000000) / 2) /* that a guest has to answer for its statistics */
#define DOMAIN_DETACH_USEC   (5 * UINT64_C(1000000)) /* that a guest has to release a device */
#define DOMAIN_RESTART_BURST 5                       /* restarts by on_* within … */
#define DOMAIN_RESTART_USEC  (60 * UINT64_C(1000000))

#define DOMAIN_START_PAUSED (1U << 1)
#define DOMAIN_START_PATIENT                                                                       \
	(1U << 31) /* nobody is there who could try again: REACH_PATIENT_USEC */
#define DOMAIN_DESTROY_GRACEFUL (1U << 0)
#define DOMAIN_CONSOLE_FORCE    (1U << 0)
#define DOMAIN_AFFECT_LIVE      (1U << 0)
#define DOMAIN_AFFECT_CONFIG    (1U << 1)

enum domain_phase { DOMAIN_IDLE, DOMAIN_STARTING, DOMAIN_ACTIVE };

/* libvirt's numbers. */
enum domain_state {
	DOMAIN_STATE_NOSTATE,
	DOMAIN_STATE_RUNNING,
	DOMAIN_STATE_BLOCKED,
	DOMAIN_STATE_PAUSED,
	DOMAIN_STATE_SHUTDOWN,
	DOMAIN_STATE_SHUTOFF,
	DOMAIN_STATE_CRASHED,
	DOMAIN_STATE_PMSUSPENDED,
	DOMAIN_STATE_X_MAX
};

/* libvirt's numbers too; each state has its own. */
enum { DOMAIN_RUNNING_UNKNOWN, DOMAIN_RUNNING_BOOTED, DOMAIN_RUNNING_UNPAUSED = 5 };
enum {
	DOMAIN_PAUSED_UNKNOWN,
	DOMAIN_PAUSED_USER,
	DOMAIN_PAUSED_IOERROR = 5,
	DOMAIN_PAUSED_STARTING_UP = 11
};
enum { DOMAIN_SHUTDOWN_UNKNOWN, DOMAIN_SHUTDOWN_USER };
enum {
	DOMAIN_SHUTOFF_UNKNOWN,
	DOMAIN_SHUTOFF_SHUTDOWN,
	DOMAIN_SHUTOFF_DESTROYED,
	DOMAIN_SHUTOFF_CRASHED,
	DOMAIN_SHUTOFF_FAILED = 6
};
enum { DOMAIN_CRASHED_UNKNOWN, DOMAIN_CRASHED_PANICKED };

/* Why a run ended. */
enum domain_stop {
	DOMAIN_STOP_FAILED,   /* it never ran */
	DOMAIN_STOP_SHUTDOWN, /* the guest switched itself off */
	DOMAIN_STOP_RESET,    /* the guest asked for a reset, and on_reboot wants to know */
	DOMAIN_STOP_REBOOT,   /* switched off because of domain_reboot() */
	DOMAIN_STOP_DESTROYED,
	DOMAIN_STOP_PANICKED,
	DOMAIN_STOP_CRASHED, /* the worker died, or KVM gave up */
	DOMAIN_STOP_X_MAX
};

/* 'error' NULL: it worked. Called once, from the event loop, never from within the function it was given to. */
typedef void (*domain_done_fn)(void *userdata, const struct error *error);
/* 'fd' is the receiver's (-EBADF with an error). */
typedef void (*domain_fd_fn)(void *userdata, int fd, const struct error *error);

/* 'gone' false without an error: the guest was asked, and has not released the device yet; it goes when it does. */
typedef void (*domain_detached_fn)(void *userdata, bool gone, const struct error *error);

struct domain_wait {
	struct list link;
	domain_done_fn done;
	void *userdata;
};

/* Of a vNIC that has a tap of its own (domain-nic.h). */
struct domain_tap {
	char ifname[NET_IFNAME_MAX]; /* "": it has none */
	char lower[NET_IFNAME_MAX];  /* the NIC of a macvtap; "": a tap */
	uint8_t mac[NET_MAC_LEN];    /* the vNIC's, when it was made */
	unsigned mtu;
};

/* What memory-policy.c keeps of its last look. */
struct domain_policy {
	bool seen;
	uint64_t swapped_in_kib, major_faults; /* as they were then */
	unsigned waited;
};

/* What only a run has: far more than all else that a domain takes, and most definitions are at rest. */
struct domain_run {
	struct reach *reach;        /* it waits for its files, and has no worker yet; else NULL */
	struct boot_moments boot;   /* of the last start by this daemon */
	struct resources resources; /* fds until START; names for as long as it runs */
	struct domain_tap taps[VM_MAX_NICS];
	struct error start_error;
	struct domain_policy policy;
	struct proto_cpuid *cpuid; /* what its processors are; NULL: not told yet */
	bool is_recalled;          /* they are to be those of an earlier run */
};

struct manager;
struct reach;
struct worker_log;
struct stats_view;
struct cgroup;

struct domain {
	struct manager *manager;
	struct list link;
	struct list name_link, uuid_link; /* of the manager's tables: neither changes */
	uint8_t uuid[16];
	char name[VM_NAME_MAX];
	struct definition *definition; /* NULL: transient */
	struct domain_config *live;    /* what runs; NULL: inactive */
	struct definition *running;    /* the same in short, with its XML */
	struct domain_run *run;        /* there as long as 'live' is */
	struct domain_owner owner;     /* the definition's, or else of what runs or ran */
	bool autostart;
	uint32_t
		links_asked; /* bits of vNICs whose direct links the worker is to tell (network-direct.c) */
	int id;              /* -1: inactive */
	enum domain_state state;
	int reason;

	enum domain_phase phase;
	struct worker *worker;
	struct worker_log *log;
	struct stats_view *stats; /* NULL: not to be had */
	struct cgroup *cgroup;
	uint32_t slot; /* of the uid range */
	bool degraded; /* the worker lives but has not said HELLO, or does not answer */
	bool guessed; /* what the worker runs could not be read: 'live' is the definition, or next to nothing */
	bool noted; /* of this run there is a status on disk: it has been, or is being, told START */
	bool start_paused, restarting, reboot_pending, destroying;
	bool pinning;   /* started paused until its threads have their CPUs */
	bool stop_seen; /* STATE STOPPED came; 'stop' says why */
	enum domain_stop stop;
	sd_event_source *kill_timer;
	struct list start_waits,
		stop_waits; /* struct domain_wait; of an adopted one start_waits end when its worker has spoken */
	struct list stats_waits; /* likewise: for the guest's statistics */
	sd_event_source *stats_timer;
	unsigned n_balloon_wishes;        /* setmem and the like that are under way */
	uint32_t nics_plugging;           /* bits of numbers: the worker has not answered yet */
	struct list detaches;             /* domain-plug.c's */
	struct list nic_changes;          /* domain-ops.c's, that the worker has not answered */
	uint32_t memories_plugging;       /* likewise, of memory devices */
	unsigned n_memory_changes;        /* of memory devices, under way */
	struct list memory_detaches;      /* domain-memory.c's */
	struct list vcpu_waits;           /* domain-vcpu.c's */
	struct list tunes;                /* domain-tune.c's */
	uint32_t vcpus[PROTO_VCPU_WORDS]; /* bits of those that are there, while it runs */
	uint32_t
		vcpus_wanted; /* those below this one may come: they were asked for, and that is not known to be over */
	uint64_t restarts_usec[DOMAIN_RESTART_BURST]; /* a ring of times, CLOCK_MONOTONIC */
	unsigned n_restarts;
};

struct domain *domain_new(struct manager *manager, const uint8_t uuid[16], const char *name);
/* Does not touch the worker process: it lives on. */
struct domain *domain_free(struct domain *domain);
DEFINE_CLEANUP(struct domain *, domain_free);

static inline bool domain_is_active(const struct domain *domain)
{
	return domain->phase != DOMAIN_IDLE;
}

static inline bool domain_is_persistent(const struct domain *domain)
{
	return domain->definition;
}

/* What counts now: what runs, else the definition. NULL for a transient domain that ended. */
static inline const struct definition *domain_current(const struct domain *domain)
{
	return domain->running ? domain->running : domain->definition;
}

/* The definition, or what runs, is another one: so may be its owner. */
void domain_note_owner(struct domain *domain);

/* Operations. Each returns 0 and calls 'done' later, or a negative errno with 'error' set and never calls it. */
int domain_start(struct domain *domain, unsigned flags, domain_done_fn done, void *userdata,
	struct error *error);
int domain_suspend(struct domain *domain, domain_done_fn done, void *userdata, struct error *error);
int domain_resume(struct domain *domain, domain_done_fn done, void *userdata, struct error *error);
int domain_reset(struct domain *domain, domain_done_fn done, void *userdata, struct error *error);
/* The power button. Answered when it was pressed, not when the guest obeyed. */
int domain_shutdown(
	struct domain *domain, domain_done_fn done, void *userdata, struct error *error);
/* The power button, and the next power-off starts the domain again. */
int domain_reboot(struct domain *domain, domain_done_fn done, void *userdata, struct error *error);
/* QUIT, then SIGKILL after DOMAIN_QUIT_USEC (with GRACEFUL: an error instead). Answered when the process is gone. */
int domain_destroy(struct domain *domain, unsigned flags, domain_done_fn done, void *userdata,
	struct error *error);
/* 'device': "" (the first serial port or else the first virtio console), "serial0", "console1"… */
int domain_open_console(struct domain *domain, const char *device, unsigned flags,
	domain_fd_fn done, void *userdata, struct error *error);
/* The terminal at that console has this size now: 1 to 65535 each, or -EINVAL. A serial port has no size: nothing
 * happens. */
int domain_resize_console(struct domain *domain, const char *device, uint32_t cols, uint32_t rows,
	domain_done_fn done, void *userdata, struct error *error);

/* Interfaces that come and go (domain-plug.c). 'xml' is one device; 'flags': DOMAIN_AFFECT_*, 0: what runs if the domain
 * does, else the definition. All of what is to be changed changes, or nothing. Each returns 1 when it is done already, and
 * 'done' is never called. */
int domain_attach_device(struct domain *domain, const char *xml, const char *source, unsigned flags,
	domain_done_fn done, void *userdata, struct contract_report **ret_report,
	struct error *error);
/* The device is found by its address (config/domain-device.h). */
int domain_detach_device(struct domain *domain, const char *xml, const char *source, unsigned flags,
	domain_detached_fn done, void *userdata, struct error *error);
/* Which of the live configuration's interfaces the worker, ports and statistics call 'number'. -ENOENT: none. */
int domain_nic_index(const struct domain *domain, unsigned number);
/* The configuration of the live one with this index when all that was asked of the worker is done: the next change is made of it, or it would take back
 * one that is not answered yet. The worker obeys in the order in which it was asked. Valid until the loop goes on. */
const struct net_port_config *domain_nic_asked(const struct domain *domain, unsigned index);

/* Where its threads run and what they may use, <cputune> and <memtune> (domain-tune.c). 'change' makes one change to the
 * configuration of what runs, of the definition, or of both ('flags': DOMAIN_AFFECT_*, as domain_attach_device()'s): it returns 0, or
 * a negative errno with 'error' set. It is called more than once, each time for another configuration, with a copy of 'what' ('what_size'
 * bytes; what these point to lives until 'done'). The definition follows when what runs has it. A change of what runs that comes while another one
 * waits for systemd waits behind that, and is made of what that leaves. Returns 1 when it is done already, and 'done' is never called;
 * ERROR_RESOURCE_BUSY when DOMAIN_MAX_TUNES wait. */
#define DOMAIN_MAX_TUNES 64
typedef int (*domain_change_fn)(
	struct domain_config *config, bool is_live, const void *what, struct error *error);
int domain_tune(struct domain *domain, unsigned flags, domain_change_fn change, const void *what,
	size_t what_size, domain_done_fn done, void *userdata, struct error *error);
/* The configuration that 'flags' mean: what runs is borrowed, a definition is read into '*ret_owned'. */
int domain_read_config(const struct domain *domain, unsigned flags,
	struct domain_config **ret_owned, const struct domain_config **ret_config,
	struct error *error);
/* Where a thread (process.h: a vCPU's, an iothread's, all others) may run; empty: anywhere. */
const uint64_t *domain_pin_of(const struct domain_config *config, uint32_t thread);

/* The balloon (domain-balloon.c). */

/* What the guest has now, with what it has plugged in, or would start with. */
uint64_t domain_current_memory_kib(const struct domain *domain);
/* Ask the guest to do with that much of its memory; it is done when the guest has been told, not when it has obeyed. What runs
 * remembers it, over a restart too. */
int domain_set_memory(struct domain *domain, uint64_t kib, domain_done_fn done, void *userdata,
	struct error *error);
/* The same for a while: what runs does not remember it, and 'kib' is at most <currentMemory>. */
int domain_set_balloon(struct domain *domain, uint64_t kib, domain_done_fn done, void *userdata,
	struct error *error);
/* What the guest may have (<currentMemory>), what it was told to have, and what it has, by its worker's claim. False: there is no
 * balloon, or no statistics page; all is 0 then. */
struct domain_balloon {
	uint64_t ceiling_kib, target_kib, has_kib;
};
bool domain_read_balloon(const struct domain *domain, struct domain_balloon *ret);
/* Statistics every so many seconds; 0: only when somebody asks. */
int domain_set_stats_period(struct domain *domain, uint32_t period_s, domain_done_fn done,
	void *userdata, struct error *error);
/* Ask the guest for statistics: 'done' (never with an error) when they are there or DOMAIN_STATS_USEC have passed. 1: there is nobody to
 * ask now, 'done' is never called. */
int domain_ask_stats(struct domain *domain, domain_done_fn done, void *userdata);

/* Ask the worker what KVM's MMU does: 'done' when that is in its statistics page (vm_stats_mmu). */
int domain_read_mmu_stats(
	struct domain *domain, domain_done_fn done, void *userdata, struct error *error);

/* Memory devices (domain-memory.c). Which one is meant, and how much of it the guest is to have. */
struct domain_memory_wish {
	const char *xml, *source; /* as domain_attach_device()'s; NULL: by what follows */
	const char *alias;        /* "virtiomem0"; "": any */
	int node;                 /* below 0: any */
	uint64_t kib;             /* without 'xml', which says it */
};
/* 'flags' as domain_attach_device()'s. Done when the guest has been told, not when it has obeyed. Returns 1 when it is done already, and
 * 'done' is never called. */
int domain_update_memory(struct domain *domain, const struct domain_memory_wish *wish,
	unsigned flags, domain_done_fn done, void *userdata, struct error *error);
/* Of the one with this index in what runs, and of all: what the guest has, by its worker's claim. */
uint64_t domain_memory_current_kib(const struct domain *domain, unsigned index);
uint64_t domain_plugged_kib(const struct domain *domain);

/* Of what a guest says of its memory, as libvirt names it. */
#define DOMAIN_MEMORY_STATS 10
struct domain_memory_stat {
	const char *name;
	unsigned tag;  /* vm_stats_balloon.known, .values */
	unsigned unit; /* values are divided by this: KiB, or a number */
};
extern const struct domain_memory_stat domain_memory_stats[DOMAIN_MEMORY_STATS];

struct domain_memory {
	uint32_t known; /* bits of tags */
	uint64_t values[DOMAIN_MEMORY_STATS];
	uint64_t updated_s;            /* since 1970; 0: never */
	uint64_t updated_ns;           /* the same by CLOCK_MONOTONIC */
	uint64_t given_back, reported; /* bytes that the host got back since the start */
};
/* What was said last, by its own claim. False: there is no balloon, or no statistics page; all is 0 then. */
bool domain_read_memory_stats(const struct domain *domain, struct domain_memory *ret);

/* An iothread more, or less (domain-iothread.c): 'flags' as domain_attach_device()'s. Returns 1 when it is done already, and 'done' is never
 * called. */
int domain_set_iothread(struct domain *domain, uint32_t id, bool on, unsigned flags,
	domain_done_fn done, void *userdata, struct error *error);

/* So many vCPUs (domain-vcpu.c): 'flags' as domain_attach_device()'s; with VCPU_MAXIMUM so many at most, in the definition. Of
 * fewer, 'done' hears false when the guest has not let go of them in time; they go when it does. Returns 1 when it is done already,
 * and 'done' is never called. */
#define DOMAIN_VCPU_MAXIMUM (1U << 2)
int domain_set_vcpus(struct domain *domain, uint32_t n, unsigned flags, domain_detached_fn done,
	void *userdata, struct error *error);
/* Of what runs. */
bool domain_vcpu_is_online(const struct domain *domain, uint32_t vcpu);

/* The live (or, with 'inactive' or when inactive, the persistent) XML; the caller frees it. */
int domain_format_xml(
	const struct domain *domain, bool inactive, char **ret_xml, struct error *error);

/* libvirt's words. */
const char *domain_state_name(enum domain_state state);
const char *domain_reason_name(enum domain_state state, int reason);
