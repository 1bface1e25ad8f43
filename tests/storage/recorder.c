/* Stands between a process and libc (LD_PRELOAD): what the process changes below one folder goes onto
 * a tape, in order, and can be made to fail as on a full disk.
 *
 *   RECORDER_ROOT     the folder, absolute
 *   RECORDER_TAPE     the tape; records are appended whole, so that others may write there, too
 *   RECORDER_CONTROL  32 bytes that a test maps as well: struct control
 *
 * Children of the process are not recorded. One lock is held around each change and its record, so
 * the tape has the order in which changes happened. Files whose names end in -shm are SQLite's shared
 * memory: they take room, but outlive no crash of a machine, and so are not on the tape.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { CREATE = 1, TRUNCATE, WRITE, SYNC, SYNC_FOLDER, RENAME, UNLINK, MKDIR, RMDIR, LINK, SYMLINK, TOUCH, MODE };

struct __attribute__((packed)) record {
    uint32_t kind, first, second; /* and the lengths of two texts that follow, then the data */
    uint64_t file, number, length;
};

/* Changes that take room are counted; those whose number is in [from, until) fail. */
struct control {
    volatile int64_t seen, from, until, failed;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char root[PATH_MAX];
static size_t root_length;
static int tape = -1;
static struct control *control;

__attribute__((constructor)) static void begin(void) {
    const char *folder = getenv("RECORDER_ROOT"), *file = getenv("RECORDER_TAPE"), *map = getenv("RECORDER_CONTROL");
    unsetenv("LD_PRELOAD");
    if (!folder || !file || !map) return;
    snprintf(root, sizeof root, "%s", folder);
    int shared = syscall(SYS_openat, AT_FDCWD, map, O_RDWR | O_CLOEXEC);
    if (shared >= 0) control = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, shared, 0);
    if (shared < 0 || control == MAP_FAILED) abort();
    syscall(SYS_close, shared);
    tape = syscall(SYS_openat, AT_FDCWD, file, O_WRONLY | O_APPEND | O_CLOEXEC);
    if (tape < 0) abort();
    root_length = strlen(root);
}

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

enum { NOT_OURS, RECORDED, MEMORY };

static int ours(const char *path) {
    size_t length = strlen(path);
    if (tape < 0 || strncmp(path, root, root_length) || (path[root_length] && path[root_length] != '/')) return NOT_OURS;
    return length < 4 || strcmp(path + length - 4, "-shm") ? RECORDED : MEMORY;
}

static int path_of(int fd, char *path) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, PATH_MAX - 1);
    path[length > 0 ? length : 0] = 0;
    return length > 0;
}

/* Makes a path absolute; says whether it is below the folder. */
static int absolute(int folder, const char *given, char *path) {
    if (tape < 0 || !given) return 0;
    if (*given == '/') {
        snprintf(path, PATH_MAX, "%s", given);
        return ours(path);
    }
    char base[PATH_MAX];
    if (folder == AT_FDCWD ? !getcwd(base, sizeof base) : !path_of(folder, base)) return 0;
    if ((size_t)snprintf(path, PATH_MAX, "%s/%s", base, given) >= PATH_MAX) return 0;
    return ours(path);
}

static int file_below(int fd, struct stat *status) {
    char path[PATH_MAX];
    if (tape < 0 || fd == tape || fstat(fd, status) || !(S_ISREG(status->st_mode) || S_ISDIR(status->st_mode))) return 0;
    return path_of(fd, path) ? ours(path) : NOT_OURS;
}

static void put(uint32_t kind, uint64_t file, uint64_t number, const char *first, const char *second, const void *data,
                size_t length) {
    struct record record = {kind, first ? strlen(first) : 0, second ? strlen(second) : 0, file, number, length};
    struct iovec parts[] = {{&record, sizeof record},
                            {(void *)first, record.first},
                            {(void *)second, record.second},
                            {(void *)data, length}};
    if (syscall(SYS_writev, tape, parts, 4) < 0) abort();
}

/* Whether a change that takes room is to fail; called with the lock held. */
static int full(void) {
    int64_t number = control->seen++;
    if (number < control->from || number >= control->until) return 0;
    control->failed++;
    errno = ENOSPC;
    return 1;
}

#define LOCKED(statement)              \
    do {                               \
        pthread_mutex_lock(&lock);     \
        statement;                     \
        int kept = errno;              \
        pthread_mutex_unlock(&lock);   \
        errno = kept;                  \
    } while (0)

/* Opening. */

static int opened(int folder, const char *given, int flags, mode_t mode) {
    char path[PATH_MAX];
    struct stat before, after;
    int is_below = absolute(folder, given, path);
    if (!(flags & (O_CREAT | O_TRUNC)) || (flags & O_TMPFILE) == O_TMPFILE || !is_below)
        return syscall(SYS_openat, folder, given, flags, mode);
    int fd = -1;
    LOCKED({
        int was = !fstatat(folder, given, &before, 0);
        if (was || !(flags & O_CREAT) || !full()) fd = syscall(SYS_openat, folder, given, flags, mode);
        if (is_below == RECORDED && fd >= 0 && !fstat(fd, &after) && S_ISREG(after.st_mode)) {
            if (!was) put(CREATE, after.st_ino, after.st_mode & 07777, path, NULL, NULL, 0);
            else if (flags & O_TRUNC) put(TRUNCATE, after.st_ino, 0, NULL, NULL, NULL, 0);
        }
    });
    return fd;
}

