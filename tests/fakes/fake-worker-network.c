/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A fake worker that is a network's. A port's counters tell what was asked of it: tx_packets goes up when it is added,
 * rx_packets when it is removed, tx_bytes when it is set, tx_gso by its mirrors, rx_gso by 100 from + 10 to + direction of
 * each, rx_multicast when it is a mirror's target; three frames for it are lost. A test of the first uplink ends at once,
 * of the other with the next test. Words in the network's name:
 *
 *	net-fail	START fails
 *	net-die		dies when it has its second port, once: if the file /tmp/fake-worker-net-die is there, which it
 *			takes away
 *	net-pair	tells that ports 1 and 2 talk, whenever one is added or set
 *	net-break	tells that port 1 broke its ring
 *	net-uplink	tells that all uplinks are down when it gets its first port, up with the third; of each it reports a
 *			failover, and when a daemon comes it tells all of that again
 *	net-uplink-team	has two uplinks, whatever its configuration says
 *	net-team-lie	reports what cannot be
 *	net-address	tells that the port uses 20 addresses, and lies
 */
#include "tests/fakes/fake-worker.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vmm-core/base/fdio.h"

static void net_event(struct fake *f, uint32_t kind, uint32_t a, uint32_t b)
{
	struct proto_net_event e = {.kind = kind, .a = a, .b = b};

	fake_send(f, PROTO_NET_EVENT, 0, 0, &e, sizeof(e), NULL, 0);
}

void fake_send_team(struct fake *f)
{
	struct net_team_state s = {.policy = NET_TEAM_PORT_ID,
		.by_port = 1,
		.n_members = (uint8_t)f->net.n_uplinks,
		.guests_up = f->uplinks_up,
		.n_active = f->uplinks_up && f->net.n_uplinks,
		.n_reports = f->n_reports,
		.test = f->test};

	memset(s.map, NET_TEAM_NO_MEMBER, sizeof(s.map));
	memset(s.map, 0, f->uplinks_up && f->net.n_uplinks ? 8 : 0);
	for (unsigned i = 0; i < f->net.n_uplinks; i++)
		s.members[i] = (struct net_team_member){.role = NET_ROLE_ACTIVE,
			.state = f->uplinks_up ? TEAM_MEMBER_UP : TEAM_MEMBER_DOWN,
			.cause = TEAM_CAUSE_LINK,
			.flags = f->uplinks_up ? NET_TEAM_LINK | NET_TEAM_ACTIVE : 0,
			.mbps = 1000,
			.since_ns = 1};
	fake_send(f, PROTO_TEAM_STATE, 0, 0, &s, sizeof(s), NULL, 0);
}

void fake_send_report(struct fake *f, unsigned number)
{
	struct net_team_report r = {.number = number,
		.well_ns = fake_now_ns() - 3000000,
		.detected_ns = fake_now_ns() - 2000000,
		.from = number % 2 && f->net.n_uplinks ? 0 : NET_TEAM_NO_MEMBER,
		.to = number % 2 || !f->net.n_uplinks ? NET_TEAM_NO_MEMBER : 0,
		.cause = TEAM_CAUSE_LINK,
		.detector = TEAM_BY_POLL,
		.frames_lost = 5,
		.ports_moved = 1,
		.macs_announced = 2,
		.n_macs = 1,
		.macs = {{.mac = {2, 0, 0, 0, 0, 1}, .vid = 10}}};

	r.switched_ns = r.detected_ns + 1000000;
	fake_send(f, PROTO_TEAM_REPORT, 0, 0, &r, sizeof(r), NULL, 0);
}

static void uplinks_change(struct fake *f, bool up)
{
	f->uplinks_up = up;
	fake_send_report(f, ++f->n_reports);
	fake_send_team(f);
}

void fake_team_test(struct fake *f, const struct fake_request *p)
{
	struct proto_team_test test;

	memcpy(&test, p->payload, sizeof(test));
	if (test.member > 1 || (test.member == 1 && f->test.phase == NET_TEST_OUT)) {
		fake_reply(f, p->header.seq, -EBUSY, "");
		return;
	}
	f->test = (struct net_team_test){.number = ++f->n_tests,
		.phase = test.member ? NET_TEST_OUT : NET_TEST_DONE,
		.member = (uint8_t)test.member,
		.was_active = 1,
		.moved = 3,
		.switched_ns = 1000,
		.first_out_ns = 2500000,
		.first_in_ns = UINT64_MAX,
		.back_ns = test.ms * UINT64_C(1000000)};
	fake_send_team(f);
	fake_reply(f, p->header.seq, 0, "");
}

