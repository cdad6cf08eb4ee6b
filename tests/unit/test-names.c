/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Every word of every enumeration of vm-config.h comes back as the value it came from. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "config/vm-config.h"

static void test_round_trip(void **state)
{
	(void)state;
	for (int kind = 0; kind < VM_ENUM_X_MAX; kind++) {
		unsigned n = vm_enum_count(kind), n_words = 0;

		assert_true(n > 1);
		for (unsigned value = 0; value < n; value++) {
			const char *word = vm_enum_to_string(kind, value);

			if (!word) {
				assert_int_equal(value, 0); /* only the default has none */
				continue;
			}
			n_words++;
			assert_int_equal(vm_enum_from_string(kind, word), value);
		}
		assert_true(n_words >= n - 1);
	}
}

static void test_unknown(void **state)
{
	(void)state;
	for (int kind = 0; kind < VM_ENUM_X_MAX; kind++) {
		assert_int_equal(vm_enum_from_string(kind, "frobnicate"), -EINVAL);
		assert_int_equal(vm_enum_from_string(kind, ""), -EINVAL);
		assert_int_equal(vm_enum_from_string(kind, NULL), -EINVAL);
		assert_null(vm_enum_to_string(kind, vm_enum_count(kind)));
		assert_null(vm_enum_to_string(kind, UINT32_MAX));
	}
	assert_null(vm_enum_to_string(VM_ENUM_X_MAX, 1));
	assert_int_equal(vm_enum_from_string(VM_ENUM_X_MAX, "yes"), -EINVAL);
	assert_int_equal(vm_enum_count(VM_ENUM_X_MAX), 0);
}

static void test_libvirt_words(void **state)
{
	(void)state;
	assert_int_equal(
		vm_enum_from_string(VM_ENUM_CPU_MODE, "host-model"), VM_CPU_MODE_HOST_MODEL);
	assert_int_equal(vm_enum_from_string(VM_ENUM_DISK_IO, "io_uring"), VM_DISK_IO_IO_URING);
	assert_int_equal(
		vm_enum_from_string(VM_ENUM_DISK_ERROR, "enospace"), VM_DISK_ERROR_ENOSPACE);
	assert_int_equal(vm_enum_from_string(VM_ENUM_TIMER, "rtc"), VM_TIMER_RTC);
	assert_int_equal(vm_enum_from_string(VM_ENUM_TRISTATE, "no"), VM_TRISTATE_NO);
	assert_string_equal(vm_enum_to_string(VM_ENUM_CHARDEV, VM_CHARDEV_UNIX), "unix");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_unknown),
		cmocka_unit_test(test_libvirt_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
