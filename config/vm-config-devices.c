/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The validator of struct vm_config: disks, character devices, the random number generator, network interfaces, PCI
 * places.
 *
 * Tested by tests/unit/test-vm-config.c.
 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>

#include "config/net-addr.h"
#include "config/vm-check.h"
#include "vmm-core/base/strutil.h"

#define ELEMENT_MAX 64
#define REASON_MAX  192

static_assert(sizeof(struct vm_iotune) ==
		(3 * VM_IOTUNE_X_MAX + 1) * sizeof(uint64_t) + VM_IOTUNE_GROUP_MAX,
	"compared as bytes");

static const struct vm_field disk_fields[] = {
	VM_PRINTABLE(struct vm_disk, target, "target/@dev"),
	VM_PRINTABLE(struct vm_disk, serial, "serial"),
	VM_PRINTABLE(struct vm_disk, wwn, "wwn"),
	VM_ENUM(struct vm_disk, device, "@device", VM_DISK_DEVICE_X_MAX),
	VM_ENUM(struct vm_disk, bus, "target/@bus", VM_DISK_BUS_X_MAX),
	VM_ENUM(struct vm_disk, cache, "driver/@cache", VM_DISK_CACHE_X_MAX),
	VM_ENUM(struct vm_disk, io, "driver/@io", VM_DISK_IO_X_MAX),
	VM_ENUM(struct vm_disk, discard, "driver/@discard", VM_DISK_DISCARD_X_MAX),
	VM_ENUM(struct vm_disk, detect_zeroes, "driver/@detect_zeroes",
		VM_DISK_DETECT_ZEROES_X_MAX),
	VM_ENUM(struct vm_disk, error_policy, "driver/@error_policy", VM_DISK_ERROR_X_MAX),
	VM_ENUM(struct vm_disk, rerror_policy, "driver/@rerror_policy", VM_DISK_ERROR_X_MAX),
	VM_FLAG(struct vm_disk, readonly, "readonly"),
	VM_FLAG(struct vm_disk, shareable, "shareable"),
	VM_TEXT(struct vm_disk, iotune.group, "iotune/group_name"),
};

static bool is_target_name(const char *s)
{
	if (!*s)
		return false;
	for (; *s; s++)
		if (!islower((unsigned char)*s) && !isdigit((unsigned char)*s))
			return false;
	return true;
}

static bool is_wwn(const char *s)
{
	return !*s || (strlen(s) == 16 && strspn(s, "0123456789abcdefABCDEF") == 16);
}

/* 0 or a power of two within [512, max]. */
static bool is_block_size(uint32_t size, uint32_t max)
{
	return size == 0 || (size >= 512 && size <= max && (size & (size - 1)) == 0);
}

static int check_disk_values(const struct vm_check *c, const char *element, const struct vm_disk *d)
{
	uint32_t logical = d->logical_block ? d->logical_block : 512;

	if (!is_target_name(d->target))
		return vm_check_fail(c,
			"%starget/@dev: '%s' is no disk name; write for example vda", element,
			d->target);
	if (d->bus == VM_DISK_BUS_SATA)
		return vm_check_fail(
			c, "%starget/@bus: no device serves sata; write virtio", element);
	if (!is_wwn(d->wwn))
		return vm_check_fail(
			c, "%swwn: '%s' is no WWN; write 16 hexadecimal digits", element, d->wwn);
	if (d->rerror_policy == VM_DISK_ERROR_ENOSPACE)
		return vm_check_fail(c,
			"%sdriver/@rerror_policy: a read cannot run out of space; write stop, "
			"report or ignore",
			element);
	if (d->device == VM_DISK_DEVICE_CDROM && !d->readonly)
		return vm_check_fail(
			c, "%sreadonly: a cdrom is read-only; add <readonly/>", element);
	if (d->queues > VM_MAX_DISK_QUEUES)
		return vm_check_fail(c, "%sdriver/@queues: %u queues; write at most %u", element,
			d->queues, VM_MAX_DISK_QUEUES);
	if (d->iothread && vm_config_find_iothread(c->config, d->iothread) < 0)
		return vm_check_fail(c,
			"%sdriver/@iothread: there is no iothread %u; add it to <iothreads>",
			element, d->iothread);
	if (!is_block_size(d->logical_block, 4096))
		return vm_check_fail(c,
			"%sblockio/@logical_block_size: %u; write 512, 1024, 2048 or 4096", element,
			d->logical_block);
	if (!is_block_size(d->physical_block, 32768) ||
		(d->physical_block && d->physical_block < logical))
		return vm_check_fail(c,
			"%sblockio/@physical_block_size: %u; write a power of two from the "
			"logical size to 32768",
			element, d->physical_block);
	return 0;
}

