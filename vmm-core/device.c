/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The life cycle of a device: see device.h. */
#include "vmm-core/device.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmm-core/base/strutil.h"

void device_enter(const struct device *dev)
{
	if (dev->home)
		loop_lock(dev->home);
}

void device_leave(const struct device *dev)
{
	if (dev->home)
		loop_unlock(dev->home);
}

static int realize(struct device *dev)
{
	int r;

	if (!dev->class->ops->realize)
		return 0;
	device_enter(dev);
	r = dev->class->ops->realize(dev);
	device_leave(dev);
	return r;
}

int device_new_at(struct loop *home, const struct device_class *class, struct machine *machine,
	unsigned instance, struct device **ret_dev)
{
	_cleanup_(device_freep) struct device *dev = NULL;
	int r;

	assert(class->size >= sizeof(struct device));
	dev = calloc(1, class->size);
	if (!dev)
		return -ENOMEM;
	dev->class = class;
	dev->machine = machine;
	dev->home = home;
	dev->instance = instance;
	(void)snprintf(dev->name, sizeof(dev->name), "%s.%u", class->name, instance);
	r = realize(dev);
	if (r < 0)
		return r;
	device_reset(dev);
	*ret_dev = TAKE_PTR(dev);
	return 0;
}

int device_new(const struct device_class *class, struct machine *machine, unsigned instance,
	struct device **ret_dev)
{
	return device_new_at(NULL, class, machine, instance, ret_dev);
}

struct device *device_free(struct device *dev)
{
	if (!dev)
		return NULL;
	device_enter(dev);
	if (dev->class->ops->unrealize)
		dev->class->ops->unrealize(dev);
	device_leave(dev);
	free(dev);
	return NULL;
}

void device_hand_over(struct device *dev)
{
	/* Pairs with device_take_over(): what is to be done is in the device, under its lock. */
	if (!atomic_exchange(&dev->handed_over, true))
		machine_request(dev->machine, MACHINE_HANDED_OVER, 0);
}

void device_take_over(struct device *dev)
{
	if (!atomic_exchange(&dev->handed_over, false) || !dev->class->ops->take_over)
		return;
	device_enter(dev);
	dev->class->ops->take_over(dev);
	device_leave(dev);
}

void device_reset(struct device *dev)
{
	if (!dev->class->ops->reset)
		return;
	device_enter(dev);
	atomic_store(&dev->handed_over, false);
	dev->class->ops->reset(dev);
	device_leave(dev);
}

int device_machine_done(struct device *dev)
{
	int r;

	if (!dev->class->ops->machine_done)
		return 0;
	device_enter(dev);
	r = dev->class->ops->machine_done(dev);
	device_leave(dev);
	return r;
}

bool device_quiesce(struct device *dev)
{
	bool quiet;

	if (!dev->class->ops->quiesce)
		return true;
	device_enter(dev);
	quiet = dev->class->ops->quiesce(dev);
	device_leave(dev);
	return quiet;
}

void device_resume(struct device *dev)
{
	if (!dev->class->ops->resume)
		return;
	device_enter(dev);
	dev->class->ops->resume(dev);
	device_leave(dev);
}

uint64_t device_read(struct device *dev, unsigned region, uint64_t offset, unsigned size)
{
	uint64_t value;

	if (!dev->class->ops->read)
		return UINT64_MAX;
	device_enter(dev);
	value = dev->class->ops->read(dev, region, offset, size);
	device_leave(dev);
	return value;
}

void device_write(
	struct device *dev, unsigned region, uint64_t offset, unsigned size, uint64_t value)
{
	if (!dev->class->ops->write)
		return;
	device_enter(dev);
	dev->class->ops->write(dev, region, offset, size, value);
	device_leave(dev);
}

int device_save(const struct device *dev, struct state_writer *w)
{
	if (!dev->class->ops->save)
		return -ENOTSUP;
	state_begin(w, dev->class->name, dev->instance, dev->class->state_version);
	device_enter(dev);
	dev->class->ops->save(dev, w);
	device_leave(dev);
	state_end(w);
	return state_writer_error(w);
}

int device_load(struct device *dev, struct state_reader *r)
{
	int ret;

	if (!dev->class->ops->load)
		return -ENOTSUP;
	if (!streq(r->name, dev->class->name) || r->instance != dev->instance ||
		r->version != dev->class->state_version)
		return -EBADMSG;
	device_enter(dev);
	ret = dev->class->ops->load(dev, r);
	device_leave(dev);
	return ret;
}
