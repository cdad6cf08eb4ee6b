/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Drives a worker: see harness.h. */
#include "tests/guest/harness.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "vmm-core/base/cleanup.h"
#include "vmm-core/base/fdio.h"

/* For one that is traced, on a busy host that is emulated itself: it is there so that nobody waits for ever. */
#define START_MS 60000

static int failed(struct harness *h, int error, const char *format, ...) _printf_(3, 4);
static int failed(struct harness *h, int error, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(h->error, sizeof(h->error), format, ap);
	va_end(ap);
	return error;
}

static int64_t now_ms(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

void harness_init(struct harness *h, const char *worker, const char *kernel)
{
	*h = (struct harness){
		.worker = worker,
		.kernel = kernel,
		.control_fd = -EBADF,
		.listen_fd = -EBADF,
		.serial_fd = -EBADF,
		.ram = -EBADF,
		.plug = -EBADF,
		.config = {.magic = VM_CONFIG_MAGIC,
			.version = VM_CONFIG_VERSION,
			.name = "guest",
			.uuid = {1},
			.memory_kib = 65536,
			.current_memory_kib = 65536,
			.vcpus = 1,
			.vcpus_max = 1,
			.acpi = 1,
			.apic = 1,
			.has_kernel = 1,
			.n_serials = 1,
			.serials = {{.type = VM_CHARDEV_UNIX}},
			.panic_isa = 1,
			.debug_exit = 1},
	};
	for (unsigned i = 0; i < VM_MAX_DISKS; i++)
		h->disks[i] = -EBADF;
}

void harness_done(struct harness *h)
{
	if (h->pid > 0) {
		(void)kill(h->pid, SIGKILL);
		(void)waitpid(h->pid, NULL, 0);
	}
	h->pid = 0;
	h->control_fd = safe_close(h->control_fd);
	h->listen_fd = safe_close(h->listen_fd);
	h->serial_fd = safe_close(h->serial_fd);
	h->ram = safe_close(h->ram);
	h->plug = safe_close(h->plug);
	if (h->stats)
		(void)munmap(h->stats, sizeof(*h->stats));
	h->stats = NULL;
}

int harness_spawn(struct harness *h)
{
	_cleanup_(closep) int theirs = -EBADF;
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return failed(h, -errno, "socketpair: %m");
	h->control_fd = pair[0];
	theirs = pair[1];
	h->pid = fork();
	if (h->pid < 0)
		return failed(h, -errno, "fork: %m");
	if (h->pid == 0) {
		/* A test that dies leaves no worker behind. */
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		/* Out of the way of 3 and 4 first. */
		int ctl = fcntl(theirs, F_DUPFD, 10);
		int listen = h->listen_fd >= 0 ? fcntl(h->listen_fd, F_DUPFD, 10) : -1;

		(void)dup2(ctl, PROTO_CONTROL_FD);
		if (listen >= 0)
			(void)dup2(listen, PROTO_LISTEN_FD);
		else
			(void)close(PROTO_LISTEN_FD);
		(void)syscall(SYS_close_range, PROTO_LISTEN_FD + 1, ~0U, 0);
		(void)execl(h->worker, "vmmd-worker", (char *)NULL);
		_exit(127);
	}
	return 0;
}

static int ram_fd(uint64_t kib)
{
	int fd = memfd_create("ram", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0 || ftruncate(fd, (off_t)kib * 1024) < 0 ||
		fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) < 0)
		return -errno;
	return fd;
}

static int stats_fd(struct harness *h)
{
	int fd = memfd_create("stats", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	void *p;

	if (fd < 0 || ftruncate(fd, sizeof(struct vm_stats_page)) < 0 ||
		fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) < 0)
		return -errno;
	p = mmap(NULL, sizeof(struct vm_stats_page), PROT_READ, MAP_SHARED, fd, 0);
	h->stats = p == MAP_FAILED ? NULL : p;
	return fd;
}

struct start_fds {
	struct proto_start start;
	int fds[PROTO_MAX_FDS];
};

static void add_fd(struct start_fds *s, enum proto_fd_kind kind, unsigned index, int fd)
{
	s->start.fds[s->start.n_fds] = (struct proto_fd){.kind = kind, .index = (uint8_t)index};
	s->fds[s->start.n_fds++] = fd;
}

