/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Where a start spent its time: see boot-report.h. */
#include "daemon/boot-report.h"

#include <string.h>
#include <time.h>

#include "daemon/stats-view.h"
#include "vmm-core/base/strutil.h"

/* In the order in which they end, but for the last: the guest may run before the daemon has read so. */
static const struct {
	const char *name, *about;
	bool worker;
	unsigned moment; /* enum vm_boot_moment, else enum boot_moment */
} stages[] = {
	{"networks", "ports of networks", false, BOOT_NETWORKS},
	{"resources", "images, kernel, memory, KVM: opened, checked, locked", false,
		BOOT_RESOURCES},
	{"taps", "taps of interfaces", false, BOOT_TAPS},
	{"jail", "namespaces, control group, the worker's process", false, BOOT_SPAWNED},
	{"hello", "the worker begins, and is heard", false, BOOT_SENT},
	{"receive", "the configuration, checked once more", true, VM_BOOT_RECEIVED},
	{"kvm", "the virtual machine of KVM's", true, VM_BOOT_KVM},
	{"memory", "the guest's memory, the interrupt chip", true, VM_BOOT_MEMORY},
	{"vcpus", "vCPUs and what they can", true, VM_BOOT_VCPUS},
	{"devices", "devices", true, VM_BOOT_DEVICES},
	{"load", "firmware tables, kernel and initrd into memory", true, VM_BOOT_LOADED},
	{"sandbox", "threads, and the last doors closed", true, VM_BOOT_CLOSED},
	{"enter", "until the guest's first instruction", true, VM_BOOT_ENTERED},
	{"answer", "until vmmd has heard of it", false, BOOT_ANSWERED},
};

static uint64_t clock_ns(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}

void boot_note(struct boot_moments *moments, enum boot_moment moment)
{
	memset(&moments->ns[moment], 0, (BOOT_X_MAX - moment) * sizeof(moments->ns[0]));
	moments->ns[moment] = clock_ns();
}

static void add_stage(struct json_object *array, unsigned i, uint64_t took_ns, uint64_t at_ns)
{
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "stage", json_object_new_string(stages[i].name));
	json_object_object_add(o, "about", json_object_new_string(stages[i].about));
	json_object_object_add(o, "took_us", json_object_new_uint64(took_ns / 1000));
	json_object_object_add(o, "at_us", json_object_new_uint64(at_ns / 1000));
	json_object_array_add(array, o);
}

struct json_object *boot_report(
	const struct boot_moments *moments, const struct vm_stats_page *page, uint64_t now_ns)
{
	struct json_object *o = json_object_new_object(), *array = json_object_new_array();
	uint64_t begun = moments->ns[BOOT_BEGUN], last = begun, total = 0;

	for (unsigned i = 0; i < ARRAY_SIZE(stages); i++) {
		uint64_t at = stages[i].worker
			? (page ? stat_read(&page->boot_ns[stages[i].moment]) : 0)
			: moments->ns[stages[i].moment];

		if (!at || at < last || at > now_ns)
			continue;
		/* Without the daemon's moments the first of the worker's is where it begins. */
		if (begun)
			add_stage(array, i, at - last, at - begun);
		else
			begun = at;
		last = at;
		if (!streq(stages[i].name, "answer") || !total)
			total = at - begun;
	}
	json_object_object_add(o, "stages", array);
	json_object_object_add(o, "total_us", json_object_new_uint64(total / 1000));
	return o;
}
