/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * virtio-blk (virtio 1.2, 5.2): a disk over devices/block. This file knows requests as the driver lays them out;
 * what becomes of them on the host is block.h's.
 *
 * A chain is a 16-byte header, data, and a status byte, cut into descriptors wherever the driver likes. It is
 * popped straight into a request of a fixed pool; the data part of its iovec, without header and status, is what the
 * block gets. One kick takes what is available and starts it as one batch; one sweep of completions is
 * published and notified once per queue.
 *
 * What a driver may get wrong: no room for header or status fails the device, since there is nowhere to say so;
 * everything else is answered in the status byte, IOERR or UNSUPP.
 *
 * A disk's home may be an iothread: its queues, its block and its throttle are there. Disks of one iotune group share a
 * throttle, so they have one home (vm_config_validate()).
 *
 * When the pool is empty the queue's index is noted, and the queue is looked at again when requests end.
 */
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "devices/block/block-throttle.h"
#include "devices/block/block.h"
#include "devices/virtio/virtio-blk-defs.h"
#include "devices/virtio/virtio-pci.h"

#define MAX_REQUESTS 256
#define TELL_NS      NSEC_PER_SEC /* between two reports of errors */
/* One header and one status descriptor are no data. */
#define SEG_MAX (VIRTQ_MAX_CHAIN - 2)
/* Of one DISCARD or WRITE_ZEROES: 2 GiB less a sector's worth of alignment. */
#define MAX_RANGE_SECTORS UINT32_C(0x3fffff)

struct virtio_blk;

struct blk_request {
	struct list link; /* live, in the order of popping */
	struct virtio_blk *blk;
	struct block_request r;
	uint16_t index; /* in the pool */
	uint16_t queue;
	bool loaded; /* came with load(): begins at resume() */
	uint8_t *status;
	struct virtq_chain chain; /* last: most of it is never touched */
};

struct virtio_blk {
	struct virtio_device v;
	const struct vm_disk *config;
	struct block *block;
	uint32_t logical;  /* bytes */
	uint64_t capacity; /* bytes, a multiple of 'logical' */
	bool write_cache;  /* as configured */
	uint32_t pushed;   /* queues with unpublished answers: a bit each */
	uint32_t starved;  /* queues that found the pool empty */
	uint64_t told_ns;  /* when the vm was last told of errors; 0: never */
	struct list live;
	unsigned n_free;
	uint16_t free[MAX_REQUESTS]; /* a stack: the requests in use stay few, and warm */
	struct blk_request *requests;
};
static_assert(VM_MAX_DISK_QUEUES <= 32, "bits of 'pushed' and 'starved'");

static struct virtio_blk *blk_of(struct virtio_device *v)
{
	return container_of(v, struct virtio_blk, v);
}

static struct blk_request *request_get(struct virtio_blk *blk, unsigned queue)
{
	uint16_t index = blk->free[--blk->n_free];
	struct blk_request *req = &blk->requests[index];

	req->blk = blk;
	req->index = index;
	req->queue = (uint16_t)queue;
	req->loaded = false;
	list_add_tail(&blk->live, &req->link);
	return req;
}

static void request_put(struct virtio_blk *blk, struct blk_request *req)
{
	list_del(&req->link);
	blk->free[blk->n_free++] = req->index;
}

/* Answer the driver. */
static void complete(struct virtio_blk *blk, struct blk_request *req, uint8_t status)
{
	*req->status = status;
	/* The status byte is the last, so all before it counts as written. */
	virtio_push(&blk->v, req->queue, req->chain.head, req->chain.writable_len);
	blk->pushed |= UINT32_C(1) << req->queue;
	request_put(blk, req);
}

static void on_done(struct block_request *r, int error)
{
	struct blk_request *req = container_of(r, struct blk_request, r);
	struct virtio_blk *blk = req->blk;

	/* Cancelled by a reset: the rings are the driver's again. */
	if (error == -ECANCELED)
		request_put(blk, req);
	else
		complete(blk, req, error ? S_IOERR : S_OK);
}

