/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The worker's conversation with the daemon: see control.h and proto.h. */
#include "vmm-core/control.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "vmm-core/base/fdio.h"
#include "vmm-core/base/log.h"
#include "vmm-core/chardev.h"
#include "vmm-core/control-internal.h"
#include "vmm-core/proto-check.h"
#include "vmm-core/sandbox.h"

/* Requests that wait for a change of state; the daemon has a few at most. */
#define MAX_PENDING 16
/* Notices a second: a guest can cause as many as it likes, and what fills the socket would end the connection. */
#define MAX_NOTICES 16

struct control {
	struct loop *loop;
	struct loop_source *source, *listen_source;
	bool connected;
	/* One of the two, from START on. */
	struct vm *vm;
	struct network *network;
	uint8_t uuid[16];
	struct vm_owner owner;
	struct network_owner network_owner;
	enum sandbox_mode sandbox_mode;
	uint64_t notices_since_ns; /* begin of the second in which n_notices were sent */
	unsigned n_notices;
	struct {
		uint32_t seq;
		enum vm_aim aim; /* VM_AIM_NONE: free */
	} pending[MAX_PENDING];
	uint32_t iothread_seqs[MAX_PENDING]; /* likewise, for an iothread to be named; 0: free */
};

/* Sending. */

static void disconnect(struct control *control)
{
	control->source = loop_source_remove(control->source);
	if (control->connected)
		(void)shutdown(PROTO_CONTROL_FD, SHUT_RDWR);
	control->connected = false;
	/* Without a vm or a network there is nothing to live for. */
	if (!control->vm && !control->network)
		loop_exit(control->loop, EXIT_FAILURE);
}

/* 0, -ENOTCONN or -EAGAIN: no room now. */
static int try_message(struct control *control, enum proto_type type, uint32_t seq, int error,
	const void *payload, size_t len)
{
	struct {
		struct proto_header header;
		uint8_t payload[PROTO_MAX_PAYLOAD];
	} packet = {
		.header = {.version = PROTO_VERSION,
			.type = type,
			.seq = seq,
			.len = (uint32_t)len,
			.error = error},
	};

	int r;

	if (!control->connected)
		return -ENOTCONN;
	if (len)
		memcpy(packet.payload, payload, len);
	r = send_packet(PROTO_CONTROL_FD, &packet, sizeof(packet.header) + len, NULL, 0);
	if (r >= 0 || r == -EAGAIN)
		return r;
	disconnect(control);
	return -ENOTCONN;
}

/* What must not be lost: a daemon that reads none of it is given up. */
static void send_message(struct control *control, enum proto_type type, uint32_t seq, int error,
	const void *payload, size_t len)
{
	if (try_message(control, type, seq, error, payload, len) == -EAGAIN)
		disconnect(control);
}

static void reply(struct control *control, uint32_t seq, int error, const char *text)
{
	struct proto_reason reason = {0};

	if (error >= 0) {
		send_message(control, PROTO_REPLY, seq, 0, NULL, 0);
		return;
	}
	(void)snprintf(reason.text, sizeof(reason.text), "%s", text ? text : strerror(-error));
	send_message(control, PROTO_REPLY, seq, error, &reason, sizeof(reason));
}

static void send_state(struct control *control, enum proto_type type)
{
	struct proto_state state = {.state = PROTO_VM_NEW, .pid = (uint32_t)getpid()};

	if (control->vm) {
		state.state = control->vm->state;
		state.reason = control->vm->reason;
		state.code = control->vm->code;
		state.nics = vm_nics(control->vm);
		memcpy(state.text, control->vm->text, sizeof(state.text));
	} else if (control->network) {
		state.state = PROTO_VM_RUNNING;
	}
	memcpy(state.uuid, control->uuid, sizeof(state.uuid));
	send_message(control, type, 0, 0, &state, sizeof(state));
}

/* What the vm tells. */

