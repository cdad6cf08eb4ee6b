/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the worker tells the daemon without being asked: the vm's and the network's events become messages. And what it does for
 * their threads: closes the sandboxes.
 *
 * Tested by tests/guest/test-control.c, tests/unit/test-control-tell.c.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmm-core/control-internal.h"

/* States, as they are now (control-tell.h). */

static int send_state(struct control *control)
{
	int r = control_send_state(control, PROTO_STATE);

	/* With no daemon there to hear it, the end waits for the next one: how a guest ended is never lost. */
	if (r == 0 && control->vm->state == PROTO_VM_STOPPED)
		loop_exit(control->loop, EXIT_SUCCESS);
	return r;
}

static int send_vcpus(struct control *control)
{
	struct proto_vcpus vcpus;

	vm_vcpus(control->vm, vcpus.bits);
	return control_try(control, PROTO_VCPUS, 0, 0, &vcpus, sizeof(vcpus));
}

static int send_memories(struct control *control)
{
	struct proto_memories memories = {.bits = vm_memories(control->vm)};

	return control_try(control, PROTO_MEMORIES, 0, 0, &memories, sizeof(memories));
}

static int send_notice(
	struct control *control, enum proto_notice_kind kind, unsigned index, const char *text)
{
	struct proto_notice notice = {.kind = kind, .index = index};

	(void)snprintf(notice.text, sizeof(notice.text), "%s", text);
	return control_try(control, PROTO_NOTICE, 0, 0, &notice, sizeof(notice));
}

static int send_one(struct control *control, unsigned what)
{
	switch (what) {
	case TELL_STATE:
		return send_state(control);
	case TELL_VCPUS:
		return send_vcpus(control);
	case TELL_MEMORIES:
		return send_memories(control);
	case TELL_BALLOON:
		return send_notice(control, PROTO_NOTICE_BALLOON, control->balloon_pages, "");
	case TELL_BALLOON_STATS:
		return send_notice(control, PROTO_NOTICE_BALLOON_STATS, 0, "");
	default:
		return send_notice(control, PROTO_NOTICE_MEMORY, what - TELL_MEMORY, "");
	}
}

static int on_tell(void *opaque, unsigned what)
{
	struct control *control = opaque;
	int r;

	/* While the vm is made nobody has it yet. */
	if (!control->vm)
		return 0;
	/* Those who wait for an answer come first. */
	r = control->n_late ? -EAGAIN : send_one(control, what);
	if (r == -EAGAIN)
		control_await_room(control);
	return r;
}

/* What the vm says has changed. */

static void on_state(void *opaque, enum proto_vm_state state, enum proto_vm_reason reason, int code,
	const char *text)
{
	struct control *control = opaque;

	(void)state;
	(void)reason;
	(void)code;
	(void)text;
	tell_changed(&control->tell, TELL_STATE);
}

static void on_notice(void *opaque, enum proto_notice_kind kind, unsigned index, const char *text)
{
	struct control *control = opaque;

	if (kind == PROTO_NOTICE_BALLOON) {
		control->balloon_pages = index;
		tell_changed(&control->tell, TELL_BALLOON);
	} else if (kind == PROTO_NOTICE_BALLOON_STATS) {
		tell_changed(&control->tell, TELL_BALLOON_STATS);
	} else if (kind == PROTO_NOTICE_MEMORY) {
		tell_changed(&control->tell, TELL_MEMORY + index);
	} else if (tell_may_notice(&control->tell)) {
		/* An event: a daemon that has no room for it now hears less. */
		(void)send_notice(control, kind, index, text);
	}
}

static bool on_net_event(void *opaque, const struct proto_net_event *event)
{
	struct control *control = opaque;

	return control->connected && tell_may_notice(&control->tell) &&
		control_try(control, PROTO_NET_EVENT, 0, 0, event, sizeof(*event)) == 0;
}

static int on_team(void *opaque, enum proto_type type, const void *payload, size_t len)
{
	return control_try(opaque, type, 0, 0, payload, len);
}

static void on_nics(void *opaque)
{
	struct control *control = opaque;

	tell_changed(&control->tell, TELL_STATE);
}

static void on_vcpus(void *opaque)
{
	struct control *control = opaque;

	tell_changed(&control->tell, TELL_VCPUS);
}

static void on_memories(void *opaque)
{
	struct control *control = opaque;

	tell_changed(&control->tell, TELL_MEMORIES);
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
		.vcpus_changed = on_vcpus,
		.memories_changed = on_memories,
		.settled = on_settled,
		.iothread_settled = on_iothread_settled,
		.enter_vcpu_sandbox = on_vcpu_thread,
		.enter_io_sandbox = on_io_thread,
		.enter_iothread_sandbox = on_iothread,
		.opaque = control,
	};
	tell_init(&control->tell, control->loop, on_tell, control);
	control->network_owner = (struct network_owner){on_net_event, on_team, control};
}
