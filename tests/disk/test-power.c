/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Power cuts on real file systems: XFS and ext4 on loop devices are shut down without a write of their logs (FS_IOC_SHUTDOWN) after each
 * call that a change of the store makes, and mounted again. The next store finds what was before or what was to be; what
 * had been acknowledged is there; temporary files are swept.
 *
 * Needs root, loop devices, and the file systems with their mkfs; what cannot be had is skipped, and said.
 * tests/unit/test-power-cut.c enumerates what these file systems do not show.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "daemon/store.h"
#include "tests/fakes/faulty-calls.h"
#include "vmm-core/base/strutil.h"

#define IMAGE_BYTES    (300L << 20) /* the least that mkfs.xfs takes; sparse */
#define SHUTDOWN       _IOR('X', 125, uint32_t)
#define NO_LOG_FLUSH   2
#define MOUNT_TRIES    200
#define MOUNT_TRY_USEC 50000

static const uint8_t uuid_a[16] = {1}, uuid_b[16] = {2}, uuid_n[16] = {3};

struct disk {
	const char *type;
	char dir[64], image[96], mount[96], state[128], runtime[96], device[32];
	struct store *store;
	unsigned n_cuts;
};

/* What is found. */
enum found { FOUND_OLD, FOUND_NEW, FOUND_TORN };

struct change {
	const char *name;
	int (*run)(struct store *store);
	enum found (*look)(struct store *store);
};

static struct {
	int mount_fd;
	unsigned n, at;
} cut;

/* The call has been made: the power goes. */
static void seen(const struct faults_call *call)
{
	uint32_t how = NO_LOG_FLUSH;

	(void)call;
	if (++cut.n != cut.at)
		return;
	_exit(ioctl(cut.mount_fd, SHUTDOWN, &how) < 0 ? 3 : 42);
}

struct text {
	const uint8_t *uuid;
	char xml[64];
	unsigned n;
};

static void take_text(void *opaque, const uint8_t uuid[16], const char *xml, int error)
{
	struct text *t = opaque;

	t->n++;
	if (memcmp(uuid, t->uuid, 16) == 0)
		snprintf(t->xml, sizeof(t->xml), "%s", error ? "cannot be read" : xml);
}

static enum found compare(
	struct store_room *room, const uint8_t uuid[16], const char *old, const char *new)
{
	struct text t = {.uuid = uuid};

	if (store_each(room, take_text, &t) < 0)
		return FOUND_TORN;
	return streq(t.xml, old) ? FOUND_OLD : streq(t.xml, new) ? FOUND_NEW : FOUND_TORN;
}

static int define_b(struct store *s)
{
	return store_save(&s->domains, uuid_b, "<b/>");
}

static enum found look_b(struct store *s)
{
	return compare(&s->domains, uuid_b, "", "<b/>");
}

static int redefine_a(struct store *s)
{
	return store_save(&s->domains, uuid_a, "<new/>");
}

static enum found look_a(struct store *s)
{
	return compare(&s->domains, uuid_a, "<old/>", "<new/>");
}

static int undefine_a(struct store *s)
{
	return store_delete(&s->domains, uuid_a);
}

/* With its flag, or neither. */
static enum found look_gone(struct store *s)
{
	enum found found = compare(&s->domains, uuid_a, "<old/>", "");

	return store_get_autostart(&s->domains, uuid_a) == (found == FOUND_OLD) ? found
										: FOUND_TORN;
}

static int unflag_a(struct store *s)
{
	return store_set_autostart(&s->domains, uuid_a, false);
}

static enum found look_unflagged(struct store *s)
{
	return store_get_autostart(&s->domains, uuid_a) ? FOUND_OLD : FOUND_NEW;
}

static int flag_n(struct store *s)
{
	return store_set_autostart(&s->networks, uuid_n, true);
}

static enum found look_flagged(struct store *s)
{
	return store_get_autostart(&s->networks, uuid_n) ? FOUND_NEW : FOUND_OLD;
}

