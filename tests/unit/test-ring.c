/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Frame rings: both ends in one process, over files made as the daemon makes them; hostile peers write their own file. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "devices/net/ring.h"
#include "vmm-core/base/macro.h"

#define SIZE  RING_MIN_DATA
#define BIG   (RING_FRAME_MAX + 1)
#define ALIGN 64

struct pair {
	int own[2], ro[2];
	struct ring a, b;
};

static int make_file(size_t size, int seals)
{
	int fd = memfd_create("ring", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, seals), 0);
	return fd;
}

static int read_only(int fd)
{
	char path[64];

	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	return fd;
}

static void make_files(struct pair *p)
{
	for (int i = 0; i < 2; i++) {
		p->own[i] = make_file(RING_FILE_SIZE(SIZE), F_SEAL_SHRINK | F_SEAL_GROW);
		p->ro[i] = read_only(p->own[i]);
	}
}

static int setup(void **state)
{
	struct pair *p = calloc(1, sizeof(*p));

	make_files(p);
	assert_int_equal(ring_open(&p->a, p->own[0], p->ro[1], SIZE), 0);
	assert_int_equal(ring_open(&p->b, p->own[1], p->ro[0], SIZE), 0);
	*state = p;
	return 0;
}

static int teardown(void **state)
{
	struct pair *p = *state;

	ring_close(&p->a);
	ring_close(&p->b);
	for (int i = 0; i < 2; i++) {
		close(p->own[i]);
		close(p->ro[i]);
	}
	free(p);
	return 0;
}

/* A frame of 'len' bytes that says its number everywhere. */
static int put(struct ring *r, uint32_t number, size_t len)
{
	static uint8_t bytes[BIG];
	struct ring_meta meta = {
		.flags = RING_META_TAGGED, .vlan_tci = (uint16_t)number, .flow_hash = number};
	struct iovec iov[2] = {{bytes, len / 3}, {bytes + len / 3, len - len / 3}};

	memset(bytes, (int)number, len);
	memcpy(meta.hdr, &number, sizeof(number));
	return ring_put(r, &meta, iov, 2, len);
}

static void get(struct ring *r, uint32_t number, size_t len)
{
	struct ring_frame f;

	assert_int_equal(ring_get(r, &f), 1);
	assert_int_equal(f.len, len);
	assert_int_equal(f.meta.flow_hash, number);
	assert_int_equal(f.meta.vlan_tci, (uint16_t)number);
	assert_int_equal(f.meta.flags, RING_META_TAGGED);
	assert_memory_equal(f.meta.hdr, &number, sizeof(number));
	for (size_t i = 0; i < len; i++)
		assert_int_equal(f.data[i], (uint8_t)number);
	ring_done(r);
}

static void test_there_and_back(void **state)
{
	struct pair *p = *state;
	struct ring_frame f;

	assert_int_equal(ring_get(&p->b, &f), 0);
	assert_int_equal(put(&p->a, 1, 60), 0);
	assert_int_equal(ring_get(&p->b, &f), 0); /* not shown yet */
	(void)ring_publish(&p->a);
	get(&p->b, 1, 60);
	assert_int_equal(ring_get(&p->b, &f), 0);
	assert_int_equal(put(&p->b, 2, 1514), 0);
	(void)ring_publish(&p->b);
	get(&p->a, 2, 1514);
}

static void test_limits_of_length(void **state)
{
	struct pair *p = *state;

	assert_int_equal(put(&p->a, 1, RING_FRAME_MIN - 1), -EMSGSIZE);
	assert_int_equal(put(&p->a, 1, RING_FRAME_MAX + 1), -EMSGSIZE);
	assert_int_equal(put(&p->a, 1, RING_FRAME_MIN), 0);
	assert_int_equal(put(&p->a, 2, RING_FRAME_MAX), 0);
	(void)ring_publish(&p->a);
	get(&p->b, 1, RING_FRAME_MIN);
	get(&p->b, 2, RING_FRAME_MAX);
}

