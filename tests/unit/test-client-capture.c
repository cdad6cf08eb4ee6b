/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vmctl's side of captures: filters against frames in a socket, sessions with a worker that is played here, files as they are
 * written and (where it is installed) as tshark reads them. */
#include "client/capture.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "client/capture-filter.h"
#include "vmm-core/base/capture-record.h"
#include "vmm-core/base/cleanup.h"
#include "vmm-core/base/macro.h"

#define SNAPLEN 262144

static const struct pcapng_interface interface = {"vnet0", "web", "tcp or icmp", SNAPLEN};

/* Packets, as a worker makes them. */

struct packet {
	struct capture_record record;
	uint8_t frame[2000];
	size_t size; /* of the frame that is sent along */
};

/* Ethernet, IPv4 and 'protocol' from 10.0.0.1 to 10.0.0.2; TCP and UDP to 'port'. */
static struct packet make_packet(uint8_t protocol, uint16_t port, uint32_t len)
{
	static const uint8_t head[] = {2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0, 0x45, 0, 0, 0, 0,
		0, 0x40, 0, 64, 0, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, 0x30, 0x39};
	struct packet p = {.record = {.len = htobe32(len),
				   .direction = CAPTURE_OUT,
				   .time_ns = htobe64(NSEC_PER_SEC)},
		.size = MIN(len, 2000U)};

	memcpy(p.frame, head, sizeof(head));
	p.frame[16] = (uint8_t)((len - 14) >> 8);
	p.frame[17] = (uint8_t)(len - 14);
	p.frame[23] = protocol;
	p.frame[36] = (uint8_t)(port >> 8);
	p.frame[37] = (uint8_t)port;
	p.frame[46] = 0x50; /* TCP: 20 bytes of header */
	return p;
}

static void put_tag(struct packet *p, uint16_t vid)
{
	memmove(p->frame + 16, p->frame + 12, sizeof(p->frame) - 16);
	memcpy(p->frame + 12, (const uint8_t[]){0x81, 0, (uint8_t)(vid >> 8), (uint8_t)vid}, 4);
	p->size += 4;
	p->record.len = htobe32(be32toh(p->record.len) + 4);
}

static void send_packet_to(int fd, const struct packet *p)
{
	uint8_t bytes[sizeof(p->record) + sizeof(p->frame)];
	size_t size = sizeof(p->record) + p->size;

	memcpy(bytes, &p->record, sizeof(p->record));
	memcpy(bytes + sizeof(p->record), p->frame, p->size);
	assert_int_equal(write(fd, bytes, size), size);
}

static void make_pair(int pair[2])
{
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
}

/* Filters. */

static bool matches(const char *expression, const struct packet *p, size_t *ret_size)
{
	static struct capture_filter filter;
	char error[CAPTURE_FILTER_ERROR_MAX];
	uint8_t bytes[4096];
	int pair[2];
	ssize_t n;

	make_pair(pair);
	if (capture_filter_compile(expression, 60, &filter, error) < 0)
		fail_msg("%s: %s", expression, error);
	assert_int_equal(capture_filter_attach(pair[0], &filter), 0);
	send_packet_to(pair[1], p);
	n = recv(pair[0], bytes, sizeof(bytes), MSG_DONTWAIT);
	close(pair[0]);
	close(pair[1]);
	*ret_size = n > 0 ? (size_t)n : 0;
	return n > 0;
}

static void test_filters(void **state)
{
	static const struct {
		const char *expression;
		bool tcp, udp, tagged;
	} rows[] = {
		{"", true, true, true},
		{"tcp", true, false, false},
		{"udp port 53", false, true, false},
		{"tcp port 80 or udp", true, true, false},
		{"ether src 02:00:00:00:00:01", true, true, true},
		{"ether[6] == 2 and ether[11] == 1", true, true, true},
		{"not ip", false, false, true},
		{"vlan 10 and tcp port 80", false, false, true},
		{"vlan 11", false, false, false},
		{"dst host 10.0.0.2 and tcp[tcpflags] & tcp-syn = 0", true, false, false},
		{"len = 1514", true, false, false},
		{"greater 1000", true, false, true},
		{"less 100", false, true, false},
		{"ip[ip[0] & 0xf] = 0", true, true, false},
		{"ether[1513] = 0", true, false, true},
		{"ether[1518] = 0", false, false, false},
	};
	struct packet tcp = make_packet(6, 80, 1514), udp = make_packet(17, 53, 60), tagged = tcp;
	size_t size;

	(void)state;
	put_tag(&tagged, 10);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const bool got[] = {matches(rows[i].expression, &tcp, &size),
			matches(rows[i].expression, &udp, &size),
			matches(rows[i].expression, &tagged, &size)};

		if (got[0] != rows[i].tcp || got[1] != rows[i].udp || got[2] != rows[i].tagged)
			fail_msg("%s: tcp %d, udp %d, tagged %d", rows[i].expression, got[0],
				got[1], got[2]);
	}
	/* The kernel cuts what the worker sent. */
	assert_true(matches("tcp", &tcp, &size));
	assert_int_equal(size, CAPTURE_RECORD_SIZE + 60);
	/* The length is the frame's, not what came of it. */
	tcp.size = 100;
	assert_true(matches("len = 1514", &tcp, &size));
}

