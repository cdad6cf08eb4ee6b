/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The validator of struct vm_config: the machine as a whole. Its nodes are in vm-config-cells.c, its devices in vm-config-devices.c. */
#include "config/vm-config.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "config/vm-check.h"
#include "vmm-core/base/strutil.h"

void vm_config_init(struct vm_config *config)
{
	memset(config, 0, sizeof(*config));
	config->magic = VM_CONFIG_MAGIC;
	config->version = VM_CONFIG_VERSION;
}

int vm_check_fail(const struct vm_check *c, const char *format, ...)
{
	va_list ap;

	if (c->size) {
		va_start(ap, format);
		(void)vsnprintf(c->reason, c->size, format, ap);
		va_end(ap);
	}
	return -EINVAL;
}

static bool is_terminated(const char *s, size_t size)
{
	return memchr(s, 0, size) != NULL;
}

static bool is_printable(const char *s)
{
	for (; *s; s++)
		if (*s < ' ' || *s > '~')
			return false;
	return true;
}

static int check_field(
	const struct vm_check *c, const char *element, const void *base, const struct vm_field *f)
{
	const char *s = (const char *)base + f->offset;
	unsigned value = *(const uint8_t *)s;

	switch (f->kind) {
	case VM_FIELD_FLAG:
		if (value > 1)
			return vm_check_fail(
				c, "%s%s: flag is %u; write 0 or 1", element, f->name, value);
		return 0;
	case VM_FIELD_ENUM:
		if (value >= f->max)
			return vm_check_fail(c, "%s%s: unknown value %u; write one below %u",
				element, f->name, value, f->max);
		return 0;
	case VM_FIELD_TEXT:
	case VM_FIELD_PRINTABLE:
		if (!is_terminated(s, f->max))
			return vm_check_fail(c, "%s%s: too long; write at most %u bytes", element,
				f->name, f->max - 1);
		if (f->kind == VM_FIELD_TEXT ? !str_is_clean_utf8(s) : !is_printable(s))
			return vm_check_fail(c, "%s%s: contains a byte that is not text; write %s",
				element, f->name,
				f->kind == VM_FIELD_TEXT ? "UTF-8" : "printable ASCII");
		return 0;
	}
	return vm_check_fail(c, "%s%s: unknown kind of field", element, f->name);
}

int vm_check_fields(const struct vm_check *c, const char *element, const void *base,
	const struct vm_field *fields, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		int r = check_field(c, element, base, &fields[i]);

		if (r < 0)
			return r;
	}
	return 0;
}

static const struct vm_field machine_fields[] = {
	VM_TEXT(struct vm_config, name, "name"),
	VM_TEXT(struct vm_config, cmdline, "os/cmdline"),
	VM_FLAG(struct vm_config, has_kernel, "os/kernel"),
	VM_FLAG(struct vm_config, has_initrd, "os/initrd"),
	VM_FLAG(struct vm_config, memory_locked, "memoryBacking/locked"),
	VM_FLAG(struct vm_config, memory_bound, "numatune"),
	VM_FLAG(struct vm_config, memory_nosharepages, "memoryBacking/nosharepages"),
	VM_FLAG(struct vm_config, acpi, "features/acpi"),
	VM_FLAG(struct vm_config, apic, "features/apic"),
	VM_FLAG(struct vm_config, pae, "features/pae"),
	VM_FLAG(struct vm_config, clock_basis_localtime, "clock/@basis"),
	VM_FLAG(struct vm_config, panic_isa, "devices/panic"),
	VM_FLAG(struct vm_config, genid, "genid"),
	VM_FLAG(struct vm_config, debug_exit, "metadata/vmmd:options/vmmd:debug-exit"),
	VM_FLAG(struct vm_config, smbios.enabled, "os/smbios"),
	VM_ENUM(struct vm_config, memory_allocation, "memoryBacking/allocation/@mode",
		VM_ALLOCATION_X_MAX),
	VM_ENUM(struct vm_config, clock_offset, "clock/@offset", VM_CLOCK_X_MAX),
	VM_ENUM(struct vm_config, cpu.mode, "cpu/@mode", VM_CPU_MODE_X_MAX),
	VM_ENUM(struct vm_config, cpu.check, "cpu/@check", 4),
	VM_ENUM(struct vm_config, cpu.match, "cpu/@match", 4),
	VM_FLAG(struct vm_config, cpu.fallback_forbid, "cpu/model/@fallback"),
	VM_ENUM(struct vm_config, tsc_mode, "clock/timer/@mode", 3),
	VM_ENUM(struct vm_config, cpu.migratable, "cpu/@migratable", VM_TRISTATE_X_MAX),
	VM_PRINTABLE(struct vm_config, cpu.model, "cpu/model"),
	VM_PRINTABLE(struct vm_config, cpu.vendor, "cpu/vendor"),
};

