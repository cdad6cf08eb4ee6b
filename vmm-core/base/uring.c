/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Submission and completion rings of io_uring: see uring.h. */
#include "vmm-core/base/uring.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

struct uring {
	int fd;
	bool cooperative; /* completions may wait until we enter the kernel, and a flag says so */
	uint8_t *map;
	size_t map_len;
	struct io_uring_sqe *sqes;
	size_t sqes_len;
	unsigned entries, in_flight;
	unsigned tail; /* our side of the submission ring; *sq_tail is what the kernel was shown */
	_Atomic unsigned *sq_head, *sq_tail, *sq_flags, *cq_head, *cq_tail;
	unsigned sq_mask, cq_mask;
	const struct io_uring_cqe *cqes;
};

static int sys_setup(unsigned entries, struct io_uring_params *params)
{
	int r = (int)syscall(__NR_io_uring_setup, entries, params);

	return r < 0 ? -errno : r;
}

static int sys_register(int fd, unsigned opcode, const void *arg, unsigned n)
{
	int r = (int)syscall(__NR_io_uring_register, fd, opcode, arg, n);

	return r < 0 ? -errno : r;
}

static int sys_enter(int fd, unsigned to_submit, unsigned min_complete, unsigned flags)
{
	int r = (int)syscall(__NR_io_uring_enter, fd, to_submit, min_complete, flags, NULL, 0);

	return r < 0 ? -errno : r;
}

/* A disabled ring. Without IORING_SETUP_COOP_TASKRUN (Linux 5.19) the kernel interrupts us for completions that we
 * would see soon anyway. IORING_SETUP_DEFER_TASKRUN would need an eventfd, since what it defers does not make the ring
 * readable (seen on Linux 6.18). In a bare loop that was a few percent faster at a depth of 32 and equal at 1; through
 * virtio-blk no gain was seen, in one noisy run. */
static int setup(unsigned entries, struct io_uring_params *ret_params)
{
	static const unsigned ways[] = {IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG, 0};
	int fd = -EINVAL;

	for (size_t i = 0; i < ARRAY_SIZE(ways) && fd == -EINVAL; i++) {
		*ret_params = (struct io_uring_params){
			.flags = IORING_SETUP_R_DISABLED | IORING_SETUP_CQSIZE | ways[i],
			.cq_entries = 2 * entries,
		};
		fd = sys_setup(entries, ret_params);
	}
	return fd;
}

static int map_rings(struct uring *ring, const struct io_uring_params *p)
{
	size_t sq_len = p->sq_off.array + p->sq_entries * sizeof(unsigned);
	size_t cq_len = p->cq_off.cqes + p->cq_entries * sizeof(struct io_uring_cqe);
	unsigned *array;

	if (!(p->features & IORING_FEAT_SINGLE_MMAP))
		return -ENOSYS;
	ring->map_len = MAX(sq_len, cq_len);
	ring->map = mmap(NULL, ring->map_len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE,
		ring->fd, IORING_OFF_SQ_RING);
	if (ring->map == MAP_FAILED)
		return -errno;
	ring->sqes_len = p->sq_entries * sizeof(struct io_uring_sqe);
	ring->sqes = mmap(NULL, ring->sqes_len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE,
		ring->fd, IORING_OFF_SQES);
	if (ring->sqes == MAP_FAILED)
		return -errno;

	ring->entries = p->sq_entries;
	ring->sq_head = (void *)(ring->map + p->sq_off.head);
	ring->sq_tail = (void *)(ring->map + p->sq_off.tail);
	ring->sq_flags = (void *)(ring->map + p->sq_off.flags);
	ring->cq_head = (void *)(ring->map + p->cq_off.head);
	ring->cq_tail = (void *)(ring->map + p->cq_off.tail);
	ring->sq_mask = p->sq_entries - 1;
	ring->cq_mask = p->cq_entries - 1;
	ring->cqes = (void *)(ring->map + p->cq_off.cqes);
	/* Slot i of the ring always names entry i. */
	array = (void *)(ring->map + p->sq_off.array);
	for (unsigned i = 0; i < p->sq_entries; i++)
		array[i] = i;
	return 0;
}

/* From here on the ring does these operations, on registered files, and nothing else. */
static int restrict_and_enable(struct uring *ring)
{
	static const uint8_t ops[] = {IORING_OP_READV, IORING_OP_WRITEV, IORING_OP_READ,
		IORING_OP_WRITE, IORING_OP_FSYNC, IORING_OP_FALLOCATE};
	struct io_uring_restriction res[ARRAY_SIZE(ops) + 2] = {0};
	unsigned n = 0;
	int r;

	for (; n < ARRAY_SIZE(ops); n++) {
		res[n].opcode = IORING_RESTRICTION_SQE_OP;
		res[n].sqe_op = ops[n];
	}
	res[n].opcode = IORING_RESTRICTION_SQE_FLAGS_ALLOWED;
	res[n++].sqe_flags = IOSQE_FIXED_FILE;
	res[n].opcode = IORING_RESTRICTION_SQE_FLAGS_REQUIRED;
	res[n++].sqe_flags = IOSQE_FIXED_FILE;

	r = sys_register(ring->fd, IORING_REGISTER_RESTRICTIONS, res, n);
	if (r < 0)
		return r;

	return sys_register(ring->fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0);
}

