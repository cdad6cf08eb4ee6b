/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vmctl: see vmctl.h. Tested by tests/system/inside/service.py. */
#include "client/vmctl.h"

int main(int argc, char **argv)
{
	return vmctl_main(argc, argv);
}
