/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Prints the verdict tables of domain XML (config/domain-rules.h) or network XML (config/network-rules.h) as Markdown:
 * what docs/xml.md and docs/network-xml.md hold after their mark. check-xml-doc compares the two.
 */
#include <stdio.h>
#include <string.h>

#include "config/domain-rules.h"
#include "config/network-rules.h"

#define PATH_MAX_LEN 256

/* Reasons name elements in angle brackets, which Markdown would take for its own. */
static void print_text(const char *text)
{
	for (; *text; text++)
		if (*text == '<')
			fputs("&lt;", stdout);
		else
			putchar(*text);
}

/* The word of a rule whose every value has the same verdict. */
static const struct xml_word *only_word(const struct xml_rule *rule)
{
	return rule->words && strcmp(rule->words[0].word, "*") == 0 ? rule->words : NULL;
}

static const char *verdict_of(const struct xml_rule *rule)
{
	if (rule->kind == XML_REFUSE)
		return "refused";
	if (only_word(rule))
		return contract_verdict_to_string(only_word(rule)->verdict);
	if (rule->verdict != CONTRACT_HONOURED)
		return contract_verdict_to_string(rule->verdict);
	return rule->kind >= XML_KEEP && rule->why ? "ignored" : "honoured";
}

static const char *type_of(const struct xml_rule *rule)
{
	switch (rule->kind) {
	case XML_STRING:
		return "text";
	case XML_UINT:
	case XML_INT:
		return "number";
	case XML_SIZE:
		return "size";
	case XML_CPUSET:
		return "CPU set";
	case XML_UUID:
		return "UUID";
	case XML_MAC:
		return "MAC address";
	case XML_IP:
		return "IP address";
	default:
		return "";
	}
}

/* Is 'word' one that the rule speaks of by itself? */
static bool is_special(const struct xml_rule *rule, const char *word)
{
	for (const struct xml_word *w = rule->words; w && w->word; w++)
		if (strcmp(w->word, word) == 0)
			return true;
	return false;
}

static void print_values(const struct xml_rule *rule)
{
	const char *separator = "";

	if (rule->kind == XML_ENUM)
		for (unsigned i = 0; i < vm_enum_count(rule->names); i++) {
			const char *word = vm_enum_to_string(rule->names, i);

			if (!word || is_special(rule, word))
				continue;
			printf("%s`%s`", separator, word);
			separator = ", ";
		}
	for (const struct xml_word *w = rule->words; w && w->word; w++) {
		const char *word = strcmp(w->word, "*") == 0 ? "all else" : w->word;
		const char *tick = word == w->word ? "`" : "";

		printf("%s%s%s%s", w->verdict && *separator ? "; " : separator, tick, word, tick);
		if (w->verdict) {
			printf(" %s: ", contract_verdict_to_string(w->verdict));
			print_text(w->why);
		}
		separator = w->verdict == CONTRACT_HONOURED ? ", " : "; ";
	}
	if (!*separator)
		printf("%s", type_of(rule));
}

/* What the elements of a row with a condition in C are. */
static const char *match_of(const struct xml_rule *rule)
{
	if (rule->match == domain_is_empty_drive)
		return " (empty drive)";
	return rule->match == domain_is_ip_parameter ? " (`IP`, `IPV6`)" : "";
}

static void print_row(const char *path, const struct xml_rule *rule)
{
	bool says_why = rule->why && !(rule->flags & XML_REQUIRED && !rule->verdict);

	printf("| `%s%s%s%s`%s | %s | ", path, *path ? "/" : "", rule->name,
		strcmp(rule->name, ".") == 0 ? " (text)" : "", match_of(rule), verdict_of(rule));
	if (rule->when) {
		const char *value = strchr(rule->when, '=');

		printf("of `%.*s='%s'`%s", (int)(value - rule->when), rule->when, value + 1,
			says_why || rule->words || *type_of(rule) ? ": " : "");
	}
	if (says_why)
		print_text(rule->why);
	if (says_why && rule->words)
		printf("; ");
	if (only_word(rule))
		print_text(only_word(rule)->why);
	else if (!says_why || rule->words)
		print_values(rule);
	printf(" |\n");
}

static void print_table(const char *path, const struct xml_rule *rows, const struct xml_rule *skip)
{
	for (const struct xml_rule *rule = rows; rule && rule->name; rule++) {
		char below[PATH_MAX_LEN];

		print_row(path, rule);
		if (!rule->rows || rule->rows == skip)
			continue;
		(void)snprintf(below, sizeof(below), "%s%s%s", path, *path ? "/" : "", rule->name);
		print_table(below, rule->rows, skip);
	}
}

static void print_heading(const char *heading)
{
	printf("\n### %s\n\n| | verdict | values, reason |\n|---|---|---|\n", heading);
}

/* The rows without a table of their own. */
static void print_others(const char *heading, const struct xml_rule *rows)
{
	print_heading(heading);
	for (const struct xml_rule *rule = rows; rule->name; rule++)
		if (!rule->rows)
			print_row("", rule);
}

/* A heading for each row with one. */
static void print_elements(const struct xml_rule *rows)
{
	for (const struct xml_rule *rule = rows; rule->name; rule++) {
		if (!rule->rows)
			continue;
		print_heading(rule->name);
		print_row("", rule);
		print_table(rule->name, rule->rows, NULL);
	}
}

int main(int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[1], "domain") == 0) {
		print_heading("The domain");
		print_table("", domain_root.rows, domain_device_rows);
		print_elements(domain_device_rows);
		print_others("Other devices", domain_device_rows);
		return 0;
	}
	if (argc == 2 && strcmp(argv[1], "network") == 0) {
		print_others("The network", network_root.rows);
		print_elements(network_root.rows);
		return 0;
	}
	fprintf(stderr, "usage: %s domain|network\n", argv[0]);
	return 2;
}
