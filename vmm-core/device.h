/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Devices: the class table, the operations, and what the machine offers to a device.
 *
 * A device model is one file under devices/ with one `const struct device_class` that devices/registry.c
 * lists; vmm-core finds it by name and never includes devices/. A model's state struct embeds
 * `struct device` as its first member and comes back with container_of().
 *
 * Life: device_new() allocates class->size zeroed bytes; realize() acquires all that can fail (fds, GSIs, bus
 * ranges of its own, loop sources); reset() puts the registers to power-on values, is idempotent and cannot
 * fail; then reads, writes, timers and kicks; save() and load() only while the vCPUs are stopped and after
 * the device is quiet; unrealize() gives everything back and copes with a realize() that failed half-way.
 *
 * Rules. A device never learns its base address. It never locks, sleeps, polls or reads a clock other than
 * machine_now_ns(). A guest's mistake is no error of ours: all-ones for a read, ignored for a write, and
 * log_guest() once. A missing read() answers all-ones, a missing write() ignores; a missing save() means the vm
 * cannot be saved, and the error names the device.
 *
 * Threads. A device has a home, the loop on which it is called back: the machine's, or an iothread's. It is entered by
 * the functions at the end of this file, on a vCPU's thread or the machine's loop, with the lock of the machine's loop
 * ("the machine's lock") and the lock of its home; and by callbacks of its home, with the lock of that. So what is the
 * device's own is always safe, and what is the machine's (the bus, lines and routes of interrupts, other devices) is safe
 * unless device_is_away(): then it is handed over (device_hand_over()). The machine's lock is always taken first, and
 * who has none but an iothread's waits for no other. Device code takes no lock; only the PCI root, which leads from one
 * device into others, enters them as vmm-core does.
 */
#pragma once

#include "config/vm-config.h"
#include "vmm-core/base/loop.h"
#include "vmm-core/bus.h"
#include "vmm-core/guest-mem.h"
#include "vmm-core/irq.h"
#include "vmm-core/state.h"

struct device;
struct machine;

/* What a device asks of the machine as a whole. */
enum machine_request {
	/* In the order in which they count when they come together. */
	MACHINE_PANICKED,    /* pvpanic: the guest crashed */
	MACHINE_RESET,       /* reset register, i8042, triple fault */
	MACHINE_POWEROFF,    /* ACPI S5 */
	MACHINE_CRASHLOADED, /* pvpanic: the guest crashed and runs its crash kernel: reported only */
	MACHINE_DEBUG_EXIT, /* test guests: 'arg' is the code */
	MACHINE_IO_ERROR,   /* a disk's policy is stop: 'arg' is the disk's index */
	MACHINE_EJECT,      /* machine_hotplug_ops.ejected() has devices to be freed */
	MACHINE_BALLOON, /* the guest gave up memory, or took it back: 'arg' is how many pages are given up */
	MACHINE_BALLOON_STATS, /* what machine_balloon_ops.ask() asked for is in the statistics page */
	MACHINE_VCPUS,         /* machine_cpu_ops.is_present() has changed */
	MACHINE_MEMORY,        /* machine_memory_ops.size() of some memory device has changed */
	MACHINE_VCPU_REFUSED, /* the guest will not let go of vCPU 'arg' */
	MACHINE_HANDED_OVER,  /* device_take_over() has work */
	MACHINE_IOTHREADS,    /* vm_collect_iothreads() has */
	MACHINE_DISK_ERRORS, /* the host failed, and the guest was told: 'arg' has a bit for the disk; they add up */
	MACHINE_REQUEST_X_MAX
};

struct machine_ops {
	/* From any thread. */
	void (*request)(void *opaque, enum machine_request request, int arg);
	/* The first thing in a thread that a device made for blocking I/O (in realize()): close the sandbox around
	 * it. When this fails the thread does no I/O. NULL: there is no sandbox. */
	int (*enter_io_thread)(void *opaque);
};

/* Fds of START that devices take (vmm-core/proto.h). */
struct machine_fds {
	int disks[VM_MAX_DISKS]; /* -EBADF: none; a device that takes one over sets it to -EBADF */
	int rng;
	int nics[VM_MAX_NICS]; /* taps; as with disks */
};

struct vm_stats_page; /* vmm-core/stats.h */
struct proto_link;    /* vmm-core/proto.h */
struct proto_link_id;
struct proto_links;
struct proto_capture;
struct proto_balloon;

