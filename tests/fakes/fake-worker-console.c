/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A fake worker's console: it echoes, and says which console has which size when it is resized. Lines that are typed
 * there make the guest do what it says:
 *
 *	poweroff reset panic pause-io	the guest's doing
 *	crash exit stop			the worker's: dies, ends, hangs (SIGSTOP)
 *	garbage				a packet that is none
 *	release				lets go of the vNICs and vCPUs that fake=keep-nics and fake=keep-vcpus kept
 */
#include "tests/fakes/fake-worker.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void fake_attach(struct fake *f, const struct fake_request *p)
{
	struct proto_console c;

	memcpy(&c, p->payload, sizeof(c));
	if (p->n_fds != 1 || (f->console >= 0 && !(c.flags & PROTO_CONSOLE_FORCE))) {
		fake_reply(f, p->header.seq, -EBUSY, "console is in use");
		return;
	}
	if (f->console >= 0)
		close(f->console);
	f->console = dup(p->fds[0]);
	(void)!write(f->console, "fake console\r\n", 14);
	fake_reply(f, p->header.seq, 0, "");
}

void fake_resize(struct fake *f, const struct fake_request *p)
{
	struct proto_console_size size;

	memcpy(&size, p->payload, sizeof(size));
	if (f->console >= 0)
		dprintf(f->console, "%u %u is %ux%u\r\n", size.kind, size.index, size.cols,
			size.rows);
	fake_reply(f, p->header.seq, 0, "");
}

static void console_line(struct fake *f)
{
	if (strcmp(f->line, "poweroff") == 0)
		fake_stop(f, PROTO_REASON_GUEST_POWEROFF);
	if (strcmp(f->line, "reset") == 0) {
		if (f->flags & PROTO_START_STOP_ON_RESET)
			fake_stop(f, PROTO_REASON_GUEST_RESET);
		fake_notice(f, PROTO_NOTICE_GUEST_RESET);
	}
	if (strcmp(f->line, "panic") == 0) {
		if (f->flags & PROTO_START_STOP_ON_PANIC)
			fake_stop(f, PROTO_REASON_PANICKED);
		fake_set_state(f, PROTO_VM_PAUSED, PROTO_REASON_PANICKED);
	}
	if (strcmp(f->line, "pause-io") == 0)
		fake_set_state(f, PROTO_VM_PAUSED, PROTO_REASON_IO_ERROR);
	if (strcmp(f->line, "crash") == 0)
		raise(SIGKILL);
	if (strcmp(f->line, "exit") == 0)
		exit(9);
	if (strcmp(f->line, "garbage") == 0)
		(void)!write(f->control, "bad", 3);
	if (strcmp(f->line, "stop") == 0)
		raise(SIGSTOP);
	if (strcmp(f->line, "release") == 0) {
		if (f->wanted_vcpus)
			fake_have_vcpus(f, f->wanted_vcpus);
		fake_release_nics(f);
		if (f->wanted_vcpus)
			fake_send_vcpus(f);
	}
}

/* All of it: a guest would wait, too. */
static void echo(struct fake *f, const char *buf, size_t size)
{
	while (size) {
		struct pollfd p = {.fd = f->console, .events = POLLOUT};
		ssize_t n = write(f->console, buf, size);

		if (n < 0 && (errno != EAGAIN || poll(&p, 1, 10000) <= 0))
			return;
		buf += n > 0 ? n : 0;
		size -= n > 0 ? (size_t)n : 0;
	}
}

void fake_console_input(struct fake *f)
{
	char buf[64];
	ssize_t n = read(f->console, buf, sizeof(buf));

	if (n <= 0) {
		close(f->console);
		f->console = -1;
		return;
	}
	echo(f, buf, (size_t)n);
	for (ssize_t i = 0; i < n; i++) {
		if (buf[i] != '\n' && buf[i] != '\r') {
			if (f->line_len < sizeof(f->line) - 1)
				f->line[f->line_len++] = buf[i];
			continue;
		}
		f->line[f->line_len] = 0;
		f->line_len = 0;
		console_line(f);
	}
}
