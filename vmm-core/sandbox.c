/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A worker's own part of its sandbox: see sandbox.h. */
#include "vmm-core/sandbox.h"

#include <errno.h>
#include <linux/close_range.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "seccomp-filters.h"
#include "vmm-core/base/cleanup.h"
#include "vmm-core/base/macro.h"
#include "vmm-core/proto.h"

/* Newer than the headers of Debian 12; values of the kernel's UAPI. */
#ifndef PR_SET_MDWE
#define PR_SET_MDWE              65
#define PR_MDWE_REFUSE_EXEC_GAIN 1
#endif

/* struct landlock_ruleset_attr as of ABI 6; an older kernel is given as much of it as it knows. */
struct ruleset_attr {
	uint64_t handled_access_fs;
	uint64_t handled_access_net;
	uint64_t scoped;
};

/* All rights that each Landlock ABI knows (Documentation/userspace-api/landlock.rst). */
static const struct {
	uint64_t fs, net, scoped;
	size_t size;
} landlock_abis[] = {
	{(1 << 13) - 1, 0, 0, 8},  /* 1 */
	{(1 << 14) - 1, 0, 0, 8},  /* 2: refer */
	{(1 << 15) - 1, 0, 0, 8},  /* 3: truncate */
	{(1 << 15) - 1, 3, 0, 16}, /* 4: TCP bind and connect */
	{(1 << 16) - 1, 3, 0, 16}, /* 5: device ioctls */
	{(1 << 16) - 1, 3, 3, 24}, /* 6: abstract unix sockets, signals */
};

static int enter_landlock(unsigned *missing)
{
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	struct ruleset_attr attr;
	_cleanup_(closep) int fd = -EBADF;
	size_t row;

	if (abi < 1) {
		*missing |= SANDBOX_NO_LANDLOCK;
		return 0;
	}
	row = MIN((size_t)abi, ARRAY_SIZE(landlock_abis)) - 1;
	attr = (struct ruleset_attr){
		.handled_access_fs = landlock_abis[row].fs,
		.handled_access_net = landlock_abis[row].net,
		.scoped = landlock_abis[row].scoped,
	};
	fd = (int)syscall(SYS_landlock_create_ruleset, &attr, landlock_abis[row].size, 0);
	if (fd < 0)
		return -errno;
	/* No rule: nothing of what is handled is allowed. */
	if (syscall(SYS_landlock_restrict_self, fd, 0) < 0)
		return -errno;
	return 0;
}

int sandbox_enter_process(const char **ret_stage, unsigned *ret_missing)
{
	unsigned missing = 0;
	int r;

	*ret_stage = "close_range";
	if (syscall(SYS_close_range, PROTO_LISTEN_FD + 1, ~0U, 0) < 0)
		return -errno;
	*ret_stage = "PR_SET_NO_NEW_PRIVS";
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -errno;
	*ret_stage = "PR_SET_DUMPABLE";
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return -errno;
	if (prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0) < 0)
		missing |= SANDBOX_NO_MDWE;
	*ret_stage = "Landlock";
	r = enter_landlock(&missing);
	if (r < 0)
		return r;
	*ret_missing = missing;
	return 0;
}

static const struct {
	const struct sock_filter *filter;
	size_t len;
} filters[SECCOMP_ROLE_X_MAX][2] = {
	[SECCOMP_VCPU] = {{vcpu_filter, ARRAY_SIZE(vcpu_filter)},
		{vcpu_filter_errno, ARRAY_SIZE(vcpu_filter_errno)}},
	[SECCOMP_LOOP] = {{loop_filter, ARRAY_SIZE(loop_filter)},
		{loop_filter_errno, ARRAY_SIZE(loop_filter_errno)}},
	[SECCOMP_IO] = {{io_filter, ARRAY_SIZE(io_filter)},
		{io_filter_errno, ARRAY_SIZE(io_filter_errno)}},
	[SECCOMP_IOTHREAD] = {{iothread_filter, ARRAY_SIZE(iothread_filter)},
		{iothread_filter_errno, ARRAY_SIZE(iothread_filter_errno)}},
	[SECCOMP_NETWORK] = {{network_filter, ARRAY_SIZE(network_filter)},
		{network_filter_errno, ARRAY_SIZE(network_filter_errno)}},
};

int sandbox_enter_thread(enum seccomp_role role, enum sandbox_mode mode)
{
	/* The kernel only reads the program; its struct has no const. */
	struct sock_fprog prog = {0};

	if (mode == SANDBOX_OFF)
		return 0;
	prog.len = (unsigned short)filters[role][mode].len;
	memcpy(&prog.filter, &filters[role][mode].filter, sizeof(prog.filter));
	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &prog) < 0)
		return -errno;
	return 0;
}
