/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Handlers about the host and the daemon itself. Tested by tests/unit/test-dbus.c. */
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "build-config.h"
#include "daemon/api.h"
#include "daemon/doctor.h"
#include "daemon/host-caps.h"
#include "daemon/host.h"
#include "daemon/memory-limit.h"
#include "daemon/psi.h"
#include "daemon/sched-core.h"
#include "vmm-core/base/strutil.h"

static int reply_named(struct api_call *call, const char *name, struct json_object *value)
{
	struct json_object *out = json_object_new_object();

	json_object_object_add(out, name, value);
	api_call_reply(call, out);
	return 0;
}

/* What guests get from this host's KVM and kernel. */
static void add_kvm(struct json_object *o)
{
	int cores = sched_core_probe(), pressure;
	struct psi psi;
	uint64_t ns;

	if (host_halt_poll_max("", &ns) == 0)
		json_object_object_add(o, "halt_poll_ns", json_object_new_uint64(ns));
	json_object_object_add(o, "core_scheduling",
		json_object_new_string(cores == 0 ? "yes"
				: cores == -ENODEV
				? "not needed: there are no hyperthreads"
				: "no: this kernel has none (CONFIG_SCHED_CORE)"));
	pressure = psi_read(PSI_HOST_MEMORY, &psi);
	json_object_object_add(o, "pressure",
		json_object_new_string(pressure < 0 ? psi_why_not(pressure) : "yes"));
}

int api_get_node_info(struct api_call *call, struct error *error)
{
	struct json_object *o = json_object_new_object();
	struct memory_use use;
	struct host_info h;

	(void)error;
	host_info_read(&h);
	memory_use_read(call->manager, &use);
	json_object_object_add(o, "model", json_object_new_string(h.model));
	json_object_object_add(o, "memory_kib", json_object_new_uint64(h.memory_kib));
	json_object_object_add(o, "cpus", json_object_new_int64(h.cpus));
	json_object_object_add(o, "mhz", json_object_new_int64(h.mhz));
	json_object_object_add(o, "nodes", json_object_new_int64(h.nodes));
	json_object_object_add(o, "sockets", json_object_new_int64(h.sockets));
	json_object_object_add(o, "cores", json_object_new_int64(h.cores));
	json_object_object_add(o, "threads", json_object_new_int64(h.threads));
	json_object_object_add(o, "paging", json_object_new_string(h.paging));
	add_kvm(o);
	json_object_object_add(o, "domains_memory_kib", json_object_new_uint64(use.used_kib));
	json_object_object_add(o, "memory_limit_kib",
		json_object_new_uint64(call->manager->options.memory_limit_kib));
	return reply_named(call, "info", o);
}

int api_diagnose(struct api_call *call, struct error *error)
{
	(void)error;
	return reply_named(call, "findings", doctor_run(call->manager, ""));
}

int api_get_version(struct api_call *call, struct error *error)
{
	struct json_object *o = json_object_new_object();

	(void)error;
	json_object_object_add(o, "daemon", json_object_new_string(VMMD_VERSION));
	json_object_object_add(o, "api", json_object_new_string(API_VERSION));
	json_object_object_add(o, "hypervisor", json_object_new_string(VMMD_VERSION));
	return reply_named(call, "version", o);
}

int api_get_hostname(struct api_call *call, struct error *error)
{
	char name[HOST_NAME_MAX + 1] = "";

	if (gethostname(name, sizeof(name) - 1) < 0)
		return error_set_errno(error, errno, "cannot read the host's name");
	return reply_named(call, "hostname", json_object_new_string(name));
}

int api_ping(struct api_call *call, struct error *error)
{
	(void)error;
	api_call_reply(call, NULL);
	return 0;
}

int api_get_capabilities(struct api_call *call, struct error *error)
{
	_cleanup_(host_caps_freep) struct host_caps *caps = NULL;
	_cleanup_(freep) char *xml = NULL;

	if (host_caps_read(call->manager->worker_path, &caps) < 0 ||
		capabilities_xml_format(&caps->caps, &xml) < 0)
		return error_set(error, ERROR_NO_MEMORY, "xml");
	return reply_named(call, "xml", json_object_new_string(xml));
}