/* Show the driver all answers, look again at queues that had to wait, finish a reset that waited. */
static void on_sweep(void *opaque)
{
	struct virtio_blk *blk = opaque;

	for (; blk->pushed; blk->pushed &= blk->pushed - 1)
		virtio_flush(&blk->v, (unsigned)__builtin_ctz(blk->pushed));
	for (; blk->starved && blk->n_free; blk->starved &= blk->starved - 1)
		virtio_kick_later(&blk->v, (unsigned)__builtin_ctz(blk->starved));
	if (block_is_quiet(blk->block))
		virtio_idle(&blk->v);
}

static void on_stopped(void *opaque, _unused_ int error)
{
	struct virtio_blk *blk = opaque;

	machine_request(blk->v.machine, MACHINE_IO_ERROR, (int)blk->v.instance);
}

/* A disk that is broken fails as often as its guest asks. */
static void on_reported(void *opaque, _unused_ int error)
{
	struct virtio_blk *blk = opaque;
	uint64_t now_ns = machine_now_ns(blk->v.machine);

	if (blk->told_ns && now_ns - blk->told_ns < TELL_NS)
		return;
	blk->told_ns = now_ns;
	machine_request(blk->v.machine, MACHINE_DISK_ERRORS, (int)(UINT32_C(1) << blk->v.instance));
}

/* Cut 'n' bytes off the front of iov[*n_iov]; answers the new front. There are that many. */
static struct iovec *cut_front(struct iovec *iov, unsigned *n_iov, size_t n)
{
	while (n) {
		size_t part = MIN(iov->iov_len, n);

		iov->iov_base = (uint8_t *)iov->iov_base + part;
		iov->iov_len -= part;
		n -= part;
		if (!iov->iov_len) {
			iov++;
			(*n_iov)--;
		}
	}
	return iov;
}

/* Split the chain into header, data and status. The data is what the block is to read or write. */
static bool split_chain(
	struct virtio_blk *blk, struct blk_request *req, struct blk_header *ret_header)
{
	struct virtq_chain *c = &req->chain;
	struct iovec *last;

	if (c->readable_len < HEADER_SIZE || !c->writable_len) {
		virtio_fail(&blk->v, "a request with %u bytes to read and %u to write",
			c->readable_len, c->writable_len);
		return false;
	}
	(void)virtq_chain_read(c, 0, ret_header, sizeof(*ret_header));
	while (!c->iov[c->n_readable + c->n_writable - 1].iov_len)
		c->n_writable--;
	last = &c->iov[c->n_readable + c->n_writable - 1];
	req->status = (uint8_t *)last->iov_base + --last->iov_len;
	/* Usually a buffer of its own: what is left is one buffer for one plain read. */
	if (!last->iov_len)
		c->n_writable--;
	return true;
}

/* A transfer's range in bytes. False: outside of the disk, or in part of a block. */
static bool check_range(
	const struct virtio_blk *blk, uint64_t sector, uint64_t len, struct block_request *r)
{
	if (sector > blk->capacity / BLOCK_SECTOR)
		return false;
	r->offset = sector * BLOCK_SECTOR;
	r->len = len;
	return IS_ALIGNED(r->offset | len, (uint64_t)blk->logical) &&
		range_fits(r->offset, len, blk->capacity);
}

/* Each starts the request or answers with a status other than S_OK. */

static uint8_t start_transfer(struct virtio_blk *blk, struct blk_request *req,
	const struct blk_header *header, bool write)
{
	struct virtq_chain *c = &req->chain;
	uint64_t len = write ? c->readable_len - HEADER_SIZE : c->writable_len - 1;
	unsigned n_iov = write ? c->n_readable : c->n_writable;

	req->r.op = write ? BLOCK_WRITE : BLOCK_READ;
	if (!check_range(blk, le64toh(header->sector), len, &req->r))
		return S_IOERR;
	req->r.iov = write ? cut_front(c->iov, &n_iov, HEADER_SIZE) : &c->iov[c->n_readable];
	req->r.n_iov = n_iov;
	return block_submit(blk->block, &req->r) < 0 ? S_IOERR : S_OK;
}

