/* The benchmarks' upstream: one thread that answers chat completions, whole or as an event stream, as cheaply
   as it can, so that what is measured is what stands before it.

     mock [--port PORT] [--uds PATH]      other arguments are ignored: it can stand in the engine's place

     POST (anything)   an event stream where the body has "stream": true, else one JSON answer
     GET  /_set?interval_us=20000&events=50&answer_bytes=600     how it answers from now on
     GET  /_stats      what has happened so far
     GET  (anything)   a list of models

   Each event carries the time at which it was written, as "@nanoseconds" of the monotonic clock. */

#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define KEPT 16384 /* of a request: its head, and enough of the body to find "stream" */
#define SCRATCH (256 * 1024)

enum state { HEAD, BODY, CHUNK_SIZE, CHUNK_DATA, CHUNK_END, TRAILER, ANSWER, STREAM };

struct conn {
    int fd;
    enum state state;
    size_t kept, head_length, body_left, body_length;
    int line_length;       /* of the trailer's current line */
    int blocked;           /* the socket took no more */
    const char *out;       /* what is still to be written of an answer */
    size_t out_left;
    int events_left;
    uint64_t due;          /* when its next event is */
    struct conn *earlier, *later; /* the streams, by their time */
    char data[KEPT + 1];
};

static struct { uint64_t interval_ns; int events; size_t answer_bytes; } settings = {20000000, 50, 600};
static struct { long requests, connections, open, streams, aborted, cut; } stats;
static struct conn *first, *last; /* of the streams that wait for their time */
static int poller, timer;
static char scratch[SCRATCH], *answer;
static size_t answer_length, answer_usage; /* the offset of a number in it */

static uint64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void fail(const char *what) { perror(what); exit(1); }

/* The JSON answer, made once; the length of the request's body is written into it each time. It stands early,
   so that it has left before another answer can change it. */
static void make_answer(void) {
    const char *form = "HTTP/1.1 200 OK\r\ndate: Sat, 01 Nov 2025 00:00:00 GMT\r\nserver: uvicorn\r\n"
                       "content-length: %zu\r\ncontent-type: application/json\r\n\r\n%s%s%s";
    const char *begin = "{\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion\",\"created\":1700000000,"
                        "\"model\":\"bench\",\"usage\":{\"prompt_tokens\":          0,\"completion_tokens\":1,"
                        "\"total_tokens\":1},\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\","
                        "\"content\":\"";
    const char *end = "\",\"refusal\":null},\"logprobs\":null,\"finish_reason\":\"stop\"}]}";
    size_t fixed = strlen(begin) + strlen(end);
    size_t padding = settings.answer_bytes > fixed ? settings.answer_bytes - fixed : 0;
    char *text = malloc(padding + 1);
    memset(text, 'a', padding);
    text[padding] = 0;
    free(answer);
    answer_length = (size_t)asprintf(&answer, form, fixed + padding, begin, text, end);
    answer_usage = (size_t)(strstr(answer, "prompt_tokens\":") - answer) + 15;
    free(text);
}

static void arm(void) {
    struct itimerspec when = {0};
    if (first) {
        when.it_value.tv_sec = (time_t)(first->due / 1000000000u);
        when.it_value.tv_nsec = (long)(first->due % 1000000000u) | 1; /* zero would disarm it */
    }
    timerfd_settime(timer, TFD_TIMER_ABSTIME, &when, NULL);
}

/* All streams have one interval, so a stream's place is nearly always at the end. */
static void enqueue(struct conn *c) {
    struct conn *before = last;
    while (before && before->due > c->due) before = before->earlier;
    c->earlier = before;
    c->later = before ? before->later : first;
    *(c->later ? &c->later->earlier : &last) = c;
    *(before ? &before->later : &first) = c;
}

static void dequeue(struct conn *c) {
    *(c->later ? &c->later->earlier : &last) = c->earlier;
    *(c->earlier ? &c->earlier->later : &first) = c->later;
}

static void close_conn(struct conn *c) {
    if (c->state == STREAM) {
        dequeue(c);
        stats.streams--;
        stats.aborted++;
    }
    close(c->fd);
    stats.open--;
    free(c);
}

static void next_request(struct conn *c) {
    c->state = HEAD;
    c->kept = 0;
}

static void watch(struct conn *c, int operation, uint32_t more) {
    struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP | more, .data.ptr = c};
    epoll_ctl(poller, operation, c->fd, &event);
    c->blocked = more != 0;
}

/* Write what is left of an answer; 0 when the connection is gone. */
static int flush(struct conn *c) {
    while (c->out_left) {
        ssize_t done = send(c->fd, c->out, c->out_left, MSG_NOSIGNAL);
        if (done < 0) {
            if (errno != EAGAIN) return close_conn(c), 0;
            if (!c->blocked) watch(c, EPOLL_CTL_MOD, EPOLLOUT);
            return 1;
        }
        c->out += done;
        c->out_left -= (size_t)done;
    }
    if (c->blocked) watch(c, EPOLL_CTL_MOD, 0);
    next_request(c);
    return 1;
}

