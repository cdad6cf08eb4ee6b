/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * virtio-rng (virtio 1.2, 5.4): random bytes for the guest, from the host's random device or, with
 * the builtin source, from getrandom(2). One queue of device-writable buffers.
 *
 * A buffer is answered with what one read gives, at most RNG_CHUNK bytes: the specification lets a
 * device fill less than the driver offered. A kick serves at most RNG_KICK_BYTES, the rest comes on
 * the next turns of the loop. With a rate limit, rate_bytes may be used in each period of
 * rate_period_ms; then a timer starts the next one. A source that has nothing to give now is asked
 * again after RNG_RETRY_NS; nothing here ever blocks.
 */
#include <errno.h>
#include <sys/random.h>
#include <unistd.h>

#include "devices/virtio/virtio-pci.h"

#define RNG_QUEUE      0
#define RNG_CHUNK      4096
#define RNG_KICK_BYTES KIB(64)
#define RNG_RETRY_NS   (10 * NSEC_PER_MSEC)

struct virtio_rng {
	struct virtio_device v;
	struct loop_timer timer; /* the period's end, or another try */
	uint64_t period_end_ns;  /* 0: no period began */
	uint64_t left;           /* bytes left in the period */
};

static struct virtio_rng *rng_of(struct virtio_device *v)
{
	return container_of(v, struct virtio_rng, v);
}

static const struct vm_rng *config_of(const struct virtio_rng *rng)
{
	return &rng->v.machine->config->rng;
}

static bool is_limited(const struct virtio_rng *rng)
{
	return config_of(rng)->rate_bytes && config_of(rng)->rate_period_ms;
}

/* How many bytes may be given now. Begins a new period when the last one is over. */
static uint64_t allowance(struct virtio_rng *rng)
{
	const struct vm_rng *config = config_of(rng);
	uint64_t now_ns = machine_now_ns(rng->v.machine);

	if (!is_limited(rng))
		return UINT64_MAX;
	if (now_ns >= rng->period_end_ns) {
		rng->period_end_ns = now_ns + config->rate_period_ms * NSEC_PER_MSEC;
		rng->left = config->rate_bytes;
	}
	return rng->left;
}

/* Bytes from the source. 0 or less: none now. */
static ssize_t read_source(struct virtio_rng *rng, void *buf, size_t len)
{
	int fd = rng->v.machine->fds->rng;

	if (fd >= 0)
		return read(fd, buf, len);
	return getrandom(buf, len, GRND_NONBLOCK);
}

/* Answer one chain with at most 'max' bytes. 1: answered, 0: the source has nothing. */
static int serve(struct virtio_rng *rng, struct virtq_chain *c, size_t max, size_t *ret_len)
{
	uint8_t buf[RNG_CHUNK];
	size_t want = MIN((size_t)c->writable_len, sizeof(buf)), len = MIN(want, max);
	ssize_t n = read_source(rng, buf, len);

	if (n <= 0)
		return 0;
	/* A copy, and not a read into the guest's memory: what a source says it gave, it gave. */
	n = MIN(n, (ssize_t)len);
	(void)virtq_chain_write(c, 0, buf, (size_t)n);
	virtio_push(&rng->v, RNG_QUEUE, c->head, (uint32_t)n);
	*ret_len = (size_t)n;
	return 1;
}

static void wait_until(struct virtio_rng *rng, uint64_t deadline_ns)
{
	(void)loop_timer_set(&rng->timer, deadline_ns);
}

static void rng_queue_notify(struct virtio_device *v, unsigned index)
{
	struct virtio_rng *rng = rng_of(v);
	uint64_t budget = RNG_KICK_BYTES;
	struct virtq_chain c;

	while (virtio_pop(v, index, &c)) {
		uint64_t allowed = allowance(rng);
		size_t n;

		if (!c.writable_len || c.n_readable) {
			virtio_fail(v, "a buffer that is not device-writable");
			break;
		}
		if (!allowed) {
			virtio_unpop(v, index);
			wait_until(rng, rng->period_end_ns);
			break;
		}
		if (!budget) {
			virtio_unpop(v, index);
			virtio_kick_later(v, index);
			break;
		}
		if (!serve(rng, &c, MIN(allowed, budget), &n)) {
			virtio_unpop(v, index);
			wait_until(rng, machine_now_ns(v->machine) + RNG_RETRY_NS);
			break;
		}
		budget -= n;
		if (is_limited(rng))
			rng->left -= n;
	}
	virtio_flush(v, index);
}

static void timer_fired(struct loop_timer *timer, uint64_t now_ns)
{
	struct virtio_rng *rng = container_of(timer, struct virtio_rng, timer);

	(void)now_ns;
	virtio_kick_later(&rng->v, RNG_QUEUE);
}

static int rng_realize(struct virtio_device *v)
{
	struct virtio_rng *rng = rng_of(v);

	v->n_queues = 1;
	loop_timer_init(&rng->timer, v->machine->loop, timer_fired);
	return 0;
}

static void rng_unrealize(struct virtio_device *v)
{
	loop_timer_stop(&rng_of(v)->timer);
}

static void rng_reset(struct virtio_device *v)
{
	/* The period goes on: a reset is no way around the limit. */
	loop_timer_stop(&rng_of(v)->timer);
}

/* How far the period has come, so that a limit holds across a migration too. */
static void rng_save(const struct virtio_device *v, struct state_writer *w)
{
	const struct virtio_rng *rng = (const struct virtio_rng *)(const void *)v;
	uint64_t now_ns = machine_now_ns(v->machine);

	state_put_u64(w, rng->period_end_ns > now_ns ? rng->period_end_ns - now_ns : 0);
	state_put_u64(w, rng->left);
}

static int rng_load(struct virtio_device *v, struct state_reader *r)
{
	struct virtio_rng *rng = rng_of(v);
	uint64_t remaining_ns = state_get_u64(r), left = state_get_u64(r);

	if (state_reader_end(r) < 0 || left > config_of(rng)->rate_bytes ||
		remaining_ns > config_of(rng)->rate_period_ms * NSEC_PER_MSEC)
		return -EBADMSG;
	rng->period_end_ns = machine_now_ns(v->machine) + remaining_ns;
	rng->left = left;
	return 0;
}

static const struct virtio_ops virtio_rng_ops = {
	.name = "virtio-rng",
	.device_id = 4,
	.size = sizeof(struct virtio_rng),
	.realize = rng_realize,
	.unrealize = rng_unrealize,
	.reset = rng_reset,
	.queue_notify = rng_queue_notify,
	.save = rng_save,
	.load = rng_load,
};

static struct vm_pci_addr rng_pci_addr(const struct vm_config *config, unsigned instance)
{
	(void)instance;
	return config->rng.pci;
}

const struct virtio_pci_class virtio_rng_pci_class =
	VIRTIO_PCI_CLASS("virtio-rng-pci", 1, &virtio_rng_ops, PCI_CLASS_OTHERS, rng_pci_addr);
