/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The vNIC as a device: features, configuration window, life, state, and what the host asks of it. See virtio-net.h. */
#include "devices/virtio/virtio-net.h"

#include <endian.h>
#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include "devices/net/offload.h"
#include "vmm-core/proto.h"
#include "vmm-core/stats.h"

#define STATUS_LINK_UP  1
#define STATUS_ANNOUNCE 2

/* What the link would be if it were one: drivers that bond interfaces want to know. */
#define SPEED_MBIT  10000
#define DUPLEX_FULL 1

#define CTRL_QUEUE_SIZE 64

struct net_window {
	uint8_t mac[NET_MAC_LEN];
	uint16_t status;
	uint16_t max_virtqueue_pairs;
	uint16_t mtu;
	uint32_t speed;
	uint8_t duplex;
} __attribute__((packed));
static_assert(sizeof(struct net_window) == 17, "virtio 1.2, 5.1.4");
static_assert(2 * VM_MAX_NIC_QUEUES + 1 <= VIRTIO_MAX_QUEUES, "a pair of queues each, and control");

/* Features. */

/* 5.1.3.1: a feature, and those of which it requires one. What is required comes first. */
static const struct {
	uint8_t feature;
	uint64_t any_of;
} feature_needs[] = {
	{NET_F_GUEST_TSO4, VIRTIO_BIT(NET_F_GUEST_CSUM)},
	{NET_F_GUEST_TSO6, VIRTIO_BIT(NET_F_GUEST_CSUM)},
	{NET_F_GUEST_ECN, VIRTIO_BIT(NET_F_GUEST_TSO4) | VIRTIO_BIT(NET_F_GUEST_TSO6)},
	{NET_F_GUEST_UFO, VIRTIO_BIT(NET_F_GUEST_CSUM)},
	{NET_F_GUEST_USO4, VIRTIO_BIT(NET_F_GUEST_CSUM)},
	{NET_F_GUEST_USO6, VIRTIO_BIT(NET_F_GUEST_CSUM)},
	{NET_F_HOST_TSO4, VIRTIO_BIT(NET_F_CSUM)},
	{NET_F_HOST_TSO6, VIRTIO_BIT(NET_F_CSUM)},
	{NET_F_HOST_ECN, VIRTIO_BIT(NET_F_HOST_TSO4) | VIRTIO_BIT(NET_F_HOST_TSO6)},
	{NET_F_HOST_UFO, VIRTIO_BIT(NET_F_CSUM)},
	{NET_F_HOST_USO, VIRTIO_BIT(NET_F_CSUM)},
	{NET_F_CTRL_RX, VIRTIO_BIT(NET_F_CTRL_VQ)},
	{NET_F_CTRL_VLAN, VIRTIO_BIT(NET_F_CTRL_VQ)},
	{NET_F_GUEST_ANNOUNCE, VIRTIO_BIT(NET_F_CTRL_VQ)},
	{NET_F_MQ, VIRTIO_BIT(NET_F_CTRL_VQ)},
	{NET_F_CTRL_MAC_ADDR, VIRTIO_BIT(NET_F_CTRL_VQ)},
};

/* 'features' without those that lack what they require. */
static uint64_t with_needs(uint64_t features)
{
	for (unsigned i = 0; i < ARRAY_SIZE(feature_needs); i++)
		if (!(features & feature_needs[i].any_of))
			features &= ~VIRTIO_BIT(feature_needs[i].feature);
	return features;
}

static bool net_features_fit(uint64_t features)
{
	return with_needs(features) == features;
}

