/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The verdict table of domain XML: <devices>, in the order in which libvirt prints them.
 *
 * Tested by tests/unit/test-domain-xml-devices.c.
 */
#include <string.h>

#include "config/domain-rules.h"

#define HOST_CHR(member) XML_FIELD(1, struct domain_chardev, member)

#define OTHER_ADDRESS DROP("address", "the place on the bus is fixed")

static const struct xml_rule virtio_driver_rows[] = {
	VIRTIO_DRIVER_ROWS,
	{0},
};

/* The controller of channels and virtio consoles; all others need none. */
static bool has_serial_controller(const struct xml_place *place, const struct xml_formatter *f)
{
	(void)f;
	return vm_config_has_serial_controller(place->base[0]);
}

static const struct xml_word index_words[] = {
	{.word = "0"},
	{"*", 0, CONTRACT_ADAPTED, "there is one such controller: 0"},
	{0},
};
static const struct xml_rule serial_controller_rows[] = {
	{.name = "@index", .kind = XML_CONST, .fixed = "0", .words = index_words},
	{.name = "@model", .kind = XML_KEEP, .words = domain_virtio_model_words},
	KEEP("@ports", "the worker chooses the number of ports"),
	KEEP("@vectors", "each queue has a vector"),
	{.name = "driver", .kind = XML_ELEMENT, .rows = virtio_driver_rows},
	ALIAS("virtio-serial"),
	PCI_ADDRESS(VM(serial_controller_pci)),
	{0},
};

/* Character devices: their machine sides all begin with the type. */
static_assert(offsetof(struct vm_serial, type) == 0, "type is first");
static_assert(offsetof(struct vm_console, type) == 0, "type is first");
static_assert(offsetof(struct vm_channel, type) == 0, "type is first");

#define WRITE_PTY "; write type='pty', 'file', 'unix' or 'null'"
static const struct xml_word chardev_words[] = {
	{"dev", 0, CONTRACT_REFUSED, "host devices are not passed on" WRITE_PTY},
	{"pipe", 0, CONTRACT_REFUSED, "pipes are not supported" WRITE_PTY},
	{"stdio", 0, CONTRACT_REFUSED, "a domain has no standard output" WRITE_PTY},
	{"tcp", 0, CONTRACT_REFUSED, "network sockets are not supported" WRITE_PTY},
	{"udp", 0, CONTRACT_REFUSED, "network sockets are not supported" WRITE_PTY},
	{"vc", 0, CONTRACT_REFUSED, "there are no virtual consoles" WRITE_PTY},
	{"spicevmc", 0, CONTRACT_REFUSED, "there is no SPICE" WRITE_PTY},
	{"spiceport", 0, CONTRACT_REFUSED, "there is no SPICE" WRITE_PTY},
	{"nmdm", 0, CONTRACT_REFUSED, "FreeBSD only" WRITE_PTY},
	{"qemu-vdagent", 0, CONTRACT_REFUSED, "there is no clipboard" WRITE_PTY},
	{"dbus", 0, CONTRACT_REFUSED, "there is no D-Bus display" WRITE_PTY},
	{0},
};
#define CHARDEV_TYPE                                                                               \
	{                                                                                          \
		.name = "@type", .kind = XML_ENUM, .flags = XML_FIXED_IF_EMPTY, .fixed = "pty",    \
		.names = VM_ENUM_CHARDEV, .offset = 0, .size = 1, .words = chardev_words           \
	}

static bool is_unix(const struct xml_place *place, const struct xml_formatter *f)
{
	(void)f;
	return *(const uint8_t *)place->base[0] == VM_CHARDEV_UNIX;
}

static bool is_live_pty(const struct xml_place *place, const struct xml_formatter *f)
{
	uint8_t type = *(const uint8_t *)place->base[0];

	return f->user && (type == VM_CHARDEV_DEFAULT || type == VM_CHARDEV_PTY);
}

static const struct xml_word bind_words[] = {
	{.word = "bind"},
	{"connect", 0, CONTRACT_REFUSED, "vmmd listens on the socket; write mode='bind'"},
	{0},
};
static const struct xml_word append_words[] = {
	{.word = "on", .value = 1},
	{.word = "off", .value = 0},
	{0},
};

static bool has_append(const struct xml_place *place, const struct xml_formatter *f)
{
	const struct domain_chardev *chardev = place->base[1];

	(void)f;
	return chardev->append;
}

