/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the tests of the daemon's faults share: operations that change something, each with what is there before it, and a look at what
 * came of it. They are of the domain "a" and the network "red". */
#pragma once

#include "daemon-fixture.h"

/* What is found. */
enum found { FOUND_OLD, FOUND_NEW, FOUND_TORN };

struct operation {
	const char *name;
	int (*prepare)(struct fixture *f);
	int (*run)(struct fixture *f); /* 0, or a negative errno with 'f->error' set */
	enum found (*look)(struct fixture *f);
};

static inline struct domain *the_domain(struct fixture *f)
{
	return manager_find_name(f->manager, "a");
}

static inline struct network *the_network(struct fixture *f)
{
	return network_find_name(f->manager, "red");
}

static inline int op_nothing(struct fixture *f)
{
	(void)f;
	return 0;
}

static inline int define_with(struct fixture *f, const char *extra)
{
	struct domain *d;

	return manager_define(
		f->manager, fixture_xml(f, "a", "", extra), "a.xml", 0, &d, NULL, &f->error);
}

static inline int op_define(struct fixture *f)
{
	return define_with(f, "");
}

/* Another definition of the same domain, told by its title. */
static inline int op_redefine(struct fixture *f)
{
	char uuid[UUID_STRING_LEN + 1], extra[128];

	uuid_format(the_domain(f)->uuid, uuid);
	snprintf(extra, sizeof(extra), "<uuid>%s</uuid><title>second</title>", uuid);
	return define_with(f, extra);
}

static inline int op_undefine(struct fixture *f)
{
	return manager_undefine(f->manager, the_domain(f), &f->error);
}

static inline int op_autostart(struct fixture *f)
{
	return manager_set_autostart(f->manager, the_domain(f), true, &f->error);
}

static inline int op_define_autostarted(struct fixture *f)
{
	int r = op_define(f);

	return r < 0 ? r : op_autostart(f);
}

/* The result of what 'r' says has been accepted. */
static inline int op_wait(struct fixture *f, int r)
{
	unsigned n = f->n_done;

	if (r < 0)
		return r;
	RUN_UNTIL(f, f->n_done > n);
	f->error = f->done_error;
	return f->error.code ? -EIO : 0;
}

/* As DefineDomain does it: the disk is not waited for. */
static inline int op_define_soon(struct fixture *f)
{
	const char *name;

	return op_wait(f,
		manager_define_soon(f->manager, fixture_xml(f, "a", "", ""), "a.xml", 0,
			fixture_done, f, &name, NULL, &f->error));
}

static inline int op_start(struct fixture *f)
{
	return op_wait(f, domain_start(the_domain(f), 0, fixture_done, f, &f->error));
}

static inline int op_define_and_start(struct fixture *f)
{
	int r = op_define(f);

	return r < 0 ? r : op_start(f);
}

static inline int op_destroy(struct fixture *f)
{
	return op_wait(f, domain_destroy(the_domain(f), 0, fixture_done, f, &f->error));
}

static inline int op_create(struct fixture *f)
{
	struct domain *d;

	return op_wait(f,
		manager_create(f->manager, fixture_xml(f, "a", "", ""), "a.xml", 0, 0, fixture_done,
			f, &d, NULL, &f->error));
}

static inline int op_net_define(struct fixture *f)
{
	struct network *n;

	return network_define(f->manager, "<network><name>red</name></network>", "red.xml", 0, &n,
		NULL, &f->error);
}

/* With another configuration than its definition's, told by the MTU. */
static inline int op_net_create(struct fixture *f)
{
	char uuid[UUID_STRING_LEN + 1], xml[256];
	struct network *n;

	uuid_format(the_network(f)->uuid, uuid);
	snprintf(xml, sizeof(xml),
		"<network><name>red</name><uuid>%s</uuid><mtu size='1400'/></network>", uuid);
	return op_wait(f,
		network_create(
			f->manager, xml, "red.xml", 0, fixture_done, f, &n, NULL, &f->error));
}

static inline int op_net_undefine(struct fixture *f)
{
	return network_undefine(the_network(f), &f->error);
}

static inline int op_net_autostart(struct fixture *f)
{
	return network_set_autostart(the_network(f), true, &f->error);
}

static inline int op_net_start(struct fixture *f)
{
	return op_wait(f, network_start(the_network(f), fixture_done, f, &f->error));
}

static inline int op_net_define_and_start(struct fixture *f)
{
	int r = op_net_define(f);

	return r < 0 ? r : op_net_start(f);
}

