// cut N ROOT COMMAND...: a power cut. Runs the command, and before the Nth system call that would change
// a file below ROOT ends it with all that it has started, by SIGKILL, and exits with 99. What is in
// ROOT/tmp is RAM and does not count, and of several writes to one file in a row the first does. N 0:
// never. The number of calls goes to stderr.

#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *root;
static pid_t last_pid;
static int last_fd;

static int is_below(const char *path)
{
    size_t n = strlen(root);
    if (strncmp(path, root, n) != 0 || path[n] != '/')
        return 0;
    return strncmp(path + n, "/tmp/", 5) != 0 && strncmp(path + n, "/dev/", 5) != 0;
}

// Of a descriptor, or of the process' folder.
static int is_below_fd(pid_t pid, int fd)
{
    char name[64], path[4096];
    if (fd == AT_FDCWD)
        sprintf(name, "/proc/%d/cwd", pid);
    else
        sprintf(name, "/proc/%d/fd/%d", pid, fd);
    ssize_t n = readlink(name, path, sizeof path - 2);
    if (n < 0)
        return 0;
    strcpy(path + n, fd == AT_FDCWD || path[n - 1] != '/' ? "/" : "");
    if (strcmp(path, root) == 0)
        return 1;
    return is_below(path) || (strncmp(path, root, strlen(root)) == 0 && strlen(path) == strlen(root) + 1);
}

static int is_below_path(pid_t pid, int at, unsigned long address)
{
    char path[256] = "";
    struct iovec here = {path, sizeof path - 1}, there = {(void *)address, sizeof path - 1};
    if (process_vm_readv(pid, &here, 1, &there, 1, 0) < 0) {
        there.iov_len = here.iov_len = 4096 - (address & 4095);
        if (here.iov_len > sizeof path - 1 || process_vm_readv(pid, &here, 1, &there, 1, 0) < 0)
            return 0;
    }
    if (path[0] == '/') // it is in a chroot
        return strncmp(path, "/tmp/", 5) != 0 && strncmp(path, "/dev/", 5) != 0 && strncmp(path, "/proc/", 6) != 0;
    return is_below_fd(pid, at);
}

static int changes(pid_t pid, const struct __ptrace_syscall_info *info)
{
    const uint64_t *a = info->entry.args;
    const int creates = O_CREAT | O_TRUNC;
    switch (info->entry.nr) {
    case SYS_write:
        if (pid == last_pid && (int)a[0] == last_fd)
            return 0;
        if (!is_below_fd(pid, (int)a[0]))
            return 0;
        last_pid = pid;
        last_fd = (int)a[0];
        return 1;
    case SYS_pwrite64: case SYS_writev: case SYS_ftruncate: case SYS_fchmod: case SYS_fchown:
        return is_below_fd(pid, (int)a[0]);
    case SYS_sendfile:
        return is_below_fd(pid, (int)a[0]);
    case SYS_copy_file_range:
        return is_below_fd(pid, (int)a[2]);
    case SYS_open:
        return (a[1] & creates) != 0 && is_below_path(pid, AT_FDCWD, a[0]);
    case SYS_openat:
        return (a[2] & creates) != 0 && is_below_path(pid, (int)a[0], a[1]);
    case SYS_rename: case SYS_unlink: case SYS_rmdir: case SYS_mkdir: case SYS_chmod: case SYS_chown: case SYS_lchown:
        return is_below_path(pid, AT_FDCWD, a[0]);
    case SYS_symlink: case SYS_link:
        return is_below_path(pid, AT_FDCWD, a[1]);
    case SYS_renameat: case SYS_renameat2: case SYS_unlinkat: case SYS_mkdirat: case SYS_fchmodat: case SYS_fchownat:
        return is_below_path(pid, (int)a[0], a[1]);
    case SYS_symlinkat:
        return is_below_path(pid, (int)a[1], a[2]);
    case SYS_linkat:
        return is_below_path(pid, (int)a[2], a[3]);
    }
    return 0;
}

int main(int argc, char **argv)
{
    if (argc < 4)
        return 2;
    long limit = atol(argv[1]), count = 0;
    int status, result = 0;
    root = argv[2];
    pid_t first = fork(), pid;
    if (first == 0) {
        ptrace(PTRACE_TRACEME, 0, 0, 0);
        raise(SIGSTOP);
        execvp(argv[3], argv + 3);
        _exit(127);
    }
    waitpid(first, &status, 0);
    ptrace(PTRACE_SETOPTIONS, first, 0, PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK
        | PTRACE_O_TRACECLONE | PTRACE_O_EXITKILL);
    ptrace(PTRACE_SYSCALL, first, 0, 0);
    while ((pid = waitpid(-1, &status, __WALL)) > 0) {
        long signal = 0;
        if (pid == first && WIFEXITED(status))
            result = WEXITSTATUS(status);
        if (!WIFSTOPPED(status))
            continue;
        if (WSTOPSIG(status) == (SIGTRAP | 0x80)) {
            struct __ptrace_syscall_info info;
            ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof info, &info);
            if (info.op == PTRACE_SYSCALL_INFO_ENTRY && changes(pid, &info)) {
                if (++count == limit)
                    return 99; // EXITKILL ends them all
                if (info.entry.nr != SYS_write)
                    last_pid = 0;
            }
        } else if (WSTOPSIG(status) != SIGTRAP && WSTOPSIG(status) != SIGSTOP) {
            signal = WSTOPSIG(status);
        }
        ptrace(PTRACE_SYSCALL, pid, 0, signal);
    }
    fprintf(stderr, "%ld\n", count);
    return result;
}
