/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One element of a network's XML changed: see network-update.h. */
#include "config/network-update.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "config/network-rules.h"
#include "config/xml-read.h"
#include "vmm-core/base/names.h"
#include "vmm-core/base/strutil.h"

/* One call. */
struct edit {
	const struct network_config *config;
	const struct network_update *update;
	const struct section *section;
	const struct network_ip *ip; /* of the DHCP sections */
	const void *item;            /* what the fragment says */
	unsigned index;              /* where it is in its array */
	char **ret_error;
};

struct section {
	const char *name;            /* the word of virsh */
	const char *element;         /* NULL: not changed one by one */
	const char *parents[2];      /* "ip" stands for the one of parent_index */
	const struct xml_rule *rule; /* of the element alone */
	size_t size;                 /* of its item */
	const char *no_modify;       /* what cannot be modified; NULL: it can */
	/* What the command says of entries that there are: 0 with edit->index (but for additions), or fail(). */
	int (*find)(struct edit *edit);
};

static int fail(const struct edit *edit, int r, const char *format, ...) _printf_(3, 4);

static int fail(const struct edit *edit, int r, const char *format, ...)
{
	va_list ap;
	int n;

	va_start(ap, format);
	n = vasprintf(edit->ret_error, format, ap);
	va_end(ap);
	if (n < 0)
		*edit->ret_error = NULL;
	return n < 0 ? -ENOMEM : r;
}

static bool is_add(const struct edit *edit)
{
	return edit->update->command == NETWORK_UPDATE_ADD_FIRST ||
		edit->update->command == NETWORK_UPDATE_ADD_LAST;
}

static bool is_command(const struct edit *edit, unsigned command)
{
	return edit->update->command == command;
}

static const char *name_of(const struct edit *edit)
{
	return edit->config->net.name;
}

static bool same_ip(const struct net_ip *a, const struct net_ip *b)
{
	return a->family == b->family && net_ip_compare(a, b) == 0;
}

/* Was not given, or is the same. */
static bool fits(const char *given, const char *own)
{
	return !*given || streq(given, own);
}

static bool fits_ip(const struct net_ip *given, const struct net_ip *own)
{
	return !given->family || same_ip(given, own);
}

/* DHCP. */

static bool shares_host(const struct network_dhcp_host *a, const struct network_dhcp_host *b)
{
	return (!net_mac_is_zero(a->mac) && memcmp(a->mac, b->mac, sizeof(a->mac)) == 0) ||
		(*a->id && streq(a->id, b->id)) || (*a->name && streq(a->name, b->name)) ||
		(a->ip.family && same_ip(&a->ip, &b->ip));
}

static bool fits_host(const struct network_dhcp_host *given, const struct network_dhcp_host *own)
{
	return (net_mac_is_zero(given->mac) ||
		       memcmp(given->mac, own->mac, sizeof(own->mac)) == 0) &&
		fits(given->id, own->id) && fits(given->name, own->name) &&
		fits_ip(&given->ip, &own->ip);
}

/* libvirt (and dnsmasq here) gives addresses in one <ip> of each family. */
static int check_single_dhcp(const struct edit *edit)
{
	for (uint32_t i = 0; i < edit->config->n_ips; i++) {
		const struct network_ip *other = &edit->config->ips[i];

		if (other != edit->ip && other->ip.family == edit->ip->ip.family &&
			(other->n_ranges || other->n_hosts))
			return fail(edit, -ESRCH,
				"dhcp is supported only for a single IPv%u address on each network",
				edit->ip->ip.family);
	}
	return 0;
}

static int fail_host(const struct edit *edit)
{
	const struct network_dhcp_host *host = edit->item;
	char mac[NET_MAC_STRING_SIZE] = "unknown", ip[NET_IP_STRING_SIZE] = "unknown";
	const char *name = *host->name ? host->name : "unknown";

	if (!net_mac_is_zero(host->mac))
		net_mac_format(host->mac, mac);
	if (host->ip.family)
		net_ip_format(&host->ip, ip);
	if (is_add(edit))
		return fail(edit, -ESRCH,
			"there is an existing dhcp host entry in network '%s' that matches "
			"\"<host mac='%s' name='%s' ip='%s'/>\"",
			name_of(edit), mac, name, ip);
	if (is_command(edit, NETWORK_UPDATE_DELETE))
		return fail(edit, -ESRCH,
			"couldn't locate a matching dhcp host entry in network '%s'",
			name_of(edit));
	return fail(edit, -ESRCH,
		"couldn't locate an existing dhcp host entry with \"mac='%s'\" \"name='%s'\" "
		"\"ip='%s'\" in network '%s'",
		mac, name, ip, name_of(edit));
}

