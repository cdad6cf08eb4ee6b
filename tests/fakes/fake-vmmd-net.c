/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The networks and vNICs of the canned vmmd. */
#include "tests/fakes/fake-vmmd-internal.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vmm-core/base/capture-record.h"
#include "vmm-core/base/cleanup.h"
#include "vmm-core/base/names.h"

static const char xml_default[] = "<network>\n"
				  "  <name>default</name>\n"
				  "  <uuid>10f9bd3f-6a61-4f40-a9c9-71f0c28b6b59</uuid>\n"
				  "</network>\n";

void fake_add_networks(struct fake *f)
{
	struct fake_network *n = &f->networks[0];

	n->used = n->persistent = true;
	strcpy(n->name, "default");
	strcpy(n->uuid, "10f9bd3f-6a61-4f40-a9c9-71f0c28b6b59");
	strcpy(n->bridge, "virbr0");
	n->xml = strdup(xml_default);
}

static struct fake_network *find(struct fake *f, const char *key)
{
	struct fake_network *n;

	FOREACH_ELEMENT (n, f->networks)
		if (n->used && (streq(n->name, key) || streq(n->uuid, key)))
			return n;
	return NULL;
}

static struct fake_network *read_network(struct fake *f, sd_bus_message *m, sd_bus_error *error)
{
	struct fake_network *n;
	const char *name;

	if (sd_bus_message_read(m, "s", &name) < 0)
		return NULL;
	n = find(f, name);
	if (!n)
		(void)sd_bus_error_setf(error, VMMD_ERROR_PREFIX "NoNetwork",
			"Network not found: no network with matching name '%s'", name);
	return n;
}

/* One that is active has a team. */
static void append_network(sd_bus_message *m, const struct fake_network *n)
{
	if (n->active) {
		(void)sd_bus_message_append(m, "a{sv}", 8, "name", "s", n->name, "uuid", "s",
			n->uuid, "active", "b", 1, "persistent", "b", (int)n->persistent,
			"autostart", "b", (int)n->autostart, "bridge", "s", n->bridge, "ports", "x",
			(int64_t)0, "team", "a{sv}", 3, "policy", "s", "explicit", "uplinks", "x",
			(int64_t)2, "up", "x", (int64_t)1);
		return;
	}
	(void)sd_bus_message_append(m, "a{sv}", 7, "name", "s", n->name, "uuid", "s", n->uuid,
		"active", "b", (int)n->active, "persistent", "b", (int)n->persistent, "autostart",
		"b", (int)n->autostart, "bridge", "s", n->bridge, "ports", "x", (int64_t)0);
}

int fake_on_list_networks(sd_bus_message *m, void *opaque, sd_bus_error *error)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
	struct fake *f = opaque;
	struct fake_network *n;

	(void)error;
	(void)sd_bus_message_new_method_return(m, &reply);
	(void)sd_bus_message_open_container(reply, 'a', "a{sv}");
	FOREACH_ELEMENT (n, f->networks)
		if (n->used)
			append_network(reply, n);
	(void)sd_bus_message_close_container(reply);
	return sd_bus_send(NULL, reply, NULL);
}

int fake_on_get_network(sd_bus_message *m, void *opaque, sd_bus_error *error)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
	struct fake_network *n = read_network(opaque, m, error);

	if (!n)
		return -ENOENT;
	if (streq(sd_bus_message_get_member(m), "GetNetworkXml"))
		return sd_bus_reply_method_return(m, "s", n->xml);
	(void)sd_bus_message_new_method_return(m, &reply);
	append_network(reply, n);
	return sd_bus_send(NULL, reply, NULL);
}

