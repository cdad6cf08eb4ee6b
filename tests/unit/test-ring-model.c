/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Nobody sleeps for ever: ring.c itself, in every order in which two processors can do what it does to the shared words.
 *
 * The file is compiled in here with its atomic operations replaced. Each thread runs a script of calls, as link.c makes them.
 * A call is run up to its next operation on a shared word, which ends it (longjmp); what the operation gave is noted, and
 * the call is run again from the same start with the noted values, up to the operation behind: so an operation is a step, and
 * a state is plain bytes that can be kept, hashed and gone back to. Each thread has a store buffer as x86 has (TSO: Owens,
 * Sarkar, Sewell, "A better x86 memory model", 2009): its stores reach memory later, in order; it reads its own at once; a
 * fence and a bell (a system call that takes a lock) wait until the buffer is empty.
 *
 * The sender is hostile in one thing: it spoils each header as soon as the receiver has copied it.
 *
 * All states that can be reached are visited. Where nothing can happen any more, the sender must have sent all
 * and the receiver must have got all. What the test would not see is shown by taking each fence away, one after the other:
 * then it must find a sleeper that nobody wakes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "devices/net/ring.h"
#include "vmm-core/base/macro.h"

static uint64_t hook_load(const _Atomic uint64_t *word);
static void hook_store(_Atomic uint64_t *word, uint64_t value);
static void hook_fence(void);
static void hook_copy(void *to, const void *from, size_t n);

#undef atomic_load_explicit
#undef atomic_store_explicit
#undef atomic_thread_fence
#define atomic_load_explicit(word, order)         hook_load(word)
#define atomic_store_explicit(word, value, order) hook_store(word, value)
#define atomic_thread_fence(order)                hook_fence()
#define memcpy(to, from, n)                       hook_copy(to, from, n)
#include "devices/net/ring.c"
#undef memcpy

#define SIZE     RING_MIN_DATA
#define MAX_OPS  16 /* of one call */
#define MAX_BUF  8  /* stores on their way; x86 has more, a call makes fewer */
#define PLACES   5  /* records of each of the two lengths, before one */
#define N_PLACES (PLACES * PLACES)

/* The shared words. */
enum word { TAIL, SKIP, HEAD, WAKE, SPACE, N_WORDS };
enum who { SENDER, RECEIVER, N_THREADS };

/* The last operation of a call that has not been done yet. */
enum op_kind { OP_LOAD, OP_STORE, OP_FENCE };
struct op {
	enum op_kind kind;
	unsigned word; /* of both ends' */
	uint64_t value;
};

struct thread {
	struct ring ring; /* at the beginning of the call */
	uint64_t values[MAX_OPS];
	struct {
		uint64_t word, value;
	} buffer[MAX_BUF];
	uint32_t n_ops, n_buffer;   /* n_ops: of the call, done */
	uint32_t at;                /* the call of the script */
	uint32_t n_frames;          /* sent or got */
	uint32_t full;              /* sender: a frame waits for room */
	uint32_t n_tried, n_passed; /* … and so many smaller ones were tried, and sent, meanwhile */
	uint32_t pad;
};

struct state {
	struct thread threads[N_THREADS];
	uint64_t words[N_THREADS * N_WORDS];
	uint32_t bells[N_THREADS];
	/* Of the sender's data: what tells one record from another, wherever there can be one. */
	struct {
		uint32_t len, number;
	} records[N_PLACES];
};

/* What varies. */
struct setup {
	const char *name;
	unsigned n_frames;  /* of 'len' bytes */
	unsigned n_passing; /* of 'passing_len': sent while one of the others waits for room */
	uint32_t len, passing_len;
	bool lazy;           /* the receiver gives back after any frame, or at the end of a batch */
	bool polls;          /* it looks again any number of times before it parks */
	unsigned drop_fence; /* 1 + the call whose fence is not there; 0: all are */
};

enum call {
	CALL_PUT,
	CALL_PASS,
	CALL_PUBLISH,
	CALL_HAS_SPACE,
	CALL_GET,
	CALL_PARK,
	CALL_RELEASE,
	N_CALLS
};

