// Calls on POSIX message queues, and what each gives: the same on any Linux. No number of a process is told, and no time.
#include "child.h"
#include <fcntl.h>
#include <mqueue.h>
#include <poll.h>
#include <semaphore.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <linux/netlink.h>
#include <time.h>

// What a call that opens gave.
#define OPENED(call) do { errno = 0; long r = (long)(call); \
	printf("%s %s %s\n", #call, r == -1 ? "fails" : "opens", r == -1 ? strerrorname_np(errno) : ""); } while (0)

static volatile siginfo_t got;

static void on_signal(int signo, siginfo_t *info, void *context)
{
	(void)signo, (void)context;
	*(siginfo_t *)&got = *info;
}

static void handle(int flags)
{
	struct sigaction action = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | flags };
	sigaction(SIGUSR1, &action, NULL);
}

static mqd_t queue;

static void receive(void)
{
	char text[64] = "";
	unsigned prio = 0;
	SAY(mq_receive(queue, text, sizeof text, &prio));
	printf("got %s of priority %u\n", text, prio);
}

static void send_more(void) { SAY(mq_send(queue, "more", 5, 1)); }

static void attributes(const char *when)
{
	struct mq_attr attr;
	mq_getattr(queue, &attr);
	printf("%s: flags %#lx, %ld of %ld messages of %ld bytes\n", when, attr.mq_flags, attr.mq_curmsgs, attr.mq_maxmsg,
	       attr.mq_msgsize);
}

static int ready(void)
{
	struct pollfd polled = { queue, POLLIN | POLLOUT, 0 };
	poll(&polled, 1, 0);
	return polled.revents;
}

static void opening(void)
{
	struct mq_attr attr = { .mq_maxmsg = 2, .mq_msgsize = 16 };
	OPENED(mq_open("/none", O_RDWR));
	OPENED(queue = mq_open("/q", O_RDWR | O_CREAT | O_EXCL, 0640, &attr));
	OPENED(mq_open("/q", O_RDWR | O_CREAT | O_EXCL, 0640, &attr));
	attr.mq_maxmsg = 0;
	OPENED(mq_open("/bad", O_RDWR | O_CREAT, 0640, &attr));
	OPENED(mq_open("q", O_RDWR));
	OPENED(mq_open("/a/b", O_RDWR | O_CREAT, 0600, NULL));
	attributes("new");
	struct stat st;
	SAY(fstat(queue, &st));
	printf("mode %o\n", st.st_mode);
	printf("closed by exec %d\n", fcntl(queue, F_GETFD) & FD_CLOEXEC);
	int reads = mq_open("/q", O_RDONLY | O_NONBLOCK);
	SAY(mq_send(reads, "x", 2, 0));
	char text[64];
	SAY(mq_receive(reads, text, 64, NULL));
	SAY(write(queue, "x", 1));
	SAY(mq_close(reads));
	SAY(mq_send(reads, "x", 2, 0));
	SAY(mq_send(0, "x", 2, 0));
}

static void messages(void)
{
	char text[64];
	unsigned prio;
	struct timespec past = { 1, 0 }, none = { 0, -1 };
	SAY(mq_send(queue, "low", 4, 1));
	SAY(mq_send(queue, "high", 5, 9));
	SAY(mq_send(queue, "seventeen bytes..", 17, 9));
	SAY(mq_send(queue, "x", 2, 40000));
	SAY(mq_timedsend(queue, "more", 5, 1, &past));
	SAY(mq_timedsend(queue, "more", 5, 1, &none));
	printf("ready for %#x\n", ready());
	SAY(mq_receive(queue, text, 15, &prio));
	asleep(send_more);
	SAY(mq_receive(queue, text, 64, &prio));
	joined();
	printf("%s %u\n", text, prio);
	SAY(mq_receive(queue, text, 64, &prio));
	SAY(mq_receive(queue, text, 64, NULL));
	printf("%s, ready for %#x\n", text, ready());
	SAY(mq_timedreceive(queue, text, 64, NULL, &past));
	struct mq_attr attr = { .mq_flags = O_NONBLOCK }, old;
	SAY(mq_setattr(queue, &attr, &old));
	attributes("set");
	printf("open with %#x\n", fcntl(queue, F_GETFL) & (O_NONBLOCK | O_ACCMODE));
	SAY(mq_receive(queue, text, 64, NULL));
	attr.mq_flags = 1;
	SAY(mq_setattr(queue, &attr, NULL));
	fcntl(queue, F_SETFL, 0);
	asleep(receive);
	SAY(mq_send(queue, "woken", 6, 3));
	joined();
}

// A poller is woken, and whoever interrupts a receiver.
static void waiting(void)
{
	struct epoll_event event = { .events = EPOLLIN };
	int epoll = epoll_create1(0);
	SAY(epoll_ctl(epoll, EPOLL_CTL_ADD, queue, &event));
	SAY(epoll_wait(epoll, &event, 1, 0));
	begin();
	if (child == 0) {
		usleep(100000);
		mq_send(queue, "poll", 5, 0);
		_exit(0);
	}
	SAY(epoll_wait(epoll, &event, 1, 20000));
	joined();
	receive();
	handle(0);
	asleep(receive);
	kill(child, SIGUSR1);
	joined();
	handle(SA_RESTART);
	asleep(receive);
	kill(child, SIGUSR1);
	usleep(50000);
	SAY(mq_send(queue, "again", 6, 0));
	joined();
}

