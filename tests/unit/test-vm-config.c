/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vm_config_validate(): each rule broken alone on a good configuration, and bytes of noise. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/vm-config.h"
#include "vmm-core/base/macro.h"

static void good(struct vm_config *c)
{
	vm_config_init(c);
	strcpy(c->name, "web1");
	c->memory_kib = c->current_memory_kib = 524288;
	c->vcpus_max = 4;
	c->vcpus = 2;
	c->has_kernel = c->has_initrd = 1;
	strcpy(c->cmdline, "console=ttyS0");
	c->n_disks = 2;
	strcpy(c->disks[0].target, "vda");
	strcpy(c->disks[1].target, "vdb");
	c->disks[1].device = VM_DISK_DEVICE_CDROM;
	c->disks[1].readonly = 1;
	c->n_serials = 1;
	c->n_consoles = 2;
	c->consoles[0].target = VM_CONSOLE_TARGET_SERIAL;
	c->consoles[1].target = VM_CONSOLE_TARGET_VIRTIO;
	c->consoles[1].port = 1;
	c->n_channels = 1;
	strcpy(c->channels[0].name, "org.qemu.guest_agent.0");
	c->rng.source = VM_RNG_RANDOM;
	c->n_nics = 2;
	c->nics[0].port.mac[0] = c->nics[1].port.mac[0] = 0x52;
	c->nics[1].port.mac[5] = 1;
	c->nics[1].rx_queue_size = 128;
}

static void check(const struct vm_config *c, const char *part)
{
	char reason[256] = "";
	int r = vm_config_validate(c, reason, sizeof(reason));

	if (!part) {
		assert_string_equal(reason, "");
		assert_int_equal(r, 0);
		return;
	}
	if (r != -EINVAL || !strstr(reason, part) || strchr(reason, '\n'))
		fail_msg("expected '%s', got %d '%s'", part, r, reason);
	assert_int_equal(vm_config_validate(c, NULL, 0), -EINVAL);
}

static struct vm_config c; /* large */

#define GIB_KIB(n) ((uint64_t)(n) << 20)
#define WITH_MEMORY                                                                                \
	(c.max_memory_kib = GIB_KIB(8), c.memory_slots = 8, c.n_memories = 1,                      \
		c.memories[0].size_kib = GIB_KIB(1), c.memories[0].block_kib = 2048)
#define BREAK(change, part)                                                                        \
	do {                                                                                       \
		good(&c);                                                                          \
		change;                                                                            \
		check(&c, part);                                                                   \
	} while (0)

static void test_good(void **state)
{
	(void)state;
	good(&c);
	check(&c, NULL);

	vm_config_init(&c);
	c.memory_kib = 1024;
	c.vcpus = c.vcpus_max = 1;
	check(&c, NULL);
}

static void test_machine(void **state)
{
	(void)state;
	BREAK(c.magic++, "magic");
	BREAK(c.version++, "version");
	BREAK(memset(c.name, 'a', sizeof(c.name)), "name: too long");
	BREAK(c.memory_kib = 1023, "memory: 1023 KiB is too little");
	BREAK(c.memory_kib = VM_MAX_MEMORY_KIB + 4, "too much");
	BREAK(c.memory_kib = UINT64_MAX, "too much");
	BREAK(c.memory_kib++, "multiple of 4");
	BREAK(c.current_memory_kib = c.memory_kib + 4, "currentMemory");
	BREAK(c.hugepage_kib = 4, "page/@size");
	BREAK(c.hugepage_kib = 1048576, "huge page size");
	BREAK(c.hugepage_kib = 2048, NULL);
	BREAK(c.memory_allocation = 3, "memoryBacking/allocation/@mode");
	BREAK(c.memory_allocators = 257, "memoryBacking/allocation/@threads: 257");
	BREAK((c.memory_allocation = 2, c.memory_allocators = 256), NULL);
	BREAK(c.vcpus_max = 0, "vcpu: 0");
	BREAK(c.vcpus_max = 256, "vcpu: 256");
	BREAK(c.vcpus = 0, "vcpu/@current");
	BREAK(c.vcpus = 5, "vcpu/@current");
	BREAK(c.has_kernel = 0, "os/initrd");
	BREAK(c.has_kernel = 2, "flag");
	BREAK(c.acpi = 7, "features/acpi");
	BREAK(memset(c.cmdline, 'x', sizeof(c.cmdline)), "os/cmdline: too long");
	BREAK(strcpy(c.cmdline, "a\xff"), "os/cmdline");
	BREAK(c.clock_offset = 99, "clock/@offset");
	BREAK(c.clock_adjustment_s = INT64_MIN, "clock/@adjustment");
	BREAK(c.clock_start_s = -1, "clock/@start");
	BREAK(c.timers[VM_TIMER_PIT] = 3, "timer");
	BREAK(c.smbios.n_oem_strings = 17, "oemStrings");
	BREAK(c.smbios.n_oem_strings = 1, "oemStrings/entry: empty");
	BREAK(memset(c.smbios.values[3], 'x', VM_SMBIOS_VALUE_MAX), "sysinfo/entry");
}

