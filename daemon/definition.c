/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Definitions at rest: see definition.h. */
#include "daemon/definition.h"

#include <errno.h>
#include <string.h>

#include "vmm-core/base/names.h"

/* Copy 's' to '*end' and move that on. */
static const char *put(char **end, const char *s)
{
	size_t size = strlen(s) + 1;
	char *copy = memcpy(*end, s, size);

	*end += size;
	return copy;
}

static size_t size_of(const struct domain_config *config, const char *xml)
{
	size_t size = sizeof(struct definition) + strlen(xml) + 1 + strlen(config->title) + 1 +
		config->vm.n_nics * (size_t)NET_MAC_LEN;

	for (uint32_t i = 0; i < config->vm.n_disks; i++)
		size += sizeof(struct definition_disk) + strlen(config->vm.disks[i].target) + 1 +
			strlen(config->disks[i].path) + 1;
	return size;
}

static void fill(struct definition *d, const struct domain_config *config, const char *xml)
{
	const struct vm_config *vm = &config->vm;
	char *end = (char *)&d->disks[vm->n_disks];
	uint8_t(*macs)[NET_MAC_LEN] = (uint8_t(*)[NET_MAC_LEN])end;

	end += vm->n_nics * (size_t)NET_MAC_LEN;
	for (uint32_t i = 0; i < vm->n_nics; i++)
		memcpy(macs[i], vm->nics[i].port.mac, NET_MAC_LEN);
	d->macs = (const uint8_t(*)[NET_MAC_LEN])macs;
	d->xml = put(&end, xml);
	d->title = put(&end, config->title);
	owner_set(&d->owner, config->owner);
	d->vcpus = vm->vcpus;
	d->vcpus_max = vm->vcpus_max;
	d->memory_kib = vm_config_total_kib(vm);
	d->current_memory_kib = vm->current_memory_kib ? vm->current_memory_kib : vm->memory_kib;
	d->n_nics = vm->n_nics;
	d->n_disks = vm->n_disks;
	for (uint32_t i = 0; i < vm->n_disks; i++)
		d->disks[i] = (struct definition_disk){
			.is_block = config->disks[i].type == DOMAIN_DISK_BLOCK,
			.is_cdrom = vm->disks[i].device == VM_DISK_DEVICE_CDROM,
			.target = put(&end, vm->disks[i].target),
			.path = put(&end, config->disks[i].path),
		};
}

int definition_new(const struct domain_config *config, struct definition **ret_definition)
{
	_cleanup_(freep) char *xml = NULL;
	struct definition *d;

	if (domain_xml_format(config, NULL, &xml) < 0)
		return -ENOMEM;
	if (strlen(xml) > VMMD_MAX_XML_BYTES)
		return -EFBIG;
	d = malloc(size_of(config, xml));
	if (!d)
		return -ENOMEM;
	fill(d, config, xml);
	*ret_definition = d;
	return 0;
}

struct definition *definition_free(struct definition *d)
{
	free(d);
	return NULL;
}

bool definition_has_mac(const struct definition *d, const uint8_t mac[NET_MAC_LEN])
{
	for (uint32_t i = 0; d && i < d->n_nics; i++)
		if (memcmp(d->macs[i], mac, NET_MAC_LEN) == 0)
			return true;
	return false;
}

int definition_parse(const struct definition *d, struct domain_config **ret_config)
{
	_cleanup_(freep) char *text = NULL;

	return domain_xml_parse(d->xml, strlen(d->xml), "definition", 0, ret_config, NULL, &text);
}
