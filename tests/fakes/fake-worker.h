/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A worker without a machine: it speaks vmm-core/proto.h on fds 3 and 4 as vmmd-worker does, so that the daemon can
 * be tested without KVM, and it can be told to misbehave. A program of its own, tests/unit/fake-worker; this header
 * stands between its parts, each of which says which words it obeys:
 *
 *	fake-worker.c		HELLO, the table of requests, what is asked of any vm
 *	fake-worker-message	what it says
 *	fake-worker-start	START of a vm
 *	fake-worker-vcpu	vCPUs and iothreads
 *	fake-worker-memory	memory devices, balloon, KVM's page tables
 *	fake-worker-console	the console, and what is typed there
 *	fake-worker-nic		vNICs and their links
 *	fake-worker-network	a network's worker: ports, uplinks, team
 *	fake-worker-capture	captures of both
 *
 * Words for a vm stand in its command line, as fake=WORD; for a network in its name; and what it is to do before START
 * in argv[1], which is the domain's name. It has one thread, and trusts the daemon to ask for what there is.
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/vm-config.h"
#include "vmm-core/base/capture-record.h"
#include "vmm-core/proto.h"
#include "vmm-core/stats.h"

/* What the daemon sent. The fds are closed behind the handler, but for START's. */
struct fake_request {
	struct proto_header header;
	char payload[PROTO_MAX_PAYLOAD];
	int fds[PROTO_MAX_FDS];
	unsigned n_fds;
};

struct fake {
	int control, console; /* -1: there is none */
	uint32_t state, reason, flags;
	char text[PROTO_REASON_MAX];
	char line[128];
	size_t line_len;
	struct vm_config config;
	struct vm_stats_page *stats;
	bool is_network, clings;
	struct net_config net;
	struct net_stats_page *net_stats;
	uint32_t nics, unwanted; /* bits */
	uint32_t memories;       /* likewise */
	bool pausing;            /* fake=slow-pause */
	int capture_fd;          /* of a capture that goes on; 'captured' NULL: none */
	struct capture_counts *captured;
	uint32_t vcpus[PROTO_VCPU_WORDS], wanted_vcpus;
	struct {
		uint32_t id; /* 0: gone */
		pthread_t thread;
	} iothreads[VM_MAX_IOTHREADS + 1];
	unsigned n_iothreads;
	unsigned n_ports, n_reports, n_tests;
	bool uplinks_up;
	struct net_team_test test;
	struct proto_links links[VM_MAX_NICS];
};

/* Is fake=WORD in the vm's command line? A longer word counts as each that it begins with. */
bool fake_told(const struct fake *f, const char *word);
uint64_t fake_now_ns(void);

/* Messages. Without a daemon they go nowhere. */
void fake_send(struct fake *f, unsigned type, uint32_t seq, int error, const void *payload,
	size_t len, const int *fds, unsigned n_fds);
void fake_send_state(struct fake *f, enum proto_type type);
void fake_set_state(struct fake *f, uint32_t state, uint32_t reason);
void fake_notice(struct fake *f, uint32_t kind);
/* 'text' goes with an error only. */
void fake_reply(struct fake *f, uint32_t seq, int error, const char *text);
/* Says that it stopped, and ends the process. */
void fake_stop(struct fake *f, uint32_t reason);

/* Handlers of requests: they answer, or do not. */
typedef void fake_handler(struct fake *f, const struct fake_request *p);
fake_handler fake_start, fake_start_network;
fake_handler fake_vcpus, fake_iothread;
fake_handler fake_memory, fake_balloon, fake_mmu;
fake_handler fake_attach, fake_resize;
fake_handler fake_plug, fake_link, fake_list_links;
fake_handler fake_port, fake_team_test;
fake_handler fake_capture;

/* What START and others need of the parts. */
void fake_have_vcpus(struct fake *f, unsigned n);
void fake_send_vcpus(struct fake *f);
void fake_start_threads(struct fake *f);
void fake_have_memory(struct fake *f, unsigned number, uint64_t kib);
void fake_release_nics(struct fake *f);
void fake_end_capture(struct fake *f);
void fake_send_team(struct fake *f);
void fake_send_report(struct fake *f, unsigned number);
void fake_console_input(struct fake *f);
