/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * proto.h from a confused daemon, as the worker reads it (vmm-core/proto-check.h): what is let through is what
 * the handlers of control.c's table rely on, and no fd of START is lost, doubled or put out of its array. The other direction is
 * fuzz-worker-proto.c.
 *
 * Input: a byte with the number of fds, then the packet. The fds are numbers only.
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "vmm-core/proto-check.h"

#define FIRST_FD 1000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct packet {
	struct proto_header header;
	uint8_t payload[PROTO_MAX_PAYLOAD];
};

static void check(bool holds)
{
	if (!holds)
		abort();
}

/* Note each fd of an array in seen[]. */
static void count(const int *fds, unsigned n, unsigned *seen)
{
	for (unsigned i = 0; i < n; i++) {
		if (fds[i] < 0)
			continue;
		check(fds[i] >= FIRST_FD && fds[i] < FIRST_FD + PROTO_MAX_FDS);
		seen[fds[i] - FIRST_FD]++;
	}
}

static void count_places(const struct vm_fds *p, unsigned *seen)
{
	const int single[] = {p->kvm, p->plug, p->stats, p->kernel, p->initrd, p->devices.rng};

	count(single, ARRAY_SIZE(single), seen);
	count(p->ram, VM_MAX_CELLS, seen);
	count(p->serials, VM_MAX_SERIALS, seen);
	count(p->consoles, VM_MAX_CONSOLES, seen);
	count(p->channels, VM_MAX_CHANNELS, seen);
	count(p->devices.disks, VM_MAX_DISKS, seen);
}

static void check_start(const struct packet *packet, unsigned n_fds)
{
	unsigned seen[PROTO_MAX_FDS] = {0};
	char reason[PROTO_REASON_MAX] = "";
	struct proto_start start;
	int fds[PROTO_MAX_FDS];
	struct vm_fds places;
	int r;

	memcpy(&start, packet->payload, sizeof(start));
	memset(&places, 0xff, sizeof(places));
	for (unsigned i = 0; i < n_fds; i++)
		fds[i] = FIRST_FD + (int)i;
	r = proto_place_fds(&start, fds, n_fds, &places, reason);
	check(r == 0 ? !*reason : r == -EINVAL && *reason);
	count_places(&places, seen);
	count(fds, n_fds, seen);
	for (unsigned i = 0; i < n_fds; i++)
		check(seen[i] == 1);
	if (r < 0)
		return;
	check(start.n_fds == n_fds && fds[0] == FIRST_FD);
	for (unsigned i = 1; i < n_fds; i++)
		check(fds[i] < 0);
	for (unsigned i = 0; i < VM_MAX_SERIALS; i++)
		check(places.serials[i] < 0 || !(places.serial_flags[i] & ~PROTO_FD_LISTENING));
}

/* What handlers copy out of the payload without looking at its length again, and the fds that they take. */
static const struct {
	unsigned type;
	size_t len;
	unsigned n_fds;
} with_payload[] = {
	{PROTO_CONSOLE_ATTACH, sizeof(struct proto_console), 1},
	{PROTO_CONSOLE_RESIZE, sizeof(struct proto_console_size), 0},
	{PROTO_NIC_SET, sizeof(struct proto_nic), 0},
	{PROTO_NIC_ANNOUNCE, sizeof(struct proto_nic_id), 0},
	{PROTO_NIC_REMOVE, sizeof(struct proto_nic_id), 0},
	{PROTO_LINK_LIST, sizeof(struct proto_nic_id), 0},
	{PROTO_BALLOON_SET, sizeof(struct proto_balloon), 0},
	{PROTO_VCPU_SET, sizeof(struct proto_vcpu_set), 0},
	{PROTO_IOTHREAD, sizeof(struct proto_iothread), 0},
	{PROTO_MEMORY_SET, sizeof(struct proto_memory_set), 0},
	{PROTO_MEMORY_ADD, sizeof(struct proto_memory_add), 0},
	{PROTO_MEMORY_REMOVE, sizeof(struct proto_memory_id), 0},
	{PROTO_LINK_ADD, sizeof(struct proto_link), PROTO_LINK_FDS},
	{PROTO_LINK_USE, sizeof(struct proto_link_id), 0},
	{PROTO_LINK_REMOVE, sizeof(struct proto_link_id), 0},
	{PROTO_PORT_ADD, sizeof(struct proto_port), PROTO_LINK_FDS},
	{PROTO_PORT_SET, sizeof(struct proto_port), 0},
	{PROTO_PORT_REMOVE, sizeof(struct proto_port_id), 0},
	{PROTO_UPLINK_ADD, sizeof(struct proto_uplink), 1},
	{PROTO_UPLINK_REMOVE, sizeof(struct proto_uplink_id), 0},
	{PROTO_CAPTURE, sizeof(struct proto_capture), PROTO_CAPTURE_FDS},
	{PROTO_TEAM_TEST, sizeof(struct proto_team_test), 0},
};

static void check_accepted(const struct packet *packet, size_t len, unsigned n_fds)
{
	unsigned type = packet->header.type;

	check(packet->header.version == PROTO_VERSION);
	check(packet->header.len == len - sizeof(packet->header));
	if (type == PROTO_START || type == PROTO_START_NETWORK) {
		check(packet->header.len == sizeof(struct proto_start));
		check_start(packet, n_fds);
		return;
	}
	if (type == PROTO_NIC_ADD) {
		check(packet->header.len == sizeof(struct proto_nic_add) && n_fds <= 1);
		return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(with_payload); i++) {
		if (with_payload[i].type != type)
			continue;
		check(packet->header.len == with_payload[i].len && n_fds == with_payload[i].n_fds);
		return;
	}
	check(type > PROTO_START && type < PROTO_TYPE_X_MAX);
	check(packet->header.len == 0 && n_fds == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct packet packet;
	unsigned n_fds;
	size_t len;
	int r;

	if (size < 1)
		return 0;
	/* What recv_packet() lets through. */
	n_fds = data[0] % (PROTO_MAX_FDS + 1);
	len = size - 1;
	if (len > sizeof(packet))
		return 0;
	memset(&packet, 0, sizeof(packet));
	memcpy(&packet, data + 1, len);
	r = proto_check(&packet.header, len, n_fds);
	check(r == 0 || r == -EBADMSG || r == -ENOSYS || r == -EINVAL);
	if (r == 0)
		check_accepted(&packet, len, n_fds);
	return 0;
}
