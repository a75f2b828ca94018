package usage

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"metronome/internal/strictyaml"
)

// Exit is the status of a program that was called wrongly.
const Exit = 2

// Error is a wrong call of a command.
type Error struct {
	Command string // as typed, without arguments: "lab run"
	Why     error
}

func (e *Error) Error() string { return fmt.Sprintf("%v; see '%s --help'", e.Why, e.Command) }

func (e *Error) Unwrap() error { return e.Why }

// Status is the status that a program exits with after err: 0 without one, 2 after a wrong call, else 1.
func Status(err error) int {
	var wrong *Error
	switch {
	case err == nil:
		return 0
	case errors.As(err, &wrong):
		return Exit
	}
	return 1
}

// Mark makes every wrong call of root, or of a command under it, an [Error]. All commands must have been
// added.
func Mark(root *cobra.Command) {
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error { return wrong(c, nearFlag(c, err)) })
	mark(root)
}

func mark(c *cobra.Command) {
	if !c.Runnable() && c.HasSubCommands() {
		c.Args, c.RunE, c.DisableFlagsInUseLine = known, help, true
		c.SuggestionsMinimumDistance = 2 // letters, as cobra has it
	}
	if inner := c.Args; inner != nil {
		c.Args = func(c *cobra.Command, args []string) error {
			err := inner(c, args)
			if err != nil && c.HasParent() && c.Runnable() && !c.HasSubCommands() {
				err = fmt.Errorf("%w: %s", err, c.UseLine())
			}
			return wrong(c, err, c.ValidateRequiredFlags, c.ValidateFlagGroups)
		}
	}
	for _, sub := range c.Commands() {
		mark(sub)
	}
}

// wrong is the first error, if any, as an error of how c was called.
func wrong(c *cobra.Command, err error, others ...func() error) error {
	for _, other := range others {
		if err == nil {
			err = other()
		}
	}
	if err == nil {
		return nil
	}
	return &Error{Command: c.CommandPath(), Why: err}
}

// known refuses the name of a command that a group of commands does not have.
func known(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	err := fmt.Errorf("unknown command %q", args[0])
	if near := c.SuggestionsFor(args[0]); len(near) > 0 {
		err = fmt.Errorf("%w; did you mean %s?", err, strings.Join(near, " or "))
	}
	return err
}

// help is what a group of commands does by itself.
func help(c *cobra.Command, _ []string) error { return c.Help() }

// nearFlag names the flag that was probably meant.
func nearFlag(c *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	if !errors.As(err, &unknown) || len(unknown.GetSpecifiedName()) < 2 {
		return err
	}
	var names []string
	c.Flags().VisitAll(func(f *pflag.Flag) {
		if !f.Hidden {
			names = append(names, f.Name)
		}
	})
	if near := strictyaml.Nearest(unknown.GetSpecifiedName(), names); near != "" {
		return fmt.Errorf("%w; did you mean --%s?", err, near)
	}
	return err
}