/* What the host asks of a vNIC, for control-net.c, which knows no device. Loop thread, the machine's lock held. */
struct machine_nic_ops {
	/* Another address, VLANs, limits, link state; the guest is told what it can see of it. -ENOTSUP: another MTU,
	 * which cannot change while the device exists. Else nic_reconfigure()'s errors, with everything as it was. */
	int (*set)(struct device *dev, const struct net_port_config *config);
	/* Tell the switches, and ask the guest to tell its neighbours, where it is now. */
	int (*announce)(struct device *dev);
	/* fds[PROTO_LINK_FDS] are taken over, whatever the answer. */
	int (*link_add)(struct device *dev, const struct proto_link *link, int *fds);
	int (*link_use)(struct device *dev, const struct proto_link_id *id);
	int (*link_remove)(struct device *dev, uint32_t id);
	/* Its direct links; 'ret->nic' is the caller's to write. */
	void (*links)(struct device *dev, struct proto_links *ret);
	/* The fds are taken over, whatever the answer: captures_add()'s. */
	int (*capture)(
		struct device *dev, const struct proto_capture *capture, int fd, int counts_fd);
};

/* What the host asks of the balloon, for control-vm.c likewise. */
struct machine_balloon_ops {
	/* Another target, another period of statistics. -EINVAL, with all as it was. */
	int (*set)(struct device *dev, const struct proto_balloon *what);
	/* Ask the guest for statistics: MACHINE_BALLOON_STATS follows when (and if) it answers. -ENODATA: it has no driver that
	 * could, or does not run. */
	int (*ask)(struct device *dev);
};

/* What the host asks of a memory device, likewise. */
struct machine_memory_ops {
	/* How much of it the guest is to have, in bytes. -EINVAL: more than there is, or no whole block; -errno, with all as it was:
	 * KVM refuses. */
	int (*set)(struct device *dev, uint64_t bytes);
	/* How much of it the guest has. MACHINE_MEMORY follows when it changes, at most once a second, and the last of it always. */
	uint64_t (*size)(const struct device *dev);
};

/* Cards that come and go while the vm exists; implemented by "acpi-pci-hotplug". Loop thread, the machine's lock held. */
struct machine_hotplug_ops {
	/* 'card', a PCI function that was just made, is in its slot: tell the guest. -ENOSPC: no room for its BARs. */
	int (*plug)(struct device *hotplug, struct device *card);
	/* Ask the guest to let go of it; asked again, it is told again. MACHINE_EJECT follows when it did, or was reset. */
	void (*unplug)(struct device *hotplug, struct device *card);
	/* It is to stay after all: a guest that was asked, and lets go of it only now, is not obeyed. -ENODEV: it has already. */
	int (*keep)(struct device *hotplug, struct device *card);
	/* One of those that the guest let go of; it is the caller's to free. NULL: there is none (left). */
	struct device *(*ejected)(struct device *hotplug);
};

/* vCPUs that come and go; implemented by "acpi-cpu-hotplug". Loop thread, the machine's lock held. */
struct machine_cpu_ops {
	/* vCPUs 0 … n - 1 are to be there, and no others: those that lack are there at once, the others when the guest has let go of
	 * them, or is reset; MACHINE_VCPUS follows. Asked again, the guest is told again. */
	void (*set)(struct device *cpu_hotplug, unsigned n);
	bool (*is_present)(const struct device *cpu_hotplug, unsigned vcpu);
};

/* What the machine offers to its devices. Filled by vm-build.c, or by tests/fakes/fake-machine.c. */
struct machine {
	const struct vm_config *config;
	struct guest_mem *mem;
	struct bus *bus;
	struct irq *irq;
	struct loop *loop;
	struct machine_fds *fds;
	struct chardev
		*serials[VM_MAX_SERIALS]; /* vmm-core/chardev.h; made by vm-build, NULL: null */
	struct chardev *consoles[VM_MAX_CONSOLES];
	struct chardev *channels[VM_MAX_CHANNELS];
	/* Of each disk that has <iotune>; the disk's while it is realized, here for others of its group. */
	struct block_throttle *throttles[VM_MAX_DISKS];
	struct device *pci_root;                      /* set by the host bridge in its realize() */
	struct device *acpi_pm;                       /* set likewise; may be NULL */
	void (*power_button)(struct device *acpi_pm); /* set with it */
	struct device *hotplug;                       /* set likewise; NULL without ACPI */
	const struct machine_hotplug_ops *hotplug_ops;
	struct device *cpu_hotplug; /* likewise */
	const struct machine_cpu_ops *cpu_ops;
	struct device *nics[VM_MAX_NICS];      /* set by each vNIC in its realize() */
	const struct machine_nic_ops *nic_ops; /* set with the first of them */
	struct device *balloon;                /* set likewise; NULL: there is none */
	const struct machine_balloon_ops *balloon_ops;
	struct device *memories[VM_MAX_MEMORIES]; /* set by each memory device in its realize() */
	const struct machine_memory_ops *memory_ops; /* set with the first of them */
	int64_t wall_offset_s;       /* guest wall clock = host CLOCK_REALTIME + this */
	struct vm_stats_page *stats; /* may be NULL */
	const struct machine_ops *ops;
	void *ops_opaque;
};

