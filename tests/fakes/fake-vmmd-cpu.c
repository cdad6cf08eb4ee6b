/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The canned vmmd: vCPUs, pins and limits. Each domain has two vCPUs, of which one is on, and says what it was asked to change,
 * but for what works: vCPU 0, quotas, and hard limits.
 */
#include "tests/fakes/fake-vmmd-internal.h"

#include "vmm-core/base/cleanup.h"
#include "vmm-core/base/names.h"

#define FLAG_LIVE   1U
#define FLAG_CONFIG 2U

/* NULL, with the error set: there is no such configuration. */
static struct fake_domain *read_source(
	void *opaque, sd_bus_message *m, bool *ret_live, sd_bus_error *error)
{
	struct fake_domain *d = fake_read_domain(opaque, m, error);
	uint32_t flags = 0;

	if (!d)
		return NULL;
	(void)sd_bus_message_read(m, "u", &flags);
	*ret_live = flags != FLAG_CONFIG && d->id >= 0;
	if ((flags & FLAG_LIVE && d->id < 0) || (flags & FLAG_CONFIG && !d->persistent)) {
		(void)sd_bus_error_set(error, VMMD_ERROR_PREFIX "OperationInvalid",
			flags & FLAG_LIVE ? "Requested operation is not valid: domain is not "
					    "running"
					  : "Requested operation is not valid: transient domains "
					    "do not have any persistent config");
		return NULL;
	}
	return d;
}

static void append_vcpu(sd_bus_message *m, unsigned i, bool live)
{
	static const char *const affinities[] = {"1", "0-1"};

	(void)sd_bus_message_open_container(m, 'a', "{sv}");
	(void)sd_bus_message_append(m, "{sv}{sv}{sv}", "vcpu", "x", (int64_t)i, "online", "b",
		i == 0, "pin", "s", affinities[i]);
	if (live)
		(void)sd_bus_message_append(m, "{sv}{sv}{sv}{sv}", "state", "x", (int64_t)(i == 0),
			"cpu", "x", INT64_C(1), "cpu_time", "x", INT64_C(5240000000), "affinity",
			"s", affinities[i]);
	(void)sd_bus_message_close_container(m);
}

int fake_on_list_vcpus(sd_bus_message *m, void *opaque, sd_bus_error *error)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
	bool live;

	if (!read_source(opaque, m, &live, error))
		return -ENOENT;
	(void)sd_bus_message_new_method_return(m, &reply);
	(void)sd_bus_message_open_container(reply, 'a', "a{sv}");
	for (unsigned i = 0; i < 2; i++)
		append_vcpu(reply, i, live);
	(void)sd_bus_message_close_container(reply);
	return sd_bus_send(NULL, reply, NULL);
}

int fake_on_get_tune(sd_bus_message *m, void *opaque, sd_bus_error *error)
{
	bool live, memory = streq(sd_bus_message_get_member(m), "GetMemoryTune");

	if (!read_source(opaque, m, &live, error))
		return -ENOENT;
	if (memory)
		return sd_bus_reply_method_return(m, "a{sv}", 3, "hard_limit", "x",
			live ? INT64_C(327680) : INT64_C(9007199254740988), "soft_limit", "x",
			INT64_C(9007199254740988), "swap_hard_limit", "x",
			INT64_C(9007199254740988));
	return sd_bus_reply_method_return(m, "a{sv}", 10, "cpu_shares", "x",
		live ? INT64_C(100) : INT64_C(0), "vcpu_period", "x",
		live ? INT64_C(100000) : INT64_C(0), "vcpu_quota", "x",
		live ? INT64_C(-1) : INT64_C(0), "emulator_period", "x",
		live ? INT64_C(100000) : INT64_C(0), "emulator_quota", "x",
		live ? INT64_C(-1) : INT64_C(0), "global_period", "x",
		live ? INT64_C(100000) : INT64_C(0), "global_quota", "x",
		live ? INT64_C(-1) : INT64_C(0), "iothread_period", "x",
		live ? INT64_C(100000) : INT64_C(0), "iothread_quota", "x",
		live ? INT64_C(-1) : INT64_C(0), "emulator_pin", "s", "0-1");
}

