/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What elements of a domain have to do with each other, once all are read: see domain-rules.h.
 *
 * Tested by tests/unit/test-domain-xml.c.
 */
#include <errno.h>
#include <stdio.h>

#include "config/domain-rules.h"
#include "config/net-addr.h"
#include "vmm-core/base/strutil.h"

/* What the domain is now, if somebody knows. */
static const struct vm_config *find_known(const struct xml_parser *p, const struct vm_config *vm)
{
	return p->identify && p->identify->find_known
		? p->identify->find_known(p->identify->opaque, vm->uuid)
		: NULL;
}

/* <genid/>: the one that it has, or a new one. */
static int finish_genid(struct xml_parser *p, struct domain_config *config)
{
	struct vm_config *vm = &config->vm;
	const struct vm_config *known;

	if (!vm->genid || !uuid_is_null(vm->genid_uuid))
		return 0;
	known = find_known(p, vm);
	if (!known || !known->genid)
		return uuid_generate(vm->genid_uuid);
	memcpy(vm->genid_uuid, known->genid_uuid, sizeof(vm->genid_uuid));
	return 0;
}

static int finish_identity(struct xml_parser *p, struct domain_config *config)
{
	struct vm_config *vm = &config->vm;
	const char *text = vm->smbios.values[VM_SMBIOS_SYSTEM_UUID];
	uint8_t uuid[16];

	if (!*vm->name)
		return xml_fail_path(p, "name", "the name is empty; write one");
	if (*text && uuid_parse(text, uuid) < 0)
		return xml_fail_path(
			p, "sysinfo", "system/entry[@name='uuid']: no UUID; write one");
	if (uuid_is_null(vm->uuid)) {
		if (!*text)
			return xml_identify(p, vm->name, vm->uuid);
		memcpy(vm->uuid, uuid, sizeof(uuid));
	}
	if (*text && memcmp(vm->uuid, uuid, sizeof(uuid)) != 0)
		return xml_fail_path(p, "sysinfo",
			"the system's uuid is not the domain's; write the same in both");
	return 0;
}

/* <memory> counts the memory devices, vm_config.memory_kib is without them. So is what a balloon takes from. */
static int finish_memory_devices(struct xml_parser *p, struct domain_config *config)
{
	struct vm_config *vm = &config->vm;
	uint64_t total = vm->memory_kib, sizes = 0;

	for (uint32_t i = 0; i < vm->n_memories; i++) {
		if (vm->memories[i].size_kib > VM_MAX_MEMORY_KIB)
			return 0; /* the validator says so */
		sizes += vm->memories[i].size_kib;
	}
	if (!vm->n_memories || total > VM_MAX_MEMORY_KIB)
		return 0;
	if (sizes >= total)
		return xml_fail_path(p, "memory",
			"its memory devices have %llu KiB, and <memory> counts them; write more "
			"than that",
			(unsigned long long)sizes);
	vm->memory_kib = total - sizes;
	if (vm->current_memory_kib <= total)
		vm->current_memory_kib = MIN(vm->current_memory_kib, vm->memory_kib);
	return 0;
}

static void finish_max_memory(struct xml_parser *p, struct vm_config *vm)
{
	vm->max_memory_kib = ALIGN_DOWN(vm->max_memory_kib, UINT64_C(4));
	/* Earlier versions kept it without looking at it. */
	if (p->stored && !vm->n_memories &&
		(!vm->memory_slots || vm->memory_slots > VM_MAX_MEMORY_SLOTS ||
			vm->max_memory_kib < vm->memory_kib ||
			vm->max_memory_kib > VM_MAX_MEMORY_KIB))
		vm->max_memory_kib = vm->memory_slots = 0;
}

