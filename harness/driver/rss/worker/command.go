package worker

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"metronome/harness/load"
	"metronome/system/bench"
	"metronome/system/wire"
)

// Command is "rss", to be added to a program's commands.
func Command() *cobra.Command {
	cmd := &cobra.Command{Use: "rss", Short: "Take frames in on several cores (used by run)",
		Example: "  lab rss receive --help"}
	s := &Setup{Shape: load.Shape{ClusterKey: []byte("metronome test key"), Cluster: 1, Proxy: 1, Window: 1024,
		Mode: wire.ModeXXH3}}
	var ports string
	f := cmd.PersistentFlags()
	f.StringVar(&s.Wire, "wire", Replay, "memif, socket or replay")
	f.StringVar(&s.Socket, "socket", "", "memif: path of the switch's port")
	f.IntVar(&s.Cores, "cores", 1, "receive: cores at work")
	f.BoolVar(&s.Software, "software", false, "receive: the first core receives and hands on to the others")
	f.IntVar(&s.Burst, "burst", 32, "frames a call")
	f.IntVar(&s.Shape.Lanes, "lanes", 1, "lanes")
	f.IntVar(&s.Shape.Items, "items", 1, "items a frame")
	f.IntVar(&s.Shape.KeyBytes, "key-bytes", 8, "bytes of an item's key")
	f.IntVar(&s.Shape.ValueBytes, "value-bytes", 8, "bytes of an item's value")
	f.IntVar(&s.Groups, "groups", 1, "send, socket: UDP ports that lanes are dealt out to")
	f.StringVar(&ports, "ports", "", "send, memif: source port of each lane, with commas")
	serve := map[string]func(io.Reader, *json.Encoder) error{
		"receive": s.serveReceive, "send": s.serveSend, "calibrate": s.serveCalibrate,
	}
	for name, run := range serve {
		cmd.AddCommand(&cobra.Command{Use: name, Short: "One run of " + name, Args: cobra.NoArgs,
			Example: "  lab rss " + name + " --help   its orders, in JSON, are those of harness/driver/rss",
			RunE: func(cmd *cobra.Command, _ []string) (err error) {
				if s.Ports, err = parsePorts(ports); err != nil {
					return err
				}
				out := json.NewEncoder(cmd.OutOrStdout())
				err = run(cmd.InOrStdin(), out)
				bench.TellUnavailable(out, err)
				return err
			}})
	}
	return cmd
}

func parsePorts(list string) (ports []uint16, err error) {
	if list == "" {
		return nil, nil
	}
	for text := range strings.SplitSeq(list, ",") {
		p, err := strconv.ParseUint(text, 10, 16)
		if err != nil {
			return nil, fmt.Errorf("--ports: %q is no UDP port", text)
		}
		ports = append(ports, uint16(p))
	}
	return ports, nil
}

// one says ready, reads what to do, and prints what do made of it.
func one[R any](in io.Reader, out *json.Encoder, do func(load.Run) (R, error)) error {
	if err := out.Encode(load.Ready{Event: "ready"}); err != nil {
		return fmt.Errorf("say ready: %w", err)
	}
	line, err := bufio.NewReader(in).ReadBytes('\n')
	if errors.Is(err, io.EOF) {
		return nil // it is not wanted any more
	}
	var run load.Run
	if err := errors.Join(err, json.Unmarshal(line, &run)); err != nil {
		return fmt.Errorf("read what to do: %w", err)
	}
	result, err := do(run)
	if err != nil {
		return err
	}
	return out.Encode(result)
}

func (s *Setup) serveReceive(in io.Reader, out *json.Encoder) (err error) {
	if err := s.check(); err != nil {
		return err
	}
	ports, end, err := s.open()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, end()) }()
	return one(in, out, func(run load.Run) (Result, error) { return s.receive(ports, run) })
}

func (s *Setup) serveSend(in io.Reader, out *json.Encoder) (err error) {
	if s.Wire == Memif && len(s.Ports) != s.Shape.Lanes {
		return fmt.Errorf("--ports: %d for %d lanes", len(s.Ports), s.Shape.Lanes)
	}
	port, end, err := s.openSend()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, end()) }()
	return one(in, out, func(run load.Run) (load.Done, error) { return s.send(port, run) })
}

func (s *Setup) serveCalibrate(in io.Reader, out *json.Encoder) error {
	return one(in, out, func(run load.Run) (Calibration, error) {
		return s.calibrate(time.Duration(run.DurationNS))
	})
}
