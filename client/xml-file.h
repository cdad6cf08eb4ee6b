/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Domain descriptions on their way to vmmd, and the contract report on its way back.
 *
 * Tested by tests/unit/test-verbs.c.
 */
#pragma once

#include "client/ctl.h"

#define REPORT_MAX_NOTES 12

/* The content of 'file' ("-": standard input), at most VMMD_MAX_XML_BYTES. 0, or -EINVAL (printed). */
int xml_file_read(struct ctl *ctl, const char *file, char **ret_xml);

/* How vmmd is to call it in its messages. */
const char *xml_file_source(const char *file);

/* What was adapted, ignored or is unknown, one line each on standard error, at most REPORT_MAX_NOTES and
 * then how many more. 'report' is an array of {verdict, path, line, why}; NULL is empty. */
void report_notes(struct ctl *ctl, struct json_object *report, const char *file);

/* The whole report as a table and one line of sums; honoured elements only with 'all'. */
int report_print(struct ctl *ctl, struct json_object *report, bool all);
