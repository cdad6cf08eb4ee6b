/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The few macros that every file may use. Nothing here evaluates an argument twice. */
#pragma once

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

#define MIN(a, b)                                                                                  \
	({                                                                                         \
		__typeof__(a) min_a_ = (a);                                                        \
		__typeof__(b) min_b_ = (b);                                                        \
		min_a_ < min_b_ ? min_a_ : min_b_;                                                 \
	})

#define MAX(a, b)                                                                                  \
	({                                                                                         \
		__typeof__(a) max_a_ = (a);                                                        \
		__typeof__(b) max_b_ = (b);                                                        \
		max_a_ > max_b_ ? max_a_ : max_b_;                                                 \
	})

/* 'to' is a power of two; the caller has checked that x + to does not overflow. */
#define ALIGN_UP(x, to)    (((x) + ((__typeof__(x))(to)-1)) & ~((__typeof__(x))(to)-1))
#define ALIGN_DOWN(x, to)  ((x) & ~((__typeof__(x))(to)-1))
#define IS_ALIGNED(x, to)  (((x) & ((__typeof__(x))(to)-1)) == 0)
#define DIV_ROUND_UP(n, d) (((n) + (d)-1) / (d))

#define KIB(n) ((uint64_t)(n) << 10)
#define MIB(n) ((uint64_t)(n) << 20)
#define GIB(n) ((uint64_t)(n) << 30)

#define NSEC_PER_SEC  UINT64_C(1000000000)
#define NSEC_PER_MSEC UINT64_C(1000000)
#define NSEC_PER_USEC UINT64_C(1000)

#define container_of(ptr, type, member)                                                            \
	({                                                                                         \
		__typeof__(((type *)0)->member) *container_p_ = (ptr);                             \
		(type *)(void *)((char *)container_p_ - offsetof(type, member));                   \
	})

#define FOREACH_ELEMENT(p, array) for ((p) = (array); (p) < (array) + ARRAY_SIZE(array); (p)++)

#define _printf_(a, b) __attribute__((format(printf, a, b)))
#define _unused_       __attribute__((unused))
#define _noreturn_     __attribute__((noreturn))

/* [start, start + len) lies within [0, limit), without overflow. */
static inline bool range_fits(uint64_t start, uint64_t len, uint64_t limit)
{
	return len <= limit && start <= limit - len;
}
