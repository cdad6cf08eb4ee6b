/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Which of the host's file systems others answer for: servers (NFS, CIFS, Ceph …) and processes (FUSE), or nobody yet (autofs).
 * Whoever opens a file there may wait for them without end, so the daemon does not (reach.h).
 *
 * The table is /proc/self/mountinfo (proc(5)), read when it is first asked for and again when the kernel says that it has
 * changed. A path is followed link by link on this host's own file systems, and no further than to the first that is not:
 * nothing of such a one is touched.
 *
 * Threads: the daemon's one.
 */
#pragma once

#include <stddef.h>
#include <systemd/sd-event.h>

#include "vmm-core/base/cleanup.h"
#include "vmm-core/base/macro.h"

struct mounts;

/* 'path' is mountinfo's, or a test's file; it need not exist (then nothing is far). Returns 0 or -errno. */
int mounts_new(sd_event *event, const char *path, struct mounts **ret_mounts);
struct mounts *mounts_free(struct mounts *mounts);
DEFINE_CLEANUP(struct mounts *, mounts_free);

/* False: no path of this host is far. */
bool mounts_any_far(struct mounts *mounts);

/* Does the way to 'path' (absolute) lead through such a file system? 'ret_where' then has "nfs4 at /srv/images". */
bool mounts_is_far(struct mounts *mounts, const char *path, char *ret_where, size_t size);