static int find_dhcp_host(struct edit *edit)
{
	const struct network_dhcp_host *host = edit->item, *all = edit->ip->hosts;
	bool whole = is_command(edit, NETWORK_UPDATE_DELETE), found = false;
	int r = is_add(edit) ? check_single_dhcp(edit) : 0;

	if (!whole && host->ip.family != edit->ip->ip.family)
		return fail(edit, -ESRCH,
			"the address family of a host entry IP must match the address family of "
			"the dhcp element's parent");
	if (r < 0)
		return r;
	for (uint32_t i = 0; i < edit->ip->n_hosts && !found; i++) {
		found = whole ? fits_host(host, &all[i]) : shares_host(host, &all[i]);
		edit->index = i;
	}
	return found == is_add(edit) ? fail_host(edit) : 0;
}

static int find_dhcp_range(struct edit *edit)
{
	const struct network_range *range = edit->item, *all = edit->ip->ranges;
	char start[NET_IP_STRING_SIZE], end[NET_IP_STRING_SIZE];
	int r = is_add(edit) ? check_single_dhcp(edit) : 0;
	bool found = false;

	if (range->start.family != edit->ip->ip.family)
		return fail(edit, -ESRCH,
			"the address family of a dhcp range must match the address family of the "
			"dhcp element's parent");
	if (r < 0)
		return r;
	for (uint32_t i = 0; i < edit->ip->n_ranges && !found; i++) {
		found = same_ip(&range->start, &all[i].start) && same_ip(&range->end, &all[i].end);
		edit->index = i;
	}
	if (found != is_add(edit))
		return 0;
	if (!found)
		return fail(edit, -ESRCH,
			"couldn't locate a matching dhcp range entry in network '%s'",
			name_of(edit));
	net_ip_format(&range->start, start);
	net_ip_format(&range->end, end);
	return fail(edit, -ESRCH,
		"there is an existing dhcp range entry in network '%s' that matches \"<range "
		"start='%s' end='%s'/>\"",
		name_of(edit), start, end);
}

/* <forward><interface>, <portgroup>. */

static int find_uplink(struct edit *edit)
{
	const struct net_uplink *uplink = edit->item;
	const struct net_config *net = &edit->config->net;
	bool found = false;

	for (uint32_t i = 0; i < net->n_uplinks && !found; i++) {
		found = streq(uplink->ifname, net->uplinks[i].ifname);
		edit->index = i;
	}
	if (found != is_add(edit))
		return 0;
	return fail(edit, -ESRCH,
		found ? "there is an existing interface entry in network '%s' that matches "
			"\"<interface dev='%s'>\""
		      : "couldn't find an interface entry in network '%s' matching <interface "
			"dev='%s'>",
		name_of(edit), uplink->ifname);
}

static int find_portgroup(struct edit *edit)
{
	const struct network_portgroup *group = edit->item, *all = edit->config->portgroups;
	long found = -1, found_default = -1;

	for (uint32_t i = 0; i < edit->config->n_portgroups; i++) {
		if (streq(group->name, all[i].name))
			found = i;
		if (all[i].is_default)
			found_default = i;
	}
	if ((found >= 0) == is_add(edit))
		return fail(edit, -ESRCH,
			found < 0 ? "couldn't find a portgroup entry in network '%s' matching "
				    "<portgroup name='%s'>"
				  : "there is an existing portgroup entry in network '%s' that "
				    "matches \"<portgroup name='%s'>\"",
			name_of(edit), group->name);
	if (!is_command(edit, NETWORK_UPDATE_DELETE) && group->is_default && found_default >= 0 &&
		found_default != found)
		return fail(edit, -ESRCH,
			"a different portgroup entry in network '%s' is already set as the "
			"default. Only one default is allowed.",
			name_of(edit));
	edit->index = (unsigned)MAX(found, 0L);
	return 0;
}

/* <dns>. */

/* An entry was found 'n' times. The texts end in "network NAME". */
static int judge(const struct edit *edit, unsigned n, const char *there, const char *missing,
	const char *many)
{
	const char *text = is_add(edit) ? (n ? there : NULL)
		: n == 0                ? missing
		: n > 1                 ? many
					: NULL;

	return text ? fail(edit, -ESRCH, "%s network %s", text, name_of(edit)) : 0;
}