static inline int op_net_destroy(struct fixture *f)
{
	return op_wait(f, network_destroy(the_network(f), fixture_done, f, &f->error));
}

static inline enum found is_there(struct fixture *f)
{
	return the_domain(f) ? FOUND_NEW : FOUND_OLD;
}

static inline enum found is_gone(struct fixture *f)
{
	return the_domain(f) ? FOUND_OLD : FOUND_NEW;
}

/* Not half of it: a definition without the flag that it had. */
static inline enum found is_gone_with_flag(struct fixture *f)
{
	const struct domain *d = the_domain(f);

	return !d ? FOUND_NEW : d->autostart ? FOUND_OLD : FOUND_TORN;
}

static inline enum found has_title(struct fixture *f)
{
	const struct domain *d = the_domain(f);
	const char *title = d && d->definition ? d->definition->title : NULL;

	if (!title)
		return FOUND_TORN;
	return streq(title, "second") ? FOUND_NEW : *title ? FOUND_TORN : FOUND_OLD;
}

static inline enum found is_autostarted(struct fixture *f)
{
	const struct domain *d = the_domain(f);

	return !d ? FOUND_TORN : d->autostart ? FOUND_NEW : FOUND_OLD;
}

static inline enum found is_running(struct fixture *f)
{
	const struct domain *d = the_domain(f);

	return !d ? FOUND_TORN : domain_is_active(d) ? FOUND_NEW : FOUND_OLD;
}

static inline enum found is_stopped(struct fixture *f)
{
	const struct domain *d = the_domain(f);

	return !d ? FOUND_TORN : domain_is_active(d) ? FOUND_OLD : FOUND_NEW;
}

static inline enum found net_is_there(struct fixture *f)
{
	return the_network(f) ? FOUND_NEW : FOUND_OLD;
}

static inline enum found net_is_gone(struct fixture *f)
{
	return the_network(f) ? FOUND_OLD : FOUND_NEW;
}

static inline enum found net_is_autostarted(struct fixture *f)
{
	const struct network *n = the_network(f);

	return !n ? FOUND_TORN : n->autostart ? FOUND_NEW : FOUND_OLD;
}

static inline enum found net_is_running(struct fixture *f)
{
	const struct network *n = the_network(f);

	return !n ? FOUND_TORN : network_is_active(n) ? FOUND_NEW : FOUND_OLD;
}

static inline enum found net_is_stopped(struct fixture *f)
{
	const struct network *n = the_network(f);

	return !n ? FOUND_TORN : network_is_active(n) ? FOUND_OLD : FOUND_NEW;
}

static inline enum found net_is_other(struct fixture *f)
{
	const struct network *n = the_network(f);
	enum found found = n && network_is_active(n) ? FOUND_NEW : FOUND_OLD;

	return n && n->config->net.mtu == (found == FOUND_NEW ? 1400 : 0) ? found : FOUND_TORN;
}

static const struct operation operations[] = {
	{"define", op_nothing, op_define, is_there},
	{"define-soon", op_nothing, op_define_soon, is_there},
	{"redefine", op_define, op_redefine, has_title},
	{"undefine", op_define, op_undefine, is_gone},
	{"undefine-autostarted", op_define_autostarted, op_undefine, is_gone_with_flag},
	{"autostart", op_define, op_autostart, is_autostarted},
	{"start", op_define, op_start, is_running},
	{"destroy", op_define_and_start, op_destroy, is_stopped},
	{"create", op_nothing, op_create, is_there},
	{"net-create", op_net_define, op_net_create, net_is_other},
	{"net-define", op_nothing, op_net_define, net_is_there},
	{"net-undefine", op_net_define, op_net_undefine, net_is_gone},
	{"net-autostart", op_net_define, op_net_autostart, net_is_autostarted},
	{"net-start", op_net_define, op_net_start, net_is_running},
	{"net-destroy", op_net_define_and_start, op_net_destroy, net_is_stopped},
};

/* A temporary file in the folders of definitions. */
static inline bool has_tmp(const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *e;
	bool found = false;

	while (dir && (e = readdir(dir)))
		found |= strstr(e->d_name, "tmp") != NULL;
	if (dir)
		closedir(dir);
	return found;
}

static inline bool state_has_tmp(const char *state)
{
	static const char *const folders[] = {
		"domains", "networks", "autostart", "autostart-networks", "."};
	char path[256];
	bool found = false;

	for (size_t i = 0; i < ARRAY_SIZE(folders); i++) {
		snprintf(path, sizeof(path), "%s/%s", state, folders[i]);
		found |= has_tmp(path);
	}
	return found;
}
