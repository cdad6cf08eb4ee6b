/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The manager: all domains of one instance, the store they are kept in, and what they share (ids, uid slots, event
 * sinks). main() makes one; tests make as many as they like. No transport in here.
 *
 * manager_free() leaves workers running; a new manager on the same folders finds them again.
 */
#pragma once

#include <systemd/sd-event.h>

#include "config/domain-xml.h"
#include "daemon/api-audit.h"
#include "daemon/domain.h"
#include "daemon/event.h"
#include "daemon/store.h"

#define MANAGER_DEFINE_STRICT (1U << 0) /* unknown elements are errors */

#define MANAGER_SLOT_REST_S 60
#define MANAGER_BUCKETS     1024 /* a power of two */

struct manager_options {
	const char *state_dir, *runtime_dir;
	const char *tls_dir; /* of certificates; NULL: none */
	const char *worker_path;
	bool session;
	bool no_jail;              /* tests: the worker runs as it is */
	bool no_kvm;               /* tests: /dev/kvm is not opened */
	uint32_t uid_base;         /* 0: JAIL_UID_BASE */
	uint32_t start_flags;      /* tests: PROTO_START_SECCOMP_… */
	uint64_t memory_limit_kib; /* memory-limit.h; 0: none */
	/* Tests of memory-policy.c: before paths of what it reads; how long its seconds are. NULL, 0: nothing; a second */
	const char *proc_root;
	uint64_t policy_second_usec;
	struct spawner *spawner; /* makes the workers' processes; the caller's; NULL: none */
	uint64_t reach_usec;     /* tests: instead of REACH_USEC and REACH_PATIENT_USEC; 0: these */
	/* Tests of huge-pages.c: its "/sys", and instead of HUGE_PAGES_USEC. NULL, 0: these */
	const char *sysfs;
	uint64_t huge_pages_usec;
};

struct jail_env;
struct jail_plan;
struct memory_policy;
struct mounts;
struct network;

struct manager {
	sd_event *event;
	struct store *store;
	struct manager_options options;
	char *worker_path;
	struct list domains;                                            /* struct domain */
	struct list by_name[MANAGER_BUCKETS], by_uuid[MANAGER_BUCKETS]; /* the same, by hash */
	unsigned n_domains;
	struct list networks; /* struct network */
	unsigned n_networks;
	struct list directs; /* network-direct.c's */
	sd_event_source *directs_timer;
	sd_event_source *guests_timer; /* network-uplink.c's */
	unsigned guests_delay_s;
	/* manager-store.c's */
	sd_event_source *store_timer, *store_retry_timer, *store_source;
	uint64_t store_delay_usec; /* before the next retry, or the last one; 0: nothing fails */
	int told_failure;
	bool any_stuck;
	/* manager-define.c's: what is not durable yet: to be begun, and on its way to the disk; and who waits for both. */
	struct list defining, committing, waiters;
	unsigned n_defining, n_committing;
	struct domain_config *reading; /* NULL: in use, or none yet */
	int define_result; /* of those on their way: an error before the disk was asked */
	sd_event_source *define_source, *define_timer;
	struct list parked; /* api-park.c's: calls that wait for the disk */
	size_t parked_bytes;
	struct list plannings; /* plan-soon.c's */
	unsigned n_plannings;
	struct mounts *mounts;
	struct list reaches, reach_queue; /* reach.c's */
	struct huge_pages *huge_pages;    /* what is under way; NULL: nothing */
	unsigned n_reaches;
	struct list sinks; /* struct event_sink */
	uint64_t sequence;
	struct audit audit; /* api-audit.c's */
	uint32_t last_link_id;
	int last_id;
	uint32_t next_slot;
	uint32_t *slots_rest_until; /* seconds of CLOCK_MONOTONIC, of each slot; 0: never used */
	bool user_ns_allowed, warned_static;
	struct cgroup_root *cgroup_root; /* NULL: no cgroups to be had */
	/* For metrics (metrics.h). */
	uint64_t start_time_usec; /* CLOCK_REALTIME */
	struct {
		uint64_t turns, slow_turns, busy_ns;
	} loop;               /* main.c's */
	uint64_t *api_counts; /* api-call.c's: calls, by method and error code; NULL: none yet */
	uint64_t n_oom_kills; /* workers of domains that the OOM killer ended */
	struct jobs *jobs;
	struct once *once; /* NULL until manager_load() */
	struct memory_policy *memory_policy;
};