static const char *const iotune_names[VM_IOTUNE_X_MAX] = {
	[VM_IOTUNE_TOTAL_BYTES] = "total_bytes_sec",
	[VM_IOTUNE_READ_BYTES] = "read_bytes_sec",
	[VM_IOTUNE_WRITE_BYTES] = "write_bytes_sec",
	[VM_IOTUNE_TOTAL_IOPS] = "total_iops_sec",
	[VM_IOTUNE_READ_IOPS] = "read_iops_sec",
	[VM_IOTUNE_WRITE_IOPS] = "write_iops_sec",
};

static int check_iotune_limit(
	const struct vm_check *c, const char *element, const struct vm_iotune *t, unsigned i)
{
	const char *name = iotune_names[i];
	uint64_t seconds = t->max_length_s[i];

	if (t->rate[i] > VM_IOTUNE_MAX || t->max[i] > VM_IOTUNE_MAX)
		return vm_check_fail(c, "%siotune/%s%s: too much; write at most %llu", element,
			name, t->rate[i] > VM_IOTUNE_MAX ? "" : "_max",
			(unsigned long long)VM_IOTUNE_MAX);
	if (t->max[i] && !t->rate[i])
		return vm_check_fail(
			c, "%siotune/%s_max: needs a rate; add <%s>", element, name, name);
	if (t->max[i] && t->max[i] < t->rate[i])
		return vm_check_fail(c, "%siotune/%s_max: lower than %s; write at least as much",
			element, name, name);
	if (seconds && !t->max[i])
		return vm_check_fail(c, "%siotune/%s_max_length: needs a rate; add <%s_max>",
			element, name, name);
	if (seconds && seconds > VM_IOTUNE_MAX / t->max[i])
		return vm_check_fail(c, "%siotune/%s_max_length: too long; write at most %llu",
			element, name, (unsigned long long)(VM_IOTUNE_MAX / t->max[i]));
	return 0;
}

/* A total and a part of it, both bytes or both operations, say two things about one. */
static int check_iotune_totals(
	const struct vm_check *c, const char *element, const struct vm_iotune *t)
{
	for (unsigned total = 0; total < VM_IOTUNE_X_MAX; total += VM_IOTUNE_TOTAL_IOPS)
		for (unsigned part = total + 1; part <= total + 2; part++)
			if (t->rate[total] && t->rate[part])
				return vm_check_fail(c,
					"%siotune/%s: given together with %s; write only one",
					element, iotune_names[total], iotune_names[part]);
	return 0;
}

static int check_iotune(const struct vm_check *c, const char *element, const struct vm_iotune *t)
{
	static const struct vm_iotune none;
	unsigned n = 0;
	int r = 0;

	for (unsigned i = 0; r == 0 && i < VM_IOTUNE_X_MAX; i++) {
		r = check_iotune_limit(c, element, t, i);
		n += t->rate[i] != 0;
	}
	if (r == 0)
		r = check_iotune_totals(c, element, t);
	if (r < 0)
		return r;
	if (t->size_iops > VM_IOTUNE_MAX)
		return vm_check_fail(c, "%siotune/size_iops_sec: too much; write at most %llu",
			element, (unsigned long long)VM_IOTUNE_MAX);
	if (t->size_iops &&
		memcmp(&t->rate[VM_IOTUNE_TOTAL_IOPS], &none.rate[VM_IOTUNE_TOTAL_IOPS],
			3 * sizeof(t->rate[0])) == 0)
		return vm_check_fail(c,
			"%siotune/size_iops_sec: needs a limit of operations; add <total_iops_sec>",
			element);
	if (*t->group && !n)
		return vm_check_fail(c,
			"%siotune/group_name: needs a limit; add for example <total_bytes_sec>",
			element);
	return 0;
}

