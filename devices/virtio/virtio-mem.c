/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * virtio-mem (virtio 1.2, 5.15): memory that the guest plugs and unplugs, block by block, as the host wishes.
 *
 * One queue of requests, answered in their order, one at a time:
 *	PLUG		blocks are there from now on: if all of them are not there yet, lie in the usable region, and are no
 *			more in all than what is requested
 *	UNPLUG		they go back to the host, neighbours by one call
 *	UNPLUG_ALL	likewise all of them, and the usable region is what is requested again
 *	STATE		are they there?
 * The host's wish (requested_size) and the usable region are told by the configuration window; who changes the wish learns how far the
 * guest is by MACHINE_MEMORY and machine_memory_ops.size().
 *
 * What is where, and what the guest can reach of it, is guest-plug.h's. That what is not plugged must not be touched
 * (UNPLUGGED_INACCESSIBLE) is offered; an older driver that reads it all the same, in the usable region, finds zeroes and pays for them.
 *
 * A driver's reset changes nothing of what is plugged (5.15.6.2): the next one asks. A reset of the machine unplugs all.
 *
 * Hostile drivers: a request is copied once. One that is long (a GiB is made up or given back) takes several turns of the loop; meanwhile
 * no other is begun, and its answer waits. Blocks that are used by a device or hold a ring can be unplugged: it is the guest's own
 * memory that is lost, and what a device still writes there costs a page each until the block goes the next time.
 *
 * Where memory must not be missing later (huge pages, <allocation mode='immediate'/>), a block has it before PLUG is answered, and
 * the answer is BUSY when the host has none: drivers try again later.
 */
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "devices/virtio/virtio-pci.h"
#include "vmm-core/base/log.h"
#include "vmm-core/guest-plug.h"
#include "vmm-core/proto.h"
#include "vmm-core/stats.h"

/* Feature bits (5.15.3). */
#define F_ACPI_PXM               0 /* node_id is one of the cells that the guest was told of (SRAT) */
#define F_UNPLUGGED_INACCESSIBLE 1

/* Requests and answers (5.15.6). */
enum { REQ_PLUG, REQ_UNPLUG, REQ_UNPLUG_ALL, REQ_STATE };
enum { RESP_ACK, RESP_NACK, RESP_BUSY, RESP_ERROR };

#define TURN_LEN     MIB(512)     /* of what is given back in a turn of the loop, */
#define POPULATE_LEN MIB(32)      /* and made: some ten milliseconds */
#define MAX_CHAINS   64           /* of a kick, unless they give back as much as is for a turn */
#define TELL_NS      NSEC_PER_SEC /* between two reports of the size */

struct mem_config {
	uint64_t block_size;
	uint16_t node_id;
	uint8_t pad[6];
	uint64_t addr;
	uint64_t region_size;
	uint64_t usable_region_size;
	uint64_t plugged_size;
	uint64_t requested_size;
};
static_assert(sizeof(struct mem_config) == 56, "5.15.4");

struct mem_req {
	uint16_t type, pad1[3];
	uint64_t addr;
	uint16_t nb_blocks, pad2[3];
};
static_assert(sizeof(struct mem_req) == 24, "5.15.6");

struct mem_resp {
	uint16_t type, pad[3];
	uint16_t state;
};
static_assert(sizeof(struct mem_resp) == 10, "5.15.6");

struct virtio_mem {
	struct virtio_device v;
	unsigned number; /* of guest-plug.h */
	uint64_t requested;
	bool populates;

	/* The request that takes several turns. */
	bool busy;
	uint64_t kick_len; /* bytes given back in this kick */
	uint16_t type;
	uint64_t first, n, done; /* blocks */
	struct virtq_chain chain;
	struct loop_timer turn_timer;

	struct loop_timer tell_timer; /* the size changed again too soon to be told */
	uint64_t told, told_ns;
};

static struct virtio_mem *mem_of(struct virtio_device *v)
{
	return container_of(v, struct virtio_mem, v);
}

static struct virtio_mem *mem_of_device(struct device *dev)
{
	return mem_of(virtio_pci_device(dev));
}

static const struct guest_plug_device *plug_of(const struct virtio_mem *m)
{
	return guest_plug_find(m->v.machine->mem, m->number);
}

/* What others are told. */

