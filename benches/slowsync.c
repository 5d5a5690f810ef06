// A disk whose flush is slow, as a cloud's is: waits SLOW_FSYNC_US before every fsync and fdatasync. With SLOW_FSYNC_FROM the
// microseconds are read anew from a file before each of them, so that a disk can get worse while it is used.
// cc -O2 -shared -fPIC -o slowsync.so benches/slowsync.c -ldl; LD_PRELOAD=./slowsync.so SLOW_FSYNC_US=2000 PROGRAM
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

typedef int (*flush_fn)(int);

static long wait_us;
static const char *wait_from;
static flush_fn next_fsync, next_fdatasync;

__attribute__((constructor)) static void set_up(void) {
  const char *text = getenv("SLOW_FSYNC_US");
  wait_us = text ? atol(text) : 0;
  wait_from = getenv("SLOW_FSYNC_FROM");
  next_fsync = (flush_fn)dlsym(RTLD_NEXT, "fsync");
  next_fdatasync = (flush_fn)dlsym(RTLD_NEXT, "fdatasync");
}

// A file that is being written reads as empty: then the wait of before holds.
static long wait_now(void) {
  char text[24];
  int file = wait_from ? open(wait_from, O_RDONLY | O_CLOEXEC) : -1;
  if (file >= 0) {
    ssize_t length = read(file, text, sizeof text - 1);
    close(file);
    if (length > 0) {
      text[length] = 0;
      wait_us = atol(text);
    }
  }
  return wait_us;
}

static void wait_for_the_disk(void) {
  long us = wait_now();
  struct timespec left = {us / 1000000, (us % 1000000) * 1000};
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
