/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A fake worker's vNICs, which come and go at once, and their links. A vNIC's counters tell what was asked of it:
 * tx_packets stars, rx_packets direct links, tx_bytes uses, rx_bytes stops, rx_multicast removals, rx_gso and tx_gso
 * configurations with its link down and up, tx_dropped announcements. It tells of the direct links that it was given.
 * fake=WORD in the command line:
 *
 *	refuse-nics	takes no vNIC
 *	keep-nics	releases none before the line "release" on its console
 *	nics-crash	dies when one is to come
 *	refuse-direct	takes no direct link
 *	forget-links	tells of none
 *	lie-links	tells of a thousand
 *	other-links	tells of others' instead
 *	busy-links	says that they are busy but for the newest
 *	unused-links	says that it sends by none
 */
#include "tests/fakes/fake-worker.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

static struct proto_link_state *find_link(struct proto_links *links, uint32_t id)
{
	for (unsigned i = 0; i < links->n; i++)
		if (links->links[i].id == id)
			return &links->links[i];
	return NULL;
}

static void keep_link(struct fake *f, const struct fake_request *p, const struct proto_link_id *id)
{
	struct proto_links *links = &f->links[id->nic];
	struct proto_link_state *l = find_link(links, id->id);
	struct proto_link link;

	memcpy(&link, p->payload, sizeof(link));
	if (p->header.type == PROTO_LINK_ADD && id->id != PROTO_LINK_STAR &&
		links->n < PROTO_MAX_LINKS)
		links->links[links->n++] = (struct proto_link_state){
			.id = id->id, .peer_port = (uint16_t)link.peer_port};
	else if (p->header.type == PROTO_LINK_USE && l)
		l->flags = (uint16_t)id->flags;
	else if (p->header.type == PROTO_LINK_REMOVE && l)
		*l = links->links[--links->n];
}

void fake_list_links(struct fake *f, const struct fake_request *p)
{
	struct proto_links links;
	struct proto_nic_id id;

	memcpy(&id, p->payload, sizeof(id));
	links = f->links[id.nic];
	links.nic = id.nic;
	if (fake_told(f, "forget-links"))
		links.n = 0;
	if (fake_told(f, "lie-links"))
		links.n = 1000;
	for (unsigned i = 0; i < links.n && i < PROTO_MAX_LINKS; i++) {
		if (fake_told(f, "other-links"))
			links.links[i].peer_port ^= 2;
		f->links[id.nic].links[i].frames += i + 1 < links.n ? 100000 : 1;
		if (!fake_told(f, "busy-links"))
			links.links[i].frames = 0;
		if (fake_told(f, "unused-links"))
			links.links[i].flags = 0;
	}
	fake_send(f, PROTO_LINKS, 0, 0, &links, sizeof(links), NULL, 0);
	fake_reply(f, p->header.seq, 0, "");
}

void fake_link(struct fake *f, const struct fake_request *p)
{
	struct net_port_counters *c;
	struct proto_link_id id; /* begins as struct proto_link and struct proto_nic do */

	memcpy(&id, p->payload, sizeof(id));
	c = &f->stats->nics[id.nic];
	if (fake_told(f, "refuse-direct") && id.id != PROTO_LINK_STAR) {
		fake_reply(f, p->header.seq, -ENOSPC, "told to refuse");
		return;
	}
	fake_reply(f, p->header.seq, 0, "");
	if (p->header.type == PROTO_NIC_SET) {
		struct proto_nic nic;

		memcpy(&nic, p->payload, sizeof(nic));
		net_count(nic.port.flags & NET_PORT_LINK_DOWN ? &c->rx_gso : &c->tx_gso, 1);
	}
	keep_link(f, p, &id);
	if (p->header.type == PROTO_NIC_ANNOUNCE)
		net_count(&c->tx_dropped, 1);
	if (p->header.type == PROTO_LINK_ADD && p->n_fds == PROTO_LINK_FDS)
		net_count(id.id == PROTO_LINK_STAR ? &c->tx_packets : &c->rx_packets, 1);
	else if (p->header.type == PROTO_LINK_USE)
		net_count(id.flags & PROTO_LINK_ON ? &c->tx_bytes : &c->rx_bytes, 1);
	else if (p->header.type == PROTO_LINK_REMOVE)
		net_count(&c->rx_multicast, 1);
}

void fake_release_nics(struct fake *f)
{
	f->nics &= ~f->unwanted;
	f->unwanted = 0;
	fake_end_capture(f);
	fake_send_state(f, PROTO_STATE);
}

void fake_plug(struct fake *f, const struct fake_request *p)
{
	struct proto_nic_add add;
	struct proto_nic_id id; /* begins as that does */
	int r;

	memcpy(&id, p->payload, sizeof(id));
	if (p->header.type == PROTO_NIC_REMOVE) {
		r = f->nics >> id.nic & 1 ? 0 : -ENODEV;
		fake_reply(f, p->header.seq, r, r < 0 ? "no such vNIC" : "");
		f->unwanted |= r < 0 ? 0 : UINT32_C(1) << id.nic;
		if (!fake_told(f, "keep-nics"))
			fake_release_nics(f);
		return;
	}
	memcpy(&add, p->payload, sizeof(add));
	if (fake_told(f, "nics-crash"))
		raise(SIGKILL);
	r = fake_told(f, "refuse-nics") ? -EEXIST : 0;
	if (add.nic >= VM_MAX_NICS || f->nics >> add.nic & 1 || !add.config.port.mac[0])
		r = -EINVAL;
	if (r == 0)
		f->nics |= UINT32_C(1) << add.nic;
	fake_reply(f, p->header.seq, r, r < 0 ? "told to refuse" : "");
}
