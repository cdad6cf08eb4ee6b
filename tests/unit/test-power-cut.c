/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Power cuts, by enumeration: what the store does to its folders is recorded call by call. After each call, everything that a file system
 * may have kept by then is made again as a folder, and a store is opened on it: it finds the definitions and flags of before the
 * operation or of after it, none other; what was acknowledged is there; temporary files are swept. Of some, the store makes its files
 * durable and is opened once more.
 *
 * What a file system may have kept: of each folder the entries up to any moment since the last fsync of that folder, independent of the
 * other folders; of a new file that was not synced since it was written, nothing, a part, all, or its length in zeros; of one that
 * was there, what it had when it was synced last, with the beginning or the end of what was written since. What the disk has refused to
 * sync once stays as it is in the kernel's memory, and a sync brings it out no more. Of all these
 * combinations after one call at most MAX_STATES are looked at, evenly. tests/disk has the same with real file systems.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "daemon/store.h"
#include "tests/fakes/faulty-calls.h"
#include "vmm-core/base/fdio.h"
#include "vmm-core/base/names.h"
#include "vmm-core/base/strutil.h"
#include "tests/unit/tally.h"

#define N_OPERATIONS 130
#define N_THINGS     5 /* three domains, two networks */
#define N_DOMAINS    3
#define PARTS        4 /* a file is cut at each quarter */
#define MAX_ENTRIES  32
#define MAX_MOMENTS  256 /* of a folder, between two syncs of it */
#define MAX_FILES    4096
#define MAX_STATES   10
#define MAX_BLOCKS   6 /* of a file of the journal, before it begins anew */
#define OTHER        UINT_MAX
#define MARK         "done-once"

enum folder { DOMAINS, NETWORKS, FLAGS, NETWORK_FLAGS, STATE, N_FOLDERS };

static const char *const folder_names[N_FOLDERS] = {
	"domains", "networks", "autostart", "autostart-networks", "."};

/* What is to be found: the number of each definition (0: none), its flag, the mark. */
struct model {
	unsigned version[N_THINGS];
	bool flag[N_THINGS], mark;
};

struct file {
	char *data, *durable;
	size_t len, durable_len;
	size_t from, to; /* what was written since it was synced */
	bool synced;
	bool lost; /* the disk has refused it once, and the kernel does not offer it again */
};

struct entry {
	char name[64];
	unsigned file;
};

struct folder_state {
	struct entry entries[MAX_ENTRIES];
	unsigned n;
};

/* A folder as it was at the last fsync, and after each change since. */
struct history {
	struct folder_state states[MAX_MOMENTS];
	unsigned n;
};

static struct {
	char dir[64], copy[96], runtime[96];
	struct store *store;
	struct history folders[N_FOLDERS];
	struct file files[MAX_FILES];
	unsigned n_files, of_fd[1024];
	struct model old, new;
	bool acknowledged;
	unsigned n_states, n_calls, version;
} t;

#define TEXT_MAX 4200

/* Of different lengths, each other than all others. */
static const char *text_of(unsigned version, char text[TEXT_MAX])
{
	int n = snprintf(text, TEXT_MAX, "<d version='%u'>", version);

	memset(text + n, 'a' + (int)(version % 26), version * 37 % 4000);
	snprintf(text + n + version * 37 % 4000, 8, "</d>");
	return text;
}

static void uuid_of(unsigned thing, uint8_t ret[16])
{
	memset(ret, 0, 16);
	ret[0] = (uint8_t)(thing + 1);
}

static struct store_room *room_of(struct store *store, unsigned thing)
{
	return thing < N_DOMAINS ? &store->domains : &store->networks;
}

static struct folder_state *now(enum folder folder)
{
	return &t.folders[folder].states[t.folders[folder].n - 1];
}

/* Also while no store is open yet. */
static int folder_of(int fd)
{
	struct stat st, of;

	for (int i = 0; fstat(fd, &st) == 0 && i < N_FOLDERS; i++) {
		char path[256];

		snprintf(path, sizeof(path), "%s/state/%s", t.dir, folder_names[i]);
		if (stat(path, &of) == 0 && of.st_ino == st.st_ino && of.st_dev == st.st_dev)
			return i;
	}
	return -1;
}

static struct entry *find(struct folder_state *s, const char *name)
{
	for (unsigned i = 0; i < s->n; i++)
		if (streq(s->entries[i].name, name))
			return &s->entries[i];
	return NULL;
}

static struct folder_state *change(enum folder folder)
{
	struct history *h = &t.folders[folder];

