/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The fabric as a whole, without processes: vNICs (nic.c), the links between them (link.c) and a network's worker
 * (devices/fabric/network.c) on one loop, over real rings and bells (fabric-fixture.h). Many machines: test-fabric-scale.c.
 */
#include "tests/unit/fabric-fixture.h"

static void test_unicast(void **state)
{
	struct world *w = *state;
	struct vm *a = &w->vms[0], *b = &w->vms[1], *c = &w->vms[2];

	send_one(a, b->config.mac, 7);
	settle(w);
	assert_int_equal(b->n_seen, 1);
	assert_int_equal(b->seen[0], 7);
	assert_int_equal(b->seen_tci, -1);
	assert_int_equal(b->n_flushes, 1);
	assert_int_equal(a->n_seen + c->n_seen, 0);
	assert_int_equal(w->stats->ports[1].tx_packets, 1);
	assert_int_equal(w->stats->ports[2].rx_packets, 1);
	assert_int_equal(a->counters.tx_packets, 1);
	assert_int_equal(b->counters.rx_packets, 1);
	/* Nobody has this address, and there is no way out. */
	send_one(a, (const uint8_t[]){0x52, 0x54, 0, 0, 0, 99}, 8);
	settle(w);
	assert_int_equal(b->n_seen + c->n_seen, 1);
	assert_int_equal(w->stats->ports[1].tx_drops[NET_DROP_UNKNOWN], 1);
}

static void test_broadcast(void **state)
{
	struct world *w = *state;

	send_one(&w->vms[0], broadcast, 1);
	settle(w);
	assert_int_equal(w->vms[0].n_seen, 0);
	assert_int_equal(w->vms[1].n_seen, 1);
	assert_int_equal(w->vms[2].n_seen, 1);
}

/* A worker that was taken over sends what it likes: the network's worker does not believe it. */
static void test_spoofing_worker(void **state)
{
	struct world *w = *state;
	struct vm *a = &w->vms[0], *b = &w->vms[1], *c = &w->vms[2];
	struct net_port_config liar = a->config;

	liar.flags |= NET_PORT_ALLOW_FORGED;
	assert_int_equal(nic_reconfigure(a->nic, &liar), 0);
	memcpy(a->config.mac, c->config.mac, 6);
	send_one(a, b->config.mac, 1);
	settle(w);
	assert_int_equal(b->n_seen, 0);
	assert_int_equal(w->stats->ports[1].tx_drops[NET_DROP_SPOOF_MAC], 1);
}

static void test_vlans(void **state)
{
	struct net_port_config red = {.vlan = {.mode = NET_VLAN_ACCESS, .n_tags = 1, .tags = {10}}};
	struct net_port_config blue = {
		.vlan = {.mode = NET_VLAN_ACCESS, .n_tags = 1, .tags = {20}}};
	struct net_port_config trunk = {
		.vlan = {.mode = NET_VLAN_TRUNK, .n_tags = 2, .tags = {10, 20}}};
	struct world *w = *state;
	struct vm *r1 = add_vm(w, 3, &red), *r2 = add_vm(w, 4, &red), *b = add_vm(w, 5, &blue);
	struct vm *t = add_vm(w, 6, &trunk);

	assert_int_equal(link_star(w, r1), 0);
	assert_int_equal(link_star(w, r2), 0);
	assert_int_equal(link_star(w, b), 0);
	assert_int_equal(link_star(w, t), 0);
	send_one(r1, broadcast, 1);
	settle(w);
	assert_int_equal(r2->n_seen, 1);
	assert_int_equal(r2->seen_tci, -1);
	assert_int_equal(b->n_seen, 0);
	assert_int_equal(t->n_seen, 1);
	assert_int_equal(t->seen_tci & 0xfff, 10);
	forget(w);
	send_one(b, t->config.mac, 2);
	settle(w);
	assert_int_equal(t->n_seen, 1);
	assert_int_equal(t->seen_tci & 0xfff, 20);
}

