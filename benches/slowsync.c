// A disk whose flush is slow, as a cloud's is: waits SLOW_FSYNC_US before every fsync and fdatasync.
// cc -O2 -shared -fPIC -o slowsync.so benches/slowsync.c -ldl; LD_PRELOAD=./slowsync.so SLOW_FSYNC_US=2000 PROGRAM
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>

typedef int (*flush_fn)(int);

static long wait_us;
static flush_fn next_fsync, next_fdatasync;

__attribute__((constructor)) static void set_up(void) {
  const char *text = getenv("SLOW_FSYNC_US");
  wait_us = text ? atol(text) : 0;
  next_fsync = (flush_fn)dlsym(RTLD_NEXT, "fsync");
  next_fdatasync = (flush_fn)dlsym(RTLD_NEXT, "fdatasync");
}

static void wait_for_the_disk(void) {
  struct timespec left = {wait_us / 1000000, (wait_us % 1000000) * 1000};
  while (left.tv_sec + left.tv_nsec > 0 && nanosleep(&left, &left) != 0) {
  }
}

int fsync(int file) {
  wait_for_the_disk();
  return next_fsync(file);
}

int fdatasync(int file) {
  wait_for_the_disk();
  return next_fdatasync(file);
}
