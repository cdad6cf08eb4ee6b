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

static const char *const elements[DOMAIN_DEVICE_X_MAX] = {
	[DOMAIN_DEVICE_INTERFACE] = "interface",
	[DOMAIN_DEVICE_MEMORY] = "memory",
};

/* Where a refusal or a wrong value is told: one that is not of the device comes from the domain around it. */
static int fail(char **ret_error, int error, const char *source, long line, const char *text)
{
	if (asprintf(ret_error, "%s:%ld: %s", source, line > 0 ? line : 1, text) < 0) {
		*ret_error = NULL;
		return -ENOMEM;
	}
	return error;
}

static int kind_of(const xmlNode *node)
{
	if (node->type != XML_ELEMENT_NODE || node->ns)
		return -ENOENT;
	for (int kind = 0; kind < DOMAIN_DEVICE_X_MAX; kind++)
		if (streq((const char *)node->name, elements[kind]))
			return kind;
	return -ENOENT;
}

/* The document of one device that is served; answers its kind. */
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
			"there is no element; write an <interface> or a <memory>");
	r = kind_of(root);
	if (r < 0) {
		(void)snprintf(text, sizeof(text),
			"<%.*s>: only an <interface> or a <memory> can be attached or detached; "
			"change the domain's definition instead, and start it anew",
			xml_shown((const char *)root->name), (const char *)root->name);
		return fail(ret_error, -EOPNOTSUPP, source, xmlGetLineNo(root), text);
	}
	*ret_doc = TAKE_PTR(doc);
	return r;
}

