/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A network's gateway: what stands at the end of its tap and serves its guests: addresses of the host's side, DHCP,
 * DNS, TFTP and router advertisements (by dnsmasq), the way out, and port forwards.
 *
 *	GATEWAY_NAT	the tap is an interface of a network namespace of the gateway's own. There the kernel forwards and
 *			masquerades, and two user-mode stacks lead out of it. Of the host's namespace nothing is needed and
 *			nothing is changed: no rule, no address, no route, no sysctl.
 *	all others	the tap is an interface of the host, with the network's addresses and routes; dnsmasq runs in the
 *			host's network namespace, and the host's kernel forwards.
 *
 *	             ┌──────────── namespace of the gateway ────────────┐
 *	guests ─ tap ┤ 192.168.122.1   dnsmasq   nftables              │
 *	             │                             vmmd-out ─ slirp4netns ─ sockets of the host ─► out
 *	             │                             vmmd-in  ─ pasta ─────── listening sockets ◄─── port forwards
 *	             └──────────────────────────────────────────────────┘
 *
 * Why two. pasta of Debian 12 (2023-03-09) repeats data without end, or loses it, on a connection whose guest has
 * shut down its writing side before the answer came (`echo question | nc`): it does not consume what was acknowledged
 * after the guest's FIN. It also needs a default route of the host when it starts, and ends without. libslirp has
 * neither fault, but its forwards hide who connects and know no IPv6. So slirp4netns leads out, and pasta leads in:
 * its forwards show the guest the client's address, IPv4 and IPv6, TCP and UDP. Answers find back through pasta
 * because connections that came in by it are marked. Both taps are made beforehand, persistent and configured, so
 * that either program can die and come back without the namespace changing.
 *
 * Every forwarded port has a port of its own inside the namespace (GATEWAY_FORWARD_PORT + an index), where a rule
 * sends it to the guest. Hairpin: a guest reaches a forward by the gateway's address and the host's port (by a rule,
 * but for the ports of DNS, DHCP and TFTP that the gateway itself serves), or by an address of the host (out and in
 * again). From the host: by any address but [::1]; the kernel routes that one nowhere. pasta ends when it cannot
 * listen: it is tried again. Without an IPv6 default route of the host, forwards of IPv6 wait: pasta would not start
 * with them.
 *
 * Of GATEWAY_NAT: guests do not reach the host's loopback, nor slirp's own network. dnsmasq asks the resolvers of the host's
 * /etc/resolv.conf, through slirp (libslirp follows changes), also when that is 127.0.0.53.
 *
 * Where the host's kernel forwards, it is told to (ip_forward, and forwarding of IPv6), for the families that the network
 * has addresses of; nothing ever switches it off again: others may need it by then. IPv6 is refused while the host has
 * routes from router advertisements and would lose them (accept_ra). The tap takes no advertisements, and has no IPv6
 * without an address. A table of the gateway's own, "inet vmmd_NAME", rejects what is not to be forwarded:
 *
 *			guests to elsewhere			from elsewhere to guests
 *	ISOLATED	nothing					nothing
 *	ROUTE		from the network's own addresses	to them
 *	OPEN		(no table: no rule at all)
 *	MASQUERADE	as ROUTE, translated			answers, and what was forwarded to a port
 *
 * all of it by 'dev' only, if that is given. MASQUERADE with IPv6 addresses routes them, unless nat_ipv6. In nftables
 * the verdict of one table cannot allow what another one drops: a host whose own rules drop what they do not know has
 * to let the tap through itself. The gateway looks for such chains when it starts, and says which, and what to write.
 *
 * The table belongs to a socket that keeper and daemon hold (NFT_TABLE_F_OWNER): nobody else can change it, `nft flush
 * ruleset` included, it survives the death of either, and it is gone with the last of them, however they end.
 *
 * Processes: the keeper, a child of the daemon that makes tap and namespace and then holds both, without any
 * capability; dnsmasq; slirp4netns; pasta. All of them outlive the daemon: gateway_adopt() finds them again by pid
 * and start time (file "status"). One that dies is started again, after GATEWAY_RETRY_MIN_USEC, doubled up to
 * GATEWAY_RETRY_MAX_USEC each time that it did not live for GATEWAY_WELL_USEC. dnsmasq, as user dnsmasq (or nobody),
 * and pasta see the gateway's folder as their /run, in a mount namespace of their own; dnsmasq reads no other
 * configuration. slirp4netns and pasta shut themselves in.
 *
 * Files: RUNTIME/gateway/ (0755, dnsmasq reads it after it has changed its user): dnsmasq.conf hosts dhcp-hosts
 * status log …; and the leases, STATE/UUID.leases, which outlive the gateway.
 *
 * Ownership: gateway_new() copies the configuration. Threads: the daemon's one; nothing blocks but gateway_free(),
 * which waits for killed processes, and gateway_adopt(), which waits for the keeper's answer (both milliseconds in
 * practice). Root only.
 */
