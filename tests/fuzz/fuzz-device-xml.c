/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * config/domain-device.h: one device as XML, from whoever may attach one. What is accepted makes a whole and valid domain,
 * and can be found in it and taken out again, which leaves the domain as it was.
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "config/domain-device.h"
#include "vmm-core/base/strutil.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char source[] =
	"<domain type='kvm'><name>n</name><uuid>11111111-1111-1111-1111-111111111111</uuid>"
	"<maxMemory slots='4'>8388608</maxMemory><memory>65536</memory>"
	"<os><type>hvm</type><kernel>/k</kernel></os><devices>"
	"<interface type='network'><mac address='52:54:00:00:00:01'/><source network='n'/>"
	"<kept/></interface></devices></domain>";

static void check(bool holds)
{
	if (!holds)
		abort();
}

static char *format(const struct domain_config *config)
{
	char *xml;

	check(domain_xml_format(config, NULL, &xml) == 0);
	return xml;
}

/* The canonical form of 'source', made once. */
static const char *domain_xml(void)
{
	static char *xml;
	struct domain_config *config;
	char *error;

	if (xml)
		return xml;
	check(domain_xml_parse(source, strlen(source), "s", 0, &config, NULL, &error) == 0);
	xml = format(config);
	domain_config_free(config);
	return xml;
}

static void check_error(int r, char *error)
{
	check((r != 0) == (error != NULL));
	check(!error || (!strpbrk(error, "\n\t") && str_is_clean_utf8(error)));
	free(error);
}

static void check_attached(const struct domain_config *config, const char *xml, size_t len)
{
	char *with = format(config), *without, *error;
	struct domain_config *again;
	struct vm_memory memory;
	unsigned index;
	int r;

	if (config->vm.n_memories) {
		check(config->vm.n_nics == 1 && vm_config_validate(&config->vm, NULL, 0) == 0);
		check(domain_device_find_memory(
			      &config->vm, xml, len, "fuzz", &index, &memory, &error) == 0);
		check(index == 0);
		check(domain_device_detach(with, DOMAIN_DEVICE_MEMORY, 0, &again) == 0);
		without = format(again);
		check(strcmp(without, domain_xml()) == 0);
		domain_config_free(again);
		free(without);
		free(with);
		return;
	}
	check(config->vm.n_nics == 2 && vm_config_validate(&config->vm, NULL, 0) == 0);
	r = domain_device_find(&config->vm, xml, len, "fuzz", &index, &error);
	/* An address or place of its own names this one; with neither there are two. */
	check(r == 0 ? index == 1 : r == -ENOTUNIQ || r == -ENODEV);
	check_error(r, error);
	check(domain_device_detach(with, DOMAIN_DEVICE_INTERFACE, 1, &again) == 0);
	without = format(again);
	check(strcmp(without, domain_xml()) == 0);
	domain_config_free(again);
	free(without);
	free(with);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct domain_device_defaults defaults = {.mac = {0x52, 0x54, 0, 0, 0, 2}};
	struct domain_config *config = NULL;
	struct contract_report *report = NULL;
	const char *xml = (const char *)data;
	char *error;
	int r;

	r = domain_device_attach(
		domain_xml(), xml, size, "fuzz", &defaults, &config, &report, &error);
	check((r == 0) == (config != NULL));
	check_error(r, error);
	for (size_t i = 0; report && i < report->n_entries; i++)
		check(strncmp(report->entries[i].path, "interface", 9) == 0);
	if (config)
		check_attached(config, xml, size);
	contract_report_free(report);
	domain_config_free(config);
	return 0;
}
