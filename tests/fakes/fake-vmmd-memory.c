/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The canned vmmd: a domain's memory. Each has 256 MiB, and takes 200 MiB, in its definition 512 MiB. */
#include <errno.h>
#include <string.h>

#include "tests/fakes/fake-vmmd-internal.h"

#include "vmm-core/base/cleanup.h"
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

int fake_on_update_memory(sd_bus_message *m, void *opaque, sd_bus_error *error)
{
	const char *method = sd_bus_message_get_member(m), *what = "", *source = "";
	const struct fake_domain *d = fake_read_domain(opaque, m, error);
	uint32_t node = 0, flags;
	uint64_t kib = 0;

	if (!d)
		return -ENOENT;
	if (streq(method, "UpdateDevice"))
		(void)sd_bus_message_read(m, "ssu", &what, &source, &flags);
	else
		(void)sd_bus_message_read(m, "sutu", &what, &node, &kib, &flags);
	if (kib == 1048576 || strstr(what, "<memory"))
		return sd_bus_reply_method_return(m, "");
	return sd_bus_error_setf(error, VMMD_ERROR_PREFIX "InvalidArgument",
		"invalid argument: %s '%s' %u %llu %u", method, what, node, (unsigned long long)kib,
		flags);
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

/* t1's definition is as libvirt's when nothing is said; what runs may use node 0 alone. */
int fake_on_get_numa_tune(sd_bus_message *m, void *opaque, sd_bus_error *error)
{
	const struct fake_domain *d = fake_read_domain(opaque, m, error);
	uint32_t flags;

	if (!d)
		return -ENOENT;
	(void)sd_bus_message_read(m, "u", &flags);
	if ((flags & 1) && d->id < 0)
		return sd_bus_error_set(error, VMMD_ERROR_PREFIX "OperationInvalid",
			"Requested operation is not valid: domain is not running");
	return sd_bus_reply_method_return(m, "a{sv}", 2, "numa_mode", "s",
		flags == 2 || d->id < 0 ? "strict" : "restrictive", "numa_nodeset", "s",
		flags == 2 || d->id < 0 ? "" : "0");
}

int fake_on_set_numa_tune(sd_bus_message *m, void *opaque, sd_bus_error *error)
{
	char text[256] = "";
	const char *setting;
	uint32_t flags;

	if (!fake_read_domain(opaque, m, error))
		return -ENOENT;
	(void)sd_bus_message_enter_container(m, 'a', "s");
	while (sd_bus_message_read(m, "s", &setting) > 0)
		(void)snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s ", setting);
	(void)sd_bus_message_exit_container(m);
	(void)sd_bus_message_read(m, "u", &flags);
	if ((flags == 2 && streq(text, "numa_mode=preferred numa_nodeset=1 ")) ||
		(flags == 0 && streq(text, "numa_nodeset=0 ")))
		return sd_bus_reply_method_return(m, "");
	return sd_bus_error_set(error, VMMD_ERROR_PREFIX "OperationInvalid",
		"Requested operation is not valid: can't change numatune mode for running domain");
}

static int append_pages(sd_bus_message *m, int64_t free_pages, int64_t huge)
{
	return sd_bus_message_append(m, "{sv}", "pages", "aa{sv}", 2, 3, "size_kib", "x",
		INT64_C(4), "total", "x", INT64_C(3000000), "free", "x", free_pages, 3, "size_kib",
		"x", INT64_C(2048), "total", "x", INT64_C(64), "free", "x", huge);
}

static void append_node(
	sd_bus_message *m, int64_t id, int64_t total, int64_t free_kib, int64_t huge)
{
	(void)sd_bus_message_open_container(m, 'a', "{sv}");
	(void)sd_bus_message_append(m, "{sv}{sv}{sv}", "node", "x", id, "total_kib", "x", total,
		"free_kib", "x", free_kib);
	(void)append_pages(m, free_kib / 4, huge);
	(void)sd_bus_message_close_container(m);
}

/* The host has nodes 0 and 2. */
int fake_on_node_memory(sd_bus_message *m, void *opaque, sd_bus_error *error)
{
	sd_bus_message *reply = NULL;
	int r = sd_bus_message_new_method_return(m, &reply);

	(void)opaque;
	(void)error;
	if (r < 0)
		return r;
	(void)sd_bus_message_open_container(reply, 'a', "{sv}");
	(void)sd_bus_message_append(reply, "{sv}{sv}{sv}{sv}", "total_kib", "x", INT64_C(24684084),
		"free_kib", "x", INT64_C(20000000), "buffers_kib", "x", INT64_C(9408), "cached_kib",
		"x", INT64_C(825716));
	(void)sd_bus_message_open_container(reply, 'e', "sv");
	(void)sd_bus_message_append(reply, "s", "nodes");
	(void)sd_bus_message_open_container(reply, 'v', "aa{sv}");
	(void)sd_bus_message_open_container(reply, 'a', "a{sv}");
	append_node(reply, 0, 12342042, 12000000, 60);
	append_node(reply, 2, 12342042, 8000000, 0);
	(void)sd_bus_message_close_container(reply);
	(void)sd_bus_message_close_container(reply);
	(void)sd_bus_message_close_container(reply);
	(void)sd_bus_message_close_container(reply);
	r = sd_bus_send(NULL, reply, NULL);
	sd_bus_message_unref(reply);
	return r < 0 ? r : 1;
}

/* Says what it was asked for, as nobody else could see it. Of 2 MiB pages there are at most 100 on a node. */
int fake_on_alloc_pages(sd_bus_message *m, void *opaque, sd_bus_error *error)
{
	const char *nodes;
	uint32_t size_kib, flags;
	uint64_t count;

	(void)opaque;
	if (sd_bus_message_read(m, "utsu", &size_kib, &count, &nodes, &flags) < 0)
		return -EINVAL;
	if (size_kib != 2048)
		return sd_bus_error_setf(error, VMMD_ERROR_PREFIX "OperationFailed",
			"page size %u is not available on node 0", size_kib);
	if (count > 100)
		return sd_bus_error_setf(error, VMMD_ERROR_PREFIX "OperationFailed",
			"Unable to allocate %llu pages on node %s, flags %u. Allocated only 100",
			(unsigned long long)count, *nodes ? nodes : "(host)", flags);
	return sd_bus_reply_method_return(m, "");
}

/* Switched on and off by SetMemoryPolicy; of t1 it has taken something, of t2 it cannot. */
static bool policy_is_on;

static void append_decision(sd_bus_message *m, unsigned i)
{
	if (!i)
		(void)sd_bus_message_append(m, "a{sv}", 4, "time_us", "x",
			INT64_C(1700000000000000), "action", "s", "pressure", "available_kib", "x",
			INT64_C(716800), "pressure_some", "d", 12.34);
	else
		(void)sd_bus_message_append(m, "a{sv}", 8, "time_us", "x",
			INT64_C(1700000001000000) + i * INT64_C(1000000), "action", "s", "took",
			"reason", "s", "pressure", "domain", "s", "t1", "before_kib", "x",
			INT64_C(262144), "after_kib", "x", INT64_C(229376), "usable_kib", "x",
			INT64_C(102400), "available_kib", "x", INT64_C(716800));
}

int fake_on_get_policy(sd_bus_message *m, void *opaque, sd_bus_error *error)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;

	(void)opaque;
	(void)error;
	(void)sd_bus_message_new_method_return(m, &reply);
	(void)sd_bus_message_append(reply, "a{sv}", 8, "on", "b", (int)policy_is_on, "busy", "b",
		(int)policy_is_on, "pressure_some", "d", 12.34, "pressure_full", "d", 1.0,
		"total_kib", "x", INT64_C(16777216), "available_kib", "x", INT64_C(716800),
		"wanted_kib", "x", INT64_C(1677720), "room_kib", "x", INT64_C(2516580));
	(void)sd_bus_message_append(reply, "aa{sv}", 2, 9, "domain", "s", "t1", "weight", "x",
		INT64_C(100), "floor_kib", "x", INT64_C(131072), "reserve_kib", "x", INT64_C(16384),
		"ceiling_kib", "x", INT64_C(262144), "target_kib", "x", INT64_C(229376),
		"current_kib", "x", INT64_C(230400), "usable_kib", "x", INT64_C(70656), "taken_kib",
		"x", INT64_C(32768), 2, "domain", "s", "t2", "why_not", "s",
		"its memory is locked");
	(void)sd_bus_message_open_container(reply, 'a', "a{sv}");
	for (unsigned i = 0; i < 12; i++)
		append_decision(reply, i);
	(void)sd_bus_message_close_container(reply);
	return sd_bus_send(NULL, reply, NULL);
}

int fake_on_set_policy(sd_bus_message *m, void *opaque, sd_bus_error *error)
{
	int on = 0;

	(void)opaque;
	(void)error;
	(void)sd_bus_message_read(m, "b", &on);
	policy_is_on = on;
	return sd_bus_reply_method_return(m, "");
}
