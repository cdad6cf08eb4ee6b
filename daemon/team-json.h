/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Teams as JSON: what the API answers (docs/api.md has the members), and what the daemon keeps on disk. Times are integers
 * with their unit in the name; a time that there is not is left out.
 *
 * Tested by tests/unit/test-network-team.c.
 */
#pragma once

#include <json-c/json.h>

#include "daemon/network-team.h"

/* The caller's. NULL: no memory. */
struct json_object *team_report_to_json(const struct network_report *report);
/* -EBADMSG: it is not one. */
int team_report_from_json(struct json_object *o, struct network_report *ret_report);

/* {"policy": …, "members": […], "ports" or buckets, "test": …}; the team must be known. */
struct json_object *team_state_to_json(const struct network *network);
/* The last test alone. */
struct json_object *team_test_to_json(const struct network *network);
