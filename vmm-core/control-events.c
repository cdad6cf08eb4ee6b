/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the worker tells the daemon without being asked: the vm's and the network's events become messages. And what it does for
 * their threads: closes the sandboxes.
 *
 * Tested by tests/guest/test-control.c.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmm-core/control-internal.h"

/* Notices a second: a guest can cause as many as it likes, and what fills the socket would end the connection. */
#define MAX_NOTICES 16

static void on_state(void *opaque, enum proto_vm_state state, enum proto_vm_reason reason, int code,
	const char *text)
{
	struct control *control = opaque;

	(void)reason;
	(void)code;
	(void)text;
	if (control->vm)
		control_send_state(control, PROTO_STATE);
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
	(void)control_try(opaque, PROTO_NOTICE, 0, 0, &notice, sizeof(notice));
}

static bool on_net_event(void *opaque, const struct proto_net_event *event)
{
	struct control *control = opaque;

	return control->connected && may_notice(control) &&
		control_try(control, PROTO_NET_EVENT, 0, 0, event, sizeof(*event)) == 0;
}

static int on_team(void *opaque, enum proto_type type, const void *payload, size_t len)
{
	return control_try(opaque, type, 0, 0, payload, len);
}

static void on_nics(void *opaque)
{
	control_send_state(opaque, PROTO_STATE);
}

void control_tell_vcpus(void *opaque)
{
	const struct control *control = opaque;
	struct proto_vcpus vcpus;

	/* While the vm is made nobody has it yet. */
	if (!control->vm)
		return;
	vm_vcpus(control->vm, vcpus.bits);
	control_send(opaque, PROTO_VCPUS, 0, 0, &vcpus, sizeof(vcpus));
}

void control_tell_memories(void *opaque)
{
	const struct control *control = opaque;
	struct proto_memories memories;

	if (!control->vm)
		return;
	memories.bits = vm_memories(control->vm);
	control_send(opaque, PROTO_MEMORIES, 0, 0, &memories, sizeof(memories));
}

void control_tell_cpuid(struct control *control)
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
	control_send(control, PROTO_CPUID, 0, 0, &told, sizeof(told));
}

static void on_settled(void *opaque, enum vm_aim aim, int error)
{
	struct control *control = opaque;
	const char *text = control->vm ? control->vm->aim_text : "";

	if (!*text)
		text = error == -ECANCELED ? "the vm changed its state meanwhile" : NULL;
	for (unsigned i = 0; i < CONTROL_MAX_PENDING; i++) {
		if (control->pending[i].aim != aim)
			continue;
		control->pending[i].aim = VM_AIM_NONE;
		control_reply(control, control->pending[i].seq, error, text);
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

	for (unsigned i = 0; i < CONTROL_MAX_PENDING; i++) {
		if (!tag || control->iothread_seqs[i] != tag)
			continue;
		control->iothread_seqs[i] = 0;
		control_reply(control, tag, 0, NULL);
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

void control_own(struct control *control)
{
	control->owner = (struct vm_owner){
		.state = on_state,
		.notice = on_notice,
		.nics_changed = on_nics,
		.vcpus_changed = control_tell_vcpus,
		.memories_changed = control_tell_memories,
		.settled = on_settled,
		.iothread_settled = on_iothread_settled,
		.enter_vcpu_sandbox = on_vcpu_thread,
		.enter_io_sandbox = on_io_thread,
		.enter_iothread_sandbox = on_iothread,
		.opaque = control,
	};
	control->network_owner = (struct network_owner){on_net_event, on_team, control};
}
