/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Definitions: define, undefine, create, check, autostart. The store is written before anything changes in memory.
 *
 * Tested by tests/unit/test-manager.c.
 */
#include <string.h>

#include "daemon/cpu-check.h"
#include "daemon/domain-internal.h"
#include "daemon/manager.h"
#include "vmm-core/base/names.h"
#include "vmm-core/base/strutil.h"

int manager_parse(const char *xml, const char *source, unsigned flags,
	const struct xml_identify *identify, struct domain_config **ret_config,
	struct contract_report **ret_report, struct error *error)
{
	_cleanup_(contract_report_freep) struct contract_report *report = NULL;
	_cleanup_(domain_config_freep) struct domain_config *config = NULL;
	_cleanup_(freep) char *text = NULL;
	int r;

	if (!*source)
		source = "domain.xml";
	r = domain_xml_parse_as(xml, strlen(xml), source,
		flags & MANAGER_DEFINE_STRICT ? XML_STRICT : 0, identify, &config, &report, &text);
	if (r == 0)
		r = cpu_check(&config->vm.cpu, source, report, &text);
	if (r == 0)
		*ret_config = TAKE_PTR(config);
	if (ret_report)
		*ret_report = TAKE_PTR(report);
	return error_set_xml(error, r, text);
}

int manager_check_identity(const char *what, enum error_code exists, const struct identity *by_name,
	const struct identity *by_uuid, struct error *error)
{
	const struct identity *one = by_name->name ? by_name : by_uuid;
	char uuid[UUID_STRING_LEN + 1];

	if (!one->name ||
		(by_name->name && by_uuid->name && memcmp(by_name->uuid, by_uuid->uuid, 16) == 0))
		return 0;
	uuid_format(one->uuid, uuid);
	return error_set(error, exists,
		one == by_name ? "%s '%s' already exists with uuid %s"
			       : "%s '%s' is already defined with uuid %s",
		what, one->name, uuid);
}

/* '*ret' is the domain with name and UUID of 'config', or NULL. */
static int check_identity(struct manager *m, const struct domain_config *config,
	struct domain **ret, struct error *error)
{
	const struct domain *by_uuid = manager_find_uuid(m, config->vm.uuid);
	struct domain *by_name = manager_find_name(m, config->vm.name);
	int r = manager_check_identity("domain", ERROR_DOMAIN_EXISTS,
		&(struct identity){by_name ? by_name->name : NULL, by_name ? by_name->uuid : NULL},
		&(struct identity){by_uuid ? by_uuid->name : NULL, by_uuid ? by_uuid->uuid : NULL},
		error);

	*ret = by_name;
	return r;
}

int manager_fail_definition(int r, struct error *error)
{
	if (r == -EFBIG)
		return error_set(error, ERROR_XML_ERROR,
			"the domain's XML is longer than %u bytes in its canonical form",
			VMMD_MAX_XML_BYTES);
	return error_set(error, ERROR_NO_MEMORY, "xml");
}

int manager_define(struct manager *m, const char *xml, const char *source, unsigned flags,
	struct domain **ret_domain, struct contract_report **ret_report, struct error *error)
{
	_cleanup_(domain_config_freep) struct domain_config *config = NULL;
	_cleanup_(definition_freep) struct definition *definition = NULL;
	struct domain *d, *old;
	int r;

	r = manager_parse(xml, source, flags, NULL, &config, ret_report, error);
	if (r < 0)
		return r;
	r = check_identity(m, config, &old, error);
	if (r < 0)
		return r;
	r = definition_new(config, &definition);
	if (r < 0)
		return manager_fail_definition(r, error);
	d = old ? old : manager_add(m, config->vm.uuid, config->vm.name, error);
	if (!d)
		return -ENOMEM;
	r = store_save(&m->store->domains, config->vm.uuid, definition->xml);
	if (r < 0) {
		if (!old)
			manager_remove(m, d);
		return error_set_errno(
			error, r, "cannot save the definition of '%s'", config->vm.name);
	}
	manager_take_definition(m, d, TAKE_PTR(definition), !old);
	*ret_domain = d;
	return 0;
}

