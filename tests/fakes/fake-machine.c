/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A machine without KVM: see fake-machine.h. */
#include "tests/fakes/fake-machine.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int take_failure(struct fake_machine *f)
{
	int r = f->fail_next;

	f->fail_next = 0;
	return r;
}

static int fake_set_routes(void *opaque, const struct irq_route *routes, unsigned n_routes)
{
	struct fake_machine *f = opaque;
	int r = take_failure(f);

	if (r < 0)
		return r;
	memcpy(f->routes, routes, n_routes * sizeof(*routes));
	f->n_routes = n_routes;
	f->n_route_commits++;
	return 0;
}

static int fake_irqfd(void *opaque, int event_fd, uint32_t gsi, bool on)
{
	struct fake_machine *f = opaque;
	int r = take_failure(f);

	if (r < 0)
		return r;
	f->irqfds[gsi] = on ? event_fd : -1;
	return 0;
}

static int fake_signal_msi(void *opaque, uint64_t address, uint32_t data)
{
	struct fake_machine *f = opaque;
	int r = take_failure(f);

	if (r < 0)
		return r;
	if (f->n_msis < FAKE_MAX_LOG)
		f->msis[f->n_msis++] = (struct fake_irq_event){.address = address, .data = data};
	return 1;
}

static void fake_extint(void *opaque, bool asserted)
{
	struct fake_machine *f = opaque;

	f->extint = asserted;
	f->n_extint_changes++;
}

static const struct irq_ops fake_irq_ops = {
	.set_routes = fake_set_routes,
	.irqfd = fake_irqfd,
	.signal_msi = fake_signal_msi,
	.extint = fake_extint,
};

static void fake_request(void *opaque, enum machine_request request, int arg)
{
	struct fake_machine *f = opaque;

	if (f->n_requests == ARRAY_SIZE(f->requests))
		return;
	f->requests[f->n_requests] = request;
	f->request_args[f->n_requests++] = arg;
}

static const struct machine_ops fake_machine_ops = {.request = fake_request};

struct fake_machine *fake_machine_new(uint64_t ram_bytes)
{
	struct fake_machine *f = calloc(1, sizeof(*f));

	assert(f);
	f->config = (struct vm_config){
		.magic = VM_CONFIG_MAGIC,
		.version = VM_CONFIG_VERSION,
		.name = "fake",
		.memory_kib = ram_bytes / 1024,
		.current_memory_kib = ram_bytes / 1024,
		.vcpus = 1,
		.vcpus_max = 1,
		.acpi = 1,
	};
	for (unsigned i = 0; i < VM_MAX_DISKS; i++)
		f->fds.disks[i] = -EBADF;
	for (unsigned i = 0; i < VM_MAX_NICS; i++)
		f->fds.nics[i] = -EBADF;
	f->fds.rng = -EBADF;
	for (unsigned i = 0; i < LAYOUT_GSI_MAX; i++)
		f->irqfds[i] = -1;
	f->m = (struct machine){
		.config = &f->config,
		.mem = &f->mem,
		.irq = irq_new(&fake_irq_ops, f),
		.fds = &f->fds,
		.ops = &fake_machine_ops,
		.ops_opaque = f,
	};
	if (guest_mem_init(&f->mem, -EBADF, ram_bytes) < 0 ||
		loop_new_fake(NSEC_PER_SEC, &f->m.loop) < 0)
		abort();
	f->m.bus = bus_new(f->m.loop);
	assert(f->m.bus && f->m.irq);
	return f;
}

struct fake_machine *fake_machine_free(struct fake_machine *f)
{
	if (!f)
		return NULL;
	(void)loop_free(f->m.loop);
	(void)irq_free(f->m.irq);
	(void)bus_free(f->m.bus);
	guest_mem_done(&f->mem);
	free(f);
	return NULL;
}

static int fake_doorbell(
	void *opaque, enum bus_space space, uint64_t addr, unsigned size, int event_fd, bool on)
{
	struct fake_machine *f = opaque;

	for (unsigned i = 0; i < f->n_doorbells; i++) {
		if (f->doorbells[i].space != space || f->doorbells[i].addr != addr)
			continue;
		if (on)
			return -EEXIST;
		f->doorbells[i] = f->doorbells[--f->n_doorbells];
		return 0;
	}
	if (!on)
		return -ENOENT;
	if (f->n_doorbells == ARRAY_SIZE(f->doorbells))
		return -ENOSPC;
	f->doorbells[f->n_doorbells].space = space;
	f->doorbells[f->n_doorbells].addr = addr;
	f->doorbells[f->n_doorbells].size = size;
	f->doorbells[f->n_doorbells++].fd = event_fd;
	return 0;
}

void fake_machine_enable_doorbells(struct fake_machine *f)
{
	static const struct bus_doorbell_ops ops = {.set = fake_doorbell};

	bus_set_doorbell_ops(f->m.bus, &ops, f);
}

void fake_bus_write(
	struct fake_machine *f, enum bus_space space, uint64_t addr, unsigned size, uint64_t value)
{
	for (unsigned i = 0; i < f->n_doorbells; i++) {
		uint64_t one = 1;

		if (f->doorbells[i].space != space || f->doorbells[i].addr != addr ||
			(f->doorbells[i].size && f->doorbells[i].size != size))
			continue;
		(void)!write(f->doorbells[i].fd, &one, sizeof(one));
		return;
	}
	bus_write(f->m.bus, space, addr, size, value);
}

int fake_irqfd_count(struct fake_machine *f, uint32_t gsi)
{
	uint64_t count;

	if (f->irqfds[gsi] < 0)
		return -1;
	if (read(f->irqfds[gsi], &count, sizeof(count)) < 0)
		return 0;
	return (int)count;
}

int fake_msi_count(struct fake_machine *f, uint32_t data)
{
	for (unsigned i = 0; i < f->n_routes; i++)
		if (f->routes[i].data == data)
			return fake_irqfd_count(f, f->routes[i].gsi);
	return -1;
}

int fake_save_load(const struct device *dev, struct device *fresh)
{
	struct state_writer w;
	struct state_reader reader;
	size_t offset = 0;
	int r;

	state_writer_init(&w);
	r = device_save(dev, &w);
	if (r < 0)
		abort();
	if (state_next(w.data, w.len, &offset, &reader) != 1 || offset != w.len)
		abort();
	for (size_t cut = 0; cut < reader.len; cut++) {
		struct state_reader shorter = reader;

		shorter.len = cut;
		if (device_load(fresh, &shorter) != -EBADMSG)
			abort();
	}
	r = device_load(fresh, &reader);
	state_writer_done(&w);
	return r;
}
