/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Seconds to dates and back: see calendar.h. Tested by tests/unit/test-mc146818.c against the C library. */
#include "devices/legacy/calendar.h"

static bool is_leap(unsigned year)
{
	return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

unsigned calendar_month_days(unsigned month, unsigned year)
{
	static const uint8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};

	return days[month - 1] + (month == 2 && is_leap(year));
}

/* Days from 1 January of year 0 (Gregorian throughout) to that of 'year'. */
static int64_t days_before_year(unsigned year)
{
	return year ? 365 * (int64_t)year + (year - 1) / 4 - (year - 1) / 100 + (year - 1) / 400 + 1
		    : 0;
}

int64_t calendar_to_seconds(const struct calendar *c)
{
	int64_t days = days_before_year(c->year) - days_before_year(1970) + c->day - 1;

	for (unsigned month = 1; month < c->month; month++)
		days += calendar_month_days(month, c->year);
	return days * CALENDAR_DAY_S + c->hour * 3600 + c->minute * 60 + c->second;
}

struct calendar calendar_from_seconds(int64_t t)
{
	int64_t all_days = days_before_year(10000);
	int64_t second = ((t % CALENDAR_DAY_S) + CALENDAR_DAY_S) % CALENDAR_DAY_S;
	int64_t days = (t - second) / CALENDAR_DAY_S + days_before_year(1970);
	struct calendar c = {
		.second = (unsigned)(second % 60),
		.minute = (unsigned)(second / 60 % 60),
		.hour = (unsigned)(second / 3600),
		.month = 1,
	};

	days = (days % all_days + all_days) % all_days;
	c.weekday = (unsigned)((days + 6) % 7 + 1); /* 1 January 0000 was a Saturday */
	c.year = (unsigned)(days / 366);
	while (days_before_year(c.year + 1) <= days)
		c.year++;
	days -= days_before_year(c.year);
	while (days >= calendar_month_days(c.month, c.year))
		days -= calendar_month_days(c.month++, c.year);
	c.day = (unsigned)days + 1;
	return c;
}