static int finish_memory(struct xml_parser *p, struct domain_config *config)
{
	struct vm_config *vm = &config->vm;
	uint64_t step = vm->hugepage_kib ? vm->hugepage_kib : 4;

	for (uint32_t i = 0; i < vm->n_memories; i++)
		if (!vm->memories[i].block_kib)
			vm->memories[i].block_kib =
				MAX(vm->hugepage_kib, (uint32_t)VM_MIN_MEMORY_BLOCK);
	if (vm->memory_kib > VM_MAX_MEMORY_KIB)
		return 0; /* the validator says so */
	if (!vm->current_memory_kib)
		vm->current_memory_kib = vm->memory_kib;
	finish_max_memory(p, vm);
	if (vm->n_cells || vm->memory_kib % step == 0)
		return 0;
	vm->memory_kib = DIV_ROUND_UP(vm->memory_kib, step) * step;
	return xml_verdict_path(p, "memory", CONTRACT_ADAPTED, "rounded up to whole pages");
}

static int finish_vcpus(struct xml_parser *p, struct domain_config *config)
{
	struct vm_config *vm = &config->vm;

	(void)p;
	if (contract_find(p->report, "vcpu") < 0)
		vm->vcpus_max = 1;
	if (!vm->vcpus)
		vm->vcpus = vm->vcpus_max;
	return 0;
}

static int check_quota(
	struct xml_parser *p, const char *period, const char *quota, const struct domain_quota *q)
{
	if (q->period_us &&
		(q->period_us < DOMAIN_PERIOD_MIN_US || q->period_us > DOMAIN_PERIOD_MAX_US))
		return xml_fail_path(p, period, "write %d to %d (microseconds)",
			DOMAIN_PERIOD_MIN_US, DOMAIN_PERIOD_MAX_US);
	if (q->quota_us > 0 &&
		(q->quota_us < DOMAIN_QUOTA_MIN_US || q->quota_us > DOMAIN_QUOTA_MAX_US))
		return xml_fail_path(p, quota,
			"write %d to %lld (microseconds), or -1 for no limit", DOMAIN_QUOTA_MIN_US,
			(long long)DOMAIN_QUOTA_MAX_US);
	return 0;
}

/* Each vCPU has one pin at most; those of vCPUs that the machine lacks wait for them. */
static int check_pins(struct xml_parser *p, const struct domain_config *config)
{
	const struct domain_cputune *tune = &config->cputune;
	char path[48];
	int r = 0;

	for (uint32_t i = 0; r >= 0 && i < tune->n_pins; i++) {
		(void)snprintf(path, sizeof(path), "cputune/vcpupin[%u]", i + 1);
		for (uint32_t k = 0; k < i; k++)
			if (tune->pins[k].vcpu == tune->pins[i].vcpu)
				return xml_fail_path(p, path, "vCPU %u is pinned twice; remove one",
					tune->pins[i].vcpu);
		if (tune->pins[i].vcpu >= VM_MAX_VCPUS)
			return xml_fail_path(p, path, "there is never a vCPU %u; write 0 to %u",
				tune->pins[i].vcpu, VM_MAX_VCPUS - 1);
		if (tune->pins[i].vcpu >= config->vm.vcpus_max)
			r = xml_verdict_path(
				p, path, CONTRACT_IGNORED, "the machine has no such vCPU");
	}
	return r;
}

/* What is known of iothreads in a definition of an earlier version was kept without a look at it. */
static void forget_unknown_iothreads(struct domain_config *config)
{
	struct domain_cputune *tune = &config->cputune;
	uint32_t n = 0;

	for (uint32_t i = 0; i < config->vm.n_disks; i++)
		if (vm_config_find_iothread(&config->vm, config->vm.disks[i].iothread) < 0)
			config->vm.disks[i].iothread = 0;
	for (uint32_t i = 0; i < tune->n_iothread_pins; i++)
		if (vm_config_find_iothread(&config->vm, tune->iothread_pins[i].iothread) >= 0)
			tune->iothread_pins[n++] = tune->iothread_pins[i];
	tune->n_iothread_pins = n;
}

