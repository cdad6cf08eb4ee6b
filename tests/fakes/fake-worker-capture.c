/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A fake worker's captures: the reader is sent the request itself, 7 frames are counted, and that is the end.
 *
 *	fake=no-capture		takes none
 *	fake=keep-capture, net-keep in a network's name	it goes on until a vNIC goes
 *	net-capture		gives 300 frames of 8000 bytes, and ends
 */
#include "tests/fakes/fake-worker.h"

#include <endian.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

/* By a process of its own, as fast as the reader takes them. */
static void capture_many(int fd)
{
	struct {
		struct capture_record record;
		uint8_t frame[8000];
	} packet = {.record = {.len = htobe32(sizeof(packet.frame))}};
	struct pollfd p = {.fd = fd, .events = POLLOUT};

	if (fork() != 0)
		return;
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (unsigned i = 0; i < 300; i++) {
		packet.frame[0] = (uint8_t)(i % 3);
		packet.record.time_ns = htobe64(fake_now_ns());
		while (send(fd, &packet, sizeof(packet), MSG_NOSIGNAL) < 0)
			if (errno != EAGAIN || poll(&p, 1, 10000) <= 0)
				_exit(1);
	}
	(void)shutdown(fd, SHUT_RDWR);
	_exit(0);
}

/* The reader is told what was asked, and 7 frames are counted; that is the end, or all goes on until a vNIC goes. */
static void capture(struct fake *f, const struct fake_request *p)
{
	struct capture_counts *counts;

	if (p->n_fds != PROTO_CAPTURE_FDS)
		return;
	if (strstr(f->net.name, "net-capture")) {
		capture_many(p->fds[0]);
		return;
	}
	counts = mmap(NULL, sizeof(*counts), PROT_READ | PROT_WRITE, MAP_SHARED, p->fds[1], 0);
	if (counts == MAP_FAILED)
		return;
	(void)!write(p->fds[0], p->payload, sizeof(struct proto_capture));
	counts->frames = 7;
	counts->bytes = 700;
	counts->lost = 1;
	if (strstr(f->net.name, "net-keep") || fake_told(f, "keep-capture")) {
		f->capture_fd = dup(p->fds[0]);
		f->captured = counts;
		return;
	}
	counts->ended = CAPTURE_ENDED_SOURCE;
	(void)shutdown(p->fds[0], SHUT_RDWR);
}

void fake_capture(struct fake *f, const struct fake_request *p)
{
	capture(f, p);
	fake_reply(f, p->header.seq, fake_told(f, "no-capture") ? -EBUSY : 0, "");
}

void fake_end_capture(struct fake *f)
{
	if (!f->captured)
		return;
	f->captured->ended = CAPTURE_ENDED_SOURCE;
	(void)shutdown(f->capture_fd, SHUT_RDWR);
}