#pragma once

#include <systemd/sd-event.h>

#include "config/net-config.h"
#include "daemon/error.h"
#include "vmm-core/base/cleanup.h"

#define GATEWAY_MAX_IPS        16
#define GATEWAY_MAX_RANGES     16
#define GATEWAY_MAX_HOSTS      512
#define GATEWAY_MAX_DNS_HOSTS  256
#define GATEWAY_MAX_DNS_NAMES  8
#define GATEWAY_MAX_RECORDS    64 /* SRV and TXT, each */
#define GATEWAY_MAX_FORWARDERS 16
#define GATEWAY_MAX_ROUTES     32
#define GATEWAY_MAX_FORWARDS   128
#define GATEWAY_MAX_LEASES     4096
#define GATEWAY_HOSTNAME_MAX   256 /* with the NUL */
#define GATEWAY_TEXT_MAX       256
#define GATEWAY_ID_MAX         400 /* a DUID as text */

#define GATEWAY_LEASE_DEFAULT  3600 /* seconds; libvirt's (and dnsmasq's) */
#define GATEWAY_LEASE_INFINITE UINT32_MAX
#define GATEWAY_FORWARD_PORT   20000

#define GATEWAY_SETUP_USEC     (15 * UINT64_C(1000000)) /* keeper and dnsmasq must be up by then */
#define GATEWAY_RETRY_MIN_USEC UINT64_C(100000)
#define GATEWAY_RETRY_MAX_USEC (60 * UINT64_C(1000000))
#define GATEWAY_WELL_USEC      (60 * UINT64_C(1000000))
#define GATEWAY_KILL_MS        2000
#define GATEWAY_ADOPT_MS       2000 /* for the keeper's answer */

enum gateway_kind {
	GATEWAY_ISOLATED,
	GATEWAY_ROUTE,
	GATEWAY_OPEN,
	GATEWAY_MASQUERADE, /* NAT by the host's kernel: for what user space cannot do */
	GATEWAY_NAT,
	GATEWAY_KIND_X_MAX
};
enum gateway_proto { GATEWAY_TCP, GATEWAY_UDP };

/* <dhcp><range>: both ends are in the network of one of the addresses. */
struct gateway_range {
	struct net_ip first, last;
	uint32_t lease_s; /* 0: GATEWAY_LEASE_DEFAULT */
};

/* <dhcp><host>: known by MAC address, or (IPv6) by DUID, or by the name that it sends. */
struct gateway_host {
	bool has_mac;
	uint8_t mac[NET_MAC_LEN];
	char id[GATEWAY_ID_MAX]; /* "00:01:…"; "" */
	char name[GATEWAY_HOSTNAME_MAX];
	struct net_ip ip;
	uint32_t lease_s; /* 0: the range's */
};

/* <dns><host> */
struct gateway_dns_host {
	struct net_ip ip;
	unsigned n_names;
	char names[GATEWAY_MAX_DNS_NAMES][GATEWAY_HOSTNAME_MAX];
};

/* <dns><srv>; domain "": the network's. */
struct gateway_srv {
	char service[64], protocol[64];
	char domain[GATEWAY_HOSTNAME_MAX], target[GATEWAY_HOSTNAME_MAX];
	uint16_t port, priority, weight;
};

struct gateway_txt {
	char name[GATEWAY_HOSTNAME_MAX], value[GATEWAY_TEXT_MAX];
};

/* <dns><forwarder>: who is asked, about 'domain' ("": everything). ip.family 0: such names are answered from here
 * alone. */
struct gateway_forwarder {
	struct net_ip ip;
	char domain[GATEWAY_HOSTNAME_MAX];
};

