/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What domains may have of the host's memory: see memory-limit.h. */
#include "daemon/memory-limit.h"

#include <errno.h>
#include <string.h>

#include "daemon/cgroup.h"
#include "daemon/host.h"
#include "daemon/manager.h"
#include "vmm-core/base/strutil.h"

int memory_limit_parse(const char *text, uint64_t host_kib, uint64_t *ret_kib)
{
	static const struct {
		char suffix;
		unsigned shift; /* of KiB */
	} units[] = {{'K', 0}, {'M', 10}, {'G', 20}, {'T', 30}};
	size_t len = strlen(text);
	char digits[24];
	uint64_t n;

	if (streq(text, "none")) {
		*ret_kib = 0;
		return 0;
	}
	if (len < 2 || len > sizeof(digits))
		return -EINVAL;
	memcpy(digits, text, len - 1);
	digits[len - 1] = 0;
	if (parse_u64(digits, UINT64_MAX, &n) < 0 || !n)
		return -EINVAL;
	if (text[len - 1] == '%') {
		if (n > MEMORY_LIMIT_MAX_PERCENT || !host_kib)
			return -EINVAL;
		*ret_kib = MAX(host_kib / 100 * n, UINT64_C(1));
		return 0;
	}
	for (size_t i = 0; i < ARRAY_SIZE(units); i++)
		if (text[len - 1] == units[i].suffix && n <= UINT64_MAX >> 10 >> units[i].shift) {
			*ret_kib = n << units[i].shift;
			return 0;
		}
	return -EINVAL;
}

/* What the guest may have of its memory devices. */
static uint64_t plugged_kib(const struct domain_config *config)
{
	uint64_t kib = 0;

	for (uint32_t i = 0; i < config->vm.n_memories; i++)
		kib += MAX(config->vm.memories[i].requested_kib, config->memories[i].granted_kib);
	return kib;
}

uint64_t memory_granted_kib(const struct domain_config *config)
{
	return config->vm.memory_kib + plugged_kib(config);
}

uint64_t memory_ordinary_kib(const struct domain_config *config)
{
	return vm_config_ordinary_kib(&config->vm) +
		(config->vm.hugepage_kib ? 0 : plugged_kib(config));
}

uint64_t memory_need_kib(const struct domain_config *config)
{
	uint64_t kib = memory_ordinary_kib(config);

	kib += cgroup_memory_extra(kib) / 1024;
	return config->memtune.hard_kib ? MIN(kib, config->memtune.hard_kib) : kib;
}

static uint64_t locked_kib(const struct domain_config *config)
{
	bool locked =
		config->vm.memory_locked || config->vm.memory_allocation == VM_ALLOCATION_IMMEDIATE;

	return locked ? memory_ordinary_kib(config) : 0;
}

void memory_use_read(const struct manager *m, struct memory_use *ret)
{
	struct list *pos;

	*ret = (struct memory_use){0};
	list_for_each (pos, &m->domains) {
		const struct domain *d = list_entry(pos, struct domain, link);

		if (!domain_is_active(d) || !d->live)
			continue;
		ret->used_kib += memory_need_kib(d->live);
		ret->locked_kib += locked_kib(d->live);
	}
}

static unsigned long long mib(uint64_t kib)
{
	return (unsigned long long)(kib / 1024);
}

static uint64_t rest(uint64_t limit_kib, uint64_t used_kib)
{
	return limit_kib > used_kib ? limit_kib - used_kib : 0;
}

int memory_limit_check(
	const struct manager *m, const struct domain_config *config, struct error *error)
{
	uint64_t need = memory_need_kib(config), locked = locked_kib(config);
	uint64_t limit = m->options.memory_limit_kib, host = host_memory_kib();
	struct memory_use use;

	memory_use_read(m, &use);
	if (limit && need > rest(limit, use.used_kib))
		return error_set(error, ERROR_RESOURCE_BUSY,
			"domain '%s' needs %llu MiB, and of the %llu MiB that domains may have "
			"%llu MiB are free: stop another one, or raise vmmd --memory-limit",
			config->vm.name, mib(DIV_ROUND_UP(need, 1024) * 1024), mib(limit),
			mib(rest(limit, use.used_kib)));
	if (locked && host && locked > rest(host, use.locked_kib))
		return error_set(error, ERROR_RESOURCE_BUSY,
			"domain '%s' is to have %llu MiB at once, and of the host's %llu MiB "
			"other domains with <locked/> or <allocation mode='immediate'/> leave "
			"%llu MiB",
			config->vm.name, mib(locked), mib(host), mib(rest(host, use.locked_kib)));
	return 0;
}

int memory_limit_check_more(const struct manager *m, const struct domain_config *config,
	uint64_t more_kib, struct error *error)
{
	uint64_t limit = m->options.memory_limit_kib;
	struct memory_use use;

	/* Huge pages were set aside for somebody; with a hard limit it is that which counts. */
	if (!limit || !more_kib || config->vm.hugepage_kib || config->memtune.hard_kib)
		return 0;
	memory_use_read(m, &use);
	if (more_kib <= rest(limit, use.used_kib))
		return 0;
	return error_set(error, ERROR_RESOURCE_BUSY,
		"domain '%s' is to have %llu MiB more, and of the %llu MiB that domains may have "
		"%llu "
		"MiB are free: take some from another one, or raise vmmd --memory-limit",
		config->vm.name, mib(DIV_ROUND_UP(more_kib, 1024) * 1024), mib(limit),
		mib(rest(limit, use.used_kib)));
}
