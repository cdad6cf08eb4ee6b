/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Workers that die of each signal, and workers that hang: the state says so, what they held is free, on_crash is honoured, who is next
 * to them notices nothing, and a worker that nobody asks about is not woken. Counted, and printed.
 */
#include <signal.h>
#include <sys/stat.h>

#include "daemon-fixture.h"
#include "daemon/cgroup.h"
#include "daemon/stats-view.h"
#include "daemon/worker-internal.h"
#include "journal-fixture.h"
#include "tests/unit/tally.h"

#define N_OTHERS 3
#define N_EACH   20 /* deaths of each kind */

static const int signals[] = {SIGKILL, SIGSEGV, SIGBUS, SIGSYS, SIGABRT};

static struct domain *others[N_OTHERS];
static pid_t pids[N_OTHERS];

static void start_others(struct fixture *f)
{
	for (unsigned i = 0; i < N_OTHERS; i++) {
		char name[16];

		snprintf(name, sizeof(name), "other%u", i);
		others[i] = fixture_define(f, name, "", "");
		fixture_start(f, others[i]);
		pids[i] = worker_pid(others[i]->worker);
	}
}

/* The same processes, which do what they are asked. */
static void check_others(struct fixture *f)
{
	for (unsigned i = 0; i < N_OTHERS; i++) {
		assert_int_equal(worker_pid(others[i]->worker), pids[i]);
		assert_false(others[i]->degraded);
		fixture_wait(f, domain_suspend(others[i], fixture_done, f, &f->error));
		assert_int_equal(f->done_error.code, 0);
		fixture_wait(f, domain_resume(others[i], fixture_done, f, &f->error));
		assert_int_equal(f->done_error.code, 0);
	}
}

/* A disk, so that there is a lock to be freed: the next start would be refused. */
static void make_disk(struct fixture *f)
{
	static char xml[256];
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "%s/disk", f->dir);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, MIB(1)), 0);
	close(fd);
	snprintf(xml, sizeof(xml),
		"<disk type='file'><driver name='qemu' type='raw'/><source file='%s'/><target "
		"dev='vda' bus='virtio'/></disk>",
		path);
	f->devices = xml;
}

/* The record of the crash, which says of what it died. */
static void expect_crash(struct journald *j, int sig)
{
	char want[64];

	snprintf(want, sizeof(want), "killed by signal %d (%s)", sig, strsignal(sig));
	while (journald_take(j)) {
		const char *message = journald_field(j, "MESSAGE");

		if (!message || !strstr(message, "crashed"))
			continue;
		assert_non_null(strstr(message, want));
		assert_int_equal(sig == SIGSYS, strstr(message, "seccomp") != NULL);
		return;
	}
	fail_msg("no record of a crash by signal %d", sig);
}

static void test_deaths(void **state)
{
	struct fixture *f = *state;
	struct journald journal;
	unsigned n = 0, n_fds;
	struct domain *d;

	make_disk(f);
	d = fixture_define(f, "dies", "", "<on_crash>destroy</on_crash>");
	f->devices = NULL;
	start_others(f);
	journald_open(&journal, f->dir);
	log_init("test", LOG_WARNING, NULL);
	n_fds = fixture_count_fds();
	for (size_t s = 0; s < ARRAY_SIZE(signals); s++)
		for (unsigned i = 0; i < N_EACH; i++) {
			fixture_start(f, d);
			assert_int_equal(kill(worker_pid(d->worker), signals[s]), 0);
			RUN_UNTIL(f, d->phase == DOMAIN_IDLE);
			assert_int_equal(d->state, DOMAIN_STATE_SHUTOFF);
			assert_int_equal(d->reason, DOMAIN_SHUTOFF_CRASHED);
			expect_crash(&journal, signals[s]);
			assert_int_equal(fixture_count_fds(), n_fds);
			n++;
		}
	check_others(f);
	log_init("test", LOG_CRIT, NULL);
	journald_close(&journal);
	print_message("%u deaths of workers by %zu signals\n", n, ARRAY_SIZE(signals));
	tally(TALLY_FAULTS, n);
}

