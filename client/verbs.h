/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The functions behind the verb table (verbs.c) and their options, by the file that has them. Contract: verb.h, run. */
#pragma once

#include "client/args.h"
#include "client/ctl.h"

/* verbs-list.c */
int verb_list(struct ctl *ctl, const struct args *args);
extern const struct verb_option list_options[];

/* verbs-life.c */
int verb_start(struct ctl *ctl, const struct args *args);
extern const struct verb_option start_options[];
int verb_create(struct ctl *ctl, const struct args *args);
extern const struct verb_option create_options[];
int verb_shutdown(struct ctl *ctl, const struct args *args);
extern const struct verb_option shutdown_options[];
int verb_simple(struct ctl *ctl, const struct args *args); /* one call, one sentence */
extern const struct verb_option destroy_options[];
extern const struct verb_option mode_options[];
extern const struct verb_option undefine_options[];
int verb_autostart(struct ctl *ctl, const struct args *args);
extern const struct verb_option autostart_options[];
int verb_console(struct ctl *ctl, const struct args *args);
extern const struct verb_option console_options[];

/* verbs-xml.c */
int verb_define(struct ctl *ctl, const struct args *args);
extern const struct verb_option define_options[];
int verb_check(struct ctl *ctl, const struct args *args);
extern const struct verb_option check_options[];
int verb_dumpxml(struct ctl *ctl, const struct args *args);
extern const struct verb_option dumpxml_options[];
int verb_edit(struct ctl *ctl, const struct args *args);
extern const struct verb_option edit_options[];

/* verbs-apply.c */
int verb_plan(struct ctl *ctl, const struct args *args);
extern const struct verb_option plan_options[];
int verb_apply(struct ctl *ctl, const struct args *args);
extern const struct verb_option apply_options[];

/* verbs-info.c */
int verb_dominfo(struct ctl *ctl, const struct args *args);
int verb_domstate(struct ctl *ctl, const struct args *args);
extern const struct verb_option domstate_options[];
int verb_domid(struct ctl *ctl, const struct args *args);
int verb_domuuid(struct ctl *ctl, const struct args *args);
int verb_domname(struct ctl *ctl, const struct args *args);
int verb_domblklist(struct ctl *ctl, const struct args *args);
extern const struct verb_option domblklist_options[];
int verb_domstats(struct ctl *ctl, const struct args *args);
extern const struct verb_option domstats_options[];

/* verbs-top.c */
int verb_top(struct ctl *ctl, const struct args *args);
extern const struct verb_option top_options[];

/* verbs-cpu-model.c */
int verb_cpu_baseline(struct ctl *ctl, const struct args *args);
extern const struct verb_option cpu_baseline_options[];
int verb_cpu_compare(struct ctl *ctl, const struct args *args);
extern const struct verb_option cpu_compare_options[];
int verb_cpu_models(struct ctl *ctl, const struct args *args);
extern const struct verb_option cpu_models_options[];
int verb_domcapabilities(struct ctl *ctl, const struct args *args);
extern const struct verb_option domcapabilities_options[];
int verb_hypervisor_cpu_baseline(struct ctl *ctl, const struct args *args);
extern const struct verb_option hypervisor_cpu_baseline_options[];
int verb_hypervisor_cpu_compare(struct ctl *ctl, const struct args *args);
extern const struct verb_option hypervisor_cpu_compare_options[];
/* verbs-net.c */
int verb_net_list(struct ctl *ctl, const struct args *args);
extern const struct verb_option net_list_options[];
int verb_net_info(struct ctl *ctl, const struct args *args);
int verb_net_name(struct ctl *ctl, const struct args *args);
int verb_net_uuid(struct ctl *ctl, const struct args *args);
int verb_net_dhcp_leases(struct ctl *ctl, const struct args *args);
extern const struct verb_option net_dhcp_leases_options[];
int verb_net_port_list(struct ctl *ctl, const struct args *args);
int verb_net_define(struct ctl *ctl, const struct args *args);
extern const struct verb_option net_file_options[];
int verb_net_create(struct ctl *ctl, const struct args *args);
int verb_net_dumpxml(struct ctl *ctl, const struct args *args);
extern const struct verb_option net_dumpxml_options[];
int verb_net_edit(struct ctl *ctl, const struct args *args);
extern const struct verb_option net_edit_options[];
int verb_domiftune(struct ctl *ctl, const struct args *args);
extern const struct verb_option domiftune_options[];
int verb_net_update(struct ctl *ctl, const struct args *args);
extern const struct verb_option net_update_options[];
int verb_net_forward_add(struct ctl *ctl, const struct args *args);
extern const struct verb_option net_forward_add_options[];
int verb_net_forward_delete(struct ctl *ctl, const struct args *args);
extern const struct verb_option net_forward_delete_options[];
int verb_net_forward_list(struct ctl *ctl, const struct args *args);
extern const struct verb_option net_forward_list_options[];
int verb_net_simple(struct ctl *ctl, const struct args *args); /* one call, one sentence */
int verb_net_autostart(struct ctl *ctl, const struct args *args);
extern const struct verb_option net_autostart_options[];

