/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Verbs about devices that are attached to a domain and detached from it, with virsh's words. attach-interface and
 * detach-interface make the XML that attach-device and detach-device read from a file.
 *
 * Tested by tests/unit/test-verbs.c.
 */
#include "client/ctl-unknown.h"
#include "client/verbs.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#include "client/remote.h"
#include "client/verb-option.h"
#include "client/xml-file.h"
#include "vmm-core/base/strutil.h"

#define AFFECT_OPTIONS                                                                             \
	FLAG("persistent", "make live change persistent"), FLAG("config", "affect next boot"),     \
		FLAG("live", "affect running domain"), FLAG("current", "affect current domain")
#define DEVICE_FILE                                                                                \
	{                                                                                          \
		.name = "file", .type = OPTION_DATA, .completion = COMPLETE_FILE,                  \
		.required = true, .help = "XML file"                                               \
	}
#define INTERFACE_TYPE                                                                             \
	{                                                                                          \
		.name = "type", .type = OPTION_DATA, .required = true,                             \
		.help = "network interface type"                                                   \
	}

const struct verb_option device_options[] = {
	DOMAIN_OPTION(COMPLETE_DOMAIN),
	DEVICE_FILE,
	AFFECT_OPTIONS,
	{},
};

const struct verb_option attach_interface_options[] = {
	DOMAIN_OPTION(COMPLETE_DOMAIN),
	INTERFACE_TYPE,
	{.name = "source",
		.type = OPTION_DATA,
		.completion = COMPLETE_NETWORK,
		.required = true,
		.help = "source of network interface"},
	NAMED_STRING("target", "target network name"),
	NAMED_STRING("mac", "MAC address"),
	NAMED_STRING("script", "script used to bridge network interface"),
	NAMED_STRING("model", "model type"),
	NAMED_STRING("alias", "custom alias name of interface device"),
	NAMED_STRING("inbound", "control domain's incoming traffics"),
	NAMED_STRING("outbound", "control domain's outgoing traffics"),
	AFFECT_OPTIONS,
	FLAG("print-xml", "print XML document rather than attach the interface"),
	NAMED_STRING("source-mode", "mode attribute of <source/> element"),
	{},
};

const struct verb_option detach_interface_options[] = {
	DOMAIN_OPTION(COMPLETE_DOMAIN),
	INTERFACE_TYPE,
	NAMED_STRING("mac", "MAC address"),
	AFFECT_OPTIONS,
	FLAG("print-xml", "print XML document rather than detach the interface"),
	{},
};

#define AFFECT_LIVE   1U
#define AFFECT_CONFIG 2U
#define MAX_FIELDS    4 /* of --inbound: average, peak, burst, floor */

/* Which of the two is meant; --persistent is the definition, and what runs if the domain does. */
static int affect_flags(
	struct ctl *ctl, const struct args *args, const char *domain, uint32_t *ret_flags)
{
	uint32_t flags = 0;

	if (ctl_exclusive(ctl, args, "persistent", "current") < 0 ||
		ctl_exclusive(ctl, args, "current", "live") < 0 ||
		ctl_exclusive(ctl, args, "current", "config") < 0)
		return -EINVAL;
	if (args_flag(args, "config") || args_flag(args, "persistent"))
		flags |= AFFECT_CONFIG;
	if (args_flag(args, "live"))
		flags |= AFFECT_LIVE;
	if (args_flag(args, "persistent")) {
		_cleanup_(json_putp) struct json_object *info = NULL;

		if (remote_get_domain(ctl, domain, &info) < 0)
			return ctl_report_domain(ctl, domain);
		if (json_number(info, "id", -1) >= 0)
			flags |= AFFECT_LIVE;
	}
	/* Without any of them virsh means the running domain, and says so if it is none. */
	*ret_flags = flags || args_flag(args, "current") ? flags : AFFECT_LIVE;
	return 0;
}

