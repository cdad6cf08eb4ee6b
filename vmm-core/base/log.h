/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Log lines on standard error, with the <N> priority prefix that journald understands when standard
 * error is the journal, and plain "name: text" otherwise.
 *
 * Who decides, logs, once. Library code (vmm-core, devices, config) returns errors and logs only at
 * debug level, except for what a guest does wrong: that goes through log_guest(), which is limited to
 * LOG_GUEST_BURST lines per LOG_GUEST_INTERVAL_NS and process and then says how many it left out.
 *
 * Threads: any. One line is one write(2); no allocation, no stdio, so it works behind a seccomp filter
 * that allows write to fd 2.
 */
#pragma once

#include <syslog.h>

#include "vmm-core/base/macro.h"

#define LOG_GUEST_BURST       10
#define LOG_GUEST_INTERVAL_NS (5 * NSEC_PER_SEC)

/* 'ident' (a string that stays valid) starts each line; lines above 'max_level' (LOG_ERR … LOG_DEBUG)
 * are dropped. 'with_priority' adds the <N> prefix. */
void log_init(const char *ident, int max_level, bool with_priority);

int log_max_level(void);

/* Writes the line and answers -abs(error), so that `return log_error_errno(r, "…: %m")` works; %m is
 * the text of 'error'. */
int log_internal(int level, int error, const char *format, ...) _printf_(3, 4);

/* A guest's misuse: rate limited. */
void log_guest(const char *format, ...) _printf_(1, 2);

#define log_full(level, error, ...)                                                                \
	((level) <= log_max_level() ? log_internal(level, error, __VA_ARGS__)                      \
				    : -((error) < 0 ? -(error) : (error)))

#define log_debug(...)            ((void)log_full(LOG_DEBUG, 0, __VA_ARGS__))
#define log_info(...)             ((void)log_full(LOG_INFO, 0, __VA_ARGS__))
#define log_notice(...)           ((void)log_full(LOG_NOTICE, 0, __VA_ARGS__))
#define log_warning(...)          ((void)log_full(LOG_WARNING, 0, __VA_ARGS__))
#define log_error(...)            ((void)log_full(LOG_ERR, 0, __VA_ARGS__))
#define log_debug_errno(e, ...)   log_full(LOG_DEBUG, e, __VA_ARGS__)
#define log_warning_errno(e, ...) log_full(LOG_WARNING, e, __VA_ARGS__)
#define log_error_errno(e, ...)   log_full(LOG_ERR, e, __VA_ARGS__)