/* verbs-capture.c */
int verb_capture(struct ctl *ctl, const struct args *args);
extern const struct verb_option capture_options[];
int verb_net_capture(struct ctl *ctl, const struct args *args);
extern const struct verb_option net_capture_options[];

/* verbs-cpu.c */
/* --live, --config and --current as the API's flags. 0 or -EINVAL (printed). */
int verb_affect_flags(struct ctl *ctl, const struct args *args, uint32_t *ret);
/* virsh's list of CPUs as the API has it: "r", or what begins so, is all of them. */
int verb_cpulist(struct ctl *ctl, const char *text, const char **ret);
extern const struct verb_option vcpucount_options[];
extern const struct verb_option setvcpus_options[];
extern const struct verb_option vcpuinfo_options[];
extern const struct verb_option vcpupin_options[];
extern const struct verb_option emulatorpin_options[];
extern const struct verb_option schedinfo_options[];
extern const struct verb_option memtune_options[];
extern const struct verb_option cpu_stats_options[];
int verb_cpu_stats(struct ctl *ctl, const struct args *args);
int verb_emulatorpin(struct ctl *ctl, const struct args *args);
int verb_memtune(struct ctl *ctl, const struct args *args);
int verb_schedinfo(struct ctl *ctl, const struct args *args);
int verb_setvcpus(struct ctl *ctl, const struct args *args);
int verb_vcpucount(struct ctl *ctl, const struct args *args);
int verb_vcpuinfo(struct ctl *ctl, const struct args *args);
int verb_vcpupin(struct ctl *ctl, const struct args *args);

/* verbs-numa.c */
extern const struct verb_option numatune_options[];
extern const struct verb_option nodememstats_options[];
extern const struct verb_option freecell_options[];
extern const struct verb_option freepages_options[];
extern const struct verb_option allocpages_options[];
int verb_freecell(struct ctl *ctl, const struct args *args);
int verb_freepages(struct ctl *ctl, const struct args *args);
int verb_allocpages(struct ctl *ctl, const struct args *args);
int verb_nodememstats(struct ctl *ctl, const struct args *args);
int verb_numatune(struct ctl *ctl, const struct args *args);

/* verbs-iothread.c */
extern const struct verb_option iothread_options[];
extern const struct verb_option iothreadinfo_options[];
extern const struct verb_option iothreadpin_options[];
extern const struct verb_option iothreadset_options[];
int verb_iothread(struct ctl *ctl, const struct args *args);
int verb_iothreadinfo(struct ctl *ctl, const struct args *args);
int verb_iothreadpin(struct ctl *ctl, const struct args *args);
int verb_iothreadset(struct ctl *ctl, const struct args *args);