static uint8_t start_flush(struct virtio_blk *blk, struct blk_request *req)
{
	req->r.op = BLOCK_FLUSH;
	req->r.offset = req->r.len = 0;
	return block_submit(blk->block, &req->r) < 0 ? S_IOERR : S_OK;
}

/* DISCARD and WRITE_ZEROES, with one range: max_discard_seg and max_write_zeroes_seg say so. */
static uint8_t start_range(struct virtio_blk *blk, struct blk_request *req, bool discard)
{
	struct blk_range range;
	uint32_t flags, sectors;

	if (!virtio_has_feature(&blk->v, discard ? F_DISCARD : F_WRITE_ZEROES))
		return S_UNSUPP;
	if (req->chain.readable_len != HEADER_SIZE + sizeof(range))
		return S_IOERR;
	(void)virtq_chain_read(&req->chain, HEADER_SIZE, &range, sizeof(range));
	flags = le32toh(range.flags);
	sectors = le32toh(range.num_sectors);
	if (flags & ~(discard ? 0 : RANGE_UNMAP))
		return S_UNSUPP;
	req->r.op = discard ? BLOCK_DISCARD : BLOCK_WRITE_ZEROES;
	req->r.may_unmap = flags & RANGE_UNMAP;
	if (sectors > MAX_RANGE_SECTORS ||
		!check_range(blk, le64toh(range.sector), (uint64_t)sectors * BLOCK_SECTOR, &req->r))
		return S_IOERR;
	return block_submit(blk->block, &req->r) < 0 ? S_IOERR : S_OK;
}

/* Answered at once. */
static void get_id(struct virtio_blk *blk, struct blk_request *req)
{
	char id[ID_SIZE] = {0};
	size_t room = MIN((size_t)req->chain.writable_len - 1, sizeof(id));

	memcpy(id, blk->config->serial, strnlen(blk->config->serial, sizeof(id)));
	(void)virtq_chain_write(&req->chain, 0, id, room);
	complete(blk, req, S_OK);
}

/* Take a popped chain to its answer or to the block. False: the device failed. */
static bool begin(struct virtio_blk *blk, struct blk_request *req)
{
	struct blk_header header;
	uint8_t status = S_UNSUPP;

	if (!split_chain(blk, req, &header)) {
		request_put(blk, req);
		return false;
	}
	req->r.done = on_done;
	req->r.may_unmap = false;
	req->r.n_iov = 0;
	switch (le32toh(header.type)) {
	case T_IN:
		status = start_transfer(blk, req, &header, /* write= */ false);
		break;
	case T_OUT:
		status = start_transfer(blk, req, &header, /* write= */ true);
		break;
	case T_FLUSH:
		status = start_flush(blk, req);
		break;
	case T_GET_ID:
		get_id(blk, req);
		return true;
	case T_DISCARD:
	case T_WRITE_ZEROES:
		status = start_range(blk, req, le32toh(header.type) == T_DISCARD);
		break;
	default: /* the driver's number, not an enum of ours */
		break;
	}
	if (status != S_OK)
		complete(blk, req, status);
	return true;
}

static void blk_queue_notify(struct virtio_device *v, unsigned index)
{
	struct virtio_blk *blk = blk_of(v);
	unsigned budget = VIRTQ_MAX_SIZE;

	while (budget && blk->n_free) {
		struct blk_request *req = request_get(blk, index);

		if (!virtio_pop(v, index, &req->chain)) {
			request_put(blk, req);
			break;
		}
		if (!begin(blk, req))
			break;
		budget--;
	}
	/* Before the commit: what ends in it may give the pool back, and the driver was asked not to kick. */
	if (!blk->n_free)
		blk->starved |= UINT32_C(1) << index;
	else if (!budget)
		virtio_kick_later(v, index);
	block_commit(blk->block);
	on_sweep(blk);
}