static int check_disk_pair(const struct vm_check *c, const char *element, const struct vm_disk *d,
	const struct vm_disk *other)
{
	if (streq(d->target, other->target))
		return vm_check_fail(c, "%starget/@dev: '%s' is used twice; write another name",
			element, d->target);
	if (*d->iotune.group && streq(d->iotune.group, other->iotune.group) &&
		memcmp(&d->iotune, &other->iotune, offsetof(struct vm_iotune, group)) != 0)
		return vm_check_fail(c,
			"%siotune/group_name: other limits than disk '%s' of the same group; write "
			"the same",
			element, other->target);
	/* They share a throttle, which is one thread's. */
	if (*d->iotune.group && streq(d->iotune.group, other->iotune.group) &&
		d->iothread != other->iothread)
		return vm_check_fail(c,
			"%sdriver/@iothread: another one than that of disk '%s', whose iotune "
			"group it "
			"has; write the same",
			element, other->target);
	if (d->boot_order && d->boot_order == other->boot_order)
		return vm_check_fail(c, "%sboot/@order: %u is used twice; write another number",
			element, d->boot_order);
	return 0;
}

static int check_disks(const struct vm_check *c)
{
	const struct vm_config *config = c->config;

	if (config->n_disks > VM_MAX_DISKS)
		return vm_check_fail(c, "devices/disk: %u disks; write at most %u", config->n_disks,
			VM_MAX_DISKS);
	for (uint32_t i = 0; i < config->n_disks; i++) {
		const struct vm_disk *d = &config->disks[i];
		char element[ELEMENT_MAX];
		int r;

		(void)snprintf(element, sizeof(element), "devices/disk[%u]/", i + 1);
		r = vm_check_fields(c, element, d, disk_fields, ARRAY_SIZE(disk_fields));
		if (r < 0)
			return r;
		r = check_disk_values(c, element, d);
		if (r == 0)
			r = check_iotune(c, element, &d->iotune);
		for (uint32_t j = 0; r == 0 && j < i; j++)
			r = check_disk_pair(c, element, d, &config->disks[j]);
		if (r < 0)
			return r;
	}
	return 0;
}

static int check_serials(const struct vm_check *c)
{
	const struct vm_config *config = c->config;
	unsigned seen = 0;

	if (config->n_serials > VM_MAX_SERIALS)
		return vm_check_fail(c, "devices/serial: %u ports; write at most %u",
			config->n_serials, VM_MAX_SERIALS);
	for (uint32_t i = 0; i < config->n_serials; i++) {
		const struct vm_serial *s = &config->serials[i];

		if (s->type >= VM_CHARDEV_X_MAX)
			return vm_check_fail(
				c, "devices/serial[%u]/@type: unknown value %u", i + 1, s->type);
		if (s->port >= VM_MAX_SERIALS)
			return vm_check_fail(c,
				"devices/serial[%u]/target/@port: no port %u; write 0 to %u", i + 1,
				s->port, VM_MAX_SERIALS - 1);
		if (seen & 1U << s->port)
			return vm_check_fail(c,
				"devices/serial[%u]/target/@port: %u is used twice; write another",
				i + 1, s->port);
		seen |= 1U << s->port;
	}
	return 0;
}

