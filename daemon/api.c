/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* THE method table, and the way of a call through it: see api.h. */
#include "daemon/api.h"

#include <stdio.h>
#include <string.h>

#include "daemon/auth.h"
#include "vmm-core/base/log.h"
#include "vmm-core/base/names.h"
#include "vmm-core/base/strutil.h"

#define READ   .action = API_ACTION_READ
#define MANAGE .action = API_ACTION_MANAGE

#define DOMAIN_FLAGS API_NAME(domain) API_NAME(flags)
#define XML_ARGS     API_NAME(xml) API_NAME(source) API_NAME(flags)

const struct api_method api_methods[] = {
	{.name = "ListDomains",
		.in = "u",
		.out = "aa{sv}",
		.names = API_NAME(flags) API_NAME(domains),
		READ,
		.handler = api_list_domains},
	{.name = "GetDomain",
		.in = "s",
		.out = "a{sv}",
		.names = API_NAME(domain) API_NAME(info),
		READ,
		.handler = api_get_domain},
	{.name = "GetDomainXml",
		.in = "su",
		.out = "s",
		.names = DOMAIN_FLAGS API_NAME(xml),
		READ,
		.handler = api_get_domain_xml},
	{.name = "DefineDomain",
		.in = "ssu",
		.out = "saa{sv}",
		.names = XML_ARGS API_NAME(name) API_NAME(report),
		MANAGE,
		.handler = api_define_domain},
	{.name = "CheckDomain",
		.in = "ssu",
		.out = "bsaa{sv}",
		.names = XML_ARGS API_NAME(accepted) API_NAME(error) API_NAME(report),
		READ,
		.handler = api_check_domain},
	{.name = "UndefineDomain",
		.in = "su",
		.out = "",
		.names = DOMAIN_FLAGS,
		MANAGE,
		.handler = api_undefine_domain},
	{.name = "CreateDomain",
		.in = "ssu",
		.out = "saa{sv}",
		.names = XML_ARGS API_NAME(name) API_NAME(report),
		MANAGE,
		.handler = api_create_domain},
	{.name = "StartDomain",
		.in = "su",
		.out = "",
		.names = DOMAIN_FLAGS,
		MANAGE,
		.handler = api_start_domain},
	{.name = "ShutdownDomain",
		.in = "s",
		.out = "",
		.names = API_NAME(domain),
		MANAGE,
		.handler = api_shutdown_domain},
	{.name = "RebootDomain",
		.in = "s",
		.out = "",
		.names = API_NAME(domain),
		MANAGE,
		.handler = api_reboot_domain},
	{.name = "ResetDomain",
		.in = "s",
		.out = "",
		.names = API_NAME(domain),
		MANAGE,
		.handler = api_reset_domain},
	{.name = "DestroyDomain",
		.in = "su",
		.out = "",
		.names = DOMAIN_FLAGS,
		MANAGE,
		.handler = api_destroy_domain},
	{.name = "SuspendDomain",
		.in = "s",
		.out = "",
		.names = API_NAME(domain),
		MANAGE,
		.handler = api_suspend_domain},
	{.name = "ResumeDomain",
		.in = "s",
		.out = "",
		.names = API_NAME(domain),
		MANAGE,
		.handler = api_resume_domain},
	{.name = "SetAutostart",
		.in = "sb",
		.out = "",
		.names = API_NAME(domain) API_NAME(on),
		MANAGE,
		.handler = api_set_autostart},
	{.name = "OpenConsole",
		.in = "ssu",
		.out = "h",
		.names = API_NAME(domain) API_NAME(device) API_NAME(flags) API_NAME(console),
		MANAGE,
		.handler = api_open_console},
	{.name = "ResizeConsole",
		.in = "ssuu",
		.out = "",
		.names = API_NAME(domain) API_NAME(device) API_NAME(columns) API_NAME(rows),
		MANAGE,
		.handler = api_resize_console},
	{.name = "ListDomainDisks",
		.in = "su",
		.out = "aa{sv}",
		.names = DOMAIN_FLAGS API_NAME(disks),
		READ,
		.handler = api_list_domain_disks},
	{.name = "AttachDevice",
		.in = "sssu",
		.out = "aa{sv}",
		.names = API_NAME(domain) XML_ARGS API_NAME(report),
		MANAGE,
		.handler = api_attach_device},
	{.name = "DetachDevice",
		.in = "sssu",
		.out = "b",
		.names = API_NAME(domain) XML_ARGS API_NAME(gone),
		MANAGE,
		.handler = api_detach_device},
	{.name = "ListNetworks",
		.in = "",
		.out = "aa{sv}",
		.names = API_NAME(networks),
		READ,
		.handler = api_list_networks},
	{.name = "GetNetwork",
		.in = "s",
		.out = "a{sv}",
		.names = API_NAME(network) API_NAME(info),
		READ,
		.handler = api_get_network},
	{.name = "GetNetworkXml",
		.in = "su",
		.out = "s",
		.names = API_NAME(network) API_NAME(flags) API_NAME(xml),
		READ,
		.handler = api_get_network_xml},
	{.name = "DefineNetwork",
		.in = "ssu",
		.out = "saa{sv}",
		.names = XML_ARGS API_NAME(name) API_NAME(report),
		MANAGE,
		.handler = api_define_network},
	{.name = "CreateNetwork",
		.in = "ssu",
		.out = "saa{sv}",
		.names = XML_ARGS API_NAME(name) API_NAME(report),
		MANAGE,
		.handler = api_create_network},
	{.name = "UndefineNetwork",
		.in = "s",
		.out = "",
		.names = API_NAME(network),
		MANAGE,
		.handler = api_undefine_network},
	{.name = "StartNetwork",
		.in = "s",
		.out = "",
		.names = API_NAME(network),
		MANAGE,
		.handler = api_start_network},
	{.name = "DestroyNetwork",
		.in = "s",
		.out = "",
		.names = API_NAME(network),
		MANAGE,
		.handler = api_destroy_network},
	{.name = "SetNetworkAutostart",
		.in = "sb",
		.out = "",
		.names = API_NAME(network) API_NAME(on),
		MANAGE,
		.handler = api_set_network_autostart},
	{.name = "UpdateNetwork",
		.in = "suuussu",
		.out = "",
		.names = API_NAME(network) API_NAME(command) API_NAME(section) API_NAME(parent)
			API_NAME(xml) API_NAME(source) API_NAME(flags),
		MANAGE,
		.handler = api_update_network},
	{.name = "ListNetworkForwards",
		.in = "su",
		.out = "aa{sv}",
		.names = API_NAME(network) API_NAME(flags) API_NAME(forwards),
		READ,
		.handler = api_list_network_forwards},
	{.name = "ListNetworkPorts",
		.in = "s",
		.out = "aa{sv}",
		.names = API_NAME(network) API_NAME(ports),
		READ,
		.handler = api_list_network_ports},
	{.name = "ListNetworkLeases",
		.in = "s",
		.out = "aa{sv}",
		.names = API_NAME(network) API_NAME(leases),
		READ,
		.handler = api_list_network_leases},
	{.name = "GetTeam",
		.in = "s",
		.out = "a{sv}",
		.names = API_NAME(network) API_NAME(team),
		READ,
		.handler = api_get_team},
	{.name = "GetTeamReports",
		.in = "su",
		.out = "aa{sv}",
		.names = API_NAME(network) API_NAME(last) API_NAME(reports),
		READ,
		.handler = api_get_team_reports},
	{.name = "TestTeam",
		.in = "ssuu",
		.out = "a{sv}",
		.names = API_NAME(network) API_NAME(member) API_NAME(ms) API_NAME(flags)
			API_NAME(result),
		MANAGE,
		.handler = api_test_team},
	{.name = "ListDomainInterfaces",
		.in = "su",
		.out = "aa{sv}",
		.names = DOMAIN_FLAGS API_NAME(interfaces),
		READ,
		.handler = api_list_domain_interfaces},
	{.name = "ListInterfaceAddresses",
		.in = "s",
		.out = "aa{sv}",
		.names = API_NAME(domain) API_NAME(addresses),
		READ,
		.handler = api_list_interface_addresses},
	{.name = "SetInterfaceLink",
		.in = "ssb",
		.out = "",
		.names = API_NAME(domain) API_NAME(interface) API_NAME(up),
		MANAGE,
		.handler = api_set_interface_link},
	{.name = "OpenCapture",
		.in = "ssuu",
		.out = "h",
		.names = API_NAME(domain) API_NAME(interface) API_NAME(direction) API_NAME(snaplen)
			API_NAME(capture),
		MANAGE,
		.handler = api_open_capture},
	{.name = "OpenNetworkCapture",
		.in = "ssuu",
		.out = "h",
		.names = API_NAME(network) API_NAME(uplink) API_NAME(direction) API_NAME(snaplen)
			API_NAME(capture),
		MANAGE,
		.handler = api_open_network_capture},
	{.name = "SetInterfaceTune",
		.in = "ssssu",
		.out = "",
		.names = API_NAME(domain) API_NAME(interface) API_NAME(inbound) API_NAME(outbound)
			API_NAME(flags),
		MANAGE,
		.handler = api_set_interface_tune},
	{.name = "GetDomainStats",
		.in = "asu",
		.out = "aa{sv}",
		.names = API_NAME(domains) API_NAME(groups) API_NAME(stats),
		READ,
		.handler = api_get_domain_stats},
	{.name = "GetCapabilities",
		.in = "",
		.out = "s",
		.names = API_NAME(xml),
		READ,
		.handler = api_get_capabilities},
	{.name = "GetNodeInfo",
		.in = "",
		.out = "a{sv}",
		.names = API_NAME(info),
		READ,
		.handler = api_get_node_info},
	{.name = "GetVersion",
		.in = "",
		.out = "a{sv}",
		.names = API_NAME(version),
		READ,
		.handler = api_get_version},
	{.name = "GetHostname",
		.in = "",
		.out = "s",
		.names = API_NAME(hostname),
		READ,
		.handler = api_get_hostname},
	{.name = "Ping", .in = "", .out = "", .names = "", .handler = api_ping},
};
const size_t n_api_methods = ARRAY_SIZE(api_methods);

