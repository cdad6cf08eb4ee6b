/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The worker's event loop: fds, timers, and one clock. One thread runs it; the loop has a lock, which is
 * held around every callback when loop_set_locking() says so, so device code never locks. An idle loop sleeps
 * in epoll_wait() without a timeout: no timer armed means no wake-up.
 *
 * Threads: loop_run() is for the loop's thread. All else may be called from any thread that holds its lock (a
 * vCPU that programs a timer chip, the one that takes a device of an iothread's away); a timer that is set so
 * wakes the loop by itself, since the timerfd is armed with the earliest deadline. loop_now_ns() is for any thread.
 *
 * The clock is CLOCK_MONOTONIC in nanoseconds. Tests make a loop with loop_new_fake(): its clock stands
 * until loop_fake_advance() moves it, which fires the timers that fall due in deadline order, each at
 * its own time; no real time passes.
 *
 * Polling. Who takes work out of memory that another process fills, and is told of more by an fd when it has asked to be, may
 * rest on the loop instead of asking (struct loop_poller). As long as the window allows (poll-window.h: it follows what
 * happened, from 0 to the poller's own limit) the loop looks there before it sleeps, and at all fds too; then it lets the
 * poller ask. A sleeping loop has asked for everything: an idle one polls nothing and causes no wake-up.
 *
 * (The daemon and vmctl use sd-event instead.)
 */
#pragma once

#include <pthread.h>

#include "vmm-core/base/cleanup.h"
#include "vmm-core/base/list.h"
#include "vmm-core/base/macro.h"

#define LOOP_NEVER UINT64_MAX
/* An account that is nobody's. */
#define LOOP_NO_ACCOUNT UINT32_MAX
/* What a look at the pollers takes on a fake clock, which does not go on by itself. */
#define LOOP_FAKE_LOOK_NS UINT64_C(500)

struct loop;
struct loop_source;

/* A one-shot timer, embedded in its owner. Periodic timers set themselves again in 'fire'. */
struct loop_timer {
	struct loop *loop;
	void (*fire)(struct loop_timer *timer, uint64_t now_ns);
	uint64_t deadline_ns; /* LOOP_NEVER: not armed */
	unsigned index;       /* place in the loop's heap */
	unsigned account;     /* of loop_set_account() */
};

/* Somebody who has done all there was, embedded in its owner. */
struct loop_poller {
	struct loop *loop;
	/* Look, and do what there is. True: there was something. NULL: what comes here comes by an fd. */
	bool (*poll)(struct loop_poller *poller);
	/* Ask to be woken: nobody looks any more. False: something has come, and poll() is to be called. May be NULL. */
	bool (*park)(struct loop_poller *poller);
	uint64_t max_ns;  /* the longest that it may be polled before a sleep; 0: not at all */
	unsigned account; /* of loop_set_account() */
	struct list link;
};

int loop_new(struct loop **ret_loop);
int loop_new_fake(uint64_t now_ns, struct loop **ret_loop);
struct loop *loop_free(struct loop *loop);
DEFINE_CLEANUP(struct loop *, loop_free);

/* The lock is taken around each callback from the next turn on, and by those who call from elsewhere. Off at first: there is one
 * thread, and loop_lock() does nothing. It may be taken again by the thread that has it. */
void loop_set_locking(struct loop *loop, bool on);
void loop_lock(struct loop *loop);
void loop_unlock(struct loop *loop);

/* Whose the loop is: the thread's that made it, until it is given to another one, or one calls loop_run(). With the lock. */
void loop_give(struct loop *loop, pthread_t thread);
bool loop_is_mine(const struct loop *loop);

/* A counter (in shared memory, perhaps) that goes up once a turn; its owner takes it back with NULL before it
 * goes. Loop's thread. */
void loop_set_heartbeat(struct loop *loop, _Atomic uint64_t *counter);

/* Who costs how much: the time that each callback takes is added to ns[account] of its source or timer, which has the account
 * that was set when it was made: made outside of callbacks by loop_set_account() (0 at first; answers the one before), made within
 * one the callback's own. Two looks at the clock for each callback, one if another follows. It is time that passed, more than the
 * thread's CPU time where the host took the CPU away. NULL: not counted. 'ns' is the owner's as with loop_set_heartbeat(). Loop's
 * thread. */
void loop_set_ledger(struct loop *loop, _Atomic uint64_t *ns);
unsigned loop_set_account(struct loop *loop, unsigned account);

uint64_t loop_now_ns(const struct loop *loop);

/* Watch 'fd' (stays the caller's; must outlive the source) for 'events' (EPOLLIN, EPOLLOUT). A callback
 * may remove its own or any other source. Returns 0 or -errno. */
int loop_add_fd(struct loop *loop, int fd, uint32_t events,
	void (*callback)(void *opaque, uint32_t events), void *opaque,
	struct loop_source **ret_source);
int loop_source_set_events(struct loop_source *source, uint32_t events);
/* Takes NULL; answers NULL. */
struct loop_source *loop_source_remove(struct loop_source *source);

/* Prepare an embedded timer. It is not armed. */
void loop_timer_init(struct loop_timer *timer, struct loop *loop,
	void (*fire)(struct loop_timer *timer, uint64_t now_ns));
/* (Re)arm for an absolute time; LOOP_NEVER disarms. A time in the past fires at the next turn. Returns 0
 * or -ENOMEM when the heap cannot grow (first arming of many timers only). */
int loop_timer_set(struct loop_timer *timer, uint64_t deadline_ns);
void loop_timer_stop(struct loop_timer *timer);

/* Prepare an embedded poller; 'max_ns' is its limit. poll() and park() are called on the loop, with the lock. */
void loop_poller_init(struct loop_poller *poller, struct loop *loop, uint64_t max_ns,
	bool (*poll)(struct loop_poller *poller), bool (*park)(struct loop_poller *poller));
/* There is no more work for now. True: the loop looks, and calls park() before it sleeps. False: it does not (now): ask to
 * be woken yourself. May be called again while it rests. */
bool loop_rest(struct loop_poller *poller);
/* It is looked at no more, and not parked. Copes with one that does not rest, and with one that is all zeroes. */
void loop_poller_stop(struct loop_poller *poller);

/* Run until loop_exit(). Returns the code given there, or -errno. */
int loop_run(struct loop *loop);
/* One turn: wait at most 'timeout_ns' (LOOP_NEVER: until something happens), dispatch. For tests and
 * for code that must pump the loop before loop_run(). Returns the number of callbacks or -errno. */
int loop_run_once(struct loop *loop, uint64_t timeout_ns);
void loop_exit(struct loop *loop, int code);

/* Fake loops only: move the clock by 'delta_ns', firing timers on the way. */
void loop_fake_advance(struct loop *loop, uint64_t delta_ns);

/* The fds the loop itself holds (for the audit of a sandboxed process). */
int loop_epoll_fd(const struct loop *loop);
int loop_timer_fd(const struct loop *loop);