	assert_in_range(h->n, 1, MAX_MOMENTS - 1);
	h->states[h->n] = h->states[h->n - 1];
	return &h->states[h->n++];
}

static void remove_entry(struct folder_state *s, const char *name)
{
	struct entry *e = find(s, name);

	if (e)
		*e = s->entries[--s->n];
}

static void put_entry(struct folder_state *s, const char *name, unsigned file)
{
	remove_entry(s, name);
	assert_in_range(s->n, 0, MAX_ENTRIES - 1);
	snprintf(s->entries[s->n].name, sizeof(s->entries[0].name), "%s", name);
	s->entries[s->n++].file = file;
}

static void note_create(const struct faults_call *call, enum folder folder)
{
	struct entry *e = find(now(folder), call->name);

	if (!e) {
		assert_in_range(t.n_files, 0, MAX_FILES - 1);
		t.files[t.n_files] = (struct file){.synced = true};
		put_entry(change(folder), call->name, t.n_files);
		t.of_fd[call->fd] = t.n_files++;
	} else {
		t.of_fd[call->fd] = e->file;
	}
}

static void note_open(const struct faults_call *call, enum folder folder)
{
	struct entry *e = find(now(folder), call->name);

	t.of_fd[call->fd] = e ? e->file : OTHER;
}

static void note_write(const struct faults_call *call)
{
	struct file *f = &t.files[t.of_fd[call->fd]];
	size_t at = call->at < 0 ? f->len : (size_t)call->at;

	if (at + call->len > f->len) {
		f->data = realloc(f->data, at + call->len + 1);
		if (at > f->len)
			memset(f->data + f->len, 0, at - f->len);
		f->len = at + call->len;
	}
	memcpy(f->data + at, call->data, call->len);
	f->from = f->synced ? at : MIN(f->from, at);
	f->to = f->synced ? at + call->len : MAX(f->to, at + call->len);
	f->synced = false;
}

static void note_truncate(const struct faults_call *call)
{
	struct file *f = &t.files[t.of_fd[call->fd]];

	assert_true((size_t)call->at <= f->len);
	f->len = (size_t)call->at;
	f->from = f->synced ? f->len : MIN(f->from, f->len);
	f->to = f->synced ? f->len : MIN(f->to, f->len);
	f->synced = false;
}

static void note_sync(int fd)
{
	int folder = folder_of(fd);

	if (folder < 0) {
		struct file *f = &t.files[t.of_fd[fd]];

		if (f->lost)
			return;
		f->durable = realloc(f->durable, f->len + 1);
		memcpy(f->durable, f->data ? f->data : "", f->len);
		f->durable_len = f->len;
		f->synced = true;
		return;
	}
	t.folders[folder].states[0] = *now((enum folder)folder);
	t.folders[folder].n = 1;
}

/* Or a link. */
static void note_rename(const struct faults_call *call, enum folder folder)
{
	struct folder_state *s = change(folder);
	unsigned file = find(s, call->name)->file;

	if (call->kind == FAULTS_CALL_RENAME)
		remove_entry(s, call->name);
	put_entry(s, call->to, file);
}

static void look_at_all(void);

static void seen(const struct faults_call *call)
{
	int folder = folder_of(call->kind == FAULTS_CALL_SYNC ? call->fd : call->dir_fd);

	/* The runtime folder's files do not outlive a power cut. */
	if (folder < 0 && (call->kind == FAULTS_CALL_CREATE || call->kind == FAULTS_CALL_OPEN))
		t.of_fd[call->fd] = OTHER;
	if (folder < 0 && t.of_fd[call->fd] == OTHER)
		return;
	if (call->kind == FAULTS_CALL_WRITE)
		note_write(call);
	else if (call->kind == FAULTS_CALL_TRUNCATE)
		note_truncate(call);
	else if (call->kind == FAULTS_CALL_SYNC)
		note_sync(call->fd);
	else if (folder < 0)
		return;
	else if (call->kind == FAULTS_CALL_OPEN)
		return note_open(call, (enum folder)folder);
	else if (call->kind == FAULTS_CALL_CREATE)
		note_create(call, (enum folder)folder);
	else if (call->kind == FAULTS_CALL_RENAME || call->kind == FAULTS_CALL_LINK)
		note_rename(call, (enum folder)folder);
	else
		remove_entry(change((enum folder)folder), call->name);
	t.n_calls++;
	look_at_all();
}

/* The copy that a store is opened on. */

