/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Devices as XML of their own: see domain-device.h. Tested by tests/unit/test-domain-device.c. */
#include "config/domain-device.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "config/domain-rules.h"
#include "config/net-addr.h"
#include "config/xml-read.h"
#include "vmm-core/base/strutil.h"

#define ELEMENT "interface"

/* Where a refusal or a wrong value is told: one that is not of the device comes from the domain around it. */
static int fail(char **ret_error, int error, const char *source, long line, const char *text)
{
	if (asprintf(ret_error, "%s:%ld: %s", source, line > 0 ? line : 1, text) < 0) {
		*ret_error = NULL;
		return -ENOMEM;
	}
	return error;
}

/* The document of one device that is served. */
static int read_device(
	const char *xml, size_t len, const char *source, xmlDoc **ret_doc, char **ret_error)
{
	_cleanup_(xml_doc_freep) xmlDoc *doc = NULL;
	const xmlNode *root;
	char text[256];
	int r = xml_read(xml, len, source, &doc, ret_error);

	if (r < 0)
		return r;
	root = xmlDocGetRootElement(doc);
	if (!root)
		return fail(ret_error, -EINVAL, source, 1,
			"there is no element; write an <" ELEMENT ">");
	if (!streq((const char *)root->name, ELEMENT)) {
		(void)snprintf(text, sizeof(text),
			"<%.*s>: only an <" ELEMENT "> can be attached or detached; change the "
			"domain's definition instead, and start it anew",
			xml_shown((const char *)root->name), (const char *)root->name);
		return fail(ret_error, -EOPNOTSUPP, source, xmlGetLineNo(root), text);
	}
	*ret_doc = TAKE_PTR(doc);
	return 0;
}

/* Canonical XML has <devices>, if the domain has any. */
static xmlNode *find_devices(const xmlDoc *doc)
{
	const xmlNode *root = xmlDocGetRootElement(doc);

	for (xmlNode *node = root ? root->children : NULL; node; node = node->next)
		if (node->type == XML_ELEMENT_NODE && streq((const char *)node->name, "devices"))
			return node;
	return NULL;
}

static bool is_interface(const xmlNode *node)
{
	return node->type == XML_ELEMENT_NODE && !node->ns &&
		streq((const char *)node->name, ELEMENT);
}

/* The text without 'prefix', where it has it: paths begin at the device. */
static void cut_prefix(char *text, const char *prefix)
{
	char *at = strstr(text, prefix);
	size_t len = strlen(prefix);

	if (!at)
		return;
	/* "devices/interface[3]" becomes "interface". */
	memcpy(at, ELEMENT, strlen(ELEMENT));
	at += strlen(ELEMENT);
	memmove(at, at + len - strlen(ELEMENT), strlen(at + len - strlen(ELEMENT)) + 1);
}

/* What 'all' says of the device. */
static struct contract_report *report_of(const struct contract_report *all, const char *prefix)
{
	_cleanup_(contract_report_freep) struct contract_report *report = contract_report_new();
	size_t len = strlen(prefix);

	for (size_t i = 0; report && i < all->n_entries; i++) {
		const struct contract_entry *e = &all->entries[i];
		_cleanup_(freep) char *path = NULL;

		if (strncmp(e->path, prefix, len) != 0)
			continue;
		if (asprintf(&path, ELEMENT "%s", e->path + len) < 0) {
			path = NULL;
			return NULL;
		}
		if (contract_add(report, e->verdict, e->line, path, e->why) < 0)
			return NULL;
	}
	return TAKE_PTR(report);
}

static bool is_place_free(const struct vm_config *vm, unsigned slot)
{
	if ((vm->rng.pci.set && vm->rng.pci.slot == slot) ||
		(vm->balloon.pci.set && vm->balloon.pci.slot == slot) ||
		(vm->serial_controller_pci.set && vm->serial_controller_pci.slot == slot))
		return false;
	for (uint32_t i = 0; i < vm->n_disks; i++)
		if (vm->disks[i].pci.set && vm->disks[i].pci.slot == slot)
			return false;
	for (uint32_t i = 0; i < vm->n_nics; i++)
		if (vm->nics[i].pci.set && vm->nics[i].pci.slot == slot)
			return false;
	for (uint32_t i = 0; i < vm->n_memories; i++)
		if (vm->memories[i].pci.set && vm->memories[i].pci.slot == slot)
			return false;
	return true;
}

