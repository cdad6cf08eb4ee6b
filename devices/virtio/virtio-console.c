/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Virtio consoles and channels: see virtio-console.h. */
#include "devices/virtio/virtio-console.h"

#include <endian.h>
#include <errno.h>
#include <string.h>

#include "vmm-core/base/strutil.h"
#include "vmm-core/chardev.h"

#define F_SIZE        0
#define F_MULTIPORT   1
#define F_EMERG_WRITE 2

/* Configuration window: struct virtio_console_config. */
#define CONFIG_COLS     0
#define CONFIG_ROWS     2
#define CONFIG_N_PORTS  4
#define CONFIG_EMERG_WR 8
#define CONFIG_LEN      12

#define MAX_PORTS (1 + VM_MAX_CONSOLES + VM_MAX_CHANNELS)

#define QUEUE_CONTROL_RX 2
#define QUEUE_CONTROL_TX 3
static_assert(2 * MAX_PORTS + 2 <= VIRTIO_MAX_QUEUES, "a pair of queues a port, and control");

#define RX_BUF_SIZE   1024    /* input that was read and has no buffer of the guest yet */
#define TX_KICK_BYTES KIB(64) /* output in one turn of the loop, per port */

/* struct virtio_console_control and its events (5.3.6.2). */
struct control_msg {
	uint32_t id;
	uint16_t event;
	uint16_t value;
};
static_assert(sizeof(struct control_msg) == 8, "virtio 1.2, 5.3.6.2");

struct resize_msg {
	struct control_msg head;
	uint16_t cols, rows;
};
static_assert(sizeof(struct resize_msg) == 12, "virtio 1.2, 5.3.6.2");

enum {
	EVENT_DEVICE_READY = 0,
	EVENT_DEVICE_ADD = 1,
	EVENT_PORT_READY = 3,
	EVENT_CONSOLE_PORT = 4,
	EVENT_RESIZE = 5,
	EVENT_PORT_OPEN = 6,
	EVENT_PORT_NAME = 7,
};

/* What is still to be said about a port, in this order. */
static const uint8_t say_order[] = {
	EVENT_DEVICE_ADD, EVENT_CONSOLE_PORT, EVENT_RESIZE, EVENT_PORT_NAME, EVENT_PORT_OPEN};
#define SAY(event) (UINT8_C(1) << (event))
#define SAY_ALL                                                                                    \
	(SAY(EVENT_DEVICE_ADD) | SAY(EVENT_CONSOLE_PORT) | SAY(EVENT_RESIZE) |                     \
		SAY(EVENT_PORT_NAME) | SAY(EVENT_PORT_OPEN))

struct port {
	struct virtio_console *console;
	struct chardev *chardev; /* NULL: nothing behind it */
	const char *name;        /* of a channel; NULL: a console */
	bool present;
	uint16_t cols, rows;

	bool ready; /* the driver knows the port */
	bool open;  /* somebody in the guest has it open */
	uint8_t say;
	uint32_t tx_done; /* bytes of the first available chain that the chardev took already */
	uint16_t rx_len;
	uint8_t rx_buf[RX_BUF_SIZE];
};

struct virtio_console {
	struct virtio_device v;
	unsigned n_ports;
	struct port ports[MAX_PORTS];
};

static struct virtio_console *console_of(struct virtio_device *v)
{
	return container_of(v, struct virtio_console, v);
}

static unsigned port_number(const struct port *port)
{
	return (unsigned)(port - port->console->ports);
}

/* Port 0 has queues 0 and 1, port n queues 2n + 2 and 2n + 3 (5.3.2). */
static unsigned rx_queue(const struct port *port)
{
	unsigned n = port_number(port);

	return n ? 2 * n + 2 : 0;
}

static unsigned tx_queue(const struct port *port)
{
	return rx_queue(port) + 1;
}

static struct port *port_of_queue(struct virtio_console *con, unsigned index)
{
	unsigned n = index < 2 ? 0 : index / 2 - 1;

	return n < con->n_ports && con->ports[n].present ? &con->ports[n] : NULL;
}

/* To the guest. */

