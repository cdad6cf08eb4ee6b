/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The life cycle of a device: see device.h. */
#include "vmm-core/device.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmm-core/base/strutil.h"

int device_new(const struct device_class *class, struct machine *machine, unsigned instance,
	struct device **ret_dev)
{
	_cleanup_(device_freep) struct device *dev = NULL;
	int r;

	assert(class->size >= sizeof(struct device));
	dev = calloc(1, class->size);
	if (!dev)
		return -ENOMEM;
	dev->class = class;
	dev->machine = machine;
	dev->instance = instance;
	(void)snprintf(dev->name, sizeof(dev->name), "%s.%u", class->name, instance);
	if (class->ops->realize) {
		r = class->ops->realize(dev);
		if (r < 0)
			return r;
	}
	device_reset(dev);
	*ret_dev = TAKE_PTR(dev);
	return 0;
}

struct device *device_free(struct device *dev)
{
	if (!dev)
		return NULL;
	if (dev->class->ops->unrealize)
		dev->class->ops->unrealize(dev);
	free(dev);
	return NULL;
}

void device_reset(struct device *dev)
{
	if (dev->class->ops->reset)
		dev->class->ops->reset(dev);
}

uint64_t device_read(struct device *dev, unsigned region, uint64_t offset, unsigned size)
{
	if (!dev->class->ops->read)
		return UINT64_MAX;
	return dev->class->ops->read(dev, region, offset, size);
}

void device_write(
	struct device *dev, unsigned region, uint64_t offset, unsigned size, uint64_t value)
{
	if (dev->class->ops->write)
		dev->class->ops->write(dev, region, offset, size, value);
}

int device_save(const struct device *dev, struct state_writer *w)
{
	if (!dev->class->ops->save)
		return -ENOTSUP;
	state_begin(w, dev->class->name, dev->instance, dev->class->state_version);
	dev->class->ops->save(dev, w);
	state_end(w);
	return state_writer_error(w);
}

int device_load(struct device *dev, struct state_reader *r)
{
	if (!dev->class->ops->load)
		return -ENOTSUP;
	if (!streq(r->name, dev->class->name) || r->instance != dev->instance ||
		r->version != dev->class->state_version)
		return -EBADMSG;
	return dev->class->ops->load(dev, r);
}