int domain_device_kind(const char *xml, size_t len, const char *source, char **ret_error)
{
	_cleanup_(xml_doc_freep) xmlDoc *doc = NULL;

	*ret_error = NULL;
	return read_device(xml, len, source, &doc, ret_error);
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

/* The text without 'prefix', where it has it: paths begin at the device. */
static void cut_prefix(char *text, const char *prefix, const char *element)
{
	char *at = strstr(text, prefix);
	size_t len = strlen(prefix), keep = strlen(element);

	if (!at)
		return;
	/* "devices/interface[3]" becomes "interface". */
	memcpy(at, element, keep);
	at += keep;
	memmove(at, at + len - keep, strlen(at + len - keep) + 1);
}

/* What 'all' says of the device. */
static struct contract_report *report_of(
	const struct contract_report *all, const char *prefix, const char *element)
{
	_cleanup_(contract_report_freep) struct contract_report *report = contract_report_new();
	size_t len = strlen(prefix);

	for (size_t i = 0; report && i < all->n_entries; i++) {
		const struct contract_entry *e = &all->entries[i];
		_cleanup_(freep) char *path = NULL;

		if (strncmp(e->path, prefix, len) != 0)
			continue;
		if (asprintf(&path, "%s%s", element, e->path + len) < 0) {
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

static void use_memory_defaults(struct vm_config *vm, const struct domain_device_defaults *defaults)
{
	struct vm_memory *memory = &vm->memories[vm->n_memories - 1];

	/* <memory> of the domain counts it from now on. */
	if (memory->size_kib <= VM_MAX_MEMORY_KIB && vm->memory_kib <= VM_MAX_MEMORY_KIB)
		vm->memory_kib += memory->size_kib;
	if (!memory->pci.set && defaults->pci.set && is_place_free(vm, defaults->pci.slot))
		memory->pci = defaults->pci;
}

static void use_nic_defaults(struct vm_config *vm, const struct domain_device_defaults *defaults)
{
	struct vm_nic *nic = &vm->nics[vm->n_nics - 1];

	if (net_mac_is_zero(nic->port.mac))
		memcpy(nic->port.mac, defaults->mac, NET_MAC_LEN);
	if (!nic->pci.set && defaults->pci.set && is_place_free(vm, defaults->pci.slot))
		nic->pci = defaults->pci;
}

static int parse_with_device(struct xml_parser *p, xmlDoc *doc, int kind,
	const struct domain_device_defaults *defaults, struct domain_config *config)
{
	int r = domain_parse_rules(p, doc, config);

	if (r < 0)
		return r;
	if (kind == DOMAIN_DEVICE_MEMORY)
		use_memory_defaults(&config->vm, defaults);
	else
		use_nic_defaults(&config->vm, defaults);
	return domain_parse_finish(p, config);
}

/* 'domain', with a copy of 'device' behind its devices. Counts those of its kind, with the new one. */
static int insert(
	const char *domain, const xmlDoc *device, int kind, xmlDoc **ret_doc, unsigned *ret_n)
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
		*ret_n += kind_of(node) == kind;
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
	int r, kind;

	*ret_error = NULL;
	if (!config || !report)
		return -ENOMEM;
	config->extra = p.extra = xml_extra_new();
	if (!p.extra)
		return -ENOMEM;
	kind = read_device(xml, len, source, &device, ret_error);
	r = kind < 0 ? kind : insert(domain, device, kind, &doc, &n);
	if (r < 0)
		return r;
	r = parse_with_device(&p, doc, kind, defaults, config);
	(void)snprintf(prefix, sizeof(prefix), "devices/%s[%u]", elements[kind], n);
	if (p.error)
		cut_prefix(p.error, prefix, elements[kind]);
	if (r < 0)
		*ret_error = TAKE_PTR(p.error);
	free(p.error);
	if (ret_report && (r == 0 || r == -EOPNOTSUPP))
		*ret_report = report_of(report, prefix, elements[kind]);
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
	.name = "interface", .kind = XML_ELEMENT, .flags = XML_OPAQUE, .rows = pattern_rows};
static const struct xml_rule memory_root = {
	.name = "memory", .kind = XML_ELEMENT, .rows = domain_memory_rows};

/* What is written of a device alone: a struct vm_nic by 'pattern_root', or by 'memory_root' a struct vm_memory and what the host has of it. */
static int read_alone(const char *xml, size_t len, const char *source, int kind, void *ret,
	void *host, char **ret_error)
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
	if (r >= 0 && r != kind)
		return fail(ret_error, -EOPNOTSUPP, source, 1, "another kind of device is meant");
	if (r < 0)
		return r;
	r = xml_rules_parse(&p, xmlDocGetRootElement(doc),
		kind == DOMAIN_DEVICE_MEMORY ? &memory_root : &pattern_root, ret, host);
	if (r == 0 && report->counts[CONTRACT_REFUSED])
		r = -EOPNOTSUPP;
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
	r = read_alone(xml, len, source, DOMAIN_DEVICE_INTERFACE, &pattern, NULL, ret_error);
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

int domain_device_find_memory(const struct vm_config *vm, const char *xml, size_t len,
	const char *source, unsigned *ret_index, struct vm_memory *ret, char **ret_error)
{
	struct domain_memory_device host = {0};
	struct vm_memory wanted = {0};
	unsigned n = 0, found = 0;
	int r;

	*ret_error = NULL;
	r = read_alone(xml, len, source, DOMAIN_DEVICE_MEMORY, &wanted, &host, ret_error);
	if (r < 0)
		return r;
	for (uint32_t i = 0; i < vm->n_memories; i++) {
		const struct vm_memory *m = &vm->memories[i];

		if (m->size_kib != wanted.size_kib || m->node != wanted.node ||
			(wanted.block_kib && m->block_kib != wanted.block_kib) ||
			(wanted.pci.set && (!m->pci.set || m->pci.slot != wanted.pci.slot)))
			continue;
		found = i;
		n++;
	}
	if (n != 1)
		return fail(ret_error, n ? -ENOTUNIQ : -ENODEV, source, 1,
			n ? "several memory devices match; write <address type='pci'…/> as well"
			  : "no memory device matches: its <size>, <node>, <block> and <address> "
			    "say which");
	*ret_index = found;
	*ret = wanted;
	return 0;
}

/* Detaching. */

/* The size of memory device 'index' of 'domain'. */
static int size_of_memory(const char *domain, unsigned index, uint64_t *ret_kib)
{
	_cleanup_(domain_config_freep) struct domain_config *config = NULL;
	_cleanup_(freep) char *error = NULL;
	int r = domain_xml_parse(domain, strlen(domain), "domain", 0, &config, NULL, &error);

	if (r < 0)
		return r;
	if (index >= config->vm.n_memories)
		return -ENODEV;
	*ret_kib = config->vm.memories[index].size_kib;
	return 0;
}

int domain_device_detach(const char *domain, enum domain_device_kind kind, unsigned index,
	struct domain_config **ret_config)
{
	_cleanup_(domain_config_freep) struct domain_config *config = domain_config_new();
	_cleanup_(contract_report_freep) struct contract_report *report = contract_report_new();
	_cleanup_(xml_doc_freep) xmlDoc *doc = NULL;
	_cleanup_(freep) char *error = NULL;
	struct xml_parser p = {
		.namespaces = domain_namespaces, .source = "domain", .report = report};
	xmlNode *devices, *node;
	uint64_t size_kib = 0;
	int r = kind == DOMAIN_DEVICE_MEMORY ? size_of_memory(domain, index, &size_kib) : 0;

	if (r < 0)
		return r;
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
		if (kind_of(node) == (int)kind && index-- == 0)
			break;
	if (!node)
		return -ENODEV;
	xmlUnlinkNode(node);
	xmlFreeNode(node);
	r = domain_parse_rules(&p, doc, config);
	/* <memory> of the domain counted it. */
	config->vm.memory_kib -= MIN(size_kib, config->vm.memory_kib);
	if (r == 0)
		r = domain_parse_finish(&p, config);
	free(p.error);
	if (r == 0)
		*ret_config = TAKE_PTR(config);
	return r;
}
