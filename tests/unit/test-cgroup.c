/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Control groups: what is asked of a (fake) systemd, what is written into a hierarchy, and what a host without any of
 * it gets. A real hierarchy is used where this process may write one; otherwise that test says that it is skipped. */
#include "daemon/cgroup.h"
#include "daemon/psi.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <cmocka.h>

#include "vmm-core/base/fdio.h"
#include "vmm-core/base/log.h"

static const struct cgroup_limits limits = {.memory_bytes = MIB(128), .pids = 23};
static const struct cgroup_limits all_limits = {
	.memory_bytes = MIB(128),
	.pids = 23,
	.memory_soft_bytes = MIB(96),
	.swap_bytes = MIB(64),
	.shares = 250,
	.quota_us = 150000,
	.period_us = 50000,
	.nodes = 13,
};

static void test_none(void **state)
{
	struct cgroup_root *root = cgroup_root_new("/nonexistent", 1);
	struct jail_plan plan = {0};
	struct cgroup *c = (void *)1;

	(void)state;
	assert_int_equal(cgroup_root_kind(root), CGROUP_NONE);
	assert_int_equal(cgroup_new(root, "x", &limits, &plan, &c), 0);
	assert_null(c);
	assert_int_equal(plan.n_cgroups, 0);
	cgroup_started(c, 1, 2);
	cgroup_free(c, true);
	cgroup_root_free(root);
}

struct seen {
	unsigned n;
	char unit[64], slice[64], description[64];
	uint32_t pid;
	uint64_t memory, tasks;
	char others[256]; /* " NAME=VALUE" */
};

static const char *const other_properties[] = {
	"MemoryHigh", "MemorySwapMax", "CPUWeight", "CPUQuotaPeriodUSec", "CPUQuotaPerSecUSec"};

static bool read_other(sd_bus_message *m, const char *key, struct seen *seen)
{
	size_t len = strlen(seen->others);
	uint64_t value;

	if (strcmp(key, "AllowedMemoryNodes") == 0) {
		const uint8_t *bytes;
		size_t n;

		assert_true(sd_bus_message_enter_container(m, 'v', "ay") > 0);
		assert_true(sd_bus_message_read_array(m, 'y', (const void **)&bytes, &n) >= 0);
		assert_true(sd_bus_message_exit_container(m) > 0);
		assert_int_equal(n, 1);
		snprintf(seen->others + len, sizeof(seen->others) - len, " %s=%u", key, *bytes);
		return true;
	}
	for (size_t i = 0; i < ARRAY_SIZE(other_properties); i++) {
		if (strcmp(key, other_properties[i]) != 0)
			continue;
		assert_true(sd_bus_message_read(m, "v", "t", &value) > 0);
		snprintf(seen->others + len, sizeof(seen->others) - len, " %s=%lld", key,
			(long long)value);
		return true;
	}
	return false;
}

static void read_property(sd_bus_message *m, struct seen *seen)
{
	const char *key, *contents;
	char type;

	assert_true(sd_bus_message_read_basic(m, 's', &key) > 0);
	assert_true(sd_bus_message_peek_type(m, &type, &contents) > 0);
	if (strcmp(key, "Slice") == 0) {
		const char *slice;

		assert_true(sd_bus_message_read(m, "v", "s", &slice) > 0);
		snprintf(seen->slice, sizeof(seen->slice), "%s", slice);
	} else if (strcmp(key, "Description") == 0) {
		const char *text;

		assert_true(sd_bus_message_read(m, "v", "s", &text) > 0);
		snprintf(seen->description, sizeof(seen->description), "%s", text);
	} else if (strcmp(key, "PIDs") == 0) {
		assert_true(sd_bus_message_read(m, "v", "au", 1, &seen->pid) > 0);
	} else if (strcmp(key, "MemoryMax") == 0) {
		assert_true(sd_bus_message_read(m, "v", "t", &seen->memory) > 0);
	} else if (strcmp(key, "TasksMax") == 0) {
		assert_true(sd_bus_message_read(m, "v", "t", &seen->tasks) > 0);
	} else if (!read_other(m, key, seen)) {
		assert_true(sd_bus_message_skip(m, "v") > 0);
	}
}