static bool shares_name(const struct network_dns_host *a, const struct network_dns_host *b)
{
	for (uint32_t i = 0; i < a->n_names; i++)
		for (uint32_t j = 0; j < b->n_names; j++)
			if (streq(a->names[i], b->names[j]))
				return true;
	return false;
}

static int find_dns_host(struct edit *edit)
{
	const struct network_dns_host *host = edit->item, *all = edit->config->dns_hosts;
	unsigned n = 0;

	/* Several addresses of one name are all right. */
	for (uint32_t i = 0; i < edit->config->n_dns_hosts; i++)
		if ((host->ip.family && same_ip(&host->ip, &all[i].ip)) ||
			(!is_add(edit) && shares_name(host, &all[i]))) {
			edit->index = i;
			n++;
		}
	return judge(edit, n,
		"there is already at least one DNS HOST record with a matching field in",
		"couldn't locate a matching DNS HOST record in",
		"multiple matching DNS HOST records were found in");
}

static int find_txt(struct edit *edit)
{
	const struct network_txt *txt = edit->item, *all = edit->config->txts;
	char there[NETWORK_NAME_MAX + 64];
	unsigned n = 0;

	for (uint32_t i = 0; i < edit->config->n_txts && !n; i++)
		if (streq(txt->name, all[i].name)) {
			edit->index = i;
			n = 1;
		}
	(void)snprintf(there, sizeof(there), "there is already a DNS TXT record with name '%s' in",
		txt->name);
	return judge(edit, n, there, "couldn't locate a matching DNS TXT record in", NULL);
}

static int find_srv(struct edit *edit)
{
	const struct network_srv *srv = edit->item, *all = edit->config->srvs;
	unsigned n = 0;

	for (uint32_t i = 0; i < edit->config->n_srvs; i++)
		if (fits(srv->domain, all[i].domain) && fits(srv->service, all[i].service) &&
			fits(srv->target, all[i].target) &&
			(!srv->protocol || srv->protocol == all[i].protocol)) {
			edit->index = i;
			n++;
		}
	return judge(edit, n,
		"there is already at least one DNS SRV record matching all specified fields in",
		"couldn't locate a matching DNS SRV record in",
		"multiple DNS SRV records matching all specified fields were found in");
}

/* <vmmd:forward>: known by the host's side of it. */
static int find_forward(struct edit *edit)
{
	const struct network_port_forward *w = edit->item, *all = edit->config->forwards;
	bool add = is_add(edit);
	unsigned n = 0;

	for (uint32_t i = 0; i < edit->config->n_forwards; i++)
		if ((!w->protocol || w->protocol == all[i].protocol) &&
			(!w->port || w->port == all[i].port) &&
			(add ? same_ip(&w->address, &all[i].address)
			     : fits_ip(&w->address, &all[i].address)) &&
			(is_command(edit, NETWORK_UPDATE_DELETE)
					? fits_ip(&w->to, &all[i].to)
					: w->to.family == all[i].to.family)) {
			edit->index = i;
			n++;
		}
	return judge(edit, n, "there is already a forward of this port in",
		"couldn't locate a matching port forward in",
		"multiple matching port forwards were found in");
}

#define SECTION(number, word, tag, item)                                                           \
	[NETWORK_SECTION_##number] = {.name = (word), .element = (tag), .size = sizeof(struct item)
static const struct section sections[] = {[NETWORK_SECTION_BRIDGE] = {.name = "bridge"},
	[NETWORK_SECTION_DOMAIN] = {.name = "domain"},
	[NETWORK_SECTION_IP] = {.name = "ip"},
	SECTION(IP_DHCP_HOST, "ip-dhcp-host", "host", network_dhcp_host),
	.parents = {"ip", "dhcp"},
	.rule = &network_dhcp_host_rule,
	.find = find_dhcp_host},
			    SECTION(IP_DHCP_RANGE, "ip-dhcp-range", "range", network_range),
			    .parents = {"ip", "dhcp"}, .rule = &network_range_rule,
			    .find = find_dhcp_range, .no_modify = "dhcp ranges"
}
, [NETWORK_SECTION_FORWARD] = {.name = "forward"},
  SECTION(FORWARD_INTERFACE, "forward-interface", "interface", net_uplink), .parents = {"forward"},
  .rule = &network_uplink_rule, .find = find_uplink, .no_modify = "forward interface entries"
}
, [NETWORK_SECTION_FORWARD_PF] = {.name = "forward pf"},
  SECTION(PORTGROUP, "portgroup", "portgroup", network_portgroup), .rule = &network_portgroup_rule,
  .find = find_portgroup
}
, SECTION(DNS_HOST, "dns-host", "host", network_dns_host),
	.parents = {"dns"}, .rule = &network_dns_host_rule, .find = find_dns_host,
	.no_modify = "DNS HOST records"
}
, SECTION(DNS_TXT, "dns-txt", "txt", network_txt), .parents = {"dns"}, .rule = &network_txt_rule,
						   .find = find_txt, .no_modify = "DNS TXT records"
}
, SECTION(DNS_SRV, "dns-srv", "srv", network_srv), .parents = {"dns"}, .rule = &network_srv_rule,
						   .find = find_srv, .no_modify = "DNS SRV records"
}
,
}
;
static const struct section forward_section = {.name = "port-forward",
	.element = "forward",
	.size = sizeof(struct network_port_forward),
	.rule = &network_port_forward_rule,
	.find = find_forward};

