/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* virtio-console: ports, names, data and back-pressure both ways, control messages, save and load. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "devices/virtio/virtio-console.h"
#include "tests/fakes/fake-driver.h"
#include "vmm-core/chardev.h"

#define F_SIZE        VIRTIO_BIT(0)
#define F_MULTIPORT   VIRTIO_BIT(1)
#define CTRL_RX       2
#define CTRL_TX       3
#define CONSOLE_QUEUE 0
#define AGENT         "org.qemu.guest_agent.0"

/* Events of the control queue. */
enum { READY, ADD, REMOVE, PORT_READY, CONSOLE, RESIZE, OPEN, NAME };

struct msg {
	uint32_t id;
	uint16_t event, value;
};

/* Port 0 is a console, port 1 a channel that nobody is connected to, port 2 one with a peer. */
struct fixture {
	struct fake_machine *f;
	struct device *root, *dev;
	struct fake_driver d;
	int console_fd, channel_fd;
};

static int attach(struct fixture *fx, struct chardev **ret_cd)
{
	int fds[2];

	assert_int_equal(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
	assert_int_equal(chardev_new(fx->f->m.loop, fds[0], CHARDEV_NO_REPLAY, ret_cd), 0);
	return fds[1];
}

static void build_with(struct fixture *fx, unsigned n_consoles)
{
	*fx = (struct fixture){.f = fake_machine_new(MIB(4)), .console_fd = -EBADF};
	fx->f->config.n_consoles = 1 + n_consoles;
	fx->f->config.consoles[0].target = VM_CONSOLE_TARGET_SERIAL;
	fx->f->config.consoles[1].target = VM_CONSOLE_TARGET_VIRTIO;
	fx->f->config.n_channels = 2;
	(void)strcpy(fx->f->config.channels[0].name, "com.example.nobody");
	(void)strcpy(fx->f->config.channels[1].name, AGENT);
	if (n_consoles)
		fx->console_fd = attach(fx, &fx->f->m.consoles[1]);
	fx->channel_fd = attach(fx, &fx->f->m.channels[1]);
	assert_int_equal(device_new(&q35_host_class, &fx->f->m, 0, &fx->root), 0);
	assert_int_equal(device_new(&virtio_console_pci_class.class, &fx->f->m, 0, &fx->dev), 0);
	assert_int_equal(q35_host_class.ops->machine_done(fx->root), 0);
	assert_true(fake_driver_probe(&fx->d, fx->f, 3));
}

static void build(struct fixture *fx)
{
	build_with(fx, 1);
}

static void destroy(struct fixture *fx)
{
	(void)device_free(fx->dev);
	(void)device_free(fx->root);
	(void)chardev_free(fx->f->m.consoles[1]);
	(void)chardev_free(fx->f->m.channels[1]);
	(void)safe_close(fx->console_fd);
	(void)safe_close(fx->channel_fd);
	(void)fake_machine_free(fx->f);
}

static unsigned rx_of(unsigned port)
{
	return port ? 2 * port + 2 : 0;
}

/* Let the chardevs' delayed writes happen. */
static void settle(struct fixture *fx)
{
	fake_driver_turn(&fx->d);
	loop_fake_advance(fx->f->m.loop, NSEC_PER_MSEC);
	fake_driver_turn(&fx->d);
}

static void say(struct fixture *fx, uint32_t id, uint16_t event, uint16_t value)
{
	struct msg msg = {id, event, value};
	uint64_t at = fake_driver_alloc(&fx->d, sizeof(msg));
	struct fake_part part = {at, sizeof(msg), false};

	(void)guest_mem_write(fx->f->m.mem, GPA(at), &msg, sizeof(msg));
	(void)fake_driver_add(&fx->d, CTRL_TX, &part, 1);
	fake_driver_kick(&fx->d, CTRL_TX);
}

static uint64_t offer(struct fixture *fx, unsigned queue, uint32_t len)
{
	uint64_t at = fake_driver_alloc(&fx->d, len);
	struct fake_part part = {at, len, true};
	uint16_t head = fake_driver_add(&fx->d, queue, &part, 1);

	(void)head;
	return at;
}

/* The next control message; the buffers are at base + 64 * id since offer() was called in turn. */
static bool hear(struct fixture *fx, uint64_t base, struct msg *ret_msg, char *ret_rest)
{
	uint32_t id, len;
	uint8_t buf[64] = {0};

	if (!fake_driver_used(&fx->d, CTRL_RX, &id, &len))
		return false;
	assert_in_range(len, 8, 64);
	(void)guest_mem_read(fx->f->m.mem, GPA(base + 64 * id), buf, len);
	memcpy(ret_msg, buf, 8);
	memset(ret_rest, 0, 64);
	memcpy(ret_rest, buf + 8, len - 8);
	return true;
}

static uint64_t offer_control(struct fixture *fx, unsigned n)
{
	uint64_t base = 0;

	for (unsigned i = 0; i < n; i++) {
		uint64_t at = offer(fx, CTRL_RX, 64);

		base = base ?: at;
	}
	fake_driver_kick(&fx->d, CTRL_RX);
	return base;
}

static void expect(struct fixture *fx, uint64_t base, uint32_t id, uint16_t event, uint16_t value,
	const char *rest)
{
	struct msg msg;
	char text[65] = {0};

	assert_true(hear(fx, base, &msg, text));
	assert_int_equal(msg.id, id);
	assert_int_equal(msg.event, event);
	assert_int_equal(msg.value, value);
	if (rest)
		assert_string_equal(text, rest);
}

static void test_introduction(void **state)
{
	struct fixture fx;
	uint64_t base;

	(void)state;
	build(&fx);
	assert_int_equal(fx.d.n_queues, 8);
	fake_driver_start(&fx.d, UINT64_MAX);
	assert_int_equal(fake_config_read(&fx.d, 4, 4), 3);
	assert_int_equal(fake_config_read(&fx.d, 0, 4), 25 << 16 | 80);
	say(&fx, 0, READY, 1);
	/* Before there are buffers nothing can be said, and nothing is lost. */
	base = offer_control(&fx, 2);
	expect(&fx, base, 0, ADD, 1, "");
	expect(&fx, base, 1, ADD, 1, "");
	(void)offer_control(&fx, 20);
	expect(&fx, base, 2, ADD, 1, "");
	say(&fx, 0, PORT_READY, 1);
	expect(&fx, base, 0, CONSOLE, 1, "");
	expect(&fx, base, 0, RESIZE, 0, "P"); /* 80, 0, 25, 0 as text */
	expect(&fx, base, 0, OPEN, 1, "");
	say(&fx, 1, PORT_READY, 1);
	expect(&fx, base, 1, NAME, 1, "com.example.nobody");
	expect(&fx, base, 1, OPEN, 0, "");
	say(&fx, 2, PORT_READY, 1);
	expect(&fx, base, 2, NAME, 1, AGENT);
	expect(&fx, base, 2, OPEN, 1, "");
	/* The peer goes away: the guest is told. */
	fx.channel_fd = safe_close(fx.channel_fd);
	settle(&fx);
	expect(&fx, base, 2, OPEN, 0, "");
	/* Another size of the host's terminal. */
	chardev_resize(fx.f->m.consoles[1], 'A', 'B');
	chardev_resize(fx.f->m.channels[1], 1, 1); /* a channel has none */
	settle(&fx);
	expect(&fx, base, 0, RESIZE, 0, "A");
	/* The same again is no news. */
	chardev_resize(fx.f->m.consoles[1], 'A', 'B');
	settle(&fx);
	assert_false(fake_driver_used(&fx.d, CTRL_RX, &(uint32_t){0}, &(uint32_t){0}));
	assert_int_equal(fake_config_read(&fx.d, 0, 2), 'A');
	destroy(&fx);
}

static void transmit(struct fixture *fx, unsigned port, const char *data, uint32_t len)
{
	uint64_t at = fake_driver_alloc(&fx->d, len);
	struct fake_part parts[] = {{at, len / 2, false}, {at + len / 2, len - len / 2, false}};

	(void)guest_mem_write(fx->f->m.mem, GPA(at), data, len);
	(void)fake_driver_add(&fx->d, rx_of(port) + 1, parts, 2);
	fake_driver_kick(&fx->d, rx_of(port) + 1);
	settle(fx);
}

static void test_data(void **state)
{
	struct fixture fx;
	char buf[64] = {0};
	uint32_t id, len;
	uint64_t at;

	(void)state;
	build(&fx);
	fake_driver_start(&fx.d, UINT64_MAX);
	transmit(&fx, 0, "login: ", 7);
	assert_int_equal(read(fx.console_fd, buf, sizeof(buf)), 7);
	assert_memory_equal(buf, "login: ", 7);
	transmit(&fx, 2, "{\"x\":1}\n", 8);
	assert_int_equal(read(fx.channel_fd, buf, sizeof(buf)), 8);
	/* To a port without anything behind it: taken, and gone. */
	transmit(&fx, 1, "nobody", 6);
	assert_true(fake_driver_used(&fx.d, rx_of(1) + 1, &id, &len));

	/* Input waits until the port is open, then until there is a buffer. */
	assert_int_equal(write(fx.channel_fd, "hello, guest", 12), 12);
	settle(&fx);
	at = offer(&fx, rx_of(2), 5);
	fake_driver_kick(&fx.d, rx_of(2));
	assert_false(fake_driver_used(&fx.d, rx_of(2), &id, &len));
	say(&fx, 2, OPEN, 1);
	settle(&fx);
	assert_true(fake_driver_used(&fx.d, rx_of(2), &id, &len));
	assert_int_equal(len, 5);
	assert_memory_equal(guest_mem_ptr(fx.f->m.mem, GPA(at), 5), "hello", 5);
	assert_false(fake_driver_used(&fx.d, rx_of(2), &id, &len));
	at = offer(&fx, rx_of(2), 50);
	fake_driver_kick(&fx.d, rx_of(2));
	assert_true(fake_driver_used(&fx.d, rx_of(2), &id, &len));
	assert_int_equal(len, 7);
	assert_memory_equal(guest_mem_ptr(fx.f->m.mem, GPA(at), 7), ", guest", 7);
	/* A buffer that waits gets what comes. */
	(void)offer(&fx, rx_of(2), 50);
	fake_driver_kick(&fx.d, rx_of(2));
	assert_int_equal(write(fx.channel_fd, "!", 1), 1);
	settle(&fx);
	assert_true(fake_driver_used(&fx.d, rx_of(2), &id, &len));
	assert_int_equal(len, 1);
	/* What waits for a buffer when the guest closes the port is not for who opens it next. */
	(void)offer(&fx, rx_of(2), 3);
	fake_driver_kick(&fx.d, rx_of(2));
	assert_int_equal(write(fx.channel_fd, "old words", 9), 9);
	settle(&fx);
	assert_true(fake_driver_used(&fx.d, rx_of(2), &id, &len));
	say(&fx, 2, OPEN, 0);
	say(&fx, 2, OPEN, 1);
	at = offer(&fx, rx_of(2), 50);
	fake_driver_kick(&fx.d, rx_of(2));
	assert_false(fake_driver_used(&fx.d, rx_of(2), &id, &len));
	assert_int_equal(write(fx.channel_fd, "new", 3), 3);
	settle(&fx);
	assert_true(fake_driver_used(&fx.d, rx_of(2), &id, &len));
	assert_int_equal(len, 3);
	assert_memory_equal(guest_mem_ptr(fx.f->m.mem, GPA(at), 3), "new", 3);
	destroy(&fx);
}

/* A reader on the host that reads nothing holds the guest's port up, and no byte is lost. */
static void test_back_pressure(void **state)
{
	static char data[KIB(256)], got[KIB(512)];
	struct fixture fx;
	uint32_t id, len;
	size_t n_got = 0;
	unsigned n_sent = 0, n_used = 0;

	(void)state;
	build(&fx);
	fake_driver_start(&fx.d, UINT64_MAX);
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (char)(i * 7 + i / 251);
	while (n_sent < 2) {
		transmit(&fx, 2, data, sizeof(data));
		n_sent++;
	}
	while (fake_driver_used(&fx.d, rx_of(2) + 1, &id, &len))
		n_used++;
	assert_true(n_used < 2);
	for (unsigned turns = 0; n_got < 2 * sizeof(data) && turns < 10000; turns++) {
		ssize_t n = read(fx.channel_fd, got + n_got, sizeof(got) - n_got);

		if (n > 0)
			n_got += (size_t)n;
		settle(&fx);
	}
	assert_int_equal(n_got, 2 * sizeof(data));
	assert_memory_equal(got, data, sizeof(data));
	assert_memory_equal(got + sizeof(data), data, sizeof(data));
	while (fake_driver_used(&fx.d, rx_of(2) + 1, &id, &len))
		n_used++;
	assert_int_equal(n_used, 2);
	destroy(&fx);
}

/* A driver that knows one port only, and one that shouts before it has any queue. */
static void test_simple_driver(void **state)
{
	struct fixture fx;
	char buf[8] = {0};
	uint32_t id, len;

	(void)state;
	build(&fx);
	fake_config_write(&fx.d, 8, 4, 'E');
	fake_config_write(&fx.d, 8, 2, '!');
	fake_config_write(&fx.d, 8, 8, '?'); /* runs over the end: ignored */
	settle(&fx);
	assert_int_equal(read(fx.console_fd, buf, sizeof(buf)), 2);
	assert_memory_equal(buf, "E!", 2);
	fake_driver_start(&fx.d, ~F_MULTIPORT);
	(void)offer(&fx, 0, 16);
	fake_driver_kick(&fx.d, 0);
	assert_int_equal(write(fx.console_fd, "root\n", 5), 5);
	settle(&fx);
	assert_true(fake_driver_used(&fx.d, 0, &id, &len));
	assert_int_equal(len, 5);
	(void)fake_driver_interrupts(&fx.d, 0);
	chardev_resize(fx.f->m.consoles[1], 132, 43);
	assert_int_equal(fake_driver_interrupts(&fx.d, 0), 1);
	assert_int_equal(fake_config_read(&fx.d, 2, 2), 43);
	destroy(&fx);
	/* Without any console port 0 is empty. */
	build_with(&fx, 0);
	fake_driver_start(&fx.d, UINT64_MAX);
	fake_config_write(&fx.d, 8, 4, 'E');
	assert_int_equal(fake_config_read(&fx.d, 4, 4), 3);
	(void)offer_control(&fx, 4);
	say(&fx, 0, READY, 1);
	assert_int_equal(fake_ring_used_idx(&fx.d.rings[CTRL_RX]), 2);
	transmit(&fx, 0, "nobody", 6);
	assert_int_equal(fake_ring_used_idx(&fx.d.rings[1]), 0);
	destroy(&fx);
}

static void test_hostile(void **state)
{
	static const struct {
		unsigned queue;
		struct fake_part part;
		bool fails;
	} cases[] = {
		{CTRL_RX, {0x8000, 4, true}, true},   /* too small for any message */
		{CTRL_RX, {0x8000, 64, false}, true}, /* nothing writable */
		{CTRL_TX, {0x8000, 4, false}, false}, /* half a message: says nothing */
		{CTRL_TX, {0x8000, 64, true}, false}, /* nothing readable: nor does this */
		{CTRL_TX, {MIB(4), 8, false}, true},  /* no RAM */
		{0, {0x8000, 64, false}, true},       /* input into a readable buffer */
		{0, {LAYOUT_PCI32_BASE, 64, true}, true},
		{1, {0x8000, 64, true}, false}, /* output from a writable one: empty */
		{1, {0x8000, UINT32_MAX, false}, true},
		{6, {0x8000, 0, true}, true},
	};
	struct fixture fx;

	(void)state;
	build(&fx);
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		fake_driver_start(&fx.d, UINT64_MAX);
		say(&fx, 0, OPEN, 1);
		say(&fx, 2, OPEN, 1);
		say(&fx, 0, READY, 1);
		assert_int_equal(write(fx.console_fd, "x", 1), 1);
		assert_int_equal(write(fx.channel_fd, "x", 1), 1);
		(void)fake_driver_add(&fx.d, cases[i].queue, &cases[i].part, 1);
		fake_driver_kick(&fx.d, cases[i].queue);
		settle(&fx);
		if ((fake_driver_status(&fx.d) == 0x4f) != cases[i].fails)
			fail_msg("case %u: status %#x", i, fake_driver_status(&fx.d));
	}
	/* Events and ports that do not exist. */
	fake_driver_start(&fx.d, UINT64_MAX);
	for (unsigned event = 0; event < 12; event++)
		for (unsigned id = 0; id < 5; id++)
			say(&fx, id == 4 ? UINT32_MAX : id * 13, (uint16_t)event, 0xffff);
	/* The same wish 10000 times is one answer. */
	for (unsigned i = 0; i < 10000; i++) {
		if (i % 64 == 0)
			fx.d.heap = FAKE_DRIVER_HEAP + KIB(256);
		say(&fx, 2, PORT_READY, 1);
	}
	(void)offer_control(&fx, 30);
	assert_in_range(fake_ring_used_idx(&fx.d.rings[CTRL_RX]), 2, 12);
	assert_int_equal(fake_driver_status(&fx.d), 0xf);
	destroy(&fx);
}

