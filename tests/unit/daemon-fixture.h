/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the daemon's tests share: an instance of its own in a temporary folder, with the fake worker and without
 * /dev/kvm or a jail; a kernel that the probe accepts; a loop that is run until something holds. */
#pragma once

#include <dirent.h>
#include <elf.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "daemon/manager.h"
#include "daemon/network.h"
#include "vmm-core/base/fdio.h"
#include "vmm-core/base/log.h"
#include "vmm-core/base/strutil.h"

#define FIXTURE_MAX_EVENTS 256

struct fixture {
	char dir[64], state[96], runtime[96], kernel[512], worker[4096];
	unsigned n_fds;
	sd_event *event;
	struct manager *manager;
	struct error error;
	struct event_sink sink;
	char events[FIXTURE_MAX_EVENTS][192];
	unsigned n_events, n_done;
	struct error done_error; /* of the last finished operation; code 0: it worked */
	int done_fd;
	bool kvm; /* the worker is a real one */
	const char
		*devices; /* of domains that are defined from now on; NULL: only the serial port */
};

static inline unsigned fixture_count_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned n = 0;

	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

/* The smallest PVH kernel: one segment, one note. It is never run. */
static inline void fixture_write_kernel(const char *path)
{
	struct {
		Elf64_Ehdr eh;
		Elf64_Phdr ph[2];
		Elf64_Nhdr nh;
		char name[4];
		uint32_t entry, pad;
		char code[16];
	} k = {
		.eh = {.e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB,
			       EV_CURRENT},
			.e_type = ET_EXEC,
			.e_machine = EM_X86_64,
			.e_version = EV_CURRENT,
			.e_phoff = sizeof(Elf64_Ehdr),
			.e_ehsize = sizeof(Elf64_Ehdr),
			.e_phentsize = sizeof(Elf64_Phdr),
			.e_phnum = 2},
		.nh = {.n_namesz = 4, .n_descsz = 4, .n_type = 18},
		.name = "Xen",
		.entry = 0x100000,
	};
	size_t note = sizeof(k.eh) + sizeof(k.ph);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	k.ph[0] = (Elf64_Phdr){.p_type = PT_LOAD,
		.p_flags = PF_R | PF_X,
		.p_offset = note + sizeof(k.nh) + 12,
		.p_vaddr = 0x100000,
		.p_paddr = 0x100000,
		.p_filesz = 16,
		.p_memsz = 16};
	k.ph[1] = (Elf64_Phdr){.p_type = PT_NOTE,
		.p_offset = note,
		.p_filesz = sizeof(k.nh) + 8,
		.p_memsz = sizeof(k.nh) + 8,
		.p_align = 4};
	assert_true(fd >= 0);
	assert_int_equal(write_full(fd, &k, sizeof(k)), 0);
	close(fd);
}

static inline void fixture_on_event(struct event_sink *sink, const struct event *event)
{
	struct fixture *f = container_of(sink, struct fixture, sink);

	char *text = f->events[f->n_events++ % FIXTURE_MAX_EVENTS];
	const size_t size = sizeof(f->events[0]);

	if (event->job) {
		snprintf(text, size, "job %s", event->detail);
		return;
	}
	if (!event->network) {
		snprintf(text, size, "%s %.40s %s %s", event_kind_name(event->kind),
			event->domain->name, event->detail, event->reason);
		return;
	}
	snprintf(text, size, "network %s %.40s %s", event_kind_name(event->kind),
		event->network->name, event->detail);
	for (unsigned i = 0; i < event->n_fields; i++)
		if (*event->fields[i].value)
			snprintf(text + strlen(text), size - strlen(text), " %s=%.40s",
				event->fields[i].name, event->fields[i].value);
}

static inline void fixture_open_manager(struct fixture *f)
{
	struct manager_options options = {
		.state_dir = f->state,
		.runtime_dir = f->runtime,
		.worker_path = f->worker,
		.session = true,
		.no_jail = true,
		.no_kvm = !f->kvm,
	};

	if (manager_new(f->event, &options, &f->manager, &f->error) < 0 ||
		manager_load(f->manager, &f->error) < 0)
		fail_msg("%s", f->error.message);
	f->sink = (struct event_sink){.event = fixture_on_event};
	list_add_tail(&f->manager->sinks, &f->sink.link);
}

static inline int fixture_setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	ssize_t n;

	f->n_fds = fixture_count_fds();
	f->done_fd = -EBADF;
	strcpy(f->dir, "/tmp/test-daemon-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	snprintf(f->state, sizeof(f->state), "%s/state", f->dir);
	snprintf(f->runtime, sizeof(f->runtime), "%s/run", f->dir);
	snprintf(f->kernel, sizeof(f->kernel), "%s/kernel", f->dir);
	fixture_write_kernel(f->kernel);
	n = readlink("/proc/self/exe", f->worker, sizeof(f->worker) - 32);
	assert_true(n > 0);
	strcpy(strrchr(f->worker, '/'), "/fake-worker");
	assert_true(sd_event_new(&f->event) >= 0);
	fixture_open_manager(f);
	*state = f;
	return 0;
}

