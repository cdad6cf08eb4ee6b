/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Between the files of bench-fabric:
 *
 *	fabric.c	rounds, windows, the table
 *	fabric-vm.c	the fabric's own paths: two machines' vNICs, and the network's worker
 *	fabric-peers.c	the others: bare ring, memcpy, Linux bridge, vde_switch, unix datagrams
 *
 * A path is started as processes that send, answer or rest until they are killed. Each frame carries its number, which
 * the receiver checks, and tells by 'struct shared' how far it is; the parent looks at that and at the processes' CPU
 * clocks at the beginning and the end of a window.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#include "vmm-core/base/macro.h"

#define HDR_LEN     12 /* struct virtio_net_hdr with num_buffers */
#define SEQ_AT      54 /* in a frame: behind Ethernet, IPv4 and TCP */
#define BIG_SEGMENT 1448
#define N_PIDS      3
#define MAX_RTTS    4096
/* What senders and receivers keep their frames in, as guests do: so many bytes, at most so many frames. */
#define POOL_BYTES  MIB(1)
#define POOL_FRAMES 256U

enum mode {
	MODE_FLOOD, /* a sends what it can, b counts */
	MODE_PING,  /* one frame, there and back */
	MODE_IDLE,  /* one frame there and back, then nothing */
};

/* One writer each. */
struct shared {
	_Alignas(64) _Atomic uint64_t received, last_seq;
	_Atomic uint64_t bad;                /* frames out of order, or whose bytes are wrong */
	_Alignas(64) _Atomic uint32_t waits; /* the sender, for its window; */
	_Atomic uint64_t wanted_seq;         /* until the receiver is so far */
	_Alignas(64) _Atomic uint32_t n_rtts;
	uint32_t rtt_ns[MAX_RTTS];
};

struct run {
	enum mode mode;
	uint32_t size;
	struct shared *shared;
	pid_t pids[N_PIDS];
	unsigned n_pids;
	const char *tmp; /* a folder of our own */
	/* Of a path whose 'windowed' is set: the sender is at most so many frames ahead; 'window_bell' wakes it. */
	uint64_t window;
	int window_bell;
	unsigned poll_us; /* of the path */
};

struct path {
	const char *name;
	uint32_t max_size;
	bool ping; /* it can */
	/* Senders keep to a window, as TCP does. Else they send what they can: those who are stopped by a full queue, or
	 * lose frames there and do best so. */
	bool windowed;
	unsigned poll_us; /* the fabric's own: how long its loops may look for frames */
	/* Start the processes (bench_fork()). False: it cannot be done here. */
	bool (*start)(struct run *run);
};

extern const struct path vm_direct, vm_star, vm_direct_poll, vm_star_poll, vm_open, vm_taps,
	vm_network_tap;
extern const struct path peer_ring, peer_ring_read, peer_memcpy, peer_bridge, peer_vde, peer_unix;

/* Two taps in a Linux bridge. In a network namespace of our own: see main(). They go with the last process that has them open. */
bool bench_make_bridge(int ret_taps[2]);
/* Two machines (and the network's worker) in turn in this process, until 'frames' have come: for valgrind, which counts
 * instructions. Answers how many came. */
uint64_t bench_count_vm(struct run *run, bool through_worker, uint64_t frames);

_noreturn_ void bench_die(const char *what, int error);
uint64_t bench_now_ns(void);
/* A process of this run that does 'work'. It ends with its parent. */
void bench_fork(struct run *run, void (*work)(struct run *run, void *arg), void *arg);
/* Number of frames of this size that a pool holds. */
unsigned bench_pool_frames(uint32_t size);

/* A TCP segment from machine 'from' (0 or 1) to the other, or many in one frame when it is larger than an MTU: then 'hdr'
 * says so. */
void bench_make_frame(uint8_t hdr[HDR_LEN], uint8_t *frame, uint32_t size, unsigned from);
void bench_mac(unsigned of, uint8_t mac[6]);

static inline void bench_put_seq(uint8_t *frame, uint64_t seq)
{
	memcpy(frame + SEQ_AT, &seq, sizeof(seq));
}

static inline uint64_t bench_get_seq(const uint8_t *frame)
{
	uint64_t seq;

	memcpy(&seq, frame + SEQ_AT, sizeof(seq));
	return seq;
}

/* The receiver's part for one frame, in a local copy of its counters; bench_show() shows them. */
struct tally {
	uint64_t received, next_seq, bad;
};

static inline void bench_count(struct tally *t, uint64_t seq)
{
	t->bad += seq < t->next_seq;
	t->next_seq = seq + 1;
	t->received++;
}

static inline void bench_show(struct shared *s, const struct tally *t)
{
	atomic_store_explicit(&s->received, t->received, memory_order_relaxed);
	atomic_store_explicit(&s->last_seq, t->next_seq, memory_order_relaxed);
	atomic_store_explicit(&s->bad, t->bad, memory_order_relaxed);
}

/* How many frames the window lets go, when 'seq' were sent: none before a quarter of it is open, so that there are batches. */
static inline uint64_t bench_window(const struct run *run, uint64_t seq)
{
	uint64_t ahead = seq - atomic_load_explicit(&run->shared->last_seq, memory_order_relaxed);

	return ahead <= run->window - run->window / 4 ? run->window - ahead : 0;
}

/* The receiver has shown how far it is: wake a sender for which half of the window is open. */
static inline void bench_open_window(const struct run *run, uint64_t next_seq)
{
	struct shared *s = run->shared;
	uint64_t one = 1;

	/* Pairs with the sender's, between saying that it waits and looking once more. */
	atomic_thread_fence(memory_order_seq_cst);
	if (atomic_load_explicit(&s->waits, memory_order_relaxed) &&
		next_seq >= atomic_load_explicit(&s->wanted_seq, memory_order_relaxed)) {
		atomic_store_explicit(&s->waits, 0, memory_order_relaxed);
		(void)!write(run->window_bell, &one, sizeof(one));
	}
}

static inline void bench_rtt(struct shared *s, uint64_t ns)
{
	uint32_t n = atomic_load_explicit(&s->n_rtts, memory_order_relaxed);

	s->rtt_ns[n % MAX_RTTS] = (uint32_t)MIN(ns, (uint64_t)UINT32_MAX);
	atomic_store_explicit(&s->n_rtts, n + 1, memory_order_release);
}
