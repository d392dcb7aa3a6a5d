/*
 * multinet's shim: hands one CNI call to the node daemon and prints the daemon's answer.
 *
 * It is started once or more for every pod, many at a time when a node boots, so it is small, static and without
 * surprises: it neither reads nor changes the configuration (no JSON is parsed here), memory is bounded by the
 * protocol's limits, and every wait ends at one deadline. The protocol is described in multinet/wire/__init__.py,
 * the settings in multinet/shim/__init__.py; twin.py beside this file is the same program in Python.
 *
 * Build: python -m multinet.shim.build OUTPUT
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#ifndef MULTINET_VERSION
#error "constants are missing: build with `python -m multinet.shim.build OUTPUT`"
#endif

/* CNI error codes (specification 1.1.0, "Error"). */
enum { INVALID_ENVIRONMENT = 4, IO_FAILURE = 5, DECODING_FAILURE = 6, TRY_AGAIN = 11, NOT_AVAILABLE = 50 };

/* Tags of the request's and the response's fields. */
enum { TAG_PROTOCOL = 1, TAG_PROGRAM, TAG_ENVIRONMENT, TAG_INPUT, TAG_TIME_LIMIT, TAG_NETNS_ERROR };
enum { TAG_EXIT_CODE = 1, TAG_OUTPUT, TAG_ERROR };

enum { LENGTH = 4, FIELD_HEAD = 1 + LENGTH, CHUNK = 16 << 10 };

/* ---- bytes that grow ------------------------------------------------------------------------------------- */

struct buffer {
    unsigned char *data;
    size_t length, capacity;
};

static void write_all_or_die(int fd, const void *data, size_t length);

static void reserve(struct buffer *buffer, size_t more)
{
    static const char exhausted[] = "{\"cniVersion\": \"1.1.0\", \"code\": 11, \"msg\": \"out of memory\"}";
    size_t capacity = buffer->capacity ? buffer->capacity : CHUNK;

    if (buffer->capacity - buffer->length >= more)
        return;
    while (capacity - buffer->length < more)
        capacity *= 2;
    buffer->data = realloc(buffer->data, capacity);
    if (buffer->data == NULL) {
        write_all_or_die(STDOUT_FILENO, exhausted, sizeof exhausted - 1);
        _exit(1);
    }
    buffer->capacity = capacity;
}

static void append(struct buffer *buffer, const void *data, size_t length)
{
    reserve(buffer, length);
    if (length > 0)
        memcpy(buffer->data + buffer->length, data, length);
    buffer->length += length;
}

static void append_texts(struct buffer *buffer, const char *first, va_list more)
{
    for (const char *text = first; text != NULL; text = va_arg(more, const char *))
        append(buffer, text, strlen(text));
}

/* Append strings, up to NULL. */
__attribute__((sentinel)) static void append_text(struct buffer *buffer, const char *first, ...)
{
    va_list more;

    va_start(more, first);
    append_texts(buffer, first, more);
    va_end(more);
}

/* A number in decimal, with leading zeros up to `width` digits; lasts until the fourth next call. */
static const char *decimal(unsigned long long number, int width)
{
    static char room[4][24];
    static unsigned next;
    char *at = room[next++ % 4] + sizeof room[0] - 1;

    for (*at = '\0'; number > 0 || width > 0; number /= 10, width--)
        *--at = (char)('0' + number % 10);
    return at;
}

static void put_length(unsigned char *at, size_t length)
{
    for (int i = 0; i < LENGTH; i++)
        at[i] = (unsigned char)(length >> 8 * (LENGTH - 1 - i));
}

static size_t get_length(const unsigned char *at)
{
    return (size_t)at[0] << 24 | (size_t)at[1] << 16 | (size_t)at[2] << 8 | at[3];
}

static void append_field(struct buffer *frame, unsigned char tag, const char *value, size_t length)
{
    unsigned char head[FIELD_HEAD] = {tag};

    put_length(head + 1, length);
    append(frame, head, sizeof head);
    append(frame, value, length);
}

/* ---- output ---------------------------------------------------------------------------------------------- */

/* All of it, or false with errno. */
static bool write_all(int fd, const void *data, size_t length)
{
    const char *at = data;

    while (length > 0) {
        ssize_t written = write(fd, at, length);

        if (written >= 0) {
            at += written;
            length -= (size_t)written;
        } else if (errno == EAGAIN) { /* a pipe that the caller made non-blocking */
            struct pollfd room = {.fd = fd, .events = POLLOUT};

            (void)poll(&room, 1, -1);
        } else if (errno != EINTR) {
            return false;
        }
    }
    return true;
}

