package accesscmd

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"metronome/system/access"
)

// FileName is the credential file's name unless a flag says otherwise.
const FileName = "users.yaml"

// User is the command metronome user.
func User() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "user",
		Short: "Who may do what at an edge or a master: the credential file",
		Long: `Who may do what at an edge or a master. The credential file is replaced as a whole, and a running
server takes it up within a second; a file that cannot be used is reported and the one before it stays in use.
Comments survive.`,
	}
	cmd.AddCommand(addCommand(), removeCommand(), passwdCommand(), listCommand(), checkCommand())
	return cmd
}

func fileFlag(cmd *cobra.Command, file *string) {
	cmd.Flags().StringVarP(file, "file", "f", FileName, "the credential file")
}

func addCommand() *cobra.Command {
	var file, role string
	var from secretFlags
	var allow []string
	var u access.User
	cmd := &cobra.Command{
		Use:   "add NAME",
		Short: "Add a user",
		Long: `Add a user. The password is asked for, or read from standard input, or made; it is never an argument,
which others could see. What a user may do is a list of prefixes with verbs: read (get, list, watch), write,
delete; for role edge-backup: backup. A role admin may do everything. What is not allowed is denied.`,
		Example: `  metronome user add sensor-7 --allow 'home/hallway/=read,write' --generate
  metronome user add hallway --role edge-backup --allow 'hallway/=backup' --token
  metronome user add anna --role admin
  pass show edge/anna | metronome user add anna --role admin --password-stdin
  metronome user add lamp-2 --allow 'home/lamp-2/=read,write,delete' --certificate`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			u.Role = access.Role(role)
			var err error
			if u.Rights, err = parseRights(allow); err != nil {
				return err
			}
			needs := !u.Certificate || from.generate || from.token || from.stdin
			return setSecret(cmd, file, args[0], &from, needs, func(f *access.File, s secret) error {
				u.Password, u.Token = s.password, s.token
				return f.Add(args[0], u)
			})
		},
	}
	fileFlag(cmd, &file)
	from.add(cmd)
	cmd.Flags().StringVar(&role, "role", string(access.RoleDevice), "device, edge-backup or admin")
	cmd.Flags().StringArrayVar(&allow, "allow", nil, "PREFIX=VERB,VERB, repeatable")
	cmd.Flags().BoolVar(&u.Certificate, "certificate", false, "a client certificate of this name will do, too")
	cmd.Flags().StringVar(&u.Home, "home", "", "the edge that keeps this device's data")
	cmd.Flags().StringVar(&u.Note, "note", "", "what people should know about this user")
	return cmd
}

// parseRights reads PREFIX=VERB,VERB; a prefix may hold =, a verb does not.
func parseRights(list []string) (rights []access.Right, err error) {
	for _, s := range list {
		i := strings.LastIndexByte(s, '=')
		if i < 0 {
			return nil, fmt.Errorf("--allow %q: write PREFIX=VERB,VERB, as in home/hallway/=read,write", s)
		}
		rights = append(rights, access.Right{Prefix: s[:i], Verbs: strings.Split(s[i+1:], ",")})
	}
	return rights, nil
}

func passwdCommand() *cobra.Command {
	var file string
	var from secretFlags
	cmd := &cobra.Command{
		Use:   "passwd NAME",
		Short: "Give a user a new password or machine secret: the old one ends at once",
		Example: `  metronome user passwd anna
  metronome user passwd sensor-7 --token`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return setSecret(cmd, file, args[0], &from, true, func(f *access.File, s secret) error {
				return f.SetSecret(args[0], s.password, s.token)
			})
		},
	}
	fileFlag(cmd, &file)
	from.add(cmd)
	return cmd
}

