// Guest is the only program of the emulated machine of package pcivm, except Python and ip(8) for the
// binding code. As its first process it sets the machine up and does what the host says on the second
// serial line; for each NIC it starts itself again, as DPDK starts once a process, to receive lanes
// as a replica's ingest cores do: one goroutine, port and lane.Ingest a queue.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"os"

	"golang.org/x/sys/unix"
)

func main() {
	log.SetFlags(0)
	if os.Getpid() == 1 {
		err := machine()
		log.Print("machine ends: ", err)
		unix.Sync()
		log.Fatal(unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF))
	}
	if err := receive(os.Stdin, os.Stdout); err != nil {
		log.Fatal(err)
	}
}

// readLine reads a line of JSON byte by byte: what follows belongs to whichever process reads next.
func readLine(r io.Reader, to any) error {
	var line []byte
	for b := make([]byte, 1); ; {
		n, err := r.Read(b)
		switch {
		case err != nil && !errors.Is(err, io.EOF):
			return fmt.Errorf("read the host's command: %w", err)
		case n == 0:
			return io.EOF
		case b[0] == '\n':
			return json.Unmarshal(line, to)
		}
		line = append(line, b[0])
	}
}

func writeLine(w io.Writer, answer any) error {
	b, err := json.Marshal(answer)
	if err != nil {
		return err
	}
	_, err = w.Write(append(b, '\n'))
	return err
}
