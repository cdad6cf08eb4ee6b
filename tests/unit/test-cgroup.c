/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Control groups: what is asked of a (fake) systemd, what is written into a hierarchy, and what a host without any of
 * it gets. A real hierarchy is used where this process may write one; otherwise that test says that it is skipped. */
#include "daemon/cgroup.h"

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
};

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
	} else {
		assert_true(sd_bus_message_skip(m, "v") > 0);
	}
}

static int on_call(sd_bus_message *m, void *userdata, sd_bus_error *e)
{
	struct seen *seen = userdata;
	const char *unit, *mode;

	if (!sd_bus_message_is_method_call(
		    m, "org.freedesktop.systemd1.Manager", "StartTransientUnit"))
		return 0;
	assert_true(sd_bus_message_read(m, "ss", &unit, &mode) > 0);
	snprintf(seen->unit, sizeof(seen->unit), "%s", unit);
	assert_true(sd_bus_message_enter_container(m, 'a', "(sv)") > 0);
	while (sd_bus_message_enter_container(m, 'r', "sv") > 0) {
		read_property(m, seen);
		assert_true(sd_bus_message_exit_container(m) > 0);
	}
	seen->n++;
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
		cmocka_unit_test(test_real_hierarchy),
	};

	log_init("test-cgroup", LOG_CRIT, false);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