/* Every length meets every place near the end of the data. */
static void test_wrap(void **state)
{
	struct pair *p = *state;
	uint32_t n = 0;

	for (size_t len = RING_FRAME_MIN; len < 9000; len += 173)
		for (unsigned i = 0; i < 40; i++, n++) {
			assert_int_equal(put(&p->a, n, len), 0);
			assert_int_equal(put(&p->a, n + 1000000, 20000 - len), 0);
			(void)ring_publish(&p->a);
			get(&p->b, n, len);
			get(&p->b, n + 1000000, 20000 - len);
			(void)ring_release(&p->b);
		}
}

static void test_full_and_room(void **state)
{
	struct pair *p = *state;
	struct ring_frame f;
	uint32_t n = 0, first = 0;

	while (put(&p->a, n, 4000) == 0)
		n++;
	assert_int_equal(put(&p->a, n, 4000), -EAGAIN);
	assert_true(n >= SIZE / (4000 + 96) - 1);
	/* Asked for room: told once, when half of it is free. */
	do {
		assert_false(ring_has_space(&p->a));
		get(&p->b, first++, 4000);
	} while (!ring_release(&p->b));
	assert_true(ring_has_space(&p->a));
	assert_true(first >= n / 2 && first <= n / 2 + 2);
	get(&p->b, first++, 4000);
	assert_false(ring_release(&p->b));
	assert_int_equal(put(&p->a, n++, 4000), 0);
	(void)ring_publish(&p->a);
	while (first < n)
		get(&p->b, first++, 4000);
	assert_int_equal(ring_get(&p->b, &f), 0);
	(void)ring_release(&p->b);
	assert_true(ring_has_space(&p->a));
}

static void test_rewind(void **state)
{
	struct pair *p = *state;
	uint64_t highest = 0;

	for (uint32_t i = 0; i < 20000; i++) {
		struct ring_frame f;

		assert_int_equal(put(&p->a, i, 1500), 0);
		(void)ring_publish(&p->a);
		assert_int_equal(ring_get(&p->b, &f), 1);
		highest = MAX(highest, (uint64_t)(f.data - p->b.in));
		get(&p->b, i, 1500);
		(void)ring_release(&p->b);
	}
	/* A quiet link uses the beginning of its memory only … */
	assert_true(highest < RING_REWIND_AFTER + 2000);
	/* … and a burst right after a rewind has the whole ring. */
	for (uint32_t i = 0; i < 12; i++)
		assert_int_equal(put(&p->a, i, 20000), 0);
	(void)ring_publish(&p->a);
	for (uint32_t i = 0; i < 12; i++)
		get(&p->b, i, 20000);
}

static void test_marks(void **state)
{
	struct pair *p = *state;
	struct ring_frame f;

	assert_int_equal(put(&p->a, 1, 100), 0);
	assert_int_equal(ring_put_mark(&p->a, UINT64_C(0x1122334455667788)), 0);
	assert_int_equal(put(&p->a, 2, 100), 0);
	(void)ring_publish(&p->a);
	get(&p->b, 1, 100);
	assert_int_equal(ring_get(&p->b, &f), 1);
	assert_int_equal(f.meta.flags, RING_META_MARK);
	assert_true(f.meta.cookie == UINT64_C(0x1122334455667788));
	ring_done(&p->b);
	get(&p->b, 2, 100);
}

static void test_kicks(void **state)
{
	struct pair *p = *state;

	/* Awake: no kick. */
	assert_int_equal(put(&p->a, 1, 100), 0);
	assert_false(ring_publish(&p->a));
	/* Something is there: no sleep. */
	assert_false(ring_park(&p->b));
	get(&p->b, 1, 100);
	assert_true(ring_park(&p->b));
	/* One kick a sleep. */
	assert_int_equal(put(&p->a, 2, 100), 0);
	assert_true(ring_publish(&p->a));
	assert_int_equal(put(&p->a, 3, 100), 0);
	assert_false(ring_publish(&p->a));
	ring_unpark(&p->b);
	get(&p->b, 2, 100);
	get(&p->b, 3, 100);
	assert_true(ring_park(&p->b));
	assert_int_equal(put(&p->a, 4, 100), 0);
	assert_true(ring_publish(&p->a));
}

