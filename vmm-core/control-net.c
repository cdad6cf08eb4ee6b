/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Requests about a vm's vNICs and their links, and about a network's ports and uplinks: a row each.
 *
 * Tested by tests/guest/test-hotplug.c, tests/net/test-uplinks.c and tests/unit/test-control-links.c.
 */
#include <errno.h>
#include <string.h>

#include "vmm-core/control-internal.h"

/* vNICs: every payload begins with the number of one. */
#define NIC_FIRST(type) static_assert(offsetof(struct type, nic) == 0, "read before the rest")
NIC_FIRST(proto_nic);
NIC_FIRST(proto_nic_id);
NIC_FIRST(proto_link);
NIC_FIRST(proto_link_id);
NIC_FIRST(proto_nic_add);
static_assert(offsetof(struct proto_capture, index) == 0, "read before the rest");

/* What is asked of one vNIC that exists. */
struct nic {
	struct device *dev;
	const struct machine_nic_ops *ops;
};

static int nic_set(const struct nic *nic, struct message *m)
{
	struct proto_nic set;

	memcpy(&set, m->payload, sizeof(set));
	return nic->ops->set(nic->dev, &set.port);
}

static int nic_announce(const struct nic *nic, struct message *m)
{
	(void)m;
	return nic->ops->announce(nic->dev);
}

static int link_add(const struct nic *nic, struct message *m)
{
	struct loop *loop = nic->dev->machine->loop;
	unsigned account = loop_set_account(loop, VM_LEDGER_SWITCH);
	struct proto_link link;
	int r;

	memcpy(&link, m->payload, sizeof(link));
	m->n_fds = 0; /* taken over */
	r = nic->ops->link_add(nic->dev, &link, m->fds);
	(void)loop_set_account(loop, account);
	return r;
}

static int link_use(const struct nic *nic, struct message *m)
{
	struct proto_link_id id;

	memcpy(&id, m->payload, sizeof(id));
	return nic->ops->link_use(nic->dev, &id);
}

static int link_remove(const struct nic *nic, struct message *m)
{
	struct proto_link_id id;

	memcpy(&id, m->payload, sizeof(id));
	return nic->ops->link_remove(nic->dev, id.id);
}

static int nic_capture(const struct nic *nic, struct message *m)
{
	struct proto_capture capture;

	memcpy(&capture, m->payload, sizeof(capture));
	m->n_fds = 0; /* taken over */
	return nic->ops->capture(nic->dev, &capture, m->fds[0], m->fds[1]);
}

static int (*const nic_requests[PROTO_TYPE_X_MAX])(const struct nic *nic, struct message *m) = {
	[PROTO_NIC_SET] = nic_set,
	[PROTO_NIC_ANNOUNCE] = nic_announce,
	[PROTO_LINK_ADD] = link_add,
	[PROTO_LINK_USE] = link_use,
	[PROTO_LINK_REMOVE] = link_remove,
	[PROTO_CAPTURE] = nic_capture,
};

static int nic_add(struct vm *vm, struct message *m, char *ret_reason)
{
	struct proto_nic_add add;

	int tap_fd = m->n_fds ? m->fds[0] : -EBADF;

	memcpy(&add, m->payload, sizeof(add));
	m->n_fds = 0; /* taken over */
	return vm_nic_add(vm, add.nic, &add.config, tap_fd, ret_reason);
}

static int ask_nic(struct vm *vm, struct message *m, char *ret_reason)
{
	struct nic nic;
	uint32_t number;

	if (!vm)
		return -ENODEV;
	if (m->header.type == PROTO_NIC_ADD)
		return nic_add(vm, m, ret_reason);
	memcpy(&number, m->payload, sizeof(number));
	if (m->header.type == PROTO_NIC_REMOVE)
		return vm_nic_remove(vm, number, ret_reason);
	if (number >= VM_MAX_NICS || !vm->machine.nics[number])
		return -ENODEV;
	nic = (struct nic){vm->machine.nics[number], vm->machine.nic_ops};
	return nic_requests[m->header.type](&nic, m);
}

int control_handle_nic(struct control *control, struct message *m)
{
	char reason[PROTO_REASON_MAX] = "";
	int r = ask_nic(control->vm, m, reason);

	return control_answer(control, m, r, reason);
}

int control_handle_links(struct control *control, struct message *m)
{
	const struct vm *vm = control->vm;
	struct proto_links links;
	uint32_t number;
	int r;

	memcpy(&number, m->payload, sizeof(number));
	if (!vm || number >= VM_MAX_NICS || !vm->machine.nics[number])
		return -ENODEV;
	links = (struct proto_links){.nic = number};
	vm->machine.nic_ops->links(vm->machine.nics[number], &links);
	/* A daemon that has no room for it now is told so, and goes by the star. */
	r = control_try(control, PROTO_LINKS, 0, 0, &links, sizeof(links));
	return r < 0 ? r : 1;
}

/* A network's. */

static int port_add(struct network *network, struct message *m)
{
	struct proto_port port;

	memcpy(&port, m->payload, sizeof(port));
	m->n_fds = 0; /* taken over */
	return network_port_add(network, &port, m->fds);
}

static int port_set(struct network *network, struct message *m)
{
	struct proto_port port;

	memcpy(&port, m->payload, sizeof(port));
	return network_port_set(network, &port);
}

static int port_remove(struct network *network, struct message *m)
{
	struct proto_port_id id;

	memcpy(&id, m->payload, sizeof(id));
	return network_port_remove(network, id.port);
}

static int uplink_add(struct network *network, struct message *m)
{
	struct proto_uplink uplink;

	memcpy(&uplink, m->payload, sizeof(uplink));
	m->n_fds = 0; /* taken over */
	return network_uplink_add(network, &uplink, m->fds[0]);
}

static int uplink_remove(struct network *network, struct message *m)
{
	struct proto_uplink_id id;

	memcpy(&id, m->payload, sizeof(id));
	return network_uplink_remove(network, id.index);
}

static int team_look(struct network *network, struct message *m)
{
	(void)m;
	return network_team_look(network);
}

static int team_test(struct network *network, struct message *m)
{
	struct proto_team_test test;

	memcpy(&test, m->payload, sizeof(test));
	return network_team_test(network, &test);
}

static int capture(struct network *network, struct message *m)
{
	struct proto_capture what;

	memcpy(&what, m->payload, sizeof(what));
	m->n_fds = 0; /* taken over */
	return network_capture(network, &what, m->fds[0], m->fds[1]);
}

static int (*const network_requests[PROTO_TYPE_X_MAX])(
	struct network *network, struct message *m) = {
	[PROTO_PORT_ADD] = port_add,
	[PROTO_PORT_SET] = port_set,
	[PROTO_PORT_REMOVE] = port_remove,
	[PROTO_UPLINK_ADD] = uplink_add,
	[PROTO_UPLINK_REMOVE] = uplink_remove,
	[PROTO_TEAM_LOOK] = team_look,
	[PROTO_TEAM_TEST] = team_test,
	[PROTO_CAPTURE] = capture,
};

int control_handle_network(struct control *control, struct message *m)
{
	int r;

	if (!control->network)
		return -ENODEV;
	r = network_requests[m->header.type](control->network, m);
	return r < 0 ? r : 1;
}

int control_handle_capture(struct control *control, struct message *m)
{
	return control->network ? control_handle_network(control, m)
				: control_handle_nic(control, m);
}