static void two_cells(void)
{
	c.acpi = 1;
	c.n_cells = 2;
	c.cells[0].memory_kib = c.cells[1].memory_kib = c.memory_kib / 2;
	c.cells[0].cpus[0] = 5;
	c.cells[1].cpus[0] = 10;
	memcpy(c.cells[0].distances, "\x0a\x15", 2);
	memcpy(c.cells[1].distances, "\x16\x0a", 2);
}

static void test_cells(void **state)
{
	(void)state;
	BREAK(two_cells(), NULL);
	BREAK((two_cells(), c.n_cells = VM_MAX_CELLS + 1), "cpu/numa: 17 cells; write at most 16");
	BREAK((two_cells(), c.n_cells = UINT32_MAX), "cpu/numa: 4294967295 cells");
	BREAK((two_cells(), c.memory_kib += 4),
		"the cells have 524288 KiB of memory, and <memory>");
	BREAK((two_cells(), c.cells[1].memory_kib = 512), "cell[2]/@memory: 512 KiB is too little");
	BREAK((two_cells(), c.cells[1].memory_kib++), "cell[2]/@memory: 262145 KiB are not whole");
	BREAK((two_cells(), c.cells[1].memory_kib = UINT64_MAX - 3), "cell[2]/@memory");
	BREAK((two_cells(), c.cells[1].hugepage_kib = 3), "cell[2]: no page of 3 KiB");
	BREAK((two_cells(), c.cells[1].hugepage_kib = 2048), "memoryBacking/hugepages: pages of 0");
	BREAK((two_cells(), c.cells[1].hugepage_kib = c.hugepage_kib = 2048), NULL);
	BREAK((two_cells(), c.cells[0].memory_kib += 1024, c.cells[1].memory_kib -= 1024,
		      c.cells[1].hugepage_kib = c.hugepage_kib = 2048),
		"cell[2]/@memory: 261120 KiB are not whole");
	BREAK((two_cells(), c.cells[0].memory_kib -= 1024, c.memory_kib -= 1024,
		      c.current_memory_kib = 0, c.cells[1].hugepage_kib = c.hugepage_kib = 2048),
		"cell[2]: its memory begins at 255 MiB, where no page of 2 MiB does");
	BREAK((two_cells(), c.cells[0].cpus[0] = 4), "vCPU 0 is in 0 cells");
	BREAK((two_cells(), c.cells[0].cpus[0] = 7), "vCPU 1 is in 2 cells");
	BREAK((two_cells(), c.cells[0].cpus[0] |= 16),
		"vCPU 4: Number of CPUs in <numa> exceeds the <vcpu> count");
	BREAK((two_cells(), c.cells[0].cpus[CPUSET_WORDS - 1] = 1), "vCPU 960");
	BREAK((two_cells(), c.cells[1].distances[1] = 11), "cell[2]/distances: 11 to cell 1");
	BREAK((two_cells(), c.cells[1].distances[0] = 10), "cell[2]/distances: 10 to cell 0");
	BREAK(c.memory_bound = 2, "numatune: flag");
}

