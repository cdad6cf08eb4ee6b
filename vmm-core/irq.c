/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Interrupt lines, MSIs and the routing table: see irq.h. */
#include "vmm-core/irq.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "vmm-core/base/cleanup.h"

#define MAX_SINKS 4

struct sink {
	void (*changed)(void *opaque, unsigned gsi, bool level);
	void *opaque;
};

struct irq {
	const struct irq_ops *ops;
	void *opaque;
	uint32_t sources[LAYOUT_IOAPIC_PINS]; /* one bit a source; the line is their OR */
	struct sink sinks[MAX_SINKS];
	unsigned n_sinks;
	bool gsi_used[LAYOUT_GSI_MAX];
	bool valid[LAYOUT_GSI_MAX];
	struct irq_route routes[LAYOUT_GSI_MAX]; /* by GSI; given to the other side where valid */
	void (*eoi)(void *opaque, uint8_t vector);
	void *eoi_opaque;
	_Atomic bool extint;
	int (*ack)(void *opaque);
	void *ack_opaque;
};

struct irq_msi {
	struct irq *irq;
	int fd;
	uint32_t gsi;
	bool connected;
};

struct irq *irq_new(const struct irq_ops *ops, void *opaque)
{
	struct irq *irq = calloc(1, sizeof(*irq));

	if (irq) {
		irq->ops = ops;
		irq->opaque = opaque;
	}
	return irq;
}

struct irq *irq_free(struct irq *irq)
{
	free(irq);
	return NULL;
}

void irq_set_line(struct irq *irq, unsigned gsi, unsigned source, bool level)
{
	uint32_t before, after;

	assert(gsi < LAYOUT_IOAPIC_PINS && source < 32);
	before = irq->sources[gsi];
	after = level ? before | UINT32_C(1) << source : before & ~(UINT32_C(1) << source);
	irq->sources[gsi] = after;
	if (!before == !after)
		return;
	for (unsigned i = 0; i < irq->n_sinks; i++)
		irq->sinks[i].changed(irq->sinks[i].opaque, gsi, after != 0);
}

bool irq_line_level(const struct irq *irq, unsigned gsi)
{
	return gsi < LAYOUT_IOAPIC_PINS && irq->sources[gsi];
}

int irq_add_sink(
	struct irq *irq, void (*changed)(void *opaque, unsigned gsi, bool level), void *opaque)
{
	if (irq->n_sinks == MAX_SINKS)
		return -ENOSPC;
	irq->sinks[irq->n_sinks++] = (struct sink){.changed = changed, .opaque = opaque};
	return 0;
}

static int commit_routes(struct irq *irq)
{
	struct irq_route routes[LAYOUT_GSI_MAX];
	unsigned n = 0;

	for (unsigned gsi = 0; gsi < LAYOUT_GSI_MAX; gsi++)
		if (irq->valid[gsi])
			routes[n++] = irq->routes[gsi];
	return irq->ops->set_routes(irq->opaque, routes, n);
}

/* Change one route and tell the other side, if it is a change. On failure all stays as it was. */
static int route(struct irq *irq, uint32_t gsi, uint64_t address, uint32_t data, bool valid)
{
	struct irq_route old = irq->routes[gsi];
	bool was_valid = irq->valid[gsi];
	int r;

	if (valid == was_valid && (!valid || (old.address == address && old.data == data)))
		return 0;
	irq->routes[gsi] = (struct irq_route){.gsi = gsi, .address = address, .data = data};
	irq->valid[gsi] = valid;
	r = commit_routes(irq);
	if (r < 0) {
		irq->routes[gsi] = old;
		irq->valid[gsi] = was_valid;
	}
	return r;
}

int irq_msi_new(struct irq *irq, struct irq_msi **ret_msi)
{
	struct irq_msi *msi;
	uint32_t gsi = LAYOUT_GSI_MSI_BASE;

	while (gsi < LAYOUT_GSI_MAX && irq->gsi_used[gsi])
		gsi++;
	if (gsi == LAYOUT_GSI_MAX)
		return -ENOSPC;
	msi = calloc(1, sizeof(*msi));
	if (!msi)
		return -ENOMEM;
	*msi = (struct irq_msi){.irq = irq, .gsi = gsi};
	msi->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (msi->fd < 0) {
		int r = -errno;

		free(msi);
		return r;
	}
	irq->gsi_used[gsi] = true;
	*ret_msi = msi;
	return 0;
}

struct irq_msi *irq_msi_free(struct irq_msi *msi)
{
	if (!msi)
		return NULL;
	if (msi->connected)
		(void)msi->irq->ops->irqfd(msi->irq->opaque, msi->fd, msi->gsi, false);
	(void)route(msi->irq, msi->gsi, 0, 0, false);
	msi->irq->gsi_used[msi->gsi] = false;
	(void)safe_close(msi->fd);
	free(msi);
	return NULL;
}

int irq_msi_set(struct irq_msi *msi, uint64_t address, uint32_t data)
{
	struct irq *irq = msi->irq;
	int r;

	r = route(irq, msi->gsi, address, data, true);
	if (r < 0 || msi->connected)
		return r;
	r = irq->ops->irqfd(irq->opaque, msi->fd, msi->gsi, true);
	if (r < 0)
		return r;
	msi->connected = true;
	return 0;
}

void irq_msi_raise(struct irq_msi *msi)
{
	uint64_t one = 1;

	/* Full means raised already. */
	(void)!write(msi->fd, &one, sizeof(one));
}

int irq_msi_fd(const struct irq_msi *msi)
{
	return msi->fd;
}

int irq_ioapic_route(struct irq *irq, unsigned pin, uint64_t address, uint32_t data, bool valid)
{
	assert(pin < LAYOUT_IOAPIC_PINS);
	return route(irq, pin, address, data, valid);
}

int irq_signal_msi(struct irq *irq, uint64_t address, uint32_t data)
{
	return irq->ops->signal_msi(irq->opaque, address, data);
}

void irq_set_eoi_handler(struct irq *irq, void (*eoi)(void *opaque, uint8_t vector), void *opaque)
{
	irq->eoi = eoi;
	irq->eoi_opaque = opaque;
}

void irq_eoi(struct irq *irq, uint8_t vector)
{
	if (irq->eoi)
		irq->eoi(irq->eoi_opaque, vector);
}

void irq_extint_set(struct irq *irq, bool asserted, int (*ack)(void *opaque), void *opaque)
{
	irq->ack = ack;
	irq->ack_opaque = opaque;
	/* Pairs with the load in irq_extint_pending(): vCPU 0 only looks whether to take the lock. */
	if (atomic_exchange(&irq->extint, asserted) != asserted)
		irq->ops->extint(irq->opaque, asserted);
}

bool irq_extint_pending(const struct irq *irq)
{
	return atomic_load_explicit(&irq->extint, memory_order_acquire);
}

int irq_extint_ack(struct irq *irq)
{
	if (!irq_extint_pending(irq) || !irq->ack)
		return -ENOENT;
	return irq->ack(irq->ack_opaque);
}
