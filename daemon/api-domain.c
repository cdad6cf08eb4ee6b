/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Handlers that read and run domains. Each is one call into domain.h or manager.h, and the conversion.
 *
 * Tested by tests/unit/test-dbus.c.
 */
#include <stdio.h>
#include <string.h>

#include "daemon/api-column.h"
#include "daemon/api-rows.h"
#include "daemon/api.h"
#include "daemon/process.h"
#include "vmm-core/base/strutil.h"

#define LIST_ACTIVE   (1U << 0)
#define LIST_INACTIVE (1U << 1)
#define XML_INACTIVE  (1U << 0)

/* Keys are literals, and each comes once. */
static void add(struct json_object *o, const char *key, struct json_object *value)
{
	json_object_object_add_ex(
		o, key, value, JSON_C_OBJECT_ADD_KEY_IS_NEW | JSON_C_OBJECT_ADD_CONSTANT_KEY);
}

static void add_string(struct json_object *o, const char *key, const char *value)
{
	add(o, key, json_object_new_string(value));
}

static void add_bool(struct json_object *o, const char *key, bool value)
{
	add(o, key, json_object_new_boolean(value));
}

static void add_uint(struct json_object *o, const char *key, uint64_t value)
{
	add(o, key, json_object_new_uint64(value));
}

/* Asks workers that were not asked for a while whether they answer; what is known is shown. A list asks a few of many, so that it
 * costs the daemon little, and the next one others. */
#define LIST_MAX_PROBES 64

static struct json_object *summary(const struct domain *d)
{
	struct json_object *o = json_object_new_object();
	char uuid[UUID_STRING_LEN + 1], path[API_PATH_MAX];

	uuid_format(d->uuid, uuid);
	api_domain_path(d, path);
	add_string(o, "name", d->name);
	add_string(o, "uuid", uuid);
	add(o, "id", json_object_new_int(d->id));
	add_string(o, "state", domain_state_name(d->state));
	add_string(o, "reason", domain_reason_name(d->state, d->reason));
	add_bool(o, "persistent", domain_is_persistent(d));
	add_bool(o, "transient", !domain_is_persistent(d));
	add_bool(o, "autostart", d->autostart);
	add_string(o, "title", domain_current(d)->title);
	add_bool(o, "managed_save", false);
	add_bool(o, "degraded", d->degraded);
	add_string(o, "object", path);
	return o;
}

/* What a list's flags mean; false: the call has others. */
static bool list_flags(struct api_call *call, uint32_t *ret_flags, struct error *error)
{
	*ret_flags = api_arg_uint(call, "flags");
	if (api_check_flags(call, LIST_ACTIVE | LIST_INACTIVE, error) < 0)
		return false;
	if (!*ret_flags)
		*ret_flags = LIST_ACTIVE | LIST_INACTIVE;
	return true;
}

static bool is_listed(const struct api_call *call, const struct domain *d, uint32_t flags)
{
	return flags & (domain_is_active(d) ? LIST_ACTIVE : LIST_INACTIVE) && api_sees(call, d);
}

int api_list_domains(struct api_call *call, struct error *error)
{
	struct json_object *out, *rows;
	unsigned n_probes = 0;
	struct list *pos;
	uint32_t flags;
	int r;

	if (!list_flags(call, &flags, error))
		return -EINVAL;
	out = json_object_new_object();
	rows = api_rows_add(call, out, "domains");
	r = rows ? 0 : -ENOMEM;
	list_for_each (pos, &call->manager->domains) {
		struct domain *d = list_entry(pos, struct domain, link);

		if (!is_listed(call, d, flags))
			continue;
		if (d->phase == DOMAIN_ACTIVE && d->worker && n_probes < LIST_MAX_PROBES)
			n_probes += worker_probe(d->worker);
		if (r == 0)
			r = api_rows_put(rows, summary(d));
	}
	if (r < 0) {
		json_object_put(out);
		return error_set(error, ERROR_NO_MEMORY, "list");
	}
	api_call_reply(call, out);
	return 0;
}

int api_list_domain_names(struct api_call *call, struct error *error)
{
	struct json_object *out = json_object_new_object();
	struct api_column *names = api_column_add(out, "names", 's');
	struct api_column *uuids = api_column_add(out, "uuids", 's');
	struct api_column *ids = api_column_add(out, "ids", 'i');
	struct list *pos;
	uint32_t flags;
	int r = list_flags(call, &flags, error) ? 0 : -EINVAL;

	if (r == 0 && (!names || !uuids || !ids))
		r = error_set(error, ERROR_NO_MEMORY, "list");
	if (r < 0) {
		json_object_put(out);
		return r;
	}
	list_for_each (pos, &call->manager->domains) {
		const struct domain *d = list_entry(pos, struct domain, link);
		char uuid[UUID_STRING_LEN + 1];

		if (!is_listed(call, d, flags))
			continue;
		uuid_format(d->uuid, uuid);
		if (api_column_put_string(names, d->name) < 0 ||
			api_column_put_string(uuids, uuid) < 0 ||
			api_column_put_int(ids, d->id) < 0) {
			json_object_put(out);
			return error_set(error, ERROR_NO_MEMORY, "list");
		}
	}
	api_call_reply(call, out);
	return 0;
}