static void test_cpu(void **state)
{
	(void)state;
	BREAK(c.cpu.mode = 5, "cpu/@mode");
	BREAK(c.cpu.mode = VM_CPU_MODE_CUSTOM, "needs a model");
	BREAK(strcpy(c.cpu.model, "x86-64-v2"), "only mode='custom'");
	BREAK((c.cpu.mode = VM_CPU_MODE_CUSTOM, strcpy(c.cpu.model, "x86-64-v2")), NULL);
	BREAK(c.cpu.sockets = 4, "cpu/topology");
	BREAK((c.cpu.sockets = c.cpu.dies = 1, c.cpu.cores = 2, c.cpu.threads = 2), NULL);
	BREAK((c.cpu.sockets = c.cpu.dies = c.cpu.cores = c.cpu.threads = 65535), "topology");
	BREAK(c.tsc_hz = 999999, "clock/timer/@frequency: 999999 Hz; write 1000000 to");
	BREAK(c.tsc_hz = VM_MAX_TSC_HZ + 1, "clock/timer/@frequency");
	BREAK(c.tsc_hz = VM_MAX_TSC_HZ, NULL);
	BREAK(c.tsc_mode = 3, "clock/timer/@mode");
	BREAK(c.cpu.check = 4, "cpu/@check");
	BREAK(c.cpu.match = 4, "cpu/@match");
	BREAK(c.cpu.migratable = 3, "cpu/@migratable");
	BREAK(c.cpu.migratable = VM_TRISTATE_NO, "cpu/@migratable: only mode='host-passthrough'");
	BREAK((c.cpu.mode = VM_CPU_MODE_MAXIMUM, c.cpu.migratable = VM_TRISTATE_NO), NULL);
	BREAK(c.cpu.n_features = 257, "cpu/feature: 257");
	BREAK(c.cpu.n_features = 1, "@name: empty");
	BREAK((c.cpu.n_features = 1, memset(c.cpu.features, 'a', 32)), "too long");
	BREAK((c.cpu.n_features = 2, strcpy(c.cpu.features[0].name, "avx"),
		      strcpy(c.cpu.features[1].name, "avx")),
		"given twice");
	BREAK((c.cpu.n_features = 1, strcpy(c.cpu.features[0].name, "avx"),
		      c.cpu.features[0].policy = 6),
		"@policy");
}

/* Two iothreads, 3 and 1. */
static void make_iothreads(void)
{
	c.n_iothreads = 2;
	c.iothreads[0] = 3;
	c.iothreads[1] = 1;
}

static void test_halt_poll(void **state)
{
	(void)state;
	BREAK(c.halt_poll_us = VM_MAX_HALT_POLL_US, NULL);
	BREAK(c.halt_poll_us = VM_NO_HALT_POLL, NULL);
	BREAK(c.halt_poll_us = VM_MAX_HALT_POLL_US + 1, "vmmd:cpuPolicy/@haltPollUs: 10001");
}

static void test_iothreads(void **state)
{
	(void)state;
	BREAK(make_iothreads(), NULL);
	BREAK(c.n_iothreads = VM_MAX_IOTHREADS + 1, "iothreads: 33 threads");
	BREAK(c.n_iothreads = UINT32_MAX, "iothreads: 4294967295 threads");
	BREAK(c.n_iothreads = 1, "iothreadids/iothread[1]/@id: 0");
	BREAK((make_iothreads(), c.iothreads[1] = 10000),
		"iothread[2]/@id: 10000; write 1 to 9999");
	BREAK((make_iothreads(), c.iothreads[1] = 3), "iothread[2]/@id: 3 is used twice");
	BREAK(c.disks[0].iothread = 1,
		"devices/disk[1]/driver/@iothread: there is no iothread 1; add it to <iothreads>");
	BREAK((make_iothreads(), c.disks[0].iothread = 2), "there is no iothread 2");
	BREAK((make_iothreads(), c.disks[0].iothread = 3, c.disks[1].iothread = 1), NULL);
	/* One throttle, one thread. */
	BREAK((make_iothreads(), c.disks[0].iotune.rate[0] = c.disks[1].iotune.rate[0] = 9,
		      strcpy(c.disks[0].iotune.group, "g"), strcpy(c.disks[1].iotune.group, "g"),
		      c.disks[0].iothread = c.disks[1].iothread = 3),
		NULL);
	BREAK((make_iothreads(), c.disks[0].iotune.rate[0] = c.disks[1].iotune.rate[0] = 9,
		      strcpy(c.disks[0].iotune.group, "g"), strcpy(c.disks[1].iotune.group, "g"),
		      c.disks[0].iothread = 3),
		"devices/disk[2]/driver/@iothread: another one than that of disk 'vda'");
}