static int redefine_n(struct store *s)
{
	return store_save(&s->networks, uuid_n, "<new/>");
}

static enum found look_n(struct store *s)
{
	return compare(&s->networks, uuid_n, "<old/>", "<new/>");
}

static int mark(struct store *s)
{
	return store_set_mark(s, "done-once");
}

static enum found look_mark(struct store *s)
{
	return store_has_mark(s, "done-once") ? FOUND_NEW : FOUND_OLD;
}

/* a and b change together. */
static int change_both(struct store *s)
{
	struct changeset_item items[] = {{.kind = CHANGESET_DOMAINS, .xml = "<new/>"},
		{.kind = CHANGESET_DOMAINS, .xml = "<b/>"}};
	int r;

	memcpy(items[0].uuid, uuid_a, 16);
	memcpy(items[1].uuid, uuid_b, 16);
	r = store_commit(s, items, 2);
	return r < 0 ? r : store_settle(s, STORE_SETTLE_ALL);
}

static enum found look_both(struct store *s)
{
	enum found a = look_a(s);

	return a == look_b(s) ? a : FOUND_TORN;
}

static const struct change changes[] = {
	{"define", define_b, look_b},
	{"redefine", redefine_a, look_a},
	{"undefine", undefine_a, look_gone},
	{"autostart off", unflag_a, look_unflagged},
	{"net-autostart", flag_n, look_flagged},
	{"net-define", redefine_n, look_n},
	{"mark", mark, look_mark},
	{"together", change_both, look_both},
};

static bool run(const char *format, ...) _printf_(1, 2);
static bool run(const char *format, ...)
{
	char command[512];
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(command, sizeof(command), format, ap);
	va_end(ap);
	return system(command) == 0;
}

/* The kernel lets go of a file system that was shut down when it likes. */
static bool mount_disk(const struct disk *d)
{
	for (unsigned i = 0; i < MOUNT_TRIES; i++) {
		if (mount(d->device, d->mount, d->type, 0, NULL) == 0)
			return true;
		if (errno != EBUSY)
			return false;
		(void)usleep(MOUNT_TRY_USEC);
	}
	return false;
}

static void unmount_disk(const struct disk *d)
{
	for (unsigned i = 0; i < MOUNT_TRIES && umount(d->mount) < 0 && errno == EBUSY; i++)
		(void)usleep(MOUNT_TRY_USEC);
}

static bool attach_loop(struct disk *d)
{
	int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
	int number = control < 0 ? -1 : ioctl(control, LOOP_CTL_GET_FREE);
	int image = open(d->image, O_RDWR | O_CLOEXEC), loop;
	struct loop_config config = {.fd = (uint32_t)image};

	snprintf(d->device, sizeof(d->device), "/dev/loop%d", number);
	loop = number < 0 ? -1 : open(d->device, O_RDWR | O_CLOEXEC);
	if (loop < 0 || ioctl(loop, LOOP_CONFIGURE, &config) < 0)
		d->device[0] = 0;
	close(loop);
	close(image);
	close(control);
	return d->device[0];
}

static void detach_loop(const struct disk *d)
{
	int loop = *d->device ? open(d->device, O_RDWR | O_CLOEXEC) : -1;

	if (loop >= 0)
		(void)ioctl(loop, LOOP_CLR_FD, 0);
	close(loop);
}

static void disk_done(struct disk *d)
{
	d->store = store_free(d->store);
	unmount_disk(d);
	detach_loop(d);
	(void)run("rm -rf %s", d->dir);
}

