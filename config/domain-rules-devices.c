/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The verdict table of domain XML: <devices>, in the order in which libvirt prints them. */
#include <string.h>

#include "config/domain-rules.h"

#define DISK(member)      XML_FIELD(0, struct vm_disk, member)
#define HOST_DISK(member) XML_FIELD(1, struct domain_disk, member)
#define HOST_CHR(member)  XML_FIELD(1, struct domain_chardev, member)

/* Shared by all devices. */
#define ALIAS(word)                                                                                \
	{                                                                                          \
		.name = "alias", .kind = XML_CUSTOM, .parse = domain_parse_alias,                  \
		.format = domain_format_alias, .fixed = (word)                                     \
	}
#define PCI_ADDRESS(field)                                                                         \
	{                                                                                          \
		.name = "address", .kind = XML_CUSTOM, field, .parse = domain_parse_pci,           \
		.format = domain_format_pci                                                        \
	}
#define OTHER_ADDRESS DROP("address", "the place on the bus is fixed")
#define NOT_YET(what) what " are not there yet; remove it"

static const struct xml_word iommu_words[] = {
	{"on", 0, CONTRACT_REFUSED, "the guest has no IOMMU; write iommu='off'"},
	{0},
};
#define VIRTIO_DRIVER_ROWS                                                                         \
	{.name = "@iommu", .kind = XML_KEEP, .words = iommu_words},                                \
		KEEP("@ats", "the guest has no IOMMU"),                                            \
		KEEP("@packed", "virtqueues are split rings"),                                     \
		KEEP("@page_per_vq", "notifications share one page")
static const struct xml_rule virtio_driver_rows[] = {
	VIRTIO_DRIVER_ROWS,
	{0},
};

/* Disks. */
#define WRITE_FILE "; write type='file' with the image's path"
static const struct xml_word disk_type_words[] = {
	{.word = "file", .value = DOMAIN_DISK_FILE},
	{.word = "block", .value = DOMAIN_DISK_BLOCK},
	{"volume", 0, CONTRACT_REFUSED, "there are no storage pools yet" WRITE_FILE},
	{"network", 0, CONTRACT_REFUSED, "network disks are not supported" WRITE_FILE},
	{"dir", 0, CONTRACT_REFUSED, "folders as disks are not supported" WRITE_FILE},
	{"nvme", 0, CONTRACT_REFUSED, "NVMe passthrough is not supported; write type='block'"},
	{"vhostuser", 0, CONTRACT_REFUSED, "vhost-user disks are not supported" WRITE_FILE},
	{"vhostvdpa", 0, CONTRACT_REFUSED, "vDPA disks are not supported" WRITE_FILE},
	{0},
};
static const struct xml_word disk_device_words[] = {
	{"lun", 0, CONTRACT_REFUSED, "SCSI passthrough is not supported; write device='disk'"},
	{"floppy", 0, CONTRACT_REFUSED, "there is no floppy controller; write device='disk'"},
	{0},
};
static const struct xml_word snapshot_words[] = {
	{"internal", 0, CONTRACT_REFUSED,
		"a raw image cannot hold snapshots; write snapshot='external'"},
	{0},
};
static const struct xml_word yes_refused_words[] = {
	{"yes", 0, CONTRACT_REFUSED, "raw SCSI commands are not passed on; remove it"},
	{0},
};
static const struct xml_word disk_model_words[] = {
	{.word = "virtio"},
	{.word = "virtio-non-transitional"},
	{"virtio-transitional", 0, CONTRACT_ADAPTED, "served by a virtio 1.2 device"},
	{"*", 0, CONTRACT_REFUSED, "no such model; write model='virtio'"},
	{0},
};
static const struct xml_word format_words[] = {
	{.word = "raw", .value = DOMAIN_FORMAT_RAW},
	{"*", 0, CONTRACT_REFUSED,
		"only raw images are served; convert it with qemu-img convert -O raw and write "
		"type='raw'"},
	{0},
};
static const struct xml_word driver_name_words[] = {
	{.word = "qemu"},
	{"*", 0, CONTRACT_ADAPTED, "vmmd has one driver for raw images: qemu"},
	{0},
};
static const struct xml_word cache_words[] = {
	{.word = "default", .value = VM_DISK_CACHE_DEFAULT},
	{0},
};
static const struct xml_rule disk_driver_rows[] = {
	{.name = "@name", .kind = XML_CONST, .fixed = "qemu", .words = driver_name_words},
	{.name = "@type",
		.kind = XML_WORD,
		.flags = XML_FIXED_IF_EMPTY,
		.fixed = "raw",
		HOST_DISK(format),
		.words = format_words},
	{.name = "@cache",
		.kind = XML_ENUM,
		.names = VM_ENUM_DISK_CACHE,
		DISK(cache),
		.words = cache_words},
	{.name = "@error_policy",
		.kind = XML_ENUM,
		.names = VM_ENUM_DISK_ERROR,
		DISK(error_policy)},
	{.name = "@rerror_policy",
		.kind = XML_ENUM,
		.names = VM_ENUM_DISK_ERROR,
		DISK(rerror_policy)},
	{.name = "@io", .kind = XML_ENUM, .names = VM_ENUM_DISK_IO, DISK(io)},
	KEEP("@ioeventfd", "queues are always kicked by an eventfd"),
	KEEP("@event_idx", "the event index is always offered"),
	KEEP("@copy_on_read", "a raw image has no backing image to copy from"),
	{.name = "@discard", .kind = XML_ENUM, .names = VM_ENUM_DISK_DISCARD, DISK(discard)},
	KEEP("@discard_no_unref", "raw images have no clusters"),
	KEEP("@iothread", "each disk has its own ring in the worker's loop"),
	{.name = "@detect_zeroes",
		.kind = XML_ENUM,
		.names = VM_ENUM_DISK_DETECT_ZEROES,
		DISK(detect_zeroes)},
	{.name = "@queues", .kind = XML_UINT, DISK(queues)},
	KEEP("@queue_size", "the worker chooses the size of the queues"),
	VIRTIO_DRIVER_ROWS,
	KEEP("metadata_cache", "raw images have no metadata"),
	KEEP("iothreads", "each disk has its own ring in the worker's loop"),
	{0},
};

