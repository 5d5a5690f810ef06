/* Faults from outside: loaded with LD_PRELOAD into the unchanged binary, it sits between it and the C library.
 *
 * It sorts calls on the store's files and on sockets into named events, counts them, and at an ordered one kills or
 * freezes the process or lets the call fail. It shifts the wall clock. With SHIM_RECORD it keeps what was written and
 * synced, in order, so that a power loss can be played back.
 *
 * Orders and counts are in a page shared with the test: SHIM_PAGE names the file; its layout is struct page.
 * SHIM_STORE is the store's path, SHIM_CLOUD the port of the cloud.
 *
 * An order is one line: EVENT before|after NTH kill|stop|fail|full once|ever TEXT GATE_EVENT GATE_TEXT, "-" for none. It
 * counts calls of EVENT whose bytes hold TEXT, from the moment on when a call of GATE_EVENT held GATE_TEXT. Two lines are
 * two orders, in force side by side.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum event {
  DB_OPEN, DB_READ, DB_WRITE, DB_SYNC, DB_TRUNCATE, WAL_READ, WAL_WRITE, WAL_SYNC, WAL_TRUNCATE, BEGIN,
  FILE_OPEN, FILE_READ, FILE_WRITE, FILE_SYNC, FILE_REMOVE, FILE_STAT,
  CLIENT_RECV, CLIENT_SEND, CLOUD_CONNECT, CLOUD_SEND, CLOUD_RECV,
  ANY_DB, ANY_FILE, ANY_CLIENT, ANY_CLOUD, EVENTS
};
static const char *const NAMES[EVENTS] = {
  "db-open", "db-read", "db-write", "db-sync", "db-truncate", "wal-read", "wal-write", "wal-sync", "wal-truncate",
  "begin", "file-open", "file-read", "file-write", "file-sync", "file-remove", "file-stat", "client-recv",
  "client-send", "cloud-connect", "cloud-send", "cloud-recv", "any-db", "any-file",
  "any-client", "any-cloud"
};
enum kind { NOTHING, DB, WAL, SHM, OTHER, CLIENT, CLOUD };
enum side { BEFORE, AFTER };
enum action { KILL, STOP, FAIL, FULL };

struct page {
  int64_t clock_offset_ms; /* 0: the test's; added to the wall clock */
  uint64_t generation;     /* 8: the test's; a new one means a new order */
  uint64_t fired;          /* 16: how often the order struck */
  uint64_t loaded;         /* 24: 1 once this library is in */
  uint64_t gate_open;      /* 32 */
  uint64_t hits;           /* 40 */
  uint64_t spare[2];
  uint64_t counts[64]; /* 64: calls per event */
  char order[512];     /* 576: the orders, or empty */
};

struct order {
  int armed, event, side, action, ever, gate, open;
  uint64_t nth, hits;
  char text[128], gate_text[128];
};

#define FDS 65536
static unsigned char kinds[FDS];
static char names[FDS][24]; /* base name of a recorded file */
static struct page *page;
#define ORDERS 2
static struct order orders[ORDERS];
static int armed;
static uint64_t generation;
static const char *store;
static int cloud_port, record_fd = -1;
static pthread_mutex_t order_lock = PTHREAD_MUTEX_INITIALIZER, record_lock = PTHREAD_MUTEX_INITIALIZER;

