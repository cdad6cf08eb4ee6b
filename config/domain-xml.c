/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Domain XML in and out: see domain-xml.h. The tables are in domain-rules*.c. */
#include "config/domain-xml.h"

#include <errno.h>
#include <string.h>

#include "config/domain-rules.h"
#include "config/xml-document.h"
#include "vmm-core/base/strutil.h"

int domain_parse_rules(struct xml_parser *p, xmlDoc *doc, struct domain_config *config)
{
	xmlNode *node = xmlDocGetRootElement(doc);
	int r;

	if (!node)
		return xml_fail(p, 1, "domain", NULL, "missing; write a <domain> element");
	/* Stays so when the document says nothing: see finish_balloon(). */
	config->vm.balloon.model = VM_BALLOON_X_MAX;
	r = xml_rules_parse(p, node, &domain_root, &config->vm, config);
	if (r < 0)
		return r;
	return p->report->counts[CONTRACT_REFUSED] ? -EOPNOTSUPP : 0;
}

int domain_parse_finish(struct xml_parser *p, struct domain_config *config)
{
	int r = domain_finish(p, config);

	if (r < 0)
		return r;
	return p->report->counts[CONTRACT_REFUSED] ? -EOPNOTSUPP : 0;
}

static int parse_document(struct xml_parser *p, xmlDoc *doc, void *opaque)
{
	struct domain_config *config = opaque;
	int r = domain_parse_rules(p, doc, config);

	return r < 0 ? r : domain_parse_finish(p, config);
}

int domain_xml_parse(const char *xml, size_t len, const char *source, unsigned flags,
	struct domain_config **ret_config, struct contract_report **ret_report, char **ret_error)
{
	return domain_xml_parse_as(
		xml, len, source, flags, NULL, ret_config, ret_report, ret_error);
}

/* 'config' is as new. */
static int parse_new(const char *xml, size_t len, const char *source, unsigned flags,
	const struct xml_identify *identify, struct domain_config *config,
	struct contract_report **ret_report, char **ret_error)
{
	struct xml_document document = {.namespaces = domain_namespaces,
		.source = source,
		.flags = flags,
		.identify = identify,
		.parse = parse_document};

	config->extra = document.extra = xml_extra_new();
	return xml_document_parse(xml, len, &document, config, ret_report, ret_error);
}

int domain_xml_parse_into(const char *xml, size_t len, const char *source, unsigned flags,
	const struct xml_identify *identify, struct domain_config *config,
	struct contract_report **ret_report, char **ret_error)
{
	*ret_error = NULL;
	domain_config_reset(config);
	return parse_new(xml, len, source, flags, identify, config, ret_report, ret_error);
}

int domain_xml_parse_as(const char *xml, size_t len, const char *source, unsigned flags,
	const struct xml_identify *identify, struct domain_config **ret_config,
	struct contract_report **ret_report, char **ret_error)
{
	_cleanup_(domain_config_freep) struct domain_config *config = domain_config_new();
	int r;

	*ret_error = NULL;
	if (!config)
		return -ENOMEM;
	r = parse_new(xml, len, source, flags, identify, config, ret_report, ret_error);
	if (r == 0)
		*ret_config = TAKE_PTR(config);
	return r;
}

static void copy_live_path(struct domain_chardev *chardev, uint8_t type, const char *path)
{
	bool is_pty = type == VM_CHARDEV_DEFAULT || type == VM_CHARDEV_PTY;

	/* A socket's own path stays. */
	if (path && (is_pty || (type == VM_CHARDEV_UNIX && !*chardev->path)))
		(void)str_copy(chardev->path, sizeof(chardev->path), path);
}

/* Put the terminals, sockets and interfaces of the running domain where the tables look for them. */
static void add_live(struct domain_config *config, const struct domain_live *live)
{
	const struct vm_config *vm = &config->vm;

	if (live->given) {
		config->vm.cpu = live->given->cpu;
		config->vm.n_cpuid = live->given->n_cpuid;
		memcpy(config->vm.cpuid, live->given->cpuid, sizeof(config->vm.cpuid));
	}
	if (live->current_memory_kib && (vm->balloon.model != VM_BALLOON_NONE || vm->n_memories))
		config->vm.current_memory_kib = live->current_memory_kib;
	for (uint32_t i = 0; i < vm->n_serials; i++)
		copy_live_path(&config->serials[i], vm->serials[i].type, live->serial_paths[i]);
	for (uint32_t i = 0; i < vm->n_consoles; i++) {
		const char *path = live->console_paths[i];

		if (!path && vm->consoles[i].target != VM_CONSOLE_TARGET_VIRTIO)
			path = live->serial_paths[0];
		copy_live_path(&config->consoles[i], vm->consoles[i].type, path);
	}
	for (uint32_t i = 0; i < vm->n_nics; i++) {
		struct domain_nic *nic = &config->nics[i];

		if (live->nics[i].target && !*nic->target)
			(void)str_copy(nic->target, sizeof(nic->target), live->nics[i].target);
		if (live->nics[i].bridge && nic->type == DOMAIN_NIC_NETWORK)
			(void)str_copy(nic->bridge, sizeof(nic->bridge), live->nics[i].bridge);
	}
	for (uint32_t i = 0; i < vm->n_memories; i++) {
		config->memories[i].number = live->memories[i].number;
		config->memories[i].current_kib = live->memories[i].current_kib;
	}
	for (uint32_t i = 0; i < vm->n_channels; i++)
		copy_live_path(&config->channels[i], vm->channels[i].type, live->channel_paths[i]);
}

int domain_xml_format(
	const struct domain_config *config, const struct domain_live *live, char **ret_xml)
{
	_cleanup_(freep) struct domain_config *copy = NULL;
	struct xml_formatter f = {
		.namespaces = domain_namespaces, .extra = config->extra, .user = live};
	/* The tables' places are of both directions; formatting only reads. */
	union {
		const struct domain_config *in;
		struct domain_config *out;
	} shown = {.in = config};
	struct xml_buf out = {0};
	char *xml;

	if (live || config->vm.n_memories) {
		copy = malloc(sizeof(*copy));
		if (!copy)
			return -ENOMEM;
		*copy = *config; /* shares 'extra' */
		/* <memory> counts the memory devices. */
		copy->vm.memory_kib = vm_config_total_kib(&config->vm);
		shown.in = copy;
	}
	if (live)
		add_live(copy, live);
	xml_rules_format(&f, &domain_root, &shown.out->vm, shown.out, &out);
	xml = xml_buf_take(&out);
	if (!xml)
		return -ENOMEM;
	*ret_xml = xml;
	return 0;
}