int api_get_domain(struct api_call *call, struct error *error)
{
	struct domain *d = api_arg_domain(call, error);
	const struct definition *current;
	struct json_object *o, *out;
	struct process_usage usage = {0};
	char log[4096];

	if (!d)
		return -ENOENT;
	current = domain_current(d);
	/* One that starts may be busy with its memory for minutes. */
	if (d->phase == DOMAIN_ACTIVE && d->worker)
		(void)worker_probe(d->worker);
	o = summary(d);
	add_string(o, "owner", d->owner.user);
	add_string(o, "os_type", "hvm");
	add_uint(o, "vcpus", current->vcpus);
	add_uint(o, "vcpus_max", current->vcpus_max);
	add_uint(o, "memory_kib", current->memory_kib);
	add_uint(o, "current_memory_kib", domain_current_memory_kib(d));
	if (d->worker)
		(void)process_usage(worker_pid(d->worker), &usage);
	add_uint(o, "cpu_time_ns", usage.user_ns + usage.system_ns);
	add_uint(o, "pid", d->worker ? (uint64_t)worker_pid(d->worker) : 0);
	(void)snprintf(log, sizeof(log), "%s/log/%s.log", call->manager->store->state_dir, d->name);
	add_string(o, "worker_log", log);
	out = json_object_new_object();
	json_object_object_add(out, "info", o);
	api_call_reply(call, out);
	return 0;
}

int api_get_domain_xml(struct api_call *call, struct error *error)
{
	struct domain *d = api_arg_domain(call, error);
	_cleanup_(freep) char *xml = NULL;
	struct json_object *out;
	int r;

	if (!d || api_check_flags(call, XML_INACTIVE, error) < 0)
		return -EINVAL;
	r = domain_format_xml(d, api_arg_uint(call, "flags") & XML_INACTIVE, &xml, error);
	if (r < 0)
		return r;
	out = json_object_new_object();
	add_string(out, "xml", xml);
	api_call_reply(call, out);
	return 0;
}

/* Common to all operations without flags. */
static int operate(struct api_call *call,
	int (*operation)(struct domain *, domain_done_fn, void *, struct error *),
	struct error *error)
{
	struct domain *d = api_arg_domain(call, error);
	int r;

	if (!d)
		return -ENOENT;
	r = operation(d, api_done, api_call_ref(call), error);
	if (r < 0)
		(void)api_call_unref(call);
	return r;
}

static int operate_flags(struct api_call *call,
	int (*operation)(struct domain *, unsigned, domain_done_fn, void *, struct error *),
	unsigned known, struct error *error)
{
	struct domain *d = api_arg_domain(call, error);
	int r;

	if (!d || api_check_flags(call, known, error) < 0)
		return -EINVAL;
	r = operation(d, api_arg_uint(call, "flags"), api_done, api_call_ref(call), error);
	if (r < 0)
		(void)api_call_unref(call);
	return r;
}

int api_start_domain(struct api_call *call, struct error *error)
{
	return operate_flags(call, domain_start, DOMAIN_START_PAUSED, error);
}

int api_destroy_domain(struct api_call *call, struct error *error)
{
	return operate_flags(call, domain_destroy, DOMAIN_DESTROY_GRACEFUL, error);
}

int api_shutdown_domain(struct api_call *call, struct error *error)
{
	return operate(call, domain_shutdown, error);
}

int api_reboot_domain(struct api_call *call, struct error *error)
{
	return operate(call, domain_reboot, error);
}

int api_reset_domain(struct api_call *call, struct error *error)
{
	return operate(call, domain_reset, error);
}

int api_suspend_domain(struct api_call *call, struct error *error)
{
	return operate(call, domain_suspend, error);
}

int api_resume_domain(struct api_call *call, struct error *error)
{
	return operate(call, domain_resume, error);
}

static void on_console(void *userdata, int fd, const struct error *error)
{
	_cleanup_(api_call_unrefp) struct api_call *call = userdata;

	if (error)
		api_call_fail(call, error);
	else
		api_call_reply_fd(call, NULL, fd);
	(void)safe_close(fd);
}

int api_open_console(struct api_call *call, struct error *error)
{
	struct domain *d = api_arg_domain(call, error);
	int r;

	if (!d || api_check_flags(call, DOMAIN_CONSOLE_FORCE, error) < 0)
		return -EINVAL;
	r = domain_open_console(d, api_arg_string(call, "device"), api_arg_uint(call, "flags"),
		on_console, api_call_ref(call), error);
	if (r < 0)
		(void)api_call_unref(call);
	return r;
}

int api_resize_console(struct api_call *call, struct error *error)
{
	struct domain *d = api_arg_domain(call, error);
	int r;

	if (!d)
		return -ENOENT;
	r = domain_resize_console(d, api_arg_string(call, "device"), api_arg_uint(call, "columns"),
		api_arg_uint(call, "rows"), api_done, api_call_ref(call), error);
	if (r < 0)
		(void)api_call_unref(call);
	return r;
}

int api_list_domain_disks(struct api_call *call, struct error *error)
{
	struct domain *d = api_arg_domain(call, error);
	const struct definition *def;
	struct json_object *out, *array;

	if (!d || api_check_flags(call, XML_INACTIVE, error) < 0)
		return -EINVAL;
	def = domain_current(d);
	if ((api_arg_uint(call, "flags") & XML_INACTIVE) && d->definition)
		def = d->definition;
	array = json_object_new_array();
	for (unsigned i = 0; i < def->n_disks; i++) {
		const struct definition_disk *disk = &def->disks[i];
		struct json_object *o = json_object_new_object();

		add_string(o, "type", disk->is_block ? "block" : "file");
		add_string(o, "device", disk->is_cdrom ? "cdrom" : "disk");
		add_string(o, "target", disk->target);
		add_string(o, "source", disk->path);
		json_object_array_add(array, o);
	}
	out = json_object_new_object();
	json_object_object_add(out, "disks", array);
	api_call_reply(call, out);
	return 0;
}
