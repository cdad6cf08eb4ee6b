/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A virtio 1.2 device without its transport: status machine, feature negotiation, configuration
 * window, queues.
 *
 *	model (virtio-blk.c, …)	const struct virtio_ops: what the device does; embeds struct virtio_device first
 *	virtio.c		status bits, features, generation, the life of the queues
 *	transport (virtio-pci.c)	registers, doorbells, interrupts: const struct virtio_transport_ops
 *
 * A model becomes a device class of the registry by one definition in its own file (see
 * virtio-pci.h):
 *
 *	const struct virtio_ops virtio_rng_ops = {.name = "virtio-rng", .device_id = 4, .size = …, …};
 *	const struct virtio_pci_class virtio_rng_pci_class = VIRTIO_PCI_CLASS("virtio-rng-pci", …);
 *
 * Life of a model: realize() once, sets the queues, host_features and the config window and
 * acquires all that can fail; activate() at DRIVER_OK; queue_notify() for kicks, on the loop
 * thread; quiesce() until it answers true, then either reset() (the driver reset the device, or the
 * machine was reset) or, after a pause, resume(). unrealize() at the end, also after a failed
 * realize().
 *
 * A model takes chains with virtio_pop(), gives them back with virtio_push() and ends each batch
 * with virtio_flush(). While the device is not running (virtio_is_running(): DRIVER_OK, not failed,
 * not held by a pause or a reset) there is nothing to pop. Pushes work while a pause waits for
 * them, and vanish after a failure and during a reset, so late completions need no special care.
 *
 * A guest's mistake goes to virtio_fail(): DEVICE_NEEDS_RESET, one rate-limited log line, a
 * counter; the device then rests until the driver resets it. It never ends the process.
 *
 * Reset with I/O in flight: writing 0 to the status stops the queues and calls quiesce(). Until it
 * answers true the status reads as before and all other writes are ignored (4.1.4.3.1: the driver
 * waits for 0); the model calls virtio_idle() when its last request ends, and the reset happens
 * (for a device of an iothread's on the machine's loop: it takes doorbells and lines away).
 *
 * Threads: as device.h says. queue_notify(), and only that, is always on the thread of the device's
 * loop, an iothread perhaps; quiesce(), reset(), activate() and config_write() may be called on a vCPU
 * thread (no io_uring, no fd of a backend there).
 */
#pragma once

#include "devices/virtio/queue.h"
#include "vmm-core/device.h"

#define VIRTIO_MAX_QUEUES 32
#define VIRTIO_CONFIG_MAX 256

#define VIRTIO_STATUS_ACKNOWLEDGE UINT8_C(0x01)
#define VIRTIO_STATUS_DRIVER      UINT8_C(0x02)
#define VIRTIO_STATUS_DRIVER_OK   UINT8_C(0x04)
#define VIRTIO_STATUS_FEATURES_OK UINT8_C(0x08)
#define VIRTIO_STATUS_NEEDS_RESET UINT8_C(0x40)
#define VIRTIO_STATUS_FAILED      UINT8_C(0x80)

/* Feature bits of the ring and the transport (6). */
#define VIRTIO_F_INDIRECT_DESC 28
#define VIRTIO_F_EVENT_IDX     29
#define VIRTIO_F_VERSION_1     32

#define VIRTIO_BIT(n) (UINT64_C(1) << (n))

struct virtio_device;

struct virtio_ops {
	const char *name;   /* "virtio-blk", for messages */
	uint16_t device_id; /* 5: 1 network, 2 block, 3 console, 4 entropy, 5 balloon, 24 memory */
	size_t size;        /* of the model's struct; struct virtio_device is its first member */
	/* Sets v->n_queues, v->queue_sizes[] (0: VIRTQ_MAX_SIZE), v->host_features (device bits
	 * only; ring bits and VERSION_1 are added), v->config_len and v->config[]. Returns 0 or
	 * -errno. */
	int (*realize)(struct virtio_device *v);
	void (*unrealize)(struct virtio_device *v); /* may be NULL */
	/* May a driver take these of host_features, with what each of them requires of the others
	 * (2.2.1)? NULL: any. */
	bool (*features_fit)(uint64_t features);
	/* The driver wrote 'size' (1, 2, 4, 8) bytes at 'offset' of the config window (in bounds).
	 * Without it, writes are ignored. Reads come from v->config[]. */
	void (*config_write)(
		struct virtio_device *v, unsigned offset, unsigned size, uint64_t value);
	/* DRIVER_OK: features and enabled queues are final. A negative answer fails the device. May
	 * be NULL. */
	int (*activate)(struct virtio_device *v);
	/* Back to power-on, v->config[] included. quiesce() answered true before. May be NULL. */
	void (*reset)(struct virtio_device *v);
	/* The machine, and not the driver alone, was reset: after reset(), on the loop thread. May be NULL. */
	void (*machine_reset)(struct virtio_device *v);
	/* Queue 'index' was kicked. Take at most about one ring's worth of chains; when there is
	 * more, virtio_kick_later(), so that a driver which refills as fast as we pop cannot hold
	 * the loop. */
	void (*queue_notify)(struct virtio_device *v, unsigned index);
	/* Start nothing new; true when nothing is in flight. Called again until it is. A request
	 * that waits for the host (error policy stop) counts as not in flight. NULL: always
	 * true. */
	bool (*quiesce)(struct virtio_device *v);
	/* The vm runs again after a pause or a load; each enabled queue is kicked afterwards
	 * anyway. May be NULL. */
	void (*resume)(struct virtio_device *v);
	/* The model's own fields, last in the section; virtio.c saves everything else. load() ends
	 * with state_reader_end() and returns 0 or -EBADMSG with
	 * the model as it was; the virtio fields (features, status, queues) are already loaded.
	 * Both may be NULL: nothing to save. */
	void (*save)(const struct virtio_device *v, struct state_writer *w);
	int (*load)(struct virtio_device *v, struct state_reader *r);
};

