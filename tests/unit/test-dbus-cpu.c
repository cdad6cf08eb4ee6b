/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Processors by name, through the API: compared, in common, and what a domain can have. */
#include "dbus-fixture.h"

#define CPU(model) "<cpu match='exact'><model>" model "</model></cpu>"

static void test_compare(void **state)
{
	struct fixture *f = *state;
	uint32_t result;
	sd_bus_message *m = CALL(f, "CompareCpu", "su", CPU("kvm64"), 0);

	assert_true(sd_bus_message_read(m, "u", &result) > 0);
	assert_int_equal(result, 2);
	ok(m);
	m = CALL(f, "CompareCpu", "su", "<cpu><arch>s390x</arch><model>a</model></cpu>", 0);
	assert_true(sd_bus_message_read(m, "u", &result) > 0);
	assert_int_equal(result, 0);
	ok(m);
	fails(CALL(f, "CompareCpu", "su", "<cpu><arch>s390x</arch><model>a</model></cpu>", 1),
		VMMD_ERROR_PREFIX "CpuIncompatible",
		"the CPU is incompatible with host CPU: CPU arch s390x does not match");
	fails(CALL(f, "CompareCpu", "su", "<cpu", 0), VMMD_ERROR_PREFIX "XmlError", "cpu:1: ");
	fails(CALL(f, "CompareCpu", "su", "<cpu x=''/>", 2), VMMD_ERROR_PREFIX "XmlError",
		"failed to validate");
	fails(CALL(f, "CompareCpu", "su", "<domain/>", 0), VMMD_ERROR_PREFIX "XmlError",
		"no <cpu> element");
	fails(CALL(f, "CompareCpu", "su", CPU("kvm64"), 4), VMMD_ERROR_PREFIX "InvalidArgument",
		"unsupported flags");
}

static void test_baseline(void **state)
{
	struct fixture *f = *state;
	const char *xml;
	sd_bus_message *m = CALL(
		f, "BaselineCpu", "asu", 2, CPU("Haswell-IBRS"), CPU("Nehalem") CPU("Westmere"), 0);

	assert_true(sd_bus_message_read(m, "s", &xml) > 0);
	assert_string_equal(xml,
		"<cpu mode='custom' match='exact'>\n  <model fallback='allow'>Nehalem</model>\n"
		"</cpu>\n");
	ok(m);
	ok(CALL(f, "BaselineHypervisorCpu", "ssssasu", "", "x86_64", "pc-q35-9.0", "kvm", 1,
		CPU("EPYC"), 3));
	fails(CALL(f, "BaselineCpu", "asu", 0, 0), VMMD_ERROR_PREFIX "InvalidArgument",
		"No CPUs given");
	fails(CALL(f, "BaselineCpu", "asu", 2, CPU("EPYC"), "<a/>", 0),
		VMMD_ERROR_PREFIX "XmlError", "no <cpu> element");
	fails(CALL(f, "BaselineHypervisorCpu", "ssssasu", "", "", "", "xen", 1, CPU("EPYC"), 0),
		VMMD_ERROR_PREFIX "InvalidArgument", "unknown virttype: xen");
}

static void test_models(void **state)
{
	struct fixture *f = *state;
	sd_bus_message *m = CALL(f, "GetCpuModels", "s", "x86_64");
	const char *name;

	assert_true(sd_bus_message_enter_container(m, 'a', "s") > 0);
	assert_true(sd_bus_message_read(m, "s", &name) > 0);
	assert_string_equal(name, "x86-64-v1");
	ok(m);
	fails(CALL(f, "GetCpuModels", "s", "arm"), VMMD_ERROR_PREFIX "InvalidArgument",
		"cannot find architecture arm");
}

static void test_domain_capabilities(void **state)
{
	static const struct {
		const char *emulator, *arch, *machine, *type, *why;
	} bad[] = {
		{"/usr/bin/qemu-system-x86_64", "", "", "", "is none of vmmd's; it is '"},
		{"", "aarch64", "", "", "unknown architecture: aarch64"},
		{"", "", "s390-ccw-virtio", "", "the machine 's390-ccw-virtio' is not supported"},
		{"", "", "", "qemu", "unknown virttype: qemu"},
	};
	struct fixture *f = *state;
	const char *xml;
	sd_bus_message *m;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		fails(CALL(f, "GetDomainCapabilities", "ssssu", bad[i].emulator, bad[i].arch,
			      bad[i].machine, bad[i].type, 0),
			VMMD_ERROR_PREFIX "InvalidArgument", bad[i].why);
	if (access("/dev/kvm", R_OK | W_OK) < 0) {
		fails(CALL(f, "GetDomainCapabilities", "ssssu", "", "", "", "", 0),
			VMMD_ERROR_PREFIX "NotSupported", "KVM is not there");
		return;
	}
	m = CALL(f, "GetDomainCapabilities", "ssssu", f->manager->worker_path, "x86_64", "q35",
		"kvm", 0);
	assert_true(sd_bus_message_read(m, "s", &xml) > 0);
	assert_non_null(strstr(xml, "<mode name='host-model' supported='yes'>"));
	assert_non_null(strstr(xml, ">kvm64</model>"));
	/* It is what KVM gives here: the same, but for what ties a guest to the host. */
	sd_bus_message_unref(CALL(f, "CompareHypervisorCpu", "sssssu", xml, "", "", "", "", 1));
	ok(m);
	ok(CALL(f, "CompareHypervisorCpu", "sssssu", CPU("kvm64"), "", "", "", "", 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		T(test_compare),
		T(test_baseline),
		T(test_models),
		T(test_domain_capabilities),
	};

	log_init("test-dbus-cpu", LOG_CRIT, false);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