static void use_defaults(struct vm_config *vm, const struct domain_device_defaults *defaults)
{
	struct vm_nic *nic = &vm->nics[vm->n_nics - 1];

	if (net_mac_is_zero(nic->port.mac))
		memcpy(nic->port.mac, defaults->mac, NET_MAC_LEN);
	if (!nic->pci.set && defaults->pci.set && is_place_free(vm, defaults->pci.slot))
		nic->pci = defaults->pci;
}

static int parse_with_device(struct xml_parser *p, xmlDoc *doc,
	const struct domain_device_defaults *defaults, struct domain_config *config)
{
	int r = domain_parse_rules(p, doc, config);

	if (r < 0)
		return r;
	use_defaults(&config->vm, defaults);
	return domain_parse_finish(p, config);
}

/* 'domain', with a copy of 'device' behind its devices. Counts the interfaces, with the new one. */
static int insert(const char *domain, const xmlDoc *device, xmlDoc **ret_doc, unsigned *ret_n)
{
	_cleanup_(xml_doc_freep) xmlDoc *doc = NULL;
	_cleanup_(freep) char *error = NULL;
	xmlNode *devices, *copy;
	int r = xml_read(domain, strlen(domain), "domain", &doc, &error);

	if (r < 0)
		return r;
	devices = find_devices(doc);
	if (!devices && xmlDocGetRootElement(doc))
		devices = xmlNewChild(
			xmlDocGetRootElement(doc), NULL, (const xmlChar *)"devices", NULL);
	copy = devices ? xmlDocCopyNode(xmlDocGetRootElement(device), doc, 1) : NULL;
	if (!copy)
		return devices ? -ENOMEM : -EBADMSG;
	(void)xmlAddChild(devices, copy);
	*ret_n = 0;
	for (const xmlNode *node = devices->children; node; node = node->next)
		*ret_n += is_interface(node);
	*ret_doc = TAKE_PTR(doc);
	return 0;
}

int domain_device_attach(const char *domain, const char *xml, size_t len, const char *source,
	const struct domain_device_defaults *defaults, struct domain_config **ret_config,
	struct contract_report **ret_report, char **ret_error)
{
	_cleanup_(domain_config_freep) struct domain_config *config = domain_config_new();
	_cleanup_(contract_report_freep) struct contract_report *report = contract_report_new();
	_cleanup_(xml_doc_freep) xmlDoc *device = NULL, *doc = NULL;
	struct xml_parser p = {.namespaces = domain_namespaces, .source = source, .report = report};
	char prefix[64];
	unsigned n = 0;
	int r;

	*ret_error = NULL;
	if (!config || !report)
		return -ENOMEM;
	config->extra = p.extra = xml_extra_new();
	if (!p.extra)
		return -ENOMEM;
	r = read_device(xml, len, source, &device, ret_error);
	if (r == 0)
		r = insert(domain, device, &doc, &n);
	if (r < 0)
		return r;
	r = parse_with_device(&p, doc, defaults, config);
	(void)snprintf(prefix, sizeof(prefix), "devices/" ELEMENT "[%u]", n);
	if (p.error)
		cut_prefix(p.error, prefix);
	if (r < 0)
		*ret_error = TAKE_PTR(p.error);
	free(p.error);
	if (ret_report && (r == 0 || r == -EOPNOTSUPP))
		*ret_report = report_of(report, prefix);
	if (r == 0)
		*ret_config = TAKE_PTR(config);
	return r;
}

/* Finding. */

#define NIC(member) XML_FIELD(0, struct vm_nic, member)

static const struct xml_rule mac_rows[] = {
	{.name = "@address", .kind = XML_MAC, .flags = XML_REQUIRED, NIC(port.mac)},
	{0},
};
/* What an interface is recognised by; all else may be there, and does not matter. */
static const struct xml_rule pattern_rows[] = {
	{.name = "mac", .kind = XML_ELEMENT, .flags = XML_OPAQUE, .rows = mac_rows},
	PCI_ADDRESS(NIC(pci)),
	{0},
};
static const struct xml_rule pattern_root = {
	.name = ELEMENT, .kind = XML_ELEMENT, .flags = XML_OPAQUE, .rows = pattern_rows};