/* More than the rings hold, to a guest that takes them slowly: nothing is lost, nothing is out of order. */
static void test_backpressure(void **state)
{
	struct world *w = *state;
	struct vm *a = &w->vms[0], *b = &w->vms[1];
	uint32_t sent = 0;

	b->room = 0;
	/* Both rings fill, then the sender is told to wait. */
	for (unsigned i = 0; i < 20000 && sent < 3000; i++) {
		a->has_space = false;
		while (sent < 3000 && send_frame(a, b->config.mac, sent, 1514, false) == 0)
			sent++;
		nic_flush(a->nic);
		while (!a->has_space && loop_run_once(w->loop, 0) > 0)
			;
		if (!a->has_space && sent < 3000) {
			b->room += 16;
			nic_ready(b->nic);
		}
	}
	assert_int_equal(sent, 3000);
	for (unsigned i = 0; i < 3000 && b->n_seen < 3000; i++) {
		b->room += 16;
		nic_ready(b->nic);
		settle_ms(w, 1);
	}
	/* What was dropped was dropped by a congested port, counted; the rest is in order. */
	assert_int_equal(b->n_seen + w->stats->ports[2].rx_drops[NET_DROP_FULL] +
			a->counters.tx_drops[NET_DROP_FULL],
		3000);
	for (unsigned i = 1; i < b->n_seen; i++)
		assert_true(b->seen[i] > b->seen[i - 1]);
}

/* A machine that never reads costs the others nothing but its own frames. */
static void test_dead_reader(void **state)
{
	struct world *w = *state;
	struct vm *a = &w->vms[0], *b = &w->vms[1], *c = &w->vms[2];
	unsigned refused = 0;

	b->room = 0;
	for (uint32_t i = 0; i < 2000; i++) {
		refused += send_frame(a, b->config.mac, i, 1514, true) != 0;
		assert_int_equal(send_frame(a, c->config.mac, i, 64, true), 0);
		nic_flush(a->nic);
		if (i % 8 == 0)
			settle_ms(w, 0);
	}
	settle(w);
	assert_int_equal(refused, 0);
	assert_int_equal(c->n_seen, 2000);
}

static void test_ring_broken(void **state)
{
	struct proto_port message = {.port = 9, .ring_data = RING};
	struct world *w = *state;
	struct ends e = make_ends();
	int fds[PROTO_LINK_FDS] = {e.own[0], e.peer[0], dup(e.bell[0]), dup(e.bell[1])};
	struct ring_words *words;
	uint64_t one = 1;

	message.config.mac[0] = 2;
	words = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, e.own[1], 0);
	assert_int_equal(network_port_add(w->network, &message, fds), 0);
	atomic_store(&words->tail, 1);
	assert_int_equal(write(e.bell[0], &one, sizeof(one)), sizeof(one));
	settle(w);
	assert_int_equal(w->n_events[PROTO_NET_LINK_BROKEN], 1);
	assert_int_equal(w->last.a, 9);
	/* The others never noticed, and the daemon can take it away. */
	send_one(&w->vms[0], w->vms[1].config.mac, 1);
	settle(w);
	assert_int_equal(w->vms[1].n_seen, 1);
	assert_int_equal(network_port_remove(w->network, 9), 0);
	assert_int_equal(network_port_remove(w->network, 9), -ENODEV);
	(void)munmap(words, 4096);
	close(e.own[1]);
	close(e.peer[1]);
	close_bells(&e);
}

