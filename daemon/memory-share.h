/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Who gives memory up when the host is short of it, and who gets it back: a function from what host and guests say to what each guest
 * is to have. It knows no daemon, no clock and no kernel: memory-policy.c looks, calls it, and does what it says.
 *
 *	takes	while the host is under pressure: from what guests do not use. A guest keeps twice its reserve usable and its floor,
 *		and loses at most an eighth of what it has at a time. The heavier a guest (weight), the less of its spare memory
 *		is taken: with equal weights in proportion to what is spare, with twice the weight half of that
 *	gives	first, always: to guests that are short (less usable than their reserve, or swapping), the shortest first, until they have
 *		one and a half reserves usable. What the host lacks for that is taken from the others
 *		then, when there has been no pressure for a while (calm) and the host has room: to all, the one with least usable
 *		memory first, slowly
 *
 * Nobody gets more than its ceiling. Between the marks at which memory is taken, given and left alone there is room, and pressure that
 * comes back soon after memory was given back doubles the time that it has to be gone for (up to SHARE_MAX_CALM_S): guests do not
 * swing. Guests whose numbers are not known are left alone, and get theirs back with the others.
 *
 * What guests say is a claim. One that claims to have nothing spare keeps all it has, one that claims to be short gets at most its
 * ceiling: both is what it was given when it was defined.
 *
 * All sizes are KiB. Tested by tests/unit/test-memory-share.c.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SHARE_DEFAULT_WEIGHT  100
#define SHARE_MAX_WEIGHT      10000
#define SHARE_GRAIN_KIB       1024 /* targets move by whole MiB, but for the last step to a ceiling */
#define SHARE_MIN_FLOOR_KIB   (256 * 1024)
#define SHARE_MIN_RESERVE_KIB (16 * 1024)
#define SHARE_MAX_RESERVE_KIB (512 * 1024)
/* Of the host's memory, in percent: what is to be available; from where on there is room to give back; from where on pressure is none of
 * ours: it comes from the limit of some control group. */
#define SHARE_WANTED_PERCENT  10
#define SHARE_ROOM_PERCENT    15
#define SHARE_FOREIGN_PERCENT 25
#define SHARE_PRESSED_S       5 /* that pressure counts for after it was last seen */
#define SHARE_MIN_CALM_S      15
#define SHARE_MAX_CALM_S      960
#define SHARE_FAST_S          1 /* between two looks: while there is pressure, or somebody was short */
#define SHARE_SLOW_S          5 /* … while something is taken */
#define SHARE_PATIENCE        8 /* looks that a guest may take to do as it was told */
/* Since the last look: from where on a guest counts as swapping; faults only if it has little to spare, for programs that start have them too. */
#define SHARE_SWAPS_KIB    256
#define SHARE_SWAPS_FAULTS 64

enum share_reason {
	SHARE_NONE,      /* stays as it is */
	SHARE_PRESSURE,  /* the host is short of memory: taken */
	SHARE_FOR_OTHER, /* another guest is short, and the host cannot help: taken */
	SHARE_SHORT,     /* its usable memory is below its reserve: given */
	SHARE_SWAPS,     /* it reads from its swap: given */
	SHARE_ROOM,      /* the host has room again: given */
	SHARE_CEILING,   /* it was told to have more than it may: taken */
	SHARE_REASON_X_MAX
};
/* "pressure", "for-another", "short", "swaps", "room", "ceiling"; "" for SHARE_NONE */
const char *share_reason_name(enum share_reason reason);

/* Why the others were left alone, for people. */
enum share_state {
	SHARE_STATE_FULL,    /* it has all it may have, and something to spare */
	SHARE_STATE_TAKEN,   /* something is taken */
	SHARE_STATE_FLOOR,   /* it is at its floor */
	SHARE_STATE_USED,    /* it uses what it has */
	SHARE_STATE_SHORT,   /* it is short */
	SHARE_STATE_UNKNOWN, /* it says nothing of its memory */
	SHARE_STATE_STUCK,   /* it does not do as it was told */
	SHARE_STATE_X_MAX
};
const char *share_state_name(enum share_state state);

struct share_host {
	uint64_t total, available;
	bool pressed; /* there was pressure since the last look */
};

struct share_guest {
	/* What is. */
	void *who;        /* the caller's: guests are put into another order */
	bool known;       /* what it says of itself, below, is of now */
	uint64_t ceiling; /* <currentMemory> */
	uint64_t floor;   /* at most the ceiling counts */
	unsigned weight;  /* 1 … SHARE_MAX_WEIGHT */
	uint64_t target;  /* what it was told to have */
	uint64_t has;
	uint64_t usable;     /* of it, what could be had without swapping */
	uint64_t swapped_in; /* what it read from its swap, */
	uint64_t
		major_faults; /* and how often it had to read from a disk to go on: since the last look */
	/* Kept from look to look by the caller; 0 at first. */
	unsigned waited; /* looks for which it has not done as it was told */
	/* What is to be. */
	uint64_t wanted; /* = target: nothing to do */
	enum share_reason reason;
	enum share_state state;
	/* Between the steps of a look. */
	uint64_t expected; /* usable, when it has done as it was told */
	bool swaps;
	uint64_t spare, part;
};

/* Kept from look to look. All zeroes at first. */
struct share {
	uint64_t pressed_s; /* when there was pressure last, 0: never */
	uint64_t given_s;   /* when the host's room was given back last */
	unsigned calm_s;    /* that pressure has to be gone for before; 0: SHARE_MIN_CALM_S */
	bool returned;      /* the pressure of now has come back soon, and counted for that */
	bool foreign;       /* there is pressure, and it is none of ours */
};

uint64_t share_default_floor(uint64_t ceiling);
uint64_t share_reserve(uint64_t ceiling);

/* Pressure on a host with so much memory available comes from the limit of some control group: guests cannot help. */
bool share_is_foreign(const struct share_host *host);

/* Look at all guests and decide; the neediest stand first afterwards. 'now_s' goes up. Returns after how many seconds to look again; 0:
 * nothing is taken, and there is no pressure that guests could help with: it is over. */
unsigned share_look(struct share *share, uint64_t now_s, const struct share_host *host,
	struct share_guest *guests, size_t n);
