/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Files that a server or another process must answer for (mounts.h) are touched by a child before the daemon opens them: it may
 * wait for ever, the daemon goes on, and after a while says to the caller who does not answer. The child touches a file system's files
 * again until all of them answer quickly: what has just done so is then opened as any other file. One that answers slowly, each time, is
 * one that does not answer.
 *
 * Whatever starts a domain comes by here (domain-start.c): a caller, the host's start (autostart.c), on_reboot and on_crash. All paths that
 * its XML can name, and who opens them:
 *
 *	<kernel>, <initrd>                     resources.c         touched before
 *	<disk><source file=, dev=>             resources-disk.c    touched before, and asked for locks; doctor leaves those alone that are far
 *	<serial>, <console>, <channel>, with   resources-chardev.c touched before, as is the folder that they are made in
 *	  <source path=> of a file or socket
 *	<rng><backend>                         resources.c         touched before
 *	<interface>                            names NICs, not files: what is opened for it is /dev/net/tun and /dev/tapN
 *	<memory>, <hugepages>                  memory without a name (memfd_create)
 *
 * Of what runs, only interfaces, memory devices, vCPUs and iothreads come, change and go: none names a file. There is no other medium for a
 * drive that runs; captures, consoles and their logs go to descriptors of the caller's; networks' XML names no file that is
 * opened. What vmmd is told by options (state, TLS, worker) is the administrator's, and is opened as it is.
 *
 * A look goes from one file system to the next, with one child at a time. There are REACH_MAX children, of which REACH_PER_MOUNT look at
 * one file system, and REACH_PER_OWNER for domains of one owner (nobody's domains have no such limit); who finds no place waits for
 * one, and meanwhile his time passes. So a file system that hangs takes its own places, and keeps nobody from another's.
 *
 * A child that was killed and does not die, because the kernel does not let it go, stays a child, and keeps its place, until it does.
 *
 * Threads: the daemon's one.
 */
#pragma once

#include "config/domain-config.h"
#include "daemon/domain.h"

#define REACH_USEC         (10 * UINT64_C(1000000))  /* for a caller */
#define REACH_PATIENT_USEC (300 * UINT64_C(1000000)) /* where nobody is there who could try again */
#define REACH_QUICK_USEC   UINT64_C(200000) /* all files of one file system, touched once more */
#define REACH_MAX          64
#define REACH_PER_MOUNT    8
#define REACH_PER_OWNER    16

struct manager;
struct reach;

/* What a start of this domain opens. Returns 0: none of it is far, and 'done' is not called; 1: 'done' will be called, once, from the
 * event loop, and '*ret' is valid until then; or a negative errno with 'error' set. 'owner': whose place it takes; "": nobody's. 'done'
 * hears Timeout when there was no answer in 'usec', Cancelled after reach_cancel(), or NULL. */
int reach_domain(struct manager *manager, const struct domain_config *config, const char *owner,
	uint64_t usec, domain_done_fn done, void *userdata, struct reach **ret,
	struct error *error);

/* Nobody wants to know any more: its child is killed, and 'done' hears of it soon. */
void reach_cancel(struct reach *reach);
/* The same, and 'done' is not called. Takes NULL. */
void reach_drop(struct reach *reach);

/* The manager's own, when nobody waits any longer: children are killed, and not waited for. */
void reach_end(struct manager *manager);