static void test_bad_filters(void **state)
{
	static const struct {
		const char *expression, *error;
	} rows[] = {
		{"tcp port", "syntax error"},
		{"frobnicate", "syntax error"},
		{"inbound", "write --direction"},
		{"outbound and tcp", "write --direction"},
	};
	static struct capture_filter filter;
	char error[CAPTURE_FILTER_ERROR_MAX], *big;
	size_t len = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		assert_int_equal(
			capture_filter_compile(rows[i].expression, 60, &filter, error), -EINVAL);
		assert_non_null(strstr(error, rows[i].error));
	}
	big = malloc(200000);
	for (unsigned i = 0; i < 6000; i++)
		len += (size_t)sprintf(big + len, "%sether[%u] = 1", i ? " or " : "", i % 1500);
	assert_int_equal(capture_filter_compile(big, 60, &filter, error), -EINVAL);
	free(big);
}

/* What came before the filter was there is gone. */
static void test_attach(void **state)
{
	static struct capture_filter filter;
	char error[CAPTURE_FILTER_ERROR_MAX];
	struct packet tcp = make_packet(6, 80, 100), udp = make_packet(17, 53, 60);
	uint8_t bytes[4096];
	int pair[2];

	(void)state;
	make_pair(pair);
	for (unsigned i = 0; i < 5; i++)
		send_packet_to(pair[1], i % 2 ? &tcp : &udp);
	assert_int_equal(capture_filter_compile("tcp", SNAPLEN, &filter, error), 0);
	assert_int_equal(capture_filter_attach(pair[0], &filter), 0);
	send_packet_to(pair[1], &udp);
	send_packet_to(pair[1], &tcp);
	assert_int_equal(recv(pair[0], bytes, sizeof(bytes), MSG_DONTWAIT), 132);
	assert_int_equal(recv(pair[0], bytes, sizeof(bytes), MSG_DONTWAIT), -1);
	close(pair[0]);
	close(pair[1]);
	assert_int_equal(capture_filter_attach(pair[0], &filter), -EBADF);
}

/* Sessions. */

static struct capture_session run_to(FILE *out, int fd, uint64_t count, uint64_t seconds)
{
	struct capture_session session = {.fd = fd, .out = out, .count = count, .seconds = seconds};

	assert_int_equal(capture_run(&session, &interface), 0);
	return session;
}

static void test_ends(void **state)
{
	struct packet p = make_packet(6, 80, 1514);
	struct capture_session session;
	int pair[2], out[2];
	FILE *file = fopen("/dev/null", "we");

	(void)state;
	make_pair(pair);
	for (unsigned i = 0; i < 5; i++)
		send_packet_to(pair[1], &p);
	session = run_to(file, pair[0], 3, 0);
	assert_int_equal(session.end, CAPTURE_END_COUNT);
	assert_int_equal(session.n_frames, 3);
	assert_int_equal(session.n_bytes, 3 * 1514);
	session = run_to(file, pair[0], 0, 1);
	assert_int_equal(session.end, CAPTURE_END_TIME);
	assert_int_equal(session.n_frames, 2);
	/* A signal that came before is one, and is used up. */
	assert_int_equal(pthread_sigmask(SIG_BLOCK, &(sigset_t){{1UL << (SIGTERM - 1)}}, NULL), 0);
	raise(SIGTERM);
	session = run_to(file, pair[0], 0, 0);
	assert_int_equal(session.end, CAPTURE_END_SIGNAL);
	assert_int_equal(
		pthread_sigmask(SIG_UNBLOCK, &(sigset_t){{1UL << (SIGTERM - 1)}}, NULL), 0);
	/* Nobody reads the file any more: seen at once, also when nothing comes. */
	assert_int_equal(pipe(out), 0);
	fclose(file);
	file = fdopen(out[1], "w");
	close(out[0]);
	session = run_to(file, pair[0], 0, 0);
	assert_int_equal(session.end, CAPTURE_END_OUTPUT);
	fclose(file);
	file = fopen("/dev/null", "we");
	send_packet_to(pair[1], &p);
	close(pair[1]);
	session = run_to(file, pair[0], 0, 0);
	assert_int_equal(session.end, CAPTURE_END_SOURCE);
	assert_int_equal(session.n_frames, 1);
	assert_string_equal(capture_end_to_string(session.end), "source");
	fclose(file);
	close(pair[0]);
}

