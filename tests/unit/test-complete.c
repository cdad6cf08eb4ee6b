/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Completion as bash and zsh do it: their scripts are run, vmctl is this program under another name. */
#include <libgen.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "client/vmctl.h"
#include "tests/fakes/fake-vmmd.h"
#include "vmm-core/base/cleanup.h"
#include "vmm-core/base/strutil.h"

static struct fake_vmmd fake;

/* Words as each shell splits the line; the last one is being completed. What a script answers is put out as bash's would be. */
static const char bash_script[] =
	"source '" TESTS_DATA_DIR "/../../client/vmctl.bash' || exit 1\n"
	"compopt() { echo \"compopt $*\"; }\n"
	"eval \"COMP_WORDS=($1)\"; COMP_CWORD=$((${#COMP_WORDS[@]} - 1))\n"
	"_vmctl; for w in \"${COMPREPLY[@]}\"; do printf '%s ' \"$w\"; done\n";
static const char zsh_script[] =
	"eval \"_vmctl() { $(<'" TESTS_DATA_DIR "/../../client/vmctl.zsh') }\" || exit 1\n"
	"compset() { [[ $* == '-P *=' ]] && PREFIX=${PREFIX#*=}; }\n"
	"_files() { print 'compopt -o default'; }\n"
	/* Like the real one, it knows what stands before the cursor, and nothing else is added. */
	"compadd() { for w in \"${(@P)2}\"; do [[ $w == $PREFIX* ]] && printf '%s ' $w; done; }\n"
	"eval \"words=(${1// = /=})\"; CURRENT=$#words; PREFIX=${words[CURRENT]}\n"
	"_vmctl\n";

static char *complete_words(const char *shell, const char *script, const char *words)
{
	_cleanup_(freep) char *command = NULL;
	char out[8192] = {};
	FILE *p;

	assert_true(asprintf(&command, "%s -c 'eval \"$SCRIPT\"' %s \"%s\" 2>&1", shell, shell,
			    words) > 0);
	(void)setenv("SCRIPT", script, 1);
	p = popen(command, "re");
	assert_non_null(p);
	(void)!fread(out, 1, sizeof(out) - 1, p);
	(void)pclose(p);
	return strdup(out);
}

static void assert_shell_completes(
	const char *shell, const char *script, const char *words, const char *want)
{
	_cleanup_(freep) char *got = complete_words(shell, script, words);

	if (!streq(got, want))
		print_error("completing by %s: %s\n", shell, words);
	assert_string_equal(got, want);
}

static void assert_completes(const char *words, const char *want)
{
	static int no_zsh = -1;

	assert_shell_completes("bash", bash_script, words, want);
	if (no_zsh < 0)
		no_zsh = system("command -v zsh >/dev/null");
	if (no_zsh == 0)
		assert_shell_completes("zsh", zsh_script, words, want);
}

static void test_verbs(void **state)
{
	(void)state;
	assert_completes("vmctl domst", "domstate domstats ");
	assert_completes("vmctl nosuch", "");
	assert_completes("vmctl -q sus", "suspend ");
	assert_completes("vmctl -e ^A sus", "suspend ");
	assert_completes("vmctl help sus", "suspend ");
	assert_completes("vmctl nosuch ''", "");
}

static void test_options(void **state)
{
	(void)state;
	assert_completes("vmctl --rea", "--readonly ");
	assert_completes("vmctl list --state-s", "--state-shutoff ");
	assert_completes("vmctl list --all --a", "--autostart ");
	assert_completes("vmctl start --json --js", "--json ");
	assert_completes("vmctl -c s", "system session ");
}

static void test_domains(void **state)
{
	(void)state;
	assert_completes("vmctl job-cancel ''", "3 4 5 7 ");
	assert_completes("vmctl job-wait ''", "3 4 5 7 8 10 1 2 ");
	assert_completes("vmctl start ''", "t2 ");
	assert_completes("vmctl destroy ''", "t1 ");
	assert_completes("vmctl dumpxml ''", "t1 t2 ");
	assert_completes("vmctl dumpxml t1 ''", "");
	assert_completes("vmctl dumpxml --domain ''", "t1 t2 ");
	assert_completes("vmctl dumpxml --domain = t", "t1 t2 ");
	assert_completes("vmctl --session dumpxml t", "");
	assert_completes("vmctl domstats t1 ''", "t1 t2 ");
	assert_completes("vmctl dumpxml --inactive t", "t1 t2 ");
}

static void test_others(void **state)
{
	(void)state;
	assert_completes("vmctl define ''", "compopt -o default\n");
	assert_completes("vmctl event --event lif", "lifecycle ");
	assert_completes("vmctl shutdown t1 --timeout ''", "");
}

/* Without vmmd nothing is offered and nothing is said. */
static void test_no_vmmd(void **state)
{
	(void)state;
	(void)setenv("VMMD_URI", "p2p:unix:path=/nonexistent", 1);
	assert_completes("vmctl start ''", "");
	(void)setenv("VMMD_URI", fake.address, 1);
}

static int setup(void **state)
{
	_cleanup_(freep) char *path = NULL, *link = NULL;
	char self[PATH_MAX] = {};

	(void)state;
	if (readlink("/proc/self/exe", self, sizeof(self) - 1) < 0)
		return -1;
	if (fake_vmmd_start(&fake) < 0 || asprintf(&link, "%s/vmctl", fake.dir) < 0 ||
		asprintf(&path, "%s:%s", fake.dir, getenv("PATH")) < 0)
		return -1;
	(void)setenv("PATH", path, 1);
	(void)setenv("VMMD_URI", fake.address, 1);
	/* So that --session finds none, wherever the test runs. */
	(void)setenv("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nonexistent", 1);
	return symlink(self, link);
}

static int teardown(void **state)
{
	_cleanup_(freep) char *link = NULL;

	(void)state;
	if (asprintf(&link, "%s/vmctl", fake.dir) > 0)
		(void)unlink(link);
	fake_vmmd_stop(&fake);
	return 0;
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_verbs),
		cmocka_unit_test(test_options),
		cmocka_unit_test(test_domains),
		cmocka_unit_test(test_others),
		cmocka_unit_test(test_no_vmmd),
	};

	if (streq(basename(argv[0]), "vmctl"))
		return vmctl_main(argc, argv);
	return cmocka_run_group_tests(tests, setup, teardown);
}