static void test_disks(void **state)
{
	(void)state;
	BREAK(c.n_disks = 33, "devices/disk: 33");
	BREAK(c.n_disks = UINT32_MAX, "devices/disk");
	BREAK(c.n_disks = 3, "devices/disk[3]/target/@dev: '' is no disk");
	BREAK(strcpy(c.disks[1].target, "vda"), "devices/disk[2]/target/@dev: 'vda' is used twice");
	BREAK(strcpy(c.disks[1].target, "../x"), "no disk name");
	BREAK(memset(c.disks[0].target, 'v', 16), "too long");
	BREAK(memset(c.disks[0].serial, 'v', 21), "devices/disk[1]/serial: too long");
	BREAK(strcpy(c.disks[0].serial, "a\x01"), "printable");
	BREAK(strcpy(c.disks[0].wwn, "5000c50015ea71a"), "16 hexadecimal");
	BREAK(strcpy(c.disks[0].wwn, "5000c50015ea71ac"), NULL);
	BREAK(c.disks[0].bus = VM_DISK_BUS_SATA, "sata");
	BREAK(c.disks[0].cache = 6, "driver/@cache");
	BREAK(c.disks[0].error_policy = 5, "driver/@error_policy");
	BREAK(c.disks[0].rerror_policy = VM_DISK_ERROR_ENOSPACE, "rerror_policy");
	BREAK(c.disks[0].readonly = 2, "readonly");
	BREAK(c.disks[1].readonly = 0, "cdrom");
	BREAK(c.disks[0].queues = 17, "queues");
	BREAK(c.disks[0].logical_block = 513, "logical_block_size");
	BREAK(c.disks[0].logical_block = 8192, "logical_block_size");
	BREAK((c.disks[0].logical_block = 4096, c.disks[0].physical_block = 512), "physical");
	BREAK(c.disks[0].physical_block = 4096, NULL);
#define TUNE0 c.disks[0].iotune
#define TUNE1 c.disks[1].iotune
	BREAK((TUNE0.rate[VM_IOTUNE_TOTAL_BYTES] = 1, TUNE0.rate[VM_IOTUNE_READ_BYTES] = 1),
		"devices/disk[1]/iotune/total_bytes_sec: given together with read_bytes_sec");
	BREAK((TUNE0.rate[VM_IOTUNE_TOTAL_IOPS] = 1, TUNE0.rate[VM_IOTUNE_WRITE_IOPS] = 1),
		"devices/disk[1]/iotune/total_iops_sec: given together with write_iops_sec");
	BREAK((TUNE0.rate[VM_IOTUNE_TOTAL_BYTES] = 1, TUNE0.rate[VM_IOTUNE_READ_IOPS] = 1,
		      TUNE0.rate[VM_IOTUNE_WRITE_IOPS] = 1),
		NULL);
	BREAK(TUNE0.rate[VM_IOTUNE_TOTAL_BYTES] = VM_IOTUNE_MAX + 1,
		"devices/disk[1]/iotune/total_bytes_sec: too much; write at most 1000000000000000");
	BREAK(TUNE1.max[VM_IOTUNE_READ_IOPS] = 1,
		"devices/disk[2]/iotune/read_iops_sec_max: needs a rate; add <read_iops_sec>");
	BREAK((TUNE0.rate[5] = 1, TUNE0.max[5] = UINT64_MAX), "write_iops_sec_max: too much");
	BREAK((TUNE0.rate[0] = 2, TUNE0.max[0] = 1), "total_bytes_sec_max: lower than");
	BREAK((TUNE0.rate[0] = 2, TUNE0.max[0] = 2), NULL);
	BREAK((TUNE0.rate[0] = 2, TUNE0.max_length_s[0] = 1),
		"total_bytes_sec_max_length: needs a rate; add <total_bytes_sec_max>");
	BREAK((TUNE0.rate[0] = TUNE0.max[0] = 1000, TUNE0.max_length_s[0] = UINT64_MAX),
		"total_bytes_sec_max_length: too long; write at most 1000000000000");
	BREAK((TUNE0.rate[0] = 1, TUNE0.size_iops = 4096), "size_iops_sec: needs a limit of op");
	BREAK((TUNE0.rate[4] = 1, TUNE0.size_iops = 4096), NULL);
	BREAK((TUNE0.rate[4] = 1, TUNE0.size_iops = UINT64_MAX), "size_iops_sec: too much");
	BREAK(strcpy(TUNE0.group, "g"), "iotune/group_name: needs a limit");
	BREAK((TUNE0.rate[0] = 1, memset(TUNE0.group, 'g', sizeof(TUNE0.group))),
		"iotune/group_name: too long");
	BREAK((TUNE0.rate[0] = 1, strcpy(TUNE0.group, "g"), TUNE1 = TUNE0), NULL);
	BREAK((TUNE0.rate[0] = 1, strcpy(TUNE0.group, "g"), TUNE1 = TUNE0, TUNE1.rate[0] = 2),
		"devices/disk[2]/iotune/group_name: other limits than disk 'vda' of the same");
	BREAK((TUNE0.rate[0] = 1, strcpy(TUNE0.group, "g"), TUNE1 = TUNE0, TUNE1.rate[0] = 2,
		      strcpy(TUNE1.group, "h")),
		NULL);
#undef TUNE0
#undef TUNE1
	BREAK(c.disks[0].boot_order = c.disks[1].boot_order = 1, "boot/@order: 1 is used twice");
}

