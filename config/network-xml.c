/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Network XML in and out: see network-xml.h. The tables are in network-rules*.c. */
#include "config/network-xml.h"

#include <errno.h>

#include "config/domain-xml.h"
#include "config/network-rules.h"
#include "config/xml-document.h"
#include "vmm-core/base/strutil.h"

static int parse_document(struct xml_parser *p, xmlDoc *doc, void *opaque)
{
	struct network_config *config = opaque;
	xmlNode *node = xmlDocGetRootElement(doc);
	int r;

	if (!node)
		return xml_fail(p, 1, "network", NULL, "missing; write a <network> element");
	r = xml_rules_parse(p, node, &network_root, config, config);
	if (r < 0)
		return r;
	if (p->report->counts[CONTRACT_REFUSED])
		return -EOPNOTSUPP;
	return network_finish(p, config);
}

int network_xml_parse(const char *xml, size_t len, const char *source, unsigned flags,
	struct network_config **ret_config, struct contract_report **ret_report, char **ret_error)
{
	return network_xml_parse_as(
		xml, len, source, flags, NULL, ret_config, ret_report, ret_error);
}

int network_xml_parse_as(const char *xml, size_t len, const char *source, unsigned flags,
	const struct xml_identify *identify, struct network_config **ret_config,
	struct contract_report **ret_report, char **ret_error)
{
	_cleanup_(network_config_freep) struct network_config *config = network_config_new();
	struct xml_document document = {.namespaces = network_namespaces,
		.source = source,
		.flags = flags,
		.identify = identify,
		.parse = parse_document};
	int r;

	*ret_error = NULL;
	if (!config)
		return -ENOMEM;
	config->extra = document.extra = xml_extra_new();
	r = xml_document_parse(xml, len, &document, config, ret_report, ret_error);
	if (r == 0)
		*ret_config = TAKE_PTR(config);
	return r;
}

int network_xml_format(
	const struct network_config *config, const struct network_live *live, char **ret_xml)
{
	_cleanup_(freep) struct network_config *copy = malloc(sizeof(*copy));
	struct xml_formatter f = {
		.namespaces = network_namespaces, .extra = config->extra, .user = live};
	struct xml_buf out = {0};
	char *xml;

	if (!copy)
		return -ENOMEM;
	*copy = *config; /* shares 'extra' */
	if (live && live->bridge && !*copy->bridge)
		(void)str_copy(copy->bridge, sizeof(copy->bridge), live->bridge);
	xml_rules_format(&f, &network_root, copy, copy, &out);
	xml = xml_buf_take(&out);
	if (!xml)
		return -ENOMEM;
	*ret_xml = xml;
	return 0;
}
