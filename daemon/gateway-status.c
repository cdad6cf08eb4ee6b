/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a gateway tells the next daemon: RUNTIME/gateway/status, a line "NAME PID START-TIME" for each process.
 *
 * Tested by tests/unit/test-gateway-life.c.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "daemon/gateway-internal.h"
#include "vmm-core/base/fdio.h"
#include "vmm-core/base/log.h"
#include "vmm-core/base/strutil.h"

#define STATUS_MAX 1024

int gateway_write_file(int dir_fd, const char *name, const char *text, mode_t mode)
{
	char temporary[64];
	int fd, r;

	(void)snprintf(temporary, sizeof(temporary), "%s.new", name);
	(void)unlinkat(dir_fd, temporary, 0);
	fd = openat(dir_fd, temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
	if (fd < 0)
		return -errno;
	r = write_full(fd, text, strlen(text));
	/* Whatever the daemon's umask is: dnsmasq has another user. */
	if (r == 0 && fchmod(fd, mode) < 0)
		r = -errno;
	(void)safe_close(fd);
	if (r == 0 && renameat(dir_fd, temporary, dir_fd, name) < 0)
		r = -errno;
	if (r < 0)
		(void)unlinkat(dir_fd, temporary, 0);
	return r;
}

void gateway_save_status(const struct gateway *g)
{
	char text[STATUS_MAX];
	size_t len = 0;
	int r;

	text[0] = 0;
	for (unsigned i = 0; i < GATEWAY_PROCESS_X_MAX; i++)
		if (g->processes[i].pid)
			len += (size_t)snprintf(text + len, sizeof(text) - len,
				"%s %d %" PRIu64 "\n", gateway_process_name(i),
				(int)g->processes[i].pid, g->processes[i].start_time);
	r = gateway_write_file(g->dir_fd, "status", text, 0600);
	if (r < 0)
		(void)log_warning_errno(r,
			"network '%s': cannot save the status of its gateway (a new daemon would "
			"not "
			"find it): %m",
			g->config->name);
}

int gateway_load_status(int dir_fd, struct gateway_status *ret)
{
	_cleanup_(freep) char *text = NULL;
	struct gateway_status s = {0};
	int r = read_file(dir_fd, "status", STATUS_MAX, &text, NULL);

	if (r < 0)
		return r;
	for (const char *line = text; line && *line; line = strchr(line, '\n')) {
		char name[32];
		uint64_t start;
		int pid;

		if (*line == '\n')
			line++;
		if (sscanf(line, "%31s %d %" SCNu64, name, &pid, &start) != 3 || pid < 2)
			continue;
		for (unsigned i = 0; i < GATEWAY_PROCESS_X_MAX; i++)
			if (streq(name, gateway_process_name(i))) {
				s.pids[i] = pid;
				s.start_times[i] = start;
			}
	}
	*ret = s;
	return 0;
}
