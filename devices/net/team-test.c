/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Tests on purpose: a member is out of use for a while, what carried its traffic meanwhile is measured, and it comes back.
 * One at a time.
 *
 * Tested by tests/unit/test-team.c.
 */
#include "devices/net/team-internal.h"

#include <errno.h>

/* Without it, would there be enough to go on? */
static bool would_cut(const struct team *t, unsigned member)
{
	unsigned min = t->config.min_links ? t->config.min_links : 1, n = 0;

	for (unsigned i = 0; i < t->n_members; i++)
		n += i != member && team_member_usable(t, i);
	return t->members[member].active && n < min;
}

static bool is_going(const struct team *t)
{
	return t->test.phase == NET_TEST_OUT || t->test.phase == NET_TEST_RETURNING;
}

static void begin(struct team *t, unsigned member, uint32_t ms, uint64_t now_ns)
{
	t->test = (struct net_team_test){.number = t->test.number + 1,
		.phase = NET_TEST_OUT,
		.member = (uint8_t)member,
		.was_active = t->members[member].active,
		.switched_ns = UINT64_MAX,
		.first_out_ns = UINT64_MAX,
		.first_in_ns = UINT64_MAX,
		.back_ns = UINT64_MAX};
	t->test_began_ns = now_ns;
	for (unsigned i = 0; i < t->n_members; i++)
		t->benches_ns[i] = t->members[i].bench_until_ns;
	t->members[member].test_until_ns = now_ns + ms * NSEC_PER_MSEC;
	t->n_changes++;
}

int team_test(struct team *t, unsigned member, uint32_t ms, bool force, uint64_t now_ns)
{
	if (member >= t->n_members || !t->members[member].present)
		return -EINVAL;
	if (ms) {
		if (is_going(t))
			return -EALREADY;
		if (!team_member_usable(t, member))
			return -ENETDOWN;
		if (!force && would_cut(t, member))
			return -EBUSY;
		begin(t, member, ms, now_ns);
	} else {
		if (t->test.phase != NET_TEST_OUT || t->test.member != member)
			return -EINVAL;
		t->members[member].test_until_ns = now_ns;
	}
	team_poll(t, now_ns);
	return 0;
}

void team_test_switched(struct team *t, const struct net_team_report *report)
{
	if (t->test.phase != NET_TEST_OUT || report->cause != TEAM_CAUSE_TEST)
		return;
	t->test.switched_ns = report->switched_ns - t->test_began_ns;
	t->test.moved = report->ports_moved;
}

void team_test_frame(struct team *t, unsigned slot, unsigned member, bool in, uint64_t now_ns)
{
	uint64_t *first_ns = in ? &t->test.first_in_ns : &t->test.first_out_ns;

	if (*first_ns != UINT64_MAX || member == t->test.member || !t->test.was_active)
		return;
	if (slot < TEAM_SLOTS &&
		(t->slots[slot].moved_ns == TEAM_NEVER ||
			t->slots[slot].moved_ns < t->test_began_ns))
		return;
	*first_ns = now_ns - t->test_began_ns;
	t->n_changes++;
}

/* The member may be used again; who came in its place goes back to the bench, if that is where it was. */
static void end_outage(struct team *t, uint64_t now_ns)
{
	t->test.phase = NET_TEST_RETURNING;
	t->test_ended_ns = now_ns;
	for (unsigned i = 0; i < t->n_members; i++)
		t->members[i].bench_until_ns = MAX(t->members[i].bench_until_ns, t->benches_ns[i]);
	t->n_changes++;
}

void team_test_poll(struct team *t, uint64_t now_ns)
{
	const struct team_member *m = &t->members[t->test.member];

	if (t->test.phase == NET_TEST_OUT && now_ns >= m->test_until_ns)
		end_outage(t, now_ns);
	if (t->test.phase != NET_TEST_RETURNING)
		return;
	if (t->test.was_active ? m->active && !t->n_moving : team_member_usable(t, t->test.member))
		t->test.back_ns = now_ns - t->test_ended_ns;
	else if (team_member_linked(m, now_ns) && now_ns < t->test_ended_ns + TEAM_TEST_BACK_NS)
		return;
	t->test.phase = NET_TEST_DONE;
	t->n_changes++;
}

uint64_t team_test_deadline(const struct team *t)
{
	if (t->test.phase == NET_TEST_OUT)
		return t->members[t->test.member].test_until_ns;
	return t->test.phase == NET_TEST_RETURNING ? t->test_ended_ns + TEAM_TEST_BACK_NS
						   : TEAM_NEVER;
}
