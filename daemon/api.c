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
		.about = "The domains: active ones (flag 1), inactive ones (flag 2), or all (0).",
		.in = "u",
		.out = "aa{sv}",
		.names = API_NAME(flags) API_NAME(domains),
		.n_optional = 1,
		READ,
		.handler = api_list_domains},
	{.name = "GetDomain",
		.about = "What a domain is and does.",
		.in = "s",
		.out = "a{sv}",
		.names = API_NAME(domain) API_NAME(info),
		READ,
		.handler = api_get_domain},
	{.name = "GetDomainXml",
		.about = "A domain's XML: of what runs, or of its definition (flag 1).",
		.in = "su",
		.out = "s",
		.names = DOMAIN_FLAGS API_NAME(xml),
		.n_optional = 1,
		READ,
		.handler = api_get_domain_xml},
	{.name = "DefineDomain",
		.about = "Keep a definition: of a new domain, or in the place of the one with that "
			 "name and UUID.",
		.in = "ssu",
		.out = "saa{sv}",
		.names = XML_ARGS API_NAME(name) API_NAME(report),
		.n_optional = 2,
		MANAGE,
		.handler = api_define_domain},
	{.name = "CheckDomain",
		.about = "What DefineDomain would say, changing nothing.",
		.in = "ssu",
		.out = "bsaa{sv}",
		.names = XML_ARGS API_NAME(accepted) API_NAME(error) API_NAME(report),
		.n_optional = 2,
		READ,
		.handler = api_check_domain},
	{.name = "UndefineDomain",
		.about = "Forget a domain's definition; an active domain goes on as a transient "
			 "one.",
		.in = "su",
		.out = "",
		.names = DOMAIN_FLAGS,
		.n_optional = 1,
		MANAGE,
		.handler = api_undefine_domain},
	{.name = "CreateDomain",
		.about = "Start a domain without keeping a definition.",
		.in = "ssu",
		.out = "saa{sv}",
		.names = XML_ARGS API_NAME(name) API_NAME(report),
		.n_optional = 2,
		MANAGE,
		.handler = api_create_domain},
	{.name = "StartDomain",
		.about = "Start a defined domain; answered when the guest runs.",
		.in = "su",
		.out = "",
		.names = DOMAIN_FLAGS,
		.n_optional = 1,
		MANAGE,
		.handler = api_start_domain},
	{.name = "ShutdownDomain",
		.about = "Press the guest's power button.",
		.in = "s",
		.out = "",
		.names = API_NAME(domain),
		MANAGE,
		.handler = api_shutdown_domain},
	{.name = "RebootDomain",
		.about = "Ask the guest to reboot.",
		.in = "s",
		.out = "",
		.names = API_NAME(domain),
		MANAGE,
		.handler = api_reboot_domain},
	{.name = "ResetDomain",
		.about = "Reset the machine, as its reset button would.",
		.in = "s",
		.out = "",
		.names = API_NAME(domain),
		MANAGE,
		.handler = api_reset_domain},
	{.name = "DestroyDomain",
		.about = "End a domain's process; answered when it is gone.",
		.in = "su",
		.out = "",
		.names = DOMAIN_FLAGS,
		.n_optional = 1,
		MANAGE,
		.handler = api_destroy_domain},
	{.name = "SuspendDomain",
		.about = "Stop a domain's vCPUs.",
		.in = "s",
		.out = "",
		.names = API_NAME(domain),
		MANAGE,
		.handler = api_suspend_domain},
	{.name = "ResumeDomain",
		.about = "Let a suspended domain go on.",
		.in = "s",
		.out = "",
		.names = API_NAME(domain),
		MANAGE,
		.handler = api_resume_domain},
	{.name = "SetAutostart",
		.about = "Whether a domain is started with the host.",
		.in = "sb",
		.out = "",
		.names = API_NAME(domain) API_NAME(on),
		MANAGE,
		.handler = api_set_autostart},
	{.name = "OpenConsole",
		.about = "A stream to a serial port or console of a running domain.",
		.in = "ssu",
		.out = "h",
		.names = API_NAME(domain) API_NAME(device) API_NAME(flags) API_NAME(console),
		.n_optional = 2,
		MANAGE,
		.handler = api_open_console},
	{.name = "ResizeConsole",
		.about = "Tell a guest the size of the terminal at its console.",
		.in = "ssuu",
		.out = "",
		.names = API_NAME(domain) API_NAME(device) API_NAME(columns) API_NAME(rows),
		MANAGE,
		.handler = api_resize_console},
	{.name = "ListDomainDisks",
		.about = "A domain's disks.",
		.in = "su",
		.out = "aa{sv}",
		.names = DOMAIN_FLAGS API_NAME(disks),
		.n_optional = 1,
		READ,
		.handler = api_list_domain_disks},
	{.name = "AttachDevice",
		.about = "Give a domain a device: while it runs (flag 1), in its definition (flag "
			 "2).",
		.in = "sssu",
		.out = "aa{sv}",
		.names = API_NAME(domain) XML_ARGS API_NAME(report),
		.n_optional = 2,
		MANAGE,
		.handler = api_attach_device},
	{.name = "DetachDevice",
		.about = "Take a device from a domain: while it runs (flag 1), from its definition "
			 "(flag 2).",
		.in = "sssu",
		.out = "b",
		.names = API_NAME(domain) XML_ARGS API_NAME(gone),
		.n_optional = 2,
		MANAGE,
		.handler = api_detach_device},
	{.name = "ListNetworks",
		.about = "The networks.",
		.in = "",
		.out = "aa{sv}",
		.names = API_NAME(networks),
		READ,
		.handler = api_list_networks},
	{.name = "GetNetwork",
		.about = "What a network is and does.",
		.in = "s",
		.out = "a{sv}",
		.names = API_NAME(network) API_NAME(info),
		READ,
		.handler = api_get_network},
	{.name = "GetNetworkXml",
		.about = "A network's XML: of what runs, or of its definition (flag 1).",
		.in = "su",
		.out = "s",
		.names = API_NAME(network) API_NAME(flags) API_NAME(xml),
		.n_optional = 1,
		READ,
		.handler = api_get_network_xml},
	{.name = "DefineNetwork",
		.about = "Keep a definition of a network.",
		.in = "ssu",
		.out = "saa{sv}",
		.names = XML_ARGS API_NAME(name) API_NAME(report),
		.n_optional = 2,
		MANAGE,
		.handler = api_define_network},
	{.name = "CreateNetwork",
		.about = "Start a network without keeping a definition.",
		.in = "ssu",
		.out = "saa{sv}",
		.names = XML_ARGS API_NAME(name) API_NAME(report),
		.n_optional = 2,
		MANAGE,
		.handler = api_create_network},
	{.name = "UndefineNetwork",
		.about = "Forget a network's definition; an active network goes on as a transient "
			 "one.",
		.in = "s",
		.out = "",
		.names = API_NAME(network),
		MANAGE,
		.handler = api_undefine_network},
	{.name = "StartNetwork",
		.about = "Start a defined network; answered when its worker has it.",
		.in = "s",
		.out = "",
		.names = API_NAME(network),
		MANAGE,
		.handler = api_start_network},
	{.name = "DestroyNetwork",
		.about = "End a network; running domains stay, without it.",
		.in = "s",
		.out = "",
		.names = API_NAME(network),
		MANAGE,
		.handler = api_destroy_network},
	{.name = "SetNetworkAutostart",
		.about = "Whether a network is started with the host.",
		.in = "sb",
		.out = "",
		.names = API_NAME(network) API_NAME(on),
		MANAGE,
		.handler = api_set_network_autostart},
	{.name = "UpdateNetwork",
		.about = "Change one element of a network's XML.",
		.in = "suuussu",
		.out = "",
		.names = API_NAME(network) API_NAME(command) API_NAME(section) API_NAME(parent)
			API_NAME(xml) API_NAME(source) API_NAME(flags),
		.n_optional = 2,
		MANAGE,
		.handler = api_update_network},
	{.name = "ListNetworkForwards",
		.about = "The port forwards of a network.",
		.in = "su",
		.out = "aa{sv}",
		.names = API_NAME(network) API_NAME(flags) API_NAME(forwards),
		.n_optional = 1,
		READ,
		.handler = api_list_network_forwards},
	{.name = "ListNetworkPorts",
		.about = "The ports of an active network, with their counters.",
		.in = "s",
		.out = "aa{sv}",
		.names = API_NAME(network) API_NAME(ports),
		READ,
		.handler = api_list_network_ports},
	{.name = "ListNetworkLeases",
		.about = "The DHCP leases of a network.",
		.in = "s",
		.out = "aa{sv}",
		.names = API_NAME(network) API_NAME(leases),
		READ,
		.handler = api_list_network_leases},
	{.name = "GetTeam",
		.about = "The state of a network's team of uplinks.",
		.in = "s",
		.out = "a{sv}",
		.names = API_NAME(network) API_NAME(team),
		READ,
		.handler = api_get_team},
	{.name = "GetTeamReports",
		.about = "The last failovers of a network's team.",
		.in = "su",
		.out = "aa{sv}",
		.names = API_NAME(network) API_NAME(last) API_NAME(reports),
		.n_optional = 1,
		READ,
		.handler = api_get_team_reports},
	{.name = "TestTeam",
		.about = "Take a member of a team out of use for a while, and say what that did.",
		.in = "ssuu",
		.out = "a{sv}",
		.names = API_NAME(network) API_NAME(member) API_NAME(ms) API_NAME(flags)
			API_NAME(result),
		.n_optional = 2,
		MANAGE,
		.handler = api_test_team},
	{.name = "ListDomainInterfaces",
		.about = "A domain's interfaces.",
		.in = "su",
		.out = "aa{sv}",
		.names = DOMAIN_FLAGS API_NAME(interfaces),
		.n_optional = 1,
		READ,
		.handler = api_list_domain_interfaces},
	{.name = "ListInterfaceAddresses",
		.about = "The addresses that a domain's interfaces were seen with.",
		.in = "s",
		.out = "aa{sv}",
		.names = API_NAME(domain) API_NAME(addresses),
		READ,
		.handler = api_list_interface_addresses},
	{.name = "SetInterfaceLink",
		.about = "Plug a running domain's interface in, or out.",
		.in = "ssb",
		.out = "",
		.names = API_NAME(domain) API_NAME(interface) API_NAME(up),
		MANAGE,
		.handler = api_set_interface_link},
	{.name = "OpenCapture",
		.about = "The frames of a domain's interface, as packets of a socket.",
		.in = "ssuu",
		.out = "h",
		.names = API_NAME(domain) API_NAME(interface) API_NAME(direction) API_NAME(snaplen)
			API_NAME(capture),
		MANAGE,
		.handler = api_open_capture},
	{.name = "OpenNetworkCapture",
		.about = "The frames of a network's worker or uplink, as packets of a socket.",
		.in = "ssuu",
		.out = "h",
		.names = API_NAME(network) API_NAME(uplink) API_NAME(direction) API_NAME(snaplen)
			API_NAME(capture),
		MANAGE,
		.handler = api_open_network_capture},
	{.name = "SetInterfaceTune",
		.about = "Limit the rates of a domain's interface.",
		.in = "ssssu",
		.out = "",
		.names = API_NAME(domain) API_NAME(interface) API_NAME(inbound) API_NAME(outbound)
			API_NAME(flags),
		.n_optional = 3,
		MANAGE,
		.handler = api_set_interface_tune},
	{.name = "GetDomainStats",
		.about = "Statistics of some domains, or of all.",
		.in = "asu",
		.out = "aa{sv}",
		.names = API_NAME(domains) API_NAME(groups) API_NAME(stats),
		.n_optional = 2,
		READ,
		.handler = api_get_domain_stats},
	{.name = "GetCapabilities",
		.about = "What the host can, as libvirt's XML.",
		.in = "",
		.out = "s",
		.names = API_NAME(xml),
		READ,
		.handler = api_get_capabilities},
	{.name = "GetNodeInfo",
		.about = "The host's processors and memory.",
		.in = "",
		.out = "a{sv}",
		.names = API_NAME(info),
		READ,
		.handler = api_get_node_info},
	{.name = "GetVersion",
		.about = "The versions of the daemon and of this interface.",
		.in = "",
		.out = "a{sv}",
		.names = API_NAME(version),
		READ,
		.handler = api_get_version},
	{.name = "GetHostname",
		.about = "The host's name.",
		.in = "",
		.out = "s",
		.names = API_NAME(hostname),
		READ,
		.handler = api_get_hostname},
	{.name = "Ping",
		.about = "Nothing; it shows that vmmd is there.",
		.in = "",
		.out = "",
		.names = "",
		.handler = api_ping},
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
