/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The words of the enumerations in vm-config.h: one table per enum vm_enum, in libvirt's spelling. A NULL
 * entry is the default, which has no word.
 */
#include "config/vm-config.h"

#include <errno.h>

#include "vmm-core/base/strutil.h"

static const char *const cpu_mode[] = {
	[VM_CPU_MODE_HOST_PASSTHROUGH] = "host-passthrough",
	[VM_CPU_MODE_HOST_MODEL] = "host-model",
	[VM_CPU_MODE_MAXIMUM] = "maximum",
	[VM_CPU_MODE_CUSTOM] = "custom",
};
static const char *const cpu_policy[] = {
	[VM_CPU_POLICY_FORCE] = "force",
	[VM_CPU_POLICY_REQUIRE] = "require",
	[VM_CPU_POLICY_OPTIONAL] = "optional",
	[VM_CPU_POLICY_DISABLE] = "disable",
	[VM_CPU_POLICY_FORBID] = "forbid",
};
static const char *const clock_offset[] = {
	[VM_CLOCK_UTC] = "utc",
	[VM_CLOCK_LOCALTIME] = "localtime",
	[VM_CLOCK_VARIABLE] = "variable",
	[VM_CLOCK_ABSOLUTE] = "absolute",
};
static const char *const disk_device[] = {
	[VM_DISK_DEVICE_DISK] = "disk",
	[VM_DISK_DEVICE_CDROM] = "cdrom",
};
static const char *const disk_bus[] = {
	[VM_DISK_BUS_VIRTIO] = "virtio",
	[VM_DISK_BUS_SATA] = "sata",
};
static const char *const disk_cache[] = {
	[VM_DISK_CACHE_NONE] = "none",
	[VM_DISK_CACHE_WRITETHROUGH] = "writethrough",
	[VM_DISK_CACHE_WRITEBACK] = "writeback",
	[VM_DISK_CACHE_DIRECTSYNC] = "directsync",
	[VM_DISK_CACHE_UNSAFE] = "unsafe",
};
static const char *const disk_io[] = {
	[VM_DISK_IO_THREADS] = "threads",
	[VM_DISK_IO_NATIVE] = "native",
	[VM_DISK_IO_IO_URING] = "io_uring",
};
static const char *const disk_discard[] = {
	[VM_DISK_DISCARD_IGNORE] = "ignore",
	[VM_DISK_DISCARD_UNMAP] = "unmap",
};
static const char *const disk_detect_zeroes[] = {
	[VM_DISK_DETECT_ZEROES_OFF] = "off",
	[VM_DISK_DETECT_ZEROES_ON] = "on",
	[VM_DISK_DETECT_ZEROES_UNMAP] = "unmap",
};
static const char *const disk_error[] = {
	[VM_DISK_ERROR_STOP] = "stop",
	[VM_DISK_ERROR_REPORT] = "report",
	[VM_DISK_ERROR_IGNORE] = "ignore",
	[VM_DISK_ERROR_ENOSPACE] = "enospace",
};
static const char *const chardev[] = {
	[VM_CHARDEV_PTY] = "pty",
	[VM_CHARDEV_FILE] = "file",
	[VM_CHARDEV_UNIX] = "unix",
	[VM_CHARDEV_NULL] = "null",
};
static const char *const console_target[] = {
	[VM_CONSOLE_TARGET_SERIAL] = "serial",
	[VM_CONSOLE_TARGET_VIRTIO] = "virtio",
};
static const char *const rng_source[] = {
	[VM_RNG_RANDOM] = "random",
	[VM_RNG_BUILTIN] = "builtin",
};
static const char *const timer[] = {
	[VM_TIMER_RTC] = "rtc",
	[VM_TIMER_PIT] = "pit",
	[VM_TIMER_HPET] = "hpet",
	[VM_TIMER_KVMCLOCK] = "kvmclock",
	[VM_TIMER_TSC] = "tsc",
};
static const char *const tristate[] = {
	[VM_TRISTATE_YES] = "yes",
	[VM_TRISTATE_NO] = "no",
};

struct name_table {
	const char *const *names;
	size_t n_names;
};

#define TABLE(array, max)                                                                          \
	{                                                                                          \
		.names = (array), .n_names = sizeof(char[ARRAY_SIZE(array) == (max) ? (max) : -1]) \
	}

static const struct name_table tables[VM_ENUM_X_MAX] = {
	[VM_ENUM_CPU_MODE] = TABLE(cpu_mode, VM_CPU_MODE_X_MAX),
	[VM_ENUM_CPU_POLICY] = TABLE(cpu_policy, VM_CPU_POLICY_X_MAX),
	[VM_ENUM_CLOCK_OFFSET] = TABLE(clock_offset, VM_CLOCK_X_MAX),
	[VM_ENUM_DISK_DEVICE] = TABLE(disk_device, VM_DISK_DEVICE_X_MAX),
	[VM_ENUM_DISK_BUS] = TABLE(disk_bus, VM_DISK_BUS_X_MAX),
	[VM_ENUM_DISK_CACHE] = TABLE(disk_cache, VM_DISK_CACHE_X_MAX),
	[VM_ENUM_DISK_IO] = TABLE(disk_io, VM_DISK_IO_X_MAX),
	[VM_ENUM_DISK_DISCARD] = TABLE(disk_discard, VM_DISK_DISCARD_X_MAX),
	[VM_ENUM_DISK_DETECT_ZEROES] = TABLE(disk_detect_zeroes, VM_DISK_DETECT_ZEROES_X_MAX),
	[VM_ENUM_DISK_ERROR] = TABLE(disk_error, VM_DISK_ERROR_X_MAX),
	[VM_ENUM_CHARDEV] = TABLE(chardev, VM_CHARDEV_X_MAX),
	[VM_ENUM_CONSOLE_TARGET] = TABLE(console_target, VM_CONSOLE_TARGET_X_MAX),
	[VM_ENUM_RNG_SOURCE] = TABLE(rng_source, VM_RNG_X_MAX),
	[VM_ENUM_TIMER] = TABLE(timer, VM_TIMER_X_MAX),
	[VM_ENUM_TRISTATE] = TABLE(tristate, VM_TRISTATE_X_MAX),
};

const char *vm_enum_to_string(enum vm_enum kind, unsigned value)
{
	if ((unsigned)kind >= VM_ENUM_X_MAX || value >= tables[kind].n_names)
		return NULL;
	return tables[kind].names[value];
}

int vm_enum_from_string(enum vm_enum kind, const char *s)
{
	if ((unsigned)kind >= VM_ENUM_X_MAX || !s)
		return -EINVAL;
	for (size_t i = 0; i < tables[kind].n_names; i++)
		if (tables[kind].names[i] && streq(tables[kind].names[i], s))
			return (int)i;
	return -EINVAL;
}

unsigned vm_enum_count(enum vm_enum kind)
{
	return (unsigned)kind < VM_ENUM_X_MAX ? (unsigned)tables[kind].n_names : 0;
}
