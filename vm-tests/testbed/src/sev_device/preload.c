/* Plays the drivers of /dev/sev-guest and /dev/sev (Linux drivers/virt/coco/sev-guest, drivers/crypto/ccp/sev-dev.c)
 * for one program, between it and its libc: the structures are those of the kernel's own headers. The firmware behind
 * them is asked over the Unix socket that ASSAY_SEV_FIRMWARE names; the ids of the chips are the content of the file
 * that was opened as /dev/sev. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <linux/psp-sev.h>
#include <linux/sev-guest.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define PAGE 4096u
#define TABLE_MAX 0x4000u /* SEV_FW_BLOB_MAX_SIZE */
#define TABLE_ROOM (1u << 20)

static int whole(int fd, void *bytes, size_t length) {
	for (size_t done = 0; done < length;) {
		ssize_t got = read(fd, (char *)bytes + done, length - done);
		if (got <= 0)
			return -1;
		done += (size_t)got;
	}
	return 0;
}

static int firmware_fd = -1;

/* Connected when the program is loaded: by the time it asks, it may have given sockets up. A kernel needs none. */
__attribute__((constructor)) static void connect_firmware(void) {
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	const char *path = getenv("ASSAY_SEV_FIRMWARE");
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (!path || strlen(path) >= sizeof(address.sun_path) || fd < 0)
		return;
	strcpy(address.sun_path, path);
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)))
		close(fd);
	else
		firmware_fd = fd;
}

/* Response and certificate table for a request; the table is the caller's to free. One request at a time. */
static int firmware(const struct snp_report_req *request, struct snp_report_resp *response, char **table,
		    uint32_t *table_length) {
	if (write(firmware_fd, request, sizeof(*request)) != (ssize_t)sizeof(*request) ||
	    whole(firmware_fd, response, sizeof(*response)) ||
	    whole(firmware_fd, table_length, sizeof(*table_length)) || *table_length > TABLE_ROOM)
		return -1;
	*table = calloc(1, TABLE_ROOM);
	return *table && !whole(firmware_fd, *table, *table_length) ? 0 : -1;
}

static int guest(unsigned long request, struct snp_guest_request_ioctl *call) {
	int extended = request == SNP_GET_EXT_REPORT;
	struct snp_ext_report_req asked = {0};
	struct snp_report_resp response;
	uint32_t length = 0, pages;
	char *table = NULL;

	call->exitinfo2 = 0xff;
	if (!call->msg_version || !call->req_data || !call->resp_data)
		return EINVAL;
	memcpy(&asked, (void *)call->req_data, extended ? sizeof(asked) : sizeof(asked.data));
	if (asked.certs_len > TABLE_MAX || asked.certs_len % PAGE)
		return EINVAL;
	if (firmware(&asked.data, &response, &table, &length)) {
		free(table);
		return EIO;
	}
	call->exitinfo2 = 0;
	pages = (length + PAGE - 1) / PAGE * PAGE;
	if (extended && asked.certs_len < pages) {
		((struct snp_ext_report_req *)call->req_data)->certs_len = pages;
		call->vmm_error = SNP_GUEST_VMM_ERR_INVALID_LEN;
		free(table);
		return EIO;
	}
	if (extended && asked.certs_len)
		memcpy((void *)asked.certs_address, table, asked.certs_len);
	memcpy((void *)call->resp_data, &response, sizeof(response));
	free(table);
	return 0;
}

static int host(int fd, struct sev_issue_cmd *call) {
	struct sev_user_data_get_id2 *asked = (void *)call->data;
	struct stat ids;
	uint32_t room;

	if (call->cmd != SEV_GET_ID2 || fstat(fd, &ids))
		return EINVAL;
	room = asked->address ? asked->length : 0;
	asked->length = (uint32_t)ids.st_size;
	if (room < asked->length) {
		call->error = SEV_RET_INVALID_LEN;
		return EIO;
	}
	return pread(fd, (void *)asked->address, asked->length, 0) == ids.st_size ? 0 : EIO;
}

int ioctl(int fd, unsigned long request, ...) {
	static int (*next)(int, unsigned long, ...);
	va_list list;
	void *argument;
	int error;

	va_start(list, request);
	argument = va_arg(list, void *);
	va_end(list);
	if (request == SNP_GET_REPORT || request == SNP_GET_EXT_REPORT)
		error = guest(request, argument);
	else if (request == SEV_ISSUE_CMD)
		error = host(fd, argument);
	else {
		if (!next)
			next = (int (*)(int, unsigned long, ...))dlsym(RTLD_NEXT, "ioctl");
		return next(fd, request, argument);
	}
	errno = error;
	return error ? -1 : 0;
}
