/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A nic for tests: see fake-nic.h. */
#include "tests/fakes/fake-nic.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vmm-core/base/fdio.h"

int nic_new(struct loop *loop, const struct net_port_config *config, uint64_t poll_ns,
	struct port *port, void (*space)(struct port *port), struct nic **ret_nic)
{
	struct nic *nic = calloc(1, sizeof(*nic));

	if (!nic)
		return -ENOMEM;
	nic->loop = loop;
	nic->poll_ns = poll_ns;
	nic->config = *config;
	nic->port = port;
	nic->space = space;
	*ret_nic = nic;
	return 0;
}

struct nic *nic_free(struct nic *nic)
{
	if (nic)
		fake_nic_clear(nic);
	free(nic);
	return NULL;
}

void fake_nic_clear(struct nic *nic)
{
	for (unsigned i = 0; i < MIN(nic->n_sent, (unsigned)FAKE_NIC_MAX_SENT); i++)
		free(nic->sent[i].data);
	nic->n_sent = 0;
}

static void keep(struct fake_sent *sent, const struct frame *frame, bool last)
{
	struct iovec iov[FRAME_MAX_IOV];
	uint8_t scratch[4];
	size_t at = 0;
	unsigned n;

	sent->last = last;
	sent->tci = frame->tagged ? frame->tci : -1;
	n = frame_iov(frame, sent->tci, scratch, iov, &sent->hdr, &sent->len);
	sent->data = malloc(sent->len);
	if (!sent->data)
		abort();
	for (unsigned i = 0; i < n; i++) {
		if (!range_fits(at, iov[i].iov_len, sent->len))
			abort();
		memcpy(sent->data + at, iov[i].iov_base, iov[i].iov_len);
		at += iov[i].iov_len;
	}
	if (at != sent->len)
		abort();
}

int nic_send(struct nic *nic, struct frame *frame, bool last)
{
	nic->n_sends++;
	if (nic->refuse && (!last || nic->refuse_last)) {
		nic->refuse--;
		return -EAGAIN;
	}
	if (nic->n_sent < FAKE_NIC_MAX_SENT)
		keep(&nic->sent[nic->n_sent], frame, last);
	nic->n_sent++;
	return 0;
}

void nic_flush(struct nic *nic)
{
	nic->n_flushes++;
}

void nic_ready(struct nic *nic)
{
	nic->n_ready++;
}

void nic_set_offloads(struct nic *nic, uint32_t guest_takes)
{
	nic->takes = guest_takes;
}

int nic_reconfigure(struct nic *nic, const struct net_port_config *config)
{
	if (nic->reconfigure_error < 0)
		return nic->reconfigure_error;
	nic->config = *config;
	return 0;
}

const struct net_port_config *nic_config(const struct nic *nic)
{
	return &nic->config;
}

void nic_announce(struct nic *nic)
{
	nic->n_announced++;
}

int nic_set_tap(struct nic *nic, int fd)
{
	nic->tap_fd = fd;
	(void)safe_close(fd);
	return 0;
}

int nic_link_add(struct nic *nic, const struct nic_link *link)
{
	nic->link = *link;
	nic->n_links++;
	(void)safe_close(link->own_ring);
	(void)safe_close(link->peer_ring);
	(void)safe_close(link->own_bell);
	(void)safe_close(link->peer_bell);
	return 0;
}

int nic_link_use(struct nic *nic, uint32_t id, bool on)
{
	nic->used_id = id;
	nic->used_on = on;
	return id == nic->link.id ? 0 : -ENOENT;
}

int nic_link_remove(struct nic *nic, uint32_t id)
{
	nic->removed_id = id;
	return id == nic->link.id ? 0 : -ENOENT;
}

unsigned nic_links(const struct nic *nic, struct nic_link_state ret[NIC_MAX_LINKS])
{
	ret[0] = (struct nic_link_state){.id = nic->link.id,
		.peer_port = nic->link.peer_port,
		.in_use = nic->used_on,
		.frames = 77};
	return 1;
}

int nic_capture(struct nic *nic, uint32_t direction, uint32_t snaplen, int fd, int counts_fd)
{
	nic->capture_direction = direction;
	nic->capture_snaplen = snaplen;
	(void)safe_close(fd);
	(void)safe_close(counts_fd);
	return 0;
}

int fake_nic_give(
	struct nic *nic, const struct net_hdr *hdr, const void *data, uint32_t len, int32_t tci)
{
	struct iovec iov = {(void *)(uintptr_t)data, len};
	struct frame frame;

	if (frame_init(&frame, hdr, &iov, 1, len, FRAME_MAX, tci) != NET_DROP_NONE)
		return -EINVAL;
	return nic->port->ops->transmit(nic->port, &frame, frame.tagged ? frame.tci : -1);
}