static int attach(struct ctl *ctl, const char *domain, const char *xml, const char *source,
	uint32_t flags, const char *what, const char *kind)
{
	_cleanup_(json_putp) struct json_object *report = NULL;

	if (remote_call_one(ctl, "AttachDevice", &report, "sssu", domain, xml, source, flags) < 0)
		return ctl_fail_domain(ctl, domain, "Failed to attach %s", what);
	report_notes(ctl, report, source);
	return ctl_changed(ctl, domain, "attached", "%s attached successfully\n", kind);
}

static int detach(struct ctl *ctl, const char *domain, const char *xml, const char *source,
	uint32_t flags, const char *what, const char *kind)
{
	_cleanup_(json_putp) struct json_object *gone = NULL;

	if (remote_call_one(ctl, "DetachDevice", &gone, "sssu", domain, xml, source, flags) < 0)
		return ctl_fail_domain(ctl, domain, "Failed to detach %s", what);
	if (json_object_get_boolean(gone))
		return ctl_changed(ctl, domain, "detached", "%s detached successfully\n", kind);
	return ctl_changed(
		ctl, domain, "detach-requested", "%s detach request sent successfully\n", kind);
}

static int file_verb(struct ctl *ctl, const struct args *args, bool is_attach)
{
	const char *domain, *file = args_string(args, "file"), *source = xml_file_source(file);
	_cleanup_(freep) char *xml = NULL, *what = NULL;
	uint32_t flags;
	int r = ctl_domain_option(ctl, args, &domain);

	if (r < 0 || affect_flags(ctl, args, domain, &flags) < 0 ||
		xml_file_read(ctl, file, &xml) < 0)
		return -EINVAL;
	if (asprintf(&what, "device from %s", file) < 0) {
		what = NULL;
		return ctl_error(ctl, "out of memory");
	}
	return is_attach ? attach(ctl, domain, xml, source, flags, what, "Device")
			 : detach(ctl, domain, xml, source, flags, what, "Device");
}

int verb_attach_device(struct ctl *ctl, const struct args *args)
{
	return file_verb(ctl, args, true);
}

int verb_detach_device(struct ctl *ctl, const struct args *args)
{
	return file_verb(ctl, args, false);
}

int verb_update_device(struct ctl *ctl, const struct args *args)
{
	const char *domain, *file = args_string(args, "file"), *source = xml_file_source(file);
	_cleanup_(freep) char *xml = NULL;
	uint32_t flags;

	if (ctl_domain_option(ctl, args, &domain) < 0 ||
		affect_flags(ctl, args, domain, &flags) < 0 || xml_file_read(ctl, file, &xml) < 0)
		return -EINVAL;
	if (remote_call(ctl, "UpdateDevice", CTL_CALL_TIMEOUT_USEC, NULL, "sssu", domain, xml,
		    source, flags) < 0)
		return ctl_fail_domain(ctl, domain, "Failed to update device from %s", file);
	return ctl_changed(ctl, domain, "updated", "%s", "Device updated successfully\n");
}

/* XML of an interface, as virsh writes it. */

/* What an attribute cannot hold as it is. */
static void add_escaped(FILE *f, const char *s)
{
	for (; *s; s++) {
		const char *entity = *s == '&' ? "&amp;"
			: *s == '<'            ? "&lt;"
			: *s == '\''           ? "&apos;"
					       : NULL;

		if (entity)
			(void)fputs(entity, f);
		else
			(void)fputc(*s, f);
	}
}

static void add_element(FILE *f, const char *element, const char *attribute, const char *value)
{
	if (!value)
		return;
	(void)fprintf(f, "  <%s %s='", element, attribute);
	add_escaped(f, value);
	(void)fputs("'/>\n", f);
}

struct rate {
	const char *option;
	unsigned n;
	uint64_t fields[MAX_FIELDS]; /* 0: not given */
};

