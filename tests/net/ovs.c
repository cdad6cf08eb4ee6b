/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Open vSwitch as a partner: see ovs.h. */
#include "tests/net/ovs.h"

#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SCHEMA     "/usr/share/openvswitch/vswitch.ovsschema"
#define START_MS   10000
#define LINE_SIZE  1024
#define VSCTL_WAIT "--timeout=20"

bool ovs_is_installed(void)
{
	return access(SCHEMA, R_OK) == 0 && access("/usr/sbin/ovs-vswitchd", X_OK) == 0 &&
		access("/usr/sbin/ovsdb-server", X_OK) == 0 &&
		access("/usr/bin/ovs-vsctl", X_OK) == 0;
}

static bool shell(bool quiet, const char *format, ...)
{
	char line[LINE_SIZE];
	va_list ap;
	int n, status;

	va_start(ap, format);
	n = vsnprintf(line, sizeof(line), format, ap);
	va_end(ap);
	if (n < 0 || n >= (int)sizeof(line))
		return false;
	status = system(line);
	if (status != 0 && !quiet)
		(void)fprintf(stderr, "status %#x of: %s\n", (unsigned)status, line);
	return status == 0;
}

/* It ends with the caller. */
static pid_t daemon_start(const struct ovs *ovs, const char *format)
{
	char line[LINE_SIZE];
	pid_t pid;
	int log;

	(void)snprintf(line, sizeof(line), format, ovs->dir);
	pid = fork();
	if (pid != 0)
		return pid;
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (chdir(ovs->dir) < 0)
		_exit(126);
	log = open("output", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	(void)dup2(log, STDOUT_FILENO);
	(void)dup2(log, STDERR_FILENO);
	(void)setenv("OVS_RUNDIR", ovs->dir, 1);
	(void)setenv("OVS_LOGDIR", ovs->dir, 1);
	(void)setenv("OVS_DBDIR", ovs->dir, 1);
	(void)execl("/bin/sh", "sh", "-c", line, (char *)NULL);
	_exit(127);
}

static bool wait_for(const struct ovs *ovs, const char *format)
{
	const struct timespec ts = {.tv_nsec = 20000000};

	for (unsigned ms = 0; ms < START_MS; ms += 20) {
		if (shell(true, format, ovs->dir))
			return true;
		(void)nanosleep(&ts, NULL);
	}
	(void)shell(false, "tail -n 20 %s/output >&2", ovs->dir);
	return false;
}

bool ovs_start(struct ovs *ovs)
{
	*ovs = (struct ovs){.dir = "/tmp/vmmd-ovs-XXXXXX"};
	if (!mkdtemp(ovs->dir) || !shell(false, "ovsdb-tool create %s/conf.db " SCHEMA, ovs->dir))
		return false;
	ovs->database = daemon_start(ovs,
		"exec ovsdb-server conf.db --remote=punix:db.sock --unixctl=%s/db.ctl "
		"-vconsole:off");
	if (ovs->database < 0 ||
		!wait_for(ovs,
			"ovs-vsctl --db=unix:%s/db.sock --no-wait --timeout=2 init 2>/dev/null"))
		return false;
	ovs->vswitchd = daemon_start(ovs,
		"exec ovs-vswitchd unix:db.sock --unixctl=%s/vs.ctl -vconsole:off "
		"--log-file=vs.log");
	return ovs->vswitchd > 0 &&
		wait_for(ovs, "ovs-appctl -t %s/vs.ctl version >/dev/null 2>&1");
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

void ovs_stop(struct ovs *ovs)
{
	pid_t pids[] = {ovs->vswitchd, ovs->database};

	for (unsigned i = 0; i < 2; i++) {
		if (pids[i] <= 0)
			continue;
		(void)kill(pids[i], SIGCONT);
		(void)kill(pids[i], SIGKILL);
		(void)waitpid(pids[i], NULL, 0);
	}
	if (ovs->dir[0])
		(void)nftw(ovs->dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	*ovs = (struct ovs){0};
}

bool ovs_vsctl(const struct ovs *ovs, const char *arguments)
{
	return shell(
		false, "ovs-vsctl --db=unix:%s/db.sock " VSCTL_WAIT " %s", ovs->dir, arguments);
}

bool ovs_ask(const struct ovs *ovs, const char *command, char *ret_text, size_t size)
{
	char line[LINE_SIZE];
	size_t n;
	FILE *f;

	(void)snprintf(line, sizeof(line), "ovs-appctl -t %s/vs.ctl %s 2>&1", ovs->dir, command);
	f = popen(line, "re");
	if (!f)
		return false;
	n = fread(ret_text, 1, size - 1, f);
	ret_text[n] = 0;
	return pclose(f) == 0;
}
