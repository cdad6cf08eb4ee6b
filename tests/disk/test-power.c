/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Power cuts on real file systems: XFS and ext4 on loop devices are shut down without a write of their logs (FS_IOC_SHUTDOWN) after each
 * call that a change of the store makes, and mounted again. The next store finds what was before or what was to be; what
 * had been acknowledged is there; temporary files are swept.
 *
 * Needs root, loop devices, and the file systems with their mkfs; what cannot be had is skipped, and said.
 * tests/unit/test-power-cut.c enumerates what these file systems do not show.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <sys/wait.h>
#include <cmocka.h>

#include "daemon/store.h"
#include "tests/disk/loop-fs.h"
#include "tests/fakes/faulty-calls.h"
#include "tests/unit/tally.h"

static const uint8_t uuid_a[16] = {1}, uuid_b[16] = {2}, uuid_n[16] = {3};

struct disk {
	struct loop_fs fs;
	char state[128], runtime[96];
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
	/* Opening what is there changes nothing. */
	if (call->kind == FAULTS_CALL_OPEN || ++cut.n != cut.at)
		return;
	_exit(loop_fs_cut(cut.mount_fd) < 0 ? 3 : 42);
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

	memcpy(items[0].uuid, uuid_a, 16);
	memcpy(items[1].uuid, uuid_b, 16);
	return store_change(s, items, 2);
}

/* And the journal begins anew. */
static int redefine_for_good(struct store *s)
{
	int r = redefine_a(s);

	return r < 0 ? r : store_checkpoint_now(s);
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
	{"redefine, for good", redefine_for_good, look_a},
};

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
	open_store(d);
	cut.mount_fd = open(d->fs.mount, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	cut.at = at;
	faults.seen = seen;
	if (change->run(d->store) < 0 || store_settle(d->store, STORE_SETTLE_ALL) < 0)
		_exit(4);
	/* All is done, and acknowledged. */
	_exit(loop_fs_cut(cut.mount_fd) < 0 ? 3 : 0);
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
		fail_msg("%s, %s: status %d", d->fs.type, change->name, WEXITSTATUS(status));
	loop_fs_unmount(&d->fs);
	assert_true(loop_fs_mount(&d->fs));
	open_store(d);
	found = change->look(d->store);
	if (found == FOUND_TORN || (WEXITSTATUS(status) == 0 && found == FOUND_OLD))
		fail_msg("%s, %s, power cut after call %u: found %s", d->fs.type, change->name, at,
			found == FOUND_TORN ? "half of it" : "what was before, though it was done");
	d->store = store_free(d->store);
	if (loop_fs_run("find %s -name '*tmp*' | grep -q .", d->state))
		fail_msg("%s, %s, power cut after call %u: a temporary file is left", d->fs.type,
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
	print_message("%s: %u power cuts\n", d->fs.type, d->n_cuts);
	tally(TALLY_FAULTS, d->n_cuts);
}

int main(int argc, char **argv)
{
	static struct disk d;
	const struct CMUnitTest tests[] = {cmocka_unit_test_prestate(test_disk, &d)};
	int r;

	faults.sync = true;
	if (!loop_fs_new(&d.fs, argc > 1 ? argv[1] : "ext4"))
		return 77;
	snprintf(d.state, sizeof(d.state), "%s/state", d.fs.mount);
	snprintf(d.runtime, sizeof(d.runtime), "%s/run", d.fs.dir);
	r = cmocka_run_group_tests(tests, NULL, NULL);
	d.store = store_free(d.store);
	loop_fs_done(&d.fs);
	return r;
}
