/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A disk's image: opened and locked once (image-lock.h), with the flags that the guest's view of it asks for.
 *
 * Tested by tests/unit/test-resources.c.
 */
#include <errno.h>
#include <stdlib.h>

#include "daemon/image-lock.h"
#include "daemon/resources-internal.h"
#include "vmm-core/base/log.h"

static unsigned image_flags(const struct vm_disk *disk)
{
	unsigned flags = 0;

	if (disk->readonly || disk->device == VM_DISK_DEVICE_CDROM)
		flags |= IMAGE_READONLY;
	if (disk->shareable)
		flags |= IMAGE_SHARED;
	if (disk->cache == VM_DISK_CACHE_NONE || disk->cache == VM_DISK_CACHE_DIRECTSYNC)
		flags |= IMAGE_DIRECT;
	return flags;
}

int resources_open_disk(const struct domain_disk *disk, const struct vm_disk *vm_disk,
	const struct resources_env *env, int *ret_fd, char **ret_text)
{
	const struct image_names names = {env->domain_of_pid, env->opaque};
	struct image_info info;
	int r;

	r = image_open_named(disk->path, image_flags(vm_disk), env->domain_of_pid ? &names : NULL,
		ret_fd, &info, ret_text);
	if (r < 0)
		return r;
	if (info.looks_like)
		log_warning("'%s' is used as a raw image but looks like %s", disk->path,
			info.looks_like);
	if (info.cut_off)
		log_notice(
			"'%s' ends with %u bytes that are no whole sector: the guest does not see "
			"them",
			disk->path, info.cut_off);
	if (!info.is_locked)
		log_notice("'%s' lies on a filesystem without locks: nothing keeps others away "
			   "from it",
			disk->path);
	return 0;
}
