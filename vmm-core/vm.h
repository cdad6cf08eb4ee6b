/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * struct vm: one virtual machine inside its worker: memory, bus, interrupts, devices, vCPUs, and the state machine
 * over them.
 *
 *	vm_build()  makes it from a checked configuration and fds (vm-build.c: the one place that fixes the order)
 *	vm_start()  lets the vCPUs run
 *	vm_aim()    asks for another state; the answer comes through vm_owner.settled
 *
 * Changing state never waits. vm_aim() closes the vCPUs' gate; when the last vCPU has parked, the loop asks the
 * devices to become quiet; when the last is, the aim is reached: the vm is paused, or was reset and runs again, or
 * stopped. Of two aims, STOP wins, and PAUSE with RESET is a reset that ends paused; the first reason stays.
 *
 * The guest's own wishes (reset, power off, panic) come from devices through machine_request() and become aims on
 * the loop thread.
 *
 * Threads: all functions are for the loop thread with the machine's lock held (device.h; loop callbacks hold it), vm_build()
 * and vm_free() before and after the loop runs.
 */
#pragma once

#include <semaphore.h>

#include "vmm-core/device.h"
#include "vmm-core/proto.h"
#include "vmm-core/vcpu.h"

#define VM_MAX_DEVICES 128

enum vm_aim { VM_AIM_NONE, VM_AIM_START, VM_AIM_PAUSE, VM_AIM_RESET, VM_AIM_STOP };

/* Who runs the vm (control-events.c) learns of changes here, on the loop thread. */
struct vm_owner {
	/* The state, or its reason, changed. 'text' may be empty, never NULL. */
	void (*state)(void *opaque, enum proto_vm_state state, enum proto_vm_reason reason,
		int code, const char *text);
	void (*notice)(void *opaque, enum proto_notice_kind kind, unsigned index, const char *text);
	/* vNICs that were to be removed are gone. */
	void (*nics_changed)(void *opaque);
	/* vCPUs are there that were not, or are gone. */
	void (*vcpus_changed)(void *opaque);
	/* Memory devices that were to be removed are gone. */
	void (*memories_changed)(void *opaque);
	/* What vm_aim() asked for was reached (0), overtaken by STOP (-ECANCELED), or failed; vm->aim_text then says
	 * why, if there is more to say. */
	void (*settled)(void *opaque, enum vm_aim aim, int error);
	/* What vm_iothread_add() or vm_iothread_remove() was asked for with 'tag' is so. */
	void (*iothread_settled)(void *opaque, uint32_t tag);
	/* In each vCPU thread, each disk thread and each iothread, before it works. */
	int (*enter_vcpu_sandbox)(void *opaque);
	int (*enter_io_sandbox)(void *opaque);
	int (*enter_iothread_sandbox)(void *opaque);
	void *opaque;
};

/* The fds of START, by kind; all owned by the vm from vm_build() on. */
struct vm_fds {
	int kvm, stats, kernel, initrd;
	int ram[VM_MAX_CELLS]; /* one for each cell; without cells the first */
	int plug;              /* room for memory devices */
	int serials[VM_MAX_SERIALS], consoles[VM_MAX_CONSOLES], channels[VM_MAX_CHANNELS];
	uint8_t serial_flags[VM_MAX_SERIALS], console_flags[VM_MAX_CONSOLES],
		channel_flags[VM_MAX_CHANNELS]; /* PROTO_FD_LISTENING */
	struct machine_fds devices;
};

struct vm_iothread {
	struct vm *vm;
	struct loop *loop; /* its own; the following is under its lock */
	pthread_t thread;
	void *stack;
	bool started, quit;
	sem_t ready; /* it has its name, and its sandbox is closed (or cannot be) */
	int bell_fd; /* look at 'quit' */
	struct loop_source *bell;
	uint32_t id;   /* 0: this place is free */
	bool is_there; /* the thread has its name, and its sandbox is closed; it is about to end */
	bool settling; /* somebody waits for it to be there, or to be gone, */
	uint32_t tag;  /* and said this */
};

