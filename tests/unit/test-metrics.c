/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The table of metrics: byte for byte, in both formats, of an instance with a domain, a network and a team whose numbers are
 * known. What /proc says differs each time: those values are 0 in tests/data/metrics/, and checked by themselves.
 * METRICS_GOLDEN_UPDATE=1 writes the goldens anew.
 */
#include "daemon/metrics.h"

#include <sys/mman.h>

#include "daemon-fixture.h"
#include "daemon/api.h"
#include "daemon/job.h"
#include "daemon/network-internal.h"
#include "daemon/stats-view.h"

#define NETWORK "<network><name>net-uplink-team</name></network>"

/* Beginnings of samples whose values are not ours to know. */
static const char *const varying[] = {"vmmd_daemon_", "vmmd_host_", "vmmd_domain_cpu_",
	"vmmd_domain_resident_", "vmmd_domain_threads", "vmmd_vcpu_cpu_", "vmmd_vcpu_delay_",
	"vmmd_network_cpu_", "vmmd_network_resident_"};

/* A page of the test's own in the place of the fake worker's. */
static void *replace_page(enum stats_kind kind, size_t size, struct stats_view **view)
{
	int fd = stats_view_create(kind);
	void *page = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	assert_true(page != MAP_FAILED);
	*view = stats_view_free(*view);
	assert_int_equal(stats_view_map(kind, fd, view), 0);
	close(fd);
	return page;
}

static struct domain *start_domain(struct fixture *f)
{
	struct domain *d;
	struct vm_stats_page *page;

	f->devices = "<interface type='network'><mac address='52:54:00:00:00:01'/>"
		     "<source network='net-uplink-team'/></interface>";
	d = fixture_define(f, "a &quot;b\\", "", "");
	fixture_start(f, d);
	page = replace_page(STATS_VM, sizeof(*page), &d->stats);
	stat_add(&page->heartbeat, 1000);
	stat_add(&page->needs_reset, 1);
	stat_add(&page->vcpus[1].mmio_exits, 33);
	stat_add(&page->vcpus[0].signal_exits, 4);
	/* Each cause has a number of its own. */
	stat_add(&page->vcpus[0].pio_exits, 5);
	stat_add(&page->vcpus[0].mmio_exits, 6);
	stat_add(&page->vcpus[0].irq_window_exits, 7);
	stat_add(&page->vcpus[0].eoi_exits, 8);
	stat_add(&page->vcpus[0].other_exits, 9);
	/* A KVM that does not count huge pages of 1 GiB. */
	stat_add(
		&page->mmu.known, 1 << VM_MMU_PAGES_4K | 1 << VM_MMU_PAGES_2M | 1 << VM_MMU_FAULTS);
	stat_add(&page->mmu.values[VM_MMU_PAGES_4K], 123);
	stat_add(&page->mmu.values[VM_MMU_PAGES_2M], 45);
	stat_add(&page->mmu.values[VM_MMU_PAGES_1G], 6);
	stat_add(&page->mmu.values[VM_MMU_FAULTS], 7890);
	stat_add(&page->disks[0].rd_bytes, 4096);
	stat_add(&page->disks[0].wr_ns, 1500000001);
	stat_add(&page->disks[0].fl_ns, 20000000);
	stat_add(&page->disks[0].capacity, UINT64_C(1) << 40);
	stat_add(&page->nics[0].rx_bytes, UINT64_MAX);
	stat_add(&page->nics[0].tx_packets, 7);
	stat_add(&page->nics[0].rx_dropped, 5);
	stat_add(&page->nics[0].rx_drops[NET_DROP_SPOOF_MAC], 5);
	stat_add(&page->nics[0].tx_drops[NET_DROP_X_MAX - 1], 2);
	munmap(page, sizeof(*page));
	return d;
}

static struct network *start_network(struct fixture *f)
{
	struct network *n = NULL;
	struct net_stats_page *page;