static void on_state(void *opaque, enum proto_vm_state state, enum proto_vm_reason reason, int code,
	const char *text)
{
	struct control *control = opaque;

	(void)reason;
	(void)code;
	(void)text;
	if (control->vm)
		send_state(control, PROTO_STATE);
	/* With no daemon there to hear it, the end waits for the next one: how a guest ended is never lost. */
	if (state == PROTO_VM_STOPPED && control->connected)
		loop_exit(control->loop, EXIT_SUCCESS);
}

static bool may_notice(struct control *control)
{
	uint64_t now_ns = loop_now_ns(control->loop);

	if (now_ns - control->notices_since_ns >= NSEC_PER_SEC) {
		control->notices_since_ns = now_ns;
		control->n_notices = 0;
	}
	return control->n_notices++ < MAX_NOTICES;
}

static void on_notice(void *opaque, enum proto_notice_kind kind, unsigned index, const char *text)
{
	struct proto_notice notice = {.kind = kind, .index = index};

	if (!may_notice(opaque))
		return;
	(void)snprintf(notice.text, sizeof(notice.text), "%s", text);
	/* A daemon that has no room for it now hears less, and keeps its connection. */
	(void)try_message(opaque, PROTO_NOTICE, 0, 0, &notice, sizeof(notice));
}

static bool on_net_event(void *opaque, const struct proto_net_event *event)
{
	struct control *control = opaque;

	return control->connected && may_notice(control) &&
		try_message(control, PROTO_NET_EVENT, 0, 0, event, sizeof(*event)) == 0;
}

static int on_team(void *opaque, enum proto_type type, const void *payload, size_t len)
{
	return try_message(opaque, type, 0, 0, payload, len);
}

static void on_nics(void *opaque)
{
	send_state(opaque, PROTO_STATE);
}

static void on_vcpus(void *opaque)
{
	const struct control *control = opaque;
	struct proto_vcpus vcpus;

	/* While the vm is made nobody has it yet. */
	if (!control->vm)
		return;
	vm_vcpus(control->vm, vcpus.bits);
	send_message(opaque, PROTO_VCPUS, 0, 0, &vcpus, sizeof(vcpus));
}

static void on_memories(void *opaque)
{
	const struct control *control = opaque;
	struct proto_memories memories;

	if (!control->vm)
		return;
	memories.bits = vm_memories(control->vm);
	send_message(opaque, PROTO_MEMORIES, 0, 0, &memories, sizeof(memories));
}

static void tell_cpuid(struct control *control)
{
	const struct vm *vm = control->vm;
	struct proto_cpuid told = {0};

	if (!vm)
		return;
	static_assert(CPUID_MAX_ENTRIES <= VM_MAX_CPUID_LEAVES, "all of them fit");
	told.n = vm->cpuid.n;
	told.tsc_khz = vm->vcpus[0].tsc_khz;
	for (unsigned i = 0; i < told.n; i++) {
		const struct kvm_cpuid_entry2 *e = &vm->cpuid.entries[i];

		told.leaves[i] = (struct vm_cpuid_leaf){.leaf = e->function,
			.subleaf = e->index |
				(e->flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX ? VM_CPUID_INDEXED : 0),
			.eax = e->eax,
			.ebx = e->ebx,
			.ecx = e->ecx,
			.edx = e->edx};
	}
	send_message(control, PROTO_CPUID, 0, 0, &told, sizeof(told));
}

static void on_settled(void *opaque, enum vm_aim aim, int error)
{
	struct control *control = opaque;
	const char *text = control->vm ? control->vm->aim_text : "";

	if (!*text)
		text = error == -ECANCELED ? "the vm changed its state meanwhile" : NULL;
	for (unsigned i = 0; i < MAX_PENDING; i++) {
		if (control->pending[i].aim != aim)
			continue;
		control->pending[i].aim = VM_AIM_NONE;
		reply(control, control->pending[i].seq, error, text);
	}
}