/* For output: with the reader gone, nobody is left to tell. */
static void write_all_or_die(int fd, const void *data, size_t length)
{
    if (!write_all(fd, data, length))
        _exit(1);
}

__attribute__((sentinel)) static void print(int fd, const char *first, ...)
{
    struct buffer line = {0};
    va_list more;

    va_start(more, first);
    append_texts(&line, first, more);
    va_end(more);
    write_all_or_die(fd, line.data, line.length);
    free(line.data);
}

/* Bytes of the UTF-8 sequence at `text` (RFC 3629, 4: no overlong form, no surrogate), 0 if it is none. */
static size_t sequence_length(const unsigned char *text)
{
    unsigned char first = text[0];
    size_t length = first < 0x80 ? 1 : first < 0xC2 ? 0 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : first < 0xF5 ? 4 : 0;
    unsigned char low = first == 0xE0 ? 0xA0 : first == 0xF0 ? 0x90 : 0x80;
    unsigned char high = first == 0xED ? 0x9F : first == 0xF4 ? 0x8F : 0xBF;

    for (size_t i = 1; i < length; i++, low = 0x80, high = 0xBF)
        if (text[i] < low || text[i] > high)
            return 0; /* the string's end, too */
    return length;
}

static bool is_utf8(const char *text)
{
    for (const unsigned char *at = (const unsigned char *)text; *at; ) {
        size_t length = sequence_length(at);

        if (length == 0)
            return false;
        at += length;
    }
    return true;
}

/* Append `text` as the inside of a JSON string. Bytes that can't stand in JSON become question marks. */
static void append_json(struct buffer *buffer, const char *text)
{
    static const char escaped[] = "\"\"\\\\\bb\ff\nn\rr\tt", hex[] = "0123456789abcdef";
    bool valid = is_utf8(text);

    for (; *text; text++) {
        unsigned char byte = (unsigned char)*text;
        const char *pair = NULL;

        for (const char *candidate = escaped; *candidate && pair == NULL; candidate += 2)
            if (*candidate == *text)
                pair = candidate;
        if (pair != NULL) {
            append(buffer, "\\", 1);
            append(buffer, pair + 1, 1);
        } else if (byte < 0x20) {
            append(buffer, "\\u00", 4);
            append(buffer, &hex[byte >> 4], 1);
            append(buffer, &hex[byte & 15], 1);
        } else {
            append(buffer, byte >= 0x80 && !valid ? "?" : text, 1);
        }
    }
}

/* End with a CNI error, laid out like those of the daemon; the strings, up to NULL, make up the message. */
__attribute__((sentinel)) static _Noreturn void fail(int code, const char *first, ...)
{
    struct buffer message = {0}, error = {0};
    va_list more;

    va_start(more, first);
    append_texts(&message, first, more);
    va_end(more);
    append(&message, "", 1);
    append_text(&error, "{\n    \"cniVersion\": \"1.1.0\",\n    \"code\": ", decimal((unsigned)code, 1),
                ",\n    \"msg\": \"", NULL);
    append_json(&error, (const char *)message.data);
    append_text(&error, "\"\n}", NULL);
    write_all_or_die(STDOUT_FILENO, error.data, error.length);
    _exit(1);
}

/* ---- time ------------------------------------------------------------------------------------------------ */

static long long deadline; /* of the whole call, in ms of the monotonic clock */

static long long now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

static int left_ms(void)
{
    long long left = deadline - now_ms();

    return left > 0 ? (int)left : 0;
}

/* Wait for `events`; those that happened, 0 at the deadline. */
static short await(int fd, short events)
{
    struct pollfd poll_fd = {.fd = fd, .events = events};
    int ready;

    do
        ready = poll(&poll_fd, 1, left_ms());
    while (ready < 0 && errno == EINTR);
    return ready > 0 ? poll_fd.revents : 0;
}

/* ---- settings -------------------------------------------------------------------------------------------- */

static struct {
    const char *socket, *spool;
    unsigned long time_limit_ms;
} settings = {MULTINET_SOCKET, MULTINET_SPOOL, MULTINET_TIME_LIMIT_MS};

