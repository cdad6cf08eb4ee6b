/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the files of the canned vmmd share: fake-vmmd-api.c and -xml.c answer, fake-vmmd.c is the process. */
#pragma once

#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

#include "vmm-core/base/macro.h"
#include "vmm-core/base/strutil.h"

#define MAX_DOMAINS  8
#define MAX_NETWORKS 4
#define MAX_BUSES    16

struct fake_domain {
	bool used, persistent, autostart;
	int id; /* -1: off */
	const char *state, *reason;
	char name[64], uuid[UUID_STRING_LEN + 1], title[64], disk[96];
	char *xml;
};

struct fake_network {
	bool used, active, persistent, autostart;
	char name[64], uuid[UUID_STRING_LEN + 1], bridge[16];
	char *xml;
};

struct fake {
	sd_event *loop;
	sd_bus *buses[MAX_BUSES];
	struct fake_domain domains[MAX_DOMAINS];
	struct fake_network networks[MAX_NETWORKS];
	int last_id;
	int console_fd; /* the guest's end of the last console; its number may be stale */
	uint64_t sequence;
};

extern const sd_bus_vtable fake_vtable[];

/* Define a domain from XML; 'id' -1: shut off. */
struct fake_domain *fake_add(struct fake *f, const char *xml, int id);

/* The domain that the first argument names, or NULL with the error set. */
struct fake_domain *fake_read_domain(struct fake *f, sd_bus_message *m, sd_bus_error *error);

/* fake-vmmd-net.c */
void fake_add_networks(struct fake *f);
int fake_on_list_networks(sd_bus_message *m, void *opaque, sd_bus_error *error);
int fake_on_get_network(sd_bus_message *m, void *opaque, sd_bus_error *error);
int fake_on_define_network(sd_bus_message *m, void *opaque, sd_bus_error *error);
int fake_on_change_network(sd_bus_message *m, void *opaque, sd_bus_error *error);
int fake_on_update_network(sd_bus_message *m, void *opaque, sd_bus_error *error);
int fake_on_list_forwards(sd_bus_message *m, void *opaque, sd_bus_error *error);
int fake_on_team(sd_bus_message *m, void *opaque, sd_bus_error *error);
int fake_on_list_leases(sd_bus_message *m, void *opaque, sd_bus_error *error);
int fake_on_list_ports(sd_bus_message *m, void *opaque, sd_bus_error *error);
int fake_on_list_interfaces(sd_bus_message *m, void *opaque, sd_bus_error *error);
int fake_on_list_addresses(sd_bus_message *m, void *opaque, sd_bus_error *error);
int fake_on_attach(sd_bus_message *m, void *opaque, sd_bus_error *error);
int fake_on_detach(sd_bus_message *m, void *opaque, sd_bus_error *error);
int fake_on_set_tune(sd_bus_message *m, void *opaque, sd_bus_error *error);
int fake_on_set_link(sd_bus_message *m, void *opaque, sd_bus_error *error);
int fake_on_plan(sd_bus_message *m, void *opaque, sd_bus_error *error);
int fake_on_apply(sd_bus_message *m, void *opaque, sd_bus_error *error);
int fake_on_capture(sd_bus_message *m, void *opaque, sd_bus_error *error);

/* fake-vmmd-memory.c */
int fake_on_update_memory(sd_bus_message *m, void *opaque, sd_bus_error *error);
int fake_on_set_memory(sd_bus_message *m, void *opaque, sd_bus_error *error);
int fake_on_set_stats_period(sd_bus_message *m, void *opaque, sd_bus_error *error);
int fake_on_memory_stats(sd_bus_message *m, void *opaque, sd_bus_error *error);
int fake_on_get_policy(sd_bus_message *m, void *opaque, sd_bus_error *error);
int fake_on_set_policy(sd_bus_message *m, void *opaque, sd_bus_error *error);
int fake_on_get_numa_tune(sd_bus_message *m, void *opaque, sd_bus_error *error);
int fake_on_set_numa_tune(sd_bus_message *m, void *opaque, sd_bus_error *error);
int fake_on_node_memory(sd_bus_message *m, void *opaque, sd_bus_error *error);
int fake_on_alloc_pages(sd_bus_message *m, void *opaque, sd_bus_error *error);
int fake_on_mmu_stats(sd_bus_message *m, void *opaque, sd_bus_error *error);

/* fake-vmmd-cpu.c */
int fake_on_set_vcpus(sd_bus_message *m, void *opaque, sd_bus_error *error);
int fake_on_list_iothreads(sd_bus_message *m, void *opaque, sd_bus_error *error);
int fake_on_set_iothread(sd_bus_message *m, void *opaque, sd_bus_error *error);
int fake_on_list_vcpus(sd_bus_message *m, void *opaque, sd_bus_error *error);
int fake_on_get_tune(sd_bus_message *m, void *opaque, sd_bus_error *error);
int fake_on_set_pin(sd_bus_message *m, void *opaque, sd_bus_error *error);
int fake_on_set_cpu_tune(sd_bus_message *m, void *opaque, sd_bus_error *error);

/* fake-vmmd-job.c */
int fake_on_list_jobs(sd_bus_message *m, void *opaque, sd_bus_error *error);
int fake_on_job(sd_bus_message *m, void *opaque, sd_bus_error *error);
int fake_on_cancel_job(sd_bus_message *m, void *opaque, sd_bus_error *error);

/* The contract report for 'xml': aa{sv}. */
void fake_append_report(sd_bus_message *m, const char *xml);
/* Sets the error for XML that vmmd would refuse. */
bool fake_refuse(const char *xml, const char *source, bool strict, sd_bus_error *error);