/* "average,peak,burst,floor", with as many of them as wanted. */
static int parse_rate(struct ctl *ctl, const struct args *args, struct rate *rate)
{
	static const char *const names[MAX_FIELDS] = {"average", "peak", "burst", "floor"};
	const char *text = args_string(args, rate->option), *s = text;

	for (; s; rate->n++) {
		size_t len = strcspn(s, ",");
		char field[32];

		if (rate->n == MAX_FIELDS)
			return ctl_error(ctl, "Rate string '%s' has too many fields", text);
		(void)snprintf(field, sizeof(field), "%.*s", (int)MIN(len, sizeof(field) - 1), s);
		if (len >= sizeof(field) ||
			(len && parse_u64(field, UINT64_MAX, &rate->fields[rate->n]) < 0))
			return ctl_error(ctl, "field '%s' is malformed", names[rate->n]);
		s = s[len] ? s + len + 1 : NULL;
	}
	if (!text)
		return 0;
	if (streq(rate->option, "outbound") && rate->fields[3])
		return ctl_error(ctl, "outbound floor is unsupported yet");
	if (!rate->fields[0] && !rate->fields[3])
		return streq(rate->option, "inbound")
			? ctl_error(ctl, "either inbound average or floor is mandatory")
			: ctl_error(ctl, "outbound average is mandatory");
	return 0;
}

static void add_rate(FILE *f, const struct rate *rate)
{
	static const char *const attributes[] = {"average", "peak", "burst", "floor"};
	static const unsigned order[] = {0, 1, 3, 2}; /* virsh's */

	if (!rate->n)
		return;
	(void)fprintf(f, "    <%s", rate->option);
	for (unsigned i = 0; i < MAX_FIELDS; i++)
		if (rate->fields[order[i]])
			(void)fprintf(f, " %s='%llu'", attributes[order[i]],
				(unsigned long long)rate->fields[order[i]]);
	(void)fputs("/>\n", f);
}

static void add_bandwidth(FILE *f, const struct rate *inbound, const struct rate *outbound)
{
	if (!inbound->n && !outbound->n)
		return;
	(void)fputs("  <bandwidth>\n", f);
	add_rate(f, inbound);
	add_rate(f, outbound);
	(void)fputs("  </bandwidth>\n", f);
}

/* What each type has as its source. */
static const struct {
	const char *type, *attribute;
} sources[] = {
	{"network", "network"},
	{"bridge", "bridge"},
	{"direct", "dev"},
};

static const char *source_attribute(const char *type)
{
	for (size_t i = 0; i < ARRAY_SIZE(sources); i++)
		if (streq(sources[i].type, type))
			return sources[i].attribute;
	return NULL;
}

static void add_source(FILE *f, const char *type, const char *source, const char *mode)
{
	(void)fprintf(f, "  <source %s='", source_attribute(type));
	add_escaped(f, source);
	if (mode)
		(void)fprintf(f, "' mode='%s", mode);
	(void)fputs("'/>\n", f);
}

static bool is_source_mode(const char *mode)
{
	static const char *const modes[] = {"vepa", "private", "bridge", "passthrough"};

	for (size_t i = 0; i < ARRAY_SIZE(modes); i++)
		if (streq(modes[i], mode))
			return true;
	return false;
}

static char *attach_xml(const struct args *args, const struct rate *in, const struct rate *out)
{
	const char *type = args_string(args, "type");
	char *xml = NULL;
	size_t len;
	FILE *f = open_memstream(&xml, &len);

	if (!f)
		return NULL;
	(void)fprintf(f, "<interface type='%s'>\n", type);
	add_source(f, type, args_string(args, "source"), args_string(args, "source-mode"));
	add_element(f, "target", "dev", args_string(args, "target"));
	add_element(f, "mac", "address", args_string(args, "mac"));
	add_element(f, "script", "path", args_string(args, "script"));
	add_element(f, "model", "type", args_string(args, "model"));
	add_element(f, "alias", "name", args_string(args, "alias"));
	add_bandwidth(f, in, out);
	(void)fputs("</interface>\n", f);
	if (fclose(f) != 0) {
		free(xml);
		return NULL;
	}
	return xml;
}

/* --print-xml: the document instead of the deed. */
static int print_xml(struct ctl *ctl, const char *xml)
{
	struct json_object *o;

	if (!ctl->json) {
		ctl_print(ctl, "%s", xml);
		return 0;
	}
	o = json_object_new_object();
	(void)json_object_object_add(o, "xml", json_object_new_string(xml));
	return ctl_json(ctl, o);
}