int fake_on_define_network(sd_bus_message *m, void *opaque, sd_bus_error *error)
{
	bool create = streq(sd_bus_message_get_member(m), "CreateNetwork");
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
	const char *xml, *source, *a, *b;
	struct fake *f = opaque;
	struct fake_network *n;
	uint32_t flags;

	(void)sd_bus_message_read(m, "ssu", &xml, &source, &flags);
	a = strstr(xml, "<name>");
	b = a ? strstr(a, "</name>") : NULL;
	if (!b)
		return sd_bus_error_setf(error, VMMD_ERROR_PREFIX "XmlError",
			"XML error: %s:1: name: missing; write <name>NAME</name>", source);
	FOREACH_ELEMENT (n, f->networks)
		if (!n->used || strncmp(n->name, a + 6, (size_t)(b - a - 6)) == 0)
			break;
	n->used = true;
	(void)snprintf(n->name, sizeof(n->name), "%.*s", (int)(b - a - 6), a + 6);
	if (!*n->uuid)
		strcpy(n->uuid, "00000000-0000-4000-8000-000000000001");
	if (create)
		n->active = true;
	else
		n->persistent = true;
	free(n->xml);
	n->xml = strdup(xml);
	(void)sd_bus_message_new_method_return(m, &reply);
	(void)sd_bus_message_append(reply, "s", n->name);
	(void)sd_bus_message_append(reply, "aa{sv}", 0);
	return sd_bus_send(NULL, reply, NULL);
}

/* An address that is always the same comes with each start. */
static void emit(struct fake *f, const struct fake_network *n, const char *detail)
{
	const bool started = streq(detail, "Started");

	for (size_t i = 0; i < MAX_BUSES; i++) {
		if (!f->buses[i])
			continue;
		(void)sd_bus_emit_signal(f->buses[i], VMMD_BUS_PATH, VMMD_BUS_INTERFACE,
			"NetworkEvent", "ssssa{ss}t", "lifecycle", n->name, n->uuid, detail, 0,
			f->sequence + 1);
		if (started)
			(void)sd_bus_emit_signal(f->buses[i], VMMD_BUS_PATH, VMMD_BUS_INTERFACE,
				"NetworkEvent", "ssssa{ss}t", "lease", n->name, n->uuid, "Assigned",
				2, "ip", "192.168.122.5", "mac", "52:54:00:a6:b5:71",
				f->sequence + 2);
	}
	f->sequence += started ? 2 : 1;
}

int fake_on_change_network(sd_bus_message *m, void *opaque, sd_bus_error *error)
{
	struct fake_network *n = read_network(opaque, m, error);
	const char *method = sd_bus_message_get_member(m);
	int on;

	if (!n)
		return -ENOENT;
	if (streq(method, "StartNetwork")) {
		if (n->active)
			return sd_bus_error_set(error, VMMD_ERROR_PREFIX "OperationInvalid",
				"Requested operation is not valid: network is already active");
		n->active = true;
		emit(opaque, n, "Started");
	} else if (streq(method, "DestroyNetwork")) {
		if (!n->active)
			return sd_bus_error_set(error, VMMD_ERROR_PREFIX "OperationInvalid",
				"Requested operation is not valid: network is not active");
		n->active = false;
		n->used = n->persistent;
		emit(opaque, n, "Stopped");
	} else if (streq(method, "UndefineNetwork")) {
		n->persistent = false;
		n->used = n->active;
	} else {
		(void)sd_bus_message_read(m, "b", &on);
		n->autostart = on;
	}
	return sd_bus_reply_method_return(m, "");
}

int fake_on_list_ports(sd_bus_message *m, void *opaque, sd_bus_error *error)
{
	struct fake_network *n = read_network(opaque, m, error);

	if (!n)
		return -ENOENT;
	if (!n->active)
		return sd_bus_error_setf(error, VMMD_ERROR_PREFIX "OperationInvalid",
			"Requested operation is not valid: network '%s' is not active", n->name);
	return sd_bus_reply_method_return(m, "aa{sv}", 1, 5, "port", "x", (int64_t)1, "domain", "s",
		"t1", "target", "s", "vnet0", "mac", "s", "52:54:00:a6:b5:71", "linked", "b", 1);
}

/* Says what it was asked, unless that is a thing that works: a DHCP host to the end of the first <dhcp>. */
int fake_on_update_network(sd_bus_message *m, void *opaque, sd_bus_error *error)
{
	struct fake_network *n = read_network(opaque, m, error);
	uint32_t command, section, parent, flags;
	const char *xml, *source;

	if (!n)
		return -ENOENT;
	(void)sd_bus_message_read(m, "uuussu", &command, &section, &parent, &xml, &source, &flags);
	if (section == 1)
		return sd_bus_error_setf(error, VMMD_ERROR_PREFIX "NoSupport",
			"this function is not supported by the connection driver: can't update "
			"'bridge' section of network '%s'",
			n->name);
	if ((flags & 1) && !n->active)
		return sd_bus_error_set(error, VMMD_ERROR_PREFIX "OperationInvalid",
			"Requested operation is not valid: network is not running");
	if (command != 3 || section != 4 || parent != UINT32_MAX)
		return sd_bus_error_setf(error, VMMD_ERROR_PREFIX "Internal",
			"internal error: %u %u %d %s %s %u", command, section, (int)parent, xml,
			source, flags);
	return sd_bus_reply_method_return(m, "");
}

