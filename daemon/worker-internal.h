/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* struct worker, for worker.c (the process) and worker-proto.c (the conversation). */
#pragma once

#include "daemon/worker.h"

struct worker_pending {
	struct worker *worker;
	uint32_t seq;          /* 0: free */
	worker_reply_fn reply; /* NULL: timed out, a late answer is swallowed */
	void *userdata;
	sd_event_source *timer;
};

struct worker {
	sd_event *event;
	const struct worker_ops *ops;
	void *opaque;
	uint8_t uuid[16];

	pid_t pid;
	uint64_t start_time;
	int pidfd;
	sd_event_source *pid_source;
	bool adopted, is_gone, violation, killed;
	char violation_text[256];
	int jail_error_fd; /* where the child says which step failed; until exec */

	int fd; /* the control socket */
	sd_event_source *io_source, *hello_timer, *exit_timer;
	bool hello; /* seen */
	bool probing, hung;
	uint64_t probed_usec; /* CLOCK_MONOTONIC; 0: never */
	uint32_t last_seq;
	struct worker_pending pending[WORKER_MAX_PENDING];
};

/* Take 'fd' over as the control socket and wait for HELLO. */
int worker_connect_fd(struct worker *worker, int fd);
/* Close the connection and answer what is pending with 'error'. */
void worker_disconnect(struct worker *worker, int error);
/* Read what is there: WORKER_MAX_BATCH packets at most, of which so many are no answers. Answers false when nothing more will come. */
bool worker_drain(struct worker *worker, unsigned max_unasked);
void worker_violates(struct worker *worker, const char *what);
