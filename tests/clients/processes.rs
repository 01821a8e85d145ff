//! ps, pstree, top and others: processes, and the machine.

use super::{lab, output, without_branches};

#[test]
fn ps_shows_processes_and_their_namespaces() {
    let Some(lab) = lab(&["ps"]) else { return };
    assert_eq!(
        output(&lab, "ps -eo pid,ppid,user,stat,comm,pidns,netns,mntns,utsns,ipcns,userns"),
        "PID PPID USER STAT COMMAND PIDNS NETNS MNTNS UTSNS IPCNS USERNS\n\
         1 0 root Ss init 4026531836 4026531833 4026531832 4026531838 4026531839 4026531837\n\
         2 1 4711 Ssl web server 4026531836 4026531833 4026531832 4026531838 4026531839 4026531837\n\
         5 1 100000 S boxinit 4026532249 4026532251 4026532247 4026531838 4026532248 4026532246\n\
         6 5 100000 S sh 4026532249 4026532251 4026532247 4026531838 4026532248 4026532246\n\
         7 6 100000 Z job 4026532249 - - - - 4026532246\n\
         9 1 root T a) b 4026531836 4026532321 4026532390 4026531838 4026531839 4026531837\n"
    );
}

#[test]
fn ps_shows_threads() {
    let Some(lab) = lab(&["ps"]) else { return };
    assert_eq!(
        output(&lab, "ps -eLo pid,tid,nlwp,stat,comm"),
        "PID TID NLWP STAT COMMAND\n\
         1 1 1 Ss init\n\
         2 2 3 Ssl web server\n\
         2 3 3 Ssl web server\n\
         2 4 3 Ssl worker\n\
         5 5 1 S boxinit\n\
         6 6 1 S sh\n\
         7 7 1 Z job\n\
         9 9 1 T a) b\n"
    );
}

/// The start by the calendar, the age and the machine's own uptime come from one clock, which stands still.
#[test]
fn ps_has_one_clock_for_all_times() {
    let Some(lab) = lab(&["ps"]) else { return };
    assert_eq!(
        output(&lab, "ps -eo pid,etimes,lstart --no-headers"),
        "1 60 Thu Jan 1 00:00:00 2026\n\
         2 50 Thu Jan 1 00:00:10 2026\n\
         5 40 Thu Jan 1 00:00:20 2026\n\
         6 40 Thu Jan 1 00:00:20 2026\n\
         7 40 Thu Jan 1 00:00:20 2026\n\
         9 29 Thu Jan 1 00:00:30 2026\n"
    );
    assert_eq!(lab.read("proc/uptime").unwrap(), "60.00 120.00\n");
}

#[test]
fn ps_aux_shows_memory_state_and_command_line() {
    let Some(lab) = lab(&["ps"]) else { return };
    // How a start is written depends on the date of the host.
    let listed = output(&lab, "ps aux | awk '{ $9 = \"\"; print }'");
    assert_eq!(
        listed,
        "USER PID %CPU %MEM VSZ RSS TTY STAT TIME COMMAND\n\
         root 1 0.0 0.0 2920 1744 ? Ss 0:00 init\n\
         4711 2 0.0 0.0 2920 1744 ? Ssl 0:00 web server --port 80\n\
         100000 5 0.0 0.0 2920 1744 ? S 0:00 boxinit\n\
         100000 6 0.0 0.0 2920 1744 ? S 0:00 sh -c sleep 60\n\
         100000 7 0.0 0.0 0 0 ? Z 0:00 [job] <defunct>\n\
         root 9 0.0 0.0 2920 1744 ? T 0:00 a) b x y\n"
    );
}

#[test]
fn pstree_draws_processes_and_threads() {
    let Some(lab) = lab(&["pstree"]) else { return };
    assert_eq!(
        output(&lab, "pstree -p"),
        "init(1)-+-a) b(9)\n\
         |-boxinit(5)---sh(6)---job(7)\n\
         `-web server(2)-+-{web server}(3)\n\
         `-{web server}(4)\n"
    );
}