static int on_vcpu_thread(void *opaque)
{
	const struct control *control = opaque;

	return sandbox_enter_thread(SECCOMP_VCPU, control->sandbox_mode);
}

static void on_iothread_settled(void *opaque, uint32_t tag)
{
	struct control *control = opaque;

	for (unsigned i = 0; i < MAX_PENDING; i++) {
		if (!tag || control->iothread_seqs[i] != tag)
			continue;
		control->iothread_seqs[i] = 0;
		reply(control, tag, 0, NULL);
		return;
	}
}

static int on_iothread(void *opaque)
{
	const struct control *control = opaque;

	return sandbox_enter_thread(SECCOMP_IOTHREAD, control->sandbox_mode);
}

static int on_io_thread(void *opaque)
{
	const struct control *control = opaque;

	return sandbox_enter_thread(SECCOMP_IO, control->sandbox_mode);
}

/* Handlers: 0: answered later or no answer due; 1: answer with success; -errno: with failure. */

static int add_pending(struct control *control, uint32_t seq, enum vm_aim aim)
{
	for (unsigned i = 0; i < MAX_PENDING; i++) {
		if (control->pending[i].aim != VM_AIM_NONE)
			continue;
		control->pending[i].seq = seq;
		control->pending[i].aim = aim;
		return 0;
	}
	return -EBUSY;
}

static int take_aim(struct control *control, const struct message *m, enum vm_aim aim)
{
	int r;

	if (!control->vm)
		return -ENODEV;
	r = add_pending(control, m->header.seq, aim);
	if (r < 0)
		return r;
	r = vm_aim(control->vm, aim, PROTO_REASON_USER, 0, "");
	if (r == 0)
		return 0;
	for (unsigned i = 0; i < MAX_PENDING; i++)
		if (control->pending[i].aim == aim && control->pending[i].seq == m->header.seq)
			control->pending[i].aim = VM_AIM_NONE;
	return r == -EALREADY ? 1 : r;
}

static int handle_pause(struct control *control, struct message *m)
{
	return take_aim(control, m, VM_AIM_PAUSE);
}

static int handle_reset(struct control *control, struct message *m)
{
	return take_aim(control, m, VM_AIM_RESET);
}

static int handle_quit(struct control *control, struct message *m)
{
	if (control->vm)
		return take_aim(control, m, VM_AIM_STOP);
	loop_exit(control->loop, EXIT_SUCCESS);
	return 1;
}

static int handle_resume(struct control *control, struct message *m)
{
	int r;

	(void)m;
	if (!control->vm)
		return -ENODEV;
	r = vm_resume(control->vm);
	return r < 0 ? r : 1;
}

static int handle_power_button(struct control *control, struct message *m)
{
	int r;

	(void)m;
	if (!control->vm)
		return -ENODEV;
	r = vm_power_button(control->vm);
	return r < 0 ? r : 1;
}

static int handle_nmi(struct control *control, struct message *m)
{
	int r;

	(void)m;
	if (!control->vm)
		return -ENODEV;
	r = vm_inject_nmi(control->vm);
	return r < 0 ? r : 1;
}

static int handle_vcpus(struct control *control, struct message *m)
{
	char reason[PROTO_REASON_MAX] = "";
	struct proto_vcpu_set set;
	int r;

	memcpy(&set, m->payload, sizeof(set));
	if (!control->vm)
		return -ENODEV;
	r = vm_vcpus_set(control->vm, set.n, reason);
	if (r >= 0)
		return 1;
	reply(control, m->header.seq, r, reason);
	return 0;
}

static int handle_iothread(struct control *control, struct message *m)
{
	char reason[PROTO_REASON_MAX] = "";
	struct proto_iothread what;
	unsigned i = 0;
	int r;

	memcpy(&what, m->payload, sizeof(what));
	if (!control->vm)
		return -ENODEV;
	while (i < MAX_PENDING && control->iothread_seqs[i])
		i++;
	if (i == MAX_PENDING)
		return -EBUSY;
	r = what.on ? vm_iothread_add(control->vm, what.id, m->header.seq, reason)
		    : vm_iothread_remove(control->vm, what.id, m->header.seq, reason);
	if (r < 0)
		reply(control, m->header.seq, r, reason);
	else
		control->iothread_seqs[i] = m->header.seq;
	return 0;
}

