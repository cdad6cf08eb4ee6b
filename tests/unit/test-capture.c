/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Captures on a switch with fake ports, and of what has no port; real sockets, a clock that stands. */
#include "devices/net/capture.h"

#include <endian.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/unit/vswitch-fixture.h"

#define SNAPLEN 262144

struct world {
	struct fixture *f;
	struct loop *loop;
	struct captures captures;
	int reader;
	uint8_t packet[CAPTURE_RECORD_SIZE + FRAME_MAX + 4];
	size_t len; /* of the packet's frame */
	struct capture_record record;
};

static int setup_world(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	void *fixture;

	assert_non_null(w);
	assert_int_equal(setup(&fixture), 0);
	w->f = fixture;
	assert_int_equal(loop_new_fake(w->f->now, &w->loop), 0);
	captures_init(&w->captures, w->loop, w->f->sw);
	w->reader = -EBADF;
	*state = w;
	return 0;
}

static int teardown_world(void **state)
{
	struct world *w = *state;
	void *fixture = w->f;

	captures_done(&w->captures);
	assert_int_equal(w->captures.n, 0);
	(void)safe_close(w->reader);
	teardown(&fixture);
	loop_free(w->loop);
	free(w);
	return 0;
}

static int add_capture(struct world *w, const struct capture_spec *spec, int *ret_reader)
{
	int pair[2], r;

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	r = captures_add(&w->captures, spec, pair[0], -EBADF);
	*ret_reader = pair[1];
	return r;
}

static void start_capture(struct world *w, struct port *port, uint32_t direction, uint32_t snaplen)
{
	const struct capture_spec spec = {.port = port, .direction = direction, .snaplen = snaplen};

	(void)safe_close(w->reader);
	assert_int_equal(add_capture(w, &spec, &w->reader), 0);
}

/* The next packet; false: there is none. */
static bool next_packet(struct world *w)
{
	ssize_t n = recv(w->reader, w->packet, sizeof(w->packet), MSG_DONTWAIT | MSG_TRUNC);

	if (n < 0) {
		assert_int_equal(errno, EAGAIN);
		return false;
	}
	if (n == 0)
		return false;
	assert_true(n >= CAPTURE_RECORD_SIZE && n <= (ssize_t)sizeof(w->packet));
	memcpy(&w->record, w->packet, sizeof(w->record));
	w->len = (size_t)n - CAPTURE_RECORD_SIZE;
	return true;
}

static bool has_ended(const struct world *w)
{
	uint8_t byte;

	return recv(w->reader, &byte, 1, MSG_DONTWAIT | MSG_PEEK) == 0;
}

static void test_directions(void **state)
{
	struct world *w = *state;
	uint8_t mac[NET_MAC_LEN];

	start_capture(w, &w->f->p[1].port, CAPTURE_IN | CAPTURE_OUT, SNAPLEN);
	assert_int_equal(unicast(w->f, 1, 2), B(2) | 0);
	assert_true(next_packet(w));
	assert_int_equal(w->record.direction, CAPTURE_OUT);
	assert_int_equal(be32toh(w->record.len), 60);
	assert_int_equal(w->len, 60);
	assert_int_equal(be64toh(w->record.time_ns), loop_now_ns(w->loop));
	fake_mac(2, mac);
	assert_memory_equal(w->packet + CAPTURE_RECORD_SIZE, mac, NET_MAC_LEN);
	assert_int_equal(unicast(w->f, 3, 1), B(1));
	assert_true(next_packet(w));
	assert_int_equal(w->record.direction, CAPTURE_IN);
	/* Others' frames are not its own; refused ones were not sent. */
	assert_int_equal(unicast(w->f, 2, 3), B(3));
	assert_int_equal(send_tagged(w->f, 1, 1, -1), 0);
	assert_false(next_packet(w));
	start_capture(w, &w->f->p[1].port, CAPTURE_IN, SNAPLEN);
	assert_int_equal(unicast(w->f, 1, 2), B(2));
	assert_false(next_packet(w));
	assert_int_equal(broadcast(w->f, 3), B(1) | B(2) | B(UP));
	assert_true(next_packet(w));
	assert_false(next_packet(w));
}

static void test_switch(void **state)
{
	struct world *w = *state;

	start_capture(w, NULL, CAPTURE_IN | CAPTURE_OUT, SNAPLEN);
	assert_int_equal(broadcast(w->f, 3), B(1) | B(2) | B(UP));
	assert_true(next_packet(w));
	assert_int_equal(w->record.direction, 0);
	assert_false(next_packet(w));
}