static void show_config(struct virtio_mem *m)
{
	const struct guest_plug_device *p = plug_of(m);
	struct vm_stats_page *page = m->v.machine->stats;
	struct mem_config c = {
		.block_size = htole64(p->block_len),
		.node_id = htole16((uint16_t)m->v.machine->config->memories[m->number].node),
		.addr = htole64(p->base),
		.region_size = htole64(p->size),
		.usable_region_size = htole64(p->usable),
		.plugged_size = htole64(p->plugged),
		.requested_size = htole64(m->requested),
	};

	memcpy(m->v.config, &c, sizeof(c));
	if (!page)
		return;
	stat_set(&page->memories[m->number].requested, m->requested);
	stat_set(&page->memories[m->number].usable, p->usable);
	stat_set(&page->memories[m->number].plugged, p->plugged);
}

static void tell_size(struct loop_timer *timer, uint64_t now_ns)
{
	struct virtio_mem *m = container_of(timer, struct virtio_mem, tell_timer);
	uint64_t plugged = plug_of(m)->plugged;

	if (plugged == m->told)
		return;
	m->told_ns = now_ns;
	m->told = plugged;
	machine_request(m->v.machine, MACHINE_MEMORY, 0);
}

/* What is plugged has changed. A report a second is enough, but for what was waited for: the wish is fulfilled. */
static void size_changed(struct virtio_mem *m)
{
	uint64_t now_ns = machine_now_ns(m->v.machine);

	show_config(m);
	if (!m->told_ns || now_ns - m->told_ns >= TELL_NS || plug_of(m)->plugged == m->requested)
		tell_size(&m->tell_timer, now_ns);
	else if (m->tell_timer.deadline_ns == LOOP_NEVER)
		(void)loop_timer_set(&m->tell_timer, m->told_ns + TELL_NS);
}

/* The size is the caller's to tell: of what goes when it is gone, since what the worker may have follows it. */
static void set_blocks(struct virtio_mem *m, uint64_t first, uint64_t n, bool plugged)
{
	struct vm_stats_page *page = m->v.machine->stats;

	guest_plug_mark(m->v.machine->mem, m->number, first, n, plugged);
	if (page)
		stat_add(plugged ? &page->memories[m->number].plugs
				 : &page->memories[m->number].unplugs,
			n * plug_of(m)->block_len);
}

/* Requests. */

static void answer(struct virtio_mem *m, struct virtq_chain *c, uint16_t type, uint16_t state)
{
	struct mem_resp resp = {.type = htole16(type), .state = htole16(state)};
	size_t len = virtq_chain_write(c, 0, &resp, sizeof(resp));

	virtio_push(&m->v, 0, c->head, (uint32_t)len);
}

/* The blocks that a request is about: in the usable region, and at least one. */
static bool blocks_of(
	const struct guest_plug_device *p, const struct mem_req *req, uint64_t *ret_first)
{
	uint64_t at = le64toh(req->addr) - p->base;
	uint64_t len = le16toh(req->nb_blocks) * p->block_len;

	if (!len || at % p->block_len || !range_fits(at, len, p->usable))
		return false;
	*ret_first = at / p->block_len;
	return true;
}

/* Begin: what follows is done by turns. */
static void begin(struct virtio_mem *m, const struct virtq_chain *c, uint16_t type, uint64_t first,
	uint64_t n)
{
	m->busy = true;
	m->type = type;
	m->first = first;
	m->n = n;
	m->done = 0;
	m->chain.head = c->head;
	m->chain.n_readable = c->n_readable;
	m->chain.n_writable = c->n_writable;
	m->chain.readable_len = c->readable_len;
	m->chain.writable_len = c->writable_len;
	memcpy(m->chain.iov, c->iov, (c->n_readable + c->n_writable) * sizeof(c->iov[0]));
}

static void finish(struct virtio_mem *m, uint16_t type)
{
	m->busy = false;
	answer(m, &m->chain, type, 0);
}

/* Made, as far as it came, and not plugged: the host has it back. */
static void give_up(struct virtio_mem *m)
{
	if (m->done)
		(void)guest_plug_discard(m->v.machine->mem, m->number, m->first, m->done);
	finish(m, RESP_BUSY);
}