static int check_iothread_pins(struct xml_parser *p, const struct domain_config *config)
{
	const struct domain_cputune *tune = &config->cputune;
	char path[48];

	for (uint32_t i = 0; i < tune->n_iothread_pins; i++) {
		uint32_t id = tune->iothread_pins[i].iothread;

		(void)snprintf(path, sizeof(path), "cputune/iothreadpin[%u]", i + 1);
		if (vm_config_find_iothread(&config->vm, id) < 0)
			return xml_fail_path(
				p, path, "there is no iothread %u; add it to <iothreads>", id);
		for (uint32_t k = 0; k < i; k++)
			if (tune->iothread_pins[k].iothread == id)
				return xml_fail_path(
					p, path, "iothread %u is pinned twice; remove one", id);
	}
	return 0;
}

/* Those that have no id get the lowest that are free, as with libvirt. */
static int finish_iothreads(struct xml_parser *p, struct domain_config *config)
{
	struct vm_config *vm = &config->vm;

	if (config->iothreads > VM_MAX_IOTHREADS)
		return xml_fail_path(p, "iothreads", "%u threads; write at most %u",
			config->iothreads, VM_MAX_IOTHREADS);
	for (uint32_t id = 1; vm->n_iothreads < config->iothreads; id++)
		if (vm_config_find_iothread(vm, id) < 0)
			vm->iothreads[vm->n_iothreads++] = id;
	config->iothreads = vm->n_iothreads;
	if (p->stored)
		forget_unknown_iothreads(config);
	return check_iothread_pins(p, config);
}

/* A quota that is added to the vCPUs'. */
static int check_added_quota(struct xml_parser *p, const char *path,
	const struct domain_cputune *tune, const struct domain_quota *q)
{
	if (q->quota_us <= 0 || tune->vcpu.quota_us > 0)
		return 0;
	return xml_verdict_path(
		p, path, CONTRACT_IGNORED, "the vCPUs have no quota that it could be added to");
}

static int finish_tuning(struct xml_parser *p, struct domain_config *config)
{
	const struct domain_cputune *tune = &config->cputune;
	int r;

	if (tune->shares > DOMAIN_SHARES_MAX)
		return xml_fail_path(p, "cputune/shares", "write 1 to %d", DOMAIN_SHARES_MAX);
	if (config->memtune.weight > DOMAIN_WEIGHT_MAX)
		return xml_fail_path(p, "metadata/vmmd:memoryPolicy", "weight: write 1 to %d",
			DOMAIN_WEIGHT_MAX);
	r = check_quota(p, "cputune/period", "cputune/quota", &tune->vcpu);
	if (r == 0)
		r = check_quota(p, "cputune/global_period", "cputune/global_quota", &tune->global);
	if (r == 0)
		r = check_quota(
			p, "cputune/emulator_period", "cputune/emulator_quota", &tune->emulator);
	if (r == 0)
		r = check_quota(
			p, "cputune/iothread_period", "cputune/iothread_quota", &tune->iothread);
	if (r == 0)
		r = check_added_quota(p, "cputune/emulator_quota", tune, &tune->emulator);
	if (r == 0)
		r = check_added_quota(p, "cputune/iothread_quota", tune, &tune->iothread);
	return r < 0 ? r : check_pins(p, config);
}

/* What was given before is a model with features, said in full. */
static int finish_cpuid(struct xml_parser *p, struct domain_config *config)
{
	const struct vm_cpu *cpu = &config->vm.cpu;

	if (!config->vm.n_cpuid ||
		(cpu->mode == VM_CPU_MODE_CUSTOM && cpu->check == VM_CPU_CHECK_FULL))
		return 0;
	return xml_fail_path(p, "metadata/vmmd:cpuid",
		"is of <cpu mode='custom' check='full'>; write that, or remove it");
}

static bool is_boot(const struct contract_entry *entry)
{
	return streq(entry->path, "os/boot") || strncmp(entry->path, "os/boot[", 8) == 0;
}

