/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The control queue of virtio-net (virtio 1.2, 5.1.6.5), and the receive filter that it sets: see virtio-net.h.
 *
 * A command is a class, a number and data to read, and an answer of one byte to write. Without room for the answer the
 * device fails, since there is nowhere to say so; everything else that is wrong is answered by ERR and changes nothing.
 */
#include "devices/virtio/virtio-net.h"

#include <endian.h>
#include <errno.h>
#include <string.h>

#define CTRL_OK  0
#define CTRL_ERR 1

#define CTRL_HDR_LEN 2 /* class, command */

enum { CLASS_RX, CLASS_MAC, CLASS_VLAN, CLASS_ANNOUNCE, CLASS_MQ, CLASS_GUEST_OFFLOADS };
enum { VLAN_ADD, VLAN_DEL };

/* The filter. */

static bool table_has(const struct net_mac_table *table, const uint8_t mac[NET_MAC_LEN])
{
	for (unsigned i = 0; i < table->n; i++)
		if (memcmp(table->macs[i], mac, NET_MAC_LEN) == 0)
			return true;
	return false;
}

static bool wants_address(const struct virtio_net *net, const struct frame *frame)
{
	const struct net_filter *f = &net->filter;

	if (frame->flags & FRAME_BROADCAST)
		return !(f->mode & NET_RX_NOBCAST);
	if (frame->flags & FRAME_MULTICAST)
		return !(f->mode & NET_RX_NOMULTI) &&
			(f->mode & (NET_RX_ALLMULTI | NET_RX_MANY_MULTI) ||
				table_has(&f->multi, frame_dst(frame)));
	return !(f->mode & NET_RX_NOUNI) &&
		(f->mode & (NET_RX_ALLUNI | NET_RX_MANY_UNI) ||
			memcmp(net->mac, frame_dst(frame), NET_MAC_LEN) == 0 ||
			table_has(&f->uni, frame_dst(frame)));
}

bool virtio_net_wants(const struct virtio_net *net, const struct frame *frame, int32_t tci)
{
	unsigned vid = tci < 0 ? 0 : (unsigned)tci & 0xfff;

	if (net->filter.mode & NET_RX_PROMISC)
		return true;
	/* A tag without a VLAN only carries a priority. */
	if (vid && virtio_has_feature(&net->v, NET_F_CTRL_VLAN) &&
		!(net->filter.vlans[vid / 8] >> vid % 8 & 1))
		return false;
	return !virtio_has_feature(&net->v, NET_F_CTRL_RX) || wants_address(net, frame);
}

static void save_table(const struct net_mac_table *table, struct state_writer *w)
{
	state_put_u16(w, table->n);
	state_put_bytes(w, table->macs, (size_t)table->n * NET_MAC_LEN);
}

static bool load_table(struct net_mac_table *table, struct state_reader *r)
{
	table->n = state_get_u16(r);
	if (table->n > NET_MAX_FILTER_MACS)
		return false;
	state_get_bytes(r, table->macs, (size_t)table->n * NET_MAC_LEN);
	return true;
}

void virtio_net_save_filter(const struct net_filter *filter, struct state_writer *w)
{
	state_put_u8(w, filter->mode);
	save_table(&filter->uni, w);
	save_table(&filter->multi, w);
	state_put_bytes(w, filter->vlans, sizeof(filter->vlans));
}

int virtio_net_load_filter(struct net_filter *ret_filter, struct state_reader *r)
{
	struct net_filter filter = {.mode = state_get_u8(r)};

	if (!load_table(&filter.uni, r) || !load_table(&filter.multi, r))
		return -EBADMSG;
	state_get_bytes(r, filter.vlans, sizeof(filter.vlans));
	if (r->bad)
		return -EBADMSG;
	*ret_filter = filter;
	return 0;
}

/* Commands. Each gets a chain with at least its row's bytes of data, and answers whether it was done. */

static size_t data_read(const struct virtq_chain *c, size_t offset, void *buf, size_t len)
{
	return virtq_chain_read(c, CTRL_HDR_LEN + offset, buf, len);
}

