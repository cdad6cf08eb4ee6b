/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* struct domain_config in memory of its own: made with libvirt's defaults, freed. */
#include "config/domain-xml.h"

#include <string.h>
#include <sys/mman.h>

#include "config/xml-extra.h"
#include "vmm-core/base/cleanup.h"

/* It is all zeroes: what vm_config_init() would. */
static void set_defaults(struct domain_config *config)
{
	config->vm.magic = VM_CONFIG_MAGIC;
	config->vm.version = VM_CONFIG_VERSION;
	config->on_poweroff = DOMAIN_ACTION_DESTROY;
	config->on_reboot = DOMAIN_ACTION_RESTART;
	config->on_crash = DOMAIN_ACTION_DESTROY;
}

struct domain_config *domain_config_new(void)
{
	/* Most of it is pages that nobody touches, which cost nothing: not from the heap, where they would have been used before. */
	struct domain_config *config = mmap(
		NULL, sizeof(*config), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (config == MAP_FAILED)
		return NULL;
	set_defaults(config);
	return config;
}

void domain_config_reset(struct domain_config *config)
{
	xml_extra_free(config->extra);
	memset(config, 0, sizeof(*config));
	set_defaults(config);
}

struct domain_config *domain_config_free(struct domain_config *config)
{
	if (!config)
		return NULL;
	xml_extra_free(config->extra);
	(void)munmap(config, sizeof(*config));
	return NULL;
}