/* A reader of a pipe has each frame before the next one comes. */
static void test_flush(void **state)
{
	struct packet p = make_packet(6, 80, 60);
	uint8_t bytes[4096];
	int pair[2], out[2];
	pid_t pid;

	(void)state;
	make_pair(pair);
	assert_int_equal(pipe(out), 0);
	pid = fork();
	if (pid == 0) {
		struct capture_session session = {.fd = pair[0], .out = fdopen(out[1], "w")};

		close(pair[1]);
		_exit(capture_run(&session, &interface) == 0 && session.end == CAPTURE_END_SOURCE
				? 0
				: 1);
	}
	close(pair[0]);
	close(out[1]);
	/* The head, then a frame each time. */
	assert_true(read(out[0], bytes, sizeof(bytes)) > 48);
	for (unsigned i = 0; i < 3; i++) {
		send_packet_to(pair[1], &p);
		assert_int_equal(read(out[0], bytes, sizeof(bytes)), 28 + 60 + 8 + 4 + 4);
	}
	close(pair[1]);
	assert_true(read(out[0], bytes, sizeof(bytes)) > 0);
	assert_int_equal(waitpid(pid, &(int){0}, 0), pid);
	close(out[0]);
}

/* A worker that was taken over: what it sends is cut, or not written. */
static void test_hostile_worker(void **state)
{
	struct packet p = make_packet(6, 80, 60);
	char path[] = "/tmp/vmctl-capture-XXXXXX";
	FILE *file = fdopen(mkstemp(path), "w");
	struct capture_session session;
	int pair[2];

	(void)state;
	make_pair(pair);
	assert_int_equal(write(pair[1], "short", 5), 5);
	p.size = 0;
	send_packet_to(pair[1], &p); /* a record alone */
	p.size = 1000;
	p.record.len = htobe32(10); /* longer than it says */
	p.record.direction = 0xff;
	p.record.n_lost = htobe64(7);
	send_packet_to(pair[1], &p);
	p.record.n_lost = htobe64(3); /* goes back */
	send_packet_to(pair[1], &p);
	close(pair[1]);
	session = run_to(file, pair[0], 0, 0);
	assert_int_equal(session.n_frames, 2);
	assert_int_equal(session.n_bytes, 20);
	assert_int_equal(session.n_lost, 7);
	/* Two frames of ten bytes. */
	assert_true(ftell(file) > 0 && ftell(file) < 1000);
	fclose(file);
	close(pair[0]);
	unlink(path);
}

/* Files. */

static uint32_t word(const uint8_t *p, size_t at)
{
	uint32_t value;

	memcpy(&value, p + at, sizeof(value));
	return value;
}

/* Frames of another host have its clock. */
static void test_epoch(void **state)
{
	const uint64_t epoch_ns = UINT64_C(1700000000) * NSEC_PER_SEC;
	const uint32_t wanted[] = {(uint32_t)((epoch_ns + NSEC_PER_SEC) >> 32),
		(uint32_t)(epoch_ns + NSEC_PER_SEC), 60, 60};
	struct capture_session session = {.epoch_ns = epoch_ns};
	struct packet p = make_packet(6, 80, 60);
	char *text = NULL;
	size_t size = 0;
	int pair[2];

	(void)state;
	make_pair(pair);
	send_packet_to(pair[1], &p);
	close(pair[1]);
	session.fd = pair[0];
	/* It has a descriptor, as a session polls one. */
	session.out = tmpfile();
	assert_int_equal(capture_run(&session, &interface), 0);
	text = calloc(1, 4096);
	rewind(session.out);
	size = fread(text, 1, 4096, session.out);
	assert_non_null(memmem(text, size, wanted, sizeof(wanted)));
	free(text);
	fclose(session.out);
	close(pair[0]);
}