static int check_console(const struct vm_check *c, uint32_t i)
{
	const struct vm_console *console = &c->config->consoles[i];

	if (console->type >= VM_CHARDEV_X_MAX)
		return vm_check_fail(
			c, "devices/console[%u]/@type: unknown value %u", i + 1, console->type);
	if (console->target >= VM_CONSOLE_TARGET_X_MAX)
		return vm_check_fail(c, "devices/console[%u]/target/@type: unknown value %u", i + 1,
			console->target);
	if (console->port >= VM_MAX_CONSOLES)
		return vm_check_fail(c,
			"devices/console[%u]/target/@port: no port %u; write 0 to %u", i + 1,
			console->port, VM_MAX_CONSOLES - 1);
	if (console->target == VM_CONSOLE_TARGET_VIRTIO)
		return 0;
	if (i > 0)
		return vm_check_fail(c,
			"devices/console[%u]/target/@type: only the first console can be a serial "
			"port; write virtio",
			i + 1);
	if (!c->config->n_serials)
		return vm_check_fail(c,
			"devices/console[1]/target/@type: there is no serial port; add <serial> or "
			"write virtio");
	return 0;
}

static int check_consoles(const struct vm_check *c)
{
	const struct vm_config *config = c->config;
	unsigned seen = 0;

	if (config->n_consoles > VM_MAX_CONSOLES)
		return vm_check_fail(c, "devices/console: %u consoles; write at most %u",
			config->n_consoles, VM_MAX_CONSOLES);
	for (uint32_t i = 0; i < config->n_consoles; i++) {
		int r = check_console(c, i);

		if (r < 0)
			return r;
		if (seen & 1U << config->consoles[i].port)
			return vm_check_fail(c,
				"devices/console[%u]/target/@port: %u is used twice; write another",
				i + 1, config->consoles[i].port);
		seen |= 1U << config->consoles[i].port;
	}
	return 0;
}

static const struct vm_field channel_fields[] = {
	VM_ENUM(struct vm_channel, type, "@type", VM_CHARDEV_X_MAX),
	VM_PRINTABLE(struct vm_channel, name, "target/@name"),
};

static int check_channels(const struct vm_check *c)
{
	const struct vm_config *config = c->config;

	if (config->n_channels > VM_MAX_CHANNELS)
		return vm_check_fail(c, "devices/channel: %u channels; write at most %u",
			config->n_channels, VM_MAX_CHANNELS);
	for (uint32_t i = 0; i < config->n_channels; i++) {
		const struct vm_channel *channel = &config->channels[i];
		char element[ELEMENT_MAX];
		int r;

		(void)snprintf(element, sizeof(element), "devices/channel[%u]/", i + 1);
		r = vm_check_fields(
			c, element, channel, channel_fields, ARRAY_SIZE(channel_fields));
		if (r < 0)
			return r;
		if (!*channel->name)
			return vm_check_fail(c,
				"%starget/@name: empty; write for example org.qemu.guest_agent.0",
				element);
		for (uint32_t j = 0; j < i; j++)
			if (streq(channel->name, config->channels[j].name))
				return vm_check_fail(c,
					"%starget/@name: '%s' is used twice; write another",
					element, channel->name);
	}
	return 0;
}

static int check_rng(const struct vm_check *c)
{
	const struct vm_rng *rng = &c->config->rng;

	if (rng->source >= VM_RNG_X_MAX)
		return vm_check_fail(
			c, "devices/rng/backend/@model: unknown value %u", rng->source);
	if (rng->rate_period_ms && !rng->rate_bytes)
		return vm_check_fail(c, "devices/rng/rate/@bytes: missing; write how many bytes");
	return 0;
}

