/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The Gregorian calendar for clock chips: pure arithmetic. (The C library's gmtime_r() may open the host's time zone
 * file, which a sandboxed process must not.)
 */
#pragma once

#include "vmm-core/base/macro.h"

#define CALENDAR_DAY_S 86400

struct calendar {
	unsigned second, minute, hour; /* 0 … 59, 59, 23 */
	unsigned weekday;              /* 1 = Sunday … 7 */
	unsigned day, month;           /* from 1 */
	unsigned year;                 /* 0 … 9999 */
};

/* 28 … 31. */
unsigned calendar_month_days(unsigned month, unsigned year);

/* Seconds since 1970. All fields in range; the weekday is not looked at. */
int64_t calendar_to_seconds(const struct calendar *c);

/* Beyond four digits the year wraps. */
struct calendar calendar_from_seconds(int64_t t);