static struct {
	const struct setup *setup;
	struct state now;
	/* The call that is being run. */
	enum who who;
	enum call call;
	unsigned n_done;
	struct op op;
	jmp_buf out;
	/* The shared memory, by its addresses only. */
	struct ring_words pages[N_THREADS];
	uint8_t *data;
	/* States that were seen, and those to go on from. */
	uint64_t *seen, n_seen, n_slots;
	struct state *stack;
	size_t n_stack, stack_size;
	const char *stuck;
} m;

/* Operations. */

static unsigned word_of(const _Atomic uint64_t *word)
{
	for (unsigned who = 0; who < N_THREADS; who++) {
		const struct ring_words *page = &m.pages[who];
		const _Atomic uint64_t *const words[N_WORDS] = {[TAIL] = &page->tail,
			[SKIP] = &page->skip,
			[HEAD] = &page->head,
			[WAKE] = &page->wake,
			[SPACE] = &page->space};

		for (unsigned i = 0; i < N_WORDS; i++)
			if (word == words[i])
				return who * N_WORDS + i;
	}
	abort();
}

/* The next operation of the call: either it was done, then the value it gave; or it ends this run. */
static uint64_t operation(enum op_kind kind, unsigned word, uint64_t value)
{
	const struct thread *t = &m.now.threads[m.who];

	if (m.n_done < t->n_ops)
		return t->values[m.n_done++];
	m.op = (struct op){kind, word, value};
	longjmp(m.out, 1);
}

static uint64_t hook_load(const _Atomic uint64_t *word)
{
	return operation(OP_LOAD, word_of(word), 0);
}

static void hook_store(_Atomic uint64_t *word, uint64_t value)
{
	unsigned w = word_of(word);

	assert_int_equal(w / N_WORDS, m.who); /* nobody writes another's page */
	(void)operation(OP_STORE, w, value);
}

static void hook_fence(void)
{
	if (m.setup->drop_fence != 1 + (unsigned)m.call)
		(void)operation(OP_FENCE, 0, 0);
}

/* A hostile sender writes another header as soon as this one was copied: only the copy may count. */
static void hook_copy(void *to, const void *from, size_t n)
{
	uintptr_t at = (uintptr_t)from - (uintptr_t)m.data;
	struct record *record;

	memcpy(to, from, n);
	if (at >= SIZE)
		return;
	/* What a state keeps of it. */
	record = (void *)(m.data + at);
	record->len = UINT32_MAX - 1;
	record->flow_hash = UINT32_MAX;
}

static int run_put(struct ring *r)
{
	struct ring_meta meta = {.flow_hash = m.now.threads[SENDER].n_frames};

	/* Without the bytes themselves. */
	return ring_put(r, &meta, NULL, 0, m.setup->len);
}

static int run_pass(struct ring *r)
{
	struct ring_meta meta = {.flow_hash = m.now.threads[SENDER].n_frames};

	return ring_put(r, &meta, NULL, 0, m.setup->passing_len);
}

static int run_publish(struct ring *r)
{
	return ring_publish(r);
}

static int run_has_space(struct ring *r)
{
	return ring_has_space(r);
}

static int run_get(struct ring *r)
{
	struct ring_frame f;
	int n = ring_get(r, &f);

	assert_true(n >= 0);
	if (n) {
		assert_true(f.len == m.setup->len || f.len == m.setup->passing_len);
		/* In order, none lost, none twice. */
		assert_int_equal(f.meta.flow_hash, m.now.threads[RECEIVER].n_frames);
		ring_done(r);
	}
	return n;
}

static int run_park(struct ring *r)
{
	return ring_park(r);
}

static int run_release(struct ring *r)
{
	return ring_release(r);
}

static int (*const calls[N_CALLS])(struct ring *) = {
	run_put, run_pass, run_publish, run_has_space, run_get, run_park, run_release};

/* Run a thread's call as far as it goes. True: it has ended, '*ret' and '*ret_ring' are its results; false: m.op is next. */
static bool run(enum who who, enum call call, int *ret, struct ring *ret_ring)
{
	/* Behind the longjmp() nothing of these is read. */
	static struct ring ring;

	m.who = who;
	m.call = call;
	m.n_done = 0;
	ring = m.now.threads[who].ring;
	if (setjmp(m.out))
		return false;
	*ret = calls[call](&ring);
	*ret_ring = ring;
	return true;
}