/* verbs-memory.c */
/* A size in KiB (the default unit), rounded up: 0, or -EINVAL. */
int verb_read_size(const char *text, uint64_t *ret_kib);
/* The scaled integer of an option in KiB (the default unit), rounded up: 0, or -EINVAL, printed. */
int verb_parse_size(struct ctl *ctl, const char *name, const char *text, uint64_t *ret_kib);
extern const struct verb_option update_memory_device_options[];
extern const struct verb_option setmem_options[];
extern const struct verb_option setmaxmem_options[];
extern const struct verb_option dommemstat_options[];
extern const struct verb_option dommmustat_options[];
int verb_dommemstat(struct ctl *ctl, const struct args *args);
int verb_dommmustat(struct ctl *ctl, const struct args *args);
int verb_setmaxmem(struct ctl *ctl, const struct args *args);
int verb_update_memory_device(struct ctl *ctl, const struct args *args);
int verb_update_device(struct ctl *ctl, const struct args *args);
int verb_setmem(struct ctl *ctl, const struct args *args);

/* verbs-device.c */
int verb_attach_device(struct ctl *ctl, const struct args *args);
extern const struct verb_option device_options[];
int verb_detach_device(struct ctl *ctl, const struct args *args);
int verb_attach_interface(struct ctl *ctl, const struct args *args);
extern const struct verb_option attach_interface_options[];
int verb_detach_interface(struct ctl *ctl, const struct args *args);
extern const struct verb_option detach_interface_options[];

/* verbs-job.c */
int verb_jobs(struct ctl *ctl, const struct args *args);
extern const struct verb_option jobs_options[];
int verb_job_cancel(struct ctl *ctl, const struct args *args);
extern const struct verb_option job_options[];
int verb_job_wait(struct ctl *ctl, const struct args *args);
extern const struct verb_option job_wait_options[];
int verb_domjobinfo(struct ctl *ctl, const struct args *args);

/* verbs-team.c */
int verb_team_report(struct ctl *ctl, const struct args *args);
extern const struct verb_option team_report_options[];
int verb_team_status(struct ctl *ctl, const struct args *args);
int verb_team_test(struct ctl *ctl, const struct args *args);
extern const struct verb_option team_test_options[];

/* verbs-interface.c */
int verb_domiflist(struct ctl *ctl, const struct args *args);
extern const struct verb_option domiflist_options[];
int verb_domifaddr(struct ctl *ctl, const struct args *args);
extern const struct verb_option domifaddr_options[];
int verb_domifstat(struct ctl *ctl, const struct args *args);
extern const struct verb_option domifstat_options[];
int verb_domif_getlink(struct ctl *ctl, const struct args *args);
extern const struct verb_option domif_getlink_options[];
int verb_domif_setlink(struct ctl *ctl, const struct args *args);
extern const struct verb_option domif_setlink_options[];

/* verbs-host.c */
int verb_capabilities(struct ctl *ctl, const struct args *args);
int verb_boot_report(struct ctl *ctl, const struct args *args); /* verbs-doctor.c */
int verb_doctor(struct ctl *ctl, const struct args *args);      /* verbs-doctor.c */
int verb_host_info(struct ctl *ctl, const struct args *args);
extern const struct verb_option memory_policy_options[];
int verb_memory_policy(struct ctl *ctl, const struct args *args);
extern const struct verb_option doctor_options[];
int verb_nodeinfo(struct ctl *ctl, const struct args *args);
int verb_version(struct ctl *ctl, const struct args *args);
extern const struct verb_option version_options[];
int verb_uri(struct ctl *ctl, const struct args *args);
int verb_hostname(struct ctl *ctl, const struct args *args);

/* verbs-event.c */
int verb_event(struct ctl *ctl, const struct args *args);
extern const struct verb_option event_options[];
int verb_net_event(struct ctl *ctl, const struct args *args);
extern const struct verb_option net_event_options[];
extern const char *const event_names[]; /* of domains; ends with NULL */
extern const char *const net_event_names[];

/* help.c */
int verb_help(struct ctl *ctl, const struct args *args);
extern const struct verb_option help_options[];

/* verbs-batch.c */
int verb_batch(struct ctl *ctl, const struct args *args);
extern const struct verb_option batch_options[];