static inline uint64_t machine_now_ns(const struct machine *m)
{
	return loop_now_ns(m->loop);
}

static inline void machine_request(struct machine *m, enum machine_request request, int arg)
{
	m->ops->request(m->ops_opaque, request, arg);
}

struct device_ops {
	/* 'dev->machine' and 'dev->instance' are set. Returns 0 or -errno. May be NULL. */
	int (*realize)(struct device *dev);
	/* Also after a failed realize(). May be NULL. */
	void (*unrealize)(struct device *dev);
	void (*reset)(struct device *dev);
	/* 'size' is 1, 2, 4 or 8 and offset + size lies within the range given to bus_add(). */
	uint64_t (*read)(struct device *dev, unsigned region, uint64_t offset, unsigned size);
	void (*write)(struct device *dev, unsigned region, uint64_t offset, unsigned size,
		uint64_t value);
	/* Write the fields (the caller opens and closes the section). */
	void (*save)(const struct device *dev, struct state_writer *w);
	/* Takes what save() of the same class->state_version wrote; r->version was checked by the caller.
	 * Returns 0 or -EBADMSG, with the device as it was. Timers and lines are restored from the fields. */
	int (*load)(struct device *dev, struct state_reader *r);
	/* All devices exist: what needs the others (assigning BARs). Called once, before the vm runs. May be
	 * NULL. */
	int (*machine_done)(struct device *dev);
	/* Stop starting new work and wait for nothing: answers true when no request is in flight. While a pause,
	 * reset or stop is under way it is called again every millisecond until it answers true. NULL: always
	 * quiet. */
	bool (*quiesce)(struct device *dev);
	/* The vCPUs are about to run (again): start what quiesce() held back. May be NULL. */
	void (*resume)(struct device *dev);
	/* On the machine's loop, after device_hand_over(): do what could not be done away from it, if it is still to be done. NULL: the
	 * device has no home but that. */
	void (*take_over)(struct device *dev);
};

struct device_class {
	const char *name;       /* "ns16550", "virtio-blk-pci" */
	uint32_t state_version; /* goes up with the layout of save() */
	size_t size;            /* of the model's struct */
	const struct device_ops *ops;
};

struct device {
	const struct device_class *class;
	struct machine *machine;
	struct loop *home; /* an iothread's; NULL: the machine's */
	_Atomic bool handed_over;
	unsigned instance; /* which of its kind: index into vm_config's array */
	char name[40];     /* "ns16550.0", for messages and state sections */
};

/* Where its fds and timers belong. */
static inline struct loop *device_loop(const struct device *dev)
{
	return dev->home ?: dev->machine->loop;
}

/* The caller is the device's iothread: what is the machine's is out of reach. */
static inline bool device_is_away(const struct device *dev)
{
	return dev->home && loop_is_mine(dev->home);
}

/* Have take_over() called, once for all that was handed over until then. A reset of the device makes it void. */
void device_hand_over(struct device *dev);
/* For who answers MACHINE_HANDED_OVER: of this device, if it was it. */
void device_take_over(struct device *dev);

/* The registry: implemented by devices/registry.c, or by a test's own table. NULL if there is none. */
const struct device_class *device_class_find(const char *name);
/* The registry's class number 'i', NULL behind the last: for what has to walk it. */
const struct device_class *device_class_at(unsigned i);

/* Allocate, realize and reset. Returns 0 or realize()'s error. */
int device_new(const struct device_class *class, struct machine *machine, unsigned instance,
	struct device **ret_dev);
/* The same with a home of its own; NULL: the machine's loop. */
int device_new_at(struct loop *home, const struct device_class *class, struct machine *machine,
	unsigned instance, struct device **ret_dev);
/* Unrealize and free. Takes NULL; answers NULL. */
struct device *device_free(struct device *dev);
DEFINE_CLEANUP(struct device *, device_free);

/* The way into a device for who has the machine's lock; the functions below go it by themselves. */
void device_enter(const struct device *dev);
void device_leave(const struct device *dev);

void device_reset(struct device *dev);
/* 0 where the class has no such operation. */
int device_machine_done(struct device *dev);
/* true and nothing where the class has no such operation. */
bool device_quiesce(struct device *dev);
void device_resume(struct device *dev);
uint64_t device_read(struct device *dev, unsigned region, uint64_t offset, unsigned size);
void device_write(
	struct device *dev, unsigned region, uint64_t offset, unsigned size, uint64_t value);
/* One section. -ENOTSUP when the model cannot be saved. */
int device_save(const struct device *dev, struct state_writer *w);
/* Load the section 'r'. -ENOTSUP, or -EBADMSG when name, instance or version do not match or load() refused. */
int device_load(struct device *dev, struct state_reader *r);
