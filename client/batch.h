/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A line of `vmctl batch` as words: blanks part them; '…' keeps everything as it is, "…" everything but \, and \ keeps the
 * character behind it; # begins a comment where a word could begin.
 *
 * Tested by tests/unit/test-batch.c.
 */
#pragma once

#include <stddef.h>

#define BATCH_MAX_WORDS 256

/* The words are parts of 'line', which is changed. 0, -E2BIG (too many words), or -EINVAL (a quote is not closed). */
int batch_split(char *line, char *words[BATCH_MAX_WORDS], size_t *ret_n);
