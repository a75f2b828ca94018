// Package probe reads what a trial cost the machine: processor time, memory, and where packets were
// lost on their way through the kernel.
//
// A [Target] names what belongs to one trial; [Read] takes a [Snapshot] of it, and [Between] turns
// two snapshots into a [Delta]. Parsers of the kernel's files are pure functions of bytes, golden-tested;
// the readers round them are thin.
//
// # What the figures are worth
//
//   - Thread times ([Sched]) come from /proc/<pid>/task/<tid>/schedstat: the scheduler's own
//     nanoseconds, not samples. The kernel updates a running thread's figure at its tick, so each
//     reading is late by up to one tick (4 ms at HZ 250). Process times ([Process.ClockNS]) come from
//     the process's CPU-time clock, are exact to the moment, and include threads that have ended:
//     use one to check the other.
//   - The user/system/softirq split ([CPUTimes]) is *sampled*: at each tick, whatever the core
//     was doing is charged with the whole tick. Inline softirq work is charged to whom it
//     interrupted. Columns made from it say "sampled".
//   - Time in a kernel thread, such as a device's NAPI thread, belongs to no process of the trial:
//     name the thread in [Target.Threads], or half of the kernel path is missing from the sum.
//   - Memory: VmHWM does not contain hugepages, and neither contains the bytes queued in sockets, which
//     belong to the kernel, nor an AF_XDP socket's UMEM when it lies in hugepages. They are columns
//     apart. SO_MEMINFO can only be read by the socket's owner, so the device under test reports it;
//     [UDPSocket] is the same queue seen from outside.
//   - rusage: ru_maxrss survives exec. A child of a process that once held 300 MB reports 300 MB
//     itself, so [FromRusage] of a child started by a big parent is an upper bound. VmHWM starts
//     anew at exec; prefer it, and use rusage as a check through a small launcher.
//   - Kernel counters ([Net]) are those of one network namespace. UDP errors contain the errors
//     for want of buffer space and for checksums: never add the three.
//
// The package does NOT decide what a loss means (package record's ledger does), sample over time,
// use hardware performance counters, or trace.
package probe