static int on_call(sd_bus_message *m, void *userdata, sd_bus_error *e)
{
	struct seen *seen = userdata;
	const char *unit, *mode;
	int runtime;

	if (sd_bus_message_is_method_call(
		    m, "org.freedesktop.systemd1.Manager", "SetUnitProperties")) {
		assert_true(sd_bus_message_read(m, "sb", &unit, &runtime) > 0);
		assert_true(runtime);
	} else if (sd_bus_message_is_method_call(
			   m, "org.freedesktop.systemd1.Manager", "StartTransientUnit")) {
		assert_true(sd_bus_message_read(m, "ss", &unit, &mode) > 0);
	} else {
		return 0;
	}
	snprintf(seen->unit, sizeof(seen->unit), "%s", unit);
	assert_true(sd_bus_message_enter_container(m, 'a', "(sv)") > 0);
	while (sd_bus_message_enter_container(m, 'r', "sv") > 0) {
		read_property(m, seen);
		assert_true(sd_bus_message_exit_container(m) > 0);
	}
	seen->n++;
	if (strcmp(unit, "vmmd-vm-8-4712.scope") == 0)
		return sd_bus_reply_method_return(m, "");
	return sd_bus_error_set(e, SD_BUS_ERROR_FAILED, "not today");
}

static void connect_pair(sd_event *event, sd_bus **ret_server, sd_bus **ret_client)
{
	sd_id128_t id;
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	assert_true(sd_id128_randomize(&id) >= 0);
	assert_true(sd_bus_new(ret_server) >= 0 && sd_bus_new(ret_client) >= 0);
	assert_true(sd_bus_set_fd(*ret_server, pair[0], pair[0]) >= 0);
	assert_true(sd_bus_set_server(*ret_server, true, id) >= 0);
	assert_true(sd_bus_set_fd(*ret_client, pair[1], pair[1]) >= 0);
	assert_true(sd_bus_start(*ret_server) >= 0 && sd_bus_start(*ret_client) >= 0);
	assert_true(sd_bus_attach_event(*ret_server, event, 0) >= 0);
	assert_true(sd_bus_attach_event(*ret_client, event, 0) >= 0);
}

/* The scope is asked for with the limits; a refusal, even after the worker is gone, is only logged. */
static void test_systemd_scope(void **state)
{
	struct cgroup_root *root = cgroup_root_new("/nonexistent", 1);
	struct jail_plan plan = {0};
	struct seen seen = {0};
	struct cgroup *c = NULL;
	sd_bus *server, *client;
	sd_event *event;

	(void)state;
	assert_true(sd_event_new(&event) >= 0);
	connect_pair(event, &server, &client);
	assert_true(sd_bus_add_filter(server, NULL, on_call, &seen) >= 0);
	cgroup_root_set_bus(root, client);
	assert_int_equal(cgroup_root_kind(root), CGROUP_SYSTEMD);
	assert_int_equal(cgroup_new(root, "some-uuid", &limits, &plan, &c), 0);
	assert_non_null(c);
	assert_int_equal(plan.n_cgroups, 0);
	cgroup_started(c, 7, 4711);
	c = cgroup_free(c, true);
	for (unsigned i = 0; i < 50; i++)
		assert_true(sd_event_run(event, 10000) >= 0);
	assert_int_equal(seen.n, 1);
	assert_string_equal(seen.unit, "vmmd-vm-7-4711.scope");
	assert_string_equal(seen.slice, "vmmd.slice");
	assert_int_equal(seen.pid, 4711);
	assert_int_equal(seen.memory, MIB(128));
	assert_int_equal(seen.tasks, 23);
	/* Another program: no limits of a worker's. */
	seen = (struct seen){0};
	cgroup_move(root, "gateway-dnsmasq", "dnsmasq of the gateway of network red", 4712);
	for (unsigned i = 0; i < 50 && !seen.n; i++)
		assert_true(sd_event_run(event, 10000) >= 0);
	assert_int_equal(seen.n, 1);
	assert_string_equal(seen.unit, "vmmd-gateway-dnsmasq-4712.scope");
	assert_string_equal(seen.description, "dnsmasq of the gateway of network red");
	assert_string_equal(seen.slice, "vmmd.slice");
	assert_int_equal(seen.pid, 4712);
	assert_int_equal(seen.memory, 0);
	assert_int_equal(seen.tasks, 0);
	cgroup_root_set_bus(root, NULL);
	cgroup_move(root, "gateway-dnsmasq", "nobody is asked", 4713);
	assert_int_equal(cgroup_root_kind(root), CGROUP_NONE);
	cgroup_root_free(root);
	sd_bus_close_unref(client);
	sd_bus_close_unref(server);
	sd_event_unref(event);
}