static uint64_t offered(uint32_t offloads_off, unsigned max_pairs)
{
	static const struct {
		uint32_t off;
		uint64_t features;
	} rows[] = {
		{VM_NIC_NO_HOST_CSUM, VIRTIO_BIT(NET_F_CSUM)},
		{VM_NIC_NO_HOST_TSO4, VIRTIO_BIT(NET_F_HOST_TSO4)},
		{VM_NIC_NO_HOST_TSO6, VIRTIO_BIT(NET_F_HOST_TSO6)},
		{VM_NIC_NO_HOST_ECN, VIRTIO_BIT(NET_F_HOST_ECN)},
		{VM_NIC_NO_HOST_UFO, VIRTIO_BIT(NET_F_HOST_UFO) | VIRTIO_BIT(NET_F_HOST_USO)},
		{VM_NIC_NO_MRG_RXBUF, VIRTIO_BIT(NET_F_MRG_RXBUF)},
		{VM_NIC_NO_GUEST_CSUM, VIRTIO_BIT(NET_F_GUEST_CSUM)},
		{VM_NIC_NO_GUEST_TSO4, VIRTIO_BIT(NET_F_GUEST_TSO4)},
		{VM_NIC_NO_GUEST_TSO6, VIRTIO_BIT(NET_F_GUEST_TSO6)},
		{VM_NIC_NO_GUEST_ECN, VIRTIO_BIT(NET_F_GUEST_ECN)},
		{VM_NIC_NO_GUEST_UFO,
			VIRTIO_BIT(NET_F_GUEST_UFO) | VIRTIO_BIT(NET_F_GUEST_USO4) |
				VIRTIO_BIT(NET_F_GUEST_USO6)},
	};
	uint64_t f = VIRTIO_BIT(NET_F_MTU) | VIRTIO_BIT(NET_F_MAC) | VIRTIO_BIT(NET_F_STATUS) |
		VIRTIO_BIT(NET_F_CTRL_VQ) | VIRTIO_BIT(NET_F_CTRL_RX) |
		VIRTIO_BIT(NET_F_CTRL_RX_EXTRA) | VIRTIO_BIT(NET_F_CTRL_VLAN) |
		VIRTIO_BIT(NET_F_CTRL_MAC_ADDR) | VIRTIO_BIT(NET_F_CTRL_GUEST_OFFLOADS) |
		VIRTIO_BIT(NET_F_GUEST_ANNOUNCE) | VIRTIO_BIT(NET_F_SPEED_DUPLEX);

	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++)
		if (!(offloads_off & rows[i].off))
			f |= rows[i].features;
	if (max_pairs > 1)
		f |= VIRTIO_BIT(NET_F_MQ);
	return with_needs(f);
}

/* By the features that the driver wants now: a TSO that it turned on without the checksum it requires counts as off, and
 * datagrams are cut by address family there but not in the header. */
void virtio_net_apply_offloads(struct virtio_net *net)
{
	static const struct {
		uint64_t features; /* all of them */
		uint32_t bits;
	} rows[] = {
		{VIRTIO_BIT(NET_F_GUEST_CSUM), OFFLOAD_TAKES_CSUM},
		{VIRTIO_BIT(NET_F_GUEST_TSO4), 1U << NET_HDR_GSO_TCPV4},
		{VIRTIO_BIT(NET_F_GUEST_TSO6), 1U << NET_HDR_GSO_TCPV6},
		{VIRTIO_BIT(NET_F_GUEST_ECN), OFFLOAD_TAKES_ECN},
		{VIRTIO_BIT(NET_F_GUEST_UFO), 1U << NET_HDR_GSO_UDP},
		{VIRTIO_BIT(NET_F_GUEST_USO4) | VIRTIO_BIT(NET_F_GUEST_USO6),
			1U << NET_HDR_GSO_UDP_L4},
	};
	uint64_t on = with_needs(net->offloads);
	uint32_t takes = 0;

	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++)
		if ((on & rows[i].features) == rows[i].features)
			takes |= rows[i].bits;
	nic_set_offloads(net->nic, takes);
}

/* The place in the fabric, and what the driver sees of it. */

static uint16_t mtu_of(const struct net_port_config *config)
{
	return config->mtu ? config->mtu : NET_MTU_DEFAULT;
}

int virtio_net_set_place(struct virtio_net *net, const struct net_port_config *config,
	const uint8_t mac[NET_MAC_LEN])
{
	struct net_port_config place = *config, in_force = *config;
	int r;

	memcpy(in_force.mac, mac, NET_MAC_LEN);
	r = nic_reconfigure(net->nic, &in_force);
	if (r < 0)
		return r;
	net->place = place;
	memcpy(net->mac, in_force.mac, NET_MAC_LEN);
	return 0;
}

