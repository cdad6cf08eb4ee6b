/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* libvirt's words for states, reasons and events: one table each. Tested by tests/unit/test-domain.c. */
#include "daemon/domain.h"
#include "daemon/event.h"

#define MAX_REASONS 14

static const struct {
	const char *name;
	const char *reasons[MAX_REASONS];
} states[DOMAIN_STATE_X_MAX] = {
	[DOMAIN_STATE_NOSTATE] = {"no state", {"unknown"}},
	[DOMAIN_STATE_RUNNING] = {"running",
		{"unknown", "booted", "migrated", "restored", "from snapshot", "unpaused",
			"migration canceled", "save canceled", "event wakeup", "crashed",
			"post-copy", "post-copy failed"}},
	[DOMAIN_STATE_BLOCKED] = {"idle", {"unknown"}},
	[DOMAIN_STATE_PAUSED] = {"paused",
		{"unknown", "user", "migrating", "saving", "dumping", "I/O error", "watchdog",
			"from snapshot", "shutting down", "creating snapshot", "crashed",
			"starting up", "post-copy", "post-copy failed"}},
	[DOMAIN_STATE_SHUTDOWN] = {"in shutdown", {"unknown", "user"}},
	[DOMAIN_STATE_SHUTOFF] = {"shut off",
		{"unknown", "shutdown", "destroyed", "crashed", "migrated", "saved", "failed",
			"from snapshot", "daemon"}},
	[DOMAIN_STATE_CRASHED] = {"crashed", {"unknown", "panicked"}},
	[DOMAIN_STATE_PMSUSPENDED] = {"pmsuspended", {"unknown"}},
};

static const char *const kinds[EVENT_KIND_X_MAX] = {
	[EVENT_LIFECYCLE] = "lifecycle",
	[EVENT_REBOOT] = "reboot",
	[EVENT_IO_ERROR] = "io-error",
	[EVENT_CONSOLE] = "console",
	[EVENT_DEVICE_ADDED] = "device-added",
	[EVENT_BALLOON_CHANGE] = "balloon-change",
	[EVENT_MEMORY_DEVICE_SIZE_CHANGE] = "memory-device-size-change",
	[EVENT_DEVICE_REMOVED] = "device-removed",
	[EVENT_NETWORK] = "lifecycle",
	[EVENT_LEASE] = "lease",
	[EVENT_LINK] = "link",
	[EVENT_FAILOVER] = "failover",
	[EVENT_JOB] = "job",
};

const char *domain_state_name(enum domain_state state)
{
	return state < DOMAIN_STATE_X_MAX ? states[state].name : "no state";
}

const char *domain_reason_name(enum domain_state state, int reason)
{
	const char *name = NULL;

	if (state < DOMAIN_STATE_X_MAX && reason >= 0 && reason < MAX_REASONS)
		name = states[state].reasons[reason];
	return name ? name : "unknown";
}

const char *event_kind_name(enum event_kind kind)
{
	return kinds[kind];
}
