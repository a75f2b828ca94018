// Package secretfile reads and writes small files that only their owner may read: credentials, keys,
// certificates, join tokens.
//
//	b, err := secretfile.Read(path, 1<<20)       // refuses files that others may read, and huge ones
//	err = secretfile.Write(path, b)              // whole or not at all, mode 0600, survives a power cut
//	unlock, err := secretfile.Lock(path)         // one editor at a time, between processes
//	go secretfile.Watch(ctx, time.Second, secretfile.Digest(path), reload, path)
//
// [Watch] looks at contents, once an interval. That needs no kernel facility, so it also works on network
// file systems, through symbolic links and after an atomic replacement, and no coarse time stamp hides a
// change; for files of kilobytes it costs microseconds.
//
// The package does not know what is in the files, does not encrypt, and is no store for data.
package secretfile