static void turn_plug(struct virtio_mem *m)
{
	uint64_t block_len = plug_of(m)->block_len;
	uint64_t n = MIN(m->n - m->done, MAX(POPULATE_LEN / block_len, UINT64_C(1)));

	/* Who waits for the device to be quiet does not wait for gigabytes: the driver tries again later. */
	if (m->v.held || m->v.resetting) {
		give_up(m);
		return;
	}
	if (guest_plug_populate(m->v.machine->mem, m->number, m->first + m->done, n) < 0) {
		/* Of this piece there may be a part. */
		m->done += n;
		give_up(m);
		return;
	}
	m->done += n;
	if (m->done < m->n)
		return;
	/* The host may have changed its mind meanwhile. */
	if (plug_of(m)->plugged + m->n * block_len > m->requested) {
		give_up(m);
		return;
	}
	set_blocks(m, m->first, m->n, true);
	size_changed(m);
	finish(m, RESP_ACK);
}

/* They are unplugged since the request came; now they go. */
static void turn_unplug(struct virtio_mem *m)
{
	struct vm_stats_page *page = m->v.machine->stats;
	uint64_t n = MIN(m->n - m->done, MAX(TURN_LEN / plug_of(m)->block_len, UINT64_C(1)));
	int r = guest_plug_discard(m->v.machine->mem, m->number, m->first + m->done, n);

	if (r < 0)
		log_guest("%s: memory cannot be given back: %s", m->v.name, strerror(-r));
	if (page)
		stat_add(&page->memories[m->number].calls, 1);
	m->kick_len += n * plug_of(m)->block_len;
	m->done += n;
	if (m->done < m->n)
		return;
	if (m->type == REQ_UNPLUG_ALL)
		guest_plug_shrink(m->v.machine->mem, m->number, m->requested);
	size_changed(m);
	finish(m, RESP_ACK);
}

static void turn(struct virtio_mem *m)
{
	if (m->type == REQ_PLUG)
		turn_plug(m);
	else
		turn_unplug(m);
}

static void request_plug(struct virtio_mem *m, struct virtq_chain *c, const struct mem_req *req)
{
	const struct guest_plug_device *p = plug_of(m);
	uint64_t n = le16toh(req->nb_blocks), first;

	if (!blocks_of(p, req, &first) ||
		guest_plug_state(m->v.machine->mem, m->number, first, n) != GUEST_UNPLUGGED) {
		answer(m, c, RESP_ERROR, 0);
	} else if (p->plugged + n * p->block_len > m->requested) {
		answer(m, c, RESP_NACK, 0);
	} else if (m->populates) {
		begin(m, c, REQ_PLUG, first, n);
	} else {
		set_blocks(m, first, n, true);
		size_changed(m);
		answer(m, c, RESP_ACK, 0);
	}
}

static void request_unplug(struct virtio_mem *m, struct virtq_chain *c, const struct mem_req *req)
{
	const struct guest_plug_device *p = plug_of(m);
	uint64_t n = le16toh(req->nb_blocks), first;

	if (!blocks_of(p, req, &first) ||
		guest_plug_state(m->v.machine->mem, m->number, first, n) != GUEST_PLUGGED) {
		answer(m, c, RESP_ERROR, 0);
		return;
	}
	set_blocks(m, first, n, false);
	begin(m, c, REQ_UNPLUG, first, n);
}

static void request_unplug_all(
	struct virtio_mem *m, struct virtq_chain *c, const struct mem_req *req)
{
	const struct guest_plug_device *p = plug_of(m);
	uint64_t n = p->size / p->block_len;

	(void)req;
	if (p->plugged)
		set_blocks(m, 0, n, false);
	begin(m, c, REQ_UNPLUG_ALL, 0, DIV_ROUND_UP(p->usable, p->block_len));
}

static void request_state(struct virtio_mem *m, struct virtq_chain *c, const struct mem_req *req)
{
	const struct guest_plug_device *p = plug_of(m);
	uint64_t first;

	if (blocks_of(p, req, &first))
		answer(m, c, RESP_ACK,
			(uint16_t)guest_plug_state(
				m->v.machine->mem, m->number, first, le16toh(req->nb_blocks)));
	else
		answer(m, c, RESP_ERROR, 0);
}

