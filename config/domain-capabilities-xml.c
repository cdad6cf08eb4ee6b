/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The <domainCapabilities> document: see domain-capabilities-xml.h. */
#include "config/domain-capabilities-xml.h"

#include <errno.h>

#include "config/xml-buf.h"
#include "vmm-core/base/strutil.h"

/* Elements that say yes or no, and what is to be chosen. What the tables of domain XML refuse is not here. */
struct enumeration {
	const char *name;
	const char *values[6];
};
struct capability {
	const char *name;
	bool supported;
	struct enumeration enums[3];
};

static const struct capability devices[] = {
	{"disk", true,
		{{"diskDevice", {"disk", "cdrom"}}, {"bus", {"virtio", "sata"}},
			{"model", {"virtio", "virtio-transitional", "virtio-non-transitional"}}}},
	{"graphics", false, {{NULL, {NULL}}}},
	{"video", false, {{NULL, {NULL}}}},
	{"hostdev", false, {{NULL, {NULL}}}},
	{"rng", true,
		{{"model", {"virtio", "virtio-transitional", "virtio-non-transitional"}},
			{"backendModel", {"random"}}}},
	{"filesystem", false, {{NULL, {NULL}}}},
	{"tpm", false, {{NULL, {NULL}}}},
	{"redirdev", false, {{NULL, {NULL}}}},
	{"channel", true, {{"type", {"pty", "unix"}}}},
};

static const struct capability features[] = {
	{"gic", false, {{NULL, {NULL}}}},
	{"vmcoreinfo", false, {{NULL, {NULL}}}},
	{"genid", true, {{NULL, {NULL}}}},
	{"backingStoreInput", false, {{NULL, {NULL}}}},
	{"backup", false, {{NULL, {NULL}}}},
};

static const struct capability memory_backing = {
	"memoryBacking", true, {{"sourceType", {"memfd"}}}};

static void add_capability(struct xml_buf *out, unsigned depth, const struct capability *c)
{
	bool empty = !c->enums[0].name;

	xml_buf_indent(out, depth);
	xml_buf_addf(out, "<%s supported='%s'%s>\n", c->name, c->supported ? "yes" : "no",
		empty ? "/" : "");
	for (const struct enumeration *e = c->enums; e < c->enums + ARRAY_SIZE(c->enums) && e->name;
		e++) {
		xml_buf_indent(out, depth + 1);
		xml_buf_addf(out, "<enum name='%s'>\n", e->name);
		for (size_t i = 0; i < ARRAY_SIZE(e->values) && e->values[i]; i++) {
			xml_buf_indent(out, depth + 2);
			xml_buf_addf(out, "<value>%s</value>\n", e->values[i]);
		}
		xml_buf_indent(out, depth + 1);
		xml_buf_add(out, "</enum>\n");
	}
	if (empty)
		return;
	xml_buf_indent(out, depth);
	xml_buf_addf(out, "</%s>\n", c->name);
}

static void add_migratable(struct xml_buf *out, const char *mode, const char *name)
{
	xml_buf_addf(out,
		"    <mode name='%s' supported='yes'>\n      <enum name='%s'>\n"
		"        <value>on</value>\n        <value>off</value>\n      </enum>\n"
		"    </mode>\n",
		mode, name);
}

static void add_host_model(struct xml_buf *out, const struct vm_cpu *cpu)
{
	xml_buf_add(out, "    <mode name='host-model' supported='yes'>\n");
	xml_buf_addf(out, "      <model fallback='forbid'>%s</model>\n", cpu->model);
	if (*cpu->vendor)
		xml_buf_addf(out, "      <vendor>%s</vendor>\n", cpu->vendor);
	for (uint32_t i = 0; i < cpu->n_features; i++) {
		xml_buf_addf(out, "      <feature policy='%s'",
			vm_enum_to_string(VM_ENUM_CPU_POLICY, cpu->features[i].policy));
		xml_buf_attr(out, "name", cpu->features[i].name);
		xml_buf_add(out, "/>\n");
	}
	xml_buf_add(out, "    </mode>\n");
}

static void add_models(struct xml_buf *out, const struct domain_capabilities *caps)
{
	xml_buf_add(out, "    <mode name='custom' supported='yes'>\n");
	for (unsigned i = 0; i < caps->n_models; i++) {
		const struct domain_capabilities_model *m = &caps->models[i];

		xml_buf_addf(out, "      <model usable='%s' vendor='%s'>%s</model>\n",
			*m->blockers ? "no" : "yes", m->vendor ?: "unknown", m->name);
		if (!*m->blockers)
			continue;
		xml_buf_addf(out, "      <blockers model='%s'>\n", m->name);
		for (const char *const *name = m->blockers; *name; name++)
			xml_buf_addf(out, "        <feature name='%s'/>\n", *name);
		xml_buf_add(out, "      </blockers>\n");
	}
	xml_buf_add(out, "    </mode>\n");
}

static void add_head(struct xml_buf *out, const struct domain_capabilities *caps)
{
	xml_buf_add(out, "  <path>");
	xml_buf_escape(out, caps->emulator, false);
	xml_buf_addf(out,
		"</path>\n  <domain>kvm</domain>\n  <machine>%s</machine>\n"
		"  <arch>x86_64</arch>\n  <vcpu max='%u'/>\n  <iothreads supported='yes'/>\n"
		"  <os supported='yes'>\n    <enum name='firmware'/>\n"
		"    <loader supported='no'/>\n  </os>\n",
		caps->machine, caps->max_vcpus);
}

int domain_capabilities_xml_format(const struct domain_capabilities *caps, char **ret_xml)
{
	struct xml_buf out = {0};

	xml_buf_add(&out, "<domainCapabilities>\n");
	add_head(&out, caps);
	xml_buf_add(&out, "  <cpu>\n");
	add_migratable(&out, "host-passthrough", "hostPassthroughMigratable");
	add_migratable(&out, "maximum", "maximumMigratable");
	add_host_model(&out, caps->host_model);
	add_models(&out, caps);
	xml_buf_add(&out, "  </cpu>\n");
	add_capability(&out, 1, &memory_backing);
	xml_buf_add(&out, "  <devices>\n");
	for (size_t i = 0; i < ARRAY_SIZE(devices); i++)
		add_capability(&out, 2, &devices[i]);
	xml_buf_add(&out, "  </devices>\n  <features>\n");
	for (size_t i = 0; i < ARRAY_SIZE(features); i++)
		add_capability(&out, 2, &features[i]);
	xml_buf_add(&out, "  </features>\n</domainCapabilities>\n");
	*ret_xml = xml_buf_take(&out);
	return *ret_xml ? 0 : -ENOMEM;
}