const struct api_method *api_find_method(const char *name)
{
	const struct api_method *m;

	FOREACH_ELEMENT (m, api_methods)
		if (streq(m->name, name))
			return m;
	return NULL;
}

struct api_call *api_call_new(const struct api_method *method, struct manager *manager,
	const struct api_call_ops *ops, void *transport)
{
	struct api_call *call = calloc(1, sizeof(*call));

	if (!call)
		return NULL;
	call->n_ref = 1;
	call->method = method;
	call->manager = manager;
	call->ops = ops;
	call->transport = transport;
	return call;
}

struct api_call *api_call_ref(struct api_call *call)
{
	call->n_ref++;
	return call;
}

struct api_call *api_call_unref(struct api_call *call)
{
	struct error e = {0};

	if (!call || --call->n_ref)
		return NULL;
	if (!call->answered) {
		(void)error_set(&e, ERROR_INTERNAL, "the call was dropped");
		api_call_fail(call, &e);
	}
	call->ops->release(call);
	json_object_put(call->in);
	free(call);
	return NULL;
}

static void run(struct api_call *call)
{
	struct error e = {0};
	int r;

	r = call->ops->read_args(call, &call->in, &e);
	if (r == 0)
		r = call->method->handler(call, &e);
	if (r < 0) {
		if (e.code == ERROR_NONE)
			(void)error_set_errno(&e, r, "%s failed", call->method->name);
		api_call_fail(call, &e);
	}
}

