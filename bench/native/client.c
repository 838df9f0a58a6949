/* The benchmarks' client: keeps N connections busy from one thread, and measures between two instants.

     client TARGET REQUEST [option...]
       TARGET    127.0.0.1:PORT or the path of a unix socket
       REQUEST   a file with one HTTP request, sent as it is
       -c N      connections               -w S   seconds before measuring      -t S   seconds of measuring
       -i US     pause between an answer and the next request of a connection
       -s US     between the starts of two connections, so that their events do not come all at once
       -p PIDS   "1,2": processes whose processor time is read at the same two instants
       -a        every event counts, not only those that carry the time at which they were sent
       -H        hold: open all streams, say so, keep them until stdin ends

   The result is one JSON object. Times are microseconds; `delay` is from the sending of an event, as it says
   itself, to its arrival here, `gap` is between two events of a stream. */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define HEAD_SIZE 8192
#define SCRATCH (256 * 1024)
#define MOST_PIDS 512
#define PENDING 64 /* connections on their way at once, when thousands are to be held */
#define RETRY_NS 20000000u

enum state { CLOSED, CONNECTING, SENDING, HEAD, BODY, CHUNK_SIZE, CHUNK_DATA, CHUNK_END, TRAILER, PAUSE };

struct conn {
    int fd, line_length, newlines, stamped, in_stamp, seen;
    int pending; /* counted among those that are on their way */
    enum state state;
    size_t sent, head_length, left;
    uint64_t start, asked, previous, stamp;
    char head[HEAD_SIZE + 1];
};

struct series { uint64_t *values; size_t count, room; };

static struct series latency, first_event, gap, delay;
static long requests, events, merged, errors, held, waiting, pending;
static char last_error[128] = "";
static struct { long connections; double warm, run; uint64_t pause_ns, stagger_ns; int all, hold; } option =
    {.connections = 1, .warm = 0.3, .run = 1};
static struct { clockid_t clock; uint64_t before, after; } watched[MOST_PIDS];
static int pids;
static char *request, scratch[SCRATCH];
static size_t request_length;
static union { struct sockaddr any; struct sockaddr_in tcp; struct sockaddr_un local; } target;
static socklen_t target_length;
static int poller, measuring;
static uint64_t now;

