/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The worker's event loop: epoll for fds, a binary heap and one timerfd for timers. See loop.h. */
#include "vmm-core/base/loop.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <time.h>

#include "vmm-core/base/poll-window.h"

#define MAX_EVENTS 32
/* So many waits after a poller came to rest are about it; then others keep the loop busy. */
#define POLL_TURNS 4

struct loop {
	int epoll_fd, timer_fd;
	bool locking;
	pthread_mutex_t lock;
	pthread_t thread; /* that runs it */
	struct loop_timer **heap;
	unsigned n_timers, heap_size;
	uint64_t armed_ns; /* what the timerfd is set to */
	struct list dead;  /* removed sources, freed when no event can name them any more */
	_Atomic uint64_t *heartbeat; /* may be NULL */
	_Atomic uint64_t *ledger;    /* may be NULL */
	unsigned account;            /* of what is made now */
	uint64_t charged_ns;         /* until then the time has an owner */
	struct list resting;         /* pollers that have not asked to be woken */
	struct poll_window window;
	uint64_t poll_max_ns; /* of those that came to rest lately; */
	unsigned poll_turns;  /* for so many turns from now */
	bool fake, exiting;
	uint64_t fake_now_ns;
	int exit_code;
};

struct loop_source {
	struct loop *loop;
	struct list link;
	int fd;
	unsigned account;
	bool removed;
	void (*callback)(void *opaque, uint32_t events);
	void *opaque;
};

/* Recursive: who has a device may be led by it to another one of the same loop. */
static void init_lock(struct loop *loop)
{
	pthread_mutexattr_t attr;

	(void)pthread_mutexattr_init(&attr);
	(void)pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_RECURSIVE);
	(void)pthread_mutex_init(&loop->lock, &attr);
	(void)pthread_mutexattr_destroy(&attr);
}

static int loop_new_internal(bool fake, uint64_t now_ns, struct loop **ret_loop)
{
	_cleanup_(loop_freep) struct loop *loop = calloc(1, sizeof(*loop));
	struct epoll_event ev = {.events = EPOLLIN, .data.ptr = NULL};

	if (!loop)
		return -ENOMEM;
	*loop = (struct loop){
		.epoll_fd = -EBADF,
		.timer_fd = -EBADF,
		.fake = fake,
		.fake_now_ns = now_ns,
		.armed_ns = LOOP_NEVER,
		.thread = pthread_self(),
	};
	init_lock(loop);
	list_init(&loop->dead);
	list_init(&loop->resting);
	loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (loop->epoll_fd < 0)
		return -errno;
	if (!fake) {
		loop->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
		if (loop->timer_fd < 0)
			return -errno;
		if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, loop->timer_fd, &ev) < 0)
			return -errno;
	}
	*ret_loop = TAKE_PTR(loop);
	return 0;
}

int loop_new(struct loop **ret_loop)
{
	return loop_new_internal(/* fake= */ false, 0, ret_loop);
}

int loop_new_fake(uint64_t now_ns, struct loop **ret_loop)
{
	return loop_new_internal(/* fake= */ true, now_ns, ret_loop);
}

static void free_dead(struct loop *loop)
{
	struct list *pos, *tmp;

	list_for_each_safe (pos, tmp, &loop->dead) {
		list_del(pos);
		free(list_entry(pos, struct loop_source, link));
	}
}

struct loop *loop_free(struct loop *loop)
{
	if (!loop)
		return NULL;
	free_dead(loop);
	(void)safe_close(loop->epoll_fd);
	(void)safe_close(loop->timer_fd);
	(void)pthread_mutex_destroy(&loop->lock);
	free(loop->heap);
	free(loop);
	return NULL;
}

void loop_set_locking(struct loop *loop, bool on)
{
	loop->locking = on;
}

void loop_lock(struct loop *loop)
{
	if (loop->locking)
		(void)pthread_mutex_lock(&loop->lock);
}

