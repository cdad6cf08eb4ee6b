/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Rules, by libnftables; in the keeper, which may block and has no use of its memory for anything else.
 *
 * Tested by tests/unit/test-gateway-host.c; what it finds in lists of chains by tests/unit/test-gateway.c.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <nftables/libnftables.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/gateway-internal.h"
#include "vmm-core/base/cleanup.h"
#include "vmm-core/base/strutil.h"

static void nft_freep(struct nft_ctx **nft)
{
	if (*nft)
		nft_ctx_free(*nft);
}

static struct nft_ctx *make(void)
{
	struct nft_ctx *nft = nft_ctx_new(NFT_CTX_DEFAULT);

	if (!nft)
		return NULL;
	if (nft_ctx_buffer_output(nft) == 0 && nft_ctx_buffer_error(nft) == 0)
		return nft;
	nft_ctx_free(nft);
	return NULL;
}

static bool is_netfilter_socket(int fd)
{
	int domain, protocol;
	socklen_t len = sizeof(int);

	return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0 && domain == AF_NETLINK &&
		getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &len) == 0 &&
		protocol == NETLINK_NETFILTER;
}

/* The first that is open, or -EBADF. Its number may be any: the daemon, whose child this is, may have many open. */
static int find_socket(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int found = -EBADF;
	struct dirent *e;

	if (!dir)
		return -errno;
	while (found < 0 && (e = readdir(dir)))
		if (*e->d_name != '.' && is_netfilter_socket(atoi(e->d_name)))
			found = atoi(e->d_name);
	(void)closedir(dir);
	return found;
}

/* The daemon's copies of other gateways' sockets, which this child has no use for: what is found from now on is the library's. */
static void drop_sockets(void)
{
	for (int fd; (fd = find_socket()) >= 0;)
		(void)close(fd);
}

/* Another fd of the library's socket: it does not tell, but nothing else here speaks to netfilter. */
static int copy_socket(void)
{
	int fd = find_socket(), copy;

	if (fd < 0)
		return fd;
	copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	return copy < 0 ? -errno : copy;
}

int gateway_load_rules(const char *rules, int *ret_fd, struct error *error)
{
	_cleanup_(nft_freep) struct nft_ctx *nft = NULL;
	int fd;

	if (ret_fd)
		drop_sockets();
	nft = make();
	if (!nft)
		return error_set(error, ERROR_NO_MEMORY, "nftables");
	if (nft_run_cmd_from_buffer(nft, rules) != 0) {
		char said[512];

		(void)snprintf(said, sizeof(said), "%s", nft_ctx_get_error_buffer(nft));
		said[strcspn(said, "\n")] = 0;
		return error_set(
			error, ERROR_OPERATION_FAILED, "nftables takes no rules: %s", said);
	}
	if (!ret_fd)
		return 0;
	fd = copy_socket();
	if (fd < 0)
		return error_set_errno(error, fd, "cannot keep the socket of nftables");
	*ret_fd = fd;
	return 0;
}

/* A base chain: where it is, and its hook. */
struct chain {
	char family[16], table[128], name[128], hook[16];
};

static void describe(const struct chain *c, const char *ifname, char *ret, size_t size)
{
	bool forward = streq(c->hook, "forward"), nat4 = streq(c->family, "ip");
	const char *what = forward ? "nothing is forwarded for" : "DHCP and DNS do not serve";
	const char *again = forward ? ", and once more with -o" : "";

	if (streq(c->table, "firewalld"))
		(void)snprintf(ret, size,
			"firewalld filters: %s '%s' before it is in a zone: firewall-cmd "
			"--zone=trusted --add-interface=%s",
			what, ifname, ifname);
	else if ((nat4 || streq(c->family, "ip6")) && streq(c->table, "filter"))
		(void)snprintf(ret, size,
			"chain %s of iptables drops what it has no rule for: %s '%s' before one "
			"accepts it: %s -I %s -i %s -j ACCEPT%s",
			c->name, what, ifname, nat4 ? "iptables" : "ip6tables", c->name, ifname,
			again);
	else
		(void)snprintf(ret, size,
			"chain %s of table %s %s drops what it has no rule for: %s '%s' before one "
			"accepts it: nft insert rule %s %s %s iifname %s accept%s",
			c->name, c->family, c->table, what, ifname, c->family, c->table, c->name,
			ifname, forward ? ", and once more with oifname" : "");
}

/* One line: what it says of the chain that is being described, which drops if this is true. */
static bool take_line(const char *line, struct chain *c)
{
	char type[16];

	if (sscanf(line, "table %15s %127s {", c->family, c->table) == 2 ||
		sscanf(line, " chain %127s {", c->name) == 1)
		return false;
	/* Of firewalld's chains the last rule drops. */
	return sscanf(line, " type %15s hook %15s", type, c->hook) == 2 && streq(type, "filter") &&
		(strstr(line, "policy drop;") || streq(c->table, "firewalld"));
}

bool gateway_find_drop_in(
	const char *list, const char *hook, const char *ifname, char *ret_text, size_t size)
{
	struct chain chain = {0};
	char line[512];

	while (*list) {
		size_t len = strcspn(list, "\n");

		(void)snprintf(line, sizeof(line), "%.*s", (int)MIN(len, sizeof(line) - 1), list);
		if (take_line(line, &chain) && streq(chain.hook, hook)) {
			describe(&chain, ifname, ret_text, size);
			return true;
		}
		list += len + (list[len] == '\n');
	}
	return false;
}

bool gateway_find_drop(const char *hook, const char *ifname, char *ret_text, size_t size)
{
	_cleanup_(nft_freep) struct nft_ctx *nft = make();

	return nft && nft_run_cmd_from_buffer(nft, "list chains") == 0 &&
		gateway_find_drop_in(nft_ctx_get_output_buffer(nft), hook, ifname, ret_text, size);
}