static void test_snapshot(void **state)
{
	struct pair *p = *state;
	uint64_t seen;

	assert_int_equal(put(&p->a, 1, 100), 0);
	(void)ring_publish(&p->a);
	seen = ring_seen(&p->b);
	assert_int_equal(put(&p->a, 2, 100), 0);
	(void)ring_publish(&p->a);
	assert_true(ring_position(&p->b) < seen);
	get(&p->b, 1, 100);
	assert_true(ring_position(&p->b) >= seen);
	get(&p->b, 2, 100);
}

static void test_open_refuses(void **state)
{
	int good = make_file(RING_FILE_SIZE(SIZE), F_SEAL_SHRINK | F_SEAL_GROW);
	int unsealed = make_file(RING_FILE_SIZE(SIZE), F_SEAL_GROW);
	int small = make_file(RING_FILE_SIZE(SIZE) - 4096, F_SEAL_SHRINK | F_SEAL_GROW);
	int big = make_file(RING_FILE_SIZE(SIZE) + 4096, F_SEAL_SHRINK | F_SEAL_GROW);
	int growing = make_file(RING_FILE_SIZE(SIZE), F_SEAL_SHRINK), readable = read_only(good);
	FILE *tmp = tmpfile();
	int disk = fileno(tmp);
	struct ring r;

	assert_int_equal(ftruncate(disk, (off_t)RING_FILE_SIZE(SIZE)), 0);

	(void)state;
	assert_int_equal(ring_open(&r, good, good, SIZE - 64), -EINVAL);
	assert_int_equal(ring_open(&r, good, good, RING_MIN_DATA / 2), -EINVAL);
	assert_int_equal(ring_open(&r, good, good, RING_MAX_DATA * 2), -EINVAL);
	assert_int_equal(ring_open(&r, good, unsealed, SIZE), -EPERM);
	assert_int_equal(ring_open(&r, unsealed, good, SIZE), -EPERM);
	assert_int_equal(ring_open(&r, good, small, SIZE), -EPERM);
	assert_int_equal(ring_open(&r, good, big, SIZE), -EPERM);
	assert_int_equal(ring_open(&r, good, growing, SIZE), -EPERM);
	assert_int_equal(ring_open(&r, growing, good, SIZE), -EPERM);
	/* What cannot be sealed at all; and a file of our own that we may not write. */
	assert_true(ring_open(&r, good, disk, SIZE) < 0);
	assert_true(ring_open(&r, good, -1, SIZE) < 0);
	assert_true(ring_open(&r, readable, good, SIZE) < 0);
	/* None of them left a mapping or a seal: both are as before. */
	assert_int_equal(fcntl(good, F_GET_SEALS), F_SEAL_SHRINK | F_SEAL_GROW);
	assert_int_equal(ring_open(&r, good, readable, SIZE), 0);
	ring_close(&r);
	close(good);
	close(unsealed);
	close(growing);
	close(small);
	close(big);
	close(readable);
	(void)fclose(tmp);
}

/* Nobody can map the file for writing any more, whoever has which fd. */
static void test_owner_only(void **state)
{
	struct pair *p = *state;

	assert_ptr_equal(
		mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, p->own[0], 0), MAP_FAILED);
	assert_ptr_equal(
		mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, p->ro[0], 0), MAP_FAILED);
	assert_int_equal(write(p->own[0], "x", 1), -1);
	assert_int_equal(ftruncate(p->own[0], 0), -1);
}

/* What a hostile peer can write: a's own words and data, after one good frame of 100 bytes (a record of 192). */
struct corruption {
	const char *name;
	uint64_t tail; /* published */
	uint64_t at;   /* 'value' is written at this offset of the data, if 'size' */
	uint64_t value;
	unsigned size;
	int expected; /* of ring_get(); 1: harmless */
};

