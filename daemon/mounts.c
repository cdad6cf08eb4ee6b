/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* File systems that others answer for: see mounts.h. */
#include "daemon/mounts.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "vmm-core/base/fdio.h"
#include "vmm-core/base/log.h"
#include "vmm-core/base/strutil.h"

#define MAX_TABLE (8U << 20) /* bytes of mountinfo that are read */
#define MAX_LINKS 40         /* as the kernel follows: path_resolution(7) */

struct mount {
	char *point;
	char type[32];
	bool far;
};

struct mounts {
	char *path;
	sd_event_source *source; /* of the table's changes; NULL where it tells none */
	int fd;
	bool is_read;
	unsigned n, n_far;
	struct mount *all; /* one a mount point: the one on top */
};

/* A name that ends in a dot stands for all that begin so. */
static const char *const far_types[] = {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs",
	"autofs", "beegfs", "ceph", "coda", "davfs", "fuse", "fuse.", "gfs2", "glusterfs", "lustre",
	"ocfs2", "orangefs", "sshfs", "virtiofs"};

static bool is_far_type(const char *type)
{
	for (size_t i = 0; i < ARRAY_SIZE(far_types); i++) {
		size_t len = strlen(far_types[i]);

		if (far_types[i][len - 1] == '.' ? strncmp(type, far_types[i], len) == 0
						 : streq(type, far_types[i]))
			return true;
	}
	return false;
}

/* "\040" is a space. */
static void unescape(char *s)
{
	char *out = s;

	for (; *s; s++)
		if (*s == '\\' && s[1] >= '0' && s[1] <= '3' && isdigit((unsigned char)s[2]) &&
			isdigit((unsigned char)s[3])) {
			*out++ = (char)((s[1] - '0') << 6 | (s[2] - '0') << 3 | (s[3] - '0'));
			s += 3;
		} else {
			*out++ = *s;
		}
	*out = 0;
}

static void forget(struct mounts *m)
{
	for (unsigned i = 0; i < m->n; i++)
		free(m->all[i].point);
	free(m->all);
	m->all = NULL;
	m->n = m->n_far = 0;
	m->is_read = false;
}

static struct mount *find(const struct mounts *m, const char *point)
{
	for (unsigned i = 0; i < m->n; i++)
		if (streq(m->all[i].point, point))
			return &m->all[i];
	return NULL;
}

/* 36 35 98:0 /root /mount/point options optional… - type source options */
static int add_line(struct mounts *m, char *line)
{
	char *rest, *point = NULL, *type = strstr(line, " - ");
	struct mount *at;

	if (!type)
		return 0;
	*type = 0;
	type += 3;
	type[strcspn(type, " ")] = 0;
	(void)strtok_r(line, " ", &rest);
	for (unsigned i = 0; i < 4; i++)
		point = strtok_r(NULL, " ", &rest);
	if (!point)
		return 0;
	unescape(point);
	/* Of the host's own only those count that lie on top of a far one: most hosts have dozens, some thousands. */
	at = find(m, point);
	if (!at && !is_far_type(type))
		return 0;
	if (!at) {
		struct mount *more = reallocarray(m->all, m->n + 1, sizeof(*more));

		if (!more)
			return -ENOMEM;
		m->all = more;
		at = &m->all[m->n];
		*at = (struct mount){.point = strdup(point)};
		if (!at->point)
			return -ENOMEM;
		m->n++;
	}
	m->n_far -= at->far;
	at->far = is_far_type(type);
	m->n_far += at->far;
	(void)snprintf(at->type, sizeof(at->type), "%.31s", type);
	return 0;
}

/* What was covered is no more. */
static void drop_near(struct mounts *m)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < m->n; i++)
		if (m->all[i].far)
			m->all[kept++] = m->all[i];
		else
			free(m->all[i].point);
	m->n = kept;
}

