/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The virtio device without transport: see virtio.h. */
#include "devices/virtio/virtio.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmm-core/base/log.h"
#include "vmm-core/stats.h"

#define RING_FEATURES                                                                              \
	(VIRTIO_BIT(VIRTIO_F_INDIRECT_DESC) | VIRTIO_BIT(VIRTIO_F_EVENT_IDX) |                     \
		VIRTIO_BIT(VIRTIO_F_VERSION_1))

/* What a driver may set in device_status. */
#define STATUS_DRIVER_BITS                                                                         \
	(VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER | VIRTIO_STATUS_DRIVER_OK |              \
		VIRTIO_STATUS_FEATURES_OK | VIRTIO_STATUS_FAILED)

bool virtio_is_running(const struct virtio_device *v)
{
	return v->status & VIRTIO_STATUS_DRIVER_OK && !(v->status & VIRTIO_STATUS_NEEDS_RESET) &&
		!v->held && !v->resetting;
}

bool virtio_pop(struct virtio_device *v, unsigned index, struct virtq_chain *ret_chain)
{
	int r;

	if (!virtio_is_running(v))
		return false;
	r = virtq_pop(&v->queues[index], ret_chain);
	if (r < 0)
		virtio_fail(v, "queue %u: the driver broke the ring", index);
	return r == 1;
}

void virtio_unpop(struct virtio_device *v, unsigned index)
{
	virtq_unpop(&v->queues[index]);
}

/* Completions may still be shown to the driver: also while a pause waits for them. */
static bool may_complete(const struct virtio_device *v)
{
	return !v->resetting && !(v->status & VIRTIO_STATUS_NEEDS_RESET);
}

void virtio_push(struct virtio_device *v, unsigned index, uint16_t head, uint32_t len)
{
	if (may_complete(v))
		virtq_push(&v->queues[index], head, len);
}

void virtio_flush(struct virtio_device *v, unsigned index)
{
	if (may_complete(v) && virtq_flush(&v->queues[index]))
		v->transport->notify_queue(v, index);
}

void virtio_kick_later(struct virtio_device *v, unsigned index)
{
	v->transport->kick_later(v, index);
}

void virtio_fail(struct virtio_device *v, const char *format, ...)
{
	char text[160];
	va_list ap;

	if (v->status & VIRTIO_STATUS_NEEDS_RESET)
		return;
	va_start(ap, format);
	(void)vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	log_guest("%s: %s; the device needs a reset", v->name, text);
	/* Devices of several loops count here. */
	if (v->machine->stats)
		(void)atomic_fetch_add_explicit(
			&v->machine->stats->needs_reset, 1, memory_order_relaxed);
	v->status |= VIRTIO_STATUS_NEEDS_RESET;
	/* 2.1.2: the driver is told by a configuration change, once it is there. */
	if (v->status & VIRTIO_STATUS_DRIVER_OK)
		v->transport->notify_config(v);
}

void virtio_config_changed(struct virtio_device *v)
{
	v->config_generation++;
	if (v->status & VIRTIO_STATUS_DRIVER_OK && !v->resetting)
		v->transport->notify_config(v);
}

int virtio_init(struct virtio_device *v, const struct virtio_ops *ops,
	const struct virtio_transport_ops *transport, struct machine *machine, const char *name,
	unsigned instance)
{
	int r;

	v->ops = ops;
	v->transport = transport;
	v->machine = machine;
	v->name = name;
	v->instance = instance;
	r = ops->realize(v);
	if (r < 0)
		return r;
	assert(v->n_queues && v->n_queues <= VIRTIO_MAX_QUEUES);
	assert(v->config_len <= VIRTIO_CONFIG_MAX && !(v->host_features & RING_FEATURES));
	v->host_features |= RING_FEATURES;
	v->queues = calloc(v->n_queues, sizeof(*v->queues));
	if (!v->queues)
		return -ENOMEM;
	for (unsigned i = 0; i < v->n_queues; i++)
		virtq_init(&v->queues[i], machine->mem, v->queue_sizes[i] ?: VIRTQ_MAX_SIZE);
	return 0;
}

void virtio_done(struct virtio_device *v)
{
	if (v->ops && v->ops->unrealize)
		v->ops->unrealize(v);
	free(v->queues);
	v->queues = NULL;
}

