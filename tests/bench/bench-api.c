/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The same through the daemon: StartDomain and DestroyDomain over D-Bus, from the call to its answer, of a domain whose
 * guest halts. Destroy is answered when the worker is reaped and its locks are free.
 *
 *	DBUS_SESSION_BUS_ADDRESS=… bench-api KERNEL [ROUNDS]
 *
 * expects `vmmd --session` on that bus; tests/bench/run starts one of its own.
 */
#include <stdio.h>
#include <stdlib.h>
#include <systemd/sd-bus.h>

#include "tests/bench/measure.h"
#include "vmm-core/base/names.h"

#define MAX_ROUNDS 1000

static double call(sd_bus *bus, const char *method, const char *types, const char *domain)
{
	sd_bus_error error = SD_BUS_ERROR_NULL;
	double start = now_ms();

	if (sd_bus_call_method(bus, VMMD_BUS_NAME, VMMD_BUS_PATH, VMMD_BUS_INTERFACE, method,
		    &error, NULL, types, domain, 0) < 0) {
		fprintf(stderr, "%s: %s\n", method, error.message);
		exit(1);
	}
	return now_ms() - start;
}

static void row(const char *name, double *v, unsigned n)
{
	qsort(v, n, sizeof(*v), by_value);
	printf("| %s | ms | %.3f | %.3f | %.3f |\n", name, v[n / 2], v[0], v[n * 95 / 100]);
}

int main(int argc, char **argv)
{
	static double starts[MAX_ROUNDS], stops[MAX_ROUNDS];
	unsigned rounds = argc > 2 ? (unsigned)atoi(argv[2]) : 50;
	sd_bus_error error = SD_BUS_ERROR_NULL;
	char xml[8192];
	sd_bus *bus;

	if (argc < 2 || rounds < 1 || rounds > MAX_ROUNDS || sd_bus_open_user(&bus) < 0) {
		fprintf(stderr, "usage: bench-api KERNEL [ROUNDS], with a bus\n");
		return 1;
	}
	(void)snprintf(xml, sizeof(xml),
		"<domain type='kvm'><name>bench</name><memory>131072</memory><vcpu>1</vcpu>"
		"<os><type arch='x86_64' machine='q35'>hvm</type><kernel>%s</kernel>"
		"<cmdline>halt</cmdline></os></domain>",
		argv[1]);
	if (sd_bus_call_method(bus, VMMD_BUS_NAME, VMMD_BUS_PATH, VMMD_BUS_INTERFACE,
		    "DefineDomain", &error, NULL, "ssu", xml, "bench", 0) < 0) {
		fprintf(stderr, "DefineDomain: %s\n", error.message);
		return 1;
	}
	for (unsigned i = 0; i < rounds; i++) {
		starts[i] = call(bus, "StartDomain", "su", "bench");
		stops[i] = call(bus, "DestroyDomain", "su", "bench");
	}
	printf("| figure | unit | median | min | p95 |\n|---|---|---|---|---|\n");
	row("StartDomain to its answer", starts, rounds);
	row("P3 DestroyDomain to its answer", stops, rounds);
	(void)call(bus, "UndefineDomain", "su", "bench");
	sd_bus_unref(bus);
	return 0;
}
