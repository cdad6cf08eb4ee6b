/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Waiting for signals of vmmd: vmctl event and net-event, and --wait of other verbs. Events are collected from
 * watch_new() on, so a caller that subscribes, then acts, then runs the watch misses nothing.
 *
 * One thread. While a watch exists SIGINT and SIGTERM are blocked: they end watch_run().
 *
 * Tested by tests/unit/test-verbs.c.
 */
#pragma once

#include "client/ctl.h"

struct watch;

enum watch_what {
	WATCH_DOMAINS,  /* DomainEvent */
	WATCH_NETWORKS, /* NetworkEvent */
};

/* Borrowed from the message; valid during the callback. */
struct watch_event {
	const char *event, *name, *uuid, *detail;
	const char *reason;         /* of a domain's event; else "" */
	struct json_object *fields; /* of a network's: names and texts; else NULL */
	uint64_t sequence;
};

enum watch_end {
	WATCH_STOPPED, /* the callback said so */
	WATCH_TIMED_OUT,
	WATCH_INTERRUPTED, /* SIGINT or SIGTERM */
	WATCH_LOST,        /* vmmd or the bus went away */
};

/* 'on_event' answers true to stop. Returns 0 or -errno with ctl's error set. */
int watch_new(struct ctl *ctl, enum watch_what what,
	bool (*on_event)(const struct watch_event *event, void *opaque), void *opaque,
	struct watch **ret_watch);
struct watch *watch_free(struct watch *watch);
DEFINE_CLEANUP(struct watch *, watch_free);

/* 'timeout_sec' 0: no limit. Returns 0 or -errno with ctl's error set. */
int watch_run(struct watch *watch, uint64_t timeout_sec, enum watch_end *ret_end);