static void test_save_load(void **state)
{
	static char data[KIB(128)];
	struct fixture a, b;
	uint32_t id, len;
	size_t n_got = 0;
	char got[4096];
	uint64_t at;

	(void)state;
	build(&a);
	build(&b);
	fake_driver_start(&a.d, UINT64_MAX);
	say(&a, 2, PORT_READY, 1);
	say(&a, 2, OPEN, 1);
	/* Input of which half has no buffer yet, and output that stalls half-way. */
	(void)offer(&a, rx_of(2), 5);
	fake_driver_kick(&a.d, rx_of(2));
	assert_int_equal(write(a.channel_fd, "hello, guest", 12), 12);
	settle(&a);
	assert_true(fake_driver_used(&a.d, rx_of(2), &id, &len));
	memset(data, 'd', sizeof(data));
	for (unsigned i = 0; i < 4; i++)
		transmit(&a, 2, data, sizeof(data));
	assert_true(a.dev->class->ops->quiesce(a.dev));
	memcpy(b.f->m.mem->regions[0].host, a.f->m.mem->regions[0].host, MIB(4));
	assert_int_equal(fake_save_load(a.dev, b.dev), 0);
	b.d = a.d;
	b.d.f = b.f;
	for (unsigned i = 0; i < b.d.n_queues; i++)
		b.d.rings[i].mem = b.f->m.mem;
	b.dev->class->ops->resume(b.dev);
	at = offer(&b, rx_of(2), 50);
	fake_driver_kick(&b.d, rx_of(2));
	settle(&b);
	assert_true(fake_driver_used(&b.d, rx_of(2), &id, &len));
	assert_int_equal(len, 7);
	assert_memory_equal(guest_mem_ptr(b.f->m.mem, GPA(at), 7), ", guest", 7);
	for (unsigned i = 0; i < 5000; i++) {
		ssize_t n = read(b.channel_fd, got, sizeof(got));

		n_got += n > 0 ? (size_t)n : 0;
		settle(&b);
	}
	/* Together with what the first machine's chardev had taken, it is all there. */
	while (fake_driver_used(&b.d, rx_of(2) + 1, &id, &len))
		;
	assert_int_equal(fake_ring_used_idx(&b.d.rings[rx_of(2) + 1]), 4);
	assert_in_range(n_got, 1, 4 * sizeof(data));
	/* The name and who is connected are told again: never lost by the move. */
	(void)offer_control(&b, 4);
	assert_int_equal(fake_ring_used_idx(&b.d.rings[CTRL_RX]), 2);
	destroy(&a);
	destroy(&b);
}