bool virtio_net_fill_window(struct virtio_net *net)
{
	struct net_window w = {
		.status = htole16((net->place.flags & NET_PORT_LINK_DOWN ? 0 : STATUS_LINK_UP) |
			(net->announce ? STATUS_ANNOUNCE : 0)),
		.max_virtqueue_pairs = htole16((uint16_t)net->max_pairs),
		.mtu = htole16(mtu_of(&net->place)),
		.speed = htole32(SPEED_MBIT),
		.duplex = DUPLEX_FULL,
	};

	memcpy(w.mac, net->mac, NET_MAC_LEN);
	if (memcmp(net->v.config, &w, sizeof(w)) == 0)
		return false;
	memcpy(net->v.config, &w, sizeof(w));
	return true;
}

/* What the host asks. */

static struct virtio_net *net_of_device(struct device *dev)
{
	return virtio_net_of(virtio_pci_device(dev));
}

static int net_set(struct device *dev, const struct net_port_config *config)
{
	struct virtio_net *net = net_of_device(dev);
	const uint8_t *mac = config->mac;
	int r;

	/* 5.1.4.1: a device does not change it. */
	if (mtu_of(config) != mtu_of(&net->place))
		return -ENOTSUP;
	/* An address that the guest gave itself stays while it may have one, and the host has no other for it. */
	if (config->flags & NET_PORT_ALLOW_MAC && memcmp(mac, net->place.mac, NET_MAC_LEN) == 0)
		mac = net->mac;
	r = virtio_net_set_place(net, config, mac);
	if (r < 0)
		return r;
	if (virtio_net_fill_window(net))
		virtio_config_changed(&net->v);
	return 0;
}

static int net_announce(struct device *dev)
{
	struct virtio_net *net = net_of_device(dev);

	nic_announce(net->nic);
	/* The guest knows of its neighbours, and of VLANs, what nobody else does. */
	if (!(net->v.status & VIRTIO_STATUS_DRIVER_OK) ||
		!virtio_has_feature(&net->v, NET_F_GUEST_ANNOUNCE))
		return 0;
	net->announce = true;
	(void)virtio_net_fill_window(net);
	/* Asked twice, it is told twice: it may have missed the first. */
	virtio_config_changed(&net->v);
	return 0;
}

static int net_link_add(struct device *dev, const struct proto_link *link, int *fds)
{
	struct nic_link l = {
		.id = link->id,
		.peer_port = link->peer_port,
		.ring_data = link->ring_data,
		.peer = link->peer,
		.own_ring = fds[0],
		.peer_ring = fds[1],
		.own_bell = fds[2],
		.peer_bell = fds[3],
	};

	static_assert(PROTO_LINK_FDS == 4 && PROTO_LINK_STAR == NIC_STAR, "the same links");
	return nic_link_add(net_of_device(dev)->nic, &l);
}

static int net_link_use(struct device *dev, const struct proto_link_id *id)
{
	return nic_link_use(net_of_device(dev)->nic, id->id, id->flags & PROTO_LINK_ON);
}

static int net_link_remove(struct device *dev, uint32_t id)
{
	return nic_link_remove(net_of_device(dev)->nic, id);
}

static void net_links(struct device *dev, struct proto_links *ret)
{
	struct nic_link_state links[NIC_MAX_LINKS];

	static_assert(PROTO_MAX_LINKS == NIC_MAX_LINKS, "all of them");
	ret->n = nic_links(net_of_device(dev)->nic, links);
	for (unsigned i = 0; i < ret->n; i++)
		ret->links[i] = (struct proto_link_state){.id = links[i].id,
			.peer_port = (uint16_t)links[i].peer_port,
			.flags = links[i].in_use ? PROTO_LINK_ON : 0,
			.frames = links[i].frames};
}

static int net_capture(
	struct device *dev, const struct proto_capture *capture, int fd, int counts_fd)
{
	return nic_capture(
		net_of_device(dev)->nic, capture->direction, capture->snaplen, fd, counts_fd);
}