static const struct section *find_section(unsigned number)
{
	if (number == NETWORK_SECTION_PORT_FORWARD)
		return &forward_section;
	return number < ARRAY_SIZE(sections) && sections[number].name ? &sections[number] : NULL;
}

const char *network_section_name(unsigned number)
{
	const struct section *section = find_section(number);

	return section ? section->name : NULL;
}

/* The fragment. */

/* A deletion names what it needs to be found. */
static int parse_item(struct edit *edit, xmlNode *node, bool partial, void *item)
{
	struct xml_rule rows[XML_MAX_ROWS], rule = *edit->section->rule;
	struct xml_parser p = {.namespaces = network_namespaces, .source = edit->update->source};
	unsigned n = 0;
	int r = -ENOMEM;

	do
		rows[n] = rule.rows[n];
	while (rule.rows[n++].name);
	for (unsigned i = 0; partial && i < n; i++)
		rows[i].flags &= ~XML_REQUIRED;
	rule.rows = rows;
	p.report = contract_report_new();
	p.extra = xml_extra_new();
	if (p.report && p.extra)
		r = xml_rules_parse(&p, node, &rule, item, item);
	if (r == 0 && p.report->counts[CONTRACT_REFUSED])
		r = -EOPNOTSUPP;
	if (r < 0)
		*edit->ret_error = TAKE_PTR(p.error);
	free(p.error);
	(void)contract_report_free(p.report);
	xml_extra_free(p.extra);
	return r;
}

static bool is_element(const struct section *section, const xmlNode *node)
{
	const char *uri = strchr(section->rule->name, ':') ? VMMD_XML_NS_NETWORK : NULL;

	return node->type == XML_ELEMENT_NODE &&
		streq((const char *)node->name, section->element) &&
		(uri ? node->ns && streq((const char *)node->ns->href, uri) : !node->ns);
}

static int find_ip(struct edit *edit)
{
	const struct network_config *c = edit->config;
	int wanted = edit->update->parent_index;

	if (wanted >= 0) {
		if ((uint32_t)wanted >= c->n_ips)
			return fail(edit, -ESRCH,
				"couldn't update dhcp host entry - no <ip> element found at index "
				"%d in network '%s'",
				wanted, name_of(edit));
		edit->ip = &c->ips[wanted];
		return 0;
	}
	for (uint32_t i = 0; i < c->n_ips && !edit->ip; i++)
		if (c->ips[i].n_ranges || c->ips[i].n_hosts)
			edit->ip = &c->ips[i];
	for (uint32_t i = 0; i < c->n_ips && !edit->ip; i++)
		if (c->ips[i].ip.family == 4)
			edit->ip = &c->ips[i];
	if (!edit->ip && c->n_ips)
		edit->ip = &c->ips[0];
	if (!edit->ip)
		return fail(edit, -ESRCH,
			"couldn't update dhcp host entry - no <ip> element found in network '%s'",
			name_of(edit));
	return 0;
}

/* Is it allowed, and where? */
static int judge_element(struct edit *edit, xmlNode *node)
{
	_cleanup_(freep) void *item = calloc(1, edit->section->size);
	int r = 0;

	if (!item)
		return -ENOMEM;
	if (!node || !is_element(edit->section, node))
		return fail(edit, -EINVAL,
			"unexpected element <%.*s>, expecting <%s>, while updating network '%s'",
			node ? xml_shown((const char *)node->name) : 0,
			node ? (const char *)node->name : "", edit->section->rule->name,
			name_of(edit));
	if (edit->section->parents[1])
		r = find_ip(edit);
	if (r == 0)
		r = parse_item(edit, node, is_command(edit, NETWORK_UPDATE_DELETE), item);
	edit->item = item;
	if (r == 0)
		r = edit->section->find(edit);
	edit->item = NULL;
	return r;
}