static int send_all(struct conn *c, const char *text, size_t length) {
    if (send(c->fd, text, length, MSG_NOSIGNAL) == (ssize_t)length) return 1;
    stats.cut += errno == EAGAIN; /* nobody reads there */
    close_conn(c);
    return 0;
}

/* One event as one chunk, or the last event and the end; 0 when the connection is gone. */
static int send_event(struct conn *c) {
    static const char *form =
        "data: {\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,\"model\":"
        "\"bench\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"@%020llu \"},\"logprobs\":null,"
        "\"finish_reason\":null}]}\n\n";
    static const char *end =
        "%zx\r\n%s\r\ne\r\ndata: [DONE]\n\n\r\n0\r\n\r\n";
    static const char *finish =
        "data: {\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,\"model\":"
        "\"bench\",\"choices\":[{\"index\":0,\"delta\":{},\"logprobs\":null,\"finish_reason\":\"stop\"}]}\n\n";
    char event[512], chunk[640];
    if (c->events_left-- > 0) {
        int length = snprintf(event, sizeof event, form, (unsigned long long)now_ns());
        length = snprintf(chunk, sizeof chunk, "%x\r\n%s\r\n", (unsigned)length, event);
        return send_all(c, chunk, (size_t)length);
    }
    dequeue(c);
    stats.streams--;
    next_request(c);
    return send_all(c, chunk, (size_t)snprintf(chunk, sizeof chunk, end, strlen(finish), finish));
}

static void start_stream(struct conn *c) {
    static const char head[] =
        "HTTP/1.1 200 OK\r\ndate: Sat, 01 Nov 2025 00:00:00 GMT\r\nserver: uvicorn\r\n"
        "content-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n";
    c->state = STREAM;
    c->events_left = settings.events;
    c->due = now_ns() + settings.interval_ns;
    stats.streams++;
    enqueue(c);
    if (send_all(c, head, sizeof head - 1) && send_event(c)) arm();
}

static size_t parameter(const char *query, const char *name, size_t otherwise) {
    const char *found = strstr(query, name);
    return found ? strtoull(found + strlen(name), NULL, 10) : otherwise;
}

/* GET: management, or something that looks like what routers ask an engine for. */
static int answer_get(struct conn *c) {
    static char text[1024];
    char body[600];
    const char *path = c->data + 4;
    int length = snprintf(body, sizeof body, "{\"object\":\"list\",\"data\":[{\"id\":\"bench\",\"object\":\"model\"}]}");
    if (!strncmp(path, "/_set?", 6)) {
        settings.interval_ns = parameter(path, "interval_us=", settings.interval_ns / 1000) * 1000;
        settings.events = (int)parameter(path, "events=", (size_t)settings.events);
        settings.answer_bytes = parameter(path, "answer_bytes=", settings.answer_bytes);
        make_answer();
    } else if (!strncmp(path, "/_stats", 7)) {
        length = snprintf(body, sizeof body,
            "{\"requests\":%ld,\"connections\":%ld,\"open\":%ld,\"streams\":%ld,\"aborted\":%ld,\"cut\":%ld}",
            stats.requests, stats.connections, stats.open, stats.streams, stats.aborted, stats.cut);
    }
    c->out = text;
    c->out_left = (size_t)snprintf(text, sizeof text,
        "HTTP/1.1 200 OK\r\ncontent-length: %d\r\ncontent-type: application/json\r\n\r\n%s", length, body);
    c->state = ANSWER;
    return flush(c);
}

/* The request is complete; 0 when the connection is gone. */
static int respond(struct conn *c) {
    c->data[c->kept] = 0;
    if (!strncmp(c->data, "GET ", 4)) return answer_get(c);
    stats.requests++;
    const char *body = c->data + c->head_length;
    size_t length = c->kept - c->head_length;
    if (memmem(body, length, "\"stream\":true", 13) || memmem(body, length, "\"stream\": true", 14)) {
        start_stream(c);
        return 0; /* perhaps gone already: not to be touched again in this turn */
    }
    char digits[24];
    snprintf(digits, sizeof digits, "%11zu", c->body_length);
    memcpy(answer + answer_usage, digits, 11);
    c->out = answer;
    c->out_left = answer_length;
    c->state = ANSWER;
    return flush(c);
}

static const char *header(struct conn *c, const char *name) {
    const char *found = strcasestr(c->data, name);
    return found && found < c->data + c->head_length ? found + strlen(name) : NULL;
}

static void keep(struct conn *c, const char *data, size_t length) {
    size_t room = KEPT - c->kept;
    length = length < room ? length : room;
    memcpy(c->data + c->kept, data, length);
    c->kept += length;
    c->data[c->kept] = 0;
}