/* Move buffered input into the guest's buffers. */
static void push_input(struct port *port)
{
	struct virtio_device *v = &port->console->v;
	unsigned index = rx_queue(port), done = 0;
	struct virtq_chain c;

	while (port->open && done < port->rx_len && virtio_pop(v, index, &c)) {
		size_t n;

		if (!c.writable_len || c.n_readable) {
			virtio_fail(v, "port %u: a buffer that is not device-writable",
				port_number(port));
			break;
		}
		n = virtq_chain_write(&c, 0, port->rx_buf + done, port->rx_len - done);
		virtio_push(v, index, c.head, (uint32_t)n);
		done += (unsigned)n;
	}
	if (!done)
		return;
	memmove(port->rx_buf, port->rx_buf + done, port->rx_len - done);
	port->rx_len -= (uint16_t)done;
	virtio_flush(v, index);
}

static size_t port_can_read(void *opaque)
{
	struct port *port = opaque;
	struct virtio_device *v = &port->console->v;

	if (!virtio_is_running(v) || !port->open || port->rx_len)
		return 0;
	/* False also asks the driver to kick when it adds a buffer. */
	return virtq_has_work(&v->queues[rx_queue(port)]) ? RX_BUF_SIZE : 0;
}

static void port_read(void *opaque, const uint8_t *data, size_t len)
{
	struct port *port = opaque;

	len = MIN(len, (size_t)RX_BUF_SIZE - port->rx_len);
	memcpy(port->rx_buf + port->rx_len, data, len);
	port->rx_len += (uint16_t)len;
	push_input(port);
}

static void rx_kicked(struct port *port)
{
	push_input(port);
	if (port->chardev && port_can_read(port))
		chardev_kick_input(port->chardev);
}

/* From the guest. */

/* Bytes of the chain from tx_done on, at most 'max'. Answers how many the other side took. */
static size_t write_out(struct port *port, const struct virtq_chain *c, size_t max)
{
	size_t skip = port->tx_done, done = 0;

	if (!port->chardev)
		return MIN(max, (size_t)c->readable_len - port->tx_done);
	for (unsigned i = 0; i < c->n_readable && done < max; i++) {
		const struct iovec *iov = &c->iov[i];
		size_t len, n;

		if (skip >= iov->iov_len) {
			skip -= iov->iov_len;
			continue;
		}
		len = MIN(iov->iov_len - skip, max - done);
		n = chardev_write(port->chardev, (const uint8_t *)iov->iov_base + skip, len);
		done += n;
		if (n < len)
			break;
		skip = 0;
	}
	return done;
}

static void tx_kicked(struct port *port)
{
	struct virtio_device *v = &port->console->v;
	size_t budget = TX_KICK_BYTES;
	unsigned index = tx_queue(port), chains = v->queues[index].latched_size;
	struct virtq_chain c;

	while (virtio_pop(v, index, &c)) {
		bool whole;

		port->tx_done = MIN(port->tx_done, c.readable_len);
		if (budget && chains) {
			size_t n = write_out(port, &c, budget);

			port->tx_done += (uint32_t)n;
			budget -= n;
		}
		whole = port->tx_done == c.readable_len;
		if (!whole || !chains) {
			/* The rest when there is room again, or on the next turn. */
			virtio_unpop(v, index);
			if (!budget || !chains)
				virtio_kick_later(v, index);
			break;
		}
		virtio_push(v, index, c.head, 0);
		port->tx_done = 0;
		chains--;
	}
	virtio_flush(v, index);
}

static void port_writable(void *opaque)
{
	struct port *port = opaque;

	/* From the loop's turn, whoever found the room. */
	virtio_kick_later(&port->console->v, tx_queue(port));
}

/* Control messages. */

