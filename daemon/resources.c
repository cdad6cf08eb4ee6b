/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A configuration turned into open files: see resources.h. The character devices are resources-chardev.c's, guest memory is resources-memory.c's. */
#include "daemon/resources.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "daemon/resources-internal.h"
#include "daemon/stats-view.h"
#include "vmm-core/base/cleanup.h"
#include "vmm-core/base/fdio.h"
#include "vmm-core/base/strutil.h"
#include "vmm-core/boot/kernel-probe.h"

int resources_add(struct resources *res, enum proto_fd_kind kind, unsigned index, unsigned flags,
	int fd, struct error *error)
{
	if (res->n >= PROTO_MAX_FDS) {
		(void)safe_close(fd);
		return error_set(error, ERROR_CONFIG_UNSUPPORTED,
			"the domain needs more than %d open files; use fewer devices",
			PROTO_MAX_FDS);
	}
	res->what[res->n] = (struct proto_fd){
		.kind = (uint8_t)kind, .index = (uint8_t)index, .flags = (uint8_t)flags};
	res->fds[res->n++] = fd;
	return 0;
}

void resources_close(struct resources *res)
{
	for (unsigned i = 0; i < res->n; i++)
		(void)safe_close(res->fds[i]);
	res->n = 0;
	res->stats_fd = -EBADF;
}

/* Pass 1: what exists. */

static int open_kvm(struct resources *res, const struct resources_env *env, struct error *error)
{
	int fd;

	if (!env->kvm_path)
		return 0;
	fd = open(env->kvm_path, O_RDWR | O_CLOEXEC | O_NOCTTY);
	if (fd >= 0)
		return resources_add(res, PROTO_FD_KVM, 0, 0, fd, error);
	if (errno == ENOENT)
		return error_set(error, ERROR_CONFIG_UNSUPPORTED,
			"there is no %s: the CPU or the firmware has virtualisation switched off, "
			"or "
			"the kvm module is not loaded",
			env->kvm_path);
	return error_set_errno(error, errno, "cannot open '%s'", env->kvm_path);
}

static int open_boot_file(
	struct resources *res, const char *path, enum proto_fd_kind kind, struct error *error)
{
	_cleanup_(closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	const char *what = kind == PROTO_FD_KERNEL ? "kernel" : "initrd";
	struct kernel_image image;
	char reason[256];
	struct stat st;

	if (fd < 0)
		return error_set_errno(error, errno, "cannot open the %s '%s'", what, path);
	if (fstat(fd, &st) < 0)
		return error_set_errno(error, errno, "cannot open the %s '%s'", what, path);
	if (!S_ISREG(st.st_mode))
		return error_set(error, ERROR_OPERATION_FAILED, "the %s '%s' is not a regular file",
			what, path);
	if (kind == PROTO_FD_KERNEL && kernel_probe(fd, &image, reason, sizeof(reason)) < 0)
		return error_set(
			error, ERROR_OPERATION_FAILED, "'%s' cannot be booted: %s", path, reason);
	return resources_add(res, kind, 0, 0, TAKE_FD(fd), error);
}

static int open_kernel(
	struct resources *res, const struct domain_config *config, struct error *error)
{
	int r;

	if (!config->vm.has_kernel || !config->kernel[0])
		return error_set(error, ERROR_CONFIG_UNSUPPORTED,
			"domain '%s' has no <kernel>: vmmd boots kernels directly; write "
			"<os><kernel>/path/to/vmlinuz</kernel></os>",
			config->vm.name);
	r = open_boot_file(res, config->kernel, PROTO_FD_KERNEL, error);
	if (r == 0 && config->vm.has_initrd && config->initrd[0])
		r = open_boot_file(res, config->initrd, PROTO_FD_INITRD, error);
	return r;
}

static int open_disks(struct resources *res, const struct domain_config *config,
	const struct resources_env *env, struct error *error)
{
	for (unsigned i = 0; i < config->vm.n_disks; i++) {
		const struct vm_disk *disk = &config->vm.disks[i];
		_cleanup_(freep) char *text = NULL;
		int fd, r;

		if (!config->disks[i].path[0])
			continue; /* a drive without a medium */
		r = resources_open_disk(&config->disks[i], disk, env, &fd, &text);
		if (r == -EBUSY)
			return error_set(
				error, ERROR_RESOURCE_BUSY, "%s", text ? text : disk->target);
		if (r == -ENOMEM)
			return error_set(error, ERROR_NO_MEMORY, "disk");
		if (r < 0)
			return error_set(error, ERROR_OPERATION_FAILED, "disk '%s': %s",
				disk->target, text ? text : strerror(-r));
		r = resources_add(res, PROTO_FD_DISK, i, 0, fd, error);
		if (r < 0)
			return r;
	}
	return 0;
}

static int open_rng(struct resources *res, const struct domain_config *config, struct error *error)
{
	const char *path = config->rng_path[0] ? config->rng_path : "/dev/urandom";
	int fd;

	if (config->vm.rng.source != VM_RNG_RANDOM)
		return 0;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0)
		return error_set_errno(error, errno, "cannot open the entropy source '%s'", path);
	return resources_add(res, PROTO_FD_RNG, 0, 0, fd, error);
}

