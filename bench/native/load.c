/* Closed-loop load of signed webhooks: CONNECTIONS keep-alive connections, each sends its next delivery as soon as the
 * last one was answered. One thread, epoll.
 *
 *     load PORT PATH CONNECTIONS SECONDS WARM_SECONDS DELIVERIES TEMPLATE SECRET
 *
 * Every delivery is another one: session, comment, issue and delivery id differ, the timestamp is fresh, and the HMAC
 * is its own. All are made and signed before the first is sent. When they are used up the run ends, so that no delivery
 * is ever sent twice ("used_up": true); the rate is over the time until then.
 * Result: one line of JSON; latencies in milliseconds, of deliveries sent after the warm-up.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BUCKETS 400000 /* of 10 microseconds: up to 4 s */
#define REPLY_SIZE 65536
#define SESSION_MARK "SSSSSSSS-SSSS-4SSS-8SSS-SSSSSSSSSSSS"
#define COMMENT_MARK "CCCCCCCC-CCCC-4CCC-8CCC-CCCCCCCCCCCC"
#define ISSUE_MARK "IIIIIIII-IIII-4III-8III-IIIIIIIIIIII"
#define TIME_MARK "1234567890123"

typedef unsigned long long u64;

typedef struct {
    char *bytes;
    size_t length;
} Request;

typedef struct {
    int fd;
    u64 began;
    const Request *request;
    size_t sent;
    char reply[REPLY_SIZE];
    int received;
    int expected; /* bytes of the whole reply, -1 while its header is not complete */
    int status;
    int closing;
} Connection;

static Request *requests;
static long deliveries, next_delivery;
static int poller, recording, exhausted;
static struct sockaddr_in address;
static u64 recording_since, acknowledged, counted, refused, broken, slowest;
static unsigned histogram[BUCKETS + 1];

static u64 now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000ull + t.tv_nsec;
}

static void fail(const char *what) {
    perror(what);
    exit(2);
}

/* ── making the deliveries ──────────────────────────────────────────────────────────────────────────────────────── */
static void write_uuid(char *out, char kind, u64 number) {
    char text[40];
    snprintf(text, sizeof text, "%c%07llx-0000-4000-8000-%012llx", kind, (number >> 48) & 0xfffffff,
             number & 0xffffffffffffull);
    memcpy(out, text, 36);
}

static void replace_all(char *body, const char *mark, const char *with) {
    size_t length = strlen(mark);
    for (char *at = body; (at = strstr(at, mark)); at += length) memcpy(at, with, length);
}

static Request make_request(const char *template, size_t length, u64 number, const char *stamp, const char *secret,
                            const char *path, int port) {
    char session[37] = {0}, comment[37] = {0}, issue[37] = {0}, delivery[37] = {0}, hex[65];
    write_uuid(session, '1', number);
    write_uuid(comment, '2', number);
    write_uuid(issue, '3', number);
    write_uuid(delivery, '4', number);
    char *body = malloc(length + 1);
    memcpy(body, template, length + 1);
    replace_all(body, SESSION_MARK, session);
    replace_all(body, COMMENT_MARK, comment);
    replace_all(body, ISSUE_MARK, issue);
    replace_all(body, TIME_MARK, stamp);
    unsigned char mac[32];
    unsigned mac_length;
    HMAC(EVP_sha256(), secret, strlen(secret), (unsigned char *)body, length, mac, &mac_length);
    for (int i = 0; i < 32; i++) sprintf(hex + 2 * i, "%02x", mac[i]);
    Request made = {.bytes = malloc(length + 800)};
    int head = sprintf(made.bytes,
                       "POST %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUser-Agent: Linear-Webhook\r\n"
                       "Accept-Encoding: gzip, deflate, br\r\nContent-Type: application/json; charset=utf-8\r\n"
                       "Content-Length: %zu\r\nLinear-Delivery: %s\r\nLinear-Event: AgentSessionEvent\r\n"
                       "Linear-Signature: %s\r\nLinear-Timestamp: %s\r\n\r\n",
                       path, port, length, delivery, hex, stamp);
    memcpy(made.bytes + head, body, length);
    made.length = head + length;
    free(body);
    return made;
}

static void make_requests(const char *template_path, const char *secret, const char *path, int port) {
    static char template[REPLY_SIZE];
    FILE *file = fopen(template_path, "r");
    if (!file) fail(template_path);
    size_t length = fread(template, 1, sizeof template - 1, file);
    fclose(file);
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    char stamp[32];
    snprintf(stamp, sizeof stamp, "%013llu", t.tv_sec * 1000ull + t.tv_nsec / 1000000);
    u64 first = ((u64)t.tv_sec << 24) | ((u64)t.tv_nsec >> 6 & 0xffffff);
    requests = malloc(deliveries * sizeof *requests);
    for (long i = 0; i < deliveries; i++)
        requests[i] = make_request(template, length, first + i, stamp, secret, path, port);
}