struct virtio_transport_ops {
	void (*notify_queue)(
		struct virtio_device *v, unsigned index); /* used buffer notification */
	void (*notify_config)(struct virtio_device *v);
	/* Call virtio_handle_kick(v, index) on the loop thread, next turn. */
	void (*kick_later)(struct virtio_device *v, unsigned index);
	/* The status became 0: forget vectors and queue_select; drop the interrupt. */
	void (*reset)(struct virtio_device *v);
};

struct virtio_device {
	const struct virtio_ops *ops;
	const struct virtio_transport_ops *transport;
	void *transport_dev; /* the transport's own, set before virtio_init() */
	struct device *dev;  /* likewise: what virtio.c and models ask about threads */
	struct machine *machine;
	const char *name;  /* the transport device's, "virtio-blk-pci.0" */
	unsigned instance; /* which of its kind: index into vm_config's array */

	/* Set by realize(). */
	unsigned n_queues;
	uint16_t queue_sizes[VIRTIO_MAX_QUEUES];
	uint64_t host_features;
	uint32_t config_len;
	uint8_t config[VIRTIO_CONFIG_MAX]; /* little-endian, as the driver reads it */

	/* virtio.c's. */
	struct virtq *queues; /* n_queues */
	uint64_t driver_features;
	uint8_t status;
	uint8_t config_generation; /* goes up when config[] changes by itself */
	bool held;                 /* the machine is pausing or paused */
	bool resetting;            /* the driver's reset waits for quiesce() */
	uint64_t ignored_writes;   /* registers written at the wrong time */
};

/* For models. */

/* Take a chain of queue 'index'. True: a chain that must be pushed or unpopped. False: none, the
 * device is not running, or the driver broke the ring (the device is then failed). */
bool virtio_pop(struct virtio_device *v, unsigned index, struct virtq_chain *ret_chain);
void virtio_unpop(struct virtio_device *v, unsigned index);
/* 'len': bytes written to the chain's writable part. Seen by the driver after virtio_flush(). */
void virtio_push(struct virtio_device *v, unsigned index, uint16_t head, uint32_t len);
/* Publish pushes and interrupt the driver if it wants that. Once per batch. */
void virtio_flush(struct virtio_device *v, unsigned index);
/* queue_notify() again, next turn of the loop. */
void virtio_kick_later(struct virtio_device *v, unsigned index);
bool virtio_is_running(const struct virtio_device *v);
static inline bool virtio_has_feature(const struct virtio_device *v, unsigned bit)
{
	return v->driver_features >> bit & 1;
}
/* The driver misbehaved. */
void virtio_fail(struct virtio_device *v, const char *format, ...) _printf_(2, 3);
/* config[] was changed: new generation, configuration interrupt if the driver is there. */
void virtio_config_changed(struct virtio_device *v);
/* The last request in flight has ended: finish a reset that waited for it. Cheap; call it whenever
 * the count falls to 0. */
void virtio_idle(struct virtio_device *v);

/* For transports. */

/* 'v' is zeroed memory of ops->size bytes. Realizes the model. On failure call virtio_done() as
 * well. */
int virtio_init(struct virtio_device *v, const struct virtio_ops *ops,
	const struct virtio_transport_ops *transport, struct machine *machine, const char *name,
	unsigned instance);
/* Unrealizes the model. Copes with a failed virtio_init() and with zeroed memory. */
void virtio_done(struct virtio_device *v);

/* Reset of the machine: at once, quiesce() has answered true. */
void virtio_reset(struct virtio_device *v);

uint32_t virtio_device_features(const struct virtio_device *v, uint32_t select);
uint32_t virtio_driver_features(const struct virtio_device *v, uint32_t select);
void virtio_set_driver_features(struct virtio_device *v, uint32_t select, uint32_t value);
/* A write to device_status (2.1, 3.1): bits can only be added, FEATURES_OK only sticks for an
 * acceptable subset with VERSION_1, DRIVER_OK needs FEATURES_OK; 0 resets. */
void virtio_set_status(struct virtio_device *v, uint8_t status);

/* NULL beyond n_queues. */
struct virtq *virtio_queue(const struct virtio_device *v, unsigned index);
/* May the driver program queues now: FEATURES_OK and neither DRIVER_OK, NEEDS_RESET nor a reset
 * under way? Counts a refusal. */
bool virtio_may_configure(struct virtio_device *v);
/* Latch queue 'index'; a bad geometry fails the device. */
void virtio_queue_enable(struct virtio_device *v, unsigned index);
/* From the loop thread: the queue's doorbell rang. */
void virtio_handle_kick(struct virtio_device *v, unsigned index);

/* 'size' is 1, 2, 4 or 8. Bytes beyond config_len read as 0xff; a write that is not wholly inside
 * is ignored. */
uint64_t virtio_config_read(const struct virtio_device *v, uint64_t offset, unsigned size);
void virtio_config_write(struct virtio_device *v, uint64_t offset, unsigned size, uint64_t value);

bool virtio_quiesce(struct virtio_device *v);
void virtio_resume(struct virtio_device *v);
void virtio_save(const struct virtio_device *v, struct state_writer *w);
/* Reads to the end of the section. Returns 0, or -EBADMSG (-ENOMEM) with the device as it was. */
int virtio_load(struct virtio_device *v, struct state_reader *r);