int verb_attach_interface(struct ctl *ctl, const struct args *args)
{
	struct rate in = {.option = "inbound"}, out = {.option = "outbound"};
	const char *type = args_string(args, "type"), *mode = args_string(args, "source-mode");
	_cleanup_(freep) char *xml = NULL;
	const char *domain;
	uint32_t flags;

	if (ctl_domain_option(ctl, args, &domain) < 0 ||
		affect_flags(ctl, args, domain, &flags) < 0)
		return -EINVAL;
	if (mode && !is_source_mode(mode))
		return ctl_error(ctl, "Invalid source mode: %s", mode);
	if (!source_attribute(type))
		return ctl_error(ctl, "No support for %s in command 'attach-interface'", type);
	if (parse_rate(ctl, args, &in) < 0 || parse_rate(ctl, args, &out) < 0)
		return -EINVAL;
	xml = attach_xml(args, &in, &out);
	if (!xml)
		return ctl_error(ctl, "out of memory");
	if (args_flag(args, "print-xml"))
		return print_xml(ctl, xml);
	return attach(ctl, domain, xml, "attach-interface", flags, "interface", "Interface");
}

/* Which interface 'type' and --mac mean. 0 with it, borrowed from 'list'; or -EINVAL, printed in two lines as virsh does. */
static int choose_interface(struct ctl *ctl, const struct args *args, struct json_object *list,
	struct json_object **ret)
{
	const char *type = args_string(args, "type"), *mac = args_string(args, "mac");
	unsigned n_type = 0, n = 0;

	for (size_t i = 0; i < json_object_array_length(list); i++) {
		struct json_object *nic = json_object_array_get_idx(list, i);

		if (!streq(json_string(nic, "type", ""), type))
			continue;
		n_type++;
		if (mac && strcasecmp(json_string(nic, "mac", ""), mac) != 0)
			continue;
		n++;
		*ret = nic;
	}
	if (n == 1)
		return 0;
	if (!n_type)
		(void)ctl_error(ctl, "No interface found whose type is %s", type);
	else if (!mac)
		(void)ctl_error(ctl,
			"Domain has %u interfaces. Please specify which one to detach using --mac",
			n_type);
	else if (!n)
		(void)ctl_error(ctl, "No interface with MAC address %s was found", mac);
	else
		(void)ctl_error(ctl,
			"Domain has multiple interfaces matching MAC address %s. You must use "
			"detach-device and specify the device pci address to remove it.",
			mac);
	return ctl_error(ctl, "Failed to detach interface");
}

static char *detach_xml(struct json_object *nic)
{
	const char *type = json_string(nic, "type", ""), *source = json_string(nic, "source", "");
	char *xml = NULL;
	size_t len;
	FILE *f = open_memstream(&xml, &len);

	if (!f)
		return NULL;
	(void)fprintf(f, "<interface type='%s'>\n", type);
	add_element(f, "mac", "address", json_string(nic, "mac", ""));
	if (*source && source_attribute(type))
		add_element(f, "source", source_attribute(type), source);
	add_element(f, "model", "type", json_string(nic, "model", "virtio"));
	(void)fputs("</interface>\n", f);
	if (fclose(f) != 0) {
		free(xml);
		return NULL;
	}
	return xml;
}

int verb_detach_interface(struct ctl *ctl, const struct args *args)
{
	_cleanup_(json_putp) struct json_object *list = NULL;
	struct json_object *nic = NULL;
	_cleanup_(freep) char *xml = NULL;
	const char *domain;
	uint32_t flags;

	if (ctl_domain_option(ctl, args, &domain) < 0 ||
		affect_flags(ctl, args, domain, &flags) < 0)
		return -EINVAL;
	if (remote_call_one(ctl, "ListDomainInterfaces", &list, "su", domain,
		    flags == AFFECT_CONFIG ? 1U : 0U) < 0)
		return ctl_report_domain(ctl, domain);
	if (choose_interface(ctl, args, list, &nic) < 0)
		return -EINVAL;
	xml = detach_xml(nic);
	if (!xml)
		return ctl_error(ctl, "out of memory");
	if (args_flag(args, "print-xml"))
		return print_xml(ctl, xml);
	return detach(ctl, domain, xml, "detach-interface", flags, "interface", "Interface");
}
