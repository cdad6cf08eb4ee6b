/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Fuzzer of a frame ring's consumer and producer: the input is a hostile peer, which writes its own words and data between
 * our steps, and the words that say how much it has read of ours.
 *
 * An operation is a byte, of which the low three bits say what and the rest (n) how much:
 *	0	write: offset of the data (16 bits, times 8), then n + 1 bytes
 *	1	tail += 64 * (16 bits)        2	head += 64 * (16 bits)
 *	3	a word as it is: n & 3 says which of tail, skip, head, wake; 8 bytes
 *	4	get and done, n + 1 times; release
 *	5	put n + 1 frames of 16 bits' length, publish
 *	6	park, unpark                  7	a record with a good header: length 16 bits, tail behind it
 */
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "devices/net/ring.h"
#include "tests/fuzz/fuzz-input.h"

#define SIZE RING_MIN_DATA

static int make_file(void)
{
	int fd = memfd_create("ring", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	expect(fd >= 0 && ftruncate(fd, RING_FILE_SIZE(SIZE)) == 0 &&
		fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) == 0);
	return fd;
}

/* What the consumer is given lies in the peer's data, whole. */
static void consume(struct ring *ring, unsigned n)
{
	static volatile uint8_t sum;

	while (n--) {
		struct ring_frame f;
		int r = ring_get(ring, &f);

		expect(r == 0 || r == 1 || ring->poisoned);
		if (r != 1)
			break;
		if (!(f.meta.flags & RING_META_MARK)) {
			expect(f.len >= RING_FRAME_MIN && f.len <= RING_FRAME_MAX);
			expect(f.data >= ring->in && f.data + f.len <= ring->in + SIZE);
			sum = (uint8_t)(sum + f.data[0] + f.data[f.len - 1]);
		}
		ring_done(ring);
	}
	(void)ring_release(ring);
}

static void produce(struct ring *ring, unsigned n, size_t len)
{
	static uint8_t bytes[RING_FRAME_MAX + 1];
	struct ring_meta meta = {0};
	struct iovec iov = {bytes, sizeof(bytes)};

	while (n-- && ring_put(ring, &meta, &iov, 1, len) == 0)
		;
	(void)ring_publish(ring);
	(void)ring_has_space(ring);
}

static void good_record(struct ring_words *peer, uint8_t *out, uint32_t len)
{
	uint64_t tail = atomic_load(&peer->tail), offset = tail & (SIZE - 1);
	uint64_t step = (32 + (uint64_t)len + 63) & ~UINT64_C(63);

	if (offset % 64 || offset + step > SIZE)
		return;
	memset(out + offset, 0, 32);
	memcpy(out + offset, &len, sizeof(len));
	atomic_store(&peer->tail, tail + step);
}

static void step(struct ring *ring, struct ring_words *peer, uint8_t *out, struct input *in)
{
	uint8_t op = (uint8_t)take(in, 1);
	unsigned n = op >> 3;
	size_t at;

	switch (op & 7) {
	case 0:
		at = take(in, 2) * 8 & (SIZE - 1);
		for (unsigned i = 0; i <= n && at + i < SIZE; i++)
			out[at + i] = (uint8_t)take(in, 1);
		break;
	case 1:
		atomic_store(&peer->tail, atomic_load(&peer->tail) + 64 * take(in, 2));
		break;
	case 2:
		atomic_store(&peer->head, atomic_load(&peer->head) + 64 * take(in, 2));
		break;
	case 3:
		atomic_store((n & 3) == 0      ? &peer->tail
				: (n & 3) == 1 ? &peer->skip
				: (n & 3) == 2 ? &peer->head
					       : &peer->wake,
			take(in, 8));
		break;
	case 4:
		consume(ring, n + 1);
		break;
	case 5:
		produce(ring, n + 1, take(in, 2));
		break;
	case 6:
		(void)ring_park(ring);
		ring_unpark(ring);
		(void)ring_seen(ring);
		break;
	default:
		good_record(peer, out, (uint32_t)take(in, 2));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, size};
	int own = make_file(), theirs = make_file();
	struct ring ring;
	uint8_t *file;

	file = mmap(NULL, RING_FILE_SIZE(SIZE), PROT_READ | PROT_WRITE, MAP_SHARED, theirs, 0);
	expect(file != MAP_FAILED && ring_open(&ring, own, theirs, SIZE) == 0);
	while (in.len)
		step(&ring, (struct ring_words *)(void *)file, file + RING_PAGE, &in);
	consume(&ring, 16);
	ring_close(&ring);
	(void)munmap(file, RING_FILE_SIZE(SIZE));
	(void)close(own);
	(void)close(theirs);
	return 0;
}