void manager_take_definition(
	struct manager *m, struct domain *d, struct definition *definition, bool is_new)
{
	(void)definition_free(d->definition);
	d->definition = definition;
	domain_note_owner(d);
	manager_changed(m, d);
	manager_emit(m, EVENT_LIFECYCLE, d, "Defined", is_new ? "Added" : "Updated");
}

int manager_redefine(struct manager *m, struct domain *d, const struct domain_config *config,
	struct error *error)
{
	_cleanup_(definition_freep) struct definition *definition = NULL;
	int r = definition_new(config, &definition);

	if (r < 0)
		return manager_fail_definition(r, error);
	r = store_save(&m->store->domains, d->uuid, definition->xml);
	if (r < 0)
		return error_set_errno(error, r, "cannot save the definition of '%s'", d->name);
	manager_take_definition(m, d, TAKE_PTR(definition), false);
	return 0;
}

int manager_undefine(struct manager *m, struct domain *d, struct error *error)
{
	int r;

	if (!domain_is_persistent(d))
		return error_set(
			error, ERROR_OPERATION_INVALID, "cannot undefine transient domain");
	r = store_delete(&m->store->domains, d->uuid);
	if (r < 0)
		return error_set_errno(error, r, "cannot delete the definition of '%s'", d->name);
	manager_drop_definition(m, d);
	return 0;
}

void manager_drop_definition(struct manager *m, struct domain *d)
{
	d->autostart = false;
	d->definition = definition_free(d->definition);
	manager_emit(m, EVENT_LIFECYCLE, d, "Undefined", "Removed");
	domain_note_owner(d);
	if (domain_is_active(d))
		manager_changed(m, d); /* runs on, transient from now */
	else
		manager_remove(m, d);
}

int manager_create(struct manager *m, const char *xml, const char *source, unsigned flags,
	unsigned start_flags, domain_done_fn done, void *userdata, struct domain **ret_domain,
	struct contract_report **ret_report, struct error *error)
{
	_cleanup_(domain_config_freep) struct domain_config *config = NULL;
	struct domain *d, *old;
	int r;

	r = manager_parse(xml, source, flags, NULL, &config, ret_report, error);
	if (r < 0)
		return r;
	r = check_identity(m, config, &old, error);
	if (r < 0)
		return r;
	if (old && domain_is_active(old))
		return error_set(
			error, ERROR_OPERATION_INVALID, "domain '%s' is already active", old->name);
	d = old ? old : manager_add(m, config->vm.uuid, config->vm.name, error);
	if (!d)
		return -ENOMEM;
	r = domain_set_live(d, config);
	if (r < 0) {
		r = manager_fail_definition(r, error);
	} else {
		(void)TAKE_PTR(config);
		r = domain_start(d, start_flags, done, userdata, error);
	}
	if (r < 0) {
		if (!old)
			manager_remove(m, d);
		return r;
	}
	*ret_domain = d;
	return 0;
}

int manager_set_autostart(struct manager *m, struct domain *d, bool on, struct error *error)
{
	int r;

	if (!domain_is_persistent(d))
		return error_set(error, ERROR_OPERATION_INVALID,
			"cannot set autostart for transient domain");
	r = store_set_autostart(&m->store->domains, d->uuid, on);
	if (r < 0)
		return error_set_errno(error, r, "cannot save the autostart flag of '%s'", d->name);
	d->autostart = on;
	manager_changed(m, d);
	return 0;
}

int manager_check(const char *xml, const char *source, unsigned flags,
	struct contract_report **ret_report, struct error *error)
{
	_cleanup_(domain_config_freep) struct domain_config *config = NULL;

	return manager_parse(xml, source, flags, NULL, &config, ret_report, error);
}