/* "2.5" becomes 2500; 0 for whatever is no number of seconds from 0.001 to a day. */
static unsigned long milliseconds(const char *seconds)
{
    unsigned long value = 0, scale = 1000;
    const char *at = seconds;

    for (; *at >= '0' && *at <= '9'; at++)
        if ((value = value * 10 + (unsigned long)(*at - '0')) > MULTINET_TIME_LIMIT_MAX_MS / 1000)
            return 0;
    if (at == seconds)
        return 0;
    value *= 1000;
    if (*at == '.')
        for (at++; *at >= '0' && *at <= '9'; at++)
            value += (unsigned long)(*at - '0') * (scale /= 10);
    return *at == '\0' && value <= MULTINET_TIME_LIMIT_MAX_MS ? value : 0;
}

static const char *in_seconds(unsigned long ms)
{
    static char text[48];
    const char *whole = decimal(ms / 1000, 1), *rest = decimal(ms % 1000, 3);

    strcpy(text, whole);
    if (ms % 1000 != 0)
        strcat(strcat(text, "."), rest);
    return text;
}

static void set(const char *key, const char *value)
{
    if (value == NULL || *value == '\0')
        return;
    if (strcmp(key, "socket") == 0) {
        settings.socket = value;
    } else if (strcmp(key, "spool") == 0) {
        settings.spool = value;
    } else if (strcmp(key, "timeout") == 0) {
        unsigned long limit = milliseconds(value);

        if (limit > 0)
            settings.time_limit_ms = limit;
        else
            print(STDERR_FILENO, "multinet: ignoring the time limit \"", value, "\": not a number of seconds\n", NULL);
    }
}

static char *trimmed(char *text)
{
    char *end = text + strlen(text);

    text += strspn(text, " \t\r");
    while (end > text && strchr(" \t\r", end[-1]) != NULL)
        *--end = '\0';
    return text;
}

/* The settings file beside the executable, if there is one. */
static void read_settings_file(void)
{
    static char text[MULTINET_SETTINGS_LIMIT + 1];
    char path[PATH_MAX + sizeof MULTINET_SETTINGS_FILE];
    ssize_t length = readlink("/proc/self/exe", path, PATH_MAX - 1), got;
    size_t total = 0;
    int fd;

    if (length < 0)
        return; /* no /proc: the defaults and the environment are left */
    path[length] = '\0';
    strcpy(strrchr(path, '/') + 1, MULTINET_SETTINGS_FILE);
    if ((fd = open(path, O_RDONLY | O_CLOEXEC)) < 0)
        return;
    while ((got = read(fd, text + total, MULTINET_SETTINGS_LIMIT - total)) > 0 || (got < 0 && errno == EINTR))
        total += got > 0 ? (size_t)got : 0;
    close(fd);
    for (char *line = text, *rest = NULL; line != NULL; line = rest) {
        char *equals;

        if ((rest = strchr(line, '\n')) != NULL)
            *rest++ = '\0';
        if ((equals = strchr(line, '=')) == NULL)
            continue;
        *equals = '\0';
        set(trimmed(line), trimmed(equals + 1));
    }
}

/* ---- the request ----------------------------------------------------------------------------------------- */

static bool is_forwarded(const char *entry)
{
    static const char *const keys[] = {"TRACEPARENT=", "TRACESTATE=", "BAGGAGE="};

    if (strncmp(entry, "CNI_", 4) == 0)
        return strchr(entry, '=') != NULL;
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (strncmp(entry, keys[i], strlen(keys[i])) == 0)
            return true;
    return false;
}

/* The network configuration goes straight into the frame. */
static void append_input(struct buffer *frame)
{
    size_t start = frame->length + FIELD_HEAD;
    ssize_t got;

    append_field(frame, TAG_INPUT, NULL, 0);
    do {
        reserve(frame, CHUNK);
        if (!await(STDIN_FILENO, POLLIN))
            fail(IO_FAILURE, "standard input did not end within ", in_seconds(settings.time_limit_ms), " s", NULL);
        got = read(STDIN_FILENO, frame->data + frame->length, CHUNK);
        if (got < 0 && errno != EINTR && errno != EAGAIN)
            fail(IO_FAILURE, "cannot read standard input: ", strerror(errno), NULL);
        frame->length += got > 0 ? (size_t)got : 0;
        if (frame->length - start > MULTINET_INPUT_LIMIT)
            fail(DECODING_FAILURE, "configuration on standard input is larger than ",
                 decimal(MULTINET_INPUT_LIMIT >> 20, 1), " MiB", NULL);
    } while (got != 0);
    put_length(frame->data + start - LENGTH, frame->length - start);
}