static unsigned n_set;
static struct error set_error;

static void on_set(void *userdata, const struct error *error)
{
	(void)userdata;
	n_set++;
	set_error = error ? *error : (struct error){0};
}

static void set_ok(sd_event *event, struct cgroup *c, const struct cgroup_limits *l)
{
	unsigned n = n_set;
	struct error e = {0};

	assert_int_equal(cgroup_set(c, l, on_set, NULL, &e), 0);
	for (unsigned i = 0; i < 50 && n_set == n; i++)
		assert_true(sd_event_run(event, 10000) >= 0);
	assert_int_equal(n_set, n + 1);
}

/* What is given goes with the scope; a change names all, and the answer is systemd's. So it does for a worker that another
 * daemon started, once there is a bus. */
static void test_systemd_limits(void **state)
{
	struct cgroup_root *root = cgroup_root_new("/nonexistent", 1);
	struct cgroup_limits less = limits;
	struct jail_plan plan = {0};
	struct seen seen = {0};
	struct error e = {0};
	struct cgroup *c = NULL;
	sd_bus *server, *client;
	sd_event *event;

	(void)state;
	assert_true(sd_event_new(&event) >= 0);
	connect_pair(event, &server, &client);
	assert_true(sd_bus_add_filter(server, NULL, on_call, &seen) >= 0);
	cgroup_root_set_bus(root, client);
	assert_int_equal(cgroup_shares_max(root), 10000);
	assert_int_equal(cgroup_new(root, "some-uuid", &all_limits, &plan, &c), 0);
	cgroup_started(c, 7, 4711);
	for (unsigned i = 0; i < 50 && !seen.n; i++)
		assert_true(sd_event_run(event, 10000) >= 0);
	assert_string_equal(seen.others,
		" AllowedMemoryNodes=13 MemoryHigh=100663296 MemorySwapMax=67108864 CPUWeight=250 "
		"CPUQuotaPeriodUSec=50000 CPUQuotaPerSecUSec=3000000");
	seen = (struct seen){0};
	less.shares = 10;
	set_ok(event, c, &less);
	assert_int_equal(set_error.code, ERROR_OPERATION_FAILED);
	assert_non_null(strstr(set_error.message, "not today"));
	assert_string_equal(seen.unit, "vmmd-vm-7-4711.scope");
	assert_int_equal(seen.memory, MIB(128));
	assert_string_equal(seen.others,
		" MemoryHigh=-1 MemorySwapMax=-1 CPUWeight=10 CPUQuotaPeriodUSec=-1 "
		"CPUQuotaPerSecUSec=-1");
	c = cgroup_free(c, true);
	/* Adopted, before the bus is there. */
	cgroup_root_set_bus(root, NULL);
	assert_int_equal(cgroup_new(root, "other-uuid", &(struct cgroup_limits){0}, NULL, &c), 0);
	assert_non_null(c);
	cgroup_adopted(c, 8, 4712);
	assert_true(cgroup_set(c, &less, on_set, NULL, &e) < 0);
	assert_int_equal(e.code, ERROR_OPERATION_INVALID);
	cgroup_root_set_bus(root, client);
	set_ok(event, c, &less);
	assert_int_equal(set_error.code, ERROR_NONE);
	c = cgroup_free(c, true);
	cgroup_root_free(root);
	sd_bus_close_unref(client);
	sd_bus_close_unref(server);
	sd_event_unref(event);
}

