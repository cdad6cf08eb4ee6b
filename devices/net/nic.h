/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A vNIC's part of the fabric: a switch (vswitch.h) with one VNIC port, whose owner is a device model, and the links
 * to other processes: the star to the network worker, and direct links to other machines' workers. A vNIC on a bridge or a
 * NIC of the host's has a tap (port-tap.h) instead, and no links. A vNIC without either works and reaches nobody.
 *
 * The device sends with nic_send(), ends each batch with nic_flush(), and is given frames by its port's transmit() and
 * flush(). When transmit() answers -EAGAIN (the guest has given no buffers), what comes from links waits in their rings,
 * and the device says nic_ready() as soon as there is room again. When nic_send() answers -EAGAIN (the link's ring is
 * full), the device keeps the frame and stops; space() is called when it may go on, at the latest after NIC_HOLD_NS: it
 * then sends the frame once more with 'last' set, and what still has no room is dropped and counted.
 *
 * Threads: the loop's thread with the machine's lock held. nic_new() and nic_free() may be called before and after the loop
 * runs; nic_set_offloads() and nic_reconfigure() on any thread that holds the lock: a vCPU resets the device.
 */
#pragma once

#include "devices/net/vswitch.h"
#include "vmm-core/base/cleanup.h"
#include "vmm-core/base/loop.h"

#define NIC_HOLD_NS   UINT64_C(200000) /* the longest that a full ring stops a queue */
#define NIC_MAX_LINKS 64

struct nic;

/* A link to another process, as the daemon has made it (vmm-core/proto.h). */
struct nic_link {
	uint32_t id; /* the daemon's number; NIC_STAR: the star */
	uint32_t
		peer_port; /* of a direct link: the peer's number in its network, which marks carry */
	size_t ring_data;            /* bytes in each direction */
	struct net_port_config peer; /* of a direct link: who sends there, and what it may */
	int own_ring, peer_ring;     /* memory files, read-write and read-only */
	int own_bell, peer_bell;     /* eventfds: rung for us, to ring for the peer */
};
#define NIC_STAR 0
#define NIC_ALL  UINT32_MAX /* nic_link_use(), nic_link_remove(): every direct link */

/* 'port' is the device's: ops, kind PORT_VNIC and counters are set; it must outlive the nic. 'space' is called on the loop
 * when a send that was refused may be tried again. 'poll_ns': the longest that the loop looks for frames before it sleeps
 * (loop.h); 0: not at all. Returns 0 or -errno. */
int nic_new(struct loop *loop, const struct net_port_config *config, uint64_t poll_ns,
	struct port *port, void (*space)(struct port *port), struct nic **ret_nic);
struct nic *nic_free(struct nic *nic);
DEFINE_CLEANUP(struct nic *, nic_free);

/* The frame goes into the fabric. 0: dealt with, sent or dropped and counted. -EAGAIN: see above; never with 'last'. */
int nic_send(struct nic *nic, struct frame *frame, bool last);
/* What was sent since the last flush has one time, when the first of it was sent. */
void nic_flush(struct nic *nic);
/* The device has room again after its transmit() answered -EAGAIN. May be called at any time; costs nothing when
 * nothing waits. */
void nic_ready(struct nic *nic);

/* Offloads that a receiver of this nic's frames may be given, and those its own guest takes: bits 1 << NET_HDR_GSO_*, bit 0
 * for checksums, and NET_HDR_GSO_ECN itself for TCP with ECN. Until the driver has said, nothing is. Frames for the
 * device are made to fit before its transmit() sees them: checksums filled in, segments cut. */
void nic_set_offloads(struct nic *nic, uint32_t guest_takes);
/* Another address, VLANs, limits, link state. The same checks as vswitch_reconfigure(). */
int nic_reconfigure(struct nic *nic, const struct net_port_config *config);
const struct net_port_config *nic_config(const struct nic *nic);
/* RARP for each address of the port, so that switches learn where it is now: after a move, or on the guest's restart. */
void nic_announce(struct nic *nic);

/* A tap or macvtap as the way to everybody else; 'fd' is taken over, whatever the answer. Frames for a guest without room wait
 * in the tap. Before any link, and once: -EEXIST, or what port_tap_init() and vswitch_add() say. */
int nic_set_tap(struct nic *nic, int fd);

/* Takes the fds over, whatever the answer. A star replaces the one before. -EINVAL, -EEXIST (also beside a tap), -ENOSPC,
 * -ENOMEM, or what ring_open() says. */
int nic_link_add(struct nic *nic, const struct nic_link *link);
/* Send by a direct link from now on, or by the star again. Frames that went by the star before are delivered first: a mark
 * behind them on the star, and one in front of the direct link's, which holds that back at the peer until the other has come
 * (or NIC_MARK_NS have passed: then the star is dead and nothing is on its way). Back again, the peer drains the direct link before
 * it looks at the star. -ENOENT. */
#define NIC_MARK_NS UINT64_C(1000000000)
int nic_link_use(struct nic *nic, uint32_t id, bool on);
int nic_link_remove(struct nic *nic, uint32_t id);

/* The direct links that are there and do not just end. Answers how many. */
struct nic_link_state {
	uint32_t id, peer_port; /* as nic_link_add() had them */
	bool in_use;            /* sent by, or will be as soon as there is room for the marks */
	uint64_t frames;        /* both ways, since it was added */
};
unsigned nic_links(const struct nic *nic, struct nic_link_state ret[NIC_MAX_LINKS]);

/* What the guest sends and is given, as it sees it: before its frames are made to fit. 'direction', 'snaplen', 'fd' (taken
 * over, whatever the answer) and the errors are captures_add()'s. */
int nic_capture(struct nic *nic, uint32_t direction, uint32_t snaplen, int fd, int counts_fd);