static void notices(void)
{
	struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1, .sigev_value.sival_int = 77 };
	char text[64];
	handle(0);
	SAY(mq_notify(queue, &event));
	SAY(mq_notify(queue, &event));
	begin();
	if (child == 0) {
		SAY(mq_notify(queue, &event));
		SAY(mq_send(queue, "first", 6, 0));
		SAY(mq_send(queue, "second", 7, 0));
		fflush(stdout);
		_exit(0);
	}
	joined();
	printf("signal %d, code %d, value %d, by the child %d\n", got.si_signo, got.si_code, got.si_value.sival_int,
	       got.si_pid == child);
	memset((void *)&got, 0, sizeof got);
	mq_receive(queue, text, 64, NULL);
	mq_receive(queue, text, 64, NULL);
	SAY(mq_send(queue, "third", 6, 0));
	printf("told once: signal %d\n", got.si_signo);
	mq_receive(queue, text, 64, NULL);
	// Who waits for a message gets it without anybody being told.
	SAY(mq_notify(queue, &event));
	asleep(receive);
	SAY(mq_send(queue, "taken", 6, 0));
	joined();
	printf("signal %d\n", got.si_signo);
	// A process that closes any descriptor of the queue is told no more.
	int other = dup(queue);
	SAY(mq_close(other));
	SAY(mq_send(queue, "closed", 7, 0));
	printf("signal %d\n", got.si_signo);
	mq_receive(queue, text, 64, NULL);
	event.sigev_signo = 99;
	SAY(mq_notify(queue, &event));
	event.sigev_notify = SIGEV_NONE;
	SAY(mq_notify(queue, &event));
	SAY(mq_notify(queue, NULL));
	SAY(mq_notify(0, &event));
}

static sem_t ran;
static char ran_with[64];

static void on_notice(union sigval value)
{
	char text[64];
	unsigned prio = 0;
	long length = mq_receive(queue, text, sizeof text, &prio);
	snprintf(ran_with, sizeof ran_with, "value %d, %ld bytes of priority %u", value.sival_int, length, prio);
	sem_post(&ran);
}

// A thread of the process is started for a message, as often as it asks.
static void threads(void)
{
	struct sigevent event = { .sigev_notify = SIGEV_THREAD, .sigev_notify_function = on_notice };
	sem_init(&ran, 0, 0);
	for (int round = 1; round <= 3; round++) {
		event.sigev_value.sival_int = round;
		SAY(mq_notify(queue, &event));
		SAY(mq_notify(queue, &event));
		begin();
		if (child == 0) {
			SAY(mq_send(queue, "thread", 7, round));
			fflush(stdout);
			_exit(0);
		}
		joined();
		sem_wait(&ran);
		printf("%s\n", ran_with);
	}
	SAY(mq_notify(queue, &event));
	SAY(mq_notify(queue, NULL));
	SAY(mq_send(queue, "nobody", 7, 0));
	receive();
	// By calls of the kernel: the socket gets the cookie, also where there will be no notice.
	char cookie[32] = "a cookie", got[64];
	int socket_fd = socket(AF_NETLINK, SOCK_RAW, 0), dummy = socket(AF_UNIX, SOCK_STREAM, 0);
	struct sigevent raw = { .sigev_notify = SIGEV_THREAD, .sigev_value.sival_ptr = cookie };
	for (int other = 0; other < 3; other++) {
		raw.sigev_signo = (int[]){ 99, 0, dummy }[other];
		SAY(syscall(SYS_mq_notify, queue, &raw));
	}
	raw.sigev_signo = socket_fd;
	SAY(syscall(SYS_mq_notify, queue, &raw));
	SAY(mq_send(queue, "woken", 6, 0));
	SAY(recv(socket_fd, got, sizeof got, 0));
	printf("%s, %d\n", got, got[31]);
	receive();
	SAY(syscall(SYS_mq_notify, queue, &raw));
	SAY(mq_notify(queue, NULL));
	SAY(recv(socket_fd, got, sizeof got, 0));
	printf("%s, %d\n", got, got[31]);
	raw.sigev_value.sival_ptr = NULL;
	SAY(syscall(SYS_mq_notify, queue, &raw));
	close(socket_fd);
	close(dummy);
}

static void ending(void)
{
	char text[64];
	SAY(mq_send(queue, "kept", 5, 0));
	SAY(mq_unlink("/q"));
	SAY(mq_unlink("/q"));
	OPENED(mq_open("/q", O_RDWR));
	SAY(mq_receive(queue, text, 64, NULL));
	printf("%s\n", text);
	mqd_t old = queue;
	OPENED(queue = mq_open("/q", O_RDWR | O_CREAT, 0600, NULL));
	attributes("anew");
	SAY(mq_send(old, "old", 4, 0));
	attributes("other");
	SAY(mq_close(old));
	SAY(mq_close(queue));
	SAY(mq_unlink("/q"));
}

int main(void)
{
	umask(022);
	opening();
	messages();
	waiting();
	notices();
	threads();
	ending();
	return 0;
}
