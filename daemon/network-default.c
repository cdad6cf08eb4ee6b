/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The network that a new instance begins with, so that <interface type='user'/> and what installers write work.
 *
 * Tested by tests/unit/test-network.c.
 */
#include <fcntl.h>
#include <string.h>

#include "daemon/manager.h"
#include "daemon/network-internal.h"
#include "vmm-core/base/fdio.h"
#include "vmm-core/base/log.h"
#include "vmm-core/base/names.h"

#define MARK "default-network"

static void see(void *opaque, const uint8_t uuid[16], const char *xml, int error)
{
	bool *seen = opaque;

	(void)uuid;
	(void)xml;
	(void)error;
	*seen = true; /* also one that cannot be read */
}

static int define(struct manager *m, const char *path, struct network **ret, struct error *error)
{
	_cleanup_(freep) char *xml = NULL;
	int r = read_file(AT_FDCWD, path, VMMD_MAX_XML_BYTES, &xml, NULL);

	if (r == -ENOENT)
		return r;
	if (r < 0)
		return error_set_errno(error, r, "cannot read '%s'", path);
	return network_define(m, xml, path, 0, ret, NULL, error);
}

void network_define_default(struct manager *m, const char *path)
{
	struct network *n = NULL;
	struct error e = {0};
	bool any = false;
	int r = 0;

	if (store_has_mark(m->store, MARK) || store_each(&m->store->networks, see, &any) < 0)
		return;
	if (!any)
		r = define(m, path, &n, &e);
	if (r == -ENOENT)
		return;
	if (n)
		r = network_set_autostart(n, true, &e);
	if (r == 0)
		r = store_set_mark(m->store, MARK);
	if (r < 0)
		log_warning("the network of a new instance cannot be set up: %s",
			*e.message ? e.message : strerror(-r));
	else if (n)
		log_info("network '%s' is defined, the first one (vmctl net-undefine %s removes "
			 "it for good)",
			n->name, n->name);
}