static int check_balloon(const struct vm_check *c)
{
	const struct vm_balloon *balloon = &c->config->balloon;

	if (balloon->model >= VM_BALLOON_X_MAX)
		return vm_check_fail(
			c, "devices/memballoon/@model: unknown value %u", balloon->model);
	if (balloon->autodeflate >= VM_TRISTATE_X_MAX)
		return vm_check_fail(c, "devices/memballoon/@autodeflate: unknown value %u",
			balloon->autodeflate);
	if (balloon->reporting >= VM_TRISTATE_X_MAX || balloon->pad)
		return vm_check_fail(c, "devices/memballoon/@freePageReporting: unknown value %u",
			balloon->reporting);
	if (balloon->stats_period_s > VM_MAX_BALLOON_PERIOD)
		return vm_check_fail(c,
			"devices/memballoon/stats/@period: %u seconds; write at most %u",
			balloon->stats_period_s, VM_MAX_BALLOON_PERIOD);
	return 0;
}

/* 0 or a power of two up to VM_MAX_NIC_QUEUE_SIZE. */
static bool is_queue_size(uint16_t size)
{
	return size <= VM_MAX_NIC_QUEUE_SIZE && (size & (size - 1)) == 0;
}

static int check_nic_values(const struct vm_check *c, const char *element, const struct vm_nic *nic)
{
	if (net_mac_is_zero(nic->port.mac))
		return vm_check_fail(c,
			"%smac/@address: all zero; write for example 52:54:00:12:34:56", element);
	if (nic->offloads_off & ~VM_NIC_OFFLOADS)
		return vm_check_fail(c, "%sdriver: unknown offloads 0x%x", element,
			nic->offloads_off & ~VM_NIC_OFFLOADS);
	if (nic->queues > VM_MAX_NIC_QUEUES)
		return vm_check_fail(c, "%sdriver/@queues: %u queues; write at most %u", element,
			nic->queues, VM_MAX_NIC_QUEUES);
	if (!is_queue_size(nic->rx_queue_size))
		return vm_check_fail(c,
			"%sdriver/@rx_queue_size: %u; write a power of two up to %u", element,
			nic->rx_queue_size, VM_MAX_NIC_QUEUE_SIZE);
	if (!is_queue_size(nic->tx_queue_size))
		return vm_check_fail(c,
			"%sdriver/@tx_queue_size: %u; write a power of two up to %u", element,
			nic->tx_queue_size, VM_MAX_NIC_QUEUE_SIZE);
	if (nic->poll_us > NET_POLL_US_MAX)
		return vm_check_fail(c, "%sdriver/@poll_us: %u microseconds; write at most %u",
			element, nic->poll_us, NET_POLL_US_MAX);
	return 0;
}

/* What no two interfaces, and no interface and a disk, may share. */
static int check_nic_unique(const struct vm_check *c, const char *element, uint32_t i)
{
	const struct vm_config *config = c->config;
	const struct vm_nic *nic = &config->nics[i];
	bool order_taken = false;

	for (uint32_t j = 0; j < i; j++) {
		const struct vm_nic *other = &config->nics[j];
		char mac[NET_MAC_STRING_SIZE];

		order_taken |= nic->boot_order == other->boot_order;
		if (memcmp(nic->port.mac, other->port.mac, NET_MAC_LEN) != 0)
			continue;
		net_mac_format(nic->port.mac, mac);
		return vm_check_fail(
			c, "%smac/@address: %s is used twice; write another", element, mac);
	}
	for (uint32_t j = 0; j < config->n_disks; j++)
		order_taken |= nic->boot_order == config->disks[j].boot_order;
	if (nic->boot_order && order_taken)
		return vm_check_fail(c, "%sboot/@order: %u is used twice; write another number",
			element, nic->boot_order);
	return 0;
}

static int check_nics(const struct vm_check *c)
{
	const struct vm_config *config = c->config;

	if (config->n_nics > VM_MAX_NICS)
		return vm_check_fail(c, "devices/interface: %u interfaces; write at most %u",
			config->n_nics, VM_MAX_NICS);
	for (uint32_t i = 0; i < config->n_nics; i++) {
		char element[ELEMENT_MAX], reason[REASON_MAX];
		int r;

		(void)snprintf(element, sizeof(element), "devices/interface[%u]/", i + 1);
		r = net_port_config_validate(&config->nics[i].port, reason, sizeof(reason));
		if (r < 0)
			return vm_check_fail(c, "%s%s", element, reason);
		r = check_nic_values(c, element, &config->nics[i]);
		if (r == 0)
			r = check_nic_unique(c, element, i);
		if (r < 0)
			return r;
	}
	return 0;
}