/* NULL: there is none. */
static struct chardev *find_console(const struct control *control, uint32_t kind, uint32_t index)
{
	if (!control->vm)
		return NULL;
	if (kind == PROTO_CONSOLE_SERIAL && index < VM_MAX_SERIALS)
		return control->vm->machine.serials[index];
	if (kind == PROTO_CONSOLE_VIRTIO && index < VM_MAX_CONSOLES)
		return control->vm->machine.consoles[index];
	return NULL;
}

static int handle_console(struct control *control, struct message *m)
{
	struct proto_console console;
	struct chardev *cd;
	int r;

	memcpy(&console, m->payload, sizeof(console));
	cd = find_console(control, console.kind, console.index);
	if (!cd)
		return -ENODEV;
	r = chardev_attach(cd, m->fds[0], console.flags & PROTO_CONSOLE_FORCE);
	if (r < 0)
		return r;
	m->fds[0] = -EBADF;
	return 1;
}

/* What concerns vNICs and networks is control-net.c's. */

static int handle_nic(struct control *control, struct message *m)
{
	char reason[PROTO_REASON_MAX] = "";
	int r = control_vm_nic(control->vm, m, reason);

	if (r >= 0 || !*reason)
		return r < 0 ? r : 1;
	reply(control, m->header.seq, r, reason);
	return 0;
}

static int handle_memory(struct control *control, struct message *m)
{
	char reason[PROTO_REASON_MAX] = "";
	int r = control_vm_memory(control->vm, m, reason);

	if (r >= 0 || !*reason)
		return r < 0 ? r : 1;
	reply(control, m->header.seq, r, reason);
	return 0;
}

static int handle_link_list(struct control *control, struct message *m)
{
	struct proto_links links;
	int r = control_vm_links(control->vm, m, &links);

	if (r < 0)
		return r;
	send_message(control, PROTO_LINKS, 0, 0, &links, sizeof(links));
	return 1;
}

static int handle_network(struct control *control, struct message *m)
{
	int r = control_network(control->network, m);

	return r < 0 ? r : 1;
}

static int handle_capture(struct control *control, struct message *m)
{
	return control->network ? handle_network(control, m) : handle_nic(control, m);
}

static int handle_balloon_set(struct control *control, struct message *m)
{
	const struct machine *machine = control->vm ? &control->vm->machine : NULL;
	struct proto_balloon what;
	int r;

	if (!machine || !machine->balloon)
		return -ENODEV;
	memcpy(&what, m->payload, sizeof(what));
	r = machine->balloon_ops->set(machine->balloon, &what);
	return r < 0 ? r : 1;
}

static int handle_balloon_stats(struct control *control, struct message *m)
{
	const struct machine *machine = control->vm ? &control->vm->machine : NULL;
	int r;

	(void)m;
	if (!machine || !machine->balloon)
		return -ENODEV;
	r = machine->balloon_ops->ask(machine->balloon);
	return r < 0 ? r : 1;
}

static int handle_mmu_stats(struct control *control, struct message *m)
{
	int r = control->vm ? vm_read_mmu(control->vm) : -ENODEV;

	(void)m;
	return r < 0 ? r : 1;
}

static int handle_console_resize(struct control *control, struct message *m)
{
	struct proto_console_size size;
	struct chardev *cd;

	memcpy(&size, m->payload, sizeof(size));
	cd = find_console(control, size.kind, size.index);
	if (!cd)
		return -ENODEV;
	if (!size.cols || !size.rows)
		return -EINVAL;
	chardev_resize(cd, size.cols, size.rows);
	return 1;
}

/* START. */

