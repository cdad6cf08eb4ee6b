/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* struct domain_config on the heap: made with libvirt's defaults, copied, freed. */
#include "config/domain-xml.h"

#include <string.h>

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
	/* Most of it is pages that nobody has touched, and stays so. */
	struct domain_config *config = calloc(1, sizeof(*config));

	if (config)
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
	free(config);
	return NULL;
}

int domain_config_copy(const struct domain_config *config, struct domain_config **ret_copy)
{
	struct domain_config *copy = malloc(sizeof(*copy));
	int r;

	if (!copy)
		return -ENOMEM;
	*copy = *config;
	copy->extra = NULL;
	r = xml_extra_copy(config->extra, &copy->extra);
	if (r < 0) {
		domain_config_free(copy);
		return r;
	}
	*ret_copy = copy;
	return 0;
}