static void finish_reset(struct virtio_device *v)
{
	v->status = 0;
	v->driver_features = 0;
	v->resetting = false;
	for (unsigned i = 0; i < v->n_queues; i++)
		virtq_reset(&v->queues[i]);
	if (v->ops->reset)
		v->ops->reset(v);
	v->transport->reset(v);
}

static bool model_is_quiet(struct virtio_device *v)
{
	return !v->ops->quiesce || v->ops->quiesce(v);
}

void virtio_idle(struct virtio_device *v)
{
	if (!v->resetting || !model_is_quiet(v))
		return;
	if (device_is_away(v->dev))
		device_hand_over(v->dev);
	else
		finish_reset(v);
}

void virtio_reset(struct virtio_device *v)
{
	finish_reset(v);
	if (v->ops->machine_reset)
		v->ops->machine_reset(v);
}

uint32_t virtio_device_features(const struct virtio_device *v, uint32_t select)
{
	return select < 2 ? (uint32_t)(v->host_features >> (32 * select)) : 0;
}

uint32_t virtio_driver_features(const struct virtio_device *v, uint32_t select)
{
	return select < 2 ? (uint32_t)(v->driver_features >> (32 * select)) : 0;
}

void virtio_set_driver_features(struct virtio_device *v, uint32_t select, uint32_t value)
{
	if (v->resetting || v->status & VIRTIO_STATUS_FEATURES_OK) {
		v->ignored_writes++;
		return;
	}
	if (select >= 2)
		return;
	v->driver_features &= ~((uint64_t)UINT32_MAX << (32 * select));
	v->driver_features |= (uint64_t)value << (32 * select);
}

static bool features_acceptable(const struct virtio_device *v, uint64_t features)
{
	return !(features & ~v->host_features) && features >> VIRTIO_F_VERSION_1 & 1 &&
		(!v->ops->features_fit || v->ops->features_fit(features));
}

static void kick_all(struct virtio_device *v)
{
	for (unsigned i = 0; i < v->n_queues; i++)
		if (v->queues[i].enabled)
			v->transport->kick_later(v, i);
}

static void driver_ok(struct virtio_device *v)
{
	int r;

	v->status |= VIRTIO_STATUS_DRIVER_OK;
	r = v->ops->activate ? v->ops->activate(v) : 0;
	if (r < 0) {
		virtio_fail(v, "the device cannot start: %s", strerror(-r));
		return;
	}
	/* What the driver made available, and rang for, before it said DRIVER_OK. */
	kick_all(v);
}

void virtio_set_status(struct virtio_device *v, uint8_t status)
{
	uint8_t added = status & (uint8_t)~v->status & STATUS_DRIVER_BITS;

	if (v->resetting) {
		v->ignored_writes += status != 0;
		return;
	}
	if (!status) {
		v->resetting = true;
		virtio_idle(v);
		return;
	}
	v->status |=
		added & (VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER | VIRTIO_STATUS_FAILED);
	if (added & VIRTIO_STATUS_FEATURES_OK && features_acceptable(v, v->driver_features))
		v->status |= VIRTIO_STATUS_FEATURES_OK;
	if (!(added & VIRTIO_STATUS_DRIVER_OK))
		return;
	if (v->status & VIRTIO_STATUS_FEATURES_OK && !(v->status & VIRTIO_STATUS_NEEDS_RESET))
		driver_ok(v);
	else
		v->ignored_writes++;
}

struct virtq *virtio_queue(const struct virtio_device *v, unsigned index)
{
	return index < v->n_queues ? &v->queues[index] : NULL;
}

bool virtio_may_configure(struct virtio_device *v)
{
	if (v->status & VIRTIO_STATUS_FEATURES_OK && !v->resetting &&
		!(v->status & (VIRTIO_STATUS_DRIVER_OK | VIRTIO_STATUS_NEEDS_RESET)))
		return true;
	v->ignored_writes++;
	return false;
}

static unsigned ring_flags(uint64_t features)
{
	return (features >> VIRTIO_F_INDIRECT_DESC & 1 ? VIRTQ_INDIRECT : 0) |
		(features >> VIRTIO_F_EVENT_IDX & 1 ? VIRTQ_EVENT_IDX : 0);
}