#define RECORD   192 /* of the good frame */
#define FLAGS_AT 4

static const struct corruption corruptions[] = {
	{"nothing", RECORD, 0, 0, 0, 1},
	{"tail goes back", RECORD - 64, 0, 0, 0, -EBADMSG},
	{"tail not aligned", RECORD + 1, 0, 0, 0, -EBADMSG},
	{"tail one ring ahead", SIZE + 64, 0, 0, 0, -EBADMSG},
	{"tail far ahead", UINT64_MAX & ~UINT64_C(63), 0, 0, 0, -EBADMSG},
	{"tail at the top", UINT64_C(1) << 63, 0, 0, 0, -EBADMSG},
	{"whole ring of it", SIZE, 0, 0, 0, 1},
	{"length 0", RECORD, 0, 0, 4, -EBADMSG},
	{"length 13", RECORD, 0, 13, 4, -EBADMSG},
	{"length 14", RECORD, 0, 14, 4, 1},
	{"length one too long", RECORD, 0, RECORD - 31, 4, -EBADMSG},
	{"length as long as can be", RECORD, 0, RECORD - 32, 4, 1},
	{"length over the limit", SIZE, 0, RING_FRAME_MAX + 1, 4, -EBADMSG},
	{"length huge", SIZE, 0, INT32_MAX, 4, -EBADMSG},
	{"length nearly wrap", SIZE, 0, UINT32_MAX - 1, 4, -EBADMSG},
	{"wrap at the start", SIZE, 0, UINT32_MAX, 4, -EBADMSG},
	{"unknown flag", RECORD, FLAGS_AT, 4, 2, -EBADMSG},
	{"all flags", RECORD, FLAGS_AT, 0xffff, 2, -EBADMSG},
	{"a mark with a length", RECORD, FLAGS_AT, RING_META_MARK, 2, -EBADMSG},
	{"a mark with a tag", RECORD, 0, (uint64_t)(RING_META_MARK | RING_META_TAGGED) << 32, 8,
		-EBADMSG},
	{"a mark", RECORD, 0, (uint64_t)RING_META_MARK << 32, 8, 1},
	{"any tag", RECORD, 6, 0xffff, 2, 1},
	{"any header", RECORD, 8, UINT64_MAX, 8, 1},
};

static void test_corruptions(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(corruptions); i++) {
		const struct corruption *c = &corruptions[i];
		struct ring_frame f;
		struct pair *p;
		void *s;

		(void)setup(&s);
		p = s;
		assert_int_equal(put(&p->a, 1, 100), 0);
		(void)ring_publish(&p->a);
		memcpy(p->a.out + c->at, &c->value, c->size);
		atomic_store(&p->a.own->tail, c->tail);
		if (ring_get(&p->b, &f) != c->expected)
			fail_msg("%s: not %d", c->name, c->expected);
		if (c->expected < 0) {
			/* Poisoned for good, this direction and the other; nobody else. */
			assert_int_equal(ring_get(&p->b, &f), 0);
			assert_int_equal(put(&p->b, 1, 100), -EPIPE);
			assert_true(ring_park(&p->b));
		}
		(void)teardown(&s);
	}
}

/* A wrap whose rest is not there, and wraps without end. */
static void test_bad_wraps(void **state)
{
	struct pair *p = *state;
	const uint32_t wrap = UINT32_MAX;
	struct ring_frame f;

	assert_int_equal(put(&p->a, 1, 100), 0);
	(void)ring_publish(&p->a);
	get(&p->b, 1, 100);
	memcpy(p->a.out + RECORD, &wrap, 4);
	memcpy(p->a.out, &wrap, 4);
	atomic_store(&p->a.own->tail, SIZE + 64);
	assert_int_equal(ring_get(&p->b, &f), -EBADMSG);
}