/* The tag is in the bytes where the port sees one, and only there. */
static void test_tags(void **state)
{
	struct world *w = *state;

	w->f->config[1].vlan =
		(struct net_vlan){.mode = NET_VLAN_ACCESS, .n_tags = 1, .tags = {10}};
	set(w->f, 1);
	start_capture(w, &w->f->p[1].port, CAPTURE_IN | CAPTURE_OUT, SNAPLEN);
	assert_int_equal(send_tagged(w->f, 1, 2, -1), B(2));
	assert_true(next_packet(w));
	assert_int_equal(be32toh(w->record.len), 60);
	assert_memory_equal(w->packet + CAPTURE_RECORD_SIZE + 12, "\x88\xb5", 2);
	start_capture(w, &w->f->p[2].port, CAPTURE_IN, SNAPLEN);
	assert_int_equal(send_tagged(w->f, 1, 2, -1), B(2));
	assert_true(next_packet(w));
	assert_int_equal(be32toh(w->record.len), 64);
	assert_int_equal(w->len, 64);
	assert_memory_equal(w->packet + CAPTURE_RECORD_SIZE + 12, "\x81\x00\x00\x0a\x88\xb5", 6);
}

/* A frame of 64 KiB and its offloads; and as much of one as is wanted, also where it lies in pieces. */
static void test_sizes(void **state)
{
	static uint8_t bytes[FRAME_MAX];
	struct net_hdr hdr = {.flags = NET_HDR_F_NEEDS_CSUM,
		.gso_type = NET_HDR_GSO_TCPV4,
		.gso_size = 1448,
		.hdr_len = 54,
		.csum_start = 34,
		.csum_offset = 16};
	static const uint32_t snaplens[] = {1, 191, 192, 193, 292, 293, 65000, SNAPLEN};
	struct iovec iov[3] = {{bytes, 292}, {bytes + 292, 1}, {bytes + 293, FRAME_MAX - 293 - 4}};
	struct world *w = *state;
	uint32_t len = FRAME_MAX - 4;
	struct frame frame;

	fake_mac(2, bytes);
	fake_mac(1, bytes + 6);
	for (uint32_t i = 54; i < len; i++)
		bytes[i] = (uint8_t)(i * 7);
	memcpy(bytes + 12, "\x08\x00\x45\x00", 4);
	frame_put_be16(bytes + 16, len - 14);
	memcpy(bytes + 22, "\x40\x06\x00\x00\x0a\x00\x00\x01\x0a\x00\x00\x02", 12);
	bytes[46] = 0x50;
	w->f->p[2].only_count = true;
	for (size_t i = 0; i < ARRAY_SIZE(snaplens); i++) {
		uint32_t want = MIN(snaplens[i], len);

		start_capture(w, &w->f->p[1].port, CAPTURE_OUT, snaplens[i]);
		(void)loop_run_once(w->loop, 0); /* the one before has ended */
		assert_int_equal(frame_init(&frame, &hdr, iov, 3, len, FRAME_MAX, -1), 0);
		assert_int_equal(input(w->f, 1, &frame), 0);
		assert_true(next_packet(w));
		assert_int_equal(be32toh(w->record.len), len);
		assert_int_equal(w->len, want);
		assert_memory_equal(w->packet + CAPTURE_RECORD_SIZE, bytes, want);
		assert_int_equal(w->record.flags, CAPTURE_PARTIAL_CSUM);
		assert_int_equal(w->record.gso_type, NET_HDR_GSO_TCPV4);
		assert_int_equal(be16toh(w->record.gso_size), 1448);
	}
}

/* A reader that does not read delays nobody, and is told how much it missed. */
static void test_slow_reader(void **state)
{
	struct world *w = *state;
	unsigned n = 0, n_sent = 0;

	start_capture(w, &w->f->p[1].port, CAPTURE_OUT, SNAPLEN);
	for (; n_sent < 20000; n_sent++)
		assert_int_equal(unicast(w->f, 1, 2), B(2));
	while (next_packet(w)) {
		assert_int_equal(be64toh(w->record.n_lost), 0);
		n++;
	}
	assert_true(n > 10 && n < n_sent);
	assert_int_equal(unicast(w->f, 1, 2), B(2));
	assert_true(next_packet(w));
	assert_int_equal(be64toh(w->record.n_lost), n_sent - n);
}

/* The kernel drops what the reader's filter refuses, and sees the frame behind the record. */
static void test_filter(void **state)
{
	/* The last byte of the source address is 1: all of it; else nothing. */
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, CAPTURE_RECORD_SIZE + 11),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 1, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, CAPTURE_RECORD_SIZE + 20),
		BPF_STMT(BPF_RET | BPF_K, 0),
	};
	const struct sock_fprog program = {ARRAY_SIZE(code), code};
	struct world *w = *state;

	start_capture(w, NULL, CAPTURE_IN | CAPTURE_OUT, SNAPLEN);
	assert_int_equal(
		setsockopt(w->reader, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)), 0);
	for (unsigned i = 0; i < 5000; i++)
		assert_int_equal(unicast(w->f, 2, 3), B(3));
	assert_int_equal(unicast(w->f, 1, 3), B(3));
	assert_true(next_packet(w));
	assert_int_equal(w->len, 20);
	assert_int_equal(be32toh(w->record.len), 60);
	assert_int_equal(be64toh(w->record.n_lost), 0);
	assert_false(next_packet(w));
}

