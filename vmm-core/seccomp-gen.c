/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Runs at build time: prints the BPF programs of seccomp-table.c as C arrays, so that a worker loads them without
 * making them (libseccomp would take 1.6 ms a start). For each role: <role>_filter, whose verdict on anything not
 * listed is the process's end, and <role>_filter_errno, which answers EPERM instead, for tests.
 *
 * Tested by tests/unit/test-seccomp.c.
 */
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "vmm-core/base/macro.h"
#include "vmm-core/seccomp-table.h"

#define X32_BIT 0x40000000U

static unsigned n_emitted;

static void emit(unsigned code, unsigned jt, unsigned jf, uint32_t k)
{
	printf("\t{0x%02x, %u, %u, 0x%08x},\n", code, jt, jf, k);
	n_emitted++;
}

static void load(size_t offset)
{
	emit(BPF_LD | BPF_W | BPF_ABS, 0, 0, (uint32_t)offset);
}

static void emit_rule(const struct seccomp_rule *rule, uint32_t deny)
{
	/* Past the load, the values, and two returns. */
	bool is_plain = rule->check == SECCOMP_ANY || rule->check == SECCOMP_ABSENT;
	unsigned body = is_plain ? 1 : rule->n_values + 3;

	emit(BPF_JMP | BPF_JEQ | BPF_K, 0, body, (uint32_t)rule->nr);
	if (is_plain) {
		emit(BPF_RET | BPF_K, 0, 0,
			rule->check == SECCOMP_ANY ? SECCOMP_RET_ALLOW
						   : SECCOMP_RET_ERRNO | ENOSYS);
		return;
	}
	load(offsetof(struct seccomp_data, args) + 8 * rule->arg);
	for (unsigned i = 0; i < rule->n_values; i++) {
		unsigned to_allow = rule->n_values - i;

		if (rule->check == SECCOMP_ONE_OF)
			emit(BPF_JMP | BPF_JEQ | BPF_K, to_allow, 0, rule->values[i]);
		else
			emit(BPF_JMP | BPF_JSET | BPF_K, 0, to_allow, rule->values[i]);
	}
	emit(BPF_RET | BPF_K, 0, 0, deny);
	emit(BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW);
}

static void emit_role(enum seccomp_role role, const char *suffix, uint32_t deny)
{
	printf("static const struct sock_filter %s_filter%s[] = {\n", seccomp_role_to_string(role),
		suffix);
	n_emitted = 0;
	load(offsetof(struct seccomp_data, arch));
	emit(BPF_JMP | BPF_JEQ | BPF_K, 1, 0, AUDIT_ARCH_X86_64);
	emit(BPF_RET | BPF_K, 0, 0, SECCOMP_RET_KILL_PROCESS);
	load(offsetof(struct seccomp_data, nr));
	emit(BPF_JMP | BPF_JGE | BPF_K, 0, 1, X32_BIT);
	emit(BPF_RET | BPF_K, 0, 0, deny);
	for (const struct seccomp_rule *rule = seccomp_rules(role); rule->name; rule++)
		emit_rule(rule, deny);
	emit(BPF_RET | BPF_K, 0, 0, deny);
	printf("};\n\n");
	if (n_emitted > BPF_MAXINSNS)
		fprintf(stderr, "too many instructions\n");
}

int main(void)
{
	printf("/* Made by seccomp-gen from seccomp-table.c. */\n\n");
	for (unsigned role = 0; role < SECCOMP_ROLE_X_MAX; role++) {
		emit_role(role, "", SECCOMP_RET_KILL_PROCESS);
		emit_role(role, "_errno", SECCOMP_RET_ERRNO | EPERM);
	}
	return 0;
}
