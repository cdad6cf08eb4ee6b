/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Between resources.c, resources-memory.c, resources-disk.c and resources-chardev.c. */
#pragma once

#include "daemon/resources.h"

/* Takes 'fd' over, also on failure. */
int resources_add(struct resources *res, enum proto_fd_kind kind, unsigned index, unsigned flags,
	int fd, struct error *error);

/* '*ret_text' is one line on failure, for the caller to free. */
int resources_open_disk(const struct domain_disk *disk, const struct vm_disk *vm_disk,
	const struct resources_env *env, int *ret_fd, char **ret_text);

/* Is there as much memory, in pages of the sizes and on the nodes of the host that are asked for? */
int resources_check_memory(
	const struct domain_config *config, const struct resources_env *env, struct error *error);
int resources_make_memory(
	struct resources *res, const struct domain_config *config, struct error *error);

/* Refuse what cannot work, changing nothing. */
int resources_check_chardevs(const struct domain_config *config, struct error *error);
int resources_make_chardevs(struct resources *res, const struct domain_config *config,
	const struct resources_env *env, struct error *error);