static void test_port_refusals(void **state)
{
	struct world *w = *state;
	struct vm twin = w->vms[0], *a = &w->vms[0];
	struct proto_port message = {.port = 1, .config = a->config};
	int fds[PROTO_LINK_FDS];

	for (unsigned i = 0; i < 4; i++)
		fds[i] = dup(0);
	assert_int_equal(network_port_add(w->network, &message, fds), -EEXIST);
	message.port = NET_MAX_PORTS;
	for (unsigned i = 0; i < 4; i++)
		fds[i] = dup(0);
	assert_int_equal(network_port_add(w->network, &message, fds), -EINVAL);
	/* An address that another port has. */
	twin.number = 77;
	twin.nic = NULL;
	{
		struct ends e = make_ends();
		int ends[PROTO_LINK_FDS] = {e.own[0], e.peer[0], dup(e.bell[0]), dup(e.bell[1])};

		message = (struct proto_port){.port = 77, .ring_data = RING, .config = twin.config};
		assert_int_equal(network_port_add(w->network, &message, ends), -EEXIST);
		close(e.own[1]);
		close(e.peer[1]);
		close_bells(&e);
	}
	message.port = 50;
	assert_int_equal(network_port_set(w->network, &message), -ENODEV);
}

/* The network's worker died and another came: new rings, the same vNICs. */
static void test_new_star(void **state)
{
	struct world *w = *state;
	struct vm *a = &w->vms[0], *b = &w->vms[1];

	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(network_port_remove(w->network, i + 1), 0);
	send_one(a, b->config.mac, 1); /* into the void */
	settle(w);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(link_star(w, &w->vms[i]), 0);
	send_one(a, b->config.mac, 2);
	settle(w);
	assert_int_equal(b->n_seen, 1);
	assert_int_equal(b->seen[0], 2);
}

/* Direct links. */

static void test_direct(void **state)
{
	struct world *w = *state;
	struct vm *a = &w->vms[0], *b = &w->vms[1];
	struct nic_link_state links[NIC_MAX_LINKS];
	uint64_t through;

	add_direct(a, b, 5);
	assert_int_equal(nic_links(a->nic, links), 1);
	assert_false(links[0].in_use);
	assert_int_equal(nic_link_use(a->nic, 5, true), 0);
	assert_int_equal(nic_link_use(b->nic, 5, true), 0);
	settle(w);
	through = w->stats->ports[1].tx_packets;
	send_one(a, b->config.mac, 1);
	send_one(b, a->config.mac, 2);
	settle(w);
	assert_int_equal(b->n_seen, 1);
	assert_int_equal(a->n_seen, 1);
	assert_int_equal(w->stats->ports[1].tx_packets, through);
	assert_int_equal(nic_links(a->nic, links), 1);
	assert_int_equal(links[0].id, 5);
	assert_int_equal(links[0].peer_port, b->number);
	assert_true(links[0].in_use);
	assert_int_equal(links[0].frames, 2);
	/* Broadcasts go by the star still, and once. */
	send_one(a, broadcast, 3);
	settle(w);
	assert_int_equal(b->n_seen, 2);
	assert_int_equal(w->vms[2].n_seen, 1);
	/* The network's worker dies: the link lives on. */
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(network_port_remove(w->network, i + 1), 0);
	send_one(a, b->config.mac, 4);
	settle(w);
	assert_int_equal(b->n_seen, 3);
	assert_int_equal(nic_link_use(a->nic, 99, true), -ENOENT);
	assert_int_equal(nic_link_remove(a->nic, 99), -ENOENT);
	assert_int_equal(nic_link_remove(a->nic, 5), 0);
	assert_int_equal(nic_links(a->nic, links), 0);
	assert_int_equal(nic_link_remove(b->nic, 5), 0);
}

/* A direct link's peer is no more believed than the network's worker believes it. */
static void test_direct_spoof(void **state)
{
	struct world *w = *state;
	struct vm *a = &w->vms[0], *b = &w->vms[1], *c = &w->vms[2];
	struct net_port_config liar = a->config;

	add_direct(a, b, 5);
	assert_int_equal(nic_link_use(a->nic, 5, true), 0);
	assert_int_equal(nic_link_use(b->nic, 5, true), 0);
	settle(w);
	liar.flags |= NET_PORT_ALLOW_FORGED;
	assert_int_equal(nic_reconfigure(a->nic, &liar), 0);
	memcpy(a->config.mac, c->config.mac, 6);
	send_one(a, b->config.mac, 1);
	settle(w);
	assert_int_equal(b->n_seen, 0);
}

