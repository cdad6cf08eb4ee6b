/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which paths lead to file systems that others answer for: tables, links, and what is on top. */
#include "daemon/mounts.h"

#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "daemon-fixture.h"

struct world {
	sd_event *event;
	char dir[64], table[96];
	struct mounts *mounts;
};

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	strcpy(w->dir, "/tmp/test-mounts-XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	snprintf(w->table, sizeof(w->table), "%s/table", w->dir);
	assert_true(sd_event_new(&w->event) >= 0);
	assert_int_equal(mounts_new(w->event, w->table, &w->mounts), 0);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;
	char command[96];

	mounts_free(w->mounts);
	sd_event_unref(w->event);
	snprintf(command, sizeof(command), "rm -rf %s", w->dir);
	assert_int_equal(system(command), 0);
	free(w);
	return 0;
}

/* "%s" is the world's folder. */
static void say(struct world *w, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void say(struct world *w, const char *format, ...)
{
	FILE *f = fopen(w->table, "w");
	va_list ap;

	assert_non_null(f);
	va_start(ap, format);
	vfprintf(f, format, ap);
	va_end(ap);
	fclose(f);
}

static void make_link(struct world *w, const char *name, const char *target)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/%s", w->dir, name);
	assert_int_equal(symlink(target, path), 0);
}

static bool is_far(struct world *w, const char *name, const char *where)
{
	char path[256], got[320] = "", want[320];
	bool far;

	snprintf(path, sizeof(path), "%s/%s", w->dir, name);
	far = mounts_is_far(w->mounts, path, got, sizeof(got));
	if (far && where) {
		snprintf(want, sizeof(want), where, w->dir);
		assert_string_equal(got, want);
	}
	return far;
}

static void test_paths(void **state)
{
	struct world *w = *state;
	char absolute[128], path[128];

	assert_false(mounts_any_far(w->mounts)); /* no table */
	say(w,
		"22 1 0:1 / / rw - ext4 /dev/vda rw\n"
		"30 22 0:40 / %s/nfs rw,relatime shared:7 master:1 - nfs4 server:/x rw\n",
		w->dir);
	assert_true(mounts_any_far(w->mounts));
	assert_true(is_far(w, "nfs", "nfs4 at %s/nfs"));
	assert_true(is_far(w, "nfs/a/b.img", "nfs4 at %s/nfs"));
	assert_true(is_far(w, "./nfs//a", NULL));
	assert_true(is_far(w, "nothing/../nfs/a", NULL) ==
		false); /* as open(2): "nothing" is not there */
	assert_false(is_far(w, "nfs2/a", NULL));
	assert_false(is_far(w, "table", NULL));
	assert_false(is_far(w, "", NULL));
	snprintf(path, sizeof(path), "%s/folder", w->dir);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_true(is_far(w, "folder/../nfs/a", NULL));
	/* Links: relative, absolute, to a link, in the middle, in circles, and what lies behind one of a far file system. */
	make_link(w, "relative", "nfs/a");
	snprintf(absolute, sizeof(absolute), "%s/relative", w->dir);
	make_link(w, "absolute", absolute);
	make_link(w, "folder/up", "../nfs");
	make_link(w, "round", "about");
	make_link(w, "about", "round");
	make_link(w, "home", "folder");
	assert_true(is_far(w, "relative", NULL));
	assert_true(is_far(w, "absolute", NULL));
	assert_true(is_far(w, "folder/up/b", NULL));
	assert_true(is_far(w, "home/up/b", NULL));
	assert_false(is_far(w, "round", NULL));
	assert_false(is_far(w, "home/b", NULL));
}

static void test_tables(void **state)
{
	static const struct {
		const char *type;
		bool far;
	} types[] = {{"nfs", true}, {"nfs4", true}, {"cifs", true}, {"fuse", true},
		{"fuse.sshfs", true}, {"fuse.glusterfs", true}, {"ceph", true}, {"autofs", true},
		{"virtiofs", true}, {"fuseblk", false}, {"fusectl", false}, {"nfsd", false},
		{"ext4", false}, {"tmpfs", false}, {"overlay", false}, {"", false}};
	struct world *w = *state;

	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		say(w, "30 22 0:40 / %s/x rw - %s y rw\n", w->dir, types[i].type);
		if (is_far(w, "x/y", NULL) != types[i].far)
			fail_msg("%s", types[i].type);
	}
	/* The one on top counts. */
	say(w, "30 22 0:40 / %s/x rw - nfs y rw\n31 30 0:41 / %s/x rw - tmpfs tmpfs rw\n", w->dir,
		w->dir);
	assert_false(is_far(w, "x/y", NULL));
	say(w, "30 22 0:40 / %s/x rw - tmpfs y rw\n31 30 0:41 / %s/x rw - nfs y rw\n", w->dir,
		w->dir);
	assert_true(is_far(w, "x/y", NULL));
	/* One of the host's own below it is behind it. */
	say(w, "30 22 0:40 / %s/x rw - nfs y rw\n31 30 0:41 / %s/x/z rw - tmpfs tmpfs rw\n", w->dir,
		w->dir);
	assert_true(is_far(w, "x/z/y", "nfs at %s/x"));
	say(w, "30 22 0:40 / %s/a\\040b\\134 rw - nfs y rw\n", w->dir);
	assert_true(is_far(w, "a b\\/y", NULL));
	/* What is no table. */
	say(w, "\n - \n - nfs\n1 2 3\n1 2 3 4 5 6\n\xff\xfe - nfs x\n 1 2 - nfs\n");
	assert_false(is_far(w, "x", NULL));
}

/* The real table is read again when it has changed, and not before. */
static void test_changes(void **state)
{
	struct world *w = *state;
	int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	char path[128], where[320], options[96];
	struct mounts *mounts;

	snprintf(path, sizeof(path), "%s/far", w->dir);
	snprintf(options, sizeof(options), "fd=%d,rootmode=40000,user_id=0,group_id=0", fd);
	assert_int_equal(mkdir(path, 0700), 0);
	if (fd < 0 || unshare(CLONE_NEWNS) < 0 ||
		mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0) {
		print_message("skipped: this process may mount no FUSE\n");
		(void)safe_close(fd);
		return;
	}
	assert_int_equal(mounts_new(w->event, "/proc/self/mountinfo", &mounts), 0);
	assert_false(mounts_is_far(mounts, path, where, sizeof(where)));
	assert_int_equal(mount("nobody", path, "fuse", 0, options), 0);
	assert_true(sd_event_run(w->event, 1000000) > 0);
	assert_true(mounts_is_far(mounts, path, where, sizeof(where)));
	assert_int_equal(umount2(path, MNT_DETACH), 0);
	assert_true(sd_event_run(w->event, 1000000) > 0);
	assert_false(mounts_is_far(mounts, path, where, sizeof(where)));
	/* Nothing happens: the loop sleeps. */
	assert_int_equal(sd_event_run(w->event, 0), 0);
	mounts_free(mounts);
	(void)safe_close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		T(test_paths),
		T(test_tables),
		T(test_changes),
	};

	log_init("test-mounts", LOG_CRIT, false);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