static void blk_config_write(
	struct virtio_device *v, unsigned offset, unsigned size, uint64_t value)
{
	struct virtio_blk *blk = blk_of(v);

	if (offset != offsetof(struct blk_config, writeback) || size != 1 ||
		!virtio_has_feature(v, F_CONFIG_WCE))
		return;
	v->config[offset] = value & 1;
	block_set_write_cache(blk->block, value & 1);
}

/* The cache mode that was negotiated (5.2.6.2): a driver that cannot flush must not need to. */
static int blk_activate(struct virtio_device *v)
{
	struct virtio_blk *blk = blk_of(v);
	bool on = blk->write_cache;

	if (virtio_has_feature(v, F_CONFIG_WCE))
		on = v->config[offsetof(struct blk_config, writeback)];
	else if (!virtio_has_feature(v, F_FLUSH))
		on = false;
	block_set_write_cache(blk->block, on);
	return 0;
}

static void blk_reset(struct virtio_device *v)
{
	struct virtio_blk *blk = blk_of(v);
	struct list *pos, *tmp;

	block_cancel(blk->block);
	/* What is left was loaded and never begun. */
	list_for_each_safe (pos, tmp, &blk->live)
		request_put(blk, list_entry(pos, struct blk_request, link));
	blk->pushed = blk->starved = 0;
	v->config[offsetof(struct blk_config, writeback)] = blk->write_cache;
	block_set_write_cache(blk->block, blk->write_cache);
}

static bool blk_quiesce(struct virtio_device *v)
{
	block_hold(blk_of(v)->block);
	return block_is_quiet(blk_of(v)->block);
}

static void blk_resume(struct virtio_device *v)
{
	struct virtio_blk *blk = blk_of(v);
	struct list *pos, *tmp;

	list_for_each_safe (pos, tmp, &blk->live) {
		struct blk_request *req = list_entry(pos, struct blk_request, link);

		if (!req->loaded)
			continue;
		req->loaded = false;
		if (!begin(blk, req))
			break;
	}
	block_resume(blk->block);
	block_commit(blk->block);
	on_sweep(blk);
}

/* What is live while the device is quiet waits for the host to be mended (error policy stop) or for its turn (iotune):
 * which chains, in which order. They are read again after load(). */
static void blk_save(const struct virtio_device *v, struct state_writer *w)
{
	const struct virtio_blk *blk = (const struct virtio_blk *)(const void *)v;
	const struct list *pos;

	state_put_u64(w, blk->capacity);
	state_put_u8(w, v->config[offsetof(struct blk_config, writeback)]);
	state_put_u8(w, block_write_cache(blk->block));
	state_put_u16(w, (uint16_t)(MAX_REQUESTS - blk->n_free));
	for (pos = blk->live.next; pos != &blk->live; pos = pos->next) {
		const struct blk_request *req = (const struct blk_request *)((const char *)pos -
			offsetof(struct blk_request, link));

		state_put_u16(w, req->queue);
		state_put_u16(w, req->chain.head);
	}
}

struct saved_request {
	uint16_t queue, head;
};

/* No queue gives more than it has out, and no chain twice. */
static bool saved_requests_fit(
	const struct virtio_device *v, const struct saved_request *saved, unsigned n)
{
	unsigned count[VIRTIO_MAX_QUEUES] = {0};

	for (unsigned i = 0; i < n; i++) {
		if (saved[i].queue >= v->n_queues ||
			++count[saved[i].queue] > v->queues[saved[i].queue].n_in_flight)
			return false;
		for (unsigned j = 0; j < i; j++)
			if (saved[i].queue == saved[j].queue && saved[i].head == saved[j].head)
				return false;
	}
	return true;
}