/* ── sending them ───────────────────────────────────────────────────────────────────────────────────────────────── */
static void flush(Connection *c) {
    while (c->sent < c->request->length) {
        ssize_t n = send(c->fd, c->request->bytes + c->sent, c->request->length - c->sent, MSG_NOSIGNAL);
        if (n < 0) return; /* EAGAIN: later; anything else shows when we read */
        c->sent += n;
    }
}

static void start(Connection *c) {
    if (next_delivery >= deliveries) {
        exhausted = 1;
        return;
    }
    c->request = &requests[next_delivery++];
    c->sent = 0;
    c->received = 0;
    c->expected = -1;
    c->closing = 0;
    c->began = now_ns();
    flush(c);
}

static void open_connection(Connection *c) {
    int one = 1;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(c->fd, (void *)&address, sizeof address) < 0 && errno != EINPROGRESS) fail("connect");
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = c};
    epoll_ctl(poller, EPOLL_CTL_ADD, c->fd, &event);
    start(c);
}

static void answered(Connection *c) {
    u64 took = now_ns() - c->began;
    int good = c->status == 200;
    if (good) acknowledged++;
    if (recording && c->began >= recording_since) {
        if (good) {
            u64 bucket = took / 10000;
            counted++;
            histogram[bucket > BUCKETS ? BUCKETS : bucket]++;
            if (took > slowest) slowest = took;
        } else
            refused++;
    }
    if (c->closing) {
        close(c->fd);
        open_connection(c);
    } else
        start(c);
}

static void read_head(Connection *c) {
    char *end = strstr(c->reply, "\r\n\r\n");
    if (!end) return;
    char *length = strcasestr(c->reply, "\ncontent-length:"), *close_it = strcasestr(c->reply, "\nconnection: close");
    c->status = atoi(c->reply + 9);
    c->closing = close_it && close_it < end;
    c->expected = (int)(end + 4 - c->reply) + (length && length < end ? atoi(length + 16) : 0);
}

static void receive(Connection *c) {
    for (;;) {
        ssize_t n = recv(c->fd, c->reply + c->received, sizeof c->reply - 1 - c->received, 0);
        if (n < 0 && errno == EAGAIN) return;
        if (n <= 0) { /* the server let go: its delivery is not acknowledged, we go on with the next one */
            broken++;
            close(c->fd);
            open_connection(c);
            return;
        }
        c->received += n;
        c->reply[c->received] = 0;
        if (c->expected < 0) read_head(c);
        if (c->expected >= 0 && c->received >= c->expected) {
            answered(c);
            return;
        }
    }
}

static double percentile(double share) {
    u64 wanted = (u64)(share * counted), seen = 0;
    for (int i = 0; i <= BUCKETS; i++)
        if ((seen += histogram[i]) > wanted) return (i + 0.5) / 100;
    return 0;
}

int main(int argc, char **argv) {
    if (argc != 9) {
        fprintf(stderr, "usage: load PORT PATH CONNECTIONS SECONDS WARM_SECONDS DELIVERIES TEMPLATE SECRET\n");
        return 1;
    }
    int port = atoi(argv[1]), connections = atoi(argv[3]);
    double seconds = atof(argv[4]), warm = atof(argv[5]);
    deliveries = atol(argv[6]);
    make_requests(argv[7], argv[8], argv[2], port);
    address = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port)};
    inet_pton(AF_INET, "127.0.0.1", &address.sin_addr);
    poller = epoll_create1(0);
    Connection *all = calloc(connections, sizeof *all);
    for (int i = 0; i < connections; i++) open_connection(&all[i]);
    u64 began = now_ns(), warm_until = began + (u64)(warm * 1e9), end = warm_until + (u64)(seconds * 1e9), now;
    struct epoll_event events[512];
    while ((now = now_ns()) < end && !exhausted) {
        if (!recording && now >= warm_until) {
            recording = 1;
            recording_since = now;
        }
        int n = epoll_wait(poller, events, 512, 20);
        for (int i = 0; i < n; i++) {
            Connection *c = events[i].data.ptr;
            if (c->sent < c->request->length) flush(c);
            if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) receive(c);
        }
    }
    double took = (now_ns() - recording_since) / 1e9;
    printf("{\"seconds\":%.3f,\"acknowledged\":%llu,\"per_second\":%.1f,\"p50_ms\":%.3f,\"p99_ms\":%.3f,"
           "\"max_ms\":%.3f,\"refused\":%llu,\"broken\":%llu,\"used_up\":%s}\n",
           recording ? took : 0, acknowledged, recording ? counted / took : 0, counted ? percentile(0.5) : 0,
           counted ? percentile(0.99) : 0, slowest / 1e6, refused, broken, exhausted ? "true" : "false");
    return 0;
}
