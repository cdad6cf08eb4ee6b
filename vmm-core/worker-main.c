/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vmmd-worker [NAME]: one process, one virtual machine. Started by the daemon with a control socket at fd 3 and a
 * listening socket at fd 4 (proto.h); of no use by itself. What it does is in control.c and vm.c. No test of its own: the
 * guest tests run it.
 *
 * Tested by tests/guest/test-control.c.
 */
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "build-config.h"
#include "vmm-core/base/log.h"
#include "vmm-core/control.h"
#include "vmm-core/sandbox.h"

#define MMAP_BYTES (32 * 1024)

static int run(void)
{
	_cleanup_(loop_freep) struct loop *loop = NULL;
	_cleanup_(control_freep) struct control *control = NULL;
	const char *stage = NULL;
	unsigned missing = 0;
	int r;

	r = sandbox_enter_process(&stage, &missing);
	if (r < 0)
		return log_error_errno(r, "Cannot enter the sandbox: %s: %m", stage);
	if (missing & SANDBOX_NO_LANDLOCK)
		log_debug("This kernel has no Landlock: the empty root and the uid have to do");
	r = loop_new(&loop);
	if (r < 0)
		return log_error_errno(r, "Cannot make the event loop: %m");
	r = control_new(loop, &control);
	if (r < 0)
		return log_error_errno(r, "Cannot talk to the daemon: %m");
	r = loop_run(loop);
	if (r < 0)
		return log_error_errno(r, "The event loop failed: %m");
	return r;
}

int main(int argc, char **argv)
{
	sigset_t set;

	if (argc == 2 && strcmp(argv[1], "--version") == 0) {
		printf("vmmd-worker " VMMD_VERSION "\n");
		return EXIT_SUCCESS;
	}
	/* An argument is a name for ps(1). */
	if (argc > 2) {
		fprintf(stderr, "vmmd-worker is started by vmmd; see vmmd(8).\n");
		return EXIT_FAILURE;
	}
	log_init("vmmd-worker", LOG_INFO, /* with_priority= */ false);
	/* One arena: the vCPU threads then grow the heap by brk() alone. */
	(void)mallopt(M_ARENA_MAX, 1);
	/* What is large (tables, rings) is hardly ever used to its end: pages of its own are not there before they are. */
	(void)mallopt(M_MMAP_THRESHOLD, MMAP_BYTES);
	(void)signal(SIGPIPE, SIG_IGN);
	/* vCPU kicks are for vCPU threads only; they unblock the signal themselves. */
	(void)sigemptyset(&set);
	(void)sigaddset(&set, VCPU_KICK_SIGNAL);
	(void)sigprocmask(SIG_BLOCK, &set, NULL);
	return run() == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