static int blk_load(struct virtio_device *v, struct state_reader *r)
{
	struct virtio_blk *blk = blk_of(v);
	struct saved_request saved[MAX_REQUESTS];
	uint64_t capacity = state_get_u64(r);
	uint8_t writeback = state_get_u8(r), cache = state_get_u8(r);
	unsigned n = state_get_u16(r);

	if (capacity != blk->capacity || writeback > 1 || cache > 1 || n > MAX_REQUESTS ||
		blk->n_free != MAX_REQUESTS)
		return -EBADMSG;
	for (unsigned i = 0; i < n; i++)
		saved[i] =
			(struct saved_request){.queue = state_get_u16(r), .head = state_get_u16(r)};
	if (state_reader_end(r) < 0 || !saved_requests_fit(v, saved, n))
		return -EBADMSG;
	for (unsigned i = 0; i < n; i++) {
		struct blk_request *req = request_get(blk, saved[i].queue);

		req->loaded = true;
		if (virtq_refetch(&v->queues[saved[i].queue], saved[i].head, &req->chain) != 1) {
			while (!list_empty(&blk->live))
				request_put(
					blk, list_entry(blk->live.next, struct blk_request, link));
			return -EBADMSG;
		}
	}
	v->config[offsetof(struct blk_config, writeback)] = writeback;
	block_set_write_cache(blk->block, cache);
	return 0;
}

static unsigned n_queues(const struct virtio_blk *blk)
{
	unsigned n = blk->config->queues ?: MAX(blk->v.machine->config->vcpus, 1U);

	return MIN(n, (unsigned)VM_MAX_DISK_QUEUES);
}

static void fill_features(struct virtio_blk *blk, const struct block_options *o)
{
	uint64_t f = VIRTIO_BIT(F_SEG_MAX) | VIRTIO_BIT(F_BLK_SIZE) | VIRTIO_BIT(F_TOPOLOGY);

	if (blk->v.n_queues > 1)
		f |= VIRTIO_BIT(F_MQ);
	if (o->readonly)
		f |= VIRTIO_BIT(F_RO);
	else
		f |= VIRTIO_BIT(F_FLUSH) | VIRTIO_BIT(F_CONFIG_WCE) | VIRTIO_BIT(F_WRITE_ZEROES);
	if (!o->readonly && o->discard)
		f |= VIRTIO_BIT(F_DISCARD);
	blk->v.host_features = f;
}

static void fill_config(struct virtio_blk *blk, const struct block_options *o)
{
	uint32_t physical = MAX(blk->config->physical_block, block_align(blk->block));
	uint32_t ratio = MAX(physical / blk->logical, 1U);
	uint32_t max_range = ALIGN_DOWN(MAX_RANGE_SECTORS, blk->logical / BLOCK_SECTOR);
	struct blk_config c = {
		.capacity = htole64(blk->capacity / BLOCK_SECTOR),
		.seg_max = htole32(SEG_MAX),
		.blk_size = htole32(blk->logical),
		.physical_block_exp = (uint8_t)__builtin_ctz(ratio),
		.min_io_size = htole16((uint16_t)ratio),
		.writeback = o->write_cache,
		.num_queues = htole16((uint16_t)blk->v.n_queues),
		.max_discard_sectors = htole32(max_range),
		.max_discard_seg = htole32(1),
		.discard_sector_alignment = htole32(MAX(physical, blk->logical) / BLOCK_SECTOR),
		.max_write_zeroes_sectors = htole32(max_range),
		.max_write_zeroes_seg = htole32(1),
		.write_zeroes_may_unmap = o->discard,
	};

	memcpy(blk->v.config, &c, CONFIG_LEN);
	blk->v.config_len = CONFIG_LEN;
}

