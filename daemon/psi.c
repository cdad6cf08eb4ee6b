/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Pressure stall information: see psi.h. */
#include "daemon/psi.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "vmm-core/base/cleanup.h"
#include "vmm-core/base/fdio.h"

#define MAX_FILE 4096

const char *const psi_resources[PSI_RESOURCES] = {"cpu", "memory", "io"};

/* "some avg10=1.23 avg60=0.45 avg300=0.06 total=789", at the beginning of a line. */
static bool parse_line(const char *text, const char *kind, struct psi_line *ret)
{
	uint32_t whole, cents;
	uint64_t total_us;
	const char *p = strstr(text, kind);

	if (!p || (p != text && p[-1] != '\n') ||
		sscanf(p + strlen(kind),
			" avg10=%" SCNu32 ".%2" SCNu32
			" avg60=%*u.%*u avg300=%*u.%*u total=%" SCNu64,
			&whole, &cents, &total_us) != 3 ||
		whole > 100 || cents > 99)
		return false;
	*ret = (struct psi_line){.known = true, .avg10 = whole * 100 + cents, .total_us = total_us};
	return true;
}

int psi_parse(const char *text, struct psi *ret)
{
	struct psi psi = {0};

	if (!parse_line(text, "some ", &psi.lines[PSI_SOME]))
		return -EBADMSG;
	(void)parse_line(text, "full ", &psi.lines[PSI_FULL]);
	*ret = psi;
	return 0;
}

int psi_read(const char *path, struct psi *ret)
{
	_cleanup_(freep) char *text = NULL;
	int r = read_file(AT_FDCWD, path, MAX_FILE, &text, NULL);

	return r < 0 ? r : psi_parse(text, ret);
}

int psi_open_trigger(const char *path, uint64_t stall_us)
{
	_cleanup_(closep) int fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	char text[64];
	int n;

	if (fd < 0)
		return -errno;
	n = snprintf(text, sizeof(text), "some %" PRIu64 " %d", stall_us, PSI_WINDOW_US);
	/* With its NUL, as the kernel's manual has it. */
	if (write(fd, text, (size_t)n + 1) < 0)
		return -errno;
	return TAKE_FD(fd);
}

const char *psi_why_not(int error)
{
	switch (error) {
	case -ENOENT:
	case -ENOTDIR:
		return "this kernel has no pressure stall information (CONFIG_PSI, Linux 4.20)";
	case -EOPNOTSUPP:
		return "pressure stall information is switched off: boot the host with psi=1";
	case -EACCES:
	case -EPERM:
	case -EINVAL:
		return "this kernel lets only root watch pressure (others from Linux 6.5 on)";
	case -EBADMSG:
		return "the kernel's pressure stall information cannot be understood";
	default:
		return strerror(-error);
	}
}
