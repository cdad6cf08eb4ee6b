/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A progress bar on standard error while a call takes long: a process of its own, with a connection of its own, looks for the job of
 * a domain (ListJobs) and draws; the call itself is not touched. Nothing is drawn unless standard error is a terminal, with -q or
 * --json, over ssh (it would be another login), or in the first PROGRESS_DELAY_MS. What was drawn is wiped away in the end.
 *
 * One thread. Tested by tests/unit/test-progress.c, and in a terminal by tests/unit/test-terminal.c.
 */
#pragma once

#include "client/ctl.h"

#define PROGRESS_DELAY_MS 500
#define PROGRESS_EACH_MS  250
#define PROGRESS_LINE_MAX 160

struct progress {
	pid_t pid; /* 0: none */
	int stop_fd;
};

/* Failures are nobody's business: then there is no bar. 'uuid' is the domain's. */
void progress_start(struct ctl *ctl, const char *uuid, struct progress *ret);
/* The bar is gone when this returns. */
void progress_stop(struct progress *progress);

/* One line, at most 'columns' wide (20 to PROGRESS_LINE_MAX - 1), without a newline: "t1: start (machine) [====      ]  42 %, 3 s left". A bar only
 * if the per cent are known. */
void progress_format(struct json_object *job, unsigned columns, char ret[PROGRESS_LINE_MAX]);
