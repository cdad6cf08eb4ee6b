/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The user's editor: see edit.h. */
#include "client/edit.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <termios.h>

#include "vmm-core/base/fdio.h"

int edit_file_init(struct ctl *ctl, struct edit_file *file, const char *content)
{
	_cleanup_(closep) int fd = -EBADF;
	const char *dir = getenv("TMPDIR");
	char path[sizeof(file->path)];
	int n, r;

	n = snprintf(path, sizeof(path), "%s/vmctlXXXXXX.xml", dir && *dir ? dir : "/tmp");
	if (n < 0 || (size_t)n >= sizeof(path))
		return ctl_error(ctl, "TMPDIR is too long");
	fd = mkostemps(path, strlen(".xml"), O_CLOEXEC);
	if (fd < 0)
		return ctl_error(ctl, "mkostemps: failed to create temporary file '%s': %s", path,
			strerror(errno));
	strcpy(file->path, path);
	r = write_full(fd, content, strlen(content));
	if (r < 0)
		return ctl_error(ctl, "write: %s: failed to write to temporary file: %s", path,
			strerror(-r));
	return 0;
}

void edit_file_done(struct edit_file *file)
{
	if (file->path[0])
		(void)unlink(file->path);
}

static const char *find_editor(void)
{
	const char *e = getenv("VISUAL");

	if (!e || !*e)
		e = getenv("EDITOR");
	return e && *e ? e : "vi";
}

/* The editor may be a command with arguments; the file's name never meets the shell's parser. */
static int spawn_editor(const char *editor, const char *path, pid_t *ret_pid)
{
	_cleanup_(freep) char *command = NULL;
	char *argv[] = {(char[]){"sh"}, (char[]){"-c"}, NULL, (char[]){"sh"}, NULL, NULL};
	_cleanup_(freep) char *file = strdup(path);
	extern char **environ;

	if (!file || asprintf(&command, "%s \"$1\"", editor) < 0)
		return ENOMEM;
	argv[2] = command;
	argv[4] = file;
	return posix_spawn(ret_pid, "/bin/sh", NULL, NULL, argv, environ);
}

int edit_file_run(struct ctl *ctl, const struct edit_file *file)
{
	const char *editor = find_editor();
	struct sigaction ignore = {.sa_handler = SIG_IGN}, old_int, old_quit;
	int status, r;
	pid_t pid;

	(void)fflush(NULL);
	r = spawn_editor(editor, file->path, &pid);
	if (r != 0)
		return ctl_error(ctl, "cannot run '%s': %s", editor, strerror(r));
	/* ^C at the editor is the editor's. (It was started with the default action.) */
	(void)sigaction(SIGINT, &ignore, &old_int);
	(void)sigaction(SIGQUIT, &ignore, &old_quit);
	do
		r = waitpid(pid, &status, 0) < 0 ? errno : 0;
	while (r == EINTR);
	(void)sigaction(SIGINT, &old_int, NULL);
	(void)sigaction(SIGQUIT, &old_quit, NULL);
	if (r != 0)
		return ctl_error(ctl, "cannot wait for '%s': %s", editor, strerror(r));
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		return ctl_error(
			ctl, "%s %s: command exited with non-zero status", editor, file->path);
	return 0;
}

/* One key without Enter. EOF at the end of input. */
static int read_key(void)
{
	struct termios cooked, one;
	unsigned char c;
	ssize_t n;

	if (tcgetattr(STDIN_FILENO, &cooked) < 0)
		return EOF;
	one = cooked;
	one.c_lflag &= ~(tcflag_t)ICANON; /* signals and echo stay */
	one.c_cc[VMIN] = 1;
	one.c_cc[VTIME] = 0;
	(void)tcsetattr(STDIN_FILENO, TCSADRAIN, &one);
	do
		n = read(STDIN_FILENO, &c, 1);
	while (n < 0 && errno == EINTR);
	(void)tcsetattr(STDIN_FILENO, TCSADRAIN, &cooked);
	return n == 1 ? tolower(c) : EOF;
}

static void print_answers(bool may_relax)
{
	(void)printf("y - yes, start editor again\n"
		     "n - no, throw away my changes\n");
	if (may_relax)
		(void)printf("i - turn off validation and try to redefine again\n");
	(void)printf("f - force, try to redefine again\n"
		     "? - print this help\n");
}

enum edit_answer edit_ask(struct ctl *ctl, const char *message, bool may_relax)
{
	(void)ctl;
	if (!isatty(STDIN_FILENO))
		return EDIT_GIVE_UP;
	for (;;) {
		int key;

		(void)printf(
			"%s Try again? %s: ", message, may_relax ? "[y,n,i,f,?]" : "[y,n,f,?]");
		(void)fflush(stdout);
		key = read_key();
		(void)printf("\n");
		if (key == 'y')
			return EDIT_AGAIN;
		if (key == 'n' || key == EOF || key == 4)
			return EDIT_GIVE_UP;
		if (key == 'f')
			return EDIT_FORCE;
		if (key == 'i' && may_relax)
			return EDIT_RELAX;
		if (key == '?')
			print_answers(may_relax);
	}
}