// setSecret asks for a secret, changes the file, and shows the secret if it was made here.
func setSecret(cmd *cobra.Command, path, name string, from *secretFlags, needs bool,
	change func(*access.File, secret) error) error {
	cost, err := rehearse(path, change)
	if err != nil {
		return err
	}
	var s secret
	if needs { // before the file is locked: people type slowly
		if s, err = from.make(cmd, cost); err != nil {
			return err
		}
	}
	if err := access.Edit(path, func(f *access.File) error { return change(f, s) }); err != nil {
		return err
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "%s: written to %s\n", name, path)
	if s.show != "" {
		fmt.Fprintln(cmd.OutOrStdout(), s.show)
	}
	return nil
}

// rehearse finds out what is wrong with a change before anybody is asked for a password, and what hashes
// are to cost.
func rehearse(path string, change func(*access.File, secret) error) (cost int, err error) {
	f, err := access.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		f, err = access.NewFile(), nil
	}
	if err != nil {
		return 0, err
	}
	_, stored := access.NewToken()
	if err := change(f, secret{token: stored}); err != nil {
		return 0, err
	}
	_, err = f.Marshal()
	return f.Cost, err
}

func removeCommand() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:     "remove NAME...",
		Short:   "Remove users: they are refused from the next request on",
		Example: `  metronome user remove sensor-7`,
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			err := access.Edit(file, func(f *access.File) error {
				for _, name := range args {
					if err := f.Remove(name); err != nil {
						return err
					}
				}
				return nil
			})
			if err == nil {
				fmt.Fprintf(cmd.ErrOrStderr(), "%s: removed from %s\n", strings.Join(args, ", "), file)
			}
			return err
		},
	}
	fileFlag(cmd, &file)
	return cmd
}

// listed is what list shows of a user: no secret, nor its hash.
type listed struct {
	Name   string         `json:"name"`
	Role   access.Role    `json:"role"`
	Login  []string       `json:"login"`
	Home   string         `json:"home,omitempty"`
	Rights []access.Right `json:"rights,omitempty"`
	Note   string         `json:"note,omitempty"`
}

func listCommand() *cobra.Command {
	var file string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "Users, roles and rights; no secrets",
		Example: `  metronome user list
  metronome user list --json | jq -r '.[] | select(.role == "admin") | .name'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			f, err := access.ReadFile(file)
			if err != nil {
				return err
			}
			list := listUsers(f)
			if asJSON {
				e := json.NewEncoder(cmd.OutOrStdout())
				e.SetIndent("", "  ")
				return e.Encode(list)
			}
			printUsers(cmd, list)
			return nil
		},
	}
	fileFlag(cmd, &file)
	cmd.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	return cmd
}

func listUsers(f *access.File) []listed {
	list := []listed{}
	for _, name := range slices.Sorted(maps.Keys(f.Users)) {
		u := f.Users[name]
		l := listed{Name: name, Role: u.Role, Home: u.Home, Rights: u.Rights, Note: u.Note, Login: []string{}}
		for _, way := range []struct {
			name string
			has  bool
		}{{"password", u.Password != ""}, {"token", u.Token != ""}, {"certificate", u.Certificate}} {
			if way.has {
				l.Login = append(l.Login, way.name)
			}
		}
		list = append(list, l)
	}
	return list
}

func printUsers(cmd *cobra.Command, list []listed) {
	w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "USER\tROLE\tLOGIN\tRIGHTS\tNOTE")
	for _, l := range list {
		var rights []string
		for _, r := range l.Rights {
			rights = append(rights, fmt.Sprintf("%q=%s", r.Prefix, strings.Join(r.Verbs, ",")))
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", l.Name, l.Role, strings.Join(l.Login, ","),
			strings.Join(rights, " "), l.Note)
	}
	_ = w.Flush()
}

func checkCommand() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:     "check",
		Short:   "Name every problem of a credential file at once",
		Example: `  metronome user check --file users.yaml`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			f, err := access.ReadFile(file)
			if err != nil {
				return err
			}
			for _, w := range f.Warnings() {
				fmt.Fprintln(cmd.ErrOrStderr(), "warning:", w)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s: %d users: good\n", file, len(f.Users))
			return nil
		},
	}
	fileFlag(cmd, &file)
	return cmd
}
