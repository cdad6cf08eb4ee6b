/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* <cpu> by itself: see cpu-xml.h. Tested by tests/unit/test-cpu-xml.c. */
#include "config/cpu-xml.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "config/xml-buf.h"
#include "config/xml-read.h"
#include "config/xml-rule.h"
#include "vmm-core/base/cleanup.h"
#include "vmm-core/base/strutil.h"

struct reader {
	const char *source;
	uint32_t flags;
	struct cpu_definition *cpus;
	unsigned n;
	char **ret_error;
};

static int fail(const struct reader *r, const xmlNode *node, int error, const char *format, ...)
	_printf_(4, 5);

static int fail(const struct reader *r, const xmlNode *node, int error, const char *format, ...)
{
	_cleanup_(freep) char *text = NULL;
	va_list ap;
	int n;

	va_start(ap, format);
	n = vasprintf(&text, format, ap);
	va_end(ap);
	if (n < 0) {
		text = NULL;
		return -ENOMEM;
	}
	/* It may quote what is no name. */
	for (char *s = text; *s; s++)
		if (*s < ' ' || *s >= 0x7f)
			*s = '?';
	if (asprintf(r->ret_error, "%s:%ld: %s", r->source, node ? xmlGetLineNo(node) : 1, text) <
		0) {
		*r->ret_error = NULL;
		return -ENOMEM;
	}
	return error;
}

static bool is_element(const xmlNode *node, const char *name)
{
	return node->type == XML_ELEMENT_NODE && !node->ns && streq((const char *)node->name, name);
}

/* Words of attributes, by their values in struct vm_cpu; NULL ends a list. */
static const char *const modes[] = {[VM_CPU_MODE_DEFAULT] = "",
	[VM_CPU_MODE_HOST_PASSTHROUGH] = "host-passthrough",
	[VM_CPU_MODE_HOST_MODEL] = "host-model",
	[VM_CPU_MODE_MAXIMUM] = "maximum",
	[VM_CPU_MODE_CUSTOM] = "custom",
	NULL};
static const char *const matches[] = {"", "minimum", "exact", "strict", NULL};
static const char *const checks[] = {"", "none", "partial", "full", NULL};
static const char *const switches[] = {"", "on", "off", NULL};
static const char *const fallbacks[] = {"allow", "forbid", NULL};
static const char *const policies[] = {[VM_CPU_POLICY_DEFAULT] = "",
	[VM_CPU_POLICY_FORCE] = "force",
	[VM_CPU_POLICY_REQUIRE] = "require",
	[VM_CPU_POLICY_OPTIONAL] = "optional",
	[VM_CPU_POLICY_DISABLE] = "disable",
	[VM_CPU_POLICY_FORBID] = "forbid",
	NULL};

/* An attribute's word as a number, 0 when it is not there. */
static int read_word(const struct reader *r, const xmlNode *node, const char *attribute,
	const char *const *words, uint8_t *ret)
{
	_cleanup_(freep) char *text = xml_attribute(node, attribute);

	*ret = 0;
	if (!text)
		return 0;
	for (uint8_t i = 0; words[i]; i++)
		if (*words[i] && streq(text, words[i])) {
			*ret = i;
			return 0;
		}
	return fail(r, node, -EINVAL, "Invalid value for attribute '%s' in element '%s': '%.40s'",
		attribute, (const char *)node->name, text);
}

static int copy_text(const struct reader *r, const xmlNode *node, const char *text, char *ret,
	size_t size, const char *what)
{
	for (const char *s = text; *s; s++)
		if (*s <= ' ' || *s >= 0x7f)
			return fail(r, node, -EINVAL, "%s '%.40s' is no name", what, text);
	if (str_copy(ret, size, text) < 0)
		return fail(r, node, -EINVAL, "%s '%.40s' is too long", what, text);
	return 0;
}

static int read_text(const struct reader *r, xmlNode *node, char *ret, size_t size)
{
	xmlChar *raw = xmlNodeGetContent(node);
	char *text = (char *)raw, *end;
	int result;

	if (!raw)
		return -ENOMEM;
	text += strspn(text, " \t\r\n");
	for (end = text + strlen(text); end > text && strchr(" \t\r\n", end[-1]); end--)
		end[-1] = '\0';
	result = copy_text(r, node, text, ret, size, (const char *)node->name);
	xmlFree(raw);
	return result;
}