static enum sandbox_mode mode_of(uint32_t flags)
{
	if (flags & PROTO_START_SECCOMP_OFF)
		return SANDBOX_OFF;
	return flags & PROTO_START_SECCOMP_ERRNO ? SANDBOX_ERRNO : SANDBOX_KILL;
}

static int build(struct control *control, struct message *m, const struct proto_start *what,
	struct vm **ret_vm, char *reason)
{
	/* Too large for a stack, and not for ever: the vm has a copy. */
	_cleanup_(freep) struct vm_config *config = malloc(sizeof(*config));
	struct vm_fds fds;
	int r;

	if (!config)
		return -ENOMEM;
	vm_fds_init(&fds);
	r = proto_place_fds(what, m->fds, m->n_fds, &fds, reason);
	if (r >= 0) {
		r = memfd_read_sealed(m->fds[0], config, sizeof(*config));
		if (r < 0)
			(void)snprintf(reason, PROTO_REASON_MAX, "START: the configuration: %s",
				strerror(-r));
	}
	if (r >= 0)
		r = vm_config_validate(config, reason, PROTO_REASON_MAX);
	if (r < 0) {
		vm_fds_done(&fds);
		return r;
	}
	return vm_build(
		config, &fds, control->loop, what->wall_offset_s, &control->owner, ret_vm, reason);
}

static int start(struct control *control, struct message *m, char *reason)
{
	_cleanup_(vm_freep) struct vm *vm = NULL;
	struct proto_start what;
	int r;

	memcpy(&what, m->payload, sizeof(what));
	control->sandbox_mode = mode_of(what.flags);
	r = build(control, m, &what, &vm, reason);
	if (r < 0)
		return r;
	/* What took memory to build is built: a thousand that idle are not to keep it. */
	(void)malloc_trim(0);
	vm->stop_on_reset = what.flags & PROTO_START_STOP_ON_RESET;
	vm->stop_on_panic = what.flags & PROTO_START_STOP_ON_PANIC;
	r = add_pending(control, m->header.seq, VM_AIM_START);
	if (r >= 0)
		r = vm_start_threads(vm);
	if (r >= 0)
		r = sandbox_enter_thread(SECCOMP_LOOP, control->sandbox_mode);
	if (r < 0) {
		(void)snprintf(reason, PROTO_REASON_MAX, "START: the sandbox: %s", strerror(-r));
		return r;
	}
	vm_note_boot(vm, VM_BOOT_CLOSED);
	memcpy(control->uuid, vm->config.uuid, sizeof(control->uuid));
	control->vm = TAKE_PTR(vm);
	vm_start(control->vm, what.flags & PROTO_START_PAUSED);
	return 0;
}

static int start_network(struct control *control, struct message *m, char *reason)
{
	static struct net_config config;
	_cleanup_(network_freep) struct network *network = NULL;
	struct proto_start what;
	struct network_fds fds;
	int r;

	memcpy(&what, m->payload, sizeof(what));
	network_fds_init(&fds);
	r = proto_place_network_fds(&what, m->fds, m->n_fds, &fds, reason);
	if (r >= 0) {
		r = memfd_read_sealed(m->fds[0], &config, sizeof(config));
		if (r < 0)
			(void)snprintf(reason, PROTO_REASON_MAX, "START: the configuration: %s",
				strerror(-r));
	}
	if (r >= 0)
		r = net_config_validate(&config, reason, PROTO_REASON_MAX);
	if (r < 0) {
		network_fds_done(&fds);
		return r;
	}
	control->sandbox_mode = mode_of(what.flags);
	r = network_new(&config, &fds, control->loop, &control->network_owner, &network, reason);
	if (r < 0)
		return r;
	r = sandbox_enter_thread(SECCOMP_NETWORK, control->sandbox_mode);
	if (r < 0) {
		(void)snprintf(reason, PROTO_REASON_MAX, "START: the sandbox: %s", strerror(-r));
		return r;
	}
	memcpy(control->uuid, config.uuid, sizeof(control->uuid));
	control->network = TAKE_PTR(network);
	return 1;
}

