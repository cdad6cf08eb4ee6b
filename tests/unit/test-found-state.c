/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a daemon finds on disk that it did not write so: files of another version, cut short, garbage, and things that are no files. It
 * begins all the same or says why not, leaves what it cannot read as it is, byte by byte, and has everything else.
 */
#include <sys/stat.h>

#include "operations-fixture.h"

#define UUID_OTHER "01020304-0506-0708-090a-0b0c0d0e0f10"
#define STATUS                                                                                     \
	"\"name\":\"z\",\"pid\":2,\"start_time\":1,\"id\":3,\"slot\":1,\"state\":1,\"reason\":1,"  \
	"\"serials\":[],\"consoles\":[],\"channels\":[],\"nics\":[],\"ports\":[],\"uplinks\":[]}"

struct finding {
	const char *folder; /* below the instance's folder; made if it is not there */
	const char *file, *text;
	bool may_go; /* it is nothing that somebody could miss */
};

static const struct finding findings[] = {
	{"state/domains", UUID_OTHER ".xml", "", false},
	{"state/domains", UUID_OTHER ".xml", "<domain type='kvm'><name>z</na", false},
	{"state/domains", UUID_OTHER ".xml", "<domain type='kvm' version='9'/>", false},
	{"state/domains", UUID_OTHER ".xml", "<network><name>z</name></network>", false},
	{"state/domains", UUID_OTHER ".xml", "\xff\xfe garbage", false},
	{"state/domains", UUID_OTHER ".xml.bak", "<domain/>", false},
	{"state/networks", UUID_OTHER ".xml", "<network><name>z</name><uuid>", false},
	{"state/networks", UUID_OTHER ".xml", "<domain/>", false},
	{"state/autostart", "README", "not a UUID", false},
	{"state", "journal-0", "vmmd-journal 2 0123456789abcdef 1 0 0 0000\n", false},
	{"state", "journal-1", "vmmd-journal 1 0123456789abcd",
		true}, /* cut short when it was made */
	{"state", "settings-of-a-later-version", "x", false},
	{"run/domains/" UUID_OTHER, "status.json", "{\"version\":3," STATUS, false},
	{"run/domains/" UUID_OTHER, "status.json", "{\"version\":1," STATUS, false},
	{"run/domains/" UUID_OTHER, "status.json", "{\"version\":\"2\"," STATUS, false},
	{"run/domains/" UUID_OTHER, "status.json", "{\"version\":2,\"name\":\"z\"", false},
	{"run/domains/" UUID_OTHER, "status.json", "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[", false},
	{"run/domains/" UUID_OTHER, "status.json", "", false},
	{"run/networks/" UUID_OTHER, "status.json", "{\"version\":3," STATUS, false},
	{"run/networks/" UUID_OTHER, "status.json", "null", false},
	{"run/networks/" UUID_OTHER, "status.json", "", false},
	{"run", "next-slot", "four", true},
	{"run", "next-job", "-1\n", true},
	{"run", "next-job", "18446744073709551615\n", true},
	{"run", "vmmd.lock", "999999999\n", true}, /* of a daemon that is no more */
	{"run/once", "1", "{\"version\":2}", true},
};

static void put(const char *folder, const char *file, const char *text)
{
	char command[512], path[512];
	int fd;

	snprintf(command, sizeof(command), "mkdir -p -m 700 %s", folder);
	assert_int_equal(system(command), 0);
	snprintf(path, sizeof(path), "%s/%s", folder, file);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write_full(fd, text, strlen(text)), 0);
	close(fd);
}

static void close_manager(struct fixture *f)
{
	list_del(&f->sink.link);
	f->manager = manager_free(f->manager);
}

/* With a domain and a network that run, which have nothing to do with it. */
static void test_findings(void **state)
{
	struct fixture *f = *state;

	if (op_define_and_start(f) < 0 || op_net_define_and_start(f) < 0)
		fail_msg("%s", f->error.message);
	for (size_t i = 0; i < ARRAY_SIZE(findings); i++) {
		const struct finding *found = &findings[i];
		char folder[256], path[384];
		_cleanup_(freep) char *text = NULL;

		close_manager(f);
		snprintf(folder, sizeof(folder), "%s/%s", f->dir, found->folder);
		snprintf(path, sizeof(path), "%s/%s", folder, found->file);
		put(folder, found->file, found->text);
		fixture_open_manager(f);
		RUN_UNTIL(f,
			worker_is_connected(the_domain(f)->worker) &&
				worker_is_connected(the_network(f)->worker));
		assert_int_equal(f->manager->n_domains, 1);
		assert_int_equal(f->manager->n_networks, 1);
		assert_int_equal(is_running(f), FOUND_NEW);
		assert_int_equal(net_is_running(f), FOUND_NEW);
		if (found->may_go)
			continue;
		if (read_file(AT_FDCWD, path, 4096, &text, NULL) < 0 || !streq(text, found->text))
			fail_msg("%s: '%s' is not as it was", path, found->text);
		assert_int_equal(unlink(path), 0);
	}
}

/* Something else in the place of a folder or of the lock. */
static void test_no_folders(void **state)
{
	static const char *const places[] = {"state/domains", "state/networks", "state/autostart",
		"state/log", "run/domains", "run/networks", "run/vmmd.lock"};
	static const char *const things[] = {"ln -s /tmp", "mkfifo", "touch"};
	struct fixture *f = *state;

	close_manager(f);
	for (size_t i = 0; i < ARRAY_SIZE(places); i++)
		for (size_t j = 0; j < ARRAY_SIZE(things); j++) {
			struct store *store = NULL;
			char command[512];
			int r;

			snprintf(command, sizeof(command), "rm -rf %s/%s; %s %s/%s", f->dir,
				places[i], things[j], f->dir, places[i]);
			assert_int_equal(system(command), 0);
			f->error = (struct error){0};
			r = store_open(f->state, f->runtime, &store, &f->error);
			/* A file, and a fifo that is opened for both ends, may be locked. */
			if (i == 6 && j > 0)
				assert_int_equal(r, 0);
			else if (r >= 0 || !strstr(f->error.message, strrchr(places[i], '/') + 1))
				fail_msg("%s: %s", command, f->error.message);
			(void)store_free(store);
			snprintf(command, sizeof(command), "rm -f %s/%s", f->dir, places[i]);
			assert_int_equal(system(command), 0);
		}
	fixture_open_manager(f);
}

/* Others may write there. */
static void test_modes(void **state)
{
	struct fixture *f = *state;
	const char *const folders[] = {f->state, f->runtime};
	const mode_t modes[] = {0777, 0722, 0720, 01777};

	close_manager(f);
	for (size_t i = 0; i < ARRAY_SIZE(folders); i++)
		for (size_t j = 0; j < ARRAY_SIZE(modes); j++) {
			struct store *store = NULL;

			assert_int_equal(chmod(folders[i], modes[j]), 0);
			assert_true(store_open(f->state, f->runtime, &store, &f->error) < 0);
			assert_non_null(strstr(f->error.message, "can be written by others"));
			assert_int_equal(chmod(folders[i], 0700), 0);
		}
	fixture_open_manager(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_findings, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_no_folders, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_modes, fixture_setup, fixture_teardown),
	};

	log_init("test", LOG_CRIT, NULL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