static bool set_mode(struct virtio_net *net, uint8_t command, const struct virtq_chain *c)
{
	uint8_t bit = (uint8_t)(1U << command), on;

	(void)data_read(c, 0, &on, sizeof(on));
	net->filter.mode = on ? net->filter.mode | bit : net->filter.mode & (uint8_t)~bit;
	return true;
}

/* One table from '*offset' of the data on, which is moved behind it. More than it holds: none, and '*ret_many'. */
static bool read_table(const struct virtq_chain *c, size_t *offset, struct net_mac_table *ret_table,
	bool *ret_many)
{
	size_t len = c->readable_len - CTRL_HDR_LEN;
	uint32_t n;

	if (data_read(c, *offset, &n, sizeof(n)) != sizeof(n))
		return false;
	n = le32toh(n);
	*offset += sizeof(n);
	if (n > (len - *offset) / NET_MAC_LEN)
		return false;
	*ret_many = n > NET_MAX_FILTER_MACS;
	ret_table->n = *ret_many ? 0 : (uint16_t)n;
	(void)data_read(c, *offset, ret_table->macs, (size_t)ret_table->n * NET_MAC_LEN);
	*offset += (size_t)n * NET_MAC_LEN;
	return true;
}

static bool set_tables(struct virtio_net *net, uint8_t command, const struct virtq_chain *c)
{
	struct net_mac_table uni, multi;
	bool many_uni, many_multi;
	size_t offset = 0;

	(void)command;
	if (!read_table(c, &offset, &uni, &many_uni) ||
		!read_table(c, &offset, &multi, &many_multi) ||
		offset != c->readable_len - CTRL_HDR_LEN)
		return false;
	net->filter.uni = uni;
	net->filter.multi = multi;
	net->filter.mode &= (uint8_t) ~(NET_RX_MANY_UNI | NET_RX_MANY_MULTI);
	net->filter.mode |= (many_uni ? NET_RX_MANY_UNI : 0) | (many_multi ? NET_RX_MANY_MULTI : 0);
	return true;
}

static bool set_mac(struct virtio_net *net, uint8_t command, const struct virtq_chain *c)
{
	static const uint8_t none[NET_MAC_LEN];
	uint8_t mac[NET_MAC_LEN];

	(void)command;
	(void)data_read(c, 0, mac, sizeof(mac));
	if (memcmp(mac, net->mac, sizeof(mac)) == 0)
		return true;
	if (mac[0] & 1 || memcmp(mac, none, sizeof(mac)) == 0)
		return false;
	/* Back to the address that the host gave it is always allowed. */
	if (!(net->place.flags & NET_PORT_ALLOW_MAC) &&
		memcmp(mac, net->place.mac, sizeof(mac)) != 0)
		return false;
	if (virtio_net_set_place(net, &net->place, mac) < 0)
		return false;
	(void)virtio_net_fill_window(net);
	return true;
}

static bool set_vlan(struct virtio_net *net, uint8_t command, const struct virtq_chain *c)
{
	uint8_t *byte, bit;
	uint16_t vid;

	(void)data_read(c, 0, &vid, sizeof(vid));
	vid = le16toh(vid);
	if (vid >= 8 * NET_VLAN_BYTES)
		return false;
	byte = &net->filter.vlans[vid / 8];
	bit = (uint8_t)(1U << vid % 8);
	*byte = command == VLAN_ADD ? *byte | bit : *byte & (uint8_t)~bit;
	return true;
}

static bool ack_announce(struct virtio_net *net, uint8_t command, const struct virtq_chain *c)
{
	(void)command;
	(void)c;
	net->announce = false;
	(void)virtio_net_fill_window(net);
	return true;
}

