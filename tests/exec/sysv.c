// Calls on System V objects, blocking ones too, and what each gives: the same on any Linux. No number of a process is told, and
// no time.
#include "child.h"
#include <stdint.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <time.h>

union semun { int val; void *buf; unsigned short *array; };
struct message { long type; char text[64]; };

static pid_t parent;

static const char *who(pid_t pid)
{
	return pid == 0 ? "nobody" : pid == parent ? "parent" : pid == child ? "child" : "stranger";
}

static void on_signal(int signo) { (void)signo; }

static void handle(int signo, int flags)
{
	struct sigaction action = { .sa_handler = on_signal, .sa_flags = flags };
	sigaction(signo, &action, NULL);
}

static int queue, set, segment;

static void receive(void)
{
	struct message m = { 0 };
	SAY(msgrcv(queue, &m, sizeof m.text, 7, 0));
	printf("got %ld %s\n", m.type, m.text);
}

static void send_large(void)
{
	struct message m = { 9, "large" };
	SAY(msgsnd(queue, &m, 60, 0));
}

static void messages(void)
{
	struct message m = { 3, "three" };
	struct msqid_ds ds;
	SAY(queue = msgget(42, IPC_CREAT | 0600));
	SAY(msgget(42, IPC_CREAT | IPC_EXCL | 0600));
	SAY(msgget(43, 0));
	SAY(msgsnd(queue, &m, 6, 0));
	m.type = 0;
	SAY(msgsnd(queue, &m, 6, 0));
	SAY(msgsnd(queue, NULL, 6, 0));
	SAY(msgsnd(-1, &m, 6, 0));
	SAY(msgctl(queue, IPC_STAT, &ds));
	printf("%lu messages, %lu bytes, mode %o, sent by %s, received by %s\n", ds.msg_qnum, ds.__msg_cbytes,
	       ds.msg_perm.mode, who(ds.msg_lspid), who(ds.msg_lrpid));
	SAY(msgrcv(queue, &m, 2, 0, IPC_NOWAIT));
	SAY(msgrcv(queue, &m, 2, 0, MSG_NOERROR));
	SAY(msgrcv(queue, &m, 2, 0, IPC_NOWAIT));
	asleep(receive);
	m.type = 5;
	SAY(msgsnd(queue, &m, 6, 0));
	m.type = 7;
	strcpy(m.text, "seven");
	SAY(msgsnd(queue, &m, 6, 0));
	joined();
	SAY(msgctl(queue, IPC_STAT, &ds));
	printf("%lu messages, received by %s\n", ds.msg_qnum, who(ds.msg_lrpid));
	ds.msg_qbytes = 64;
	ds.msg_perm.mode = 0622;
	SAY(msgctl(queue, IPC_SET, &ds));
	asleep(send_large);
	SAY(msgrcv(queue, &m, sizeof m.text, 5, 0));
	joined();
	SAY(msgrcv(queue, &m, sizeof m.text, 0, 0));
	// The handler ends the wait, whatever it was set with; a signal without a handler does not.
	handle(SIGUSR1, SA_RESTART);
	asleep(receive);
	kill(child, SIGSTOP);
	kill(child, SIGCONT);
	usleep(100000);
	kill(child, SIGUSR1);
	joined();
	asleep(receive);
	SAY(msgctl(queue, IPC_RMID, NULL));
	joined();
	SAY(msgctl(queue, IPC_STAT, &ds));
	SAY(msgctl(0, 99, NULL));
}

static void down(void)
{
	struct sembuf op = { 1, -2, SEM_UNDO };
	SAY(semop(set, &op, 1));
}

static void zero(void)
{
	struct sembuf op = { 1, 0, 0 };
	SAY(semop(set, &op, 1));
}

static void down_in_time(void)
{
	struct timespec time = { 0, 50 * 1000 * 1000 };
	struct sembuf op = { 1, -9, 0 };
	SAY(semtimedop(set, &op, 1, &time));
	time.tv_nsec = -1;
	SAY(semtimedop(set, &op, 1, &time));
	time.tv_sec = time.tv_nsec = 0;
	SAY(semtimedop(set, &op, 1, &time));
}

