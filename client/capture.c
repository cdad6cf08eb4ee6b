/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A capture session: see capture.h. */
#include "client/capture.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "vmm-core/base/capture-record.h"
#include "vmm-core/base/cleanup.h"
#include "vmm-core/base/macro.h"

#define BATCH      256               /* packets between two looks at the rest */
#define PACKET_MAX (64 * 1024 + 256) /* a record and the longest frame */

struct state {
	struct capture_session *session;
	uint64_t deadline_ns; /* CLOCK_MONOTONIC; UINT64_MAX: none */
	uint64_t wall_ns;     /* what CLOCK_REALTIME is ahead of the records' clock */
	uint64_t last_ns;     /* of the last frame */
	uint8_t packet[PACKET_MAX];
};

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec t;

	(void)clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * NSEC_PER_SEC + (uint64_t)t.tv_nsec;
}

/* What a frame shows that has never been on a wire, or NULL. */
static const char *comment_of(const struct capture_record *record, char *buf, size_t size)
{
	if (record->gso_type) {
		(void)snprintf(buf, size,
			"one piece, to be segmented into %u bytes each; checksum not filled in",
			be16toh(record->gso_size));
		return buf;
	}
	return record->flags & CAPTURE_PARTIAL_CSUM ? "checksum not filled in" : NULL;
}

/* A packet of 'size' bytes; one that is none is not written. */
static int write_packet(struct state *s, size_t size)
{
	struct capture_session *session = s->session;
	struct capture_record record;
	struct pcapng_frame frame;
	char comment[128];
	uint64_t n_lost;

	if (size <= sizeof(record))
		return 0;
	memcpy(&record, s->packet, sizeof(record));
	n_lost = be64toh(record.n_lost);
	frame = (struct pcapng_frame){
		.time_ns = be64toh(record.time_ns) + s->wall_ns,
		.size = (uint32_t)(size - sizeof(record)),
		.len = be32toh(record.len),
		.bytes = s->packet + sizeof(record),
		.direction = record.direction & (CAPTURE_IN | CAPTURE_OUT),
		.n_lost = n_lost > session->n_lost ? n_lost - session->n_lost : 0,
		.comment = comment_of(&record, comment, sizeof(comment)),
	};
	/* A worker may say what it likes; a file whose frames are longer than they are is none. */
	frame.size = MIN(frame.size, frame.len);
	session->n_lost += frame.n_lost;
	session->n_frames++;
	session->n_bytes += frame.len;
	s->last_ns = frame.time_ns;
	return pcapng_frame(session->out, &frame);
}

/* What is there now. 1: go on; 0: session->end says why not. */
static int read_packets(struct state *s)
{
	struct capture_session *session = s->session;

	for (unsigned i = 0; i < BATCH; i++) {
		ssize_t n;
		int r;

		if (session->count && session->n_frames >= session->count) {
			session->end = CAPTURE_END_COUNT;
			return 0;
		}
		n = recv(session->fd, s->packet, sizeof(s->packet), MSG_DONTWAIT);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			break;
		if (n == 0 || (n < 0 && errno == ECONNRESET)) {
			session->end = CAPTURE_END_SOURCE;
			return 0;
		}
		if (n < 0)
			return -errno;
		r = write_packet(s, (size_t)n);
		if (r < 0)
			return r;
	}
	return fflush(session->out) < 0 ? -errno : 1;
}

static int timeout_ms(const struct state *s)
{
	uint64_t now_ns = clock_ns(CLOCK_MONOTONIC);

	if (s->deadline_ns == UINT64_MAX)
		return -1;
	if (now_ns >= s->deadline_ns)
		return 0;
	return (int)MIN(
		(s->deadline_ns - now_ns + NSEC_PER_MSEC - 1) / NSEC_PER_MSEC, (uint64_t)INT32_MAX);
}

/* 1: there may be packets; 0: session->end. */
static int wait_packets(struct state *s, int signal_fd)
{
	struct capture_session *session = s->session;
	/* The file: its reader's end, which comes unasked. */
	struct pollfd fds[3 + PUMP_FDS] = {
		{session->fd, POLLIN, 0}, {signal_fd, POLLIN, 0}, {fileno(session->out), 0, 0}};

	pump_run(session->pump, fds + 3);
	if (poll(fds, ARRAY_SIZE(fds), timeout_ms(s)) < 0)
		return errno == EINTR ? 1 : -errno;
	if (fds[1].revents)
		session->end = CAPTURE_END_SIGNAL;
	else if (fds[2].revents & POLLERR)
		session->end = CAPTURE_END_OUTPUT;
	else if (!timeout_ms(s))
		session->end = CAPTURE_END_TIME;
	else
		return 1;
	return 0;
}

static int run(struct state *s, const struct pcapng_interface *interface, int signal_fd)
{
	struct capture_session *session = s->session;
	int r = pcapng_begin(session->out, interface);

	/* The header at once: a reader waits for it. */
	if (r == 0 && fflush(session->out) < 0)
		r = -errno;
	if (r == 0)
		r = 1;
	while (r > 0) {
		r = read_packets(s);
		if (r > 0)
			r = wait_packets(s, signal_fd);
	}
	if (r == 0 && session->end != CAPTURE_END_OUTPUT)
		r = pcapng_end(session->out, s->last_ns, session->n_frames, session->n_lost);
	if (r == 0 && session->end != CAPTURE_END_OUTPUT && fflush(session->out) < 0)
		r = -errno;
	return r;
}

int capture_run(struct capture_session *session, const struct pcapng_interface *interface)
{
	static struct state s;
	_cleanup_(closep) int signal_fd = -EBADF;
	uint64_t now_ns = clock_ns(CLOCK_MONOTONIC);
	sigset_t set, old;
	int r;

	s = (struct state){.session = session, .deadline_ns = UINT64_MAX};
	s.last_ns = clock_ns(CLOCK_REALTIME);
	s.wall_ns = session->epoch_ns ?: s.last_ns - now_ns;
	if (session->seconds)
		s.deadline_ns = now_ns + session->seconds * NSEC_PER_SEC;
	session->n_frames = session->n_bytes = session->n_lost = 0;
	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGINT);
	(void)sigaddset(&set, SIGTERM);
	signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (signal_fd < 0)
		return -errno;
	(void)pthread_sigmask(SIG_BLOCK, &set, &old);
	r = run(&s, interface, signal_fd);
	if (session->end == CAPTURE_END_SIGNAL)
		(void)!read(
			signal_fd, &(struct signalfd_siginfo){0}, sizeof(struct signalfd_siginfo));
	(void)pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (r == -EPIPE) {
		session->end = CAPTURE_END_OUTPUT;
		return 0;
	}
	return r;
}

const char *capture_end_to_string(enum capture_end end)
{
	static const char *const words[CAPTURE_END_X_MAX] = {
		[CAPTURE_END_COUNT] = "count",
		[CAPTURE_END_TIME] = "time",
		[CAPTURE_END_SIGNAL] = "signal",
		[CAPTURE_END_OUTPUT] = "output",
		[CAPTURE_END_SOURCE] = "source",
		[CAPTURE_END_CANCELLED] = "cancelled",
	};

	return words[end];
}
