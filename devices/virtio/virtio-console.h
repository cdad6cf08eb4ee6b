/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * virtio-console (virtio 1.2, 5.3) with several ports: the vm's virtio consoles first, from port 0
 * on, then its channels, which are found by name. Without a console, port 0 stays empty, as drivers
 * take it for one.
 *
 * Data go between a port's two queues and its chardev (machine->consoles[], machine->channels[])
 * with back-pressure in both directions: a chain of which the chardev took only a part stays in the
 * ring, and the chardev is only read while the port is open in the guest and has a buffer.
 *
 * What the device has to say on the control queue is a set of bits per port, not a queue of
 * messages: a driver that gives no buffers, or asks for the same again and again, costs no memory.
 */
#pragma once

#include "devices/virtio/virtio-pci.h"

/* The size that a console has until the host knows better. */
#define VIRTIO_CONSOLE_COLS 80
#define VIRTIO_CONSOLE_ROWS 25