bool vm_config_has_serial_controller(const struct vm_config *config)
{
	for (uint32_t i = 0; i < config->n_consoles && i < VM_MAX_CONSOLES; i++)
		if (config->consoles[i].target == VM_CONSOLE_TARGET_VIRTIO)
			return true;
	return config->n_channels > 0;
}

static int take_place(const struct vm_check *c, const char *element, const struct vm_pci_addr *pci,
	uint32_t *taken)
{
	if (pci->set > 1 || pci->pad)
		return vm_check_fail(c, "%saddress: malformed", element);
	if (!pci->set)
		return 0;
	if (pci->slot < VM_PCI_FIRST_SLOT || pci->slot > VM_PCI_LAST_SLOT)
		return vm_check_fail(c, "%saddress/@slot: 0x%02x; write 0x01 to 0x%02x", element,
			pci->slot, VM_PCI_LAST_SLOT);
	if (pci->function)
		return vm_check_fail(
			c, "%saddress/@function: 0x%x; write 0x0", element, pci->function);
	if (*taken & UINT32_C(1) << pci->slot)
		return vm_check_fail(c, "%saddress/@slot: 0x%02x is used twice; write another",
			element, pci->slot);
	*taken |= UINT32_C(1) << pci->slot;
	return 0;
}

static int check_places(const struct vm_check *c)
{
	const struct vm_config *config = c->config;
	uint32_t n = config->n_disks + config->n_nics + config->n_memories, taken = 0;
	int r;

	for (uint32_t i = 0; i < config->n_disks; i++) {
		char element[ELEMENT_MAX];

		(void)snprintf(element, sizeof(element), "devices/disk[%u]/", i + 1);
		r = take_place(c, element, &config->disks[i].pci, &taken);
		if (r < 0)
			return r;
	}
	for (uint32_t i = 0; i < config->n_nics; i++) {
		char element[ELEMENT_MAX];

		(void)snprintf(element, sizeof(element), "devices/interface[%u]/", i + 1);
		r = take_place(c, element, &config->nics[i].pci, &taken);
		if (r < 0)
			return r;
	}
	if (config->rng.source != VM_RNG_NONE) {
		n++;
		r = take_place(c, "devices/rng/", &config->rng.pci, &taken);
		if (r < 0)
			return r;
	}
	if (vm_config_has_serial_controller(config)) {
		n++;
		r = take_place(c, "devices/controller/", &config->serial_controller_pci, &taken);
		if (r < 0)
			return r;
	}
	if (config->balloon.model != VM_BALLOON_NONE) {
		n++;
		r = take_place(c, "devices/memballoon/", &config->balloon.pci, &taken);
		if (r < 0)
			return r;
	}
	for (uint32_t i = 0; i < config->n_memories; i++) {
		char element[ELEMENT_MAX];

		(void)snprintf(element, sizeof(element), "devices/memory[%u]/", i + 1);
		r = take_place(c, element, &config->memories[i].pci, &taken);
		if (r < 0)
			return r;
	}
	if (n > VM_MAX_PCI_DEVICES)
		return vm_check_fail(
			c, "devices: %u PCI devices; write at most %u", n, VM_MAX_PCI_DEVICES);
	return 0;
}

int vm_check_devices(const struct vm_check *c)
{
	static int (*const checks[])(const struct vm_check *) = {check_disks, check_serials,
		check_consoles, check_channels, check_rng, check_balloon, vm_check_memories,
		check_nics, check_places};

	for (size_t i = 0; i < ARRAY_SIZE(checks); i++) {
		int r = checks[i](c);

		if (r < 0)
			return r;
	}
	return 0;
}