/* A pair goes from the star to a link of its own and back, again and again, with frames in flight all the time: none is
 * lost, none is out of order. */
static void test_path_changes(void **state)
{
	struct world *w = *state;
	struct vm *a = &w->vms[0], *b = &w->vms[1];
	uint32_t sent = 0, turn = 0;
	bool direct = false;

	add_direct(a, b, 5);
	while (sent < 4000) {
		if (send_frame(a, b->config.mac, sent, 200, false) == 0)
			sent++;
		if (sent % 7 == 0)
			nic_flush(a->nic);
		if (sent % 40 == 0 && sent / 40 > turn) {
			turn = sent / 40;
			direct = !direct;
			assert_int_equal(nic_link_use(a->nic, 5, direct), 0);
		}
		/* The loop turns once in a while, in the middle of everything. */
		if (sent % 13 == 0)
			(void)loop_run_once(w->loop, 0);
	}
	nic_flush(a->nic);
	settle_ms(w, 1500); /* a mark that was lost would come by its timeout */
	assert_int_equal(b->n_seen, 4000);
	for (unsigned i = 0; i < 4000; i++)
		assert_int_equal(b->seen[i], i);
}

static void add_direct_if_room(struct vm *a, struct vm *b, uint32_t id)
{
	struct nic_link_state links[NIC_MAX_LINKS];

	/* Those that go are not among them. */
	if (nic_links(a->nic, links) < NIC_MAX_LINKS / 4 &&
		nic_links(b->nic, links) < NIC_MAX_LINKS / 4)
		add_direct(a, b, id);
}

/* A direct link that was given up still holds frames, and the star waits behind it: when the guest has room the link is delivered, and
 * gone, while those that wait are gone through. With another one behind it, and with one alone. */
static void test_removed_on_retry(void **state)
{
	struct world *w = *state;
	struct vm *a = &w->vms[0], *b = &w->vms[1], *c = &w->vms[2];
	struct nic_link_state links[NIC_MAX_LINKS];

	for (unsigned i = 0; i < 2; i++) {
		forget(w);
		add_direct(a, b, 5);
		if (i)
			add_direct(c, b, 6);
		assert_int_equal(nic_link_use(a->nic, 5, true), 0);
		settle(w);
		b->room = 0;
		for (uint32_t n = 0; n < 3; n++)
			send_one(a, b->config.mac, n);
		settle(w);
		assert_int_equal(nic_link_use(a->nic, 5, false), 0);
		send_one(a, b->config.mac, 3);
		settle(w);
		assert_int_equal(nic_link_remove(a->nic, 5), 0);
		assert_int_equal(nic_link_remove(b->nic, 5), 0);
		assert_int_equal(nic_links(b->nic, links), i);
		assert_int_equal(b->n_seen, 0);
		b->room = UINT32_MAX;
		nic_ready(b->nic);
		settle(w);
		assert_int_equal(b->n_seen, 4);
		for (uint32_t n = 0; n < 4; n++)
			assert_int_equal(b->seen[n], n);
	}
}

/* The same, found by the bell of the link that goes: its peer has read what we had sent by it. */
static void test_removed_on_its_bell(void **state)
{
	struct world *w = *state;
	struct vm *a = &w->vms[0], *b = &w->vms[1];
	struct nic_link_state links[NIC_MAX_LINKS];
	uint32_t sent = 0;

	add_direct(a, b, 5);
	assert_int_equal(nic_link_use(a->nic, 5, true), 0);
	assert_int_equal(nic_link_use(b->nic, 5, true), 0);
	settle(w);
	a->room = b->room = 0;
	send_one(a, b->config.mac, 0);
	while (send_frame(b, a->config.mac, sent, 1514, false) == 0)
		sent++;
	nic_flush(b->nic);
	settle(w);
	assert_int_equal(nic_link_use(a->nic, 5, false), 0);
	send_one(a, b->config.mac, 1);
	settle(w);
	assert_int_equal(nic_link_remove(b->nic, 5), 0);
	assert_int_equal(b->n_seen, 0);
	b->room = a->room = UINT32_MAX;
	nic_ready(a->nic);
	settle(w);
	assert_int_equal(b->n_seen, 2);
	assert_int_equal(a->n_seen, sent);
	assert_int_equal(nic_links(b->nic, links), 0);
}

