/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The checks of a host: see doctor.h. */
#include "daemon/doctor.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/timex.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "build-config.h"
#include "daemon/cgroup.h"
#include "daemon/memory-policy.h"
#include "daemon/network.h"
#include "daemon/psi.h"
#include "vmm-core/base/fdio.h"
#include "vmm-core/base/strutil.h"

#define KERNEL_MIN_MAJOR 5 /* Landlock is there from 5.13 on */
#define KERNEL_MIN_MINOR 13
#define MAX_FILE         (16U << 20)

const char *doctor_verdict_name(enum doctor_verdict verdict)
{
	static const char *const names[DOCTOR_VERDICT_X_MAX] = {
		[DOCTOR_OK] = "ok",
		[DOCTOR_WARNING] = "warning",
		[DOCTOR_PROBLEM] = "problem",
	};

	return names[verdict];
}

static void add_text(struct json_object *o, const char *key, const char *value)
{
	char text[DOCTOR_TEXT_MAX];

	(void)snprintf(text, sizeof(text), "%s", value);
	text_clean(text);
	json_object_object_add(o, key, json_object_new_string(text));
}

void doctor_say(struct doctor *doctor, enum doctor_verdict verdict, const char *subject,
	const char *remedy, const char *format, ...)
{
	char text[DOCTOR_TEXT_MAX];
	struct json_object *o;
	va_list ap;

	if (json_object_array_length(doctor->findings) >= DOCTOR_MAX_FINDINGS) {
		doctor->n_left_out++;
		return;
	}
	va_start(ap, format);
	(void)vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	o = json_object_new_object();
	add_text(o, "check", doctor->check);
	add_text(o, "verdict", doctor_verdict_name(verdict));
	add_text(o, "subject", subject);
	add_text(o, "text", text);
	add_text(o, "remedy", remedy);
	json_object_array_add(doctor->findings, o);
}

static void path_of(const struct doctor *doctor, const char *path, char ret[static 512])
{
	(void)snprintf(ret, 512, "%s%s", doctor->root, path);
}

char *doctor_read(const struct doctor *doctor, const char *path)
{
	char full[512], *text = NULL;

	path_of(doctor, path, full);
	return read_file(AT_FDCWD, full, MAX_FILE, &text, NULL) == 0 ? text : NULL;
}

bool doctor_exists(const struct doctor *doctor, const char *path)
{
	char full[512];

	path_of(doctor, path, full);
	return access(full, F_OK) == 0;
}

static bool file_says(const struct doctor *doctor, const char *path, const char *what)
{
	_cleanup_(freep) char *text = doctor_read(doctor, path);

	return text && strncmp(text, what, strlen(what)) == 0;
}

/* The first CPU's flags have this word. */
static bool has_flag(const char *cpuinfo, const char *flag)
{
	const char *p = strstr(cpuinfo, "\nflags"), *end = p ? strchr(p + 1, '\n') : NULL;
	size_t len = strlen(flag);

	while (p && (p = strstr(p + 1, flag)) && (!end || p < end))
		if (p[-1] == ' ' && (p[len] == ' ' || p[len] == '\n' || !p[len]))
			return true;
	return false;
}

static void check_kvm(struct doctor *d)
{
	_cleanup_(closep) int fd = -EBADF;
	char path[512];

	path_of(d, "/dev/kvm", path);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd >= 0)
		doctor_say(d, DOCTOR_OK, "", "", "/dev/kvm can be used");
	else if (errno == ENOENT)
		doctor_say(d, DOCTOR_PROBLEM, "",
			"Switch on virtualization (VT-x, AMD-V, SVM) in the firmware's setup, or "
			"nested "
			"virtualization in the host's own hypervisor; then modprobe kvm_intel or "
			"kvm_amd.",
			"there is no /dev/kvm: no domain can start");
	else
		doctor_say(d, DOCTOR_PROBLEM, "",
			d->manager->options.session
				? "Add the user to the group that owns /dev/kvm (kvm)."
				: "Look at the modes of /dev/kvm and DeviceAllow= of vmmd.service.",
			"/dev/kvm cannot be opened: %s", strerror(errno));
}

