/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The user's editor on a temporary file, and the question after a failure. */
#pragma once

#include "client/ctl.h"

struct edit_file {
	char path[256]; /* empty: no file */
};

/* A file of mode 0600 in $TMPDIR (/tmp) with this content. 0, or -EINVAL (printed). */
int edit_file_init(struct ctl *ctl, struct edit_file *file, const char *content);
/* Removes it. */
void edit_file_done(struct edit_file *file);

/* Run $VISUAL, $EDITOR or vi on it, and wait. 0, or -EINVAL (printed) when it failed. */
int edit_file_run(struct ctl *ctl, const struct edit_file *file);

enum edit_answer {
	EDIT_AGAIN,
	EDIT_GIVE_UP, /* also when there is no terminal to ask at */
	EDIT_FORCE,
	EDIT_RELAX,
};

/* "Failed. Try again? [y,n,i,f,?]:", one key. 'i' is offered with 'may_relax'. */
enum edit_answer edit_ask(struct ctl *ctl, const char *message, bool may_relax);
