/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The process of the canned vmmd: its socket or bus, its end. What it answers is in fake-vmmd-api.c. */
#include "tests/fakes/fake-vmmd.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "tests/fakes/fake-vmmd-internal.h"
#include "vmm-core/base/cleanup.h"
#include "vmm-core/base/names.h"

static int on_disconnect(sd_bus_message *m, void *opaque, sd_bus_error *error)
{
	struct fake *f = opaque;
	sd_bus *bus = sd_bus_message_get_bus(m);

	(void)error;
	for (size_t i = 0; i < MAX_BUSES; i++)
		if (f->buses[i] == bus) {
			(void)sd_bus_detach_event(bus);
			f->buses[i] = sd_bus_unref(bus);
		}
	return 0;
}

static int serve(struct fake *f, int fd, sd_bus **ret)
{
	_cleanup_(sd_bus_unrefp) sd_bus *bus = NULL;
	sd_id128_t id;

	if (sd_bus_new(&bus) < 0 || sd_bus_set_fd(bus, fd, fd) < 0) {
		(void)close(fd);
		return -ENOMEM;
	}
	if (sd_id128_randomize(&id) < 0 || sd_bus_set_server(bus, true, id) < 0 ||
		sd_bus_negotiate_fds(bus, true) < 0 ||
		sd_bus_add_object_vtable(
			bus, NULL, VMMD_BUS_PATH, VMMD_BUS_INTERFACE, fake_vtable, f) < 0 ||
		sd_bus_start(bus) < 0 ||
		sd_bus_match_signal(bus, NULL, NULL, "/org/freedesktop/DBus/Local",
			"org.freedesktop.DBus.Local", "Disconnected", on_disconnect, f) < 0 ||
		sd_bus_attach_event(bus, f->loop, 0) < 0)
		return -EIO;
	*ret = TAKE_PTR(bus);
	return 0;
}

static int on_connect(sd_event_source *source, int fd, uint32_t events, void *opaque)
{
	struct fake *f = opaque;
	int client = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)source;
	(void)events;
	if (client < 0)
		return 0;
	for (size_t i = 0; i < MAX_BUSES; i++)
		if (!f->buses[i]) {
			(void)serve(f, client, &f->buses[i]);
			return 0;
		}
	(void)close(client);
	return 0;
}

static const char xml_t1[] = "<domain type='kvm' id='4'>\n"
			     "  <name>t1</name>\n"
			     "  <uuid>65a927f1-f665-46ed-acd0-0fe2c9b3ef83</uuid>\n"
			     "</domain>\n";
static const char xml_t2[] = "<domain type='kvm'>\n"
			     "  <name>t2</name>\n"
			     "  <uuid>c968ed02-cea4-42f3-8f79-0b88ae778f3b</uuid>\n"
			     "  <memory unit='KiB'>262144</memory>\n"
			     "</domain>\n";

static int serve_bus(struct fake *f, const char *address)
{
	_cleanup_(sd_bus_unrefp) sd_bus *bus = NULL;

	if (sd_bus_new(&bus) < 0 || sd_bus_set_address(bus, address) < 0 ||
		sd_bus_set_bus_client(bus, true) < 0 || sd_bus_negotiate_fds(bus, true) < 0 ||
		sd_bus_start(bus) < 0 ||
		sd_bus_add_object_vtable(
			bus, NULL, VMMD_BUS_PATH, VMMD_BUS_INTERFACE, fake_vtable, f) < 0 ||
		sd_bus_attach_event(bus, f->loop, 0) < 0 ||
		sd_bus_request_name(bus, VMMD_BUS_NAME, 0) < 0)
		return -EIO;
	f->buses[0] = TAKE_PTR(bus);
	return 0;
}

/* 'listener' -1: on the bus at 'address'. A byte in 'ready_fd' says that it serves. */
_noreturn_ static void run(int listener, const char *address, int ready_fd)
{
	static struct fake f = {.last_id = 4};
	struct fake_domain *d;

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	(void)signal(SIGPIPE, SIG_IGN);
	d = fake_add(&f, xml_t1, 4);
	d->persistent = true;
	strcpy(d->disk, "/var/lib/libvirt/images/web1.qcow2");
	d = fake_add(&f, xml_t2, -1);
	d->persistent = true;
	strcpy(d->disk, "/var/lib/libvirt/images/t2.qcow2");
	fake_add_networks(&f);
	if (sd_event_new(&f.loop) < 0 ||
		(listener >= 0 ? sd_event_add_io(
					 f.loop, NULL, listener, 1 /* EPOLLIN */, on_connect, &f)
			       : serve_bus(&f, address)) < 0)
		_exit(1);
	if (ready_fd >= 0)
		(void)!write(ready_fd, "", 1);
	(void)sd_event_loop(f.loop);
	_exit(0);
}