static size_t compose(const struct port *port, unsigned event, uint8_t *buf, size_t size)
{
	struct resize_msg msg = {
		.head = {.id = htole32(port_number(port)), .event = htole16((uint16_t)event)},
		.cols = htole16(port->cols),
		.rows = htole16(port->rows),
	};
	size_t len = event == EVENT_RESIZE ? sizeof(msg) : sizeof(msg.head);
	bool open = !port->name || (port->chardev && chardev_is_connected(port->chardev));

	msg.head.value = htole16(event == EVENT_PORT_OPEN ? open : event != EVENT_RESIZE);
	memcpy(buf, &msg, len);
	if (event == EVENT_PORT_NAME) {
		size_t name_len = MIN(strlen(port->name), size - len);

		memcpy(buf + len, port->name, name_len);
		len += name_len;
	}
	return len;
}

/* Say one thing. False: no buffer for it now. */
static bool say(struct port *port, unsigned event)
{
	struct virtio_device *v = &port->console->v;
	uint8_t buf[sizeof(struct control_msg) + VM_PORT_NAME_MAX];
	size_t len = compose(port, event, buf, sizeof(buf));
	struct virtq_chain c;

	if (!virtio_pop(v, QUEUE_CONTROL_RX, &c))
		return false;
	if (c.writable_len < len) {
		virtio_fail(v, "a control buffer of %u bytes for a message of %zu", c.writable_len,
			len);
		return false;
	}
	(void)virtq_chain_write(&c, 0, buf, len);
	virtio_push(v, QUEUE_CONTROL_RX, c.head, (uint32_t)len);
	port->say &= (uint8_t)~SAY(event);
	return true;
}

static void say_all(struct virtio_console *con)
{
	bool room = virtio_has_feature(&con->v, F_MULTIPORT);

	for (unsigned i = 0; room && i < con->n_ports; i++)
		for (unsigned e = 0; room && e < ARRAY_SIZE(say_order); e++)
			if (con->ports[i].say & SAY(say_order[e]))
				room = say(&con->ports[i], say_order[e]);
	virtio_flush(&con->v, QUEUE_CONTROL_RX);
}

static void port_is_ready(struct port *port)
{
	port->ready = true;
	port->say |= port->name ? SAY(EVENT_PORT_NAME) : SAY(EVENT_CONSOLE_PORT);
	if (!port->name && virtio_has_feature(&port->console->v, F_SIZE))
		port->say |= SAY(EVENT_RESIZE);
	port->say |= SAY(EVENT_PORT_OPEN);
}

static void open_port(struct port *port, bool open)
{
	port->open = open;
	if (!open)
		port->rx_len = 0;
	else if (port->chardev && port_can_read(port))
		chardev_kick_input(port->chardev);
}

static void handle_control(struct virtio_console *con, const struct control_msg *msg)
{
	uint32_t id = le32toh(msg->id);
	bool value = le16toh(msg->value);
	struct port *port = id < con->n_ports && con->ports[id].present ? &con->ports[id] : NULL;

	switch (le16toh(msg->event)) {
	case EVENT_DEVICE_READY:
		for (unsigned i = 0; value && i < con->n_ports; i++)
			if (con->ports[i].present)
				con->ports[i].say |= SAY(EVENT_DEVICE_ADD);
		break;
	case EVENT_PORT_READY:
		if (port && value)
			port_is_ready(port);
		break;
	case EVENT_PORT_OPEN:
		if (port)
			open_port(port, value);
		break;
	}
}

static void control_kicked(struct virtio_console *con)
{
	struct virtio_device *v = &con->v;
	unsigned left = v->queues[QUEUE_CONTROL_TX].latched_size;
	struct virtq_chain c;

	while (left && virtio_pop(v, QUEUE_CONTROL_TX, &c)) {
		struct control_msg msg;

		/* A short message says nothing. */
		if (virtq_chain_read(&c, 0, &msg, sizeof(msg)) == sizeof(msg))
			handle_control(con, &msg);
		virtio_push(v, QUEUE_CONTROL_TX, c.head, 0);
		left--;
	}
	virtio_flush(v, QUEUE_CONTROL_TX);
	if (!left)
		virtio_kick_later(v, QUEUE_CONTROL_TX);
	say_all(con);
}

static void port_connected(void *opaque, bool on)
{
	struct port *port = opaque;

	(void)on;
	/* A console is always open; of a channel the guest learns who is there. */
	if (!port->name || !port->ready)
		return;
	port->say |= SAY(EVENT_PORT_OPEN);
	virtio_kick_later(&port->console->v, QUEUE_CONTROL_RX);
}