/* The document. */

/* Child element 'name' of 'parent', the 'index'th; NULL: there is none. */
static xmlNode *child_of(xmlNode *parent, const char *name, unsigned index)
{
	for (xmlNode *node = parent->children; node; node = node->next)
		if (node->type == XML_ELEMENT_NODE && !node->ns &&
			streq((const char *)node->name, name) && index-- == 0)
			return node;
	return NULL;
}

static xmlNode *find_container(const struct edit *edit, xmlNode *node)
{
	for (size_t i = 0; i < ARRAY_SIZE(edit->section->parents) && node; i++) {
		const char *name = edit->section->parents[i];
		xmlNode *child;

		if (!name)
			break;
		child = child_of(node, name,
			streq(name, "ip") ? (unsigned)(edit->ip - edit->config->ips) : 0);
		node = child ? child : xmlNewChild(node, NULL, (const xmlChar *)name, NULL);
	}
	return node;
}

static xmlNode *find_old(const struct edit *edit, xmlNode *container)
{
	unsigned index = edit->index;

	for (xmlNode *node = container->children; node; node = node->next)
		if (is_element(edit->section, node) && index-- == 0)
			return node;
	return NULL;
}

static int change(const struct edit *edit, xmlDoc *doc, xmlNode *fragment)
{
	xmlNode *container = find_container(edit, xmlDocGetRootElement(doc)), *old, *new = NULL;

	if (!container)
		return -ENOMEM;
	old = is_add(edit) ? NULL : find_old(edit, container);
	if (!is_command(edit, NETWORK_UPDATE_DELETE)) {
		new = xmlDocCopyNode(fragment, doc, 1);
		if (!new)
			return -ENOMEM;
	}
	if (old && new)
		(void)xmlReplaceNode(old, new);
	else if (old)
		xmlUnlinkNode(old);
	else if (is_command(edit, NETWORK_UPDATE_ADD_FIRST) && container->children)
		(void)xmlAddPrevSibling(container->children, new);
	else
		(void)xmlAddChild(container, new);
	xmlFreeNode(old);
	return 0;
}

static int parse_again(const struct edit *edit, xmlDoc *doc, struct network_config **ret_config)
{
	xmlChar *text = NULL;
	int len = 0, r;

	xmlDocDumpMemoryEnc(doc, &text, &len, "UTF-8");
	if (!text)
		return -ENOMEM;
	r = network_xml_parse((const char *)text, (size_t)len, name_of(edit), 0, ret_config, NULL,
		edit->ret_error);
	xmlFree(text);
	return r;
}

static int apply(struct edit *edit, struct network_config **ret_config)
{
	_cleanup_(xml_doc_freep) xmlDoc *fragment = NULL, *doc = NULL;
	const struct network_update *u = edit->update;
	_cleanup_(freep) char *xml = NULL;
	int r = xml_read(u->xml, u->len, u->source, &fragment, edit->ret_error);

	if (r == 0)
		r = judge_element(edit, xmlDocGetRootElement(fragment));
	if (r == 0)
		r = network_xml_format(edit->config, NULL, &xml);
	if (r == 0)
		r = xml_read(xml, strlen(xml), name_of(edit), &doc, edit->ret_error);
	if (r == 0)
		r = change(edit, doc, xmlDocGetRootElement(fragment));
	return r < 0 ? r : parse_again(edit, doc, ret_config);
}

int network_update(const struct network_config *config, const struct network_update *update,
	struct network_config **ret_config, char **ret_error)
{
	struct edit edit = {.config = config,
		.update = update,
		.section = find_section(update->section),
		.ret_error = ret_error};

	*ret_error = NULL;
	if (!edit.section)
		return fail(&edit, -EPERM, "can't update unrecognized section of network");
	if (!edit.section->element)
		return fail(&edit, -ENOSYS, "can't update '%s' section of network '%s'",
			edit.section->name, name_of(&edit));
	if (update->command < NETWORK_UPDATE_MODIFY || update->command >= NETWORK_UPDATE_X_MAX)
		return fail(&edit, -EPERM, "unrecognized network update command code %u",
			update->command);
	if (is_command(&edit, NETWORK_UPDATE_MODIFY) && edit.section->no_modify)
		return fail(&edit, -EPERM, "%s cannot be modified, only added or deleted",
			edit.section->no_modify);
	return apply(&edit, ret_config);
}