static void check_cpu(struct doctor *d)
{
	_cleanup_(freep) char *text = doctor_read(d, "/proc/cpuinfo");
	bool vmx = text && has_flag(text, "vmx"), svm = text && has_flag(text, "svm");

	if (!vmx && !svm)
		doctor_say(d, DOCTOR_WARNING, "",
			"Where there is a choice, use a host with VT-x or AMD-V: without them "
			"guests run "
			"many times slower, if at all.",
			"the CPU shows neither vmx nor svm");
	else if (!has_flag(text, vmx ? "ept" : "npt"))
		doctor_say(d, DOCTOR_WARNING, "",
			"Look for second-level address translation in the setup of the firmware or "
			"the "
			"hypervisor below.",
			"the CPU has %s without %s: guests' memory is slow", vmx ? "vmx" : "svm",
			vmx ? "ept" : "npt");
	else
		doctor_say(d, DOCTOR_OK, "", "", "the CPU has %s", vmx ? "VT-x" : "AMD-V");
	if (text && has_flag(text, "hypervisor"))
		doctor_say(d, DOCTOR_WARNING, "",
			"Expect exits to be slow, and benchmarks not to mean what they say "
			"elsewhere.",
			"this host is a virtual machine itself: guests are nested");
}

static void check_hugepages(struct doctor *d)
{
	/* Guests' memory is shared memory: "enabled" is for other memory. */
	_cleanup_(freep) char *text =
		doctor_read(d, "/sys/kernel/mm/transparent_hugepage/shmem_enabled");

	if (text && (strstr(text, "[never]") || strstr(text, "[deny]")))
		doctor_say(d, DOCTOR_WARNING, "",
			"echo advise >/sys/kernel/mm/transparent_hugepage/shmem_enabled, or give "
			"domains <hugepages/>.",
			"there are no transparent huge pages for guests: their memory is slower "
			"than it could be");
	else
		doctor_say(d, DOCTOR_OK, "", "", "transparent huge pages for guests are %s",
			text ? "on" : "not to be had");
}

static void check_cgroup(struct doctor *d)
{
	static const char *const kinds[CGROUP_KIND_X_MAX] = {
		[CGROUP_NONE] = "none",
		[CGROUP_V1] = "version 1",
		[CGROUP_V2] = "version 2",
		[CGROUP_SYSTEMD] = "systemd's scopes",
	};
	const struct cgroup_root *root = d->manager->cgroup_root;
	enum cgroup_kind kind = root ? cgroup_root_kind(root) : CGROUP_NONE;

	if (kind == CGROUP_NONE)
		doctor_say(d, DOCTOR_WARNING, "",
			"Run vmmd as a service of systemd, or give it a control group of its own.",
			"workers get no control groups: only their rlimits hold them");
	else
		doctor_say(d, DOCTOR_OK, "", "", "control groups: %s", kinds[kind]);
}

static bool process_runs(const struct doctor *d, const char *name)
{
	char path[512];
	struct dirent *e;
	bool found = false;
	DIR *dir;

	path_of(d, "/proc", path);
	dir = opendir(path);
	while (dir && !found && (e = readdir(dir))) {
		char comm[64], line[64];

		if (e->d_name[0] < '1' || e->d_name[0] > '9' || strlen(e->d_name) > 16)
			continue;
		(void)snprintf(comm, sizeof(comm), "/proc/%.16s/comm", e->d_name);
		(void)snprintf(line, sizeof(line), "%s\n", name);
		found = file_says(d, comm, line);
	}
	if (dir)
		(void)closedir(dir);
	return found;
}

/* Some network's frames are forwarded by the host's kernel, and so seen by the host's firewall. */
static const struct network *forwarding(const struct doctor *d)
{
	struct list *pos;

	list_for_each (pos, &d->manager->networks) {
		const struct network *n = list_entry(pos, struct network, link);

		if (n->config &&
			(n->config->forward == NETWORK_ROUTE || n->config->forward == NETWORK_OPEN))
			return n;
	}
	return NULL;
}

static void check_firewall(struct doctor *d)
{
	const struct network *n = forwarding(d);
	bool found = false;

	if (file_says(d, "/proc/sys/net/bridge/bridge-nf-call-iptables", "1")) {
		found = true;
		doctor_say(d, DOCTOR_WARNING, "",
			"sysctl net.bridge.bridge-nf-call-iptables=0, unless something "
			"(Kubernetes) "
			"needs it.",
			"frames that pass a bridge of the host's are shown to iptables, whose "
			"FORWARD "
			"chain Docker and others close: interfaces on bridges may be cut off");
	}
	if (n && doctor_exists(d, "/sys/class/net/docker0")) {
		found = true;
		doctor_say(d, DOCTOR_WARNING, n->name,
			"iptables -I DOCKER-USER -i BRIDGE -j ACCEPT and -o BRIDGE, with the "
			"network's bridge; or <forward mode='nat'/>, which does not pass there.",
			"Docker drops what the host forwards, network '%s' forwards by the host",
			n->name);
	}
	if (n && process_runs(d, "firewalld")) {
		found = true;
		doctor_say(d, DOCTOR_WARNING, n->name,
			"firewall-cmd --zone=trusted --add-interface=BRIDGE, with the network's "
			"bridge.",
			"firewalld filters what the host forwards, network '%s' forwards by the "
			"host",
			n->name);
	}
	if (!found)
		doctor_say(d, DOCTOR_OK, "", "", "no firewall of the host's is in the way");
}

