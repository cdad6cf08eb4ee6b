/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The address table: which port has a MAC address. (IEEE 802.1Q: filtering database.)
 *
 * Static addresses are what the ports' owners said. They hold in every VLAN of their port and nothing that is sent moves
 * them; the same address may belong to two ports that have no VLAN in common.
 *
 * Learned ones belong to one VLAN and come from what a port sends. Each port has room of its own for as many as it
 * may teach, made when it is set up: so a port that sends from a thousand addresses pushes out its own oldest ones and
 * nobody else's, and learning allocates nothing. They are used no longer than the port's age after they were last seen,
 * whether fdb_age() has been called or not.
 *
 * Tables are hashed by a secret key (keyed-hash.h) and grow with what may be in them, so chains stay short whatever
 * addresses a guest chooses.
 *
 * Frames come in flows: the last lookups are remembered until a static address or a port's VLANs change. Whoever makes that
 * useless, by many addresses, pays the hash, as without it.
 *
 * An address is a uint64_t of its 6 bytes as they lie in memory (fdb_mac()). Times are now_ns of the caller, which do not go
 * back.
 *
 * Threads: one at a time. Ownership: struct fdb_port is the port's, and must be taken out (fdb_port_done()) before it goes.
 */
#pragma once

#include <string.h>

#include "devices/net/vlan.h"
#include "vmm-core/base/list.h"

#define FDB_MAX_STATIC  4096         /* of all ports together */
#define FDB_MAX_LEARNED 65536        /* likewise: sum of the ports' limits */
#define FDB_REFRESH_NS  NSEC_PER_SEC /* how exactly it is known when an address was last seen */

#define FDB_N_MEMOS 16

struct fdb_port;

struct fdb_entry {
	uint64_t key;           /* the address; learned ones: with the VLAN in the upper 16 bits */
	struct fdb_port *port;  /* NULL: not in use */
	struct fdb_entry *next; /* of its bucket */
	uint64_t seen_ns;
	struct list link; /* of its port: static_, oldest first, or unused */
	bool is_static;
};

struct fdb_table {
	struct fdb_entry **buckets;
	uint64_t mask;
	size_t n;
};

/* A lookup among the static addresses that was made before: 'key' as of a learned entry; 'entry' NULL: nobody has it. */
struct fdb_memo {
	uint64_t key;
	struct fdb_entry *entry;
};

struct fdb {
	uint64_t seed[2];
	struct fdb_table statics, learned;
	struct fdb_memo *memos; /* FDB_N_MEMOS, by the last byte of the address */
	size_t room;            /* for learned addresses, of all ports */
	struct list ports;
};

/* Embedded in a port. */
struct fdb_port {
	const struct vlan *vlan; /* the port's; whoever changes it calls fdb_port_prune() */
	uint64_t age_ns;
	struct list link;
	struct list statics, seen /* learned, oldest first */, unused;
	struct fdb_entry *slab; /* learned ones live here */
	size_t limit, n_learned;
};

static inline uint64_t fdb_mac(const uint8_t mac[NET_MAC_LEN])
{
	uint64_t v = 0;

	memcpy(&v, mac, NET_MAC_LEN);
	return v;
}

/* The group bit is the lowest of the first byte. */
static inline bool fdb_mac_is_unicast(uint64_t mac)
{
	return mac && !(mac & 1);
}

int fdb_init(struct fdb *fdb, const uint64_t seed[2]);
/* No port is left. */
void fdb_done(struct fdb *fdb);

/* 'vlan' must live as long as the port is in. */
void fdb_port_init(struct fdb *fdb, struct fdb_port *port, const struct vlan *vlan);
/* With all its addresses. May be called for one that was never initialised and is zero. */
void fdb_port_done(struct fdb *fdb, struct fdb_port *port);

/* How many addresses the port may teach (0: none), and for how long they hold. The most recent ones stay. Returns 0,
 * -ENOSPC (FDB_MAX_LEARNED) or -ENOMEM; then nothing has changed. */
int fdb_port_set_limit(struct fdb *fdb, struct fdb_port *port, size_t limit, uint64_t age_ns);
/* The port's VLANs have changed: learned addresses of others are forgotten. */
void fdb_port_prune(struct fdb *fdb, struct fdb_port *port);

/* Would 'mac' on a port with these VLANs be ambiguous? 'except' is not looked at. */
bool fdb_conflicts(const struct fdb *fdb, uint64_t mac, const struct vlan *vlan,
	const struct fdb_port *except);
/* Returns 0 (also if the port has it already), -EINVAL (not a unicast address), -EEXIST (fdb_conflicts()), -ENOSPC
 * (FDB_MAX_STATIC) or -ENOMEM. */
int fdb_add_static(struct fdb *fdb, struct fdb_port *port, uint64_t mac);
/* Returns 0 or -ENOENT. */
int fdb_remove_static(struct fdb *fdb, struct fdb_port *port, uint64_t mac);

/* Who has the address in this VLAN; NULL: nobody that is known. */
const struct fdb_entry *fdb_find(
	const struct fdb *fdb, uint64_t mac, uint16_t vid, uint64_t now_ns);
/* 'port' sent from this address. Nothing happens if it is not unicast, is static, or the port has no limit. An address that
 * another port taught moves here. */
void fdb_learn(struct fdb *fdb, struct fdb_port *port, uint64_t mac, uint16_t vid, uint64_t now_ns);
/* Forget a learned address. */
void fdb_forget(struct fdb *fdb, uint64_t mac, uint16_t vid);

/* Forget what is too old; when that is next wanted, UINT64_MAX for never. */
void fdb_age(struct fdb *fdb, uint64_t now_ns);
uint64_t fdb_deadline(const struct fdb *fdb);

/* All that hold at 'now_ns'. */
void fdb_each(const struct fdb *fdb, uint64_t now_ns,
	void (*found)(void *opaque, const struct fdb_entry *entry), void *opaque);

static inline uint64_t fdb_entry_mac(const struct fdb_entry *entry)
{
	return entry->key & UINT64_C(0xffffffffffff);
}

static inline uint16_t fdb_entry_vid(const struct fdb_entry *entry)
{
	return (uint16_t)(entry->key >> 48);
}
