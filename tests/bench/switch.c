/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the switch costs for a frame, without rings and devices: nanoseconds per frame of 64 bytes from one port to another
 * that only counts, in batches of 32. Prints the median of several runs; the number depends on the machine.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "devices/net/fdb.h"
#include "tests/fakes/fake-port.h"

#define N_RUNS   9
#define N_FRAMES 2000000
#define BATCH    32

struct bench {
	struct vswitch *sw;
	struct fake_port *ports;
	unsigned n_ports;
	struct fake_frame *frames;
};

static uint64_t now_ns(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* 'parse': with frame_init(), as a port does that has read it from a ring. */
static double run(struct bench *b, bool parse)
{
	uint64_t begin = now_ns();

	for (unsigned i = 0; i < N_FRAMES; i++) {
		struct fake_frame *f = &b->frames[i % b->n_ports];
		struct frame local, *frame = &f->frame;

		if (parse) {
			if (frame_init(&local, NULL, &f->iov, 1, f->len, FRAME_MAX, -1) !=
				NET_DROP_NONE)
				abort();
			frame = &local;
		}
		if (vswitch_input(b->sw, &b->ports[i % b->n_ports].port, frame, begin) != 0)
			abort();
		if (i % BATCH == BATCH - 1)
			vswitch_flush(b->sw);
	}
	return (double)(now_ns() - begin) / N_FRAMES;
}

static void measure(struct bench *b, const char *what, bool parse)
{
	double ns[N_RUNS];

	for (unsigned i = 0; i < N_RUNS; i++)
		ns[i] = run(b, parse);
	qsort(ns, N_RUNS, sizeof(ns[0]), compare);
	(void)printf("%-44s %6.1f ns/frame (best %.1f)\n", what, ns[N_RUNS / 2], ns[0]);
}

static int bench(unsigned n_ports, uint32_t flags, const char *what)
{
	const struct vswitch_config config = {.seed = {1, 2}};
	struct bench b = {.n_ports = n_ports};

	b.ports = calloc(n_ports, sizeof(*b.ports));
	b.frames = calloc(n_ports, sizeof(*b.frames));
	if (!b.ports || !b.frames || vswitch_new(&config, NULL, NULL, &b.sw) < 0)
		return 1;
	for (unsigned i = 0; i < n_ports; i++) {
		struct net_port_config port = {.flags = flags};
		uint8_t dst[NET_MAC_LEN];

		fake_port_init(&b.ports[i], PORT_VNIC, i);
		b.ports[i].only_count = true;
		fake_mac(i + 1, port.mac);
		if (vswitch_add(b.sw, &b.ports[i].port, &port) < 0)
			return 1;
		fake_mac((i + 1) % n_ports + 1, dst);
		(void)fake_frame(&b.frames[i], dst, port.mac, -1, 0x88b5, NULL, 50);
	}
	measure(&b, what, false);
	if (n_ports == 2)
		measure(&b, "likewise, with frame_init()", true);
	for (unsigned i = 0; i < n_ports; i++)
		vswitch_remove(b.sw, &b.ports[i].port);
	vswitch_free(b.sw);
	free(b.frames);
	free(b.ports);
	return 0;
}

/* The address table alone: lookups in turn of all 'n' (a power of two) that are in it. */
static int bench_fdb(unsigned n)
{
	const uint64_t seed[2] = {1, 2};
	struct fdb_port port;
	struct vlan vlan;
	struct fdb fdb;
	double ns[N_RUNS];
	uint64_t macs[4096];
	uint64_t found = 0;

	if (fdb_init(&fdb, seed) < 0 || vlan_init(&vlan, &(struct net_vlan){0}, false) < 0)
		return 1;
	fdb_port_init(&fdb, &port, &vlan);
	for (unsigned i = 0; i < n; i++) {
		uint8_t mac[NET_MAC_LEN];

		fake_mac(i, mac);
		macs[i] = fdb_mac(mac);
		if (fdb_add_static(&fdb, &port, macs[i]) < 0)
			return 1;
	}
	for (unsigned r = 0; r < N_RUNS; r++) {
		uint64_t begin = now_ns();

		for (unsigned i = 0; i < N_FRAMES; i++)
			found += fdb_find(&fdb, macs[i & (n - 1)], 0, 0) != NULL;
		ns[r] = (double)(now_ns() - begin) / N_FRAMES;
	}
	qsort(ns, N_RUNS, sizeof(ns[0]), compare);
	(void)printf(
		"lookup among %-4u addresses %30.1f ns (best %.1f)\n", n, ns[N_RUNS / 2], ns[0]);
	fdb_port_done(&fdb, &port);
	fdb_done(&fdb);
	return found != (uint64_t)N_RUNS * N_FRAMES;
}

int main(void)
{
	return bench(2, 0, "2 ports") || bench(NET_MAX_PORTS, 0, "256 ports") ||
		bench(2, NET_PORT_LEARN, "2 ports that learn") ||
		bench(2, NET_PORT_GUARD_ARP | NET_PORT_GUARD_IP | NET_PORT_GUARD_DHCP,
			"2 ports with guards") ||
		bench_fdb(256) || bench_fdb(4096);
}