/* The verdict on all <boot dev=>. Returns how many there are, or -ENOMEM. */
static int set_boot_verdicts(struct xml_parser *p, const char *why)
{
	int n = 0;

	for (size_t i = 0; i < p->report->n_entries; i++) {
		int r;

		if (!is_boot(&p->report->entries[i]))
			continue;
		r = contract_set(p->report, i, CONTRACT_IGNORED, why);
		if (r < 0)
			return r;
		n++;
	}
	return n;
}

static int finish_boot(struct xml_parser *p, struct domain_config *config)
{
	struct vm_config *vm = &config->vm;
	int n;

	vm->has_kernel = *config->kernel != 0;
	vm->has_initrd = *config->initrd != 0;
	n = set_boot_verdicts(p,
		vm->has_kernel ? "the kernel is booted, not a device"
			       : "this vmmd boots kernels directly: add <kernel>");
	if (n < 0)
		return n;
	for (uint32_t i = 0; n && i < vm->n_disks; i++)
		if (vm->disks[i].boot_order)
			return xml_fail_path(p, "os/boot",
				"given together with a disk's <boot order=>; write only one");
	for (uint32_t i = 0; n && i < vm->n_nics; i++)
		if (vm->nics[i].boot_order)
			return xml_fail_path(p, "os/boot",
				"given together with an interface's <boot order=>; write only one");
	if (vm->has_kernel)
		return 0;
	return xml_verdict_path(p, "os", CONTRACT_ADAPTED,
		"this vmmd boots kernels directly: it can be defined, but not started before "
		"<kernel> is added");
}

static bool is_mac_taken(const struct vm_config *vm, const uint8_t mac[NET_MAC_LEN])
{
	for (uint32_t i = 0; i < vm->n_nics; i++)
		if (memcmp(vm->nics[i].port.mac, mac, NET_MAC_LEN) == 0)
			return true;
	return false;
}

/* An interface without an address gets one by its number: the same each time that this domain is defined. */
static int finish_macs(struct xml_parser *p, struct domain_config *config)
{
	struct vm_config *vm = &config->vm;

	(void)p;
	for (uint32_t i = 0; i < vm->n_nics; i++) {
		uint8_t mac[NET_MAC_LEN];

		if (!net_mac_is_zero(vm->nics[i].port.mac))
			continue;
		for (uint32_t n = i; n == i || is_mac_taken(vm, mac); n += VM_MAX_NICS)
			net_mac_derive(vm->uuid, n, mac);
		memcpy(vm->nics[i].port.mac, mac, sizeof(mac));
	}
	return 0;
}

static const char *type_of(uint8_t type)
{
	const char *word = vm_enum_to_string(VM_ENUM_CHARDEV, type);

	return word ? word : "pty";
}

/* A serial port and the first console are one thing with two names: what one lacks, the other has. */
static int finish_console(struct xml_parser *p, struct domain_config *config)
{
	struct vm_config *vm = &config->vm;
	struct vm_console *console = &vm->consoles[0];
	struct vm_serial *serial = &vm->serials[0];
	bool differ;

	if (!vm->n_consoles && vm->n_serials) {
		*console = (struct vm_console){
			.type = serial->type, .target = VM_CONSOLE_TARGET_SERIAL};
		config->consoles[0] = config->serials[0];
		vm->n_consoles = 1;
		return 0;
	}
	if (!vm->n_consoles || console->target != VM_CONSOLE_TARGET_SERIAL)
		return 0;
	if (!vm->n_serials) {
		*serial = (struct vm_serial){.type = console->type};
		config->serials[0] = config->consoles[0];
		vm->n_serials = 1;
		return 0;
	}
	differ = !streq(type_of(console->type), type_of(serial->type)) ||
		!streq(config->consoles[0].path, config->serials[0].path);
	console->type = serial->type;
	config->consoles[0] = config->serials[0];
	return differ ? xml_verdict_path(p, "devices/console[1]", CONTRACT_ADAPTED,
				"the first console is the first serial port: that one counts")
		      : 0;
}