static void test_chardevs(void **state)
{
	(void)state;
	BREAK(c.n_serials = 5, "devices/serial: 5");
	BREAK(c.n_serials = 2, "devices/serial[2]/target/@port: 0 is used twice");
	BREAK(c.serials[0].port = 4, "no port 4");
	BREAK(c.serials[0].port = 255, "no port 255");
	BREAK(c.serials[0].type = 5, "devices/serial[1]/@type");
	BREAK(c.n_serials = 0, "there is no serial port");
	BREAK(c.n_consoles = 5, "devices/console: 5");
	BREAK(c.consoles[1].target = VM_CONSOLE_TARGET_SERIAL, "only the first console");
	BREAK(c.consoles[1].port = 0, "devices/console[2]/target/@port: 0 is used twice");
	BREAK(c.consoles[1].port = 200, "no port 200");
	BREAK(c.consoles[1].type = 9, "devices/console[2]/@type");
	BREAK(c.consoles[1].target = 9, "target/@type");
	BREAK(c.n_channels = 9, "devices/channel: 9");
	BREAK(c.channels[0].name[0] = 0, "target/@name: empty");
	BREAK((c.n_channels = 2, c.channels[1] = c.channels[0]), "is used twice");
	BREAK(memset(c.channels[0].name, 'a', VM_PORT_NAME_MAX), "too long");
	BREAK(c.rng.source = 3, "backend/@model");
	BREAK(c.rng.rate_period_ms = 1, "rate/@bytes");
	BREAK(c.max_memory_kib = GIB_KIB(8), "maxMemory/@slots");
	BREAK(c.memory_slots = 8, "maxMemory/@slots");
	BREAK((c.max_memory_kib = GIB_KIB(8), c.memory_slots = 256), NULL);
	BREAK((c.max_memory_kib = GIB_KIB(8), c.memory_slots = 257), "maxMemory/@slots: 257");
	BREAK((c.max_memory_kib = c.memory_kib - 4, c.memory_slots = 1),
		"maxMemory: less than memory");
	BREAK((c.max_memory_kib = VM_MAX_MEMORY_KIB + 4, c.memory_slots = 1), "maxMemory: ");
	BREAK(c.n_memories = 1, "devices/memory: there is no <maxMemory>");
	BREAK(WITH_MEMORY, NULL);
	BREAK((WITH_MEMORY, c.n_memories = 9), "devices/memory: 9 memory devices; write at most 8");
	BREAK((WITH_MEMORY, c.n_memories = 2, c.memory_slots = 1), "write at most 1");
	BREAK((WITH_MEMORY, c.memories[0].block_kib = 1024), "memory[1]/target/block: 1024");
	BREAK((WITH_MEMORY, c.memories[0].block_kib = 3072), "memory[1]/target/block: 3072");
	BREAK((WITH_MEMORY, c.memories[0].block_kib = 2097152), "memory[1]/target/block");
	BREAK((WITH_MEMORY, c.memories[0].block_kib = 0), "memory[1]/target/block: 0 KiB");
	BREAK((WITH_MEMORY, c.memories[0].size_kib = 0), "memory[1]/target/size: 0 KiB");
	BREAK((WITH_MEMORY, c.memories[0].size_kib += 4), "memory[1]/target/size");
	BREAK((WITH_MEMORY, c.memories[0].size_kib = UINT64_MAX), "memory[1]/target/size");
	BREAK((WITH_MEMORY, c.max_memory_kib = VM_MAX_MEMORY_KIB,
		      c.memories[0].size_kib = GIB_KIB(1024) + 2048),
		"memory[1]/target/block: 524289 blocks");
	BREAK((WITH_MEMORY, c.memories[0].requested_kib = 4), "memory[1]/target/requested: 4 KiB");
	BREAK((WITH_MEMORY, c.memories[0].requested_kib = c.memories[0].size_kib), NULL);
	BREAK((WITH_MEMORY, c.memories[0].requested_kib = c.memories[0].size_kib + 2048),
		"memory[1]/target/requested");
	BREAK((WITH_MEMORY, c.memories[0].node = 1), "memory[1]/target/node");
	BREAK((WITH_MEMORY, c.memories[0].size_kib = GIB_KIB(8)),
		"maxMemory: less than memory with");
	BREAK((WITH_MEMORY, c.memory_locked = 1), "memoryBacking/locked");
	BREAK((WITH_MEMORY,
		      c.disks[0].pci = c.memories[0].pci =
			      (struct vm_pci_addr){.set = 1, .slot = 9}),
		"devices/memory[1]/address");
	BREAK(c.balloon.model = VM_BALLOON_VIRTIO, NULL);
	BREAK(c.balloon.model = 2, "devices/memballoon/@model: unknown value 2");
	BREAK(c.balloon.autodeflate = 3, "memballoon/@autodeflate: unknown value 3");
	BREAK(c.balloon.reporting = 3, "memballoon/@freePageReporting: unknown value 3");
	BREAK(c.balloon.pad = 1, "memballoon/@freePageReporting");
	BREAK(c.balloon.stats_period_s = 86400, NULL);
	BREAK(c.balloon.stats_period_s = 86401, "memballoon/stats/@period: 86401 seconds");
}

