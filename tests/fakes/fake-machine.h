/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A machine without KVM for unit tests of devices: real guest memory, bus, irq and state code, a loop whose
 * clock stands until the test moves it, and an interrupt backend that records.
 *
 *	struct fake_machine *f = fake_machine_new(MIB(2));
 *	device_new(&ns16550_class, &f->m, 0, &dev);
 *	...
 *	fake_machine_free(f);
 *
 * The configuration (f->config) is all zeroes but for memory and one vCPU; change it before device_new().
 * loop_fake_advance(f->m.loop, ns) moves the clock; loop_run_once(f->m.loop, 0) dispatches fds.
 */
#pragma once

#include "vmm-core/device.h"

#define FAKE_MAX_LOG 4096

struct fake_irq_event {
	uint64_t address;
	uint32_t data;
};

struct fake_machine {
	struct machine m;
	struct vm_config config;
	struct guest_mem mem;
	struct machine_fds fds;

	/* Messages sent by irq_signal_msi(), oldest first. */
	struct fake_irq_event msis[FAKE_MAX_LOG];
	unsigned n_msis;
	/* The routing table as last set. */
	struct irq_route routes[LAYOUT_GSI_MAX];
	unsigned n_routes, n_route_commits;
	/* eventfd of each connected GSI, -1: none. */
	int irqfds[LAYOUT_GSI_MAX];
	bool extint;
	unsigned n_extint_changes;
	/* Answer -errno from the next irq operation. */
	int fail_next;
	/* Requests by devices. */
	enum machine_request requests[64];
	int request_args[64];
	unsigned n_requests;
	/* Doorbells registered with the bus, when enabled by fake_machine_enable_doorbells(). */
	struct {
		enum bus_space space;
		uint64_t addr;
		unsigned size;
		int fd;
	} doorbells[256];
	unsigned n_doorbells;
};

struct fake_machine *fake_machine_new(uint64_t ram_bytes);
struct fake_machine *fake_machine_free(struct fake_machine *f);
DEFINE_CLEANUP(struct fake_machine *, fake_machine_free);

/* Give the bus a doorbell backend that records; a write through fake_bus_write() then signals the eventfd as
 * KVM would. Off by default: the device's write handler does the work. */
void fake_machine_enable_doorbells(struct fake_machine *f);
void fake_bus_write(
	struct fake_machine *f, enum bus_space space, uint64_t addr, unsigned size, uint64_t value);

/* How often the eventfd connected to the GSI with this route was signalled since the last call; -1 if no
 * irqfd is connected to it. */
int fake_irqfd_count(struct fake_machine *f, uint32_t gsi);
/* The same for the (first) route with this MSI data. */
int fake_msi_count(struct fake_machine *f, uint32_t data);

/* Save 'dev' and load it into 'fresh'. Returns device_load()'s answer. Also checks, by assertion, that every
 * truncation of the payload is refused. */
int fake_save_load(const struct device *dev, struct device *fresh);