static void test_bad_skip_and_head(void **state)
{
	struct pair *p = *state;
	struct ring_frame f;

	/* A skip that leads past the tail. */
	assert_int_equal(put(&p->a, 1, 100), 0);
	(void)ring_publish(&p->a);
	get(&p->b, 1, 100);
	atomic_store(&p->a.own->skip, RECORD);
	atomic_store(&p->a.own->tail, 2 * RECORD);
	assert_int_equal(ring_get(&p->b, &f), -EBADMSG);
	/* A head before its time frees nothing, and one that goes back takes nothing. */
	for (uint32_t i = 0; put(&p->a, i, 4000) == 0; i++)
		;
	atomic_store(&p->b.own->head, UINT64_C(1) << 40);
	assert_int_equal(put(&p->a, 1, 4000), -EAGAIN);
	atomic_store(&p->b.own->head, UINT64_MAX - 63);
	assert_int_equal(put(&p->a, 1, 4000), -EAGAIN);
}

/* What was read and not given back must not be written over. */
static void test_tail_against_released(void **state)
{
	const uint32_t len = 100;
	struct pair *p = *state;
	struct ring_frame f;

	for (uint32_t i = 0; i < 3; i++)
		assert_int_equal(put(&p->a, i, 100), 0);
	(void)ring_publish(&p->a);
	get(&p->b, 0, 100);
	get(&p->b, 1, 100);
	(void)ring_release(&p->b);
	get(&p->b, 2, 100);
	/* Two records were given back, three were read; the fourth is well made. */
	memcpy(p->a.out + 3 * (size_t)RECORD, &len, sizeof(len));
	atomic_store(&p->a.own->tail, SIZE + 2 * RECORD);
	assert_int_equal(ring_seen(&p->b), SIZE + 2 * RECORD);
	assert_int_equal(ring_get(&p->b, &f), 1);
	atomic_store(&p->a.own->tail, SIZE + 2 * RECORD + 64);
	(void)ring_seen(&p->b);
	assert_int_equal(ring_get(&p->b, &f), -EBADMSG);
}

/* A rewind of a ring that was not given back is none. */
static void test_skip_too_early(void **state)
{
	struct pair *p = *state;
	struct ring_frame f;

	assert_int_equal(put(&p->a, 1, 100), 0);
	(void)ring_publish(&p->a);
	get(&p->b, 1, 100);
	atomic_store(&p->a.own->skip, RECORD);
	atomic_store(&p->a.own->tail, SIZE);
	assert_int_equal(ring_seen(&p->b), SIZE);
	assert_int_equal(ring_position(&p->b), RECORD);
	assert_int_equal(ring_get(&p->b, &f), -EBADMSG); /* nothing was written there */
}

/* The header that counts is the copy. */
static void test_header_is_copied(void **state)
{
	struct pair *p = *state;
	struct ring_frame f;

	assert_int_equal(put(&p->a, 1, 100), 0);
	(void)ring_publish(&p->a);
	assert_int_equal(ring_get(&p->b, &f), 1);
	memset(p->a.out, 0xff, 32);
	assert_int_equal(f.len, 100);
	ring_done(&p->b);
	assert_int_equal(ring_get(&p->b, &f), 0);
}

/* Two processes, sleeping on bells whenever they can: all frames come, in order, every byte of them unharmed, and nobody
 * sleeps for ever. */

#define EXCHANGED 300000 /* VMMD_TEST_FRAMES says otherwise: ten million take a minute */

static uint32_t n_exchanged(void)
{
	const char *n = getenv("VMMD_TEST_FRAMES");

	return n ? (uint32_t)strtoul(n, NULL, 10) : EXCHANGED;
}

/* FNV-1a by words of 8 bytes; a frame's last ones are taken once more. */
static uint64_t hash_bytes(uint64_t hash, const uint8_t *bytes, size_t len)
{
	uint64_t word;

	for (size_t i = 0; i + 8 <= len; i += 8) {
		memcpy(&word, bytes + i, 8);
		hash = (hash ^ word) * UINT64_C(0x100000001b3);
	}
	memcpy(&word, bytes + len - 8, 8);
	return (hash ^ word) * UINT64_C(0x100000001b3);
}

