/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A gateway's folder: what the programs read, and are shown.
 *
 * Tested by tests/unit/test-gateway-nat.c, -host.c and -life.c.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "daemon/gateway-internal.h"
#include "vmm-core/base/fdio.h"
#include "vmm-core/base/strutil.h"

#define DIR_NAME "gateway"

/* What is in the folder, for removing it. */
static const char *const files[] = {"dnsmasq.conf", "dnsmasq.conf.new", "hosts", "hosts.new",
	"dhcp-hosts", "dhcp-hosts.new", "dnsmasq.pid", "status", "status.new", "log", "keeper"};
/* The folders, and what another file system is mounted on, for a process alone. */
static const char *const folders[] = {"resolv", "user", "user/0", "user/0/netns"};
#define NETNS_FILE "user/0/netns/vmmd"

/* The user that dnsmasq becomes: its own where the package has made it. */
void gateway_find_user(struct gateway *g)
{
	_cleanup_(freep) char *text = NULL;
	bool own = read_file(AT_FDCWD, "/etc/passwd", MIB(1), &text, NULL) == 0 &&
		(strncmp(text, "dnsmasq:", 8) == 0 || strstr(text, "\ndnsmasq:"));

	(void)str_copy(g->dnsmasq_user, sizeof(g->dnsmasq_user), own ? "dnsmasq" : "nobody");
}

int gateway_open_dirs(struct gateway *g, const struct gateway_place *place, bool create)
{
	g->runtime_fd = fcntl(place->runtime_fd, F_DUPFD_CLOEXEC, 3);
	g->state_fd = fcntl(place->state_fd, F_DUPFD_CLOEXEC, 3);
	if (g->runtime_fd < 0 || g->state_fd < 0)
		return -errno;
	if ((size_t)snprintf(g->dir_path, sizeof(g->dir_path), "%s/" DIR_NAME,
		    place->runtime_path) >= sizeof(g->dir_path) ||
		str_copy(g->state_path, sizeof(g->state_path), place->state_path) < 0)
		return -ENAMETOOLONG;
	if (create && mkdirat(g->runtime_fd, DIR_NAME, 0755) < 0 && errno != EEXIST)
		return -errno;
	g->dir_fd =
		openat(g->runtime_fd, DIR_NAME, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (g->dir_fd < 0)
		return -errno;
	return create && fchmod(g->dir_fd, 0755) < 0 ? -errno : 0;
}

/* Where the host's resolv.conf really is. dnsmasq does not see the host's /run: if it is there, its folder is shown. */
void gateway_find_resolv(struct gateway *g, char *ret_path, size_t size)
{
	char *path = realpath("/etc/resolv.conf", NULL), *base = path ? strrchr(path, '/') : NULL;

	g->resolv_dir[0] = 0;
	(void)snprintf(ret_path, size, "%s", path ? path : "/etc/resolv.conf");
	if (base && strncmp(path, "/run/", 5) == 0 && base > path + 4) {
		(void)snprintf(ret_path, size, GATEWAY_RESOLV "%s", base);
		*base = 0;
		(void)str_copy(g->resolv_dir, sizeof(g->resolv_dir), path);
	}
	free(path);
}

static int make_folders(const struct gateway *g)
{
	_cleanup_(closep) int fd = -EBADF;

	for (size_t i = 0; i < ARRAY_SIZE(folders); i++)
		if (mkdirat(g->dir_fd, folders[i], 0755) < 0 && errno != EEXIST)
			return -errno;
	fd = openat(g->dir_fd, NETNS_FILE, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0644);
	return fd < 0 ? -errno : 0;
}

int gateway_format_conf(struct gateway *g, const struct gateway_config *c, char **ret_text)
{
	char name[UUID_STRING_LEN + 16], leases[sizeof(g->state_path) + sizeof(name) + 1];
	char resolv[GATEWAY_TEXT_MAX];
	struct gateway_paths paths = {"/run", leases, resolv};

	gateway_find_resolv(g, resolv, sizeof(resolv));
	gateway_lease_name(c->uuid, name, sizeof(name));
	(void)snprintf(leases, sizeof(leases), "%s/%s", g->state_path, name);
	return gateway_dnsmasq_conf(c, &paths, g->dnsmasq_user, ret_text);
}

static int write_hosts(const struct gateway *g, const struct gateway_config *c)
{
	_cleanup_(freep) char *hosts = NULL, *dhcp_hosts = NULL;
	int r;

	r = gateway_dnsmasq_hosts(c, &hosts);
	if (r == 0)
		r = gateway_dnsmasq_dhcp_hosts(c, &dhcp_hosts);
	if (r == 0)
		r = gateway_write_file(g->dir_fd, "hosts", hosts, 0644);
	return r == 0 ? gateway_write_file(g->dir_fd, "dhcp-hosts", dhcp_hosts, 0644) : r;
}

int gateway_write_files(struct gateway *g, const struct gateway_config *c)
{
	_cleanup_(freep) char *conf = NULL;
	int r = make_folders(g);

	if (r == 0)
		r = gateway_format_conf(g, c, &conf);
	if (r == 0)
		r = gateway_write_file(g->dir_fd, "dnsmasq.conf", conf, 0644);
	return r == 0 ? write_hosts(g, c) : r;
}

void gateway_remove_files(const struct gateway *g)
{
	if (g->dir_fd < 0)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(files); i++)
		(void)unlinkat(g->dir_fd, files[i], 0);
	(void)unlinkat(g->dir_fd, NETNS_FILE, 0);
	for (size_t i = ARRAY_SIZE(folders); i-- > 0;)
		(void)unlinkat(g->dir_fd, folders[i], AT_REMOVEDIR);
	(void)unlinkat(g->runtime_fd, DIR_NAME, AT_REMOVEDIR);
}