void virtio_queue_enable(struct virtio_device *v, unsigned index)
{
	struct virtq *q = virtio_queue(v, index);
	int r;

	if (!q || q->enabled || !virtio_may_configure(v))
		return;
	r = virtq_enable(q, ring_flags(v->driver_features));
	if (r < 0)
		virtio_fail(v, "queue %u: size %u at %#llx, %#llx, %#llx is impossible", index,
			q->size, (unsigned long long)q->desc_gpa.v,
			(unsigned long long)q->avail_gpa.v, (unsigned long long)q->used_gpa.v);
}

void virtio_handle_kick(struct virtio_device *v, unsigned index)
{
	if (index < v->n_queues && v->queues[index].enabled && virtio_is_running(v))
		v->ops->queue_notify(v, index);
}

uint64_t virtio_config_read(const struct virtio_device *v, uint64_t offset, unsigned size)
{
	uint64_t value = 0;

	for (unsigned i = 0; i < size; i++) {
		uint8_t byte = 0xff;

		if (range_fits(offset, i + 1, v->config_len))
			byte = v->config[offset + i];
		value |= (uint64_t)byte << (8 * i);
	}
	return value;
}

void virtio_config_write(struct virtio_device *v, uint64_t offset, unsigned size, uint64_t value)
{
	if (v->resetting || !v->ops->config_write || !range_fits(offset, size, v->config_len)) {
		v->ignored_writes++;
		return;
	}
	v->ops->config_write(v, (unsigned)offset, size, value);
}

bool virtio_quiesce(struct virtio_device *v)
{
	v->held = true;
	if (!model_is_quiet(v))
		return false;
	if (v->resetting)
		finish_reset(v);
	return true;
}

void virtio_resume(struct virtio_device *v)
{
	v->held = false;
	if (v->ops->resume)
		v->ops->resume(v);
	if (virtio_is_running(v))
		kick_all(v);
}

void virtio_save(const struct virtio_device *v, struct state_writer *w)
{
	state_put_u8(w, v->status);
	state_put_u8(w, v->config_generation);
	state_put_u64(w, v->driver_features);
	state_put_u16(w, (uint16_t)v->n_queues);
	for (unsigned i = 0; i < v->n_queues; i++)
		virtq_save(&v->queues[i], w);
	if (v->ops->save)
		v->ops->save(v, w);
}

/* Read what virtio_save() wrote of the core into '*n', a copy of the device with queues of its
 * own. */
static int load_core(struct virtio_device *n, struct state_reader *r)
{
	bool any_enabled = false;

	n->status = state_get_u8(r);
	n->config_generation = state_get_u8(r);
	n->driver_features = state_get_u64(r);
	n->resetting = false;
	if (state_get_u16(r) != n->n_queues)
		return -EBADMSG;
	for (unsigned i = 0; i < n->n_queues; i++) {
		if (virtq_load(&n->queues[i], r, ring_flags(n->driver_features)) < 0)
			return -EBADMSG;
		any_enabled |= n->queues[i].enabled;
	}
	if (n->status & (uint8_t) ~(STATUS_DRIVER_BITS | VIRTIO_STATUS_NEEDS_RESET))
		return -EBADMSG;
	if (n->status & VIRTIO_STATUS_FEATURES_OK)
		return features_acceptable(n, n->driver_features) ? 0 : -EBADMSG;
	return any_enabled || n->status & VIRTIO_STATUS_DRIVER_OK ? -EBADMSG : 0;
}

int virtio_load(struct virtio_device *v, struct state_reader *r)
{
	struct virtio_device old = *v, loaded = *v;
	int ret;

	loaded.queues = calloc(v->n_queues, sizeof(*v->queues));
	if (!loaded.queues)
		return -ENOMEM;
	for (unsigned i = 0; i < v->n_queues; i++)
		virtq_init(&loaded.queues[i], v->machine->mem, old.queues[i].max_size);
	ret = load_core(&loaded, r);
	if (ret >= 0) {
		*v = loaded;
		ret = v->ops->load ? v->ops->load(v, r) : state_reader_end(r);
	}
	if (ret < 0) {
		*v = old;
		free(loaded.queues);
		return ret;
	}
	free(old.queues);
	return 0;
}