/* Another part of a pool of noise for each frame. */
static uint8_t noise[2 * BIG];

static const uint8_t *bytes_of(uint32_t number)
{
	return noise + number % BIG;
}

static uint32_t next(uint32_t *seed)
{
	*seed = *seed * 1664525 + 1013904223;
	return *seed >> 8;
}

static size_t length_of(uint32_t *seed)
{
	uint32_t r = next(seed);

	return r % 64 == 0 ? 20000 + r % 45000 : 14 + r % 1500;
}

static void wait_bell(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	uint64_t n;

	if (poll(&p, 1, 20000) != 1)
		_exit(3);
	(void)!read(fd, &n, sizeof(n));
}

static void kick(int fd)
{
	uint64_t one = 1;

	(void)!write(fd, &one, sizeof(one));
}

static _Noreturn void producer(struct pair *p, const int bells[2])
{
	uint32_t seed = 1, pause = 2, n = n_exchanged();
	struct ring r;

	if (ring_open(&r, p->own[0], p->ro[1], SIZE) < 0)
		_exit(1);
	for (uint32_t i = 0; i < n;) {
		size_t len = length_of(&seed);
		struct ring_meta meta = {.flow_hash = i};
		struct iovec iov = {(void *)(uintptr_t)bytes_of(i), len};
		int e;

		while ((e = ring_put(&r, &meta, &iov, 1, len)) == -EAGAIN) {
			if (ring_publish(&r))
				kick(bells[1]);
			wait_bell(bells[0]);
		}
		if (e < 0)
			_exit(2);
		i++;
		if (next(&pause) % 8 == 0 && ring_publish(&r))
			kick(bells[1]);
	}
	if (ring_publish(&r))
		kick(bells[1]);
	_exit(0);
}

static void test_two_processes(void **state)
{
	int bells[2] = {eventfd(0, EFD_NONBLOCK), eventfd(0, EFD_NONBLOCK)}, status;
	uint64_t sent = 0, got = 0;
	uint32_t seed = 1, n = n_exchanged();
	struct pair p;
	struct ring r;
	pid_t pid;

	(void)state;
	for (size_t i = 0; i < sizeof(noise); i++)
		noise[i] = (uint8_t)next(&seed);
	seed = 1;
	make_files(&p);
	pid = fork();
	if (pid == 0)
		producer(&p, bells);
	assert_int_equal(ring_open(&r, p.own[1], p.ro[0], SIZE), 0);
	for (uint32_t i = 0; i < n;) {
		struct ring_frame f;
		size_t len;

		if (ring_get(&r, &f) == 0) {
			if (ring_release(&r))
				kick(bells[0]);
			if (ring_park(&r)) {
				wait_bell(bells[1]);
				ring_unpark(&r);
			}
			continue;
		}
		len = length_of(&seed);
		assert_int_equal(f.len, len);
		assert_int_equal(f.meta.flow_hash, i);
		sent = hash_bytes(sent, bytes_of(i), len);
		got = hash_bytes(got, f.data, len);
		ring_done(&r);
		if (++i % 16 == 0 && ring_release(&r))
			kick(bells[0]);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_true(got == sent);
	ring_close(&r);
	for (int i = 0; i < 2; i++) {
		close(bells[i]);
		close(p.own[i]);
		close(p.ro[i]);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_there_and_back),
		TEST(test_limits_of_length),
		TEST(test_wrap),
		TEST(test_full_and_room),
		TEST(test_rewind),
		TEST(test_marks),
		TEST(test_kicks),
		TEST(test_snapshot),
		cmocka_unit_test(test_open_refuses),
		TEST(test_owner_only),
		cmocka_unit_test(test_corruptions),
		TEST(test_bad_wraps),
		TEST(test_bad_skip_and_head),
		TEST(test_tail_against_released),
		TEST(test_skip_too_early),
		TEST(test_header_is_copied),
		cmocka_unit_test(test_two_processes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