	if (network_define(f->manager, NETWORK, "n.xml", 0, &n, NULL, &f->error) < 0)
		fail_msg("%s", f->error.message);
	fixture_wait(f, network_start(n, fixture_done, f, &f->error));
	page = replace_page(STATS_NETWORK, sizeof(*page), &n->stats);
	stat_add(&page->ports[0].rx_packets, 10);
	stat_add(&page->ports[1].tx_packets, 11);
	stat_add(&page->uplinks[1].tx_bytes, 12);
	stat_add(&page->uplinks[1].tx_drops[NET_DROP_NO_UPLINK], 13);
	munmap(page, sizeof(*page));
	return n;
}

static void make_team(struct network *n)
{
	static const struct net_team_state state = {.policy = NET_TEAM_PORT_ID,
		.n_members = 2,
		.guests_up = 1,
		.n_active = 1,
		.n_usable = 2,
		.rx_duplicate = 3,
		.members = {{.state = TEAM_MEMBER_UP,
				    .role = NET_ROLE_ACTIVE,
				    .flags = NET_TEAM_LINK | NET_TEAM_ACTIVE,
				    .mbps = 10000,
				    .ports = 4,
				    .tx_frames = 99},
			{.state = TEAM_MEMBER_DOWN,
				.role = NET_ROLE_ACTIVE,
				.cause = TEAM_CAUSE_LINK,
				.flaps = 2,
				.failures = {[TEAM_BY_NETLINK] = 2}}}};

	/* Its NICs would be the host's. */
	n->config->net.n_uplinks = 2;
	strcpy(n->config->net.uplinks[0].ifname, "eth0");
	strcpy(n->config->net.uplinks[1].ifname, "eth1");
	network_uplinks_begin(n);
	assert_true(network_team_state(n, &state));
}

static void count_calls(struct manager *m)
{
	m->api_counts = calloc(n_api_methods * ERROR_CODE_X_MAX, sizeof(*m->api_counts));
	for (size_t i = 0; i < n_api_methods; i++)
		if (streq(api_methods[i].name, "StartDomain")) {
			m->api_counts[i * ERROR_CODE_X_MAX] = 2;
			m->api_counts[i * ERROR_CODE_X_MAX + ERROR_NO_DOMAIN] = 1;
		}
}

static void count_jobs(struct manager *m)
{
	struct job_count *start = (struct job_count *)(uintptr_t)jobs_counts(m->jobs);

	assert_string_equal(job_kinds[0].name, "start");
	*start = (struct job_count){.running = 1,
		.ended = {[JOB_DONE] = 3, [JOB_FAILED] = 2, [JOB_CANCELLED] = 1},
		.usec = 1500000};
}

static void start_all(struct fixture *f)
{
	struct network *n = start_network(f);

	fixture_define(f, "off", "", "");
	start_domain(f);
	make_team(n);
	count_calls(f->manager);
	count_jobs(f->manager);
}

static void stop_all(struct fixture *f)
{
	network_find_name(f->manager, "net-uplink-team")->config->net.n_uplinks = 0;
	RUN_UNTIL(f, fixture_n_active(f) == 0);
}

static char *format(struct fixture *f, enum metrics_format format)
{
	struct metrics_source source = {.manager = f->manager};
	size_t len;
	char *text;

	assert_int_equal(metrics_format(&source, format, &text, &len), 0);
	assert_int_equal(strlen(text), len);
	return text;
}

/* The same with 0 where values vary, and without UUIDs. */
static char *normalise(const char *text)
{
	char *out = calloc(1, strlen(text) + 1), *to = out;

	while (*text) {
		size_t n = strcspn(text, "\n") + 1;
		const char *const *v;
		const char *uuid = memmem(text, n, "uuid=\"", 6);
		bool varies = false;

		/* Not every kernel counts it. */
		if (strncmp(text, "vmmd_host_pressure_", 19) == 0) {
			text += n;
			continue;
		}
		FOREACH_ELEMENT (v, varying)
			varies |= strncmp(text, *v, strlen(*v)) == 0;
		memcpy(to, text, n);
		if (uuid)
			memset(to + (uuid - text) + 6, '0', 36);
		to += n;
		if (varies) {
			while (to[-1] != ' ')
				to--;
			to = stpcpy(to, "0\n");
		}
		text += n;
	}
	*to = 0;
	return out;
}

