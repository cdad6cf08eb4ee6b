/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * NICs that belong to a network alone (<vmmd:team exclusive='yes'>): the host's own stack gets none of their frames. Packet
 * sockets are given a frame before traffic control is, so the network's worker sees what a filter at the NIC's ingress
 * (clsact) then drops. The filter is a program of two instructions, named "vmmd:NETWORK" where `tc filter show dev NIC
 * ingress` lists it; it needs no tc(8), and of the kernel cls_bpf and sch_ingress.
 *
 * The kernel keeps it until host_exclusive_end(), whatever becomes of the daemon. Filters of others stay as they are; those
 * with a better preference come first.
 *
 * Threads: the daemon's one. Nothing blocks. Errors name the interface.
 */
#pragma once

#include "daemon/error.h"

#define HOST_EXCLUSIVE_PREFERENCE 0x564d /* of the filter; by it it is known again */

/* Does the host use it? -EBUSY with who does in 'error': an address or a route on it, a bridge or bond that it is a port of,
 * an interface that stands on it. What IPv6 makes by itself (fe80::) is no use. -EIO: there is no such interface. */
int host_exclusive_check(const char *ifname, struct error *error);

/* From now on the host sees no frame of it. Again: nothing changes. */
int host_exclusive_begin(const char *ifname, const char *network, struct error *error);

/* Undo it. Also where it was never done, or the interface is gone. */
void host_exclusive_end(const char *ifname);