const char *vm_name_check(const char *name)
{
	if (!*name)
		return "the name is empty; write one";
	if (strlen(name) >= VM_NAME_MAX)
		return "the name is too long; write at most 127 bytes";
	if (!str_is_clean_utf8(name) || strpbrk(name, "\t\n"))
		return "the name contains a control character or is not UTF-8; write plain text";
	if (strchr(name, '/'))
		return "the name contains '/'; write '-' instead";
	if (*name == '.')
		return "the name starts with '.'; begin it with a letter or a digit";
	return NULL;
}

static int check_header(const struct vm_check *c)
{
	const struct vm_config *config = c->config;
	const char *problem;

	if (config->magic != VM_CONFIG_MAGIC)
		return vm_check_fail(c, "domain: no configuration of a machine (bad magic)");
	if (config->version != VM_CONFIG_VERSION)
		return vm_check_fail(c, "domain: configuration version %u, this program reads %u",
			config->version, VM_CONFIG_VERSION);
	if (!is_terminated(config->name, sizeof(config->name)))
		return vm_check_fail(c, "name: too long; write at most 127 bytes");
	problem = *config->name ? vm_name_check(config->name) : NULL;
	if (problem)
		return vm_check_fail(c, "name: %s", problem);
	return 0;
}

static int check_memory(const struct vm_check *c)
{
	uint64_t kib = c->config->memory_kib;
	uint32_t page = c->config->hugepage_kib;

	if (kib < VM_MIN_MEMORY_KIB)
		return vm_check_fail(c, "memory: %llu KiB is too little; write at least %u",
			(unsigned long long)kib, VM_MIN_MEMORY_KIB);
	if (kib > VM_MAX_MEMORY_KIB)
		return vm_check_fail(c, "memory: %llu KiB is too much; write at most %llu",
			(unsigned long long)kib, (unsigned long long)VM_MAX_MEMORY_KIB);
	if (kib % 4)
		return vm_check_fail(
			c, "memory: %llu KiB is not a multiple of 4 KiB", (unsigned long long)kib);
	if (page != 0 && page != 2048 && page != 1048576)
		return vm_check_fail(c,
			"memoryBacking/hugepages/page/@size: no page of %u KiB; write 2048 or "
			"1048576",
			page);
	if (page && !c->config->n_cells && kib % page)
		return vm_check_fail(
			c, "memory: not a multiple of the huge page size, %u KiB", page);
	if (c->config->memory_allocators > VM_MAX_ALLOCATORS)
		return vm_check_fail(c,
			"memoryBacking/allocation/@threads: %u are too many; write at most %d",
			c->config->memory_allocators, VM_MAX_ALLOCATORS);
	if (c->config->current_memory_kib > kib)
		return vm_check_fail(
			c, "currentMemory: more than memory; write at most as much as memory");
	return 0;
}

static int check_vcpus(const struct vm_check *c)
{
	const struct vm_config *config = c->config;
	const struct vm_cpu *cpu = &config->cpu;
	uint64_t product = (uint64_t)cpu->sockets * cpu->dies * cpu->cores * cpu->threads;

	if (config->vcpus_max < 1 || config->vcpus_max > VM_MAX_VCPUS)
		return vm_check_fail(
			c, "vcpu: %u vCPUs; write 1 to %u", config->vcpus_max, VM_MAX_VCPUS);
	if (config->vcpus < 1 || config->vcpus > config->vcpus_max)
		return vm_check_fail(c, "vcpu/@current: %u of %u vCPUs; write 1 to %u",
			config->vcpus, config->vcpus_max, config->vcpus_max);
	if (!cpu->sockets && !cpu->dies && !cpu->cores && !cpu->threads)
		return 0;
	if (product != config->vcpus_max)
		return vm_check_fail(c,
			"cpu/topology: %u sockets x %u dies x %u cores x %u threads is not the "
			"number of vCPUs, %u; make both equal",
			cpu->sockets, cpu->dies, cpu->cores, cpu->threads, config->vcpus_max);
	return 0;
}

