/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the daemon is told of a team: its state (TEAM_STATE) whenever that has changed, and a report (TEAM_REPORT) of
 * each change of the way. These messages have a budget of their own, which nothing else can use up: one state and
 * NEWS_BURST reports each NEWS_STEP_NS. A change is told at once if the last one is long enough ago, else with the next
 * step; what changed in between is told together, so that the daemon may miss how often a link went up and down, but
 * never how it is.
 *
 * The last NEWS_REPORTS reports are kept for a daemon that comes later: it gets all of them, and knows by their numbers
 * which it has. Of a team that changes faster than reports can be told the oldest are lost; their numbers are missing.
 *
 * While no daemon listens nothing is armed. Embedded in its owner; one thread.
 *
 * Tested by tests/unit/test-uplinks-news.c.
 */
#pragma once

#include "devices/net/team.h"
#include "vmm-core/network.h"

#define NEWS_STEP_NS (100 * NSEC_PER_MSEC)
#define NEWS_REPORTS 32
#define NEWS_BURST   8

struct team_news {
	struct loop_timer timer;
	const struct network_owner *owner;
	const struct team *team;
	bool ready;       /* the links have been looked at: there is a state to tell */
	bool deaf;        /* nobody listens */
	uint64_t told;    /* team_n_changes() of the state that was told last; UINT64_MAX: none */
	uint64_t next_ns; /* not before */
	uint64_t n_made;  /* reports, ever: the number of the last one */
	uint64_t n_told;  /* … and of the last one that was told */
	struct net_team_report reports[NEWS_REPORTS]; /* of number k at k % NEWS_REPORTS */
};

/* 'owner' and 'team' must outlive it. */
void team_news_init(struct team_news *news, struct loop *loop, const struct network_owner *owner,
	const struct team *team);
/* Also of one that is all zeroes. */
void team_news_done(struct team_news *news);

void team_news_report(struct team_news *news, const struct net_team_report *report);
/* The team may have changed; its links are known from the first call on. */
void team_news_check(struct team_news *news);
/* A new daemon listens. */
void team_news_restart(struct team_news *news);
/* The state, at once, whatever the budget says: it was asked for. 0, -ENOTCONN or -EAGAIN. */
int team_news_tell_state(struct team_news *news);