struct vm {
	struct vm_config config;
	struct vm_fds fds;
	struct guest_mem mem;
	struct kvm kvm;
	struct machine machine;
	struct loop *loop; /* not owned */
	unsigned n_devices;
	struct device *devices[VM_MAX_DEVICES];
	unsigned n_vcpus;
	struct vcpu *vcpus;
	struct cpuid_table cpuid;
	struct vm_iothread iothreads[VM_MAX_IOTHREADS]; /* places */
	struct vcpu_gate gate;
	struct vcpu_host vcpu_host;
	struct loop_source *gate_source, *request_source;
	struct loop_timer drain_timer;
	struct boot_entry entry;
	struct vm_stats_page *stats;
	bool mmu_found;
	uint64_t mmu_offsets[VM_MMU_X_MAX]; /* kvm-stats.h */
	uint64_t boot_ns[VM_BOOT_X_MAX];    /* of the page, until there is one */
	const struct vm_owner *owner;
	bool stop_on_reset, stop_on_panic;
	uint64_t memories_told[VM_MAX_MEMORIES]; /* by the last notices, in bytes */

	enum proto_vm_state state;
	enum proto_vm_reason reason;
	int code;
	char text[PROTO_REASON_MAX];

	enum vm_aim aim;
	enum proto_vm_reason aim_reason;
	int aim_code;
	char aim_text[PROTO_REASON_MAX];
	bool run_after; /* what START and RESET go on to; if not, they end paused for aim_reason */
	bool pausing;   /* a PAUSE is to be settled together with them */

	/* Requests from devices, under a lock that is taken inside all others. */
	pthread_mutex_t request_lock;
	int request_fd;
	uint32_t requests; /* bits of enum machine_request */
	int request_args[MACHINE_REQUEST_X_MAX];
	bool failed;
	struct vcpu_failure failure;
};

void vm_fds_init(struct vm_fds *fds);
void vm_fds_done(struct vm_fds *fds);

/* Make the machine. 'fds' is taken over, whatever the answer. On failure the answer is negative, '*ret_vm' unset,
 * and ret_reason (of PROTO_REASON_MAX bytes) says which stage failed and why. */
int vm_build(const struct vm_config *config, struct vm_fds *fds, struct loop *loop,
	int64_t wall_offset_s, const struct vm_owner *owner, struct vm **ret_vm, char *ret_reason);
/* Ends the vCPU threads first. Takes NULL; answers NULL. */
struct vm *vm_free(struct vm *vm);
DEFINE_CLEANUP(struct vm *, vm_free);

/* (Re)write what the guest finds in memory at power-on: ACPI, SMBIOS, kernel. Part of vm_build() and of a reset. */
int vm_load_boot(struct vm *vm, char *ret_reason);

/* Bring what KVM says of its MMU into the statistics page. Returns 0, -ENOTSUP (this kernel does not say), or -errno. */
int vm_read_mmu(struct vm *vm);

/* Set up the watching of vCPUs and requests; vCPU threads exist and are parked afterwards. */
/* The channel from devices and vCPUs to the loop; before any device is made. */
int vm_init_events(struct vm *vm);
int vm_start_threads(struct vm *vm, char *ret_reason);
/* A moment of the start has come: into the statistics page, if there is one. Loop's thread. */
void vm_note_boot(struct vm *vm, enum vm_boot_moment moment);
/* Go from NEW to RUNNING, or to PAUSED, once every vCPU thread has closed its sandbox; then settled(START). */
void vm_start(struct vm *vm, bool paused);

/* PAUSE, RESET or STOP. 0: under way, 'settled' will be called, once for all who asked, later; -EALREADY: is so
 * already; -EINVAL: not possible in this state (stopped, or STOP is under way). */
int vm_aim(struct vm *vm, enum vm_aim aim, enum proto_vm_reason reason, int code, const char *text);

/* It runs, and a PAUSE that it was asked for is under way. */
bool vm_is_pausing(const struct vm *vm);
/* PAUSED -> RUNNING. Requests that an error policy held back are repeated. -EINVAL when not paused. */
int vm_resume(struct vm *vm);
/* -ENOTSUP without ACPI. */
int vm_power_button(struct vm *vm);
int vm_inject_nmi(struct vm *vm);

/* vNICs that come and go (vm-plug.c). 'number' is the place in machine.nics[], vm_config.nics[] and the statistics page. */

/* Make it and tell the guest, in any state but STOPPED. 'tap_fd' (-EBADF: none) is taken over, whatever the answer. -ENOTSUP without ACPI, -EEXIST when the number or its slot is taken,
 * -EINVAL when it does not go together with the rest of the configuration, -ENOSPC; nothing has changed then, and ret_reason
 * (of PROTO_REASON_MAX bytes) says why. */
int vm_nic_add(
	struct vm *vm, unsigned number, const struct vm_nic *nic, int tap_fd, char *ret_reason);
