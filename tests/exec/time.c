// Clocks in time namespaces, and calls that wait until a time: what they give, and how long they take.
#include "child.h"
#include <fcntl.h>
#include <linux/futex.h>
#include <sched.h>
#include <spawn.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/timerfd.h>
#include <time.h>

#define NEWTIME 0x80
static const clockid_t CLOCKS[] = {
	CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_MONOTONIC_RAW, CLOCK_MONOTONIC_COARSE, CLOCK_BOOTTIME, CLOCK_BOOTTIME_ALARM };
#define COUNT (sizeof CLOCKS / sizeof *CLOCKS)

// What the clocks were in the first namespace.
static double first[COUNT];

static double seconds(struct timespec t) { return t.tv_sec + t.tv_nsec / 1e9; }

static double now(clockid_t clock, int by_call)
{
	struct timespec t = {0};
	if (by_call ? syscall(SYS_clock_gettime, clock, &t) : clock_gettime(clock, &t))
		return -1;
	return seconds(t);
}

// Hundreds of seconds: nothing here takes as long.
static long hundreds(double s) { return (long)((s + (s < 0 ? -50 : 50)) / 100) * 100; }

static double uptime(void)
{
	double up = -1;
	FILE *file = fopen("/proc/uptime", "r");
	if (!file || fscanf(file, "%lf", &up) != 1) return -1;
	fclose(file);
	return up;
}

// By how much the clocks are ahead of those of the first namespace.
static void clocks(const char *where)
{
	struct sysinfo info;
	printf("%s:", where);
	for (unsigned i = 0; i < COUNT; i++)
		printf(" %+ld %+ld", hundreds(now(CLOCKS[i], 0) - first[i]), hundreds(now(CLOCKS[i], 1) - first[i]));
	sysinfo(&info);
	double up = now(CLOCK_BOOTTIME, 0);
	printf(" uptime %+ld %+ld\n", hundreds(uptime() - up), hundreds(info.uptime - up));
	fflush(stdout);
}

static double began;
static void begins(void) { began = now(CLOCK_REALTIME, 0); }

// So many seconds from now, from when on it is looked how long it takes.
static struct timespec in(clockid_t clock, double s)
{
	begins();
	double at = now(clock, 1) + s;
	return (struct timespec){ (time_t)at, (long)((at - (time_t)at) * 1e9) };
}

// Whether it took as long as it should.
static void took(double s)
{
	double passed = now(CLOCK_REALTIME, 0) - began;
	printf(passed > s - 0.02 && passed < s + 30 ? "    as long as it should\n" : "    took %.3f\n", passed);
}

static void fired(int signal) { (void)signal; }

static void waits(clockid_t clock)
{
	struct timespec t = in(clock, 0.1);
	SAY(clock_nanosleep(clock, TIMER_ABSTIME, &t, NULL)); took(0.1);
	t = in(clock, -50);
	SAY(clock_nanosleep(clock, TIMER_ABSTIME, &t, NULL)); took(0);
	t = (struct timespec){ 0, 100000000 };
	begins(); SAY(clock_nanosleep(clock, 0, &t, NULL)); took(0.1);
	t = (struct timespec){ 0, 1000000000 };
	SAY(clock_nanosleep(clock, TIMER_ABSTIME, &t, NULL));
	SAY(syscall(SYS_clock_nanosleep, clock, TIMER_ABSTIME, 1, NULL));

	uint64_t times = 0;
	int fd = timerfd_create(clock, 0);
	struct itimerspec timer = { .it_value = in(clock, 0.1) }, old;
	SAY(timerfd_settime(fd, TFD_TIMER_ABSTIME, &timer, NULL));
	SAY(read(fd, &times, sizeof times)); took(0.1);
	timer.it_value = in(clock, -50);
	SAY(timerfd_settime(fd, TFD_TIMER_ABSTIME, &timer, NULL));
	SAY(read(fd, &times, sizeof times)); took(0);
	timer.it_value = in(clock, 1000);
	SAY(timerfd_settime(fd, TFD_TIMER_ABSTIME, &timer, &old));
	timer.it_value = (struct timespec){0};
	SAY(timerfd_settime(fd, TFD_TIMER_ABSTIME, &timer, &old));
	SAY(hundreds(seconds(old.it_value)));
	SAY(timerfd_gettime(fd, &old));
	SAY(old.it_value.tv_sec || old.it_value.tv_nsec);
	close(fd);

	timer_t id, other;
	struct sigevent none = { .sigev_notify = SIGEV_NONE };
	SAY(timer_create(CLOCK_REALTIME, &none, &other));
	SAY(timer_create(clock, &none, &id));
	timer.it_value = in(clock, 1000);
	SAY(timer_settime(id, TIMER_ABSTIME, &timer, NULL));
	SAY(timer_gettime(id, &old));
	SAY(hundreds(seconds(old.it_value)));
	timer.it_value = in(CLOCK_REALTIME, 1000);
	SAY(timer_settime(other, TIMER_ABSTIME, &timer, NULL));
	SAY(timer_gettime(other, &old));
	SAY(hundreds(seconds(old.it_value)));
	timer_delete(id);
	timer_delete(other);
}

