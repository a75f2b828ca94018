// Package fault is a file system in memory that fails on purpose.
//
// It keeps, beside what a process sees, what is durable, and after [FS.Crash] it may be in any
// state that package disk's two rules permit: pages written and not synced are dropped, kept or
// torn between sectors, each on its own; names not synced are old or new, in order or not. A killed
// process, [FS.Kill], loses nothing but its locks.
//
// [FS.Hook] is asked before every operation and may let it fail, cut it short, lie about it or pull
// the plug. Operations are numbered, so that a test can run the same work again and crash it at
// every one of them:
//
//	for n := uint64(0); ; n++ {
//		fs := fault.New(seed)
//		fs.Hook = fault.CrashAt(n)
//		work(fs)
//		if !fs.Crashed() {
//			break
//		}
//		check(fs.Crash(seed))
//	}
//
// After a Sync that fails, some of its pages are durable, and others are neither durable nor dirty
// any more: a later Sync succeeds without writing them, as Linux does. What is durable can be
// damaged with [FS.Edit], and made unreadable with [FS.Spoil].
//
// The same calls with the same seeds give the same results: there is no clock, no goroutine and no
// global state. Directories are durable as soon as they are made, space is counted by file length,
// and nothing takes time: a simulator that wants a slow disk charges for what [FS.Hook] sees.
package fault