/* on_crash='restart': another process for the same run, as often as is allowed. */
static void test_restarts(void **state)
{
	struct fixture *f = *state;
	struct domain *d;
	unsigned n = 0;

	make_disk(f);
	d = fixture_define(f, "rises", "", "<on_crash>restart</on_crash>");
	f->devices = NULL;
	start_others(f);
	for (size_t s = 0; s < ARRAY_SIZE(signals); s++) {
		int id;

		fixture_start(f, d);
		id = d->id;
		for (unsigned i = 0; i < DOMAIN_RESTART_BURST; i++) {
			pid_t pid = worker_pid(d->worker);

			assert_int_equal(kill(pid, signals[s]), 0);
			RUN_UNTIL(f,
				d->worker && worker_pid(d->worker) != pid &&
					d->phase == DOMAIN_ACTIVE);
			assert_int_equal(d->state, DOMAIN_STATE_RUNNING);
			assert_int_equal(d->id, id);
			n++;
		}
		assert_int_equal(kill(worker_pid(d->worker), signals[s]), 0);
		RUN_UNTIL(f, d->phase == DOMAIN_IDLE);
		assert_int_equal(d->reason, DOMAIN_SHUTOFF_CRASHED);
	}
	check_others(f);
	print_message("%u restarts\n", n);
	tally(TALLY_FAULTS, n);
}

static uint64_t heartbeat(const struct domain *d)
{
	return stat_read(&stats_view_page(d->stats)->heartbeat);
}

/* A worker that is stopped is asked when somebody looks at it, is known to hang, hinders nobody, and can be destroyed or goes on. */
static void test_hung(void **state)
{
	struct fixture *f = *state;
	struct domain *d = fixture_define(f, "hangs", "", "");
	unsigned n = 0;

	worker_answer_usec = 100000;
	start_others(f);
	for (unsigned i = 0; i < N_EACH; i++) {
		bool goes_on = i % 2;

		fixture_start(f, d);
		assert_int_equal(kill(worker_pid(d->worker), SIGSTOP), 0);
		assert_true(worker_probe(d->worker));
		assert_false(d->degraded);
		check_others(f);
		RUN_UNTIL(f, d->degraded);
		assert_true(worker_is_hung(d->worker));
		/* It is not asked again, and its state is known without it. */
		assert_false(worker_probe(d->worker));
		assert_int_equal(d->state, DOMAIN_STATE_RUNNING);
		assert_int_equal(domain_suspend(d, fixture_done, f, &f->error), -EBUSY);
		assert_int_equal(f->error.code, ERROR_RESOURCE_BUSY);
		f->error = (struct error){0};
		check_others(f);
		if (goes_on) {
			assert_int_equal(kill(worker_pid(d->worker), SIGCONT), 0);
			RUN_UNTIL(f, !d->degraded);
			fixture_wait(f, domain_suspend(d, fixture_done, f, &f->error));
			assert_int_equal(f->done_error.code, 0);
		}
		fixture_wait(f, domain_destroy(d, 0, fixture_done, f, &f->error));
		assert_int_equal(f->done_error.code, 0);
		assert_int_equal(d->reason, DOMAIN_SHUTOFF_DESTROYED);
		n++;
	}
	worker_answer_usec = WORKER_ANSWER_USEC;
	print_message("%u workers that hung\n", n);
	tally(TALLY_FAULTS, n);
}

