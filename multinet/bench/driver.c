/*
 * Runs jobs, a given number of them at once, and says how long each took and what processor time it cost.
 *
 * A job is a row of processes, each started when the one before it has succeeded, as a container runtime
 * starts one plugin after the other. This is a C program and not a pool of Python threads, because on a small
 * machine starting 50 processes at once from Python costs more than what is to be measured. One thread is
 * enough: vfork doesn't copy anything, and whatever exits first gets its successor.
 *
 * usage: driver PLAN CONCURRENCY STDERR_FILE
 *
 * The plan is lines of a letter, a space and a value:
 *
 *   J          a job begins
 *   S          a step (one process) of it begins
 *   A VALUE    one more argument; the first is the program's path
 *   E K=V      one more variable of its environment
 *   I PATH     standard input
 *   O PATH     standard output
 *   N PATH     network namespace to start it in; without it: the driver's own
 *
 * Printed is a line for each job, in the plan's order: its wall time in ns (from before the first step's fork
 * to after the last one's exit), the processor time of its processes in ns, the number of the step that
 * failed or -1, that step's wait status. The last line is the wall time of the whole, and the driver's own
 * processor time, in ns.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MAX_ARGUMENTS = 15, MAX_VARIABLES = 31, MAX_CONCURRENCY = 1024 };

struct step {
    char *arguments[MAX_ARGUMENTS + 1];
    char *variables[MAX_VARIABLES + 1];
    int argument_count, variable_count;
    const char *input, *output, *netns;
};

struct job {
    size_t first_step, step_count;
    long long started, wall, cpu;
    long failed_step;
    int status;
};

struct slot {
    volatile pid_t pid; /* 0: free; read by the signal handler */
    size_t job, step;
};

static struct step *steps;
static struct job *jobs;
static size_t step_count, job_count;
static struct slot slots[MAX_CONCURRENCY];
static size_t concurrency;
static int error_output;

static void die(const char *what)
{
    fprintf(stderr, "driver: %s: %s\n", what, errno ? strerror(errno) : "bad plan");
    exit(2);
}

static long long now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000000LL + time.tv_nsec;
}

static long long cpu_of(const struct rusage *usage)
{
    return (usage->ru_utime.tv_sec + usage->ru_stime.tv_sec) * 1000000000LL
        + (usage->ru_utime.tv_usec + usage->ru_stime.tv_usec) * 1000LL;
}

static char *read_plan(const char *path)
{
    struct stat status;
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0 || fstat(file, &status) != 0)
        die(path);
    char *text = malloc((size_t)status.st_size + 1);
    if (!text)
        die("memory");
    ssize_t length = 0, got;
    while ((got = read(file, text + length, (size_t)(status.st_size - length))) > 0)
        length += got;
    text[length] = 0;
    close(file);
    return text;
}

static struct step *open_step(void)
{
    errno = 0;
    if (!step_count)
        die("a line that needs a step before it");
    return &steps[step_count - 1];
}

static void append(char **list, int *count, int limit, char *value)
{
    errno = 0;
    if (*count == limit)
        die("too many arguments or variables");
    list[(*count)++] = value;
}

static void read_line(char *line)
{
    char *value = line[1] ? line + 2 : line + 1;
    switch (line[0]) {
    case 'J':
        jobs[job_count++] = (struct job){.first_step = step_count, .failed_step = -1};
        break;
    case 'S':
        errno = 0;
        if (!job_count)
            die("a step before the first job");
        steps[step_count++] = (struct step){.input = "/dev/null", .output = "/dev/null"};
        jobs[job_count - 1].step_count++;
        break;
    case 'A': {
        struct step *step = open_step();
        append(step->arguments, &step->argument_count, MAX_ARGUMENTS, value);
        break;
    }
    case 'E': {
        struct step *step = open_step();
        append(step->variables, &step->variable_count, MAX_VARIABLES, value);
        break;
    }
    case 'I':
        open_step()->input = value;
        break;
    case 'O':
        open_step()->output = value;
        break;
    case 'N':
        open_step()->netns = value;
        break;
    default:
        errno = 0;
        die(line);
    }
}