/* The head may have come to its end; how many of these bytes belong to it, -1 for nonsense. */
static ssize_t read_head(struct conn *c, const char *data, size_t length) {
    size_t before = c->kept;
    keep(c, data, length);
    char *end = memmem(c->data, c->kept, "\r\n\r\n", 4);
    if (!end) return c->kept == KEPT ? -1 : (ssize_t)length;
    c->head_length = (size_t)(end + 4 - c->data);
    c->kept = c->head_length;
    const char *announced = header(c, "\r\ncontent-length:");
    c->body_length = c->body_left = announced ? strtoull(announced, NULL, 10) : 0;
    const char *encoding = header(c, "\r\ntransfer-encoding:");
    c->state = encoding && strcasestr(encoding, "chunked") ? CHUNK_SIZE : BODY;
    return (ssize_t)(c->head_length - before);
}

static void read_chunk_size(struct conn *c, char byte) {
    if (byte == '\n') {
        c->line_length = 0;
        c->state = c->body_left ? CHUNK_DATA : TRAILER;
    } else if (strchr("0123456789abcdefABCDEF", byte) && byte) {
        c->body_left = c->body_left * 16 + (size_t)(byte <= '9' ? byte - '0' : (byte | 32) - 'a' + 10);
    }
}

/* What has come of a request; 0 when the connection is gone or is a stream now. */
static int feed(struct conn *c, const char *data, size_t length) {
    for (size_t at = 0; at < length || (c->state == BODY && !c->body_left);) {
        size_t part = length - at < c->body_left ? length - at : c->body_left;
        switch (c->state) {
        case HEAD: {
            ssize_t used = read_head(c, data + at, length - at);
            if (used < 0) return close_conn(c), 0;
            at += (size_t)used;
            break;
        }
        case BODY:
            keep(c, data + at, part);
            at += part;
            if (!(c->body_left -= part)) return respond(c);
            break;
        case CHUNK_SIZE: read_chunk_size(c, data[at++]); break;
        case CHUNK_DATA:
            keep(c, data + at, part);
            at += part;
            c->body_length += part;
            if (!(c->body_left -= part)) c->state = CHUNK_END;
            break;
        case CHUNK_END:
            if (data[at++] == '\n') c->state = CHUNK_SIZE;
            break;
        case TRAILER:
            if (data[at] == '\n' && !c->line_length) return respond(c);
            if (data[at] == '\n') c->line_length = 0;
            else if (data[at] != '\r') c->line_length++;
            at++;
            break;
        default: return 1; /* nobody here sends a request before the answer to the one before */
        }
    }
    return 1;
}

static void readable(struct conn *c) {
    ssize_t length = recv(c->fd, scratch, sizeof scratch, 0);
    if (length > 0) feed(c, scratch, (size_t)length);
    else if (length == 0 || errno != EAGAIN) close_conn(c);
}

static void accept_all(int listener) {
    int fd, on = 1;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); /* fails on a unix socket, which has no need */
        struct conn *c = malloc(sizeof *c);
        memset(c, 0, offsetof(struct conn, data));
        c->fd = fd;
        watch(c, EPOLL_CTL_ADD, 0);
        stats.connections++;
        stats.open++;
    }
}

static void send_due(void) {
    uint64_t count, now = now_ns();
    if (read(timer, &count, sizeof count) < 0) return;
    while (first && first->due <= now) {
        struct conn *c = first;
        if (!c->events_left) {
            send_event(c);
            continue;
        }
        dequeue(c);
        c->due += settings.interval_ns;
        enqueue(c);
        send_event(c);
    }
    arm();
}

static int listen_on(int fd, const void *address, socklen_t length) {
    if (bind(fd, address, length) || listen(fd, 4096)) fail("mock: cannot listen");
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = memcpy(malloc(sizeof fd), &fd, sizeof fd)};
    epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event);
    return fd;
}

static int listen_tcp(int port) {
    int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    return listen_on(fd, &address, sizeof address);
}

static int listen_unix(const char *path) {
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    unlink(path);
    return listen_on(fd, &address, sizeof address);
}

int main(int argc, char **argv) {
    int tcp = -1, local = -1;
    poller = epoll_create1(EPOLL_CLOEXEC);
    timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    struct epoll_event ready[256], event = {.events = EPOLLIN, .data.ptr = NULL};
    epoll_ctl(poller, EPOLL_CTL_ADD, timer, &event);
    for (int i = 1; i + 1 < argc; i++) {
        if (!strcmp(argv[i], "--port")) tcp = listen_tcp(atoi(argv[i + 1]));
        if (!strcmp(argv[i], "--uds")) local = listen_unix(argv[i + 1]);
    }
    make_answer();
    for (;;) {
        int due = 0, count = epoll_wait(poller, ready, 256, -1);
        for (int i = 0; i < count; i++) {
            struct conn *c = ready[i].data.ptr;
            if (!c) due = 1; /* after the others, for it may close connections that are among them */
            else if (c->fd == tcp || c->fd == local) accept_all(c->fd);
            else if (c->state == ANSWER && ready[i].events & EPOLLOUT) flush(c);
            else readable(c);
        }
        if (due) send_due();
    }
}