/* A worker that does not even read: its places for requests are full. */
static void test_deaf(void **state)
{
	struct fixture *f = *state;
	struct domain *d = fixture_define(f, "deaf", "", "");

	fixture_start(f, d);
	assert_int_equal(kill(worker_pid(d->worker), SIGSTOP), 0);
	while (worker_request(d->worker, PROTO_PAUSE, NULL, 0, NULL, 0, 1000, NULL, NULL) == 0)
		;
	RUN_UNTIL(f, d->worker->pending[0].timer == NULL);
	assert_false(worker_probe(d->worker));
	assert_true(d->degraded);
	fixture_wait(f, domain_destroy(d, 0, fixture_done, f, &f->error));
	assert_int_equal(d->reason, DOMAIN_SHUTOFF_DESTROYED);
}

/* Nobody asks: nothing wakes it. Somebody asks often: it is woken once. */
static void test_idle(void **state)
{
	struct fixture *f = *state;
	struct domain *d = fixture_define(f, "idle", "", "");
	unsigned n = 0;
	uint64_t beats;

	fixture_start(f, d);
	for (unsigned i = 0; i < 20; i++)
		assert_true(sd_event_run(f->event, 1000) >= 0);
	beats = heartbeat(d);
	for (unsigned i = 0; i < 100; i++)
		assert_true(sd_event_run(f->event, 1000) >= 0);
	assert_int_equal(heartbeat(d), beats);
	for (unsigned i = 0; i < 100; i++) {
		n += worker_probe(d->worker);
		assert_true(sd_event_run(f->event, 1000) >= 0);
	}
	RUN_UNTIL(f, !d->worker->probing);
	assert_int_equal(n, 1);
	assert_int_equal(heartbeat(d), beats + 1);
}

static void write_text(const char *path, const char *format, unsigned n)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	fprintf(file, "oom 1\noom_");
	fprintf(file, format, n);
	assert_int_equal(fclose(file), 0);
}

static void make_folders(char *path)
{
	for (char *p = path + 1; (p = strchr(p, '/')); p++) {
		*p = 0;
		(void)mkdir(path, 0700);
		*p = '/';
	}
}

/* What the kernel says in the files of a group, of its own and of a systemd scope: who ran out of memory is told from all others, and a
 * group that is older than the process is not taken for it. */
static void test_out_of_memory(void **state)
{
	struct fixture *f = *state;
	static const struct {
		const char *path;
		bool systemd;
	} kinds[] = {{"memory/vmmd-7/x/memory.oom_control", false},
		{"vmmd.slice/vmmd-vm-1-2.scope/memory.events", true}};
	char path[192];
	unsigned n = 0;

	snprintf(path, sizeof(path), "%s/memory/cgroup.procs", f->dir);
	make_folders(path);
	write_text(path, "%u", 0);
	for (size_t k = 0; k < ARRAY_SIZE(kinds); k++)
		for (unsigned i = 0; i < 4; i++) {
			unsigned before = kinds[k].systemd ? 0 : i / 2;
			struct cgroup_root *root = cgroup_root_new(f->dir, 7);
			struct cgroup *c;
			sd_bus *bus;

			assert_true(sd_bus_new(&bus) >= 0);
			if (kinds[k].systemd)
				cgroup_root_set_bus(root, bus);
			snprintf(path, sizeof(path), "%s/%s", f->dir, kinds[k].path);
			make_folders(path);
			write_text(path, "kill %u\n", before);
			assert_int_equal(
				cgroup_new(root, "x", &(struct cgroup_limits){0}, NULL, &c), 0);
			cgroup_adopted(c, 1, 2);
			assert_false(cgroup_oom_killed(c));
			write_text(path, "kill %u\n", before + i % 2);
			assert_int_equal(cgroup_oom_killed(c), i % 2);
			assert_int_equal(unlink(path), 0);
			assert_false(cgroup_oom_killed(c));
			(void)cgroup_free(c, false);
			(void)cgroup_root_free(root);
			(void)sd_bus_unref(bus);
			n++;
		}
	assert_false(cgroup_oom_killed(NULL));
	print_message("%u control groups\n", n);
}