static void semaphores(void)
{
	unsigned short values[3] = { 1, 0, 3 }, back[3];
	struct semid_ds ds;
	struct sembuf up = { 1, 2, 0 }, both[2] = { { 0, -1, 0 }, { 1, -1, IPC_NOWAIT } };
	SAY(set = semget(IPC_PRIVATE, 3, 0600));
	SAY(semctl(set, 0, SETALL, (union semun){ .array = values }));
	SAY(semctl(set, 0, SETALL, (union semun){ .array = NULL }));
	SAY(semctl(set, 0, GETALL, (union semun){ .array = back }));
	printf("%u %u %u\n", back[0], back[1], back[2]);
	SAY(semctl(set, 2, GETVAL));
	SAY(semctl(set, 3, GETVAL));
	SAY(semop(set, both, 2));
	SAY(semop(set, both, 0));
	SAY(semop(set, NULL, 1));
	SAY(semctl(set, 0, GETVAL));
	SAY(semctl(set, 0, IPC_STAT, (union semun){ .buf = &ds }));
	printf("%lu semaphores, mode %o, last operation %s\n", ds.sem_nsems, ds.sem_perm.mode, ds.sem_otime ? "made" : "none");
	asleep(down);
	SAY(semctl(set, 1, GETNCNT));
	SAY(semctl(set, 1, GETZCNT));
	SAY(semop(set, &up, 1));
	// It is undone when the child ends.
	joined();
	SAY(semctl(set, 1, GETVAL));
	printf("last changed by %s\n", who(semctl(set, 1, GETPID)));
	asleep(zero);
	SAY(semctl(set, 1, GETNCNT));
	SAY(semctl(set, 1, GETZCNT));
	SAY(semctl(set, 1, SETVAL, (union semun){ .val = 0 }));
	joined();
	SAY(semctl(set, 1, SETVAL, (union semun){ .val = 40000 }));
	down_in_time();
	handle(SIGUSR1, SA_RESTART);
	asleep(down);
	kill(child, SIGUSR1);
	joined();
	asleep(down);
	SAY(semctl(set, 0, IPC_RMID));
	joined();
}

static long attached(void)
{
	struct shmid_ds ds;
	return shmctl(segment, IPC_STAT, &ds) ? -1 : (long)ds.shm_nattch;
}

static void memory(void)
{
	struct shmid_ds ds;
	SAY(segment = shmget(44, 10000, IPC_CREAT | 0600));
	SAY(shmget(44, 20000, 0600));
	char *room = mmap(NULL, 64 * 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	munmap(room, 64 * 4096);
	volatile int *at = shmat(segment, room, 0);
	printf("attached %d, zero %d\n", at == (void *)room, at[2000] == 0);
	SAY(attached());
	SAY(shmat(segment, (char *)at + 1, 0));
	SAY(shmat(segment, (void *)at, 0));
	SAY(shmat(segment, NULL, SHM_REMAP));
	SAY(shmat(77, NULL, 0));
	int *low = shmat(segment, room + 20 * 4096 + 5, SHM_RND);
	printf("rounded %d\n", (char *)low == room + 20 * 4096);
	low[1] = 6;
	int *read_only = shmat(segment, NULL, SHM_RDONLY);
	printf("the same memory %d %d\n", at[1], read_only[1]);
	SAY(attached());
	begin();
	if (child == 0) {
		SAY(attached());
		at[3] = 7;
		SAY(shmdt(low));
		SAY(attached());
		read_only[0] = 1;
		_exit(0);
	}
	joined();
	printf("written by the child %d\n", at[3]);
	SAY(attached());
	SAY(shmctl(segment, IPC_STAT, &ds));
	printf("%zu bytes, mode %o, made by %s, last used by %s\n", ds.shm_segsz, ds.shm_perm.mode, who(ds.shm_cpid),
	       who(ds.shm_lpid));
	SAY(shmdt(low));
	SAY(shmdt(low));
	SAY(shmdt(read_only));
	SAY(shmctl(segment, IPC_RMID, NULL));
	SAY(shmctl(segment, IPC_STAT, &ds));
	printf("mode %o, key %d, still there %d\n", ds.shm_perm.mode, ds.shm_perm.__key, at[3]);
	SAY(shmget(44, 0, 0));
	begin();
	if (child == 0) {
		int *again = shmat(segment, NULL, 0);
		printf("attached again %d\n", again != (void *)-1 && again[3] == 7);
		fflush(stdout);
		execl("/bin/true", "true", NULL);
	}
	joined();
	SAY(attached());
	SAY(shmdt((void *)at));
	SAY(attached());
}

static void limits(void)
{
	struct msginfo msg;
	struct seminfo sem;
	struct shminfo shm;
	struct shm_info used;
	SAY(msgctl(0, IPC_INFO, (void *)&msg));
	printf("%d %d %d %d %d %d %d %u\n", msg.msgpool, msg.msgmap, msg.msgmax, msg.msgmnb, msg.msgmni, msg.msgssz, msg.msgtql,
	       msg.msgseg);
	SAY(msgctl(0, MSG_INFO, (void *)&msg));
	printf("%d %d %d\n", msg.msgpool, msg.msgmap, msg.msgtql);
	SAY(semctl(0, 0, IPC_INFO, (union semun){ .buf = &sem }));
	printf("%d %d %d %d %d %d %d %d %d %d\n", sem.semmap, sem.semmni, sem.semmns, sem.semmnu, sem.semmsl, sem.semopm,
	       sem.semume, sem.semusz, sem.semvmx, sem.semaem);
	SAY(semctl(0, 0, SEM_INFO, (union semun){ .buf = &sem }));
	printf("%d %d\n", sem.semusz, sem.semaem);
	SAY(shmctl(0, IPC_INFO, (void *)&shm));
	printf("%lu %lu %lu %lu %lu\n", shm.shmmax, shm.shmmin, shm.shmmni, shm.shmseg, shm.shmall);
	SAY(shmctl(0, SHM_INFO, (void *)&used));
	printf("%d %lu\n", used.used_ids, used.shm_tot);
}

int main(void)
{
	parent = getpid();
	limits();
	messages();
	semaphores();
	memory();
	return 0;
}
