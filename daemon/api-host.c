/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Handlers about the host and the daemon itself. */
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "build-config.h"
#include "config/capabilities-xml.h"
#include "daemon/api.h"
#include "daemon/host.h"
#include "vmm-core/base/strutil.h"

static int reply_named(struct api_call *call, const char *name, struct json_object *value)
{
	struct json_object *out = json_object_new_object();

	json_object_object_add(out, name, value);
	api_call_reply(call, out);
	return 0;
}

int api_get_node_info(struct api_call *call, struct error *error)
{
	struct json_object *o = json_object_new_object();
	struct host_info h;

	(void)error;
	host_info_read(&h);
	json_object_object_add(o, "model", json_object_new_string(h.model));
	json_object_object_add(o, "memory_kib", json_object_new_uint64(h.memory_kib));
	json_object_object_add(o, "cpus", json_object_new_int64(h.cpus));
	json_object_object_add(o, "mhz", json_object_new_int64(h.mhz));
	json_object_object_add(o, "nodes", json_object_new_int64(h.nodes));
	json_object_object_add(o, "sockets", json_object_new_int64(h.sockets));
	json_object_object_add(o, "cores", json_object_new_int64(h.cores));
	json_object_object_add(o, "threads", json_object_new_int64(h.threads));
	return reply_named(call, "info", o);
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
	static const uint32_t page_kib[] = {4, 2048};
	_cleanup_(freep) char *xml = NULL;
	struct capabilities caps = {
		.page_kib = page_kib,
		.n_page_sizes = ARRAY_SIZE(page_kib),
		.has_kvm = access("/dev/kvm", F_OK) == 0,
		.max_vcpus = VM_MAX_VCPUS,
		.emulator = call->manager->worker_path,
	};
	struct host_info h;

	host_info_read(&h);
	memcpy(caps.host_uuid, h.uuid, sizeof(caps.host_uuid));
	(void)str_copy(caps.cpu_vendor, sizeof(caps.cpu_vendor), h.cpu_vendor);
	caps.family = h.cpu_family;
	caps.model = h.cpu_model;
	caps.stepping = h.cpu_stepping;
	caps.maxphysaddr_bits = h.physaddr_bits;
	caps.sockets = h.sockets;
	caps.dies = 1;
	caps.cores = h.cores;
	caps.threads = h.threads;
	caps.memory_kib = h.memory_kib;
	if (capabilities_xml_format(&caps, &xml) < 0)
		return error_set(error, ERROR_NO_MEMORY, "xml");
	return reply_named(call, "xml", json_object_new_string(xml));
}