#define REAL(result, name, ...)                                                                                        \
  static result (*real)(__VA_ARGS__);                                                                                  \
  if (!real) real = (result(*)(__VA_ARGS__))dlsym(RTLD_NEXT, #name)

static ssize_t plain_write(int fd, const void *bytes, size_t size) {
  static ssize_t (*real)(int, const void *, size_t);
  if (!real) real = (ssize_t(*)(int, const void *, size_t))dlsym(RTLD_NEXT, "write");
  return real(fd, bytes, size);
}

__attribute__((constructor)) static void begin(void) {
  const char *path = getenv("SHIM_PAGE"), *port = getenv("SHIM_CLOUD"), *record = getenv("SHIM_RECORD");
  static int (*real_open)(const char *, int, ...);
  real_open = (int (*)(const char *, int, ...))dlsym(RTLD_NEXT, "open64");
  store = getenv("SHIM_STORE");
  cloud_port = port ? atoi(port) : 0;
  if (!path) return;
  int fd = real_open(path, O_RDWR | O_CLOEXEC);
  void *mapped = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof(struct page), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (mapped == MAP_FAILED) {
    fprintf(stderr, "shim: cannot map %s\n", path);
    abort();
  }
  page = mapped;
  page->loaded = 1;
  if (record) record_fd = real_open(record, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

/* ---- which file or socket ---- */

static int kind_of(int fd) { return fd >= 0 && fd < FDS ? kinds[fd] : NOTHING; }

static int kind_of_path(const char *path) {
  if (!store) return NOTHING;
  size_t length = strlen(store);
  if (strncmp(path, store, length) == 0) {
    const char *rest = path + length;
    if (!*rest) return DB;
    if (strcmp(rest, "-wal") == 0) return WAL;
    if (strcmp(rest, "-shm") == 0) return SHM;
  }
  const char *slash = strrchr(store, '/');
  size_t folder = slash ? (size_t)(slash - store) + 1 : 0;
  return folder && strncmp(path, store, folder) == 0 && path[folder] ? OTHER : NOTHING;
}

static const char *base(const char *path) {
  const char *slash = strrchr(path, '/');
  return slash ? slash + 1 : path;
}

static void keep(int fd, int kind, const char *path) {
  if (fd < 0 || fd >= FDS) return;
  kinds[fd] = (unsigned char)kind;
  snprintf(names[fd], sizeof names[fd], "%s", path ? base(path) : "");
}

/* ---- record ---- */

/* One record: type, length of the name, offset, size, name, bytes. */
static void record(char type, const char *name, int64_t offset, const void *bytes, uint64_t size) {
  if (record_fd < 0) return;
  uint8_t length = (uint8_t)strlen(name);
  size_t total = 2 + 8 + 8 + length + (bytes ? size : 0);
  char *buffer = malloc(total), *at = buffer;
  *at++ = type;
  *at++ = (char)length;
  memcpy(at, &offset, 8), at += 8;
  memcpy(at, &size, 8), at += 8;
  memcpy(at, name, length), at += length;
  if (bytes) memcpy(at, bytes, size);
  pthread_mutex_lock(&record_lock);
  ssize_t written = plain_write(record_fd, buffer, total);
  pthread_mutex_unlock(&record_lock);
  free(buffer);
  if (written != (ssize_t)total) abort();
}

static int recorded(int fd) {
  int kind = kind_of(fd);
  return record_fd >= 0 && (kind == DB || kind == WAL || kind == OTHER);
}

/* ---- orders ---- */

static int holds(const void *bytes, size_t size, const char *text) {
  return text[0] == '-' || (bytes && memmem(bytes, size, text, strlen(text)) != NULL);
}

static int event_named(const char *name) {
  for (int event = 0; event < EVENTS; event++)
    if (strcmp(NAMES[event], name) == 0) return event;
  return -1;
}

static int group_of(int event) {
  return event <= BEGIN ? ANY_DB : event <= FILE_STAT ? ANY_FILE : event <= CLIENT_SEND ? ANY_CLIENT : ANY_CLOUD;
}

static void read_order(const char *line, struct order *order) {
  char event[32], side[16], action[16], often[16], gate[32];
  unsigned long long nth;
  if (sscanf(line, "%31s %15s %llu %15s %15s %127s %31s %127s", event, side, &nth, action, often, order->text, gate,
             order->gate_text) != 8)
    return;
  order->event = event_named(event);
  order->gate = gate[0] == '-' ? -1 : event_named(gate);
  if (order->event < 0 || (gate[0] != '-' && order->gate < 0)) {
    fprintf(stderr, "shim: unknown event in %s\n", line);
    abort();
  }
  order->side = strcmp(side, "after") == 0 ? AFTER : BEFORE;
  order->action = strcmp(action, "kill") == 0 ? KILL : strcmp(action, "stop") == 0 ? STOP :
    strcmp(action, "full") == 0 ? FULL : FAIL;
  order->ever = strcmp(often, "ever") == 0;
  order->nth = nth;
  order->open = order->gate < 0;
  order->armed = 1;
}

static void take_orders(void) {
  char text[sizeof page->order], *rest = text;
  memset(orders, 0, sizeof orders);
  generation = page->generation;
  snprintf(text, sizeof text, "%s", page->order);
  armed = 0;
  for (int n = 0; n < ORDERS && rest; n++) {
    char *line = strsep(&rest, "\n");
    read_order(line, &orders[n]);
    armed |= orders[n].armed;
  }
}

/* The error that fits the call. */
#define NATURAL -1

/* Counts a call for one order. What is to be done now, or -1. */
static int judge(struct order *order, int event, int side, const void *bytes, size_t size) {
  if (!order->armed) return -1;
  if (!order->open && order->gate == event && holds(bytes, size, order->gate_text)) page->gate_open = order->open = 1;
  int named = order->event == event || order->event == group_of(event);
  if (!named || !order->open || order->side != side || !holds(bytes, size, order->text)) return -1;
  page->hits = ++order->hits;
  if (order->hits != order->nth && !(order->ever && order->hits > order->nth)) return -1;
  page->fired++;
  return order->action;
}

/* Counts a call and carries out an order that speaks of it. Nonzero: the call fails, with this error. */
static int strike(int event, int side, const void *bytes, size_t size) {
  if (!page) return 0;
  int act = -1;
  if (side == BEFORE) {
    __atomic_fetch_add(&page->counts[event], 1, __ATOMIC_RELAXED);
    __atomic_fetch_add(&page->counts[group_of(event)], 1, __ATOMIC_RELAXED);
  }
  if (!armed && page->generation == generation) return 0;
  pthread_mutex_lock(&order_lock);
  if (page->generation != generation) take_orders();
  for (int n = 0; n < ORDERS; n++) {
    int now = judge(&orders[n], event, side, bytes, size);
    if (now == KILL) {
      kill(getpid(), SIGKILL);
      for (;;) pause();
    }
    if (now >= 0) act = now;
  }
  pthread_mutex_unlock(&order_lock);
  // To this very thread: a signal to the process is taken by another one, and until that has a processor this one goes on.
  if (act == STOP) raise(SIGSTOP);
  return act == FAIL ? NATURAL : act == FULL ? ENOSPC : 0;
}

/* Around a call that returns -1 and errno when it fails. */
#define AROUND(event, bytes, size, failure, call)                                                                      \
  do {                                                                                                                 \
    int struck = (event) < 0 ? 0 : strike(event, BEFORE, bytes, size);                                                 \
    if (struck) {                                                                                                      \
      errno = struck == NATURAL ? failure : struck;                                                                    \
      return -1;                                                                                                       \
    }                                                                                                                  \
    result = (call);                                                                                                   \
    if ((event) >= 0) {                                                                                                \
      int kept = errno;                                                                                                \
      struck = strike(event, AFTER, bytes, size);                                                                      \
      if (struck) {                                                                                                    \
        errno = struck == NATURAL ? failure : struck;                                                                  \
        return -1;                                                                                                     \
      }                                                                                                                \
      errno = kept;                                                                                                    \
    }                                                                                                                  \
  } while (0)

static int event_on(int fd, int on_db, int on_wal, int on_other) {
  int kind = kind_of(fd);
  return kind == DB ? on_db : kind == WAL ? on_wal : kind == OTHER ? on_other : -1;
}

/* ---- files ---- */

static int opened(int fd, const char *path, int flags) {
  if (fd < 0) return fd;
  keep(fd, kind_of_path(path), path);
  if (recorded(fd) && (flags & O_TRUNC)) record('T', names[fd], 0, NULL, 0);
  return fd;
}

static int opening(const char *path) {
  int kind = kind_of_path(path);
  return kind == NOTHING ? -1 : kind == OTHER ? FILE_OPEN : DB_OPEN;
}

#define MODE                                                                                                           \
  int mode = 0;                                                                                                        \
  if (flags & (O_CREAT | O_TMPFILE)) {                                                                                 \
    va_list more;                                                                                                      \
    va_start(more, flags);                                                                                             \
    mode = va_arg(more, int);                                                                                          \
    va_end(more);                                                                                                      \
  }

#define OPEN(name)                                                                                                     \
  int name(const char *path, int flags, ...) {                                                                         \
    static int (*real)(const char *, int, ...);                                                                        \
    if (!real) real = (int (*)(const char *, int, ...))dlsym(RTLD_NEXT, #name);                                        \
    MODE int result, event = opening(path);                                                                            \
    AROUND(event, NULL, 0, EIO, opened(real(path, flags, mode), path, flags));                                         \
    return result;                                                                                                     \
  }
OPEN(open)
OPEN(open64)

#define OPENAT(name)                                                                                                   \
  int name(int folder, const char *path, int flags, ...) {                                                             \
    static int (*real)(int, const char *, int, ...);                                                                   \
    if (!real) real = (int (*)(int, const char *, int, ...))dlsym(RTLD_NEXT, #name);                                   \
    MODE int result, event = opening(path);                                                                            \
    AROUND(event, NULL, 0, EIO, opened(real(folder, path, flags, mode), path, flags));                                 \
    return result;                                                                                                     \
  }
OPENAT(openat)
OPENAT(openat64)

int close(int fd) {
  REAL(int, close, int);
  keep(fd, NOTHING, NULL);
  return real(fd);
}

static void wrote(int fd, int64_t offset, const void *bytes, size_t size) {
  if (recorded(fd)) record('W', names[fd], offset, bytes, size);
}

#define PWRITE(name)                                                                                                   \
  ssize_t name(int fd, const void *bytes, size_t size, off_t offset) {                                                 \
    REAL(ssize_t, name, int, const void *, size_t, off_t);                                                             \
    ssize_t result;                                                                                                    \
    int event = event_on(fd, DB_WRITE, WAL_WRITE, FILE_WRITE);                                                         \
    AROUND(event, bytes, size, EIO, (wrote(fd, offset, bytes, size), real(fd, bytes, size, offset)));                  \
    return result;                                                                                                     \
  }
PWRITE(pwrite)
PWRITE(pwrite64)

#define PREAD(name)                                                                                                    \
  ssize_t name(int fd, void *bytes, size_t size, off_t offset) {                                                       \
    REAL(ssize_t, name, int, void *, size_t, off_t);                                                                   \
    ssize_t result;                                                                                                    \
    int event = event_on(fd, DB_READ, WAL_READ, FILE_READ);                                                            \
    AROUND(event, NULL, 0, EIO, real(fd, bytes, size, offset));                                                        \
    return result;                                                                                                     \
  }
PREAD(pread)
PREAD(pread64)

static int synced(int (*real)(int), int fd) {
  if (recorded(fd)) record('s', names[fd], 0, NULL, 0);
  int result = real(fd);
  if (result == 0 && recorded(fd)) record('S', names[fd], 0, NULL, 0);
  return result;
}

#define SYNC(name)                                                                                                     \
  int name(int fd) {                                                                                                   \
    REAL(int, name, int);                                                                                              \
    int result, event = event_on(fd, DB_SYNC, WAL_SYNC, FILE_SYNC);                                                    \
    AROUND(event, NULL, 0, EIO, synced(real, fd));                                                                     \
    return result;                                                                                                     \
  }
SYNC(fsync)
SYNC(fdatasync)

static void cut(int fd, int64_t size) {
  if (recorded(fd)) record('T', names[fd], size, NULL, 0);
}

#define TRUNCATE(name)                                                                                                 \
  int name(int fd, off_t size) {                                                                                       \
    REAL(int, name, int, off_t);                                                                                       \
    int result, event = event_on(fd, DB_TRUNCATE, WAL_TRUNCATE, FILE_WRITE);                                           \
    AROUND(event, NULL, 0, EIO, (cut(fd, size), real(fd, size)));                                                      \
    return result;                                                                                                     \
  }
TRUNCATE(ftruncate)
TRUNCATE(ftruncate64)

static void removed(const char *path) {
  int kind = kind_of_path(path);
  if (kind == DB || kind == WAL || kind == OTHER) record('U', base(path), 0, NULL, 0);
}

int unlink(const char *path) {
  REAL(int, unlink, const char *);
  int kind = kind_of_path(path), result, event = kind == NOTHING ? -1 : kind == OTHER ? FILE_REMOVE : DB_TRUNCATE;
  AROUND(event, NULL, 0, EIO, (removed(path), real(path)));
  return result;
}

/* Open files go on under their new name. */
static int moved(int (*real)(const char *, const char *), const char *from, const char *to) {
  int result = real(from, to);
  if (result != 0 || kind_of_path(to) != OTHER) return result;
  record('M', base(from), 0, base(to), strlen(base(to)));
  for (int fd = 0; fd < FDS; fd++)
    if (kinds[fd] == OTHER && strcmp(names[fd], base(from)) == 0) snprintf(names[fd], sizeof names[fd], "%s", base(to));
  return result;
}

int rename(const char *from, const char *to) {
  REAL(int, rename, const char *, const char *);
  int result, event = kind_of_path(to) == NOTHING ? -1 : FILE_REMOVE;
  AROUND(event, NULL, 0, EIO, moved(real, from, to));
  return result;
}

int statx(int folder, const char *restrict path, int flags, unsigned mask, struct statx *restrict out) {
  REAL(int, statx, int, const char *, int, unsigned, struct statx *);
  int result, event = kind_of_path(path) == OTHER ? FILE_STAT : -1;
  AROUND(event, NULL, 0, EIO, real(folder, path, flags, mask, out));
  return result;
}

/* SQLite takes its write lock, byte 120 of the shared memory file, when a write transaction begins. */
#define FCNTL(name)                                                                                                    \
  int name(int fd, int command, ...) {                                                                                 \
    static int (*real)(int, int, ...);                                                                                 \
    if (!real) real = (int (*)(int, int, ...))dlsym(RTLD_NEXT, #name);                                                 \
    va_list more;                                                                                                      \
    va_start(more, command);                                                                                           \
    void *argument = va_arg(more, void *);                                                                             \
    va_end(more);                                                                                                      \
    int result, event = -1;                                                                                            \
    if (command == F_SETLK && kind_of(fd) == SHM) {                                                                    \
      struct flock *lock = argument;                                                                                   \
      if (lock->l_type == F_WRLCK && lock->l_start == 120 && lock->l_len == 1) event = BEGIN;                          \
    }                                                                                                                  \
    AROUND(event, NULL, 0, EIO, real(fd, command, argument));                                                          \
    return result;                                                                                                     \
  }
FCNTL(fcntl)
FCNTL(fcntl64)

/* ---- sockets, and files that are written where they stand ---- */

int accept4(int fd, struct sockaddr *address, socklen_t *length, int flags) {
  REAL(int, accept4, int, struct sockaddr *, socklen_t *, int);
  int result = real(fd, address, length, flags);
  if (result >= 0) keep(result, CLIENT, NULL);
  return result;
}

int connect(int fd, const struct sockaddr *address, socklen_t length) {
  REAL(int, connect, int, const struct sockaddr *, socklen_t);
  int result, event = -1;
  if (cloud_port && address && address->sa_family == AF_INET &&
      ntohs(((const struct sockaddr_in *)address)->sin_port) == cloud_port) {
    keep(fd, CLOUD, NULL);
    event = CLOUD_CONNECT;
  }
  AROUND(event, NULL, 0, ECONNREFUSED, real(fd, address, length));
  return result;
}

/* An answer that promises, and the request that acts: what a power loss must not outlive. */
static void noted(int fd, const void *bytes, size_t size) {
  if (record_fd < 0) return;
  if (kind_of(fd) == CLIENT && memmem(bytes, size, "\"deliveryId\":\"", 14)) record('A', "", 0, bytes, size);
  if (kind_of(fd) == CLOUD && memmem(bytes, size, "interruptServerInstance", 23)) record('Q', "", 0, bytes, size);
}

static int sending(int fd) {
  int kind = kind_of(fd);
  return kind == CLIENT ? CLIENT_SEND : kind == CLOUD ? CLOUD_SEND : event_on(fd, DB_WRITE, WAL_WRITE, FILE_WRITE);
}

static int receiving(int fd) {
  int kind = kind_of(fd);
  return kind == CLIENT ? CLIENT_RECV : kind == CLOUD ? CLOUD_RECV : event_on(fd, DB_READ, WAL_READ, FILE_READ);
}

static int failure_of(int event) { return event >= CLIENT_RECV ? ECONNRESET : EIO; }

static void wrote_here(int fd, const void *bytes, size_t size) {
  if (recorded(fd)) {
    off_t at = lseek(fd, 0, (fcntl(fd, F_GETFL, NULL) & O_APPEND) ? SEEK_END : SEEK_CUR);
    record('W', names[fd], at, bytes, size);
  }
  noted(fd, bytes, size);
}

ssize_t write(int fd, const void *bytes, size_t size) {
  ssize_t result;
  int event = sending(fd);
  AROUND(event, bytes, size, failure_of(event), (wrote_here(fd, bytes, size), plain_write(fd, bytes, size)));
  return result;
}

ssize_t send(int fd, const void *bytes, size_t size, int flags) {
  REAL(ssize_t, send, int, const void *, size_t, int);
  ssize_t result;
  int event = sending(fd);
  AROUND(event, bytes, size, ECONNRESET, (noted(fd, bytes, size), real(fd, bytes, size, flags)));
  return result;
}

ssize_t sendto(int fd, const void *bytes, size_t size, int flags, const struct sockaddr *to, socklen_t length) {
  REAL(ssize_t, sendto, int, const void *, size_t, int, const struct sockaddr *, socklen_t);
  ssize_t result;
  int event = sending(fd);
  AROUND(event, bytes, size, ECONNRESET, (noted(fd, bytes, size), real(fd, bytes, size, flags, to, length)));
  return result;
}

/* The parts as one piece; to be freed. */
static char *joined(const struct iovec *parts, int count, size_t *size) {
  *size = 0;
  for (int n = 0; n < count; n++) *size += parts[n].iov_len;
  char *bytes = malloc(*size + 1), *at = bytes;
  for (int n = 0; n < count; n++) at = mempcpy(at, parts[n].iov_base, parts[n].iov_len);
  return bytes;
}

static ssize_t written(ssize_t (*real)(int, const struct iovec *, int), int fd, const struct iovec *parts, int count,
                       int event, const char *bytes, size_t size) {
  ssize_t result;
  AROUND(event, bytes, size, failure_of(event), (wrote_here(fd, bytes, size), real(fd, parts, count)));
  return result;
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
  REAL(ssize_t, writev, int, const struct iovec *, int);
  int event = sending(fd);
  if (event < 0) return real(fd, parts, count);
  size_t size;
  char *bytes = joined(parts, count, &size);
  ssize_t result = written(real, fd, parts, count, event, bytes, size);
  int kept = errno;
  free(bytes);
  errno = kept;
  return result;
}

static ssize_t messaged(ssize_t (*real)(int, const struct msghdr *, int), int fd, const struct msghdr *message,
                        int flags, int event, const char *bytes, size_t size) {
  ssize_t result;
  AROUND(event, bytes, size, failure_of(event), (noted(fd, bytes, size), real(fd, message, flags)));
  return result;
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags) {
  REAL(ssize_t, sendmsg, int, const struct msghdr *, int);
  int event = sending(fd);
  if (event < 0) return real(fd, message, flags);
  size_t size;
  char *bytes = joined(message->msg_iov, (int)message->msg_iovlen, &size);
  ssize_t result = messaged(real, fd, message, flags, event, bytes, size);
  int kept = errno;
  free(bytes);
  errno = kept;
  return result;
}

/* Only a call that brought bytes counts: one that found none is no event. */
static ssize_t came(int event, ssize_t result, const void *bytes) {
  if (event < 0 || (result <= 0 && event >= CLIENT_RECV)) return result;
  int kept = errno;
  if (strike(event, BEFORE, NULL, 0) || strike(event, AFTER, bytes, result > 0 ? (size_t)result : 0)) {
    errno = failure_of(event);
    return -1;
  }
  errno = kept;
  return result;
}

ssize_t read(int fd, void *bytes, size_t size) {
  REAL(ssize_t, read, int, void *, size_t);
  return came(receiving(fd), real(fd, bytes, size), bytes);
}

ssize_t recv(int fd, void *bytes, size_t size, int flags) {
  REAL(ssize_t, recv, int, void *, size_t, int);
  return came(receiving(fd), real(fd, bytes, size, flags), bytes);
}

ssize_t recvfrom(int fd, void *bytes, size_t size, int flags, struct sockaddr *from, socklen_t *length) {
  REAL(ssize_t, recvfrom, int, void *, size_t, int, struct sockaddr *, socklen_t *);
  return came(receiving(fd), real(fd, bytes, size, flags, from, length), bytes);
}

ssize_t readv(int fd, const struct iovec *parts, int count) {
  REAL(ssize_t, readv, int, const struct iovec *, int);
  ssize_t result = real(fd, parts, count);
  return came(receiving(fd), result, NULL);
}

ssize_t recvmsg(int fd, struct msghdr *message, int flags) {
  REAL(ssize_t, recvmsg, int, struct msghdr *, int);
  ssize_t result = real(fd, message, flags);
  return came(receiving(fd), result, NULL);
}

/* ---- the wall clock ---- */

int clock_gettime(clockid_t clock, struct timespec *at) {
  REAL(int, clock_gettime, clockid_t, struct timespec *);
  int result = real(clock, at);
  if (result == 0 && page && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) {
    int64_t ms = page->clock_offset_ms;
    at->tv_sec += ms / 1000;
    at->tv_nsec += (ms % 1000) * 1000000;
    if (at->tv_nsec < 0) at->tv_nsec += 1000000000, at->tv_sec--;
    if (at->tv_nsec >= 1000000000) at->tv_nsec -= 1000000000, at->tv_sec++;
  }
  return result;
}

int gettimeofday(struct timeval *restrict at, void *restrict zone) {
  (void)zone;
  struct timespec now;
  int result = clock_gettime(CLOCK_REALTIME, &now);
  at->tv_sec = now.tv_sec;
  at->tv_usec = now.tv_nsec / 1000;
  return result;
}

time_t time(time_t *at) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (at) *at = now.tv_sec;
  return now.tv_sec;
}