int fake_on_list_forwards(sd_bus_message *m, void *opaque, sd_bus_error *error)
{
	struct fake_network *n = read_network(opaque, m, error);

	if (!n)
		return -ENOENT;
	return sd_bus_reply_method_return(m, "aa{sv}", 2, 5, "proto", "s", "tcp", "address", "s",
		"", "port", "t", (uint64_t)8080, "to", "s", "192.168.122.5", "to_port", "t",
		(uint64_t)80, 5, "proto", "s", "udp", "address", "s", "203.0.113.1", "port", "t",
		(uint64_t)53, "to", "s", "192.168.122.6", "to_port", "t", (uint64_t)53);
}

int fake_on_list_leases(sd_bus_message *m, void *opaque, sd_bus_error *error)
{
	struct fake_network *n = read_network(opaque, m, error);

	if (!n)
		return -ENOENT;
	if (!n->active)
		return sd_bus_error_setf(error, VMMD_ERROR_PREFIX "OperationInvalid",
			"Requested operation is not valid: network '%s' is not active", n->name);
	return sd_bus_reply_method_return(m, "aa{sv}", 2, 7, "expiry_s", "t", (uint64_t)1795579200,
		"mac", "s", "52:54:00:a6:b5:71", "family", "s", "ipv4", "address", "s",
		"192.168.122.5", "prefix", "t", (uint64_t)24, "hostname", "s", "web1", "client_id",
		"s", "01:52:54:00:a6:b5:71", 7, "expiry_s", "t", (uint64_t)0, "mac", "s", "",
		"family", "s", "ipv6", "address", "s", "fd00::5", "prefix", "t", (uint64_t)64,
		"hostname", "s", "", "client_id", "s", "00:01");
}

int fake_on_list_interfaces(sd_bus_message *m, void *opaque, sd_bus_error *error)
{
	struct fake_domain *d = fake_read_domain(opaque, m, error);

	if (!d)
		return -ENOENT;
	return sd_bus_reply_method_return(m, "aa{sv}", 1, 17, "inbound_average", "t",
		(uint64_t)1000, "inbound_peak", "t", (uint64_t)5000, "outbound_burst", "t",
		(uint64_t)64, "target", "s", d->id >= 0 ? "vnet0" : "", "type", "s", "network",
		"source", "s", "default", "model", "s", "virtio", "mac", "s", "52:54:00:a6:b5:71",
		"link", "b", 1, "rx_bytes", "x", (int64_t)1000, "rx_packets", "x", (int64_t)10,
		"rx_dropped", "x", (int64_t)1, "tx_bytes", "x", (int64_t)2000, "tx_packets", "x",
		(int64_t)20, "tx_dropped", "x", (int64_t)2, "rx_drop_full", "x", (int64_t)1,
		"tx_drop_storm", "x", (int64_t)2);
}

int fake_on_list_addresses(sd_bus_message *m, void *opaque, sd_bus_error *error)
{
	struct fake_domain *d = fake_read_domain(opaque, m, error);

	if (!d)
		return -ENOENT;
	if (d->id < 0)
		return sd_bus_error_set(error, VMMD_ERROR_PREFIX "OperationInvalid",
			"Requested operation is not valid: domain is not running");
	return sd_bus_reply_method_return(m, "aa{sv}", 2, 5, "target", "s", "vnet0", "mac", "s",
		"52:54:00:a6:b5:71", "family", "s", "ipv4", "address", "s", "192.168.122.5",
		"prefix", "x", (int64_t)24, 5, "target", "s", "vnet0", "mac", "s",
		"52:54:00:a6:b5:71", "family", "s", "ipv6", "address", "s",
		"fe80::5054:ff:fea6:b571", "prefix", "x", (int64_t)0);
}