void fake_start_network(struct fake *f, const struct fake_request *p)
{
	struct proto_start s;

	memcpy(&s, p->payload, sizeof(s));
	if (p->header.len != sizeof(s) || s.n_fds != p->n_fds || s.fds[0].kind != PROTO_FD_CONFIG ||
		memfd_read_sealed(p->fds[0], &f->net, sizeof(f->net)) < 0) {
		fake_reply(f, p->header.seq, -EINVAL, "START: malformed");
		return;
	}
	for (unsigned i = 0; i < p->n_fds; i++)
		if (s.fds[i].kind == PROTO_FD_STATS)
			f->net_stats = mmap(NULL, sizeof(*f->net_stats), PROT_READ | PROT_WRITE,
				MAP_SHARED, p->fds[i], 0);
	f->is_network = true;
	if (strstr(f->net.name, "net-uplink-team"))
		f->net.n_uplinks = 2;
	if (strstr(f->net.name, "net-fail")) {
		fake_reply(f, p->header.seq, -ENOMEM, "the switch: Cannot allocate memory");
		exit(1);
	}
	f->state = PROTO_VM_RUNNING;
	fake_reply(f, p->header.seq, 0, "");
}

static void count_mirrors(struct net_port_counters *c, const struct fake_request *p)
{
	struct proto_port port;

	memcpy(&port, p->payload, sizeof(port));
	net_count(&c->tx_gso, port.n_mirrors);
	for (unsigned i = 0; i < port.n_mirrors; i++)
		net_count(&c->rx_gso,
			port.mirrors[i].from * 100U + port.mirrors[i].to * 10U +
				port.mirrors[i].direction);
	net_count(&c->rx_multicast, (port.config.flags & NET_PORT_MIRROR) != 0);
}

static void tell_addresses(struct fake *f, const struct fake_request *p, uint32_t port)
{
	struct proto_net_event e = {.kind = PROTO_NET_ADDRESS, .a = port};
	struct proto_port message;

	memcpy(&message, p->payload, sizeof(message));
	memcpy(e.mac, message.config.mac, NET_MAC_LEN);
	for (unsigned i = 0; i < 20; i++) {
		e.ip = (struct net_ip){
			.family = 4, .prefix = 32, .bytes = {10, 9, 0, (uint8_t)(i + 1)}};
		fake_send(f, PROTO_NET_EVENT, 0, 0, &e, sizeof(e), NULL, 0);
		/* Another's address, and nonsense, are not believed. */
		e.mac[5] ^= 1;
		fake_send(f, PROTO_NET_EVENT, 0, 0, &e, sizeof(e), NULL, 0);
		e.mac[5] ^= 1;
		e.ip.family = 9;
		fake_send(f, PROTO_NET_EVENT, 0, 0, &e, sizeof(e), NULL, 0);
	}
}

/* When a port has come or changed. */
static void obey_name(struct fake *f, const struct fake_request *p, uint32_t port)
{
	if (strstr(f->net.name, "net-die") && f->n_ports == 2 &&
		access("/tmp/fake-worker-net-die", F_OK) == 0) {
		(void)unlink("/tmp/fake-worker-net-die");
		raise(SIGKILL);
	}
	if (strstr(f->net.name, "net-uplink") && p->header.type == PROTO_PORT_ADD &&
		f->n_ports % 2 == 1)
		uplinks_change(f, f->n_ports == 3);
	if (strstr(f->net.name, "net-team-lie")) {
		f->net.n_uplinks++;
		fake_send_team(f);
	}
	if (strstr(f->net.name, "net-pair"))
		net_event(f, PROTO_NET_PAIR, 1, 2);
	if (strstr(f->net.name, "net-break"))
		net_event(f, PROTO_NET_LINK_BROKEN, 1, 0);
	if (strstr(f->net.name, "net-address"))
		tell_addresses(f, p, port);
}

void fake_port(struct fake *f, const struct fake_request *p)
{
	struct net_port_counters *c;
	uint32_t port;

	memcpy(&port, p->payload, sizeof(port));
	c = &f->net_stats->ports[port];
	if (p->header.type == PROTO_PORT_ADD) {
		fake_reply(f, p->header.seq, p->n_fds == PROTO_LINK_FDS ? 0 : -EINVAL, "");
		net_count(&c->tx_packets, 1);
		count_mirrors(c, p);
		net_count(&c->rx_drops[NET_DROP_FULL], 3);
		net_count(&c->rx_dropped, 3);
		f->n_ports++;
	} else if (p->header.type == PROTO_PORT_SET) {
		fake_reply(f, p->header.seq, 0, "");
		net_count(&c->tx_bytes, 1);
	} else {
		fake_reply(f, p->header.seq, 0, "");
		net_count(&c->rx_packets, 1);
		return;
	}
	obey_name(f, p, port);
}
