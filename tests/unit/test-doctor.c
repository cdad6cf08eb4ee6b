/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The doctor: each check on a host that is well and on one that is not, made of files below a folder of the test's own. */
#include "daemon/doctor.h"
#include "daemon/memory-policy.h"

#include <sys/stat.h>

#include "daemon-fixture.h"
#include "daemon/host.h"
#include "daemon/network-internal.h"
#include "tls-fixture.h"

static char root[96];

/* Make the file below root, with its folders. */
static void put(const char *path, const char *text)
{
	char full[256], command[512];
	FILE *f;

	snprintf(full, sizeof(full), "%s%s", root, path);
	snprintf(command, sizeof(command), "mkdir -p $(dirname %s)", full);
	assert_int_equal(system(command), 0);
	f = fopen(full, "we");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static void drop(const char *path)
{
	char full[256];

	snprintf(full, sizeof(full), "%s%s", root, path);
	assert_int_equal(remove(full), 0);
}

static int setup(void **state)
{
	struct fixture *f;

	fixture_setup(state);
	f = *state;
	snprintf(root, sizeof(root), "%s/root", f->dir);
	put("/dev/kvm", "");
	put("/proc/cpuinfo", "processor\t: 0\nflags\t\t: fpu vmx ept\nbugs\t\t:\n");
	put("/sys/kernel/mm/transparent_hugepage/shmem_enabled",
		"always within_size [advise] never deny force\n");
	put("/proc/sys/net/bridge/bridge-nf-call-iptables", "0\n");
	return 0;
}

/* The verdicts of this check, in their order: "ok", "problem warning" … */
static const char *verdicts(struct fixture *f, const char *check)
{
	static char text[256];
	struct json_object *findings = doctor_run(f->manager, root);

	*text = 0;
	for (size_t i = 0; i < json_object_array_length(findings); i++) {
		struct json_object *o = json_object_array_get_idx(findings, i);
		const char *verdict = json_object_get_string(json_object_object_get(o, "verdict"));
		const char *remedy = json_object_get_string(json_object_object_get(o, "remedy"));

		/* Who says that something is wrong says what to do. */
		assert_int_equal(streq(verdict, "ok"), !*remedy);
		if (streq(json_object_get_string(json_object_object_get(o, "check")), check))
			strcat(strcat(text, *text ? " " : ""), verdict);
	}
	json_object_put(findings);
	return text;
}

/* Something that a check said. */
static bool says(struct fixture *f, const char *what)
{
	struct json_object *findings = doctor_run(f->manager, root);
	bool found = strstr(
		json_object_to_json_string_ext(findings, JSON_C_TO_STRING_NOSLASHESCAPE), what);

	json_object_put(findings);
	return found;
}

static void test_every_check(void **state)
{
	struct fixture *f = *state;

	for (size_t i = 0; i < n_doctor_checks; i++)
		assert_true(*verdicts(f, doctor_checks[i].name));
}

static void test_host(void **state)
{
	struct fixture *f = *state;

	assert_string_equal(verdicts(f, "kvm"), "ok");
	drop("/dev/kvm");
	assert_string_equal(verdicts(f, "kvm"), "problem");
	assert_string_equal(verdicts(f, "cpu"), "ok");
	put("/proc/cpuinfo",
		"processor\t: 0\nflags\t\t: vmx\nprocessor\t: 1\nflags\t\t: vmx ept hypervisor\n");
	assert_string_equal(verdicts(f, "cpu"), "warning");
	put("/proc/cpuinfo", "processor\t: 0\nflags\t\t: fpu svm\nbugs\t\t: npt\n");
	assert_string_equal(verdicts(f, "cpu"), "warning");
	put("/proc/cpuinfo", "processor\t: 0\nflags\t\t: fpu svm npt hypervisor\n");
	assert_string_equal(verdicts(f, "cpu"), "ok warning");
	put("/proc/cpuinfo", "processor\t: 0\nflags\t\t: fpu vmx_ xvmx ept\n");
	assert_string_equal(verdicts(f, "cpu"), "warning");
	assert_string_equal(verdicts(f, "hugepages"), "ok");
	put("/sys/kernel/mm/transparent_hugepage/enabled", "always madvise [never]\n");
	assert_string_equal(verdicts(f, "hugepages"), "ok");
	put("/sys/kernel/mm/transparent_hugepage/shmem_enabled", "always advise [never] deny\n");
	assert_string_equal(verdicts(f, "hugepages"), "warning");
	put("/sys/kernel/mm/transparent_hugepage/shmem_enabled", "always advise never [deny]\n");
	assert_string_equal(verdicts(f, "hugepages"), "warning");
	assert_string_equal(verdicts(f, "apparmor"), "ok");
	put("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1\n");
	assert_string_equal(verdicts(f, "apparmor"), "warning");
	assert_string_equal(verdicts(f, "versions"), "ok");
	f->manager->options.worker_path = "/nonexistent";
	assert_string_equal(verdicts(f, "versions"), "problem");
	f->manager->options.worker_path = f->manager->worker_path;
}

static void test_pressure(void **state)
{
	static const char text[] = "some avg10=1.50 avg60=0.00 avg300=0.00 total=1\n";
	struct fixture *f = *state;

	assert_string_equal(verdicts(f, "pressure"), "ok");
	assert_true(says(f, "could not be switched on: this kernel has no pressure"));
	put("/proc/pressure/memory", text);
	assert_true(says(f, "policy is off; tasks waited for memory 1.50 %"));
	f->manager->options.proc_root = root;
	assert_int_equal(memory_policy_set(f->manager->memory_policy, true, &f->error), 0);
	put("/proc/pressure/memory", text);
	assert_string_equal(verdicts(f, "pressure"), "ok");
	drop("/proc/pressure/memory");
	assert_string_equal(verdicts(f, "pressure"), "warning");
	assert_true(says(f, "on and does nothing: this kernel has no pressure"));
}

static void test_halt_poll(void **state)
{
	struct host_halt_poll poll;
	uint64_t ns;

	(void)state;
	assert_int_equal(host_halt_poll_max(root, &ns), -ENOENT);
	put("/sys/module/kvm/parameters/halt_poll_ns", "200000\n");
	assert_int_equal(host_halt_poll_max(root, &ns), 0);
	assert_int_equal(ns, 200000);
	assert_int_equal(host_halt_poll_times(root, 77, &poll), -ENOENT);
	put("/sys/kernel/debug/kvm/7-12/halt_poll_success_ns", "1\n");
	put("/sys/kernel/debug/kvm/77-12/halt_poll_success_ns", "123\n");
	put("/sys/kernel/debug/kvm/77-12/halt_poll_fail_ns", "456\n");
	assert_int_equal(host_halt_poll_times(root, 77, &poll), 0);
	assert_int_equal(poll.success_ns, 123);
	assert_int_equal(poll.fail_ns, 456);
	assert_int_equal(host_halt_poll_times(root, 7, &poll), -ENOENT);
}

static void test_paging(void **state)
{
	(void)state;
	assert_string_equal(host_paging(root), "unknown");
	put("/sys/module/kvm_amd/parameters/npt", "1\n");
	assert_string_equal(host_paging(root), "npt");
	put("/sys/module/kvm_amd/parameters/npt", "0\n");
	assert_string_equal(host_paging(root), "shadow");
	put("/sys/module/kvm_intel/parameters/ept", "Y\n");
	assert_string_equal(host_paging(root), "ept");
	put("/sys/module/kvm_intel/parameters/ept", "N\n");
	assert_string_equal(host_paging(root), "shadow");
}

static void test_memory(void **state)
{
	struct fixture *f = *state;
	struct domain *d = fixture_define(f, "vm", "", "");

	assert_string_equal(verdicts(f, "memory"), "ok");
	f->manager->options.memory_limit_kib = 4096;
	assert_string_equal(verdicts(f, "memory"), "ok");
	/* The limit is lower than when this one was started. */
	f->manager->options.memory_limit_kib = 0;
	fixture_start(f, d);
	assert_string_equal(verdicts(f, "memory"), "ok");
	f->manager->options.memory_limit_kib = 4096;
	assert_string_equal(verdicts(f, "memory"), "warning");
	/* More than the host has, limit or not. */
	f->manager->options.memory_limit_kib = 0;
	d->live->vm.memory_kib = VM_MAX_MEMORY_KIB;
	assert_string_equal(verdicts(f, "memory"), "warning");
}

static void test_firewall(void **state)
{
	struct fixture *f = *state;
	struct network *n = NULL;

	assert_string_equal(verdicts(f, "firewall"), "ok");
	put("/proc/sys/net/bridge/bridge-nf-call-iptables", "1\n");
	assert_string_equal(verdicts(f, "firewall"), "warning");
	put("/proc/sys/net/bridge/bridge-nf-call-iptables", "0\n");
	/* Docker and firewalld matter to networks that the host forwards for. */
	put("/sys/class/net/docker0", "");
	put("/proc/77/comm", "firewalld\n");
	put("/proc/self/comm", "firewalld\n");
	assert_string_equal(verdicts(f, "firewall"), "ok");
	assert_int_equal(
		network_define(f->manager,
			"<network><name>red</name><forward mode='route'/><ip address='10.9.0.1' "
			"prefix='24'/></network>",
			"n", 0, &n, NULL, &f->error),
		0);
	assert_string_equal(verdicts(f, "firewall"), "warning warning");
	drop("/sys/class/net/docker0");
	assert_string_equal(verdicts(f, "firewall"), "warning");
	put("/proc/77/comm", "firewalld2\n");
	assert_string_equal(verdicts(f, "firewall"), "ok");
}

static void define_with_image(struct fixture *f, const char *name, const char *path)
{
	static char devices[512];

	snprintf(devices, sizeof(devices),
		"<disk type='file' device='disk'><driver name='qemu' type='raw'/><source "
		"file='%s'/>"
		"<target dev='vda' bus='virtio'/></disk>",
		path);
	f->devices = devices;
	fixture_define(f, name, "", "");
}

static void test_images(void **state)
{
	struct fixture *f = *state;
	char path[256], other[256];
	struct flock lock = {.l_type = F_RDLCK, .l_start = 201, .l_len = 1};
	int fd;

	assert_string_equal(verdicts(f, "images"), "ok");
	snprintf(path, sizeof(path), "%s/a.img", f->dir);
	snprintf(other, sizeof(other), "%s/none.img", f->dir);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_int_equal(ftruncate(fd, 1 << 20), 0);
	define_with_image(f, "a", path);
	assert_string_equal(verdicts(f, "images"), "ok");
	/* Somebody does not allow others to write there, as QEMU says it. */
	lock.l_whence = SEEK_SET;
	assert_int_equal(fcntl(fd, F_OFD_SETLK, &lock), 0);
	assert_string_equal(verdicts(f, "images"), "warning");
	lock.l_type = F_UNLCK;
	assert_int_equal(fcntl(fd, F_OFD_SETLK, &lock), 0);
	/* Larger than any filesystem of a test is. */
	if (ftruncate(fd, INT64_C(1) << 43) == 0)
		assert_string_equal(verdicts(f, "images"), "warning");
	assert_int_equal(ftruncate(fd, 1 << 20), 0);
	assert_int_equal(pwrite(fd, "QFI\xfb\0\0\0\3", 8, 0), 8);
	assert_string_equal(verdicts(f, "images"), "warning");
	assert_true(says(f, "is used as a raw image but looks like"));
	close(fd);
	define_with_image(f, "b", other);
	assert_string_equal(verdicts(f, "images"), "warning problem");
	assert_true(says(f, "none.img"));
}

static void test_state(void **state)
{
	struct fixture *f = *state;
	const char *runtime = f->manager->options.runtime_dir;
	struct domain *d;
	struct network *n = NULL;

	assert_string_equal(verdicts(f, "workers"), "ok");
	f->devices = NULL;
	d = fixture_define(f, "a", "", "");
	fixture_start(f, d);
	assert_string_equal(verdicts(f, "workers"), "ok");
	d->degraded = true;
	assert_string_equal(verdicts(f, "workers"), "problem");
	d->degraded = false;
	f->manager->options.runtime_dir = "/nonexistent";
	assert_true(says(f, "the folder of what runs cannot be looked at"));
	f->manager->options.runtime_dir = runtime;

	assert_string_equal(verdicts(f, "networks"), "ok");
	assert_int_equal(network_define(f->manager, "<network><name>red</name></network>", "n", 0,
				 &n, NULL, &f->error),
		0);
	assert_string_equal(verdicts(f, "networks"), "ok");
	n->autostart = true;
	assert_string_equal(verdicts(f, "networks"), "warning");
	fixture_wait(f, network_start(n, fixture_done, f, &f->error));
	assert_string_equal(verdicts(f, "networks"), "ok");
	n->config->net.n_uplinks = 2;
	network_uplinks_begin(n);
	assert_true(network_team_state(n,
		&(struct net_team_state){.policy = NET_TEAM_PORT_ID,
			.n_members = 2,
			.n_active = 1,
			.n_usable = 1,
			.members = {{.state = TEAM_MEMBER_UP, .role = NET_ROLE_ACTIVE},
				{.state = TEAM_MEMBER_DOWN, .role = NET_ROLE_ACTIVE}}}));
	assert_string_equal(verdicts(f, "networks"), "warning");
	n->team->state.n_active = 0;
	assert_string_equal(verdicts(f, "networks"), "problem");
	n->config->net.n_uplinks = 0;
}

/* However much is wrong, the answer has an end. */
static void test_limits(void **state)
{
	struct fixture *f = *state;
	struct json_object *findings;
	char name[16], path[128];
	size_t n;

	for (unsigned i = 0; i < DOCTOR_MAX_IMAGES + 10; i++) {
		snprintf(name, sizeof(name), "d%u", i);
		snprintf(path, sizeof(path), "/nonexistent/%u", i);
		define_with_image(f, name, path);
	}
	assert_true(says(f, "10 more images were not looked at"));
	findings = doctor_run(f->manager, root);
	n = json_object_array_length(findings);
	assert_in_range(n, DOCTOR_MAX_IMAGES, DOCTOR_MAX_FINDINGS);
	json_object_put(findings);
}

/* The certificate and the list of what is revoked have their time; the key is nobody else's. */
static void test_tls(void **state)
{
	struct fixture *f = *state;
	struct pki pki;
	char dir[120];

	assert_string_equal(verdicts(f, "tls"), "ok");
	f->manager->options.tls_dir = "/tls";
	assert_string_equal(verdicts(f, "tls"), "ok");
	assert_true(says(f, "it is off"));
	snprintf(dir, sizeof(dir), "%s/tls", root);
	pki_open(&pki, dir);
	assert_string_equal(verdicts(f, "tls"), "ok");
	assert_true(says(f, "are right, for "));
	pki_write_crl(&pki, NULL, -1);
	assert_string_equal(verdicts(f, "tls"), "problem");
	pki_write_crl(&pki, NULL, 1);
	pki_write_pair(
		&pki, "server", &(struct pki_plan){.server = true, .from_days = -9, .to_days = 9});
	assert_string_equal(verdicts(f, "tls"), "warning");
	pki_write_pair(
		&pki, "server", &(struct pki_plan){.server = true, .from_days = -9, .to_days = -2});
	assert_string_equal(verdicts(f, "tls"), "problem");
	assert_true(says(f, "has expired"));
	pki_write_pair(&pki, "server", &(struct pki_plan){.server = true});
	strcat(dir, "/server-key.pem");
	assert_int_equal(chmod(dir, 0644), 0);
	assert_string_equal(verdicts(f, "tls"), "problem");
	assert_true(says(f, "server-key.pem can be read by others"));
	pki_done(&pki);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, fixture_teardown)
	const struct CMUnitTest tests[] = {
		T(test_every_check),
		T(test_host),
		T(test_tls),
		T(test_paging),
		T(test_halt_poll),
		T(test_pressure),
		T(test_memory),
		T(test_firewall),
		T(test_images),
		T(test_state),
		T(test_limits),
	};

	log_init("test", LOG_EMERG, NULL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
