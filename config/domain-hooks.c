/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The code behind single rows of the domain tables: see domain-rules.h. Tested by tests/unit/test-domain-xml.c. */
#include <errno.h>
#include <stdio.h>

#include "config/domain-rules.h"
#include "vmm-core/base/strutil.h"

static bool is_refused(const struct xml_parser *p)
{
	return p->report->counts[CONTRACT_REFUSED] > 0;
}

static unsigned entry_line(const struct xml_parser *p, const struct xml_place *place)
{
	return p->report->entries[place->entry].line;
}

static int fail(
	struct xml_parser *p, const struct xml_place *place, const char *attr, const char *text)
{
	return xml_fail(p, entry_line(p, place), place->path, attr, "%s", text);
}

int domain_after_hugepages(struct xml_parser *p, xmlNode *node, const struct xml_place *place)
{
	struct domain_config *config = place->base[1];

	(void)p;
	(void)node;
	if (!config->n_pages)
		config->pages[config->n_pages++].size_kib = 2048;
	return 0;
}

int domain_after_genid(struct xml_parser *p, xmlNode *node, const struct xml_place *place)
{
	struct vm_config *vm = place->base[0];

	(void)p;
	(void)node;
	vm->genid = 1; /* without an id: domain-finish.c */
	return 0;
}

int domain_after_topology(struct xml_parser *p, xmlNode *node, const struct xml_place *place)
{
	struct vm_config *vm = place->base[0];

	(void)p;
	(void)node;
	if (!vm->cpu.dies)
		vm->cpu.dies = 1;
	return 0;
}

int domain_after_vcpu(struct xml_parser *p, xmlNode *node, const struct xml_place *place)
{
	_cleanup_(freep) char *placement = xml_attribute(node, "placement");
	struct vm_config *vm = place->base[0];

	if (!placement || !streq(placement, "auto") || cpuset_is_empty(vm->cpuset))
		return 0;
	memset(vm->cpuset, 0, sizeof(vm->cpuset));
	return xml_verdict_path(p, "vcpu/@cpuset", CONTRACT_IGNORED,
		"placement='auto' leaves the choice to the host");
}

int domain_after_iothreadids(struct xml_parser *p, xmlNode *node, const struct xml_place *place)
{
	struct domain_config *config = place->base[1];

	(void)p;
	(void)node;
	config->own_iothreadids = 1;
	return 0;
}

int domain_after_cpu(struct xml_parser *p, xmlNode *node, const struct xml_place *place)
{
	struct vm_config *vm = place->base[0];
	struct vm_cpu *cpu = &vm->cpu;

	(void)node;
	if (cpu->mode == VM_CPU_MODE_DEFAULT && *cpu->model)
		cpu->mode = VM_CPU_MODE_CUSTOM;
	if (cpu->mode == VM_CPU_MODE_CUSTOM || !*cpu->model)
		return 0;
	*cpu->model = 0;
	return xml_verdict_path(p, "cpu/model", CONTRACT_IGNORED,
		"only mode='custom' takes a model: the mode decides");
}

int domain_after_boot(struct xml_parser *p, xmlNode *node, const struct xml_place *place)
{
	_cleanup_(freep) char *dev = xml_attribute(node, "dev");

	if (!dev ||
		(!streq(dev, "hd") && !streq(dev, "cdrom") && !streq(dev, "network") &&
			!streq(dev, "fd")))
		return fail(p, place, "@dev", "no such device; write hd, cdrom, network or fd");
	return 0;
}

/* Disks. */

static bool attribute_is(const xmlNode *node, const char *name, const char *value)
{
	_cleanup_(freep) char *text = xml_attribute(node, name);

	return streq(text ? text : "", value);
}

/* A drive without a medium, of a type whose media are files. */
bool domain_is_empty_drive(const xmlNode *node)
{
	if (!attribute_is(node, "device", "cdrom"))
		return false;
	if (!attribute_is(node, "type", "") && !attribute_is(node, "type", "file") &&
		!attribute_is(node, "type", "block"))
		return false;
	for (const xmlNode *child = node->children; child; child = child->next)
		if (child->type == XML_ELEMENT_NODE && streq((const char *)child->name, "source") &&
			(!attribute_is(child, "file", "") || !attribute_is(child, "dev", "")))
			return false;
	return true;
}

