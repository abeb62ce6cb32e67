/* Two servers in one small program: single-threaded, epoll, no allocation per request.
 *
 *     server PORT durable FILE SECRET    the limit: HMAC verified, body appended, one fdatasync for all that came in
 *                                        together, then their 200s. What any durable webhook door could reach here
 *     server PORT canned FILE            answers every request with the bytes of FILE: a Linear that costs next to nothing
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
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
#include <unistd.h>

#define AT_ONCE 512

typedef struct {
    int fd;
    int received;
    char bytes[65536];
} Client;

static const char UNSIGNED[] = "HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno";
static char reply[65536];
static size_t reply_length;

static void fail(const char *what) {
    perror(what);
    exit(2);
}

static void use_reply(const char *type, const char *headers, const char *body, size_t length) {
    int head = sprintf(reply, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\nContent-Type: %s\r\n%s\r\n", length, type, headers);
    memcpy(reply + head, body, length);
    reply_length = head + length;
}

static void use_canned_reply(const char *path) {
    static char body[60000];
    FILE *file = fopen(path, "r");
    if (!file) fail(path);
    size_t length = fread(body, 1, sizeof body, file);
    fclose(file);
    /* Linear's quota must not be what is measured. */
    use_reply("application/json",
              "X-RateLimit-Requests-Limit: 1000000000\r\nX-RateLimit-Requests-Remaining: 1000000000\r\n", body, length);
}

static int listen_on(int port) {
    int one = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    inet_pton(AF_INET, "127.0.0.1", &address.sin_addr);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listener, (void *)&address, sizeof address) < 0 || listen(listener, 2048) < 0) fail("listen");
    return listener;
}

static void accept_all(int poller, int listener) {
    int fd, one = 1;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        Client *client = malloc(sizeof *client);
        client->fd = fd;
        client->received = 0;
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = client};
        epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event);
    }
}

/* The body of a complete request, NULL while some of it is missing or after the client went away. */
static char *receive(Client *client, int *length) {
    ssize_t n = recv(client->fd, client->bytes + client->received, sizeof client->bytes - 1 - client->received, 0);
    if (n <= 0) {
        close(client->fd);
        free(client);
        return NULL;
    }
    client->received += n;
    client->bytes[client->received] = 0;
    char *end = strstr(client->bytes, "\r\n\r\n");
    if (!end) return NULL;
    char *header = strcasestr(client->bytes, "\ncontent-length:");
    *length = header && header < end ? atoi(header + 16) : 0;
    return client->received < end + 4 - client->bytes + *length ? NULL : end + 4;
}

static int is_signed(const Client *client, const char *body, int length, const char *secret) {
    unsigned char mac[32];
    unsigned mac_length;
    char hex[65];
    HMAC(EVP_sha256(), secret, strlen(secret), (const unsigned char *)body, length, mac, &mac_length);
    for (int i = 0; i < 32; i++) sprintf(hex + 2 * i, "%02x", mac[i]);
    const char *given = strcasestr(client->bytes, "\nlinear-signature: ");
    return given && !memcmp(given + 19, hex, 64);
}

static void answer(Client *client, const char *bytes, size_t length) {
    client->received = 0;
    (void)!send(client->fd, bytes, length, MSG_NOSIGNAL);
}

int main(int argc, char **argv) {
    int durable = argc == 5 && !strcmp(argv[2], "durable"), canned = argc == 4 && !strcmp(argv[2], "canned");
    if (!durable && !canned) {
        fprintf(stderr, "usage: server PORT durable FILE SECRET | server PORT canned FILE\n");
        return 1;
    }
    int log = -1;
    if (durable) {
        use_reply("text/plain", "", "ok", 2);
        if ((log = open(argv[3], O_CREAT | O_WRONLY | O_APPEND, 0600)) < 0) fail(argv[3]);
    } else
        use_canned_reply(argv[3]);
    int listener = listen_on(atoi(argv[1])), poller = epoll_create1(0);
    struct epoll_event listening = {.events = EPOLLIN, .data.ptr = NULL}, events[AT_ONCE];
    epoll_ctl(poller, EPOLL_CTL_ADD, listener, &listening);
    for (;;) {
        Client *written[AT_ONCE];
        int n = epoll_wait(poller, events, AT_ONCE, -1), waiting = 0;
        for (int i = 0; i < n; i++) {
            Client *client = events[i].data.ptr;
            int length = 0;
            char *body;
            if (!client)
                accept_all(poller, listener);
            else if (!(body = receive(client, &length)))
                continue;
            else if (canned)
                answer(client, reply, reply_length);
            else if (!is_signed(client, body, length, argv[4]))
                answer(client, UNSIGNED, sizeof UNSIGNED - 1);
            else {
                if (write(log, body, length) != length) fail(argv[3]);
                written[waiting++] = client;
            }
        }
        if (waiting && fdatasync(log) < 0) fail("fdatasync");
        for (int i = 0; i < waiting; i++) answer(written[i], reply, reply_length);
    }
}
