/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Requests about a vm: its state, its vCPUs and iothreads, its consoles and its balloon.
 *
 * Tested by tests/guest/test-control.c and tests/guest/test-vcpus.c.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vmm-core/chardev.h"
#include "vmm-core/control-internal.h"

static int take_aim(struct control *control, const struct message *m, enum vm_aim aim)
{
	int r;

	if (!control->vm)
		return -ENODEV;
	r = control_add_pending(control, m->header.seq, aim);
	if (r < 0)
		return r;
	r = vm_aim(control->vm, aim, PROTO_REASON_USER, 0, "");
	if (r == 0)
		return 0;
	for (unsigned i = 0; i < CONTROL_MAX_PENDING; i++)
		if (control->pending[i].aim == aim && control->pending[i].seq == m->header.seq)
			control->pending[i].aim = VM_AIM_NONE;
	return r == -EALREADY ? 1 : r;
}

int control_handle_pause(struct control *control, struct message *m)
{
	return take_aim(control, m, VM_AIM_PAUSE);
}

int control_handle_reset(struct control *control, struct message *m)
{
	return take_aim(control, m, VM_AIM_RESET);
}

int control_handle_quit(struct control *control, struct message *m)
{
	if (control->vm)
		return take_aim(control, m, VM_AIM_STOP);
	loop_exit(control->loop, EXIT_SUCCESS);
	return 1;
}

int control_handle_resume(struct control *control, struct message *m)
{
	int r;

	(void)m;
	if (!control->vm)
		return -ENODEV;
	r = vm_resume(control->vm);
	return r < 0 ? r : 1;
}

int control_handle_power_button(struct control *control, struct message *m)
{
	int r;

	(void)m;
	if (!control->vm)
		return -ENODEV;
	r = vm_power_button(control->vm);
	return r < 0 ? r : 1;
}

int control_handle_nmi(struct control *control, struct message *m)
{
	int r;

	(void)m;
	if (!control->vm)
		return -ENODEV;
	r = vm_inject_nmi(control->vm);
	return r < 0 ? r : 1;
}

int control_handle_vcpus(struct control *control, struct message *m)
{
	char reason[PROTO_REASON_MAX] = "";
	struct proto_vcpu_set set;
	int r;

	memcpy(&set, m->payload, sizeof(set));
	if (!control->vm)
		return -ENODEV;
	r = vm_vcpus_set(control->vm, set.n, reason);
	return control_answer(control, m, r, reason);
}

int control_handle_iothread(struct control *control, struct message *m)
{
	char reason[PROTO_REASON_MAX] = "";
	struct proto_iothread what;
	unsigned i = 0;
	int r;

	memcpy(&what, m->payload, sizeof(what));
	if (!control->vm)
		return -ENODEV;
	while (i < CONTROL_MAX_PENDING && control->iothread_seqs[i])
		i++;
	if (i == CONTROL_MAX_PENDING)
		return -EBUSY;
	r = what.on ? vm_iothread_add(control->vm, what.id, m->header.seq, reason)
		    : vm_iothread_remove(control->vm, what.id, m->header.seq, reason);
	if (r < 0)
		control_reply(control, m->header.seq, r, reason);
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

int control_handle_console(struct control *control, struct message *m)
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

int control_handle_console_resize(struct control *control, struct message *m)
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

int control_handle_balloon_set(struct control *control, struct message *m)
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

int control_handle_balloon_stats(struct control *control, struct message *m)
{
	const struct machine *machine = control->vm ? &control->vm->machine : NULL;
	int r;

	(void)m;
	if (!machine || !machine->balloon)
		return -ENODEV;
	r = machine->balloon_ops->ask(machine->balloon);
	return r < 0 ? r : 1;
}

int control_handle_mmu_stats(struct control *control, struct message *m)
{
	int r = control->vm ? vm_read_mmu(control->vm) : -ENODEV;

	(void)m;
	return r < 0 ? r : 1;
}