static bool is_file(const struct xml_place *place, const struct xml_formatter *f)
{
	const struct domain_disk *disk = place->base[1];

	(void)f;
	return disk->type == DOMAIN_DISK_FILE;
}

static bool is_block(const struct xml_place *place, const struct xml_formatter *f)
{
	return !is_file(place, f);
}

static const struct xml_rule disk_source_rows[] = {
	{.name = "@file",
		.kind = XML_STRING,
		HOST_DISK(path),
		.check = domain_check_path,
		.print_if = is_file},
	{.name = "@dev",
		.kind = XML_STRING,
		HOST_DISK(path),
		.check = domain_check_path,
		.print_if = is_block},
	KEEP("@startupPolicy", "a missing image always stops the start"),
	DROP("@index", "numbers of images are given at each start"),
	KEEP("seclabel", "the worker is given an open file: labels do not matter"),
	REFUSE("encryption", "encrypted images are not supported; remove it"),
	REFUSE("reservations", "persistent reservations are not supported; remove it"),
	REFUSE("slices", "parts of an image cannot be disks; remove it"),
	REFUSE("dataStore", "raw images have no data file; remove it"),
	KEEP("privateData", "private to libvirt"),
	{0},
};
static const struct xml_word bus_words[] = {
	{.word = "virtio", .value = VM_DISK_BUS_VIRTIO},
	{"ide", 0, CONTRACT_REFUSED, "there is no IDE controller; write dev='vda' bus='virtio'"},
	{"scsi", 0, CONTRACT_REFUSED, "there is no SCSI controller; write dev='vda' bus='virtio'"},
	{"usb", 0, CONTRACT_REFUSED, "there is no USB controller; write dev='vda' bus='virtio'"},
	{"fdc", 0, CONTRACT_REFUSED, "there is no floppy controller; write bus='virtio'"},
	{"sd", 0, CONTRACT_REFUSED, "there is no SD controller; write dev='vda' bus='virtio'"},
	{"xen", 0, CONTRACT_REFUSED, "Xen only; write dev='vda' bus='virtio'"},
	{"uml", 0, CONTRACT_REFUSED, "User-mode Linux only; write dev='vda' bus='virtio'"},
	{0},
};
static const struct xml_rule disk_target_rows[] = {
	{.name = "@dev",
		.kind = XML_STRING,
		.flags = XML_REQUIRED,
		DISK(target),
		.why = "dev='vda'"},
	{.name = "@bus",
		.kind = XML_ENUM,
		.names = VM_ENUM_DISK_BUS,
		DISK(bus),
		.words = bus_words},
	DROP("@tray", "virtio disks have no tray"),
	KEEP("@removable", "virtio disks are fixed"),
	KEEP("@rotation_rate", "virtio disks do not tell how fast they turn"),
	{0},
};
static const struct xml_rule blockio_rows[] = {
	{.name = "@logical_block_size", .kind = XML_UINT, DISK(logical_block)},
	{.name = "@physical_block_size", .kind = XML_UINT, DISK(physical_block)},
	KEEP("@discard_granularity", "the file system below the image decides"),
	{0},
};
static const struct xml_rule boot_rows[] = {
	{.name = "@order", .kind = XML_UINT, .flags = XML_REQUIRED, DISK(boot_order)},
	KEEP("@loadparm", "not a feature of x86 machines"),
	{0},
};
static const struct xml_rule backing_store_rows[] = {
	DROP("@index", "numbers of images are given at each start"),
	REFUSE("format", "a raw image has no backing image; remove <backingStore>"),
	REFUSE("source", "a raw image has no backing image; remove <backingStore>"),
	{0},
};
static const struct xml_rule disk_rows[] = {
	{.name = "@type", .kind = XML_WORD, HOST_DISK(type), .words = disk_type_words},
	{.name = "@device",
		.kind = XML_ENUM,
		.flags = XML_FIXED_IF_EMPTY,
		.fixed = "disk",
		.names = VM_ENUM_DISK_DEVICE,
		DISK(device),
		.words = disk_device_words},
	{.name = "@model", .kind = XML_KEEP, .words = disk_model_words},
	{.name = "@rawio", .kind = XML_KEEP, .words = yes_refused_words},
	KEEP("@sgio", "raw SCSI commands are not passed on"),
	{.name = "@snapshot", .kind = XML_KEEP, .words = snapshot_words},
	{.name = "driver", .kind = XML_ELEMENT, .rows = disk_driver_rows},
	REFUSE("auth", "network disks are not supported; write type='file'"),
	{.name = "source", .kind = XML_ELEMENT, .rows = disk_source_rows},
	{.name = "backingStore", .kind = XML_ELEMENT, .rows = backing_store_rows},
	KEEP("geometry", "virtio disks have no cylinders"),
	{.name = "blockio", .kind = XML_ELEMENT, .rows = blockio_rows},
	DROP("mirror", "a copy that was running is not part of the definition"),
	{.name = "target",
		.kind = XML_ELEMENT,
		.flags = XML_REQUIRED,
		.rows = disk_target_rows,
		.why = "<target dev='vda' bus='virtio'/>"},
	KEEP("iotune", "I/O is not throttled yet"),
	KEEP("throttlefilters", "I/O is not throttled yet"),
	{.name = "readonly", .kind = XML_FLAG, DISK(readonly)},
	{.name = "shareable", .kind = XML_FLAG, DISK(shareable)},
	REFUSE("transient", "changes would be kept; remove it and use a copy of the image"),
	{.name = "serial", .kind = XML_STRING, DISK(serial)},
	{.name = "wwn",
		.kind = XML_STRING,
		DISK(wwn),
		.verdict = CONTRACT_IGNORED,
		.why = "virtio disks have a serial number, not a WWN"},
	KEEP("vendor", "virtio disks have a serial number only"),
	KEEP("product", "virtio disks have a serial number only"),
	REFUSE("encryption", "encrypted images are not supported; remove it"),
	{.name = "boot", .kind = XML_ELEMENT, .rows = boot_rows},
	DROP("acpi", "slots have no ACPI index"),
	ALIAS("virtio-disk"),
	PCI_ADDRESS(DISK(pci)),
	{0},
};
static const struct xml_array disks = {
	.count_offset = offsetof(struct vm_config, n_disks),
	.offset = {offsetof(struct vm_config, disks), offsetof(struct domain_config, disks)},
	.stride = {sizeof(struct vm_disk), sizeof(struct domain_disk)},
	.max = VM_MAX_DISKS,
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
	{.name = "@model", .kind = XML_KEEP, .words = disk_model_words},
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
	{.name = "@path", .kind = XML_STRING, HOST_CHR(path), .check = domain_check_path},
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
	{.name = "@model", .kind = XML_CONST, .fixed = "virtio", .words = disk_model_words},
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
		.kind = XML_ARRAY,
		.array = &disks,
		.rows = disk_rows,
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
	REFUSE("interface", "networks come in a later version; remove every <interface>"),
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
	REFUSE("tpm", NOT_YET("TPMs")),
	KEEP("graphics", NO_DISPLAY),
	KEEP("sound", "there is no sound card"),
	KEEP("audio", "there is no sound card"),
	KEEP("video", NO_DISPLAY),
	REFUSE("hostdev", NOT_YET("host devices")),
	KEEP("redirdev", "there is no USB"),
	KEEP("redirfilter", "there is no USB"),
	KEEP("hub", "there is no USB"),
	KEEP("watchdog", "there is no watchdog device"),
	{.name = "memballoon", .kind = XML_KEEP, .flags = XML_FIRST, .when = "model=none"},
	KEEP("memballoon", "memory is not ballooned yet: the guest keeps all of it"),
	{.name = "rng",
		.kind = XML_ELEMENT,
		.flags = XML_FIRST,
		.rows = rng_rows,
		.print_if = has_rng},
	KEEP("nvram", "not a feature of x86 machines"),
	KEEP_WHEN("panic", "model=hyperv", "Hyper-V enlightenments are not offered yet"),
	{.name = "panic", .kind = XML_FLAG, .flags = XML_FIRST, VM(panic_isa), .rows = panic_rows},
	REFUSE("shmem", "shared memory between guests is not supported; remove it"),
	REFUSE("memory", "memory cannot be plugged in; write a larger <memory>"),
	REFUSE("iommu", "the guest has no IOMMU; remove it"),
	KEEP("vsock", "vsock is not there yet"),
	KEEP("crypto", "there is no crypto device"),
	REFUSE("pstore", "there is no pstore device; remove it"),
	{0},
};
