/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * config/cpu-xml.h and daemon/cpu-compare.h: a text with processors in it, from whoever may compare them. What is accepted
 * can be written and read again, and is compared without a fault.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/cpu-compare.h"
#include "vmm-core/base/strutil.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds)
{
	if (!holds)
		abort();
}

static void check_again(const struct vm_cpu *cpu)
{
	struct cpu_definition *cpus = NULL;
	char *xml, *error = NULL;
	unsigned n;

	check(cpu_xml_format(cpu, &xml) == 0);
	check(cpu_xml_parse(xml, strlen(xml), "again", CPU_XML_VALID, &cpus, &n, &error) == 0);
	check(n == 1 && cpus[0].cpu.n_features == cpu->n_features &&
		streq(cpus[0].cpu.model, cpu->model));
	free(cpus);
	free(xml);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cpu_host host = {.vendor = CPU_VENDOR_INTEL};
	struct cpu_definition *cpus = NULL;
	struct error error;
	struct vm_cpu cpu;
	char *text = NULL;
	unsigned n = 0;

	if (cpu_xml_parse((const char *)data, size, "fuzz", 0, &cpus, &n, &text) < 0) {
		check(text && !strpbrk(text, "\n\t") && str_is_clean_utf8(text));
		free(text);
		return 0;
	}
	check(!text && n >= 1 && n <= CPU_XML_MAX);
	memset(&host.features, 0x5a, sizeof(host.features));
	for (unsigned i = 0; i < n; i++) {
		check_again(&cpus[i].cpu);
		check(cpu_compare(&host, &cpus[i], CPU_COMPARE_FAIL, &error) <= CPU_SUPERSET);
	}
	if (cpu_baseline(cpus, n, CPU_BASELINE_EXPAND | CPU_BASELINE_GUEST, &cpu, &error) == 0)
		check_again(&cpu);
	free(cpus);
	return 0;
}