static const struct xml_rule chardev_source_rows[] = {
	{.name = "@mode",
		.kind = XML_CONST,
		.fixed = "bind",
		.words = bind_words,
		.print_if = is_unix},
	{.name = "@path", .kind = XML_STRING, HOST_CHR(path), .check = xml_check_path},
	{.name = "@append",
		.kind = XML_WORD,
		HOST_CHR(append),
		.words = append_words,
		.print_if = has_append},
	KEEP("reconnect", "vmmd listens on the socket"),
	KEEP("seclabel", "the worker is given an open file: labels do not matter"),
	{0},
};
#define CHARDEV_SOURCE                                                                             \
	{                                                                                          \
		.name = "source", .kind = XML_ELEMENT, .flags = XML_FIRST,                         \
		.rows = chardev_source_rows                                                        \
	}
#define CHARDEV_OTHER                                                                              \
	DROP("protocol", "only network sockets have a protocol"),                                  \
		KEEP("log", "the console keeps its last 64 KiB; there is no log file")

#define NO_SUCH_PORT "there is no such port; write type='isa-serial'"
static const struct xml_word serial_target_words[] = {
	{.word = "isa-serial"},
	{"*", 0, CONTRACT_REFUSED, NO_SUCH_PORT},
	{0},
};
static const struct xml_rule serial_model_rows[] = {
	{.name = "@name",
		.kind = XML_CONST,
		.flags = XML_ALWAYS,
		.fixed = "isa-serial",
		.words = serial_target_words},
	{0},
};
static const struct xml_rule serial_target_rows[] = {
	{.name = "@type", .kind = XML_CONST, .fixed = "isa-serial", .words = serial_target_words},
	{.name = "@port",
		.kind = XML_UINT,
		.flags = XML_ALWAYS,
		XML_FIELD(0, struct vm_serial, port)},
	{.name = "model", .kind = XML_ELEMENT, .flags = XML_ALWAYS, .rows = serial_model_rows},
	{0},
};
static const struct xml_rule serial_rows[] = {
	CHARDEV_TYPE,
	CHARDEV_SOURCE,
	CHARDEV_OTHER,
	{.name = "target", .kind = XML_ELEMENT, .flags = XML_ALWAYS, .rows = serial_target_rows},
	ALIAS("serial"),
	OTHER_ADDRESS,
	{0},
};
static const struct xml_array serials = {
	.count_offset = offsetof(struct vm_config, n_serials),
	.offset = {offsetof(struct vm_config, serials), offsetof(struct domain_config, serials)},
	.stride = {sizeof(struct vm_serial), sizeof(struct domain_chardev)},
	.max = VM_MAX_SERIALS,
};

static const struct xml_word console_target_words[] = {
	{.word = "serial", .value = VM_CONSOLE_TARGET_SERIAL},
	{.word = "virtio", .value = VM_CONSOLE_TARGET_VIRTIO},
	{"*", 0, CONTRACT_REFUSED, "there is no such console; write type='serial' or 'virtio'"},
	{0},
};
static const struct xml_rule console_target_rows[] = {
	{.name = "@type",
		.kind = XML_ENUM,
		.flags = XML_FIXED_IF_EMPTY,
		.fixed = "serial",
		.names = VM_ENUM_CONSOLE_TARGET,
		XML_FIELD(0, struct vm_console, target),
		.words = console_target_words},
	{.name = "@port",
		.kind = XML_UINT,
		.flags = XML_ALWAYS,
		XML_FIELD(0, struct vm_console, port)},
	{0},
};
static const struct xml_rule console_rows[] = {
	CHARDEV_TYPE,
	{.name = "@tty", .kind = XML_STRING, HOST_CHR(path), .print_if = is_live_pty},
	CHARDEV_SOURCE,
	CHARDEV_OTHER,
	{.name = "target", .kind = XML_ELEMENT, .flags = XML_ALWAYS, .rows = console_target_rows},
	ALIAS("console"),
	OTHER_ADDRESS,
	{0},
};
static const struct xml_array consoles = {
	.count_offset = offsetof(struct vm_config, n_consoles),
	.offset = {offsetof(struct vm_config, consoles), offsetof(struct domain_config, consoles)},
	.stride = {sizeof(struct vm_console), sizeof(struct domain_chardev)},
	.max = VM_MAX_CONSOLES,
};

