/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A worker without a machine: see fake-worker.h. Words in argv[1]:
 *
 *	no-hello garbage-hello wrong-version hello-fds	what it says first
 *	exit-early	ends before HELLO
 *	hang-unborn	stops (SIGSTOP) before HELLO
 *	clings		lives on when its daemon ends
 *
 * And fake=WORD in the command line:
 *
 *	mute		answers nothing after START
 *	fail-requests	fails all of them after START
 *	ignore-quit ignore-button
 *	exit-on-eof	ends with its daemon
 *	count		its loop turns all the time
 *
 * The power button powers off.
 */
#include "tests/fakes/fake-worker.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vmm-core/base/fdio.h"

static void agree(struct fake *f, const struct fake_request *p)
{
	fake_reply(f, p->header.seq, 0, "");
}

static void pause_vm(struct fake *f, const struct fake_request *p)
{
	f->pausing = fake_told(f, "slow-pause");
	if (f->pausing)
		return;
	agree(f, p);
	fake_set_state(f, PROTO_VM_PAUSED, PROTO_REASON_USER);
}

/* Who asks hears first that it is paused. */
static void ping(struct fake *f, const struct fake_request *p)
{
	if (f->pausing)
		fake_set_state(f, PROTO_VM_PAUSED, PROTO_REASON_USER);
	f->pausing = false;
	agree(f, p);
}

static void resume_vm(struct fake *f, const struct fake_request *p)
{
	agree(f, p);
	fake_set_state(f, PROTO_VM_RUNNING, PROTO_REASON_USER);
}

static void power_button(struct fake *f, const struct fake_request *p)
{
	agree(f, p);
	if (!fake_told(f, "ignore-button"))
		fake_stop(f, PROTO_REASON_GUEST_POWEROFF);
}

static void quit(struct fake *f, const struct fake_request *p)
{
	if (fake_told(f, "ignore-quit"))
		return;
	agree(f, p);
	fake_stop(f, PROTO_REASON_USER);
}

static void team_look(struct fake *f, const struct fake_request *p)
{
	fake_send_team(f);
	agree(f, p);
}

static fake_handler *const handlers[PROTO_TYPE_X_MAX] = {
	[PROTO_START] = fake_start,
	[PROTO_START_NETWORK] = fake_start_network,
	[PROTO_PAUSE] = pause_vm,
	[PROTO_RESUME] = resume_vm,
	[PROTO_RESET] = agree,
	[PROTO_POWER_BUTTON] = power_button,
	[PROTO_INJECT_NMI] = agree,
	[PROTO_QUIT] = quit,
	[PROTO_PING] = ping,
	[PROTO_CONSOLE_ATTACH] = fake_attach,
	[PROTO_CONSOLE_RESIZE] = fake_resize,
	[PROTO_CAPTURE] = fake_capture,
	[PROTO_NIC_ADD] = fake_plug,
	[PROTO_NIC_REMOVE] = fake_plug,
	[PROTO_NIC_SET] = fake_link,
	[PROTO_NIC_ANNOUNCE] = fake_link,
	[PROTO_LINK_ADD] = fake_link,
	[PROTO_LINK_USE] = fake_link,
	[PROTO_LINK_REMOVE] = fake_link,
	[PROTO_LINK_LIST] = fake_list_links,
	[PROTO_VCPU_SET] = fake_vcpus,
	[PROTO_IOTHREAD] = fake_iothread,
	[PROTO_MEMORY_SET] = fake_memory,
	[PROTO_MEMORY_ADD] = fake_memory,
	[PROTO_MEMORY_REMOVE] = fake_memory,
	[PROTO_MMU_STATS] = fake_mmu,
	[PROTO_BALLOON_SET] = fake_balloon,
	[PROTO_BALLOON_STATS] = fake_balloon,
	[PROTO_PORT_ADD] = fake_port,
	[PROTO_PORT_SET] = fake_port,
	[PROTO_PORT_REMOVE] = fake_port,
	[PROTO_TEAM_LOOK] = team_look,
	[PROTO_TEAM_TEST] = fake_team_test,
};

static bool is_start(const struct fake_request *p)
{
	return p->header.type == PROTO_START || p->header.type == PROTO_START_NETWORK;
}