static const struct machine_nic_ops net_machine_ops = {
	.set = net_set,
	.announce = net_announce,
	.link_add = net_link_add,
	.link_use = net_link_use,
	.link_remove = net_link_remove,
	.links = net_links,
	.capture = net_capture,
};

/* Life. */

static unsigned ctrl_queue(const struct virtio_net *net)
{
	return 2 * (virtio_has_feature(&net->v, NET_F_MQ) ? net->max_pairs : 1);
}

static void net_queue_notify(struct virtio_device *v, unsigned index)
{
	struct virtio_net *net = virtio_net_of(v);

	if (index == ctrl_queue(net)) {
		if (virtio_has_feature(v, NET_F_CTRL_VQ))
			virtio_net_ctrl(net, index);
		return;
	}
	if (index / 2 >= net->pairs)
		return;
	if (index % 2)
		virtio_net_tx(net, index / 2);
	else
		nic_ready(net->nic);
}

static int net_activate(struct virtio_device *v)
{
	struct virtio_net *net = virtio_net_of(v);

	net->offloads = v->driver_features & NET_GUEST_OFFLOADS;
	virtio_net_apply_offloads(net);
	virtio_net_apply_features(net);
	return 0;
}

/* Nothing is waiting to be sent once more, or to be published. */
static void forget_work(struct virtio_net *net)
{
	net->tx_stopped = net->tx_retry = net->rx_pushed = 0;
	memset(net->steering, 0, sizeof(net->steering));
}

static void net_reset(struct virtio_device *v)
{
	struct virtio_net *net = virtio_net_of(v);

	forget_work(net);
	net->pairs = 1;
	net->offloads = 0;
	net->announce = false;
	net->filter = (struct net_filter){0};
	net->tx_allowed = 0;
	virtio_net_apply_offloads(net);
	if (memcmp(net->mac, net->place.mac, NET_MAC_LEN) != 0)
		(void)virtio_net_set_place(net, &net->place, net->place.mac);
	(void)virtio_net_fill_window(net);
}

static void net_resume(struct virtio_device *v)
{
	struct virtio_net *net = virtio_net_of(v);

	/* All queues are kicked after this: the nic hears of room to receive, and what a full ring stopped goes on. */
	net->tx_stopped = net->tx_retry = 0;
}

static void net_save(const struct virtio_device *v, struct state_writer *w)
{
	const struct virtio_net *net = (const struct virtio_net *)(const void *)v;

	state_put_bytes(w, net->mac, NET_MAC_LEN);
	state_put_u8(w, net->announce);
	state_put_u16(w, net->pairs);
	state_put_u64(w, net->offloads);
	virtio_net_save_filter(&net->filter, w);
}

static int net_load(struct virtio_device *v, struct state_reader *r)
{
	struct virtio_net *net = virtio_net_of(v);
	struct net_filter filter;
	uint8_t mac[NET_MAC_LEN], announce;
	uint64_t offloads;
	uint16_t pairs;

	state_get_bytes(r, mac, NET_MAC_LEN);
	announce = state_get_u8(r);
	pairs = state_get_u16(r);
	offloads = state_get_u64(r);
	if (virtio_net_load_filter(&filter, r) < 0 || state_reader_end(r) < 0 || announce > 1 ||
		!pairs || pairs > (virtio_has_feature(v, NET_F_MQ) ? net->max_pairs : 1) ||
		offloads & ~(v->driver_features & NET_GUEST_OFFLOADS))
		return -EBADMSG;
	/* The guest's own address needs the leave of the host that it comes to. */
	if (memcmp(mac, net->place.mac, NET_MAC_LEN) != 0 &&
		(!(net->place.flags & NET_PORT_ALLOW_MAC) || mac[0] & 1))
		return -EBADMSG;
	if (memcmp(mac, net->mac, NET_MAC_LEN) != 0 &&
		virtio_net_set_place(net, &net->place, mac) < 0)
		return -EBADMSG;
	forget_work(net);
	net->announce = announce;
	net->pairs = pairs;
	net->offloads = offloads;
	net->filter = filter;
	virtio_net_apply_offloads(net);
	virtio_net_apply_features(net);
	(void)virtio_net_fill_window(net);
	return 0;
}