int vm_config_find_iothread(const struct vm_config *config, uint32_t id)
{
	for (uint32_t i = 0; i < config->n_iothreads && i < VM_MAX_IOTHREADS; i++)
		if (config->iothreads[i] == id)
			return (int)i;
	return -ENOENT;
}

static int check_halt_poll(const struct vm_check *c)
{
	uint32_t us = c->config->halt_poll_us;

	if (us != VM_NO_HALT_POLL && us > VM_MAX_HALT_POLL_US)
		return vm_check_fail(c,
			"metadata/vmmd:cpuPolicy/@haltPollUs: %u microseconds; write at most %u",
			us, VM_MAX_HALT_POLL_US);
	return 0;
}

static int check_iothreads(const struct vm_check *c)
{
	const struct vm_config *config = c->config;

	if (config->n_iothreads > VM_MAX_IOTHREADS)
		return vm_check_fail(c, "iothreads: %u threads; write at most %u",
			config->n_iothreads, VM_MAX_IOTHREADS);
	for (uint32_t i = 0; i < config->n_iothreads; i++) {
		uint32_t id = config->iothreads[i];

		if (id < 1 || id > VM_MAX_IOTHREAD_ID)
			return vm_check_fail(c, "iothreadids/iothread[%u]/@id: %u; write 1 to %u",
				i + 1, id, VM_MAX_IOTHREAD_ID);
		if (vm_config_find_iothread(config, id) != (int)i)
			return vm_check_fail(c,
				"iothreadids/iothread[%u]/@id: %u is used twice; write another",
				i + 1, id);
	}
	return 0;
}

static const struct vm_field feature_fields[] = {
	VM_PRINTABLE(struct vm_cpu_feature, name, "@name"),
	VM_ENUM(struct vm_cpu_feature, policy, "@policy", VM_CPU_POLICY_X_MAX),
};

static int check_cpu(const struct vm_check *c)
{
	const struct vm_cpu *cpu = &c->config->cpu;

	if (cpu->mode == VM_CPU_MODE_CUSTOM && !*cpu->model)
		return vm_check_fail(
			c, "cpu/model: mode='custom' needs a model; write for example x86-64-v2");
	if (cpu->mode != VM_CPU_MODE_CUSTOM && *cpu->model)
		return vm_check_fail(c, "cpu/model: only mode='custom' takes a model; remove it");
	if (cpu->migratable && cpu->mode != VM_CPU_MODE_HOST_PASSTHROUGH &&
		cpu->mode != VM_CPU_MODE_MAXIMUM)
		return vm_check_fail(c,
			"cpu/@migratable: only mode='host-passthrough' and mode='maximum' take it; "
			"remove it");
	if (cpu->n_features > VM_MAX_CPU_FEATURES)
		return vm_check_fail(c, "cpu/feature: %u features; write at most %u",
			cpu->n_features, VM_MAX_CPU_FEATURES);
	for (uint32_t i = 0; i < cpu->n_features; i++) {
		const struct vm_cpu_feature *f = &cpu->features[i];
		int r;

		r = vm_check_fields(
			c, "cpu/feature/", f, feature_fields, ARRAY_SIZE(feature_fields));
		if (r < 0)
			return r;
		if (!*f->name || strchr(f->name, ' '))
			return vm_check_fail(c, "cpu/feature/@name: empty; write a feature's name");
		for (uint32_t j = 0; j < i; j++)
			if (streq(cpu->features[j].name, f->name))
				return vm_check_fail(c,
					"cpu/feature/@name: '%s' is given twice; remove one",
					f->name);
	}
	return 0;
}