#define MODE_ARGUMENT(flags)                                    \
    mode_t mode = 0;                                            \
    if ((flags) & (O_CREAT | O_TMPFILE)) {                      \
        va_list arguments;                                      \
        va_start(arguments, flags);                             \
        mode = va_arg(arguments, mode_t);                       \
        va_end(arguments);                                      \
    }

int open(const char *path, int flags, ...) { MODE_ARGUMENT(flags); return opened(AT_FDCWD, path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE_ARGUMENT(flags); return opened(AT_FDCWD, path, flags, mode); }
int openat(int folder, const char *path, int flags, ...) { MODE_ARGUMENT(flags); return opened(folder, path, flags, mode); }
int openat64(int folder, const char *path, int flags, ...) { MODE_ARGUMENT(flags); return opened(folder, path, flags, mode); }

/* Bytes. */

static ssize_t written(int fd, const void *data, size_t length, off_t offset, int is_at) {
    struct stat status;
    int is_below = file_below(fd, &status);
    if (!is_below)
        return is_at ? syscall(SYS_pwrite64, fd, data, length, offset) : syscall(SYS_write, fd, data, length);
    ssize_t done = -1;
    LOCKED({
        if (!full()) done = is_at ? syscall(SYS_pwrite64, fd, data, length, offset) : syscall(SYS_write, fd, data, length);
        if (is_below == RECORDED && done > 0) {
            off_t begin = is_at ? offset : lseek(fd, 0, SEEK_CUR) - done;
            put(WRITE, status.st_ino, begin, NULL, NULL, data, done);
        }
    });
    return done;
}

ssize_t write(int fd, const void *data, size_t length) { return written(fd, data, length, 0, 0); }
ssize_t pwrite(int fd, const void *data, size_t length, off_t offset) { return written(fd, data, length, offset, 1); }
ssize_t pwrite64(int fd, const void *data, size_t length, off64_t offset) { return written(fd, data, length, offset, 1); }

/* What the kernel copied is read back. */
static void put_copied(int fd, uint64_t file, off_t begin, size_t length) {
    char *data = malloc(length);
    if (!data || pread(fd, data, length, begin) != (ssize_t)length) abort();
    put(WRITE, file, begin, NULL, NULL, data, length);
    free(data);
}

ssize_t copy_file_range(int in, off64_t *from, int out, off64_t *to, size_t length, unsigned flags) {
    struct stat status;
    if (!file_below(out, &status)) return syscall(SYS_copy_file_range, in, from, out, to, length, flags);
    ssize_t done = -1;
    LOCKED({
        if (!full()) done = syscall(SYS_copy_file_range, in, from, out, to, length, flags);
        if (done > 0) put_copied(out, status.st_ino, (to ? *to : lseek(out, 0, SEEK_CUR)) - done, done);
    });
    return done;
}

ssize_t sendfile64(int out, int in, off64_t *from, size_t length) {
    struct stat status;
    if (!file_below(out, &status)) return syscall(SYS_sendfile, out, in, from, length);
    ssize_t done = -1;
    LOCKED({
        if (!full()) done = syscall(SYS_sendfile, out, in, from, length);
        if (done > 0) put_copied(out, status.st_ino, lseek(out, 0, SEEK_CUR) - done, done);
    });
    return done;
}
ssize_t sendfile(int out, int in, off_t *from, size_t length) { return sendfile64(out, in, from, length); }

static int truncated(int fd, off_t length) {
    struct stat status;
    int is_below = file_below(fd, &status), result = -1;
    if (!is_below) return syscall(SYS_ftruncate, fd, length);
    LOCKED({
        if (length <= status.st_size || !full()) result = syscall(SYS_ftruncate, fd, length);
        if (is_below == RECORDED && !result) put(TRUNCATE, status.st_ino, length, NULL, NULL, NULL, 0);
    });
    return result;
}
int ftruncate(int fd, off_t length) { return truncated(fd, length); }
int ftruncate64(int fd, off64_t length) { return truncated(fd, length); }

/* posix_fallocate says what went wrong instead of setting errno. */
int posix_fallocate64(int fd, off64_t offset, off64_t length) {
    struct stat status;
    int is_below = file_below(fd, &status), result = ENOSPC;
    if (!is_below) return NEXT(posix_fallocate64)(fd, offset, length);
    LOCKED({
        if (!full()) result = NEXT(posix_fallocate64)(fd, offset, length);
        if (!result && offset + length > status.st_size) put(TRUNCATE, status.st_ino, offset + length, NULL, NULL, NULL, 0);
    });
    return result;
}
int posix_fallocate(int fd, off_t offset, off_t length) { return posix_fallocate64(fd, offset, length); }

/* Durability. It never fails here: local file systems give room when something is written. */

static int synced(int fd, long call) {
    struct stat status;
    char path[PATH_MAX];
    if (file_below(fd, &status) != RECORDED) return syscall(call, fd);
    int result;
    LOCKED({
        result = syscall(call, fd);
        if (!result && S_ISREG(status.st_mode)) put(SYNC, status.st_ino, 0, NULL, NULL, NULL, 0);
        else if (!result && path_of(fd, path)) put(SYNC_FOLDER, status.st_ino, 0, path, NULL, NULL, 0);
    });
    return result;
}
int fsync(int fd) { return synced(fd, SYS_fsync); }
int fdatasync(int fd) { return synced(fd, SYS_fdatasync); }

/* Names. */

int renameat2(int from_folder, const char *from, int to_folder, const char *to, unsigned flags) {
    char first[PATH_MAX], second[PATH_MAX];
    int is_below = absolute(from_folder, from, first) & absolute(to_folder, to, second), result = -1;
    if (!is_below) return syscall(SYS_renameat2, from_folder, from, to_folder, to, flags);
    LOCKED({
        if (!full()) result = syscall(SYS_renameat2, from_folder, from, to_folder, to, flags);
        if (!result) put(RENAME, 0, 0, first, second, NULL, 0);
    });
    return result;
}
int rename(const char *from, const char *to) { return renameat2(AT_FDCWD, from, AT_FDCWD, to, 0); }
int renameat(int a, const char *from, int b, const char *to) { return renameat2(a, from, b, to, 0); }

int unlinkat(int folder, const char *given, int flags) {
    char path[PATH_MAX];
    if (absolute(folder, given, path) != RECORDED) return syscall(SYS_unlinkat, folder, given, flags);
    int result;
    LOCKED({
        result = syscall(SYS_unlinkat, folder, given, flags);
        if (!result) put(flags & AT_REMOVEDIR ? RMDIR : UNLINK, 0, 0, path, NULL, NULL, 0);
    });
    return result;
}
int unlink(const char *path) { return unlinkat(AT_FDCWD, path, 0); }
int rmdir(const char *path) { return unlinkat(AT_FDCWD, path, AT_REMOVEDIR); }

int mkdirat(int folder, const char *given, mode_t mode) {
    char path[PATH_MAX];
    if (!absolute(folder, given, path)) return syscall(SYS_mkdirat, folder, given, mode);
    int result = -1;
    struct stat status;
    LOCKED({
        int was = !fstatat(folder, given, &status, AT_SYMLINK_NOFOLLOW);
        if (was || !full()) result = syscall(SYS_mkdirat, folder, given, mode);
        if (!result && !fstatat(folder, given, &status, 0)) put(MKDIR, 0, status.st_mode & 07777, path, NULL, NULL, 0);
    });
    return result;
}
int mkdir(const char *path, mode_t mode) { return mkdirat(AT_FDCWD, path, mode); }

int linkat(int from_folder, const char *from, int to_folder, const char *to, int flags) {
    char first[PATH_MAX], second[PATH_MAX];
    int is_below = absolute(from_folder, from, first) & absolute(to_folder, to, second), result = -1;
    if (!is_below) return syscall(SYS_linkat, from_folder, from, to_folder, to, flags);
    LOCKED({
        if (!full()) result = syscall(SYS_linkat, from_folder, from, to_folder, to, flags);
        if (!result) put(LINK, 0, 0, first, second, NULL, 0);
    });
    return result;
}
int link(const char *from, const char *to) { return linkat(AT_FDCWD, from, AT_FDCWD, to, 0); }

int symlinkat(const char *target, int folder, const char *given) {
    char path[PATH_MAX];
    if (!absolute(folder, given, path)) return syscall(SYS_symlinkat, target, folder, given);
    int result = -1;
    LOCKED({
        if (!full()) result = syscall(SYS_symlinkat, target, folder, given);
        if (!result) put(SYMLINK, 0, 0, target, path, NULL, 0);
    });
    return result;
}
int symlink(const char *target, const char *path) { return symlinkat(target, AT_FDCWD, path); }

/* What a file's node says. */

int futimens(int fd, const struct timespec times[2]) {
    struct stat status;
    int is_below = file_below(fd, &status), result;
    if (!is_below || !times) return syscall(SYS_utimensat, fd, NULL, times, 0);
    LOCKED({
        result = syscall(SYS_utimensat, fd, NULL, times, 0);
        if (!result && times[1].tv_nsec != UTIME_OMIT && times[1].tv_nsec != UTIME_NOW)
            put(TOUCH, status.st_ino, times[1].tv_sec * 1000000000ull + times[1].tv_nsec, NULL, NULL, NULL, 0);
    });
    return result;
}

int fchmodat(int folder, const char *given, mode_t mode, int flags) {
    char path[PATH_MAX];
    if (!absolute(folder, given, path)) return NEXT(fchmodat)(folder, given, mode, flags);
    int result;
    LOCKED({
        result = syscall(SYS_fchmodat, folder, given, mode);
        if (!result) put(MODE, 0, mode & 07777, path, NULL, NULL, 0);
    });
    return result;
}
int chmod(const char *path, mode_t mode) { return fchmodat(AT_FDCWD, path, mode, 0); }
