/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The life cycle of a device, with a probe of our own; and what every class of the registry owes: save and load from
 * birth, which bring each field back, and refuse what is not theirs.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/fakes/fake-machine.h"
#include "vmm-core/base/strutil.h"
#include "vmm-core/chardev.h"
#include "vmm-core/device.h"
#include "vmm-core/guest-plug.h"
#include "vmm-core/layout.h"

/* A probe that notes what is done to it. */

struct probe {
	struct device dev;
	uint32_t value;
	void *half; /* what realize() takes before it may fail */
};

static struct {
	unsigned n_realized, n_unrealized, n_reset;
	int realize_error;
} seen;

static int probe_realize(struct device *dev)
{
	struct probe *p = container_of(dev, struct probe, dev);

	seen.n_realized++;
	assert_non_null(dev->machine);
	assert_int_equal(dev->instance, 3);
	assert_string_equal(dev->name, "probe.3");
	p->half = malloc(16);
	assert_non_null(p->half);
	return seen.realize_error;
}

static void probe_unrealize(struct device *dev)
{
	seen.n_unrealized++;
	free(container_of(dev, struct probe, dev)->half);
}

static void probe_reset(struct device *dev)
{
	seen.n_reset++;
	container_of(dev, struct probe, dev)->value = 1;
}

static uint64_t probe_read(struct device *dev, unsigned region, uint64_t offset, unsigned size)
{
	(void)dev;
	return region << 16 | offset << 8 | size;
}

static void probe_write(
	struct device *dev, unsigned region, uint64_t offset, unsigned size, uint64_t value)
{
	(void)region;
	(void)offset;
	(void)size;
	container_of(dev, struct probe, dev)->value = (uint32_t)value;
}

static void probe_save(const struct device *dev, struct state_writer *w)
{
	state_put_u32(w, ((const struct probe *)(const void *)dev)->value);
}

static int probe_load(struct device *dev, struct state_reader *r)
{
	uint32_t value = state_get_u32(r);

	if (state_reader_end(r) < 0)
		return -EBADMSG;
	container_of(dev, struct probe, dev)->value = value;
	return 0;
}

static const struct device_ops probe_ops = {
	.realize = probe_realize,
	.unrealize = probe_unrealize,
	.reset = probe_reset,
	.read = probe_read,
	.write = probe_write,
	.save = probe_save,
	.load = probe_load,
};
static const struct device_class probe_class = {
	.name = "probe", .state_version = 5, .size = sizeof(struct probe), .ops = &probe_ops};
static const struct device_ops no_ops = {0};
static const struct device_class bare_class = {
	.name = "bare", .size = sizeof(struct device), .ops = &no_ops};

static struct machine no_machine;

static void test_life(void **state)
{
	struct device *dev = NULL;

	(void)state;
	memset(&seen, 0, sizeof(seen));
	assert_int_equal(device_new(&probe_class, &no_machine, 3, &dev), 0);
	assert_int_equal(seen.n_realized, 1);
	assert_int_equal(seen.n_reset, 1);
	assert_int_equal(device_read(dev, 2, 7, 4), 2 << 16 | 7 << 8 | 4);
	device_write(dev, 0, 0, 4, 99);
	assert_int_equal(container_of(dev, struct probe, dev)->value, 99);
	device_reset(dev);
	assert_int_equal(container_of(dev, struct probe, dev)->value, 1);
	assert_null(device_free(dev));
	assert_int_equal(seen.n_unrealized, 1);
	assert_null(device_free(NULL));
}

/* realize() that fails half-way: what it took is given back, once, and nothing is handed out. */
static void test_half_realized(void **state)
{
	struct device *dev = (void *)&seen;

	(void)state;
	memset(&seen, 0, sizeof(seen));
	seen.realize_error = -EBUSY;
	assert_int_equal(device_new(&probe_class, &no_machine, 3, &dev), -EBUSY);
	assert_ptr_equal(dev, &seen);
	assert_int_equal(seen.n_unrealized, 1);
	assert_int_equal(seen.n_reset, 0);
}