static void load(char *text)
{
    size_t lines = 0;
    for (char *at = text; *at; at++)
        lines += *at == '\n';
    steps = calloc(lines + 1, sizeof *steps);
    jobs = calloc(lines + 1, sizeof *jobs);
    if (!steps || !jobs)
        die("memory");
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"))
        read_line(line);
    /* The files are made here, so that no creation is part of what is measured. */
    for (size_t i = 0; i < step_count; i++) {
        int file = open(steps[i].output, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        if (file < 0)
            die(steps[i].output);
        close(file);
        errno = 0;
        if (!steps[i].argument_count)
            die("a step without a program");
    }
}

/* In the child, which shares its memory with the driver until it is another program. */
static void become(const struct step *step)
{
    if (step->netns) {
        int netns = open(step->netns, O_RDONLY | O_CLOEXEC);
        if (netns < 0 || setns(netns, CLONE_NEWNET) != 0)
            return;
    }
    int input = open(step->input, O_RDONLY | O_CLOEXEC);
    int output = open(step->output, O_WRONLY | O_CLOEXEC);
    if (input < 0 || output < 0 || dup2(input, 0) < 0 || dup2(output, 1) < 0 || dup2(error_output, 2) < 0)
        return;
    execve(step->arguments[0], step->arguments, step->variables);
}

static pid_t spawn(const struct step *step)
{
    pid_t pid = vfork();
    if (pid == 0) {
        become(step);
        dprintf(error_output, "%s: %s\n", step->arguments[0], strerror(errno));
        _exit(127);
    }
    if (pid < 0)
        die("vfork");
    return pid;
}

static void begin(struct slot *slot, size_t job)
{
    slot->job = job;
    slot->step = 0;
    jobs[job].started = now();
    slot->pid = spawn(&steps[jobs[job].first_step]);
}

/* After the exit of a slot's process: its next step; otherwise the job is done. Returns 1 when it is. */
static int advance(struct slot *slot, int status, const struct rusage *usage)
{
    struct job *job = &jobs[slot->job];
    job->cpu += cpu_of(usage);
    if (status == 0 && ++slot->step < job->step_count) {
        slot->pid = spawn(&steps[job->first_step + slot->step]);
        return 0;
    }
    job->wall = now() - job->started;
    slot->pid = 0;
    if (status != 0) {
        job->failed_step = (long)slot->step;
        job->status = status;
    }
    return 1;
}

static struct slot *slot_of(pid_t pid)
{
    for (size_t i = 0; i < concurrency; i++)
        if (slots[i].pid == pid)
            return &slots[i];
    return NULL;
}

static void run(void)
{
    size_t next = 0, done = 0;
    while (next < job_count && next < concurrency) {
        begin(&slots[next], next);
        next++;
    }
    while (done < job_count) {
        struct rusage usage;
        int status;
        pid_t pid = wait4(-1, &status, 0, &usage);
        if (pid < 0)
            die("wait");
        struct slot *slot = slot_of(pid);
        if (!slot || !advance(slot, status, &usage))
            continue;
        done++;
        if (next < job_count)
            begin(slot, next++);
    }
}

/* Nothing that was started stays behind when the benchmark is broken off. */
static void break_off(int signal)
{
    for (size_t i = 0; i < concurrency; i++)
        if (slots[i].pid > 0)
            kill(slots[i].pid, SIGKILL);
    _exit(128 + signal);
}

int main(int argc, char **argv)
{
    errno = 0;
    if (argc != 4)
        die("usage: driver PLAN CONCURRENCY STDERR_FILE");
    concurrency = strtoul(argv[2], NULL, 10);
    if (concurrency < 1 || concurrency > MAX_CONCURRENCY)
        die("concurrency");
    error_output = open(argv[3], O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
    if (error_output < 0)
        die(argv[3]);
    load(read_plan(argv[1]));
    signal(SIGTERM, break_off);
    signal(SIGINT, break_off);

    long long before = now();
    run();
    long long elapsed = now() - before;

    for (size_t i = 0; i < job_count; i++)
        printf("%lld %lld %ld %d\n", jobs[i].wall, jobs[i].cpu, jobs[i].failed_step, jobs[i].status);
    struct rusage own;
    getrusage(RUSAGE_SELF, &own);
    printf("%lld %lld\n", elapsed, cpu_of(&own));
    return 0;
}
