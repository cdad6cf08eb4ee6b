/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* KVM's binary statistics: see kvm-stats.h. */
#include "vmm-core/kvm-stats.h"

#include <errno.h>
#include <linux/kvm.h>
#include <string.h>
#include <unistd.h>

#include "vmm-core/base/cleanup.h"
#include "vmm-core/base/strutil.h"

static int read_at(int fd, void *buf, size_t len, uint64_t offset)
{
	ssize_t n = pread(fd, buf, len, (off_t)offset);

	if (n < 0)
		return -errno;
	return (size_t)n == len ? 0 : -EBADMSG;
}

static bool header_is_good(const struct kvm_stats_header *h)
{
	return h->num_desc <= KVM_STATS_MAX_DESCRIPTORS && h->name_size &&
		h->name_size <= KVM_STATS_MAX_NAME && h->desc_offset >= sizeof(*h) &&
		h->data_offset >= sizeof(*h);
}

int kvm_stats_find(int fd, const char *const *names, unsigned n, uint64_t *ret_offsets)
{
	_cleanup_(freep) char *descriptors = NULL;
	struct kvm_stats_header h;
	size_t size;
	int r;

	r = read_at(fd, &h, sizeof(h), 0);
	if (r < 0)
		return r;
	if (!header_is_good(&h) || n > KVM_STATS_MAX_WANTED)
		return -EBADMSG;
	size = sizeof(struct kvm_stats_desc) + h.name_size;
	descriptors = malloc(MAX(size * h.num_desc, (size_t)1));
	if (!descriptors)
		return -ENOMEM;
	r = read_at(fd, descriptors, size * h.num_desc, h.desc_offset);
	if (r < 0)
		return r;
	memset(ret_offsets, 0, n * sizeof(*ret_offsets));
	for (size_t i = 0; i < h.num_desc; i++) {
		const char *at = descriptors + i * size, *name = at + sizeof(struct kvm_stats_desc);
		struct kvm_stats_desc d;

		memcpy(&d, at, sizeof(d));
		if (d.size != 1 || strnlen(name, h.name_size) == h.name_size)
			continue;
		for (unsigned k = 0; k < n; k++)
			if (streq(names[k], name))
				ret_offsets[k] = (uint64_t)h.data_offset + d.offset;
	}
	return 0;
}

int kvm_stats_add(int fd, const uint64_t *offsets, unsigned n, uint64_t *sums)
{
	uint64_t first = UINT64_MAX, last = 0;
	_cleanup_(freep) char *data = NULL;
	int r;

	for (unsigned i = 0; i < n; i++)
		if (offsets[i]) {
			first = MIN(first, offsets[i]);
			last = MAX(last, offsets[i]);
		}
	if (!last)
		return 0;
	if (last - first > KVM_STATS_MAX_DATA)
		return -EBADMSG;
	data = malloc(last - first + sizeof(uint64_t));
	if (!data)
		return -ENOMEM;
	r = read_at(fd, data, last - first + sizeof(uint64_t), first);
	for (unsigned i = 0; r == 0 && i < n; i++) {
		uint64_t value = 0;

		if (offsets[i])
			memcpy(&value, data + (offsets[i] - first), sizeof(value));
		sums[i] += value;
	}
	return r;
}