/* Ask the guest to let go of it. When it does (which may be never), or is reset, the vNIC is freed and
 * vm_owner.nics_changed() called. -ENOTSUP without ACPI; -ENODEV: there is none. */
int vm_nic_remove(struct vm *vm, unsigned number, char *ret_reason);
/* MACHINE_EJECT came. */
void vm_collect_ejected(struct vm *vm);
/* Those that exist: a bit each. */
uint32_t vm_nics(const struct vm *vm);

/* Memory that comes and goes (vm-memory.c). 'number' is the place in machine.memories[], vm_config.memories[] and the statistics
 * page. */

/* The region of the device that vm_config.memories[number] describes, with what the guest is to have of it usable: before any vCPU
 * runs for those of the configuration. 0, or guest_plug_add()'s or guest_plug_grow()'s error. */
int vm_memory_make(struct vm *vm, unsigned number);
/* Make it and tell the guest, in any state but STOPPED. As vm_nic_add(). */
int vm_memory_add(struct vm *vm, unsigned number, const struct vm_memory *memory, char *ret_reason);
/* The guest is to have so much of it; it is no longer to be removed then, if that is something. -ENODEV; or machine_memory_ops.set()'s error. */
int vm_memory_set(struct vm *vm, unsigned number, uint64_t kib, char *ret_reason);
/* Ask the guest to let go of the device, of which it has nothing and is to have nothing (-EBUSY otherwise). When it does, or is reset, it
 * is freed and vm_owner.memories_changed() called. -ENOTSUP without ACPI; -ENODEV: there is none. */
int vm_memory_remove(struct vm *vm, unsigned number, char *ret_reason);
/* MACHINE_MEMORY came: notices for those whose size has changed. */
void vm_collect_memories(struct vm *vm);
/* Devices were freed: the regions of memory devices go. Answers whether there were any. */
bool vm_forget_memories(struct vm *vm);
/* Those that exist: a bit each. */
uint32_t vm_memories(const struct vm *vm);

/* vCPUs that come and go (vm-vcpu.c). */

/* vCPUs 0 … n - 1 are to be there: those that lack are at once; the guest is asked to let go of the others, and when it does
 * (which may be never), or is reset, vm_owner.vcpus_changed() is called. A guest that will not says so by a notice. -ENOTSUP
 * without ACPI; -EINVAL: not so many, or the vm has stopped. */
int vm_vcpus_set(struct vm *vm, unsigned n, char *ret_reason);
/* MACHINE_VCPUS came. */
void vm_collect_vcpus(struct vm *vm);
/* Those that are there: a bit each. */
void vm_vcpus(const struct vm *vm, uint32_t ret_vcpus[PROTO_VCPU_WORDS]);

/* Iothreads (vm-iothread.c). */

/* Make those of the configuration. Before any device is made. 'ret_reason' as with the others. */
int vm_iothreads_start(struct vm *vm, char *ret_reason);
/* All are called as they are to be, and in their sandboxes: the host may look for them. Once. */
void vm_iothreads_wait(struct vm *vm);
/* They end; then their devices may be freed, and then the rest of them. Both cope with what was never started. */
void vm_iothreads_stop(struct vm *vm);
void vm_iothreads_free(struct vm *vm);
/* NULL: there is no such iothread, or 'id' is 0: the vm's own loop. */
struct loop *vm_iothread_loop(struct vm *vm, uint32_t id);
/* Make iothread 'id'. 0: vm_owner.iothread_settled() follows. -EEXIST; -ENOSPC: there are VM_MAX_IOTHREADS, counting those that are going;
 * -EINVAL: no such id, or the vm has stopped; or another -errno: the host makes no thread. */
int vm_iothread_add(struct vm *vm, uint32_t id, uint32_t tag, char *ret_reason);
/* It ends. 0 as above; -ENOENT; -EBUSY: a disk uses it, or it is settling. */
int vm_iothread_remove(struct vm *vm, uint32_t id, uint32_t tag, char *ret_reason);
/* MACHINE_IOTHREADS came. */
void vm_collect_iothreads(struct vm *vm);

/* 'vm->config' with the vNICs and memory devices that there are, each in a row, as the validator wants them (vm-plug.c). */
void vm_config_now(const struct vm *vm, struct vm_config *ret);
/* Free one of vm->devices[] (vm-plug.c). */
void vm_drop_device(struct vm *vm, struct device *dev);
/* Make a device of the registry, and keep it (vm-board.c). 'ret_reason' says what failed. */
int vm_add_device(struct vm *vm, const char *class_name, unsigned instance, struct device **ret_dev,
	char *ret_reason);