/* Files that a kernel would make. */
static void make_files(const char *dir, const char *const *files)
{
	char command[512];

	snprintf(command, sizeof(command), "mkdir -p %s", dir);
	assert_int_equal(system(command), 0);
	for (; *files; files++) {
		snprintf(command, sizeof(command), "%s/%s", dir, *files);
		close(open(command, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
	}
}

static void expect_file(const char *dir, const char *file, const char *content)
{
	char path[512], *text;

	snprintf(path, sizeof(path), "%s/%s", dir, file);
	assert_int_equal(read_file(AT_FDCWD, path, 4096, &text, NULL), 0);
	/* Nobody shortens a control group's file: its first line is what was written last. */
	if (strncmp(text, content, strlen(content)) != 0 || text[strlen(content)] != '\n')
		fail_msg("%s has '%s', not '%s'", path, text, content);
	free(text);
}

/* The kernel's part of joining. */
static void join(const char *dir, const char *pids)
{
	char path[512];
	FILE *file;

	snprintf(path, sizeof(path), "%s/cgroup.procs", dir);
	file = fopen(path, "we");
	assert_non_null(file);
	assert_true(fputs(pids, file) >= 0);
	assert_int_equal(fclose(file), 0);
}

static void change_fails(struct cgroup *c, const struct cgroup_limits *l)
{
	struct error e = {0};

	assert_true(cgroup_set(c, l, NULL, NULL, &e) < 0);
	if (!strstr(e.message, "in no control group"))
		fail_msg("'%s'", e.message);
}

static void change(struct cgroup *c, const struct cgroup_limits *l)
{
	struct error e = {0};

	if (cgroup_set(c, l, NULL, NULL, &e) != 1)
		fail_msg("%s", e.message);
}

/* The files of both versions, in folders that only look like a hierarchy. */
static void test_files_v2(void **state)
{
	static const char *const files[] = {"cgroup.procs", "memory.max", "memory.high",
		"memory.swap.max", "pids.max", "cpu.weight", "cpu.max", "cpuset.mems", NULL};
	char mount[] = "/tmp/test-cgroup-XXXXXX", group[128], command[160];
	struct cgroup_limits less = {.memory_bytes = MIB(64), .pids = 23};
	struct jail_plan plan = {0};
	struct cgroup_root *root;
	struct error e = {0};
	struct cgroup *c;

	(void)state;
	assert_non_null(mkdtemp(mount));
	make_files(mount, (const char *const[]){"cgroup.controllers", NULL});
	snprintf(group, sizeof(group), "%s/vmmd-7/u", mount);
	make_files(group, files);
	root = cgroup_root_new(mount, 7);
	assert_int_equal(cgroup_root_kind(root), CGROUP_V2);
	assert_false(cgroup_has_nodes(root));
	snprintf(command, sizeof(command), "echo 'cpuset cpu io' >%s/cgroup.controllers", mount);
	assert_int_equal(system(command), 0);
	assert_true(cgroup_has_nodes(root));
	assert_int_equal(cgroup_new(root, "u", &all_limits, &plan, &c), 0);
	assert_int_equal(plan.n_cgroups, 1);
	expect_file(group, "memory.max", "134217728");
	expect_file(group, "memory.high", "100663296");
	expect_file(group, "memory.swap.max", "67108864");
	expect_file(group, "pids.max", "23");
	expect_file(group, "cpu.weight", "250");
	expect_file(group, "cpu.max", "150000 50000");
	expect_file(group, "cpuset.mems", "0,2-3");
	cgroup_started(c, 1, 2);
	change_fails(c, &less);
	join(group, "1\n22\n2\n");
	change(c, &less);
	expect_file(group, "memory.max", "67108864");
	expect_file(group, "memory.high", "max");
	expect_file(group, "memory.swap.max", "max");
	expect_file(group, "cpu.weight", "100");
	expect_file(group, "cpu.max", "max 100000");
	/* A controller that the host does not give: what needs it fails, the rest is done. */
	snprintf(command, sizeof(command), "rm %s/cpu.max", group);
	assert_int_equal(system(command), 0);
	change(c, &less);
	assert_int_equal(cgroup_set(c, &all_limits, NULL, NULL, &e), -ENOENT);
	expect_file(group, "memory.high", "100663296");
	c = cgroup_free(c, false);
	/* Another daemon's, of which systemd has the limits: none are set that would be nobody's, and no group is made. */
	assert_int_equal(cgroup_new(root, "other", &(struct cgroup_limits){0}, NULL, &c), 0);
	cgroup_adopted(c, 1, 2);
	change_fails(c, &less);
	snprintf(command, sizeof(command), "%s/vmmd-7/other", mount);
	assert_int_not_equal(access(command, F_OK), 0);
	c = cgroup_free(c, false);
	cgroup_root_free(root);
	snprintf(command, sizeof(command), "rm -r %s", mount);
	assert_int_equal(system(command), 0);
}

/* Pressure is the group's own: of v2, of systemd's scope once that is there, never of v1. */
static void test_pressure(void **state)
{
	char mount[] = "/tmp/test-cgroup-XXXXXX", path[160], command[256];
	struct jail_plan plan = {0};
	struct cgroup_root *root;
	struct cgroup *c;
	struct psi psi;

	(void)state;
	assert_int_equal(cgroup_pressure(NULL, "cpu.pressure", &psi), -ENODATA);
	assert_non_null(strstr(cgroup_pressure_why_not(-ENODATA), "no control group"));
	assert_non_null(strstr(cgroup_pressure_why_not(-ENOSYS), "version 1"));
	assert_non_null(mkdtemp(mount));
	make_files(mount, (const char *const[]){"cgroup.controllers", NULL});
	snprintf(path, sizeof(path), "%s/vmmd-7/u", mount);
	make_files(path, (const char *const[]){"cgroup.procs", "memory.max", "pids.max", NULL});
	root = cgroup_root_new(mount, 7);
	assert_int_equal(cgroup_new(root, "u", &limits, &plan, &c), 0);
	assert_non_null(c);
	assert_int_equal(cgroup_pressure(c, "cpu.pressure", &psi), -ENOENT);
	assert_non_null(strstr(cgroup_pressure_why_not(-ENOENT), "version 1"));
	snprintf(command, sizeof(command),
		"echo some avg10=1.00 avg60=0.00 avg300=0.00 total=77 >%s/cpu.pressure", path);
	assert_int_equal(system(command), 0);
	assert_int_equal(cgroup_pressure(c, "cpu.pressure", &psi), 0);
	assert_int_equal(psi.lines[PSI_SOME].total_us, 77);
	c = cgroup_free(c, false);
	cgroup_root_free(root);
	snprintf(command, sizeof(command), "rm -r %s", mount);
	assert_int_equal(system(command), 0);
}

static void test_files_v1(void **state)
{
	static const char *const memory[] = {"cgroup.procs", "memory.limit_in_bytes",
		"memory.soft_limit_in_bytes", "memory.memsw.limit_in_bytes", NULL};
	static const char *const pids[] = {"cgroup.procs", "pids.max", NULL};
	static const char *const cpu[] = {
		"cgroup.procs", "cpu.shares", "cpu.cfs_period_us", "cpu.cfs_quota_us", NULL};
	char mount[] = "/tmp/test-cgroup-XXXXXX", groups[3][128], command[64];
	const char *const *files[] = {memory, pids, cpu};
	const char *const names[] = {"memory", "pids", "cpu"};
	const struct cgroup_limits less = {.memory_bytes = MIB(64), .pids = 23, .shares = 2};
	struct jail_plan plan = {0};
	struct cgroup_root *root;
	struct cgroup *c;

	(void)state;
	assert_non_null(mkdtemp(mount));
	for (unsigned i = 0; i < 3; i++) {
		snprintf(groups[i], sizeof(groups[i]), "%s/%s", mount, names[i]);
		make_files(groups[i], (const char *const[]){"cgroup.procs", NULL});
		snprintf(groups[i], sizeof(groups[i]), "%s/%s/vmmd-7/u", mount, names[i]);
		make_files(groups[i], files[i]);
	}
	root = cgroup_root_new(mount, 7);
	assert_int_equal(cgroup_root_kind(root), CGROUP_V1);
	assert_int_equal(cgroup_shares_max(root), 262144);
	assert_int_equal(cgroup_shares_default(root), 1024);
	assert_int_equal(cgroup_new(root, "u", &all_limits, &plan, &c), 0);
	assert_int_equal(plan.n_cgroups, 3);
	expect_file(groups[0], "memory.limit_in_bytes", "134217728");
	expect_file(groups[0], "memory.memsw.limit_in_bytes", "67108864");
	expect_file(groups[1], "pids.max", "23");
	expect_file(groups[2], "cpu.shares", "250");
	expect_file(groups[2], "cpu.cfs_period_us", "50000");
	expect_file(groups[2], "cpu.cfs_quota_us", "150000");
	cgroup_started(c, 1, 2);
	join(groups[0], "2\n");
	change_fails(c, &less); /* it is not where CPU time is shared, and so nothing is changed */
	expect_file(groups[0], "memory.limit_in_bytes", "134217728");
	change(c, &limits);
	expect_file(groups[2], "cpu.shares", "250");
	join(groups[1], "2\n");
	join(groups[2], "2\n");
	change(c, &limits);
	expect_file(groups[0], "memory.soft_limit_in_bytes", "-1");
	expect_file(groups[2], "cpu.shares", "1024");
	expect_file(groups[2], "cpu.cfs_quota_us", "-1");
	c = cgroup_free(c, false);
	cgroup_root_free(root);
	snprintf(command, sizeof(command), "rm -r %s", mount);
	assert_int_equal(system(command), 0);
}

/* A child joins; the kernel says where it is. */
static void test_real_hierarchy(void **state)
{
	struct cgroup_root *root = cgroup_root_new("/sys/fs/cgroup", (uint64_t)getpid());
	struct jail_plan plan = {0};
	struct cgroup *c = NULL;
	char want[64];
	int status;
	pid_t pid;

	(void)state;
	if (geteuid() == 0)
		assert_int_equal(cgroup_new(root, "test", &limits, &plan, &c), 0);
	if (!c) {
		print_message("skipped: this process may make no control groups\n");
		cgroup_root_free(root);
		skip();
	}
	assert_true(plan.n_cgroups > 0);
	snprintf(want, sizeof(want), "/vmmd-%x/test", (unsigned)getpid());
	pid = fork();
	if (pid == 0) {
		char *text = NULL;

		for (unsigned i = 0; i < plan.n_cgroups; i++)
			if (write(plan.cgroup_fds[i], "0\n", 2) != 2)
				_exit(1);
		if (read_file(AT_FDCWD, "/proc/self/cgroup", 65536, &text, NULL) < 0)
			_exit(2);
		_exit(strstr(text, want) ? 0 : 3);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(WEXITSTATUS(status), 0);
	cgroup_started(c, 1, pid);
	/* A second handle, as after an adoption, removes what the first made. */
	cgroup_free(c, false);
	assert_int_equal(cgroup_new(root, "test", &limits, NULL, &c), 0);
	cgroup_free(c, true);
	snprintf(want, sizeof(want), "/sys/fs/cgroup/%s/vmmd-%x/test",
		cgroup_root_kind(root) == CGROUP_V1 ? "memory" : "", (unsigned)getpid());
	assert_int_not_equal(access(want, F_OK), 0);
	cgroup_root_free(root);
	*strrchr(want, '/') = 0;
	assert_int_not_equal(access(want, F_OK), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_none),
		cmocka_unit_test(test_systemd_scope),
		cmocka_unit_test(test_systemd_limits),
		cmocka_unit_test(test_files_v2),
		cmocka_unit_test(test_files_v1),
		cmocka_unit_test(test_pressure),
		cmocka_unit_test(test_real_hierarchy),
	};

	log_init("test-cgroup", LOG_CRIT, false);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