/* The whole frame; `netns` becomes the descriptor of CNI_NETNS, or -1. */
static struct buffer compose(const char *program, int *netns)
{
    extern char **environ;
    const size_t room = MULTINET_FRAME_LIMIT - MULTINET_INPUT_LIMIT - CHUNK;
    const char *path = getenv("CNI_NETNS"), *limit = decimal(settings.time_limit_ms, 1);
    struct buffer frame = {0};

    append(&frame, "\0\0\0", LENGTH);
    append_field(&frame, TAG_PROTOCOL, MULTINET_PROTOCOL, strlen(MULTINET_PROTOCOL));
    append_field(&frame, TAG_PROGRAM, program, strlen(program));
    append_field(&frame, TAG_TIME_LIMIT, limit, strlen(limit));
    for (char **entry = environ; *entry != NULL; entry++) {
        if (is_forwarded(*entry))
            append_field(&frame, TAG_ENVIRONMENT, *entry, strlen(*entry));
        if (frame.length > room)
            fail(INVALID_ENVIRONMENT, "the CNI_* environment variables are too large", NULL);
    }
    *netns = -1;
    /* O_NONBLOCK: a path that is a FIFO by mistake must not hang the call */
    if (path != NULL && *path != '\0' && (*netns = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)) < 0) {
        const char *error = decimal((unsigned)errno, 1);

        append_field(&frame, TAG_NETNS_ERROR, error, strlen(error));
    }
    append_input(&frame);
    put_length(frame.data, frame.length - LENGTH);
    return frame;
}

/* ---- the daemon ------------------------------------------------------------------------------------------ */

enum outcome { ANSWERED, UNREACHABLE /* errno says why */, LATE, UNREADABLE };

struct answer {
    const unsigned char *output, *error; /* NULL: not there */
    size_t output_length, error_length;
    int exit_code; /* -1: not there */
};

static enum outcome connect_daemon(int *connection)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int left = left_ms();
    /* connect(2) waits that long for room in the listener's queue; a non-blocking one would not wait at all */
    struct timeval patience = {.tv_sec = left / 1000, .tv_usec = left > 0 ? left % 1000 * 1000 : 1};

    if (strlen(settings.socket) >= sizeof address.sun_path) {
        errno = ENAMETOOLONG;
        return UNREACHABLE;
    }
    strcpy(address.sun_path, settings.socket);
    if ((*connection = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) < 0)
        return UNREACHABLE;
    (void)setsockopt(*connection, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    while (connect(*connection, (struct sockaddr *)&address, sizeof address) < 0)
        if (errno != EINTR)
            return errno == EAGAIN ? LATE : UNREACHABLE;
    return ANSWERED;
}

/* Send until all is sent, or something comes back: the daemon refuses a request before its end. */
static enum outcome send_request(int connection, const struct buffer *frame, int netns)
{
    union {
        char room[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control = {{0}};
    size_t done = 0;

    while (done < frame->length) {
        struct iovec rest = {.iov_base = frame->data + done, .iov_len = frame->length - done};
        struct msghdr message = {.msg_iov = &rest, .msg_iovlen = 1};
        short ready = await(connection, POLLIN | POLLOUT);
        ssize_t sent;

        if (!ready)
            return LATE;
        if (ready & POLLIN)
            break;
        if (done == 0 && netns >= 0) {
            message.msg_control = control.room;
            message.msg_controllen = sizeof control.room;
            struct cmsghdr *rights = CMSG_FIRSTHDR(&message);
            rights->cmsg_level = SOL_SOCKET;
            rights->cmsg_type = SCM_RIGHTS;
            rights->cmsg_len = CMSG_LEN(sizeof netns);
            memcpy(CMSG_DATA(rights), &netns, sizeof netns);
        }
        sent = sendmsg(connection, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent >= 0)
            done += (size_t)sent;
        else if (errno == EPIPE || errno == ECONNRESET)
            break; /* an answer sent before the end can still be read */
        else if (errno != EINTR && errno != EAGAIN)
            return UNREACHABLE;
    }
    return ANSWERED;
}

static enum outcome receive_frame(int connection, struct buffer *frame)
{
    size_t wanted = LENGTH;