static void empty_folder(int fd)
{
	int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fdopendir(copy);
	struct dirent *e;

	while ((e = readdir(dir)))
		if (e->d_type == DT_REG)
			assert_int_equal(unlinkat(fd, e->d_name, 0), 0);
	closedir(dir);
}

/* What there is of what was written: the first of PARTS; and one more, the second half of them, or, of a new file, its length in zeros. */
static size_t mix(const struct file *f, unsigned part, char *ret)
{
	size_t kept = f->from + (f->to - f->from) * MIN(part, (unsigned)PARTS) / PARTS;
	size_t len = MAX(f->len, f->durable_len);

	memset(ret, 0, len);
	memcpy(ret, f->durable ? f->durable : "", f->durable_len);
	if (part <= PARTS) {
		memcpy(ret + f->from, f->data + f->from, kept - f->from);
		if (f->len < f->durable_len) /* cut shorter, or not yet */
			return part ? f->len : f->durable_len;
		return MAX(kept, f->durable_len);
	}
	kept = (f->from + f->to) / 2;
	if (f->durable_len)
		memcpy(ret + kept, f->data + kept, f->to - kept);
	return f->len;
}

static void make_file(int dir_fd, const struct entry *e, unsigned part)
{
	static char mixed[64 * 4096];
	const struct file *f = &t.files[e->file];
	int fd = openat(dir_fd, e->name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	size_t len = f->len;

	assert_true(fd >= 0);
	assert_in_range(MAX(f->len, f->durable_len), 0, sizeof(mixed));
	if (!f->synced)
		len = mix(f, part, mixed);
	assert_int_equal(write_full(fd, f->synced ? f->data : mixed, len), 0);
	close(fd);
}

static void make_folder(enum folder folder, const struct folder_state *s, unsigned part)
{
	char path[256];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", t.copy, folder_names[folder]);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(fd >= 0);
	empty_folder(fd);
	for (unsigned i = 0; i < s->n; i++)
		make_file(fd, &s->entries[i], part);
	close(fd);
}

struct looked {
	const struct model *model;
	unsigned n, base;
	bool same;
};

static void look_at_one(void *opaque, const uint8_t uuid[16], const char *xml, int error)
{
	struct looked *l = opaque;
	unsigned thing = uuid[0] - 1U;
	char text[TEXT_MAX];

	l->n++;
	l->same &= error == 0 && thing < N_THINGS && l->model->version[thing] &&
		streq(xml, text_of(l->model->version[thing], text));
}

static bool is_as(struct store *store, const struct model *m)
{
	struct looked l = {.model = m, .same = true};
	unsigned n = 0;

	assert_int_equal(store_each(&store->domains, look_at_one, &l), 0);
	assert_int_equal(store_each(&store->networks, look_at_one, &l), 0);
	for (unsigned i = 0; i < N_THINGS; i++) {
		uint8_t uuid[16];

		uuid_of(i, uuid);
		n += m->version[i] != 0;
		l.same &= store_get_autostart(room_of(store, i), uuid) == m->flag[i];
	}
	return l.same && l.n == n && store_has_mark(store, MARK) == m->mark;
}

static bool has_temporary(void)
{
	bool found = false;

	for (unsigned i = 0; i < N_FOLDERS; i++) {
		char path[256];
		struct dirent *e;
		DIR *dir;

		snprintf(path, sizeof(path), "%s/%s", t.copy, folder_names[i]);
		dir = opendir(path);
		while ((e = readdir(dir)))
			found |= strstr(e->d_name, "tmp") != NULL;
		closedir(dir);
	}
	return found;
}

/* One state that the disk may be in. */
static void look_at_state(const unsigned at[N_FOLDERS], unsigned part)
{
	struct store *store = NULL;
	struct error e = {0};
	bool is_new, is_old;

	for (unsigned i = 0; i < N_FOLDERS; i++)
		make_folder((enum folder)i, &t.folders[i].states[at[i]], part);
	if (store_open(t.copy, t.runtime, &store, &e) < 0)
		fail_msg("%s", e.message);
	is_new = is_as(store, &t.new);
	is_old = is_as(store, &t.old);
	if (!is_new && (!is_old || t.acknowledged))
		fail_msg("after call %u: %s", t.n_calls,
			is_old ? "what was acknowledged is not there" : "neither old nor new");
	if (has_temporary())
		fail_msg("after call %u: a temporary file is left", t.n_calls);
	if (++t.n_states % 4 == 0) {
		struct model *found = is_new ? &t.new : &t.old;

		assert_int_equal(store_checkpoint_now(store), 0);
		(void)store_free(store);
		assert_int_equal(store_open(t.copy, t.runtime, &store, &e), 0);
		if (!is_as(store, found))
			fail_msg("after call %u: it does not last", t.n_calls);
	}
	(void)store_free(store);
}

static bool any_unsynced(const unsigned at[N_FOLDERS])
{
	for (unsigned i = 0; i < N_FOLDERS; i++) {
		const struct folder_state *s = &t.folders[i].states[at[i]];

		for (unsigned j = 0; j < s->n; j++)
			if (!t.files[s->entries[j].file].synced)
				return true;
	}
	return false;
}

/* Combinations of the folders' moments and of parts, evenly. */
static void look_at_all(void)
{
	void (*hook)(const struct faults_call *) = faults.seen;
	uint64_t n = PARTS + 2, step;

	faults.seen = NULL;
	for (unsigned i = 0; i < N_FOLDERS; i++)
		n *= t.folders[i].n;
	step = n / MAX_STATES + 1;
	/* The first, the last, and others between them each time. */
	for (uint64_t k = 0; k < n; k = k == n - 1 ? n : MIN(k + step + t.n_states % 2, n - 1)) {
		unsigned at[N_FOLDERS], part = (unsigned)(k % (PARTS + 2));
		uint64_t left = k / (PARTS + 2);

		for (unsigned i = 0; i < N_FOLDERS; i++) {
			at[i] = (unsigned)(left % t.folders[i].n);
			left /= t.folders[i].n;
		}
		if (part == 0 || any_unsynced(at))
			look_at_state(at, part);
	}
	faults.seen = hook;
}

/* What is done to the store. */

/* Three definitions change together: one domain goes, another and a network are written. */
static int change_together(unsigned thing)
{
	struct changeset_item items[3] = {{.verb = CHANGESET_DELETE, .kind = CHANGESET_DOMAINS},
		{.verb = CHANGESET_SAVE, .kind = CHANGESET_DOMAINS},
		{.verb = CHANGESET_SAVE, .kind = CHANGESET_NETWORKS}};
	const unsigned things[3] = {thing % N_DOMAINS, (thing + 1) % N_DOMAINS,
		N_DOMAINS + thing % (N_THINGS - N_DOMAINS)};
	char texts[3][TEXT_MAX];

	for (unsigned i = 0; i < 3; i++) {
		uuid_of(things[i], items[i].uuid);
		t.new.version[things[i]] = i ? ++t.version : 0;
		if (i)
			items[i].xml = text_of(t.version, texts[i]);
	}
	t.new.flag[things[0]] = false;
	return store_change(t.store, items, 3);
}

static void operate(unsigned thing, unsigned what)
{
	struct store_room *room = room_of(t.store, thing);
	char text[TEXT_MAX];
	uint8_t uuid[16];
	int r = 0;

	uuid_of(thing, uuid);
	t.old = t.new;
	t.acknowledged = false;
	if (what < 4) {
		t.new.version[thing] = ++t.version;
		r = store_save(room, uuid, text_of(t.version, text));
	} else if (what < 6) {
		t.new.version[thing] = 0;
		t.new.flag[thing] = false;
		r = store_delete(room, uuid);
	} else if (what < 9 && t.new.version[thing]) {
		t.new.flag[thing] = what < 8;
		r = store_set_autostart(room, uuid, what < 8);
	} else if (t.new.mark) {
		r = change_together(thing);
	} else {
		t.new.mark = true;
		r = store_set_mark(t.store, MARK);
	}
	assert_int_equal(r, 0);
	t.acknowledged = true;
	look_at_all();
}

static jmp_buf killed;

static int die(void *opaque, enum store_step step, const char *name)
{
	(void)name;
	(void)opaque;
	if (step == STORE_STEP_SYNC)
		longjmp(killed, 1);
	return 0;
}

/* A daemon is killed when a record is written and not durable; the power goes when the next one has begun: what that one serves is there. */
static void kill_and_serve(unsigned thing)
{
	char path[128], runtime[128], text[TEXT_MAX];
	struct error e = {0};
	uint8_t uuid[16];

	uuid_of(thing, uuid);
	t.old = t.new;
	t.new.version[thing] = ++t.version;
	t.acknowledged = false;
	t.store->fault = die;
	if (setjmp(killed) == 0) {
		(void)store_save(room_of(t.store, thing), uuid, text_of(t.version, text));
		fail();
	}
	t.store = store_free(t.store);
	snprintf(path, sizeof(path), "%s/state", t.dir);
	snprintf(runtime, sizeof(runtime), "%s/run", t.dir);
	assert_int_equal(store_open(path, runtime, &t.store, &e), 0);
	t.store->journal.bytes = MAX_BLOCKS * STORE_JOURNAL_BLOCK;
	if (!is_as(t.store, &t.new)) {
		assert_true(is_as(t.store, &t.old));
		t.new = t.old;
	}
	t.acknowledged = true;
	look_at_all();
}

static int hinder(void *opaque, enum store_step step, const char *name)
{
	(void)name;
	return step == *(enum store_step *)opaque ? -EIO : 0;
}

/* The disk refuses definitions, of one name or of all. */
static void lose(const char *name)
{
	for (enum folder i = DOMAINS; i <= NETWORKS; i++)
		for (unsigned k = 0; k < now(i)->n; k++) {
			const struct entry *e = &now(i)->entries[k];

			if (!name || streq(name, e->name))
				t.files[e->file].lost |= !t.files[e->file].synced;
		}
}

static int refuse(void *opaque, enum store_step step, const char *name)
{
	if (step != *(enum store_step *)opaque)
		return 0;
	if (step == STORE_STEP_SYNC_FILE || step == STORE_STEP_SYNC_FILES)
		lose(name);
	return -EIO;
}

/* Files cannot be written: their definitions are carried over from one file of the journal into the other until they can. */
static void settle(unsigned random)
{
	enum store_step step = STORE_STEP_CREATE + random % 3;

	if (random % 4 == 0) {
		t.store->fault = hinder;
		t.store->fault_opaque = &step;
	}
	assert_true(store_settle(t.store, random / 4 % 4) >= 0);
	t.store->fault = NULL;
	if (random / 16 % 3 == 0)
		store_retry(t.store);
}

/* Nobody asks for it, and nothing is to be seen of it. Or it does not come to its end: then it goes on with the next one, and what is
 * done meanwhile is in the other file. Or the disk refuses the definitions. */
static void checkpoint(unsigned random)
{
	enum store_step step = STORE_STEP_SYNC_FILE + random % 5;

	t.old = t.new;
	t.store->fault = refuse;
	t.store->fault_opaque = &step;
	if (store_checkpoint_now(t.store) < 0)
		assert_true(step < STORE_STEP_X_MAX);
	t.store->fault = NULL;
}

static void test_power_cut(void **state)
{
	uint64_t random = 1;
	struct error e = {0};
	char path[128], command[128];

	(void)state;
	strcpy(t.dir,
		access("/dev/shm", W_OK) == 0 ? "/dev/shm/test-power-cut-XXXXXX"
					      : "/tmp/test-power-cut-XXXXXX");
	assert_non_null(mkdtemp(t.dir));
	snprintf(path, sizeof(path), "%s/state", t.dir);
	snprintf(t.copy, sizeof(t.copy), "%s/copy", t.dir);
	snprintf(t.runtime, sizeof(t.runtime), "%s/run-copy", t.dir);
	/* The folders themselves are there. */
	assert_int_equal(store_open(t.copy, t.runtime, &t.store, &e), 0);
	t.store = store_free(t.store);
	snprintf(command, sizeof(command), "%s/run", t.dir);
	assert_int_equal(store_open(path, command, &t.store, &e), 0);
	t.store->journal.bytes = MAX_BLOCKS * STORE_JOURNAL_BLOCK;
	for (unsigned i = 0; i < N_FOLDERS; i++)
		t.folders[i].n = 1;
	faults.seen = seen;
	for (unsigned i = 0; i < N_OPERATIONS; i++) {
		random = random * UINT64_C(6364136223846793005) + 1442695040888963407;
		operate((unsigned)(random >> 33) % N_THINGS, (unsigned)(random >> 40) % 10);
		t.old = t.new;
		settle((unsigned)(random >> 45));
		if ((random >> 50) % 5 == 0)
			checkpoint((unsigned)(random >> 53));
		if (i % 8 == 7)
			kill_and_serve((unsigned)(random >> 35) % N_THINGS);
	}
	faults.seen = NULL;
	t.store = store_free(t.store);
	for (unsigned i = 0; i < t.n_files; i++) {
		free(t.files[i].data);
		free(t.files[i].durable);
	}
	snprintf(command, sizeof(command), "rm -rf %s", t.dir);
	assert_int_equal(system(command), 0);
	print_message("%u calls of %d operations, %u states of the disk\n", t.n_calls, N_OPERATIONS,
		t.n_states);
	tally(TALLY_FAULTS, t.n_states);
	assert_true(t.n_states >= 5000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_power_cut)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
