/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The verdict table of domain XML: <disk>, and what disks share with the other virtio devices.
 *
 * Tested by tests/unit/test-domain-xml-devices.c.
 */
#include "config/domain-rules.h"

#define DISK(member)      XML_FIELD(0, struct vm_disk, member)
#define HOST_DISK(member) XML_FIELD(1, struct domain_disk, member)

const struct xml_word domain_iommu_words[] = {
	{"on", 0, CONTRACT_REFUSED, "the guest has no IOMMU; write iommu='off'"},
	{0},
};

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
const struct xml_word domain_virtio_model_words[] = {
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
	{.name = "@iothread", .kind = XML_UINT, DISK(iothread)},
	{.name = "@detect_zeroes",
		.kind = XML_ENUM,
		.names = VM_ENUM_DISK_DETECT_ZEROES,
		DISK(detect_zeroes)},
	{.name = "@queues", .kind = XML_UINT, DISK(queues)},
	KEEP("@queue_size", "the worker chooses the size of the queues"),
	VIRTIO_DRIVER_ROWS,
	KEEP("metadata_cache", "raw images have no metadata"),
	KEEP("iothreads", "all queues of a disk are one thread's: write driver/@iothread"),
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
		.check = xml_check_path,
		.print_if = is_file},
	{.name = "@dev",
		.kind = XML_STRING,
		HOST_DISK(path),
		.check = xml_check_path,
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
	{.name = "@order",
		.kind = XML_UINT,
		.flags = XML_REQUIRED,
		DISK(boot_order),
		.verdict = CONTRACT_IGNORED,
		.why = "the kernel is booted, not a device"},
	KEEP("@loadparm", "not a feature of x86 machines"),
	{0},
};
static const struct xml_rule backing_store_rows[] = {
	DROP("@index", "numbers of images are given at each start"),
	REFUSE("format", "a raw image has no backing image; remove <backingStore>"),
	REFUSE("source", "a raw image has no backing image; remove <backingStore>"),
	{0},
};
#define IOTUNE(element, member)                                                                    \
	{                                                                                          \
		.name = (element), .kind = XML_UINT, DISK(iotune.member)                           \
	}
static const struct xml_rule iotune_rows[] = {
	IOTUNE("total_bytes_sec", rate[VM_IOTUNE_TOTAL_BYTES]),
	IOTUNE("read_bytes_sec", rate[VM_IOTUNE_READ_BYTES]),
	IOTUNE("write_bytes_sec", rate[VM_IOTUNE_WRITE_BYTES]),
	IOTUNE("total_iops_sec", rate[VM_IOTUNE_TOTAL_IOPS]),
	IOTUNE("read_iops_sec", rate[VM_IOTUNE_READ_IOPS]),
	IOTUNE("write_iops_sec", rate[VM_IOTUNE_WRITE_IOPS]),
	IOTUNE("total_bytes_sec_max", max[VM_IOTUNE_TOTAL_BYTES]),
	IOTUNE("read_bytes_sec_max", max[VM_IOTUNE_READ_BYTES]),
	IOTUNE("write_bytes_sec_max", max[VM_IOTUNE_WRITE_BYTES]),
	IOTUNE("total_iops_sec_max", max[VM_IOTUNE_TOTAL_IOPS]),
	IOTUNE("read_iops_sec_max", max[VM_IOTUNE_READ_IOPS]),
	IOTUNE("write_iops_sec_max", max[VM_IOTUNE_WRITE_IOPS]),
	IOTUNE("size_iops_sec", size_iops),
	{.name = "group_name", .kind = XML_STRING, DISK(iotune.group)},
	IOTUNE("total_bytes_sec_max_length", max_length_s[VM_IOTUNE_TOTAL_BYTES]),
	IOTUNE("read_bytes_sec_max_length", max_length_s[VM_IOTUNE_READ_BYTES]),
	IOTUNE("write_bytes_sec_max_length", max_length_s[VM_IOTUNE_WRITE_BYTES]),
	IOTUNE("total_iops_sec_max_length", max_length_s[VM_IOTUNE_TOTAL_IOPS]),
	IOTUNE("read_iops_sec_max_length", max_length_s[VM_IOTUNE_READ_IOPS]),
	IOTUNE("write_iops_sec_max_length", max_length_s[VM_IOTUNE_WRITE_IOPS]),
	{0},
};
const struct xml_rule domain_disk_rows[] = {
	{.name = "@type", .kind = XML_WORD, HOST_DISK(type), .words = disk_type_words},
	{.name = "@device",
		.kind = XML_ENUM,
		.flags = XML_FIXED_IF_EMPTY,
		.fixed = "disk",
		.names = VM_ENUM_DISK_DEVICE,
		DISK(device),
		.words = disk_device_words},
	{.name = "@model", .kind = XML_KEEP, .words = domain_virtio_model_words},
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
	{.name = "iotune", .kind = XML_ELEMENT, .rows = iotune_rows},
	KEEP("throttlefilters", "throttle groups of the domain are not served: <iotune> is"),
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
const struct xml_array domain_disks = {
	.count_offset = offsetof(struct vm_config, n_disks),
	.offset = {offsetof(struct vm_config, disks), offsetof(struct domain_config, disks)},
	.stride = {sizeof(struct vm_disk), sizeof(struct domain_disk)},
	.max = VM_MAX_DISKS,
};