static const struct xml_word channel_target_words[] = {
	{.word = "virtio"},
	{"*", 0, CONTRACT_REFUSED, "only virtio channels are served; write type='virtio'"},
	{0},
};
static const struct xml_rule channel_target_rows[] = {
	{.name = "@type",
		.kind = XML_CONST,
		.flags = XML_REQUIRED,
		.fixed = "virtio",
		.words = channel_target_words},
	{.name = "@name",
		.kind = XML_STRING,
		.flags = XML_REQUIRED,
		XML_FIELD(0, struct vm_channel, name)},
	DROP("@state", "says whether the guest has opened the channel"),
	{0},
};
static const struct xml_rule channel_rows[] = {
	CHARDEV_TYPE,
	CHARDEV_SOURCE,
	CHARDEV_OTHER,
	{.name = "target",
		.kind = XML_ELEMENT,
		.flags = XML_REQUIRED,
		.rows = channel_target_rows,
		.why = "<target type='virtio' name='…'/>"},
	ALIAS("channel"),
	OTHER_ADDRESS,
	{0},
};
static const struct xml_array channels = {
	.count_offset = offsetof(struct vm_config, n_channels),
	.offset = {offsetof(struct vm_config, channels), offsetof(struct domain_config, channels)},
	.stride = {sizeof(struct vm_channel), sizeof(struct domain_chardev)},
	.max = VM_MAX_CHANNELS,
};

static const char *check_rng_path(const char *path)
{
	static const char *const allowed[] = {"", "/dev/urandom", "/dev/random", "/dev/hwrng"};

	for (size_t i = 0; i < ARRAY_SIZE(allowed); i++)
		if (strcmp(path, allowed[i]) == 0)
			return NULL;
	return "not a source of random numbers; write /dev/urandom, /dev/random or /dev/hwrng";
}

static const struct xml_word backend_words[] = {
	{"egd", 0, CONTRACT_REFUSED, "entropy daemons are not supported; write model='random'"},
	{0},
};
static const struct xml_rule rate_rows[] = {
	{.name = "@bytes", .kind = XML_UINT, .flags = XML_REQUIRED, VM(rng.rate_bytes)},
	{.name = "@period", .kind = XML_UINT, VM(rng.rate_period_ms)},
	{0},
};
static const struct xml_rule backend_rows[] = {
	{.name = "@model",
		.kind = XML_ENUM,
		.flags = XML_REQUIRED,
		.names = VM_ENUM_RNG_SOURCE,
		VM(rng.source),
		.words = backend_words},
	{.name = ".", .kind = XML_STRING, HOST(rng_path), .check = check_rng_path},
	{0},
};
static const struct xml_rule rng_rows[] = {
	{.name = "@model",
		.kind = XML_CONST,
		.fixed = "virtio",
		.words = domain_virtio_model_words},
	{.name = "rate", .kind = XML_ELEMENT, .rows = rate_rows},
	{.name = "backend",
		.kind = XML_ELEMENT,
		.flags = XML_REQUIRED,
		.rows = backend_rows,
		.why = "<backend model='random'>/dev/urandom</backend>"},
	{.name = "driver", .kind = XML_ELEMENT, .rows = virtio_driver_rows},
	ALIAS("rng"),
	PCI_ADDRESS(VM(rng.pci)),
	{0},
};

static bool has_rng(const struct xml_place *place, const struct xml_formatter *f)
{
	const struct vm_config *vm = place->base[0];

	(void)f;
	return vm->rng.source != VM_RNG_NONE;
}

static const struct xml_word balloon_model_words[] = {
	{.word = "virtio", .value = VM_BALLOON_VIRTIO},
	{.word = "none", .value = VM_BALLOON_NONE},
	{.word = "virtio-non-transitional", .value = VM_BALLOON_VIRTIO},
	{"virtio-transitional", VM_BALLOON_VIRTIO, CONTRACT_ADAPTED,
		"served by a virtio 1.2 device"},
	{"*", 0, CONTRACT_REFUSED, "no such model; write model='virtio' or model='none'"},
	{0},
};
static const struct xml_word on_off_words[] = {
	{.word = "on", .value = VM_TRISTATE_YES},
	{.word = "off", .value = VM_TRISTATE_NO},
	{0},
};
static const struct xml_rule balloon_stats_rows[] = {
	{.name = "@period", .kind = XML_UINT, VM(balloon.stats_period_s)},
	{0},
};

static bool has_balloon(const struct xml_place *place, const struct xml_formatter *f)
{
	const struct vm_config *vm = place->base[0];

	(void)f;
	return vm->balloon.model != VM_BALLOON_NONE;
}

static const struct xml_rule balloon_rows[] = {
	{.name = "@model",
		.kind = XML_WORD,
		.flags = XML_REQUIRED | XML_ALWAYS,
		VM(balloon.model),
		.words = balloon_model_words},
	{.name = "@autodeflate",
		.kind = XML_WORD,
		.flags = XML_NOT_ZERO,
		VM(balloon.autodeflate),
		.words = on_off_words},
	{.name = "@freePageReporting",
		.kind = XML_WORD,
		.flags = XML_NOT_ZERO,
		VM(balloon.reporting),
		.words = on_off_words},
	{.name = "stats", .kind = XML_ELEMENT, .rows = balloon_stats_rows},
	{.name = "driver", .kind = XML_ELEMENT, .rows = virtio_driver_rows},
	{.name = "alias",
		.kind = XML_CUSTOM,
		.parse = domain_parse_alias,
		.format = domain_format_alias,
		.fixed = "balloon",
		.print_if = has_balloon},
	PCI_ADDRESS(VM(balloon.pci)),
	{0},
};