static void console_queue_notify(struct virtio_device *v, unsigned index)
{
	struct virtio_console *con = console_of(v);
	struct port *port;

	if (index == QUEUE_CONTROL_RX) {
		say_all(con);
		return;
	}
	if (index == QUEUE_CONTROL_TX) {
		control_kicked(con);
		return;
	}
	port = port_of_queue(con, index);
	if (port && index == tx_queue(port))
		tx_kicked(port);
	else if (port)
		rx_kicked(port);
}

/* Configuration. */

static void put_size(struct virtio_console *con)
{
	pci_put16(con->v.config + CONFIG_COLS, con->ports[0].cols);
	pci_put16(con->v.config + CONFIG_ROWS, con->ports[0].rows);
}

static void console_config_write(
	struct virtio_device *v, unsigned offset, unsigned size, uint64_t value)
{
	struct port *port = &console_of(v)->ports[0];
	uint8_t byte = (uint8_t)value;

	/* 5.3.4: the one field that may be used before DRIVER_OK, and without any feature. */
	if (offset != CONFIG_EMERG_WR || size > 4 || !port->present || port->name)
		return;
	if (port->chardev)
		(void)chardev_write(port->chardev, &byte, 1);
}

/* A channel has no size. */
static void port_resized(void *opaque, uint16_t cols, uint16_t rows)
{
	struct port *port = opaque;
	struct virtio_console *con = port->console;

	if (port->name || (port->cols == cols && port->rows == rows))
		return;
	port->cols = cols;
	port->rows = rows;
	if (port_number(port) == 0) {
		put_size(con);
		/* With several ports the size comes by message (5.3.4). */
		if (!virtio_has_feature(&con->v, F_MULTIPORT))
			virtio_config_changed(&con->v);
	}
	if (port->ready && virtio_has_feature(&con->v, F_SIZE)) {
		port->say |= SAY(EVENT_RESIZE);
		virtio_kick_later(&con->v, QUEUE_CONTROL_RX);
	}
}

/* Life. */

static const struct chardev_ops port_chardev_ops = {
	.can_read = port_can_read,
	.read = port_read,
	.writable = port_writable,
	.connected = port_connected,
	.resized = port_resized,
};

static void add_port(
	struct virtio_console *con, unsigned number, struct chardev *chardev, const char *name)
{
	struct port *port = &con->ports[number];

	*port = (struct port){
		.console = con,
		.chardev = chardev,
		.name = name,
		.present = true,
		.cols = VIRTIO_CONSOLE_COLS,
		.rows = VIRTIO_CONSOLE_ROWS,
	};
	con->n_ports = number + 1;
	if (chardev)
		chardev_bind(chardev, &port_chardev_ops, port);
}

static int console_realize(struct virtio_device *v)
{
	struct virtio_console *con = console_of(v);
	struct machine *m = v->machine;
	unsigned n = 0;

	for (unsigned i = 0; i < m->config->n_consoles; i++)
		if (m->config->consoles[i].target == VM_CONSOLE_TARGET_VIRTIO)
			add_port(con, n++, m->consoles[i], NULL);
	n = MAX(n, 1U);
	for (unsigned i = 0; i < m->config->n_channels; i++)
		add_port(con, n++, m->channels[i], m->config->channels[i].name);
	con->n_ports = n;
	v->n_queues = 2 * n + 2;
	v->host_features = VIRTIO_BIT(F_MULTIPORT) | VIRTIO_BIT(F_EMERG_WRITE);
	if (con->ports[0].present)
		v->host_features |= VIRTIO_BIT(F_SIZE);
	v->config_len = CONFIG_LEN;
	put_size(con);
	pci_put32(v->config + CONFIG_N_PORTS, n);
	return 0;
}

static void console_unrealize(struct virtio_device *v)
{
	struct virtio_console *con = console_of(v);

	for (unsigned i = 0; i < con->n_ports; i++)
		if (con->ports[i].chardev)
			chardev_bind(con->ports[i].chardev, NULL, NULL);
}