/* States. */

static uint64_t hash_of(const struct state *s)
{
	uint64_t h = UINT64_C(0x9e3779b97f4a7c15), word;

	for (size_t i = 0; i < sizeof(*s) / 8; i++) {
		memcpy(&word, (const uint8_t *)s + i * 8, 8);
		h = (h ^ word) * UINT64_C(0xff51afd7ed558ccd);
		h ^= h >> 32;
	}
	return h ? h : 1;
}

static void grow_seen(void)
{
	uint64_t *old = m.seen, n = m.n_slots;

	m.n_slots = n ? 2 * n : 1 << 16;
	m.seen = calloc(m.n_slots, sizeof(*m.seen));
	assert_non_null(m.seen);
	for (uint64_t i = 0; i < n; i++) {
		uint64_t at = old[i] & (m.n_slots - 1);

		while (old[i] && m.seen[at])
			at = (at + 1) & (m.n_slots - 1);
		if (old[i])
			m.seen[at] = old[i];
	}
	free(old);
}

/* By its hash: of a few million states, two have the same one with a chance of one in a million. */
static bool is_new(const struct state *s)
{
	uint64_t hash = hash_of(s), at;

	if (2 * m.n_seen >= m.n_slots)
		grow_seen();
	for (at = hash & (m.n_slots - 1); m.seen[at]; at = (at + 1) & (m.n_slots - 1))
		if (m.seen[at] == hash)
			return false;
	m.seen[at] = hash;
	m.n_seen++;
	return true;
}

/* Where a record can begin: behind some of each length. NULL: not in the ring. */
static struct record *record_at(unsigned place)
{
	uint64_t at = place % PLACES * step_of(m.setup->len) +
		place / PLACES * step_of(m.setup->passing_len);

	return at < SIZE ? (struct record *)(void *)(m.data + at) : NULL;
}

static void keep(void)
{
	for (unsigned i = 0; i < N_PLACES; i++) {
		const struct record *record = record_at(i);

		if (!record)
			continue;
		m.now.records[i].len = record->len;
		m.now.records[i].number = record->flow_hash;
	}
	if (!is_new(&m.now))
		return;
	if (m.n_stack == m.stack_size) {
		m.stack_size = m.stack_size ? 2 * m.stack_size : 1024;
		m.stack = reallocarray(m.stack, m.stack_size, sizeof(*m.stack));
		assert_non_null(m.stack);
	}
	m.stack[m.n_stack++] = m.now;
}

static void restore(const struct state *s)
{
	m.now = *s;
	for (unsigned i = 0; i < N_PLACES; i++) {
		struct record *record = record_at(i);

		if (!record)
			continue;
		record->len = s->records[i].len;
		record->flow_hash = s->records[i].number;
	}
}

/* Scripts: what link.c does. */

enum {
	SEND_PUT,
	SEND_PASS,
	SEND_PUBLISH,
	SEND_WAIT,
	SEND_HAS_SPACE,
	SEND_LAST,
	SEND_END,
	RECV_GET,
	RECV_RELEASE,
	RECV_PARK,
	RECV_REST,
	RECV_WAIT,
};

/* The call of this step; N_CALLS: none, it waits for its bell or has ended. */
static const enum call call_of[] = {[SEND_PUT] = CALL_PUT,
	[SEND_PASS] = CALL_PASS,
	[SEND_PUBLISH] = CALL_PUBLISH,
	[SEND_WAIT] = N_CALLS,
	[SEND_HAS_SPACE] = CALL_HAS_SPACE,
	[SEND_LAST] = CALL_PUBLISH,
	[SEND_END] = N_CALLS,
	[RECV_GET] = CALL_GET,
	[RECV_RELEASE] = CALL_RELEASE,
	[RECV_PARK] = CALL_PARK,
	[RECV_REST] = CALL_RELEASE,
	[RECV_WAIT] = N_CALLS};

static void go(enum who who, unsigned at)
{
	m.now.threads[who].at = at;
	keep();
}

/* This way or that: both are gone. */
static void go_either(enum who who, unsigned at, unsigned or_at)
{
	struct state here = m.now;

	go(who, at);
	m.now = here;
	go(who, or_at);
}