/* The throttle of this disk, shared with those of its group that are there already; NULL: it has none. */
static int find_throttle(const struct virtio_blk *blk, struct block_throttle **ret_throttle)
{
	const struct machine *m = blk->v.machine;
	const char *group = blk->config->iotune.group;
	int r;

	for (unsigned i = 0; *group && i < m->config->n_disks; i++)
		if (m->throttles[i] && strcmp(m->config->disks[i].iotune.group, group) == 0) {
			*ret_throttle = block_throttle_ref(m->throttles[i]);
			return 0;
		}
	*ret_throttle = NULL;
	r = block_throttle_new(device_loop(blk->v.dev), &blk->config->iotune, ret_throttle);
	return r == -ENOENT ? 0 : r;
}

static int open_block(struct virtio_blk *blk, struct block_options *o)
{
	struct machine *m = blk->v.machine;
	_cleanup_(block_throttle_unrefp) struct block_throttle *throttle = NULL;
	int *fd = &m->fds->disks[blk->v.instance];
	int r;

	o->name = blk->config->target;
	o->stats = m->stats ? &m->stats->disks[blk->v.instance] : NULL;
	o->enter_thread = m->ops->enter_io_thread;
	o->enter_thread_opaque = m->ops_opaque;
	o->sweep = on_sweep;
	o->stopped = on_stopped;
	o->reported = on_reported;
	o->opaque = blk;
	if (*fd < 0)
		return -EBADF;

	r = find_throttle(blk, &throttle);
	if (r < 0)
		return r;
	o->throttle = throttle;
	r = block_open(device_loop(blk->v.dev), *fd, o, &blk->block);
	if (r < 0)
		return r;
	*fd = -EBADF;
	/* The block's reference keeps it. */
	m->throttles[blk->v.instance] = throttle;
	return 0;
}

static int blk_realize(struct virtio_device *v)
{
	struct virtio_blk *blk = blk_of(v);
	struct block_options o;
	int r;

	if (v->instance >= v->machine->config->n_disks)
		return -EINVAL;
	blk->config = &v->machine->config->disks[v->instance];
	blk->logical = blk->config->logical_block ?: BLOCK_SECTOR;
	if (blk->logical < BLOCK_SECTOR || (blk->logical & (blk->logical - 1)))
		return -EINVAL;
	list_init(&blk->live);
	/* Zeroed by the kernel, and not touched before it is used. */
	blk->requests = calloc(MAX_REQUESTS, sizeof(*blk->requests));
	if (!blk->requests)
		return -ENOMEM;
	for (blk->n_free = 0; blk->n_free < MAX_REQUESTS; blk->n_free++)
		blk->free[blk->n_free] = (uint16_t)(MAX_REQUESTS - 1 - blk->n_free);

	block_options_from_config(blk->config, &o);
	r = open_block(blk, &o);
	if (r < 0)
		return r;
	blk->write_cache = o.write_cache;
	blk->capacity = ALIGN_DOWN(block_capacity(blk->block), (uint64_t)blk->logical);
	v->n_queues = n_queues(blk);
	fill_features(blk, &o);
	fill_config(blk, &o);
	return 0;
}

static void blk_unrealize(struct virtio_device *v)
{
	struct virtio_blk *blk = blk_of(v);

	if (blk->block)
		v->machine->throttles[v->instance] = NULL;
	blk->block = block_free(blk->block);
	free(blk->requests);
	blk->requests = NULL;
}

static const struct virtio_ops virtio_blk_ops = {
	.name = "virtio-blk",
	.device_id = 2,
	.size = sizeof(struct virtio_blk),
	.realize = blk_realize,
	.unrealize = blk_unrealize,
	.config_write = blk_config_write,
	.activate = blk_activate,
	.reset = blk_reset,
	.queue_notify = blk_queue_notify,
	.quiesce = blk_quiesce,
	.resume = blk_resume,
	.save = blk_save,
	.load = blk_load,
};

static struct vm_pci_addr blk_pci_addr(const struct vm_config *config, unsigned instance)
{
	return config->disks[instance].pci;
}

const struct virtio_pci_class virtio_blk_pci_class = VIRTIO_PCI_CLASS(
	"virtio-blk-pci", 1, &virtio_blk_ops, PCI_CLASS_STORAGE_OTHER, blk_pci_addr);
