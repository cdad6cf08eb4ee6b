/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * <vmmd:cpuid> of <metadata>: the leaves of CPUID that a domain was given, for another host to give again.
 *
 *	<vmmd:leaf number='0x7' subleaf='0x0' eax='0x0' ebx='0x18c05fdb' ecx='0x0' edx='0x0'/>
 *
 * 'subleaf' is there where it matters. Other attributes, and what stands below, have no meaning and are refused: a table that
 * is read in part is another one.
 *
 * Tested by tests/unit/test-domain-xml.c.
 */
#include <errno.h>
#include <string.h>

#include "config/domain-rules.h"
#include "vmm-core/base/cleanup.h"
#include "vmm-core/base/strutil.h"

static const struct attribute {
	const char *name;
	size_t offset;
	bool is_needed;
} attributes[] = {
	{"number", offsetof(struct vm_cpuid_leaf, leaf), true},
	{"subleaf", offsetof(struct vm_cpuid_leaf, subleaf), false},
	{"eax", offsetof(struct vm_cpuid_leaf, eax), true},
	{"ebx", offsetof(struct vm_cpuid_leaf, ebx), true},
	{"ecx", offsetof(struct vm_cpuid_leaf, ecx), true},
	{"edx", offsetof(struct vm_cpuid_leaf, edx), true},
};

static unsigned line_of(const struct xml_parser *p, const struct xml_place *place)
{
	return p->report->entries[place->entry].line;
}

static int read_attribute(struct xml_parser *p, xmlNode *node, const struct xml_place *place,
	const struct attribute *a, struct vm_cpuid_leaf *leaf)
{
	_cleanup_(freep) char *text = xml_attribute(node, a->name);
	bool is_subleaf = streq(a->name, "subleaf");
	uint64_t value;
	uint32_t number;

	if (!text && a->is_needed)
		return xml_fail(p, line_of(p, place), place->path, NULL,
			"no %s; write number, eax, ebx, ecx and edx", a->name);
	if (!text)
		return 0;
	if (parse_u64(text, is_subleaf ? ~VM_CPUID_INDEXED : UINT32_MAX, &value) < 0)
		return xml_fail(p, line_of(p, place), place->path, NULL,
			"%s '%.*s'; write a number of 32 bits, such as 0x80000001", a->name,
			xml_shown(text), text);
	number = (uint32_t)value | (is_subleaf ? VM_CPUID_INDEXED : 0);
	memcpy((char *)leaf + a->offset, &number, sizeof(number));
	return 0;
}

static bool is_known(const xmlAttr *attribute)
{
	for (size_t i = 0; i < ARRAY_SIZE(attributes); i++)
		if (streq((const char *)attribute->name, attributes[i].name))
			return !attribute->ns;
	return false;
}

int domain_parse_leaf(struct xml_parser *p, xmlNode *node, const struct xml_place *place)
{
	struct vm_config *vm = place->base[0];
	struct vm_cpuid_leaf leaf = {0};
	int r = 0;

	for (const xmlAttr *a = node->properties; a; a = a->next)
		if (!is_known(a))
			return xml_fail(p, line_of(p, place), place->path, NULL,
				"unknown attribute; write number, subleaf, eax, ebx, ecx and edx");
	if (xmlFirstElementChild(node))
		return xml_fail(
			p, line_of(p, place), place->path, NULL, "has children; remove them");
	if (vm->n_cpuid == VM_MAX_CPUID_LEAVES)
		return xml_fail(p, line_of(p, place), place->path, NULL,
			"more than %d leaves; remove some", VM_MAX_CPUID_LEAVES);
	for (size_t i = 0; i < ARRAY_SIZE(attributes) && r == 0; i++)
		r = read_attribute(p, node, place, &attributes[i], &leaf);
	if (r == 0)
		vm->cpuid[vm->n_cpuid++] = leaf;
	return r;
}

void domain_format_leaves(struct xml_formatter *f, const struct xml_rule *rule,
	const struct xml_place *place, unsigned depth, struct xml_buf *out)
{
	const struct vm_config *vm = place->base[0];

	(void)f;
	(void)rule;
	for (uint32_t i = 0; i < vm->n_cpuid; i++) {
		const struct vm_cpuid_leaf *leaf = &vm->cpuid[i];

		xml_buf_indent(out, depth);
		xml_buf_addf(out, "<vmmd:leaf number='0x%x'", leaf->leaf);
		if (leaf->subleaf & VM_CPUID_INDEXED)
			xml_buf_addf(out, " subleaf='0x%x'", leaf->subleaf & ~VM_CPUID_INDEXED);
		xml_buf_addf(out, " eax='0x%x' ebx='0x%x' ecx='0x%x' edx='0x%x'/>\n", leaf->eax,
			leaf->ebx, leaf->ecx, leaf->edx);
	}
}
