/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Requests of the daemon, as a table: see proto-check.h. */
#include "vmm-core/proto-check.h"

#include <errno.h>
#include <stdio.h>

#include "vmm-core/base/cleanup.h"

#define START_FLAGS                                                                                \
	(PROTO_START_PAUSED | PROTO_START_SECCOMP_ERRNO | PROTO_START_SECCOMP_OFF |                \
		PROTO_START_STOP_ON_RESET | PROTO_START_STOP_ON_PANIC)

static const struct {
	uint8_t is_request;
	uint8_t min_fds, max_fds;
	uint16_t len;
} requests[PROTO_TYPE_X_MAX] = {
	[PROTO_START] = {1, 1, PROTO_MAX_FDS, sizeof(struct proto_start)},
	[PROTO_PAUSE] = {1, 0, 0, 0},
	[PROTO_RESUME] = {1, 0, 0, 0},
	[PROTO_RESET] = {1, 0, 0, 0},
	[PROTO_POWER_BUTTON] = {1, 0, 0, 0},
	[PROTO_QUIT] = {1, 0, 0, 0},
	[PROTO_CONSOLE_ATTACH] = {1, 1, 1, sizeof(struct proto_console)},
	[PROTO_INJECT_NMI] = {1, 0, 0, 0},
	[PROTO_NIC_SET] = {1, 0, 0, sizeof(struct proto_nic)},
	[PROTO_NIC_ANNOUNCE] = {1, 0, 0, sizeof(struct proto_nic_id)},
	[PROTO_LINK_ADD] = {1, PROTO_LINK_FDS, PROTO_LINK_FDS, sizeof(struct proto_link)},
	[PROTO_LINK_USE] = {1, 0, 0, sizeof(struct proto_link_id)},
	[PROTO_LINK_REMOVE] = {1, 0, 0, sizeof(struct proto_link_id)},
	[PROTO_START_NETWORK] = {1, 1, PROTO_MAX_FDS, sizeof(struct proto_start)},
	[PROTO_PORT_ADD] = {1, PROTO_LINK_FDS, PROTO_LINK_FDS, sizeof(struct proto_port)},
	[PROTO_PORT_SET] = {1, 0, 0, sizeof(struct proto_port)},
	[PROTO_PORT_REMOVE] = {1, 0, 0, sizeof(struct proto_port_id)},
	[PROTO_CONSOLE_RESIZE] = {1, 0, 0, sizeof(struct proto_console_size)},
	[PROTO_UPLINK_ADD] = {1, 1, 1, sizeof(struct proto_uplink)},
	[PROTO_UPLINK_REMOVE] = {1, 0, 0, sizeof(struct proto_uplink_id)},
	[PROTO_NIC_ADD] = {1, 0, 1, sizeof(struct proto_nic_add)},
	[PROTO_NIC_REMOVE] = {1, 0, 0, sizeof(struct proto_nic_id)},
	[PROTO_CAPTURE] = {1, PROTO_CAPTURE_FDS, PROTO_CAPTURE_FDS, sizeof(struct proto_capture)},
	[PROTO_VCPU_SET] = {1, 0, 0, sizeof(struct proto_vcpu_set)},
	[PROTO_TEAM_LOOK] = {1, 0, 0, 0},
	[PROTO_LINK_LIST] = {1, 0, 0, sizeof(struct proto_nic_id)},
	[PROTO_BALLOON_SET] = {1, 0, 0, sizeof(struct proto_balloon)},
	[PROTO_BALLOON_STATS] = {1, 0, 0, 0},
	[PROTO_TEAM_TEST] = {1, 0, 0, sizeof(struct proto_team_test)},
	[PROTO_PING] = {1, 0, 0, 0},
	[PROTO_MMU_STATS] = {1, 0, 0, 0},
	[PROTO_IOTHREAD] = {1, 0, 0, sizeof(struct proto_iothread)},
	[PROTO_MEMORY_SET] = {1, 0, 0, sizeof(struct proto_memory_set)},
	[PROTO_MEMORY_ADD] = {1, 0, 0, sizeof(struct proto_memory_add)},
	[PROTO_MEMORY_REMOVE] = {1, 0, 0, sizeof(struct proto_memory_id)},
};
static_assert(PROTO_MAX_FDS <= UINT8_MAX, "max_fds");

int proto_check(const struct proto_header *header, size_t len, unsigned n_fds)
{
	if (len < sizeof(*header) || header->version != PROTO_VERSION ||
		header->len != len - sizeof(*header))
		return -EBADMSG;
	if (header->type >= PROTO_TYPE_X_MAX || !requests[header->type].is_request)
		return -ENOSYS;
	if (header->len != requests[header->type].len || n_fds < requests[header->type].min_fds ||
		n_fds > requests[header->type].max_fds)
		return -EINVAL;
	return 0;
}