static int read_pattern(
	const char *xml, size_t len, const char *source, struct vm_nic *ret, char **ret_error)
{
	_cleanup_(contract_report_freep) struct contract_report *report = contract_report_new();
	_cleanup_(xml_extra_freep) struct xml_extra *extra = xml_extra_new();
	_cleanup_(xml_doc_freep) xmlDoc *doc = NULL;
	struct xml_parser p = {.namespaces = domain_namespaces,
		.source = source,
		.report = report,
		.extra = extra};
	int r;

	if (!report || !extra)
		return -ENOMEM;
	r = read_device(xml, len, source, &doc, ret_error);
	if (r < 0)
		return r;
	r = xml_rules_parse(&p, xmlDocGetRootElement(doc), &pattern_root, ret, NULL);
	if (r < 0)
		*ret_error = TAKE_PTR(p.error);
	free(p.error);
	return r;
}

static bool fits(const struct vm_nic *nic, const struct vm_nic *pattern)
{
	if (!net_mac_is_zero(pattern->port.mac) &&
		memcmp(nic->port.mac, pattern->port.mac, NET_MAC_LEN) != 0)
		return false;
	return !pattern->pci.set || (nic->pci.set && nic->pci.slot == pattern->pci.slot);
}

/* libvirt's words. */
static int not_found(const struct vm_nic *pattern, unsigned n, char **ret_error)
{
	char mac[NET_MAC_STRING_SIZE], place[32] = "";
	bool has_mac = !net_mac_is_zero(pattern->port.mac);
	const char *what = n ? "multiple devices matching" : "no device matching";

	net_mac_format(pattern->port.mac, mac);
	if (pattern->pci.set)
		(void)snprintf(
			place, sizeof(place), " on 0000:00:%02x.0", pattern->pci.slot & 0xffU);
	if (asprintf(ret_error, "%s%s%s found%s",
		    has_mac     ? what
			    : n ? "multiple matching devices"
				: "no matching device",
		    has_mac ? " MAC address " : "", has_mac ? mac : "", place) < 0) {
		*ret_error = NULL;
		return -ENOMEM;
	}
	return n ? -ENOTUNIQ : -ENODEV;
}

int domain_device_find(const struct vm_config *vm, const char *xml, size_t len, const char *source,
	unsigned *ret_index, char **ret_error)
{
	struct vm_nic pattern = {0};
	unsigned n = 0, found = 0;
	int r;

	*ret_error = NULL;
	r = read_pattern(xml, len, source, &pattern, ret_error);
	if (r < 0)
		return r;
	for (uint32_t i = 0; i < vm->n_nics; i++) {
		if (!fits(&vm->nics[i], &pattern))
			continue;
		found = i;
		n++;
	}
	if (n != 1)
		return not_found(&pattern, n, ret_error);
	*ret_index = found;
	return 0;
}

/* Detaching. */

int domain_device_detach(const char *domain, unsigned index, struct domain_config **ret_config)
{
	_cleanup_(domain_config_freep) struct domain_config *config = domain_config_new();
	_cleanup_(contract_report_freep) struct contract_report *report = contract_report_new();
	_cleanup_(xml_doc_freep) xmlDoc *doc = NULL;
	_cleanup_(freep) char *error = NULL;
	struct xml_parser p = {
		.namespaces = domain_namespaces, .source = "domain", .report = report};
	xmlNode *devices, *node;
	int r;

	if (!config || !report)
		return -ENOMEM;
	config->extra = p.extra = xml_extra_new();
	if (!p.extra)
		return -ENOMEM;
	r = xml_read(domain, strlen(domain), "domain", &doc, &error);
	if (r < 0)
		return r;
	devices = find_devices(doc);
	for (node = devices ? devices->children : NULL; node; node = node->next)
		if (is_interface(node) && index-- == 0)
			break;
	if (!node)
		return -ENODEV;
	xmlUnlinkNode(node);
	xmlFreeNode(node);
	r = domain_parse_rules(&p, doc, config);
	if (r == 0)
		r = domain_parse_finish(&p, config);
	free(p.error);
	if (r == 0)
		*ret_config = TAKE_PTR(config);
	return r;
}