static bool is_bus_full(const struct vm_config *vm)
{
	return vm->n_disks + vm->n_nics + vm->n_memories + (vm->rng.source != VM_RNG_NONE) +
		vm_config_has_serial_controller(vm) >=
		VM_MAX_PCI_DEVICES;
}

/* A domain that says nothing gets a balloon, as with libvirt. Not one that is defined already: its machine stays as it is. */
static int finish_balloon(struct xml_parser *p, struct domain_config *config)
{
	struct vm_config *vm = &config->vm;
	const struct vm_config *known;

	if (vm->balloon.model == VM_BALLOON_X_MAX) {
		known = find_known(p, vm);
		vm->balloon.model = known ? known->balloon.model : VM_BALLOON_VIRTIO;
		if (p->stored || is_bus_full(vm))
			vm->balloon.model = VM_BALLOON_NONE;
	}
	if (vm->balloon.model != VM_BALLOON_NONE)
		return 0;
	vm->balloon = (struct vm_balloon){0};
	if (vm->current_memory_kib < vm->memory_kib)
		return xml_verdict_path(p, "currentMemory", CONTRACT_IGNORED,
			"there is no balloon: the guest has all of its memory");
	return 0;
}

static void take_slot(const struct vm_pci_addr *pci, uint32_t *taken)
{
	if (pci->set && pci->slot < 32)
		*taken |= UINT32_C(1) << pci->slot;
}

static void give_slot(struct vm_pci_addr *pci, uint32_t *taken)
{
	for (uint8_t slot = VM_PCI_FIRST_SLOT; slot <= VM_PCI_LAST_SLOT && !pci->set; slot++)
		if (!(*taken & UINT32_C(1) << slot))
			*pci = (struct vm_pci_addr){.set = 1, .slot = slot};
	take_slot(pci, taken);
}

/* The place that it had, if it is free. */
static void keep_slot(struct vm_pci_addr *pci, const struct vm_pci_addr *had, uint32_t *taken)
{
	if (pci->set || !had->set || had->slot >= 32 || (*taken & UINT32_C(1) << had->slot))
		return;
	*pci = *had;
	take_slot(pci, taken);
}

static void keep_places(struct vm_config *vm, const struct vm_config *known, uint32_t *taken)
{
	for (uint32_t i = 0; i < vm->n_disks; i++)
		for (uint32_t j = 0; j < known->n_disks; j++)
			if (streq(vm->disks[i].target, known->disks[j].target))
				keep_slot(&vm->disks[i].pci, &known->disks[j].pci, taken);
	for (uint32_t i = 0; i < vm->n_nics; i++)
		for (uint32_t j = 0; j < known->n_nics; j++)
			if (memcmp(vm->nics[i].port.mac, known->nics[j].port.mac, NET_MAC_LEN) == 0)
				keep_slot(&vm->nics[i].pci, &known->nics[j].pci, taken);
	if (vm_config_has_serial_controller(vm))
		keep_slot(&vm->serial_controller_pci, &known->serial_controller_pci, taken);
	if (vm->rng.source != VM_RNG_NONE)
		keep_slot(&vm->rng.pci, &known->rng.pci, taken);
	if (vm->balloon.model != VM_BALLOON_NONE)
		keep_slot(&vm->balloon.pci, &known->balloon.pci, taken);
	/* They have no names: the first is the first. */
	for (uint32_t i = 0; i < MIN(vm->n_memories, known->n_memories); i++)
		keep_slot(&vm->memories[i].pci, &known->memories[i].pci, taken);
}

