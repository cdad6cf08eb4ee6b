/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A worker's standard error: a named pipe RUNTIME/domains/UUID/log that the daemon reads into STATE/log/NAME.log.
 *
 * A named pipe and not a file, so that a hostile worker cannot fill the disk: the daemon takes WORKER_LOG_BURST lines
 * each WORKER_LOG_INTERVAL_USEC and leaves the rest in the pipe, whose writer does not block and loses what does not
 * fit; the file is turned (NAME.log.old) at WORKER_LOG_MAX_BYTES. And not an anonymous one, so that a daemon started
 * anew can open the reading end again. A worker that writes while no daemon runs gets EPIPE and goes on.
 */
#pragma once

#include <systemd/sd-event.h>

#include "vmm-core/base/cleanup.h"

#define WORKER_LOG_MAX_BYTES     (1024 * 1024)
#define WORKER_LOG_BURST         20 /* reads of at most 4 KiB … */
#define WORKER_LOG_INTERVAL_USEC UINT64_C(1000000)

struct worker_log;

/* Make the pipe in 'dir_fd' (or open the one that is there) and the file 'name'.log in 'log_dir_fd', which stays the
 * caller's and outlives the log. 'ret_write_fd' (NULL: adopted, the worker has it) is the end for the worker. Returns 0 or -errno. */
int worker_log_open(sd_event *event, int log_dir_fd, const char *name, int dir_fd,
	struct worker_log **ret_log, int *ret_write_fd);

/* Takes what is still in the pipe. NULL is fine; answers NULL. */
struct worker_log *worker_log_free(struct worker_log *log);
