/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Definitions of networks: define, undefine, create, autostart. The store is written before anything changes in memory.
 *
 * Tested by tests/unit/test-network.c.
 */
#include <string.h>

#include "daemon/domain-internal.h"
#include "daemon/journal.h"
#include "daemon/manager.h"
#include "daemon/network-internal.h"
#include "vmm-core/base/log.h"
#include "vmm-core/base/names.h"
#include "vmm-core/base/strutil.h"

int network_parse(const char *xml, const char *source, unsigned flags,
	const struct xml_identify *identify, struct network_config **ret_config,
	struct contract_report **ret_report, struct error *error)
{
	_cleanup_(contract_report_freep) struct contract_report *report = NULL;
	_cleanup_(network_config_freep) struct network_config *config = NULL;
	_cleanup_(freep) char *text = NULL;
	int r;

	if (!*source)
		source = "network.xml";
	r = network_xml_parse_as(xml, strlen(xml), source,
		flags & MANAGER_DEFINE_STRICT ? XML_STRICT : 0, identify, &config, &report, &text);
	if (r == 0)
		*ret_config = TAKE_PTR(config);
	if (ret_report)
		*ret_report = TAKE_PTR(report);
	return error_set_xml(error, r, text);
}

/* '*ret' is the network with name and UUID of 'config', or NULL. */
static int check_identity(struct manager *m, const struct network_config *config,
	struct network **ret, struct error *error)
{
	const struct network *by_uuid = network_find_uuid(m, config->net.uuid);
	struct network *by_name = network_find_name(m, config->net.name);
	int r = manager_check_identity("network", ERROR_NETWORK_EXISTS,
		&(struct identity){by_name ? by_name->name : NULL, by_name ? by_name->uuid : NULL},
		&(struct identity){by_uuid ? by_uuid->name : NULL, by_uuid ? by_uuid->uuid : NULL},
		error);

	*ret = by_name;
	return r;
}

int network_canonical_xml(const struct network_config *config, char **ret_xml, struct error *error)
{
	if (network_xml_format(config, NULL, ret_xml) < 0)
		return error_set(error, ERROR_NO_MEMORY, "xml");
	if (strlen(*ret_xml) > VMMD_MAX_XML_BYTES) {
		free(*ret_xml);
		*ret_xml = NULL;
		return error_set(error, ERROR_XML_ERROR,
			"the network's XML is longer than %u bytes in its canonical form",
			VMMD_MAX_XML_BYTES);
	}
	return 0;
}

int network_definition(
	const struct network *n, struct network_config **ret_config, struct error *error)
{
	_cleanup_(freep) char *text = NULL;

	if (!n->xml)
		return error_set(error, ERROR_OPERATION_INVALID,
			"network '%s' is transient: there is no inactive configuration", n->name);
	return error_set_xml(error,
		network_xml_parse(n->xml, strlen(n->xml), n->name, 0, ret_config, NULL, &text),
		text);
}

int network_define(struct manager *m, const char *xml, const char *source, unsigned flags,
	struct network **ret_network, struct contract_report **ret_report, struct error *error)
{
	_cleanup_(network_config_freep) struct network_config *config = NULL;
	_cleanup_(freep) char *canonical = NULL;
	struct network *n, *old;
	int r;

	r = network_parse(xml, source, flags, NULL, &config, ret_report, error);
	if (r == 0)
		r = check_identity(m, config, &old, error);
	if (r == 0)
		r = network_canonical_xml(config, &canonical, error);
	if (r < 0)
		return r;
	n = old ? old : network_new(m, config->net.uuid, config->net.name, error);
	if (!n)
		return -ENOMEM;
	r = manager_change(
		m, CHANGESET_SAVE, CHANGESET_NETWORKS, n->uuid, n->name, canonical, error);
	if (r < 0) {
		if (!old)
			(void)network_free(n);
		return r;
	}
	network_take_definition(n, TAKE_PTR(canonical), TAKE_PTR(config));
	*ret_network = n;
	return 0;
}

void network_take_definition(struct network *n, char *xml, struct network_config *config)
{
	free(n->xml);
	n->xml = xml;
	/* What runs goes on as it is, and is what the live XML shows. */
	if (!network_is_active(n)) {
		(void)network_config_free(n->config);
		n->config = config;
	} else {
		(void)network_config_free(config);
	}
	network_event(n, "Defined");
}