    while (frame->length < wanted) {
        ssize_t got;

        if (!await(connection, POLLIN))
            return LATE;
        reserve(frame, CHUNK);
        got = recv(connection, frame->data + frame->length, frame->capacity - frame->length, MSG_DONTWAIT);
        if (got < 0 && (errno == EINTR || errno == EAGAIN))
            continue;
        if (got == 0)
            errno = ECONNRESET;
        if (got <= 0)
            return UNREACHABLE;
        frame->length += (size_t)got;
        if (wanted == LENGTH && frame->length >= LENGTH) {
            size_t length = get_length(frame->data);

            if (length > MULTINET_RESPONSE_LIMIT)
                return UNREADABLE;
            wanted += length;
        }
    }
    return frame->length == wanted ? ANSWERED : UNREADABLE;
}

static int parse_exit_code(const unsigned char *digits, size_t length)
{
    int code = 0;

    if (length == 0 || length > 10)
        return -1;
    for (size_t i = 0; i < length; i++) {
        if (digits[i] < '0' || digits[i] > '9' || code > 255)
            return -1;
        code = code * 10 + (digits[i] - '0');
    }
    return code <= 255 ? code : -1;
}

static enum outcome parse(const struct buffer *frame, struct answer *answer)
{
    *answer = (struct answer){.exit_code = -1};
    for (size_t at = LENGTH; at < frame->length; ) {
        const unsigned char *head = frame->data + at, *value = head + FIELD_HEAD;
        size_t left = frame->length - at, length;

        if (left < FIELD_HEAD || (length = get_length(head + 1)) > left - FIELD_HEAD)
            return UNREADABLE;
        at += FIELD_HEAD + length;
        if (*head == TAG_EXIT_CODE) {
            if (answer->exit_code >= 0 || (answer->exit_code = parse_exit_code(value, length)) < 0)
                return UNREADABLE;
        } else if (*head == TAG_OUTPUT) {
            if (answer->output != NULL)
                return UNREADABLE;
            answer->output = value;
            answer->output_length = length;
        } else if (*head == TAG_ERROR) {
            if (answer->error != NULL)
                return UNREADABLE;
            answer->error = value;
            answer->error_length = length;
        }
    }
    return answer->exit_code >= 0 ? ANSWERED : UNREADABLE;
}

/* Have the daemon answer. With UNREACHABLE, errno tells the reason. */
static enum outcome ask(const struct buffer *request, int netns, struct answer *answer)
{
    static struct buffer frame; /* the answer points into it */
    int connection;
    enum outcome outcome = connect_daemon(&connection);