static void test_nics(void **state)
{
	(void)state;
	BREAK(c.n_nics = 17, "devices/interface: 17 interfaces");
	BREAK(c.n_nics = 3, "devices/interface[3]/mac/@address: all zero");
	BREAK(c.nics[1].port.mac[0] = 0xff, "devices/interface[2]/mac/@address: ff:00");
	BREAK(c.nics[1].port.mac[5] = 0,
		"devices/interface[2]/mac/@address: 52:00:00:00:00:00 is used");
	BREAK(c.nics[0].port.mtu = 1, "devices/interface[1]/mtu/@size: 1");
	BREAK(c.nics[0].offloads_off = VM_NIC_OFFLOADS, NULL);
	BREAK(c.nics[0].offloads_off = VM_NIC_OFFLOADS + 1, "driver: unknown offloads 0x800");
	BREAK(c.nics[0].queues = 8, NULL);
	BREAK(c.nics[0].queues = 9, "driver/@queues: 9");
	BREAK(c.nics[0].rx_queue_size = 100, "driver/@rx_queue_size: 100");
	BREAK(c.nics[0].tx_queue_size = 512, "driver/@tx_queue_size: 512");
	BREAK(c.nics[0].tx_queue_size = 256, NULL);
	BREAK(c.nics[0].poll_us = 1000, NULL);
	BREAK(c.nics[0].poll_us = 1001, "devices/interface[1]/driver/@poll_us: 1001");
	BREAK(c.nics[0].boot_order = 1, NULL);
	BREAK(c.nics[0].boot_order = c.nics[1].boot_order = 1,
		"devices/interface[2]/boot/@order: 1");
	BREAK(c.nics[1].boot_order = c.disks[0].boot_order = 1, "boot/@order: 1 is used twice");
}