/* A place for an fd; 'flags' NULL: none are allowed. */
struct place {
	int *fd;
	uint8_t *flags;
};

/* Places of one kind, for index 0 … n - 1. */
struct places {
	int *fds;
	uint8_t *flags;
	unsigned n;
};

static struct place find_place(const struct places *places, unsigned kind, unsigned index)
{
	/* PROTO_FD_CONFIG has no place: it is the first fd, and only that. */
	if (kind >= PROTO_FD_KIND_X_MAX || index >= places[kind].n)
		return (struct place){NULL, NULL};
	return (struct place){
		places[kind].fds + index, places[kind].flags ? places[kind].flags + index : NULL};
}

static int put(const struct proto_fd *what, int *fd, const struct places *places)
{
	struct place place = find_place(places, what->kind, what->index);

	if (!place.fd || *place.fd >= 0)
		return -EINVAL;
	if (what->flags & (place.flags ? ~PROTO_FD_LISTENING : ~0))
		return -EINVAL;
	*place.fd = TAKE_FD(*fd);
	if (place.flags)
		*place.flags = what->flags;
	return 0;
}

static int place_all(const struct proto_start *start, int *fds, unsigned n_fds,
	const struct places *places, char *ret_reason)
{
	if (n_fds < 1 || n_fds > PROTO_MAX_FDS || start->n_fds != n_fds ||
		start->fds[0].kind != PROTO_FD_CONFIG) {
		(void)snprintf(ret_reason, PROTO_REASON_MAX, "START came with the wrong fds");
		return -EINVAL;
	}
	if (start->flags & ~START_FLAGS) {
		(void)snprintf(ret_reason, PROTO_REASON_MAX, "START: unknown flags 0x%x",
			start->flags & ~START_FLAGS);
		return -EINVAL;
	}
	for (unsigned i = 1; i < n_fds; i++) {
		const struct proto_fd *what = &start->fds[i];

		if (put(what, &fds[i], places) == 0)
			continue;
		(void)snprintf(ret_reason, PROTO_REASON_MAX,
			"START: fd %u of kind %u, index %u, flags 0x%x is out of place", i,
			what->kind, what->index, what->flags);
		return -EINVAL;
	}
	return 0;
}

int proto_place_fds(const struct proto_start *start, int *fds, unsigned n_fds, struct vm_fds *vm,
	char *ret_reason)
{
	const struct places places[PROTO_FD_KIND_X_MAX] = {
		[PROTO_FD_KVM] = {&vm->kvm, NULL, 1},
		[PROTO_FD_RAM] = {vm->ram, NULL, VM_MAX_CELLS},
		[PROTO_FD_PLUG] = {&vm->plug, NULL, 1},
		[PROTO_FD_STATS] = {&vm->stats, NULL, 1},
		[PROTO_FD_KERNEL] = {&vm->kernel, NULL, 1},
		[PROTO_FD_INITRD] = {&vm->initrd, NULL, 1},
		[PROTO_FD_DISK] = {vm->devices.disks, NULL, VM_MAX_DISKS},
		[PROTO_FD_SERIAL] = {vm->serials, vm->serial_flags, VM_MAX_SERIALS},
		[PROTO_FD_CONSOLE] = {vm->consoles, vm->console_flags, VM_MAX_CONSOLES},
		[PROTO_FD_CHANNEL] = {vm->channels, vm->channel_flags, VM_MAX_CHANNELS},
		[PROTO_FD_RNG] = {&vm->devices.rng, NULL, 1},
		[PROTO_FD_NIC] = {vm->devices.nics, NULL, VM_MAX_NICS},
	};

	return place_all(start, fds, n_fds, places, ret_reason);
}

int proto_place_network_fds(const struct proto_start *start, int *fds, unsigned n_fds,
	struct network_fds *network, char *ret_reason)
{
	const struct places places[PROTO_FD_KIND_X_MAX] = {
		[PROTO_FD_STATS] = {&network->stats, NULL, 1},
		[PROTO_FD_HOST_TAP] = {&network->host_tap, NULL, 1},
		[PROTO_FD_UPLINK] = {network->uplinks, NULL, NET_MAX_UPLINKS},
		[PROTO_FD_RTNETLINK] = {&network->rtnetlink, NULL, 1},
	};

	return place_all(start, fds, n_fds, places, ret_reason);
}
