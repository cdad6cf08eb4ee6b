/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Words into options, with virsh's rules and messages; and rules that every row of the verb table keeps. */
#include <ctype.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "client/args.h"
#include "vmm-core/base/strutil.h"

static const struct verb_option options[] = {
	{.name = "domain", .type = OPTION_DATA, .required = true, .help = ""},
	{.name = "device", .type = OPTION_STRING, .help = ""},
	{.name = "all", .type = OPTION_FLAG, .letter = 'a', .help = ""},
	{.name = "timeout", .type = OPTION_NUMBER, .named_only = true, .letter = 't', .help = ""},
	{.name = "rest", .type = OPTION_LIST, .help = ""},
	{},
};
static const struct verb verb = {.name = "try", .options = options};

static struct args args;
static char error[ARGS_ERROR_MAX];
static const char *near;

#define PARSE(...)                                                                                 \
	({                                                                                         \
		const char *const words_[] = {__VA_ARGS__};                                        \
		error[0] = 0;                                                                      \
		args_parse(&verb, words_, ARRAY_SIZE(words_), &args, error, &near);                \
	})

static void test_by_name_and_by_position(void **state)
{
	(void)state;
	assert_int_equal(PARSE("vm"), 0);
	assert_string_equal(args_string(&args, "domain"), "vm");
	assert_null(args_string(&args, "device"));
	assert_false(args_flag(&args, "all"));

	assert_int_equal(PARSE("vm", "serial0", "x", "y"), 0);
	assert_string_equal(args_string(&args, "device"), "serial0");
	assert_int_equal(args.n_list, 2);
	assert_string_equal(args.list[1], "y");

	assert_int_equal(PARSE("--all", "--device=a=b", "--timeout", "5", "vm"), 0);
	assert_string_equal(args_string(&args, "device"), "a=b");
	assert_string_equal(args_string(&args, "timeout"), "5");
	assert_string_equal(args_string(&args, "domain"), "vm");
	assert_true(args_flag(&args, "all"));

	assert_int_equal(PARSE("--domain", "vm", "-a"), 0);
	assert_true(args_flag(&args, "all"));
	assert_int_equal(PARSE("-t", "7", "vm"), 0);
	assert_string_equal(args_string(&args, "timeout"), "7");
	assert_string_equal(args_string(&args, "domain"), "vm");
	assert_int_equal(PARSE("vm", "-t"), -EINVAL);
	assert_int_equal(PARSE("--domain=", "--json"), 0);
	assert_string_equal(args_string(&args, "domain"), "");
	assert_true(args.json);
}

static void test_end_of_options(void **state)
{
	(void)state;
	assert_int_equal(PARSE("--", "--all"), 0);
	assert_string_equal(args_string(&args, "domain"), "--all");
	assert_int_equal(PARSE("--", "--"), 0);
	assert_string_equal(args_string(&args, "domain"), "--");
	assert_int_equal(PARSE("-"), 0);
	assert_string_equal(args_string(&args, "domain"), "-");
	assert_int_equal(PARSE("-x"), 0);
	assert_string_equal(args_string(&args, "domain"), "-x");
}

static void test_errors(void **state)
{
	(void)state;
	assert_int_equal(PARSE("--all"), -EINVAL);
	assert_string_equal(error, "command 'try' requires <domain> option");
	assert_int_equal(PARSE("vm", "--bogus"), -EINVAL);
	assert_string_equal(error, "command 'try' doesn't support option --bogus");
	assert_null(near);
	assert_int_equal(PARSE("vm", "--time"), -EINVAL);
	assert_null(near);
	assert_int_equal(PARSE("vm", "--timeuot=3"), -EINVAL);
	assert_string_equal(error, "command 'try' doesn't support option --timeuot");
	assert_string_equal(near, "timeout");
	assert_int_equal(PARSE("vm", "--timeout"), -EINVAL);
	assert_string_equal(error, "expected syntax: --timeout <number>");
	assert_int_equal(PARSE("--all=yes", "vm"), -EINVAL);
	assert_string_equal(error, "invalid '=' after option --all");
	assert_int_equal(PARSE("vm", "--all", "-a"), -EINVAL);
	assert_string_equal(error, "option --all already seen");
	assert_int_equal(PARSE("--domain", "a", "--domain", "b"), -EINVAL);
	assert_string_equal(error, "option --domain already seen");
}

static void test_limits(void **state)
{
	const char *words[ARGS_MAX_LIST + 3];
	char *long_word = malloc(100000);

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		words[i] = "x";
	assert_int_equal(args_parse(&verb, words, ARGS_MAX_LIST + 2, &args, error, &near), 0);
	assert_int_equal(args_parse(&verb, words, ARGS_MAX_LIST + 3, &args, error, &near), -EINVAL);
	memset(long_word, '-', 2);
	memset(long_word + 2, 'x', 99997);
	long_word[99999] = 0;
	assert_int_equal(PARSE(long_word), -EINVAL);
	assert_true(strlen(error) < ARGS_ERROR_MAX);
	free(long_word);
}

static void test_help_checks_nothing_else(void **state)
{
	(void)state;
	assert_int_equal(PARSE("--help"), 0);
	assert_true(args.help);
}

static void check_options(const struct verb *v)
{
	bool optional = false;
	size_t n = 0;

	for (const struct verb_option *o = v->options; o && o->name; o++, n++) {
		assert_non_null(o->help);
		assert_null(strchr(o->help, '\n'));
		for (const struct verb_option *p = v->options; p < o; p++) {
			assert_string_not_equal(p->name, o->name);
			assert_true(!o->letter || p->letter != o->letter);
		}
		assert_string_not_equal(o->name, "json");
		assert_string_not_equal(o->name, "help");
		/* By position, what must be given comes first; a list takes all that is left. */
		if (o->required)
			assert_false(optional);
		optional |= o->type != OPTION_FLAG && !o->required;
		if (o->type == OPTION_LIST)
			assert_null(o[1].name);
	}
	assert_true(n <= VERB_MAX_OPTIONS);
}

static void test_the_table(void **state)
{
	(void)state;
	for (const struct verb *v = verbs; v->name; v++) {
		assert_non_null(v->run);
		/* Those of virsh's that begin with a capital letter. */
		assert_true(islower((unsigned char)v->summary[0]) || streq(v->name, "event") ||
			streq(v->name, "net-event") || streq(v->name, "domifaddr") ||
			streq(v->name, "memtune") || streq(v->name, "cpu-models"));
		assert_non_null(verb_group_find(v->group));
		assert_ptr_equal(verb_find(v->name), v);
		check_options(v);
	}
	assert_null(verb_find("nosuch"));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_by_name_and_by_position),
		cmocka_unit_test(test_end_of_options),
		cmocka_unit_test(test_errors),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_help_checks_nothing_else),
		cmocka_unit_test(test_the_table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
