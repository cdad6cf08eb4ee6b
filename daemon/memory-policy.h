/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The host's memory policy: under memory pressure guests give up what they do not use, and get it back before they are short.
 *
 *	off, the default	nothing is opened, nothing is looked at
 *	on, no pressure		a trigger of the kernel's (psi.h) is watched; nobody is asked anything, no timer runs
 *	an episode		begins when the trigger fires. Guests are asked for their statistics, memory-share.h decides, balloons are
 *				told; again after a second, or after five when there is no pressure any more, until all was given back
 *
 * The switch is kept (a mark of the store's), so is what was taken: it is the difference between what a worker was told and
 * <currentMemory>, which stays what setmem says and is never exceeded. A daemon that is started again looks once; so guests get
 * theirs back also when the one before it ended in the middle of an episode, or was switched off.
 *
 * A domain takes part if it has a balloon and its pages can be had back one by one: not on huge pages, not <locked/>, not allocated
 * 'immediate'. Its floor is <memtune><min_guarantee>, else share_default_floor(); its weight <vmmd:memoryPolicy weight=>.
 *
 * The last decisions are kept in memory, and written to the journal (docs/journal.md).
 *
 * Tested by tests/unit/test-memory-policy.c.
 */
#pragma once

#include "daemon/memory-share.h"
#include "daemon/manager.h"

#define MEMORY_POLICY_STALL_US                                                                     \
	100000 /* in PSI_WINDOW_US: a twentieth of the time some task waits for memory */
#define MEMORY_POLICY_DECISIONS 256 /* that are kept */
#define MEMORY_POLICY_FOREIGN_S 600 /* between two records that pressure is none of ours */
#define MEMORY_POLICY_FRESH_NS  (2 * NSEC_PER_SEC) /* statistics that are older are not counted on */

struct memory_policy;

enum memory_action {
	MEMORY_ON,
	MEMORY_OFF,
	MEMORY_PRESSURE, /* an episode begins */
	MEMORY_FOREIGN, /* there is pressure, and the host has memory: it comes from a control group's limit */
	MEMORY_OVER, /* all was given back */
	MEMORY_TOOK,
	MEMORY_GAVE,
	MEMORY_ACTION_X_MAX
};
/* "on", "off", "pressure", "not-ours", "over", "took", "gave" */
const char *memory_action_name(enum memory_action action);

struct memory_decision {
	uint64_t time_us; /* since 1970 */
	enum memory_action action;
	const char *reason; /* of TOOK and GAVE: share_reason_name(), or "off"; "" of the others */
	char domain[VM_NAME_MAX]; /* of TOOK and GAVE; "" of the others */
	uint64_t before_kib, after_kib;
	bool usable_known;
	uint64_t usable_kib;    /* what the guest said that it could spare at most */
	uint64_t available_kib; /* the host's */
	uint32_t pressure;      /* psi_line.avg10 of "some" */
};

/* 0 or -ENOMEM. */
int memory_policy_new(struct manager *manager, struct memory_policy **ret);
struct memory_policy *memory_policy_free(struct memory_policy *policy);
DEFINE_CLEANUP(struct memory_policy *, memory_policy_free);

/* At the start, when domains have been found: on if it was on. */
void memory_policy_load(struct memory_policy *policy);
/* 0; -EOPNOTSUPP with 'error' set where the kernel tells no pressure, and errors of the store's. Off: all is given back. */
int memory_policy_set(struct memory_policy *policy, bool on, struct error *error);

bool memory_policy_is_on(const struct memory_policy *policy);
/* On, but there is no pressure to be had: an errno for psi_why_not(). 0: it is watched, or off. */
int memory_policy_error(const struct memory_policy *policy);
/* An episode is on. */
bool memory_policy_is_busy(const struct memory_policy *policy);
/* What it knows of a domain now. False: it takes no part, for the reason in '*ret_why'. */
bool memory_policy_read(const struct domain *domain, struct share_guest *ret, const char **ret_why);
/* The last decisions, the oldest first: how many there are, and one of them. */
size_t memory_policy_n_decisions(const struct memory_policy *policy);
const struct memory_decision *memory_policy_decision(const struct memory_policy *policy, size_t i);
/* How often each was done since the daemon's start; [MEMORY_ACTION_X_MAX]. */
const uint64_t *memory_policy_counts(const struct memory_policy *policy);

/* For tests: watch 'fd' (taken over) in the place of the kernel's trigger; and what it does when it fires. */
int memory_policy_watch(struct memory_policy *policy, int fd);
void memory_policy_fire(struct memory_policy *policy);
