/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Requests about a vm's memory devices: a row each.
 *
 * Tested by tests/guest/test-hotplug.c.
 */
#include <errno.h>
#include <string.h>

#include "vmm-core/control-internal.h"

static int memory_set(struct vm *vm, const struct message *m, char *ret_reason)
{
	struct proto_memory_set set;

	memcpy(&set, m->payload, sizeof(set));
	return vm_memory_set(vm, set.number, set.kib, ret_reason);
}

static int memory_add(struct vm *vm, const struct message *m, char *ret_reason)
{
	struct proto_memory_add add;

	memcpy(&add, m->payload, sizeof(add));
	return vm_memory_add(vm, add.number, &add.config, ret_reason);
}

static int memory_remove(struct vm *vm, const struct message *m, char *ret_reason)
{
	struct proto_memory_id id;

	memcpy(&id, m->payload, sizeof(id));
	return vm_memory_remove(vm, id.number, ret_reason);
}

int control_handle_memory(struct control *control, struct message *m)
{
	static int (*const requests[PROTO_TYPE_X_MAX])(
		struct vm * vm, const struct message *m, char *ret_reason) = {
		[PROTO_MEMORY_SET] = memory_set,
		[PROTO_MEMORY_ADD] = memory_add,
		[PROTO_MEMORY_REMOVE] = memory_remove,
	};

	char reason[PROTO_REASON_MAX] = "";

	if (!control->vm)
		return -ENODEV;
	return control_answer(control, m, requests[m->header.type](control->vm, m, reason), reason);
}