/* From now on it does not end with the daemon that made it (daemon/worker.h). */
static void outlive_daemon(void)
{
	(void)prctl(PR_SET_PDEATHSIG, 0, 0, 0, 0);
}

/* Nothing half-made stays: a START that fails ends the process with its answer. */
static int answer_start(struct control *control, struct message *m, int r, const char *reason)
{
	if (r >= 0)
		return r;
	reply(control, m->header.seq, r, reason);
	loop_exit(control->loop, EXIT_FAILURE);
	return 0;
}

static int handle_start(struct control *control, struct message *m)
{
	char reason[PROTO_REASON_MAX] = "";
	int r;

	if (control->vm || control->network)
		return -EALREADY;
	outlive_daemon();
	r = start(control, m, reason);
	if (r >= 0)
		tell_cpuid(control);
	return answer_start(control, m, r, reason);
}

static int handle_start_network(struct control *control, struct message *m)
{
	char reason[PROTO_REASON_MAX] = "";

	if (control->vm || control->network)
		return -EALREADY;
	outlive_daemon();
	return answer_start(control, m, start_network(control, m, reason), reason);
}

static int handle_ping(struct control *control, struct message *m)
{
	(void)control;
	(void)m;
	return 1;
}

/* Requests, as proto-check.c knows them. */
static int (*const handlers[PROTO_TYPE_X_MAX])(struct control *control, struct message *m) = {
	[PROTO_START] = handle_start,
	[PROTO_PAUSE] = handle_pause,
	[PROTO_RESUME] = handle_resume,
	[PROTO_RESET] = handle_reset,
	[PROTO_POWER_BUTTON] = handle_power_button,
	[PROTO_QUIT] = handle_quit,
	[PROTO_CONSOLE_ATTACH] = handle_console,
	[PROTO_INJECT_NMI] = handle_nmi,
	[PROTO_NIC_SET] = handle_nic,
	[PROTO_NIC_ANNOUNCE] = handle_nic,
	[PROTO_LINK_ADD] = handle_nic,
	[PROTO_LINK_USE] = handle_nic,
	[PROTO_LINK_REMOVE] = handle_nic,
	[PROTO_LINK_LIST] = handle_link_list,
	[PROTO_START_NETWORK] = handle_start_network,
	[PROTO_PORT_ADD] = handle_network,
	[PROTO_PORT_SET] = handle_network,
	[PROTO_PORT_REMOVE] = handle_network,
	[PROTO_UPLINK_ADD] = handle_network,
	[PROTO_UPLINK_REMOVE] = handle_network,
	[PROTO_CAPTURE] = handle_capture,
	[PROTO_TEAM_LOOK] = handle_network,
	[PROTO_TEAM_TEST] = handle_network,
	[PROTO_CONSOLE_RESIZE] = handle_console_resize,
	[PROTO_VCPU_SET] = handle_vcpus,
	[PROTO_NIC_ADD] = handle_nic,
	[PROTO_NIC_REMOVE] = handle_nic,
	[PROTO_BALLOON_SET] = handle_balloon_set,
	[PROTO_BALLOON_STATS] = handle_balloon_stats,
	[PROTO_PING] = handle_ping,
	[PROTO_MMU_STATS] = handle_mmu_stats,
	[PROTO_IOTHREAD] = handle_iothread,
	[PROTO_MEMORY_SET] = handle_memory,
	[PROTO_MEMORY_ADD] = handle_memory,
	[PROTO_MEMORY_REMOVE] = handle_memory,
};

static void handle(struct control *control, struct message *m, size_t len)
{
	int r = proto_check(&m->header, len, m->n_fds);

	if (r == -EBADMSG)
		return;
	if (r == 0) {
		assert(handlers[m->header.type]);
		r = handlers[m->header.type](control, m);
	}
	if (r != 0)
		reply(control, m->header.seq, MIN(r, 0), NULL);
}

