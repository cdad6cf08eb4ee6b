/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The canned vmmd: a domain's memory. Each has 256 MiB, and takes 200 MiB, in its definition 512 MiB. */
#include <errno.h>

#include "tests/fakes/fake-vmmd-internal.h"

#include "vmm-core/base/names.h"

int fake_on_set_memory(sd_bus_message *m, void *opaque, sd_bus_error *error)
{
	const struct fake_domain *d = fake_read_domain(opaque, m, error);
	const char *method = sd_bus_message_get_member(m);
	uint64_t kib;
	uint32_t flags;

	if (!d)
		return -ENOENT;
	(void)sd_bus_message_read(m, "tu", &kib, &flags);
	if (streq(method, "SetMaxMemory") && flags != 2 && d->id >= 0)
		return sd_bus_error_set(error, VMMD_ERROR_PREFIX "OperationInvalid",
			"Requested operation is not valid: cannot resize the maximum memory on an "
			"active domain");
	if (streq(method, "SetMemory") ? kib == 204800 : kib == 524288)
		return sd_bus_reply_method_return(m, "");
	return sd_bus_error_setf(error, VMMD_ERROR_PREFIX "InvalidArgument",
		"invalid argument: %s %llu %u", method, (unsigned long long)kib, flags);
}

int fake_on_set_stats_period(sd_bus_message *m, void *opaque, sd_bus_error *error)
{
	uint32_t seconds, flags;

	if (!fake_read_domain(opaque, m, error))
		return -ENOENT;
	(void)sd_bus_message_read(m, "uu", &seconds, &flags);
	if (seconds == 5 && flags <= 2)
		return sd_bus_reply_method_return(m, "");
	return sd_bus_error_setf(error, VMMD_ERROR_PREFIX "InvalidArgument",
		"invalid argument: %u %u", seconds, flags);
}

int fake_on_memory_stats(sd_bus_message *m, void *opaque, sd_bus_error *error)
{
	const struct fake_domain *d = fake_read_domain(opaque, m, error);

	if (!d)
		return -ENOENT;
	if (d->id < 0)
		return sd_bus_error_set(error, VMMD_ERROR_PREFIX "OperationInvalid",
			"Requested operation is not valid: domain is not running");
	return sd_bus_reply_method_return(m, "a{sv}", 9, "actual", "x", INT64_C(262144),
		"major_fault", "x", INT64_C(217), "unused", "x", INT64_C(150000), "available", "x",
		INT64_C(240000), "usable", "x", INT64_C(180000), "last_update", "x",
		INT64_C(1700000000), "rss", "x", INT64_C(50516), "given_back", "x", INT64_C(0),
		"reported", "x", INT64_C(4096));
}

int fake_on_mmu_stats(sd_bus_message *m, void *opaque, sd_bus_error *error)
{
	const struct fake_domain *d = fake_read_domain(opaque, m, error);

	if (!d)
		return -ENOENT;
	if (d->id < 0)
		return sd_bus_error_set(error, VMMD_ERROR_PREFIX "OperationInvalid",
			"Requested operation is not valid: domain is not running");
	return sd_bus_reply_method_return(m, "a{sv}", 4, "paging", "s", "ept", "pages_4k", "x",
		INT64_C(1234), "pages_2m", "x", INT64_C(56), "pf_taken", "x", INT64_C(78901));
}
