/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Open vSwitch in user space (Debian's openvswitch-switch, netdev datapath), as a partner that is not ours: a database
 * and a switch of the caller's own, in a scratch folder and in the network namespace that the caller is in. They end with
 * the caller. For tests and benchmarks: what fails is printed.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct ovs {
	char dir[32];
	pid_t database, vswitchd;
};

/* Nobody has to have it. */
bool ovs_is_installed(void);

bool ovs_start(struct ovs *ovs);
/* The bridges' interfaces go as well. Copes with one that was never started (all zeroes). */
void ovs_stop(struct ovs *ovs);

/* ovs-vsctl with these arguments, separated as a shell does it; done when the switch has done it. */
bool ovs_vsctl(const struct ovs *ovs, const char *arguments);
/* What the switch answers to a command of ovs-appctl's ("lacp/show bond0"). */
bool ovs_ask(const struct ovs *ovs, const char *command, char *ret_text, size_t size);