/* systemd has removed the scopes: each kill in the slice is one domain's; those of before are nobody's. */
static void test_out_of_memory_in_slice(void **state)
{
	struct fixture *f = *state;
	struct cgroup_root *root;
	struct cgroup *c[2];
	char path[192];
	sd_bus *bus;

	snprintf(path, sizeof(path), "%s/vmmd.slice/memory.events", f->dir);
	make_folders(path);
	write_text(path, "kill %u\n", 5);
	root = cgroup_root_new(f->dir, 7);
	assert_true(sd_bus_new(&bus) >= 0);
	cgroup_root_set_bus(root, bus);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(
			cgroup_new(root, i ? "y" : "x", &(struct cgroup_limits){0}, NULL, &c[i]),
			0);
		cgroup_adopted(c[i], i + 1, i + 2);
		assert_false(cgroup_oom_killed(c[i]));
	}
	write_text(path, "kill %u\n", 6);
	assert_true(cgroup_oom_killed(c[0]));
	assert_false(cgroup_oom_killed(c[1]));
	write_text(path, "kill %u\n", 8);
	assert_true(cgroup_oom_killed(c[0]));
	assert_true(cgroup_oom_killed(c[1]));
	/* The slice is a new one. */
	write_text(path, "kill %u\n", 0);
	assert_false(cgroup_oom_killed(c[0]));
	write_text(path, "kill %u\n", 1);
	assert_true(cgroup_oom_killed(c[0]));
	for (int i = 0; i < 2; i++)
		(void)cgroup_free(c[i], false);
	(void)cgroup_root_free(root);
	(void)sd_bus_unref(bus);
}

/* A domain's worker that was killed so: the record says it, of this domain and of no other. */
static void test_out_of_memory_record(void **state)
{
	struct fixture *f = *state;
	struct domain *d = fixture_define(f, "large", "", "");
	struct cgroup_root *root;
	struct journald journal;
	bool found = false, told = false;
	char path[192];

	start_others(f);
	fixture_start(f, d);
	snprintf(path, sizeof(path), "%s/memory/cgroup.procs", f->dir);
	make_folders(path);
	write_text(path, "%u", 0);
	root = cgroup_root_new(f->dir, 7);
	assert_int_equal(
		cgroup_new(root, "large", &(struct cgroup_limits){0}, NULL, &d->cgroup), 0);
	snprintf(path, sizeof(path), "%s/memory/vmmd-7/large/memory.oom_control", f->dir);
	make_folders(path);
	write_text(path, "kill %u\n", 1);
	journald_open(&journal, f->dir);
	log_init("test", LOG_WARNING, NULL);
	assert_int_equal(kill(worker_pid(d->worker), SIGKILL), 0);
	RUN_UNTIL(f, d->phase == DOMAIN_IDLE);
	assert_int_equal(d->reason, DOMAIN_SHUTOFF_CRASHED);
	while (journald_take(&journal)) {
		found |= strstr(journal.record,
				 "domain 'large' crashed: the worker was killed by "
				 "signal 9 (Killed): out of memory") != NULL;
		told |= strstr(journal.record, journal_message_id(JOURNAL_DOMAIN_OUT_OF_MEMORY)) !=
			NULL;
	}
	assert_true(found);
	assert_true(told);
	assert_int_equal(f->manager->n_oom_kills, 1);
	assert_true(fixture_saw(f, "lifecycle large Crashed OutOfMemory"));
	assert_true(fixture_saw(f, "lifecycle large Stopped Crashed"));
	log_init("test", LOG_CRIT, NULL);
	journald_close(&journal);
	check_others(f);
	(void)cgroup_root_free(root);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, fixture_setup, fixture_teardown)
	const struct CMUnitTest tests[] = {
		T(test_deaths),
		T(test_restarts),
		T(test_hung),
		T(test_deaf),
		T(test_idle),
		T(test_out_of_memory),
		T(test_out_of_memory_in_slice),
		T(test_out_of_memory_record),
	};

	log_init("test", LOG_CRIT, NULL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
