/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The API: one const table of methods, and what a handler sees of a call. Handlers know no transport: arguments and
 * results are JSON objects whose members are named by the row; a transport converts by the row's signature.
 *
 * A call: the transport makes it (api_call_new), api_dispatch() authorises, then reads the arguments, then calls the handler. What an
 * unauthorised caller sends is not looked at, with one exception: of who owns a domain, the arguments of methods that owners
 * may call on their domains are read first, to see which one is meant. The handler answers now or later, with
 * api_call_reply() or api_call_fail(), exactly once; a call answered later is kept with api_call_ref().
 *
 * Tested by tests/unit/test-dbus.c.
 */
#pragma once

#include <json-c/json.h>
#include <sys/types.h>

#include "daemon/error.h"
#include "daemon/manager.h"
#include "daemon/role.h"
#include "vmm-core/base/strutil.h"

#define API_VERSION   "1"
#define API_MAX_CALLS 1024 /* being worked on, of all callers */

struct api_call;
struct auth;
struct job;
struct once_entry;

/* One argument's or result's name in a row's 'names': first those of 'in', then those of 'out'. */
#define API_NAME(x) #x "\0"

/* What it counts that a domain is the caller's (owner.h), when he has not the role. */
enum api_owner {
	API_OWNER_NOTHING,
	API_OWNER_DOMAIN, /* the owner of the domain that argument 'domain' names may, too */
	API_OWNER_LIST,   /* everybody may, and is answered what is his */
};

struct api_method {
	const char *name, *about; /* one sentence, for who discovers the interface */
	const char *in,
		*out; /* D-Bus signatures of s u b i x t d as ai a{sv} aa{sv}, and h in 'out' */
	const char *names;
	unsigned
		n_optional; /* of the last arguments: JSON may leave them out, which is 0, false or "" */
	enum api_role role; /* that a caller needs */
	enum api_owner owner;
	bool only_looks; /* changes nothing, whatever role it needs: no audit record */
	/* 0, or a negative errno with 'error' set: dispatch then fails the call. */
	int (*handler)(struct api_call *call, struct error *error);
};

extern const struct api_method api_methods[];
extern const size_t n_api_methods;
const struct api_method *api_find_method(const char *name);

/* Who calls, as the transport knows it. */
struct api_peer {
	enum api_role role; /* API_ROLE_ASK: auth_check() finds out */
	struct user
		user; /* 'name' only where no uid of the host's stands for the caller: from a certificate */
	const char *transport;                  /* "dbus", "unix", "tls": for the audit */
	char certificate[CERTIFICATE_NAME_MAX]; /* the name of the one that he showed; "": none */
	char address[64]; /* where it came from, where 'sender' does not say it */
	char sender[64];  /* the unique bus name; "" on a connection without a bus */
	bool interactive; /* the caller allows asking a person */
};

struct api_call_ops {
	/* And options of the call that are no arguments: 'call->key', 'detach', 'timeout_ms'. */
	int (*read_args)(struct api_call *call, struct json_object **ret_in, struct error *error);
	/* 'out' (may be NULL: no results) and 'fd' stay the caller's. */
	void (*reply)(struct api_call *call, struct json_object *out, int fd);
	void (*fail)(struct api_call *call, const struct error *error);
	void (*release)(struct api_call *call);
	bool is_text; /* 'out' is only made JSON text of: see api-rows.h */
};

/* What a call is about, for the audit (api-audit.h). */
struct api_audit {
	char object[VM_NAME_MAX]; /* a name; "": not known */
	char uuid[UUID_STRING_LEN + 1];
	bool is_claimed; /* it is only what the caller called it: there is no such one, or not for him */
	bool is_plain; /* it is no domain or network */
};

struct api_call {
	unsigned n_ref;
	bool done;     /* the handler has answered */
	bool answered; /* the caller has got an answer: the handler's, or an earlier one */
	bool denied;
	bool own_only; /* the caller sees what is his, and nothing else */
	const struct api_method *method;
	struct manager *manager;
	struct api_peer peer;
	struct json_object *in;
	struct api_audit audit;
	bool repeated;           /* it changes nothing: an earlier call with its key did */
	char *key;               /* idempotency key (once.h); NULL: none */
	bool detach;             /* it is answered by its job's number, and not waited for */
	uint32_t timeout_ms;     /* of its job (job.h); 0: none */
	struct job *job;         /* NULL: it does not take long */
	struct once_entry *once; /* once.c's: this call's record */
	struct list parked;      /* api-park.c's */
	size_t parked_bytes;
	const struct api_call_ops *ops;
	void *transport;
};

struct api_call *api_call_new(const struct api_method *method, struct manager *manager,
	const struct api_call_ops *ops, void *transport);