int fake_on_set_pin(sd_bus_message *m, void *opaque, sd_bus_error *error)
{
	const char *method = sd_bus_message_get_member(m), *cpus;
	uint32_t vcpu = 0, flags;

	if (!fake_read_domain(opaque, m, error))
		return -ENOENT;
	if (streq(method, "SetVcpuPin"))
		(void)sd_bus_message_read(m, "u", &vcpu);
	(void)sd_bus_message_read(m, "su", &cpus, &flags);
	if (vcpu || streq(method, "SetEmulatorPin"))
		return sd_bus_error_setf(error, VMMD_ERROR_PREFIX "InvalidArgument",
			"invalid argument: %s %u '%s' %u", method, vcpu, cpus, flags);
	return sd_bus_reply_method_return(m, "");
}

/* t1 has two iothreads, of which the second runs on CPU 1 only; the others have none. */
int fake_on_list_iothreads(sd_bus_message *m, void *opaque, sd_bus_error *error)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
	struct fake_domain *d;
	bool live;

	d = read_source(opaque, m, &live, error);
	if (!d)
		return -ENOENT;
	(void)sd_bus_message_new_method_return(m, &reply);
	(void)sd_bus_message_open_container(reply, 'a', "a{sv}");
	for (unsigned i = 0; i < 2 && streq(d->name, "t1"); i++) {
		(void)sd_bus_message_open_container(reply, 'a', "{sv}");
		(void)sd_bus_message_append(reply, "{sv}{sv}", "iothread", "x", INT64_C(1) + 6 * i,
			"pin", "s", i ? "1" : "0-1");
		if (live)
			(void)sd_bus_message_append(reply, "{sv}{sv}{sv}", "cpu", "x", INT64_C(1),
				"cpu_time", "x", INT64_C(1240000000), "affinity", "s",
				i ? "1" : "0-1");
		(void)sd_bus_message_close_container(reply);
	}
	(void)sd_bus_message_close_container(reply);
	return sd_bus_send(NULL, reply, NULL);
}

/* With 3 it does as it is told. */
int fake_on_set_iothread(sd_bus_message *m, void *opaque, sd_bus_error *error)
{
	const char *method = sd_bus_message_get_member(m), *cpus = "";
	uint32_t id, flags;

	if (!fake_read_domain(opaque, m, error))
		return -ENOENT;
	(void)sd_bus_message_read(m, "u", &id);
	if (streq(method, "SetIothreadPin"))
		(void)sd_bus_message_read(m, "s", &cpus);
	(void)sd_bus_message_read(m, "u", &flags);
	if (id != 3)
		return sd_bus_error_setf(error, VMMD_ERROR_PREFIX "InvalidArgument",
			"invalid argument: %s %u '%s' %u", method, id, cpus, flags);
	return sd_bus_reply_method_return(m, "");
}

int fake_on_set_cpu_tune(sd_bus_message *m, void *opaque, sd_bus_error *error)
{
	char text[256] = "";
	const char *setting;
	uint32_t flags;

	if (!fake_read_domain(opaque, m, error))
		return -ENOENT;
	(void)sd_bus_message_enter_container(m, 'a', "s");
	while (sd_bus_message_read(m, "s", &setting) > 0)
		(void)snprintf(text + strlen(text), sizeof(text) - strlen(text), " %s", setting);
	(void)sd_bus_message_exit_container(m);
	(void)sd_bus_message_read(m, "u", &flags);
	if (!flags && (strstr(text, "_quota=") || strstr(text, "hard_limit=")))
		return sd_bus_reply_method_return(m, "");
	return sd_bus_error_setf(
		error, VMMD_ERROR_PREFIX "InvalidArgument", "invalid argument:%s %u", text, flags);
}

/* Up to 2 it does, 3 it is asked for and does not, and of the rest it says what it was asked. */
int fake_on_set_vcpus(sd_bus_message *m, void *opaque, sd_bus_error *error)
{
	uint32_t count, flags;

	if (!fake_read_domain(opaque, m, error))
		return -ENOENT;
	(void)sd_bus_message_read(m, "uu", &count, &flags);
	if (count > 3)
		return sd_bus_error_setf(error, VMMD_ERROR_PREFIX "InvalidArgument",
			"invalid argument: %u %u", count, flags);
	return sd_bus_reply_method_return(m, "b", count < 3);
}