void loop_unlock(struct loop *loop)
{
	if (loop->locking)
		(void)pthread_mutex_unlock(&loop->lock);
}

void loop_give(struct loop *loop, pthread_t thread)
{
	loop->thread = thread;
}

bool loop_is_mine(const struct loop *loop)
{
	return pthread_equal(pthread_self(), loop->thread);
}

/* A callback may switch the locking on or off: what was locked is unlocked. */
static bool begin_callbacks(struct loop *loop)
{
	bool held = loop->locking;

	if (held)
		(void)pthread_mutex_lock(&loop->lock);
	return held;
}

static void end_callbacks(struct loop *loop, bool held)
{
	if (held)
		(void)pthread_mutex_unlock(&loop->lock);
}

void loop_set_heartbeat(struct loop *loop, _Atomic uint64_t *counter)
{
	loop->heartbeat = counter;
}

void loop_set_ledger(struct loop *loop, _Atomic uint64_t *ns)
{
	loop->ledger = ns;
	/* What is being called just now is counted from here on. */
	loop->charged_ns = loop_now_ns(loop);
}

unsigned loop_set_account(struct loop *loop, unsigned account)
{
	unsigned old = loop->account;

	loop->account = account;
	return old;
}

/* The callback of 'account' is done: what passed since the one before it is its own. */
static void charge(struct loop *loop, unsigned account)
{
	uint64_t now_ns;

	if (!loop->ledger)
		return;
	now_ns = loop_now_ns(loop);
	if (account != LOOP_NO_ACCOUNT)
		atomic_store_explicit(&loop->ledger[account],
			atomic_load_explicit(&loop->ledger[account], memory_order_relaxed) +
				now_ns - loop->charged_ns,
			memory_order_relaxed);
	loop->charged_ns = now_ns;
}

static void begin_charging(struct loop *loop)
{
	if (loop->ledger)
		loop->charged_ns = loop_now_ns(loop);
}

static void beat(struct loop *loop)
{
	/* One writer: a load and a store, no locked instruction. */
	if (loop->heartbeat)
		atomic_store_explicit(loop->heartbeat,
			atomic_load_explicit(loop->heartbeat, memory_order_relaxed) + 1,
			memory_order_relaxed);
}

int loop_epoll_fd(const struct loop *loop)
{
	return loop->epoll_fd;
}

int loop_timer_fd(const struct loop *loop)
{
	return loop->timer_fd;
}

uint64_t loop_now_ns(const struct loop *loop)
{
	struct timespec ts;

	if (loop->fake)
		return loop->fake_now_ns;
	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}

int loop_add_fd(struct loop *loop, int fd, uint32_t events,
	void (*callback)(void *opaque, uint32_t events), void *opaque,
	struct loop_source **ret_source)
{
	struct loop_source *source = calloc(1, sizeof(*source));
	struct epoll_event ev = {.events = events, .data.ptr = source};

	if (!source)
		return -ENOMEM;
	*source = (struct loop_source){
		.loop = loop,
		.fd = fd,
		.account = loop->account,
		.callback = callback,
		.opaque = opaque,
	};
	list_init(&source->link);
	if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &ev) < 0) {
		free(source);
		return -errno;
	}
	*ret_source = source;
	return 0;
}

int loop_source_set_events(struct loop_source *source, uint32_t events)
{
	struct epoll_event ev = {.events = events, .data.ptr = source};

	if (epoll_ctl(source->loop->epoll_fd, EPOLL_CTL_MOD, source->fd, &ev) < 0)
		return -errno;
	return 0;
}

struct loop_source *loop_source_remove(struct loop_source *source)
{
	if (!source)
		return NULL;
	(void)epoll_ctl(source->loop->epoll_fd, EPOLL_CTL_DEL, source->fd, NULL);
	source->removed = true;
	list_add_tail(&source->loop->dead, &source->link);
	return NULL;
}

/* The heap: heap[0] is due first; each timer knows its place. */