/* Every device gets its place now, so that one that is added later does not move the others. */
static int finish_places(struct xml_parser *p, struct domain_config *config)
{
	struct vm_config *vm = &config->vm;
	const struct vm_config *known = find_known(p, vm);
	uint32_t taken = 0;

	if (!vm_config_has_serial_controller(vm))
		vm->serial_controller_pci = (struct vm_pci_addr){0};
	for (uint32_t i = 0; i < vm->n_disks; i++)
		take_slot(&vm->disks[i].pci, &taken);
	for (uint32_t i = 0; i < vm->n_nics; i++)
		take_slot(&vm->nics[i].pci, &taken);
	take_slot(&vm->rng.pci, &taken);
	take_slot(&vm->serial_controller_pci, &taken);
	/* Earlier versions kept a balloon's place without looking at it, and may have given it to another device. */
	if (p->stored && vm->balloon.pci.set && taken >> (vm->balloon.pci.slot & 31) & 1)
		vm->balloon.pci = (struct vm_pci_addr){0};
	take_slot(&vm->balloon.pci, &taken);
	for (uint32_t i = 0; i < vm->n_memories; i++)
		take_slot(&vm->memories[i].pci, &taken);
	if (known)
		keep_places(vm, known, &taken);
	for (uint32_t i = 0; i < vm->n_disks; i++)
		give_slot(&vm->disks[i].pci, &taken);
	if (vm_config_has_serial_controller(vm))
		give_slot(&vm->serial_controller_pci, &taken);
	if (vm->rng.source != VM_RNG_NONE)
		give_slot(&vm->rng.pci, &taken);
	for (uint32_t i = 0; i < vm->n_nics; i++)
		give_slot(&vm->nics[i].pci, &taken);
	if (vm->balloon.model != VM_BALLOON_NONE)
		give_slot(&vm->balloon.pci, &taken);
	for (uint32_t i = 0; i < vm->n_memories; i++)
		give_slot(&vm->memories[i].pci, &taken);
	return 0;
}

/* The validator counts devices, the report elements: "devices/disk[2]/…" is the second disk that is served,
 * maybe the third <disk>. Writes the report's path; as it is when there is no such entry. */
static void path_of_device(const struct xml_parser *p, const char *path, char ret[XML_PATH_MAX])
{
	const char *bracket = strchr(path, '['), *rest = bracket ? strchr(bracket, ']') : NULL;
	size_t len = bracket ? (size_t)(bracket - path) + 1 : 0;
	unsigned long n = bracket ? strtoul(bracket + 1, NULL, 10) : 0;

	(void)snprintf(ret, XML_PATH_MAX, "%s", path);
	for (size_t i = 0; rest && i < p->report->n_entries; i++) {
		const struct contract_entry *entry = &p->report->entries[i];

		if (strncmp(entry->path, path, len) != 0 || strchr(entry->path + len, '/') ||
			entry->verdict >= CONTRACT_IGNORED || --n > 0)
			continue;
		(void)snprintf(ret, XML_PATH_MAX, "%s%s", entry->path, rest + 1);
		return;
	}
}

static int finish_valid(struct xml_parser *p, struct domain_config *config)
{
	char reason[256], path[XML_PATH_MAX], *colon;
	int r = vm_config_validate(&config->vm, reason, sizeof(reason));

	if (r >= 0)
		return 0;
	colon = strstr(reason, ": ");
	if (!colon)
		return xml_fail_path(p, "", "%s", reason);
	*colon = 0;
	path_of_device(p, reason, path);
	return xml_fail_path(p, path, "%s", colon + 2);
}

int domain_finish(struct xml_parser *p, struct domain_config *config)
{
	static int (*const steps[])(struct xml_parser *, struct domain_config *) = {finish_identity,
		finish_genid, finish_vcpus, finish_memory_devices, domain_finish_numa,
		finish_memory, finish_iothreads, finish_cpuid, finish_tuning, finish_boot,
		finish_macs, finish_console, finish_balloon, finish_places, finish_valid};

	for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
		int r = steps[i](p, config);

		if (r < 0)
			return r;
	}
	return 0;
}