/* Whatever comes in whatever order: stars that are replaced, direct links that come, are used, and go at one end first, guests without room,
 * frames under way all the time. Nothing is looked at that is gone, and when all have room everybody hears everybody again. */
static void test_anything(void **state)
{
	struct world *w = *state;
	uint64_t seed = 1;
	uint32_t id = 1;

	for (unsigned i = 0; i < 6000; i++) {
		struct vm *a, *b;
		uint32_t n;

		seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
		n = (uint32_t)(seed >> 33);
		a = &w->vms[n % 3];
		b = &w->vms[(n % 3 + 1 + n / 3 % 2) % 3];
		switch (n / 6 % 16) {
		case 0:
			add_direct_if_room(a, b, id++);
			break;
		case 1:
		case 2:
			(void)nic_link_use(a->nic, 1 + n / 96 % id, n & 1024);
			break;
		case 3:
			(void)nic_link_remove(a->nic, n & 1024 ? 1 + n / 96 % id : NIC_ALL);
			break;
		case 4:
			a->room = n & 1024 ? 0 : n / 96 % 8;
			break;
		case 5:
		case 6:
			a->room = UINT32_MAX;
			nic_ready(a->nic);
			break;
		case 7:
			if (n / 96 % 16 == 0) {
				assert_int_equal(network_port_remove(w->network, a->number), 0);
				assert_int_equal(link_star(w, a), 0);
			}
			break;
		case 8:
		case 9:
			(void)loop_run_once(w->loop, 0);
			break;
		default:
			for (unsigned k = 0; k < 1 + n / 96 % 40; k++)
				(void)send_frame(
					a, n & 1 ? broadcast : b->config.mac, i, 1514, n & 2);
			nic_flush(a->nic);
			break;
		}
	}
	for (unsigned i = 0; i < 3; i++) {
		w->vms[i].room = UINT32_MAX;
		(void)nic_link_remove(w->vms[i].nic, NIC_ALL);
		nic_ready(w->vms[i].nic);
	}
	settle_ms(w, 1500);
	for (unsigned i = 0; i < 3; i++) {
		forget(w);
		send_one(&w->vms[i], broadcast, 1);
		settle(w);
		for (unsigned k = 0; k < 3; k++)
			assert_int_equal(w->vms[k].n_seen, k != i);
	}
}

static void test_pair_is_told(void **state)
{
	struct world *w = *state;

	for (uint32_t i = 0; i < 200; i++) {
		send_one(&w->vms[0], w->vms[1].config.mac, i);
		send_one(&w->vms[1], w->vms[0].config.mac, i);
		settle_ms(w, 0);
	}
	settle(w);
	assert_int_equal(w->n_events[PROTO_NET_PAIR], 1);
	assert_int_equal(w->last.a + w->last.b, 3);
}

/* Nobody sends: the loop sleeps. */
static void test_idle(void **state)
{
	struct world *w = *state;

	send_one(&w->vms[0], w->vms[1].config.mac, 1);
	settle(w);
	assert_int_equal(loop_run_once(w->loop, 300 * NSEC_PER_MSEC), 0);
}

/* Mirrors and captures. */

static struct vm *add_ids(struct world *w, const struct proto_mirror *mirrors, uint32_t n)
{
	struct net_port_config config = {.flags = NET_PORT_MIRROR | NET_PORT_PROMISCUOUS};
	struct vm *vm = add_vm(w, 3, &config);
	struct proto_port message = {
		.port = vm->number, .ring_data = RING, .config = vm->config, .n_mirrors = n};
	struct ends e = make_ends();
	int fds[PROTO_LINK_FDS] = {e.own[0], e.peer[0], dup(e.bell[0]), dup(e.bell[1])};
	struct nic_link end = nic_end(&e, 1, NIC_STAR);