/* The bus that libvirt would choose for a target without one. */
static const char *bus_of_target(const char *target)
{
	if (strncmp(target, "hd", 2) == 0)
		return "ide";
	if (strncmp(target, "sd", 2) == 0)
		return "sata";
	if (strncmp(target, "fd", 2) == 0)
		return "fdc";
	return "virtio";
}

static int settle_bus(struct xml_parser *p, const struct xml_place *place, struct vm_disk *disk)
{
	const char *bus = disk->bus == VM_DISK_BUS_DEFAULT
		? bus_of_target(disk->target)
		: vm_enum_to_string(VM_ENUM_DISK_BUS, disk->bus);
	char path[XML_PATH_MAX];

	(void)snprintf(path, sizeof(path), "%s/target%s", place->path,
		disk->bus == VM_DISK_BUS_DEFAULT ? "" : "/@bus");
	disk->bus = VM_DISK_BUS_VIRTIO;
	if (streq(bus, "virtio"))
		return 0;
	if (disk->device == VM_DISK_DEVICE_CDROM && streq(bus, "sata"))
		return xml_verdict_path(p, path, CONTRACT_ADAPTED,
			"there is no SATA controller: served as a read-only virtio disk");
	return xml_verdict_path(p, path, CONTRACT_REFUSED,
		"there is no controller for such a disk; write dev='vda' bus='virtio'");
}

int domain_after_disk(struct xml_parser *p, xmlNode *node, const struct xml_place *place)
{
	struct vm_disk *disk = place->base[0];
	const struct domain_disk *host = place->base[1];
	int r;

	(void)node;
	if (is_refused(p))
		return 0;
	r = settle_bus(p, place, disk);
	if (r < 0)
		return r;
	if (disk->device == VM_DISK_DEVICE_CDROM)
		disk->readonly = 1;
	if (!*host->path)
		return fail(p, place, "source",
			host->type == DOMAIN_DISK_BLOCK ? "missing; add <source dev='/dev/…'/>"
							: "missing; add <source file='/…'/>");
	return 0;
}

/* Character devices. */

static int settle_chardev(struct xml_parser *p, const struct xml_place *place)
{
	uint8_t type = *(const uint8_t *)place->base[0];
	struct domain_chardev *host = place->base[1];
	char path[XML_PATH_MAX];

	if (is_refused(p) || type == VM_CHARDEV_UNIX)
		return 0;
	if (type == VM_CHARDEV_FILE)
		return *host->path
			? 0
			: fail(p, place, "source/@path", "missing; add <source path='/…'/>");
	host->append = 0;
	if (!*host->path)
		return 0;
	*host->path = 0;
	(void)snprintf(path, sizeof(path), "%s/source/@path", place->path);
	return xml_verdict_path(
		p, path, CONTRACT_IGNORED, "the host gives the terminal at each start");
}

/* The element has a <target> with this attribute. */
static bool target_has(const xmlNode *node, const char *name)
{
	for (const xmlNode *child = node->children; child; child = child->next)
		if (child->type == XML_ELEMENT_NODE && streq((const char *)child->name, "target"))
			return xmlHasProp(child, (const xmlChar *)name) != NULL;
	return false;
}

int domain_after_serial(struct xml_parser *p, xmlNode *node, const struct xml_place *place)
{
	const struct vm_config *vm = place->parent->base[0];
	struct vm_serial *serial = place->base[0];
	unsigned taken = 0;

	for (unsigned i = 0; i < place->index; i++)
		taken |= vm->serials[i].port < 8 ? 1U << vm->serials[i].port : 0;
	if (!target_has(node, "port"))
		serial->port = (uint8_t)__builtin_ctz(~taken);
	return settle_chardev(p, place);
}

int domain_after_console(struct xml_parser *p, xmlNode *node, const struct xml_place *place)
{
	struct vm_console *console = place->base[0];

	(void)node;
	if (console->target == VM_CONSOLE_TARGET_DEFAULT)
		console->target = VM_CONSOLE_TARGET_SERIAL;
	console->port = (uint8_t)place->index; /* numbered in their order, as libvirt does */
	return settle_chardev(p, place);
}

int domain_after_channel(struct xml_parser *p, xmlNode *node, const struct xml_place *place)
{
	(void)node;
	return settle_chardev(p, place);
}

/* Addresses and aliases. */

struct pci_numbers {
	uint64_t domain, bus, slot, function;
};

