/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the vNICs of a domain have outside it: a port of a network (network.h), or a tap of their own (host-link.h) on a
 * bridge, on a NIC, or alone. Used alike by a start, for all of them, and for one that is attached later:
 *
 *	domain_nic_prepare()   refuses; resolves live->vm.nics[i].port; makes nothing that others see but a network's port
 *	domain_nic_open()      makes the tap: an fd for the worker, with PROTO_FD_NIC
 *	domain_nic_release()   the worker has let go of it, or never had it: undoes both, as far as they came
 *
 * 'nic' is domain_nic.number everywhere: what the worker calls it, too.
 *
 * A tap goes with its last fd, which the worker holds; a macvtap must be removed. RUNTIME/domains/UUID/nics, written before a
 * macvtap is made, tells a later daemon of it, and how the taps are called.
 *
 * Threads: the daemon's one.
 */
#pragma once

#include "daemon/domain.h"

/* '*ret_fd' is -EBADF for a vNIC without a tap. */
int domain_nic_prepare(struct domain *domain, unsigned nic, struct error *error);
int domain_nic_open(struct domain *domain, unsigned nic, int *ret_fd, struct error *error);
void domain_nic_release(struct domain *domain, unsigned nic);

/* The same for all. The fds go into domain->run->resources. */
int domain_prepare_nics(struct domain *domain, struct error *error);
int domain_open_nics(struct domain *domain, struct error *error);
void domain_release_nics(struct domain *domain);

/* "vnet3", "macvtap0": what lists and the live XML call it. "": nothing (the domain is inactive, or lost its network). */
const char *domain_nic_target(const struct domain *domain, unsigned nic);
/* The vNIC of 'manager''s running domains that is called so; NULL: none. */
const struct domain *domain_nic_find(
	const struct manager *manager, const char *target, unsigned *ret_nic);

/* A domain is found again: what its taps are called. */
void domain_load_nics(struct domain *domain);
/* One that ended while no daemon looked: remove what it left. */
void domain_sweep_nics(struct manager *manager, const uint8_t uuid[16]);