struct api_call *api_call_ref(struct api_call *call);
struct api_call *api_call_unref(struct api_call *call);
DEFINE_CLEANUP(struct api_call *, api_call_unref);

/* Handle one that has waited behind another with its key. Takes the caller's reference. */
void api_call_again(struct api_call *call);

/* Authorise, read, handle. Takes the caller's reference. */
void api_dispatch(struct api_call *call, struct auth *auth);

/* 'out' is taken over; NULL when the method has no results. */
void api_call_reply(struct api_call *call, struct json_object *out);
/* With a file descriptor, which stays the caller's; 'out' as above, with the other results. */
void api_call_reply_fd(struct api_call *call, struct json_object *out, int fd);
void api_call_fail(struct api_call *call, const struct error *error);

/* The caller has waited long enough: he is told 'error', and the work goes on. */
void api_call_give_up(struct api_call *call, const struct error *error);

/* Who calls, for people and records: "uid 1000", "certificate cn:NAME", "user NAME", or a name of the bus. */
#define API_CALLER_MAX 300
void api_call_caller(const struct api_call *call, char ret[API_CALLER_MAX]);
void api_peer_text(const struct api_peer *peer, char ret[API_CALLER_MAX]);

/* Arguments; the transport has checked their types by the signature. */
const char *api_arg_string(const struct api_call *call, const char *name);
uint32_t api_arg_uint(const struct api_call *call, const char *name);
uint64_t api_arg_uint64(const struct api_call *call, const char *name);
bool api_arg_bool(const struct api_call *call, const char *name);
/* The domain that argument 'domain' names, or NULL with 'error' set. One that the caller may not see is as if it were not there. */
struct domain *api_arg_domain(const struct api_call *call, struct error *error);
/* The same, by any key. */
struct domain *api_find_domain(const struct api_call *call, const char *key, struct error *error);
/* May the caller see it, in a list? */
bool api_sees(const struct api_call *call, const struct domain *domain);
/* -EINVAL with 'error' set when 'flags' has a bit outside 'known'. */
int api_check_flags(const struct api_call *call, unsigned known, struct error *error);

/* Handlers, by the file they live in: api-domain.c */
int api_list_domains(struct api_call *call, struct error *error);
int api_list_domain_names(struct api_call *call, struct error *error);
int api_get_domain(struct api_call *call, struct error *error);
int api_get_domain_xml(struct api_call *call, struct error *error);
int api_start_domain(struct api_call *call, struct error *error);
int api_shutdown_domain(struct api_call *call, struct error *error);
int api_reboot_domain(struct api_call *call, struct error *error);
int api_reset_domain(struct api_call *call, struct error *error);
int api_destroy_domain(struct api_call *call, struct error *error);
int api_suspend_domain(struct api_call *call, struct error *error);
int api_resume_domain(struct api_call *call, struct error *error);
int api_open_console(struct api_call *call, struct error *error);
int api_resize_console(struct api_call *call, struct error *error);
int api_list_domain_disks(struct api_call *call, struct error *error);
/* api-define.c */
int api_define_domain(struct api_call *call, struct error *error);
int api_check_domain(struct api_call *call, struct error *error);
int api_undefine_domain(struct api_call *call, struct error *error);
int api_create_domain(struct api_call *call, struct error *error);
int api_set_autostart(struct api_call *call, struct error *error);
/* Answers a call (api_call_ref(), given back here) without results: for operations that say when they are done. */
void api_done(void *userdata, const struct error *error);
/* Of methods that take XML. */
#define API_FLAG_STRICT (1U << 0)
/* What they make of it: MANAGER_DEFINE_…. */
unsigned api_define_flags(const struct api_call *call);
/* {name, report} */
struct json_object *api_named_report(const char *name, const struct contract_report *report);
/* A method that answers so when a worker runs: api_create_done() and the result of api_create_new() (NULL: 'error' is set)
 * are for manager_create() and its kin, whose answer 'r' goes to api_create_started(), which returns it. */
struct api_create;
struct api_create *api_create_new(struct api_call *call, struct error *error);
int api_create_started(
	struct api_create *create, int r, const char *name, const struct contract_report *report);