	memcpy(message.mirrors, mirrors, n * sizeof(*mirrors));
	assert_int_equal(network_port_add(w->network, &message, fds), 0);
	assert_int_equal(nic_link_add(vm->nic, &end), 0);
	close_bells(&e);
	return vm;
}

/* A guest that is shown what two others send and are given: once, whatever it is. */
static void test_mirror_port(void **state)
{
	const struct proto_mirror mirrors[] = {
		{1, 4, CAPTURE_IN | CAPTURE_OUT}, {2, 4, CAPTURE_IN | CAPTURE_OUT}};
	struct world *w = *state;
	struct vm *a = &w->vms[0], *b = &w->vms[1], *c = &w->vms[2];
	struct vm *ids = add_ids(w, mirrors, 2);

	send_one(a, b->config.mac, 1);
	settle(w);
	assert_int_equal(b->n_seen, 1);
	assert_int_equal(ids->n_seen, 1);
	send_one(c, broadcast, 2);
	settle(w);
	assert_int_equal(ids->n_seen, 2);
	/* It is no member of the network: nobody reaches it, and it reaches nobody. */
	send_one(c, ids->config.mac, 3);
	settle(w);
	assert_int_equal(ids->n_seen, 2);
	forget(w);
	send_one(ids, b->config.mac, 4);
	send_one(ids, broadcast, 5);
	settle(w);
	assert_int_equal(a->n_seen + b->n_seen + c->n_seen + ids->n_seen, 0);
	assert_int_equal(w->stats->ports[4].tx_drops[NET_DROP_ISOLATED], 2);
	/* It goes, and its mirrors with it. */
	assert_int_equal(network_port_remove(w->network, 4), 0);
	send_one(a, b->config.mac, 6);
	settle(w);
	assert_int_equal(b->n_seen, 1);
	assert_int_equal(ids->n_seen, 0);
}

/* One that does not read loses copies, and delays nobody. */
static void test_mirror_without_room(void **state)
{
	const struct proto_mirror mirror = {1, 4, CAPTURE_OUT};
	struct world *w = *state;
	struct vm *a = &w->vms[0], *b = &w->vms[1], *ids = add_ids(w, &mirror, 1);

	ids->room = 0;
	for (uint32_t i = 0; i < 2000; i++) {
		assert_int_equal(send_frame(a, b->config.mac, i, 1514, false), 0);
		nic_flush(a->nic);
		settle_ms(w, 0);
	}
	settle(w);
	assert_int_equal(b->n_seen, 2000);
	assert_int_equal(
		ids->counters.rx_drops[NET_DROP_FULL] + w->stats->ports[4].rx_drops[NET_DROP_FULL],
		2000);
}

static void test_mirror_refusals(void **state)
{
	static const struct proto_mirror bad[] = {{1, 2, 3}, {1, 9, 3}, {9, 4, 3}, {4, 4, 3},
		{1, 4, 0}, {1, 4, 4}, {UINT16_MAX, 4, 1}, {1, UINT16_MAX, 1}};
	struct proto_port message = {
		.port = 4, .ring_data = RING, .config.flags = NET_PORT_MIRROR, .n_mirrors = 1};
	struct world *w = *state;

	for (size_t i = 0; i <= ARRAY_SIZE(bad); i++) {
		struct ends e = make_ends();
		int fds[PROTO_LINK_FDS] = {e.own[0], e.peer[0], dup(e.bell[0]), dup(e.bell[1])};

		if (i < ARRAY_SIZE(bad))
			message.mirrors[0] = bad[i];
		else
			message.n_mirrors = NET_MAX_MIRRORS + 1;
		assert_int_equal(network_port_add(w->network, &message, fds), -EINVAL);
		assert_int_equal(network_port_remove(w->network, 4), -ENODEV);
		(void)close(e.own[1]);
		(void)close(e.peer[1]);
		close_bells(&e);
	}
	/* A port does not become a mirror. */
	message.port = 1;
	message.config = w->vms[0].config;
	assert_int_equal(network_port_set(w->network, &message), 0);
	message.config.flags |= NET_PORT_MIRROR;
	assert_int_equal(network_port_set(w->network, &message), -EINVAL);
}

