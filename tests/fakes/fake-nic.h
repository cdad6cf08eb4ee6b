/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A nic (devices/net/nic.h) without a switch and without links, for tests of the device: it keeps what it is sent,
 * and gives the device what the test says. Links are only noted, their fds closed.
 *
 * A program has either this or the real one: link it by its source.
 */
#pragma once

#include "devices/net/nic.h"

#define FAKE_NIC_MAX_SENT 1024 /* more is not kept, but counted */

struct fake_sent {
	struct net_hdr hdr;
	uint32_t len;
	uint8_t *data; /* with its outer tag */
	int32_t tci;
	bool last;
};

struct nic {
	struct loop *loop;
	struct port *port;
	void (*space)(struct port *port);
	struct net_port_config config;
	uint32_t takes;
	uint64_t poll_ns;

	struct fake_sent sent[FAKE_NIC_MAX_SENT];
	unsigned n_sent;
	unsigned n_flushes, n_ready, n_announced;
	unsigned n_sends; /* refused ones too */
	unsigned refuse;  /* so many sends are answered -EAGAIN */
	bool refuse_last; /* even if it is the last time, as when a rate is limited */
	int reconfigure_error;

	struct nic_link link; /* the last one added */
	unsigned n_links;
	uint32_t used_id, removed_id;
	bool used_on;
	int tap_fd; /* the last one set; closed. 0: none */
	uint32_t capture_direction, capture_snaplen;
};

/* Forget what was sent. */
void fake_nic_clear(struct nic *nic);
/* Give the device one frame of data[len] with tag 'tci' (-1: none). Answers what its transmit() did; flush() is left to
 * the test. */
int fake_nic_give(
	struct nic *nic, const struct net_hdr *hdr, const void *data, uint32_t len, int32_t tci);