/* Says what it was asked, but for one that works. */
int fake_on_set_tune(sd_bus_message *m, void *opaque, sd_bus_error *error)
{
	struct fake_domain *d = fake_read_domain(opaque, m, error);
	const char *interface, *in, *out;
	uint32_t flags;

	if (!d)
		return -ENOENT;
	(void)sd_bus_message_read(m, "sssu", &interface, &in, &out, &flags);
	if (!streq(interface, "vnet0") || flags)
		return sd_bus_error_setf(error, VMMD_ERROR_PREFIX "InvalidArgument",
			"invalid argument: %s '%s' '%s' %u", interface, in, out, flags);
	return sd_bus_reply_method_return(m, "");
}

int fake_on_set_link(sd_bus_message *m, void *opaque, sd_bus_error *error)
{
	struct fake_domain *d = fake_read_domain(opaque, m, error);
	const char *interface;

	if (!d)
		return -ENOENT;
	(void)sd_bus_message_read(m, "s", &interface);
	if (!streq(interface, "vnet0"))
		return sd_bus_error_setf(error, VMMD_ERROR_PREFIX "InvalidArgument",
			"invalid argument: domain '%s' has no interface '%s'", d->name, interface);
	return sd_bus_reply_method_return(m, "");
}

struct captured {
	int fd;
	sd_event_source *source;
};

/* A frame of 60 bytes a hundred times a second, until nobody reads them. */
static int send_frame(sd_event_source *source, uint64_t usec, void *opaque)
{
	const struct capture_record record = {.len = htobe32(60), .direction = CAPTURE_OUT};
	uint8_t packet[sizeof(record) + 60] = {0};
	struct captured *c = opaque;

	(void)usec;
	memcpy(packet, &record, sizeof(record));
	if (write(c->fd, packet, sizeof(packet)) == sizeof(packet)) {
		(void)sd_event_source_set_time_relative(source, 10000);
		return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
	}
	(void)close(c->fd);
	(void)sd_event_source_disable_unref(source);
	free(c);
	return 0;
}

/* What is only sent has its end at once: because it is gone, or because its job is cancelled (see fake-vmmd-job.c). */
int fake_on_capture(sd_bus_message *m, void *opaque, sd_bus_error *error)
{
	struct fake *f = opaque;
	const char *subject, *part;
	uint32_t direction, snaplen;
	struct captured *c;
	uint64_t job;
	int fds[2], r;

	(void)sd_bus_message_read(m, "ssuu", &subject, &part, &direction, &snaplen);
	job = streq(part, "eth1") ? 8 : snaplen == 3000 ? 10 : 99;
	if (*part && !streq(part, "vnet0") && !streq(part, "eth1"))
		return sd_bus_error_setf(error, VMMD_ERROR_PREFIX "InvalidArgument",
			"invalid argument: '%s' has no '%s'", subject, part);
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0)
		return -errno;
	r = sd_bus_reply_method_return(m, "ht", fds[1], job);
	(void)close(fds[1]);
	if (direction == CAPTURE_OUT) {
		(void)close(fds[0]);
		return r;
	}
	c = calloc(1, sizeof(*c));
	c->fd = fds[0];
	(void)sd_event_add_time_relative(
		f->loop, &c->source, CLOCK_MONOTONIC, 10000, 0, send_frame, c);
	return r;
}

/* What is wrong with a device, or 0. */
static int check_device(
	sd_bus_message *m, const struct fake_domain *d, const char **ret_xml, sd_bus_error *error)
{
	const char *source;
	uint32_t flags;

	(void)sd_bus_message_read(m, "ssu", ret_xml, &source, &flags);
	if (flags & 1 && d->id < 0)
		return sd_bus_error_set(error, VMMD_ERROR_PREFIX "OperationInvalid",
			"Requested operation is not valid: domain is not running");
	if (!strstr(*ret_xml, "<interface"))
		return sd_bus_error_setf(error, VMMD_ERROR_PREFIX "ConfigUnsupported",
			"unsupported configuration: %s:1: only an <interface> can be attached or "
			"detached",
			source);
	return 0;
}

int fake_on_attach(sd_bus_message *m, void *opaque, sd_bus_error *error)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
	struct fake_domain *d = fake_read_domain(opaque, m, error);
	const char *xml;
	int r;

	if (!d)
		return -ENOENT;
	r = check_device(m, d, &xml, error);
	if (r < 0)
		return r;
	(void)sd_bus_message_new_method_return(m, &reply);
	fake_append_report(reply, xml);
	return sd_bus_send(NULL, reply, NULL);
}