static void futexes(void)
{
	uint32_t word = 0;
	struct timespec t = in(CLOCK_MONOTONIC, 0.1);
	SAY(syscall(SYS_futex, &word, FUTEX_WAIT_BITSET, 0, &t, NULL, -1)); took(0.1);
	t = in(CLOCK_REALTIME, 0.1);
	SAY(syscall(SYS_futex, &word, FUTEX_WAIT_BITSET | FUTEX_CLOCK_REALTIME, 0, &t, NULL, -1)); took(0.1);
	t = (struct timespec){ 0, 100000000 };
	begins(); SAY(syscall(SYS_futex, &word, FUTEX_WAIT, 0, &t)); took(0.1);
	struct { uint64_t val, uaddr; uint32_t flags, reserved; } waiter = { 0, (uint64_t)&word, 2, 0 };
	t = in(CLOCK_MONOTONIC, 0.1);
	SAY(syscall(449, &waiter, 1, 0, &t, CLOCK_MONOTONIC)); took(0.1);
	t = in(CLOCK_REALTIME, 0.1);
	SAY(syscall(449, &waiter, 1, 0, &t, CLOCK_REALTIME)); took(0.1);
	t = in(CLOCK_MONOTONIC, 0.1);
	SAY(syscall(455, &word, 0L, -1, 2, &t, CLOCK_MONOTONIC)); took(0.1);
}

static void sleeps(void)
{
	struct timespec t = in(CLOCK_BOOTTIME, 0.5);
	int given;
	SAY(given = clock_nanosleep(CLOCK_BOOTTIME, TIMER_ABSTIME, &t, NULL));
	if (given == 0)
		took(0.5);
}

static void signals(void)
{
	asleep(sleeps);
	SAY(kill(child, SIGSTOP));
	usleep(20000);
	SAY(kill(child, SIGCONT));
	joined();
	asleep(sleeps);
	SAY(kill(child, SIGUSR1));
	joined();
}

// Another program, in the namespaces of this one's children.
static void again(char **argv)
{
	char text[COUNT][32], *args[COUNT + 3] = { argv[0], "again" };
	pid_t pid;
	fflush(stdout);
	for (unsigned i = 0; i < COUNT; i++) {
		snprintf(text[i], sizeof text[i], "%.9f", first[i]);
		args[i + 2] = text[i];
	}
	if (posix_spawn(&pid, argv[0], NULL, NULL, args, NULL) == 0)
		waitpid(pid, NULL, 0);
}

static long offsets(const char *text)
{
	int fd = open("/proc/self/timens_offsets", O_WRONLY);
	long written = write(fd, text, strlen(text));
	int error = errno;
	close(fd);
	errno = error;
	return written;
}

int main(int argc, char **argv)
{
	if (argc > 2) {
		for (unsigned i = 0; i < COUNT; i++)
			first[i] = strtod(argv[i + 2], NULL);
		clocks("again");
		return 0;
	}
	alarm(300);
	// Whatever its flags, a handler ends clock_nanosleep.
	sigaction(SIGUSR1, &(struct sigaction){ .sa_handler = fired, .sa_flags = SA_RESTART }, NULL);
	for (unsigned i = 0; i < COUNT; i++)
		first[i] = now(CLOCKS[i], 0);
	clocks("first");
	SAY(unshare(NEWTIME));
	SAY(offsets("monotonic 5000 0\nboottime 1000000 500000000\n"));
	clocks("unshared");
	again(argv);
	begin();
	if (child == 0) {
		clocks("child");
		waits(CLOCK_MONOTONIC);
		waits(CLOCK_BOOTTIME);
		futexes();
		signals();
		again(argv);
		SAY(unshare(NEWTIME));
		SAY(offsets("monotonic -1 0\n"));
		begin();
		if (child == 0) {
			clocks("grandchild");
			exit(0);
		}
		joined();
		exit(0);
	}
	joined();
	SAY(offsets("monotonic 1 0\n"));
	int new = open("/proc/self/ns/time_for_children", O_RDONLY), old = open("/proc/self/ns/time", O_RDONLY);
	SAY(setns(new, NEWTIME));
	clocks("entered");
	waits(CLOCK_MONOTONIC);
	again(argv);
	SAY(setns(old, 0));
	clocks("left");
	waits(CLOCK_MONOTONIC);
	again(argv);
	return 0;
}