int harness_send(struct harness *h, enum proto_type type, const void *payload, size_t len,
	const int *fds, unsigned n_fds, uint32_t *ret_seq)
{
	struct {
		struct proto_header header;
		uint8_t payload[PROTO_MAX_PAYLOAD];
	} packet = {
		.header = {.version = PROTO_VERSION,
			.type = type,
			.seq = ++h->seq,
			.len = (uint32_t)len},
	};
	int r;

	if (len)
		memcpy(packet.payload, payload, len);
	r = send_packet(h->control_fd, &packet, sizeof(packet.header) + len, fds, n_fds);
	if (r < 0)
		return failed(h, r, "sending to the worker: %s", strerror(-r));
	*ret_seq = h->seq;
	return 0;
}

/* One message; takes note of states and notices. Returns 1 with a message, 0 at the end, or -errno. */
static int receive(struct harness *h, int timeout_ms, struct proto_header *ret_header,
	struct proto_reason *ret_reason)
{
	struct {
		struct proto_header header;
		uint8_t payload[PROTO_MAX_PAYLOAD];
	} packet;
	struct pollfd p = {.fd = h->control_fd, .events = POLLIN};
	unsigned n_fds;
	ssize_t n;

	if (poll(&p, 1, timeout_ms) == 0)
		return failed(h, -ETIMEDOUT, "no message in %d ms", timeout_ms);
	n = recv_packet(h->control_fd, &packet, sizeof(packet), NULL, 0, &n_fds);
	if (n == 0 || n == -ECONNRESET)
		return failed(h, -EPIPE, "the worker is gone");
	if (n < (ssize_t)sizeof(packet.header))
		return failed(h, n < 0 ? (int)n : -EBADMSG, "a short message");
	if (packet.header.type == PROTO_HELLO || packet.header.type == PROTO_STATE)
		memcpy(&h->state, packet.payload, sizeof(h->state));
	if (packet.header.type == PROTO_VCPUS)
		memcpy(&h->vcpus, packet.payload, sizeof(h->vcpus));
	if (packet.header.type == PROTO_CPUID)
		memcpy(&h->cpuid, packet.payload, sizeof(h->cpuid));
	if (packet.header.type == PROTO_MEMORIES)
		memcpy(&h->memories, packet.payload, sizeof(h->memories));
	if (packet.header.type == PROTO_NOTICE && h->n_notices < ARRAY_SIZE(h->notices))
		memcpy(&h->notices[h->n_notices++], packet.payload, sizeof(h->notices[0]));
	*ret_header = packet.header;
	memcpy(ret_reason, packet.payload, sizeof(*ret_reason));
	return 1;
}

int harness_wait_reply(struct harness *h, uint32_t seq, int timeout_ms)
{
	int64_t deadline = now_ms() + timeout_ms;

	for (;;) {
		struct proto_header header;
		struct proto_reason reason;
		int r = receive(h, (int)MAX(deadline - now_ms(), 0), &header, &reason);

		if (r < 0)
			return r;
		if (header.type != PROTO_REPLY || header.seq != seq)
			continue;
		if (header.error < 0)
			return failed(
				h, header.error, "%.*s", (int)sizeof(reason.text) - 1, reason.text);
		return 0;
	}
}

int harness_send_start(struct harness *h)
{
	struct start_fds s = {.start.flags = h->flags};
	int serial[2];
	uint32_t seq;
	int r;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, serial) < 0)
		return failed(h, -errno, "socketpair: %m");
	h->serial_fd = serial[0];
	add_fd(&s, PROTO_FD_CONFIG, 0, memfd_from_data("config", &h->config, sizeof(h->config)));
	add_fd(&s, PROTO_FD_KVM, 0, open("/dev/kvm", O_RDWR | O_CLOEXEC));
	h->ram = ram_fd(h->config.n_cells ? h->config.cells[0].memory_kib : h->config.memory_kib);
	add_fd(&s, PROTO_FD_RAM, 0, fcntl(h->ram, F_DUPFD_CLOEXEC, 3));
	for (unsigned i = 1; i < h->config.n_cells; i++)
		add_fd(&s, PROTO_FD_RAM, i, ram_fd(h->config.cells[i].memory_kib));
	if (h->config.max_memory_kib) {
		h->plug = ram_fd(vm_config_plug_room_kib(&h->config));
		add_fd(&s, PROTO_FD_PLUG, 0, fcntl(h->plug, F_DUPFD_CLOEXEC, 3));
	}
	add_fd(&s, PROTO_FD_STATS, 0, stats_fd(h));
	add_fd(&s, PROTO_FD_KERNEL, 0, open(h->kernel, O_RDONLY | O_CLOEXEC));
	if (h->initrd)
		add_fd(&s, PROTO_FD_INITRD, 0, open(h->initrd, O_RDONLY | O_CLOEXEC));
	add_fd(&s, PROTO_FD_SERIAL, 0, serial[1]);
	for (unsigned i = 0; i < h->config.n_disks; i++)
		add_fd(&s, PROTO_FD_DISK, i, fcntl(h->disks[i], F_DUPFD_CLOEXEC, 3));
	r = harness_send(h, PROTO_START, &s.start, sizeof(s.start), s.fds, s.start.n_fds, &seq);
	for (unsigned i = 0; i < s.start.n_fds; i++)
		(void)safe_close(s.fds[i]);
	if (r < 0)
		return r;
	return harness_wait_reply(h, seq, START_MS);
}