static int read_feature(const struct reader *r, xmlNode *node, struct cpu_definition *def)
{
	_cleanup_(freep) char *name = xml_attribute(node, "name");
	struct vm_cpu *cpu = &def->cpu;
	struct vm_cpu_feature *f = &cpu->features[cpu->n_features];
	int result;

	if (!name || !*name)
		return fail(r, node, -EINVAL, "Invalid CPU feature name");
	if (cpu->n_features == VM_MAX_CPU_FEATURES)
		return fail(r, node, -EINVAL, "more than %d CPU features", VM_MAX_CPU_FEATURES);
	result = copy_text(r, node, name, f->name, sizeof(f->name), "CPU feature");
	if (result == 0)
		result = read_word(r, node, "policy", policies, &f->policy);
	if (result < 0)
		return result;
	for (uint32_t i = 0; i < cpu->n_features; i++)
		if (streq(cpu->features[i].name, f->name))
			return fail(r, node, -EINVAL, "CPU feature '%s' specified more than once",
				f->name);
	cpu->n_features++;
	return 0;
}

static int read_model(const struct reader *r, xmlNode *node, struct cpu_definition *def)
{
	int result = read_word(r, node, "fallback", fallbacks, &def->cpu.fallback_forbid);

	return result < 0 ? result : read_text(r, node, def->cpu.model, sizeof(def->cpu.model));
}

static int read_vendor(const struct reader *r, xmlNode *node, struct cpu_definition *def)
{
	return read_text(r, node, def->cpu.vendor, sizeof(def->cpu.vendor));
}

static int read_arch(const struct reader *r, xmlNode *node, struct cpu_definition *def)
{
	def->host = true;
	return read_text(r, node, def->arch, sizeof(def->arch));
}

/* What <cpu> may have in it; without a function it says nothing here. */
static const struct {
	const char *name;
	int (*read)(const struct reader *r, xmlNode *node, struct cpu_definition *def);
} children[] = {
	{"arch", read_arch},
	{"model", read_model},
	{"vendor", read_vendor},
	{"feature", read_feature},
	{"microcode", NULL},
	{"signature", NULL},
	{"counter", NULL},
	{"topology", NULL},
	{"cache", NULL},
	{"maxphysaddr", NULL},
	{"pages", NULL},
	{"numa", NULL},
};

static int read_child(const struct reader *r, xmlNode *node, struct cpu_definition *def)
{
	for (size_t i = 0; i < ARRAY_SIZE(children); i++)
		if (is_element(node, children[i].name))
			return children[i].read ? children[i].read(r, node, def) : 0;
	if (r->flags & CPU_XML_VALID)
		return fail(r, node, -EINVAL,
			"XML document failed to validate: element '%.40s' in cpu is unknown",
			(const char *)node->name);
	return 0;
}

static int check_attributes(const struct reader *r, const xmlNode *node)
{
	static const char known[] = " mode match check migratable ";
	char word[64];

	for (const xmlAttr *a = node->properties; a && r->flags & CPU_XML_VALID; a = a->next) {
		(void)snprintf(word, sizeof(word), " %s ", (const char *)a->name);
		if (a->ns || !strstr(known, word))
			return fail(r, node, -EINVAL,
				"XML document failed to validate: attribute '%.40s' of cpu is "
				"unknown",
				(const char *)a->name);
	}
	return 0;
}

static int read_attributes(const struct reader *r, const xmlNode *node, struct vm_cpu *cpu)
{
	int result = check_attributes(r, node);

	if (result == 0)
		result = read_word(r, node, "mode", modes, &cpu->mode);
	if (result == 0)
		result = read_word(r, node, "match", matches, &cpu->match);
	if (result == 0)
		result = read_word(r, node, "check", checks, &cpu->check);
	if (result == 0)
		result = read_word(r, node, "migratable", switches, &cpu->migratable);
	return result;
}

static int read_cpu(struct reader *r, xmlNode *node)
{
	struct cpu_definition *def = &r->cpus[r->n];
	int result = 0;

	if (r->n == CPU_XML_MAX)
		return fail(r, node, -EINVAL, "more than %d processors", CPU_XML_MAX);
	*def = (struct cpu_definition){.line = (unsigned)xmlGetLineNo(node)};
	/* <mode> of domain capabilities is <cpu> with attributes of its own. */
	if (is_element(node, "cpu"))
		result = read_attributes(r, node, &def->cpu);
	for (xmlNode *child = node->children; result == 0 && child; child = child->next)
		if (child->type == XML_ELEMENT_NODE)
			result = read_child(r, child, def);
	if (result == 0 && def->host && def->cpu.match)
		result = fail(r, node, -EINVAL,
			"'arch' element cannot be used inside 'cpu' element with 'match' "
			"attribute");
	if (result == 0 && def->host && !*def->cpu.model)
		result = fail(r, node, -EINVAL, "Missing CPU model name");
	if (result == 0 && *def->cpu.model && def->cpu.mode == VM_CPU_MODE_DEFAULT)
		def->cpu.mode = VM_CPU_MODE_CUSTOM;
	r->n++;
	return result;
}