/* A network that a guest leads to. */
struct gateway_route {
	struct net_ip net;     /* with prefix */
	struct net_ip gateway; /* in the network of one of the addresses */
	uint32_t metric;       /* 0: 1, libvirt's */
};

/* GATEWAY_NAT and GATEWAY_MASQUERADE only. Host and guest are of one family. One port of the host can be forwarded once,
 * or once for each family when both are for every address. */
struct gateway_forward {
	uint8_t proto;      /* enum gateway_proto */
	struct net_ip host; /* all zero: every address of the host */
	uint16_t host_port;
	struct net_ip guest;
	uint16_t guest_port;
};

struct gateway_config {
	char name[NET_NAME_MAX]; /* of the network, for messages */
	uint8_t uuid[16];
	uint8_t kind;
	char ifname
		[NET_IFNAME_MAX]; /* of the tap; with "%d" in it (not GATEWAY_NAT) the kernel counts */
	uint8_t mac[NET_MAC_LEN]; /* of the tap; all zero: the kernel's choice */
	uint16_t mtu;             /* 0: NET_MTU_DEFAULT */
	char dev[NET_IFNAME_MAX]; /* ROUTE, MASQUERADE: only by this interface of the host's; "": by any */

	unsigned n_ips, n_ranges, n_hosts, n_routes;
	struct net_ip ips[GATEWAY_MAX_IPS]; /* with prefix */
	bool local_ptr[GATEWAY_MAX_IPS];    /* names of its addresses are never asked for outside */
	struct gateway_route routes[GATEWAY_MAX_ROUTES];
	struct gateway_range ranges[GATEWAY_MAX_RANGES];
	struct gateway_host hosts[GATEWAY_MAX_HOSTS];
	char bootp_file[GATEWAY_TEXT_MAX], bootp_server[GATEWAY_HOSTNAME_MAX];
	char tftp_root[GATEWAY_TEXT_MAX];

	bool dns;
	bool dns_local_only;    /* no resolver is asked but 'forwarders' */
	bool dns_forward_plain; /* names without a dot are asked for outside too */
	bool dns_hosts_file;    /* answer from the host's /etc/hosts too */
	unsigned n_dns_hosts, n_srv, n_txt, n_forwarders;
	struct gateway_dns_host dns_hosts[GATEWAY_MAX_DNS_HOSTS];
	struct gateway_srv srv[GATEWAY_MAX_RECORDS];
	struct gateway_txt txt[GATEWAY_MAX_RECORDS];
	struct gateway_forwarder forwarders[GATEWAY_MAX_FORWARDERS];
	char domain[GATEWAY_HOSTNAME_MAX];
	bool domain_local_only; /* names of 'domain' are never asked for outside */

	/* GATEWAY_MASQUERADE */
	struct net_ip nat_first, nat_last;      /* IPv4; family 0: the address of the way out */
	uint16_t nat_port_first, nat_port_last; /* 0: 1024 … 65535 */
	bool nat_ipv6;

	unsigned n_forwards;
	struct gateway_forward forwards[GATEWAY_MAX_FORWARDS];
};

/* Check the whole of it. Nothing that passes can add a line, a field or a comment to a file or a rule. Returns 0, or
 * a negative errno with 'error' set. */
int gateway_config_validate(const struct gateway_config *config, struct error *error);

struct gateway_lease {
	uint64_t expiry_s; /* of the epoch; 0: never */
	struct net_ip ip;  /* 32 or 128 */
	bool has_mac;      /* IPv4 */
	uint8_t mac[NET_MAC_LEN];
	char iaid[24];                       /* IPv6: "T" in front: temporary; "" */
	char hostname[GATEWAY_HOSTNAME_MAX]; /* "": not known */
	char client_id[GATEWAY_ID_MAX];      /* client ID or DUID, as text; "" */
};

/* The lines of a lease file of dnsmasq, newest state: at most 'max'; what is not a lease is passed over. Its content
 * is hostile: guests choose names and IDs. Returns how many. */
unsigned gateway_leases_parse(
	const char *text, size_t len, struct gateway_lease *ret_leases, unsigned max);