static void after_put(struct thread *t, int ret)
{
	if (ret == -EAGAIN) {
		t->full = 1; /* what there is is shown, and then it waits */
		go(SENDER, SEND_PUBLISH);
		return;
	}
	assert_int_equal(ret, 0);
	if (++t->n_frames == m.setup->n_frames + t->n_passed)
		go(SENDER, SEND_LAST);
	else
		go_either(SENDER, SEND_PUBLISH, SEND_PUT);
}

static void after_publish(struct thread *t, int ret)
{
	m.now.bells[RECEIVER] |= ret == 1;
	if (t->at == SEND_LAST)
		go(SENDER, SEND_END);
	else if (!t->full)
		go(SENDER, SEND_PUT);
	else if (t->n_tried == m.setup->n_passing)
		go(SENDER, SEND_WAIT);
	else
		go_either(SENDER, SEND_WAIT, SEND_PASS);
}

/* The thread's call gave 'ret': where it goes on. */
static void after(enum who who, int ret)
{
	struct thread *t = &m.now.threads[who];

	switch (t->at) {
	case SEND_PUT:
		after_put(t, ret);
		break;
	case SEND_PASS:
		t->n_tried++;
		t->n_frames += ret == 0;
		t->n_passed += ret == 0;
		go(who, SEND_PUBLISH);
		break;
	case SEND_PUBLISH:
	case SEND_LAST:
		after_publish(t, ret);
		break;
	case SEND_HAS_SPACE:
		t->full = ret != 1;
		go(who, ret == 1 ? SEND_PUT : SEND_WAIT);
		break;
	case RECV_GET:
		t->n_frames += ret == 1;
		if (ret == 1 && m.setup->lazy)
			go_either(who, RECV_GET, RECV_RELEASE);
		else if (ret == 0 && m.setup->polls)
			go_either(who, RECV_RELEASE, RECV_PARK);
		else
			go(who, ret == 1 ? RECV_RELEASE : RECV_PARK);
		break;
	case RECV_PARK:
		go(who, ret == 1 ? RECV_REST : RECV_GET);
		break;
	default:
		m.now.bells[SENDER] |= ret == 1;
		go(who, t->at == RECV_RELEASE ? RECV_GET : RECV_WAIT);
		break;
	}
}

/* Steps. Each answers whether it was possible. */

static uint64_t read_word(const struct thread *t, unsigned word)
{
	for (unsigned i = t->n_buffer; i > 0; i--)
		if (t->buffer[i - 1].word == word)
			return t->buffer[i - 1].value;
	return m.now.words[word];
}

static bool drain_one(enum who who)
{
	struct thread *t = &m.now.threads[who];

	if (!t->n_buffer)
		return false;
	m.now.words[t->buffer[0].word] = t->buffer[0].value;
	t->n_buffer--;
	memmove(t->buffer, t->buffer + 1, t->n_buffer * sizeof(t->buffer[0]));
	memset(&t->buffer[t->n_buffer], 0, sizeof(t->buffer[0]));
	keep();
	return true;
}

static bool do_op(struct thread *t)
{
	uint64_t value = 0;

	if (m.op.kind == OP_FENCE && t->n_buffer)
		return false;
	if (m.op.kind == OP_STORE) {
		if (t->n_buffer == MAX_BUF)
			return false;
		t->buffer[t->n_buffer].word = m.op.word;
		t->buffer[t->n_buffer++].value = m.op.value;
	} else if (m.op.kind == OP_LOAD) {
		value = read_word(t, m.op.word);
	}
	assert_true(t->n_ops < MAX_OPS);
	t->values[t->n_ops++] = value;
	return true;
}

/* Hear the bell. */
static bool wait_bell(enum who who)
{
	struct thread *t = &m.now.threads[who];

	if (t->at == SEND_END || t->n_buffer || !m.now.bells[who])
		return false;
	m.now.bells[who] = 0;
	if (who == RECEIVER) {
		/* ring_unpark() */
		t->buffer[0].word = RECEIVER * N_WORDS + WAKE;
		t->buffer[0].value = 0;
		t->n_buffer = 1;
	}
	go(who, who == SENDER ? SEND_HAS_SPACE : RECV_GET);
	return true;
}