int fake_vmmd_start(struct fake_vmmd *ret_fake)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	_cleanup_(closep) int fd = -EBADF;

	*ret_fake = (struct fake_vmmd){};
	strcpy(ret_fake->dir, "/tmp/fake-vmmd-XXXXXX");
	if (!mkdtemp(ret_fake->dir))
		return -errno;
	(void)snprintf(sa.sun_path, sizeof(sa.sun_path), "%s/socket", ret_fake->dir);
	(void)snprintf(
		ret_fake->address, sizeof(ret_fake->address), "p2p:unix:path=%s", sa.sun_path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 || listen(fd, 16) < 0)
		return -errno;
	(void)fflush(NULL);
	ret_fake->pid = fork();
	if (ret_fake->pid < 0)
		return -errno;
	if (ret_fake->pid == 0)
		run(fd, NULL, -1);
	return 0;
}

static const char bus_config[] =
	"<!DOCTYPE busconfig PUBLIC '-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN'\n"
	"  'http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd'>\n"
	"<busconfig><type>session</type><listen>%s</listen><auth>EXTERNAL</auth>\n"
	"<policy context='default'><allow send_destination='*'/><allow receive_sender='*'/>"
	"<allow own='*'/></policy></busconfig>\n";

/* dbus-daemon, until it serves: it prints its address then. */
static int start_bus(struct fake_vmmd *f)
{
	_cleanup_(closep) int out = -EBADF;
	char config[96], line[256];
	int fds[2];
	FILE *file;

	(void)snprintf(f->address, sizeof(f->address), "unix:path=%s/socket", f->dir);
	(void)snprintf(config, sizeof(config), "--config-file=%s/config", f->dir);
	file = fopen(config + strlen("--config-file="), "we");
	if (!file || pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	(void)fprintf(file, bus_config, f->address);
	(void)fclose(file);
	(void)fflush(NULL);
	f->bus_pid = fork();
	if (f->bus_pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		(void)dup2(fds[1], 1);
		(void)execlp(
			"dbus-daemon", "dbus-daemon", "--nofork", "--print-address", config, NULL);
		_exit(127);
	}
	(void)close(fds[1]);
	out = fds[0];
	return read(out, line, sizeof(line)) > 0 ? 0 : -ENOENT;
}

int fake_vmmd_start_on_bus(struct fake_vmmd *ret_fake)
{
	int fds[2], r;
	char c;

	*ret_fake = (struct fake_vmmd){};
	strcpy(ret_fake->dir, "/tmp/fake-vmmd-XXXXXX");
	if (!mkdtemp(ret_fake->dir))
		return -errno;
	r = start_bus(ret_fake);
	if (r < 0) {
		fake_vmmd_stop(ret_fake);
		return r;
	}
	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	ret_fake->pid = fork();
	if (ret_fake->pid == 0)
		run(-1, ret_fake->address, fds[1]);
	(void)close(fds[1]);
	r = read(fds[0], &c, 1) == 1 ? 0 : -EIO;
	(void)close(fds[0]);
	return r;
}

void fake_vmmd_kill(struct fake_vmmd *fake)
{
	if (fake->pid > 0) {
		(void)kill(fake->pid, SIGKILL);
		(void)waitpid(fake->pid, NULL, 0);
	}
	fake->pid = 0;
}

void fake_vmmd_stop(struct fake_vmmd *fake)
{
	char path[96];

	fake_vmmd_kill(fake);
	if (fake->bus_pid > 0) {
		(void)kill(fake->bus_pid, SIGKILL);
		(void)waitpid(fake->bus_pid, NULL, 0);
	}
	(void)snprintf(path, sizeof(path), "%s/socket", fake->dir);
	(void)unlink(path);
	(void)snprintf(path, sizeof(path), "%s/config", fake->dir);
	(void)unlink(path);
	(void)rmdir(fake->dir);
}