/* A class that implements nothing. */
static void test_bare(void **state)
{
	_cleanup_(device_freep) struct device *dev = NULL;
	struct state_reader r = {.name = "bare"};
	struct state_writer w;

	(void)state;
	assert_int_equal(device_new(&bare_class, &no_machine, 0, &dev), 0);
	assert_true(device_read(dev, 0, 0, 4) == UINT64_MAX);
	device_write(dev, 0, 0, 4, 1);
	device_reset(dev);
	state_writer_init(&w);
	assert_int_equal(device_save(dev, &w), -ENOTSUP);
	state_writer_done(&w);
	assert_int_equal(device_load(dev, &r), -ENOTSUP);
}

static void test_wrong_section(void **state)
{
	_cleanup_(device_freep) struct device *dev = NULL;
	struct state_reader good, r;
	struct state_writer w;
	size_t offset = 0;

	(void)state;
	memset(&seen, 0, sizeof(seen));
	assert_int_equal(device_new(&probe_class, &no_machine, 3, &dev), 0);
	device_write(dev, 0, 0, 4, 77);
	state_writer_init(&w);
	assert_int_equal(device_save(dev, &w), 0);
	assert_int_equal(state_next(w.data, w.len, &offset, &good), 1);
	assert_string_equal(good.name, "probe");
	assert_int_equal(good.version, 5);
	device_reset(dev);

	r = good;
	(void)strcpy(r.name, "probf");
	assert_int_equal(device_load(dev, &r), -EBADMSG);
	r = good;
	r.instance = 2;
	assert_int_equal(device_load(dev, &r), -EBADMSG);
	r = good;
	r.version = 4;
	assert_int_equal(device_load(dev, &r), -EBADMSG);
	r = good;
	r.len--;
	assert_int_equal(device_load(dev, &r), -EBADMSG);
	assert_int_equal(container_of(dev, struct probe, dev)->value, 1);
	r = good;
	assert_int_equal(device_load(dev, &r), 0);
	assert_int_equal(container_of(dev, struct probe, dev)->value, 77);
	state_writer_done(&w);
}

/* The registry. */

static void test_registry(void **state)
{
	unsigned n = 0;

	(void)state;
	for (const struct device_class *class; (class = device_class_at(n)); n++) {
		assert_true(*class->name && strlen(class->name) < STATE_NAME_MAX);
		assert_ptr_equal(device_class_find(class->name), class);
		assert_true(class->size >= sizeof(struct device));
		assert_true(class->state_version >= 1);
		if (!class->ops->save || !class->ops->load)
			fail_msg("%s cannot be saved", class->name);
	}
	assert_true(n >= 15);
	assert_null(device_class_at(n + 1));
	assert_null(device_class_find("no-such-device"));
	assert_null(device_class_find(""));
}

#define MAX_DEVICES 32

struct board {
	struct fake_machine *f;
	struct device *devices[MAX_DEVICES];
	unsigned n;
};

static void add(struct board *b, const char *name)
{
	const struct device_class *class = device_class_find(name);
	int r;

	assert_non_null(class);
	r = device_new(class, &b->f->m, 0, &b->devices[b->n]);
	if (r < 0)
		fail_msg("%s: %d", name, r);
	b->n++;
}

static int set_slot(void *opaque, unsigned slot, uint64_t gpa, uint64_t size, void *host)
{
	(void)opaque;
	(void)slot;
	(void)gpa;
	(void)size;
	(void)host;
	return 0;
}

/* Room for a memory device. */
static void add_plug(struct fake_machine *f)
{
	static const struct guest_plug_ops ops = {.set_slot = set_slot};
	struct guest_file room = {.fd = memfd_create("room", MFD_CLOEXEC),
		.size = LAYOUT_PLUG_ALIGN,
		.page_len = 4096};

	assert_int_equal(ftruncate(room.fd, LAYOUT_PLUG_ALIGN), 0);
	assert_int_equal(guest_plug_init(&f->mem, &room, &ops, f), 0);
	assert_int_equal(guest_plug_add(&f->mem, 0, MIB(64), MIB(2)), 0);
	f->config.n_memories = 1;
	f->config.memories[0] =
		(struct vm_memory){.size_kib = 65536, .requested_kib = 32768, .block_kib = 2048};
}