#[test]
fn top_counts_tasks_and_memory() {
    let Some(lab) = lab(&["top"]) else { return };
    let screen = output(&lab, "env TERM=dumb top -b -n1 -w 160");
    let lines: Vec<&str> = screen.lines().collect();
    assert!(lines[0].contains(" up 1 min,") && lines[0].ends_with(" load average: 0.00, 0.00, 0.00"), "{screen}");
    assert_eq!(lines[1], "Tasks: 6 total, 0 running, 4 sleeping, 1 stopped, 1 zombie");
    assert!(lines[2].contains("100.0 id"), "{screen}");
    assert_eq!(lines[3], "MiB Mem : 4096.0 total, 3840.0 free, 192.0 used, 145.0 buff/cache");
    assert_eq!(
        lines[6..],
        [
            "PID USER PR NI VIRT RES SHR S %CPU %MEM TIME+ COMMAND",
            "1 root 20 0 2920 1744 1632 S 0.0 0.0 0:00.00 init",
            "2 4711 20 0 2920 1744 1632 S 0.0 0.0 0:00.00 web server",
            "5 100000 20 0 2920 1744 1632 S 0.0 0.0 0:00.00 boxinit",
            "6 100000 20 0 2920 1744 1632 S 0.0 0.0 0:00.00 sh",
            "7 100000 20 0 0 0 0 Z 0.0 0.0 0:00.00 job",
            "9 root 20 0 2920 1744 1632 T 0.0 0.0 0:00.00 a) b",
        ]
    );
}

#[test]
fn machine_wide_tools_find_their_files() {
    let Some(lab) = lab(&["free", "vmstat", "uptime", "pmap", "pidof"]) else { return };
    assert!(output(&lab, "free").contains("Mem: 4194304 196608 3932160 4096 148480 3997696\n"));
    assert!(output(&lab, "vmstat").contains("\n1 0 0 3932160 1024 147456 0 0 0 0 0 0 0 0 100 "));
    assert!(output(&lab, "uptime").contains(" up 1 min,"));
    assert!(output(&lab, "pmap 2").ends_with("total 2920K\n"));
    assert_eq!(output(&lab, "pidof boxinit"), "5\n");
    assert_eq!(output(&lab, "vmstat -m"), "");
    let settings = output(&lab, "sysctl fs.file-max fs.file-nr kernel.random.boot_id kernel.hostname");
    assert_eq!(
        settings,
        "fs.file-max = 380108\nfs.file-nr = 0 0 380108\nkernel.random.boot_id = 00000000-0000-4000-8000-000000000001\n\
         kernel.hostname = nslab\n"
    );
}

/// Other ways to ask for the same: trees, all columns, single processes.
#[test]
fn tools_show_one_process_or_one_namespace() {
    let Some(lab) = lab(&["lsns", "lsfd", "pstree", "pgrep", "ps"]) else { return };
    assert_eq!(
        without_branches(&output(&lab, "lsns -n -r -o PID,PPID,USER,COMMAND 4026532251")),
        "5 1 100000 boxinit\n6 5 100000 sh\\x20-c\\x20sleep\\x2060\n"
    );
    let of_zombie = output(&lab, "lsns -n -r -p 7 -o NS,TYPE");
    assert_eq!(of_zombie, "4026532246 user\n4026532249 pid\n");
    assert_eq!(
        output(&lab, "lsfd -n -r -p 5 -o ASSOC,INODE,NAME | grep ':\\['"),
        "cgroup 4026532250 cgroup:[4026532250]\n\
         ipc 4026532248 ipc:[4026532248]\n\
         mnt 4026532247 mnt:[4026532247]\n\
         net 4026532251 net:[4026532251]\n\
         pid 4026532249 pid:[4026532249]\n\
         pid4c 4026532249 pid:[4026532249]\n\
         time 4026532320 time:[4026532320]\n\
         time4c 4026532320 time:[4026532320]\n\
         user 4026532246 user:[4026532246]\n\
         uts 4026531838 uts:[4026531838]\n"
    );
    assert_eq!(
        output(&lab, "pstree -Sp"),
        "init(1)-+-a) b(9,mnt,net)\n\
         |-boxinit(5,cgroup,ipc,mnt,net,pid,user,time)---sh(6)---job(7)\n\
         `-web server(2)-+-{web server}(3)\n\
         `-{web server}(4,net)\n"
    );
    let networks = output(&lab, "pstree -N net");
    assert!(networks.starts_with("[4026531833]\ninit---web server---{web server}\n[4026532321]\na) b\n"), "{networks}");
    assert_eq!(
        output(&lab, "ps axjf --no-headers"),
        "0 1 1 1 ? -1 Ss 0 0:00 init\n\
         1 2 2 2 ? -1 Ssl 4711 0:00 web server --port 80\n\
         1 5 1 1 ? -1 S 100000 0:00 boxinit\n\
         5 6 1 1 ? -1 S 100000 0:00 \\_ sh -c sleep 60\n\
         6 7 1 1 ? -1 Z 100000 0:00 \\_ [job] <defunct>\n\
         1 9 1 1 ? -1 T 0 0:00 a) b x y\n"
    );
    assert_eq!(output(&lab, "pgrep -a -u 4711"), "2 web server --port 80\n");
    assert_eq!(output(&lab, "pgrep -f -a sleep"), "6 sh -c sleep 60\n");
}