int uring_new(unsigned entries, const int *fds, unsigned n_fds, struct uring **ret_ring)
{
	_cleanup_(uring_freep) struct uring *ring = NULL;
	unsigned workers[2] = {URING_MAX_WORKERS, URING_MAX_WORKERS};
	struct io_uring_params params;
	int r;

	assert(entries && entries <= URING_MAX_ENTRIES && !(entries & (entries - 1)));
	assert(n_fds && n_fds <= URING_MAX_FILES);

	ring = calloc(1, sizeof(*ring));
	if (!ring)
		return -ENOMEM;
	ring->map = MAP_FAILED;
	ring->sqes = MAP_FAILED;
	ring->fd = setup(entries, &params);
	if (ring->fd < 0)
		return ring->fd;
	ring->cooperative = params.flags & IORING_SETUP_COOP_TASKRUN;

	r = map_rings(ring, &params);
	if (r < 0)
		return r;

	r = sys_register(ring->fd, IORING_REGISTER_FILES, fds, n_fds);
	if (r < 0)
		return r;

	/* Linux 5.15; without it the kernel's own limits hold. */
	(void)sys_register(
		ring->fd, IORING_REGISTER_IOWQ_MAX_WORKERS, workers, ARRAY_SIZE(workers));

	r = restrict_and_enable(ring);
	if (r < 0)
		return r;

	*ret_ring = TAKE_PTR(ring);
	return 0;
}

struct uring *uring_free(struct uring *ring)
{
	if (!ring)
		return NULL;
	if (ring->map != MAP_FAILED)
		(void)munmap(ring->map, ring->map_len);
	if (ring->sqes != MAP_FAILED)
		(void)munmap(ring->sqes, ring->sqes_len);
	(void)safe_close(ring->fd);
	free(ring);
	return NULL;
}

struct io_uring_sqe *uring_sqe(struct uring *ring)
{
	struct io_uring_sqe *sqe;

	if (ring->in_flight == ring->entries)
		return NULL;
	ring->in_flight++;
	sqe = &ring->sqes[ring->tail++ & ring->sq_mask];
	memset(sqe, 0, sizeof(*sqe));
	sqe->flags = IOSQE_FIXED_FILE;
	return sqe;
}

unsigned uring_n_queued(const struct uring *ring)
{
	/* Acquire: the kernel has copied the entries that it has moved its head over. */
	return ring->tail - atomic_load_explicit(ring->sq_head, memory_order_acquire);
}

unsigned uring_n_in_flight(const struct uring *ring)
{
	return ring->in_flight;
}

int uring_submit(struct uring *ring)
{
	unsigned n;

	/* Release: pairs with the kernel's acquire of the tail; the entries are filled before it is seen. */
	atomic_store_explicit(ring->sq_tail, ring->tail, memory_order_release);
	while ((n = uring_n_queued(ring)) > 0) {
		int r = sys_enter(ring->fd, n, 0, 0);

		if (r == -EINTR)
			continue;
		if (r < 0)
			return r;
		if (r == 0)
			return -EAGAIN;
	}
	return 0;
}

unsigned uring_reap(struct uring *ring, struct uring_completion *ret_completions, unsigned max)
{
	unsigned head = atomic_load_explicit(ring->cq_head, memory_order_relaxed);
	/* Acquire: pairs with the kernel's release of the tail; the completions are there before it is seen. */
	unsigned tail = atomic_load_explicit(ring->cq_tail, memory_order_acquire);
	unsigned n = 0;

	if (head == tail && ring->cooperative &&
		(atomic_load_explicit(ring->sq_flags, memory_order_relaxed) & IORING_SQ_TASKRUN)) {
		(void)sys_enter(ring->fd, 0, 0, IORING_ENTER_GETEVENTS);
		tail = atomic_load_explicit(ring->cq_tail, memory_order_acquire);
	}
	while (n < max && head != tail) {
		const struct io_uring_cqe *cqe = &ring->cqes[head++ & ring->cq_mask];

		ret_completions[n++] = (struct uring_completion){
			.user_data = cqe->user_data,
			.result = cqe->res,
		};
	}
	/* Release: pairs with the kernel's acquire; the slots are free once we have copied them. */
	atomic_store_explicit(ring->cq_head, head, memory_order_release);
	ring->in_flight -= n;
	return n;
}

int uring_wait(struct uring *ring)
{
	int r;

	/* Release: as in uring_submit(). */
	atomic_store_explicit(ring->sq_tail, ring->tail, memory_order_release);
	do
		r = sys_enter(ring->fd, uring_n_queued(ring), 1, IORING_ENTER_GETEVENTS);
	while (r == -EINTR);
	return r < 0 ? r : 0;
}

int uring_fd(const struct uring *ring)
{
	return ring->fd;
}

unsigned uring_entries(const struct uring *ring)
{
	return ring->entries;
}