static void test_reader_goes(void **state)
{
	struct world *w = *state;

	/* Told by the loop, */
	start_capture(w, &w->f->p[1].port, CAPTURE_OUT, SNAPLEN);
	start_capture(w, &w->f->p[1].port, CAPTURE_OUT, SNAPLEN);
	assert_int_equal(w->captures.n, 2);
	assert_int_equal(loop_run_once(w->loop, 0), 1);
	assert_int_equal(w->captures.n, 1);
	/* or by the next frame: at the end of its batch. */
	w->reader = safe_close(w->reader);
	assert_int_equal(unicast(w->f, 1, 2), B(2));
	assert_int_equal(unicast(w->f, 1, 2), B(2));
	vswitch_flush(w->f->sw);
	assert_int_equal(w->captures.n, 0);
	assert_int_equal(loop_run_once(w->loop, 0), 0);
	assert_int_equal(unicast(w->f, 1, 2), B(2));
	/* A reader that listens no more is none either, though it holds its end open. */
	start_capture(w, &w->f->p[1].port, CAPTURE_OUT, SNAPLEN);
	assert_int_equal(shutdown(w->reader, SHUT_RD), 0);
	assert_int_equal(unicast(w->f, 1, 2), B(2));
	vswitch_flush(w->f->sw);
	assert_int_equal(w->captures.n, 0);
	/* What a reader says is not heard, and wakes nobody. */
	start_capture(w, &w->f->p[1].port, CAPTURE_OUT, SNAPLEN);
	assert_int_equal(write(w->reader, "hello", 5), 5);
	assert_int_equal(loop_run_once(w->loop, 0), 0);
	assert_int_equal(w->captures.n, 1);
}

static void test_owner_goes(void **state)
{
	struct world *w = *state;

	start_capture(w, &w->f->p[1].port, CAPTURE_OUT, SNAPLEN);
	assert_false(has_ended(w));
	captures_done(&w->captures);
	assert_true(has_ended(w));
	assert_int_equal(unicast(w->f, 1, 2), B(2));
}

static int make_page(size_t size, bool sealed)
{
	int fd = memfd_create("page", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	if (sealed)
		assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW), 0);
	return fd;
}

/* The daemon has a copy of the worker's end, and counts along. */
static void test_watched(void **state)
{
	struct world *w = *state;
	const struct capture_spec spec = {
		.port = &w->f->p[1].port, .direction = CAPTURE_OUT, .snaplen = 10};
	int pair[2], copy, fd = make_page(4096, true);
	const struct capture_counts *counts = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);

	assert_true(counts != MAP_FAILED);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	copy = dup(pair[0]);
	w->reader = pair[1];
	assert_int_equal(captures_add(&w->captures, &spec, pair[0], dup(fd)), 0);
	assert_int_equal(unicast(w->f, 1, 2), B(2));
	assert_int_equal(unicast(w->f, 1, 2), B(2));
	assert_int_equal(counts->frames, 2);
	assert_int_equal(counts->bytes, 120);
	assert_int_equal(counts->lost, 0);
	/* What it watches goes: the reader sees what there was, and the end, although there is the copy. */
	captures_done(&w->captures);
	assert_int_equal(counts->ended, CAPTURE_ENDED_SOURCE);
	assert_true(next_packet(w) && next_packet(w) && !next_packet(w));
	assert_true(has_ended(w));
	close(copy);
	/* The daemon ends one. */
	captures_init(&w->captures, w->loop, w->f->sw);
	(void)safe_close(w->reader);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	copy = dup(pair[0]);
	w->reader = pair[1];
	assert_int_equal(captures_add(&w->captures, &spec, pair[0], dup(fd)), 0);
	assert_int_equal(unicast(w->f, 1, 2), B(2));
	assert_int_equal(shutdown(copy, SHUT_RDWR), 0);
	assert_true(next_packet(w) && !next_packet(w));
	assert_true(has_ended(w));
	assert_int_equal(loop_run_once(w->loop, 0), 1);
	assert_int_equal(w->captures.n, 0);
	assert_int_equal(counts->frames, 3);
	assert_int_equal(counts->ended, CAPTURE_ENDED_READER);
	close(copy);
	/* A page that cannot be trusted. */
	assert_int_equal(
		captures_add(&w->captures, &spec, dup(w->reader), make_page(4096, false)), -EPERM);
	assert_int_equal(
		captures_add(&w->captures, &spec, dup(w->reader), make_page(8, true)), -EMSGSIZE);
	assert_int_equal(
		captures_add(&w->captures, &spec, dup(w->reader), dup(STDERR_FILENO)), -EPERM);
	close(fd);
	assert_int_equal(munmap((void *)(uintptr_t)counts, 4096), 0);
}