int network_undefine(struct network *n, struct error *error)
{
	int r;

	if (!network_is_persistent(n))
		return error_set(
			error, ERROR_OPERATION_INVALID, "cannot undefine transient network");
	r = manager_change(
		n->manager, CHANGESET_DELETE, CHANGESET_NETWORKS, n->uuid, n->name, NULL, error);
	if (r < 0)
		return r;
	network_drop_definition(n);
	return 0;
}

void network_drop_definition(struct network *n)
{
	n->autostart = false;
	free(n->xml);
	n->xml = NULL;
	network_event(n, "Undefined");
	if (!network_is_active(n))
		(void)network_free(n);
}

int network_create(struct manager *m, const char *xml, const char *source, unsigned flags,
	domain_done_fn done, void *userdata, struct network **ret_network,
	struct contract_report **ret_report, struct error *error)
{
	_cleanup_(network_config_freep) struct network_config *config = NULL;
	struct network *n, *old;
	int r;

	r = network_parse(xml, source, flags, NULL, &config, ret_report, error);
	if (r == 0)
		r = check_identity(m, config, &old, error);
	if (r < 0)
		return r;
	if (old && network_is_active(old))
		return error_set(error, ERROR_OPERATION_INVALID, "network '%s' is already active",
			old->name);
	n = old ? old : network_new(m, config->net.uuid, config->net.name, error);
	if (!n)
		return -ENOMEM;
	(void)network_config_free(n->config);
	n->config = TAKE_PTR(config);
	r = network_start(n, done, userdata, error);
	if (r < 0) {
		if (!old)
			(void)network_free(n);
		return r;
	}
	*ret_network = n;
	return 0;
}

int network_set_autostart(struct network *n, bool on, struct error *error)
{
	int r;

	if (!network_is_persistent(n))
		return error_set(error, ERROR_OPERATION_INVALID,
			"cannot set autostart for transient network");
	r = manager_change(n->manager, on ? CHANGESET_FLAG : CHANGESET_UNFLAG, CHANGESET_NETWORKS,
		n->uuid, n->name, NULL, error);
	if (r < 0)
		return r;
	n->autostart = on;
	network_event(n, "Changed");
	return 0;
}

static void load_one(void *opaque, const uint8_t uuid[16], const char *xml, int error)
{
	_cleanup_(network_config_freep) struct network_config *config = NULL;
	_cleanup_(freep) char *text = NULL;
	char uuid_text[UUID_STRING_LEN + 1];
	struct manager *m = opaque;
	struct network *n = NULL;
	struct error e = {0};
	int r = error;

	uuid_format(uuid, uuid_text);
	if (xml)
		r = network_xml_parse(xml, strlen(xml), uuid_text, 0, &config, NULL, &text);
	if (r == 0 && memcmp(config->net.uuid, uuid, 16) != 0)
		text = strdup("its <uuid> is not the file's name");
	else if (r == 0 && network_find_name(m, config->net.name))
		text = strdup("its name is taken by another definition");
	else if (r == 0)
		n = network_new(m, uuid, config->net.name, &e);
	if (n && network_xml_format(config, NULL, &n->xml) < 0)
		n = network_free(n);
	if (!n) {
		char file[4096];

		(void)snprintf(
			file, sizeof(file), "%s/networks/%s.xml", m->store->state_dir, uuid_text);
		journal_write(JOURNAL_DEFINITION_LEFT_OUT,
			&(struct journal_field){"VMMD_FILE", file}, 1,
			"%s is left out, and kept as it is: %s", file,
			text                 ? text
				: *e.message ? e.message
					     : strerror(-r));
		return;
	}
	n->config = TAKE_PTR(config);
	n->autostart = store_get_autostart(&m->store->networks, uuid);
}

int network_load_all(struct manager *m, struct error *error)
{
	int r = store_each(&m->store->networks, load_one, m);

	if (r < 0)
		return error_set_errno(error, r, "cannot read the definitions of networks");
	return 0;
}

static void on_autostarted(void *userdata, const struct error *error)
{
	(void)userdata;
	(void)error; /* network-run.c has logged it */
}

void network_autostart_all(struct manager *m)
{
	struct list *pos, *tmp;

	list_for_each_safe (pos, tmp, &m->networks) {
		struct network *n = list_entry(pos, struct network, link);
		struct error e = {0};

		if (n->autostart && !network_is_active(n))
			(void)network_start(n, on_autostarted, NULL, &e);
	}
}
