/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the host is: see host.h. */
#include "daemon/host.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <systemd/sd-id128.h>
#include <unistd.h>

#include "vmm-core/base/cleanup.h"
#include "vmm-core/base/fdio.h"
#include "vmm-core/base/strutil.h"

#define MAX_VM_FD 256 /* a worker has its machine before its guest can make it open anything */
#define SYS_CPU   "/sys/devices/system/cpu/cpu0/topology/"

/* The number of CPUs in a list such as "0-3,8". */
static unsigned count_list(const char *path)
{
	_cleanup_(freep) char *text = NULL;
	unsigned n = 0;

	if (read_file(AT_FDCWD, path, 4096, &text, NULL) < 0)
		return 0;
	for (const char *p = text; *p && *p != '\n';) {
		unsigned first, last;
		int used = 0;

		if (sscanf(p, "%u-%u%n", &first, &last, &used) != 2 || !used) {
			if (sscanf(p, "%u%n", &first, &used) != 1)
				break;
			last = first;
		}
		if (last >= first)
			n += last - first + 1;
		p += used;
		if (*p == ',')
			p++;
	}
	return n;
}

/* The value of 'key' (the first CPU's) in /proc/cpuinfo, NULL if it is not there. */
static const char *find_value(const char *text, const char *key)
{
	size_t len = strlen(key);

	for (const char *p = text; p; p = strchr(p, '\n')) {
		if (*p == '\n')
			p++;
		if (strncmp(p, key, len) == 0 && (p[len] == '\t' || p[len] == ':')) {
			p = strchr(p, ':');
			return p && p[1] == ' ' ? p + 2 : NULL;
		}
	}
	return NULL;
}

static unsigned find_number(const char *text, const char *key)
{
	const char *s = find_value(text, key);
	unsigned n;

	return s && sscanf(s, "%u", &n) == 1 ? n : 0;
}

static void read_cpu(struct host_info *ret)
{
	_cleanup_(freep) char *text = NULL;
	const char *s;

	if (read_file(AT_FDCWD, "/proc/cpuinfo", 16 << 20, &text, NULL) < 0)
		return;
	ret->mhz = find_number(text, "cpu MHz");
	ret->cpu_family = find_number(text, "cpu family");
	ret->cpu_model = find_number(text, "model");
	ret->cpu_stepping = find_number(text, "stepping");
	ret->physaddr_bits = find_number(text, "address sizes");
	s = find_value(text, "microcode");
	ret->microcode = s ? strtoull(s, NULL, 16) : 0;
	s = find_value(text, "vendor_id");
	if (s && strncmp(s, "GenuineIntel", 12) == 0)
		strcpy(ret->cpu_vendor, "Intel");
	else if (s && strncmp(s, "AuthenticAMD", 12) == 0)
		strcpy(ret->cpu_vendor, "AMD");
}

static void read_uuid(uint8_t ret[16])
{
	/* Of this use of the machine id; any fixed random number does. */
	static const sd_id128_t app =
		SD_ID128_MAKE(6b, 1d, 0f, 52, 1c, 8a, 4b, 7e, 9e, 35, c2, 10, 44, 7d, a8, 63);
	sd_id128_t id;

	if (sd_id128_get_machine_app_specific(app, &id) >= 0)
		memcpy(ret, id.bytes, 16);
}

const char *host_paging(const char *root)
{
	static const struct {
		const char *file, *name;
	} modules[] = {{"kvm_intel/parameters/ept", "ept"}, {"kvm_amd/parameters/npt", "npt"}};

	for (size_t i = 0; i < ARRAY_SIZE(modules); i++) {
		_cleanup_(freep) char *text = NULL;
		char path[512];

		(void)snprintf(path, sizeof(path), "%s/sys/module/%s", root, modules[i].file);
		if (read_file(AT_FDCWD, path, 64, &text, NULL) == 0)
			return *text == 'Y' || *text == '1' ? modules[i].name : "shadow";
	}
	return "unknown";
}

uint64_t host_memory_kib(void)
{
	return (uint64_t)sysconf(_SC_PHYS_PAGES) * ((uint64_t)sysconf(_SC_PAGESIZE) / 1024);
}

static int read_number(const char *path, uint64_t *ret)
{
	_cleanup_(freep) char *text = NULL;

	return read_file(AT_FDCWD, path, 64, &text, NULL) == 0 && sscanf(text, "%" SCNu64, ret) == 1
		? 0
		: -ENOENT;
}

/* A machine's folder is PID-FD. Which fd is not ours to know; a folder of all machines takes longer to read the more there are. */
int host_halt_poll_times(const char *root, pid_t pid, struct host_halt_poll *ret)
{
	static const char dir[] = "/sys/kernel/debug/kvm";
	char path[512];

	(void)snprintf(path, sizeof(path), "%s%s", root, dir);
	if (access(path, X_OK) < 0)
		return -ENOENT;
	for (unsigned fd = 0; fd < MAX_VM_FD; fd++) {
		(void)snprintf(path, sizeof(path), "%s%s/%d-%u/halt_poll_success_ns", root, dir,
			(int)pid, fd);
		if (read_number(path, &ret->success_ns) < 0)
			continue;
		(void)snprintf(path, sizeof(path), "%s%s/%d-%u/halt_poll_fail_ns", root, dir,
			(int)pid, fd);
		return read_number(path, &ret->fail_ns);
	}
	return -ENOENT;
}

int host_halt_poll_max(const char *root, uint64_t *ret_ns)
{
	char path[512];

	(void)snprintf(path, sizeof(path), "%s/sys/module/kvm/parameters/halt_poll_ns", root);
	return read_number(path, ret_ns);
}

int host_read_meminfo(const char *path, uint64_t *ret_total_kib, uint64_t *ret_available_kib)
{
	_cleanup_(freep) char *text = NULL;
	const char *total, *available;
	int r = read_file(AT_FDCWD, path, 65536, &text, NULL);

	if (r < 0)
		return r;
	total = strstr(text, "MemTotal:");
	available = strstr(text, "MemAvailable:");
	if (!total || !available || sscanf(total, "MemTotal: %" SCNu64, ret_total_kib) != 1 ||
		sscanf(available, "MemAvailable: %" SCNu64, ret_available_kib) != 1)
		return -EBADMSG;
	return 0;
}

void host_info_read(struct host_info *ret)
{
	unsigned siblings = count_list(SYS_CPU "thread_siblings_list");
	unsigned package = count_list(SYS_CPU "core_siblings_list");
	struct utsname u;

	*ret = (struct host_info){0};
	if (uname(&u) == 0)
		(void)snprintf(ret->model, sizeof(ret->model), "%.31s", u.machine);
	ret->paging = host_paging("");
	ret->memory_kib = host_memory_kib();
	ret->cpus = (unsigned)sysconf(_SC_NPROCESSORS_ONLN);
	read_cpu(ret);
	read_uuid(ret->uuid);
	ret->nodes = MAX(count_list("/sys/devices/system/node/online"), 1U);
	ret->threads = MAX(siblings, 1U);
	package = MAX(package, ret->threads);
	ret->cores = package / ret->threads;
	ret->sockets = MAX(ret->cpus / package, 1U);
}