static bool set_pairs(struct virtio_net *net, uint8_t command, const struct virtq_chain *c)
{
	unsigned old = net->pairs;
	uint16_t n;

	(void)command;
	(void)data_read(c, 0, &n, sizeof(n));
	n = le16toh(n);
	if (!n || n > net->max_pairs)
		return false;
	for (unsigned i = 0; i < n; i++)
		if (!net->v.queues[virtio_net_rx_queue(i)].enabled ||
			!net->v.queues[virtio_net_tx_queue(i)].enabled)
			return false;
	net->pairs = n;
	/* What waits there already. */
	for (unsigned i = old; i < n; i++)
		virtio_kick_later(&net->v, virtio_net_tx_queue(i));
	return true;
}

static bool set_offloads(struct virtio_net *net, uint8_t command, const struct virtq_chain *c)
{
	uint64_t offloads;

	(void)command;
	(void)data_read(c, 0, &offloads, sizeof(offloads));
	offloads = le64toh(offloads);
	if (offloads & ~(net->v.driver_features & NET_GUEST_OFFLOADS))
		return false;
	net->offloads = offloads;
	virtio_net_apply_offloads(net);
	return true;
}

static const struct ctrl_row {
	uint8_t class, command;
	uint8_t feature; /* that the driver needs for it */
	uint32_t data_len;
	bool (*handle)(struct virtio_net *net, uint8_t command, const struct virtq_chain *c);
} ctrl_rows[] = {
	{CLASS_RX, 0, NET_F_CTRL_RX, 1, set_mode},
	{CLASS_RX, 1, NET_F_CTRL_RX, 1, set_mode},
	{CLASS_RX, 2, NET_F_CTRL_RX_EXTRA, 1, set_mode},
	{CLASS_RX, 3, NET_F_CTRL_RX_EXTRA, 1, set_mode},
	{CLASS_RX, 4, NET_F_CTRL_RX_EXTRA, 1, set_mode},
	{CLASS_RX, 5, NET_F_CTRL_RX_EXTRA, 1, set_mode},
	{CLASS_MAC, 0, NET_F_CTRL_RX, 8, set_tables},
	{CLASS_MAC, 1, NET_F_CTRL_MAC_ADDR, NET_MAC_LEN, set_mac},
	{CLASS_VLAN, VLAN_ADD, NET_F_CTRL_VLAN, 2, set_vlan},
	{CLASS_VLAN, VLAN_DEL, NET_F_CTRL_VLAN, 2, set_vlan},
	{CLASS_ANNOUNCE, 0, NET_F_GUEST_ANNOUNCE, 0, ack_announce},
	{CLASS_MQ, 0, NET_F_MQ, 2, set_pairs},
	{CLASS_GUEST_OFFLOADS, 0, NET_F_CTRL_GUEST_OFFLOADS, 8, set_offloads},
};

static bool run_command(struct virtio_net *net, const struct virtq_chain *c)
{
	uint8_t hdr[CTRL_HDR_LEN];

	if (virtq_chain_read(c, 0, hdr, sizeof(hdr)) != sizeof(hdr))
		return false;
	for (unsigned i = 0; i < ARRAY_SIZE(ctrl_rows); i++) {
		const struct ctrl_row *row = &ctrl_rows[i];

		if (row->class == hdr[0] && row->command == hdr[1])
			return virtio_has_feature(&net->v, row->feature) &&
				c->readable_len >= CTRL_HDR_LEN + row->data_len &&
				row->handle(net, hdr[1], c);
	}
	return false;
}

void virtio_net_ctrl(struct virtio_net *net, unsigned index)
{
	struct virtio_device *v = &net->v;
	unsigned left = v->queues[index].latched_size;
	struct virtq_chain c;

	while (left && virtio_pop(v, index, &c)) {
		uint8_t answer;

		if (!c.writable_len) {
			virtio_fail(v, "a command of %u bytes without room for the answer",
				c.readable_len);
			break;
		}
		answer = run_command(net, &c) ? CTRL_OK : CTRL_ERR;
		(void)virtq_chain_write(&c, 0, &answer, sizeof(answer));
		virtio_push(v, index, c.head, sizeof(answer));
		left--;
	}
	virtio_flush(v, index);
	if (!left)
		virtio_kick_later(v, index);
}