static void serve(struct virtio_mem *m, struct virtq_chain *c)
{
	static void (*const requests[])(
		struct virtio_mem * m, struct virtq_chain * c, const struct mem_req *req) = {
		[REQ_PLUG] = request_plug,
		[REQ_UNPLUG] = request_unplug,
		[REQ_UNPLUG_ALL] = request_unplug_all,
		[REQ_STATE] = request_state,
	};
	struct mem_req req = {0};

	if (virtq_chain_read(c, 0, &req, sizeof(req)) < sizeof(req) ||
		c->writable_len < sizeof(struct mem_resp)) {
		virtio_fail(&m->v, "a request of %u bytes, with room for %u", c->readable_len,
			c->writable_len);
		return;
	}
	if (le16toh(req.type) < ARRAY_SIZE(requests))
		requests[le16toh(req.type)](m, c, &req);
	else
		answer(m, c, RESP_ERROR, 0);
}

/* A turn of what is being done; answers whether that goes on. */
static bool work(struct virtio_mem *m)
{
	if (m->busy)
		turn(m);
	if (m->busy)
		(void)loop_timer_set(&m->turn_timer, machine_now_ns(m->v.machine));
	return m->busy;
}

static void mem_queue_notify(struct virtio_device *v, unsigned index)
{
	struct virtio_mem *m = mem_of(v);
	struct virtq_chain c;
	unsigned n = 0;

	/* turn_timer goes on with it, and then with the queue. */
	if (m->busy)
		return;
	m->kick_len = 0;
	while (n < MAX_CHAINS && m->kick_len < TURN_LEN && virtio_pop(v, index, &c)) {
		serve(m, &c);
		n++;
		if (work(m))
			break;
	}
	virtio_flush(v, index);
	if (!m->busy && (n == MAX_CHAINS || m->kick_len >= TURN_LEN))
		virtio_kick_later(v, index);
}

/* Goes on while the device is held, or is to be reset: what was begun has an end. */
static void turn_due(struct loop_timer *timer, uint64_t now_ns)
{
	struct virtio_mem *m = container_of(timer, struct virtio_mem, turn_timer);

	(void)now_ns;
	if (work(m))
		return;
	virtio_flush(&m->v, 0);
	virtio_idle(&m->v);
	if (virtio_is_running(&m->v))
		virtio_kick_later(&m->v, 0);
}

/* What the daemon asks for. */

static int set_requested(struct device *dev, uint64_t bytes)
{
	struct virtio_mem *m = mem_of_device(dev);
	const struct guest_plug_device *p = plug_of(m);
	int r;

	if (bytes > p->size || bytes % p->block_len)
		return -EINVAL;
	if (bytes == m->requested)
		return 0;
	r = guest_plug_grow(m->v.machine->mem, m->number, bytes);
	if (r < 0)
		return r;
	m->requested = bytes;
	show_config(m);
	virtio_config_changed(&m->v);
	return 0;
}

static uint64_t get_size(const struct device *dev)
{
	return plug_of(mem_of_device((struct device *)(uintptr_t)dev))->plugged;
}

static const struct machine_memory_ops memory_ops = {.set = set_requested, .size = get_size};

/* Life. */

static bool mem_quiesce(struct virtio_device *v)
{
	return !mem_of(v)->busy;
}

static void mem_machine_reset(struct virtio_device *v)
{
	const struct virtio_pci *vp = v->transport_dev;
	struct virtio_mem *m = mem_of(v);
	const struct guest_plug_device *p = plug_of(m);

	/* The guest has ejected it, on a vCPU's thread, which may change no slot: the loop's takes it away (guest_plug_remove()). */
	if (vp->pci.withdrawn)
		return;
	if (p->plugged)
		set_blocks(m, 0, p->size / p->block_len, false);
	/* Also what was touched without being plugged. */
	if (p->usable)
		(void)guest_plug_discard(
			v->machine->mem, m->number, 0, DIV_ROUND_UP(p->usable, p->block_len));
	guest_plug_shrink(v->machine->mem, m->number, m->requested);
	size_changed(m);
}

static bool is_there(const struct virtio_mem *m, uint64_t block)
{
	return guest_plug_state(m->v.machine->mem, m->number, block, 1) == GUEST_PLUGGED;
}

static void mem_save(const struct virtio_device *v, struct state_writer *w)
{
	const struct virtio_mem *m = (const struct virtio_mem *)(const void *)v;
	const struct guest_plug_device *p = plug_of(m);

	state_put_u64(w, p->base);
	state_put_u64(w, m->requested);
	state_put_u64(w, p->usable);
	for (uint64_t i = 0; i < p->size / p->block_len; i += 8) {
		uint8_t byte = 0;

		for (uint64_t k = i; k < MIN(i + 8, p->size / p->block_len); k++)
			if (is_there(m, k))
				byte |= (uint8_t)(1U << (k - i));
		state_put_u8(w, byte);
	}
}

