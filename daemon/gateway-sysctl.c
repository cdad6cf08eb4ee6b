/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a gateway sets below /proc/sys/net: by a proc file system of its own, because the daemon's may be read-only
 * (ProtectKernelTunables=); it is mounted nowhere.
 *
 * Tested by tests/unit/test-gateway-nat.c and tests/unit/test-gateway-host.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>

#include "config/net-config.h"
#include "daemon/gateway-internal.h"
#include "vmm-core/base/fdio.h"
#include "vmm-core/base/strutil.h"

/* From <linux/ipv6_route.h>: learned from an advertisement. */
#define ROUTE_ADVERTISED UINT32_C(0x00040000)

static int open_proc(struct error *error)
{
	_cleanup_(closep) int fs_fd = fsopen("proc", FSOPEN_CLOEXEC);
	int fd;

	if (fs_fd < 0 || fsconfig(fs_fd, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return error_set_errno(error, errno, "cannot make a proc file system");
	fd = fsmount(fs_fd, FSMOUNT_CLOEXEC, 0);
	return fd < 0 ? error_set_errno(error, errno, "cannot mount a proc file system") : fd;
}

/* A host without IPv6 has none of its files: that is no error. */
static int put(int proc_fd, const char *path, const char *value, struct error *error)
{
	_cleanup_(closep) int fd = openat(proc_fd, path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 && errno == ENOENT && strstr(path, "ipv6"))
		return 0;
	if (fd < 0 || write(fd, value, 1) != 1)
		return error_set_errno(error, errno, "cannot write /proc/%s", path);
	return 0;
}

/* The digit in it, or '0'. */
static char get(int proc_fd, const char *path)
{
	_cleanup_(closep) int fd = openat(proc_fd, path, O_RDONLY | O_CLOEXEC);
	char digit;

	return fd >= 0 && read(fd, &digit, 1) == 1 ? digit : '0';
}

/* Forwarding; 127.0.0.1 as a source (see dnat_self); answers may come by another interface than the route says; the
 * addresses are ours for certain. */
int gateway_set_inside(struct error *error)
{
	static const struct {
		const char *path, *value;
	} sysctls[] = {
		{"sys/net/ipv4/ip_forward", "1"},
		{"sys/net/ipv4/conf/all/route_localnet", "1"},
		{"sys/net/ipv4/conf/all/rp_filter", "0"},
		{"sys/net/ipv4/conf/default/rp_filter", "0"},
		{"sys/net/ipv6/conf/all/disable_ipv6", "0"},
		{"sys/net/ipv6/conf/default/disable_ipv6", "0"},
		{"sys/net/ipv6/conf/default/accept_dad", "0"},
		{"sys/net/ipv6/conf/all/forwarding", "1"},
	};
	_cleanup_(closep) int proc_fd = open_proc(error);
	int r = proc_fd < 0 ? proc_fd : 0;

	for (size_t i = 0; i < ARRAY_SIZE(sysctls) && r == 0; i++)
		r = put(proc_fd, sysctls[i].path, sysctls[i].value, error);
	return r;
}

/* An interface whose routes the kernel would forget: learned from advertisements, which it no longer takes when it
 * forwards, unless accept_ra is 2. */
static bool find_advertised(int proc_fd, char ret_ifname[NET_IFNAME_MAX])
{
	_cleanup_(freep) char *text = NULL;

	if (read_file(proc_fd, "self/net/ipv6_route", MIB(4), &text, NULL) < 0)
		return false;
	for (const char *line = text; line && *line; line = strchr(line, '\n')) {
		char ifname[NET_IFNAME_MAX], path[96];
		uint32_t flags;

		if (*line == '\n')
			line++;
		if (sscanf(line, "%*s %*s %*s %*s %*s %*s %*s %*s %" SCNx32 " %15s", &flags,
			    ifname) != 2 ||
			!(flags & ROUTE_ADVERTISED))
			continue;
		(void)snprintf(path, sizeof(path), "sys/net/ipv6/conf/%s/accept_ra", ifname);
		if (get(proc_fd, path) == '2')
			continue;
		(void)str_copy(ret_ifname, NET_IFNAME_MAX, ifname);
		return true;
	}
	return false;
}

static int forward_ipv6(int proc_fd, struct error *error)
{
	static const char path[] = "sys/net/ipv6/conf/all/forwarding";
	char ifname[NET_IFNAME_MAX];

	if (get(proc_fd, path) != '0')
		return 0;
	if (find_advertised(proc_fd, ifname))
		return error_set(error, ERROR_OPERATION_FAILED,
			"the host has its IPv6 routes by '%s' from router advertisements, and "
			"would "
			"lose them when it forwards IPv6: set net.ipv6.conf.%s.accept_ra=2 first",
			ifname, ifname);
	return put(proc_fd, path, "1", error);
}

/* Guests neither advertise routes to the host nor reach it by link-local addresses alone. */
static int set_tap(
	int proc_fd, const struct gateway_config *c, const char *ifname, struct error *error)
{
	const struct {
		const char *name, *value;
	} sysctls[] = {
		{"accept_ra", "0"},
		{"autoconf", "0"},
		{"disable_ipv6", gateway_has_family(c, 6) ? "0" : "1"},
	};
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(sysctls) && r == 0; i++) {
		char path[96];

		(void)snprintf(
			path, sizeof(path), "sys/net/ipv6/conf/%s/%s", ifname, sysctls[i].name);
		r = put(proc_fd, path, sysctls[i].value, error);
	}
	return r;
}

int gateway_set_host(const struct gateway_config *c, const char *ifname, struct error *error)
{
	_cleanup_(closep) int proc_fd = open_proc(error);
	int r = proc_fd < 0 ? proc_fd : set_tap(proc_fd, c, ifname, error);

	if (r < 0 || !gateway_leads_out(c))
		return r;
	if (gateway_has_family(c, 4) && get(proc_fd, "sys/net/ipv4/ip_forward") == '0')
		r = put(proc_fd, "sys/net/ipv4/ip_forward", "1", error);
	if (r == 0 && gateway_has_family(c, 6))
		r = forward_ipv6(proc_fd, error);
	return r;
}
