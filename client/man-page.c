/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vmctl.1 from the verb table (help.h). What is not in the table is the text at the top and the end.
 *
 * Tested by docs/check-man-pages.
 */
#include "client/help.h"

#include <stdio.h>
#include <string.h>

#include "build-config.h"
#include "vmm-core/base/strutil.h"

/* Text for troff: no line starts a request, backslashes and hyphens mean themselves. */
static void text(const char *s)
{
	bool line_start = true;

	for (; *s; s++) {
		if (line_start && (*s == '.' || *s == '\''))
			(void)printf("\\&");
		if (*s == '\\')
			(void)printf("\\e");
		else if (*s == '-')
			(void)printf("\\-");
		else if (*s == '^')
			(void)printf("\\(ha");
		else if (*s == '`')
			(void)printf("\\(ga");
		else
			(void)putchar(*s);
		line_start = *s == '\n';
	}
}

static void line(const char *s)
{
	text(s);
	(void)putchar('\n');
}

static void option_synopsis(const struct verb_option *o)
{
	const char *value = o->type == OPTION_NUMBER ? "number" : "string";

	if (o->type == OPTION_DATA || o->type == OPTION_LIST) {
		(void)printf("%s\\fI%s\\fR%s%s", o->required ? "" : "[", o->name,
			o->required ? "" : "]", o->type == OPTION_LIST ? "..." : "");
		return;
	}
	(void)printf("[\\fB\\-\\-");
	text(o->name);
	(void)printf("\\fR");
	if (o->type != OPTION_FLAG)
		(void)printf(" \\fI%s\\fR", value);
	(void)printf("]");
}

static void option_entry(const struct verb_option *o)
{
	(void)printf(".TP\n");
	if (o->type == OPTION_DATA || o->type == OPTION_LIST) {
		(void)printf("\\fI%s\\fR\n", o->name);
	} else {
		if (o->letter)
			(void)printf("\\fB\\-%c\\fR, ", o->letter);
		(void)printf("\\fB\\-\\-");
		text(o->name);
		(void)printf("\\fR%s\n",
			o->type == OPTION_FLAG             ? ""
				: o->type == OPTION_NUMBER ? " \\fInumber\\fR"
							   : " \\fIstring\\fR");
	}
	line(o->help);
}

static void verb_entry(const struct verb *verb)
{
	(void)printf(".SS ");
	line(verb->name);
	(void)printf("\\fB");
	text(verb->name);
	(void)printf("\\fR");
	for (const struct verb_option *o = verb->options; o && o->name; o++) {
		(void)printf(" ");
		option_synopsis(o);
	}
	(void)printf("\n.PP\n");
	if (verb->description) {
		line(verb->description);
	} else {
		(void)printf("%c", verb->summary[0] - 'a' + 'A');
		text(verb->summary + 1);
		(void)printf(".\n");
	}
	for (const struct verb_option *o = verb->options; o && o->name; o++)
		option_entry(o);
}

static void global_entries(void)
{
	for (const struct global_option *o = global_options; o->name; o++) {
		(void)printf(".TP\n");
		if (o->letter)
			(void)printf("\\fB\\-%c\\fR, ", o->letter);
		(void)printf("\\fB\\-\\-%s\\fR", o->name);
		if (o->argument)
			(void)printf("=\\fI%s\\fR", o->argument);
		(void)printf("\n");
		line(o->help);
	}
}

static const char head[] =
	".SH NAME\n"
	"vmctl \\- manage the virtual machines of vmmd\n"
	".SH SYNOPSIS\n"
	"\\fBvmctl\\fR [\\fIoptions\\fR]... \\fIcommand\\fR [\\fIargs\\fR...]\n"
	".SH DESCRIPTION\n"
	"vmctl asks vmmd(8) over D\\-Bus or JSON\\-RPC to define, start, stop and show "
	"domains (virtual machines).\n"
	"Commands, options and output are those of virsh(1), so that habits and "
	"scripts keep working.\n"
	".PP\n"
	"A \\fIdomain\\fR is given by id, name or UUID.\n"
	"Options are written \\fB\\-\\-option\\fR \\fIvalue\\fR or "
	"\\fB\\-\\-option=\\fR\\fIvalue\\fR;\n"
	"\\fB\\-\\-\\fR ends them.\n"
	"Every command takes \\fB\\-\\-json\\fR.\n"
	".SH OPTIONS\n";

static const char tail[] =
	".SH EXIT STATUS\n"
	"0 on success; 1 on failure, with lines that start with \"error:\" on standard error; 2 "
	"when\n"
	"\\fBplan \\-\\-detailed\\-exitcode\\fR finds differences.\n"
	"With \\fB\\-\\-json\\fR a failure is also an object with the key \"error\" on standard "
	"output.\n"
	".SH ENVIRONMENT\n"
	".TP\n"
	"VMMD_URI\n"
	"where to connect when neither \\fB\\-c\\fR nor \\fB\\-\\-system\\fR or "
	"\\fB\\-\\-session\\fR is given:\n"
	"system, session, the address of a bus (unix:path=...), or p2p: and the address of a vmmd "
	"that\n"
	"speaks D\\-Bus without a bus between; or, by JSON\\-RPC, unix:/run/vmmd/rpc.sock, or\n"
	"ssh://[user@]host[:port], where vmctl(1) is run by ssh(1) at the other side, or\n"
	"tls://host[:port], with certificates on both sides.\n"
	".TP\n"
	"VMMD_TLS_DIR\n"
	"where ca.pem, client.pem and client\\-key.pem are, for tls://; also as\n"
	"tls://host?tls_dir=DIR. Without either $XDG_CONFIG_HOME/vmmd/tls (~/.config/vmmd/tls), "
	"if\n"
	"there is a client.pem, or /etc/vmmd/tls. Nobody else may be able to read the key, and "
	"the\n"
	"host must be a name or address in the certificate of vmmd. The port is 16515 if none is\n"
	"given.\n"
	".TP\n"
	"VISUAL, EDITOR\n"
	"the editor of \\fBvmctl edit\\fR; vi when neither is set.\n"
	".SH SEE ALSO\n"
	"vmmd(8), virsh(1)\n";

void help_man_page(void)
{
	(void)printf(".\\\" Made from the table of commands by vmctl \\-\\-man\\-page\n"
		     ".TH VMCTL 1 \"\" \"vmmd %s\" \"vmmd\"\n%s",
		VMMD_VERSION, head);
	global_entries();
	for (const struct verb_group *g = verb_groups; g->keyword; g++) {
		(void)printf(".SH \"%s\"\n", g->title);
		for (const struct verb *v = verbs; v->name; v++)
			if (streq(v->group, g->keyword))
				verb_entry(v);
	}
	(void)fputs(tail, stdout);
}