void api_create_done(void *userdata, const struct error *error);
/* The contract report as an array of {verdict, path, line, why}. */
struct json_object *api_report_to_json(const struct contract_report *report);
/* api-plan.c */
int api_plan_definitions(struct api_call *call, struct error *error);
int api_apply_definitions(struct api_call *call, struct error *error);
/* api-memory.c */
int api_set_memory(struct api_call *call, struct error *error);
int api_set_max_memory(struct api_call *call, struct error *error);
int api_set_memory_stats_period(struct api_call *call, struct error *error);
int api_get_memory_stats(struct api_call *call, struct error *error);
int api_get_mmu_stats(struct api_call *call, struct error *error);
/* api-policy.c */
int api_get_memory_policy(struct api_call *call, struct error *error);
int api_set_memory_policy(struct api_call *call, struct error *error);
/* api-device.c */
int api_attach_device(struct api_call *call, struct error *error);
int api_detach_device(struct api_call *call, struct error *error);
int api_update_device(struct api_call *call, struct error *error);
int api_update_memory_device(struct api_call *call, struct error *error);
/* api-network.c */
int api_list_networks(struct api_call *call, struct error *error);
int api_get_network(struct api_call *call, struct error *error);
int api_get_network_xml(struct api_call *call, struct error *error);
int api_define_network(struct api_call *call, struct error *error);
int api_create_network(struct api_call *call, struct error *error);
int api_undefine_network(struct api_call *call, struct error *error);
int api_start_network(struct api_call *call, struct error *error);
int api_destroy_network(struct api_call *call, struct error *error);
int api_set_network_autostart(struct api_call *call, struct error *error);
int api_update_network(struct api_call *call, struct error *error);
int api_list_network_forwards(struct api_call *call, struct error *error);
int api_list_network_ports(struct api_call *call, struct error *error);
int api_list_network_leases(struct api_call *call, struct error *error);
int api_list_domain_interfaces(struct api_call *call, struct error *error);
int api_list_interface_addresses(struct api_call *call, struct error *error);
int api_set_interface_link(struct api_call *call, struct error *error);
/* Which of a running domain's interfaces has this target or address: its index, or a negative errno with 'error' set. */
int api_find_interface(const struct domain *domain, const char *key, struct error *error);
/* Give it another configuration; the call is answered when it has it. Returns as a handler. */
int api_change_interface(struct api_call *call, struct domain *domain, unsigned index,
	const struct net_port_config *config, struct error *error);
/* api-capture.c */
int api_open_capture(struct api_call *call, struct error *error);
int api_open_network_capture(struct api_call *call, struct error *error);
/* api-tune.c */
int api_set_interface_tune(struct api_call *call, struct error *error);
/* api-cpu.c */
int api_list_iothreads(struct api_call *call, struct error *error);
int api_list_vcpus(struct api_call *call, struct error *error);
int api_get_cpu_tune(struct api_call *call, struct error *error);
int api_get_memory_tune(struct api_call *call, struct error *error);
int api_set_cpu_tune(struct api_call *call, struct error *error);
int api_set_emulator_pin(struct api_call *call, struct error *error);
int api_set_memory_tune(struct api_call *call, struct error *error);
int api_get_numa_tune(struct api_call *call, struct error *error);
int api_set_numa_tune(struct api_call *call, struct error *error);
int api_add_iothread(struct api_call *call, struct error *error);
int api_delete_iothread(struct api_call *call, struct error *error);
int api_set_iothread_pin(struct api_call *call, struct error *error);
int api_set_vcpu_pin(struct api_call *call, struct error *error);
int api_set_vcpus(struct api_call *call, struct error *error);
/* api-cpu-model.c */
int api_compare_cpu(struct api_call *call, struct error *error);
int api_compare_hypervisor_cpu(struct api_call *call, struct error *error);
int api_baseline_cpu(struct api_call *call, struct error *error);
int api_baseline_hypervisor_cpu(struct api_call *call, struct error *error);
int api_get_cpu_models(struct api_call *call, struct error *error);
int api_get_domain_capabilities(struct api_call *call, struct error *error);
/* api-team.c */
int api_get_team(struct api_call *call, struct error *error);
int api_get_team_reports(struct api_call *call, struct error *error);
int api_test_team(struct api_call *call, struct error *error);
/* api-job.c */
int api_list_jobs(struct api_call *call, struct error *error);
int api_get_job(struct api_call *call, struct error *error);
int api_cancel_job(struct api_call *call, struct error *error);
int api_wait_job(struct api_call *call, struct error *error);
/* api-stats.c */
int api_get_domain_stats(struct api_call *call, struct error *error);
int api_get_boot_report(struct api_call *call, struct error *error);
/* api-host.c */
int api_get_capabilities(struct api_call *call, struct error *error);
int api_get_node_info(struct api_call *call, struct error *error);
int api_get_node_memory(struct api_call *call, struct error *error);
int api_alloc_pages(struct api_call *call, struct error *error);
int api_diagnose(struct api_call *call, struct error *error);
int api_get_version(struct api_call *call, struct error *error);
int api_get_hostname(struct api_call *call, struct error *error);
int api_ping(struct api_call *call, struct error *error);

/* The bus path of a domain's object. */
#define API_PATH_MAX 80
void api_domain_path(const struct domain *domain, char ret[API_PATH_MAX]);
