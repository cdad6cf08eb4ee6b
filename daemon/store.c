/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the daemon keeps on disk: see store.h. */
#include "daemon/store.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "daemon/store-internal.h"
#include "vmm-core/base/fdio.h"
#include "vmm-core/base/names.h"
#include "vmm-core/base/strutil.h"

#define LOCK_TURNS   50
#define LOCK_TURN_NS (20 * NSEC_PER_MSEC)

static bool has_file(int dir_fd, const char *name)
{
	return faccessat(dir_fd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

/* Open the folder 'name' of 'dir_fd', making it if needed; never through a symbolic link. */
static int open_dir(int dir_fd, const char *name, mode_t mode)
{
	int fd;

	if (mkdirat(dir_fd, name, mode) < 0 && errno != EEXIST)
		return -errno;
	fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* mkdir -p of an absolute or relative path; the parents get 0755, the last part 'mode'. */
static int make_path(const char *path, mode_t mode)
{
	_cleanup_(freep) char *copy = strdup(path);

	if (!copy)
		return -ENOMEM;
	for (char *p = copy + 1; *p; p++) {
		if (*p != '/')
			continue;
		*p = 0;
		if (mkdir(copy, 0755) < 0 && errno != EEXIST)
			return -errno;
		*p = '/';
	}
	if (mkdir(copy, mode) < 0 && errno != EEXIST)
		return -errno;
	return 0;
}

static int open_root(const char *path, mode_t mode, int *ret_fd, struct error *error)
{
	_cleanup_(closep) int fd = -EBADF;
	struct stat st;
	int r;

	r = make_path(path, mode);
	if (r < 0)
		return error_set_errno(error, r, "cannot make the folder '%s'", path);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return error_set_errno(error, errno, "cannot open the folder '%s'", path);
	if (st.st_uid != geteuid())
		return error_set(error, ERROR_OPERATION_FAILED,
			"the folder '%s' belongs to uid %u; it must be uid %u's", path, st.st_uid,
			geteuid());
	if (st.st_mode & 0022)
		return error_set(error, ERROR_OPERATION_FAILED,
			"the folder '%s' can be written by others (mode %04o); chmod go-w it", path,
			st.st_mode & 07777);
	*ret_fd = TAKE_FD(fd);
	return 0;
}

/* A worker that was forked when its daemon was killed has the lock until it executes, a moment later. */
static int lock_soon(int fd)
{
	const struct timespec turn = {.tv_nsec = LOCK_TURN_NS};

	for (unsigned i = 0; i < LOCK_TURNS; i++) {
		if (flock(fd, LOCK_EX | LOCK_NB) == 0)
			return 0;
		if (errno != EWOULDBLOCK)
			return -errno;
		(void)nanosleep(&turn, NULL);
	}
	return -EWOULDBLOCK;
}

/* The lock is an flock on an open file: it goes with the daemon, however it dies. Workers do not inherit it. */
static int take_lock(struct store *store, struct error *error)
{
	char pid[32] = "", text[32];
	int n, r;

	store->lock_fd = openat(
		store->runtime_fd, "vmmd.lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (store->lock_fd < 0)
		return error_set_errno(
			error, errno, "cannot open %s/vmmd.lock", store->runtime_dir);
	r = lock_soon(store->lock_fd);
	if (r < 0) {
		if (r != -EWOULDBLOCK)
			return error_set_errno(
				error, r, "cannot lock %s/vmmd.lock", store->runtime_dir);
		(void)!pread(store->lock_fd, pid, sizeof(pid) - 1, 0);
		pid[strcspn(pid, "\n")] = 0;
		return error_set(error, ERROR_RESOURCE_BUSY,
			"another vmmd already serves %s (pid %s)", store->runtime_dir, pid);
	}
	n = snprintf(text, sizeof(text), "%d\n", getpid());
	/* For others to read only: a runtime folder without space keeps nobody from finding his workers again. */
	if (pwrite(store->lock_fd, text, (size_t)n, 0) == n)
		(void)!ftruncate(store->lock_fd, n);
	return 0;
}

static int not_hidden(const struct dirent *e)
{
	return e->d_name[0] != '.';
}

static void free_names(struct dirent **names, int n)
{
	for (int i = 0; i < n; i++)
		free(names[i]);
	free(names);
}

/* Remove what a crash left half-written in 'dir_fd'. */
static void sweep(int dir_fd)
{
	int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;

	if (!dir) {
		(void)safe_close(fd);
		return;
	}
	while ((e = readdir(dir)))
		if (strncmp(e->d_name, STORE_TMP_PREFIX, sizeof(STORE_TMP_PREFIX) - 1) == 0)
			(void)unlinkat(dir_fd, e->d_name, 0);
	(void)closedir(dir);
}

/* What is in 'dir_fd' of definitions that are gone: a power cut came between the two, or the second could not be removed. */
static void sweep_strays(const struct store_room *room, int dir_fd)
{
	struct dirent **names;
	int n = scandirat(dir_fd, ".", &names, not_hidden, NULL);

	for (int i = 0; i < n; i++) {
		char file[STORE_FILE_NAME_MAX];
		uint8_t uuid[16];

		/* Of one that is stuck the journal knows. */
		if (uuid_parse(names[i]->d_name, uuid) < 0 ||
			store_find_stuck(room->store,
				room == &room->store->domains ? CHANGESET_DOMAINS
							      : CHANGESET_NETWORKS,
				uuid))
			continue;
		store_definition_file(uuid, file);
		if (faccessat(room->definitions_fd, file, F_OK, AT_SYMLINK_NOFOLLOW) < 0 &&
			errno == ENOENT)
			(void)unlinkat(dir_fd, names[i]->d_name, 0);
	}
	if (n >= 0)
		free_names(names, n);
}

static int open_folders(struct store *store, struct error *error)
{
	const struct {
		int *fd, parent;
		const char *name;
	} folders[] = {
		{&store->domains.definitions_fd, store->state_fd, "domains"},
		{&store->domains.autostart_fd, store->state_fd, "autostart"},
		{&store->domains.live_fd, store->runtime_fd, "domains"},
		{&store->networks.definitions_fd, store->state_fd, "networks"},
		{&store->networks.autostart_fd, store->state_fd, "autostart-networks"},
		{&store->networks.live_fd, store->runtime_fd, "networks"},
		{&store->log_fd, store->state_fd, "log"},
		{&store->cpuid_fd, store->state_fd, "cpuid"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(folders); i++) {
		*folders[i].fd = open_dir(folders[i].parent, folders[i].name, 0700);
		if (*folders[i].fd < 0)
			return error_set_errno(error, *folders[i].fd,
				"cannot open the folder '%s/%s'",
				folders[i].parent == store->state_fd ? store->state_dir
								     : store->runtime_dir,
				folders[i].name);
	}
	sweep(store->state_fd);
	sweep(store->runtime_fd);
	sweep(store->domains.definitions_fd);
	sweep(store->domains.autostart_fd);
	sweep(store->networks.definitions_fd);
	sweep(store->networks.autostart_fd);
	sweep(store->cpuid_fd);
	return 0;
}

static void init(struct store *store)
{
	store->state_fd = store->log_fd = store->cpuid_fd = store->runtime_fd = store->lock_fd =
		-EBADF;
	store->event_fd = -EBADF;
	store->domains = store->networks = (struct store_room){store, -EBADF, -EBADF, -EBADF};
	store->journal.bytes = STORE_JOURNAL_BYTES;
	for (unsigned i = 0; i < STORE_JOURNAL_FILES; i++)
		store->journal.files[i].fd = -EBADF;
}

int store_open(const char *state_dir, const char *runtime_dir, struct store **ret_store,
	struct error *error)
{
	_cleanup_(store_freep) struct store *store = calloc(1, sizeof(*store));
	int r;

	if (!store)
		return error_set(error, ERROR_NO_MEMORY, "store");
	init(store);
	store->state_dir = strdup(state_dir);
	store->runtime_dir = strdup(runtime_dir);
	if (!store->state_dir || !store->runtime_dir)
		return error_set(error, ERROR_NO_MEMORY, "store");
	/* Others pass through, to the sockets; what is theirs not to see lies in folders of 0700. */
	r = open_root(runtime_dir, 0711, &store->runtime_fd, error);
	if (r < 0)
		return r;
	r = take_lock(store, error);
	if (r < 0)
		return r;
	r = open_root(state_dir, 0700, &store->state_fd, error);
	if (r < 0)
		return r;
	/* Two with one journal would write over each other's records. */
	r = lock_soon(store->state_fd);
	if (r < 0)
		return r == -EWOULDBLOCK
			? error_set(error, ERROR_RESOURCE_BUSY,
				  "another vmmd, with another runtime folder, already serves %s",
				  state_dir)
			: error_set_errno(error, r, "cannot lock %s", state_dir);
	r = open_folders(store, error);
	if (r == 0 && store_sync_init(store) < 0)
		r = error_set_errno(error, errno, "cannot make an event");
	if (r == 0)
		r = store_recover(store, error);
	if (r < 0)
		return r;
	sweep_strays(&store->domains, store->domains.autostart_fd);
	sweep_strays(&store->networks, store->networks.autostart_fd);
	sweep_strays(&store->domains, store->cpuid_fd);
	*ret_store = TAKE_PTR(store);
	return 0;
}

static void close_room(struct store_room *room)
{
	(void)safe_close(room->definitions_fd);
	(void)safe_close(room->autostart_fd);
	(void)safe_close(room->live_fd);
}

struct store *store_free(struct store *store)
{
	if (!store)
		return NULL;
	store_forget(store, NULL);
	store_unstick(store, NULL);
	(void)store_record_free(store->commit.record);
	store_journal_close(store);
	store_sync_done(store);
	close_room(&store->domains);
	close_room(&store->networks);
	(void)safe_close(store->log_fd);
	(void)safe_close(store->cpuid_fd);
	(void)safe_close(store->state_fd);
	(void)safe_close(store->runtime_fd);
	(void)safe_close(store->lock_fd);
	free(store->state_dir);
	free(store->runtime_dir);
	free(store);
	return NULL;
}

static int change_one(
	struct store_room *room, enum changeset_verb verb, const uint8_t uuid[16], const char *xml)
{
	struct changeset_item item = {.verb = verb,
		.kind = room == &room->store->domains ? CHANGESET_DOMAINS : CHANGESET_NETWORKS,
		.xml = xml};

	memcpy(item.uuid, uuid, sizeof(item.uuid));
	return store_change(room->store, &item, 1);
}

int store_save(struct store_room *room, const uint8_t uuid[16], const char *xml)
{
	return change_one(room, CHANGESET_SAVE, uuid, xml);
}

int store_delete(struct store_room *room, const uint8_t uuid[16])
{
	return change_one(room, CHANGESET_DELETE, uuid, NULL);
}

int store_set_autostart(struct store_room *room, const uint8_t uuid[16], bool on)
{
	return change_one(room, on ? CHANGESET_FLAG : CHANGESET_UNFLAG, uuid, NULL);
}

int store_open_runtime(struct store_room *room, const uint8_t uuid[16], bool create, int *ret_fd)
{
	char name[UUID_STRING_LEN + 1];
	int fd;

	uuid_format(uuid, name);
	if (create && mkdirat(room->live_fd, name, 0700) < 0 && errno != EEXIST)
		return -errno;
	fd = openat(room->live_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	*ret_fd = fd;
	return 0;
}

int store_remove_runtime(struct store_room *room, const uint8_t uuid[16])
{
	char name[UUID_STRING_LEN + 1], status[STORE_FILE_NAME_MAX];
	struct dirent **names;
	int fd, n;

	/* Without fds, too: what is left without it is nothing that runs. */
	uuid_format(uuid, name);
	(void)snprintf(status, sizeof(status), "%s/" STORE_STATUS, name);
	(void)unlinkat(room->live_fd, status, 0);
	n = store_open_runtime(room, uuid, false, &fd);
	if (n < 0)
		return n == -ENOENT ? 0 : n;
	n = scandirat(fd, ".", &names, NULL, NULL);
	for (int i = 0; i < n; i++)
		(void)unlinkat(fd, names[i]->d_name, 0); /* "." and ".." answer EISDIR */
	if (n >= 0)
		free_names(names, n);
	(void)safe_close(fd);
	if (unlinkat(room->live_fd, name, AT_REMOVEDIR) < 0)
		return -errno;
	return 0;
}

int store_each_runtime(
	struct store_room *room, void (*found)(void *opaque, const uint8_t uuid[16]), void *opaque)
{
	struct dirent **names;
	int n = scandirat(room->live_fd, ".", &names, not_hidden, alphasort);

	if (n < 0)
		return -errno;
	for (int i = 0; i < n; i++) {
		uint8_t uuid[16];

		if (uuid_parse(names[i]->d_name, uuid) == 0)
			found(opaque, uuid);
	}
	free_names(names, n);
	return 0;
}

int store_save_runtime(
	struct store_room *room, const uint8_t uuid[16], const char *name, const char *text)
{
	_cleanup_(closep) int fd = -EBADF;
	int r;

	r = store_open_runtime(room, uuid, true, &fd);
	if (r < 0)
		return r;
	return store_save_file(room->store, fd, name, text);
}

int store_save_in(struct store *store, int dir_fd, const char *name, const char *text)
{
	return store_save_file(store, dir_fd, name, text);
}

int store_load_runtime(struct store_room *room, const uint8_t uuid[16], const char *name,
	size_t max, char **ret_text)
{
	_cleanup_(closep) int fd = -EBADF;
	int r;

	r = store_open_runtime(room, uuid, false, &fd);
	if (r < 0)
		return r;
	return read_file(fd, name, max, ret_text, NULL);
}

int store_save_cpuid(struct store *store, const uint8_t uuid[16], const char *text)
{
	char name[UUID_STRING_LEN + 1];

	uuid_format(uuid, name);
	return store_save_file(store, store->cpuid_fd, name, text);
}

int store_load_cpuid(struct store *store, const uint8_t uuid[16], char **ret_text)
{
	char name[UUID_STRING_LEN + 1];

	uuid_format(uuid, name);
	return read_file(store->cpuid_fd, name, STORE_MAX_STATUS_BYTES, ret_text, NULL);
}

int store_forget_cpuid(struct store *store, const uint8_t uuid[16])
{
	char name[UUID_STRING_LEN + 1];

	uuid_format(uuid, name);
	return store_remove_file(store, store->cpuid_fd, name);
}

int store_set_number(struct store *store, const char *name, uint64_t number)
{
	char text[24];

	(void)snprintf(text, sizeof(text), "%" PRIu64 "\n", number);
	return store_save_file(store, store->runtime_fd, name, text);
}

int store_get_number(struct store *store, const char *name, uint64_t max, uint64_t *ret_number)
{
	_cleanup_(freep) char *text = NULL;
	int r = read_file(store->runtime_fd, name, 23, &text, NULL);

	if (r < 0)
		return r;
	text[strcspn(text, "\n")] = 0;
	return parse_u64(text, max, ret_number);
}

int store_set_next_slot(struct store *store, uint32_t slot)
{
	return store_set_number(store, "next-slot", slot);
}

int store_get_next_slot(struct store *store, uint32_t *ret_slot)
{
	uint64_t slot;
	int r = store_get_number(store, "next-slot", UINT32_MAX, &slot);

	if (r == 0)
		*ret_slot = (uint32_t)slot;
	return r;
}

bool store_has_mark(struct store *store, const char *name)
{
	return has_file(store->state_fd, name);
}

int store_set_mark(struct store *store, const char *name)
{
	int fd = openat(
		store->state_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	int r;

	if (fd < 0)
		return errno == EEXIST ? 0 : -errno;
	(void)close(fd);
	r = store_sync_dir(store, store->state_fd);
	if (r < 0)
		(void)unlinkat(store->state_fd, name, 0);
	return r;
}

int store_put_mark(struct store *store, const char *name, bool on)
{
	if (on)
		return store_set_mark(store, name);
	return store_remove_file(store, store->state_fd, name);
}

bool store_first_start(struct store *store)
{
	_cleanup_(closep) int fd = openat(store->runtime_fd, "booted",
		O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

	return fd >= 0;
}
