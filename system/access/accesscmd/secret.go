package accesscmd

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"metronome/system/access"
)

// secretFlags say where a password comes from.
type secretFlags struct{ stdin, generate, token bool }

func (f *secretFlags) add(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&f.stdin, "password-stdin", false, "read the password from standard input, one line")
	cmd.Flags().BoolVar(&f.generate, "generate", false, "make a password and print it, once")
	cmd.Flags().BoolVar(&f.token, "token", false, "make a machine secret for a device and print it, once")
	cmd.MarkFlagsMutuallyExclusive("password-stdin", "generate", "token")
}

// secret is what a user logs in with, as the credential file stores it.
type secret struct {
	password, token string
	show            string // what is to be printed, once
}

// make reads or makes a secret. The cost is that of the file.
func (f *secretFlags) make(cmd *cobra.Command, cost int) (s secret, err error) {
	if f.token {
		s.show, s.token = access.NewToken()
		return s, nil
	}
	password := ""
	if f.generate {
		password = access.NewPassword()
		s.show = password
	} else if password, err = f.read(cmd); err != nil {
		return s, err
	}
	s.password, err = access.Hash(password, cost)
	return s, err
}

func (f *secretFlags) read(cmd *cobra.Command) (string, error) {
	if f.stdin {
		return firstLine(cmd.InOrStdin())
	}
	in, ok := cmd.InOrStdin().(*os.File)
	if !ok || !term.IsTerminal(int(in.Fd())) {
		return "", errors.New("standard input is no terminal: use --password-stdin, --generate or --token")
	}
	first, err := ask(cmd, in, "Password: ")
	if err != nil {
		return "", err
	}
	again, err := ask(cmd, in, "Again: ")
	if err == nil && first != again {
		err = errors.New("the two passwords differ: nothing was changed")
	}
	return first, err
}

func ask(cmd *cobra.Command, in *os.File, prompt string) (string, error) {
	fmt.Fprint(cmd.ErrOrStderr(), prompt)
	b, err := term.ReadPassword(int(in.Fd()))
	fmt.Fprintln(cmd.ErrOrStderr())
	if err != nil {
		return "", fmt.Errorf("read a password: %w", err)
	}
	return string(b), nil
}

// maxLine is far above every password; the rest of standard input is not read.
const maxLine = 1024

// firstLine leaves out the end of the line, which echo adds and no password has.
func firstLine(r io.Reader) (string, error) {
	line, err := bufio.NewReader(io.LimitReader(r, maxLine)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("read a password: %w", err)
	}
	line = strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r")
	if line == "" {
		return "", errors.New("standard input holds no password: nothing was changed")
	}
	return line, nil
}
