/*
 * Between a program and its files: counts the calls that change what is stored below a directory, and has those fail
 * that it is told to. Preloaded (LD_PRELOAD). What to do stands in a file that the test changes while the program
 * runs: struct control, which disk.rs knows by its offsets.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

/* Some C libraries spell these as macros. */
#undef open64
#undef openat64
#undef pwrite64
#undef ftruncate64

enum kind { WRITE = 1, FLUSH = 2, SIZE = 4, NAME = 8 };

struct control {
    _Atomic uint64_t calls;  /* counted so far */
    _Atomic uint64_t first;  /* number of the first one that fails; 0: none does */
    _Atomic uint64_t count;  /* how many fail from there on */
    _Atomic uint64_t kinds;  /* which are counted */
    _Atomic uint64_t error;  /* errno of those that fail */
    _Atomic uint64_t failed; /* how many have failed */
    _Atomic uint64_t room;   /* bytes by which files may still grow */
    _Atomic uint64_t denied; /* how many found no room */
    char last[256];          /* the one that failed last, in words */
    char only[64];           /* what the names of the files contain whose calls are counted */
};

static struct control *control;
static char below[PATH_MAX];
static size_t below_length;

__attribute__((constructor)) static void start(void)
{
    const char *file = getenv("TEST_FAULTS_CONTROL"), *folder = getenv("TEST_FAULTS_BELOW");
    if (!file || !folder || !realpath(folder, below))
        return;
    below_length = strlen(below);
    int fd = open(file, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return;
    void *map = mmap(NULL, sizeof(struct control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (map != MAP_FAILED)
        control = map;
}

#define REAL(name) ((__typeof__(&name))real(#name))

static void *real(const char *name)
{
    return dlsym(RTLD_NEXT, name);
}

/* Whether a path is below the directory; writes it as an absolute one. */
static int is_below(const char *path, char *full)
{
    if (!control)
        return 0;
    char here[PATH_MAX] = "";
    if (path[0] != '/' && !getcwd(here, sizeof here))
        return 0;
    int length = snprintf(full, PATH_MAX, "%s%s%s", here, here[0] ? "/" : "", path);
    return length > 0 && length < PATH_MAX && !strncmp(full, below, below_length) && full[below_length] == '/';
}

static int fd_is_below(int fd, char *full)
{
    if (!control)
        return 0;
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, full, PATH_MAX - 1);
    if (length <= 0)
        return 0;
    full[length] = 0;
    return !strncmp(full, below, below_length) && full[below_length] == '/';
}

static void note(const char *what, const char *path)
{
    snprintf(control->last, sizeof control->last, "%s %s", what, path + below_length + 1);
}

/* Counts a call; whether it fails, with errno. */
static int fails(enum kind kind, const char *what, const char *path)
{
    if (!(control->kinds & kind) || !strstr(path + below_length, control->only))
        return 0;
    uint64_t call = atomic_fetch_add(&control->calls, 1) + 1, first = control->first;
    if (!first || call < first || call - first >= control->count)
        return 0;
    note(what, path);
    atomic_fetch_add(&control->failed, 1);
    errno = (int)control->error;
    return 1;
}

static void give_back(off_t bytes)
{
    if (bytes > 0 && control->room != UINT64_MAX)
        atomic_fetch_add(&control->room, (uint64_t)bytes);
}

/* The bytes that go with a name; none while there is another one. */
static off_t freed_with(const char *path)
{
    struct stat at;
    return lstat(path, &at) == 0 && S_ISREG(at.st_mode) && at.st_nlink == 1 ? at.st_size : 0;
}

/* How much of a write there is room for: all, some, or nothing, with errno. */
static size_t fitting(int fd, size_t length, off_t at, const char *path)
{
    struct stat now;
    if (control->room == UINT64_MAX || fstat(fd, &now) != 0)
        return length;
    if (at < 0)
        at = fcntl(fd, F_GETFL) & O_APPEND ? now.st_size : lseek(fd, 0, SEEK_CUR);
    off_t end = at + (off_t)length, start = at > now.st_size ? at : now.st_size;
    uint64_t wanted = end > start ? (uint64_t)(end - start) : 0;
    for (;;) {
        uint64_t room = control->room, taken = wanted < room ? wanted : room;
        if (!atomic_compare_exchange_strong(&control->room, &room, room - taken))
            continue;
        size_t fits = length - (size_t)(wanted - taken);
        if (taken < wanted && fits == 0) {
            note("no room to write", path);
            atomic_fetch_add(&control->denied, 1);
            errno = ENOSPC;
        }
        return fits;
    }
}

static ssize_t write_at(int fd, const void *bytes, size_t length, off_t at)
{
    return at < 0 ? REAL(write)(fd, bytes, length) : REAL(pwrite)(fd, bytes, length, at);
}

/* A write that fails has been torn: the first half of it stands. */
static ssize_t put(int fd, const void *bytes, size_t length, off_t at)
{
    char path[PATH_MAX];
    if (!fd_is_below(fd, path))
        return write_at(fd, bytes, length, at);
    if (fails(WRITE, "write", path)) {
        int error = errno;
        if (length > 1)
            (void)!write_at(fd, bytes, length / 2, at);
        errno = error;
        return -1;
    }
    size_t fits = fitting(fd, length, at, path);
    return fits == 0 && length > 0 ? -1 : write_at(fd, bytes, fits, at);
}

ssize_t write(int fd, const void *bytes, size_t length)
{
    return put(fd, bytes, length, -1);
}

ssize_t pwrite(int fd, const void *bytes, size_t length, off_t at)
{
    return put(fd, bytes, length, at);
}

ssize_t pwrite64(int fd, const void *bytes, size_t length, off_t at)
{
    return put(fd, bytes, length, at);
}

ssize_t writev(int fd, const struct iovec *parts, int count)
{
    char path[PATH_MAX];
    if (!fd_is_below(fd, path))
        return REAL(writev)(fd, parts, count);
    /* A short write is one as well. */
    return count > 0 ? put(fd, parts[0].iov_base, parts[0].iov_len, -1) : 0;
}

int fsync(int fd)
{
    char path[PATH_MAX];
    return fd_is_below(fd, path) && fails(FLUSH, "flush", path) ? -1 : REAL(fsync)(fd);
}

int fdatasync(int fd)
{
    char path[PATH_MAX];
    return fd_is_below(fd, path) && fails(FLUSH, "flush", path) ? -1 : REAL(fdatasync)(fd);
}

int ftruncate(int fd, off_t size)
{
    char path[PATH_MAX];
    struct stat before = {0};
    if (fd_is_below(fd, path)) {
        if (fails(SIZE, "resize", path))
            return -1;
        fstat(fd, &before);
    }
    int done = REAL(ftruncate)(fd, size);
    if (done == 0 && before.st_size > size)
        give_back(before.st_size - size);
    return done;
}

int ftruncate64(int fd, off_t size)
{
    return ftruncate(fd, size);
}

/* Of all openings, only those that make or empty a file change anything. */
static int open_at(int directory, const char *path, int flags, mode_t mode)
{
    char full[PATH_MAX];
    if (!(flags & (O_CREAT | O_TRUNC)) || !is_below(path, full))
        return REAL(openat)(directory, path, flags, mode);
    if (flags & O_CREAT && faccessat(directory, path, F_OK, AT_SYMLINK_NOFOLLOW) != 0 && fails(NAME, "make", full))
        return -1;
    off_t freed = flags & O_TRUNC ? freed_with(path) : 0;
    int fd = REAL(openat)(directory, path, flags, mode);
    if (fd >= 0)
        give_back(freed);
    return fd;
}

#define MODE                                                                                                          \
    mode_t mode = 0;                                                                                                  \
    if (flags & O_CREAT || (flags & O_TMPFILE) == O_TMPFILE) {                                                        \
        va_list more;                                                                                                 \
        va_start(more, flags);                                                                                        \
        mode = (mode_t)va_arg(more, int);                                                                             \
        va_end(more);                                                                                                 \
    }

int open(const char *path, int flags, ...)
{
    MODE
    return open_at(AT_FDCWD, path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
    MODE
    return open_at(AT_FDCWD, path, flags | O_LARGEFILE, mode);
}

int openat(int directory, const char *path, int flags, ...)
{
    MODE
    return open_at(directory, path, flags, mode);
}

int openat64(int directory, const char *path, int flags, ...)
{
    MODE
    return open_at(directory, path, flags | O_LARGEFILE, mode);
}

int mkdir(const char *path, mode_t mode)
{
    char full[PATH_MAX];
    return is_below(path, full) && fails(NAME, "make", full) ? -1 : REAL(mkdir)(path, mode);
}

int rename(const char *from, const char *to)
{
    char full[PATH_MAX];
    if (!is_below(to, full))
        return REAL(rename)(from, to);
    if (fails(NAME, "rename to", full))
        return -1;
    off_t freed = freed_with(to);
    int done = REAL(rename)(from, to);
    if (done == 0)
        give_back(freed);
    return done;
}

int link(const char *from, const char *to)
{
    char full[PATH_MAX];
    return is_below(to, full) && fails(NAME, "link", full) ? -1 : REAL(link)(from, to);
}

int linkat(int from_directory, const char *from, int to_directory, const char *to, int flags)
{
    char full[PATH_MAX];
    if (is_below(to, full) && fails(NAME, "link", full))
        return -1;
    return REAL(linkat)(from_directory, from, to_directory, to, flags);
}

static int removing(int directory, const char *path, int flags)
{
    char full[PATH_MAX];
    if (!is_below(path, full))
        return REAL(unlinkat)(directory, path, flags);
    if (fails(NAME, "remove", full))
        return -1;
    off_t freed = freed_with(path);
    int done = REAL(unlinkat)(directory, path, flags);
    if (done == 0)
        give_back(freed);
    return done;
}

int unlink(const char *path)
{
    return removing(AT_FDCWD, path, 0);
}

int unlinkat(int directory, const char *path, int flags)
{
    return removing(directory, path, flags);
}