static void test_refusals(void **state)
{
	struct world *w = *state;
	struct capture_spec spec = {
		.port = &w->f->p[1].port, .direction = CAPTURE_IN, .snaplen = SNAPLEN};
	int readers[CAPTURES_MAX + 1], pipe_fds[2], last;

	assert_int_equal(pipe(pipe_fds), 0);
	assert_int_equal(captures_add(&w->captures, &spec, pipe_fds[1], -EBADF), -ENOTSOCK);
	assert_int_equal(fcntl(pipe_fds[1], F_GETFD), -1);
	close(pipe_fds[0]);
	assert_int_equal(captures_add(&w->captures, &spec, -EBADF, -EBADF), -EBADF);
	spec.snaplen = 0;
	assert_int_equal(add_capture(w, &spec, &readers[0]), -EINVAL);
	close(readers[0]);
	spec.snaplen = SNAPLEN;
	for (uint32_t direction = 0; direction < 8; direction += 4) {
		spec.direction = direction;
		assert_int_equal(add_capture(w, &spec, &readers[0]), -EINVAL);
		close(readers[0]);
	}
	spec.direction = CAPTURE_IN;
	for (unsigned i = 0; i < CAPTURES_MAX; i++)
		assert_int_equal(add_capture(w, &spec, &readers[i]), 0);
	assert_int_equal(add_capture(w, &spec, &last), -EBUSY);
	/* Its end was closed. */
	assert_int_equal(read(last, &(char){0}, 1), 0);
	close(last);
	for (unsigned i = 0; i < CAPTURES_MAX; i++)
		close(readers[i]);
	while (loop_run_once(w->loop, 0) > 0)
		;
	assert_int_equal(w->captures.n, 0);
	/* The switch may have no room for it. */
	for (unsigned i = 0; i < VSWITCH_MAX_MIRRORS; i++) {
		if (i % 4 == 0)
			add(w->f, 4 + i / 4, PORT_MIRROR);
		assert_int_equal(vswitch_mirror(w->f->sw, i % 4 ? &w->f->p[i % 4].port : NULL, 1,
					 &w->f->p[4 + i / 4].port),
			0);
	}
	assert_int_equal(add_capture(w, &spec, &last), -ENOSPC);
	close(last);
	assert_int_equal(w->captures.n, 0);
}

/* What has no port: by key and direction. */
static void test_without_switch(void **state)
{
	struct world *w = *state;
	struct captures captures;
	struct capture_spec spec = {.key = 3, .direction = CAPTURE_IN, .snaplen = SNAPLEN};
	const struct frame *frame = frame_of(w->f, everybody, 1, -1);
	int pair[2];

	captures_init(&captures, w->loop, NULL);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(captures_add(&captures, &spec, pair[0], -EBADF), 0);
	w->reader = pair[1];
	captures_show(&captures, 2, CAPTURE_IN, frame, -1);
	captures_show(&captures, 3, CAPTURE_OUT, frame, -1);
	assert_false(next_packet(w));
	captures_show(&captures, 3, CAPTURE_IN, frame, 7);
	assert_true(next_packet(w));
	assert_int_equal(w->record.direction, CAPTURE_IN);
	assert_memory_equal(w->packet + CAPTURE_RECORD_SIZE + 12, "\x81\x00\x00\x07", 4);
	w->reader = safe_close(w->reader);
	captures_show(&captures, 3, CAPTURE_IN, frame, -1);
	assert_int_equal(captures.n, 0);
	captures_done(&captures);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_directions, setup_world, teardown_world),
		cmocka_unit_test_setup_teardown(test_switch, setup_world, teardown_world),
		cmocka_unit_test_setup_teardown(test_tags, setup_world, teardown_world),
		cmocka_unit_test_setup_teardown(test_sizes, setup_world, teardown_world),
		cmocka_unit_test_setup_teardown(test_slow_reader, setup_world, teardown_world),
		cmocka_unit_test_setup_teardown(test_filter, setup_world, teardown_world),
		cmocka_unit_test_setup_teardown(test_reader_goes, setup_world, teardown_world),
		cmocka_unit_test_setup_teardown(test_owner_goes, setup_world, teardown_world),
		cmocka_unit_test_setup_teardown(test_watched, setup_world, teardown_world),
		cmocka_unit_test_setup_teardown(test_refusals, setup_world, teardown_world),
		cmocka_unit_test_setup_teardown(test_without_switch, setup_world, teardown_world),
	};

	(void)signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