static const struct xml_word panic_words[] = {
	{.word = "isa"},
	{"pvpanic", 0, CONTRACT_ADAPTED, "served by the ISA device"},
	{"*", 0, CONTRACT_REFUSED, "no such device; write model='isa'"},
	{0},
};
static const struct xml_rule panic_rows[] = {
	{.name = "@model", .kind = XML_CONST, .fixed = "isa", .words = panic_words},
	ALIAS("panic"),
	{.name = "address", .kind = XML_KEEP, .when = "type=isa", .flags = XML_FIRST},
	OTHER_ADDRESS,
	{0},
};

#define NO_DISPLAY "there is no display; use the serial console (vmctl console)"

const struct xml_rule domain_device_rows[] = {
	KEEP("emulator", "vmmd is its own emulator"),
	{.name = "disk",
		.kind = XML_KEEP,
		.flags = XML_MANY,
		.match = domain_is_empty_drive,
		.why = "an empty drive: media cannot be changed yet, so the guest gets none"},
	{.name = "disk",
		.kind = XML_ARRAY,
		.array = &domain_disks,
		.rows = domain_disk_rows,
		.after = domain_after_disk},
	{.name = "controller",
		.kind = XML_ELEMENT,
		.flags = XML_FIRST,
		.when = "type=virtio-serial",
		.rows = serial_controller_rows,
		.print_if = has_serial_controller},
	KEEP("controller", "no device needs this controller"),
	REFUSE("lease", "lock managers are not supported; remove it: images are locked anyway"),
	REFUSE("filesystem", "shared folders are not there yet; remove it or use a disk"),
	{.name = "interface",
		.kind = XML_ARRAY,
		.array = &domain_interfaces,
		.rows = domain_interface_rows,
		.after = domain_after_interface},
	REFUSE("smartcard", "smartcards are not supported; remove it"),
	{.name = "serial",
		.kind = XML_ARRAY,
		.array = &serials,
		.rows = serial_rows,
		.after = domain_after_serial},
	REFUSE("parallel", "there is no parallel port; remove it"),
	{.name = "console",
		.kind = XML_ARRAY,
		.array = &consoles,
		.rows = console_rows,
		.after = domain_after_console},
	KEEP_WHEN("channel", "type=spicevmc", "there is no SPICE"),
	KEEP_WHEN("channel", "type=spiceport", "there is no SPICE"),
	KEEP_WHEN("channel", "type=qemu-vdagent", "there is no clipboard"),
	{.name = "channel",
		.kind = XML_ARRAY,
		.array = &channels,
		.rows = channel_rows,
		.after = domain_after_channel},
	KEEP("input", NO_DISPLAY),
	REFUSE("tpm", "TPMs are not there yet; remove it"),
	KEEP("graphics", NO_DISPLAY),
	KEEP("sound", "there is no sound card"),
	KEEP("audio", "there is no sound card"),
	KEEP("video", NO_DISPLAY),
	REFUSE("hostdev", "host devices are not there yet; remove it"),
	KEEP("redirdev", "there is no USB"),
	KEEP("redirfilter", "there is no USB"),
	KEEP("hub", "there is no USB"),
	KEEP("watchdog", "there is no watchdog device"),
	{.name = "memballoon", .kind = XML_ELEMENT, .flags = XML_FIRST, .rows = balloon_rows},
	{.name = "rng",
		.kind = XML_ELEMENT,
		.flags = XML_FIRST,
		.rows = rng_rows,
		.print_if = has_rng},
	KEEP("nvram", "not a feature of x86 machines"),
	KEEP_WHEN("panic", "model=hyperv", "Hyper-V enlightenments are not offered yet"),
	{.name = "panic", .kind = XML_FLAG, .flags = XML_FIRST, VM(panic_isa), .rows = panic_rows},
	REFUSE("shmem", "shared memory between guests is not supported; remove it"),
	{.name = "memory",
		.kind = XML_ARRAY,
		.array = &domain_memories,
		.rows = domain_memory_rows,
		.after = domain_after_memory},
	REFUSE("iommu", "the guest has no IOMMU; remove it"),
	KEEP("vsock", "vsock is not there yet"),
	KEEP("crypto", "there is no crypto device"),
	REFUSE("pstore", "there is no pstore device; remove it"),
	{0},
};