static bool heap_before(const struct loop *loop, unsigned a, unsigned b)
{
	return loop->heap[a]->deadline_ns < loop->heap[b]->deadline_ns;
}

static void heap_swap(struct loop *loop, unsigned a, unsigned b)
{
	struct loop_timer *t = loop->heap[a];

	loop->heap[a] = loop->heap[b];
	loop->heap[b] = t;
	loop->heap[a]->index = a;
	loop->heap[b]->index = b;
}

static void heap_fix(struct loop *loop, unsigned i)
{
	while (i && heap_before(loop, i, (i - 1) / 2)) {
		heap_swap(loop, i, (i - 1) / 2);
		i = (i - 1) / 2;
	}
	for (;;) {
		unsigned least = i, left = 2 * i + 1, right = 2 * i + 2;

		if (left < loop->n_timers && heap_before(loop, left, least))
			least = left;
		if (right < loop->n_timers && heap_before(loop, right, least))
			least = right;
		if (least == i)
			return;
		heap_swap(loop, i, least);
		i = least;
	}
}

static void heap_remove(struct loop *loop, struct loop_timer *timer)
{
	unsigned i = timer->index;

	loop->n_timers--;
	if (i != loop->n_timers) {
		loop->heap[i] = loop->heap[loop->n_timers];
		loop->heap[i]->index = i;
		heap_fix(loop, i);
	}
	timer->deadline_ns = LOOP_NEVER;
}

static void arm(struct loop *loop)
{
	uint64_t first_ns = loop->n_timers ? loop->heap[0]->deadline_ns : LOOP_NEVER;
	struct itimerspec its = {0};

	if (loop->fake || first_ns == loop->armed_ns)
		return;
	if (first_ns != LOOP_NEVER) {
		/* A value of zero would disarm: one nanosecond is as far in the past. */
		its.it_value.tv_sec = (time_t)(first_ns / NSEC_PER_SEC);
		its.it_value.tv_nsec = (long)(first_ns % NSEC_PER_SEC) + (first_ns == 0);
	}
	(void)timerfd_settime(loop->timer_fd, TFD_TIMER_ABSTIME, &its, NULL);
	loop->armed_ns = first_ns;
}

void loop_timer_init(struct loop_timer *timer, struct loop *loop,
	void (*fire)(struct loop_timer *timer, uint64_t now_ns))
{
	*timer = (struct loop_timer){
		.loop = loop, .fire = fire, .deadline_ns = LOOP_NEVER, .account = loop->account};
}

int loop_timer_set(struct loop_timer *timer, uint64_t deadline_ns)
{
	struct loop *loop = timer->loop;

	if (deadline_ns == LOOP_NEVER) {
		loop_timer_stop(timer);
		return 0;
	}
	if (timer->deadline_ns == LOOP_NEVER) {
		if (loop->n_timers == loop->heap_size) {
			unsigned size = MAX(loop->heap_size * 2, 16U);
			void *p = reallocarray(loop->heap, size, sizeof(*loop->heap));

			if (!p)
				return -ENOMEM;
			loop->heap = p;
			loop->heap_size = size;
		}
		timer->index = loop->n_timers;
		loop->heap[loop->n_timers++] = timer;
	}
	timer->deadline_ns = deadline_ns;
	heap_fix(loop, timer->index);
	arm(loop);
	return 0;
}

void loop_timer_stop(struct loop_timer *timer)
{
	if (!timer->loop || timer->deadline_ns == LOOP_NEVER)
		return;
	heap_remove(timer->loop, timer);
	arm(timer->loop);
}

/* Fire all timers due at 'now_ns'; the lock is held. A timer that sets itself to the past again waits
 * for the next turn, so that it cannot hold the thread. */
