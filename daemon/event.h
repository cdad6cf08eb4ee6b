/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the daemon tells the world without being asked: lifecycle events in libvirt's words, and "something about this
 * domain changed". A sink (a transport) hangs itself into the manager's list; it is called synchronously and must not
 * free domains.
 */
#pragma once

#include "vmm-core/base/list.h"

struct domain;
struct job;
struct network;

enum event_kind {
	EVENT_LIFECYCLE,
	EVENT_REBOOT,
	EVENT_IO_ERROR,
	EVENT_CONSOLE, /* an attached console came or went */
	EVENT_DEVICE_ADDED,
	EVENT_BALLOON_CHANGE,            /* the guest gave up memory, or took it back */
	EVENT_MEMORY_DEVICE_SIZE_CHANGE, /* it plugged memory in, or out */
	EVENT_DEVICE_REMOVED,            /* the guest has released it, and it is gone */
	/* Of a network: 'network' is set, 'domain' is not. */
	EVENT_NETWORK,  /* its life */
	EVENT_LEASE,    /* an address was leased to a guest, or is free again */
	EVENT_LINK,     /* an uplink, or a guest's interface, has another link state */
	EVENT_FAILOVER, /* its team uses another member */
	EVENT_JOB,      /* 'job' is set, and neither 'domain' nor 'network' */
	EVENT_KIND_X_MAX
};

/* What an event says beside its words, as text: "mac", "52:54:00:12:34:56". */
struct event_field {
	const char *name, *value;
};
#define EVENT_MAX_FIELDS 8

struct event {
	enum event_kind kind;
	const struct domain *domain;
	const struct network *network;
	const struct job *job;
	const char *
		detail; /* "Started"; "204800KiB" (that the guest has now) for EVENT_BALLOON_CHANGE, or of the device for EVENT_MEMORY_DEVICE_SIZE_CHANGE; "" for the other kinds */
	const char *
		reason; /* "Booted"; a disk's target for EVENT_IO_ERROR; a device's alias for EVENT_DEVICE_* and EVENT_MEMORY_DEVICE_SIZE_CHANGE */
	/* Of networks' and jobs' events. An empty value is left out. */
	const struct event_field *fields;
	unsigned n_fields;
	uint64_t sequence; /* goes up by one for each event of this daemon */
};

/* "lifecycle" (of a network too), "reboot", "io-error", "console", "device-added", "balloon-change", "memory-device-size-change", "device-removed", "lease", "link",
 * "failover", "job" */
const char *event_kind_name(enum event_kind kind);

struct event_sink {
	struct list link;
	void (*event)(struct event_sink *sink, const struct event *event);
	/* A property of the domain (state, id, persistent, …) has a new value. May be NULL. */
	void (*changed)(struct event_sink *sink, const struct domain *domain);
};