uint64_t resources_available_kib(void)
{
	_cleanup_(freep) char *text = NULL;
	unsigned long long kib;
	char *p;

	if (read_file(AT_FDCWD, "/proc/meminfo", 65536, &text, NULL) < 0)
		return 0;
	p = strstr(text, "MemAvailable:");
	return p && sscanf(p, "MemAvailable: %llu", &kib) == 1 ? kib : 0;
}

/* Raising a hard limit takes CAP_SYS_RESOURCE (setrlimit(2)): then the jail gives the worker what it needs. */
uint64_t resources_memlock_kib(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2] = {0};
	struct rlimit limit;

	if (syscall(SYS_capget, &header, data) == 0 &&
		data[0].effective & UINT32_C(1) << CAP_SYS_RESOURCE)
		return UINT64_MAX;
	if (getrlimit(RLIMIT_MEMLOCK, &limit) < 0 || limit.rlim_max == RLIM_INFINITY)
		return UINT64_MAX;
	return limit.rlim_max / 1024;
}

int resources_host_cpus(uint64_t ret_set[CPUSET_WORDS])
{
	_cleanup_(freep) char *text = NULL;
	int r = read_file(AT_FDCWD, "/sys/devices/system/cpu/online", CPUSET_TEXT_MAX, &text, NULL);

	return r < 0 ? r : cpuset_parse(text, ret_set);
}

static int check_cpuset(const struct domain_config *config, const struct resources_env *env,
	const uint64_t cpus[CPUSET_WORDS], const char *path, struct error *error)
{
	char text[CPUSET_TEXT_MAX];
	int cpu = cpuset_first_outside(cpus, env->host_cpus);

	if (cpu < 0)
		return 0;
	cpuset_format(env->host_cpus, text);
	return error_set(error, ERROR_CONFIG_UNSUPPORTED,
		"domain '%s': %s: the host has no CPU %d, or it is offline; write some of %.64s",
		config->vm.name, path, cpu, text);
}

static int check_cpus(
	const struct domain_config *config, const struct resources_env *env, struct error *error)
{
	const struct domain_cputune *tune = &config->cputune;
	char path[48];
	int r;

	if (!env->host_cpus)
		return 0;
	r = check_cpuset(config, env, config->vm.cpuset, "vcpu/@cpuset", error);
	if (r == 0)
		r = check_cpuset(config, env, tune->emulator_pin, "cputune/emulatorpin", error);
	for (uint32_t i = 0; r == 0 && i < tune->n_pins; i++) {
		if (tune->pins[i].vcpu >= config->vm.vcpus_max)
			continue;
		(void)snprintf(path, sizeof(path), "cputune/vcpupin[%u]", i + 1);
		r = check_cpuset(config, env, tune->pins[i].cpus, path, error);
	}
	for (uint32_t i = 0; r == 0 && i < tune->n_iothread_pins; i++) {
		(void)snprintf(path, sizeof(path), "cputune/iothreadpin[%u]", i + 1);
		r = check_cpuset(config, env, tune->iothread_pins[i].cpus, path, error);
	}
	return r;
}

/* Pass 2: what is made. */

static int make_stats(struct resources *res, struct error *error)
{
	int fd = stats_view_create(STATS_VM), r;

	if (fd < 0)
		return error_set_errno(error, fd, "cannot make the statistics page");
	r = resources_add(res, PROTO_FD_STATS, 0, 0, fd, error);
	if (r == 0)
		res->stats_fd = fd;
	return r;
}

static int64_t wall_offset(const struct vm_config *vm)
{
	time_t now = time(NULL);
	struct tm tm;

	(void)localtime_r(&now, &tm);
	switch (vm->clock_offset) {
	case VM_CLOCK_LOCALTIME:
		return tm.tm_gmtoff;
	case VM_CLOCK_VARIABLE:
		return vm->clock_adjustment_s + (vm->clock_basis_localtime ? tm.tm_gmtoff : 0);
	case VM_CLOCK_ABSOLUTE:
		return vm->clock_start_s - now;
	default:
		return 0;
	}
}

static int open_existing(struct resources *res, const struct domain_config *config,
	const struct resources_env *env, struct error *error)
{
	int r = open_kernel(res, config, error);

	if (r == 0)
		r = open_disks(res, config, env, error);
	if (r == 0)
		r = open_rng(res, config, error);
	if (r == 0)
		r = resources_check_memory(config, env, error);
	if (r == 0)
		r = check_cpus(config, env, error);
	if (r == 0)
		r = open_kvm(res, env, error);
	return r;
}

int resources_open(const struct domain_config *config, const struct resources_env *env,
	struct resources *ret, struct error *error)
{
	struct resources res = {.stats_fd = -EBADF};
	int fd, r;

	/* The configuration is always the first fd. */
	fd = memfd_from_data("vmmd-config", &config->vm, sizeof(config->vm));
	if (fd < 0)
		return error_set_errno(error, fd, "cannot make a memory file");
	r = resources_add(&res, PROTO_FD_CONFIG, 0, 0, fd, error);
	if (r == 0)
		r = open_existing(&res, config, env, error);
	if (r == 0)
		r = resources_check_chardevs(config, error);
	if (r == 0)
		r = resources_make_memory(&res, config, error);
	if (r == 0)
		r = make_stats(&res, error);
	if (r == 0)
		r = resources_make_chardevs(&res, config, env, error);
	if (r < 0) {
		resources_close(&res);
		return r;
	}
	res.wall_offset_s = wall_offset(&config->vm);
	*ret = res;
	return 0;
}