static bool step(enum who who)
{
	struct thread *t = &m.now.threads[who];
	enum call call = call_of[t->at];
	struct ring ring;
	int ret;

	if (call == N_CALLS)
		return wait_bell(who);
	if (!run(who, call, &ret, &ring)) {
		if (!do_op(t))
			return false;
		keep();
		return true;
	}
	/* A bell is a system call. */
	if (ret == 1 && (call == CALL_PUBLISH || call == CALL_RELEASE) && t->n_buffer)
		return false;
	t->ring = ring;
	t->n_ops = 0;
	memset(t->values, 0, sizeof(t->values));
	after(who, ret);
	return true;
}

/* Nothing can happen any more: then all must be done. */
static void check_end(void)
{
	const struct thread *threads = m.now.threads;

	if (threads[SENDER].at != SEND_END)
		m.stuck = "the sender waits for room, for ever";
	else if (threads[RECEIVER].at != RECV_WAIT ||
		threads[RECEIVER].n_frames != threads[SENDER].n_frames)
		m.stuck = "the receiver sleeps on frames";
}

static void start(const struct setup *setup)
{
	memset(&m, 0, sizeof(m));
	m.setup = setup;
	m.data = calloc(1, SIZE);
	assert_non_null(m.data);
	for (unsigned who = 0; who < N_THREADS; who++)
		m.now.threads[who].ring = (struct ring){.own = &m.pages[who],
			.peer = &m.pages[!who],
			.out = m.data,
			.in = m.data,
			.size = SIZE};
	m.now.threads[SENDER].at = SEND_PUT;
	m.now.threads[RECEIVER].at = RECV_GET;
	keep();
}

static void explore(const struct setup *setup, uint64_t *ret_states, const char **ret_stuck)
{
	start(setup);
	while (m.n_stack && !m.stuck) {
		struct state here = m.stack[--m.n_stack];
		bool any = false;

		for (unsigned who = 0; who < N_THREADS; who++) {
			restore(&here);
			any |= step(who);
			restore(&here);
			any |= drain_one(who);
		}
		restore(&here);
		if (!any)
			check_end();
	}
	*ret_states = m.n_seen;
	*ret_stuck = m.stuck;
	free(m.seen);
	free(m.stack);
	free(m.data);
}

/* Three of the longest frames fit, or four of 65 000 bytes. */
static const struct setup setups[] = {
	{.name = "each frame is given back",
		.n_frames = 4,
		.len = RING_FRAME_MAX,
		.passing_len = 20000},
	{.name = "batches",
		.n_frames = 4,
		.len = RING_FRAME_MAX,
		.passing_len = 20000,
		.lazy = true},
	{.name = "a receiver that polls",
		.n_frames = 4,
		.len = RING_FRAME_MAX,
		.passing_len = 20000,
		.polls = true},
	{.name = "small frames pass one that waits",
		.n_frames = 5,
		.n_passing = 1,
		.len = 65000,
		.passing_len = 20000},
};

static void test_nobody_sleeps_for_ever(void **state)
{
	uint64_t sum = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(setups); i++) {
		const char *stuck;
		uint64_t n;

		explore(&setups[i], &n, &stuck);
		print_message("%s: all %llu states\n", setups[i].name, (unsigned long long)n);
		if (stuck)
			fail_msg("%s: %s", setups[i].name, stuck);
		sum += n;
	}
	assert_true(sum >= 1000000);
}

/* Each fence is needed, and its absence would be seen. */
static void test_every_fence_is_needed(void **state)
{
	static const struct {
		enum call call;
		const char *name;
	} fences[] = {{CALL_PUT, "ask_for_room()"}, {CALL_PUBLISH, "ring_publish()"},
		{CALL_PARK, "ring_park()"}, {CALL_RELEASE, "ring_release()"}};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(fences); i++) {
		struct setup setup = setups[0];
		const char *stuck;
		uint64_t n;

		setup.drop_fence = 1 + (unsigned)fences[i].call;
		explore(&setup, &n, &stuck);
		if (!stuck)
			fail_msg("without %s's fence nobody was stuck", fences[i].name);
		print_message("without %s's fence: %s\n", fences[i].name, stuck);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nobody_sleeps_for_ever),
		cmocka_unit_test(test_every_fence_is_needed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