/* Nothing beyond 'usable' is plugged. */
static bool blocks_fit(const struct guest_plug_device *p, const uint8_t *blocks, uint64_t usable)
{
	uint64_t n = p->size / p->block_len;

	for (uint64_t i = 0; i < ALIGN_UP(n, 8); i++)
		if (blocks[i / 8] >> i % 8 & 1 && (i >= n || (i + 1) * p->block_len > usable))
			return false;
	return true;
}

/* As saved: what is not plugged has nothing in it, what is has what the memory's own state says. */
static int load_blocks(
	struct virtio_mem *m, const uint8_t *blocks, uint64_t requested, uint64_t usable)
{
	struct guest_mem *mem = m->v.machine->mem;
	const struct guest_plug_device *p = plug_of(m);

	if (guest_plug_grow(mem, m->number, usable) < 0)
		return -EBADMSG;
	m->requested = requested;
	for (uint64_t i = 0; i < p->size / p->block_len; i++)
		guest_plug_mark(mem, m->number, i, 1, blocks[i / 8] >> i % 8 & 1);
	guest_plug_shrink(mem, m->number, usable);
	size_changed(m);
	return 0;
}

static int mem_load(struct virtio_device *v, struct state_reader *r)
{
	struct virtio_mem *m = mem_of(v);
	const struct guest_plug_device *p = plug_of(m);
	size_t len = DIV_ROUND_UP(p->size / p->block_len, UINT64_C(8));
	_cleanup_(freep) uint8_t *blocks = calloc(1, len);
	uint64_t base = state_get_u64(r), requested = state_get_u64(r);
	uint64_t usable = state_get_u64(r);

	if (!blocks)
		return -EBADMSG;
	state_get_bytes(r, blocks, len);
	if (state_reader_end(r) < 0 || base != p->base || requested > p->size ||
		requested % p->block_len || usable > p->size || requested > usable ||
		(usable % p->extent && usable != p->size) || !blocks_fit(p, blocks, usable))
		return -EBADMSG;
	return load_blocks(m, blocks, requested, usable);
}

static int mem_realize(struct virtio_device *v)
{
	struct virtio_mem *m = mem_of(v);
	struct virtio_pci *vp = v->transport_dev;
	const struct vm_config *config = v->machine->config;
	int r;

	m->number = v->instance;
	if (!plug_of(m))
		return -ENODEV;
	m->requested = KIB(config->memories[m->number].requested_kib);
	r = guest_plug_grow(v->machine->mem, m->number, m->requested);
	if (r < 0)
		return r;
	m->populates = config->hugepage_kib || config->memory_allocation == VM_ALLOCATION_IMMEDIATE;
	v->n_queues = 1;
	v->config_len = sizeof(struct mem_config);
	v->host_features = VIRTIO_BIT(F_UNPLUGGED_INACCESSIBLE);
	if (config->n_cells)
		v->host_features |= VIRTIO_BIT(F_ACPI_PXM);
	loop_timer_init(&m->turn_timer, v->machine->loop, turn_due);
	loop_timer_init(&m->tell_timer, v->machine->loop, tell_size);
	show_config(m);
	v->machine->memories[m->number] = &vp->pci.dev;
	v->machine->memory_ops = &memory_ops;
	return 0;
}

static void mem_unrealize(struct virtio_device *v)
{
	struct virtio_mem *m = mem_of(v);

	loop_timer_stop(&m->turn_timer);
	loop_timer_stop(&m->tell_timer);
	v->machine->memories[m->number] = NULL;
}

static const struct virtio_ops virtio_mem_ops = {
	.name = "virtio-mem",
	.device_id = 24,
	.size = sizeof(struct virtio_mem),
	.realize = mem_realize,
	.unrealize = mem_unrealize,
	.machine_reset = mem_machine_reset,
	.queue_notify = mem_queue_notify,
	.quiesce = mem_quiesce,
	.save = mem_save,
	.load = mem_load,
};

static struct vm_pci_addr mem_pci_addr(const struct vm_config *config, unsigned instance)
{
	return config->memories[instance].pci;
}

const struct virtio_pci_class virtio_mem_pci_class =
	VIRTIO_PCI_CLASS("virtio-mem-pci", 1, &virtio_mem_ops, PCI_CLASS_OTHERS, mem_pci_addr);