static int capture_reader(int (*start)(struct world *w, int fd), struct world *w)
{
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(start(w, pair[0]), 0);
	return pair[1];
}

static int start_of_nic(struct world *w, int fd)
{
	return nic_capture(w->vms[0].nic, CAPTURE_IN | CAPTURE_OUT, 200, fd, -EBADF);
}

static int start_of_network(struct world *w, int fd)
{
	const struct proto_capture what = {PROTO_CAPTURE_SWITCH, CAPTURE_IN | CAPTURE_OUT, 200};

	return network_capture(w->network, &what, fd, -EBADF);
}

/* Packets of a capture, and the directions of the last ones as bits. */
static unsigned count_captured(int reader, unsigned *ret_directions)
{
	uint8_t packet[1024];
	unsigned n = 0;

	*ret_directions = 0;
	while (recv(reader, packet, sizeof(packet), MSG_DONTWAIT) > 0) {
		n++;
		*ret_directions |= 1U << ((const struct capture_record *)(void *)packet)->direction;
	}
	return n;
}

static void test_captures(void **state)
{
	const struct proto_capture uplink = {0, CAPTURE_IN, 200};
	struct world *w = *state;
	struct vm *a = &w->vms[0], *b = &w->vms[1];
	int of_nic = capture_reader(start_of_nic, w),
	    of_network = capture_reader(start_of_network, w);
	unsigned directions;
	uint8_t byte;

	send_one(a, b->config.mac, 1);
	settle(w);
	send_one(b, a->config.mac, 2);
	settle(w);
	assert_int_equal(count_captured(of_nic, &directions), 2);
	assert_int_equal(directions, 1U << CAPTURE_IN | 1U << CAPTURE_OUT);
	assert_int_equal(count_captured(of_network, &directions), 2);
	assert_int_equal(directions, 1);
	/* By a direct link the network's worker sees nothing. */
	add_direct(a, b, 5);
	assert_int_equal(nic_link_use(a->nic, 5, true), 0);
	assert_int_equal(nic_link_use(b->nic, 5, true), 0);
	settle(w);
	send_one(a, b->config.mac, 3);
	settle(w);
	assert_int_equal(count_captured(of_nic, &directions), 1);
	assert_int_equal(count_captured(of_network, &directions), 0);
	/* What is watched goes: that is the end. There are no uplinks here. */
	assert_int_equal(network_capture(w->network, &uplink, dup(of_nic), -EBADF), -ENODEV);
	a->nic = nic_free(a->nic);
	assert_int_equal(recv(of_nic, &byte, 1, 0), 0);
	w->network = network_free(w->network);
	assert_int_equal(recv(of_network, &byte, 1, 0), 0);
	close(of_nic);
	close(of_network);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_unicast),
		TEST(test_broadcast),
		TEST(test_spoofing_worker),
		TEST(test_vlans),
		TEST(test_backpressure),
		TEST(test_dead_reader),
		TEST(test_ring_broken),
		TEST(test_port_refusals),
		TEST(test_new_star),
		TEST(test_direct),
		TEST(test_direct_spoof),
		TEST(test_path_changes),
		TEST(test_removed_on_retry),
		TEST(test_removed_on_its_bell),
		TEST(test_anything),
		TEST(test_pair_is_told),
		TEST(test_mirror_port),
		TEST(test_mirror_without_room),
		TEST(test_mirror_refusals),
		TEST(test_captures),
		TEST(test_idle),
	};

	int n_failed = cmocka_run_group_tests(tests, NULL, NULL);

	/* All of it once more, with a loop that looks before it sleeps. */
	fixture_poll_us = 200;
	return n_failed + cmocka_run_group_tests_name("polling", tests, NULL, NULL);
}
