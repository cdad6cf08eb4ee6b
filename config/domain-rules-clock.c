/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The verdict table of domain XML: <clock>.
 *
 * Tested by tests/unit/test-domain-xml.c.
 */
#include "config/domain-rules.h"

static const struct xml_word offset_words[] = {
	{"timezone", 0, CONTRACT_REFUSED,
		"time zones are not known; write offset='variable' with adjustment="},
	{0},
};
static const struct xml_word basis_words[] = {
	{.word = "utc", .value = 0},
	{.word = "localtime", .value = 1},
	{0},
};
static const struct xml_word adjustment_words[] = {
	{"reset", 0, CONTRACT_ADAPTED, "what the guest changed is not kept over a restart: 0"},
	{0},
};

static bool is_variable(const struct xml_place *place, const struct xml_formatter *f)
{
	const struct vm_config *vm = place->base[0];

	(void)f;
	return vm->clock_offset == VM_CLOCK_VARIABLE;
}

static bool is_absolute(const struct xml_place *place, const struct xml_formatter *f)
{
	const struct vm_config *vm = place->base[0];

	(void)f;
	return vm->clock_offset == VM_CLOCK_ABSOLUTE;
}

#define TIMER(word, which, present_words)                                                          \
	{                                                                                          \
		.name = "timer", .kind = XML_ELEMENT, .when = "name=" word,                        \
		.rows = (const struct xml_rule[])                                                  \
		{                                                                                  \
			KEEP("@track", "the timer follows the guest's clock"),                     \
				KEEP("@tickpolicy", "late ticks are delivered as time allows"),    \
				KEEP("@frequency", "the host's frequency is the guest's"),         \
				KEEP("@mode", "the host's KVM decides"),                           \
				{.name = "@present",                                               \
					.kind = XML_ENUM,                                          \
					.names = VM_ENUM_TRISTATE,                                 \
					VM(timers[which]),                                         \
					.words = (present_words)},                                 \
				KEEP("catchup", "late ticks are delivered as time allows"),        \
			{                                                                          \
				0                                                                  \
			}                                                                          \
		}                                                                                  \
	}
static const struct xml_word always_words[] = {
	{"no", VM_TRISTATE_NO, CONTRACT_IGNORED, "every guest has this clock"},
	{0},
};
static const struct xml_word hpet_words[] = {
	{"yes", VM_TRISTATE_YES, CONTRACT_ADAPTED,
		"there is no HPET: guests use kvm-clock and the local APIC's timer"},
	{0},
};
static const struct xml_word tsc_mode_words[] = {
	{.word = "auto", .value = 1},
	{.word = "native", .value = 2},
	{"emulate", 0, CONTRACT_REFUSED,
		"a guest reads the processor's counter itself; write mode='native'"},
	{"paravirt", 0, CONTRACT_REFUSED,
		"a guest reads the processor's counter itself; write mode='native'"},
	{"smpsafe", 0, CONTRACT_REFUSED,
		"a guest reads the processor's counter itself; write mode='native'"},
	{0},
};
static const struct xml_rule tsc_rows[] = {
	KEEP("@track", "the timer follows the guest's clock"),
	KEEP("@tickpolicy", "late ticks are delivered as time allows"),
	{.name = "@frequency", .kind = XML_UINT, VM(tsc_hz)},
	{.name = "@mode", .kind = XML_WORD, VM(tsc_mode), .words = tsc_mode_words},
	{.name = "@present",
		.kind = XML_ENUM,
		.names = VM_ENUM_TRISTATE,
		VM(timers[VM_TIMER_TSC]),
		.words = always_words},
	KEEP("catchup", "late ticks are delivered as time allows"),
	{0},
};
const struct xml_rule domain_clock_rows[] = {
	{.name = "@offset",
		.kind = XML_ENUM,
		.flags = XML_FIXED_IF_EMPTY,
		.fixed = "utc",
		.names = VM_ENUM_CLOCK_OFFSET,
		VM(clock_offset),
		.words = offset_words},
	{.name = "@adjustment",
		.kind = XML_INT,
		.flags = XML_ALWAYS,
		VM(clock_adjustment_s),
		.words = adjustment_words,
		.print_if = is_variable},
	{.name = "@basis",
		.kind = XML_WORD,
		VM(clock_basis_localtime),
		.words = basis_words,
		.print_if = is_variable},
	{.name = "@start",
		.kind = XML_INT,
		.flags = XML_ALWAYS,
		VM(clock_start_s),
		.print_if = is_absolute},
	TIMER("rtc", VM_TIMER_RTC, always_words),
	TIMER("pit", VM_TIMER_PIT, always_words),
	TIMER("hpet", VM_TIMER_HPET, hpet_words),
	TIMER("kvmclock", VM_TIMER_KVMCLOCK, NULL),
	{.name = "timer", .kind = XML_ELEMENT, .when = "name=tsc", .rows = tsc_rows},
	KEEP_WHEN("timer", "name=hypervclock", "Hyper-V enlightenments are not offered yet"),
	KEEP_WHEN("timer", "name=platform", "Xen only"),
	KEEP_WHEN("timer", "name=armvtimer", NOT_ON_X86),
	{0},
};
