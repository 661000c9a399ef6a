/* A clock that jumps, for a process and its children: cc -shared -fPIC clock.c -o clock.so -ldl; then LD_PRELOAD=clock.so CLOCK_FILE=file.
 *
 * What Python reads as the time of day is moved by the seconds in the file; the monotonic clock is not, as when a real clock is set. Only calls
 * from Python itself are moved: waits of other libraries with an absolute end would compare a moved clock with the kernel's.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static long moved_s(void *caller) {
    Dl_info from;
    if (!dladdr(caller, &from) || !from.dli_fname) return 0;
    const char *last = strrchr(from.dli_fname, '/'), *program = last ? last + 1 : from.dli_fname;
    if (strncmp(program, "python", 6) && strncmp(program, "libpython", 9)) return 0;
    const char *name = getenv("CLOCK_FILE");
    FILE *file = name ? fopen(name, "r") : NULL;
    long seconds = 0;
    if (file) {
        if (fscanf(file, "%ld", &seconds) != 1) seconds = 0;
        fclose(file);
    }
    return seconds;
}

int clock_gettime(clockid_t clock, struct timespec *at) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int failed = real(clock, at);
    if (!failed && clock == CLOCK_REALTIME) at->tv_sec += moved_s(__builtin_return_address(0));
    return failed;
}
