/* Says the number of the keyring of its session, or why it cannot. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(void)
{
    const int get_keyring_id = 0, session_keyring = -3;
    long number = syscall(SYS_keyctl, get_keyring_id, session_keyring, 0);
    if (number < 0) {
        printf("%s\n", strerrorname_np(errno));
        return 1;
    }
    printf("%ld\n", number);
    return 0;
}