/* One turn of at most 100 ms; fails when it was called for a minute without success: no load of the machine is an
 * excuse then. */
static inline void fixture_turn(struct fixture *f, uint64_t *end)
{
	uint64_t now;

	(void)sd_event_now(f->event, CLOCK_MONOTONIC, &now);
	if (!*end)
		*end = now + 60 * UINT64_C(1000000);
	if (now > *end)
		fail_msg("nothing happened in 60 s");
	assert_true(sd_event_run(f->event, 100000) >= 0);
}

#define RUN_UNTIL(f, condition)                                                                    \
	do {                                                                                       \
		uint64_t end_ = 0;                                                                 \
		while (!(condition))                                                               \
			fixture_turn(f, &end_);                                                    \
	} while (0)

static inline unsigned fixture_n_active(struct fixture *f)
{
	unsigned n = 0;
	struct list *pos;

	list_for_each (pos, &f->manager->domains) {
		struct domain *d = list_entry(pos, struct domain, link);

		n += domain_is_active(d);
		if (d->worker) {
			d->destroying = true;
			worker_kill(d->worker);
		}
	}
	list_for_each (pos, &f->manager->networks) {
		struct network *net = list_entry(pos, struct network, link);

		n += network_is_active(net);
		if (net->worker) {
			net->destroying = true;
			worker_kill(net->worker);
		}
	}
	return n;
}

static inline int fixture_teardown(void **state)
{
	struct fixture *f = *state;
	char command[128];

	if (f->manager)
		RUN_UNTIL(f, fixture_n_active(f) == 0);
	manager_free(f->manager);
	(void)safe_close(f->done_fd);
	sd_event_unref(f->event);
	if (fixture_count_fds() != f->n_fds) {
		snprintf(command, sizeof(command), "ls -l /proc/%d/fd >&2", getpid());
		assert_int_equal(system(command), 0);
		fail_msg("%u fds at the end, %u at the start", fixture_count_fds(), f->n_fds);
	}
	snprintf(command, sizeof(command), "rm -rf %s", f->dir);
	assert_int_equal(system(command), 0);
	free(f);
	return 0;
}

static inline void fixture_done(void *userdata, const struct error *error)
{
	struct fixture *f = userdata;

	f->n_done++;
	f->done_error = error ? *error : (struct error){0};
}

static inline void fixture_done_fd(void *userdata, int fd, const struct error *error)
{
	struct fixture *f = userdata;

	f->done_fd = safe_close(f->done_fd);
	f->done_fd = fd;
	fixture_done(f, error);
}

/* A domain's XML: 16 MiB, one serial port, 'cmdline' for the fake, 'extra' between </os> and <devices>. */
static inline const char *fixture_xml(
	struct fixture *f, const char *name, const char *cmdline, const char *extra)
{
	static char xml[4096];

	snprintf(xml, sizeof(xml),
		"<domain type='kvm'><name>%s</name><memory unit='MiB'>16</memory>"
		"<vcpu>2</vcpu><os><type arch='x86_64' machine='q35'>hvm</type>"
		"<kernel>%s</kernel><cmdline>%s</cmdline></os>%s"
		"<devices><serial type='null'/>%s</devices></domain>",
		name, f->kernel, cmdline, extra, f->devices ?: "");
	return xml;
}

static inline struct domain *fixture_define(
	struct fixture *f, const char *name, const char *cmdline, const char *extra)
{
	struct domain *d = NULL;

	if (manager_define(f->manager, fixture_xml(f, name, cmdline, extra), "test.xml", 0, &d,
		    NULL, &f->error) < 0)
		fail_msg("%s", f->error.message);
	return d;
}

/* Wait for the operation that 'r' says has been accepted. */
static inline void fixture_wait(struct fixture *f, int r)
{
	unsigned n = f->n_done;

	if (r < 0)
		fail_msg("%s", f->error.message);
	RUN_UNTIL(f, f->n_done > n);
}

static inline void fixture_start(struct fixture *f, struct domain *d)
{
	fixture_wait(f, domain_start(d, 0, fixture_done, f, &f->error));
	if (f->done_error.code)
		fail_msg("%s", f->done_error.message);
}

static inline bool fixture_saw(struct fixture *f, const char *event)
{
	for (unsigned i = 0; i < MIN(f->n_events, (unsigned)FIXTURE_MAX_EVENTS); i++)
		if (streq(f->events[i], event))
			return true;
	return false;
}