static void test_pci(void **state)
{
	const struct vm_pci_addr a = {.set = 1, .slot = 3};

	(void)state;
	BREAK((c.disks[0].pci = a, c.disks[1].pci = a), "devices/disk[2]/address/@slot: 0x03 is");
	BREAK((c.disks[0].pci = a, c.rng.pci = a), "devices/rng/address");
	BREAK((c.disks[0].pci = a, c.serial_controller_pci = a), "devices/controller/address");
	BREAK((c.balloon.model = VM_BALLOON_VIRTIO, c.disks[0].pci = c.balloon.pci = a),
		"devices/memballoon/address");
	BREAK((c.disks[0].pci = a, c.nics[1].pci = a),
		"devices/interface[2]/address/@slot: 0x03 is");
	BREAK((c.n_channels = 0, c.n_consoles = 1, c.disks[0].pci = c.serial_controller_pci = a),
		NULL);
	BREAK((c.disks[0].pci = a, c.disks[0].pci.slot = 0), "0x01 to");
	BREAK((c.disks[0].pci = a, c.disks[0].pci.slot = 31), "0x01 to");
	BREAK((c.disks[0].pci = a, c.disks[0].pci.slot = 255), "0x01 to");
	BREAK((c.disks[0].pci = a, c.disks[0].pci.function = 1), "@function");
	BREAK((c.disks[0].pci = a, c.disks[0].pci.pad = 1), "malformed");
	BREAK(c.disks[0].pci.set = 2, "malformed");

	good(&c);
	c.n_disks = 32;
	for (int i = 0; i < 32; i++)
		sprintf(c.disks[i].target, "vd%d", i);
	check(&c, "36 PCI devices");
	c.n_disks = 26;
	check(&c, NULL);
}

static void test_names(void **state)
{
	char *long_name = calloc(1, VM_NAME_MAX + 1);

	(void)state;
	memset(long_name, 'n', VM_NAME_MAX);
	assert_null(vm_name_check("web1"));
	assert_null(vm_name_check("a b.c_d-e"));
	assert_null(vm_name_check("m\xc3\xbcnchen"));
	assert_non_null(vm_name_check(""));
	assert_non_null(vm_name_check("a/b"));
	assert_non_null(vm_name_check("../x"));
	assert_non_null(vm_name_check(".x"));
	assert_non_null(vm_name_check("a\nb"));
	assert_non_null(vm_name_check("a\tb"));
	assert_non_null(vm_name_check("a\x7f"));
	assert_non_null(vm_name_check("a\xff"));
	assert_non_null(vm_name_check(long_name));
	long_name[VM_NAME_MAX - 1] = 0;
	assert_null(vm_name_check(long_name));
	free(long_name);
	BREAK(strcpy(c.name, "a/b"), "'/'");
}

/* Whatever the bytes, the answer is 0 or a reason, and no byte outside is read (run under ASan). */
static void test_noise(void **state)
{
	struct vm_config *noisy = malloc(sizeof(*noisy));
	unsigned seed = 1;

	(void)state;
	assert_non_null(noisy);
	for (int round = 0; round < 2000; round++) {
		char reason[128];

		good(noisy);
		for (int i = 0; i < 1 + round % 8; i++)
			((uint8_t *)noisy)[(unsigned)rand_r(&seed) % sizeof(*noisy)] =
				(uint8_t)rand_r(&seed);
		if (vm_config_validate(noisy, reason, sizeof(reason)) < 0)
			assert_true(strlen(reason) > 0);
		memset(noisy, rand_r(&seed), sizeof(*noisy));
		noisy->magic = VM_CONFIG_MAGIC;
		noisy->version = VM_CONFIG_VERSION;
		assert_int_equal(vm_config_validate(noisy, reason, sizeof(reason)), -EINVAL);
	}
	free(noisy);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_machine),
		cmocka_unit_test(test_cells),
		cmocka_unit_test(test_cpu),
		cmocka_unit_test(test_halt_poll),
		cmocka_unit_test(test_iothreads),
		cmocka_unit_test(test_disks),
		cmocka_unit_test(test_chardevs),
		cmocka_unit_test(test_nics),
		cmocka_unit_test(test_pci),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_noise),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