/* Each may free the gateway. */
struct gateway_ops {
	/* The tap is there, and guests are served. 'tap_fd' (devices/net/port-tap.h) is the callee's. Once, after
	 * gateway_new(). */
	void (*ready)(void *opaque, int tap_fd);
	/* It cannot be had: instead of ready(). Or the keeper was lost later and could not be had again. */
	void (*failed)(void *opaque, const struct error *error);
	/* A lease is new, has another owner, or is gone. May be NULL. */
	void (*lease)(void *opaque, const struct gateway_lease *lease, bool gone);
	/* Process 'pid' of this program has just been started: a control group can be made for it. May be NULL; must
	 * not free the gateway. */
	void (*started)(void *opaque, const char *program, pid_t pid);
};

/* Where a gateway puts things. The folders are the caller's and exist; the paths say where they are, for programs
 * that open files themselves. Fds are not kept. */
struct gateway_place {
	int runtime_fd;           /* the network's runtime folder: "gateway" is made in it */
	const char *runtime_path; /* absolute */
	int state_fd;             /* where UUID.leases is kept */
	const char *state_path;
	int log_fd; /* folder for "gateway:NAME.log"; negative: no log */
	const char *
		program_path; /* folders to find programs in, between colons; NULL: GATEWAY_PROGRAM_PATH */
};
#define GATEWAY_PROGRAM_PATH "/usr/sbin:/usr/bin:/sbin:/bin"

struct gateway;

/* Start it; ready() or failed() follows from the event loop. Returns 0, or a negative errno with 'error' set: the
 * configuration, a program that is missing ("network 'x' needs dnsmasq: install dnsmasq-base"), the folder. */
int gateway_new(sd_event *event, const struct gateway_config *config,
	const struct gateway_place *place, const struct gateway_ops *ops, void *opaque,
	struct gateway **ret_gateway, struct error *error);

/* Find the processes that another daemon started with the same configuration; those that died meanwhile are started
 * again. ready() is not called: the worker has its tap. Returns -ESRCH when there is nothing left to take over; what
 * remained has been removed then. */
int gateway_adopt(sd_event *event, const struct gateway_config *config,
	const struct gateway_place *place, const struct gateway_ops *ops, void *opaque,
	struct gateway **ret_gateway, struct error *error);

/* The daemon ends: let go of everything, and leave the processes alone. NULL is fine; answers NULL. */
struct gateway *gateway_release(struct gateway *gateway);

/* Kill its processes, remove its files; namespace and tap go with them (the tap when the worker's fd is closed, too).
 * Leases stay. NULL is fine; answers NULL. */
struct gateway *gateway_free(struct gateway *gateway);
DEFINE_CLEANUP(struct gateway *, gateway_free);

/* Another fd of the tap, for a worker that was started again. Returns it, or -errno before ready(). */
int gateway_tap_fd(const struct gateway *gateway);

/* The namespace, an fd of the gateway's; -EBADF without one. */
int gateway_netns_fd(const struct gateway *gateway);

/* What the tap is called: "%d" has become a number by the time of ready(). */
const char *gateway_ifname(const struct gateway *gateway);

/* A program that does not stay: "pasta ended with exit status 1". False: all that are wanted do. */
bool gateway_trouble(const struct gateway *gateway, char *ret_text, size_t size);

/* The leases that have not expired when the file was last written. The array is the gateway's, valid until the event
 * loop runs. */
unsigned gateway_leases(const struct gateway *gateway, const struct gateway_lease **ret_leases);

/* The network is undefined: forget its leases. Returns 0 or -errno. */
int gateway_remove_leases(int state_fd, const uint8_t uuid[16]);

/* net-update: take names, hosts, ranges, records and port forwards of 'config'; the rest of it must be as it was.
 * gateway-update.c says what it means to the programs; they follow within moments (gateway_follow()), and what fails with them is logged.
 * Returns 0, or a negative errno with 'error' set and nothing changed. */
int gateway_update(
	struct gateway *gateway, const struct gateway_config *config, struct error *error);

/* 'done' is called when the programs run with the configuration that the gateway has: within GATEWAY_SETUP_USEC, or with an error that
 * says which does not, and why. Never from within; always, once, also when the gateway ends before. Returns 0 or -ENOMEM with 'error' set. */
int gateway_follow(struct gateway *gateway, void (*done)(void *userdata, const struct error *error),
	void *userdata, struct error *error);