/* Walk the blocks: lengths at both ends are the same, and the whole is covered. */
static unsigned count_blocks(const uint8_t *p, size_t size, uint32_t type)
{
	unsigned n = 0;

	for (size_t at = 0; at < size;) {
		uint32_t len = word(p, at + 4);

		assert_true(len >= 12 && len % 4 == 0 && len <= size - at);
		assert_int_equal(word(p, at + len - 4), len);
		n += word(p, at) == type;
		at += len;
	}
	return n;
}

static const struct {
	uint32_t len;
	uint8_t direction, flags, gso_type;
	uint64_t n_lost;
} frames[] = {
	{60, CAPTURE_OUT, 0, 0, 0},
	{61, CAPTURE_IN, 0, 0, 0},
	{62, 0, CAPTURE_PARTIAL_CSUM, 0, 5},
	{1999, CAPTURE_OUT, CAPTURE_PARTIAL_CSUM, 1, 5},
	{60000, CAPTURE_IN, CAPTURE_PARTIAL_CSUM, 1, 9},
};

static void write_file(FILE *file)
{
	int pair[2];

	make_pair(pair);
	for (size_t i = 0; i < ARRAY_SIZE(frames); i++) {
		struct packet p = make_packet(6, 80, frames[i].len);

		p.record.direction = frames[i].direction;
		p.record.flags = frames[i].flags;
		p.record.gso_type = frames[i].gso_type;
		p.record.gso_size = htobe16(1448);
		p.record.n_lost = htobe64(frames[i].n_lost);
		p.record.time_ns = htobe64((i + 1) * NSEC_PER_SEC + 123);
		send_packet_to(pair[1], &p);
	}
	(void)run_to(file, pair[0], ARRAY_SIZE(frames), 0);
	close(pair[0]);
	close(pair[1]);
}

static void test_file(void **state)
{
	char path[] = "/tmp/vmctl-capture-XXXXXX";
	FILE *file = fdopen(mkstemp(path), "w+");
	static uint8_t bytes[65536];
	size_t size;

	(void)state;
	write_file(file);
	rewind(file);
	size = fread(bytes, 1, sizeof(bytes), file);
	fclose(file);
	unlink(path);
	assert_int_equal(count_blocks(bytes, size, 0x0a0d0d0a), 1);
	assert_int_equal(count_blocks(bytes, size, 1), 1);
	assert_int_equal(count_blocks(bytes, size, 6), ARRAY_SIZE(frames));
	assert_int_equal(count_blocks(bytes, size, 5), 1);
	assert_non_null(memmem(bytes, size, "\0tcp or icmp", 12));
	assert_non_null(memmem(bytes, size, "segmented into 1448 bytes", 25));
}

static void test_tshark(void **state)
{
	char path[] = "/tmp/vmctl-capture-XXXXXX", command[512], line[512], want[64];
	FILE *file = fdopen(mkstemp(path), "w"), *tshark;

	(void)state;
	if (system("command -v tshark >/dev/null") != 0) {
		unlink(path);
		fclose(file);
		skip();
	}
	write_file(file);
	fclose(file);
	(void)snprintf(command, sizeof(command),
		"tshark -n -r %s -T fields -E separator=, -e frame.len -e frame.cap_len "
		"-e frame.packet_flags_direction -e frame.interface_name -e ip.dst 2>&1 | "
		"grep -v Running",
		path);
	tshark = popen(command, "re");
	for (size_t i = 0; i < ARRAY_SIZE(frames); i++) {
		static const char *const directions[] = {"", "0x00000001", "0x00000002"};

		assert_non_null(fgets(line, sizeof(line), tshark));
		(void)snprintf(want, sizeof(want), "%u,%u,%s,vnet0,10.0.0.2\n", frames[i].len,
			MIN(frames[i].len, 2000U), directions[frames[i].direction]);
		assert_string_equal(line, want);
	}
	assert_null(fgets(line, sizeof(line), tshark));
	assert_int_equal(pclose(tshark), 0);
	unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_filters),
		cmocka_unit_test(test_bad_filters),
		cmocka_unit_test(test_attach),
		cmocka_unit_test(test_ends),
		cmocka_unit_test(test_flush),
		cmocka_unit_test(test_hostile_worker),
		cmocka_unit_test(test_epoch),
		cmocka_unit_test(test_file),
		cmocka_unit_test(test_tshark),
	};

	(void)signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