static void refresh(struct mounts *m)
{
	_cleanup_(freep) char *text = NULL;
	char *line, *rest;
	int r;

	if (m->is_read)
		return;
	forget(m);
	r = read_file(AT_FDCWD, m->path, MAX_TABLE, &text, NULL);
	if (r == -ENOENT)
		r = 0;
	for (line = r < 0 || !text ? NULL : strtok_r(text, "\n", &rest); line && r >= 0;
		line = strtok_r(NULL, "\n", &rest))
		r = add_line(m, line);
	if (r < 0)
		(void)log_warning_errno(r, "cannot read '%s': %m", m->path);
	drop_near(m);
	/* Without word of changes each question reads it again. */
	m->is_read = m->source != NULL;
}

static int on_changed(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	struct mounts *m = userdata;

	(void)source;
	(void)fd;
	(void)revents;
	m->is_read = false;
	return 0;
}

int mounts_new(sd_event *event, const char *path, struct mounts **ret)
{
	_cleanup_(mounts_freep) struct mounts *m = calloc(1, sizeof(*m));

	if (!m)
		return -ENOMEM;
	m->fd = -EBADF;
	m->path = strdup(path);
	if (!m->path)
		return -ENOMEM;
	m->fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	/* Of a test's file there is no word of changes: EPERM. */
	if (m->fd >= 0)
		(void)sd_event_add_io(event, &m->source, m->fd, EPOLLPRI, on_changed, m);
	*ret = TAKE_PTR(m);
	return 0;
}

struct mounts *mounts_free(struct mounts *m)
{
	if (!m)
		return NULL;
	forget(m);
	(void)sd_event_source_disable_unref(m->source);
	(void)safe_close(m->fd);
	free(m->path);
	free(m);
	return NULL;
}

bool mounts_any_far(struct mounts *m)
{
	refresh(m);
	return m->n_far;
}

/* Of a path that is walked: where it has come to, and what is left. */
struct walk {
	char at[PATH_MAX], rest[PATH_MAX];
};

static void go_up(struct walk *w)
{
	char *slash = strrchr(w->at, '/');

	if (slash)
		*slash = 0;
}

/* The next name of the rest; false: there is none, or no room. */
static bool go_down(struct walk *w)
{
	char *name = w->rest + strspn(w->rest, "/");
	size_t len = strcspn(name, "/"), had = strlen(w->at);

	if (!len || had + 1 + len >= sizeof(w->at))
		return false;
	if (len == 2 && strncmp(name, "..", 2) == 0) {
		go_up(w);
	} else if (len != 1 || *name != '.') {
		w->at[had] = '/';
		memcpy(w->at + had + 1, name, len);
		w->at[had + 1 + len] = 0;
	}
	memmove(w->rest, name + len, strlen(name + len) + 1);
	return true;
}

/* What lies here may lead elsewhere. False: it cannot be followed. */
static bool follow(struct walk *w, unsigned *links)
{
	char target[PATH_MAX], rest[PATH_MAX];
	ssize_t n = readlink(w->at, target, sizeof(target) - 1);

	if (n < 0)
		return errno == EINVAL; /* no link */
	target[n] = 0;
	if (++*links > MAX_LINKS ||
		snprintf(rest, sizeof(rest), "%s/%s", target, w->rest) >= (int)sizeof(rest))
		return false;
	memcpy(w->rest, rest, strlen(rest) + 1);
	if (*target == '/')
		w->at[0] = 0;
	else
		go_up(w);
	return true;
}

bool mounts_is_far(struct mounts *m, const char *path, char *ret_where, size_t size)
{
	struct walk w = {.at = ""};
	unsigned links = 0;

	refresh(m);
	if (!m->n_far || str_copy(w.rest, sizeof(w.rest), path) < 0)
		return false;
	do {
		const struct mount *mount = find(m, *w.at ? w.at : "/");

		if (mount) {
			(void)snprintf(ret_where, size, "%s at %s", mount->type, mount->point);
			return true;
		}
		if (*w.at && !follow(&w, &links))
			return false;
	} while (go_down(&w));
	return false;
}
