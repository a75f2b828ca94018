package vswitchd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
)

// Command is "vswitch", to be added to a program's commands.
func Command() *cobra.Command {
	var cfg Config
	var ports []string
	var control string
	var untilEOF bool
	cmd := &cobra.Command{
		Use:   "vswitch",
		Short: "Run a software switch with bad weather: memif ports or the kernel's, multicast, impairments",
		Long: `Run a software switch on DPDK. Each --port listens on a memif socket, to which one node connects
as client: a cluster file with "port: {kind: dpdk, mode: memif}" names the same paths as its nodes' "device".
A port name=if:DEVICE is a device of the kernel's instead, the near end of a veth pair, so that what befalls
kernel sockets is seeded too; nodes at the far ends run ethtool -K DEVICE tx off.

Commands are JSON objects, one a line, on standard input and on the --control socket; a line answers each:

  {"cmd":"impair","from":"proxy-1","to":"*","loss":0.01}           links of these ports, "*": all; 0 to 1
  {"cmd":"impair","from":"*","to":"*","burst":{"enter":0.001,"leave":0.2,"bad":1}}      Gilbert-Elliott
  {"cmd":"impair","from":"*","to":"*","delay":"1ms","jitter":"200us","reorder":0.01,"reorder_by":"500us"}
  {"cmd":"impair","from":"*","to":"*","loss":0.01,"datagrams":true}  chance spares all but UDP
  {"cmd":"impair","from":"replica-0","to":"replica-1","cut":true}  one direction only
  {"cmd":"impair","from":"*","to":"replica-2","duplicate":0.01,"corrupt":0.001,"rate":1000000000,"queue":9000}
  {"cmd":"dead","to":"replica-0","queues":[0]}                     these queues deliver nothing, its others do
  {"cmd":"clear"}     all links and queues as good as new
  {"cmd":"stats"}     counters of the switch, its ports and links
  {"cmd":"quit"}

The switch prints {"event":"ready"} when its ports are open, and ends at SIGTERM, or with "quit".`,
		Example: `  lab vswitch --port replica-0=/tmp/r0.sock --port proxy-1=/tmp/p1.sock,queues=2 \
    --control /tmp/c.sock
  echo '{"cmd":"stats"}' | socat - UNIX:/tmp/c.sock`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if cfg.Ports, err = ParsePorts(ports); err != nil {
				return err
			}
			return run(cmd, cfg, control, untilEOF)
		},
	}
	f := cmd.Flags()
	f.StringArrayVar(&ports, "port", nil,
		"a port, name=socket, name=socket,queues=N or name=if:DEVICE; repeat it")
	f.StringVar(&control, "control", "", "unix socket for commands; none if empty")
	f.BoolVar(&untilEOF, "until-eof", false, "end with standard input, and so with the program that holds it")
	f.Uint64Var(&cfg.Seed, "seed", 1, "of all chance")
	f.BoolVar(&cfg.Flood, "flood", false, "multicast to every port instead of those that joined the group")
	f.IntVar(&cfg.Held, "held", 0, "packets that may be held back at one time, 2 KiB each (0: 32768)")
	f.IntVar(&cfg.MemoryMB, "memory", 0, "MB for DPDK (0: enough for the ports)")
	f.IntVar(&cfg.Empty, "empty-polls", 0, "empty polls before it yields, and again before it sleeps (0: 64)")
	f.IntVar(&cfg.CPU, "cpu", -1, "CPU to poll on (-1: any)")
	return cmd
}

func run(cmd *cobra.Command, cfg Config, control string, untilEOF bool) error {
	ctx, end := context.WithCancel(cmd.Context())
	defer end()
	s, err := Open(cfg)
	if err != nil {
		return err
	}
	if control != "" {
		if err := s.Listen(ctx, control); err != nil {
			return errors.Join(err, s.close())
		}
	}
	if err := json.NewEncoder(cmd.OutOrStdout()).Encode(map[string]string{"event": "ready"}); err != nil {
		return errors.Join(fmt.Errorf("vswitch: %w", err), s.close())
	}
	go func() {
		_ = s.Serve(ctx, cmd.InOrStdin(), cmd.OutOrStdout()) // ends with its input, or with us
		if untilEOF {
			end()
		}
	}()
	return s.Run(ctx)
}

// ParsePorts reads --port values.
func ParsePorts(values []string) (ports []Port, err error) {
	for _, v := range values {
		name, rest, ok := strings.Cut(v, "=")
		path, options, more := strings.Cut(rest, ",")
		p := Port{Name: name, Socket: path}
		if device, kernel := strings.CutPrefix(path, "if:"); kernel {
			p.Socket, p.Interface = "", device
			more = more || device == "" // neither has queues
			options = "a device of the kernel's, if:NAME, has no options"
		}
		if !ok || name == "" || path == "" {
			return nil, fmt.Errorf("--port %s: use name=socket or name=socket,queues=N", v)
		}
		if more {
			number, isQueues := strings.CutPrefix(options, "queues=")
			if p.Queues, err = strconv.Atoi(number); err != nil || !isQueues {
				return nil, fmt.Errorf("--port %s: %q: use queues=N", v, options)
			}
		}
		ports = append(ports, p)
	}
	return ports, nil
}