int manager_new(sd_event *event, const struct manager_options *options,
	struct manager **ret_manager, struct error *error);
struct manager *manager_free(struct manager *manager);
DEFINE_CLEANUP(struct manager *, manager_free);

/* Read the definitions, find running workers again. */
int manager_load(struct manager *manager, struct error *error);
/* Start what is marked so, if this is the first start since the host booted. */
void manager_autostart(struct manager *manager);

/* By id, name or UUID, tried in this order. NULL with 'error' set when there is none. */
struct domain *manager_find(struct manager *manager, const char *key, struct error *error);
/* The same for who sees only what is his ('only'; NULL: all): others' domains are as if they were not there. */
struct domain *manager_find_seen(
	struct manager *manager, const char *key, const struct user *only, struct error *error);
struct domain *manager_find_uuid(const struct manager *manager, const uint8_t uuid[16]);
struct domain *manager_find_name(struct manager *manager, const char *name);

/* Parse 'xml' and keep it as a definition: a new domain, or a new definition of the one with that name and UUID.
 * 'ret_report' (may be NULL) is the contract, set on -EOPNOTSUPP too; the caller frees it. */
int manager_define(struct manager *manager, const char *xml, const char *source, unsigned flags,
	struct domain **ret_domain, struct contract_report **ret_report, struct error *error);
/* The same, answered by 'done' when the definition is durable: those that come while there is something to read, or while the disk
 * works for those before them, become so together (store_change_begin()), in the order in which they came, and nobody waits for the disk.
 * '*ret_name' lives until then. Whatever else looks at domains or changes them comes after them: by manager_wait(), or by
 * manager_commit(), which waits for the disk. */
int manager_define_soon(struct manager *manager, const char *xml, const char *source,
	unsigned flags, domain_done_fn done, void *userdata, const char **ret_name,
	struct contract_report **ret_report, struct error *error);
void manager_commit(struct manager *manager);
/* Is anything under way, or anybody waiting? */
bool manager_is_defining(const struct manager *manager);
bool manager_has_waiters(const struct manager *manager);
/* Call 'run' when all that was under way before is durable, in the order of the calls; soon, or before this returns. 'is_end': the manager
 * ends instead. Returns 0 or -ENOMEM. */
int manager_wait(struct manager *manager, void (*run)(void *userdata, bool is_end), void *userdata);
/* For manager-store.c: the disk may have answered. For manager.c: at the end. */
void manager_go_on_defining(struct manager *manager);
void manager_drop_waiters(struct manager *manager);
/* The parts of it. manager_parse: what may be defined. 'identify' (may be NULL): whose UUID it has when it says none. The others
 * are for when the store has been written: they cannot fail; manager_take_definition() takes 'definition',
 * manager_drop_definition() frees a domain that is inactive. */
int manager_parse(const char *xml, const char *source, unsigned flags,
	const struct xml_identify *identify, struct domain_config **ret_config,
	struct contract_report **ret_report, struct error *error);
int manager_fail_definition(int r, struct error *error); /* what definition_new() answered */
void manager_take_definition(
	struct manager *manager, struct domain *domain, struct definition *definition, bool is_new);
void manager_drop_definition(struct manager *manager, struct domain *domain);
/* Another definition of a persistent domain, which has its name and UUID. Nothing has changed when it fails. */
int manager_redefine(struct manager *manager, struct domain *domain,
	const struct domain_config *config, struct error *error);