static int check_cpuid(const struct vm_check *c)
{
	const struct vm_config *config = c->config;

	if (config->n_cpuid > VM_MAX_CPUID_LEAVES)
		return vm_check_fail(c, "metadata/vmmd:cpuid: %u leaves; write at most %u",
			config->n_cpuid, VM_MAX_CPUID_LEAVES);
	for (uint32_t i = 0; i < config->n_cpuid; i++)
		for (uint32_t j = 0; j < i; j++)
			if (config->cpuid[i].leaf == config->cpuid[j].leaf &&
				!((config->cpuid[i].subleaf ^ config->cpuid[j].subleaf) &
					~VM_CPUID_INDEXED))
				return vm_check_fail(c,
					"metadata/vmmd:cpuid/vmmd:leaf[%u]: leaf 0x%x is given "
					"twice; remove one",
					i + 1, config->cpuid[i].leaf);
	return 0;
}

static int check_clock(const struct vm_check *c)
{
	const struct vm_config *config = c->config;

	if (config->clock_adjustment_s < -VM_MAX_CLOCK_S ||
		config->clock_adjustment_s > VM_MAX_CLOCK_S)
		return vm_check_fail(
			c, "clock/@adjustment: too far; write seconds within 30000 years");
	if (config->clock_start_s < 0 || config->clock_start_s > VM_MAX_CLOCK_S)
		return vm_check_fail(c, "clock/@start: out of range; write seconds since 1970");
	if (config->tsc_hz && (config->tsc_hz < VM_MIN_TSC_HZ || config->tsc_hz > VM_MAX_TSC_HZ))
		return vm_check_fail(c, "clock/timer/@frequency: %llu Hz; write %llu to %llu",
			(unsigned long long)config->tsc_hz, (unsigned long long)VM_MIN_TSC_HZ,
			(unsigned long long)VM_MAX_TSC_HZ);
	for (unsigned i = 0; i < VM_TIMER_X_MAX; i++)
		if (config->timers[i] >= VM_TRISTATE_X_MAX)
			return vm_check_fail(
				c, "clock/timer/@present: unknown value %u", config->timers[i]);
	return 0;
}

static int check_smbios(const struct vm_check *c)
{
	const struct vm_smbios *smbios = &c->config->smbios;
	static const struct vm_field entry = {
		.name = "entry", .max = VM_SMBIOS_VALUE_MAX, .kind = VM_FIELD_TEXT};

	for (unsigned i = 0; i < VM_SMBIOS_FIELD_X_MAX; i++) {
		int r = check_field(c, "sysinfo/", smbios->values[i], &entry);

		if (r < 0)
			return r;
	}
	if (smbios->n_oem_strings > VM_MAX_OEM_STRINGS)
		return vm_check_fail(c, "sysinfo/oemStrings: %u strings; write at most %u",
			smbios->n_oem_strings, VM_MAX_OEM_STRINGS);
	for (unsigned i = 0; i < smbios->n_oem_strings; i++) {
		int r = check_field(c, "sysinfo/oemStrings/", smbios->oem_strings[i], &entry);

		if (r < 0)
			return r;
		if (!*smbios->oem_strings[i])
			return vm_check_fail(c, "sysinfo/oemStrings/entry: empty; remove it");
	}
	return 0;
}

static int check_boot(const struct vm_check *c)
{
	if (c->config->has_initrd && !c->config->has_kernel)
		return vm_check_fail(c, "os/initrd: an initrd needs a kernel; add <kernel>");
	return 0;
}

static int check_machine_fields(const struct vm_check *c)
{
	return vm_check_fields(c, "", c->config, machine_fields, ARRAY_SIZE(machine_fields));
}

int vm_config_validate(const struct vm_config *config, char *ret_reason, size_t reason_size)
{
	static int (*const checks[])(const struct vm_check *) = {check_header, check_machine_fields,
		check_memory, check_vcpus, check_halt_poll, vm_check_cells, check_iothreads,
		check_cpu, check_cpuid, check_clock, check_boot, check_smbios, vm_check_devices};
	const struct vm_check c = {.config = config, .reason = ret_reason, .size = reason_size};

	for (size_t i = 0; i < ARRAY_SIZE(checks); i++) {
		int r = checks[i](&c);

		if (r < 0)
			return r;
	}
	return 0;
}