/* host-model of domain capabilities. */
static bool is_host_model(const xmlNode *node)
{
	_cleanup_(freep) char *name = xml_attribute(node, "name");
	_cleanup_(freep) char *supported = xml_attribute(node, "supported");

	return is_element(node, "mode") && name && streq(name, "host-model") && supported &&
		streq(supported, "yes");
}

/* Ways from the root to a processor: element by element. */
static const char *const ways[][4] = {{"cpu"}, {"domain", "cpu"}, {"capabilities", "host", "cpu"},
	{"domainCapabilities", "cpu", "mode"}};

static int walk(struct reader *r, xmlNode *parent, const char *const *way)
{
	int result = 0;

	for (xmlNode *node = parent->children; result == 0 && node; node = node->next) {
		if (!is_element(node, way[0]) || (streq(way[0], "mode") && !is_host_model(node)))
			continue;
		result = way[1] ? walk(r, node, way + 1) : read_cpu(r, node);
	}
	return result;
}

/* One document around all of them, without the declaration that only the first may have. */
static int read_tree(
	const char *xml, size_t len, const char *source, xmlDoc **ret_doc, char **ret_error)
{
	_cleanup_(freep) char *text = NULL;
	const char *end = memmem(xml, len, "?>", 2);
	size_t skip = 0;
	int n;

	if (len >= 5 && strncmp(xml, "<?xml", 5) == 0 && end)
		skip = (size_t)(end - xml) + 2;
	n = asprintf(&text, "<container>%.*s</container>", (int)(len - skip), xml + skip);
	if (n < 0) {
		text = NULL;
		return -ENOMEM;
	}
	return xml_read(text, (size_t)n, source, ret_doc, ret_error);
}

int cpu_xml_parse(const char *xml, size_t len, const char *source, uint32_t flags,
	struct cpu_definition **ret_cpus, unsigned *ret_n, char **ret_error)
{
	_cleanup_(freep) struct cpu_definition *cpus = NULL;
	_cleanup_(xml_doc_freep) xmlDoc *doc = NULL;
	struct reader r = {.source = source, .flags = flags, .ret_error = ret_error};
	int result;

	*ret_error = NULL;
	if (len > INT32_MAX)
		return fail(&r, NULL, -EBADMSG, "too long");
	result = read_tree(xml, len, source, &doc, ret_error);
	if (result < 0)
		return result;
	r.cpus = cpus = calloc(CPU_XML_MAX, sizeof(*cpus));
	if (!cpus)
		return -ENOMEM;
	for (size_t i = 0; result == 0 && i < ARRAY_SIZE(ways); i++)
		result = walk(&r, xmlDocGetRootElement(doc), ways[i]);
	if (result < 0)
		return result;
	if (!r.n)
		return fail(&r, NULL, -ENOENT,
			"no <cpu> element or valid domain XML, host capabilities XML, or domain "
			"capabilities XML");
	*ret_cpus = TAKE_PTR(cpus);
	*ret_n = r.n;
	return 0;
}

static void add_word(
	struct xml_buf *out, const char *attribute, const char *const *words, uint8_t value)
{
	if (*words[value])
		xml_buf_attr(out, attribute, words[value]);
}

int cpu_xml_format(const struct vm_cpu *cpu, char **ret_xml)
{
	struct xml_buf out = {0};

	xml_buf_add(&out, "<cpu");
	add_word(&out, "mode", modes, cpu->mode);
	add_word(&out, "match", matches, cpu->match);
	add_word(&out, "check", checks, cpu->check);
	xml_buf_add(&out, ">\n");
	xml_buf_add(&out, "  <model");
	xml_buf_attr(&out, "fallback", fallbacks[cpu->fallback_forbid]);
	xml_buf_add(&out, ">");
	xml_buf_escape(&out, cpu->model, false);
	xml_buf_add(&out, "</model>\n");
	if (*cpu->vendor) {
		xml_buf_add(&out, "  <vendor>");
		xml_buf_escape(&out, cpu->vendor, false);
		xml_buf_add(&out, "</vendor>\n");
	}
	for (uint32_t i = 0; i < cpu->n_features; i++) {
		xml_buf_add(&out, "  <feature");
		add_word(&out, "policy", policies, cpu->features[i].policy);
		xml_buf_attr(&out, "name", cpu->features[i].name);
		xml_buf_add(&out, "/>\n");
	}
	xml_buf_add(&out, "</cpu>\n");
	*ret_xml = xml_buf_take(&out);
	return *ret_xml ? 0 : -ENOMEM;
}
