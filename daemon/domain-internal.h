/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Between the files of domain: domain.c (life, state) domain-start.c, domain-run.c (the worker's words), domain-end.c (and restarts), domain-ops.c
 * (requests) domain-plug.c (interfaces that come and go) domain-tune.c (pins and limits) domain-vcpu.c (how
 * many vCPUs) domain-cpu.c (which processors) domain-iothread.c (which iothreads) domain-balloon.c (memory)
 * domain-status.c (what outlives the daemon). */
#pragma once

#include "daemon/cgroup.h"
#include "daemon/domain.h"

extern const struct worker_ops domain_worker_ops;

/* Change state and reason, tell the sinks, save the status. */
void domain_set_state(struct domain *domain, enum domain_state state, int reason);
/* A lifecycle event. */
void domain_event(struct domain *domain, const char *detail, const char *reason);

int domain_add_wait(struct list *waits, domain_done_fn done, void *userdata);
void domain_drop_waits(struct list *waits); /* they are never called */
void domain_finish_waits(struct list *waits, const struct error *error);

/* Open everything, make the process. Afterwards STARTING; when others must answer for its files, 'domain->run->reach' is what is waited for first.
 * 'patient': longer than for a caller. */
int domain_begin_run(struct domain *domain, bool patient, struct error *error);
/* What it waited for did not come, or all could not be opened then. */
void domain_fail_run(struct domain *domain, const struct error *error);
/* The worker has said HELLO: it is told START, and all that was opened. */
void domain_send_start(struct domain *domain);
/* Its worker is killed, and who waits for the start hears why. */
void domain_fail_start(struct domain *domain, const struct error *error);
/* What the XML wants done after such an end (enum domain_action, never the default). */
uint8_t domain_action_of(const struct domain_config *config, enum domain_stop stop);
bool domain_action_restarts(uint8_t action);
/* The worker is dead: the run ends, and perhaps begins again. */
void domain_gone(void *domain, const struct worker_exit *how);
/* Release all that belongs to a run. */
void domain_end_run(struct domain *domain);
/* Kill the worker when it has not gone by itself in 'usec'. */
void domain_kill_later(struct domain *domain, uint64_t usec);

/* The worker has these vNICs, bits by number: what is not among them is gone. */
void domain_nics_seen(struct domain *domain, uint32_t present);
/* The run is over: who waits for a guest waits no longer. */
void domain_end_detaches(struct domain *domain);
void domain_drop_detaches(struct domain *domain); /* they are never called */

/* Ask the worker to give vNIC number 'nic' another configuration, made of domain_nic_asked(); the live configuration follows its answer. */
int domain_set_nic(struct domain *domain, unsigned nic, const struct net_port_config *config,
	domain_done_fn done, void *userdata, struct error *error);

/* The worker has these vCPUs. False: it cannot. */
bool domain_vcpus_seen(struct domain *domain, const uint32_t bits[PROTO_VCPU_WORDS]);
/* Its guest does not let go of one. */
void domain_vcpu_refused(struct domain *domain, uint32_t vcpu);
/* A run begins: as many as the live configuration says, and more when they are asked for. */
void domain_reset_vcpus(struct domain *domain);
/* One above the highest that the worker may say is there, so that the next daemon knows, too. */
uint32_t domain_vcpus_end(const struct domain *domain);
/* As with detaches. */
void domain_end_vcpu_waits(struct domain *domain);
void domain_drop_vcpu_waits(struct domain *domain);

/* Which of the two 'flags' (DOMAIN_AFFECT_*) mean; -EINVAL and the like with 'error' set when that cannot be changed. */
int domain_settle_flags(const struct domain *domain, unsigned flags, bool *ret_live,
	bool *ret_config, struct error *error);

/* The limits of its control group; with 'root' none that this host cannot express (shares: the most there are). */
void domain_limits(const struct domain_config *config, const struct cgroup_root *root,
	struct cgroup_limits *ret);
/* What runs with the tuning that is being set (domain_tune()), also while systemd has not answered: the live configuration otherwise. */
const struct domain_config *domain_tuned(const struct domain *domain);
/* The limits of that: whoever changes what they follow from sends these. */
void domain_wanted_limits(const struct domain *domain, struct cgroup_limits *ret);
/* They follow from the live configuration, which is another one: the control group is told, if it has a quota. */
void domain_limits_changed(struct domain *domain);
/* As with detaches, of changes of the tuning. */
void domain_end_tunes(struct domain *domain);
void domain_drop_tunes(struct domain *domain);
/* Some thread is not to run wherever vcpu/@cpuset allows. */
bool domain_has_pins(const struct domain_config *config);
/* Let the worker's threads run where the live configuration says. */
int domain_pin_all(const struct domain *domain, struct error *error);

/* The worker says what its processors are: the first time it counts, and is saved. */
void domain_cpuid_told(struct domain *domain, const struct proto_cpuid *cpuid);
/* Before a run: what the domain was given before, into the live configuration, if it is to be given that again: it restarts, or check='full' says
 * so. What its XML says counts more. The last run's is forgotten then. _end: the worker's configuration has it, and the live one is again
 * as it was written. */
void domain_recall_cpuid(struct domain *domain);
void domain_end_recall(struct domain *domain);
/* What was saved of it by an earlier daemon. */
void domain_load_cpuid(struct domain *domain);
/* <cpu> as it was given ('cpuid'; NULL: not known) to who asked for 'asked': in full, but for modes that are the host's whole processor. */
void domain_cpu_given(
	const struct proto_cpuid *cpuid, const struct vm_cpu *asked, struct vm_cpu *ret);
/* The same of a whole machine, with the leaves where its <cpu> is said in full. */
void domain_machine_given(const struct proto_cpuid *cpuid, struct vm_config *vm);

/* One request to the running worker, with a deadline; 'done' as domain.h has it. 'what': "did not WHAT". */
int domain_request(struct domain *domain, enum proto_type type, const char *what,
	const void *payload, size_t len, domain_done_fn done, void *userdata, struct error *error);

/* What config/domain-device.h answered, of which 'text' is freed; 0 stays 0. */
int domain_device_error(int r, char *text, struct error *error);
/* 'next' is what runs from now on, without those interfaces and memory devices (by index; negative: with all): what was resolved at the start is taken
 * over for those that were there before. Takes 'next' when it returns 0. */
int domain_replace_live(
	struct domain *domain, struct domain_config *next, int without_nic, int without_memory);

/* Memory devices (domain-memory.c). A run begins: what they may have. */
void domain_reset_memories(struct domain *domain);
/* A run was found: 'granted_kib' is its record's, UINT64_MAX where that says nothing. */
void domain_find_memories(struct domain *domain);
/* The guest has another size of one. */
void domain_memory_changed(struct domain *domain, unsigned number);
/* The worker has these, a bit each. False: they cannot be. */
bool domain_memories_seen(struct domain *domain, uint32_t present);
int domain_attach_memory(struct domain *domain, const struct domain_memory_wish *wish,
	unsigned flags, domain_done_fn done, void *userdata, struct contract_report **ret_report,
	struct error *error);
int domain_detach_memory(struct domain *domain, const struct domain_memory_wish *wish,
	unsigned flags, domain_detached_fn done, void *userdata, struct error *error);
/* As with detaches. */
void domain_end_memory_detaches(struct domain *domain);
void domain_drop_memory_detaches(struct domain *domain);

/* The guest's statistics are there, or nobody waits for them any longer. */
void domain_end_stats_waits(struct domain *domain);
/* So many pages are given up now. */
void domain_balloon_changed(struct domain *domain, uint32_t pages);

/* What is going to run: 'live', 'running' and an empty 'run'. Takes 'config' when it returns 0; -ENOMEM, -EFBIG. */
int domain_set_live(struct domain *domain, struct domain_config *config);
/* What runs has another configuration. Takes both. */
void domain_take_live(
	struct domain *domain, struct domain_config *config, struct definition *running);
void domain_clear_live(struct domain *domain);
/* What runs has been changed, and its XML is to say so: dumpxml shows that, the next daemon reads it, a restart begins with it. 'edit' makes
 * the change in what 'running' says; 'live' is the caller's. Saves the status. Returns 0, or a negative errno (then the XML is the
 * old one): what definition_parse(), 'edit' or definition_new() say. */
typedef int (*domain_edit_fn)(struct domain_config *config, const void *what);
int domain_edit_running(struct domain *domain, domain_edit_fn edit, const void *what);

/* status.json and live.xml, of a run that has been noted; failures are logged, a run goes on with what was saved before. Returns 0 or
 * the failure, for who must not go on without. */
int domain_save_status(struct domain *domain);
/* The first time, before START is sent: from now on the next daemon finds the run, until then the worker ends with this one.
 * 0 or a negative errno: then it must not be told START. */
int domain_note_run(struct domain *domain);
