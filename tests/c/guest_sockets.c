/* Runs in a guest: its sockets to the host. Linked statically, because nothing else is there.
 *
 *   guest_sockets connect PORT   what is read goes to that port of the host, and what comes from there is written
 *   guest_sockets listen PORT    what one who connects says is said back, in capital letters, to one after the other
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <linux/vm_sockets.h>
#include <unistd.h>

static int failed(const char *what)
{
    perror(what);
    return 1;
}

int main(int count, char **arguments)
{
    struct sockaddr_vm address = {.svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_HOST};
    /* More than a kernel sends at once. */
    static char bytes[1 << 17];
    ssize_t length;
    int own = socket(AF_VSOCK, SOCK_STREAM, 0);

    if (count != 3 || own < 0) return failed("socket");
    address.svm_port = (unsigned)strtoul(arguments[2], NULL, 10);
    if (strcmp(arguments[1], "connect") == 0) {
        if (connect(own, (struct sockaddr *)&address, sizeof address)) return failed("connect");
        while ((length = read(0, bytes, sizeof bytes)) > 0)
            if (write(own, bytes, (size_t)length) != length) return failed("write");
        shutdown(own, SHUT_WR);
        while ((length = read(own, bytes, sizeof bytes)) > 0)
            if (write(1, bytes, (size_t)length) != length) return failed("write");
        return length < 0 ? failed("read") : 0;
    }
    address.svm_cid = VMADDR_CID_ANY;
    if (bind(own, (struct sockaddr *)&address, sizeof address)) return failed("bind");
    if (listen(own, 8)) return failed("listen");
    puts("ready");
    fflush(stdout);
    for (;;) {
        int other = accept(own, NULL, NULL);
        if (other < 0) return failed("accept");
        while ((length = read(other, bytes, sizeof bytes)) > 0) {
            for (ssize_t at = 0; at < length; at++) bytes[at] = (char)toupper((unsigned char)bytes[at]);
            if (write(other, bytes, (size_t)length) != length) break;
        }
        close(other);
    }
}