int manager_undefine(struct manager *manager, struct domain *domain, struct error *error);
/* Parse 'xml' and start it, transient unless it is defined already. Answered as domain_start(). */
int manager_create(struct manager *manager, const char *xml, const char *source, unsigned flags,
	unsigned start_flags, domain_done_fn done, void *userdata, struct domain **ret_domain,
	struct contract_report **ret_report, struct error *error);
int manager_set_autostart(
	struct manager *manager, struct domain *domain, bool on, struct error *error);
/* Change one definition, or its flag, durably (store_change()); 'xml' is CHANGESET_SAVE's. Returns 0, or a negative errno with
 * 'error' set: then nothing has changed. */
int manager_change(struct manager *manager, enum changeset_verb verb, enum changeset_kind kind,
	const uint8_t uuid[16], const char *name, const char *xml, struct error *error);
/* The parts of it: after each change, and each try, what is to follow; and what store_change() answered, of 'what': "cannot …". */
void manager_tend_store(struct manager *manager);
int manager_fail_change(struct manager *manager, int r, struct error *error, const char *what);
/* For manager.c: at the beginning, and what the journal has left out, for who looks at the log. */
int manager_watch_store(struct manager *manager);
void manager_tell_left_out(const struct manager *manager);
/* Would manager_define() accept it? Changes nothing. */
int manager_check(const char *xml, const char *source, unsigned flags,
	struct contract_report **ret_report, struct error *error);

/* A name and a UUID belong together: both new, or both of one thing. Who has the name, and who the UUID (name NULL: nobody);
 * 'what' they are: "domain". Returns 0, or the errno of 'exists' with 'error' set. */
struct identity {
	const char *name;
	const uint8_t *uuid;
};
int manager_check_identity(const char *what, enum error_code exists, const struct identity *by_name,
	const struct identity *by_uuid, struct error *error);

/* For network-link.c: numbers of direct links, not used before by this daemon or the one before it (they begin at the time
 * of its start). Never PROTO_LINK_STAR, never PROTO_LINK_ALL. */
uint32_t manager_take_link_id(struct manager *manager);

/* For domain.c. */
struct domain *manager_add(struct manager *manager, const uint8_t uuid[16], const char *name,
	struct error *error); /* NULL with 'error' set: no memory, VMMD_MAX_DOMAINS */
void manager_remove(struct manager *manager, struct domain *domain); /* frees it */
void manager_emit(struct manager *manager, enum event_kind kind, const struct domain *domain,
	const char *detail, const char *reason);
void manager_changed(struct manager *manager, const struct domain *domain);
/* 'detail' by kind: see docs/api.md. At most EVENT_MAX_FIELDS fields. */
void manager_emit_network(struct manager *manager, enum event_kind kind,
	const struct network *network, const char *detail, const struct event_field *fields,
	unsigned n_fields);
void manager_emit_job(struct manager *manager, const struct job *job, const char *detail,
	const struct event_field *fields, unsigned n_fields);
/* The jail of a worker; 'env' has what is particular to it, the rest is filled in. */
int manager_make_jail(struct manager *manager, int exe_fd, uint32_t slot, struct jail_env *env,
	struct jail_plan *ret_plan, struct error *error);
int manager_take_id(struct manager *manager);
void manager_return_id(struct manager *manager, int id); /* nothing came of it: the next has it */
void manager_note_id(struct manager *manager, int id);   /* in use: later ones are higher */
/* A slot of the uid range that no active domain and no other process has, and that nobody had in the last
 * MANAGER_SLOT_REST_S seconds: what a worker left behind (a process that dies slowly, a file somewhere) must not belong
 * to the next one. Round robin, also over a restart of the daemon. 0 or -ENOSPC. */
int manager_take_slot(struct manager *manager, uint32_t *ret_slot);
/* Its worker is gone. */
void manager_rest_slot(struct manager *manager, uint32_t slot);

/* domain-status.c: look at a runtime folder that an earlier daemon left. */
void domain_adopt(struct manager *manager, const uint8_t uuid[16]);