static int fire_due(struct loop *loop, uint64_t now_ns)
{
	unsigned budget = loop->n_timers;
	int n = 0;

	while (budget-- && loop->n_timers && loop->heap[0]->deadline_ns <= now_ns) {
		struct loop_timer *timer = loop->heap[0];

		unsigned account = timer->account;

		loop->account = account;
		heap_remove(loop, timer);
		timer->fire(timer, now_ns);
		charge(loop, account);
		n++;
	}
	loop->armed_ns = LOOP_NEVER;
	if (loop->n_timers)
		arm(loop);
	return n;
}

void loop_fake_advance(struct loop *loop, uint64_t delta_ns)
{
	uint64_t end_ns = loop->fake_now_ns + delta_ns;

	assert(loop->fake);
	while (loop->n_timers && loop->heap[0]->deadline_ns <= end_ns) {
		loop->fake_now_ns = MAX(loop->fake_now_ns, loop->heap[0]->deadline_ns);
		(void)fire_due(loop, loop->fake_now_ns);
	}
	loop->fake_now_ns = end_ns;
}

/* Pollers. */

void loop_poller_init(struct loop_poller *poller, struct loop *loop, uint64_t max_ns,
	bool (*poll)(struct loop_poller *poller), bool (*park)(struct loop_poller *poller))
{
	*poller = (struct loop_poller){.loop = loop,
		.poll = poll,
		.park = park,
		.max_ns = max_ns,
		.account = loop->account};
	list_init(&poller->link);
}

bool loop_rest(struct loop_poller *poller)
{
	struct loop *loop = poller->loop;

	if (!poller->max_ns)
		return false;
	loop->poll_turns = POLL_TURNS;
	loop->poll_max_ns = MAX(loop->poll_max_ns, poller->max_ns);
	if (!loop->window.ns)
		return false;
	if (list_empty(&poller->link))
		list_add_tail(&loop->resting, &poller->link);
	return true;
}

void loop_poller_stop(struct loop_poller *poller)
{
	if (poller->loop)
		list_del(&poller->link);
}

static struct loop_poller *take_first(struct list *pollers)
{
	struct loop_poller *p = list_entry(pollers->next, struct loop_poller, link);

	list_del(&p->link);
	return p;
}

/* Look at all that rest; any of them may stop, or come to rest, meanwhile. Answers how many had work. */
/* What a look in vain costs has no owner. */
static int look_at(struct loop *loop, struct loop_poller *p)
{
	unsigned account = p->account;

	loop->account = account;
	if (!p->poll || !p->poll(p))
		return 0;
	charge(loop, account);
	return 1;
}

static int look_at_all(struct loop *loop)
{
	struct list todo;
	int n = 0;

	list_init(&todo);
	list_splice(&todo, &loop->resting);
	while (!list_empty(&todo)) {
		struct loop_poller *p = take_first(&todo);

		list_add_tail(&loop->resting, &p->link);
		n += look_at(loop, p);
	}
	return n;
}

/* Before a sleep: nobody rests any more, but who found work just now. Answers how many did. */
static int park_all(struct loop *loop)
{
	struct list todo;
	int n = 0;

	list_init(&todo);
	list_splice(&todo, &loop->resting);
	while (!list_empty(&todo)) {
		struct loop_poller *p = take_first(&todo);

		if (p->park && !p->park(p))
			n += look_at(loop, p);
	}
	return n;
}

static int with_lock(struct loop *loop, int (*call)(struct loop *loop))
{
	bool held;
	int n;

	if (list_empty(&loop->resting))
		return 0;
	held = begin_callbacks(loop);
	begin_charging(loop);
	n = call(loop);
	loop->account = 0;
	end_callbacks(loop, held);
	return n;
}

/* Turns. */

static int wait_for(struct loop *loop, struct epoll_event events[MAX_EVENTS], uint64_t timeout_ns)
{
	int timeout_ms = timeout_ns == LOOP_NEVER
		? -1
		: (int)MIN(DIV_ROUND_UP(timeout_ns, NSEC_PER_MSEC), (uint64_t)INT32_MAX);
	int n = epoll_wait(loop->epoll_fd, events, MAX_EVENTS, timeout_ms);

	return n < 0 ? -errno : n;
}

