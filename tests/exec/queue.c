// A command for message queues: queue send NAME PRIORITY TEXT, queue receive NAME, queue unlink NAME.
#include "child.h"
#include <fcntl.h>
#include <mqueue.h>

int main(int argc, char **argv)
{
	char text[64] = "";
	unsigned priority = 0;
	if (argc < 3)
		return 2;
	if (strcmp(argv[1], "unlink") == 0) {
		SAY(mq_unlink(argv[2]));
		return 0;
	}
	struct mq_attr attr = { .mq_maxmsg = 2, .mq_msgsize = sizeof text };
	mqd_t queue = mq_open(argv[2], O_CREAT | O_RDWR | O_NONBLOCK, 0600, &attr);
	if (argc == 5)
		SAY(mq_send(queue, argv[4], strlen(argv[4]), atoi(argv[3])));
	else {
		SAY(mq_receive(queue, text, sizeof text, &priority));
		printf("%s, of priority %u\n", text, priority);
	}
	return 0;
}