static void console_reset(struct virtio_device *v)
{
	struct virtio_console *con = console_of(v);

	for (unsigned i = 0; i < con->n_ports; i++) {
		con->ports[i].ready = con->ports[i].open = false;
		con->ports[i].say = 0;
		con->ports[i].tx_done = 0;
		con->ports[i].rx_len = 0;
	}
}

static int console_activate(struct virtio_device *v)
{
	/* Without F_MULTIPORT there is port 0 only, and it is open. */
	if (!virtio_has_feature(v, F_MULTIPORT))
		console_of(v)->ports[0].open = console_of(v)->ports[0].present;
	return 0;
}

static void console_resume(struct virtio_device *v)
{
	struct virtio_console *con = console_of(v);

	for (unsigned i = 0; i < con->n_ports; i++)
		if (con->ports[i].chardev)
			chardev_kick_input(con->ports[i].chardev);
}

static void console_save(const struct virtio_device *v, struct state_writer *w)
{
	const struct virtio_console *con = (const struct virtio_console *)(const void *)v;

	state_put_u32(w, con->n_ports);
	for (unsigned i = 0; i < con->n_ports; i++) {
		const struct port *port = &con->ports[i];

		state_put_u16(w, port->cols);
		state_put_u16(w, port->rows);
		state_put_u8(w, port->ready);
		state_put_u8(w, port->open);
		state_put_u8(w, port->say);
		state_put_u32(w, port->tx_done);
		state_put_u16(w, port->rx_len);
		state_put_bytes(w, port->rx_buf, port->rx_len);
	}
}

static int load_port(struct port *port, struct state_reader *r)
{
	uint8_t ready, open;

	port->cols = state_get_u16(r);
	port->rows = state_get_u16(r);
	ready = state_get_u8(r);
	open = state_get_u8(r);
	port->say = state_get_u8(r);
	port->tx_done = state_get_u32(r);
	port->rx_len = state_get_u16(r);
	if (r->bad || port->rx_len > RX_BUF_SIZE || ready > port->present || open > port->present ||
		port->say & (uint8_t)~SAY_ALL || (port->say && !port->present) ||
		(!port->name && port->say & SAY(EVENT_PORT_NAME)) ||
		port->tx_done > VIRTQ_MAX_CHAIN_BYTES)
		return -EBADMSG;
	port->ready = ready;
	port->open = open;
	state_get_bytes(r, port->rx_buf, port->rx_len);
	/* Who is connected on this side may differ. */
	if (port->ready && port->name)
		port->say |= SAY(EVENT_PORT_OPEN);
	return 0;
}

static int console_load(struct virtio_device *v, struct state_reader *r)
{
	struct virtio_console *con = console_of(v);
	struct port ports[MAX_PORTS];

	if (state_get_u32(r) != con->n_ports)
		return -EBADMSG;
	memcpy(ports, con->ports, sizeof(ports));
	for (unsigned i = 0; i < con->n_ports; i++)
		if (load_port(&ports[i], r) < 0)
			return -EBADMSG;
	if (state_reader_end(r) < 0)
		return -EBADMSG;
	memcpy(con->ports, ports, sizeof(ports));
	put_size(con);
	return 0;
}

static const struct virtio_ops virtio_console_ops = {
	.name = "virtio-console",
	.device_id = 3,
	.size = sizeof(struct virtio_console),
	.realize = console_realize,
	.unrealize = console_unrealize,
	.config_write = console_config_write,
	.activate = console_activate,
	.reset = console_reset,
	.queue_notify = console_queue_notify,
	.resume = console_resume,
	.save = console_save,
	.load = console_load,
};

static struct vm_pci_addr console_pci_addr(const struct vm_config *config, unsigned instance)
{
	(void)instance;
	return config->serial_controller_pci;
}

const struct virtio_pci_class virtio_console_pci_class = VIRTIO_PCI_CLASS(
	"virtio-console-pci", 1, &virtio_console_ops, PCI_CLASS_COMM_OTHER, console_pci_addr);