    if (outcome == ANSWERED)
        outcome = send_request(connection, request, netns);
    if (outcome == ANSWERED)
        outcome = receive_frame(connection, &frame);
    return outcome == ANSWERED ? parse(&frame, answer) : outcome;
}

/* ---- the spool ------------------------------------------------------------------------------------------- */

static bool sync_directory(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool synced = fd >= 0 && fsync(fd) == 0;

    if (fd >= 0)
        close(fd);
    return synced;
}

/* Make a directory and its missing parents, each synced into the one above. */
static bool make_directory(char *path, mode_t mode)
{
    char *slash = strrchr(path, '/');
    bool made = mkdir(path, mode) == 0;

    if (!made && errno == EEXIST)
        return true;
    if (!made && (errno != ENOENT || slash == NULL || slash == path))
        return false;
    if (slash != NULL && slash != path)
        *slash = '\0';
    if (!made) {
        made = make_directory(path, 0755);
        *slash = '/';
        made = made && mkdir(path, mode) == 0;
        *slash = '\0';
    }
    made = made && sync_directory(slash == NULL ? "." : slash == path ? "/" : path);
    if (slash != NULL)
        *slash = '/';
    return made;
}

static int open_spool(void)
{
    const int flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC;
    int folder = open(settings.spool, flags);
    char path[PATH_MAX];
    size_t length = strlen(settings.spool);

    if (folder >= 0 || errno != ENOENT)
        return folder;
    if (length >= sizeof path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    strcpy(path, settings.spool);
    while (length > 1 && path[length - 1] == '/')
        path[--length] = '\0';
    return make_directory(path, 0700) ? open(settings.spool, flags) : -1;
}

/*
 * Keep the request on disk for a later daemon; false with errno if that failed. Then nothing is left, unless the
 * last step failed, the directory's sync; a DEL carried out once more does no harm.
 */
static bool spool(const struct buffer *frame)
{
    int folder = open_spool(), fd, error;
    struct buffer name = {0}, temporary = {0};
    struct timespec now;
    bool done;

    if (folder < 0)
        return false;
    clock_gettime(CLOCK_REALTIME, &now);
    append_text(&name, decimal((unsigned long long)now.tv_sec, 10), "-", decimal((unsigned long)now.tv_nsec, 9), "-",
                decimal((unsigned)getpid(), 1), ".del", NULL);
    append(&name, "", 1);
    append_text(&temporary, ".", (const char *)name.data, ".tmp", NULL);
    append(&temporary, "", 1);
    fd = openat(folder, (const char *)temporary.data, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return false;
    done = write_all(fd, frame->data, frame->length) && fsync(fd) == 0;
    error = errno;
    if (close(fd) < 0 && done) {
        done = false;
        error = errno;
    }
    if (done && renameat(folder, (const char *)temporary.data, folder, (const char *)name.data) < 0) {
        done = false;
        error = errno;
    }
    if (!done) {
        (void)unlinkat(folder, (const char *)temporary.data, 0);
        errno = error;
        return false;
    }
    return fsync(folder) == 0;
}

/* ---- one call -------------------------------------------------------------------------------------------- */

/* No daemon: a DEL is kept for later and counts as done, anything else fails. */
static _Noreturn void without_daemon(const char *verb, const struct buffer *request, const char *reason)
{
    if (strcmp(verb, "DEL") != 0)
        fail(strcmp(verb, "STATUS") == 0 ? NOT_AVAILABLE : TRY_AGAIN, "multinet daemon is not reachable at ",
             settings.socket, ": ", reason, "; is it running?", NULL);
    if (!spool(request))
        fail(TRY_AGAIN, "multinet daemon is not reachable at ", settings.socket, ": ", reason,
             ", and DEL cannot be kept in the spool directory ", settings.spool, ": ", strerror(errno), NULL);
    print(STDERR_FILENO, "multinet: daemon is not reachable at ", settings.socket, ": ", reason,
          "; DEL is kept in ", settings.spool, " until it is back\n", NULL);
    _exit(0);
}

static _Noreturn void call(const char *program, const char *verb)
{
    struct buffer request;
    struct answer answer;
    enum outcome outcome;
    int netns;

    deadline = now_ms() + (long long)settings.time_limit_ms;
    request = compose(program, &netns);
    outcome = ask(&request, netns, &answer);
    if (outcome == UNREACHABLE)
        without_daemon(verb, &request, strerror(errno));
    if (outcome == LATE)
        fail(strcmp(verb, "STATUS") == 0 ? NOT_AVAILABLE : TRY_AGAIN, "multinet daemon at ", settings.socket,
             " gave no answer within ", in_seconds(settings.time_limit_ms), " s", NULL);
    if (outcome == UNREADABLE)
        fail(IO_FAILURE, "multinet daemon at ", settings.socket,
             " sent an answer that cannot be read; are shim and daemon of one version?", NULL);
    write_all_or_die(STDOUT_FILENO, answer.output, answer.output_length);
    write_all_or_die(STDERR_FILENO, answer.error, answer.error_length);
    _exit(answer.exit_code);
}

/* A descriptor opened later must not become standard output, should the caller have left that closed. */
static void hold_standard_descriptors(void)
{
    for (int fd = 0; fd <= 2; fd++)
        if (fcntl(fd, F_GETFD) < 0)
            (void)open("/dev/null", O_RDWR);
}

int main(int argc, char **argv)
{
    const char *program = argc > 0 ? argv[0] : "multinet", *slash = strrchr(program, '/');
    const char *verb = getenv("CNI_COMMAND");

    hold_standard_descriptors();
    signal(SIGPIPE, SIG_IGN);
    umask(022);
    if (slash != NULL)
        program = slash + 1;
    if (argc > 1 && strcmp(argv[1], "--version") == 0) {
        print(STDOUT_FILENO, "multinet " MULTINET_VERSION "\n", NULL);
    } else if (verb == NULL || *verb == '\0') {
        print(STDERR_FILENO, "CNI ", program, " plugin v" MULTINET_VERSION "\n",
              "CNI protocol versions supported: " MULTINET_CNI_VERSIONS "\n", NULL);
    } else if (strcmp(verb, "VERSION") == 0) {
        print(STDOUT_FILENO, "{\"cniVersion\":\"1.1.0\",\"supportedVersions\":[" MULTINET_CNI_VERSIONS_JSON "]}\n", NULL);
    } else {
        read_settings_file();
        set("socket", getenv("MULTINET_SOCKET"));
        set("spool", getenv("MULTINET_SPOOL"));
        set("timeout", getenv("MULTINET_TIMEOUT"));
        call(program, verb);
    }
    return 0;
}