static void on_control(void *opaque, uint32_t events)
{
	struct control *control = opaque;
	struct message m;
	ssize_t n;

	(void)events;
	m.n_fds = 0;
	n = recv_packet(PROTO_CONTROL_FD, &m.header, sizeof(m.header) + sizeof(m.payload), m.fds,
		PROTO_MAX_FDS, &m.n_fds);
	if (n == -EAGAIN || n == -EMSGSIZE)
		return;
	if (n > 0)
		handle(control, &m, (size_t)n);
	else
		disconnect(control);
	for (unsigned i = 0; i < m.n_fds; i++)
		(void)safe_close(m.fds[i]);
}

static int connect_control(struct control *control)
{
	int r;

	r = loop_add_fd(
		control->loop, PROTO_CONTROL_FD, EPOLLIN, on_control, control, &control->source);
	if (r < 0)
		return r;
	control->connected = true;
	send_state(control, PROTO_HELLO);
	on_vcpus(control);
	if (control->vm && control->vm->mem.plug)
		on_memories(control);
	tell_cpuid(control);
	if (control->network)
		network_connected(control->network);
	if (control->vm && control->vm->state == PROTO_VM_STOPPED && control->connected)
		loop_exit(control->loop, EXIT_SUCCESS);
	return 0;
}

/* A (new) daemon is there: it takes the place of the old one, whose answers nobody waits for any more. */
static void on_listen(void *opaque, uint32_t events)
{
	struct control *control = opaque;
	_cleanup_(closep) int fd = -EBADF;

	(void)events;
	fd = accept4(PROTO_LISTEN_FD, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd < 0) {
		/* Not a listening socket, or one that broke: looking at it again would only burn a processor. */
		if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
			control->listen_source = loop_source_remove(control->listen_source);
		return;
	}
	disconnect(control);
	memset(control->pending, 0, sizeof(control->pending));
	memset(control->iothread_seqs, 0, sizeof(control->iothread_seqs));
	if (dup3(fd, PROTO_CONTROL_FD, O_CLOEXEC) < 0)
		return;
	(void)connect_control(control);
}

static bool is_socket(int fd)
{
	struct stat st;

	return fstat(fd, &st) >= 0 && S_ISSOCK(st.st_mode);
}

int control_new(struct loop *loop, struct control **ret_control)
{
	_cleanup_(control_freep) struct control *control = calloc(1, sizeof(*control));
	int r;

	if (!control)
		return -ENOMEM;
	control->loop = loop;
	control->owner = (struct vm_owner){
		.state = on_state,
		.notice = on_notice,
		.nics_changed = on_nics,
		.vcpus_changed = on_vcpus,
		.memories_changed = on_memories,
		.settled = on_settled,
		.iothread_settled = on_iothread_settled,
		.enter_vcpu_sandbox = on_vcpu_thread,
		.enter_io_sandbox = on_io_thread,
		.enter_iothread_sandbox = on_iothread,
		.opaque = control,
	};
	control->network_owner = (struct network_owner){on_net_event, on_team, control};
	r = fd_set_nonblock(PROTO_CONTROL_FD, true);
	if (r < 0)
		return r;
	if (is_socket(PROTO_LISTEN_FD)) {
		r = fd_set_nonblock(PROTO_LISTEN_FD, true);
		if (r < 0)
			return r;
		r = loop_add_fd(loop, PROTO_LISTEN_FD, EPOLLIN, on_listen, control,
			&control->listen_source);
		if (r < 0)
			return r;
	}
	r = connect_control(control);
	if (r < 0)
		return r;
	*ret_control = TAKE_PTR(control);
	return 0;
}

struct control *control_free(struct control *control)
{
	if (!control)
		return NULL;
	(void)vm_free(control->vm);
	(void)network_free(control->network);
	control->source = loop_source_remove(control->source);
	control->listen_source = loop_source_remove(control->listen_source);
	free(control);
	return NULL;
}