int harness_start(struct harness *h)
{
	int r = harness_spawn(h);

	return r < 0 ? r : harness_send_start(h);
}

int harness_request(struct harness *h, enum proto_type type, int timeout_ms)
{
	uint32_t seq;
	int r = harness_send(h, type, NULL, 0, NULL, 0, &seq);

	return r < 0 ? r : harness_wait_reply(h, seq, timeout_ms);
}

int harness_wait(struct harness *h, enum proto_vm_state state, int timeout_ms)
{
	int64_t deadline = now_ms() + timeout_ms;

	while (h->state.state != state) {
		struct proto_header header;
		struct proto_reason reason;
		int r = receive(h, (int)MAX(deadline - now_ms(), 0), &header, &reason);

		if (r < 0)
			return r;
	}
	return 0;
}

static unsigned count_notices(const struct harness *h, enum proto_notice_kind kind)
{
	unsigned n = 0;

	for (unsigned i = 0; i < h->n_notices; i++)
		n += h->notices[i].kind == kind;
	return n;
}

int harness_wait_notice(struct harness *h, enum proto_notice_kind kind, unsigned n, int timeout_ms)
{
	int64_t deadline = now_ms() + timeout_ms;

	while (count_notices(h, kind) < n) {
		struct proto_header header;
		struct proto_reason reason;
		int r = receive(h, (int)MAX(deadline - now_ms(), 0), &header, &reason);

		if (r < 0)
			return r;
	}
	return 0;
}

/* Until the number in 'h' is as it is to be. */
static int wait_for_bits(struct harness *h, const uint32_t *bits, uint32_t want, int timeout_ms)
{
	int64_t deadline = now_ms() + timeout_ms;

	while (*bits != want) {
		struct proto_header header;
		struct proto_reason reason;
		int r = receive(h, (int)MAX(deadline - now_ms(), 0), &header, &reason);

		if (r < 0)
			return r;
	}
	return 0;
}

int harness_wait_nics(struct harness *h, uint32_t nics, int timeout_ms)
{
	return wait_for_bits(h, &h->state.nics, nics, timeout_ms);
}

int harness_wait_vcpus(struct harness *h, uint32_t vcpus, int timeout_ms)
{
	return wait_for_bits(h, &h->vcpus.bits[0], vcpus, timeout_ms);
}

int harness_expect(struct harness *h, const char *needle, int timeout_ms, char **ret)
{
	int64_t deadline = now_ms() + timeout_ms;
	_cleanup_(freep) char *text = calloc(1, 1);
	size_t len = 0;

	while (text && !strstr(text, needle)) {
		struct pollfd p = {.fd = h->serial_fd, .events = POLLIN};
		ssize_t n = 0;
		char *bigger;

		if (poll(&p, 1, (int)MAX(deadline - now_ms(), 0)) > 0) {
			bigger = realloc(text, len + 4097);
			if (!bigger)
				return -ENOMEM;
			text = bigger;
			n = read(h->serial_fd, text + len, 4096);
		}
		if (n <= 0)
			return failed(h, -ETIMEDOUT, "'%s' did not come; the console: %.300s",
				needle, text);
		len += (size_t)n;
		text[len] = 0;
	}
	if (!text)
		return -ENOMEM;
	if (ret)
		*ret = TAKE_PTR(text);
	return 0;
}

int harness_reap(struct harness *h, int timeout_ms, int *ret_status)
{
	int64_t deadline = now_ms() + timeout_ms;
	int fd = (int)syscall(SYS_pidfd_open, h->pid, 0);
	struct pollfd p = {.fd = fd, .events = POLLIN};
	int ready;

	if (fd < 0)
		return -errno;
	ready = poll(&p, 1, (int)MAX(deadline - now_ms(), 0));
	(void)close(fd);
	if (ready <= 0)
		return failed(h, -ETIMEDOUT, "the worker does not end");
	if (waitpid(h->pid, ret_status, 0) < 0)
		return -errno;
	h->pid = 0;
	return 0;
}