static void check_golden(struct fixture *f, enum metrics_format kind, const char *name)
{
	_cleanup_(freep) char *raw = format(f, kind), *text = normalise(raw), *golden = NULL;
	char path[512];
	FILE *file;

	snprintf(path, sizeof(path), TESTS_DATA_DIR "/metrics/%s.golden", name);
	if (getenv("METRICS_GOLDEN_UPDATE")) {
		file = fopen(path, "we");
		assert_non_null(file);
		fputs(text, file);
		fclose(file);
	}
	assert_int_equal(read_file(AT_FDCWD, path, 1 << 20, &golden, NULL), 0);
	if (!streq(text, golden)) {
		file = fopen("/tmp/metrics.txt", "we");
		fputs(text, file);
		fclose(file);
		fail_msg("/tmp/metrics.txt is not %s", path);
	}
}

static void test_golden(void **state)
{
	struct fixture *f = *state;

	start_all(f);
	check_golden(f, METRICS_OPENMETRICS, "openmetrics");
	check_golden(f, METRICS_TEXT, "text");
	stop_all(f);
}

/* The value of the sample that begins so. */
static double value(const char *text, const char *sample)
{
	char line[256];
	const char *p;

	snprintf(line, sizeof(line), "\n%s ", sample);
	p = strstr(text, line);
	if (!p)
		fail_msg("there is no %s", sample);
	return atof(p + strlen(line));
}

static void test_varying(void **state)
{
	struct fixture *f = *state;
	_cleanup_(freep) char *text = NULL;
	uint64_t now;

	start_all(f);
	f->manager->loop.busy_ns = 1020000000;
	text = format(f, METRICS_OPENMETRICS);
	assert_non_null(strstr(text, "\nvmmd_daemon_loop_busy_seconds_total 1.02\n"));
	free(text);
	f->manager->loop.busy_ns = 1000000001;
	text = format(f, METRICS_OPENMETRICS);
	(void)sd_event_now(f->event, CLOCK_REALTIME, &now);
	assert_in_range(value(text, "vmmd_daemon_start_time_seconds"), now / 1000000 - 60,
		now / 1000000 + 1);
	assert_true(value(text, "vmmd_daemon_resident_memory_bytes") > 1e6);
	assert_in_range(value(text, "vmmd_daemon_open_fds"), 3, 200);
	assert_true(value(text, "vmmd_daemon_max_fds") >= 200);
	assert_non_null(strstr(text, "\nvmmd_daemon_loop_busy_seconds_total 1.000000001\n"));
	assert_int_equal(value(text, "vmmd_host_cpus"), sysconf(_SC_NPROCESSORS_ONLN));
	assert_true(value(text, "vmmd_host_cpu_seconds_total{mode=\"user\"}") > 0);
	assert_true(value(text, "vmmd_host_memory_bytes") >=
		value(text, "vmmd_host_memory_available_bytes"));
	assert_true(value(text, "vmmd_host_memory_available_bytes") > 1e6);
	assert_true(value(text, "vmmd_domain_threads{domain=\"a \\\"b\\\\\"}") >= 1);
	assert_true(value(text, "vmmd_domain_resident_memory_bytes{domain=\"a \\\"b\\\\\"}") > 1e5);
	stop_all(f);
}

/* What its names promise: units end names, no family comes twice, and each says what it is. */
static void test_table(void **state)
{
	(void)state;
	for (size_t i = 0; i < n_metrics; i++) {
		const struct metric *m = &metrics[i];
		size_t len = strlen(m->name);

		assert_true(strncmp(m->name, "vmmd_", 5) == 0);
		assert_int_equal(strspn(m->name, "abcdefghijklmnopqrstuvwxyz_"), len);
		if (m->unit)
			assert_string_equal(m->name + len - strlen(m->unit), m->unit);
		assert_true(m->help[strlen(m->help) - 1] == '.');
		assert_true((m->form == METRIC_NS || m->form == METRIC_USEC) ==
			(m->unit && streq(m->unit, "seconds")));
		for (size_t k = 0; k < i; k++)
			assert_string_not_equal(metrics[k].name, m->name);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),
		cmocka_unit_test_setup_teardown(test_golden, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_varying, fixture_setup, fixture_teardown),
	};

	log_init("test", LOG_EMERG, NULL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