static int read_number(struct xml_parser *p, const xmlNode *node, const struct xml_place *place,
	const char *name, uint64_t max, uint64_t *ret)
{
	_cleanup_(freep) char *text = xml_attribute(node, name);
	char attr[32];

	*ret = 0;
	if (!text || parse_u64(text, max, ret) == 0)
		return 0;
	(void)snprintf(attr, sizeof(attr), "@%s", name);
	return xml_fail(p, entry_line(p, place), place->path, attr,
		"'%.*s' is wrong; write 0x0 to 0x%llx", xml_shown(text), text,
		(unsigned long long)max);
}

static int read_pci(struct xml_parser *p, const xmlNode *node, const struct xml_place *place,
	struct pci_numbers *ret)
{
	int r = read_number(p, node, place, "domain", 0xffff, &ret->domain);

	if (r == 0)
		r = read_number(p, node, place, "bus", 0xff, &ret->bus);
	if (r == 0)
		r = read_number(p, node, place, "slot", 0x1f, &ret->slot);
	if (r == 0)
		r = read_number(p, node, place, "function", 7, &ret->function);
	return r;
}

int domain_parse_pci(struct xml_parser *p, xmlNode *node, const struct xml_place *place)
{
	_cleanup_(freep) char *type = xml_attribute(node, "type");
	struct vm_pci_addr *pci = xml_field(place, place->rule);
	struct pci_numbers n;
	int r;

	if (!type)
		return fail(p, place, "@type", "missing; write type='pci'");
	if (!streq(type, "pci"))
		return xml_verdict(p, place, CONTRACT_ADAPTED,
			"the device is on PCI bus 0: its place there is chosen");
	r = read_pci(p, node, place, &n);
	if (r < 0)
		return r;
	if (!xmlHasProp(node, (const xmlChar *)"slot"))
		return 0;
	if (n.domain || n.bus || n.function || n.slot < VM_PCI_FIRST_SLOT ||
		n.slot > VM_PCI_LAST_SLOT)
		return xml_verdict(p, place, CONTRACT_ADAPTED,
			"the place is not on bus 0, slots 0x01 to 0x1e: another one is chosen");
	*pci = (struct vm_pci_addr){.set = 1, .slot = (uint8_t)n.slot};
	return 0;
}

void domain_format_pci(struct xml_formatter *f, const struct xml_rule *rule,
	const struct xml_place *place, unsigned depth, struct xml_buf *out)
{
	const struct vm_pci_addr *pci = xml_field(place, rule);

	(void)f;
	if (!pci->set)
		return;
	xml_buf_indent(out, depth);
	xml_buf_addf(out,
		"<address type='pci' domain='0x0000' bus='0x00' slot='0x%02x' function='0x%x'/>\n",
		pci->slot, pci->function);
}

/* libvirt keeps only the names that users chose, which begin with "ua-". */
int domain_parse_alias(struct xml_parser *p, xmlNode *node, const struct xml_place *place)
{
	_cleanup_(freep) char *name = xml_attribute(node, "name");

	if (!name)
		return fail(p, place, "@name", "missing; write name='ua-…'");
	if (strncmp(name, "ua-", 3) != 0)
		return xml_verdict(p, place, CONTRACT_IGNORED,
			"only names that begin with ua- are kept: others are given at each start");
	return xml_keep(p, place->parent, place->rule, node);
}

void domain_format_alias(struct xml_formatter *f, const struct xml_rule *rule,
	const struct xml_place *place, unsigned depth, struct xml_buf *out)
{
	const char *word = rule->fixed;
	unsigned number = place->index;

	if (!f->user || xml_is_kept(f, place, rule))
		return;
	if (streq(word, "console") &&
		((const struct vm_console *)place->base[0])->target == VM_CONSOLE_TARGET_SERIAL)
		word = "serial";
	if (streq(word, "net"))
		number = ((const struct domain_nic *)place->base[1])->number;
	if (streq(word, "virtiomem"))
		number = ((const struct domain_memory_device *)place->base[1])->number;
	xml_buf_indent(out, depth);
	xml_buf_addf(out, "<alias name='%s%u'/>\n", word, number);
}

void domain_format_id(struct xml_formatter *f, const struct xml_rule *rule,
	const struct xml_place *place, unsigned depth, struct xml_buf *out)
{
	const struct domain_live *live = f->user;

	(void)rule;
	(void)place;
	(void)depth;
	if (live && live->id >= 0)
		xml_buf_addf(out, " id='%d'", live->id);
}
