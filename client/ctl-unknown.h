/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Calls that failed, about a domain or a network that may not exist: what is said then. To know which name is near, vmmd is asked for
 * all of them.
 *
 * One thread.
 *
 * Tested by tests/unit/test-verbs.c.
 */
#pragma once

#include "client/ctl.h"

/* ctl_fail() and ctl_report() after a call about one domain: an unknown domain is one line, with a hint when the name is near
 * that of an existing one. */
int ctl_fail_domain(struct ctl *ctl, const char *domain, const char *format, ...) _printf_(3, 4);
int ctl_report_domain(struct ctl *ctl, const char *domain);
/* The same for a call about one network. */
int ctl_report_network(struct ctl *ctl, const char *network);
/* The last error was that there is no such network. */
bool ctl_is_unknown_network(const struct ctl *ctl);