static void request(struct fake *f, const struct fake_request *p)
{
	unsigned type = p->header.type;

	if (is_start(p))
		(void)prctl(PR_SET_PDEATHSIG, 0, 0, 0, 0);
	else if (fake_told(f, "mute"))
		return;
	else if (fake_told(f, "fail-requests")) {
		fake_reply(f, p->header.seq, -EIO, "told to fail");
		return;
	}
	if (type < PROTO_TYPE_X_MAX && handlers[type])
		handlers[type](f, p);
	else
		fake_reply(f, p->header.seq, -ENOTSUP, "unknown request");
}

static void control_input(struct fake *f)
{
	struct fake_request p = {.n_fds = 0};
	ssize_t n = recv_packet(f->control, &p.header, sizeof(p.header) + sizeof(p.payload), p.fds,
		PROTO_MAX_FDS, &p.n_fds);

	if (n <= 0) {
		if ((f->state == PROTO_VM_NEW && !f->clings) || fake_told(f, "exit-on-eof"))
			exit(1);
		close(f->control);
		f->control = -1;
		return;
	}
	request(f, &p);
	/* What came with START is kept, as a worker does: a disk's lock lives in its fd. */
	for (unsigned i = 0; i < p.n_fds && !is_start(&p); i++)
		close(p.fds[i]);
}

static void accept_control(struct fake *f)
{
	int fd = accept4(PROTO_LISTEN_FD, NULL, NULL, SOCK_CLOEXEC);

	if (fd < 0)
		return;
	if (f->control >= 0)
		close(f->control);
	f->control = fd;
	fake_send_state(f, PROTO_HELLO);
	if (f->state != PROTO_VM_NEW && !f->is_network)
		fake_send_vcpus(f);
	if (f->is_network && strstr(f->net.name, "net-uplink")) {
		for (unsigned i = 1; i <= f->n_reports; i++)
			fake_send_report(f, i);
		fake_send_team(f);
	}
}

static void hello(struct fake *f, const char *name)
{
	struct proto_header old = {.version = 77, .type = PROTO_HELLO};

	if (strstr(name, "exit-early"))
		exit(7);
	if (strstr(name, "hang-unborn"))
		raise(SIGSTOP);
	if (strstr(name, "clings")) {
		(void)prctl(PR_SET_PDEATHSIG, 0, 0, 0, 0);
		f->clings = true;
	}
	if (strstr(name, "garbage-hello"))
		(void)!write(f->control, "hello?", 6);
	else if (strstr(name, "wrong-version"))
		(void)!write(f->control, &old, sizeof(old));
	else if (strstr(name, "hello-fds"))
		fake_send(f, PROTO_HELLO, 0, 0, NULL, 0, &f->control, 1);
	else if (!strstr(name, "no-hello"))
		fake_send_state(f, PROTO_HELLO);
}

int main(int argc, char **argv)
{
	static struct fake fake = {.control = PROTO_CONTROL_FD, .console = -1};

	/* As vmmd-worker does: the reader of its log may go away. */
	(void)signal(SIGPIPE, SIG_IGN);
	/* Of a sanitizer these are handled otherwise. */
	(void)signal(SIGSEGV, SIG_DFL);
	(void)signal(SIGBUS, SIG_DFL);
	(void)signal(SIGABRT, SIG_DFL);
	hello(&fake, argc > 1 ? argv[1] : "");
	fprintf(stderr, "fake worker %s runs\n", argc > 1 ? argv[1] : "");
	for (;;) {
		struct pollfd fds[] = {
			{.fd = fake.control, .events = POLLIN},
			{.fd = PROTO_LISTEN_FD, .events = POLLIN},
			{.fd = fake.console, .events = POLLIN},
		};

		if (poll(fds, 3, fake_told(&fake, "count") ? 5 : -1) < 0)
			continue;
		if (fake.stats)
			stat_add(&fake.stats->heartbeat, 1);
		if (fds[1].revents)
			accept_control(&fake);
		else if (fds[0].revents)
			control_input(&fake);
		else if (fds[2].revents)
			fake_console_input(&fake);
	}
}