/* False: it cannot be had here, and that has been said. */
static bool disk_new(struct disk *d)
{
	const char *why = NULL;

	strcpy(d->dir, "/tmp/test-power-XXXXXX");
	if (!mkdtemp(d->dir))
		return false;
	snprintf(d->image, sizeof(d->image), "%s/image", d->dir);
	snprintf(d->mount, sizeof(d->mount), "%s/mount", d->dir);
	snprintf(d->state, sizeof(d->state), "%s/mount/state", d->dir);
	snprintf(d->runtime, sizeof(d->runtime), "%s/run", d->dir);
	(void)mkdir(d->mount, 0700);
	if (geteuid() != 0 || unshare(CLONE_NEWNS) < 0 ||
		mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		why = "needs root";
	else if (!run("truncate -s %ld %s && mkfs.%s -q %s >/dev/null 2>&1", IMAGE_BYTES, d->image,
			 d->type, d->image))
		why = "mkfs does not work";
	else if (!attach_loop(d))
		why = "there is no loop device";
	else if (!mount_disk(d))
		why = "it cannot be mounted";
	if (!why)
		return true;
	fprintf(stderr, "%s on a loop device: %s\n", d->type, why);
	disk_done(d);
	return false;
}

static void open_store(struct disk *d)
{
	struct error e = {0};

	if (store_open(d->state, d->runtime, &d->store, &e) < 0)
		fail_msg("%s", e.message);
}

/* What each change begins with; durable by the store's own promise. */
static void prepare(struct disk *d)
{
	open_store(d);
	assert_int_equal(store_save(&d->store->domains, uuid_a, "<old/>"), 0);
	assert_int_equal(store_set_autostart(&d->store->domains, uuid_a, true), 0);
	assert_int_equal(store_delete(&d->store->domains, uuid_b), 0);
	assert_int_equal(store_save(&d->store->networks, uuid_n, "<old/>"), 0);
	assert_int_equal(store_set_autostart(&d->store->networks, uuid_n, false), 0);
	(void)unlinkat(d->store->state_fd, "done-once", 0);
	d->store = store_free(d->store);
}

static _noreturn_ void child(struct disk *d, const struct change *change, unsigned at)
{
	uint32_t how = NO_LOG_FLUSH;

	open_store(d);
	cut.mount_fd = open(d->mount, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	cut.at = at;
	faults.seen = seen;
	if (change->run(d->store) < 0)
		_exit(4);
	/* All is done, and acknowledged. */
	_exit(ioctl(cut.mount_fd, SHUTDOWN, &how) < 0 ? 3 : 0);
}

/* True: the change came to its end before. */
static bool cut_at(struct disk *d, const struct change *change, unsigned at)
{
	enum found found;
	int status;
	pid_t pid;

	prepare(d);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		child(d, change, at);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) != 0 && WEXITSTATUS(status) != 42)
		fail_msg("%s, %s: status %d", d->type, change->name, WEXITSTATUS(status));
	unmount_disk(d);
	assert_true(mount_disk(d));
	open_store(d);
	found = change->look(d->store);
	if (found == FOUND_TORN || (WEXITSTATUS(status) == 0 && found == FOUND_OLD))
		fail_msg("%s, %s, power cut after call %u: found %s", d->type, change->name, at,
			found == FOUND_TORN ? "half of it" : "what was before, though it was done");
	d->store = store_free(d->store);
	if (run("find %s -name '*tmp*' | grep -q .", d->state))
		fail_msg("%s, %s, power cut after call %u: a temporary file is left", d->type,
			change->name, at);
	d->n_cuts++;
	return WEXITSTATUS(status) == 0;
}

static void test_disk(void **state)
{
	struct disk *d = *state;

	alarm(250);
	for (size_t i = 0; i < ARRAY_SIZE(changes); i++) {
		unsigned at = 1;

		while (!cut_at(d, &changes[i], at))
			at++;
		assert_true(at > 1);
	}
	print_message("%s: %u power cuts\n", d->type, d->n_cuts);
}

int main(int argc, char **argv)
{
	static struct disk d;
	const struct CMUnitTest tests[] = {cmocka_unit_test_prestate(test_disk, &d)};
	int r;

	d.type = argc > 1 ? argv[1] : "ext4";
	faults.sync = true;
	if (!disk_new(&d))
		return 77;
	r = cmocka_run_group_tests(tests, NULL, NULL);
	disk_done(&d);
	return r;
}