/* Each byte of a good state changed: refused, or loaded without harm. */
static void test_load_corrupt(void **state)
{
	struct fixture a, b;
	struct state_writer w;
	struct state_reader good;
	size_t offset = 0;

	(void)state;
	build(&a);
	build(&b);
	fake_driver_start(&a.d, UINT64_MAX);
	say(&a, 2, PORT_READY, 1);
	assert_true(a.dev->class->ops->quiesce(a.dev));
	state_writer_init(&w);
	assert_int_equal(device_save(a.dev, &w), 0);
	assert_int_equal(state_next(w.data, w.len, &offset, &good), 1);
	for (size_t i = 0; i < good.len; i++)
		for (unsigned bit = 0; bit < 8; bit++) {
			uint8_t *p = w.data + (good.data - w.data) + i;
			struct state_reader r = good;

			*p ^= (uint8_t)(1U << bit);
			if (device_load(b.dev, &r) >= 0) {
				b.dev->class->ops->resume(b.dev);
				settle(&b);
				assert_true(b.dev->class->ops->quiesce(b.dev));
			}
			*p ^= (uint8_t)(1U << bit);
		}
	state_writer_done(&w);
	destroy(&a);
	destroy(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_introduction),
		cmocka_unit_test(test_data),
		cmocka_unit_test(test_back_pressure),
		cmocka_unit_test(test_simple_driver),
		cmocka_unit_test(test_hostile),
		cmocka_unit_test(test_save_load),
		cmocka_unit_test(test_load_corrupt),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