static uint64_t read_clock(clockid_t clock) {
    struct timespec time;
    if (clock_gettime(clock, &time)) return 0;
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static void add(struct series *series, uint64_t value) {
    if (!measuring) return;
    if (series->count == series->room) {
        series->room = series->room ? series->room * 2 : 4096;
        series->values = realloc(series->values, series->room * sizeof *series->values);
    }
    series->values[series->count++] = value;
}

static int compare(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static double at(struct series *series, double share) {
    return (double)series->values[(size_t)(share * (double)(series->count - 1) + 0.5)] / 1000;
}

static void print_series(const char *name, struct series *series) {
    if (!series->count) {
        printf(",\"%s\":null", name);
        return;
    }
    qsort(series->values, series->count, sizeof *series->values, compare);
    printf(",\"%s\":{\"count\":%zu,\"p50\":%.1f,\"p90\":%.1f,\"p99\":%.1f,\"max\":%.1f}", name, series->count,
           at(series, .5), at(series, .9), at(series, .99), at(series, 1));
}

static void arrived(struct conn *c) {
    pending -= c->pending;
    c->pending = 0;
}

/* The connection is of no use; it is opened again a little later. */
static void drop(struct conn *c, const char *why) {
    if (why) {
        errors += measuring;
        snprintf(last_error, sizeof last_error, "%s", why);
    }
    if (c->fd >= 0) close(c->fd);
    arrived(c);
    c->fd = -1;
    c->state = CLOSED;
    c->start = now + (why ? RETRY_NS : 0);
    waiting++;
}

static void watch(struct conn *c, int operation, uint32_t what) {
    struct epoll_event event = {.events = what, .data.ptr = c};
    epoll_ctl(poller, operation, c->fd, &event);
}

static void send_request(struct conn *c) {
    if (!c->sent) c->asked = now;
    while (c->sent < request_length) {
        ssize_t done = send(c->fd, request + c->sent, request_length - c->sent, MSG_NOSIGNAL);
        if (done < 0 && errno == EAGAIN) {
            if (c->state != SENDING) watch(c, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT);
            c->state = SENDING;
            return;
        }
        if (done < 0) return drop(c, "the request could not be sent");
        c->sent += (size_t)done;
    }
    if (c->state == SENDING || c->state == CONNECTING) watch(c, EPOLL_CTL_MOD, EPOLLIN);
    c->state = HEAD;
    c->head_length = c->seen = 0;
}

static void connect_again(struct conn *c) {
    int on = 1;
    c->fd = socket(target.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0) return drop(c, strerror(errno));
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    c->state = CONNECTING;
    c->sent = 0;
    c->seen = 0;
    c->pending = 1;
    pending++;
    if (connect(c->fd, &target.any, target_length) && errno != EINPROGRESS) return drop(c, strerror(errno));
    watch(c, EPOLL_CTL_ADD, EPOLLOUT);
}

static void finished(struct conn *c) {
    if (measuring) requests++;
    add(&latency, now - c->asked);
    c->sent = 0;
    if (!option.pause_ns) return send_request(c);
    c->state = PAUSE;
    c->start = now + option.pause_ns;
    waiting++;
}

static void event(struct conn *c) {
    if (!c->seen) {
        add(&first_event, now - c->asked);
        held++;
        arrived(c);
    } else {
        add(&gap, now - c->previous);
        if (measuring) merged += c->previous == now;
    }
    if (c->stamped) add(&delay, now > c->stamp ? now - c->stamp : 0);
    c->seen = 1;
    c->previous = now;
    if (measuring) events++;
}

/* Looks for events, which may arrive in any pieces: they end with an empty line. */
static void body(struct conn *c, const char *data, size_t length) {
    for (size_t i = 0; i < length; i++) {
        char byte = data[i];
        if (byte == '@') {
            c->in_stamp = 1;
            c->stamp = 0;
        } else if (c->in_stamp && byte >= '0' && byte <= '9') {
            c->stamp = c->stamp * 10 + (uint64_t)(byte - '0');
        } else if (c->in_stamp) {
            c->in_stamp = 0;
            c->stamped = 1;
        }
        if (byte == '\n' && ++c->newlines == 2) {
            if (c->stamped || option.all) event(c);
            c->stamped = c->newlines = 0;
        } else if (byte != '\n' && byte != '\r') {
            c->newlines = 0;
        }
    }
}

/* Where the head ends in what has come, or 0; the connection is dropped when it says anything but 200. */
static size_t read_head(struct conn *c, const char *data, size_t length) {
    size_t before = c->head_length, part = length < HEAD_SIZE - before ? length : HEAD_SIZE - before;
    memcpy(c->head + before, data, part);
    c->head_length += part;
    c->head[c->head_length] = 0;
    char *end = strstr(c->head, "\r\n\r\n");
    if (!end) return c->head_length == HEAD_SIZE ? (drop(c, "a head too long"), 0) : 0;
    end[2] = 0;
    if (strncmp(c->head + 8, " 200", 4)) {
        char line[64];
        snprintf(line, sizeof line, "%.*s", (int)strcspn(c->head, "\r"), c->head);
        return drop(c, line), 0;
    }
    char *announced = strcasestr(c->head, "\r\ncontent-length:");
    char *encoding = strcasestr(c->head, "\r\ntransfer-encoding:");
    c->state = encoding ? CHUNK_SIZE : BODY;
    c->left = announced && !encoding ? strtoull(announced + 17, NULL, 10) : 0;
    c->newlines = c->stamped = c->in_stamp = 0;
    return (size_t)(end + 4 - c->head) - before;
}

static void feed(struct conn *c, const char *data, size_t length) {
    if (c->state == HEAD) {
        size_t used = read_head(c, data, length);
        if (!used) return;
        data += used;
        length -= used;
        if (c->state == BODY && !c->left) return finished(c);
    }
    for (size_t i = 0; i < length;) {
        size_t part = length - i < c->left ? length - i : c->left;
        switch (c->state) {
        case BODY:
            c->left -= part;
            if (!c->left) return finished(c);
            return;
        case CHUNK_SIZE:
            if (data[i] == '\n') {
                c->line_length = 0;
                c->state = c->left ? CHUNK_DATA : TRAILER;
            } else if (data[i] != '\r') {
                c->left = c->left * 16 + (size_t)(data[i] <= '9' ? data[i] - '0' : (data[i] | 32) - 'a' + 10);
            }
            i++;
            break;
        case CHUNK_DATA:
            body(c, data + i, part);
            i += part;
            if (!(c->left -= part)) c->state = CHUNK_END;
            break;
        case CHUNK_END:
            if (data[i++] == '\n') c->state = CHUNK_SIZE;
            break;
        case TRAILER:
            if (data[i] == '\n' && !c->line_length) return finished(c);
            if (data[i] == '\n') c->line_length = 0;
            else if (data[i] != '\r') c->line_length++;
            i++;
            break;
        default: return drop(c, "more than an answer");
        }
    }
}

static void ready(struct conn *c, uint32_t what) {
    if (c->state == CLOSED) return;
    if (c->state == CONNECTING || (c->state == SENDING && what & EPOLLOUT)) {
        int error = 0;
        socklen_t length = sizeof error;
        getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &length);
        if (error) return drop(c, strerror(error));
        return send_request(c);
    }
    ssize_t length = recv(c->fd, scratch, sizeof scratch, 0);
    now = read_clock(CLOCK_MONOTONIC);
    if (length > 0) feed(c, scratch, (size_t)length);
    else if (length == 0) drop(c, c->state == PAUSE || (c->state == HEAD && !c->head_length) ? "closed before an answer" : "closed within an answer");
    else if (errno != EAGAIN) drop(c, strerror(errno));
}

/* Start what waits for its time; when the next one is due. */
static uint64_t start_waiting(struct conn *conns) {
    uint64_t next = now + 100000000u;
    for (long i = 0; i < option.connections && waiting; i++) {
        struct conn *c = &conns[i];
        if (c->state != CLOSED && c->state != PAUSE) continue;
        if (c->start > now) {
            next = c->start < next ? c->start : next;
        } else if (!option.hold || pending < PENDING) {
            waiting--;
            if (c->state == PAUSE) send_request(c);
            else connect_again(c);
        }
    }
    return next;
}

static void read_cpu(int after) {
    for (int i = 0; i < pids; i++) {
        uint64_t value = read_clock(watched[i].clock);
        if (after) watched[i].after = value;
        else watched[i].before = value;
    }
}

static void set_target(const char *text) {
    const char *colon = strrchr(text, ':');
    if (*text == '/') {
        target.local.sun_family = AF_UNIX;
        snprintf(target.local.sun_path, sizeof target.local.sun_path, "%s", text);
        target_length = sizeof target.local;
    } else if (colon) {
        target.tcp.sin_family = AF_INET;
        target.tcp.sin_port = htons((uint16_t)atoi(colon + 1));
        target.tcp.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        target_length = sizeof target.tcp;
    }
}

static void load_request(const char *path) {
    FILE *file = fopen(path, "r");
    if (!file || fseek(file, 0, SEEK_END)) exit((perror(path), 1));
    request_length = (size_t)ftell(file);
    rewind(file);
    request = malloc(request_length);
    if (fread(request, 1, request_length, file) != request_length) exit((perror(path), 1));
    fclose(file);
}

/* A process's own clock counts what all its threads have used, those that have ended included. */
static void watch_pids(char *list) {
    for (char *word = strtok(list, ","); word && pids < MOST_PIDS; word = strtok(NULL, ","))
        watched[pids++].clock = (clockid_t)(~(unsigned)atoi(word) << 3 | 2);
}

static void read_options(int argc, char **argv) {
    for (int letter; (letter = getopt(argc, argv, "c:w:t:i:s:p:aH")) != -1;) {
        switch (letter) {
        case 'c': option.connections = atol(optarg); break;
        case 'w': option.warm = atof(optarg); break;
        case 't': option.run = atof(optarg); break;
        case 'i': option.pause_ns = strtoull(optarg, NULL, 10) * 1000; break;
        case 's': option.stagger_ns = strtoull(optarg, NULL, 10) * 1000; break;
        case 'p': watch_pids(optarg); break;
        case 'a': option.all = 1; break;
        case 'H': option.hold = 1; break;
        default: exit(2);
        }
    }
    if (argc - optind < 2) exit((fputs("usage: client [option...] TARGET REQUEST\n", stderr), 2));
    set_target(argv[optind]);
    load_request(argv[optind + 1]);
}

static void turn(struct conn *conns, uint64_t until) {
    struct epoll_event found[256];
    uint64_t next = start_waiting(conns);
    next = next < until ? next : until;
    struct timespec wait = {.tv_nsec = next > now ? (long)(next - now) : 0};
    int count = epoll_pwait2(poller, found, 256, &wait, NULL);
    now = read_clock(CLOCK_MONOTONIC);
    for (int i = 0; i < count; i++) ready(found[i].data.ptr, found[i].events);
}

static void hold(struct conn *conns, uint64_t until) {
    struct pollfd input = {.fd = 0, .events = POLLIN};
    while (held < option.connections && now < until) turn(conns, until);
    printf("{\"held\":%ld,\"error\":\"%s\"}\n", held, last_error);
    fflush(stdout);
    poll(&input, 1, -1);
}

static void measure(struct conn *conns) {
    uint64_t begin = now + (uint64_t)(option.warm * 1e9);
    while (now < begin) turn(conns, begin);
    read_cpu(0);
    measuring = 1;
    begin = now; /* later than it was to be, where the machine had something else to do */
    uint64_t end = begin + (uint64_t)(option.run * 1e9);
    while (now < end) turn(conns, end);
    measuring = 0;
    read_cpu(1);
    printf("{\"seconds\":%.6f,\"requests\":%ld,\"events\":%ld,\"merged\":%ld,\"errors\":%ld,\"error\":\"%s\",\"cpu_us\":[",
           (double)(now - begin) / 1e9, requests, events, merged, errors, last_error);
    for (int i = 0; i < pids; i++) printf("%s%.1f", i ? "," : "", (double)(watched[i].after - watched[i].before) / 1000);
    printf("]");
    print_series("latency", &latency);
    print_series("first", &first_event);
    print_series("gap", &gap);
    print_series("delay", &delay);
    printf("}\n");
}

int main(int argc, char **argv) {
    read_options(argc, argv);
    poller = epoll_create1(EPOLL_CLOEXEC);
    struct conn *conns = calloc((size_t)option.connections, sizeof *conns);
    now = read_clock(CLOCK_MONOTONIC);
    for (long i = 0; i < option.connections; i++) {
        conns[i].fd = -1;
        conns[i].start = now + option.stagger_ns * (uint64_t)i;
    }
    waiting = option.connections;
    if (option.hold) hold(conns, now + (uint64_t)(option.run * 1e9));
    else measure(conns);
    return 0;
}