/* One of each class, those that others stand on first. */
static void board_init(struct board *b)
{
	static const char *const first[] = {"ioapic", "i8259", "acpi-pm", "q35-host"};

	b->n = 0;
	b->f = fake_machine_new(MIB(2));
	assert_non_null(b->f);
	b->f->config.acpi = b->f->config.genid = 1;
	b->f->config.n_disks = b->f->config.n_channels = b->f->config.n_serials = 1;
	b->f->config.n_nics = 1;
	b->f->config.nics[0].port.mac[0] = 0x52;
	b->f->config.rng.source = VM_RNG_BUILTIN;
	add_plug(b->f);
	b->f->fds.disks[0] = memfd_create("disk", MFD_CLOEXEC);
	assert_int_equal(ftruncate(b->f->fds.disks[0], KIB(64)), 0);
	assert_int_equal(chardev_new(b->f->m.loop, -EBADF, 0, &b->f->m.serials[0]), 0);
	assert_int_equal(chardev_new(b->f->m.loop, -EBADF, 0, &b->f->m.channels[0]), 0);
	for (unsigned i = 0; i < ARRAY_SIZE(first); i++)
		add(b, first[i]);
	for (unsigned i = 0; device_class_at(i); i++) {
		bool done = false;

		for (unsigned j = 0; j < ARRAY_SIZE(first); j++)
			done |= streq(first[j], device_class_at(i)->name);
		if (!done)
			add(b, device_class_at(i)->name);
	}
}

static void board_done(struct board *b)
{
	struct chardev *serial = b->f->m.serials[0], *channel = b->f->m.channels[0];

	while (b->n)
		(void)device_free(b->devices[--b->n]);
	(void)chardev_free(serial);
	(void)chardev_free(channel);
	(void)fake_machine_free(b->f);
}

static void save(const struct device *dev, struct state_writer *w)
{
	int r;

	state_writer_init(w);
	r = device_save(dev, w);
	if (r < 0)
		fail_msg("%s: save: %d", dev->name, r);
}

/* Load what was saved: the same comes out again. Load part of it, or another's: refused, and nothing changes. */
static void check_device(struct device *dev)
{
	struct state_writer before, after;
	struct state_reader r, part;
	size_t offset = 0;

	save(dev, &before);
	assert_int_equal(state_next(before.data, before.len, &offset, &r), 1);
	for (size_t len = 0; len < r.len; len++) {
		part = r;
		part.len = len;
		if (device_load(dev, &part) != -EBADMSG)
			fail_msg("%s takes %zu of %zu bytes", dev->name, len, (size_t)r.len);
	}
	part = r;
	part.version++;
	assert_int_equal(device_load(dev, &part), -EBADMSG);
	for (unsigned again = 0; again < 2; again++) {
		save(dev, &after);
		assert_int_equal(after.len, before.len);
		if (memcmp(after.data, before.data, before.len) != 0)
			fail_msg("%s: not as it was after %s", dev->name,
				again ? "load" : "a refused load");
		state_writer_done(&after);
		part = r;
		if (!again && device_load(dev, &part) < 0)
			fail_msg("%s refuses its own state", dev->name);
	}
	state_writer_done(&before);
}

static void test_all_classes(void **state)
{
	struct board b;

	(void)state;
	board_init(&b);
	for (unsigned i = 0; i < b.n; i++)
		check_device(b.devices[i]);
	/* Not only as they were born: after writes to all that they answer at. */
	for (unsigned i = 0; i < b.n; i++) {
		for (unsigned n = 0; n < 64; n++)
			if (streq(b.devices[i]->class->name, "ns16550") ||
				streq(b.devices[i]->class->name, "i8254") ||
				streq(b.devices[i]->class->name, "i8259"))
				device_write(b.devices[i], 0, n % 2, 1, n * 37 & 0xff);
		check_device(b.devices[i]);
	}
	board_done(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_life),
		cmocka_unit_test(test_half_realized),
		cmocka_unit_test(test_bare),
		cmocka_unit_test(test_wrong_section),
		cmocka_unit_test(test_registry),
		cmocka_unit_test(test_all_classes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