static void check_clock(struct doctor *d)
{
	struct timex t = {0};

	/* Reading needs no right. */
	if (adjtimex(&t) == TIME_ERROR || (t.status & STA_UNSYNC))
		doctor_say(d, DOCTOR_WARNING, "",
			"Run a time service: systemctl enable --now systemd-timesyncd, or chrony.",
			"the host's clock is not synchronised: guests take theirs from it");
	else
		doctor_say(d, DOCTOR_OK, "", "", "the clock is synchronised (error at most %ld ms)",
			t.maxerror / 1000);
}

static void check_versions(struct doctor *d)
{
	const char *worker = d->manager->options.worker_path;
	unsigned major = 0, minor = 0;
	struct utsname u;

	if (uname(&u) < 0 || sscanf(u.release, "%u.%u", &major, &minor) != 2)
		(void)snprintf(u.release, sizeof(u.release), "unknown");
	if (major < KERNEL_MIN_MAJOR || (major == KERNEL_MIN_MAJOR && minor < KERNEL_MIN_MINOR))
		doctor_say(d, DOCTOR_WARNING, "", "Update the kernel.",
			"Linux %s has no Landlock: workers have a wall less", u.release);
	if (access(worker, X_OK) < 0)
		doctor_say(d, DOCTOR_PROBLEM, worker, "Install the package vmmd anew.",
			"the worker %s cannot be run: %s", worker, strerror(errno));
	else
		doctor_say(d, DOCTOR_OK, "", "", "vmmd %s on Linux %s", VMMD_VERSION, u.release);
}

static void check_apparmor(struct doctor *d)
{
	bool on = file_says(d, "/sys/module/apparmor/parameters/enabled", "Y");

	if (d->manager->options.session &&
		file_says(d, "/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1"))
		doctor_say(d, DOCTOR_WARNING, "",
			"sysctl kernel.apparmor_restrict_unprivileged_userns=0, or a profile with "
			"userns "
			"for vmmd.",
			"AppArmor keeps users from namespaces: workers of this instance have fewer "
			"walls");
	else
		doctor_say(d, DOCTOR_OK, "", "",
			on ? "AppArmor is on; vmmd needs no profile" : "AppArmor is off");
}

static void check_pressure(struct doctor *d)
{
	bool on = memory_policy_is_on(d->manager->memory_policy);
	struct psi psi;
	char path[512];
	int r;

	path_of(d, PSI_HOST_MEMORY, path);
	r = psi_read(path, &psi) ?: memory_policy_error(d->manager->memory_policy);
	if (r < 0 && on)
		doctor_say(d, DOCTOR_WARNING, "",
			"Boot a kernel with CONFIG_PSI and psi=1; or vmctl memory-policy --off.",
			"the memory policy is on and does nothing: %s", psi_why_not(r));
	else if (r < 0)
		doctor_say(d, DOCTOR_OK, "", "",
			"the memory policy is off, and could not be switched on: %s",
			psi_why_not(r));
	else
		doctor_say(d, DOCTOR_OK, "", "",
			"the memory policy is %s; tasks waited for memory %u.%02u %% of the last "
			"10 s",
			on ? "on" : "off", psi.lines[PSI_SOME].avg10 / 100,
			psi.lines[PSI_SOME].avg10 % 100);
}

const struct doctor_check doctor_checks[] = {
	{"kvm", check_kvm},
	{"cpu", check_cpu},
	{"hugepages", check_hugepages},
	{"cgroup", check_cgroup},
	{"firewall", check_firewall},
	{"clock", check_clock},
	{"versions", check_versions},
	{"apparmor", check_apparmor},
	{"space", doctor_check_space},
	{"definitions", doctor_check_definitions},
	{"tls", doctor_check_tls},
	{"memory", doctor_check_memory},
	{"pressure", check_pressure},
	{"images", doctor_check_images},
	{"workers", doctor_check_workers},
	{"networks", doctor_check_networks},
};
const size_t n_doctor_checks = ARRAY_SIZE(doctor_checks);

struct json_object *doctor_run(const struct manager *manager, const char *root)
{
	struct doctor d = {.manager = manager, .root = root, .findings = json_object_new_array()};

	for (size_t i = 0; i < n_doctor_checks; i++) {
		d.check = doctor_checks[i].name;
		doctor_checks[i].run(&d);
	}
	return d.findings;
}