/* A guest that is slow by its XML keeps it. */
int fake_on_detach(sd_bus_message *m, void *opaque, sd_bus_error *error)
{
	struct fake_domain *d = fake_read_domain(opaque, m, error);
	const char *xml;
	int r;

	if (!d)
		return -ENOENT;
	r = check_device(m, d, &xml, error);
	return r < 0 ? r : sd_bus_reply_method_return(m, "b", (int)!strstr(xml, "slow"));
}

/* A team of two: one works, and what the other says of itself is odd enough to be shown in full. */
static int reply_team(sd_bus_message *m)
{
	return sd_bus_reply_method_return(m, "a{sv}", 8, "network", "s", "default", "policy", "s",
		"lacp", "policy_in_effect", "s", "active-backup", "up", "b", 1, "guest_links", "b",
		1, "reports", "x", (int64_t)2, "members", "aa{sv}", 2, 8, "name", "s", "eth0",
		"role", "s", "active", "state", "s", "up", "link", "b", 1, "active", "b", 1, "mbps",
		"x", (int64_t)10000, "ports", "x", (int64_t)1, "failures", "a{sv}", 2, "poll", "x",
		(int64_t)3, "lacp", "x", (int64_t)1, 8, "name", "s", "eth1", "role", "s", "standby",
		"state", "s", "resting", "not_used", "s", "resting", "link", "b", 0, "active", "b",
		0, "ports", "x", (int64_t)0, "lacp", "a{sv}", 5, "receive", "s", "current",
		"selected", "s", "selected", "mux", "s", "attached", "partner_heard", "b", 1,
		"partner", "a{sv}", 2, "system", "s", "02:00:00:00:00:99", "key", "x", (int64_t)7,
		"ports", "aa{sv}", 1, 3, "target", "s", "vnet0", "domain", "s", "web1", "member",
		"s", "eth0");
}

static int reply_reports(sd_bus_message *m, uint32_t last)
{
	if (last == 1)
		return sd_bus_reply_method_return(m, "aa{sv}", 0);
	return sd_bus_reply_method_return(m, "aa{sv}", 2, 10, "number", "x", (int64_t)1,
		"detected_us", "x", (int64_t)1795579200123456, "detected_by", "s", "netlink",
		"cause", "s", "link", "from", "s", "eth0", "to", "s", "eth1", "reaction_us", "x",
		(int64_t)42, "gap_us", "x", (int64_t)10123, "frames_lost", "x", (int64_t)7,
		"announced", "x", (int64_t)2, 9, "number", "x", (int64_t)2, "detected_us", "x",
		(int64_t)1795579260000000, "detected_by", "s", "team", "cause", "s", "failback",
		"from", "s", "", "to", "s", "eth0", "reaction_us", "x", (int64_t)1500,
		"frames_lost", "x", (int64_t)0, "announced", "x", (int64_t)2);
}

static int reply_test(sd_bus_message *m, sd_bus_error *error)
{
	const char *member;
	uint32_t ms, flags;

	if (sd_bus_message_read(m, "suu", &member, &ms, &flags) < 0)
		return -EINVAL;
	if (!flags && streq(member, "eth9"))
		return sd_bus_error_setf(error, VMMD_ERROR_PREFIX "OperationInvalid",
			"Requested operation is not valid: without '%s' no uplink of network "
			"'default' "
			"could be used: the test would cut it off; force it if that is wanted",
			member);
	/* 7 ms: one that does not come back. */
	return sd_bus_reply_method_return(m, "a{sv}", 7, "member", "s", member, "was_active", "b",
		1, "moved", "x", (int64_t)3, "switched_us", "x", (int64_t)12, "first_out_us", "x",
		(int64_t)1834, "frames_lost", "x", (int64_t)0, "came_back", "b", (int)(ms != 7));
}

int fake_on_team(sd_bus_message *m, void *opaque, sd_bus_error *error)
{
	const struct fake_network *n = read_network(opaque, m, error);
	uint32_t last;

	if (!n)
		return -ENOENT;
	if (streq(sd_bus_message_get_member(m), "GetTeam"))
		return reply_team(m);
	if (streq(sd_bus_message_get_member(m), "TestTeam"))
		return reply_test(m, error);
	if (sd_bus_message_read(m, "u", &last) < 0)
		return -EINVAL;
	return reply_reports(m, last);
}
