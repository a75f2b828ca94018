package daemon

import (
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A sleep ends when a descriptor becomes readable, whenever that happens, when somebody wakes the sleeper
// even before it sleeps, and when time is up.
func TestWaiter(t *testing.T) {
	conn, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	c, err := openControl("127.0.0.1:0", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	w, err := newWaiter(c.fd)
	if err != nil {
		t.Fatal(err)
	}
	defer w.close()

	w.prepare()
	w.sleep(time.Millisecond) // time is up

	w.prepare()
	w.wake()
	w.sleep(time.Hour)

	w.prepare()
	go w.wake()
	w.sleep(time.Hour)

	name, err := unix.Getsockname(c.fd)
	if err != nil {
		t.Fatal(err)
	}
	to := &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: name.(*unix.SockaddrInet4).Port}
	for range 100 {
		if _, err := conn.WriteTo([]byte("x"), to); err != nil {
			t.Fatal(err)
		}
		for got := 0; got == 0; got = c.receive(func([]byte) {}) {
			w.prepare()
			w.sleep(time.Hour)
		}
	}
}