/* A wait after somebody came to rest. */
struct look {
	uint64_t begin_ns, window_ns, max_ns;
	int n_fired; /* pollers that had work */
};

/* Look at pollers and fds until something comes, or the window is over. Answers the number of events or -errno. */
static int look_for(struct loop *loop, struct epoll_event events[MAX_EVENTS], struct look *look)
{
	uint64_t now_ns = look->begin_ns;
	int n;

	for (;;) {
		look->n_fired = with_lock(loop, look_at_all);
		n = wait_for(loop, events, 0);
		if (loop->fake)
			loop->fake_now_ns += LOOP_FAKE_LOOK_NS;
		if (look->n_fired || n)
			break;
		now_ns = loop_now_ns(loop);
		if (now_ns - look->begin_ns >= look->window_ns)
			return 0;
		__builtin_ia32_pause();
	}
	if (look->window_ns)
		poll_window_found(&loop->window, now_ns - look->begin_ns, look->max_ns);
	return n;
}

/* Look, and then sleep. */
static int poll_and_wait(struct loop *loop, struct epoll_event events[MAX_EVENTS],
	uint64_t timeout_ns, int *ret_fired)
{
	struct look look = {.begin_ns = loop_now_ns(loop), .max_ns = loop->poll_max_ns};
	int n = 0;

	if (loop->poll_turns) {
		look.window_ns = MIN(loop->window.ns, look.max_ns);
		if (!--loop->poll_turns)
			loop->poll_max_ns = 0;
	}
	if (look.window_ns || !timeout_ns)
		n = look_for(loop, events, &look);
	if (!n && !look.n_fired && timeout_ns) {
		/* They ask to be woken; then what has come meanwhile is seen by them, or wakes. */
		look.n_fired = with_lock(loop, park_all);
		n = wait_for(loop, events, look.n_fired ? 0 : timeout_ns);
		if (n > 0 && !look.n_fired)
			poll_window_slept(&loop->window, look.window_ns,
				loop_now_ns(loop) - look.begin_ns, look.max_ns);
	}
	*ret_fired = look.n_fired;
	return n;
}

static int dispatch(struct loop *loop, const struct epoll_event *events, int n)
{
	bool held = begin_callbacks(loop);
	int fired = 0;

	begin_charging(loop);
	for (int i = 0; i < n; i++) {
		struct loop_source *source = events[i].data.ptr;

		if (!source) {
			uint64_t ticks;

			(void)!read(loop->timer_fd, &ticks, sizeof(ticks));
			fired += fire_due(loop, loop_now_ns(loop));
		} else if (!source->removed) {
			loop->account = source->account;
			source->callback(source->opaque, events[i].events);
			charge(loop, source->account);
			fired++;
		}
	}
	loop->account = 0;
	free_dead(loop);
	end_callbacks(loop, held);
	return fired;
}

int loop_run_once(struct loop *loop, uint64_t timeout_ns)
{
	struct epoll_event events[MAX_EVENTS];
	int n, polled = 0;

	if (loop->poll_turns || !list_empty(&loop->resting))
		n = poll_and_wait(loop, events, timeout_ns, &polled);
	else
		n = wait_for(loop, events, timeout_ns);
	if (n < 0)
		return n == -EINTR ? polled : n;
	beat(loop);
	return polled + dispatch(loop, events, n);
}

int loop_run(struct loop *loop)
{
	loop_lock(loop);
	loop_give(loop, pthread_self());
	loop_unlock(loop);
	while (!loop->exiting) {
		int r = loop_run_once(loop, LOOP_NEVER);

		if (r < 0)
			return r;
	}
	return loop->exit_code;
}

void loop_exit(struct loop *loop, int code)
{
	loop->exiting = true;
	loop->exit_code = code;
}