/* The ring's size that was asked for, as far as rings go; 0: a bad one. */
static uint16_t ring_size(uint16_t wanted)
{
	uint16_t n = wanted ? MIN(wanted, (uint16_t)VIRTQ_MAX_SIZE) : VIRTQ_MAX_SIZE;

	return n & (n - 1) ? 0 : n;
}

static int set_queues(struct virtio_net *net)
{
	struct virtio_device *v = &net->v;
	uint16_t rx = ring_size(net->config->rx_queue_size),
		 tx = ring_size(net->config->tx_queue_size);

	if (!rx || !tx || net->config->queues > VM_MAX_NIC_QUEUES)
		return -EINVAL;
	net->pairs = 1;
	net->max_pairs = MAX(net->config->queues, (uint16_t)1);
	v->n_queues = 2 * net->max_pairs + 1;
	for (unsigned i = 0; i < net->max_pairs; i++) {
		v->queue_sizes[virtio_net_rx_queue(i)] = rx;
		v->queue_sizes[virtio_net_tx_queue(i)] = tx;
	}
	v->queue_sizes[2 * net->max_pairs] = CTRL_QUEUE_SIZE;
	return 0;
}

/* The way to a bridge or NIC of the host's, if it has one from the start. */
static int take_tap(struct virtio_net *net)
{
	int *fd = &net->v.machine->fds->nics[net->v.instance];

	return *fd < 0 ? 0 : nic_set_tap(net->nic, TAKE_FD(*fd));
}

static int net_realize(struct virtio_device *v)
{
	struct virtio_net *net = virtio_net_of(v);
	struct virtio_pci *vp = v->transport_dev;
	struct machine *m = v->machine;
	int r;

	if (v->instance >= m->config->n_nics || v->instance >= VM_MAX_NICS)
		return -EINVAL;
	net->config = &m->config->nics[v->instance];
	net->place = net->config->port;
	memcpy(net->mac, net->place.mac, NET_MAC_LEN);
	net->max_frame = (uint32_t)mtu_of(&net->place) + FRAME_MIN;
	r = set_queues(net);
	if (r < 0)
		return r;
	if (getrandom(net->seed, sizeof(net->seed), 0) != sizeof(net->seed))
		return -EIO;
	net->port = (struct port){
		.ops = &virtio_net_port_ops,
		.kind = PORT_VNIC,
		.counters = m->stats ? &m->stats->nics[v->instance] : &net->own_counters,
		.cookie = v->instance,
	};
	r = nic_new(m->loop, &net->place, net->config->poll_us * NSEC_PER_USEC, &net->port,
		virtio_net_space, &net->nic);
	if (r == 0)
		r = take_tap(net);
	if (r < 0)
		return r;
	v->host_features = offered(net->config->offloads_off, net->max_pairs);
	v->config_len = sizeof(struct net_window);
	(void)virtio_net_fill_window(net);
	m->nics[v->instance] = &vp->pci.dev;
	m->nic_ops = &net_machine_ops;
	return 0;
}

static void net_unrealize(struct virtio_device *v)
{
	struct virtio_net *net = virtio_net_of(v);

	if (!net->nic)
		return;
	v->machine->nics[v->instance] = NULL;
	net->nic = nic_free(net->nic);
}

static const struct virtio_ops virtio_net_ops = {
	.name = "virtio-net",
	.device_id = 1,
	.size = sizeof(struct virtio_net),
	.realize = net_realize,
	.unrealize = net_unrealize,
	.features_fit = net_features_fit,
	.activate = net_activate,
	.reset = net_reset,
	.queue_notify = net_queue_notify,
	.resume = net_resume,
	.save = net_save,
	.load = net_load,
};

static struct vm_pci_addr net_pci_addr(const struct vm_config *config, unsigned instance)
{
	return config->nics[instance].pci;
}

const struct virtio_pci_class virtio_net_pci_class =
	VIRTIO_PCI_CLASS("virtio-net-pci", 1, &virtio_net_ops, PCI_CLASS_ETHERNET, net_pci_addr);