static void on_authorised(void *userdata, bool allowed, const char *why)
{
	_cleanup_(api_call_unrefp) struct api_call *call = userdata;
	struct error e = {0};

	if (allowed) {
		run(call);
		return;
	}
	(void)error_set(&e, ERROR_ACCESS_DENIED, "%s needs %s: %s", call->method->name,
		call->method->action, why);
	api_call_fail(call, &e);
}

void api_dispatch(struct api_call *call, struct auth *auth)
{
	if (call->method->action)
		auth_check(auth, &call->peer, call->method->action, on_authorised, call);
	else
		on_authorised(call, true, "");
}

void api_call_reply(struct api_call *call, struct json_object *out)
{
	if (!call->answered) {
		call->answered = true;
		call->ops->reply(call, out, -EBADF);
	}
	json_object_put(out);
}

void api_call_reply_fd(struct api_call *call, int fd)
{
	if (!call->answered) {
		call->answered = true;
		call->ops->reply(call, NULL, fd);
	}
}

void api_call_fail(struct api_call *call, const struct error *error)
{
	if (!call->answered) {
		call->answered = true;
		log_debug("%s: %s", call->method->name, error->message);
		call->ops->fail(call, error);
	}
}

const char *api_arg_string(const struct api_call *call, const char *name)
{
	const char *s = json_object_get_string(json_object_object_get(call->in, name));

	return s ? s : "";
}

uint32_t api_arg_uint(const struct api_call *call, const char *name)
{
	return (uint32_t)json_object_get_int64(json_object_object_get(call->in, name));
}

bool api_arg_bool(const struct api_call *call, const char *name)
{
	return json_object_get_boolean(json_object_object_get(call->in, name));
}

struct domain *api_arg_domain(const struct api_call *call, struct error *error)
{
	return manager_find(call->manager, api_arg_string(call, "domain"), error);
}

int api_check_flags(const struct api_call *call, unsigned known, struct error *error)
{
	uint32_t flags = api_arg_uint(call, "flags");

	if (flags & ~known)
		return error_set(error, ERROR_INVALID_ARGUMENT, "%s: unsupported flags (0x%x)",
			call->method->name, flags & ~known);
	return 0;
}

void api_domain_path(const struct domain *domain, char ret[API_PATH_MAX])
{
	char uuid[UUID_STRING_LEN + 1];

	uuid_format(domain->uuid, uuid);
	for (char *p = uuid; *p; p++)
		if (*p == '-')
			*p = '_';
	(void)snprintf(ret, API_PATH_MAX, VMMD_DOMAIN_PATH "/%s", uuid);
}

void api_done(void *userdata, const struct error *error)
{
	_cleanup_(api_call_unrefp) struct api_call *call = userdata;

	if (error)
		api_call_fail(call, error);
	else
		api_call_reply(call, NULL);
}
