/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * May this caller do that? Asked once per call, by api_dispatch().
 *
 *	root, and the user the daemon runs as	always
 *	session instance			nobody else
 *	system instance				polkit decides, by the action of the role; without polkit: nobody else
 *
 * A caller whose role the transport has found (struct api_peer.role) is judged by that alone, at once: JSON-RPC goes on
 * without a bus.
 *
 * A caller without a known uid, an error and a time-out are all "no". So is one who has gone meanwhile: after polkit's yes the
 * bus is asked once more who has the caller's name (CVE-2021-3560 was a polkit that said yes about nobody).
 */
#pragma once

#include <systemd/sd-bus.h>

#include "daemon/api.h"

#define AUTH_POLKIT_USEC             (25 * UINT64_C(1000000))
#define AUTH_POLKIT_INTERACTIVE_USEC (120 * UINT64_C(1000000))

struct auth {
	sd_bus *bus; /* where polkit lives; NULL: no polkit */
	uid_t own_uid;
	uint64_t polkit_usec; /* 0: the times above; tests */
};

/* 'why' is for the caller's eyes: "polkit said no". */
typedef void (*auth_done_fn)(void *userdata, bool allowed, const char *why);

/* Has the caller this role for certain, without that anybody is asked? */
bool auth_has(const struct auth *auth, const struct api_peer *peer, enum api_role role);
/* Has the caller this role? Calls 'done' once, now or later. */
void auth_check(struct auth *auth, const struct api_peer *peer, enum api_role role,
	auth_done_fn done, void *userdata);
